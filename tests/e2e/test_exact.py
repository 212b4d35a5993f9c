"""Octet-exact retrieval of nasty messages: by a plain connection, curl and poplib."""
import poplib
import re
import ssl
import subprocess

import pytest
from postoffice import make_maildir
from nasty import NASTY, stuffed, wire
from pop import Pop

pytestmark = pytest.mark.anyone

NAMES = list(NASTY)
WIRE = [wire(NASTY[n]) for n in NAMES]
WAYS = ("pop3s", "stls", "plain")

poplib._MAXLINE = 1 << 20  # its own limit of 2048 octets is below what messages hold


@pytest.fixture(scope="module")
def house(module_office, module_base):
    box = make_maildir(module_base / "nasty" / "Maildir", NASTY.values())
    return module_office(users=[f"nasty:secret:{box}"])


def connect(o, way):
    p = Pop(o.host, o.pop3s if way == "pop3s" else o.pop3, o.ca if way == "pop3s" else None)
    if way == "stls":
        p.stls(o.ca, o.host)
    assert p.login("nasty", "secret").startswith(b"+OK")
    return p


@pytest.mark.parametrize("way", WAYS)
def test_retr_is_exact(house, way):
    with connect(house, way) as p:
        assert p.say("STAT") == f"+OK {len(WIRE)} {sum(map(len, WIRE))}\r\n".encode()
        listed = p.multi("LIST")
        assert listed == [f"{i + 1} {len(w)}".encode() for i, w in enumerate(WIRE)]
        for i, w in enumerate(WIRE):
            first = p.say(f"RETR {i + 1}")
            assert re.match(rb"\+OK %d octets" % len(w), first), (NAMES[i], first)
            assert p.body() == stuffed(w), NAMES[i]
        assert p.say("QUIT").startswith(b"+OK")
        assert p.rest() == b""


@pytest.mark.parametrize("way", WAYS)
def test_top_is_exact(house, way):
    def top(octets, n):
        lines = octets.split(b"\r\n")[:-1]
        blank = lines.index(b"") if b"" in lines else len(lines)
        head, body = lines[:blank], lines[blank + 1:]
        # The blank line always follows the header (RFC 1939 s.7, wire point 8).
        return b"".join(x + b"\r\n" for x in [*head, b"", *body[:n]])

    with connect(house, way) as p:
        for n in (0, 1, 3, 2 ** 31):
            for i, w in enumerate(WIRE[:-1]):
                assert p.say(f"TOP {i + 1} {n}").startswith(b"+OK"), NAMES[i]
                assert p.body() == stuffed(top(w, n)), (NAMES[i], n)
        # Only who says QUIT knows at the end that the maildrop is free again.
        assert p.say("QUIT").startswith(b"+OK")


def test_pipelined_whole(house):
    """All commands in one write, all answers in order, then the end."""
    with Pop(house.host, house.pop3) as p:
        n = len(WIRE)
        commands = ["USER nasty", "PASS secret", "STAT", *(f"RETR {i + 1}" for i in range(n)),
                    "NOOP", "QUIT"]
        p.send("".join(c + "\r\n" for c in commands).encode())
        for _ in range(3):
            assert p.line().startswith(b"+OK")
        for i, w in enumerate(WIRE):
            assert p.line().startswith(b"+OK"), NAMES[i]
            assert p.body() == stuffed(w), NAMES[i]
        assert p.line().startswith(b"+OK") and p.line().startswith(b"+OK")
        assert p.rest() == b""


def poplib_session(o, way):
    context = ssl.create_default_context(cafile=o.ca)
    if way == "pop3s":
        p = poplib.POP3_SSL(o.host, o.pop3s, context=context, timeout=60)
    else:
        p = poplib.POP3(o.host, o.pop3, timeout=60)
    if way == "stls":
        p.stls(context)
    p.user("nasty")
    p.pass_("secret")
    return p


@pytest.mark.parametrize("way", WAYS)
def test_poplib(house, way):
    p = poplib_session(house, way)
    assert p.stat() == (len(WIRE), sum(map(len, WIRE)))
    uidls = [x.split()[1] for x in p.uidl()[1]]
    assert len(set(uidls)) == len(WIRE)
    for i, w in enumerate(WIRE):
        _, lines, octets = p.retr(i + 1)
        assert octets == len(w), NAMES[i]
        # poplib cuts the CRLF (or a lone LF) off each line; a CR before it stays.
        assert b"".join(x + b"\r\n" for x in lines) == w, NAMES[i]
    p.quit()


def curl(o, way, path, *more):
    url = f"pop3s://{o.pop3s_at}/{path}" if way == "pop3s" else f"pop3://{o.pop3_at}/{path}"
    tls = [] if way == "plain" else ["--ssl-reqd", "--cacert", o.ca]
    return subprocess.run(["curl", "-sS", "--max-time", "60", *tls, "--user", "nasty:secret", url,
                           *more], stdin=subprocess.DEVNULL, capture_output=True, timeout=90)


@pytest.mark.parametrize("way", WAYS)
def test_curl(house, base, way):
    got = curl(house, way, "")
    assert got.returncode == 0, got.stderr
    assert got.stdout == b"".join(b"%d %d\r\n" % (i + 1, len(w)) for i, w in enumerate(WIRE))
    # One session for all of them.
    got = curl(house, way, f"[1-{len(WIRE)}]", "-o", str(base / "#1"))
    assert got.returncode == 0, got.stderr
    for i, w in enumerate(WIRE):
        # The one thing that curl alters (doc/clients.md): nothing becomes an empty line.
        assert (base / str(i + 1)).read_bytes() == (w or b"\r\n"), NAMES[i]


def test_curl_commands(house):
    got = curl(house, "pop3s", "3", "--list-only")
    assert got.returncode == 0 and got.stdout == b""
    got = curl(house, "pop3s", "", "--request", "UIDL")
    assert got.returncode == 0 and len(got.stdout.splitlines()) == len(WIRE)
    got = curl(house, "pop3s", "", "--request", "NOOP", "--head")
    assert got.returncode == 0, got.stderr
    got = curl(house, "pop3s", "999")
    assert got.returncode != 0


def s_client(o, commands, *more):
    """What openssl s_client prints for these lines; it gives up its own letters by -quiet."""
    return subprocess.run(
        ["openssl", "s_client", "-quiet", "-crlf", "-CAfile", o.ca, "-verify_return_error",
         *more], input="".join(c + "\n" for c in commands).encode(), capture_output=True,
        timeout=60)


@pytest.mark.parametrize("more", [["-starttls", "pop3"], []])
def test_openssl_s_client(house, more):
    at = house.pop3_at if more else house.pop3s_at
    # QUIT ends the connection; -ign_eof waits for it.
    got = s_client(house, ["USER nasty", "PASS secret", "STAT", "QUIT"], "-connect", at,
                   "-ign_eof", "-verify_hostname", "localhost", *more)
    assert got.returncode == 0, got.stderr
    assert b"+OK %d %d\r\n" % (len(WIRE), sum(map(len, WIRE))) in got.stdout
    assert got.stdout.count(b"+OK") >= 4


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_tls_versions(house, version):
    got = s_client(house, ["QUIT"], "-connect", house.pop3s_at, "-ign_eof", version)
    assert got.returncode == 0, got.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused(house, version):
    got = s_client(house, ["QUIT"], "-connect", house.pop3s_at, "-ign_eof", version, "-cipher",
                   "ALL:@SECLEVEL=0")
    assert got.returncode != 0
    assert b"+OK" not in got.stdout
