"""Power cuts: what a store's script changed in files is written down, and a crash is made of
each beginning of that list: of what was not synced at most two changes may be missing, or
torn, or all of them (crash_model). A fresh process that opens what is left must find: each
message whose deposit was answered, once and whole, under the UIDL that a client saw; of one
that was not answered all or nothing; none whose removal was answered. And without its
caches the same; and then mail comes and goes as before.

In the quick form a sample of the states; RESTANTE_LONG=1 takes all.
"""
import random
import re

import pytest

from crash_house import fixtures
from crash_model import Model, write_tree
from store_scripts import BY_NAME, LONG, SANITIZED, SCRIPTS, SEED, House

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
SAMPLE = 60           # states, and as many of those with all or nothing unsure
SAMPLE_WITHOUT = 4000  # states for each sync that is taken out; the first fault ends it
WRONG_MAX = 10        # then a test has said enough
FOREIGN = re.compile(r"deposit(ing|ed) f\d")


base, driver = fixtures("store-crash")


class Recording:
    def __init__(self, house):
        self.house = house
        self.rng = random.Random(f"{SEED} {house.script.name}")
        self.first, self.inodes, self.lines, _ = self.house.record()
        self.tried = 0
        self.check_whole()

    def check_whole(self):
        """The trace has all that was changed: played again, it leads to what is there."""
        model = self.model()
        for line in self.lines:
            if line.kind != "say":
                model.feed(line)
        root = self.house.root
        there = {str(p.relative_to(root)): None if p.is_dir() else p.read_bytes()
                 for p in root.rglob("*")}
        played = model.tree()
        wrong = [x for x in {*there, *played} if there.get(x, 0) != played.get(x, 0)]
        assert not wrong, f"the trace does not tell how these came to be: {sorted(wrong)}"

    def model(self):
        model = Model(self.house.root, is_whole=is_flag)
        model.load(self.first, self.inodes)
        return model

    def moments(self, lines):
        """After each line: its number, the line, the model and the ledger."""
        model = self.model()
        ledger = self.house.ledger()
        said = 0
        for i, line in enumerate(lines):
            if line.kind == "say":
                ledger.say(line.words[0])
                assert not ledger.wrong, ledger.wrong
                said += 1
            else:
                model.feed(line)
            yield i, line, model, ledger, said

    def states(self, lines, sample, at_most=2, since=0):
        """(story, tree, links, ledger), no two alike; a sample of those with all or
        nothing of what is not sure, and one of the others."""
        plain, others = [], []
        for i, _, model, _, _ in self.moments(lines):
            if i >= since:
                for k in range(model.crash_count(at_most)):
                    (plain if k < 2 else others).append((i, k))
        if sample < len(others):
            others = self.rng.sample(others, sample)
        if since == 0 and sample < len(plain):
            plain = self.rng.sample(plain, sample)
        picked, seen = {}, set()
        for i, k in plain + others:
            picked.setdefault(i, set()).add(k)
        foreign = False
        for i, line, model, ledger, said in self.moments(lines):
            if line.kind == "say" and FOREIGN.match(line.words[0]):
                foreign = line.words[0].startswith("depositing")
            for k, otherwise in enumerate(model.crashes(at_most) if i in picked else ()):
                if k not in picked[i] or foreign and is_torn(otherwise):
                    continue
                tree = model.tree(otherwise)
                key = (self.house.key_of(tree, model.links), said)
                if key in seen:
                    continue
                seen.add(key)
                what = "; ".join(c.said(v) for c, v in otherwise.items()) or "all is there"
                yield (f"crash after line {i} ({line.kind} {' '.join(line.words)[:80]}): {what}",
                       tree, model.links, ledger)

    def faults(self, lines, sample, most=WRONG_MAX, **how):
        wrong = []
        for story, tree, links, ledger in self.states(lines, sample, **how):
            self.house.empty()
            write_tree(self.house.root, tree, links)
            found = self.house.look(ledger)
            self.tried += 1
            if found:
                wrong.append(f"{story}:\n    {found}")
                if len(wrong) == most:
                    break
        return wrong

    def syncs(self):
        """{kind: [number of the line]}; another program's are not ours to miss."""
        out, foreign = {}, False
        model = self.model()
        for i, line in enumerate(self.lines):
            if line.kind == "say":
                if FOREIGN.match(line.words[0]):
                    foreign = line.words[0].startswith("depositing")
                continue
            kind = None
            if line.kind == "sync" and not foreign:
                kind = self.house.kind_of(model.inodes[line.words[0]].path)
            elif line.kind == "sync_dir":
                kind = "directory " + line.words[0][len(str(self.house.root)) + 1:]
            if kind:
                out.setdefault(kind, []).append(i)
            model.feed(line)
        return out


def is_torn(otherwise):
    """Half a message that another program leaves in the mbox is not ours to mend."""
    return any(c.where.path == "box" and v is not None for c, v in otherwise.items())


def is_flag(old, new):
    """Seen moves a message that is long safe: here a rename counts as one change, as it is
    in the journal of ext4, XFS and btrfs. All other renames count as two."""
    return "/new/" in old and "/cur/" in new


def power_cut(recording):
    wrong = recording.faults(recording.lines, 10**9 if LONG else SAMPLE)
    print(f"{recording.house.script.name}: {len(recording.lines)} lines, {recording.tried} states")
    assert not wrong, "\n".join(wrong)
    assert recording.tried > 50


@pytest.mark.parametrize("name", [s.name for s in SCRIPTS])
def test_power_cut(base, driver, name):
    power_cut(Recording(House(base, BY_NAME[name], driver)))


# Kinds of syncs whose absence must be found, by script.
MISSING = {
    "maildir-new": ["message", "directory mail/anna/new", "directory mail/anna", "directory mail"],
    "maildir-old": ["message", "directory anna/new", "directory anna/cur"],
    "maildir-twins": ["identity"],
    "maildir-import": ["identity", "directory anna"],
    "mbox-new": ["mbox", "append", "directory mail"],
    "mbox-burst": ["append"],
    "mbox-old": ["mbox", "intent", "directory mail"],
    "mbox-twins": ["identity", "directory mail"],
    "mbox-rename": ["new", "directory mail"],
}


def missing_sync_is_found(recording, kinds):
    name = recording.house.script.name
    syncs, found = recording.syncs(), {}
    for kind in kinds:
        for i in syncs[kind]:
            lines = recording.lines[:i] + recording.lines[i + 1:]
            wrong = recording.faults(lines, SAMPLE_WITHOUT, most=1, at_most=1, since=i)
            found.setdefault(kind, []).append(wrong[0] if wrong else None)
            if wrong and not LONG:
                break
    for kind in kinds:
        print(f"{name} without a sync of {kind}: "
              f"{sum(x is not None for x in found[kind])} of {len(found[kind])} found, "
              f"{next((x for x in found[kind] if x), '')[:300]}")
    missed = [kind for kind, wrong in found.items() if not any(wrong)]
    assert not missed, f"not found in {recording.tried} states: {missed}"


@pytest.mark.parametrize("name", MISSING)
def test_missing_sync_is_found(base, driver, name):
    """The same of a program that leaves out one of its syncs: for each kind of them there is
    at least one without which mail is lost, comes again, or has another name."""
    missing_sync_is_found(Recording(House(base, BY_NAME[name], driver)), MISSING[name])
