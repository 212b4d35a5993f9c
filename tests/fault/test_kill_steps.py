"""One kill at each step of a commit.

A step is a system call that a program makes from QUIT to its answer: strace first writes
down which these are, and then, commit by commit, kills the program as it enters each.
"""
import collections
import os
import re
import signal
import subprocess
import time

import pytest

from house import status, until
from kill_load import Cut, KillHouse, seeded

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
MARKS = 3
# Waiting is no step.
NO_STEPS = {"epoll_wait", "epoll_pwait", "futex", "poll", "restart_syscall", "nanosleep",
            "clock_nanosleep", "exit", "exit_group"}


def runs(pid):
    try:
        return status(pid)["State"][0] not in "ZX"
    except OSError:
        return False


def waits(path):
    """Whether all threads that strace has written of wait in a call for something to do."""
    last = {}
    for line in path.read_text().splitlines():
        m = re.match(r"(\d+) +(.*)", line)
        if m:
            last[m[1]] = m[2]
    calls = [re.match(r"([a-z_0-9]+)\((?!.*\) += )", x) for x in last.values()
             if not x.startswith("+++")]
    return bool(calls) and all(m and m[1] in NO_STEPS for m in calls)


def ends(pid, path, within=0.5):
    """Whether it is killed about now: it is, or has nothing more to do."""
    end = time.monotonic() + within
    until(lambda: not runs(pid) or time.monotonic() > end and waits(path))
    return not runs(pid)


class Trace:
    """strace on a process for a while, with what it injects."""

    def __init__(self, pid, path, inject=None):
        self.pid, self.path = pid, path
        self.p = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "strace", "-f", "-s0", "-p", str(pid), "-o", path,
             *(["-e", f"inject={inject}"] if inject else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = self.p.stderr.readline()
        assert b"attached" in said, said

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # One whose tracee died may wait for ever for a thread of it; SIGTERM lets go of the
        # living.
        if runs(self.pid):
            self.p.terminate()
        else:
            self.p.kill()
        try:
            self.p.wait(20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        self.p.stderr.close()

    def steps(self):
        """(call, its number among those of that name in one thread), in their order."""
        counts, steps = collections.Counter(), {}
        for line in self.path.read_text().splitlines():
            m = re.match(r"(\d+) +([a-z_0-9]+)\(", line)
            if m and m[2] not in NO_STEPS:
                counts[m[1], m[2]] += 1
                steps[m[2], counts[m[1], m[2]]] = True
        return list(steps)


@pytest.fixture
def house(house_dir, request):
    rng = seeded(request.node.name)
    with KillHouse(house_dir("steps"), rng, users=2, fronts=1) as h:
        yield h
        for box in h.boxes:
            assert box.session(everything=True), h.log()
        h.check_lines()


def pid_of(h, program, box):
    """The one front, auth or log, or the keeper of that user."""
    def found():
        pids = list(h.children(program))
        if program == "restante-keeper":
            pids = [p for p in pids if status(p)["Uid"].split()[0] == str(box.uid)]
        return pids
    return until(found, 60, f"a {program} there")[0]


def marked_session(box):
    """One that has marked some messages and is to say QUIT."""
    while len(box.known) - len(box.maybe) < MARKS + 2:
        box.deliver()
    pop = box.log_in()
    return pop, box.talk(pop, everything=True, marks=MARKS)


def verdict(box, pop, marked):
    """QUIT: whether it was told to be done, and how many are gone."""
    try:
        told = box.quit(pop, marked)
    except Cut:
        told = False
    finally:
        pop.close()
    return told, len(set(marked.values()) - set(box.check()))


def commits(h, box, program):
    """A commit with a kill at each step. Yields (step, whether it was killed, told, gone)."""
    path = h.base / "trace"
    # The first commit in a process does more (it opens things) than later ones.
    pop, marked = marked_session(box)
    with Trace(pid_of(h, program, box), path) as t:
        assert verdict(box, pop, marked) == (True, MARKS)
        until(lambda: h.told("event=logout"))
    steps = t.steps()
    print(program, *(f"{call}:{n}" for call, n in steps))
    for call, n in steps:
        pop, marked = marked_session(box)
        pid = pid_of(h, program, box)
        with Trace(pid, path, f"{call}:signal=KILL:when={n}"):
            told, gone = verdict(box, pop, marked)
            killed = ends(pid, path)
        if killed:
            until(lambda: pid not in h.children(program), 60, "dead")
        yield (call, n), killed, told, gone


def most(killed):
    """Two runs need not do the same calls; but nearly."""
    assert sum(killed) >= 0.8 * len(killed), killed


def test_keeper(house):
    """Only what was marked is gone, and +OK is said of nothing less than all of it."""
    box, outcomes, killed = house.boxes[0], {}, []
    for step, dead, told, gone in commits(house, box, "restante-keeper"):
        killed.append(dead)
        assert not told or gone == MARKS, step
        if dead:
            outcomes[step] = (told, gone)
    most(killed)
    for n in range(1, MARKS + 1):
        assert outcomes["unlinkat", n] == (False, n - 1)
    assert outcomes["fsync", 1] == (False, MARKS)
    assert outcomes["sendmsg", 1] == (False, MARKS)


def test_front(house):
    """A verdict was given or it was not: all is gone or nothing is."""
    box, outcomes, killed = house.boxes[0], {}, []
    for step, dead, told, gone in commits(house, box, "restante-front"):
        # The keeper still works on it, maybe.
        gone = MARKS if told or gone == MARKS else decided(box)
        assert gone in (0, MARKS), step
        killed.append(dead)
        outcomes[step] = (told, gone)
    most(killed)
    assert outcomes["sendmsg", 1] == (False, 0)  # before VERDICT
    assert outcomes["recvmsg", 1] == (False, MARKS)  # before DONE
    assert outcomes["sendto", 1] == (False, MARKS)  # before +OK
    assert outcomes["sendmsg", 2] == (True, MARKS)  # after it: the log line


def decided(box):
    """How many the verdict that nobody saw answered has removed."""
    before = set(box.maybe)
    pop = box.log_in()
    gone = len(before - set(box.settle()))
    pop.close()
    return gone


@pytest.mark.parametrize("program", ["restante-auth", "restante-log"])
def test_bystanders(house, program):
    """auth and log have no part in a commit: whenever they die, it is done and said."""
    box, path = house.boxes[0], house.base / "trace"
    for call in ("newfstatat", "unlinkat", "fsync", "sendmsg"):
        pop, marked = marked_session(box)
        keeper = pid_of(house, "restante-keeper", box)
        with Trace(keeper, path, f"{call}:delay_enter=200000:when=1"):
            pop.send("NOOP")
            assert pop.line().startswith(b"+OK")
            box.maybe = set(marked.values())
            pop.send("QUIT")
            until(lambda: f"{call}(" in path.read_text(), 60, f"in {call}")
            os.kill(pid_of(house, program, box), signal.SIGKILL)
            assert pop.line().startswith(b"+OK"), call
        pop.close()
        assert not set(marked.values()) & set(box.on_disk())
        box.settle()


@pytest.mark.parametrize("program", ["restante-auth", "restante-log"])
def test_each_step_of_a_login(house, program):
    """Killed at each call that a login and the logout after it make in auth and in log."""
    box, path = house.boxes[0], house.base / "trace"
    lines = house.told("event=logout")
    assert box.session(everything=True)
    # Its line may be late, and would pass for that of the session that is traced.
    until(lambda: house.told("event=logout") > lines)
    lines = house.told("event=logout")
    with Trace(pid_of(house, program, box), path) as t:
        assert box.session(everything=True)
        until(lambda: house.told("event=logout") > lines)
    killed = []
    for call, n in t.steps():
        pid = pid_of(house, program, box)
        with Trace(pid, path, f"{call}:signal=KILL:when={n}"):
            assert box.session(everything=True), (call, n)
            killed.append(ends(pid, path))
        box.check()
    assert killed
    most(killed)
