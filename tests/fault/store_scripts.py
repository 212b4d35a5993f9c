"""Scripts for store_drive, and a ledger of what it said: from that follows what must be
there, what may, and what never again, whatever failed and whenever the power was cut."""
import collections
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import zlib

from crash_model import read_trace
from fetch_drop import BUILD, LONG, REPORT, SEED, make_base  # noqa: F401

DRIVE = BUILD / "tests" / "fault" / "store_drive"
SHIM = BUILD / "tests" / "fault" / "libstore_shim.so"
SANITIZED = b"__asan_init" in DRIVE.read_bytes() if DRIVE.exists() else False
RUN_S = 60
ENOENT = -2
HEAD = b"Return-Path: <sender@example.org>\nDelivered-To: anna@example.com\n"
# Without a line, in a name or an index, a client sees what it saw before.
CACHES = ("restante-index", ".box.restante-index")

Script = collections.namedtuple("Script", "name kind path flags before lines")
Row = collections.namedtuple("Row", "uidl wire octets crc seen")


# ---- mail ----

def make_text(name, size, rng):
    """Lines that begin with dots and From among them; ends with a line end."""
    text = b"From: %b@example.com\r\nSubject: letter %b\r\n\r\n" % (name.encode(), name.encode())
    while len(text) < size:
        text += rng.choice((b".", b"..", b"From the start ", b">From ", b"", b"")) + \
            rng.randbytes(20).hex().encode() + b"\r\n"
    return text


def quoted(text):
    """As an mboxrd has it."""
    lines = text.split(b"\n")
    return b"\n".join(b">" + x if x.lstrip(b">").startswith(b"From ") else x for x in lines)


def in_mbox(stored):
    return b"From sender@example.org Sat Nov 21 10:00:00 2026\n" + quoted(stored) + b"\n"


class Letters:
    """What messages there are, by name, and how a client sees each."""

    def __init__(self, base, seed):
        self.base, self.rng = pathlib.Path(base), random.Random(seed)
        self.base.mkdir(exist_ok=True)
        self.stored, self.names = {}, {}

    def add(self, name, size, same_as=None, foreign=False):
        text = (self.base / same_as).read_bytes() if same_as else make_text(name, size, self.rng)
        stored = (b"" if foreign else HEAD) + text.replace(b"\r\n", b"\n")
        (self.base / name).write_bytes(in_mbox(stored) if foreign else text)
        self.stored[name] = stored

    def mark(self, script, name):
        """(octets, sum) as the store shows them."""
        stored = self.stored[name]
        if script.kind == "mbox" and "unquote" not in script.flags:
            stored = quoted(stored)
        mark = (len(stored), f"{zlib.crc32(stored):08x}")
        self.names[mark] = name
        return mark

    def wire_of(self, script, name):
        stored = self.stored[name]
        if script.kind == "mbox" and "unquote" not in script.flags:
            stored = quoted(stored)
        return len(stored.replace(b"\n", b"\r\n"))


# ---- what must hold ----

class Ledger:
    """Fed with what the driver said. must: answered deposits that were not removed."""

    def __init__(self, letters, script):
        self.letters, self.script = letters, script
        self.marks = {letters.mark(script, n): n for n in letters.stored}
        self.wires = {letters.mark(script, n): letters.wire_of(script, n)
                      for n in letters.stored}
        self.must = collections.Counter(letters.mark(script, n) for n in script.before)
        self.maybe = collections.Counter()
        self.seen = {}      # uidl: mark, of those that are still to be there
        self.going = set()  # uidls whose removal was not answered
        self.gone = {}      # uidl: mark
        self.renames, self.renamed = {}, {}  # imports under way; and done: old to new
        self.retired = {}   # uidls that imports replaced
        self.pending, self.importing = [], None
        self.table, self.rows, self.order = None, [], []  # order: of the newest list
        self.wrong = []
        self.is_faulty = False  # the log may not have what is used up
        self.is_hiding = False  # a message that nobody saw may be left out of a list

    def copy(self):
        out = Ledger(self.letters, self.script)
        out.must, out.maybe = self.must.copy(), self.maybe.copy()
        out.seen, out.going, out.gone = dict(self.seen), set(self.going), dict(self.gone)
        out.renames, out.renamed = dict(self.renames), dict(self.renamed)
        out.retired, out.order = dict(self.retired), self.order
        out.is_hiding, out.is_faulty = self.is_hiding, self.is_faulty
        return out

    def name(self, mark):
        return self.marks.get(mark, f"{mark[0]} octets of no message")

    def say(self, text):
        what, *words = text.split(" ")
        f = getattr(self, "said_" + what.replace("-", "_"), None)
        if f:
            f(*words)

    def said_depositing(self, *names):
        for n in names:
            self.maybe[self.letters.mark(self.script, n)] += 1

    def said_deposited(self, name, result):
        mark = self.letters.mark(self.script, name)
        self.maybe[mark] -= 1
        if result == "0":
            self.must[mark] += 1

    def said_refreshed(self, result, _count):
        """What the list is to have, from now on until the next."""
        self.table = self.copy() if result == "0" else None
        self.rows = []

    def said_row(self, *words):
        row = Row(words[0], int(words[1]), *words[3:])
        mark = (int(row.octets), row.crc)
        self.rows.append(row)
        self.wrong += self.faults_of_row(row, words[2])
        old = [o for o, n in self.renames.items() if n == row.uidl]
        if old and old[0] in self.seen and row.uidl not in self.seen:
            self.retired[old[0]] = self.seen.pop(old[0])
            del self.renames[old[0]]
            self.renamed.pop(old[0], None)
        if mark in self.marks:
            self.seen[row.uidl] = mark

    def said_row_failed(self, uidl, result):
        self.rows.append(Row(uidl, 0, None, None, None))
        if int(result) == ENOENT and uidl not in self.gone and uidl not in self.going:
            self.wrong.append(f"said to be removed: {uidl}")

    def said_listed(self, result):
        if result == "0" and self.table:
            self.wrong += self.table.faults_of_list(self.rows)
        if result == "0":
            self.order = [r.uidl for r in self.rows]

    def said_removing(self, *uidls):
        self.pending = uidls
        self.going |= set(uidls)

    def said_removed(self, result, gone, left):
        if int(result) == 0 and int(gone) + int(left) != len(self.pending):
            self.wrong.append(f"{gone} removed and {left} left of {len(self.pending)}")
        if int(result) == 0 and left == "0":
            for u in self.pending:
                mark = self.seen.pop(u)
                self.must[mark] -= 1
                self.gone[u] = mark
        if int(result) == 0 and gone == "0" or int(result) == 0 and left == "0":
            self.going -= set(self.pending)

    def said_importing(self, old, new):
        self.renames[old] = new
        self.importing = old

    def said_imported(self, result):
        if result == "0":
            self.renamed[self.importing] = self.renames[self.importing]

    def said_notice(self, *words):
        if "set aside" in " ".join(words):
            self.wrong.append("an intent was set aside")

    def shown(self, row):
        mark = (int(row.octets), row.crc)
        return (mark, row.wire, "" if self.is_loose(mark) else row.uidl)

    def is_loose(self, mark):
        """Of messages with the very same octets it is known how many there are; which of
        their UIDLs goes with a removal that was cut off, or could not be logged, is not."""
        twins = [u for known in (self.seen, self.gone) for u, m in known.items() if m == mark]
        return len(twins) > 1 and (self.is_faulty or bool(self.going & set(twins)))

    # ---- looks ----
    def faults_of_row(self, row, wire_of_slice):
        mark, out = (int(row.octets), row.crc), []
        if mark not in self.marks:
            return [f"half a message, or a strange one: {row.uidl}, {row.octets} octets"]
        for known in (self.seen, self.gone, self.retired):
            if known.get(row.uidl, mark) != mark:
                out.append(f"{row.uidl} is of {self.name(mark)}, was of "
                           f"{self.name(known[row.uidl])}")
        if row.uidl in self.gone and not self.is_loose(mark):
            out.append(f"there again, or its UIDL: {row.uidl} {self.name(mark)}")
        if row.wire != self.wires[mark] or int(wire_of_slice) != self.wires[mark]:
            out.append(f"{self.name(mark)} has {self.wires[mark]} octets on the wire, not "
                       f"{row.wire} or {wire_of_slice}")
        return out

    def faults_of_list(self, rows):
        out = []
        uidls = [r.uidl for r in rows]
        out += [f"a UIDL twice: {u}" for u, n in collections.Counter(uidls).items() if n > 1]
        for u, mark in self.seen.items():
            may = {u} if u not in self.renames else {u, self.renames[u]}
            if u in self.renamed:
                may = {self.renamed[u]}
            if u not in self.going and not may & set(uidls) and not self.is_loose(mark):
                out.append(f"lost, or its UIDL: {u} {self.name(mark)}")
        if any(r.octets is None for r in rows):
            return out  # which is which cannot be told
        have = collections.Counter((int(r.octets), r.crc) for r in rows)
        going = collections.Counter(self.seen[u] for u in self.going if u in self.seen)
        seen = collections.Counter(self.seen.values())
        for mark in self.marks:
            least, most = self.must[mark] - going[mark], self.must[mark] + self.maybe[mark]
            if self.is_hiding:
                least = min(least, seen[mark] - going[mark])
            if not least <= have[mark] <= most:
                out.append(f"{self.name(mark)} is there {have[mark]} times, not {least} to {most}")
        return out + self.faults_of_order(uidls)

    def faults_of_order(self, uidls):
        """The order of what a client saw stays, but where an import gave it another."""
        if self.renames or self.renamed or self.retired:
            return []
        known = [u for u in self.order if u in uidls and u in self.seen and
                 not self.is_loose(self.seen[u])]
        return [] if known == [u for u in uidls if u in known] \
            else [f"in another order: {uidls}, was {known}"]


# ---- the driver ----

class Driver:
    """One process that looks at many maildrops."""

    def __init__(self):
        self.p = subprocess.Popen([str(DRIVE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True)

    def play(self, *lines):
        self.p.stdin.write("\n".join((*lines, "end", "")))
        self.p.stdin.flush()
        out = []
        while True:
            line = self.p.stdout.readline()
            if line == "end\n":
                return out
            assert line, f"store_drive ended with {self.p.wait()} after {out[-5:]}"
            out.append(line[:-1])

    def close(self):
        self.p.stdin.close()
        assert self.p.wait(RUN_S) == 0


LOOK = ("open", "lock", "refresh", "list", "unlock", "flush", "close")


def begin_recording(house):
    """A fresh house: (the tree as it is now, which stays; the numbers of its files; where the
    trace goes)."""
    house.fresh()
    first, trace = (house.root.parent / f"{house.script.name}.{x}" for x in ("first", "trace"))
    shutil.rmtree(first, ignore_errors=True)
    inodes = {str(p.relative_to(house.root)): p.stat().st_ino for p in house.root.rglob("*")}
    shutil.copytree(house.root, first)
    return first, inodes, trace


class House:
    """A script's maildrop, its letters, and looks at it."""

    def __init__(self, base, script, driver):
        self.script, self.driver = script, driver
        self.root = pathlib.Path(base) / script.name
        self.letters = Letters(pathlib.Path(base) / f"{script.name}.letters",
                               f"{SEED} {script.name}")
        self.rng = random.Random(f"{SEED} {script.name} look")
        self.letters.add("extra", 700)
        make_letters(self.letters, script)
        self.at = f"at {self.root} {script.kind} {script.path} {' '.join(script.flags)}"
        self.lines = [self.at, *(self.with_paths(x) for x in script.lines)]
        self.fresh()

    def with_paths(self, line):
        what, *words = line.split(" ")
        if what in ("deposit", "foreign-append"):
            words = [str(self.letters.base / w) for w in words]
        return " ".join((what, *words))

    def empty(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()

    def fresh(self):
        self.empty()
        for path, octets in sorted(first_tree(self.letters, self.script).items()):
            p = self.root / path
            if octets is None:
                p.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                p.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                p.write_bytes(octets)
                p.chmod(0o600)

    def run(self, **settings):
        """The whole script in a process of its own; what it said."""
        env = {f"FILE_SHIM_{k.upper()}": str(v) for k, v in settings.items()}
        p = subprocess.run([str(DRIVE)], input="\n".join((*self.lines, "end", "")), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=RUN_S,
                           env={"LD_PRELOAD": str(SHIM), "FILE_SHIM_ROOT": str(self.root),
                                "FILE_SHIM_READS": "1", **env})
        said = p.stdout.splitlines()
        assert p.returncode == 0 and said[-1:] == ["end"], (p.returncode, said[-5:], p.stderr)
        return said

    def record(self):
        """The trace of a run in which nothing fails; the tree before it stays as `first`."""
        first, inodes, trace = begin_recording(self)
        said = self.run(trace=trace)
        return first, inodes, read_trace(trace), said

    def ledger(self):
        return Ledger(self.letters, self.script)

    @staticmethod
    def kind_of(name):
        for kind in ("identity", "intent", "append", "new"):
            if f"restante-{kind}" in name:
                return kind
        return "mbox" if name == "box" else "message"

    @staticmethod
    def key_of(tree, links):
        """The same for states that differ only in what nobody reads."""
        h = hashlib.blake2b(repr(links).encode(), digest_size=16)
        for path in sorted(tree):
            octets = tree[path]
            h.update(path.encode() + b"\0")
            if octets is not None and "/tmp/" not in path and not path.endswith(("-lock", "-index~")):
                h.update(hashlib.blake2b(octets, digest_size=16).digest())
        return h.digest()

    # ---- what a look finds ----
    def look(self, ledger):
        """Faults in words: what a fresh process shows; the same without its caches; and
        then a deposit and a removal."""
        ledger.is_hiding = False
        ledger = self.foreign_first(ledger)
        self.age_locks()
        look = ledger.copy()
        wrong = self.feed(look, self.driver.play(self.at, *LOOK))
        if wrong:
            return wrong
        rows = look.rows
        self.spoil()
        again = look.copy()
        wrong = self.feed(again, self.driver.play(*LOOK))
        if [again.shown(r) for r in again.rows] != [again.shown(r) for r in rows]:
            wrong.append(f"without the cache: {again.rows}, with it: {rows}")
        return wrong or self.work(again)

    def age_locks(self):
        """Nobody holds what was left behind: it is minutes later."""
        for p in self.root.rglob("*.lock"):
            os.utime(p, (p.stat().st_mtime - 600,) * 2)

    def foreign_first(self, ledger):
        """In every other mbox another program delivers before we look."""
        if self.script.kind != "mbox" or self.rng.randrange(2) or \
                not (self.root / self.script.path).exists():
            return ledger
        out = ledger.copy()
        for x in self.driver.play(self.at, self.with_paths("foreign-append f3")):
            out.say(x)
        return out

    def feed(self, ledger, said):
        wrong = [x for x in said if x.split(" ")[0] in ("opened", "locked", "refreshed", "listed")
                 and not x.split(" ")[1] == "0"]
        wrong += [x for x in said if x.startswith("row-failed")]
        for x in said:
            ledger.say(x)
        # What a fresh look shows is all there is.
        ledger.must = collections.Counter((int(r.octets), r.crc) for r in ledger.rows if r.octets)
        ledger.maybe.clear()
        seen = {r.uidl: (int(r.octets), r.crc) for r in ledger.rows if r.octets}
        for u in ledger.going & set(ledger.seen) - set(seen):
            ledger.gone[u] = ledger.seen[u]
        ledger.seen, ledger.going = seen, set()
        ledger.renames, ledger.renamed = {}, {}
        return wrong + ledger.wrong

    def spoil(self):
        """The cache is away, cut, or has an octet that is another."""
        for name in CACHES:
            for p in self.root.rglob(name):
                octets = p.read_bytes()
                how = self.rng.randrange(3)
                at = self.rng.randrange(len(octets)) if octets else 0
                if how == 0 or not octets:
                    p.unlink()
                elif how == 1:
                    p.write_bytes(octets[:at])
                else:
                    p.write_bytes(octets[:at] + bytes([octets[at] ^ 64]) + octets[at + 1:])

    def work(self, ledger):
        """A second attempt: mail comes, the first message goes, all the rest stays."""
        lines = ["open", self.with_paths("deposit extra"), "lock", "refresh", "list", "remove 0",
                 "refresh", "list", "unlock", "flush", "close", *LOOK]
        said = self.driver.play(*lines)
        for x in said:
            ledger.say(x)
        wrong = [x for x in said if x.startswith(("deposited", "locked", "removed", "refreshed"))
                 and x.split(" ")[2 if x.startswith("deposited") else 1] != "0"]
        return wrong + ledger.wrong + self.litter()

    def litter(self):
        out = []
        for p in self.root.rglob("*"):
            if p.name.endswith((".lock", ".restante-dot", "-intent", "-intent~")) or \
                    "intent-left" in p.name:
                out.append(f"litter: {p.relative_to(self.root)}")
        return out


# ---- the scripts ----

SIZES = {"a": 300, "b": 5000, "c": 900, "d": 4600, "e": 9000, "f": 200, "g": 1500, "h": 600}
FOREIGN = ("old1", "old2", "old3", "old4", "old5", "f1", "f2", "f3")


def make_letters(letters, script):
    for name, size in SIZES.items():
        letters.add(name, size)
    for i, name in enumerate(FOREIGN):
        letters.add(name, (400, 5200, 300, 2500, 700)[i % 5], foreign=True)
    letters.add("same", 0, same_as="a")
    letters.stored["old1again"] = letters.stored["old1"]
    (letters.base / "old1again").write_bytes((letters.base / "old1").read_bytes())


MAILDIR = {
    # One with flags, one with its size.
    "old1": "cur/1700000001.M1P1.old:2,S", "old2": "new/1700000002.M2P2.old",
    "old3": "cur/1700000003.M3P3.old,S=332:2,", "old4": "cur/1700000004.M4P4.old:2,",
    "old5": "new/1700000005.M5P5.old"}


def first_tree(letters, script):
    if script.kind == "maildir":
        tree = {}
        if script.before:
            tree = {f"{script.path}/{d}": None for d in ("tmp", "new", "cur")}
            tree[f"{script.path}/tmp/1.half"] = b"Subject: half"
        for name in script.before:
            path = MAILDIR[name]
            if script.name == "maildir-twins" and name == "old4":
                path = "cur/1700000001.M1P1.old:2,"  # two of one name, but for flags
            path = path.replace(",S=332", f",S={len(letters.stored[name])}")
            tree[f"{script.path}/{path}"] = letters.stored[name]
        return tree
    if not script.before:
        return {}
    return {script.path: b"".join((letters.base / n).read_bytes() for n in script.before)}


SESSION = ("lock", "refresh", "list")
SCRIPTS = [
    Script("maildir-new", "maildir", "mail/anna", (), (), (
        "open", "deposit a", *SESSION, "unlock", "deposit b c d", *SESSION, "seen 0", "remove 0 2",
        "refresh", "list", "unlock", "flush", "close", *LOOK)),
    Script("maildir-old", "maildir", "anna", (), ("old1", "old2", "old3", "old4", "old5"), (
        "open", *SESSION, "seen 1", "deposit e", "remove 0 2", "refresh", "list", "unlock", "flush",
        "close", "open", *SESSION, "remove 1", "deposit a b", "refresh", "list", "unlock", "flush",
        "close")),
    Script("maildir-twins", "maildir", "anna", (), ("old1", "old3", "old4"), (
        "open", *SESSION, "deposit a", "remove 0", "refresh", "list", "unlock", "flush", "close",
        "open", *SESSION, "seen 0", "unlock", "close")),
    Script("maildir-import", "maildir", "anna", (), ("old2", "old3", "old5"), (
        "import 1700000002.M2P2.old uidl-of-2 2", "import 1700000005.M5P5.old uidl-of-5 1",
        "open", *SESSION, "deposit c", "remove uidl-of-5", "refresh", "list", "unlock", "flush",
        "close", "import 1700000003.M3P3.old uidl-of-3 0", "open", *SESSION, "remove 0", "refresh",
        "list", "unlock", "close")),
    Script("mbox-new", "mbox", "mail/box", ("unquote",), (), (
        "open", "deposit a", *SESSION, "unlock", "deposit b c", *SESSION, "remove 0", "refresh",
        "list", "unlock", "flush", "close", *LOOK)),
    # Of one sender and one second: what is left of the two begins like the one that went.
    Script("mbox-burst", "mbox", "mail/box", (), ("old1",), (
        "open", "deposit b c", *SESSION, "remove 1", "refresh", "list", "unlock", "close")),
    Script("mbox-old", "mbox", "mail/box", ("unquote",), ("old1", "old2", "old3", "old4", "old5"), (
        "open", *SESSION, "seen 1", "foreign-append f1", "remove 0 2", "refresh", "list",
        "deposit d", "refresh", "list", "unlock", "flush", "close", "foreign-append f2", "open",
        *SESSION, "remove 1 4", "refresh", "list", "unlock", "flush", "close")),
    Script("mbox-waits", "mbox", "mail/box", (), ("old1", "old2", "old3"), (
        "open", *SESSION, "foreign-open", "remove 0", "foreign-append f1", "refresh", "list",
        "foreign-open", "remove 1", "foreign-append f2", "deposit g", "refresh", "list",
        "remove 0 1 2 3", "refresh", "list", "unlock", "close")),
    Script("mbox-twins", "mbox", "mail/box", (), ("old1", "old1again", "old2"), (
        "open", *SESSION, "deposit a", "deposit same", "refresh", "list", "unlock", "flush", "close",
        "import 2 uidl-of-2 0", "open", *SESSION, "remove 1 3", "refresh", "list", "deposit same",
        "refresh", "list", "remove 0", "unlock", "flush", "close")),
    Script("mbox-rename", "mbox", "mail/box", ("rename",), ("old1", "old2", "old3", "old4"), (
        "open", *SESSION, "foreign-append f1", "remove 0 2", "refresh", "list", "deposit a",
        "refresh", "list", "remove 1", "refresh", "list", "unlock", "flush", "close")),
]
BY_NAME = {s.name: s for s in SCRIPTS}
