"""Power cuts for the programs that write into maildrops on their own: `restante deliver`, whose
status 0 is its word that the message is kept, and `restante import`, whose status 0 says that
clients will see the UIDLs of the server before. As in test_store_crash.py: what a run changed
is written down, and a crash is made of each beginning of that list.
"""
import os
import subprocess

import pytest

from crash_house import fixtures
from crash_model import Line, read_trace
from store_scripts import (BUILD, DRIVE, LOOK, RUN_S, SANITIZED, SHIM, House, Script,
                           begin_recording)
from test_store_crash import Recording, missing_sync_is_found, power_cut

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an import becomes another user"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")]
SESSION = ("open", "lock", "refresh", "list")
END = ("unlock", "flush", "close")
# Of Dovecot: the message's number, and its file.
VALIDITY = 1700000000
OWNER = 61234
UIDLIST = {1: "1700000002.M2P2.old", 2: "1700000001.M1P1.old", 5: "1700000005.M5P5.old"}
SCRIPTS = [
    Script("deliver-maildir", "maildir", "mail/anna", (), (), (
        "deliver a", "deliver b", *SESSION, "remove 0", "refresh", "list", *END, "deliver c",
        "deliver d", *SESSION, *END)),
    Script("deliver-mbox", "mbox", "mail/box", ("unquote",), ("old1", "old2"), (
        *SESSION, *END, "deliver a", "deliver b", *SESSION, "remove 0", "refresh", "list", *END,
        "deliver c", *SESSION, *END)),
    Script("deliver-mbox-new", "mbox", "mail/box", ("unquote",), (), (
        "deliver a", "deliver d", *SESSION, *END)),
    Script("import-maildir", "maildir", "anna", (), ("old1", "old2", "old3", "old4", "old5"), (
        *SESSION, *END, "import", *SESSION, "remove 1", "refresh", "list", *END, "deliver a",
        "import", *SESSION, *END)),
    Script("import-mbox", "mbox", "mail/box", ("unquote",), ("old1", "old2", "old3", "old4", "old5"), (
        *SESSION, *END, "import old2 old5", *SESSION, "remove 0 2", "refresh", "list", *END,
        "deliver a", "import old2 old4 old5", *SESSION, "remove 1", "refresh", "list", *END)),
]
BY_NAME = {s.name: s for s in SCRIPTS}


class ToolHouse(House):
    """Lines "deliver NAME" and "import" (into an mbox: of the letters that the list names)
    run those programs; the others are the driver's."""

    def __init__(self, base, script, driver):
        super().__init__(base, script, driver)
        self.imports = any(x.startswith("import") for x in script.lines)
        self.user = OWNER if self.imports else None
        self.uidls = {}
        if self.imports and script.kind == "mbox":
            for p in (self.root.parent, self.letters.base):
                p.chmod(0o755)
            self.give(0)
            look = self.ledger()
            for x in self.driver.play(self.at, *LOOK):
                look.say(x)
            self.uidls = {look.name(mark): u for u, mark in look.seen.items()}
        self.fresh()

    def give(self, owner):
        """All of the maildrop: whoever reads mail is its owner."""
        for p in (self.root, *self.root.rglob("*")):
            os.chown(p, owner, owner)

    def fresh(self):
        super().fresh()
        if "import" in self.script.lines:
            rows = [f"3 V{VALIDITY} N9 G0123456789abcdef0123456789abcdef",
                    *(f"{n} :{name}" for n, name in UIDLIST.items())]
            box = self.root / self.script.path
            (box / "dovecot-uidlist").write_text("\n".join(rows) + "\n")
        if any(x.startswith("import") for x in self.script.lines):
            # It becomes the owner of the mail, which is never root.
            self.root.parent.chmod(0o755)
            self.give(OWNER)

    def shim(self, trace):
        # Who changed the maildrop writes its trace too.
        trace.touch()
        trace.chmod(0o666)
        return {"PATH": os.environ["PATH"], "LD_PRELOAD": str(SHIM),
                "FILE_SHIM_ROOT": str(self.root), "FILE_SHIM_TRACE": str(trace)}

    def tool(self, command, trace, octets=b"", codes=(0,), user=None):
        env = self.shim(trace) if trace else {"PATH": os.environ["PATH"]}
        p = subprocess.run(command, input=octets, capture_output=True, timeout=RUN_S, env=env,
                           user=user, group=user)
        assert p.returncode in codes, p
        return read_trace(trace) if trace else []

    def deliver(self, name, trace):
        octets = (self.letters.base / name).read_bytes()
        lines = self.tool([BUILD / "restante-deliver", "-f", "sender@example.org", "-a",
                           "anna@example.com", "--maildrop",
                           f"{self.script.kind}:{self.root}/{self.script.path}"], trace, octets,
                          user=self.user)
        return [say(f"depositing {name}"), *lines, say(f"deposited {name} 0")]

    def pairs(self, names):
        """UIDLs before an import and after it."""
        if self.script.kind == "maildir":
            return [(name, f"{n:08x}{VALIDITY:08x}") for n, name in UIDLIST.items()]
        return [(self.uidls[name], f"uidl-of-{name}" + "-" * 60) for name in names]

    def source(self, names):
        """The old server's file; a Maildir has its own."""
        if self.script.kind == "maildir":
            return []
        path = self.letters.base / "source"
        path.write_bytes(b"".join(
            b"From eva Thu Jan  1 00:00:00 1970\nX-UIDL: %b\n" % new.encode()
            + (self.letters.base / name).read_bytes().split(b"\n", 1)[1]
            for name, (_, new) in zip(names, self.pairs(names))))
        path.chmod(0o644)
        return [path]

    def run_import(self, names, trace=None, codes=(0,)):
        """A letter that is gone is told, by status 65."""
        return self.tool([BUILD / "restante-move", "import", "--maildrop",
                          f"{self.script.kind}:{self.root}/{self.script.path}",
                          *self.source(names)], trace, codes=codes)

    def take_over(self, names, trace):
        lines, pairs = self.run_import(names, trace), self.pairs(names)
        return [*(say(f"importing {old} {new}") for old, new in pairs), *lines,
                *(say(x) for old, new in pairs
                  for x in (f"importing {old} {new}", "imported 0"))]

    def look(self, ledger):
        if self.imports and self.rng.randrange(2):
            ledger = self.import_first(ledger)
        return super().look(ledger)

    def import_first(self, ledger):
        """In every other maildrop the import runs again before anybody looks."""
        names, out = ("old2", "old4", "old5"), ledger.copy()
        self.age_locks()
        self.give(OWNER)
        self.run_import(names, codes=(0, 65))
        self.give(0)
        for old, new in self.pairs(names):
            if old in ledger.gone or new in ledger.gone:
                continue
            out.say(f"importing {old} {new}")
            # What a removal took that was not answered is not there to be imported.
            if not {old, new} & ledger.going:
                out.say("imported 0")
        return out

    def play(self, lines, trace):
        p = subprocess.run([DRIVE], input="\n".join((self.at, *lines, "end", "")), text=True,
                           capture_output=True, timeout=RUN_S, user=self.user, group=self.user,
                           env={**self.shim(trace), "FILE_SHIM_READS": "1"})
        assert p.returncode == 0, p
        failed = [x for x in p.stdout.splitlines()
                  if x.startswith(("opened", "locked", "refreshed", "removed"))
                  and x.split(" ")[1] != "0"]
        assert not failed, failed
        return read_trace(trace)

    def record(self):
        first, inodes, trace = begin_recording(self)
        lines, group = [], []
        for line in (*self.script.lines, None):
            tool = line is None or line.split(" ")[0] in ("deliver", "import")
            if not tool:
                group.append(line)
                continue
            if group:
                lines += self.play(group, trace)
                group = []
            if line and line.startswith("import"):
                lines += self.take_over(line.split(" ")[1:], trace)
            elif line:
                lines += self.deliver(line.split(" ")[1], trace)
        return first, inodes, lines, None


def say(text):
    return Line("say", [text])


base, driver = fixtures("tool-crash")


@pytest.mark.parametrize("name", BY_NAME)
def test_power_cut(base, driver, name):
    power_cut(Recording(ToolHouse(base, BY_NAME[name], driver)))


MISSING = {
    "deliver-maildir": ["message", "directory mail/anna/new", "directory mail/anna",
                        "directory mail"],
    "deliver-mbox": ["mbox"],
    "deliver-mbox-new": ["mbox"],
    "import-maildir": ["identity", "directory anna"],
    "import-mbox": ["identity", "directory mail"],
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_sync_is_found(base, driver, name):
    missing_sync_is_found(Recording(ToolHouse(base, BY_NAME[name], driver)), MISSING[name])
