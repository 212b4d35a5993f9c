"""restante-auth-krb5 in its cage, with a real KDC: tickets of GSSAPI and KPOP."""
import contextlib
import itertools
import re
import subprocess

import pytest

import ticket_office

from fetch_dovecot import Program, Realm
from helper_alone import (CHALLENGE, KPOP, LANDLOCK, NAME, NO_USER, SECCOMP, TEMPORARY,
                          WRONG, Failed, Helper)
from kerberos_client import Ticket
from postoffice import BUILD, until

talks = itertools.count(1)


@pytest.fixture(scope="module")
def realm(module_base):
    r = Realm(module_base)
    for query in ("addprinc -pw secret berta", "addprinc -pw secret anna/admin",
                  "addprinc -randkey host/localhost", "addprinc -randkey imap/localhost",
                  f"ktadd -k {r.keytab} host/localhost", f"ktadd -k {r.keytab} imap/localhost",
                  f"ktadd -k {r.base}/other.keytab imap/localhost"):
        r.run("kadmin.local", "-q", query)
    r.keytab.chmod(0o600)  # the helper reads it before it becomes another user
    yield r
    r.stop()


def settings(realm, **more):
    return {"krb5_keytab": realm.keytab, "krb5_realm": "EXAMPLE.TEST", "krb5_hostname": "localhost",
            "krb5_config": realm.env["KRB5_CONFIG"], **more}


@pytest.fixture
def start(realm):
    made = []

    def make(**more):
        made.append(Helper("krb5", settings(realm, **more)))
        return made[-1]
    yield make
    for h in made:
        assert h.done() == 0


def gssapi(h, env, authzid="", service="pop"):
    """The last answer of a whole conversation."""
    client, talk = Ticket(env, "gssapi", service, "localhost", authzid), next(talks)
    try:
        for _ in range(6):
            a = h.step(talk, client.octets())
            if a.outcome != CHALLENGE:
                return a
            client.give(a.octets)
        raise AssertionError("no end")
    finally:
        client.done()


def kpop(h, env, service="pop", *more):
    client = Ticket(env, "kpop", service, "localhost", *more)
    request = client.octets()
    a = h.step(next(talks), request, mechanism=KPOP)
    client.give(a.octets)
    proved = client.line()
    client.done()
    return a, proved, request


def test_gssapi(realm, start):
    h = start()
    assert h.cage & SECCOMP and h.cage & LANDLOCK
    a = gssapi(h, realm.ticket())
    assert (a.outcome, a.name, a.valid_s, a.line) == (NAME, b"anna", 0, b""), a
    for user in ("berta", "anna", "berta"):
        assert gssapi(h, realm.ticket(user)).name == user.encode()


def test_gssapi_authorization(realm, start):
    h = start()
    ticket = realm.ticket()
    assert gssapi(h, ticket, "anna").outcome == NAME
    assert gssapi(h, ticket, "anna@EXAMPLE.TEST").outcome == NAME
    for other in ("berta", "ann", "annaa", "Anna", "anna@OTHER.TEST"):
        a = gssapi(h, ticket, other)
        assert (a.outcome, a.name) == (WRONG, b"") and b"another user" in a.reason, a


def test_names(realm, start):
    h = start(krb5_full_names="yes")
    assert gssapi(h, realm.ticket()).name == b"anna@EXAMPLE.TEST"
    a, proved, _ = kpop(h, realm.ticket())
    assert (a.name, proved) == (b"anna@EXAMPLE.TEST", "ok")
    h = start()
    cache = realm.base / "ticket-admin"
    realm.run("kinit", "-c", cache, "anna/admin", input=b"secret\n")
    admin = {"KRB5_CONFIG": realm.env["KRB5_CONFIG"], "KRB5CCNAME": f"FILE:{cache}"}
    for a in (gssapi(h, admin), kpop(h, admin)[0]):
        assert (a.outcome, a.name, a.octets) == (WRONG, b"", b"") and b"more than one" in a.reason
    h = start(krb5_realm="OTHER.TEST")
    for a in (gssapi(h, realm.ticket()), kpop(h, realm.ticket())[0]):
        assert (a.outcome, a.name, a.octets) == (WRONG, b"", b"") and b"realm" in a.reason


def test_gssapi_that_is_none(realm, start):
    h = start()
    for octets in (b"x", b"\0" * 12288, b"\x60\x82\xff\xff", b"\x6e" + b"\x80" * 100):
        a = h.step(next(talks), octets)
        assert a.outcome == WRONG and a.name == b"", a
    # Halfway, and then nonsense; and a talk that goes on after its end.
    client, talk = Ticket(realm.ticket(), "gssapi", "pop", "localhost"), next(talks)
    first = client.octets()
    assert h.step(talk, first).outcome == CHALLENGE
    assert h.step(talk, b"\5" * 40).outcome in (WRONG, CHALLENGE)
    a = h.step(talk, b"\5" * 40)
    assert a.outcome == WRONG
    client.done()
    # What was said in one conversation proves nothing in another.
    client, talk = Ticket(realm.ticket(), "gssapi", "pop", "localhost"), next(talks)
    said = []
    while True:
        said.append(client.octets())
        a = h.step(talk, said[-1])
        if a.outcome != CHALLENGE:
            break
        client.give(a.octets)
    assert a.outcome == NAME
    client.done()
    again = next(talks)
    assert [h.step(again, s).outcome for s in said][-1] == WRONG


def test_many_talks_that_stay_open(realm, start):
    h = start()
    client = Ticket(realm.ticket(), "gssapi", "pop", "localhost")
    first = client.octets()
    client.done()
    for _ in range(300):
        assert h.step(next(talks), first).outcome == CHALLENGE
    assert gssapi(h, realm.ticket()).outcome == NAME
    h.end(1)
    h.new_channel()
    assert gssapi(h, realm.ticket()).outcome == NAME


def test_kpop(realm, start):
    h = start()
    for user in ("anna", "berta"):
        a, proved, request = kpop(h, realm.ticket(user))
        assert (a.outcome, a.name, proved) == (NAME, user.encode(), "ok"), a
        a = h.step(next(talks), request, mechanism=KPOP)
        assert (a.outcome, a.name, a.octets) == (WRONG, b"", b"") and b"sent before" in a.reason, a
    # Octets that nobody signed may be changed: it is the same request still.
    changed = bytearray(request)
    at = changed.index(bytes.fromhex("030500")) + 3
    changed[at] ^= 0x20
    a = h.step(next(talks), bytes(changed), mechanism=KPOP)
    assert a.outcome == WRONG and b"sent before" in a.reason, a
    a, proved, _ = kpop(h, realm.ticket(), "host")
    assert (a.name, proved) == (b"anna", "ok")
    a = kpop(h, realm.ticket(), "pop", "plain")[0]
    assert (a.outcome, a.name, a.octets) == (NAME, b"anna", b"")


def test_kpop_that_is_none(realm, start):
    h = start()
    a, _, request = kpop(h, realm.ticket(), "imap")
    assert a.outcome == WRONG and b"another service" in a.reason
    client = Ticket(realm.ticket(), "kpop", "pop", "localhost")
    good = client.octets()
    for octets in (b"", b"x", b"\x6e\x84\xff\xff\xff\xff", b"\0" * 12288, good[:-1],
                   good[:-20] + bytes(20), good[:len(good) // 2]):
        a = h.step(next(talks), octets, mechanism=KPOP)
        assert (a.outcome, a.name, a.octets) == (WRONG, b"", b""), a
    assert h.step(next(talks), good, mechanism=KPOP).outcome == NAME
    client.give(b"")
    client.done()


def test_kpop_with_what_gssapi_said(realm, start):
    h = start()
    for service in ("pop", "host"):
        client = Ticket(realm.ticket(), "gssapi", service, "localhost")
        token = client.octets()
        client.done()
        # RFC 4121 s.4.1: 0x60, a length, the OID, 01 00, and then the AP-REQ as it is.
        a = h.step(next(talks), token[token.index(b"\x01\x00\x6e") + 2:], mechanism=KPOP)
        assert (a.outcome, a.name, a.octets) == (WRONG, b"", b"") and b"GSSAPI" in a.reason, a


def test_request_from_before_the_start(realm, start):
    client = Ticket(realm.ticket(), "kpop", "pop", "localhost")
    request = client.octets()
    h = start()
    a = h.step(next(talks), request, mechanism=KPOP)
    assert a.outcome == TEMPORARY and b"older" in a.reason
    client.give(b"")
    client.done()


def test_it_needs_no_kdc(realm, start):
    h = start()
    ticket = realm.ticket()
    assert gssapi(h, ticket).outcome == NAME
    client = Ticket(ticket, "kpop", "pop", "localhost")
    request = client.octets()
    realm.stop()
    try:
        assert h.step(next(talks), request, mechanism=KPOP).outcome == NAME
        assert gssapi(h, ticket).outcome == NAME
    finally:
        realm.program = Program(["krb5kdc", "-n"], realm.env, realm.base / "log")
        realm.program.wait_for_port(realm.port)
    client.give(b"")
    client.done()


def test_other_questions(realm, start):
    h = start()
    assert h.lookup(b"anna").outcome == NO_USER
    assert h.verify(b"anna", b"secret").outcome == NO_USER
    a = h.step(0, b"x")
    assert a.outcome in (WRONG, TEMPORARY)


def test_bad_settings(realm):
    for more, words in (({"krb5_keytab": ""}, "absolute"), ({"krb5_keytab": "/nowhere"}, "keytab"),
                        ({"krb5_realm": ""}, "krb5_realm"),
                        ({"krb5_hostname": "elsewhere.test"}, "elsewhere.test"),
                        ({"krb5_keytab": realm.base / "other.keytab"}, "pop/localhost")):
        with pytest.raises(Failed, match=words):
            Helper("krb5", settings(realm, **more))


# ---- a whole office ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def kerberos_office(realm, module_base, module_office):
    users, lines = module_base / "users", []
    for name in ("anna", "berta"):
        mail = ticket_office.put_mail(module_base, name, f"for {name}")
        lines.append(f"{name}:{{PLAIN}}{name}-word:5000:5000::{module_base}::"
                     f"userdb_mail=maildir:{mail}\n")
    users.write_text("".join(lines))
    users.chmod(0o644)
    return module_office("--users", users, "--kpop", "127.0.0.1:0", sets={
        **settings(realm), "mail_roots": module_base, "login_failure_delay": "0"})


def login(o, env, authzid="", service="pop"):
    client = Ticket(env, "gssapi", service, "localhost", authzid)

    def steps():
        while True:
            client.give((yield client.octets()))
    try:
        return ticket_office.conversation(o, "GSSAPI", steps())
    finally:
        client.done()


def test_office(realm, kerberos_office):
    o = kerberos_office
    for name in ("anna", "berta", "anna"):
        got, p = login(o, realm.ticket(name))
        assert got.startswith(b"+OK"), o.log()
        ticket_office.reads_own(p, f"for {name}")
        p.close()
    got, p = login(o, realm.ticket("anna"), "berta")
    assert got.startswith(b"-ERR [AUTH]")
    p.close()
    # A good ticket of somebody who has no mail here.
    realm.run("kadmin.local", "-q", "addprinc -pw secret carla")
    got, p = login(o, realm.ticket("carla"))
    assert got.startswith(b"-ERR [AUTH]")
    p.close()


def test_office_with_our_retriever(realm, kerberos_office, base):
    o = kerberos_office
    (base / "state").mkdir()
    conf = base / "fetch.conf"
    conf.write_text(f"[account a]\nserver = localhost:{o.pop3}\nuser = anna\ntls = stls\n"
                    f"ca = {o.ca}\nauth = gssapi\ndeliver = maildir:{base}/in\nkeep = yes\n")
    conf.chmod(0o600)
    # libgssglue asks a mechanism for its names, and forgets them.
    (base / "leaks").write_text("leak:libgssapi_krb5\nleak:libgssglue\n")
    leaks = {"LSAN_OPTIONS": f"suppressions={base}/leaks:print_suppressions=0"}
    got = subprocess.run([BUILD / "restante", "fetch", "--config", conf, "--state", base / "state"],
                         env=realm.ticket() | leaks, capture_output=True, timeout=60)
    assert got.returncode == 0, (got.stdout.decode(), got.stderr.decode(), o.log())
    assert b"for anna" in next((base / "in" / "new").iterdir()).read_bytes()


def kpop_port(o):
    return int(re.search(r"kpop=127\.0\.0\.1:(\d+)", o.log() + o.ready).group(1))


def fetchmail(realm, o, base, user, env):
    rc = base / f"fetchmailrc-{user}"
    rc.write_text(f"poll localhost with proto KPOP auth kerberos_v5 "
                  f"user {user} password x sslproto '' keep fetchall "
                  f"mda 'cat >> {base}/got-{user}'\n")
    rc.chmod(0o600)
    # It wants the port by its name, which not every machine knows: a file of its own says.
    services = base / "services"
    services.write_text(f"kpop {kpop_port(o)}/tcp\n")
    private = ["unshare", "-m", "sh", "-c",
               f'mount --bind {services} /etc/services && exec "$@"', "sh"]
    return subprocess.run([*private, "fetchmail", "-v", "-v", "--nosyslog", "-f", rc, "-i", base / "ids",
                           "--pidfile", base / "pid"],
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(base), **env},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


def test_kpop_by_fetchmail(realm, kerberos_office, base):
    o = kerberos_office
    got = fetchmail(realm, o, base, "anna", realm.ticket("anna"))
    assert got.returncode == 0, (got.stdout.decode(), got.stderr.decode(), o.log())
    assert b"for anna" in (base / "got-anna").read_bytes()
    # Another user's name with that ticket, and no ticket at all.
    got = fetchmail(realm, o, base, "berta", realm.ticket("anna"))
    assert got.returncode != 0 and not (base / "got-berta").exists()
    none = {"KRB5_CONFIG": realm.env["KRB5_CONFIG"], "KRB5CCNAME": f"FILE:{base}/none"}
    assert fetchmail(realm, o, base, "berta", none).returncode != 0


def test_office_without_its_helper(realm, kerberos_office):
    o = kerberos_office
    for pid in o.pids("restante-auth-krb5"):
        with contextlib.suppress(ProcessLookupError):
            subprocess.run(["kill", "-9", str(pid)], check=True)

    def again():
        got, p = login(o, realm.ticket())
        p.close()
        assert got.startswith((b"+OK", b"-ERR [SYS/TEMP]", b"-ERR")), got
        return got.startswith(b"+OK")
    until(again, 60)
