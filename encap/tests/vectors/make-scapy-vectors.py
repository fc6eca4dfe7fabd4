#!/usr/bin/python3
"""Writes tunnel packets, made by scapy, into the pcap files beside this script.

`/usr/bin/python3 make-scapy-vectors.py`, with python3-scapy (2.5 made the files). No privileges, no
network: scapy builds the packets, lengths and checksums included. What it sends is the same on
every run; tests/peers/scapy.rs expects the addresses and fields below.
"""

import pathlib

from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import HBHOptUnknown, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

here = pathlib.Path(__file__).parent
TEB = 0x6558
UNDERLAY = [
    ("ipv4", lambda **fields: IP(src="192.168.77.1", dst="192.168.77.2", id=0x1234, ttl=64, **fields)),
    ("ipv6", lambda **fields: IPv6(src="fd77::1", dst="fd77::2", hlim=64, **fields)),
]
OUTER = Ether(src="02:00:00:00:77:0a", dst="02:00:00:00:77:0b")
INNER_ETHER = dict(src="02:00:00:00:42:0a", dst="02:00:00:00:42:0b")


def inner_packets():
    """IP packets of both versions: empty, odd and long payloads, ECN, DSCP and TTL of their own."""
    v4 = dict(src="10.42.42.1", dst="10.42.42.2", id=7)
    v6 = dict(src="fd42:42::1", dst="fd42:42::2")
    return [
        IP(ttl=9, flags="DF", **v4) / UDP(sport=1000, dport=5202),
        IP(ttl=64, tos=0xBA, **v4) / TCP(sport=1001, dport=5201, flags="S", seq=1),
        IP(ttl=64, **v4) / ICMP() / Raw(bytes(range(33))),
        IPv6(hlim=9, tc=0xB9, fl=0x12345, **v6) / UDP(sport=1000, dport=5202) / Raw(b"odd length!"),
        IPv6(hlim=64, **v6) / ICMPv6EchoRequest(data=bytes(200)),
    ]


def inner_frames():
    arp = ARP(op=1, hwsrc=INNER_ETHER["src"], psrc="10.42.42.1", pdst="10.42.42.2")
    frames = [Ether(src=INNER_ETHER["src"], dst="ff:ff:ff:ff:ff:ff") / arp]
    return frames + [Ether(**INNER_ETHER) / packet for packet in inner_packets()]


def ethertype(packet):
    return 0x0800 if isinstance(packet, IP) else 0x86DD


def write(name, packets):
    with PcapWriter(str(here / f"scapy-{name}.pcap"), linktype=1, sync=True) as writer:
        for index, packet in enumerate(packets):
            packet.time = index
            writer.write(packet)


for version, outer in UNDERLAY:
    number = lambda packet: 4 if isinstance(packet, IP) else 41
    ip = (lambda proto: outer(proto=proto)) if version == "ipv4" else (lambda proto: outer(nh=proto))
    write(f"ipip-over-{version}", [OUTER / ip(number(p)) / p for p in inner_packets()])

    def gre(**fields):
        return [OUTER / ip(47) / GRE(proto=ethertype(p), **fields) / p for p in inner_packets()]

    write(f"gre-over-{version}", gre())
    write(f"gre-key-over-{version}", gre(key_present=1, key=0xDEADBEEF))
    full = dict(chksum_present=1, key_present=1, key=42, seqnum_present=1, sequence_number=7)
    write(f"gre-full-over-{version}", gre(**full))
    bridged = [OUTER / ip(47) / GRE(proto=TEB, key_present=1, key=42) / f for f in inner_frames()]
    write(f"gre-bridged-over-{version}", bridged)

    def geneve(inners, **fields):
        udp = lambda: ip(17) / UDP(sport=51000, dport=6081)
        return [OUTER / udp() / GENEVE(vni=0xABCDEF, **fields) / p for p in inners]

    packets = [p for inner in inner_packets() for p in geneve([inner], proto=ethertype(inner))]
    write(f"geneve-ip-over-{version}", packets)
    write(f"geneve-bridged-over-{version}", geneve(inner_frames(), proto=TEB))
    hint = GeneveOptions(classid=0xFF00, type=0x01, data=bytes(range(8)))
    metadata = GeneveOptions(classid=0x0102, type=0x80, data=bytes([0, 3, 0, 5]))
    write(f"geneve-options-over-{version}", geneve(inner_frames(), proto=TEB, options=[hint]))
    critical = geneve(inner_frames(), proto=TEB, critical=1, options=[hint, metadata])
    write(f"geneve-critical-over-{version}", critical)

# The encapsulation limit of RFC 2473, as Linux's ip6tnl sends it.
limit = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=4, optdata=b"\x04"), PadN(optdata=b"\0")])
outer = UNDERLAY[1][1]
limited = [OUTER / outer(nh=60) / limit / p for p in inner_packets()]
for packet in limited:
    inner = packet[IPv6ExtHdrDestOpt].payload
    packet[IPv6ExtHdrDestOpt].nh = 4 if isinstance(inner, IP) else 41
write("ipip-limit-over-ipv6", limited)
