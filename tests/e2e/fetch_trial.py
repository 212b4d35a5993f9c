"""One run, or several, of `restante fetch` against a server that sins, and what must hold
after each of them: it ends in time and in bounded memory, leaves nothing in tmp/, shows no
control characters, sends no secret in the clear, deletes nothing that is not delivered;
after the end against an honest server nothing is lost and nothing is there twice."""
import base64
import collections
import hashlib
import os
import pathlib
import re
import subprocess
import threading
import time

from fetch_faulty import PASSWORD, USER, Authority, Drop, House, Session, nasty_mails
from postoffice import BUILD, REPORT

PROGRAM = BUILD / "restante-fetch"
MIB = 1 << 20
MEMORY = 16 * MIB
DEADLINE_S = 60

Run = collections.namedtuple("Run", "code out err seconds memory visits")


def is_sanitized(found=[]):
    if not found:
        program = PROGRAM.read_bytes()
        found.append(b"__asan_init" in program or b"__tsan_init" in program)
    return found[0]


def rss_anon(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 if found else 0


def printable(octets):
    """No control character but line ends, in whatever coding a terminal may read them."""
    text = octets.decode("utf-8", "surrogateescape")
    return not [c for c in text if (ord(c) < 0x20 and c != "\n") or 0x7f <= ord(c) < 0xa0
                or 0xdc80 <= ord(c) < 0xdd00 or 0x202a <= ord(c) <= 0x202e]


class Trial:
    def __init__(self, base, mails, script=Session, tls="none", pki=None, certificate="good",
                 quiet=0.0):
        self.base, self.tls, self.pki = base, tls, pki
        self.maildir, self.state = base / "Maildir", base / "state"
        self.drop = Drop(mails)
        self.house = House(self.drop, script, tls, pki and pki[certificate], quiet)
        self.house.witness = self.is_delivered
        self.seen = {}  # file: digest, as files do not change
        self.password = base / "password"
        self.password.write_bytes(PASSWORD + b"\n")
        self.password.chmod(0o600)
        self.runs = []

    # ---- what was delivered ----
    def files(self):
        return [p for part in ("new", "cur") if (self.maildir / part).is_dir()
                for p in sorted((self.maildir / part).iterdir())]

    def digests(self):
        files = self.files()
        for p in files:
            if p.name not in self.seen:
                with p.open("rb") as f:
                    h = hashlib.sha256()
                    while piece := f.read(MIB):
                        h.update(piece)
                self.seen[p.name] = h.hexdigest()
        return [self.seen[p.name] for p in files]

    def is_delivered(self, mail):
        return mail.digest in self.digests()

    def delivered(self, mail):
        return self.digests().count(mail.digest)

    # ---- running ----
    def command(self, keep=False, timeout=2, tls=None, host="127.0.0.1", more=()):
        tls = tls or self.tls
        out = [PROGRAM, "--server", f"{host}:{self.house.port}", "--user", USER.decode(),
               "--password-file", self.password, "--tls", tls, "--maildir", self.maildir,
               "--state", self.state, "--timeout", timeout]
        if tls != "none":
            out += ["--ca", self.pki["ca"]]
        return [str(x) for x in [*out, *(["--keep"] if keep else []), *more]]

    def run(self, deadline=DEADLINE_S, memory=MEMORY, codes=None, **how):
        before, start = len(self.house.sessions), time.monotonic()
        p = subprocess.Popen(self.command(**how), stdin=subprocess.DEVNULL, cwd=self.base,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={"PATH": os.environ["PATH"], "HOME": str(self.base)})
        peak, ended = [0], threading.Event()

        def watch():
            while not ended.wait(0.004):
                peak[0] = max(peak[0], rss_anon(p.pid))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            out, err = p.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            raise AssertionError(f"does not end in {deadline} s\n{self.story(out, err)}") from None
        finally:
            ended.set()
            watcher.join()
        got = Run(p.returncode, out, err, time.monotonic() - start, peak[0],
                  range(before + 1, len(self.house.sessions) + 1))
        self.runs.append(got)
        self.must_hold(got, memory)
        if codes is not None:
            assert got.code in codes, f"exit {got.code}, not {codes}\n{self.story(out, err)}"
        return got

    def story(self, out=b"", err=b""):
        """For whoever reads a failure."""
        lines = "\n".join(f"  {x.session}{'s' if x.secured else ' '} {x.octets[:100]!r}"
                          for x in self.house.lines[-60:])
        codes = " ".join(str(r.code) for r in self.runs)
        return (f"exit codes so far: {codes}\nstdout: {out[-1500:]!r}\nstderr: "
                f"{err[-2500:].decode('utf-8', 'backslashreplace')}\nthe server heard:\n{lines}")

    def must_hold(self, got, memory):
        say = self.story(got.out, got.err)
        assert not self.house.faults, f"the test's own server: {self.house.faults}"
        assert got.code >= 0, f"ended by signal {-got.code}\n{say}"
        assert not REPORT.search(got.err.decode("utf-8", "replace")), say
        if memory and not is_sanitized():
            assert got.memory < memory, f"RssAnon {got.memory / MIB:.1f} MiB\n{say}"
        assert printable(got.out) and printable(got.err), f"control characters\n{say}"
        assert PASSWORD not in got.out + got.err, f"the password is shown\n{say}"
        tmp = self.maildir / "tmp"
        assert not tmp.is_dir() or not list(tmp.iterdir()), f"left in tmp/\n{say}"
        assert not self.house.wrongly, f"DELE before delivery: {self.house.wrongly}\n{say}"
        self.no_secret_in_the_clear(say)

    def no_secret_in_the_clear(self, say=""):
        if self.tls == "none":
            return
        secrets = [PASSWORD, base64.b64encode(PASSWORD)[:-2],
                   base64.b64encode(b"\0" + USER + b"\0" + PASSWORD)]
        for s in self.house.sessions:
            clear = bytes(s.wire.clear)
            assert not any(x in clear for x in secrets), f"a secret in the clear\n{say}"
            assert not re.search(rb"(?mi)^(USER|PASS|AUTH|APOP) ", clear), \
                f"a login in the clear: {clear!r}\n{say}"

    def honest(self, runs=5, leaves=(), codes=(0, 65), sane=Session, doubles=False,
               **how):
        """Collects from an honest server of the same content until nothing is left but
        `leaves`; then all must be there, once."""
        self.house.script = sane
        if self.pki:
            self.house.certificate = self.pki["good"]
        for _ in range(runs):
            self.run(codes=codes, **how)
            if {m.uid for m in self.drop.mails} <= {m.uid for m in leaves}:
                break
        left = {m.uid for m in self.drop.mails} - {m.uid for m in leaves}
        assert not left, f"left on the server: {sorted(left)}\n{self.last()}"
        self.complete(leaves, doubles)

    def last(self):
        return self.story(self.runs[-1].out, self.runs[-1].err)

    def complete(self, leaves=(), doubles=False):
        """Nothing lost, torn or made up, and nothing doubled (but where `doubles`)."""
        want = collections.Counter(m.digest for m in self.drop.ever if m not in leaves)
        have = collections.Counter(self.digests())
        if doubles:
            have = collections.Counter(have.keys())
        names = {m.digest: m.uid[:60] for m in self.drop.ever}
        assert have == want, (
            f"lost {[names[d] for d in want - have]}, too many "
            f"{[names.get(d, self.strange(d)) for d in have - want]}\n{self.last()}")

    def strange(self, digest):
        p = next(p for p in self.files() if self.seen[p.name] == digest)
        return f"strange: {p.read_bytes()[:300]!r} ({p.stat().st_size} octets)"

    def said(self, verb, run=None):
        """Commands that came, in all or in a run (0: the first)."""
        visits = None if run is None else self.runs[run].visits
        return [x.octets for x in self.house.lines
                if x.octets.upper().split(b" ")[0] == verb.encode()
                and (visits is None or x.session in visits)]

    def retrieved(self, run=None):
        """Numbers of the messages that RETR sent: a guess at one that is not there is none."""
        visits = None if run is None else self.runs[run].visits
        return [n for visit, n, _ in self.house.retrieved if visits is None or visit in visits]

    def quarantined(self):
        d = self.state / "quarantine"
        return [p for p in d.iterdir() if p.suffix != ".txt"] if d.is_dir() else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.house.stop()


def make_pki(directory):
    """ca (a file), and certificates by name."""
    ours, others = Authority(directory / "ours"), Authority(directory / "others")
    return {"ca": ours.ca, "good": ours.make("good"),
            "wrong-name": ours.make("wrong-name", alt="DNS:pop.example.net,IP:127.0.0.9"),
            "expired": ours.make("expired", start="20200101", end="20200201"),
            "not-yet": ours.make("not-yet", start="20980101", end="20991231"),
            "for-clients": ours.make("for-clients", extra="extendedKeyUsage = clientAuth"),
            "foreign": others.make("foreign"), "self-signed": ours.make_self_signed()}


def play(base, scenario, pki=None):
    """What each scenario goes through; see Sin."""
    with Trial(base, scenario.mails(), scenario, scenario.tls, pki, scenario.certificate) as t:
        for i in range(scenario.runs):
            t.run(keep=scenario.keep, timeout=scenario.timeout, deadline=scenario.deadline,
                  memory=scenario.memory,
                  codes=scenario.codes[min(i, len(scenario.codes) - 1)], more=scenario.more)
            if i + 1 < scenario.runs:
                scenario.between(t, i)
        if scenario.keep and scenario.whole:
            t.complete()
        scenario.check(t)
        leaves = [m for m in t.drop.mails if m.uid in scenario.leaves(t)]
        t.honest(leaves=leaves, sane=scenario.sane or scenario, doubles=scenario.doubles,
                 deadline=scenario.deadline, memory=scenario.memory)
        scenario.afterwards(t)


class Sin(Session):
    """A scenario: hooks of Session, and these."""
    tls, certificate = "none", "good"
    sane = Session    # the server afterwards; None: it stays as it is
    keep = False
    runs = 1
    whole = True      # with keep: all is there after the runs against the sinner
    doubles = False   # where it cannot be known what belongs to what
    codes = ((0,),)   # what each run may end with; the last one stands for those after it
    timeout = 2
    deadline = DEADLINE_S
    memory = MEMORY
    more = ()

    @classmethod
    def mails(cls):
        return nasty_mails()

    @classmethod
    def between(cls, t, i):
        """After the i-th run (0: the first), before the next one."""

    @classmethod
    def check(cls, t):
        """After the runs against the sinner."""

    @classmethod
    def leaves(cls, t):
        """UIDs of what may stay on the server for ever."""
        return ()

    @classmethod
    def afterwards(cls, t):
        """After the honest runs."""


def never(verb, run=None):
    """check: that command did not come."""
    def check(cls, t):
        assert not t.said(verb, run), f"{verb} came\n{t.last()}"
    return classmethod(check)
