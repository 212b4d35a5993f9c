"""Calls of the monitor's start whose failure once left a part of the server out without a
word: with each of them failing in turn the whole server comes up, or it ends with status 1
and says why. strace makes them fail, in the monitor alone."""
import os
import pathlib
import random
import re
import shutil
import socket
import sys

import pytest

from call_house import LONG, SANITIZED, SEED, CallHouse, until
from house import status

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer makes such calls too"),
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")]
CALLS = {"getsockname": "ENOBUFS", "capget": "EFAULT", "getrandom": "EAGAIN"}
# What restanted keeps, and what its children may ever have (privileges.c).
PRIVILEGES = ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs")
TOLD = re.compile(r"(?m)^restanted: |level=error")
SAMPLE = 3
START_S = 60


def traced(house, call, error, when):
    """In front of the server; it stays the process that the house started."""
    trace = house.base / "trace"
    house.command = ["strace", "-D", "-o", trace, "-e", f"trace={call}", "-e",
                     f"inject={call}:error={error}:when={when}", *house.command]
    return trace


def start(base, call, error, when, whole=None):
    """(whether it was made to fail, how many such calls, its privileges where it serves, what
    is wrong). whole: the privileges of a start in which nothing fails."""
    base.mkdir()
    house, wrong, has = CallHouse(base, tls=True), [], None
    trace = traced(house, call, error, when)
    try:
        house.start()
        until(lambda: house.p.poll() is not None or "event=serving" in house.log(), START_S,
              f"serving or at its end: {house.log()}")
        if house.p.poll() is None:
            has = [status(house.p.pid)[x] for x in PRIVILEGES]
            if has != (whole or has):
                wrong.append(f"{has}, not {whole}")
            house.recover(house.boxes[0])
            wrong += house.boxes[0].check()
        else:
            house.reader.join(START_S)
            if house.p.returncode != 1 or not TOLD.search(house.log()):
                wrong.append(f"status {house.p.returncode}: {house.log()}")
    except AssertionError as e:
        wrong.append(f"{e}\n{house.log()[-1500:]}")
    finally:
        house.__exit__()
    until(lambda: "+++ " in trace.read_text(errors="replace"), START_S, "strace at its end")
    rows = [x for x in trace.read_text(errors="replace").splitlines() if x.startswith(call)]
    return any("(INJECTED)" in x for x in rows), len(rows), has, wrong


@pytest.mark.parametrize("call", CALLS)
def test_each_failure_ends_it_or_does_no_harm(house_dir, call):
    print(f"RESTANTE_SEED={SEED}")
    at = pathlib.Path(house_dir("told"))
    at.chmod(0o755)
    hit, n, whole, wrong = start(at / "0", call, CALLS[call], 60000)
    assert whole and not hit and not wrong and n > 0, (n, wrong)
    places = range(1, n + 1)
    if not LONG:
        places = random.Random(f"{SEED} {call}").sample(places, min(n, SAMPLE))
    bad, hits = [], 0
    for i in places:
        hit, _, _, wrong = start(at / f"{i}", call, CALLS[call], i, whole)
        hits += hit
        bad += [f"{call} {i}: {x}" for x in wrong]
    assert not bad, "\n".join(bad)
    assert hits > 0, f"{n} calls, and none failed"


def test_a_deny_list_that_fails_once_is_read_again(house_dir):
    """The first reading is that of the check, the second counts."""
    base = pathlib.Path(house_dir("told"))
    base.chmod(0o755)
    denied = base / "denied"
    denied.write_text("192.0.2.1\n198.51.100.0/24\n")
    (base / "0").mkdir()
    house = CallHouse(base / "0", options={"deny_file": denied})
    house.command = ["strace", "-D", "-qq", "-o", "/dev/null", "-P", denied, "-e", "trace=openat",
                     "-e", "inject=openat:error=ENFILE:when=2", *house.command]
    with house:
        house.wait_for_line("deny_file: .*Too many open files in system; what was denied before")
        house.wait_for_line("deny_file: 2 networks are not served")


def test_a_service_manager_that_is_not_there_is_told(house_dir):
    base = pathlib.Path(house_dir("told"))
    base.chmod(0o755)
    (base / "0").mkdir()
    house = CallHouse(base / "0")
    house.env = {"NOTIFY_SOCKET": str(base / "nobody")}
    with house:
        house.wait_for_line("the service manager at .*/nobody cannot be told that READY=1: "
                            "No such file")
        house.recover(house.boxes[0])


def test_a_given_socket_that_cannot_be_asked_ends_the_start(house_dir):
    """By socket activation: it would be served as one of another kind."""
    base = pathlib.Path(house_dir("told"))
    base.chmod(0o755)
    (base / "0").mkdir()
    house = CallHouse(base / "0")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(base / "given"))
        s.listen()
        code = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.set_inheritable(3, True)\n"
                "os.environ['LISTEN_PID'] = str(os.getpid())\n"
                "os.execv(sys.argv[2], sys.argv[2:])\n")
        house.env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "lmtp"}
        house.pass_fds = (s.fileno(),)
        house.command = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=getsockname", "-e",
                         "inject=getsockname:error=ENOBUFS", sys.executable, "-c", code,
                         str(s.fileno()), *house.command]
        house.start()
        until(lambda: house.p.poll() is not None, START_S, "ended")
        house.__exit__()
    assert house.p.returncode == 1, house.log()
    assert "the service manager's socket lmtp cannot be listened at: No buffer space" in house.log()
