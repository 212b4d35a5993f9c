"""A disk that fails for a moment is no damage. Each call with which `restante fetch` opens
and reads its state fails in turn (strace, EIO): it says what failed, where and why, with
status 75, and never that the state is to be moved away; the next run finds all as it was. A
state that is damaged is told as that, with status 73.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from fetch_drop import LONG, PROGRAM, SANITIZED, make_base

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls"),
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")]
CALLS = ["pread64", "openat", "newfstatat", "pwrite64", "fcntl", "ftruncate"]
GOOD, DAMAGED, LATER = 0, 73, 75
PLACES_MAX = 40  # of one call
SHORT = 9
ERROR = "Input/output error"


class Place:
    def __init__(self, root):
        self.root = root
        for d in ("box/new", "box/cur", "box/tmp"):
            (root / d).mkdir(parents=True)
        for i in range(40):
            (root / "box/new" / f"{i}.a").write_text(f"Subject: {i}\nMessage-ID: <{i}@a>\n\nx\n")
        self.conf = root / "fetch.conf"
        self.conf.write_text("[account a]\nserver = pop3://127.0.0.1:9\nuser = anna\n"
                             f"password_command = true\ndeliver = maildir:{root}/box\n")
        self.state = root / "state"
        self.first = root / "first"
        ran = self.run()
        assert ran.returncode == GOOD, ran
        shutil.copytree(self.state, self.first)

    def fresh(self):
        shutil.rmtree(self.state)
        shutil.copytree(self.first, self.state)

    def run(self, *before, task=("--reconcile",)):
        words = [*task, self.root / "box"] if task == ("--reconcile",) else task
        return subprocess.run([*before, PROGRAM, "--config", self.conf, "--state", self.state,
                               *words], capture_output=True, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.root)})

    def injected(self, call, n, task):
        self.fresh()
        trace = self.root / "trace"
        paths = [x for p in ("", "state.db", "state.db-wal", "state.db-shm", "lock")
                 for x in ("-P", self.state / p if p else self.state)]
        ran = self.run("strace", "-qq", "-o", trace, *paths, "-e", f"trace={call}", "-e",
                       f"inject={call}:error=EIO:when={n}", task=task)
        return "(INJECTED)" in trace.read_text(errors="replace"), ran


@pytest.fixture(scope="module")
def place():
    base = make_base("fetch-io")
    yield Place(pathlib.Path(base))
    shutil.rmtree(base)


@pytest.mark.parametrize("task", [("--reconcile",), ("--status",)], ids=["writes", "reads"])
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_fails_for_a_moment(place, call, task):
    later, tried = 0, 0
    for n in range(1, PLACES_MAX + 1 if LONG else SHORT + 1):
        hit, ran = place.injected(call, n, task)
        if not hit:
            break
        tried += 1
        story = (call, n, ran.returncode, ran.stderr)
        assert ran.returncode in (GOOD, LATER), story
        assert "move it away" not in ran.stderr and "reconcile" not in ran.stderr, story
        if ran.returncode == LATER:
            later += 1
            assert str(place.state) in ran.stderr and ERROR in ran.stderr, story
        again = place.run(task=task)
        assert again.returncode == GOOD and "a" in again.stdout, (story, again)
    assert later > 0 or call in ("ftruncate", "pwrite64", "fcntl") or tried == 0, tried
    if call == "pread64":
        assert later > 0


def test_damage_is_told_as_that(place):
    place.fresh()
    octets = bytearray((place.state / "state.db").read_bytes())
    octets[100:4096] = bytes(3996)
    (place.state / "state.db").write_bytes(octets)
    ran = place.run()
    assert ran.returncode == DAMAGED, ran
    assert re.search(r"state\.db: .*is damaged .*: move it away and use --reconcile", ran.stderr)
    assert (place.state / "state.db").read_bytes() == octets
