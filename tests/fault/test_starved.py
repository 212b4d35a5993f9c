"""Descriptors in flight count for each user, whoever sends them: a start that meets a user who
has too many is tried again, and a server that serves loses nobody for it."""
import contextlib
import os
import socket
import subprocess
import sys

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
        p.wait(10)
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
    house.wait_for_line("event=serving", 30)
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
