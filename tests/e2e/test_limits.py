"""Who may connect and how often, through a whole office of two fronts: what proxies say of an
address, what counts as one network, and how often one user may log in."""
import json
import re
import socket
import ssl
import struct
import subprocess
import time
from ipaddress import ip_address

import pytest

from pop import Pop
from postoffice import NOBODY, make_maildir, until

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MESSAGE = b"Subject: one\r\n\r\nhello\r\n"


def version_1(address, port=4711):
    family = "TCP6" if ":" in address else "TCP4"
    return f"PROXY {family} {address} {'::1' if ':' in address else '127.0.0.1'} {port} 110\r\n".encode()


def version_2(address, port=4711):
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    there, here = (socket.inet_pton(kind, x) for x in
                   (address, "::1" if ":" in address else "127.0.0.1"))
    body = there + here + struct.pack(">HH", port, 110)
    return SIGNATURE + struct.pack(">BBH", 0x21, 0x21 if ":" in address else 0x11, len(body)) + body


class Behind(Pop):
    """A connection that a proxy makes."""

    def __init__(self, o, header, source=None, tls=False):
        self.s = socket.create_connection((o.host, o.pop3s if tls else o.pop3), 60,
                                          source and (source, 0))
        self.s.sendall(header)
        self.tls, self.buffer = None, b""
        if tls:
            self._wrap(o.ca, "localhost")
        try:
            self.greeting = self.line()
        except ConnectionResetError:
            self.greeting = b""

    def quit(self):
        self.send(b"QUIT\r\n")
        self.rest()
        self.close()


def who(o):
    said = subprocess.run(
        [o.build / "restante", "who", "--socket", o.dir / "run" / "control", "--json"],
        capture_output=True, timeout=60, check=True).stdout
    return {row["user"]: row for row in json.loads(said)}


ANNA = ("anna", "secret")
PROXIED = {"fronts": 2, "plaintext": "always", "pop3:proxy_networks": "127.0.5.0/24",
           "pop3s:proxy_networks": "127.0.5.0/24"}


@pytest.mark.parametrize("header", [version_1, version_2], ids=["text", "octets"])
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_listed_proxy_says_whose_connection_it_is(office, header, address, tls):
    o = office(users=[ANNA], sets=PROXIED)
    c = Behind(o, header(address), "127.0.5.1", tls)
    assert c.login(*ANNA).startswith(b"+OK")
    row = until(lambda: who(o).get("anna"), why="the session is not shown")
    assert (ip_address(row["address"]), row["tls"]) == (ip_address(address), tls)
    c.quit()
    line = o.wait_for_log("event=login user=anna")
    logged = re.search(r" address=(\S+) port=4711 ", line)
    assert logged and ip_address(logged[1]) == ip_address(address), line
    # Nobody else is heard, with a header or without.
    for said in (header(address), b"CAPA\r\n") if not tls else ():
        assert Behind(o, said, "127.0.6.1").greeting == b""
    if not tls:
        assert Behind(o, b"CAPA\r\n", "127.0.5.1").greeting == b""


def test_sixty_four_addresses_of_one_network_are_one(office):
    o = office(users=[ANNA], sets=PROXIED | {"connections_per_address": 10})
    held = [Behind(o, version_2(f"2001:db8:0:1:{i:x}::{i:x}"), "127.0.5.1") for i in range(10)]
    assert all(c.greeting.startswith(b"+OK") for c in held)
    for i in range(10, 64):
        c = Behind(o, version_2(f"2001:db8:0:1:{i:x}::{i:x}"), "127.0.5.1")
        assert c.greeting.startswith(b"-ERR [SYS/TEMP] too many connections"), i
        c.close()
    # The next /64, and 64 neighbours of IPv4, are others.
    more = [Behind(o, version_2(a), "127.0.5.1") for a in
            ["2001:db8:0:2::1", *(f"192.0.2.{i}" for i in range(64))]]
    assert all(c.greeting.startswith(b"+OK") for c in more)
    held.pop().quit()
    until(lambda: Behind(o, version_1("2001:db8:0:1:ffff::"), "127.0.5.1").greeting
          .startswith(b"+OK"), why="there is no room again")
    for c in [*held, *more]:
        c.close()


def test_who_is_denied_is_so_behind_a_proxy(office, base):
    deny = base / "deny"
    deny.write_text("2001:db8::/32\n")
    o = office(users=[ANNA], sets=PROXIED | {"deny_file": deny})
    o.wait_for_log("deny_file: 1 networks are not served")
    assert Behind(o, version_2("2001:db8:7::7"), "127.0.5.1").greeting == b""
    assert Behind(o, version_2("192.0.2.7"), "127.0.5.1").greeting.startswith(b"+OK")
    since = o.mark()
    deny.write_text("192.0.2.0/28\n")
    o.wait_for_log("deny_file: 1 networks are not served", since=since)
    until(lambda: Behind(o, version_2("192.0.2.7"), "127.0.5.1").greeting == b"",
          why="a denied address is served")
    until(lambda: Behind(o, version_1("2001:db8:7::7"), "127.0.5.1").greeting != b"",
          why="the old list is in force")


def test_xclient_is_for_listed_networks(office):
    o = office(users=[ANNA], sets={"plaintext": "always", "pop3:xclient_networks": "127.0.5.1/32"})
    with Pop(o.host, o.pop3, source="127.0.5.2") as c:
        assert "XCLIENT" not in " ".join(x.decode() for x in c.multi("CAPA"))
        assert c.say("XCLIENT ADDR=192.0.2.8 PORT=99").startswith(b"-ERR")
        assert c.login(*ANNA).startswith(b"+OK")
        assert until(lambda: who(o).get("anna"))["address"] == "127.0.5.2"
        c.say("QUIT")
    until(lambda: not who(o), why="the session is still shown")
    with Pop(o.host, o.pop3, source="127.0.5.1") as c:
        assert c.say("XCLIENT ADDR=192.0.2.8 PORT=99").startswith(b"+OK")
        assert c.login(*ANNA).startswith(b"+OK")
        assert until(lambda: who(o).get("anna"))["address"] == "192.0.2.8"
        c.say("QUIT")


# ---- how often a user may log in ---------------------------------------------------------

@pytest.fixture(name="people")
def fixture_people(base):
    def make(**extras):
        lines = []
        for name, extra in extras.items():
            make_maildir(base / name, [MESSAGE])
            lines.append(f"{name}:{{PLAIN}}secret:{NOBODY}:{NOBODY}::{base}::"
                         f"userdb_mail=maildir:{base}/{name} {extra}\n")
        (base / "users").write_text("".join(lines))
        (base / "users").chmod(0o644)
        return base / "users"
    return make


def visit(o, name):
    """What PASS was answered."""
    with Pop(o.host, o.pop3) as c:
        said = c.login(name, "secret")
        c.send(b"QUIT\r\n")
        c.rest()
    return said


def delay_in(c):
    return [x for x in c.multi("CAPA") if x.startswith(b"LOGIN-DELAY")]


def test_login_delay_is_announced_and_enforced_for_each_user(office, people):
    o = office("--users", people(anna="login_delay=2", bert="login_delay=3600", carl=""),
               sets={"login_delay": "1m"})
    with Pop(o.host, o.pop3) as c:  # RFC 2449 s.6.6: the largest, and that it differs
        assert delay_in(c) == [b"LOGIN-DELAY 3600 USER"]
        assert c.login("anna", "secret").startswith(b"+OK")
        assert delay_in(c) == [b"LOGIN-DELAY 2"]
        c.say("QUIT")
    for name in ("bert", "carl"):
        assert visit(o, name).startswith(b"+OK")
        assert visit(o, name).startswith(b"-ERR [LOGIN-DELAY]"), name
    said = visit(o, "anna")
    assert said.startswith((b"-ERR [LOGIN-DELAY]", b"+OK"))
    until(lambda: visit(o, "anna").startswith(b"+OK"), 60, "two seconds do not end", 0.2)
    assert visit(o, "bert").startswith(b"-ERR [LOGIN-DELAY]")
    # Who does not know the password learns nothing of it.
    with Pop(o.host, o.pop3) as c:
        assert c.login("bert", "wrong").startswith(b"-ERR [AUTH]")


def test_logins_per_minute_are_a_bucket_for_each_user(office, people):
    o = office("--users", people(anna="", bert="logins_per_minute=0", carl=""),
               sets={"logins_per_minute": 30, "logins_burst": 3})
    begun = time.monotonic()
    said = [visit(o, "anna") for _ in range(10)]
    passed = time.monotonic() - begun
    assert all(x.startswith(b"+OK") for x in said[:3])
    late = [x for x in said if not x.startswith(b"+OK")]
    assert late and all(x.startswith(b"-ERR [SYS/TEMP]") for x in late), said
    assert len(said) - len(late) <= 3 + passed / 2, (said, passed)
    assert all(visit(o, "bert").startswith(b"+OK") for _ in range(10)), "he has no limit"
    assert visit(o, "carl").startswith(b"+OK"), "the bucket is each user's own"
    until(lambda: visit(o, "anna").startswith(b"+OK"), 60, "the bucket is not filled again", 0.5)


def test_over_tls_a_refusal_is_an_alert(office):
    """An -ERR there would need a handshake. Seven octets before or after the client has said
    hello: what it reports is the alert, not a connection that went away."""
    o = office(users=[ANNA], sets={"connections_per_address": 1})
    held = Pop(o.host, o.pop3s, o.ca)
    for patient in (True, False) * 5:
        s = socket.create_connection((o.host, o.pop3s), 60)
        if patient:
            assert s.recv(100, socket.MSG_PEEK)
        with pytest.raises(ssl.SSLError, match="internal error"):
            ssl.create_default_context(cafile=o.ca).wrap_socket(s, server_hostname=o.host)
        s.close()
    held.say("QUIT")
