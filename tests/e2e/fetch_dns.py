"""A small DNS server for tests, on UDP and TCP of one port of loopback. It answers what its
table says: {name: [(priority, weight, port, target), ...]}; a name that is not there does
not exist. `twist` may alter or replace an answer over UDP."""
import socket
import struct
import threading


def wire_name(name):
    parts = [p for p in name.rstrip(".").split(".") if p]
    return b"".join(bytes([len(p)]) + p.encode() for p in parts) + b"\0"


def read_name(message, at):
    parts = []
    while message[at]:
        parts.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(parts), at + 1


def answer(query, table):
    number, _, _, _, _, _ = struct.unpack("!6H", query[:12])
    name, end = read_name(query, 12)
    rows = table.get(name.lower())
    body = b""
    for priority, weight, port, target in rows or []:
        data = struct.pack("!3H", priority, weight, port) + wire_name(target)
        body += b"\xc0\x0c" + struct.pack("!2HIH", 33, 1, 60, len(data)) + data
    flags = 0x8180 | (3 if rows is None else 0)
    return struct.pack("!6H", number, flags, 1, len(rows or []), 0, 0) + query[12:end + 4] + body


class Dns:
    def __init__(self, table, twist=None):
        self.table, self.twist, self.asked = table, twist, []
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.tcp = socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp.bind(("127.0.0.1", self.port))
            except OSError:
                self.udp.close()
                self.tcp.close()
                continue
            break
        self.tcp.listen()
        self.at = f"127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.run_udp, self.run_tcp)]
        for t in self.threads:
            t.start()

    def run_udp(self):
        while True:
            query, peer = self.udp.recvfrom(65535)
            if not query:
                return
            self.asked.append(("udp", read_name(query, 12)[0]))
            reply = answer(query, self.table)
            for message in self.twist(query, reply) if self.twist else [reply]:
                self.udp.sendto(message, peer)

    def run_tcp(self):
        while True:
            peer, _ = self.tcp.accept()
            with peer:
                head = peer.recv(2)
                if len(head) < 2:
                    return
                query = peer.recv(struct.unpack("!H", head)[0])
                self.asked.append(("tcp", read_name(query, 12)[0]))
                reply = answer(query, self.table)
                peer.sendall(struct.pack("!H", len(reply)) + reply)

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for t in self.threads:
            t.join(60)
        self.udp.close()
        self.tcp.close()
