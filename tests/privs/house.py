"""A server of the real programs, some of them replaced, started as root with its own files.

Without the sandbox command, so that the tests say exactly which users, roots and options
there are.
"""
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from pop import INSIDE, leave
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", ROOT / "build"))
HELPERS = [f"restante-auth-{p}" for p in ("pam", "sql", "ldap", "command", "oauth", "krb5")]
PROGRAMS = ["restanted", "restante", "restante-ctl", *HELPERS] + [
    f"restante-{p}" for p in ("front", "auth", "keeper", "keys", "lmtpd", "log", "control")]
SERVICE_UIDS = 64800
MAIL_UID = 5000
# Of the tests with the machine, not a bound of the product: what comes, comes in the end.
PATIENCE_S = 60
# For houses that a user starts: nobody else's. What processes send each other counts against
# their user, and an evil one of another test may have filled that up.
CALLER = 20000 + os.getpid() % 40000
# Its filter lets more calls through, and descriptor 2 is kept for its reports.
SANITIZED = b"__asan_init" in (BUILD / "restante-front").read_bytes()
# How much a program may be larger after a flood: nothing that anybody's octets add to. A
# sanitizer keeps 256 MiB of what was freed, and a shadow and free lists of its own beside.
MORE_KIB = (512 if SANITIZED else 24) * 1024
REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|: runtime error: ")


def until(what, deadline=PATIENCE_S, message="in time"):
    """Calls what() until it gives something true; that."""
    end = time.monotonic() + deadline
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"not {message() if callable(message) else message}"
        threading.Event().wait(0.01)


class House:
    def __init__(self, base, users, options=None, evil=None, as_uid=0, listeners=None,
                 env=None, wrap=(), pass_fds=(), lmtp=False, tls=False):
        """users: name -> (password, uid or None for mail_uid, [messages][, extra fields]).
        evil: program -> its replacement. as_uid: who starts it. listeners: name -> its
        lines. wrap: a command that runs the one behind it. lmtp: a listener for it. tls: with a
        certificate."""
        self.base = pathlib.Path(base)
        self.mail = self.base / "mail"
        self.bin = self.base / "bin"
        self.lines, self.port = [], free_port()
        os.chmod(self.base, 0o755)
        for d in (self.mail, self.bin, self.base / "run"):
            d.mkdir(mode=0o755)
        for p in PROGRAMS:
            shutil.copy2(BUILD / p, self.bin / p)
        for p, by in (evil or {}).items():
            os.rename(self.bin / p, self.bin / f"{p}.real")
            shutil.copy2(BUILD / "tests" / "privs" / by, self.bin / p)
        self.write_users(users)
        self.conf = self.base / "restante.conf"
        opts = {"users_file": self.base / "users", "maildrop": f"maildir:{self.mail}/%u",
                "mail_roots": self.mail, "run_dir": self.base / "run", "fronts": 2,
                "plaintext": "always", "service_uids": SERVICE_UIDS,
                "login_failure_delay": "100ms", "growing_penalty": "no",
                # An evil front does not drain.
                "drain_timeout": "200ms",
                "mail_uid": MAIL_UID, "mail_gid": MAIL_UID, **(options or {})}
        if tls:
            opts |= self.certificate()
        self.options = opts
        self.lmtp = self.base / "lmtp"
        self.listeners = listeners or {"pop3": f"address = 127.0.0.1:{self.port}"}
        if lmtp:
            self.listeners["lmtp"] = f"protocol = lmtp\naddress = unix:{self.lmtp}"
        self.configure()
        self.as_uid, self.env, self.pass_fds = as_uid, env or {}, pass_fds
        self.command = [*wrap, self.bin / "restanted", "-c", self.conf]
        if as_uid:
            for p in [self.base, *self.base.rglob("*")]:
                os.chown(p, as_uid, as_uid)

    def certificate(self):
        """A certificate of its own, and the options that name it."""
        cert, key = self.base / "cert.pem", self.base / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        return {"tls_certificate": cert, "tls_key": key}

    def configure(self, **changes):
        """Writes the file anew; None takes an option out."""
        self.options.update(changes)
        self.conf.write_text(
            "".join(f"{k} = {v}\n" for k, v in self.options.items() if v is not None) +
            "".join(f"\n[listener {k}]\n{v}\n" for k, v in self.listeners.items()))

    def write_users(self, users):
        text = ""
        for name, (password, uid, messages, *extra) in users.items():
            box = self.mail / name
            for d in ("tmp", "new", "cur"):
                (box / d).mkdir(parents=True, exist_ok=True)
            for i, m in enumerate(messages):
                (box / "new" / f"{1700000000 + i}.M{i}.test").write_bytes(m)
            for p in [box, *box.rglob("*")]:
                os.chown(p, uid or MAIL_UID, uid or MAIL_UID)
            uid = uid or ""
            text += f"{name}:{{PLAIN}}{password}:{uid}:{uid}::{box}::{' '.join(extra)}\n"
        (self.base / "users").write_text(text)

    def __enter__(self):
        self.start()
        self.wait_for_line("serving")
        return self

    def start(self):
        who = dict(user=self.as_uid, group=self.as_uid, extra_groups=[]) if self.as_uid else {}
        self.p = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  env=os.environ | self.env, pass_fds=self.pass_fds, **who)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def restante(self, *words, uid=None, status=0):
        """What `restante WORDS -c CONF` prints; uid: who asks, by default who started it."""
        uid = self.as_uid if uid is None else uid
        who = dict(user=uid, group=uid, extra_groups=[]) if uid else {}
        got = subprocess.run([self.bin / "restante", *words, "-c", self.conf],
                             capture_output=True, text=True, timeout=PATIENCE_S, **who)
        assert got.returncode == status, (words, got)
        return got.stdout if status == 0 else got.stderr

    def stat(self):
        return {k: int(v) for k, v in (x.split() for x in self.restante("stat").splitlines())}

    def _read(self):
        for line in self.p.stderr:
            self.lines.append(line.decode("latin-1").rstrip("\n"))

    def __exit__(self, *exc):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.reader.join(PATIENCE_S)
        self.p.stderr.close()
        assert not any(map(REPORT.search, self.lines)), self.log()

    def log(self):
        return "\n".join(self.lines)

    def wait_for_line(self, pattern, deadline=PATIENCE_S, since=0):
        def found():
            ended = self.p.poll() is not None
            if ended:
                self.reader.join(PATIENCE_S)  # its last words may still be under way
            for line in self.lines[since:]:
                if re.search(pattern, line):
                    return line
            if ended:
                raise AssertionError(f"restanted ended: {self.log()}")
            return None
        try:
            return until(found, deadline, f"a line like {pattern!r}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()}") from None

    def children(self, program=None):
        """pid -> program of the processes below the monitor."""
        out = {}
        for p in os.listdir("/proc"):
            if not p.isdigit():
                continue
            try:
                stat = pathlib.Path(f"/proc/{p}/stat").read_text()
                name = os.path.basename(os.readlink(f"/proc/{p}/exe"))
            except OSError:
                continue
            state, parent = stat.rsplit(")", 1)[1].split()[:2]
            if int(parent) == self.p.pid and state != "Z":
                if program in (None, name):
                    out[int(p)] = name
        return out

    def connect(self, greeting=b"+OK", deadline=PATIENCE_S):
        """A connection to a front that greets like that (a real one, or an evil one)."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            c = Client(self.port)
            if c.greeting.startswith(greeting):
                return c
            c.close()
        raise AssertionError(f"no front greets with {greeting!r}\n{self.log()}")

    def attack(self, line, deadline=PATIENCE_S):
        """What the evil front, or lmtpd, answers; '' when it was killed for it."""
        c = Mta(self.lmtp) if "lmtp" in self.listeners else self.connect(b"EVIL")
        c.s.settimeout(deadline)
        try:
            c.s.sendall(line.encode() + b"\n")
            return c.rest().decode()
        finally:
            c.close()


class Client:
    inside = False

    def __init__(self, port, address="127.0.0.1"):
        self.s = socket.create_connection((address, port), PATIENCE_S)
        self.f = self.s.makefile("rb")
        self.greeting = self.f.readline()

    def say(self, line):
        self.s.sendall(line.encode("latin-1") + b"\r\n")
        said = self.f.readline()
        self.inside = self.inside or said.startswith(INSIDE)
        return said

    def multi(self, line):
        first = self.say(line)
        assert first.startswith(b"+OK"), first
        out = []
        while True:
            got = self.f.readline()
            assert got, "closed in the middle"
            if got == b".\r\n":
                return out
            out.append(got)

    def login(self, name, password):
        self.say(f"USER {name}")
        return self.say(f"PASS {password}")

    def rest(self):
        """To its end; one that does not come is a fault, not an end."""
        try:
            return self.f.read()
        except TimeoutError:
            raise
        except OSError:
            return b""

    def close(self):
        if self.inside:
            leave(self.s)
        self.f.close()
        self.s.close()


class Mta:
    """A mail server that delivers: to a unix socket, or to a port of 127.0.0.1."""

    def __init__(self, at, hello=False):
        if isinstance(at, int):
            self.s = socket.create_connection(("127.0.0.1", at), PATIENCE_S)
        else:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(PATIENCE_S)
            self.s.connect(str(at))
        self.f = self.s.makefile("rb")
        self.greeting = self.f.readline()
        self.extensions = self.say("LHLO mta.example")[1:] if hello else []

    def answer(self):
        """The lines of one reply."""
        out = []
        while True:
            line = self.f.readline().decode().rstrip("\r\n")
            out.append(line)
            if line[3:4] != "-":
                return out

    def say(self, line):
        self.s.sendall(line.encode() + b"\r\n")
        return self.answer()

    def envelope(self, *recipients, sender="a@b.example", size=None):
        """What was said to MAIL and to each RCPT."""
        words = "" if size is None else f" SIZE={size}"
        said = [self.say(f"MAIL FROM:<{sender}>{words}")[-1]]
        return said + [self.say(f"RCPT TO:<{r}>")[-1] for r in recipients]

    def send(self, message, *recipients):
        """The last answer for each recipient."""
        said = self.envelope(*recipients)
        assert said[0].startswith("250"), said
        good = sum(x.startswith("250") for x in said[1:])
        if good == 0:
            return said[1:]
        assert self.say("DATA")[-1].startswith("354")
        self.s.sendall(message.replace(b"\n", b"\r\n") + b".\r\n")
        done = [self.answer()[-1] for _ in range(good)]
        return [done.pop(0) if x.startswith("250") else x for x in said[1:]]

    def rest(self):
        """To its end; one that does not come is a fault, not an end."""
        try:
            return self.f.read()
        except TimeoutError:
            raise
        except OSError:
            return b""

    def close(self):
        self.f.close()
        self.s.close()


def status(pid):
    """/proc/PID/status as a dictionary."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def unused_block():
    """The block of service uids belongs to no account here, as the manual asks."""
    used = {p.pw_uid for p in pwd.getpwall()}
    return not used & set(range(SERVICE_UIDS, SERVICE_UIDS + 64))


# ---- for tests of programs that were taken over ----

MAIL = [b"Subject: %d\n\nbody %d\n" % (i, i) for i in range(3)]
USERS = {name: ("secret", uid, list(MAIL)) for name, uid in (
    ("anna", 5000), ("bert", 5001), ("carl", 5002), ("dora", 5003))}
USERS["frozen"] = ("secret", 5004, list(MAIL), "userdb_read_only=yes")


def mail_of(house, name):
    return sorted(p.name for d in ("new", "cur") for p in (house.mail / name / d).iterdir())


def good_session(house, name="bert"):
    """Another front, another user: served as if nothing were."""
    start = time.monotonic()
    c = house.connect()
    assert c.login(name, "secret").startswith(b"+OK")
    assert c.say("STAT").startswith(b"+OK 3 ")
    assert b"body 0\r\n" in c.multi("RETR 1")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    return time.monotonic() - start


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
