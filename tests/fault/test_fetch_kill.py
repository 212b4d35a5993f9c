"""`restante fetch` killed with SIGKILL at any moment: after it nothing is lost, doubled or
torn, and nothing is left behind.

RESTANTE_SEED repeats a series; RESTANTE_LONG=1 makes it ten times as long.
"""
import collections
import itertools
import random
import shutil
import subprocess
import threading
import time

import pytest

from fetch_drop import LONG, SANITIZED, SEED, SHIM, Drop, Place, make_base, make_mails

MAILS = 30
KILLS = 1000 if LONG else 50
NAMED = 300 if LONG else 20  # of calls, besides
WAYS = [(targets, keep) for targets in ("maildir", "mbox", "both", "two")
        for keep in (False, True)]
# Small windows and short sessions have more moments of interest.
MORE = [[], ["--window", "3"], ["--commit-messages", "4"], ["--commit-messages", "7"]]


@pytest.fixture(scope="module")
def base():
    path = make_base("fetch-kill")
    yield path
    shutil.rmtree(path)


class Trials:
    """A maildrop and a place for each way to collect."""

    def __init__(self, base, what):
        print(f"RESTANTE_SEED={SEED}")
        self.rng = random.Random(f"{SEED} {what}")
        self.base, self.what = base, what
        self.mails = make_mails(MAILS, self.rng)
        self.lengths = {}
        self.died = collections.Counter()
        self.drop = Drop(self.mails)
        self.login = threading.Event()
        self.drop.on_login = self.login.set

    def place(self, i):
        targets, keep = WAYS[i % len(WAYS)]
        more = self.rng.choice(MORE)
        self.drop.mails = list(self.mails)
        self.login.clear()
        return Place(self.base / f"{self.what}-{targets}-{keep}", targets, keep, more)

    @staticmethod
    def key(place):
        return place.targets, place.keep, tuple(place.more)

    def length(self, place):
        """Seconds from the login to the end of a whole run: of the longest of three, and then
        of the last one that ended before it was killed."""
        key = self.key(place)
        if key not in self.lengths:
            found = []
            for _ in range(3):
                place.fresh()
                self.drop.mails = list(self.mails)
                self.login.clear()
                p = place.start(self.drop.port)
                assert self.login.wait(60), place.wait(p)
                start = time.monotonic()
                ran = place.wait(p)
                found.append(time.monotonic() - start)
                assert ran.code == 0, ran
            self.lengths[key] = max(found)
            place.fresh()
            self.drop.mails = list(self.mails)
            self.login.clear()
        return self.lengths[key]

    def kill(self, place, share, from_login=True):
        """Kills a run at that share of its length; whether it was still running."""
        moment = share * self.length(place)
        p = place.start(self.drop.port)
        if from_login:
            self.login.wait(60)
        start = time.monotonic()
        try:
            p.wait(moment)
            if from_login:
                self.lengths[self.key(place)] = time.monotonic() - start
        except subprocess.TimeoutExpired:
            p.kill()
        code = place.wait(p).code
        self.died[code] += 1
        assert code in (0, -9), code
        return code == -9

    def close(self):
        self.drop.close()
        print(f"{self.what}: exit codes {dict(self.died)}")


def test_any_moment(base):
    trials = Trials(base, "moment")
    try:
        for i in itertools.count():
            if trials.died[-9] >= KILLS:
                break
            place = trials.place(i)
            trials.length(place)
            place.fresh()
            share, again = trials.rng.uniform(0, 1.05), trials.rng.random() < 0.25
            from_login = trials.rng.random() < 0.85
            trials.drop.at_quit = deleted_only_what_is_held(place, trials.drop)
            trials.kill(place, share, from_login)
            story = f"trial {i}, {WAYS[i % len(WAYS)]} {place.more}, killed at {share:.3f}"
            if again:  # also what sets right is killed
                share = trials.rng.uniform(0, 1)
                trials.kill(place, share, from_login=False)
                story += f", again at {share:.3f}"
            place.exactly_once(trials.drop, trials.mails, story)
            trials.drop.at_quit = None
            assert i < 3 * KILLS, f"too many runs ended before: {trials.died}"
    finally:
        trials.close()


def deleted_only_what_is_held(place, drop):
    def look(gone):
        drop.faults += [f"deleted, not delivered: {m.uid}" for m in gone
                        if not place.held_everywhere(m)]
    return look


KINDS = ("write", "pwrite", "fsync", "fdatasync", "create", "rename", "link", "unlink", "mkdir",
         "truncate", "sql_step")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
def test_between_calls(base):
    """Killed just before or just after the n-th call of a kind."""
    assert SHIM.exists(), SHIM
    trials = Trials(base, "calls")
    try:
        for i in range(NAMED):
            place = trials.place(i)
            place.fresh()
            counts = place.root.parent / "counts"
            assert place.run(trials.drop.port, place.shim(counts=counts)).code == 0
            calls = {k: int(n) for k, n in (x.split() for x in counts.read_text().splitlines())}
            place.fresh()
            trials.drop.mails = list(trials.mails)
            kind = trials.rng.choice([k for k in KINDS if calls[k]])
            fault = (f"{kind}:{trials.rng.randint(1, calls[kind])}:"
                     f"{trials.rng.choice(('before', 'after'))}")
            trials.drop.at_quit = deleted_only_what_is_held(place, trials.drop)
            trials.died[place.run(trials.drop.port, place.shim(fault=fault)).code] += 1
            place.exactly_once(trials.drop, trials.mails, f"trial {i}, {WAYS[i % len(WAYS)]} "
                               f"{place.more}, killed at {fault}")
            trials.drop.at_quit = None
    finally:
        trials.close()
    # How many calls there are depends a little on time.
    assert trials.died[-9] > NAMED * 0.8, trials.died
