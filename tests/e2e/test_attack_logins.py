"""Attacks on logins: on auth alone, and on its helpers alone, in their cages."""
import base64
import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import threading

import pytest

import helper_alone
from fetch_trial import is_sanitized
from helper_alone import Helper
from identity_provider import AUDIENCE, ISSUER, Provider
from pop import Pop
from postoffice import until
from system_account import service
from test_auth_process import (ANSWER_CHALLENGE, ASK_VERIFY, BUSY, CREDENTIALS, FOUND, GSSAPI, KRB5,
                               LOGIN_MECHANISM, NAME, OAUTH, OAUTHBEARER, SQL, SYSTEM, WRONG, auth)  # noqa: F401
from test_login_timing import scram_keys
from ticket_office import put_mail

O_CLOEXEC = 0o2000000
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
FULLWIDTH_A = "\uff41".encode()


def from_host(n):
    return bytes(10) + b"\xff\xff" + bytes([198, 51, 100, n])


# ---- names that two layers see differently ---------------------------------------------

def test_a_token_of_another_user_whose_name_is_prepared_to_this_one(auth):  # noqa: F811
    """To the identity provider it is a user of his own, who chose that name."""
    a = auth("anna:{PLAIN}x\n")
    h = a.helper(OAUTH)
    for session, name in enumerate((FULLWIDTH_A + b"nna", b"an\xc2\xadna"), start=1):
        a.login(session, b"", b"n,,\x01auth=Bearer tok%d\x01\x01" % session, OAUTHBEARER)
        h.answer(h.asked(), NAME, name=name, valid_s=30)
        assert a.answer()[0] == "challenge", "the refusal of RFC 7628"
        a.respond(session, b"\x01")
        assert a.answer() == ("failed", session, CREDENTIALS)
    a.login(5, b"", b"n,,\x01auth=Bearer good\x01\x01", OAUTHBEARER)
    h.answer(h.asked(), NAME, name=b"anna", valid_s=30)
    assert a.answer()[:2] == ("grant", 5)


def salt_of(office, name):
    p = Pop(office.host, office.pop3)
    try:
        first = b"n,,n=" + name + b",r=abcdefghijklmnop"
        answer = p.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(first))
        fields = base64.b64decode(answer[2:]).split(b",") if answer.startswith(b"+ ") else []
        return dict(f.split(b"=", 1) for f in fields).get(b"s")
    finally:
        p.close()


def test_a_salt_does_not_tell_whose_is_stored_when_auth_is_made_to_end(base, office):
    """The salt of who has stored keys stays, of course: so must everybody's."""
    names = (b"stored", b"plain", b"nobody", b"nobody-else")
    mail = put_mail(base, "all", "x")
    users = base / "users"
    users.write_text("".join(f"{n}:{p}:5000:5000::{base}::userdb_mail=maildir:{mail}\n" for n, p in (
        ("stored", scram_keys("secret")), ("plain", "{PLAIN}secret"))))
    users.chmod(0o644)
    o = office("--users", users, sets={"mail_roots": base})
    before = [salt_of(o, name) for name in names]
    assert None not in before and len(set(before)) == len(names), before
    old, = o.pids("restante-auth")
    os.kill(old, signal.SIGKILL)
    until(lambda: o.pids("restante-auth") not in ([], [old]) and salt_of(o, b"nobody"), 60, o.log)
    assert [salt_of(o, name) for name in names] == before
    o.stop()
    # Another restanted has another key.
    o = office("--users", users, sets={"mail_roots": base})
    after = [salt_of(o, name) for name in names]
    assert [x == y for x, y in zip(before, after)] == [True, False, False, False]


# ---- who waits behind whom -------------------------------------------------------------

def guesses(a, first, n, host, front=1):
    for i in range(n):
        a.login(first + i, b"bob", b"guess%d" % i, address=from_host(host), front=front)


@pytest.mark.parametrize("backend", [SQL, SYSTEM])
def test_guesses_wait_behind_the_right_password_from_a_known_network(auth, backend):  # noqa: F811
    """A helper's queue knows who is suspect, as the queue of hashes does."""
    a = auth("", databases=[backend], queue_max=512, failure_delay_ms=0,
             unseen_cache_s=0)
    h = a.helper(backend)
    line = b"bob:{PLAIN}secret" if backend == SQL else b"bob:"
    a.login(1, b"bob", b"secret")
    h.answer(h.asked(), FOUND, line)
    assert a.answer()[:2] == ("grant", 1)
    for session in range(2, 6):
        a.login(session, b"bob", b"guess", address=from_host(9))
        h.answer(h.asked(), WRONG)
        assert a.answer() == ("failed", session, CREDENTIALS)
    # More at once than the helper takes, and then bob, from where he always comes.
    guesses(a, 100, 20, 9)
    a.login(50, b"bob", b"secret")
    a.login(51, b"ann", b"typo", address=from_host(77))
    secrets = []
    while len(secrets) < 22:
        q = h.asked()
        assert q.kind == ASK_VERIFY
        secrets.append(q.secret)
        h.answer(q, *((FOUND, line) if q.secret == b"secret" else (WRONG,)))
    assert secrets.index(b"secret") <= 4, "behind what the helper had already, and no more"
    assert secrets.index(b"typo") <= 6, "a stranger who did nothing yet goes before a suspect"


def test_a_full_queue_of_a_helper_is_no_way_around_the_delay(auth):  # noqa: F811
    """Asking again at once must cost the server nothing, whichever queue it is that is full."""
    a = auth("", databases=[SQL], queue_max=64, failure_delay_ms=500)
    h = a.helper(SQL)
    for session in range(2, 6):
        a.login(session, b"bob", b"guess", address=from_host(9))
        h.answer(h.asked(), WRONG)
        a.answer()
    guesses(a, 100, 20, 9)
    kind, _, code = a.answer()
    assert (kind, code) == ("failed", BUSY) and a.delay_ms >= 4000


def test_suspects_get_a_turn(auth):  # noqa: F811
    """Who waits behind others waits, but not for ever: he may be right."""
    a = auth("", databases=[SQL], queue_max=256, failure_delay_ms=0)
    h = a.helper(SQL)
    a.login(1, b"bob", b"secret")
    h.answer(h.asked(), FOUND, b"bob:{PLAIN}secret")
    assert a.answer()[:2] == ("grant", 1)
    for session in range(2, 6):
        a.login(session, b"eve", b"guess", address=from_host(9))
        h.answer(h.asked(), WRONG)
        a.answer()
    for session in range(100, 104):
        a.login(session, b"bob", b"secret")
    a.login(200, b"eve", b"right after all", address=from_host(9))
    for session in range(300, 364):
        a.login(session, b"bob", b"secret")
    before = 0
    while True:
        q = h.asked()
        if q.name == b"eve":
            break
        before += 1
        h.answer(q, FOUND, b"bob:{PLAIN}secret")
    assert before < 40
    h.answer(q, FOUND, b"eve:{PLAIN}right after all")


def test_a_front_that_ends_takes_its_questions_along(auth):  # noqa: F811
    a = auth("", databases=[SQL], queue_max=64, failure_delay_ms=0)
    h = a.helper(SQL)
    a.front(2)
    guesses(a, 1, 20, 9, front=2)
    first = [h.asked() for _ in range(4)]
    a.gone(2)
    a.login(1, b"ann", b"x")
    for q in first:
        h.answer(q, WRONG)
    q = h.asked()
    assert q.name == b"ann", "what waited of the front is gone"
    h.answer(q, FOUND, b"ann:{PLAIN}x")
    assert a.answer()[:2] == ("grant", 1)
    assert not select.select([h.sock], [], [], 0.05)[0]


# ---- helpers ---------------------------------------------------------------------------

def test_no_module_of_pam_hands_our_channels_on():
    """Whatever a library starts, it does not get what we speak with monitor, log and auth."""
    h = Helper("pam", {"pam_service": "restante-attack", "pam_ask_unknown": "no"}, uid=0)
    for fd in (3, 4, 5):
        text = open(f"/proc/{h.process.pid}/fdinfo/{fd}").read()
        flags = int(text.split("flags:")[1].split()[0], 8)
        assert flags & O_CLOEXEC, (fd, text)
    assert h.done() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_pam_never_hears_of_root(tmp_path):
    """Guesses at root over POP3 would else count where root's own logins are counted."""
    asked, script = tmp_path / "asked", tmp_path / "script"
    asked.write_text("")
    script.write_text(f'#!/bin/sh\necho "$PAM_USER" >>{asked}\nexit 1\n')
    script.chmod(0o755)
    with service(f"auth required pam_exec.so quiet {script}", "account required pam_permit.so") as name:
        h = Helper("pam", {"pam_service": name, "pam_ask_unknown": "yes"}, uid=0)
        for user in (b"root", b"no-such-user"):
            assert h.verify(user, b"guess").outcome == helper_alone.NO_USER
        assert h.done() == 0
    assert asked.read_text().split() == ["nobody-here", "no-such-user"]


# ---- memory ----------------------------------------------------------------------------

def resident(process):
    text = open(f"/proc/{process.pid}/status").read()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.skipif(is_sanitized(), reason="sanitizers keep freed memory")
@pytest.mark.parametrize("mechanism, first", [(GSSAPI, b"x" * 12288), (LOGIN_MECHANISM, b"y" * 12288)],
                         ids=["gssapi", "login"])
def test_an_open_conversation_keeps_little(auth, mechanism, first):  # noqa: F811
    """As many as may be open at a time are what an attacker opens."""
    a = auth("bob:{PLAIN}x\n", queue_max=64)
    h, kept = a.helper(KRB5), []
    for n in (20, 400):
        before = resident(a.process)
        for session in range(1000 * n, 1000 * n + n):
            a.login(session, b"", first, mechanism)
            if mechanism == GSSAPI:
                h.answer(h.asked(), ANSWER_CHALLENGE, octets_=b"more")
            assert a.answer()[0] == "challenge"
        kept.append((resident(a.process) - before) / n)
    assert kept[1] < 10000, kept


# ---- whom a helper believes ------------------------------------------------------------

def in_namespace(place, target, work):
    """work() as a child for whom `place` is the directory `target`; its status."""
    pid = os.fork()
    if pid > 0:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    libc, status = ctypes.CDLL(None, use_errno=True), 99
    try:
        if libc.unshare(CLONE_NEWNS) == 0 and \
                libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0 and \
                libc.mount(bytes(place), target, None, MS_BIND, None) == 0:
            status = work()
    finally:
        os._exit(status)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_authority_of_the_system_is_none_where_oauth_ca_names_another(tmp_path):
    """Else whoever gets a certificate of any of them makes our keys."""
    certs, other = tmp_path / "certs", tmp_path / "other.pem"
    certs.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj",
                    "/CN=other", "-keyout", "/dev/null", "-out", str(other)],
                   check=True, timeout=60, capture_output=True)
    with Provider(tmp_path) as provider:
        (certs / "provider.pem").write_bytes(provider.ca.read_bytes())
        subprocess.run(["openssl", "rehash", str(certs)], check=True, timeout=60)

        def outcome(ca):
            h = Helper("oauth", {
                "oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_user_claim": "email",
                "oauth_jwks_cache": "10m", "oauth_jwks": provider.url("/keys"), "oauth_ca": ca})
            got = h.token(b"", provider.token()).outcome
            return got if h.done() == 0 else 98
        assert in_namespace(certs, b"/etc/ssl/certs", lambda: outcome(provider.ca)) == helper_alone.NAME
        assert in_namespace(certs, b"/etc/ssl/certs", lambda: outcome(other)) == helper_alone.TEMPORARY


def first_words(listener, heard):
    """A server without TLS; what it hears of a client that asks for TLS first."""
    with listener, contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                heard.append(client.recv(8)[4:])
                client.send(b"N")
                heard.append(client.recv(4096))


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.isdir("/etc/postgresql-common"),
                    reason="needs root, and libpq as Debian has it")
def test_a_service_of_libpq_may_be_elsewhere_too(tmp_path):
    """Its host stands in a file of libpq's own: it may be any, so its certificate must show."""
    listener, heard = socket.create_server(("127.0.0.2", 0)), []
    thread = threading.Thread(target=first_words, args=(listener, heard))
    thread.start()
    place = tmp_path / "libpq"
    place.mkdir()
    (place / "pg_service.conf").write_text(
        f"[mail]\nhost=127.0.0.2\nport={listener.getsockname()[1]}\nuser=mail\ndbname=mail\n")
    os.chmod(tmp_path, 0o755)

    def work():
        h = Helper("sql", {"sql_database": "service=mail", "sql_password_file": "",
                           "sql_query": "SELECT password FROM users WHERE name = $1"})
        got = h.lookup(b"bob").outcome
        return got if h.done() == 0 else 98
    try:
        assert in_namespace(place, b"/etc/postgresql-common", work) == helper_alone.TEMPORARY
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert heard and set(heard) == {b"\x04\xd2\x16\x2f", b""}, "TLS, or not a word"
