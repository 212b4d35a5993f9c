"""Descriptors in flight count for each user, whoever sends them: a start that meets a user who
has too many is tried again, and a server that serves loses nobody for it."""
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from house import CALLER, House, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become two users")
FILES = 600  # what restanted may have open, and with that in flight
MAIL = [b"Subject: %d\n\nbody %d\n" % (i, i) for i in range(3)]
USERS = {"anna": ("secret", CALLER, MAIL)}
FLOOD = """
import array, socket, sys
held = []
fds = array.array("i", [0] * 200)
for _ in range(%d // 200 + 2):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    held.append((a, b))
print("full", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def flood():
    """More in flight than restanted may have, for as long as the block lasts."""
    p = subprocess.Popen([sys.executable, "-c", FLOOD % FILES], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, user=CALLER, group=CALLER, extra_groups=[])
    try:
        assert p.stdout.readline() == b"full\n"
        yield
    finally:
        p.stdin.close()
        p.wait(60)
        p.stdout.close()


def few_files():
    return ["/bin/sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"]


def session(house):
    c = house.connect()
    assert c.login("anna", "secret").startswith(b"+OK"), house.log()
    assert b"body 0\r\n" in c.multi("RETR 1")
    return c


@pytest.fixture
def house(house_dir):
    h = House(house_dir("starved"), USERS, as_uid=CALLER, wrap=few_files())
    try:
        yield h
    finally:
        h.__exit__()


def test_a_start_waits_for_its_turn(house):
    with flood():
        house.start()
        house.wait_for_line("event=process_starved")
        until(lambda: house.log().count("event=process_starved") > 3)
    house.wait_for_line("event=serving", 60)
    c = session(house)
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


def test_who_is_served_stays_so(house):
    house.start()
    house.wait_for_line("event=serving")
    c = session(house)
    with flood():
        mark = len(house.lines)
        other = house.connect()
        assert b"[SYS/TEMP]" in other.login("anna", "secret"), house.log()
        other.close()
        c.s.sendall(b"RETR 2\r\n")  # its descriptor waits
        assert not [x for x in house.lines[mark:] if "process_" in x], house.log()
    assert c.f.readline().startswith(b"+OK")
    assert list(iter(c.f.readline, b".\r\n"))[-1] == b"body 1\r\n"
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    session(house).close()


@contextlib.contextmanager
def failures(pid, out):
    """While the block lasts, sends of that process that fail are written to out."""
    p = subprocess.Popen(["strace", "-e", "trace=sendmsg", "-e", "status=failed", "-o", out, "-p",
                          str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert b"attached" in p.stderr.readline()
        yield
    finally:
        p.send_signal(signal.SIGINT)
        p.stderr.read()
        p.wait(60)
        p.stderr.close()


def test_what_cannot_be_told_is_not_tried_without_a_pause(house, tmp_path):
    """restante-log cannot be told of a new process: its channel has room all the time."""
    house.start()
    house.wait_for_line("event=serving")
    with flood():
        mark = len(house.lines)
        os.kill(*house.children("restante-control"), signal.SIGKILL)
        house.wait_for_line("event=process_starved", since=mark)
        begin = time.monotonic()
        with failures(house.p.pid, tmp_path / "failed"):
            until(lambda: house.log().count("event=process_starved") > 4, 60)
        took = time.monotonic() - begin
    tries = (tmp_path / "failed").read_text().count("ETOOMANYREFS")
    # Every 20 ms, and what the starts of restante-control try.
    assert 0 < tries < took * 50 + 100, f"{tries} tries in {took:.1f} s"
    # Then all is told: who was not known to restante-log is heard, and counted.
    house.wait_for_line("process_ready child=restante-control", 60, mark)
    session(house).close()
    assert [n for name, n in house.stat().items() if "restarts_total" in name and n > 0]
