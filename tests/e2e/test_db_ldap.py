"""restante-auth-ldap with a slapd that is killed in the middle."""
import base64
import hashlib
import os
import select
import signal
import socket
import subprocess
import time

import pytest

import databases
from helper_alone import (FOUND, LANDLOCK, LOOKUP, NO_USER, SECCOMP, TEMPORARY, USER, VERIFY, WRONG,
                          Failed, Helper)
from postoffice import suspend, until
from test_db_sql import NAMES

BASE = "ou=people,dc=example,dc=org"
ATTRIBUTES = "uid=name uidNumber=uid gidNumber=gid homeDirectory=home userPassword=password"


def ssha(word):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(word + b"salt").digest() + b"salt").decode()


def person(rdn, uid, number, password=None, more="", value=None):
    """One entry. password: as it stands in the directory; value: uid where it needs base64."""
    lines = [f"dn: {rdn},{BASE}", "objectClass: inetOrgPerson", "objectClass: posixAccount",
             f"uidNumber: {number}", f"gidNumber: {number}", f"homeDirectory: /home/{number}", "sn: x"]
    if not rdn.startswith("cn="):
        lines.append("cn: x")
    else:
        lines.append("cn: " + rdn[3:])
    lines += ["uid: " + u for u in ([uid] if isinstance(uid, str) else uid)]
    if password is not None:
        lines.append("userPassword:: " + base64.b64encode(password.encode()).decode())
    return "\n".join(lines) + ("\n" + more if more else "") + "\n\n"


ENTRIES = ("dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n"
           f"dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
           "dn: cn=reader,dc=example,dc=org\nobjectClass: organizationalRole\n"
           "objectClass: simpleSecurityObject\ncn: reader\nuserPassword: readerword\n\n" +
           person("uid=bob", "bob", 1001, ssha(b"secret")) +
           person("uid=bobby", "bobby", 1002, ssha(b"other"), more="mail: bobby@example.org") +
           person("uid=bob@example.org", "bob@example.org", 1003, ssha(b"mail")) +
           person("cn=star", "a*b(c)\\d", 1004, "{PLAINTEXT}x") +
           person("cn=clear", "clear", 1005, "word: with {colon}") +
           person("cn=md5", "md5", 1006, "{MD5}" + base64.b64encode(hashlib.md5(b"x").digest()).decode()) +
           person("cn=none", "none", 1007) +
           person("cn=twice1", "twice", 1008, ssha(b"a")) +
           person("cn=twice2", "twice", 1009, ssha(b"b")) +
           person("cn=many", ["many", "alias"], 1010, ssha(b"many")) +
           person("cn=words", "words", 1011, ssha(b"one"), more="userPassword: {SSHA}x"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    d = tmp_path_factory.mktemp("cert")
    cert, key = str(d / "cert.pem"), str(d / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def server(certificate):
    s = databases.Slapd(ENTRIES, certificate)
    yield s
    s.close()


@pytest.fixture
def settings(server, tmp_path, certificate):
    word = tmp_path / "word"
    word.write_text("readerword\n")
    word.chmod(0o600)
    # The helper reads it as another user.
    ca = os.path.join(server.dir, "ca.pem")
    with open(certificate[0]) as source, open(ca, "w") as f:
        f.write(source.read())
    os.chmod(ca, 0o644)

    def of(**more):
        return dict({"ldap_uri": server.uri(), "ldap_starttls": "remote", "ldap_ca": ca,
                     "ldap_bind_dn": "cn=reader,dc=example,dc=org", "ldap_bind_password_file": word,
                     "ldap_base": BASE, "ldap_scope": "sub",
                     "ldap_filter": "(&(objectClass=posixAccount)(uid=%u))", "ldap_auth_bind": "yes",
                     "ldap_attributes": ATTRIBUTES}, **more)
    return of


@pytest.fixture
def helper(settings):
    running = []

    def start(timeout_ms=60000, **more):
        running.append(Helper("ldap", settings(**more), timeout_ms=timeout_ms))
        return running[-1]
    yield start
    for h in running:
        assert h.done() == 0, "it ends in order when the monitor is gone"


BOB = b"bob::1001:1001::/home/1001::"


def test_the_directory_checks_the_password(helper):
    h = helper()
    assert h.cage & SECCOMP and h.cage & LANDLOCK and (os.geteuid() != 0 or h.cage & USER)
    a = h.verify(b"bob", b"secret")
    assert (a.outcome, a.line, a.name) == (FOUND, BOB, b"")
    for word in b"secre", b"secret ", b"Secret", b"other", b"*", b"{SSHA}", b"\xff":
        a = h.verify(b"bob", word)
        assert (a.outcome, a.line) == (WRONG, b""), word
    assert h.verify(b"nobody", b"secret").outcome == NO_USER
    assert h.lookup(b"bob").line == BOB, "delivery needs no password"
    assert h.lookup(b"nobody").outcome == NO_USER


def test_an_empty_password_is_never_a_bind(helper):
    """RFC 4513 s.5.1.2: such a bind succeeds. slapd allows none, others do."""
    h = helper()
    for word in b"", b"\0", b"\0secret", b"secret\0":
        for name in b"bob", b"none":
            a = h.verify(name, word)
            assert (a.outcome, a.line) == (WRONG, b"")
        assert h.verify(b"nobody", word).outcome == NO_USER


class Eager:
    """A directory that answers yes to every bind, and counts them."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.names, self.open = [], []

    def uri(self):
        return f"ldap://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve_until(self, ready):
        while True:
            readable, _, _ = select.select([self.socket, ready] + self.open, [], [], 10)
            assert readable, "nothing came in time"
            if ready in readable:
                return
            for s in readable:
                if s is self.socket:
                    self.open.append(s.accept()[0])
                    continue
                data = s.recv(65536)
                if not data:
                    self.open.remove(s)
                    s.close()
                elif data[0] == 0x30:
                    self.answer(s, data)

    def answer(self, s, data):
        number, kind = data[2:5], data[5]
        if kind == 0x60:
            n = data[11]
            self.names.append(data[12:12 + n])
            s.sendall(b"\x30\x0c" + number + b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00")
        elif kind == 0x63 or data[3] == 0x63:
            entry = b"\x04\x05cn=ro" + b"\x30\x00"
            body = b"\x64" + bytes([len(entry)]) + entry
            s.sendall(b"\x30" + bytes([3 + len(body)]) + number + body)
            s.sendall(b"\x30\x0c" + number + b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00")

    def close(self):
        for s in self.open + [self.socket]:
            s.close()


def test_a_directory_that_says_yes_to_all_is_not_asked_without_a_password(helper):
    eager = Eager()
    h = helper(ldap_uri=eager.uri(), ldap_bind_dn="", ldap_bind_password_file="",
               ldap_attributes="")
    try:
        for word in b"", b"\0":
            question = h.send_ask(VERIFY, b"bob", word)
            eager.serve_until(h.auth)
            assert h.answer(question).outcome == WRONG
        assert eager.names == []
        question = h.send_ask(VERIFY, b"bob", b"x")
        eager.serve_until(h.auth)
        assert h.answer(question).outcome == FOUND
        assert eager.names == [b"cn=ro"]
        question = h.send_ask(VERIFY, b"bad:name", b"x")
        eager.serve_until(h.auth)
        a = h.answer(question)
        assert (a.outcome, a.line) == (NO_USER, b""), "a yes for nobody lets nobody in"
        assert len(eager.names) == 2 and eager.names[1].startswith(b"cn=restante-nobody,")
    finally:
        eager.close()


def test_names_are_data(helper):
    h = helper()
    for name in NAMES + [b"bob)(uid=*", b"*)(uid=*))(|(uid=*", b"bob)(|(objectClass=*)", b"bo\\62",
                         b"\\62ob", b"(", b")", b"&", b"|"]:
        a = h.verify(name, b"secret")
        assert a.outcome == NO_USER and a.line == b"", name
    assert h.lookup(b"a*b(c)\\d").line.startswith(b"a*b(c)\\d::1004:")
    assert h.verify(b"bob", b"secret").line == BOB
    assert not h.logged()


def test_two_users_with_like_names_are_never_mixed(helper):
    h = helper()
    for _ in range(3):
        for name, word, uid in (b"bob", b"secret", b"1001"), (b"bobby", b"other", b"1002"), \
                (b"bob@example.org", b"mail", b"1003"):
            a = h.verify(name, word)
            assert a.outcome == FOUND and a.line.split(b":")[:3] == [name, b"", uid]
    assert h.verify(b"bob", b"other").outcome == WRONG
    assert h.verify(b"bob", b"mail").outcome == WRONG
    for name in b"Bob", b"BOB", b" bob", b"bob ":
        assert h.verify(name, b"secret").outcome == NO_USER, "the directory finds bob, but it is not he"


def test_several_names_and_several_entries(helper):
    h = helper()
    for name in b"many", b"alias":
        assert h.verify(name, b"many").line == name + b"::1010:1010::/home/1010::"
    a = h.verify(b"twice", b"a")
    assert (a.outcome, a.line) == (TEMPORARY, b"") and b"more than one entry" in a.reason


def test_the_hash_is_read_where_that_is_wanted(server, helper, tmp_path):
    root = tmp_path / "root"
    root.write_text(server.root_word)
    root.chmod(0o600)
    h = helper(ldap_auth_bind="no", ldap_bind_dn=server.root, ldap_bind_password_file=root)
    a = h.verify(b"bob", b"anything")
    assert a.outcome == FOUND and a.line == f"bob:{ssha(b'secret')}:1001:1001::/home/1001::".encode()
    plain = base64.b64encode(b"word: with {colon}").decode()
    assert h.lookup(b"clear").line.split(b":")[1] == f"{{PLAIN.b64}}{plain}".encode()
    assert h.lookup(b"md5").line.split(b":")[1].startswith(b"{LDAP-MD5}")
    for a in h.verify(b"none", b""), h.lookup(b"none"):
        assert a.line.split(b":")[1] == b"!", "an empty field would mean that it was right"
    a = h.lookup(b"words")
    assert a.outcome == TEMPORARY and b"more than one value" in a.reason


def test_a_hash_that_may_not_be_read_lets_nobody_in(helper):
    h = helper(ldap_auth_bind="no")
    assert h.verify(b"bob", b"secret").line.split(b":")[1] == b"!"


def test_fields_of_other_attributes(helper):
    h = helper(ldap_filter="(mail=%n@%d)", ldap_attributes="mail=name,uid=userdb_mail,uidNumber=uid")
    assert h.verify(b"bobby@example.org", b"other").line == \
        b"bobby@example.org::1002:::::userdb_mail=bobby"
    assert h.verify(b"bobby", b"other").outcome == NO_USER


def test_killed_and_restarted(server, helper):
    h = helper()
    assert h.verify(b"bob", b"secret").outcome == FOUND
    server.kill()
    for _ in range(5):
        for name, word in (b"bob", b"secret"), (b"bob", b"wrong"), (b"nobody", b"x"):
            a = h.verify(name, word)
            assert (a.outcome, a.line) == (TEMPORARY, b"")
    assert h.log_line("database_lost")
    server.start()
    deadline = time.monotonic() + 60
    while (a := h.verify(b"bob", b"secret")).outcome == TEMPORARY and time.monotonic() < deadline:
        pass
    assert a.line == BOB
    assert h.log_line("database_back")
    assert h.verify(b"bob", b"wrong").outcome == WRONG


def test_restarted_between_two_questions_is_not_noticed(server, helper):
    h = helper()
    assert h.verify(b"bob", b"secret").outcome == FOUND
    server.restart()
    assert h.verify(b"bob", b"secret").line == BOB
    assert h.verify(b"bob", b"wrong").outcome == WRONG


def test_a_directory_that_hangs_is_temporary_within_the_time(server, helper):
    h = helper(timeout_ms=800)
    until(lambda: h.verify(b"bob", b"secret").outcome == FOUND)
    suspend(server.process.pid)
    try:
        begin = time.monotonic()
        for _ in range(2):
            assert h.verify(b"bob", b"secret").outcome == TEMPORARY
        assert time.monotonic() - begin < 30
        question = h.send_ask(LOOKUP, b"bob")
    finally:
        server.process.send_signal(signal.SIGCONT)
    h.answer(question)
    deadline = time.monotonic() + 60
    while (a := h.verify(b"bob", b"secret")).outcome == TEMPORARY and time.monotonic() < deadline:
        pass
    assert a.line == BOB


def test_tls(server, helper):
    h = helper(ldap_uri=f"ldaps://127.0.0.1:{server.tls_port}")
    assert h.verify(b"bob", b"secret").line == BOB
    # Schemes are written in any case (RFC 3986 s.3.1).
    h = helper(ldap_uri=f"LDAPS://127.0.0.1:{server.tls_port}")
    assert h.verify(b"bob", b"secret").line == BOB
    h = helper(ldap_uri=f"LDAPS://127.0.0.1:{server.tls_port}",
               ldap_ca="/etc/ssl/certs/ca-certificates.crt")
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY
    h = helper(ldap_starttls="yes")
    assert h.verify(b"bob", b"secret").line == BOB
    assert h.verify(b"bob", b"wrong").outcome == WRONG


def test_a_certificate_of_nobody_is_refused(server, helper):
    h = helper(ldap_uri=f"ldaps://127.0.0.1:{server.tls_port}",
               ldap_ca="/etc/ssl/certs/ca-certificates.crt")
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY
    h = helper(ldap_starttls="yes", ldap_ca="/etc/ssl/certs/ca-certificates.crt")
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY


def test_a_certificate_of_another_host_is_refused(server, helper):
    socket.create_connection(("127.0.0.2", server.tls_port), 60).close()
    h = helper(ldap_uri=f"ldaps://127.0.0.2:{server.tls_port}")
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY


def test_by_unix_socket(server, helper):
    h = helper(ldap_uri=server.unix_uri())
    assert h.verify(b"bob", b"secret").line == BOB


def test_a_wrong_service_password_is_temporary(helper, tmp_path):
    word = tmp_path / "wrong"
    word.write_text("wrongword\n")
    word.chmod(0o600)
    h = helper(ldap_bind_password_file=word)
    a = h.verify(b"bob", b"secret")
    assert a.outcome == TEMPORARY and b"ldap_bind_dn" in a.reason
    assert b"wrongword" not in str(h.logged()).encode()


def test_a_base_that_is_not_there_is_temporary(helper):
    a = helper(ldap_base="ou=none,dc=example,dc=org").verify(b"bob", b"secret")
    assert a.outcome == TEMPORARY and b"ldap_base" in a.reason


@pytest.mark.parametrize("more, what", [
    ({"ldap_filter": "(uid=bob)"}, "every name"),
    ({"ldap_filter": "uid=%u"}, "parentheses"),
    ({"ldap_filter": "(uid=%x)"}, "no others"),
    ({"ldap_filter": "(o=%d)"}, "every name"),
    ({"ldap_uri": ""}, "empty"),
    ({"ldap_uri": "http://x"}, "no URI"),
    ({"ldap_uri": "ldap://a ldaps://b", "ldap_starttls": "yes"}, "alone"),
    ({"ldap_base": ""}, "ldap_base"),
    ({"ldap_bind_password_file": ""}, "needs"),
    ({"ldap_attributes": "uid"}, "pairs"),
    ({"ldap_attributes": "uid=name,cn=name"}, "twice"),
])
def test_settings_that_cannot_be_right_stop_the_start(settings, more, what):
    with pytest.raises(Failed, match=what):
        Helper("ldap", settings(**more))
