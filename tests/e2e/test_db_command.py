"""restante-auth-command: a program with the checkpassword interface, in its cage."""
import os
import pathlib
import time

import pytest

import ticket_office

from helper_alone import (FOUND, NO_NEW_PRIVS, NO_USER, TEMPORARY, TOKEN, USER, WRONG, Failed,
                          Helper)
from postoffice import alive, until

# What the program was given, for the tests to look at; then what the name asks for.
PROGRAM = r'''#!/usr/bin/python3
import os, signal, subprocess, sys, time
raw = b""
while piece := os.read(3, 4096):
    raw += piece
name, password, stamp, rest = raw.split(b"\0")
assert rest == b"" and stamp.isdigit()
seen = {"descriptors": sorted(os.listdir("/proc/self/fd"), key=int), "environment": dict(os.environ),
        "arguments": sys.argv[1:], "group": os.getpgid(0) == os.getpid(), "uid": os.getuid()}
with open("@SEEN@", "w") as f:
    f.write(repr(seen))
def succeed(**more):
    os.execve(sys.argv[-2], sys.argv[-2:], {**os.environ, **more})
lookup = os.environ.get("AUTHORIZED") == "1"
if name == b"slow":
    child = subprocess.Popen(["sleep", "600"])
    with open("@SEEN@.pids", "w") as f:
        f.write("%d %d" % (os.getpid(), child.pid))
    time.sleep(600)
if name.startswith(b"status"):
    sys.exit(int(name[6:]))
if name == b"killed":
    os.kill(os.getpid(), signal.SIGKILL)
if lookup:
    if name == b"anna":
        succeed(AUTHORIZED="2", USER="anna", HOME="/srv/mail/anna", userdb_uid="5001", userdb_gid="5002")
    if name == b"ignorant":
        succeed(USER="ignorant", HOME="/srv/mail/ignorant")
    sys.exit(3)
if password != b"secret":
    sys.exit(1)
if name == b"colon":
    succeed(HOME="/srv/a:b")
if name == b"long":
    succeed(userdb_mail="maildir:/" + "x" * 9000)
if name == b"blank":
    succeed(userdb_mail="maildir:/srv/a b")
if name == b"anna":
    succeed(USER="anna", HOME="/srv/mail/anna", userdb_uid="5001", userdb_gid="5002",
            userdb_mail="maildir:/srv/mail/anna/in", SECRET="not ours")
succeed()
'''


@pytest.fixture
def program(base):
    base = pathlib.Path(base)
    seen = base / "seen"
    seen.touch()
    pids = base / "seen.pids"
    pids.touch()
    for path in (seen, pids):
        path.chmod(0o666)
    path = base / "check"
    path.write_text(PROGRAM.replace("@SEEN@", str(seen)))
    path.chmod(0o755)
    return path


def seen_of(program):
    return program.with_name("seen")


@pytest.fixture
def helper():
    made = []

    def make(path, **more):
        timeout_ms = more.pop("timeout_ms", 60000)
        made.append(Helper("command", {"command_path": str(path), **more}, timeout_ms=timeout_ms))
        return made[-1]
    yield make
    for h in made:
        assert h.done() == 0


def fields(line):
    return line.rstrip(b"\n").split(b":", 7)


def test_right_and_wrong(program, helper):
    h = helper(program, command_arguments="--db, mail")
    assert h.cage & NO_NEW_PRIVS
    assert os.geteuid() != 0 or h.cage & USER
    a = h.verify(b"anna", b"secret")
    assert a.outcome == FOUND, a
    f = fields(a.line)
    assert (f[0], f[1], f[2], f[3], f[5]) == (b"anna", b"", b"5001", b"5002", b"/srv/mail/anna")
    assert f[7] == b"userdb_mail=maildir:/srv/mail/anna/in"
    assert b"not ours" not in a.line
    a = h.verify(b"anna", b"wrong")
    assert (a.outcome, a.line) == (WRONG, b"")
    # Who has no fields of his own gets those of the options: nothing is taken from us.
    f = fields(h.verify(b"plain", b"secret").line)
    assert (f[0], f[2], f[3]) == (b"plain", b"", b"")
    assert h.ask(TOKEN, b"anna", b"secret").outcome == NO_USER


def test_what_the_program_gets(program, helper):
    h = helper(program, command_arguments="--db, mail")
    assert h.verify(b"anna", b"secret").outcome == FOUND
    seen = eval(seen_of(program).read_text())
    # The last is that of the listing itself.
    assert seen["descriptors"][:6] == ["0", "1", "2", "3", "4", "5"]
    assert len(seen["descriptors"]) == 7
    assert set(seen["environment"]) - {"LC_CTYPE"} == {"PATH", "PROTO", "SERVICE", "TCPREMOTEIP"}
    assert seen["environment"]["TCPREMOTEIP"] == "192.0.2.7"
    assert seen["arguments"] == ["--db", "mail", "/proc/self/fd/5", "reply"]
    assert seen["group"]
    assert os.geteuid() != 0 or seen["uid"] != 0


@pytest.mark.parametrize("name, outcome, words", [
    (b"status0", TEMPORARY, b"did not become"), (b"status1", WRONG, b""),
    (b"status2", TEMPORARY, b"misused"), (b"status3", NO_USER, b""),
    (b"status111", TEMPORARY, b"failed"), (b"killed", TEMPORARY, b"failed"),
    (b"colon", TEMPORARY, b"colon"), (b"long", TEMPORARY, b"failed"),
    (b"blank", TEMPORARY, b"blank")])
def test_ends(program, helper, name, outcome, words):
    h = helper(program)
    a = h.verify(name, b"secret")
    assert a.outcome == outcome and words in a.reason and a.line == b"", a
    assert h.verify(b"anna", b"secret").outcome == FOUND


def test_limits(program, helper):
    h = helper(program)
    stamp = len(str(int(time.time()))) + 1
    fits = 512 - stamp - 1 - len(b"anna") - 1
    for name, password in ((b"anna", b"x" * (fits + 1)), (b"n" * 1000, b"x"), (b"an\0na", b"x"),
                           (b"anna", b"sec\0ret"), (b"anna", b""), (b"", b"secret")):
        seen_of(program).write_text("")
        a = h.verify(name, password)
        assert a.outcome == WRONG
        assert seen_of(program).read_text() == "", "the program was run"
    assert h.verify(b"anna", b"x" * fits).outcome == WRONG
    assert seen_of(program).read_text() != ""


def test_slow_program_is_killed_whole(program, helper):
    h = helper(program, timeout_ms=5000)
    begun = time.monotonic()
    a = h.verify(b"slow", b"secret")
    assert a.outcome == TEMPORARY and b"longer" in a.reason
    assert 4 < time.monotonic() - begun < 60
    pids = [int(w) for w in program.with_name("seen.pids").read_text().split()]
    assert len(pids) == 2
    until(lambda: not any(alive(p) for p in pids))
    assert h.verify(b"anna", b"secret").outcome == FOUND


def test_lookups(program, helper):
    h = helper(program)
    seen_of(program).write_text("")
    assert h.lookup(b"anna").outcome == NO_USER
    assert seen_of(program).read_text() == ""
    h = helper(program, command_lookup="yes")
    a = h.lookup(b"anna")
    assert a.outcome == FOUND and fields(a.line)[5] == b"/srv/mail/anna"
    assert h.lookup(b"nobody").outcome == NO_USER
    # A program that does not know lookups must not open a maildrop by mistake.
    a = h.lookup(b"ignorant")
    assert a.outcome == TEMPORARY and b"command_lookup" in a.reason and a.line == b""
    assert h.lookup(b"status1").outcome == TEMPORARY


def test_two_users_with_one_password(program, helper):
    h = helper(program)
    for name in (b"anna", b"berta", b"anna"):
        assert fields(h.verify(name, b"secret").line)[0] == name


def test_program_that_goes_and_comes(program, helper):
    h = helper(program)
    assert h.verify(b"anna", b"secret").outcome == FOUND
    program.chmod(0o600)
    assert h.verify(b"anna", b"secret").outcome == TEMPORARY
    away = program.with_name("away")
    program.rename(away)
    assert h.verify(b"anna", b"secret").outcome == TEMPORARY
    away.rename(program)
    program.chmod(0o755)
    assert h.verify(b"anna", b"secret").outcome == FOUND


def test_shell_script(base, helper):
    path = pathlib.Path(base) / "check.sh"
    path.write_text('''#!/bin/sh
all=$(tr '\\000' ' ' <&3)
run="$*"
set -- $all
[ "$1" = anna ] && [ "$2" = secret ] || exit 1
export USER="$1" HOME=/srv/mail/anna
exec $run
''')
    path.chmod(0o755)
    h = helper(path)
    a = h.verify(b"anna", b"secret")
    assert a.outcome == FOUND and fields(a.line)[5] == b"/srv/mail/anna", a
    assert h.verify(b"anna", b"Secret").outcome == WRONG


def test_nothing_is_logged(program, helper):
    h = helper(program)
    h.verify(b"anna", b"hunter2-secret")
    h.verify(b"status111", b"hunter2-secret")
    assert not any(b"hunter2" in v for _, pairs in h.logged() for v in pairs.values())


@pytest.mark.parametrize("path, words", [("", "absolute"), ("/nowhere/check", "No such file"),
                                         ("/etc/passwd", "no program"), ("check", "absolute")])
def test_bad_settings(path, words):
    with pytest.raises(Failed, match=words):
        Helper("command", {"command_path": path})
    with pytest.raises(Failed, match="16 words"):
        Helper("command", {"command_path": "/bin/true", "command_arguments": "a " * 17})


# ---- a whole office ------------------------------------------------------------------------

def test_office(program, base, office):
    mail = ticket_office.put_mail(base, "anna", "for anna", 5001, 5002)
    program.write_text(program.read_text().replace("maildir:/srv/mail/anna/in", f"maildir:{mail}")
                       .replace('HOME="/srv/mail/anna"', f'HOME="{mail}"'))
    o = office(sets={"databases": "file command", "command_path": program, "mail_roots": base,
                     "auth_cache_unseen": "0", "login_failure_delay": "0"})

    def answer(name, word):
        got, p = ticket_office.password(o, name, word)
        if got.startswith(b"+OK"):
            ticket_office.reads_own(p, "for anna")
        p.close()
        return got
    assert answer("anna", "secret").startswith(b"+OK")
    assert answer("anna", "wrong").startswith(b"-ERR [AUTH]")
    assert answer("status3", "secret").startswith(b"-ERR [AUTH]")
    assert answer("status111", "secret").startswith(b"-ERR [SYS/TEMP]")
    # The program goes and comes back.
    program.chmod(0o600)
    assert answer("anna", "secret").startswith(b"-ERR [SYS/TEMP]")
    assert answer("anna", "wrong").startswith(b"-ERR [SYS/TEMP]")
    program.chmod(0o755)
    assert answer("anna", "secret").startswith(b"+OK")
    assert answer("anna", "wrong").startswith(b"-ERR [AUTH]")
    for word in ("secret", "wrong"):
        assert f"={word}" not in o.log()


def test_a_password_is_remembered_for_a_while(base, office):
    for name in ("anna", "berta"):
        ticket_office.put_mail(base, name, f"for {name}")
    words, asked, path = base / "words", base / "asked", base / "check.sh"
    known = {"anna": "secret", "berta": "secret"}

    def change(name, word):
        known[name] = word
        words.write_text("".join(f"{n} {w}\n" for n, w in known.items()))
    change("anna", "secret")
    asked.write_text("")
    asked.chmod(0o666)
    path.write_text(f'''#!/bin/sh
all=$(tr '\\000' ' ' <&3)
run="$*"
set -- $all
echo "$1" >> {asked}
grep -qx "$1 $2" {words} || exit 1
export USER="$1" HOME={base} userdb_uid=5000 userdb_gid=5000 userdb_mail=maildir:{base}/mail/$1
exec $run
''')
    path.chmod(0o755)
    ticket_office.is_asked_no_more(
        office, {"databases": "command", "command_path": path, "mail_roots": base},
        ("anna", "berta"), change, lambda: len(asked.read_text().splitlines()))
    assert asked.read_text()
