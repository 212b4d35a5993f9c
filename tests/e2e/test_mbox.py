"""An mbox behind POP3, while other programs deliver into it and notes are written."""
import os
import pathlib
import re
import smtplib
import subprocess
import threading

import pytest

from pop import Pop
from postoffice import NOBODY, make_base, start_offices, until

FROM = b"From a@b Sat Jan  3 01:05:34 1996\n"
PER_PROGRAM = 8


@pytest.fixture
def offices():
    yield from start_offices()


@pytest.fixture
def base():
    yield from make_base()


def as_owner():
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def give_to_owner(path):
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def spool(base, octets=b""):
    d = base / "spool"
    d.mkdir()
    mbox = d / "anna"
    mbox.write_bytes(octets)
    mbox.chmod(0o600)
    give_to_owner(d)
    give_to_owner(mbox)
    return mbox


def letter(tag, lines=3):
    return (f"Subject: {tag}\n\n" + f"a line of {tag}\n" * lines +
            f"\nFrom {tag} at 10:20\n.{tag}\n").encode()


def login(office):
    pop = Pop(office.host, office.pop3)
    assert pop.login("anna", "secret").startswith(b"+OK")
    return pop


def login_or_none(office):
    """A keeper that was killed is started again; until then there is [SYS/TEMP]."""
    pop = Pop(office.host, office.pop3)
    answer = pop.login("anna", "secret")
    assert answer.startswith((b"+OK", b"-ERR [SYS/TEMP]")), answer
    return pop if answer.startswith(b"+OK") else pop.close()


def retrieve(pop, number):
    first = pop.say(f"RETR {number}")
    assert first.startswith(b"+OK"), first
    octets = pop.body()[:-3]
    return re.sub(rb"(?m)^\.", b"", octets)


def test_a_session(offices, base):
    mbox = spool(base, b"".join(FROM + letter(f"m{i}").replace(b"\nFrom", b"\n>From") + b"\n"
                                for i in range(5)))
    office = offices("--lmtp", "127.0.0.1:0", users=[f"anna:secret:mbox:{mbox}"],
                     sets={"mbox_unquote": "yes"})
    pop = login(office)
    sizes = pop.multi("LIST")
    uidls = pop.multi("UIDL")
    assert len(sizes) == 5 and len(set(uidls)) == 5
    for i in range(5):
        octets = retrieve(pop, i + 1)
        assert octets == letter(f"m{i}").replace(b"\n", b"\r\n")
        assert sizes[i].split()[1] == str(len(octets)).encode()
    host, port = office.lmtp_at.rsplit(":", 1)
    with smtplib.LMTP(host, int(port), timeout=60) as lmtp:
        lmtp.sendmail("s@example.org", ["anna"], letter("new").decode())
    for number in (1, 3):
        assert pop.say(f"DELE {number}").startswith(b"+OK")
    assert pop.say("QUIT").startswith(b"+OK")
    pop = login(office)
    after = pop.multi("UIDL")
    assert [x.split()[1] for x in after[:3]] == [uidls[i].split()[1] for i in (1, 3, 4)]
    assert len(after) == 4
    octets = retrieve(pop, 4)
    assert octets.startswith(b"Return-Path: <s@example.org>\r\nDelivered-To: anna")
    assert octets.endswith(letter("new").replace(b"\n", b"\r\n"))
    assert pop.say("QUIT").startswith(b"+OK")
    text = mbox.read_bytes()
    assert text.count(b"\n>From") == 4 and b"\nFrom new" not in text
    assert not (mbox.parent / "anna.lock").exists()


class Sessions:
    """How many have found mail."""

    def __init__(self):
        self.n, self.change = 0, threading.Condition()

    def add(self):
        with self.change:
            self.n += 1
            self.change.notify_all()

    def wait(self, n):
        with self.change:
            return self.change.wait_for(lambda: self.n >= n, 60)


class Deliveries:
    """Letters handed to one program after the other, as its user; a part of them before each of
    so many sessions, that both be at it at once however fast either is."""
    PARTS = 4

    def __init__(self, name, run, sessions):
        self.name, self.run, self.sessions, self.failed = name, run, sessions, []
        self.thread = threading.Thread(target=self.deliver_all, daemon=True)
        self.thread.start()

    def deliver_all(self):
        for i in range(PER_PROGRAM):
            if not self.sessions.wait(i * self.PARTS // PER_PROGRAM):
                self.failed.append((i, "nobody collects"))
                return
            tag = f"{self.name}-{i}"
            out = self.run(letter(tag, 1 + 97 * i % 400))
            if out.returncode != 0:
                self.failed.append((tag, out.returncode, out.stderr))


def programs(base, mbox):
    """Those that take both locks in their own ways, with what they need."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(base), "LOGNAME": "nobody", "SHELL": "/bin/sh"}
    (base / "procmailrc").write_text(f"MAILDIR={base}\nDEFAULT={mbox}\nLOCKSLEEP=1\n:0:\n{mbox}\n")
    (base / "mailfilter").write_text(f'to "{mbox}"\n')
    (base / "append").write_text(
        f'set -e\ndotlockfile -l -r 60 "{mbox}.lock"\n'
        f'{{ printf "From x@y Sat Jan  3 01:05:34 1996\\n"; sed "s/^>*From />&/"; echo; }} >> "{mbox}"\n'
        f'dotlockfile -u "{mbox}.lock"\n')
    for name in ("procmailrc", "mailfilter", "append"):
        (base / name).chmod(0o600)
        give_to_owner(base / name)
    commands = {
        "procmail": ["procmail", "-f", "x@y", str(base / "procmailrc")],
        "maildrop": ["maildrop", "-f", "x@y", str(base / "mailfilter")],
        "dotlockfile": ["sh", str(base / "append")],
    }

    def runner(command):
        return lambda octets: subprocess.run(command, input=octets, env=env, cwd=base,
                                             capture_output=True, timeout=60, **as_owner())
    return {name: runner(command) for name, command in commands.items()}


def test_others_deliver_while_we_commit(offices, base):
    mbox = spool(base)
    give_to_owner(base)
    office = offices(users=[f"anna:secret:mbox:{mbox}"])
    met, sessions = [], Sessions()
    running = [Deliveries(name, run, sessions) for name, run in programs(base, mbox).items()]
    while True:
        over = not any(d.thread.is_alive() for d in running)
        pop = login(office)
        count = int(pop.say("STAT").split()[1])
        for number in range(1, count + 1):
            octets = retrieve(pop, number)
            tag = re.search(rb"(?m)^Subject: (\S+)\r$", octets).group(1).decode()
            assert octets.count(f"a line of {tag}\r\n".encode()) >= 1
            assert octets.endswith(f".{tag}\r\n".encode()), octets[-200:]
            met.append(tag)
            assert pop.say(f"DELE {number}").startswith(b"+OK")
        assert pop.say("QUIT").startswith(b"+OK")
        if count:
            sessions.add()
        elif over:
            break
    for d in running:
        assert d.failed == [], d.failed
    expected = [f"{d.name}-{i}" for d in running for i in range(PER_PROGRAM)]
    assert sorted(met) == sorted(expected)
    assert sessions.n >= Deliveries.PARTS
    assert mbox.read_bytes() == b""


def test_a_hundred_thousand_messages(offices, base):
    count = 100000
    mbox = spool(base, b"".join(FROM + b"Subject: %d\n\nbody of %d\n\n" % (i, i)
                                for i in range(count)))
    office = offices(users=[f"anna:secret:mbox:{mbox}"])
    pop = login(office)
    uidls = [x.split()[1] for x in pop.multi("UIDL")]
    assert len(uidls) == count and len(set(uidls)) == count
    assert retrieve(pop, 70000) == b"Subject: 69999\r\n\r\nbody of 69999\r\n"
    for number in (1, 50000, count):
        assert pop.say(f"DELE {number}").startswith(b"+OK")
    assert pop.say("QUIT").startswith(b"+OK")
    pop = login(office)
    after = [x.split()[1] for x in pop.multi("UIDL")]
    assert after == uidls[1:49999] + uidls[50000:-1]
    assert retrieve(pop, 69998) == b"Subject: 69999\r\n\r\nbody of 69999\r\n"
    assert pop.say("QUIT").startswith(b"+OK")


def test_what_is_no_mbox_is_refused_and_told(offices, base):
    mbox = spool(base, b"Dear Anna,\n")
    office = offices(users=[f"anna:secret:mbox:{mbox}"])
    pop = Pop(office.host, office.pop3)
    assert pop.login("anna", "secret").startswith(b"-ERR [SYS/PERM]")
    office.wait_for_log(r"event=maildrop_notice.*it does not begin with")
    assert mbox.read_bytes() == b"Dear Anna,\n"


def test_a_cut_off_removal_is_completed(offices, base):
    """The keeper is killed at some call of its commits: all or nothing, and no mail lost."""
    total = 40
    mbox = spool(base, b"".join(FROM + letter(f"m{i}", 200).replace(b"\nFrom", b"\n>From") + b"\n"
                                for i in range(total)))
    office = offices(users=[f"anna:secret:mbox:{mbox}"])
    left = {f"m{i}" for i in range(total)}
    for round_ in range(6):
        pop = login(office)
        tags = [next(x for x in pop.multi(f"TOP {n} 0") if x.startswith(b"Subject"))[9:].decode()
                for n in range(1, int(pop.say("STAT").split()[1]) + 1)]
        assert set(tags) == left and len(tags) == len(left)
        gone = {tags[i] for i in range(0, len(tags), 5)}
        for i in range(0, len(tags), 5):
            assert pop.say(f"DELE {i + 1}").startswith(b"+OK")
        pop.send(b"QUIT\r\n")
        for pid in office.pids("restante-keeper"):
            threading.Event().wait(0.001 * round_)
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        answer = pop.rest()
        pop = until(lambda: login_or_none(office), 60)
        count = int(pop.say("STAT").split()[1])
        assert count in (len(left), len(left) - len(gone))
        if answer.startswith(b"+OK"):
            assert count == len(left) - len(gone)
        if count < len(left):
            left -= gone
        assert pop.say("QUIT").startswith(b"+OK")
    assert pathlib.Path(mbox).read_bytes().count(FROM) == len(left)
