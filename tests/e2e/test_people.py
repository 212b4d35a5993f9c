"""Who is logged in, and who is sent away: `restante who` and `restante kick` in an office."""
import base64
import json
import os
import subprocess
import time

import pytest

from pop import Pop
from postoffice import NOBODY, make_maildir, until

MAIL = [b"Subject: %d\n\nhello\n" % i for i in range(3)]
ODD = 'odd"name\u00fc'


@pytest.fixture(scope="module")
def where(module_base):
    d = module_base / "mail"
    d.mkdir()
    for name in ("anna", "bert", "odd"):
        make_maildir(d / name, MAIL)
    os.chown(d, NOBODY, NOBODY)
    return d


@pytest.fixture(scope="module")
def office(module_office, module_base, where):
    users = module_base / "users"
    users.write_text("".join(
        f"{name}:{{PLAIN}}word:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{where / box}\n"
        for name, box in (("anna", "anna"), ("bert", "bert"), (ODD, "odd"))), "utf-8")
    return module_office("--users", users, sets={
        "login_failure_delay": "0"})


def restante(o, *args, user=None):
    ids = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    return subprocess.run([o.build / "restante", args[0], "--socket", o.dir / "run" / "control",
                           *args[1:]], capture_output=True, text=True, timeout=60, **ids)


def who(o):
    r = restante(o, "who", "--json")
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def of(o, name):
    return [x for x in who(o) if x["user"] == name]


def login(o, name, tls=False, mechanism="USER"):
    end = time.monotonic() + 60
    while True:
        p = Pop("localhost" if tls else o.host, o.pop3s if tls else o.pop3,
                tls_ca=o.ca if tls else None)
        if mechanism == "USER":
            said = p.login(name, "word")
        else:
            said = p.say(b"AUTH PLAIN " + base64.b64encode(b"\0" + name.encode() + b"\0word"))
        # One that was cut off a moment ago may still have the maildrop.
        if b"[IN-USE]" not in said or time.monotonic() > end:
            break
        p.close()
    assert said.startswith(b"+OK"), said
    return p


def ends(p):
    """The connection is at its end, without a word that it did not ask for but -ERR."""
    said = p.rest()
    p.close()
    return said == b"" or said.startswith(b"-ERR")


def test_who_tells_who_how_and_what_happens(office):
    p, q = login(office, "anna"), login(office, "bert", True, "PLAIN")
    anna, = until(lambda: of(office, "anna"))
    bert, = until(lambda: of(office, "bert"))
    assert (anna["mechanism"], anna["tls"]) == ("USER", False)
    assert (bert["mechanism"], bert["tls"]) == ("PLAIN", True)
    assert anna["address"] == "127.0.0.1" and anna["port"] == p.s.getsockname()[1]
    assert (anna["messages"], anna["retrieved"], anna["marked"], anna["octets"]) == (3, 0, 0, 0)
    octets = 0
    for n in (1, 2):
        octets += int(p.say(f"RETR {n}").split()[1])
        p.body()
        until(lambda n=n: of(office, "anna")[0]["retrieved"] == n)
    assert until(lambda: of(office, "anna")[0]["octets"] == octets)
    assert p.say("DELE 1").startswith(b"+OK")
    until(lambda: of(office, "anna")[0]["marked"] == 1)
    assert p.say("RSET").startswith(b"+OK")
    until(lambda: of(office, "anna")[0]["marked"] == 0)
    line = next(x for x in restante(office, "who").stdout.splitlines() if 'user="anna"' in x)
    for word in ("address=127.0.0.1", "mechanism=USER", "retrieved=2", "messages=3"):
        assert word in line.split()
    for c in (p, q):
        assert c.say("QUIT").startswith(b"+OK")
    until(lambda: not who(office))


def test_a_name_cannot_forge_a_line(office):
    p = login(office, ODD, mechanism="PLAIN")
    assert until(lambda: of(office, ODD.encode().decode("latin-1")))
    text = restante(office, "who").stdout
    assert len(text.splitlines()) == 1 and text.isascii() and '\\u00' in text
    p.say("QUIT")
    until(lambda: not who(office))


def kicked(o, *args):
    r = restante(o, "kick", *args)
    assert r.returncode == 0, r.stderr
    return int("".join(filter(str.isdigit, r.stdout)))


@pytest.mark.parametrize("how", ["user", "session", "address"])
def test_kick_ends_exactly_those_and_deletes_nothing(office, where, how):
    p, q = login(office, "anna"), login(office, "bert")
    anna, = until(lambda: of(office, "anna"))
    until(lambda: of(office, "bert"))
    for c in (p, q):
        assert c.say("DELE 1").startswith(b"+OK")
    until(lambda: of(office, "anna")[0]["marked"] == 1)
    if how == "user":
        assert kicked(office, "anna") == 1
    elif how == "session":
        assert kicked(office, "--session", f"{anna['front']}/{anna['session']}") == 1
    else:
        assert kicked(office, "--address", "192.0.2.0/24") == 0
        assert kicked(office, "--address", "127.0.0.0/8") == 2
        assert ends(q)
        until(lambda: not who(office))
    assert ends(p)
    until(lambda: not of(office, "anna"))
    if how != "address":
        assert q.say("NOOP").startswith(b"+OK")
        assert q.say("RSET").startswith(b"+OK") and q.say("QUIT").startswith(b"+OK")
    for name in ("anna", "bert"):
        c = login(office, name)
        assert c.say("STAT").startswith(b"+OK 3 ")
        c.say("QUIT")
    until(lambda: not who(office))


def test_kick_of_nobody(office):
    assert kicked(office, "nobody-of-this-name") == 0
    assert kicked(office, "--session", "1/1") == 0
    for wrong in (("--session", "x"), ("--address", "10.0.0.1/8"), (), ("a", "b")):
        assert restante(office, "kick", *wrong).returncode == 64


def test_who_without_rights_cannot(office):
    p = login(office, "anna")
    until(lambda: of(office, "anna"))
    for command in (("who",), ("kick", "anna"), ("why", "anna", "from", "127.0.0.1"),
                    ("last", "anna")):
        r = restante(office, *command, user=NOBODY)
        assert r.returncode == 77 and not r.stdout, (command, r)
    assert p.say("NOOP").startswith(b"+OK")
    p.say("QUIT")
    until(lambda: not who(office))


def last(o, *users, json_too=True):
    r = restante(o, "last", *users)
    if json_too and r.returncode == 0:
        rows = json.loads(restante(o, "last", "--json", *users).stdout)
        assert [x["user"] for x in rows] == list(users)
    return r.returncode, r.stdout


def test_last_login(office, where):
    record = where / "bert" / "restante-lock"
    if record.exists():
        record.unlink()
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(time.time()) - 1))
    p = login(office, "anna")
    since = until(lambda: of(office, "anna"))[0]["since"]
    status, text = last(office, "anna", "bert")
    assert status == 0
    lines = text.splitlines()
    assert lines[0].startswith('user="anna" last=20') and lines[0].endswith(" address=127.0.0.1")
    assert before <= lines[0].split("last=")[1].split(" ")[0] <= since
    assert lines[1] == 'user="bert" last=never'
    p.say("QUIT")
    until(lambda: not who(office))
    assert last(office, "anna")[1] == lines[0] + "\n"
    assert json.loads(restante(office, "last", "--json", "bert").stdout) == [
        {"user": "bert", "last": None}]


def test_last_of_nobody(office):
    r = restante(office, "last", "nobody-of-this-name", "anna")
    assert r.returncode == 1 and "nobody-of-this-name: no database" in r.stderr
    assert r.stdout.startswith('user="anna"')
    assert restante(office, "last").returncode == 64
    assert restante(office, "last", "two\nlines").returncode == 64


@pytest.mark.parametrize("what", ["symlink", "fifo", "garbage", "huge", "short", "directory",
                                  "stranger", "device"])
def test_a_hostile_owner_shows_nothing(office, where, base, what):
    """What lies in a maildrop is its owner's: it is never followed, waited for or believed."""
    record = where / "bert" / "restante-lock"
    if record.exists():
        record.unlink()
    secret = base / "secret"
    secret.write_bytes(b"x" * 40)
    secret.chmod(0o600)
    if what == "symlink":
        record.symlink_to(secret)
    elif what == "fifo":
        os.mkfifo(record)
        os.chown(record, NOBODY, NOBODY)
    elif what == "directory":
        record.mkdir()
    elif what == "device":
        os.mknod(record, 0o020666, os.makedev(1, 5))
    else:
        record.write_bytes({"garbage": b"RESTLK01" + os.urandom(32), "short": b"RESTLK01",
                            "stranger": b"x" * 40, "huge": b"\xff" * 100}[what])
        if what == "huge":
            os.truncate(record, 1 << 40)
        if what != "stranger":
            os.chown(record, NOBODY, NOBODY)
    try:
        r = restante(office, "last", "bert")
        assert r.returncode == 1 and not r.stdout, r
        assert r.stderr.startswith("restante: bert: ") and r.stderr.count("\n") == 1
    finally:
        record.rmdir() if what == "directory" else record.unlink()
