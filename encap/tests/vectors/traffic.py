"""A little of every kind of traffic, over IPv4 and IPv6: `traffic.py serve|send ADDR4 ADDR6`."""

import socket
import struct
import sys

TCP_PORT, UDP_PORT = 5201, 5202
ECT_0 = 2


def serve(family, addr):
    tcp = socket.socket(family, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind((addr, TCP_PORT))
    tcp.listen()
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((addr, UDP_PORT))
    return tcp, udp


def answer(tcp, udp):
    for _ in range(3):
        data, sender = udp.recvfrom(2000)
        udp.sendto(data, sender)
    stream, _ = tcp.accept()
    data = b""
    while chunk := stream.recv(2000):
        data += chunk
    stream.sendall(data[:7])
    stream.close()


def ping(family, addr):
    v4 = family == socket.AF_INET
    echo = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP if v4 else socket.IPPROTO_ICMPV6)
    body = bytes(range(33))
    message = struct.pack("!BBHHH", 8 if v4 else 128, 0, 0, 7, 1) + body
    if v4:
        words = struct.unpack(f"!{(len(message) + 1) // 2}H", message + b"\0")
        total = sum(words)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    echo.settimeout(5)
    echo.sendto(message, (addr, 0))
    while body not in echo.recv(2000):
        pass


def send(family, addr):
    ping(family, addr)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.settimeout(5)
    for payload, tos in [(b"", 0), (b"odd length!", 0), (b"ecn", ECT_0)]:
        if family == socket.AF_INET:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        else:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        udp.sendto(payload, (addr, UDP_PORT))
        udp.recvfrom(2000)
    tcp = socket.create_connection((addr, TCP_PORT), timeout=5)
    tcp.sendall(bytes(i % 251 for i in range(1601)))
    tcp.shutdown(socket.SHUT_WR)
    while tcp.recv(2000):
        pass


mode, addr4, addr6 = sys.argv[1:]
ends = [(socket.AF_INET, addr4), (socket.AF_INET6, addr6)]
if mode == "serve":
    for sockets in [serve(*end) for end in ends]:
        answer(*sockets)
else:
    for end in ends:
        send(*end)
