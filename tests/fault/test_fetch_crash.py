"""Power cuts: a run's changes of files are written down, and a crash is made of each
beginning of that list: all that was not synced may be missing (fetch_model). From each
state that a crash may leave, `restante fetch` must come to each message exactly once.

In the quick form a sample of the states; RESTANTE_LONG=1 takes all.
"""
import random
import shutil

import pytest

from fetch_drop import LONG, SANITIZED, SEED, SHIM, Drop, Place, make_base, make_mails
from fetch_model import Line, Model, key_of, read_trace, write_tree

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
SAMPLE = 60
WRONG_MAX = 10  # then a test has said enough


@pytest.fixture(scope="module")
def base():
    path = make_base("fetch-crash")
    yield path
    shutil.rmtree(path)


class Recording:
    """Three messages in two windows; then one more comes, and a second run."""

    def __init__(self, base, name, targets, keep=False, skip=None):
        assert SHIM.exists(), SHIM
        print(f"RESTANTE_SEED={SEED}")
        self.rng = random.Random(f"{SEED} {name}")
        self.drop = Drop([])
        self.place = Place(base / name, targets, keep, ["--commit-messages", "2"], run_s=5)
        mails = make_mails(4, self.rng)
        self.lines = []
        for some in (mails[:3], mails[3:]):
            self.drop.mails = self.drop.mails + some
            trace = base / f"{name}.trace"
            env = self.place.shim(trace=trace, **({"skip": skip} if skip else {}))
            ran = self.place.run(self.drop.port, env)
            assert ran.code == 0, ran
            self.lines += [Line("arrive", some), *read_trace(trace)]
        self.tried = 0

    def models(self):
        model = Model(self.place.root)
        for i, line in enumerate(self.lines, 1):
            model.feed(line)
            yield i, line, model

    def picked(self, sample):
        """(number of the crash, at which line): those with all or nothing of what is not
        sure, and of the others a sample."""
        plain, others = [], []
        for i, _, model in self.models():
            for k, _ in enumerate(model.crashes()):
                (plain if k < 2 else others).append((i, k))
        if sample < len(others):
            others = self.rng.sample(others, sample)
        if 0 < sample < len(plain):
            plain = self.rng.sample(plain, sample)
        return len(plain) + len(others), plain, others

    def states(self, sample):
        """(story, tree, what the server has, what it had), no two alike."""
        _, plain, others = self.picked(sample)
        picked, seen = {}, set()
        for i, k in plain + others:
            picked.setdefault(i, set()).add(k)
        for i, line, model in self.models():
            whole = model.tree()
            for k, otherwise in enumerate(model.crashes()):
                if k not in picked.get(i, ()):
                    continue
                tree = model.tree(otherwise)
                key = key_of(tree, model.left, whole)
                if key in seen:
                    continue
                seen.add(key)
                said = "; ".join(c.said(v) for c, v in otherwise.items()) or "all is there"
                yield (f"crash after line {i} ({line.kind} {' '.join(map(str, line.words))[:80]})"
                       f": {said}", tree, model.left, model.arrived)

    def faults(self, sample, most=WRONG_MAX):
        """What is wrong after crashes, in words; `most` of them."""
        wrong = []
        for story, tree, left, arrived in self.states(sample):
            self.place.fresh()
            write_tree(self.place.root, tree)
            self.drop.mails, self.drop.faults = list(left), []
            found = self.place.what_is_wrong(self.drop, arrived)
            self.tried += 1
            if found:
                wrong.append(f"{story}:\n    {found}")
                if len(wrong) == most:
                    break
        self.drop.close()
        return wrong


@pytest.mark.parametrize("targets,keep", [("maildir", False), ("mbox", False), ("both", False),
                                          ("two", False), ("both", True)])
def test_power_cut(base, targets, keep):
    recording = Recording(base, f"{targets}-{keep}", targets, keep)
    total = recording.picked(0)[0]
    wrong = recording.faults(10**9 if LONG else SAMPLE)
    print(f"{targets}, keep={keep}: {len(recording.lines)} lines, {recording.tried} states")
    assert not wrong, "\n".join(wrong)
    assert total > 200 and recording.tried > 50


@pytest.mark.parametrize("skip,targets", [("files", "maildir"), ("dirs", "maildir"),
                                          ("journal", "mbox")])
def test_missing_sync_is_found(base, skip, targets):
    """The same check of a program that leaves out its syncs of message files, of tmp/ and
    new/, or of the journal: it must find that mail is lost or doubled."""
    recording = Recording(base, f"without-{skip}", targets, skip=skip)
    wrong = recording.faults(2000, most=3)
    text = "\n".join(wrong)
    assert any(word in text for word in ("lost: ", "doubled: ", "torn")), \
        f"not found in {recording.tried} states: {text}"
    print(f"without {skip}: {text[:500]}")
