"""Every system call and every allocation of `restante fetch` fails in turn, sockets and threads
and those of its libraries among them (test_fetch_calls.py has what changes files, and
SQLite). A run ends by itself with a status and a word, deletes nothing on the server that is
not in all targets, and runs without faults set all right.

The quick form takes a sample by RESTANTE_SEED, RESTANTE_LONG=1 each call with each error.
"""
import collections
import os
import random
import shutil

import pytest

from call_house import ALLOCATIONS, CALLS, SHIM, Page
from fetch_drop import LONG, SANITIZED, SEED, Drop, Place, make_base, make_mails

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
SAMPLE = {CALLS: 20, ALLOCATIONS: 15}
WRONG_MAX = 10
# sysexits: all is collected; no server; the system; the state cannot be made; its octets;
# later; an answer that cannot be; permission; the configuration (a password that could not be
# read). Memory that is short is the system's, and passes: nobody wrote or said anything wrong.
CODES = {CALLS: {0, 69, 71, 73, 74, 75, 76, 77, 78}, ALLOCATIONS: {0, 69, 71, 75}}
START = 12  # allocations, of the settings and of the start of OpenSSL: each of them


@pytest.fixture(scope="module")
def base():
    path = make_base("fetch-nth")
    yield path
    shutil.rmtree(path)


class Trial:
    def __init__(self, base, targets):
        self.mails = make_mails(3, random.Random(f"{SEED} mails"))
        self.drop = Drop(self.mails)
        self.place = Place(base / targets, targets, more=["--commit-messages", "2"])
        self.page = Page(base / f"{targets}.page")
        self.env = {"LD_PRELOAD": str(SHIM), "CALL_SHIM_PAGE": str(base / f"{targets}.page")}
        self.early = []
        self.drop.at_quit = self.look

    def look(self, gone):
        self.early += [m.uid.decode() for m in gone if not self.place.held_everywhere(m)]

    def fail(self, kind, n, pick=0, wraps=True):
        """(what failed or None, how many calls, what is wrong, the exit status)."""
        self.place.fresh()
        self.drop.mails, self.drop.faults, self.early = list(self.mails), [], []
        self.page.arm(kind, n, pick, wraps)
        try:
            ran, wrong = self.place.run(self.drop.port, self.env), []
        except AssertionError as e:
            self.page.disarm()
            return "a call", 0, [str(e)], None
        hit, name, count = self.page.disarm()
        what = f"{name} ({'short' if hit < 0 else os.strerror(hit)})" if hit else None
        if ran.code not in CODES[kind]:
            wrong.append(f"exit status {ran.code}: {ran.err!r}")
        if ran.code and not ran.err:
            wrong.append(f"exit status {ran.code} without a word")
        wrong += [f"deleted, not there: {x}" for x in self.early]
        wrong += self.place.what_is_wrong(self.drop, self.mails)
        return what, count, wrong, ran.code


@pytest.mark.parametrize("targets", ["both"])
def test_each_call_fails(base, targets):
    print(f"RESTANTE_SEED={SEED}")
    rng = random.Random(f"{SEED} nth")
    trial = Trial(base, targets)
    wrong, codes, failed = [], collections.Counter(), collections.Counter()
    try:
        counts = {}
        for kind in (CALLS, ALLOCATIONS):
            what, counts[kind], found, code = trial.fail(kind, 0)
            assert (what, found, code) == (None, [], 0), (what, found, code)
        faults = [(k, n, pick, False) for k, most in counts.items()
                  for n in range(1, most + 1) for pick in range(6)] if LONG else [
            (k, n, rng.randrange(100), True) for k, most in counts.items()
            for n in rng.sample(range(1, most + 1), min(most, SAMPLE[k]))]
        if not LONG:
            faults += [(ALLOCATIONS, n, 0, True) for n in range(1, START + 1)]
        no_more = set()
        for kind, n, pick, wraps in faults:
            if (kind, n) in no_more:
                continue
            what, _, found, code = trial.fail(kind, n, pick, wraps)
            if what is None and not wraps:
                no_more.add((kind, n))
            failed[what] += 1
            codes[code] += 1
            if found:
                wrong.append(f"{'call' if kind == CALLS else 'allocation'} {n}, {what}: {found}")
                if len(wrong) == WRONG_MAX:
                    break
    finally:
        trial.drop.close()
        trial.page.close()
    print(f"{targets}: {counts[CALLS]} calls, {counts[ALLOCATIONS]} allocations a run; "
          f"{sum(failed.values()) - failed[None]} failed; exit statuses {dict(codes)}")
    assert not wrong, "\n".join(wrong)
    assert len(codes) > 1, "no call that failed stopped a run"
