#!/bin/sh
# Captures what Open vSwitch's userspace datapath sends, into the pcap files beside this script.
#
# Two network namespaces, joined by a veth underlay, with an Open vSwitch of its own in each, which
# has nothing to do with one that the system runs: a bridge that owns the underlay device, and one
# with a tunnel. Needs root, iproute2, ethtool, tcpdump, python3 and openvswitch-switch (3.1 made
# the files; no kernel module is used). tests/peers/ovs.rs expects the addresses below; source ports,
# sequence numbers and timestamps differ from run to run.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin:/sbin

a=rlovs-a-$$
b=rlovs-b-$$
run=$(mktemp -d)
cleanup() {
    for ns in $a $b; do
        for daemon in ovs-vswitchd ovsdb-server; do
            [ ! -f $run/$ns/$daemon.pid ] || kill "$(cat $run/$ns/$daemon.pid)" 2>/dev/null || true
        done
    done
    sleep 1
    ip netns del $a 2>/dev/null || true
    ip netns del $b 2>/dev/null || true
    rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
ip netns add $a
ip netns add $b

# in_ns NAMESPACE COMMAND...: with the paths of the Open vSwitch in that namespace.
in_ns() {
    ns=$1
    shift
    ip netns exec $ns env OVS_RUNDIR=$run/$ns OVS_DBDIR=$run/$ns OVS_LOGDIR=$run/$ns "$@"
}

ip -n $a link add ul address 02:00:00:00:77:0a type veth peer name ul address 02:00:00:00:77:0b netns $b
switch() {
    ns=$1 host=$2 mac=$3
    mkdir $run/$ns
    ip -n $ns link set lo up
    ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.router_solicitations=0
    ip netns exec $ns ethtool -K ul tx off rx off gso off gro off tso off >/dev/null
    ip -n $ns link set ul up
    ovsdb-tool create $run/$ns/conf.db /usr/share/openvswitch/vswitch.ovsschema
    in_ns $ns ovsdb-server --detach --pidfile --no-chdir --log-file --remote=punix:$run/$ns/db.sock \
        $run/$ns/conf.db >/dev/null 2>&1
    in_ns $ns ovs-vsctl --no-wait init
    in_ns $ns ovs-vswitchd --detach --pidfile --no-chdir --log-file unix:$run/$ns/db.sock >/dev/null 2>&1
    in_ns $ns ovs-vsctl add-br phy -- set bridge phy datapath_type=netdev \
        other-config:hwaddr=02:00:00:00:77:$mac -- add-port phy ul
    ip -n $ns addr add 192.168.77.$host/24 dev phy
    ip -n $ns addr add fd77::$host/64 dev phy nodad
    ip -n $ns link set phy up
}
switch $a 1 0a
switch $b 2 0b

# tunnel SUBNET TYPE UNDERLAY-PREFIX [OPTION=VALUE...]: a bridge with a tunnel on either side.
tunnel() {
    subnet=$1 type=$2 underlay=$3
    shift 3
    for side in "$a 1 2 0a" "$b 2 1 0b"; do
        set -- $side "$@"
        ns=$1 host=$2 peer=$3 mac=$4
        shift 4
        options=
        for option in "$@"; do options="$options options:$option"; done
        in_ns $ns ovs-vsctl add-br int -- set bridge int datapath_type=netdev \
            other-config:hwaddr=02:00:00:00:$subnet:$mac -- set interface int mtu_request=1400 -- \
            add-port int tun -- set interface tun type=$type ofport_request=7 \
            options:local_ip=$underlay$host options:remote_ip=$underlay$peer $options
        ip -n $ns addr add 10.42.$subnet.$host/24 dev int
        ip -n $ns addr add fd42:$subnet::$host/64 dev int nodad
        ip -n $ns link set int up
    done
}

# capture FILE SUBNET: the traffic of the tunnel, as its underlay sees it; but not the search for
# neighbours there.
capture() {
    ip netns exec $a ping -q -c 1 192.168.77.2 >/dev/null
    ip netns exec $a ping -q -c 1 fd77::2 >/dev/null
    sleep 2
    ip netns exec $b python3 traffic.py serve 10.42.$2.2 fd42:$2::2 &
    server=$!
    ip netns exec $b tcpdump -q -U -s 0 -i ul -w $1 \
        'proto gre or ip6 proto 47 or udp port 6081 or udp port 4789' 2>/dev/null &
    tcpdump=$!
    sleep 1
    ip netns exec $a python3 traffic.py send 10.42.$2.2 fd42:$2::2
    wait $server
    sleep 1
    kill $tcpdump
    wait $tcpdump || true
    in_ns $a ovs-vsctl del-br int
    in_ns $b ovs-vsctl del-br int
    chown 0:0 $1
}

tunnel 51 vxlan 192.168.77. key=51
capture ovs-vxlan-over-ipv4.pcap 51

tunnel 52 gre 192.168.77.
capture ovs-gre-over-ipv4.pcap 52

tunnel 53 gre fd77:: key=3735928559
capture ovs-gre-key-over-ipv6.pcap 53

# Not both in one: Open vSwitch 3.1 leaves the sequence number out of its checksum.
tunnel 54 gre 192.168.77. key=54 csum=true
capture ovs-gre-checksum-over-ipv4.pcap 54
tunnel 57 gre fd77:: key=57 seq=true
capture ovs-gre-sequence-over-ipv6.pcap 57

tunnel 55 geneve 192.168.77. key=55 csum=true
capture ovs-geneve-over-ipv4.pcap 55

# With an option in every packet: OVN's metadata, which is critical.
tunnel 56 geneve fd77:: key=16777215
for ns in $a $b; do
    in_ns $ns ovs-ofctl add-tlv-map int '{class=0x0102,type=0x80,len=4}->tun_metadata0'
    in_ns $ns ovs-ofctl add-flow int \
        'priority=9,in_port=LOCAL,actions=set_field:0x00030005->tun_metadata0,output:7'
done
capture ovs-geneve-option-over-ipv6.pcap 56
