#!/bin/sh
# Captures what the kernel's own VXLAN device sends, into the pcap files beside this script.
#
# Two network namespaces, joined by a veth underlay, with a VXLAN device in each; tcpdump listens on
# one end of the underlay. Needs root, iproute2, ethtool, tcpdump, python3 and a kernel with VXLAN.
# Names and addresses are fixed below, because tests/peers/kernel.rs expects them; identifications,
# source ports, sequence numbers and timestamps differ from run to run.
set -eu
cd "$(dirname "$0")"

a=rlvec-a-$$
b=rlvec-b-$$
cleanup() { ip netns del $a 2>/dev/null || true; ip netns del $b 2>/dev/null || true; }
trap cleanup EXIT INT TERM
cleanup
ip netns add $a
ip netns add $b

# The underlay. Checksum and segmentation offload off: veth would carry partial checksums.
ip -n $a link add ul address 02:00:00:00:77:0a type veth peer name ul address 02:00:00:00:77:0b netns $b
in_both() {
    ns=$1 host=$2
    ip -n $ns link set lo up
    ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.ul.accept_dad=0
    ip netns exec $ns ethtool -K ul tx off rx off gso off gro off tso off >/dev/null
    ip -n $ns addr add 192.168.77.$host/24 dev ul
    ip -n $ns addr add fd77::$host/64 dev ul nodad
    ip -n $ns link set ul up
}
in_both $a 1
in_both $b 2

# device VNI SUBNET UNDERLAY-PREFIX [OPTIONS]: a VXLAN device on either side.
device() {
    vni=$1 subnet=$2 underlay=$3
    shift 3
    for side in "$a 1 2 0a" "$b 2 1 0b"; do
        set -- $side "$@"
        ns=$1 host=$2 peer=$3 mac=$4
        shift 4
        ip -n $ns link add vx address 02:00:00:00:$subnet:$mac type vxlan id $vni dstport 4789 \
            local $underlay$host remote $underlay$peer dev ul nolearning "$@"
        ip netns exec $ns ethtool -K vx tx off rx off gso off gro off tso off >/dev/null
        ip -n $ns addr add 10.42.$subnet.$host/24 dev vx
        ip -n $ns addr add fd42:$subnet::$host/64 dev vx nodad
        ip -n $ns link set vx up
    done
}

# capture FILE SUBNET: the traffic of the device, as its underlay sees it. Then the device goes: its
# neighbour probes, seconds later, would get into the next capture.
capture() {
    sleep 1
    ip netns exec $b python3 traffic.py serve 10.42.$2.2 fd42:$2::2 &
    server=$!
    ip netns exec $b tcpdump -q -U -s 0 -i ul -w $1 udp port 4789 2>/dev/null &
    tcpdump=$!
    sleep 1
    ip netns exec $a python3 traffic.py send 10.42.$2.2 fd42:$2::2
    wait $server
    sleep 1
    kill $tcpdump
    wait $tcpdump || true
    ip -n $a link del vx
    ip -n $b link del vx
}

device 42 42 192.168.77.
capture kernel-vxlan-over-ipv4.pcap 42
device 16777215 43 fd77::
capture kernel-vxlan-over-ipv6.pcap 43
device 44 44 192.168.77. noudpcsum
capture kernel-vxlan-over-ipv4-no-checksum.pcap 44
