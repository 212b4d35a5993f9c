"""Disks that are full, read-only or do not answer, and Maildirs as others leave them."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from fault_house import (BUILD, FaultHouse, busily, has, in_background, mounted,
                         sessions_meanwhile, timed_session, until)
from house import Client, status
from postoffice import port_is_free, suspend

pytestmark = pytest.mark.root
MAIL = [b"Subject: %d\n\nhello %d\n" % (i, i) for i in range(1, 4)]
UID = 5000


def knows_quotas():
    """Whether this kernel mounts an ext4 with quotas, and holds to them."""
    if os.geteuid() != 0 or not has("setquota"):
        return False
    with tempfile.TemporaryDirectory() as d:
        img = pathlib.Path(d, "img")
        with img.open("wb") as f:
            f.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal,quota", img], check=True,
                       capture_output=True)
        at = pathlib.Path(d, "at")
        at.mkdir()
        p = subprocess.run(["mount", "-o", "loop", img, at], capture_output=True)
        if p.returncode == 0:
            subprocess.run(["umount", at], check=True)
        return p.returncode == 0


QUOTA_IN_KERNEL = knows_quotas()


def give(path, uid=UID):
    for p in [path, *pathlib.Path(path).rglob("*")]:
        os.chown(p, uid, uid, follow_symlinks=False)


def fill(box, messages=MAIL, uid=UID):
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True, exist_ok=True)
    for i, m in enumerate(messages):
        (box / "new" / f"{1700000000 + i}.M{i}.test").write_bytes(m)
    give(box, uid)


def remove(path):
    """Also while a keeper that has just lost its session still saves what it knows."""
    def gone():
        for p in [path, *path.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):
                if p.is_dir() and not p.is_symlink():
                    os.chmod(p, 0o700)
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    until(gone, 60, f"{path} removed")


def names(box):
    return sorted(p.name.split(":")[0] for d in ("new", "cur") for p in (box / d).iterdir())


def uidls(c):
    return [line.split()[1] for line in c.multi("UIDL")]


# ---- no room, no right ------------------------------------------------------------

@pytest.fixture(scope="module", params=[0, 1], ids=["one keeper", "a keeper each"])
def house(house_dir, request):
    """With a keeper for each session only the lock in the maildrop keeps a second one out."""
    users = {"anna": ("secret", UID, []), "bert": ("secret", UID, list(MAIL))}
    with FaultHouse(house_dir("disk"), users, {"keeper_sessions": request.param}) as h:
        remove(h.box("anna"))
        h.box("anna").mkdir()
        yield h


@contextlib.contextmanager
def image(house, name, mkfs=(), options="loop"):
    """A small ext4 of its own at anna's maildrop."""
    at, img = house.box("anna"), house.base / f"{name}.img"
    with img.open("wb") as f:
        f.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", *mkfs, img],
                   check=True, capture_output=True)
    with mounted("-o", options, img, at=at):
        (at / "lost+found").rmdir()
        os.chmod(at, 0o700)
        fill(at)
        yield at
    img.unlink()


def use_all_blocks(at):
    with open(at / "filler", "wb", buffering=0) as f:
        for size in (1 << 16, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * size)
    with pytest.raises(OSError):
        (at / "more").write_bytes(b"x" * 100)
    (at / "more").unlink()


def use_all_inodes(at):
    (at / "filler").mkdir()
    with contextlib.suppress(OSError):
        for i in range(100_000):
            (at / "filler" / str(i)).touch()
    with pytest.raises(OSError):
        (at / "more").touch()


def in_use(house):
    c = Client(house.port)
    try:
        said = c.login("anna", "secret")
        assert said.startswith(b"-ERR [IN-USE]"), said
    finally:
        c.close()


def works_without_room(house, at):
    """Login, IN-USE, RETR; what is deleted is gone and the others keep their UIDL."""
    c = house.login("anna")
    before = uidls(c)
    assert len(before) == 3
    in_use(house)
    for i in range(3):
        assert b"".join(c.multi(f"RETR {i + 1}")) == MAIL[i].replace(b"\n", b"\r\n")
    assert c.say("DELE 2").startswith(b"+OK")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    assert len(names(at)) == 2
    c = house.login("anna")
    assert uidls(c) == [before[0], before[2]]
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


@pytest.mark.parametrize("use_all", [use_all_blocks, use_all_inodes])
def test_a_full_disk(house, use_all):
    mkfs = ["-N", "64"] if use_all is use_all_inodes else []
    with image(house, use_all.__name__, mkfs) as at:
        use_all(at)
        works_without_room(house, at)


def test_a_full_memory_disk(house):
    with mounted("-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", at=house.box("anna")) as at:
        fill(at)
        use_all_blocks(at)
        works_without_room(house, at)


@contextlib.contextmanager
def quota_of_ext4(house):
    mkfs = ["-O", "quota", "-E", "quotatype=usrquota"]
    with image(house, "quota", mkfs, "loop,usrquota") as at:
        used = sum(p.lstat().st_blocks for p in [at, *at.rglob("*")]) // 2
        count = 1 + len(list(at.rglob("*")))
        p = subprocess.run(["setquota", "-u", str(UID), str(used), str(used), str(count),
                            str(count), str(at)], capture_output=True, text=True)
        if p.returncode != 0:
            pytest.skip(f"no quota here: {p.stderr.strip()}")
        yield at


def quota_is_held(at):
    touch = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups",
             "touch", at / "more"]
    p = subprocess.run(touch, capture_output=True, text=True)
    return "quota exceeded" in p.stderr


@pytest.mark.parametrize("kind", [
    "FUSE", pytest.param("ext4", marks=pytest.mark.skipif(
        not QUOTA_IN_KERNEL, reason="this kernel knows no ext4 quotas"))])
def test_an_exhausted_quota(house, kind):
    if kind == "ext4":
        with quota_of_ext4(house) as at:
            assert quota_is_held(at)
            works_without_room(house, at)
        return
    need_fuse()
    fs = Hanging(house, "anna")
    try:
        pathlib.Path(f"{fs.control}.quota").touch()
        assert quota_is_held(fs.at)
        works_without_room(house, fs.at)
    finally:
        fs.end()
        remove(fs.backing)


def stays_where_it_is(house, at):
    """A mark cannot be carried out: -ERR, and the next session finds all as it was."""
    before = None
    for _ in range(2):
        c = house.login("anna")
        before = before or uidls(c)
        assert uidls(c) == before and len(before) == 3
        in_use(house)
        for i in range(3):
            assert b"".join(c.multi(f"RETR {i + 1}")) == MAIL[i].replace(b"\n", b"\r\n")
        assert c.say("DELE 2").startswith(b"+OK")
        said = c.say("QUIT")
        assert said.startswith(b"-ERR"), said
        assert c.rest() == b""
        c.close()
        assert len(names(at)) == 3
    c = house.login("anna")
    assert c.say("QUIT").startswith(b"+OK"), "nothing was marked"
    c.close()


def test_a_read_only_mount(house):
    source = house.base / "read-only"
    fill(source)
    with mounted("--bind", source, at=house.box("anna")) as at:
        subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        stays_where_it_is(house, at)
    shutil.rmtree(source)


@pytest.fixture
def drop(house):
    """anna's maildrop with three messages, afterwards away again."""
    at = house.box("anna")
    fill(at)
    yield at
    remove(at)
    at.mkdir()


def test_directories_without_the_right_to_write(house, drop):
    for p in (drop, drop / "new", drop / "cur", drop / "tmp"):
        os.chmod(p, 0o555)
    stays_where_it_is(house, drop)


def test_only_cur_can_be_written(house, drop):
    """Of two marked messages one goes: -ERR, and only that one is gone."""
    os.rename(drop / "new" / "1700000000.M0.test", drop / "cur" / "1700000000.M0.test:2,S")
    os.chmod(drop / "new", 0o555)
    c = house.login("anna")
    before = uidls(c)
    c.say("DELE 1")
    c.say("DELE 2")
    assert c.say("QUIT").startswith(b"-ERR")
    c.close()
    c = house.login("anna")
    assert uidls(c) == before[1:]
    c.close()


# ---- a file system that hangs --------------------------------------------------------

HANG_FS = BUILD / "tests" / "fault" / "hang_fs"
OTHERS = 12      # uids
OF_ONE_UID = 6   # more maildrops of the hanging one's owner
SESSIONS = 100


class Hanging:
    """hang_fs at one maildrop."""

    def __init__(self, house, name):
        self.at, self.control = house.box(name), house.base / f"{name}.hangs"
        self.backing = house.base / f"{name}.backing"
        fill(self.backing)
        remove(self.at)
        self.at.mkdir()
        self.p = subprocess.Popen([HANG_FS, self.backing, self.at, self.control],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            until(lambda: os.path.ismount(self.at) or self.p.poll() is not None, 60, "mounted")
            if self.p.poll() is not None:
                pytest.skip(f"no FUSE here: {self.p.stderr.read().decode().strip()}")
        except BaseException:
            self.end()
            raise

    def hang(self, how):
        if how == "answers nothing":
            self.control.touch()
        else:
            suspend(self.p.pid)

    def end(self):
        """Who waits for it gets an error: the connection to the kernel is gone."""
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stderr.close()
        subprocess.run(["umount", "-l", self.at], capture_output=True)


def need_fuse():
    if not HANG_FS.exists():
        pytest.skip("built without libfuse3")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")


@contextlib.contextmanager
def hanging_house(house_dir, options=None):
    need_fuse()
    users = {"stuck": ("secret", UID, [])}
    users |= {f"same{i}": ("secret", UID, list(MAIL)) for i in range(OF_ONE_UID)}
    users |= {f"other{i}": ("secret", UID + 1 + i, list(MAIL)) for i in range(OTHERS)}
    with FaultHouse(house_dir("hang"), users, {"idle_timeout": "3s", "login_timeout": "3s",
                                               "drain_timeout": "1s", **(options or {})}) as h:
        fs = Hanging(h, "stuck")
        try:
            yield h, fs
        finally:
            fs.end()


def nobody_else_notices(h):
    everybody = [f"same{i}" for i in range(OF_ONE_UID)] + [f"other{i}" for i in range(OTHERS)]
    sessions_meanwhile(h.port, everybody)  # keepers start
    # One at a time for each name: a maildrop has one session.
    slowest = max(sessions_meanwhile(h.port, everybody, 4)
                  for _ in range(SESSIONS // len(everybody) + 1))
    assert slowest < 2.5, f"{slowest} s"  # what waits for the hanging one waits for three


def fuse_descriptors(h):
    return [(p, t) for p in h.fronts() for fd in os.listdir(f"/proc/{p}/fd")
            for t in [os.readlink(f"/proc/{p}/fd/{fd}")] if str(h.box("stuck")) in t]


@pytest.mark.parametrize("how", ["answers nothing", "reads nothing"])
def test_a_maildrop_that_begins_to_hang(house_dir, how):
    with hanging_house(house_dir) as (h, fs):
        timed_session(h.port, "stuck")
        c = h.login("stuck")
        assert b"".join(c.multi("RETR 1")) == MAIL[0].replace(b"\n", b"\r\n")
        assert not fuse_descriptors(h), "a front could be made to wait by such a file"
        fronts = h.fronts()
        fs.hang(how)
        start = time.monotonic()
        c.s.sendall(b"RETR 2\r\n")
        [said] = in_background(lambda: (c.f.read(), time.monotonic() - start))
        nobody_else_notices(h)
        assert h.fronts() == fronts
        text, took = said.result(60)
        # On a slow machine it may have come ahead, before the hang: then it is whole.
        whole = MAIL[1].replace(b"\n", b"\r\n") + b".\r\n"
        assert took < 40, (text, took)
        assert not text.startswith(b"+OK") or text.split(b"\r\n", 1)[1] == whole, text
        c.close()
        # Its maildrop can be neither locked nor read; that is told, in time.
        c = Client(h.port)
        start = time.monotonic()
        assert not c.login("stuck", "secret").startswith(b"+OK")
        assert time.monotonic() - start < 40
        c.close()
        nobody_else_notices(h)
        ends_by_sigterm(h)


def ends_by_sigterm(h):
    h.p.send_signal(signal.SIGTERM)
    start = time.monotonic()
    assert h.p.wait(60) == 0
    assert time.monotonic() - start < 40


def login_in_vain(h, name):
    c = Client(h.port)
    start = time.monotonic()
    said = c.login(name, "secret")
    c.close()
    return said, time.monotonic() - start


def test_a_maildrop_that_hangs_from_the_start(house_dir):
    """And many who ask for it all the same."""
    with hanging_house(house_dir) as (h, fs):
        fs.hang("answers nothing")
        waiting = in_background(*[lambda: login_in_vain(h, "stuck")] * 8)
        nobody_else_notices(h)
        for w in waiting:
            said, took = w.result(60)
            assert not said.startswith(b"+OK") and took < 40, (said, took)
        fs.control.unlink()
        # It answers again: so does its maildrop.
        assert until(lambda: login_in_vain(h, "stuck")[0].startswith(b"+OK"), 60)
        fs.hang("answers nothing")
        in_background(lambda: login_in_vain(h, "stuck"))
        ends_by_sigterm(h)


def test_a_keeper_for_each_session_hangs_alone(house_dir):
    with hanging_house(house_dir, {"keeper_sessions": 1}) as (h, fs):
        fs.hang("answers nothing")
        waiting = in_background(*[lambda: login_in_vain(h, "stuck")] * 4)
        nobody_else_notices(h)
        for w in waiting:
            assert not w.result(60)[0].startswith(b"+OK")


@pytest.mark.parametrize("how", ["answers nothing", "reads nothing"])
def test_everything_ends_with_the_monitor_although_a_maildrop_hangs(house_dir, how):
    with hanging_house(house_dir) as (h, fs):
        c = h.login("stuck")
        fs.hang(how)
        c.s.sendall(b"RETR 1\r\n")
        [later] = in_background(c.f.read)
        other = h.login("other1")
        threading.Event().wait(0.2)
        children = h.children()
        assert "restante-keeper" in children.values()
        if how == "answers nothing":
            # The kernel ends nobody whose request such a file system has taken.
            children = {p: name for p, name in children.items()
                        if name != "restante-keeper" or owner(p) != UID}
        held = h.keepers(UID)
        h.p.kill()
        h.p.wait()
        until(lambda: not any(alive(p) for p in children), 60, "ended")
        # The kernel closes what they had a moment after it says that they are gone.
        until(lambda: port_is_free("127.0.0.1", h.port), 60, "free: the port")
        later.result(60)
        c.close()
        other.close()
        fs.end()
        until(lambda: not any(alive(p) for p in held), 60, "ended with the file system")


def owner(pid):
    return int(status(pid)["Uid"].split()[0])


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# ---- a Maildir as others leave it ------------------------------------------------------

def retr_raw(c, msgno):
    """The status line, the octets behind it, and whether the terminator came."""
    c.s.sendall(b"RETR %d\r\n" % msgno)
    first = c.f.readline()
    got = bytearray()
    while first.startswith(b"+OK"):
        line = c.f.readline()
        if line in (b"", b".\r\n"):
            return first, bytes(got), line != b""
        got += line
    return first, b"", True


def no_messages(at, d):
    """What is none, in new or cur: FIFO, directory, links out and to nowhere, socket."""
    secret = at.parent.parent / "secret"
    secret.write_bytes(b"Subject: not yours\n\nsecret\n")
    os.chmod(secret, 0o644)
    os.mkfifo(at / d / "1600000001.fifo")
    (at / d / "1600000002.directory").mkdir()
    os.symlink(secret, at / d / "1600000003.link-out")
    os.symlink("/nowhere", at / d / "1600000004.link-to-nowhere")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(at / d / "1600000005.socket"))
    os.symlink("../tmp", at / d / "1600000006.link-to-directory")
    give(at)


@pytest.mark.parametrize("d", ["new", "cur"])
def test_what_is_no_message_is_none(house, drop, d):
    no_messages(drop, d)
    start = time.monotonic()
    c = house.login("anna")
    assert time.monotonic() - start < 30
    assert len(uidls(c)) == 3
    for i in range(3):
        assert b"secret" not in b"".join(c.multi(f"RETR {i + 1}"))
        c.say(f"DELE {i + 1}")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    left = sorted(p.name for p in (drop / d).iterdir())
    assert [n.split(".")[0] for n in left] == [f"160000000{i}" for i in range(1, 7)]


def test_a_message_that_becomes_a_fifo(house, drop):
    c = house.login("anna")
    victim = drop / "new" / "1700000001.M1.test"
    victim.unlink()
    os.mkfifo(victim)
    os.chown(victim, UID, UID)
    start = time.monotonic()
    assert c.say("RETR 2").startswith(b"-ERR")
    assert time.monotonic() - start < 30
    assert c.multi("RETR 3")
    c.close()


def test_a_message_that_becomes_a_link_out(house, drop):
    secret = house.base / "secret"
    secret.write_bytes(b"Subject: not yours\n\nsecret\n")
    c = house.login("anna")
    victim = drop / "new" / "1700000001.M1.test"
    victim.unlink()
    os.symlink(secret, victim)
    assert c.say("RETR 2").startswith(b"-ERR")
    assert c.multi("RETR 3")
    c.close()


def test_a_directory_of_the_maildrop_that_is_a_link_out(house, drop):
    outside = house.base / "outside"
    fill(outside, [b"Subject: not yours\n\nsecret\n"])
    shutil.rmtree(drop / "new")
    os.symlink(outside / "new", drop / "new")
    c = Client(house.port)
    said = c.login("anna", "secret")
    if said.startswith(b"+OK"):
        assert uidls(c) == []
    c.close()
    (drop / "new").unlink()
    shutil.rmtree(outside)


def test_a_message_that_cannot_be_read(house, drop):
    os.chmod(drop / "new" / "1700000001.M1.test", 0)
    c = house.login("anna")
    listed = uidls(c)
    said = [retr_raw(c, i + 1) for i in range(len(listed))]
    for i, (first, octets, whole) in enumerate(said):
        assert whole
        if first.startswith(b"+OK"):
            assert octets in [m.replace(b"\n", b"\r\n") for m in (MAIL[0], MAIL[2])]
    assert sum(s[0].startswith(b"+OK") for s in said) == 2
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    os.chmod(drop / "new" / "1700000001.M1.test", 0o600)
    c = house.login("anna")
    assert len(uidls(c)) == 3 and set(listed) <= set(uidls(c))
    assert c.multi("RETR 2")
    c.close()


LARGE = b"Subject: large\n\n" + b"y" * 61 + b"\n" + (b"z" * 62 + b"\n") * 400_000


def begun(house, at):
    """A RETR of a large message that has begun and is not read."""
    large = at / "new" / "1600000000.M1.large"
    large.write_bytes(LARGE)
    give(at)
    c = house.login("anna")
    c.s.settimeout(60)
    c.s.sendall(b"RETR 1\r\n")
    assert c.f.readline().startswith(b"+OK")
    return c, large


def test_a_file_that_shrinks_while_it_is_sent(house, drop):
    c, large = begun(house, drop)
    os.truncate(large, 100)
    rest = c.rest()
    assert not rest.endswith(b"\r\n.\r\n"), "cut short and yet ended as if it were whole"
    c.close()
    assert timed_session(house.port, "bert") < 20
    c = house.login("anna")
    first, octets, whole = retr_raw(c, 1)
    assert whole and octets == LARGE[:100].replace(b"\n", b"\r\n") + b"\r\n"
    c.close()


def test_a_file_that_grows_while_it_is_sent(house, drop):
    """What was announced is sent, or the connection is cut; never more."""
    c, large = begun(house, drop)
    with large.open("ab") as f:
        f.write(b"more\n" * 100_000)
    got = bytearray()
    while True:
        line = c.f.readline()
        if line in (b"", b".\r\n"):
            break
        got += line
    if line:
        assert got == LARGE.replace(b"\n", b"\r\n")
    c.close()


def test_a_file_that_is_written_over_while_it_is_sent(house, drop):
    """Octets of the same number: lines of another length are noticed by their count."""
    c, large = begun(house, drop)
    with large.open("r+b") as f:
        f.write(b"\n" * len(LARGE))
    size = 0
    while (line := c.f.readline()) not in (b"", b".\r\n"):
        size += len(line)
    announced = len(LARGE) + LARGE.count(b"\n")
    assert not line or size == announced, (size, announced)
    c.close()


def test_a_file_that_is_removed_while_it_is_sent_comes_whole(house, drop):
    c, large = begun(house, drop)
    large.unlink()
    got = bytearray()
    while (line := c.f.readline()) not in (b"", b".\r\n"):
        got += line
    assert line == b".\r\n" and got == LARGE.replace(b"\n", b"\r\n")
    c.close()


def test_a_maildrop_that_is_removed_and_made_again(house, drop):
    """As by a restore: served at the next login, with the UIDLs of the names."""
    c = house.login("anna")
    before = uidls(c)
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    for round_ in range(2):
        remove(drop)
        if round_:
            c = house.login("anna")
            assert uidls(c) == [], "no maildrop is an empty one"
            c.close()
        fill(drop)
        c = house.login("anna")
        assert uidls(c) == before
        assert b"".join(c.multi("RETR 3")) == MAIL[2].replace(b"\n", b"\r\n")
        assert c.say("QUIT").startswith(b"+OK")
        c.close()


def test_a_maildrop_that_is_renamed_away_during_a_session(house, drop):
    c = house.login("anna")
    c.multi("RETR 1")
    away = house.base / "away"
    os.rename(drop, away)
    fill(drop, [b"Subject: of another\n\nhello\n"])
    assert c.say("DELE 2").startswith(b"+OK")
    c.say("QUIT")
    c.close()
    assert len(names(drop)) == 1, "what took its place is not touched"
    assert len(names(away)) in (2, 3)
    c = house.login("anna")
    assert len(uidls(c)) == 1
    assert c.multi("RETR 1")[0] == b"Subject: of another\r\n"
    c.close()
    remove(away)


def test_a_deliverer_and_another_reader_are_busy_during_fifty_sessions(house, drop):
    """Messages come, move from new to cur and change their flags: none is lost, no UIDL
    changes, none is there twice, and what is deleted stays away."""
    count, lock, uidl_of = [0], threading.Lock(), {}
    gone, seen = set(), set()

    def deliver():
        n = count[0] + 1
        name = f"{1800000000 + n}.M{n}P7.test"
        tmp = drop / "tmp" / name
        tmp.write_bytes(b"Subject: %d\n\nnumber %d\n" % (n, n))
        os.chown(tmp, UID, UID)
        os.rename(tmp, drop / "new" / name)
        count[0] = n
        threading.Event().wait(0.004)

    def shuffle():
        with lock:
            for p in list((drop / "new").iterdir())[:3]:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(p, drop / "cur" / f"{p.name}:2,")
            for p in list((drop / "cur").iterdir())[::7]:
                base, flags = p.name.split(":2,")
                flags = "" if "S" in flags else "S"
                with contextlib.suppress(FileNotFoundError):
                    os.rename(p, drop / "cur" / f"{base}:2,{flags}")
        threading.Event().wait(0.003)

    threads = [busily(deliver), busily(shuffle)]
    try:
        for i in range(50):
            before = count[0]
            c = house.login("anna")
            until(lambda: count[0] > before + 2, 60, "delivered")
            now = uidls(c)
            assert len(set(now)) == len(now), "one UIDL twice"
            assert not gone & set(now), "deleted, and there again"
            assert seen - gone <= set(now), "lost, or its UIDL is another"
            assert len(now) + len(gone) >= before + 3
            for n in {1, len(now) // 2 + 1, len(now)}:
                text = b"".join(c.multi(f"RETR {n}"))
                assert uidl_of.setdefault(now[n - 1], text) == text, "another message"
            seen |= set(now)
            if i % 5 == 4:
                assert c.say("DELE 1").startswith(b"+OK")
                gone.add(now[0])
            assert c.say("QUIT").startswith(b"+OK")
            c.close()
    finally:
        for stop, t in threads:
            stop.set()
            t.join()
    assert len(names(drop)) == count[0] + 3 - len(gone)
    c = house.login("anna")
    assert len(uidls(c)) == len(names(drop))
    c.close()


def test_after_all_that_the_same_processes_serve(house):
    assert house.p.poll() is None
    assert all(status(p)["State"] for p in house.fronts())
    assert not [x for x in house.lines if "event=process_ended" in x], house.log()[-2000:]
    assert timed_session(house.port, "bert") < 20
