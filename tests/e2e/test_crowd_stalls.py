"""One message after another, as simple clients fetch them, over sockets on which nobody set
anything: no answer waits for the client's delayed acknowledgement (40 ms), whatever the
segment size, the length of the answer, and however it falls into segments.
"""
import socket
import ssl
import statistics
import time

import pytest

from postoffice import NOBODY, make_maildir

STALL_S = 0.025
ORDINARY_S = 0.01  # what an answer of ordinary mail takes
SEGMENTS = (0, 536, 1220, 1448, 8948)  # 0: as the loopback has it, nearly 64 KiB
ANSWER = len(b"+OK 26000 octets\r\n.\r\n")


def body_of(octets):
    line = b"x" * 70 + b"\r\n"
    return (b"Subject: s\r\n\r\n" + line * (octets // len(line) + 1))[:octets - 2] + b"\r\n"


# Around the ends of segments, around what is read at once of a file, and ordinary mail.
SIZES = sorted({n * segment + d - ANSWER for segment in SEGMENTS[1:] for n in (1, 2, 3, 10)
                for d in (-1, 0, 1)}
               | {n * 65536 + d for n in (1, 2, 3) for d in (-30, -19, -1, 0, 1)}
               | {20, 100, 26000, 26001, 400000})


class Simple:
    """Says a line, reads until the answer is whole. Nothing is set but the segment size."""

    def __init__(self, o, tls, segment):
        self.s = socket.socket()
        if segment:
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        self.s.settimeout(60)
        self.s.connect((o.host, o.pop3s if tls else o.pop3))
        if tls:
            context = ssl.create_default_context(cafile=o.ca)
            self.s = context.wrap_socket(self.s, server_hostname="localhost")
        self.buffer = bytearray(1 << 20)
        self.hear(b"\r\n")

    def hear(self, end):
        n, view = 0, memoryview(self.buffer)
        while not (n >= len(end) and self.buffer[n - len(end):n] == end):
            got = self.s.recv_into(view[n:])
            assert got > 0
            n += got
        return n

    def say(self, line, end=b"\r\n"):
        begun = time.monotonic()
        self.s.sendall(line + b"\r\n")
        n = self.hear(end)
        assert self.buffer[:3] == b"+OK", bytes(self.buffer[:80])
        return time.monotonic() - begun, n


@pytest.fixture(scope="module")
def o(module_office, module_base):
    box = make_maildir(module_base / "box", map(body_of, SIZES), NOBODY)
    return module_office(users=[("anna", "secret", box)])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("segment", SEGMENTS)
def test_no_answer_waits_for_an_acknowledgement(o, segment, tls):
    c = Simple(o, tls, segment)
    c.say(b"USER anna")
    c.say(b"PASS secret")
    took = {}
    for _ in range(2):
        for i, octets in enumerate(SIZES):
            # A busy machine may make any answer late, but not that one each time.
            for _ in range(60):
                seconds, n = c.say(b"RETR %d" % (i + 1), b"\r\n.\r\n")
                assert n == octets + ANSWER - 5 + len(str(octets))
                took[octets] = min(seconds, took.get(octets, 1))
                if seconds < ORDINARY_S:
                    break
            if took[octets] >= STALL_S:
                pytest.fail(f"{octets} octets in segments of {segment}: never below {STALL_S} s")
    c.say(b"QUIT")
    c.s.close()
    assert statistics.median(took.values()) < ORDINARY_S
