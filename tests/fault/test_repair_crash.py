"""Power cuts while `restante check --repair` writes: an identity log with each kind of damage
that it mends, and a damaged index, of a Maildir and of an mbox. What a run changed is written
down, and a crash is made of each beginning of that list (test_store_crash.py). Then a session
finds the maildrop closed as before, or every UIDL as a whole repair would have left it; the
repair runs again with status 0; the damaged octets lie beside the log, whole; and mail comes
and goes.

In the quick form a sample of the states; RESTANTE_LONG=1 takes all.
"""
import os
import random
import shutil
import subprocess

import pytest

from crash_house import fixtures
from crash_model import Line
from store_scripts import BUILD, LONG, LOOK, RUN_S, SANITIZED, SEED, Script, begin_recording
from test_store_crash import Recording, missing_sync_is_found
from test_tool_crash import END, SESSION, ToolHouse

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a repair becomes another user"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")]
SAMPLE = 4
SECTOR = 512
CLOSED = "refreshed -74 0"  # EBADMSG
KINDS = {
    # Rows of another server's come before the first session; those of mail that is long
    # gone make the log longer than a page.
    "maildir": ("anna", (), {"old2": "1700000002.M2P2.old", "old5": "1700000005.M5P5.old"}),
    "mbox": ("mail/box", ("unquote",), {}),
}
STRANGERS = 40


def flipped(octets, at):
    return octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1:]


def records(octets):
    """Where each begins (identity_record.h): behind a header of 16 octets, each with its
    length in front."""
    out, at = [], 16
    while at + 4 <= len(octets):
        out.append(at)
        at += int.from_bytes(octets[at:at + 4], "little")
    assert at == len(octets) and len(octets) > 4096 + SECTOR
    return out


def without_one(octets):
    rows = records(octets)
    return octets[:rows[3]] + octets[rows[4]:]


DAMAGES = {
    "flip": lambda x: flipped(x, records(x)[2] + 50),
    "length": lambda x: flipped(x, records(x)[1]),
    "header": lambda x: flipped(x, 3),
    "head-gone": lambda x: x[records(x)[1] + 7:],
    "chain": without_one,
    "hole": lambda x: x[:2 * SECTOR] + bytes(SECTOR) + x[3 * SECTOR:],
    "behind": lambda x: x + b"\x07" * 64,
    "last": lambda x: flipped(x, len(x) - 3),
    "short": lambda x: x[:5],
    "empty": lambda x: b"",
    "garbage": lambda x: bytes(0xff - i % 7 for i in range(len(x))),
}
INDEX_DAMAGES = {"index-flip": lambda x: flipped(x, len(x) // 2), "index-cut": lambda x: x[:100]}


class RepairLedger:
    """Of the store (its rows say what a whole repair leaves), and whether one was answered."""

    def __init__(self, inner):
        self.inner, self.repaired = inner, False

    def say(self, text):
        if text == "repaired":
            self.repaired = True
        self.inner.say(text)

    @property
    def wrong(self):
        return self.inner.wrong


class RepairHouse(ToolHouse):
    def __init__(self, base, kind, damage, driver):
        self.damage, self.steps = damage, None
        path, flags, self.imported = KINDS[kind]
        super().__init__(base, Script(f"{kind}-{damage}", kind, path, flags,
                                      ("old1", "old2", "old3", "old4", "old5"), ()), driver)
        self.user = 61234
        self.root.parent.chmod(0o755)
        box = self.root / path
        self.log, self.index = (box / n if kind == "maildir" else box.parent / f".{box.name}.{n}"
                                for n in ("restante-identity", "restante-index"))
        self.make()

    def make(self):
        """A maildrop with a past, its damage, and what a repair makes of it."""
        self.give(0)
        strangers = [f"import {i:032x} gone-{i:080} 9" for i in range(STRANGERS)]
        own = [f"import {old} uidl-of-{name} {i}"
               for i, (name, old) in enumerate(self.imported.items())]
        said = self.driver.play(self.at, *strangers[:3], *own, *strangers[3:], *SESSION,
                                *((f"import {i} uidl-of-{i} {i}" for i in (1, 3))
                                  if self.script.kind == "mbox" else ()), "flush", *END,
                                *SESSION, "remove 0", "refresh", "list", *END)
        assert not [x for x in said if x.startswith(("imported", "refreshed", "removed"))
                    and x.split(" ")[1] != "0"], said
        file = self.index if self.damage.startswith("index") else self.log
        mend = INDEX_DAMAGES.get(self.damage) or DAMAGES[self.damage]
        octets = file.read_bytes()
        self.damaged = mend(octets)
        assert self.damaged != octets
        file.write_bytes(self.damaged)
        self.is_log = file == self.log
        whole = self.root.parent / f"{self.script.name}.damaged"
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(self.root, whole)
        assert (CLOSED in self.driver.play(self.at, *LOOK)) == self.is_log
        self.start = whole
        # What a repair that nobody cuts off leaves to clients.
        self.fresh()
        self.check("--repair")
        self.give(0)
        self.rows = [x for x in self.driver.play(self.at, *LOOK)
                     if x.split(" ")[0] in ("refreshed", "row", "listed")]
        assert self.rows[0] == "refreshed 0 4", self.rows

    def fresh(self):
        if not hasattr(self, "start"):
            super().fresh()
            return
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.start, self.root)
        self.give(61234)

    def command(self, *options):
        return [BUILD / "restante-move", "check", *options, "--maildrop",
                f"{self.script.kind}:{self.root}/{self.script.path}"]

    def check(self, *options):
        """Its status, as its owner."""
        self.give(61234)
        p = subprocess.run(self.command(*options), capture_output=True, text=True, timeout=RUN_S)
        self.give(0)
        if options:
            assert p.returncode == 0, p
        return p.returncode

    def ledger(self):
        inner = super().ledger()
        # One is removed; the others are there from the start.
        marks = {self.letters.mark(self.script, n) for n in self.script.before}
        there = {(int(w[4]), w[5]) for w in (x.split(" ") for x in self.rows) if w[0] == "row"}
        for mark in marks - there:
            inner.must[mark] = 0
        for x in self.rows:
            inner.say(x)
        inner.is_faulty = True  # a record of what is used up may be what is lost
        return RepairLedger(inner)

    def record(self):
        first, inodes, trace = begin_recording(self)
        lines = [*self.tool(self.command("--repair"), trace), Line("say", ["repaired"]),
                 *self.play([*SESSION, "remove 1", "refresh", "list", *END], trace)]
        return first, inodes, lines, None

    # ---- after a crash ----
    def look(self, ledger):
        self.age_locks()
        wrong = self.look_raw(ledger)
        if wrong:
            return wrong
        sound = self.check() == 0
        self.check("--repair")
        if self.check() != 0:
            return ["not sound after a repair"]
        if self.is_log:
            kept = [p.read_bytes() for p in self.log.parent.glob(self.log.name + ".damaged*")]
            if self.damaged not in kept:
                wrong.append(f"what was damaged is lost; {len(kept)} files are kept")
            if len(kept) > 1:
                wrong.append(f"it is kept {len(kept)} times")
        if ledger.repaired and not sound:
            wrong.append("was said to be repaired, and is not")
        return wrong or super().look(ledger.inner)

    def look_raw(self, ledger):
        """The next session may come before the repair runs again."""
        said = self.driver.play(self.at, *LOOK)
        if CLOSED not in said:
            return self.feed(ledger.inner.copy(), said)
        if self.log.read_bytes() != self.damaged:
            return ["neither the old log nor a new one"]
        return ["closed, and was said to be repaired"] if ledger.repaired else []


base, driver = fixtures("repair-crash")


@pytest.mark.parametrize("kind", KINDS)
def test_power_cut(base, driver, kind):
    tried, wrong = 0, []
    for damage in (*DAMAGES, *INDEX_DAMAGES):
        recording = Recording(RepairHouse(base, kind, damage, driver))
        wrong += [f"{damage}: {x}" for x in recording.faults(
            recording.lines, 10**9 if LONG else SAMPLE)]
        print(f"{kind} {damage}: {len(recording.lines)} lines, {recording.tried} states")
        tried += recording.tried
    assert not wrong, "\n".join(wrong)
    assert tried > 50


MISSING = {"maildir": ["identity", "directory anna"], "mbox": ["identity", "directory mail"]}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_sync_is_found(base, driver, kind):
    damage = random.Random(f"{SEED} {kind}").choice(sorted(DAMAGES))
    missing_sync_is_found(Recording(RepairHouse(base, kind, damage, driver)), MISSING[kind])
