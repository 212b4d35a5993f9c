"""A hostile client: many connections from many addresses that do what no mail program does,
and what the fronts have of it: memory, processor time, descriptors."""
import os
import pathlib
import re
import resource
import selectors
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from fetch_trial import is_sanitized  # noqa: E402
from postoffice import until  # noqa: E402

PER_ADDRESS = 40  # below connections_per_address
TICKS = os.sysconf("SC_CLK_TCK")
IP_BIND_ADDRESS_NO_PORT = 24
LONG = bool(os.environ.get("RESTANTE_LONG"))


def address(i):
    """The i-th of many loopback addresses; each in a /24 of its own."""
    return f"127.{10 + i // 250}.{1 + i % 250}.1"


def raise_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connect(office, source, tls=False, small=False):
    s = socket.socket()
    if small:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    s.settimeout(60)
    s.bind((source, 0))
    s.connect((office.host, office.pop3s if tls else office.pop3))
    return s


class Swarm:
    """So many connections. say: what each sends; tls: to the port of POP3S, say is raw."""

    def __init__(self, office, n, say=b"", tls=False):
        self.office, self.sockets = office, []
        for i in range(n):
            self.sockets.append(connect(office, address(i // PER_ADDRESS), tls))
        if not tls:
            self.greeted = self.heard(b"\n")
        if say:
            for s in self.sockets:
                s.sendall(say)

    def heard(self, up_to, deadline=60):
        """How many were sent something with these octets in it; all must hear something."""
        waiting, seen, selector = len(self.sockets), {}, selectors.DefaultSelector()
        for s in self.sockets:
            selector.register(s, selectors.EVENT_READ)
        good = 0

        def step():
            nonlocal waiting, good
            for key, _ in selector.select(0.2):
                try:
                    got = key.fileobj.recv(4096)
                except OSError:
                    got = b""
                seen[key.fileobj] = seen.get(key.fileobj, b"") + got
                if up_to in seen[key.fileobj] or not got:
                    good += up_to in seen[key.fileobj]
                    waiting -= 1
                    selector.unregister(key.fileobj)
            return waiting == 0
        until(step, deadline, lambda: f"{waiting} heard nothing", 0)
        selector.close()
        return good

    def ended(self, deadline=60):
        """Waits for the end of all, whatever comes before it."""
        return self.heard(b"there is no such answer", deadline)

    def close(self, reset=False):
        for s in self.sockets:
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def status(pid, name):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", text)[1])


def memory(office):
    """KiB of all fronts that nobody else has."""
    return sum(status(p, "RssAnon") for p in office.pids("restante-front"))


def processor(office):
    """Seconds that all processes of the office have used."""
    total = 0
    for pid in office.tree():
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def descriptors(office):
    return sum(len(os.listdir(f"/proc/{p}/fd")) for p in office.pids("restante-front"))


def measured():
    """Whether figures of memory mean anything: a sanitizer keeps what was freed."""
    return not is_sanitized()
