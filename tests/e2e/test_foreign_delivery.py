"""fdm, procmail, maildrop and Postfix's local(8) deliver into the same Maildir and the same
mbox as Restante, while people collect: nobody's mail is lost, doubled or changed.

The mbox is one of a directory like /var/mail: of the group mail, mode 2775. The programs see it
there, and users of this test's own, in a private view of the file system.
"""
import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from mail_ledger import Call, Callers, Cut
from mtas import PostfixHere, blocks, replaced
from house import House, free_port
from postoffice import make_base, suspend, until
from smtp_sender import SENDER, Letter, Smtp, send

MAIL = 8  # Debian's group
MESSAGES = 200 if os.environ.get("RESTANTE_LONG") else 15  # by each program
USERS = {"frank": 5100, "gerda": 5101}  # a Maildir, an mbox
LARGE, LINES = 200, 10000  # 30 MB: rewriting them takes a while
DONE_S = 60


class Village:
    """The house, its users as the programs see them, and Postfix."""

    def __init__(self, base):
        self.base = base
        self.spool, self.home = base / "spool", base / "home"
        self.spool.mkdir()
        os.chown(self.spool, 0, MAIL)
        self.spool.chmod(0o2775)
        self.house = House(base / "house", {}, self.options(), lmtp=True)
        passwd, text = pathlib.Path("/etc/passwd").read_text(), ""
        for name, uid in USERS.items():
            home = self.home / name
            for part in ("", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/tmp"):
                (home / part).mkdir(parents=True)
                os.chown(home / part, uid, uid)
            passwd += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
            text += f"{name}:{{PLAIN}}secret:{uid}:{uid}::{home}::"
            text += f"userdb_mail=maildir:{home}/Maildir\n" if name == "frank" else "\n"
        (self.house.base / "users").write_text(text)
        (base / "passwd").write_text(passwd)
        self.enter = base / "enter"
        self.enter.write_text(f"""set -e
mount --bind {base}/passwd /etc/passwd
mount --bind {self.spool} /var/mail
exec "$@"
""")
        self.write_rules()

    def options(self):
        """Those of the manual page for /var/mail, and the home of the other one."""
        text = replaced(blocks()["restante.conf mbox"], boxes=self.spool)
        options = dict(x.split(" = ", 1) for x in text.splitlines())
        options["mail_roots"] += f" {self.home}"
        return options

    def write(self, user, name, text):
        path = self.home / user / name
        path.write_text(text)
        os.chown(path, USERS[user], USERS[user])
        path.chmod(0o600)
        return path

    def write_rules(self):
        """Each program delivers where it does so by default, the Maildir is named. Who finds a
        lock file looks again after a second, not after five or eight."""
        self.write("frank", ".procmailrc", "DEFAULT=$HOME/Maildir/\n")
        self.write("gerda", ".procmailrc", "LOCKSLEEP=1\n")
        self.write("frank", ".mailfilter", 'to "$HOME/Maildir"\n')
        self.write("gerda", ".mailfilter", 'LOCKSLEEP=1\nto "/var/mail/gerda"\n')
        self.write("frank", ".forward", f"{self.home}/frank/Maildir/\n")
        for user, action in (("frank", 'maildir "%h/Maildir"'),
                             ("gerda", 'mbox "/var/mail/gerda"')):
            self.write(user, ".fdm.conf", blocks()["fdm mbox"] + f"""set no-received
set no-create
account "stdin" stdin
action "keep" {action}
match all action "keep"
""")

    def __enter__(self):
        self.house.__enter__()
        return self

    def __exit__(self, *exc):
        self.house.__exit__(*exc)

    def command(self, program, user):
        uid = str(USERS[user])
        become = ["setpriv", "--reuid", uid, "--regid", uid]
        deliver = {
            "procmail": ["procmail", "-f", SENDER, "-d", user],
            "maildrop": [*become, "--clear-groups", "maildrop"],
            # It has no group of its own with which it could lock in such a directory.
            "fdm": [*become, "--groups", str(MAIL), "fdm", "-q", "-a", "stdin", "fetch"],
        }[program]
        home = self.home / user
        return ["unshare", "--mount", "sh", self.enter, "env", "-i", "-C", home, f"HOME={home}",
                f"USER={user}", f"LOGNAME={user}", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", *deliver]

    def start(self, program, user, message):
        p = subprocess.Popen(self.command(program, user), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             start_new_session=True)
        p.stdin.write(message)
        p.stdin.close()
        return p

    def finish(self, p):
        out = p.stdout.read()
        p.stdout.close()
        assert p.wait(DONE_S) == 0, out


class Postfix(PostfixHere):
    """Its local(8), which delivers to users of the machine."""

    def __init__(self, village):
        self.port = free_port()
        super().__init__(village.base / "postfix", self.port, f"""mydestination = example.org
local_recipient_maps =
mailbox_size_limit = 0
mail_spool_directory = /var/mail
{blocks()["postfix mbox"]}""", "local unix - n n - - local\n",
                         ["unshare", "--mount", "sh", village.enter])

    def settle(self, letters):
        def left():
            log = self.log()
            assert "status=deferred" not in log and "status=bounced" not in log, log
            return [x.id for x in letters if not re.search(
                rf"/local\[\d+\]: {x.queue_id}: .* status=sent", log)]
        until(lambda: not left(), DONE_S, lambda: f"not delivered: {left()}\n{self.log()}")


@pytest.fixture(scope="module")
def village():
    for base in make_base():
        (base / "house").mkdir()
        with Village(base) as v:
            v.postfix = Postfix(v)
            try:
                yield v
            finally:
                v.postfix.stop()


def message(ident, lines=40):
    """With what could be taken for the end of a message, but not for the start of one."""
    return (f"X-Id: {ident}\nFrom: <{SENDER}>\nTo: <x@example.org>\n"
            f"Date: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-Id: <{ident}@example.org>\n"
            f"Subject: {ident}\n\n.\n\n").encode() + f"{ident} \xe9\n..\n".encode() * lines + \
        b"last\n\n"


def crlf(octets):
    return octets.replace(b"\n", b"\r\n")


def by_lmtp(village, user, name, count):
    smtp = Smtp(village.house.lmtp, "LHLO")
    try:
        for i in range(count):
            letter = Letter(f"{name}-{i}", [f"{user}@example.org"], crlf(message(f"{name}-{i}")))
            mail, rcpt, data = smtp.begin(SENDER, letter.recipients)
            assert rcpt.startswith("250") and data.startswith("354"), (mail, rcpt, data)
            smtp.finish(letter.octets)
            said = smtp.reply()
            assert said.startswith("250"), said
    finally:
        smtp.close()


def by_program(village, user, program, count):
    for i in range(count):
        village.finish(village.start(program, user, message(f"{program}-{i}")))


def by_postfix(village, user, count):
    list_ = [Letter(f"local-{i}", [f"{user}@example.org"], crlf(message(f"local-{i}")))
             for i in range(count)]
    send(village.postfix.port, list_, 2)
    village.postfix.settle(list_)


def check_all(got, sources, count):
    """Each once, and as it was but for fields on top and, in an mbox, empty lines at the end."""
    ids = {ident for ident, _ in got}
    assert ids == {f"{s}-{i}" for s in sources for i in range(count)}
    for (ident, _), copies in got.items():
        assert len(copies) == 1, (ident, len(copies))
        at = copies[0].index(b"X-Id:")
        want = crlf(message(ident))
        assert copies[0][at:].rstrip(b"\r\n") == want.rstrip(b"\r\n"), (ident, copies[0])
        top = copies[0][:at].split(b"\r\n")
        assert all(re.match(rb"(Return-Path|Delivered-To|Received|X-Original-To):|[ \t]|$", x)
                   for x in top), top


@pytest.mark.parametrize("user", USERS)
def test_all_at_once(village, user):
    sources = ["lmtp", "lmtp2", "procmail", "maildrop", "fdm", "local"]
    callers = Callers(village.house, [user], 3)
    try:
        with concurrent.futures.ThreadPoolExecutor(len(sources)) as pool:
            jobs = [pool.submit(by_lmtp, village, user, s, MESSAGES) for s in sources[:2]]
            jobs += [pool.submit(by_program, village, user, s, MESSAGES) for s in sources[2:5]]
            jobs += [pool.submit(by_postfix, village, user, MESSAGES)]
            for job in jobs:
                job.result()
    finally:
        callers.stop()
    during = callers.seen["messages"]
    check_all(callers.finish(), sources, MESSAGES)
    assert all(n == 1 for n in callers.gone.values())
    assert during > MESSAGES, callers.seen
    print(dict(callers.seen))


# ---- an mbox that is locked ---------------------------------------------------------


def old_message(i):
    return message(f"old-{i}", 1 if i == 0 else LINES)


def fill(village, count=LARGE):
    """An mbox of gerda's that is rewritten from its first message on."""
    path = village.spool / "gerda"
    with open(path, "wb") as f:
        for i in range(count):
            f.write(b"From x@example.org Sun Nov 22 10:00:00 2026\n" +
                    old_message(i) + b"\n")
    os.chown(path, USERS["gerda"], MAIL)
    path.chmod(0o660)
    return path


def log_in(village, count):
    call = Call(village.house.port)
    call.ok("USER gerda")
    call.ok("PASS secret")
    assert len(call.list("UIDL")) == count
    call.ok("DELE 1")
    return call


class Arrivals:
    """One message by each way, begun at the same moment."""

    def __init__(self, village, name):
        self.village, self.name = village, name
        self.ids = [f"{name}-{p}" for p in ("procmail", "maildrop", "fdm", "lmtp", "local")]
        self.running = [village.start(p, "gerda", message(f"{name}-{p}"))
                        for p in ("procmail", "maildrop", "fdm")]
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.jobs = [self.pool.submit(self.by_lmtp), self.pool.submit(self.by_postfix)]

    def by_lmtp(self):
        smtp = Smtp(self.village.house.lmtp, "LHLO")
        try:
            smtp.begin(SENDER, ["gerda@example.org"])
            smtp.finish(crlf(message(f"{self.name}-lmtp")))
            said = smtp.reply()
            assert said.startswith("250"), said
        finally:
            smtp.close()

    def by_postfix(self):
        ident = f"{self.name}-local"
        list_ = [Letter(ident, ["gerda@example.org"], crlf(message(ident)))]
        send(self.village.postfix.port, list_, 1)
        self.village.postfix.settle(list_)

    def waiting(self):
        return sum(p.poll() is None for p in self.running) + sum(not j.done() for j in self.jobs)

    def finish(self, may_fail=()):
        for p in self.running:
            self.village.finish(p)
        errors = [j.exception() for j in self.jobs]
        self.pool.shutdown()
        errors = [e for e in errors if e and not isinstance(e, may_fail)]
        if errors:
            raise errors[0]


def check_once(village, want, maybe=()):
    """Each of these is there once and whole; nothing else, but what may be."""
    got = Callers(village.house, ["gerda"], 0).finish()
    ids = {ident for ident, _ in got}
    assert ids - set(maybe) == set(want), (ids ^ set(want))
    for (ident, _), copies in got.items():
        assert len(copies) == 1, (ident, len(copies))
        name, i = ident.rsplit("-", 1)
        sent = old_message(int(i)) if name == "old" else message(ident)
        at = copies[0].index(b"X-Id:")
        assert copies[0][at:].rstrip() == crlf(sent).rstrip(), ident


def old(count=LARGE):
    """All but the first, which is deleted."""
    return [f"old-{i}" for i in range(1, count)]


def in_commit(village):
    """A session whose QUIT stands still while it holds the locks; its keepers, stopped."""
    lock = village.spool / "gerda.lock"
    for _ in range(50):
        fill(village)
        call = log_in(village, LARGE)
        keepers = list(village.house.children("restante-keeper"))
        assert not lock.exists()
        call.send(b"QUIT\r\n")
        until(lock.exists, 60, "the commit takes no lock", 0.001)
        for pid in keepers:
            suspend(pid)
        if lock.exists():
            return call, keepers
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)  # it was over already
        call.line()
        call.close()
    raise AssertionError("the commit is over too soon to show anything")


def arrive(village, name):
    """Arrivals of which every one waits."""
    arrivals = Arrivals(village, name)
    threading.Event().wait(0.5)
    assert arrivals.waiting() == len(arrivals.ids)
    return arrivals


def test_they_wait_while_we_commit(village):
    call, keepers = in_commit(village)
    path = village.spool / "gerda"
    inode = path.stat().st_ino
    arrivals = arrive(village, "waits")
    for pid in keepers:
        os.kill(pid, signal.SIGCONT)
    said = call.line()
    call.close()
    assert said.startswith(b"+OK"), said
    arrivals.finish()
    assert path.stat().st_ino == inode  # who held it open wrote into the same file
    check_once(village, old() + arrivals.ids)


def test_the_keeper_is_killed_while_they_wait(village):
    """A new one mends the mbox, and takes away the lock file that was left."""
    call, keepers = in_commit(village)
    arrivals = arrive(village, "kill")
    for pid in keepers:
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(Cut):
        assert not call.line().startswith(b"+OK")
    call.close()
    until(lambda: not set(keepers) & set(village.house.children("restante-keeper")), 60)
    # The next login is what takes the lock file away.
    until(lambda: log_in_once(village), 60, "no login")
    arrivals.finish(AssertionError)  # by LMTP it may be told to come again
    maybe = ["old-0", "kill-lmtp"]
    check_once(village, old() + [x for x in arrivals.ids if x not in maybe], maybe)


def log_in_once(village):
    try:
        with Call(village.house.port) as call:
            call.ok("USER gerda")
            call.ok("PASS secret")
            call.ok("QUIT")
            return True
    except Cut:
        return False


@pytest.mark.parametrize("how", ["fcntl", "dotlock"])
def test_we_wait_while_they_deliver(village, how):
    """A program in the middle of a message: QUIT comes after its end and keeps it."""
    path = fill(village, 5)
    call = log_in(village, 5)
    octets = (b"From x@example.org Sun Nov 22 10:00:00 2026\n" + message("the-half") + b"\n")
    with locked(path, how) as f:
        f.write(octets[:300])
        f.flush()
        call.send(b"QUIT\r\n")
        call.s.settimeout(0.7)
        with pytest.raises(TimeoutError):
            call.line()
        call.s.settimeout(60)
        f.write(octets[300:])
        f.flush()
        os.fsync(f.fileno())
    said = call.line()
    call.close()
    assert said.startswith(b"+OK"), said
    check_once(village, old(5) + ["the-half"])


@contextlib.contextmanager
def locked(path, how):
    lock = path.parent / f"{path.name}.lock"
    with open(path, "ab", buffering=0) as f:
        if how == "fcntl":
            fcntl.lockf(f, fcntl.LOCK_EX)
        else:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            yield f
        finally:
            if how == "dotlock":
                lock.unlink()
