"""Every system call and every allocation of a start fails in turn, in the monitor and in each
of the programs that it starts. A server that serves then serves as ever; one that does not
has ended with status 1, said why, and left no process behind; and the next start is sound.

The quick form takes a sample by RESTANTE_SEED. RESTANTE_LONG=1 takes each call with each error,
and each allocation; of the ten thousands that OpenSSL's start is, as many as ALLOCATIONS_MAX.
Each program has a file of its own, test_start_*.py: they run beside each other.
"""
import collections
import os
import pathlib
import random
import re
import shutil
import socket

import pytest

from call_house import (ALLOCATIONS, CALLS, CRASH, LONG, SANITIZED, SEED, WHY, CallHouse,
                        until)

MARKS = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")]
ALLOCATIONS_MAX = 2000
SAMPLE = {CALLS: 3, ALLOCATIONS: 1}
START_S = 30
WRONG_MAX = 6
# Where there is no memory for its secure heap OpenSSL ends the program itself; the monitor sees
# it and says so.
LIBRARY = {"keys": re.compile(r"event=process_ended .*signal=ABRT")}


def greets(house):
    try:
        with socket.create_connection(("127.0.0.1", house.port), 1) as s:
            return s.recv(3) == b"+OK"
    except OSError:
        return False


def settled(house, program):
    """It serves, or has ended. The line that says so may be the one that could not be
    written."""
    until(lambda: house.p.poll() is not None or "event=serving" in house.log() or
          (program == "log" and house.page.failed() == "write" and greets(house)), START_S,
          f"ready or at its end:\n{house.log()}")
    return house.p.poll() is None


def left_behind(base):
    """Processes of that directory's programs."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if exe.startswith(f"{base}/"):
            out.append((pid, exe))
    return out


def recover(house, box):
    """A key that could not be read is told, and there is no TLS until the next reload."""
    try:
        house.recover(box)
    except AssertionError as e:
        if "TLS is not offered" not in str(e) or not any(
                "certificate" in x and WHY.search(x) for x in house.lines):
            raise
        house.reload()
        house.recover(box)


def start(base, program, kind, n, pick, wraps):
    """(what failed, how many calls, whether it served, what is wrong)."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    house, wrong, serves = CallHouse(base, program, tls=program == "keys"), [], False
    house.page.arm(kind, n, pick, wraps)
    house.start()
    try:
        serves = settled(house, program)
        hit, name, count = house.page.disarm()
        if serves:
            box = house.boxes[0]
            recover(house, box)
            wrong += box.check()
        elif house.p.returncode != 1:
            wrong.append(f"status {house.p.returncode}")
    except AssertionError as e:
        hit, name, count = house.page.disarm()
        wrong.append(str(e))
    finally:
        house.__exit__()
    what = f"{name} ({'short' if hit < 0 else os.strerror(hit)})" if hit else None
    if not serves and n == 0:
        wrong.append("ended, and no call had failed")
    if not serves and not any(WHY.search(x) or x.startswith("restanted:") for x in house.lines):
        wrong.append("ended without a word")
    in_library = program in LIBRARY and kind == ALLOCATIONS and what and " at " not in what \
        and not serves
    wrong += [x for x in house.lines
              if CRASH.search(x) and not (in_library and LIBRARY[program].search(x))]
    until(lambda: not left_behind(base), 60, "all gone")
    if wrong:
        wrong.append(house.log()[-1200:])
    return what, count, serves, wrong


def faults(rng, counts):
    """(kind, which, error, whether errors wrap) of each start."""
    if not LONG:
        return [(k, n, rng.randrange(100), True) for k, most in counts.items()
                for n in rng.sample(range(1, most + 1), min(most, SAMPLE[k]))]
    calls, allocations = counts[CALLS], counts[ALLOCATIONS]
    return [(CALLS, n, pick, False) for n in range(1, calls + 1) for pick in range(6)] + [
        (ALLOCATIONS, n, 0, False)
        for n in sorted(rng.sample(range(1, allocations + 1), min(allocations, ALLOCATIONS_MAX)))]


def each_fails(house_dir, program):
    print(f"RESTANTE_SEED={SEED}")
    base = pathlib.Path(house_dir("start")) / "house"
    base.parent.chmod(0o755)
    rng = random.Random(f"{SEED} {program} start")
    counts, wrong, outcomes, no_more = {}, [], collections.Counter(), set()
    for kind in (CALLS, ALLOCATIONS):
        _, counts[kind], serves, found = start(base, program, kind, 0, 0, True)
        assert serves and not found, found
    for kind, n, pick, wraps in faults(rng, counts):
        if (kind, n) in no_more:
            continue
        what, _, serves, found = start(base, program, kind, n, pick, wraps)
        if what is None and not wraps:
            no_more.add((kind, n))
        outcomes["serves" if serves else "ended"] += 1
        if found:
            wrong.append(f"{'call' if kind == CALLS else 'allocation'} {n}, {what}: {found}")
            if len(wrong) == WRONG_MAX:
                break
    print(f"{program}: {counts[CALLS]} calls, {counts[ALLOCATIONS]} allocations a start; "
          f"{dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
