"""Messages that are nasty but legal, and what POP3 makes of each on the wire.

The expected octets are computed here by a rule written down anew, apart from the
server's code: RFC 1939 s.3, wire points 6 to 12 and 55.
"""
import random

SEED = 20261122


def wire(stored):
    """The lines as RETR sends them, without dots stuffed and without the terminator.

    A bare LF ends a line as CRLF does; a bare CR is a character of its line; what stands
    after the last line end becomes a line.
    """
    out, i = bytearray(), 0
    while i < len(stored):
        end = stored.find(b"\n", i)
        if end < 0:
            out += stored[i:] + b"\r\n"
            break
        line = stored[i:end]
        if line.endswith(b"\r"):
            line = line[:-1]
        out += line + b"\r\n"
        i = end + 1
    return bytes(out)


def stuffed(octets):
    """With a dot before each line that begins with one, and the terminator."""
    lines = octets.split(b"\r\n")
    assert lines.pop() == b""
    # A bare LF never stands within a wire line, so lines are what split gives.
    return b"".join((b"." if x.startswith(b".") else b"") + x + b"\r\n" for x in lines) + b".\r\n"


def _large():
    rng = random.Random(SEED)
    out = bytearray(b"Subject: five MiB\n\n")
    while len(out) < 5 * 1024 * 1024:
        out += bytes(rng.randrange(0x21, 0x7F) for _ in range(60)) * rng.randrange(0, 8)
        out += rng.choice((b"\n", b"\r\n", b"\n.", b"\n..\n"))
    return bytes(out[:5 * 1024 * 1024 - 1])


HEAD = b"From: a@example.com\nSubject: "

NASTY = {
    "empty": b"",
    "header-only": b"Subject: no body\nFrom: a@example.com\n",
    "header-and-blank": b"Subject: no body\n\n",
    "header-without-newline": b"Subject: cut",
    "no-final-newline": HEAD + b"cut\n\nthe last line is not ended",
    "crlf-file": HEAD.replace(b"\n", b"\r\n") + b"crlf\r\n\r\none\r\n\r\ntwo\r\n",
    "mixed-ends": HEAD + b"mixed\r\n\r\none\ntwo\r\nthree\n\r\n\nfour\r\n",
    "lone-dots": HEAD + b"dots\n\n.\n..\n...\n.\r\n.x\n..\r\n\n.\n",
    "dot-at-once": b".\n..\n",
    "dot-at-end": HEAD + b"dot\n\nx\n.",
    "long-lines": HEAD + b"long\n\n" + b"x" * 100_000 + b"\n." + b"y" * 100_000,
    "nul": HEAD + b"nul\n\na\0b\0\n\0\n\0",
    "eight-bit": HEAD + "Grüße ☀\n\näöü ".encode() + bytes(range(0x80, 0x100)) + b"\n",
    "all-octets": HEAD + b"all\n\n" + bytes(range(256)) * 17,
    "from-lines": b"From someone Mon Jan  1 00:00:00 2001\n" + HEAD + b"from\n\nFrom x\n>From y\n",
    "bare-cr": HEAD + b"cr\n\none\rtwo\r\rthree\r\r\nfour\r\n\rfive\n",
    "ends-in-cr": HEAD + b"cr\n\nthe end\r",
    "only-cr": b"\r",
    "only-lf": b"\n\n\n",
    "only-crlf": b"\r\n",
    "block-edge": HEAD + b"edge\n\n" + (b"z" * 61 + b"\r\n") * 1040 + b"." + b"\r\n." * 500,
    "five-mib": _large(),
}
