"""`restante fetch` hands mail to real programs and servers: Postfix by SMTP, Dovecot by LMTP,
procmail, maildrop and fdm; and what becomes of a message whose fate nobody knows."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

from fetch_mta import PASSWORD, Lmtp, Postfix, by_trace
from nasty import NASTY, wire
from postoffice import BUILD, make_base, make_maildir, until

QUARANTINED, TEMPORARY = 65, 75
# Messages that these servers and programs are free to alter: what has no header gets one.
HEADED = {name: m for name, m in NASTY.items() if m.startswith((b"From: ", b"Subject: "))}


class Fetch:
    """One account of a throwaway office; run() fetches with these options."""

    def __init__(self, office, base, messages):
        self.base = base
        self.mail = make_maildir(base / "source", messages)
        self.office = office("--dir", str(base / "office"), users=[("anna", "secret", self.mail)])
        self.password = self.write("password", "secret\n")

    def write(self, name, text, mode=0o600):
        path = self.base / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def command(self, ca=None, **options):
        trusted = pathlib.Path(self.office.ca).read_text() + (ca.read_text() if ca else "")
        rows = {"server": f"localhost:{self.office.pop3s}", "user": "anna",
                "ca": self.write("ca.pem", trusted), "password_file": self.password, **options}
        config = self.write("fetch.conf", "[account anna]\n" + "".join(
            f"{name} = {value}\n" for name, value in rows.items()))
        return [BUILD / "restante-fetch", "--config", config, "--state", self.base / "state",
                "--verbose"]

    def run(self, status=0, **options):
        got = subprocess.run(self.command(**options), capture_output=True, timeout=60,
                             stdin=subprocess.DEVNULL)
        self.said = (got.stdout + got.stderr).decode()
        assert got.returncode == status, f"{got.returncode}: {self.said}"
        return self.said

    def left(self):
        """How many messages the server still has."""
        return sum(len(list((self.mail / part).iterdir())) for part in ("new", "cur"))


@pytest.fixture(scope="module")
def servers():
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(contextlib.contextmanager(make_base)())
        lmtp = Lmtp(base)
        stack.callback(lmtp.stop)
        open_one = Postfix(base / "open")
        stack.callback(open_one.stop)
        closed_one = Postfix(base / "closed", lmtp)
        stack.callback(closed_one.stop)
        yield lmtp, open_one, closed_one


def lf(message):
    return wire(message).replace(b"\r\n", b"\n")


def assert_same(got, messages):
    want = sorted(map(lf, messages))
    got = sorted(got)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g == w, f"{g[:300]!r}...{g[-200:]!r}\nis not\n{w[:300]!r}...{w[-200:]!r}"


def as_postfix_has_it(message):
    """It drops a CR at the end of a line, and makes a blank of one elsewhere."""
    return re.sub(rb"\r+\n", b"\n", lf(message)).replace(b"\r", b" ")


def test_postfix_over_tls(office, base, servers):
    _, postfix, _ = servers
    f = Fetch(office, base, HEADED.values())
    f.run(deliver=f"smtp:localhost:{postfix.port}", ca=postfix.ca, recipient="anna@example.org",
          sender="list@example.org")
    assert f.left() == 0
    got = postfix.box.take(len(HEADED))
    assert all(b"(using TLSv1.3" in m for m in got)
    assert all(m.startswith(b"Return-Path: <list@example.org>\n") for m in got)
    assert_same(by_trace(got).values(), map(as_postfix_has_it, HEADED.values()))
    # All came over one connection.
    until(lambda: re.search(rf"disconnect from .* data={len(HEADED)}(/\d+)? quit=1 ",
                            postfix.log()), why=postfix.log)


def test_postfix_with_a_login(office, base, servers):
    _, _, postfix = servers
    f = Fetch(office, base, [b"Subject: x\n\nx\n"])
    options = {"deliver": f"smtp:localhost:{postfix.port}", "ca": postfix.ca,
               "recipient": "anna@example.org", "smtp_user": "anna"}
    wrong = f.write("wrong", "wrong\n")
    assert re.search(r"535|refused", f.run(TEMPORARY, smtp_password_file=wrong, **options))
    assert f.left() == 1
    right = f.write("right", PASSWORD + "\n")
    said = f.run(smtp_password_file=right, **options)
    assert PASSWORD not in said
    assert f.left() == 0
    postfix.box.take(1)
    until(lambda: "sasl_method=SCRAM-SHA-256" in postfix.log(), why=postfix.log)


def test_postfix_refuses(office, base, servers):
    _, postfix, _ = servers
    f = Fetch(office, base, [b"Subject: x\n\nx\n"])
    said = f.run(QUARANTINED, deliver=f"smtp:localhost:{postfix.port}", ca=postfix.ca,
                 recipient="nobody@example.org")
    assert "550 5.1.1" in said
    kept = [p for p in (base / "state/quarantine").iterdir() if p.suffix != ".txt"]
    assert [p.read_bytes() for p in kept] == [wire(b"Subject: x\n\nx\n")]


@pytest.mark.parametrize("way", ["socket", "port"])
def test_dovecot_lmtp(office, base, servers, way):
    lmtp, _, _ = servers
    f = Fetch(office, base, NASTY.values())
    f.run(deliver=f"lmtp:{lmtp.socket if way == 'socket' else f'127.0.0.1:{lmtp.port}'}")
    assert f.left() == 0
    assert_same(by_trace(lmtp.box.take(len(NASTY))).values(), NASTY.values())


def test_two_targets(office, base, servers):
    lmtp, _, _ = servers
    f = Fetch(office, base, HEADED.values())
    box = base / "box"
    f.run(deliver=f"maildir:{box}\ndeliver = lmtp:{lmtp.socket}")
    assert_same(by_trace(lmtp.box.take(len(HEADED))).values(), HEADED.values())
    assert_same([p.read_bytes() for p in (box / "new").iterdir()], HEADED.values())


def program_of(kind, base):
    box = base / "box"
    for part in ("new", "cur", "tmp"):
        (box / part).mkdir(parents=True)
    if kind == "procmail":
        (base / "rc").write_text(f"DEFAULT={box}/\nMAILDIR={base}\n")
        return f"/usr/bin/procmail {base}/rc", box
    if kind == "maildrop":
        (base / "rc").write_text(f"to \"{box}\"\n")
        (base / "rc").chmod(0o600)
        return f"/usr/bin/maildrop {base}/rc", box
    (base / "rc").write_text(
        f'set lock-file "{base}/lock"\naccount "in" stdin\n'
        f'action "keep" maildir "{box}"\nmatch all action "keep"\n')
    (base / "rc").chmod(0o600)
    return f"HOME={base} /usr/bin/fdm -f {base}/rc -a in fetch", box


@pytest.mark.parametrize("kind", ["procmail", "maildrop", "fdm"])
def test_programs(office, base, kind):
    messages = {n: m for n, m in HEADED.items() if n not in ALTERED[kind]}
    command, box = program_of(kind, base)
    f = Fetch(office, base, messages.values())
    f.run(deliver=f"program:{command}", sender="list@example.org")
    assert f.left() == 0
    files = [p.read_bytes() for part in ("new", "cur") for p in (box / part).iterdir()]
    assert_same(by_trace(files).values(), messages.values())


# What each of them changes by itself; anything more is our fault.
ALTERED = {"procmail": set(), "maildrop": set(), "fdm": {"nul", "all-octets"}}


class Odd(threading.Thread):
    """An LMTP server that takes one message in each connection, and answers as told."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers, self.bodies = list(answers), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        for answer in self.answers:
            s, _ = self.listener.accept()
            with s, s.makefile("rwb") as f:
                self.talk(f, answer)
        self.listener.close()

    def talk(self, f, answer):
        def say(text):
            f.write(text + b"\r\n")
            f.flush()
        say(b"220 odd")
        for line in f:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                say(b"354 go on")
                lines = []
                while (line := f.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                self.bodies.append(b"".join(lines))
                if answer is None:
                    return
                say(answer)
            elif word == b"QUIT":
                say(b"221 bye")
                return
            else:
                say(b"250 ok")


def test_the_same_trace_id_when_the_answer_was_lost(office, base):
    f = Fetch(office, base, [b"Subject: x\n\nx\n"])
    odd = Odd([None, b"451 4.3.0 not yet", b"250 2.0.0 taken"])
    where = f"lmtp:127.0.0.1:{odd.port}"
    f.run(TEMPORARY, deliver=where)
    assert f.left() == 1
    assert "451 4.3.0 not yet" in f.run(TEMPORARY, deliver=where)
    f.run(deliver=where)
    assert f.left() == 0
    odd.join(60)
    ids = {re.match(rb"X-Restante-Trace: ([0-9a-f]{40})\r\n", b)[1] for b in odd.bodies}
    assert len(odd.bodies) == 3
    assert len(ids) == 1


def test_the_same_trace_id_after_a_kill(office, base):
    f = Fetch(office, base, [b"Subject: x\n\nx\n"])
    told, gate = base / "told", base / "gate"
    os.mkfifo(gate)
    command = (f"program:cat >/dev/null; echo $RESTANTE_TRACE $$ >>{told}; "
               f"test -e {base}/go || read x <{gate}")
    killed = subprocess.Popen(f.command(deliver=command), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: told.exists() and told.read_text().endswith("\n"), 60)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    os.kill(int(told.read_text().split()[1]), signal.SIGTERM)
    assert f.left() == 1
    (base / "go").touch()
    f.run(deliver=command)
    assert f.left() == 0
    ids = [line.split()[0] for line in told.read_text().splitlines()]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_a_program_gets_all_though_fetch_is_killed(office, base):
    """The kill comes when it has read one octet of more than any pipe holds."""
    message = b"Subject: large\n\n" + b"0123456789 abcdefghi\n" * 200000 + b"the end\n"
    f = Fetch(office, base, [message])
    told, gate, got = base / "told", base / "gate", base / "got"
    got.mkdir()
    os.mkfifo(gate)
    command = (f"program:cd {got}; dd bs=1 count=1 2>&1 >$$.part; echo $$ >>{told}; "
               f"test -e {base}/go || read x <{gate}; cat >>$$.part; mv $$.part $$.whole")
    killed = subprocess.Popen(f.command(deliver=command), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: told.exists() and told.read_text().endswith("\n"), 60)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    gate.write_text("go on\n")
    until(lambda: list(got.glob("*.whole")), 60)
    assert_same(by_trace(p.read_bytes() for p in got.iterdir()).values(), [message])
    assert f.left() == 1
    (base / "go").touch()
    f.run(deliver=command)
    assert f.left() == 0
    files = [p.read_bytes() for p in got.iterdir()]
    assert len(files) == 2
    assert files[0] == files[1]
    assert not list((base / "state/spool").iterdir())


def test_a_slow_program_is_waited_for(office, base):
    """Longer than a server may be silent; a program that is ended has its message again."""
    f = Fetch(office, base, [b"Subject: %d\n\nx\n" % i for i in range(2)])
    told = base / "told"
    command = f"program:cat >>{told}; sleep 3"
    f.run(deliver=command, timeout="1s")
    assert f.left() == 0
    assert sorted(re.findall(r"Subject: \d", told.read_text())) == ["Subject: 0", "Subject: 1"]


def test_statuses_of_a_program(office, base):
    f = Fetch(office, base, [b"Subject: x\n\nx\n"])
    assert "disk is full" in f.run(TEMPORARY, deliver="program:echo disk is full; exit 73")
    assert f.left() == 1
    assert "no such user" in f.run(QUARANTINED, deliver="program:echo no such user; exit 67")
    assert list((base / "state/quarantine").iterdir())
