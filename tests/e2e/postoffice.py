"""A throwaway post office for tests, and what belongs to it. conftest.py has the fixtures."""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD") or ROOT / "build").resolve()
SANITIZED = b"__asan_init" in (BUILD / "restante-front").read_bytes() \
    if (BUILD / "restante-front").exists() else False
NOBODY = 65534
# Of the tests with the machine, not a bound of the product: what comes, comes in the end.
PATIENCE_S = 60
# Sanitizers write to the standard error of the process that they look after.
REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|: runtime error: ")


def until(what, deadline=PATIENCE_S, why="it never came", tick=0.01):
    """Calls what() until it gives something true, which is returned."""
    end = time.monotonic() + deadline
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, why() if callable(why) else why
        threading.Event().wait(tick)


@contextlib.contextmanager
def ahead():
    """This thread before all others of the machine, where that may be: for a client whose turns
    are counted, so that it takes each one that it gets."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def few_descriptors(pid, more):
    """The process gets no more descriptors than it has, and these, for a while."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    have = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    limit = 0
    while limit in have or more > 0:
        more -= limit not in have
        limit += 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def alive(pid):
    """Whether a process runs: a zombie has ended."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in ("Z", "X")


def suspend(pid):
    """SIGSTOP, and until it holds every thread: the signal alone is on its way for a while."""
    os.kill(pid, signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{pid}/task")
    until(lambda: all((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
                      for t in tasks.iterdir()), why=f"{pid} does not stop")


def tree_of(pid):
    """The process and all below it: {pid: program}."""
    parents, names = {}, {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            head, tail = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        if tail.split()[0] not in ("Z", "X"):
            parents[int(p)] = int(tail.split()[1])
            names[int(p)] = head.split("(", 1)[1]
    found = {pid} if pid in names else set()
    while True:
        more = {p for p, parent in parents.items() if parent in found} - found
        if not more:
            return {p: names[p] for p in found}
        found |= more


class Office:
    """A running `restante sandbox`. Its attributes are what the ready line says."""

    def __init__(self, *args, users=(), sets=None, build=BUILD, user=None, env=None, wait=True,
                 under=()):
        """under: a command that runs the server in its own place, as prlimit does."""
        self.command = [*under, str(build / "restante"), "sandbox"]
        for u in users:
            self.command += ["--user", u if isinstance(u, str) else ":".join(map(str, u))]
        for name, value in (sets or {}).items():
            self.command += ["--set", f"{name}={value}"]
        self.command += [str(a) for a in args]
        self.build, self.lines, self.ready, self.stopped = build, [], None, False
        ids = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=env, start_new_session=True, **ids)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if wait:
            self._wait_ready()

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def _wait_ready(self):
        timer = threading.Timer(PATIENCE_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline().decode()
        timer.cancel()
        if not line.startswith("ready "):
            self.process.wait()
            self._reader.join(PATIENCE_S)
            self.stopped = True
            raise AssertionError(f"no ready line: {line!r}\n{self.log()}")
        self.ready = line
        words = dict(w.split("=", 1) for w in line.split()[1:])
        self.pop3_at, self.pop3s_at, self.ca = words["pop3"], words["pop3s"], words["ca"]
        self.host, self.pop3 = self._split(self.pop3_at)
        _, self.pop3s = self._split(self.pop3s_at)
        self.pid = int(words["pid"])
        self.lmtp_at = words.get("lmtp")  # ADDRESS:PORT or unix:PATH
        self.dir = pathlib.Path(self.ca).parent

    @staticmethod
    def _split(text):
        host, port = text.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def log(self):
        return "\n".join(self.lines)

    def mark(self):
        """For wait_for_log(since=): only lines from here on."""
        return len(self.lines)

    def wait_for_log(self, pattern, deadline=PATIENCE_S, since=0):
        """The first log line that matches."""
        def look():
            return next((x for x in self.lines[since:] if re.search(pattern, x)), None)
        return until(look, deadline, lambda: f"no log line like {pattern!r}:\n{self.log()}")

    def stat(self):
        """All counters, each summed over the processes."""
        out = subprocess.run(
            [self.build / "restante", "stat", "--socket", self.dir / "run" / "control"],
            capture_output=True, timeout=PATIENCE_S, check=True).stdout.decode()
        sums = {}
        for name, value in re.findall(r"^(?:restante_)?([a-z_]+)\S*[ =\t]+(\d+)$", out, re.M):
            sums[name] = sums.get(name, 0) + int(value)
        return sums

    def wait_for_counter(self, name, value, deadline=PATIENCE_S):
        """Until that counter is at least so high (a callable: until it says yes)."""
        good = value if callable(value) else lambda n: n >= value
        seen = {}

        def look():
            seen.update(self.stat())
            return good(seen.get(name, 0))
        until(look, deadline, lambda: f"{name} is {seen.get(name)}, not {value}", 0.05)
        return seen[name]

    def tree(self):
        """pid: program, of the monitor and all below it."""
        return tree_of(self.pid)

    def pids(self, program):
        """Of one program, as restante-front. The kernel keeps 15 characters of a name."""
        return sorted(p for p, name in self.tree().items() if name == program[:15])

    def stop(self, how=signal.SIGTERM, status=0):
        """Ends it; its exit status must be as said, and nothing may be left of it."""
        if self.stopped:
            return
        self.stopped = True
        processes = self.tree() if self.ready else {}
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.finish(processes, status)

    def wait(self, status=0, deadline=PATIENCE_S):
        """Waits for its own end."""
        processes = self.tree() if self.ready else {}
        self.stopped = True
        self.finish(processes, status, deadline)

    def finish(self, processes, status, deadline=PATIENCE_S):
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            for pid in [*processes, self.process.pid]:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the sandbox does not end:\n{self.log()}") from None
        self.process.stdout.close()
        self._reader.join(PATIENCE_S)
        self.process.stderr.close()
        assert not any(map(REPORT.search, self.lines)), self.log()
        if status is not None:
            assert code == status, f"status {code}, not {status}\n{self.log()}"
        until(lambda: not any(map(alive, processes)), PATIENCE_S,
              lambda: f"left: { {p: n for p, n in processes.items() if alive(p)} }\n{self.log()}")
        if self.ready:
            assert not (self.dir / "run").exists()
            assert not (self.dir / "sandbox.lock").exists() or status != 0


def port_is_free(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            return False
    return True


def start_offices():
    """Generator behind the fixtures: gives a factory, and stops what it started."""
    started = []

    def start(*args, **more):
        o = Office(*args, **more)
        started.append(o)
        return o
    yield start
    faults = []
    for o in reversed(started):
        try:
            o.stop()
        except AssertionError as e:
            faults.append(str(e))
    assert not faults, "\n".join(faults)


def make_maildir(path, messages=(), uid=None):
    """A Maildir with these messages in new/, in the order in which they are listed."""
    path = pathlib.Path(path)
    for part in ("new", "cur", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    for i, octets in enumerate(messages):
        (path / "new" / f"{1700000000 + i}.M{i:06d}P1.test").write_bytes(octets)
    if os.geteuid() == 0:
        for p in [path, *path.rglob("*")]:
            os.chown(p, uid or NOBODY, uid or NOBODY)
    return path


def make_base():
    d = pathlib.Path(tempfile.mkdtemp(prefix="restante-test-"))
    d.chmod(0o755)
    yield d
    shutil.rmtree(d, ignore_errors=True)
