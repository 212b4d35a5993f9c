"""A quick POP3 server whose maildrop is real about DELE and QUIT, and a place where
`restante fetch` collects from it: Maildirs, an mbox, a state, and what must hold there."""
import collections
import hashlib
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", ROOT / "build"))
PROGRAM = BUILD / "restante-fetch"
SHIM = BUILD / "tests" / "fault" / "libfetch_shim.so"
SANITIZED = b"__asan_init" in PROGRAM.read_bytes() if PROGRAM.exists() else False
LONG = bool(os.environ.get("RESTANTE_LONG"))
REPORT = re.compile(rb"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|: runtime error: ")
SEED = int(os.environ.get("RESTANTE_SEED") or random.SystemRandom().randrange(1 << 32))
RUN_S = 60    # no run takes longer
RUNS_MAX = 6  # so many after a fault until all is collected
CAPABILITIES = b"USER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\nIMPLEMENTATION Drop\r\n"

Mail = collections.namedtuple("Mail", "uid octets digest")
Ran = collections.namedtuple("Ran", "code err")


def make_base(name):
    """In memory where that can be: thousands of syncs are to cost nothing."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return pathlib.Path(tempfile.mkdtemp(prefix=f"restante-{name}.", dir=where))


def make_mails(n, rng, sizes=(40, 400, 3000, 9000)):
    """No two alike; lines that begin with dots and From among them."""
    out = []
    for i in range(n):
        text = b"From: a%d@example.com\r\nSubject: letter %d\r\n\r\n" % (i, i)
        size = rng.choice(sizes)
        while len(text) < size:
            text += rng.choice((b".", b"..", b"From the start ", b">From ", b"", b"")) + \
                rng.randbytes(20).hex().encode() + b"\r\n"
        stored = text.replace(b"\r\n", b"\n")
        out.append(Mail(b"uid%06d" % i, text, hashlib.sha256(stored).hexdigest()))
    return out


class Drop:
    """The maildrop and its server. Deleted at QUIT only, in one go; one session at a time."""

    def __init__(self, mails):
        self.mails = list(mails)
        self.at_quit = None      # called with what is about to be deleted
        self.on_login = None     # called when a session begins
        self.session = threading.Lock()
        self.faults = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=32)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._listen, daemon=True)]
        self.threads[0].start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join(60)

    def _listen(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            with s:
                s.settimeout(RUN_S)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.sendall(b"+OK ready\r\n")
                Session(self, s).run()
        except OSError:
            pass  # the client was killed
        except Exception as e:  # a fault of the test's own
            self.faults.append(repr(e))


class Session:
    def __init__(self, drop, s):
        self.drop, self.s, self.mails, self.marked = drop, s, None, set()
        self.quit = False

    def run(self):
        rest = b""
        try:
            while not self.quit:
                got = self.s.recv(65536)
                if not got:
                    return
                *lines, rest = (rest + got).split(b"\n")
                out = b"".join(self.answer(line.rstrip(b"\r")) for line in lines)
                self.s.sendall(out)
        finally:
            if self.mails is not None:
                self.drop.session.release()

    def answer(self, line):
        verb, _, rest = line.partition(b" ")
        verb = verb.upper().decode("latin-1")
        if verb == "CAPA":
            return b"+OK\r\n" + CAPABILITIES + b".\r\n"
        if verb == "QUIT":
            return self.do_quit()
        if self.mails is None:
            if verb == "USER":
                return b"+OK\r\n"
            return self.do_pass() if verb == "PASS" else b"-ERR log in first\r\n"
        if verb == "STAT":
            left = [m for i, m in enumerate(self.mails) if i not in self.marked]
            return b"+OK %d %d\r\n" % (len(left), sum(len(m.octets) for m in left))
        if verb in ("LIST", "UIDL"):
            return self.do_list(verb, rest)
        if verb in ("NOOP", "RSET"):
            if verb == "RSET":
                self.marked.clear()
            return b"+OK\r\n"
        number, _, lines = rest.partition(b" ")
        i = int(number) - 1 if number.isdigit() else -1
        if not 0 <= i < len(self.mails) or i in self.marked:
            return b"-ERR no such message\r\n"
        return self.about(verb, i, lines)

    def do_pass(self):
        self.drop.session.acquire()
        self.mails = list(self.drop.mails)
        if self.drop.on_login:
            self.drop.on_login()
        return b"+OK\r\n"

    def do_quit(self):
        gone = [self.mails[i] for i in sorted(self.marked)] if self.mails is not None else []
        if gone:
            if self.drop.at_quit:
                self.drop.at_quit(gone)
            uids = {m.uid for m in gone}
            self.drop.mails = [m for m in self.drop.mails if m.uid not in uids]
        self.quit = True
        return b"+OK bye\r\n"

    def do_list(self, verb, rest):
        def row(i):
            m = self.mails[i]
            return b"%d %b" % (i + 1, m.uid if verb == "UIDL" else b"%d" % len(m.octets))
        if rest:
            i = int(rest) - 1
            if not 0 <= i < len(self.mails) or i in self.marked:
                return b"-ERR no such message\r\n"
            return b"+OK " + row(i) + b"\r\n"
        rows = b"".join(row(i) + b"\r\n" for i in range(len(self.mails)) if i not in self.marked)
        return b"+OK\r\n" + rows + b".\r\n"

    def about(self, verb, i, lines):
        octets = self.mails[i].octets
        if verb == "DELE":
            self.marked.add(i)
            return b"+OK\r\n"
        if verb == "TOP":
            head, _, body = octets.partition(b"\r\n\r\n")
            octets = head + b"\r\n\r\n" + b"".join(body.splitlines(True)[:int(lines)])
        elif verb != "RETR":
            return b"-ERR unknown\r\n"
        octets = re.sub(rb"(?m)^\.", b"..", octets)
        return b"+OK\r\n" + octets + b".\r\n"


def mbox_texts(octets):
    """The messages of an mboxrd, as they were."""
    out = []
    for part in re.split(rb"(?m)^From .*\n", octets)[1:]:
        assert part.endswith(b"\n"), f"torn at its end: {part[-100:]!r}"
        out.append(re.sub(rb"(?m)^>(>*From )", rb"\1", part[:-1]))
    return out


class Place:
    """root/: Maildir, Other (a second Maildir), mbox, state; beside it a password."""

    TARGETS = {"maildir": ["--maildir", "Maildir"], "mbox": ["--mbox", "box/mbox"],
               "both": ["--maildir", "Maildir", "--mbox", "box/mbox"],
               "two": ["--maildir", "Maildir", "--maildir", "Other"]}
    # What the state's directory holds between runs.
    STATE = re.compile(r"id|lock|state\.db(-wal|-shm)?|mbox\.[0-9a-f]{32}|spool|quarantine")

    def __init__(self, root, targets, keep=False, more=(), run_s=RUN_S):
        self.root, self.targets, self.keep = pathlib.Path(root), targets, keep
        self.more, self.run_s = list(more), run_s
        self.password = self.root.parent / f"{self.root.name}.password"
        self.password.write_text("secret\n")
        self.password.chmod(0o600)
        self.fresh()

    def fresh(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()

    def start(self, port, env=None):
        targets = [x if x.startswith("--") else str(self.root / x)
                   for x in self.TARGETS[self.targets]]
        command = [str(PROGRAM), "--server", f"127.0.0.1:{port}", "--user", "anna", "--tls", "none",
                   "--password-file", str(self.password), "--state", str(self.root / "state"),
                   *targets, *(["--keep"] if self.keep else []), *self.more]
        everything = {"PATH": os.environ["PATH"], "HOME": str(self.root), **(env or {})}
        if "ASAN_OPTIONS" in os.environ:
            everything["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, cwd=self.root, env=everything)

    def wait(self, p):
        try:
            err = p.communicate(timeout=self.run_s)[1]
        except subprocess.TimeoutExpired:
            p.kill()
            err = p.communicate()[1]
            raise AssertionError(f"does not end in {self.run_s} s: {err!r}") from None
        assert not REPORT.search(err), err.decode("utf-8", "replace")
        return Ran(p.returncode, err)

    def run(self, port, env=None):
        return self.wait(self.start(port, env))

    def shim(self, **settings):
        """Environment: fault="write:3:EIO", trace=FILE, counts=FILE, skip="journal"."""
        env = {f"FILE_SHIM_{k.upper()}": str(v) for k, v in settings.items()}
        return {"LD_PRELOAD": str(SHIM), "FILE_SHIM_ROOT": str(self.root), **env}

    def copies(self):
        files = {str(p.relative_to(self.root)): p.read_bytes() for d in ("Maildir", "Other", "box")
                 for p in (self.root / d).rglob("*") if p.is_file()}
        return self.copies_in(files)

    def copies_in(self, files):
        """For each target, the digests of what it holds, by {path: octets}."""
        out = {}
        for box in (p for p in ("Maildir", "Other") if p in self.TARGETS[self.targets]):
            out[box] = collections.Counter(
                hashlib.sha256(octets).hexdigest() for path, octets in files.items()
                if path.startswith((f"{box}/new/", f"{box}/cur/")))
        if "box/mbox" in self.TARGETS[self.targets]:
            out["mbox"] = collections.Counter(
                hashlib.sha256(x).hexdigest() for x in mbox_texts(files.get("box/mbox", b"")))
        return out

    def held_everywhere(self, mail):
        return all(c[mail.digest] > 0 for c in self.copies().values())

    def litter(self):
        out = [str(p.relative_to(self.root)) for d in ("Maildir/tmp", "Other/tmp", "state/spool")
               if (self.root / d).is_dir() for p in (self.root / d).iterdir()]
        if (self.root / "state").is_dir():
            out += [f"state/{p.name}" for p in (self.root / "state").iterdir()
                    if not self.STATE.fullmatch(p.name)]
        if (self.root / "box").is_dir():
            out += [f"box/{p.name}" for p in (self.root / "box").iterdir() if p.name != "mbox"]
        return out

    def faults(self, mails):
        """What is wrong with the copies, in words; [] where each mail is there once."""
        out, names = [], {m.digest: m.uid.decode() for m in mails}
        try:
            copies = self.copies()
        except AssertionError as e:
            return [f"torn: {e}"]
        for where, have in copies.items():
            out += [f"lost: {m.uid.decode()} in {where}" for m in mails if not have[m.digest]]
            out += [f"doubled: {names[d]} in {where}" for d in have
                    if d in names and have[d] > 1]
            out += [f"torn or strange: {d} in {where}" for d in have if d not in names]
        return out

    def settle(self, drop):
        """Runs until all is collected."""
        ran = []
        while len(ran) < RUNS_MAX:
            ran.append(self.run(drop.port))
            if ran[-1].code == 0 and (self.keep or not drop.mails):
                return
        raise AssertionError(f"not collected: {[tuple(r) for r in ran]}")

    def exactly_once(self, drop, mails, story):
        """Settles, and with keep once more; then each mail is there once, and no litter."""
        wrong = self.what_is_wrong(drop, mails)
        assert not wrong, f"{story}: {wrong}"

    def what_is_wrong(self, drop, mails):
        try:
            for _ in range(2 if self.keep else 1):
                self.settle(drop)
        except AssertionError as e:
            return [str(e)]
        wrong = self.faults(mails) + [f"litter: {x}" for x in self.litter()]
        return wrong + [f"the test's server: {x}" for x in drop.faults]
