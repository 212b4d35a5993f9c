"""Each option that others script against, with a server that shows what it changes."""
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "privs"))

from house import ROOT, Client, House, status, until  # noqa: E402

MAIL = [b"Subject: %d\n\nbody %d\n" % (i, i) for i in range(3)]
USERS = {"anna": ("secret", 5000, MAIL), "bert": ("secret", 5000, MAIL),
         "carl@example.org": ("secret", None, MAIL)}


def session(h, name="anna"):
    c = h.connect()
    assert c.login(name, "secret").startswith(b"+OK"), h.log()
    return c


def quits(*clients):
    for c in clients:
        assert c.say("QUIT").startswith(b"+OK")
        c.close()


def capa(h):
    c = h.connect()
    out = [line.strip().decode() for line in c.multi("CAPA")]
    quits(c)
    return out


def is_closed(c, seconds=10):
    c.s.settimeout(seconds)
    return c.f.read() == b""


# ---- a row: option, its value, and what must be seen then --------------------------

def maildrop(h):
    box = h.mail / "by" / "example.org" / "carl"
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
    (box / "new" / "1.one").write_bytes(b"Subject: elsewhere\n\nx\n")
    for p in [h.mail / "by", *(h.mail / "by").rglob("*")]:
        os.chown(p, 5000, 5000)
    c = session(h, "carl@example.org")
    assert c.say("STAT").startswith(b"+OK 1 ")
    quits(c)


def mail_owner(h):
    c = session(h, "carl@example.org")
    ids = {(s["Uid"].split()[0], s["Gid"].split()[0])
           for s in map(status, h.children("restante-keeper"))}
    # The maildrop is carl's own number, as are its processes.
    assert ids == {("5000", "5000")}
    quits(c)


def other_owner(number):
    def look(h):
        os.chown(h.mail / "carl@example.org", *number)
        for p in (h.mail / "carl@example.org").rglob("*"):
            os.chown(p, *number)
        c = session(h, "carl@example.org")
        ids = {(s["Uid"].split()[0], s["Gid"].split()[0])
               for s in map(status, h.children("restante-keeper"))}
        assert ids == {tuple(map(str, number))}
        quits(c)
    return look


def fronts(n):
    return lambda h: until(lambda: len(h.children("restante-front")) == n, 10, f"{n} fronts")


def front_sessions(h):
    held = [h.connect() for _ in range(2)]
    said = Client(h.port).greeting
    assert said.startswith(b"-ERR [SYS/TEMP] too many connections, try again"), said
    quits(*held)
    h.connect().close()


def keepers(n):
    def look(h):
        held = [session(h, "anna"), session(h, "bert")]
        assert len(h.children("restante-keeper")) == n
        quits(*held)
    return look


def closes_after(least, most, login):
    def look(h):
        c = session(h) if login else h.connect()
        start = time.monotonic()
        # Silent after login (RFC 1939 s.3); the time-out deletes nothing.
        if login:
            assert c.say("DELE 1").startswith(b"+OK")
            assert is_closed(c)
        else:
            c.rest()
        assert least <= time.monotonic() - start < most
        c.close()
        assert len(list((h.mail / "anna" / "new").iterdir())) == len(MAIL)
    return look


def stays_open(seconds, login):
    """What others close after a second is there after two of these."""
    def look(h):
        c = session(h) if login else h.connect()
        c.s.settimeout(seconds)
        with pytest.raises(TimeoutError):
            c.s.recv(1)
        c.s.settimeout(10)
        c.s.sendall(b"CAPA\r\n")
        assert c.s.recv(3) == b"+OK"
        c.close()
    return look


def bad_commands(n):
    def look(h):
        c = h.connect()
        said = [c.say("NONSENSE") for _ in range(n)]
        assert all(x.startswith(b"-ERR") for x in said)
        c.s.sendall(b"NONSENSE\r\n")
        rest = c.rest()
        assert rest == b"" or rest.startswith(b"-ERR"), rest
        assert rest.count(b"\n") <= 1
        c.close()
    return look


def login_failures(n):
    def look(h):
        c = h.connect()
        for _ in range(n):
            assert c.login("anna", "wrong").startswith(b"-ERR [AUTH]")
        assert is_closed(c)
        c.close()
    return look


def failure_takes(least, most):
    def look(h):
        c = h.connect()
        c.say("USER anna")
        start = time.monotonic()
        assert c.say("PASS wrong").startswith(b"-ERR [AUTH]")
        assert least <= time.monotonic() - start < most
        c.close()
    return look


def login_delay(h):
    assert "LOGIN-DELAY 3600" in capa(h)
    quits(session(h))
    c = h.connect()
    assert c.login("anna", "secret").startswith(b"-ERR [LOGIN-DELAY]")
    assert c.login("bert", "secret").startswith(b"+OK")
    quits(c)


def no_login_delay(h):
    assert not [x for x in capa(h) if x.startswith("LOGIN-DELAY")]
    for _ in range(3):
        quits(session(h))


def per_address(h):
    held = [h.connect(), h.connect()]
    said = Client(h.port).greeting
    assert said.startswith(b"-ERR [SYS/TEMP] too many connections from your address"), said
    quits(held.pop())
    until(lambda: Client(h.port).greeting.startswith(b"+OK"), 10, "room again")
    quits(*held)


def second_login(h):
    c = h.connect()
    said = c.login("anna", "secret")
    c.close()
    return said


def per_user(many):
    """The holder of the maildrop does not count: who comes second waits a while for him to
    go, and who comes third is one too many."""
    def look(h):
        held = session(h)
        others = [h.connect(), h.connect()]
        for c in others:
            c.say("USER anna")
        for c in others:
            c.s.sendall(b"PASS secret\r\n")
        said = [c.f.readline() for c in others]
        assert all(x.startswith(b"-ERR [IN-USE]") for x in said), said
        assert sum(b"too many" in x for x in said) == (1 if many else 0), said
        quits(held, *others)
        quits(session(h))
    return look


def locked(h):
    c = session(h)
    said = second_login(h)
    assert said.startswith(b"-ERR [IN-USE]") and b"too many" not in said, said
    assert c.say("NOOP").startswith(b"+OK")
    quits(c)


def takeover(h):
    c = session(h)
    assert c.say("DELE 1").startswith(b"+OK")
    # Who waits long enough gets it: until then it is in use.
    until(lambda: second_login(h).startswith(b"+OK"), 15, "taken over")
    assert is_closed(c)
    c.close()
    assert len(list((h.mail / "anna" / "new").iterdir())) == len(MAIL)


def seen(wanted):
    def look(h):
        c = session(h)
        c.multi("RETR 2")
        c.multi("TOP 1 0")
        quits(c)

        def flags():
            names = [p.name for p in (h.mail / "anna").glob("*/*.test*")]
            return sorted(n for n in names if re.search(r":2,\w*S", n))
        if wanted:
            until(lambda: len(flags()) == 1, 10, "marked as seen")
            assert flags()[0].startswith("1700000001.")
        else:
            assert flags() == []
    return look


def plaintext(allowed):
    def look(h):
        c = h.connect()
        said = c.login("anna", "secret")
        assert said.startswith(b"+OK") == allowed, said
        assert ("USER" in capa(h)) == allowed
        c.close()
    return look


def last(there):
    def look(h):
        c = session(h)
        c.multi("RETR 2")
        said = c.say("LAST")
        assert said == b"+OK 2\r\n" if there else said.startswith(b"-ERR"), said
        quits(c)
    return look


def announces(line):
    return lambda h: line in capa(h) or pytest.fail(f"{line}: {capa(h)}")


ROWS = [
    ("maildrop", {"maildrop": "maildir:{mail}/by/%d/%n"}, maildrop),
    ("mail_uid", {}, mail_owner),
    ("mail_uid", {"mail_uid": 6000}, other_owner((6000, 5000))),
    ("mail_gid", {"mail_gid": 6000}, other_owner((5000, 6000))),
    ("fronts", {"fronts": 1}, fronts(1)),
    ("fronts", {"fronts": 3}, fronts(3)),
    ("front_sessions", {"fronts": 1, "front_sessions": 2}, front_sessions),
    ("keeper_sessions", {"keeper_sessions": 0, "keepers_per_owner": 1}, keepers(1)),
    ("keeper_sessions", {"keeper_sessions": 1, "keepers_per_owner": 1}, keepers(2)),
    ("idle_timeout", {"idle_timeout": "1s"}, closes_after(0.9, 5, True)),
    ("idle_timeout", {"login_timeout": "1s"}, stays_open(2, True)),
    ("login_timeout", {"login_timeout": "1s"}, closes_after(0.9, 5, False)),
    ("login_timeout", {"idle_timeout": "1s"}, stays_open(2, False)),
    ("max_bad_commands", {"max_bad_commands": 1}, bad_commands(1)),
    ("max_bad_commands", {"max_bad_commands": 4}, bad_commands(4)),
    ("max_login_failures", {"max_login_failures": 1}, login_failures(1)),
    ("max_login_failures", {"max_login_failures": 3}, login_failures(3)),
    ("login_failure_delay", {"login_failure_delay": "700ms"}, failure_takes(0.69, 5)),
    ("login_failure_delay", {"login_failure_delay": "0"}, failure_takes(0, 0.5)),
    ("login_delay", {"login_delay": "1h"}, login_delay),
    ("login_delay", {}, no_login_delay),
    ("connections_per_address", {"connections_per_address": 2}, per_address),
    ("connections_per_user", {"connections_per_user": 1, "lock_takeover": "1h"}, per_user(True)),
    ("connections_per_user", {"connections_per_user": 2, "lock_takeover": "1h"}, per_user(False)),
    ("mark_seen", {"mark_seen": "yes"}, seen(True)),
    ("mark_seen", {"mark_seen": "no"}, seen(False)),
    ("lock_takeover", {"lock_takeover": "1s"}, takeover),
    ("lock_takeover", {"lock_takeover": "1h"}, locked),
    ("plaintext", {"plaintext": "never", "tls": True}, plaintext(False)),
    ("plaintext", {"plaintext": "loopback", "tls": True}, plaintext(True)),
    ("plaintext", {"plaintext": "always"}, plaintext(True)),
    ("last", {"last": "yes"}, last(True)),
    ("last", {"last": "no"}, last(False)),
    ("expire", {"expire": 7}, announces("EXPIRE 7")),
    ("expire", {"expire": 0}, announces("EXPIRE 0")),
    ("expire", {"expire": "never"}, announces("EXPIRE NEVER")),
]


def certificate(base):
    key, cert = base / "key.pem", base / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", "/CN=localhost"], capture_output=True, check=True)
    return {"tls_certificate": cert, "tls_key": key}


@pytest.mark.parametrize("name,options,look", ROWS, ids=[
    f"{name}-{'-'.join(map(str, options.values())) or 'default'}" for name, options, _ in ROWS])
def test_option(base, name, options, look):
    options = {k: v.format(mail=base / "house" / "mail") if k == "maildrop" else v
               for k, v in options.items()}
    if options.pop("tls", False):
        options |= certificate(base)
    (base / "house").mkdir()
    with House(base / "house", USERS, options) as h:
        look(h)
    assert h.p.returncode == 0, h.log()


def test_every_option_that_others_script_against_has_a_row():
    wanted = ("maildrop mail_uid mail_gid fronts front_sessions keeper_sessions idle_timeout "
              "login_timeout max_bad_commands max_login_failures login_failure_delay login_delay "
              "connections_per_address connections_per_user mark_seen lock_takeover plaintext "
              "last expire").split()
    assert set(wanted) == {name for name, *_ in ROWS}
    table = (ROOT / "src" / "conf" / "options.def").read_text()
    for name in wanted:
        assert re.search(rf"^OPTION\(GLOBAL, \w+, {name},", table, re.M), name
