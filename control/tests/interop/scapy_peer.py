"""A tunnel end made of scapy: answers what is inside the packets of the node, and checks them.

`/usr/bin/python3 scapy_peer.py KIND DEVICE LOCAL REMOTE`, with python3-scapy. For each packet from
REMOTE to LOCAL it prints `same` if scapy makes the same bytes of the fields that it finds, and
otherwise what it makes. Echo requests and UDP datagrams in it are answered, by KIND: what the answers
have besides goes beyond what the node sends itself, and must be understood or skipped.
"""

import sys

from scapy.config import conf
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import GRE, ICMP, IP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw, raw

COMPUTED = ["len", "chksum", "cksum", "plen", "optionlen"]
TEB = 0x6558


def rebuilt(packet):
    """The packet with all that scapy computes by itself computed anew."""
    packet = packet.copy()
    layer = packet
    while layer:
        for field in COMPUTED:
            if field in layer.fields:
                delattr(layer, field)
        layer = layer.payload
    return raw(packet)


def is_ip(packet):
    return isinstance(packet, (IP, IPv6))


def inner_ip(outer):
    """The innermost IP packet, and the Ethernet header around it if there is one."""
    found, ethernet, layer = None, None, outer.payload
    while layer:
        if isinstance(layer, Ether):
            ethernet = layer
        if is_ip(layer):
            found = layer
        layer = layer.payload
    return found, ethernet


def answer(packet):
    """What the host behind this end answers, or None."""
    if isinstance(packet, IP):
        back = IP(src=packet.dst, dst=packet.src, ttl=64, id=packet.id)
    else:
        back = IPv6(src=packet.dst, dst=packet.src, hlim=64)
    if UDP in packet:
        datagram = packet[UDP]
        return back / UDP(sport=datagram.dport, dport=datagram.sport) / Raw(bytes(datagram.payload))
    if ICMP in packet and packet[ICMP].type == 8:
        echo = packet[ICMP]
        return back / ICMP(type=0, id=echo.id, seq=echo.seq) / Raw(bytes(echo.payload))
    if ICMPv6EchoRequest in packet:
        echo = packet[ICMPv6EchoRequest]
        return back / ICMPv6EchoReply(id=echo.id, seq=echo.seq, data=echo.data)
    return None


def ethertype(packet):
    return 0x0800 if isinstance(packet, IP) else 0x86DD


class End:
    """This end of the tunnel."""

    def __init__(self, kind, local, remote):
        self.kind, self.local, self.remote = kind, local, remote
        self.sent = 0

    def outer(self, protocol):
        if ":" in self.local:
            return IPv6(src=self.local, dst=self.remote, nh=protocol)
        return IP(src=self.local, dst=self.remote, proto=protocol, flags="DF")

    def encapsulate(self, packet, ethernet):
        self.sent += 1
        if self.kind == "ipip":
            protocol = 4 if isinstance(packet, IP) else 41
            if ":" not in self.local:
                return self.outer(protocol) / packet
            # The encapsulation limit of RFC 2473, as Linux's ip6tnl sends it.
            limit = [HBHOptUnknown(otype=4, optdata=b"\x04"), PadN(optdata=b"\0")]
            return self.outer(60) / IPv6ExtHdrDestOpt(nh=protocol, options=limit) / packet
        if self.kind == "gre":
            all_fields = dict(chksum_present=1, key_present=1, key=42, seqnum_present=1)
            header = GRE(proto=ethertype(packet), sequence_number=self.sent, **all_fields)
            return self.outer(47) / header / packet
        # Class and type of an option that nobody knows, and that need not be understood.
        hint = GeneveOptions(classid=0xFF00, type=0x01, data=bytes(range(8)))
        udp = UDP(sport=51000, dport=6081)
        if self.kind == "geneve":
            frame = Ether(src=ethernet.dst, dst=ethernet.src) / packet
            return self.outer(17) / udp / GENEVE(vni=42, proto=TEB, options=[hint]) / frame
        header = GENEVE(vni=42, proto=ethertype(packet), options=[hint])
        return self.outer(17) / udp / header / packet


def main():
    kind, device, local, remote = sys.argv[1:]
    end = End(kind, local, remote)
    socket = conf.L2socket(iface=device)
    print("listening", flush=True)
    while True:
        frame = socket.recv()
        if frame is None or not is_ip(frame.payload):
            continue
        outer = frame.payload
        if (outer.src, outer.dst) != (remote, local):
            continue
        inner, ethernet = inner_ip(outer)
        if inner is outer or inner is None:
            continue
        whole, again = raw(outer), rebuilt(outer)
        print("same" if whole == again else f"DIFFERS {whole.hex()} {again.hex()}", flush=True)
        back = answer(inner)
        if back is not None:
            socket.send(Ether(src=frame.dst, dst=frame.src) / end.encapsulate(back, ethernet))


main()
