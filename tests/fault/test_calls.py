"""Every system call and every allocation of each program fails in turn while it serves: a
delivery, a session that reads all and deletes one, and for the monitor a reload. Whatever
fails: no program crashes, no client waits for ever, no message is lost, comes twice, or is
another, a 250 and a +OK are true, the log says why something was refused, and the next
session is served as if nothing had been.

The quick form takes a sample by RESTANTE_SEED, RESTANTE_LONG=1 each call with each error.
"""
import collections
import os
import random

import pytest

from call_house import (ALLOCATIONS, CALLS, ENDED, LONG, SANITIZED, SEED, SHIM, SHIMMED,
                        CallHouse)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")]
SAMPLE = 20
WRONG_MAX = 10
ENDS_MAX = 2  # then a new house, for a restart waits longer each time
# What works, in which way, and how it is made to work.
WAYS = {
    "front": ("front", {}, {}), "front-tls": ("front", {"tls": True}, {}),
    "keeper": ("keeper", {}, {}), "keeper-start": ("keeper", {}, {"cold": True}),
    "auth": ("auth", {}, {}), "lmtpd": ("lmtpd", {}, {}), "log": ("log", {}, {}),
    "keys": ("keys", {"tls": True}, {}), "control": ("control", {}, {"reload": True}),
    "monitor": ("restanted", {}, {"cold": True, "reload": True}),
}


class Trial:
    """Houses one after the other, for a house may have to be left."""

    def __init__(self, make_dir, program, options):
        self.make_dir, self.program, self.options = make_dir, program, options
        self.house, self.ended, self.late = None, collections.Counter(), []

    def open(self):
        if self.house is None:
            self.house = CallHouse(self.make_dir("calls"), self.program, **self.options)
            self.house.__enter__()
            for box in self.house.boxes:
                for _ in range(2):
                    self.house.deliver(box)
                self.house.recover(box)
        return self.house

    def look(self, what):
        """Notes who ended; a house where that happened often is left."""
        h = self.house
        lines = [m[0] for x in h.lines if (m := ENDED.search(x)) and "signal=KILL" not in x]
        for x in lines[self.seen_in(h):]:
            self.ended[f"{what}: {x[:150]}"] += 1
        h.seen = len(lines)
        if len(lines) >= ENDS_MAX:
            self.close()

    @staticmethod
    def seen_in(house):
        return getattr(house, "seen", 0)

    def close(self):
        if self.house:
            house, self.house = self.house, None
            house.__exit__(None, None, None)
            self.late += house.crashes()


def faults_of(counts, rng):
    """(kind, n, pick, wraps)."""
    if LONG:
        return [(kind, n, pick, False) for kind, most in counts.items()
                for n in range(1, most + most // 4 + 3) for pick in range(7)]
    out = []
    for kind, most in counts.items():
        ns = rng.sample(range(1, most + 1), min(most, SAMPLE)) if most else []
        out += [(kind, n, rng.randrange(100), True) for n in ns]
    return out


def count(trial, how):
    """How many calls and allocations one round makes: the most of three."""
    out = {}
    for kind in (CALLS, ALLOCATIONS):
        most = 0
        for _ in range(3):
            h = trial.open()
            h.page.arm(kind, 0)
            h.round(h.boxes[0], **how)  # after a reload something may be refused
            most = max(most, h.page.disarm()[2])
            h.recover(h.boxes[0])
            assert h.boxes[0].check() == []
        out[kind] = most
    return out


@pytest.mark.parametrize("way", WAYS)
def test_each_call_fails(house_dir, way):
    assert SHIM.exists() and SHIMMED.exists(), SHIM
    print(f"RESTANTE_SEED={SEED}")
    rng = random.Random(f"{SEED} {way} calls")
    program, options, how = WAYS[way]
    trial = Trial(house_dir, program, options)
    wrong, refusals, failed, no_more = [], 0, collections.Counter(), set()
    try:
        counts = count(trial, how)
        for kind, n, pick, wraps in faults_of(counts, rng):
            if (kind, n) in no_more:
                continue
            what, calls, found, refused = trial.open().fail(kind, n, pick, wraps, **how)
            if what is None and not wraps:
                no_more.add((kind, n))  # it has no more errors
            failed[what] += 1
            refusals += bool(refused)
            if found:
                wrong.append(f"{'call' if kind == CALLS else 'allocation'} {n} of {calls}, "
                             f"{what}: {found}; refused: {refused}\n" + trial.house.log()[-1500:])
                trial.close()
                if len(wrong) == WRONG_MAX:
                    break
                continue
            trial.look(what)
    finally:
        trial.close()
    print(f"{way}: {counts[CALLS]} calls, {counts[ALLOCATIONS]} allocations a round; "
          f"{sum(failed.values()) - failed[None]} failed, {refusals} rounds were told of it")
    for what, times in sorted(trial.ended.items()):
        print(f"    {times} times {what}")
    assert not wrong, "\n".join(wrong)
    assert trial.late == []
    assert sum(failed.values()) > failed[None], "nothing failed"


def test_a_session_that_cannot_be_waited_for_is_over(house_dir):
    """Its maildrop is free for the next one, which after a reload another keeper has."""
    hits = collections.Counter()
    with CallHouse(house_dir("calls"), "keeper") as h:
        h.recover(h.boxes[0])
        for n in range(1, 1000):
            what, _, wrong, refused = h.fail(CALLS, n, 0, False, reload=True)
            assert not wrong, (n, what, refused, wrong)
            if what is None:
                break
            hits[what.split()[0]] += 1
    assert hits["epoll_ctl"] > 1, hits


def test_the_judge_sees_what_is_wrong(house_dir):
    """Mail that is lost, twice there, altered or back again is told, and nothing else is."""
    with CallHouse(house_dir("judge")) as h:
        box = h.boxes[0]
        for _ in range(4):
            h.deliver(box)
        assert h.recover(box) >= 0 and box.check() == []
        kept = sorted((box.path / "cur").iterdir()) + sorted((box.path / "new").iterdir())
        octets = [p.read_bytes() for p in kept]
        again = box.path / "new" / "4000000000.M1P1.again"
        again.write_bytes(octets[0])
        assert "2 times" in " ".join(box.check())
        again.unlink()
        kept[0].write_bytes(octets[0][:-9] + b"altered.\n")
        assert "not as it was sent" in " ".join(box.check())
        kept[0].unlink()
        assert "lost" in " ".join(box.check())
        kept[0].write_bytes(octets[0])
        again.write_bytes(octets[0].replace(b"X-Id: anna-2", b"X-Id: anna-1"))
        assert "there again" in " ".join(box.check())
        again.unlink()
        assert box.check() == []
