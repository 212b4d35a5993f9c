"""What bench/run needs beside the servers: mail laid out by a seed, programs built, CPU of
a server's processes, memory of a server's processes, and a drive.

Mail is kept in CACHE and used again: making it takes minutes, and ext4 makes files slowly
for a while after many were removed. Each set is a directory of Maildirs, one a user, with a
manifest beside it, by which bench/drive knows every octet.
"""
import contextlib
import copy
import fcntl
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("RESTANTE_BENCH") or "/var/cache/restante-bench")
UID, PASSWORD, FORM = 64999, "secret", 1
DEADLINE_S = 60  # of a drive: no round is meant to take so long
TICK = os.sysconf("SC_CLK_TCK")
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


# ---- mail ------------------------------------------------------------------------------

class Mail:
    """Text as people write it: lines of 0 to 76 octets; one in 200 begins with a dot."""

    def __init__(self, seed):
        rng = random.Random(seed)
        letters = b"abcdefghijklmnopqrstuvwxyz      ABCDEFGH0123456789,."
        lines = [bytes(rng.choices(letters, k=rng.choice((0, *range(20, 77))))).lstrip(b".")
                 for _ in range(4000)]
        for i in range(0, len(lines), 200):
            lines[i] = b"." + lines[i]
        self.text = b"\n".join(lines) + b"\n"
        self.rng = rng

    def message(self, user, n, octets):
        """Of exactly so many octets, lines ended by LF."""
        head = (f"From: a@example.org\nTo: {user}@example.org\n"
                f"Message-ID: <{n}.{user}@bench>\nSubject: {n}\n\n").encode()
        if octets < len(head) + 2:
            return b"x" * (octets - 1) + b"\n"
        start = self.text.index(b"\n", self.rng.randrange(len(self.text) // 2)) + 1
        want = octets - len(head) - 1
        body = self.text[start:start + want]
        if len(body) < want:
            body += (self.text * ((want - len(body)) // len(self.text) + 1))[:want - len(body)]
        return head + body + b"\n"


def name_of(i):
    """Without ,S= and ,W=: a server has to look for itself."""
    return f"{1700000000 + i}.M{i * 7919 % 1000000:06d}P{i % 30000}.bench:2,S"


def put(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for at in range(0, len(data), GIB):
            os.write(fd, data[at:at + GIB])
        os.fchown(fd, UID, UID)
    finally:
        os.close(fd)


def make_drop(box, user, n, octets, crlf, mail, digests):
    """One Maildir; its lines of the manifest. octets: of each message, before CRLF."""
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
        os.chown(box / d, UID, UID)
    os.chown(box, UID, UID)
    lines, total, cur = [], 0, str(box / "cur")
    for i in range(n):
        data = mail.message(user, i, octets)
        wire = data.replace(b"\n", b"\r\n")
        put(f"{cur}/{name_of(i)}", wire if crlf else data)
        total += len(wire)
        if digests:
            lines.append(f"{len(wire)} {hashlib.sha256(wire).hexdigest()}\n")
    return [f"{user} {n} {total} {len(lines)}\n", *lines]


class Set:
    """Maildirs that stand in CACHE, or below `where`. drops: rows (user, messages, octets of
    each). base: a directory a user; manifest: what is in them."""

    def __init__(self, name, drops, crlf=False, digests=True, where=None):
        self.name, self.drops, self.crlf, self.digests = name, drops, crlf, digests
        self.users = [d[0] for d in drops]
        key = hashlib.sha256(repr((FORM, drops, crlf, digests)).encode()).hexdigest()[:8]
        self.dir = (where or CACHE) / f"{name}-{key}"
        self.base, self.manifest = self.dir / "mail", self.dir / "manifest"

    def make(self):
        """Once; half a set is never used."""
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(CACHE / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.dir.is_dir():
                self._make(self.dir.with_suffix(".new"))
        return self

    def _make(self, new):
        say(f"laying out {self.name}: {sum(d[1] for d in self.drops)} messages, "
            f"{sum(d[1] * d[2] for d in self.drops) / MIB:.0f} MiB")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o755, parents=True)
        (new / "mail").mkdir()
        os.chown(new / "mail", UID, UID)
        mail, lines = Mail(self.name), []
        for user, n, octets in self.drops:
            lines += make_drop(new / "mail" / user, user, n, octets, self.crlf, mail,
                               self.digests)
        (new / "manifest").write_text("".join(lines))
        new.rename(self.dir)

    def part(self, users):
        """The same with a manifest of these users alone."""
        out, keep = copy.copy(self), False
        out.manifest = self.dir / f"manifest-{users[0]}-{len(users)}"
        chosen = set(users)
        with open(self.manifest) as all_of, open(out.manifest, "w") as some:
            for line in all_of:
                words = line.split()
                keep = words[0] in chosen if len(words) == 4 else keep
                some.write(line if keep else "")
        return out

    def mbox(self):
        """The same mail as mbox files, one a user, for who knows nothing else."""
        spool = self.dir / "mbox"
        if not spool.is_dir():
            new = self.dir / "mbox.new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            for u in self.users:
                put(str(new / u), b"".join(
                    b"From bench Thu Jan  1 00:00:00 1970\n" + p.read_bytes() + b"\n"
                    for p in sorted((self.base / u / "cur").iterdir())))
            new.chmod(0o1777)
            new.rename(spool)
        return spool


def drops(n, messages, octets, prefix="u"):
    return [(f"{prefix}{i:05d}", messages, octets) for i in range(n)]


@contextlib.contextmanager
def alone():
    """Of two runs over the same mail, the second waits: maildrops are locked, and neither
    would measure itself alone."""
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with open(CACHE / "run.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run uses {CACHE}: waiting; RESTANTE_BENCH names another place")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# ---- CPU -------------------------------------------------------------------------------

def tree(pid):
    """pid and all its descendants that live now."""
    parents = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{p}/stat").read_text()
            parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(p))
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += parents.get(p, [])
    return found


def tree_cpu_ms(pid):
    """Children that ended count once they were waited for, in ticks of 10 ms."""
    total = 0.0
    for p in tree(pid):
        with contextlib.suppress(OSError):
            field = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += time.clock_gettime((~p << 3) | 2) * 1000.0
            total += sum(int(x) for x in field[13:15]) * 1000.0 / TICK
    return total


def cgroup_place():
    """(directory, kind) where control groups can be made, or None."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "cpuacct" in options.split(",")):
            own = pathlib.Path(where) / f"restante-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                own.mkdir()
                own.rmdir()
                yield pathlib.Path(where), kind


live = []


def accounted_ms():
    """CPU of all servers so far; those that stopped too."""
    return Account.spent_ms + sum(a.ms() for a in live)


class Account:
    """CPU of a server's processes, those that ended too, in a control group of its own;
    where none can be made, the sum over the process tree."""
    made, spent_ms = 0, 0.0

    def __init__(self):
        places = sorted(cgroup_place(), key=lambda p: p[1])  # cpuacct counts nanoseconds
        self.dir = self.kind = self.pid = None
        if places:
            Account.made += 1
            where, self.kind = places[0]
            self.dir = where / f"restante-bench-{os.getpid()}-{Account.made}"
            self.dir.mkdir()
        live.append(self)

    def enter(self):
        """In the child, before it becomes the server."""
        if self.dir:
            (self.dir / "cgroup.procs").write_text("0")

    def ms(self):
        if not self.dir:
            return tree_cpu_ms(self.pid)
        if self.kind == "cgroup":
            return int((self.dir / "cpuacct.usage").read_text()) / 1e6
        return int((self.dir / "cpu.stat").read_text().split()[1]) / 1e3

    def pids(self):
        """Of its processes that live now."""
        if not self.dir:
            return tree(self.pid)
        return [int(p) for p in (self.dir / "cgroup.procs").read_text().split()]

    def kill(self):
        for p in self.pids():
            with contextlib.suppress(OSError):
                os.kill(p, signal.SIGKILL)

    def close(self):
        """What is left of the server ends with it."""
        live.remove(self)
        Account.spent_ms += self.ms()
        end = time.monotonic() + 10
        while self.dir:
            try:
                self.dir.rmdir()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
            if time.monotonic() > end - 8:
                self.kill()
            time.sleep(0.02)


def memory_kib(pids):
    """(PSS, page tables) of these processes."""
    pss = tables = 0
    for p in pids:
        with contextlib.suppress(OSError, IndexError):
            pss += int(pathlib.Path(f"/proc/{p}/smaps_rollup").read_text()
                       .split("\nPss:")[1].split()[0])
            tables += int(pathlib.Path(f"/proc/{p}/status").read_text()
                          .split("VmPTE:")[1].split()[0])
    return pss, tables


def raise_limit():
    """Descriptors for ten thousand sessions, here and in what is started from here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- programs --------------------------------------------------------------------------

def children_s():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


class Failed(Exception):
    """A server or a drive did not do what it must; the text says which and how."""


def program(build, name):
    path = build / "tests" / name
    if not path.exists():
        sys.exit(f"{path} is not there: configure with -Dtests=true and run ninja")
    return path


class Drive:
    """bench/drive against one server."""

    def __init__(self, build):
        self.program, self.spent_s = program(build, "drive"), 0.0

    def command(self, server, over, mail, script, **more):
        command = [*server.inside, self.program, "--port", server.ports[over], "--manifest",
                   mail.manifest, "--script", script, "--password", PASSWORD]
        if server.sources > 1:
            command += ["--sources", server.sources]
        if over == "tls":
            command.append("--tls")
        for name, value in {"deadline": DEADLINE_S, **more}.items():
            name = "--" + name.replace("_", "-")
            command += [name] if value is True else [name, value]
        return [str(x) for x in command]

    def run(self, server, over, mail, script, **more):
        """What it printed, and cpu_ms: the server's, meanwhile."""
        command = self.command(server, over, mail, script, **more)
        before, own = server.account.ms(), children_s()
        done = subprocess.run(command, capture_output=True, text=True)
        cpu = server.account.ms() - before
        self.spent_s += children_s() - own
        if done.returncode != 0:
            raise Failed(f"{server.name} {over} {script}: {done.stderr.strip()}")
        return {**json.loads(done.stdout), "cpu_ms": cpu}

    @contextlib.contextmanager
    def holding(self, server, over, mail, script, **more):
        """Its sessions are open while the block runs."""
        command, own = self.command(server, over, mail, script, hold=True, **more), children_s()
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        try:
            line = p.stdout.readline()
            if not line.startswith("held "):
                raise Failed(f"{server.name} {over}: {p.stderr.read().strip() or line}")
            yield
            _, said = p.communicate(timeout=300)
            if p.returncode != 0:
                raise Failed(f"{server.name} {over}: {said.strip()}")
        finally:
            if p.poll() is None:
                p.kill()
                p.communicate()
            self.spent_s += children_s() - own
