"""Power cuts while `restante fetch` takes over what was collected (--import, --reconcile) and
writes an account into its file (--configure). What a run changed is written down, and a crash
is made of each beginning of that list (test_store_crash.py). Then the task runs again, or,
where it was answered, does not have to; and a collection brings each message that is not here
yet once, and none that is. A file of accounts is as before or as after, never half of it.

In the quick form a sample of the states; RESTANTE_LONG=1 takes all.
"""
import hashlib
import os
import random
import re
import subprocess

import pytest

from crash_house import base_fixture
from crash_model import Model
from fetch_drop import LONG, PROGRAM, SANITIZED, SEED, SHIM, Drop, Mail, make_mails
from fetch_model import FORGOTTEN, read_of_wal
from store_scripts import RUN_S
from test_file_crash import FileHouse
from test_store_crash import Recording, is_flag, missing_sync_is_found

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
SAMPLE = 30
GOOD, THERE = 0, 64
STATE = re.compile(r"id|lock|state\.db(-wal|-shm)?|spool|quarantine")
# What --configure writes first; a crash may leave it, of a name that nothing else has.
FRESH = re.compile(r"\.restante-[0-9a-f]{16}")


class TaskRecording(Recording):
    """What only living processes need (SQLite's shared memory, the lock's text) is left out."""

    def model(self):
        model = Model(self.house.root, FORGOTTEN, is_whole=is_flag)
        model.load(self.first, self.inodes)
        return model

    def check_whole(self):
        root = self.house.root
        for p in [x for x in root.rglob("*") if x.name in FORGOTTEN]:
            p.unlink()
        super().check_whole()


class TaskHouse(FileHouse):
    """root: a file of accounts, a Maildir, a state, and the server that has `mails`."""

    def __init__(self, base, name):
        super().__init__(base, name)
        self.rng = random.Random(f"{SEED} {name}")
        self.mails = make_mails(6, self.rng, (400,))
        self.drop = Drop(self.mails)
        self.conf = self.root / "fetch.conf"
        self.secret = base / f"{name}.secret"
        self.secret.write_text("secret\n")
        self.secret.chmod(0o600)
        self.box = self.root / "Maildir"
        self.here = []   # mails that lie in the Maildir from the beginning
        self.words = self.tasks()
        self.commands = [([*self.program(), *words], b"") for words in self.words]

    def program(self):
        return [PROGRAM, "--config", self.conf, "--state", self.root / "state"]

    def fresh(self):
        super().fresh()
        for d in ("new", "cur", "tmp"):
            (self.box / d).mkdir(parents=True)
        self.conf.write_text(
            f"[account a]\nserver = 127.0.0.1:{self.drop.port}\nuser = anna\ntls = none\n"
            f"plaintext = yes\npassword_file = {self.secret}\ndeliver = maildir:{self.box}\nkeep = yes\n")
        for i, m in enumerate(self.here):
            (self.box / "cur" / f"{i}.here:2,S").write_bytes(m.octets.replace(b"\r\n", b"\n"))
        for name, octets in self.files().items():
            (self.root / name).write_bytes(octets)

    def files(self):
        return {}

    def contents(self):
        return None

    @staticmethod
    def kind_of(name):
        return "fresh" if FRESH.fullmatch(name) else name

    @staticmethod
    def key_of(tree, links):
        tree = {p: read_of_wal(x, x) if p.endswith("-wal") else x for p, x in tree.items()}
        return hashlib.blake2b(repr((sorted(tree.items()), links)).encode()).digest()

    def run(self, command, trace=None, octets=b""):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root)}
        if trace:
            env |= {"LD_PRELOAD": str(SHIM), "FILE_SHIM_ROOT": str(self.root),
                    "FILE_SHIM_TRACE": str(trace)}
        return subprocess.run([str(x) for x in command], input=octets, capture_output=True,
                              timeout=RUN_S, env=env)

    def record(self):
        """What the server is told is no change of files."""
        first, inodes, lines, more = super().record()
        return first, inodes, [x for x in lines if x.kind != "send"], more

    def run_again(self, ledger):
        """All but what was answered."""
        for words in self.words[ledger.done:]:
            p = self.run([*self.program(), *words])
            if p.returncode != GOOD:
                return [f"again {words[0]}: {p.returncode} {p.stderr.decode()}"]
        return []

    def look(self, ledger):
        wrong = self.run_again(ledger)
        if not wrong:
            p = self.run(self.program())
            if p.returncode != GOOD:
                wrong.append(f"collecting: {p.returncode} {p.stderr.decode()}")
        return wrong or self.faults()

    def faults(self):
        """Each that was not here is there once, and the others are not fetched."""
        have = [hashlib.sha256(p.read_bytes()).hexdigest() for d in ("new", "cur")
                for p in (self.box / d).iterdir()]
        wrong = []
        for digest in {m.digest for m in self.mails}:
            is_, want = have.count(digest), self.wanted(digest)
            if is_ != want:
                names = [m.uid.decode() for m in self.mails if m.digest == digest]
                wrong.append(f"{'lost' if is_ < want else 'doubled'}: {names}: {is_}, not {want}")
        left = [p.name for p in (self.root / "state").iterdir() if not STATE.fullmatch(p.name)]
        left += [p.name for p in (self.box / "tmp").iterdir()]
        return wrong + [f"litter: {x}" for x in left] + \
            [f"the test's server: {x}" for x in self.drop.faults]


class ReconcileHouse(TaskHouse):
    """Three are here. The server has one of them twice: a row too many would hide that."""

    def tasks(self):
        self.here = self.mails[:3]
        again = Mail(b"again", self.mails[0].octets, self.mails[0].digest)
        self.mails = [*self.mails, again]
        self.drop.mails = list(self.mails)
        return [["--reconcile", self.box]]

    def wanted(self, digest):
        return sum(m.digest == digest for m in self.mails)


class ImportHouse(TaskHouse):
    """Of another program's two lists; what they name is not fetched."""

    def tasks(self):
        return [["--import", f"fetchids:{self.root}/ids{i}"] for i in range(2)]

    def files(self):
        rows = [b"anna@127.0.0.1 " + m.uid + b"\n" for m in self.mails]
        return {"ids0": b"".join(rows[:2]), "ids1": b"".join(rows[1:4])}

    def wanted(self, digest):
        return [m.digest for m in self.mails].index(digest) >= 4


class ConfigureHouse(TaskHouse):
    """Two accounts, one after the other, behind what the file has; and one in a new file."""
    names = ("fetch.conf", "new.conf")

    def tasks(self):
        more = ["--server", f"127.0.0.1:{self.drop.port}", "--tls", "none", "--plaintext",
                "--password-file",
                self.secret, "--maildir", self.box, "--keep"]
        return [["--configure", f"{who}@example.org", *more] for who in ("bert", "carl")] + [
            ["--config", self.root / "new.conf", "--configure", "dora@example.org", *more]]

    def program(self):
        return [PROGRAM, "--state", self.root / "state"]

    def fresh(self):
        super().fresh()
        self.commands = [(self.command(words), b"") for words in self.words]

    def command(self, words):
        return [*self.program(), *([] if "--config" in words else ["--config", self.conf]), *words]

    contents = FileHouse.contents

    def look(self, ledger):
        found = self.contents()
        if found not in self.may_be(ledger):
            return [f"neither old nor new: {found}"]
        for i, words in enumerate(self.words):
            p = self.run(self.command(words))
            has = self.versions.index(found) > i
            if p.returncode != (THERE if has else GOOD) or \
                    has and b"already" not in p.stderr:
                return [f"again {words}: {p.returncode} {p.stderr.decode()}"]
        if self.contents() != self.versions[-1]:
            return [f"not as it was to be: {self.contents()}"]
        return [f"litter: {p.name}" for p in self.root.iterdir()
                if p.name not in (*self.names, "Maildir", "state") and
                not FRESH.fullmatch(p.name)]


HOUSES = {"reconcile": ReconcileHouse, "import": ImportHouse, "configure": ConfigureHouse}


base = base_fixture("fetch-task-crash")


@pytest.fixture
def recording(request, base):
    house = HOUSES[request.param](base, request.param)
    yield TaskRecording(house)
    house.drop.close()


@pytest.mark.parametrize("recording", HOUSES, indirect=True)
def test_power_cut(recording):
    wrong = recording.faults(recording.lines, 10**9 if LONG else SAMPLE)
    print(f"{recording.house.script.name}: {len(recording.lines)} lines, "
          f"{recording.tried} states")
    assert not wrong, "\n".join(wrong)
    assert recording.tried >= 8


MISSING = {"reconcile": ["state.db.new"], "import": ["state.db.new"],
           "configure": ["fresh", "directory "]}


@pytest.mark.parametrize("recording,kinds", MISSING.items(), indirect=["recording"])
def test_missing_sync_is_found(recording, kinds):
    missing_sync_is_found(recording, kinds)
