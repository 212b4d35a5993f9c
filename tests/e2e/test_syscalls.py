"""What a session costs, in numbers that do not depend on the machine: system calls of all
processes together. A bound here is what was reached plus 15 %; doc/performance.md says what
the calls are. Whoever needs one more has a reason and moves the bound."""
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from postoffice import make_maildir, until
from pop import Pop

SESSIONS, MESSAGES = 40, 50
LOGIN_MAX, POLL_MAX, RETR_MAX = 83, 89, 505
TLS_LOGIN_MAX = 100
WARM_UP = 3

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


@pytest.fixture
def warm(office, base):
    """An office whose maildrop was collected before: index, snapshot and credentials stand."""
    maildir = base / "anna"
    make_maildir(maildir, [b"Subject: %d\n\n%s\n" % (i, b"text " * 40) for i in range(MESSAGES)])
    o = office(users=[("anna", "secret", maildir)])
    for _ in range(WARM_UP):
        login(o)
    return o


def begin(o, tls=False):
    p = Pop(o.host, o.pop3s, o.ca) if tls else Pop(o.host, o.pop3)
    assert p.login("anna", "secret").startswith(b"+OK"), o.log()
    assert p.say("STAT").split()[1] == b"%d" % MESSAGES
    return p


def end(o, p):
    """Until both log lines of this session are written: nothing of it is left to be done."""
    since = o.mark()
    assert p.say("QUIT").startswith(b"+OK")
    p.close()
    o.wait_for_log("event=logout", since=since)


def login(o):
    end(o, begin(o))


def login_over_tls(o):
    end(o, begin(o, tls=True))


def poll(o):
    p = Pop(o.host, o.pop3)
    assert p.multi("CAPA")
    assert p.login("anna", "secret").startswith(b"+OK"), o.log()
    assert p.say("STAT").startswith(b"+OK")
    assert len(p.multi("UIDL")) == MESSAGES
    end(o, p)


def retrieve(o):
    p = begin(o)
    p.send(b"".join(b"RETR %d\r\n" % i for i in range(1, MESSAGES + 1)))
    for _ in range(MESSAGES):
        assert p.line().startswith(b"+OK")
        p.body()
    end(o, p)


@contextlib.contextmanager
def traced(o, tmp_path, *options):
    """strace over all processes of the office; gives {program: [output file]}."""
    straces, files = [], {}
    try:
        for pid, name in o.tree().items():
            out = tmp_path / f"{name}.{pid}"
            files.setdefault(name, []).append(out)
            straces.append(subprocess.Popen(
                ["strace", "-f", *options, "-o", out, "-p", str(pid)],
                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL))
        for s in straces:
            assert b"attached" in s.stderr.readline()
        until(lambda: all(map(is_traced, o.tree())), why="a thread is not traced")
        yield files
    finally:
        for s in straces:
            s.send_signal(signal.SIGINT)
        for s in straces:
            s.stderr.read()
            s.wait(60)
            s.stderr.close()


def is_traced(pid):
    return all("TracerPid:\t0\n" not in (t / "status").read_text()
               for t in pathlib.Path(f"/proc/{pid}/task").iterdir())


def calls_of(text):
    """{system call: how often} of a table of strace -c."""
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", text, re.M)
    return {name: int(n) for n, name in rows if name != "total"}


def calls_a_session(o, tmp_path, session):
    """{program: {system call: how often a session}}."""
    with traced(o, tmp_path, "-c") as files:
        for _ in range(SESSIONS):
            session(o)
    by_program = {}
    for name, outs in sorted(files.items()):
        sums = by_program[name] = {}
        for out in outs:
            for call, n in calls_of(out.read_text()).items():
                sums[call] = sums.get(call, 0) + n / SESSIONS
    return by_program


def told(by_program):
    return "\n".join(f"{name} {sum(sums.values()):.1f}: " + ", ".join(
        f"{call} {n:.2f}" for call, n in sorted(sums.items(), key=lambda x: -x[1]))
        for name, sums in by_program.items())


@pytest.mark.parametrize("session,most",
                         [(login, LOGIN_MAX), (login_over_tls, TLS_LOGIN_MAX),
                          (poll, POLL_MAX), (retrieve, RETR_MAX)],
                         ids=["login", "login-tls", "poll", "retr"])
def test_system_calls_of_a_session(warm, tmp_path, session, most):
    calls = calls_a_session(warm, tmp_path, session)
    got = sum(n for sums in calls.values() for n in sums.values())
    assert got <= most, f"{got:.1f} system calls a session, more than {most}:\n{told(calls)}"


def test_a_message_is_opened_once_and_read_once(warm, tmp_path):
    """What is asked about its descriptor is asked with that one read; and the keeper hands
    over in one batch what a client asks for at once."""
    calls = calls_a_session(warm, tmp_path, retrieve)
    front, keeper = calls["restante-front"], calls["restante-keeper"]
    few = MESSAGES + 0.5  # what a message costs once, and little else
    assert front["preadv2"] <= few and front["fcntl"] <= few, told(calls)
    fstat = front.get("newfstatat", 0) + front.get("fstat", 0)  # as the library calls it
    assert 0 < fstat <= few, told(calls)
    # A snapshot and a batch; on a busy machine now and then two, never one for each message.
    assert keeper["sendmsg"] < 3, told(calls)


def test_a_warm_login_reads_no_directory(warm, tmp_path):
    with traced(warm, tmp_path, "-e", "trace=open,openat,openat2,getdents64") as files:
        for _ in range(5):
            login(warm)
    lines = [line for outs in files.values() for out in outs
             for line in out.read_text().splitlines() if "open" in line or "getdents" in line]
    opened = [m.group(1) for line in lines if (m := re.search(r'open\w*\([^"]*"([^"]*)"', line))]
    # The lock of every session shows that the trace saw the keeper at all.
    assert opened.count("restante-lock") == 5, lines
    assert not [line for line in lines if "getdents" in line], lines
    assert {"restante-lock", *(x for x in opened if x.endswith("anna"))} == set(opened), lines
