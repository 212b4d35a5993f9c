"""How a client is let in: what comes before POP3, and what the front says to auth about it."""
import base64
import hashlib
import re
import select
import socket
import ssl
import struct
import subprocess
import time

import pytest

import front_alone as fa
from front_alone import (APOP, CRAM_MD5, EXTERNAL, KPOP, MECHANISM_LOGIN, PASS, PLAIN, SCRAM_SHA_256,
                         SCRAM_SHA_256_PLUS, SECONDS, Client, Front, Keeper, octets, readable)

MAIL = [b"Subject: one\n\nfirst\n", b"Subject: two\n\nsecond\n"]
HERE = bytes(10) + b"\xff\xff\x7f\x00\x00\x01"
LOOPBACK = ["127.0.0.0/8"]
ADDRESS = 1  # of enum assertion
CERTIFICATE = 2


@pytest.fixture(name="make")
def fixture_make(tmp_path):
    made = []

    def make(**arguments):
        made.append(Front(tmp_path, **arguments))
        return made[-1]

    yield make
    for front in made:
        front.close()


@pytest.fixture(name="front")
def fixture_front(make):
    return make()


def certify(path, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", str(path / (name + ".key")), "-out", str(path / (name + ".pem")),
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)


@pytest.fixture(name="tls", scope="module")
def fixture_tls(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    certify(path, "server")
    certify(path, "client")
    return path


def parts(tls):
    return (tls / "server.pem").read_bytes(), (tls / "server.key").read_bytes()


def secured(client, tls, version=None, with_certificate=False):
    context = ssl.create_default_context(cafile=str(tls / "server.pem"))
    if version:
        context.minimum_version = context.maximum_version = version
    if with_certificate:
        context.load_cert_chain(str(tls / "client.pem"), str(tls / "client.key"))
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    return client


def b64(text):
    return base64.b64encode(text)


def four(text):
    return bytes(10) + b"\xff\xff" + socket.inet_aton(text)


def reset(client):
    """Gone, so that the other side sees it at once."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def let_in(front, client, session, user=b"tester", messages=MAIL):
    keeper = Keeper(front.attach(session, user), messages, front.tmp_path)
    front.keepers.append(keeper)
    keeper.open()
    assert client.line().startswith(b"+OK")
    return keeper


def capabilities(client):
    assert client.ask(b"CAPA").startswith(b"+OK")
    lines = []
    while (line := client.line()) != b".":
        lines.append(line)
    return lines


def mechanisms(client):
    return [set(line.split()[1:]) for line in capabilities(client) if line.startswith(b"SASL")]


# ---- conversations --------------------------------------------------------------------

def test_a_challenge_and_its_answer(front):
    client = front.client()
    client.send(b"AUTH CRAM-MD5\r\n")
    asked = front.asked()
    assert (asked.mechanism, asked.has_response, asked.response, asked.name) == (CRAM_MD5, 0, b"", b"")
    assert (asked.address, asked.port) == (HERE, client.sock.getsockname()[1])
    assert asked.id != 0 and asked.connection != 0 and asked.listener == 1
    front.challenge(asked.session, b"<1.2@mail.example>")
    assert client.line() == b"+ " + b64(b"<1.2@mail.example>")
    client.send(b64(b"tester 0123") + b"\r\n")
    assert front.response() == (asked.session, 0, b"tester 0123")
    let_in(front, client, asked.session)
    assert client.ask(b"STAT").startswith(b"+OK 2 ")


def test_several_rounds_and_an_empty_answer(front):
    client = front.client()
    client.send(b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=tester,r=abc") + b"\r\n")
    asked = front.asked()
    assert (asked.mechanism, asked.has_response) == (SCRAM_SHA_256, 1)
    assert asked.response == b"n,,n=tester,r=abc"
    for challenge, answer in ((b"r=abcdef,s=QQ==,i=4096", b"c=biws,r=abcdef,p=x"), (b"v=proof", b""),
                              (b"\x00" * 9000, b"\xff" * 9000)):
        front.challenge(asked.session, challenge)
        assert client.line() == b"+ " + b64(challenge)
        client.send(b64(answer) + b"\r\n")
        assert front.response() == (asked.session, 0, answer)
    let_in(front, client, asked.session)


def test_auth_learns_of_conversations_that_end(front):
    def begun():
        client = front.client()
        client.send(b"AUTH LOGIN\r\n")
        asked = front.asked()
        assert asked.mechanism == MECHANISM_LOGIN
        front.challenge(asked.session, b"Username:")
        assert client.line() == b"+ " + b64(b"Username:")
        return client, asked.session

    for end in (b"*\r\n", b"no base64!\r\n"):
        client, session = begun()
        assert client.ask(end[:-2]).startswith(b"-ERR")
        assert front.response() == (session, 1, b"")
        assert client.ask(b"NOOP").startswith(b"-ERR")  # the session goes on
    client, session = begun()
    client.close()
    assert front.response() == (session, 1, b"")
    # A challenge for somebody who left while auth was at it.
    client = front.client()
    client.send(b"AUTH LOGIN\r\n")
    asked = front.asked()
    reset(client)
    front.wait_gone("SESSIONS")
    front.challenge(asked.session, b"Username:")
    assert front.response() == (asked.session, 1, b"")
    front.challenge(987654321, b"Username:")
    assert front.response() == (987654321, 1, b"")


def test_a_new_auth_knows_nothing_of_old_conversations(front):
    client = front.client()
    client.send(b"AUTH LOGIN\r\n")
    asked = front.asked()
    front.challenge(asked.session, b"Username:")
    client.line()
    front.new_auth()
    client.send(b64(b"tester") + b"\r\n")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    client.send(b"AUTH LOGIN\r\n")
    front.challenge(front.asked().session, b"Username:")
    assert client.line().startswith(b"+ ")


def test_a_challenge_to_a_password_is_none(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    assert (asked.mechanism, asked.name, asked.response) == (PASS, b"tester", b"secret")
    front.challenge(asked.session, b"more?")
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    assert front.response() == (asked.session, 1, b"")


def test_a_refusal_waits_as_long_as_auth_says(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS wrong\r\n")
    assert client.line().startswith(b"+OK")
    began = time.monotonic()
    front.fail(front.asked().session, delay_ms=400)
    refusal = client.line()
    assert refusal.startswith(b"-ERR [AUTH]") and 0.35 < time.monotonic() - began < 30


def crockford(number):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = "".join(digits[number >> 5 * i & 31] for i in range(6, -1, -1))
    return text[:4] + "-" + text[4:]


def test_each_refusal_has_an_id_of_one_form(front):
    client, seen = front.client(), set()
    for code in (1, 2):
        client.send(b"USER tester\r\nPASS wrong\r\n")
        assert client.line().startswith(b"+OK")
        asked = front.asked()
        front.fail(asked.session, code)
        said = re.search(rb"\(id ([0-9A-Z]{4}-[0-9A-Z]{3})\)", client.line())
        assert said.group(1) == crockford(asked.id).encode()
        seen.add(asked.id)
    assert len(seen) == 2


def test_auth_is_told_what_was_lost_behind_it(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    Keeper(front.attach(asked.session)).refuse(4)
    number, fields = front.heard()
    assert number == fa.LOGIN_LOST and fields.take("QIB") == (asked.session, asked.id, 4)
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    front.tell(struct.pack("<HQB", fa.SESSION_REFUSED, asked.session, 2))
    number, fields = front.heard()
    assert number == fa.LOGIN_LOST and fields.take("QIB") == (asked.session, asked.id, 2)


# ---- what is offered --------------------------------------------------------------------

def test_only_what_auth_and_the_listener_allow_is_offered(make):
    front = make(listen=False)
    port = front.listen(mechanisms=1 << PLAIN | 1 << CRAM_MD5 | 1 << PASS)
    assert mechanisms(front.client(port=port)) == [{b"PLAIN", b"CRAM-MD5"}]
    old = front.client(port=port)
    front.offer(1 << CRAM_MD5 | 1 << SCRAM_SHA_256, expire=3, expire_differs=1, delay=60)
    deadline = time.monotonic() + SECONDS
    while mechanisms(client := front.client(port=port)) != [{b"CRAM-MD5"}]:
        assert time.monotonic() < deadline
        client.close()
    lines = capabilities(client)
    assert b"USER" not in lines and b"EXPIRE 3 USER" in lines and b"LOGIN-DELAY 60" in lines
    assert client.ask(b"USER tester").startswith(b"-ERR")
    # Who came before keeps what he was told.
    assert mechanisms(old) == [{b"PLAIN", b"CRAM-MD5"}] and b"EXPIRE NEVER" in capabilities(old)


def test_nobody_is_served_before_the_first_offer(make, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Front, "offer", lambda self: None)
        front = make()
    client = front.client(greet=False)
    assert not readable(client.sock, 0.1)
    front.offer()
    assert client.line().startswith(b"+OK")


# ---- APOP ---------------------------------------------------------------------------------

def test_a_stamp_stands_in_the_greeting(make):
    front = make(listen=False)
    port = front.listen(apop=1)
    client = front.client(port=port, greet=False)
    number, fields = front.heard()
    assert number == fa.STAMP_ASK
    connection = fields.take("Q")
    fa.send(front.auth, struct.pack("<HQ", fa.STAMP, connection + 1) + octets(b"<0.0@another>"))
    fa.send(front.auth, struct.pack("<HQ", fa.STAMP, connection) + octets(b"<1896.697@mail.example>"))
    assert client.line().endswith(b"<1896.697@mail.example>")
    digest = hashlib.md5(b"<1896.697@mail.example>tanstaaf").hexdigest().encode()
    client.send(b"APOP mrose " + digest + b"\r\n")
    asked = front.asked()
    assert (asked.mechanism, asked.name, asked.response) == (APOP, b"mrose", digest)
    assert asked.connection == connection
    let_in(front, client, asked.session)


def test_without_a_stamp_there_is_no_apop(make):
    front = make(listen=False)
    port = front.listen(apop=1)
    waiting = front.client(port=port, greet=False)
    front.heard()
    front.new_auth()
    assert b"<" not in waiting.line()
    assert waiting.ask(b"APOP mrose " + b"0" * 32).startswith(b"-ERR")
    front.offer(1 << PASS)
    deadline = time.monotonic() + SECONDS
    while True:  # what auth cannot check is not asked for
        client = front.client(port=port, greet=False)
        if client.sock in select.select([client.sock, front.auth], [], [], SECONDS)[0]:
            break
        assert time.monotonic() < deadline
        front.heard()
    assert b"<" not in client.line()


# ---- PROXY ----------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
VERSION_1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 110\r\n"
VERSION_2 = (SIGNATURE + b"\x21\x11\x00\x10" + socket.inet_aton("192.0.2.7") +
             socket.inet_aton("198.51.100.1") + struct.pack(">HH", 50123, 110) + b"\x04\x00\x01\x00")


def proxied(front, header, port, pieces=1):
    client = front.client(port=port, greet=False)
    step = -(-len(header) // pieces)
    for at in range(0, len(header), step):
        client.send(header[at:at + step])
        if pieces > 1:
            assert not readable(client.sock, 0.002) or at + step >= len(header)
    return client


@pytest.mark.parametrize("header", [VERSION_1, VERSION_2], ids=["text", "octets"])
@pytest.mark.parametrize("pieces", [1, 5, 47])
def test_a_proxy_says_whose_connection_it_is(make, header, pieces):
    front = make(listen=False)
    port = front.listen(proxies=LOOPBACK, asserts=ADDRESS)
    client = proxied(front, header, port, pieces)
    assert client.line().startswith(b"+OK")
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    assert (asked.address, asked.port) == (four("192.0.2.7"), 50123)
    assert client.line().startswith(b"+OK")
    let_in(front, client, asked.session)
    assert client.ask(b"QUIT").startswith(b"+OK")
    front.wait_gone("SESSIONS")
    logins = [line for line in front.logged() if b"login" in line[:12]]
    assert b"192.0.2.7" in logins[0] and b"127.0.0.1" in logins[0]


def test_what_follows_the_header_is_the_connections(make, tls):
    front = make(listen=False, tls=parts(tls))
    port = front.listen(proxies=LOOPBACK, asserts=ADDRESS)
    client = front.client(port=port, greet=False)
    client.send(VERSION_1 + b"CAPA\r\n")
    assert client.line().startswith(b"+OK") and client.line().startswith(b"+OK")
    port = front.listen(implicit=1, plaintext=0, proxies=LOOPBACK, asserts=ADDRESS)
    client = secured(proxied(front, VERSION_2, port), tls)
    assert client.line().startswith(b"+OK")
    client.send(b"USER tester\r\nPASS secret\r\n")
    assert front.asked().address == four("192.0.2.7")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"])
def test_a_proxys_own_connection_keeps_its_address(make, header):
    front = make(listen=False)
    port = front.listen(proxies=LOOPBACK, asserts=ADDRESS)
    client = proxied(front, header, port)
    assert client.line().startswith(b"+OK")
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    assert (asked.address, asked.port) == (HERE, client.sock.getsockname()[1])


def test_who_says_that_he_is_this_machine_is_not(make):
    """A password without TLS may come from loopback: from who is there, not who claims it."""
    front = make(listen=False)
    port = front.listen(plaintext=1, proxies=LOOPBACK, asserts=ADDRESS)
    client = proxied(front, VERSION_1, port)
    client.line()
    assert client.ask(b"USER tester").startswith(b"-ERR")
    client = proxied(front, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", port)
    client.line()
    assert client.ask(b"USER tester").startswith(b"+OK")


def test_without_a_listed_proxy_nobody_is_served(make):
    front = make(listen=False)
    port = front.listen(proxies=["192.0.2.0/24", "2001:db8::/32"], asserts=ADDRESS)
    for _ in range(5):
        client = front.client(port=port, greet=False)
        assert client.rest() == b""
    assert front.count("PROXY_REFUSED") == 5
    assert len([line for line in front.logged() if b"turned_away" in line]) <= 2


def test_a_header_must_be_one_and_come_in_time(make):
    front = make(listen=False)
    port = front.listen(proxies=LOOPBACK, asserts=ADDRESS)
    silent = front.client(port=port, greet=False)
    slow = proxied(front, VERSION_1[:-1], port)
    for bad in (b"USER tester\r\n", b"PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n", b"\x16\x03\x01",
                SIGNATURE + b"\x21\x11\xff\xff", b"PROXY UNKNOWN" + b"x" * 100):
        assert proxied(front, bad, port).rest() == b""
    assert front.count("PROXY_REFUSED") == 5
    began = time.monotonic()
    assert silent.rest() == b"" and slow.rest() == b""
    assert time.monotonic() - began < 30
    assert front.count("PROXY_REFUSED") == 7
    front.wait_gone("SESSIONS")


def test_limits_count_the_address_behind_the_proxy(make):
    front = make(listen=False, options={"per_address": 2})
    port = front.listen(proxies=LOOPBACK, asserts=ADDRESS)
    kept = [proxied(front, VERSION_1, port) for _ in range(2)]
    assert all(client.line().startswith(b"+OK") for client in kept)
    assert proxied(front, VERSION_2, port).line().startswith(b"-ERR [SYS/TEMP]")
    six = [b"PROXY TCP6 2001:db8:0:1::%x ::1 1 2\r\n" % i for i in range(3)]
    kept += [proxied(front, h, port) for h in six]
    assert [client.line()[:4] for client in kept[2:]] == [b"+OK ", b"+OK ", b"-ERR"]
    assert proxied(front, b"PROXY TCP6 2001:db8:0:2::1 ::1 1 2\r\n", port).line().startswith(b"+OK")
    kept[0].ask(b"QUIT")
    deadline = time.monotonic() + SECONDS
    while not proxied(front, VERSION_1, port).line().startswith(b"+OK"):
        assert time.monotonic() < deadline


def test_denied_addresses_are_closed_at_once(make):
    front = make(listen=False)
    port, plain = front.listen(proxies=LOOPBACK, asserts=ADDRESS), front.listen()
    front.deny("192.0.2.0/25", "2001:db8::/32", "198.51.100.9/32")
    for _ in range(20):
        assert proxied(front, VERSION_1, port).rest() == b""
    assert proxied(front, b"PROXY TCP6 2001:db8:5::1 ::1 1 2\r\n", port).rest() == b""
    assert front.count("CONNECTIONS_DENIED") == 21
    lines = [line for line in front.logged() if b"turned_away" in line]
    assert 1 <= len(lines) <= 3 and b"192.0.2.7" in lines[0]
    assert proxied(front, b"PROXY TCP4 192.0.2.200 1.2.3.4 1 2\r\n", port).line().startswith(b"+OK")
    assert front.client(port=plain)
    front.deny("127.0.0.1/32")
    deadline = time.monotonic() + SECONDS
    while front.client(port=plain, greet=False).more():  # taken as before, yet
        assert time.monotonic() < deadline
    front.deny()
    while readable((client := front.client(port=plain, greet=False)).sock, SECONDS) and not client.more():
        assert time.monotonic() < deadline
    assert client.line().startswith(b"+OK")


def test_xclient_from_listed_networks(make):
    front = make(listen=False, options={"per_address": 2})
    port, plain = front.listen(xclients=LOOPBACK, asserts=ADDRESS), front.listen()
    front.deny("192.0.2.99/32")
    assert front.client(port=plain).ask(b"XCLIENT ADDR=192.0.2.8").startswith(b"-ERR")
    front.wait_gone("SESSIONS")
    clients = []
    for at in range(3):
        client = front.client(port=port)
        if at < 2:
            assert client.ask(b"XCLIENT ADDR=192.0.2.8 PORT=4711").startswith(b"+OK")
            clients.append(client)
        else:  # one too many of that address
            client.send(b"XCLIENT ADDR=192.0.2.8\r\n")
            assert b"+OK" not in client.rest()
    client = front.client(port=port)
    client.send(b"XCLIENT ADDR=192.0.2.99\r\n")
    assert b"+OK" not in client.rest()
    clients[0].send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    assert (asked.address, asked.port) == (four("192.0.2.8"), 4711)
    for client in clients:
        client.close()
    front.wait_gone("SESSIONS", 0)
    assert front.client(port=port).ask(b"XCLIENT ADDR=192.0.2.8").startswith(b"+OK")


# ---- TLS --------------------------------------------------------------------------------------

def test_the_binding_of_a_connection_reaches_auth(make, tls):
    front = make(listen=False, tls=parts(tls))
    port = front.listen(implicit=1, plaintext=0)
    client = secured(front.client(port=port, greet=False), tls, ssl.TLSVersion.TLSv1_2)
    client.line()
    client.send(b"AUTH SCRAM-SHA-1 " + b64(b"n,,n=x,r=y") + b"\r\n")
    asked = front.asked()
    assert asked.tls and asked.binding_kind == 2
    assert asked.binding == client.sock.get_channel_binding("tls-unique")
    seen = set()
    for _ in range(2):
        client = secured(front.client(port=port, greet=False), tls, ssl.TLSVersion.TLSv1_3)
        client.line()
        assert b"SCRAM-SHA-256-PLUS" in mechanisms(client)[0]
        client.send(b"AUTH SCRAM-SHA-256-PLUS " + b64(b"p=tls-exporter,,n=x,r=y") + b"\r\n")
        asked = front.asked()
        assert (asked.mechanism, asked.binding_kind, len(asked.binding)) == (SCRAM_SHA_256_PLUS, 1, 32)
        seen.add(asked.binding)
    assert len(seen) == 2
    # Where -PLUS is not offered there is none, and neither is without TLS.
    port = front.listen(implicit=1, plaintext=0, mechanisms=1 << PASS | 1 << SCRAM_SHA_256)
    client = secured(front.client(port=port, greet=False), tls)
    client.line()
    assert mechanisms(client) == [{b"SCRAM-SHA-256"}]
    client.send(b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=x,r=y") + b"\r\n")
    assert front.asked().binding_kind == 0
    # Nor for a password, which is bound to nothing.
    port = front.listen(implicit=1, plaintext=0)
    client = secured(front.client(port=port, greet=False), tls)
    client.line()
    client.send(b"USER tester\r\nPASS secret\r\n")
    assert front.asked().binding_kind == 0
    client = front.client(port=front.listen())
    assert b"SCRAM-SHA-256-PLUS" not in mechanisms(client)[0]


def test_a_clients_certificate_reaches_auth(make, tls):
    front = make(listen=False, tls=parts(tls))
    der = ssl.PEM_cert_to_DER_cert((tls / "client.pem").read_text())
    port = front.listen(implicit=1, plaintext=0, certificates=1, asserts=CERTIFICATE)
    client = secured(front.client(port=port, greet=False), tls, with_certificate=True)
    client.line()
    assert b"EXTERNAL" in mechanisms(client)[0]
    client.send(b"AUTH EXTERNAL =\r\n")
    asked = front.asked()
    assert (asked.mechanism, asked.has_response, asked.response) == (EXTERNAL, 1, b"")
    assert asked.certificate == hashlib.sha256(der).digest()
    client = secured(front.client(port=port, greet=False), tls)
    client.line()
    assert b"EXTERNAL" not in mechanisms(client)[0]
    # A listener that may not vouch for certificates does not.
    port = front.listen(implicit=1, plaintext=0, certificates=1)
    client = secured(front.client(port=port, greet=False), tls, with_certificate=True)
    client.line()
    client.send(b"USER tester\r\nPASS secret\r\n")
    assert front.asked().certificate == b""


# ---- KPOP -------------------------------------------------------------------------------------

def framed(text):
    return struct.pack(">I", len(text)) + text


HELLO = framed(b"KRB5_SENDAUTH_V1.0\0") + framed(b"KPOPV1.0\0")


@pytest.mark.parametrize("size", [1, 700, 12288])
@pytest.mark.parametrize("reply", [b"", b"AP-REP of some length"])
def test_a_ticket_comes_before_the_greeting(make, size, reply):
    front = make(listen=False)
    client = front.client(port=front.listen(kpop=1, plaintext=0), greet=False)
    client.send(HELLO)
    assert client.take(1) == b"\0"
    request = bytes(i % 251 for i in range(size))
    client.send(framed(request)[:3])
    client.send(framed(request)[3:])
    asked = front.asked()
    assert (asked.mechanism, asked.response, asked.has_response, asked.name) == (KPOP, request, 1, b"")
    assert not readable(client.sock, 0)
    front.challenge(asked.session, reply)
    expected = framed(b"") + (framed(reply) if reply else b"")
    assert client.take(len(expected)) == expected
    assert client.line().startswith(b"+OK")
    assert client.ask(b"USER tester").startswith(b"+OK")
    client.send(b"PASS no matter what\r\n")
    assert front.response() == (asked.session, 0, b"tester")
    let_in(front, client, asked.session)
    assert client.ask(b"STAT").startswith(b"+OK 2 ")


def test_a_ticket_that_is_refused_gets_an_error(make):
    front = make(listen=False)
    port = front.listen(kpop=1)
    client = front.client(port=port, greet=False)
    client.send(HELLO + framed(b"request"))
    began = time.monotonic()
    front.fail(front.asked().session, delay_ms=200)
    data = client.rest()
    assert time.monotonic() - began > 0.15
    assert data[:1] == b"\0" and struct.unpack_from(">I", data, 1)[0] == len(data) - 5
    assert data[5] == 0x7E  # KRB-ERROR
    assert b"POP3" not in data and b"-ERR" not in data
    # The name is another's: the session is over, for the ticket was used.
    client = front.client(port=port, greet=False)
    client.send(HELLO + framed(b"request"))
    asked = front.asked()
    front.challenge(asked.session, b"")
    client.take(5)
    client.line()
    client.send(b"USER other\r\nPASS x\r\n")
    assert front.response() == (asked.session, 0, b"other")
    front.fail(asked.session)
    assert client.line().startswith(b"+OK") and client.line().startswith(b"-ERR [AUTH]")
    assert client.rest() == b""


def test_what_is_no_kpop_is_closed(make):
    front = make(listen=False)
    port = front.listen(kpop=1)
    for said, heard in ((b"USER tester\r\n", b""), (framed(b"KRB5_SENDAUTH_V9.9\0"), b"\1"),
                        (framed(b"KRB5_SENDAUTH_V1.0\0") + framed(b"KPOPV0.1\0"), b"\2"),
                        (HELLO + b"\x00\x00\x30\x01", b"\0"), (HELLO + b"\xff\xff\xff\xff", b"\0")):
        client = front.client(port=port, greet=False)
        client.send(said)
        assert client.rest() == heard
        client.close()
    assert front.count("KPOP_BAD") == 5
    front.wait_gone("SESSIONS")
    assert front.client(port=front.listen()).ask(b"USER tester").startswith(b"+OK")


def test_auth_learns_of_tickets_that_are_given_up(make):
    front = make(listen=False)
    port = front.listen(kpop=1)
    client = front.client(port=port, greet=False)
    client.send(HELLO + framed(b"request"))
    asked = front.asked()
    front.challenge(asked.session, b"")
    client.take(5)
    client.line()
    client.close()
    assert front.response() == (asked.session, 1, b"")
    client = front.client(port=port, greet=False)
    client.send(HELLO + framed(b"request"))
    asked = front.asked()
    reset(client)
    front.wait_gone("SESSIONS")
    front.challenge(asked.session, b"")
    assert front.response() == (asked.session, 1, b"")
    client = front.client(port=port, greet=False)
    client.send(HELLO + framed(b"request"))
    front.asked()
    front.new_auth()
    assert client.rest()[5] == 0x7E


# ---- who and kick --------------------------------------------------------------------------

def test_sessions_are_shown_and_counted(front):
    front.show_who(rows=2)
    client, keeper = front.session(MAIL)
    deadline = time.monotonic() + SECONDS
    (row,) = front.who()
    assert row[:1] + row[2:] == (b"tester", 0, 0, 0, 2, PASS, 0)
    client.send(b"RETR 1\r\n")
    keeper.serve_want()
    size = int(client.line().split()[1])
    while client.line() != b".":
        pass
    client.ask(b"DELE 2")
    while front.who()[0][2:5] != (1, 1, size):
        assert time.monotonic() < deadline, front.who()
    assert client.ask(b"RSET").startswith(b"+OK")
    while front.who()[0][3] != 0:
        assert time.monotonic() < deadline, front.who()
    # More sessions than rows are served all the same; a row that is free is used again.
    others = [front.session(MAIL) for _ in range(2)]
    assert len(front.who()) == 2
    assert others[1][0].ask(b"STAT").startswith(b"+OK")
    client.close()
    while len(front.who()) != 1:
        assert time.monotonic() < deadline
    others.append(front.session(MAIL))
    assert len(front.who()) == 2


def test_a_name_that_is_too_long_is_cut(front):
    front.show_who()
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    assert client.line().startswith(b"+OK")
    let_in(front, client, front.asked().session, user=b"x" * 1000)
    assert front.who()[0][0] == b"x" * 192


def test_a_kick_ends_one_session_and_deletes_nothing(front):
    front.show_who()
    client, keeper = front.session(MAIL)
    other, _ = front.session(MAIL)
    client.ask(b"DELE 1")
    first, second = sorted(row[1] for row in front.who())
    front.kick(0)
    front.kick(second + (1 << 24))
    front.kick(first)
    assert b"+OK" not in client.rest()
    assert keeper.is_closed()  # and no verdict came before
    assert other.ask(b"STAT").startswith(b"+OK 2 ")
    assert [row[1] for row in front.who()] == [second]
    client.close()
    front.wait_gone("SESSIONS", 1)
    assert any(b"kicked" in line for line in front.logged())
