"""Power cuts for the programs that write into maildrops on their own: `restante deliver`, whose
status 0 is its word that the message is kept, and `restante import`, whose status 0 says that
clients will see the UIDLs of the server before. As in test_store_crash.py: what a run changed
is written down, and a crash is made of each beginning of that list.
"""
import os
import shutil
import subprocess

import pytest

from crash_model import Line, read_trace
from store_scripts import (BUILD, DRIVE, RUN_S, SANITIZED, SEED, SHIM, Driver, House, Script,
                           make_base)
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
]
BY_NAME = {s.name: s for s in SCRIPTS}


class ToolHouse(House):
    """Lines "deliver NAME" and "import" run those programs; the others are the driver's."""

    def fresh(self):
        super().fresh()
        if "import" in self.script.lines:
            rows = [f"3 V{VALIDITY} N9 G0123456789abcdef0123456789abcdef",
                    *(f"{n} :{name}" for n, name in UIDLIST.items())]
            box = self.root / self.script.path
            (box / "dovecot-uidlist").write_text("\n".join(rows) + "\n")
            # It becomes the owner of the mail, which is never root.
            for p in (self.root.parent, self.root):
                p.chmod(0o755)
            for p in (box, *box.rglob("*")):
                os.chown(p, OWNER, OWNER)

    def tool(self, command, trace, octets=b""):
        env = {"PATH": os.environ["PATH"], "LD_PRELOAD": str(SHIM),
               "FILE_SHIM_ROOT": str(self.root), "FILE_SHIM_TRACE": str(trace)}
        p = subprocess.run(command, input=octets, capture_output=True, timeout=RUN_S, env=env)
        assert p.returncode == 0, p
        return read_trace(trace)

    def deliver(self, name, trace):
        octets = (self.letters.base / name).read_bytes()
        lines = self.tool([BUILD / "restante-deliver", "-f", "sender@example.org", "-a",
                           "anna@example.com", "--maildrop",
                           f"{self.script.kind}:{self.root}/{self.script.path}"], trace, octets)
        return [say(f"depositing {name}"), *lines, say(f"deposited {name} 0")]

    def take_over(self, trace):
        names = [(name, f"{n:08x}{VALIDITY:08x}") for n, name in UIDLIST.items()]
        lines = self.tool([BUILD / "restante-move", "import", "--maildrop",
                           f"maildir:{self.root}/{self.script.path}"], trace)
        return [*(say(f"importing {old} {new}") for old, new in names), *lines,
                *(say(x) for old, new in names
                  for x in (f"importing {old} {new}", "imported 0"))]

    def play(self, lines, trace):
        p = subprocess.run([DRIVE], input="\n".join((self.at, *lines, "end", "")), text=True,
                           capture_output=True, timeout=RUN_S,
                           env={"LD_PRELOAD": str(SHIM), "FILE_SHIM_ROOT": str(self.root),
                                "FILE_SHIM_READS": "1", "FILE_SHIM_TRACE": str(trace)})
        assert p.returncode == 0, p
        return read_trace(trace)

    def record(self):
        self.fresh()
        first = self.root.parent / f"{self.script.name}.first"
        shutil.rmtree(first, ignore_errors=True)
        inodes = {str(p.relative_to(self.root)): p.stat().st_ino for p in self.root.rglob("*")}
        shutil.copytree(self.root, first)
        trace, lines, group = self.root.parent / f"{self.script.name}.trace", [], []
        for line in (*self.script.lines, None):
            tool = line is None or line.split(" ")[0] in ("deliver", "import")
            if not tool:
                group.append(line)
                continue
            if group:
                lines += self.play(group, trace)
                group = []
            if line == "import":
                lines += self.take_over(trace)
            elif line:
                lines += self.deliver(line.split(" ")[1], trace)
        return first, inodes, lines, None


def say(text):
    return Line("say", [text])


@pytest.fixture(scope="module")
def base():
    print(f"RESTANTE_SEED={SEED}")
    path = make_base("tool-crash")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def driver():
    d = Driver()
    yield d
    d.close()


@pytest.mark.parametrize("name", BY_NAME)
def test_power_cut(base, driver, name):
    power_cut(Recording(ToolHouse(base, BY_NAME[name], driver)))


MISSING = {
    "deliver-maildir": ["message", "directory mail/anna/new", "directory mail/anna",
                        "directory mail"],
    "deliver-mbox": ["mbox"],
    "deliver-mbox-new": ["mbox"],
    "import-maildir": ["identity", "directory anna"],
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_sync_is_found(base, driver, name):
    missing_sync_is_found(Recording(ToolHouse(base, BY_NAME[name], driver)), MISSING[name])
