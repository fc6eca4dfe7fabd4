"""Writes the first frame of each kind in ../tests/vectors/*.pcap into the corpora."""

import pathlib
import struct

here = pathlib.Path(__file__).parent
OVER_IPV4, OVER_IPV6 = 64, 84  # length of all headers around the inner packet


def frames(path):
    data, at = path.read_bytes(), 24
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


def kind(ethertype, packet):
    if ethertype == 0x0806:
        return f"arp-{packet[7]}"
    if ethertype == 0x0800:
        protocol, transport = packet[9], packet[20:]
    else:
        protocol, transport = packet[6], packet[40:]
    version = packet[0] >> 4
    name = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}[protocol]
    at = {1: 0, 58: 0, 6: 13, 17: 6}[protocol]  # type, flags, checksum
    return f"ipv{version}-{name}" + (f"-{transport[at]}" if protocol != 17 else "")


def write(target, name, data):
    (here / "corpus" / target / name).write_bytes(data)


for path in sorted((here / "../tests/vectors").glob("kernel-*.pcap")):
    seen = set()
    outer = OVER_IPV6 if "ipv6" in path.stem else OVER_IPV4
    if "no-checksum" in path.stem:
        continue
    for frame in frames(path):
        (ethertype,) = struct.unpack_from("!H", frame, outer - 2)
        packet = frame[outer:]
        name = kind(ethertype, packet)
        if name in seen or len(frame) > 400:
            continue
        seen.add(name)
        write("pretty", f"{path.stem}-{name}", frame)
        if outer == OVER_IPV4 and ethertype != 0x0806:
            write("pretty", name, packet)
            write("icmp_error", name, packet)

# Of the others the first frames: whole, and from the tunnel header on.
(here / "corpus/decap").mkdir(exist_ok=True)
for path in sorted((here / "../tests/vectors").glob("*.pcap")):
    for index, frame in enumerate(list(frames(path))[:3]):
        outer = 14 + (40 if frame[12:14] == b"\x86\xdd" else 20)
        protocol = frame[20] if outer == 54 else frame[23]
        tunnel = frame[outer + (8 if protocol in (17, 60) else 0) :]
        if len(frame) <= 400:
            write("decap", f"{path.stem}-{index}", tunnel)
            if not path.stem.startswith("kernel"):
                write("pretty", f"{path.stem}-{index}", frame)

addrs = bytes([192, 168, 77, 1] + [0] * 12 + [192, 168, 77, 2] + [0] * 12)
fields = bytes([2, 0, 0, 0, 0, 1, 64, 0, 0, 0, 42, 0, 0xC0, 1, 0])
for name, choice in [("ipip", 1), ("bridged", 5), ("vxlan", 9), ("vxlan-ethernet", 11), ("vxlan-ipv6", 8)] + [
    (f"kind-{kind}", kind << 2 | kind & 3) for kind in range(3, 10)
]:
    write("template", name, addrs + fields + bytes([choice]) + b"inner packet")
