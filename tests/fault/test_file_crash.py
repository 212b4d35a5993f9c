"""Power cuts while tools write files of their own: the users file (`restante passwd`), a key
(`restante passport key`), the files of `restante sandbox`, a passport on standard output, and
the record of the last login. What a run changed is written down, and a crash is made of each
beginning of that list (test_store_crash.py). A file is then as before or as after, never half
of it; what was answered stays; the tool, run again, succeeds and leaves nothing beside its
files; and what a passport says of UIDLs holds for the sessions after it.

In the quick form a sample of the states; RESTANTE_LONG=1 takes all.
"""
import hashlib
import os
import shutil
import subprocess

import pytest

from crash_house import fixtures
from crash_model import read_trace
from store_scripts import (BUILD, LONG, LOOK, RUN_S, SANITIZED, SHIM, Script,
                           begin_recording)
from test_store_crash import Recording, missing_sync_is_found
from test_tool_crash import END, SESSION, ToolHouse, say

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mail is read as its owner"),
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")]
SAMPLE = 40
OWNER = 61234
MOVE = BUILD / "restante-move"
GOOD, DIFFERENT, EXISTS, TORN = 0, 65, 73, 76


class FileLedger:
    """How many steps were begun, and how many were answered."""

    def __init__(self):
        self.begun = self.done = 0
        self.wrong = []

    def say(self, text):
        self.begun += text == "begin"
        self.done += text == "done"


class FileHouse:
    """Commands that write files in a directory, one after the other."""
    names = ()  # of its files
    before = {}
    commands = ()

    def __init__(self, base, name):
        self.script = Script(name, "files", "", (), (), ())
        self.root = base / name

    def fresh(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o700)
        for name, octets in self.before.items():
            (self.root / name).write_bytes(octets)

    def empty(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o700)

    def ledger(self):
        return FileLedger()

    @staticmethod
    def kind_of(name):
        return name

    @staticmethod
    def key_of(tree, links):
        return hashlib.blake2b(repr((sorted(tree.items()), links)).encode()).digest()

    def run(self, command, trace=None, octets=b""):
        env = {"PATH": os.environ["PATH"]}
        if trace:
            env |= {"LD_PRELOAD": str(SHIM), "FILE_SHIM_ROOT": str(self.root),
                    "FILE_SHIM_TRACE": str(trace)}
        return subprocess.run([str(x) for x in command], input=octets, capture_output=True,
                              timeout=RUN_S, env=env)

    def contents(self):
        """Of the files that count: None where there is none."""
        return tuple((self.root / n).read_bytes() if (self.root / n).exists() else None
                     for n in self.names)

    def litter(self):
        return [f"litter: {p.name}" for p in self.root.iterdir() if p.name not in self.names]

    def record(self):
        first, inodes, trace = begin_recording(self)
        lines = []
        self.versions = [self.contents()]
        for command, octets in self.commands:
            p = self.run(command, trace, octets)
            assert p.returncode == 0, p
            lines += [say("begin"), *read_trace(trace), say("done")]
            self.versions.append(self.contents())
        return first, inodes, lines, None

    def may_be(self, ledger):
        return self.versions[ledger.done:ledger.begun + 1]

    def look(self, ledger):
        found = self.contents()
        if found not in self.may_be(ledger):
            sizes = [None if x is None else len(x) for x in found]
            return [f"neither old nor new: {dict(zip(self.names, sizes))}"]
        return self.work(found) or self.litter()


# ---- the users file ----

def passwd(root, *args):
    return [BUILD / "restante-passwd", "--users", root / "users", "--scheme", "sha256-crypt",
            *args]


class UsersHouse(FileHouse):
    names = ("users",)

    def __init__(self, base, name, before):
        super().__init__(base, name)
        self.before = before
        self.commands = [(passwd(self.root, "--stdin", "dora"), b"secret of dora\n"),
                         (passwd(self.root, "--stdin", "--uid", "7", "anna"), b"another\n"),
                         (passwd(self.root, "--delete", "dora"), b"")]

    def may_be(self, ledger):
        """Made empty first, to be locked."""
        may = super().may_be(ledger)
        return [*may, (b"",)] if may[0] == (None,) and ledger.begun else may

    def work(self, found):
        p = self.run(passwd(self.root, "--stdin", "eve"), octets=b"secret of eve\n")
        if p.returncode != 0:
            return [f"not again: {p}"]
        now = (self.root / "users").read_bytes().splitlines(True)
        old = (found[0] or b"").splitlines(True)
        if now[:len(old)] != old or len(now) != len(old) + 1 or not now[-1].startswith(b"eve:"):
            return ["a line of others was changed"]
        return []


USERS = b"# who may log in\n\n" + b"".join(
    b"%b:{CRYPT}$5$%060d:5700:5700::/home/%b::\n" % (n, i, n)
    for i, n in enumerate([b"anna", *(b"user%d" % i for i in range(50))]))


# ---- a key ----

class KeyHouse(FileHouse):
    names = ("key", "key.pub")

    def __init__(self, base, name):
        super().__init__(base, name)
        self.commands = [([MOVE, "passport", "key", self.root / "key"], b"")]
        self.mail = base / f"{name}.mail"
        self.tried = set()

    def may_be(self, ledger):
        """The private one first; each whole, or not there."""
        none, both = self.versions
        return [both] if ledger.done else [none, (both[0], None), both]

    def work(self, found):
        p = self.run(self.commands[0][0])
        want = EXISTS if None not in found else GOOD
        if p.returncode != want:
            return [f"again: {p}"]
        now = self.contents()
        if [x for x in zip(found, now) if x[0] not in (None, x[1])]:
            return ["a key was written over"]
        return self.litter() or self.pair(found)

    def pair(self, found):
        """The second half, where it was made later, is of the first."""
        if found in self.tried:
            return []
        self.tried.add(found)
        shutil.rmtree(self.mail, ignore_errors=True)
        for d in ("", "new", "cur", "tmp"):
            (self.mail / d).mkdir()
        for p in (self.mail, *self.mail.iterdir()):
            os.chown(p, OWNER, OWNER)
        export = self.run([MOVE, "passport", "export", "--maildrop", f"maildir:{self.mail}",
                           "--key", self.root / "key"])
        passport = self.mail.with_suffix(".passport")
        passport.write_bytes(export.stdout)
        p = self.run([MOVE, "passport", "verify", passport, "--maildrop", f"maildir:{self.mail}",
                      "--key", self.root / "key.pub"])
        return [] if p.returncode == 0 else [f"no pair: {export} {p}"]


# ---- the directory of `restante sandbox` ----

class SandboxHouse(FileHouse):
    """It makes its files, and then there is no server that could be started."""
    names = ("users", "key.pem", "cert.pem", "ca.pem", "restante.conf")

    def __init__(self, base, name):
        super().__init__(base, name)
        bin = base / f"{name}.bin"
        shutil.rmtree(bin, ignore_errors=True)
        bin.mkdir()
        shutil.copy2(BUILD / "restante-sandbox", bin)
        for p in BUILD.glob("restante*"):
            if p.is_file() and not (bin / p.name).exists():
                (bin / p.name).write_bytes(b"no program\n")
                (bin / p.name).chmod(0o755)
        self.start = [bin / "restante-sandbox", "--dir", self.root]
        users = [f"user{i}:secret of {i}:{base}/{name}.mail{i % 2}" for i in range(9)]
        more = [x for u in users for x in ("--user", u)]
        self.commands = [([*self.start, *more[:2]], b""), (self.start, b""),
                         ([*self.start, *more], b""), (self.start, b"")]

    def run(self, command, trace=None, octets=b""):
        p = super().run(command, trace, octets)
        assert b"before it served" in p.stderr, p
        p.returncode = 0
        return p

    def look(self, ledger):
        """Each file for itself: an interrupted start is done again."""
        found, may = self.contents(), self.may_be(ledger)
        wrong = [f"{n}: neither old nor new: {x}" for i, (n, x) in
                 enumerate(zip(self.names, found)) if x not in [v[i] for v in may]]
        if wrong or found[0] is None:
            return wrong
        self.run(self.start)
        return [] if self.contents()[0] == found[0] else ["the users are others now"]


FILES = {"users": lambda base: UsersHouse(base, "users", {"users": USERS}),
         "users-new": lambda base: UsersHouse(base, "users-new", {}),
         "key": lambda base: KeyHouse(base, "key"),
         "sandbox": lambda base: SandboxHouse(base, "sandbox")}


# ---- passports, and the last login ----

class PassportHouse(ToolHouse):
    """Lines "export" write a passport each, into a file that is there."""

    def __init__(self, base, script, driver):
        self.passports, self.kept, self.exporting = [], {}, False
        super().__init__(base, script, driver)
        self.imports, self.user = False, OWNER
        for p in (self.root.parent, self.letters.base):
            p.chmod(0o755)
        self.fresh()

    def fresh(self):
        super().fresh()
        for i in range(sum(x == "export" for x in self.script.lines)):
            (self.root / f"passport{i}").write_bytes(b"")
        self.give(OWNER)

    def command(self, *words):
        flags = ["--mbox-unquote"] * ("unquote" in self.script.flags)
        return [MOVE, "passport", *words, "--maildrop",
                f"{self.script.kind}:{self.root}/{self.script.path}", *flags]

    def export(self, path, trace=None):
        env = self.shim(trace) if trace else {"PATH": os.environ["PATH"]}
        with open(path, "r+b") as f:
            p = subprocess.run(self.command("export"), stdout=f, stderr=subprocess.PIPE,
                               timeout=RUN_S, env=env)
        return p

    def record_export(self, trace):
        name = f"passport{len(self.kept)}"
        p = self.export(self.root / name, trace)
        assert p.returncode == GOOD, p
        lines = [say("begin"), *read_trace(trace), say(f"exported {name}")]
        self.kept[name] = text = (self.root / name).read_bytes()
        # What it says is what a client may rely on from now on.
        aside = self.root.parent / f"{self.script.name}.aside"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(self.root, aside)
        rows = [x for x in self.driver.play(self.at.replace(str(self.root), str(aside)), *LOOK)
                if x.split(" ")[0] in ("refreshed", "row", "listed")]
        uidls = [x.split(" ")[1] for x in rows if x.startswith("row ")]
        said = [x.split(b" ")[1].decode() for x in text.splitlines() if x[:1].isdigit()]
        assert said == uidls, (text, rows)
        return [*lines, *map(say, rows)]

    def record(self):
        self.kept = {}
        first, inodes, trace = begin_recording(self)
        lines, group = [], []
        for line in (*self.script.lines, "export"):
            if line != "export":
                group.append(line)
            elif group:
                lines += self.play(map(self.with_paths, group), trace)
                group = []
            if line == "export" and len(self.kept) < len(list(self.root.glob("passport*"))):
                lines += self.record_export(trace)
        return first, inodes, lines, None

    def ledger(self):
        out = super().ledger()
        out.exported = []
        out.said_exported = out.exported.append
        return out

    @staticmethod
    def kind_of(name):
        return "passport" if name.startswith("passport") else ToolHouse.kind_of(name)

    def look(self, ledger):
        wrong = []
        self.age_locks()
        self.give(OWNER)
        for name, whole in self.kept.items():
            octets = (self.root / name).read_bytes()
            if octets != whole and name in ledger.exported:
                wrong.append(f"{name} was told to be there: {len(octets)} octets")
            code = subprocess.run(self.command("verify", self.root / name), timeout=RUN_S,
                                  capture_output=True, env={"PATH": os.environ["PATH"]}).returncode
            if code not in ((GOOD, DIFFERENT) if octets == whole else (TORN,)):
                wrong.append(f"{name} of {len(octets)} octets: verify ends with {code}")
        again = self.root.parent / f"{self.script.name}.again"
        again.write_bytes(b"")
        p = self.export(again)
        if p.returncode == GOOD:
            p = subprocess.run(self.command("verify", again), timeout=RUN_S, capture_output=True)
        self.give(0)
        if p.returncode != GOOD:
            wrong.append(f"again: {p}")
        return wrong or super().look(ledger)


PASSPORTS = {s.name: s for s in (
    Script("passport-maildir", "maildir", "anna", (), ("old1", "old2", "old3", "old4", "old5"), (
        "export", *SESSION, "deposit a", "remove 1", "refresh", "list", *END, "export")),
    Script("passport-twins", "maildir", "anna", (), ("old1", "old3", "old4"), (
        "export", *SESSION, "remove 0", "refresh", "list", *END, "export")),
    Script("passport-mbox", "mbox", "mail/box", ("unquote",), ("old1", "old1again", "old2"), (
        "export", *SESSION, "deposit same", "remove 1", "refresh", "list", *END, "export")))}


class LoginHouse(ToolHouse):
    """Sessions, and tools between them: the last login is one that was, or none is known."""

    def record(self):
        first, inodes, lines, _ = super().record()
        self.logins = [0] + [int(x.words[0].split(" ")[2]) for x in lines
                             if x.kind == "say" and x.words[0].startswith("last ")]
        assert len(set(self.logins)) > 1, self.logins
        return first, inodes, lines, None

    @staticmethod
    def key_of(tree, links):
        return FileHouse.key_of(tree, links)

    def look(self, ledger):
        said = [x for x in self.driver.play(self.at, "last") if x.startswith("last ")]
        if len(said) != 1 or said[0].split(" ")[1] != "0":
            return [f"the record is none: {said}"]
        if int(said[0].split(" ")[2]) not in self.logins:
            return [f"a login that never was: {said}"]
        return super().look(ledger)


LOGINS = {s.name: s for s in (
    Script("login-maildir", "maildir", "anna", (), ("old1", "old2"), (
        *SESSION, "last", *END, "import", "open", "last", "close", *SESSION, "last", *END)),
    Script("login-mbox", "mbox", "mail/box", ("unquote",), ("old1", "old2", "old4", "old5"), (
        *SESSION, "last", *END, "import old2 old5", "open", "last", "close", *SESSION, "last",
        *END)))}
HOUSES = {**FILES,
          **{n: (lambda s: lambda base, driver: PassportHouse(base, s, driver))(s)
             for n, s in PASSPORTS.items()},
          **{n: (lambda s: lambda base, driver: LoginHouse(base, s, driver))(s)
             for n, s in LOGINS.items()}}


def recording_of(name, base, driver):
    house = HOUSES[name](base) if name in FILES else HOUSES[name](base, driver)
    return Recording(house)


base, driver = fixtures("file-crash", 0o755)


@pytest.mark.parametrize("name", HOUSES)
def test_power_cut(base, driver, name):
    recording = recording_of(name, base, driver)
    wrong = recording.faults(recording.lines, 10**9 if LONG else SAMPLE)
    print(f"{name}: {len(recording.lines)} lines, {recording.tried} states")
    assert not wrong, "\n".join(wrong)
    assert recording.tried >= 8


MISSING = {"users": [".users.new", "directory "], "sandbox": ["users.new", "directory "],
           "key": [".key.new", ".key.pub.new", "directory "],
           "passport-maildir": ["passport"], "passport-mbox": ["passport", "identity"]}


@pytest.mark.parametrize("name", MISSING)
def test_missing_sync_is_found(base, driver, name):
    missing_sync_is_found(recording_of(name, base, driver), MISSING[name])
