"""What test_migration.py needs: old servers that give out UIDLs in a form of their own, the
clients whose state must survive the move, and the office that takes over.

The commands are those of man/restante-migrate.7: block() gives them, and Move.run() runs
them with the places of this test in place of those of the page.
"""
import contextlib
import functools
import os
import pathlib
import re
import select
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time

from collectors import Fetchmail, Getmail, Mpop
from fetch_peers import (PASSWORD, PEER_ROOT, USER, Courier, Cyrus, Dovecot, Peer,
                         make_root)
from nasty import NASTY, wire
from pop import Pop
from postoffice import BUILD, ROOT, Office, until

PAGE = ROOT / "man/restante-migrate.7"
# Dovecot and Courier send a dot at the very start of a message as it stands, without a second
# one; Courier makes another message of 8-bit headers at each RETR, and sends CRLF in a file
# as two line ends (nothing that delivers into its Maildirs writes CRLF).
NOT_TWICE_THE_SAME = {"dovecot": ["dot-at-once"], "courier": [
    "dot-at-once", "eight-bit", "crlf-file", "mixed-ends", "bare-cr", "only-cr", "only-crlf",
    "ends-in-cr", "lone-dots", "block-edge", "five-mib", "all-octets"]}


@functools.cache
def blocks():
    """{name: text} of what the manual page marks, as a reader sees it."""
    found = re.findall(r'^\.\\" block: (.+)\n(?:\.Pp\n)?\.Bd .*\n((?:[^.\n].*\n|\n)+)\.Ed$',
                       PAGE.read_text(), re.M)
    return {name: text.replace("\\e", "\\").replace("\\&", "") for name, text in found}


def plain(first, n):
    return [b"From: eva@example.org\nTo: anna@example.org\nMessage-ID: <%d@example.org>\n"
            b"Subject: number %d\n\nmail %d\n.\n..x\n" % (i, i, i)
            for i in range(first, first + n)]


def unended(octets):
    """Dovecot and Courier count the last line without the CRLF that they send behind it."""
    return octets != b"" and not octets.endswith(b"\n")


def mails(peer, every):
    """The nasty ones; without `every` those alone of which all servers tell the same size."""
    left_out = NOT_TWICE_THE_SAME.get(peer.name, [])
    return [m for name, m in NASTY.items()
            if name not in left_out and (every or not unended(m))]


def listing(session):
    """[(UIDL, octets)] in order."""
    uidls = [x.split(b" ", 1)[1] for x in session.multi("UIDL")]
    sizes = [int(x.split(b" ")[1]) for x in session.multi("LIST")]
    return list(zip(uidls, sizes))


def listed(peer):
    with peer.session() as p:
        out = listing(p)
        assert p.say("QUIT").startswith(b"+OK")
    return out


# ---- old servers -------------------------------------------------------------------------


class DovecotForm(Dovecot):
    def __init__(self, base, form, _):
        self.form = form
        super().__init__(base)

    def deliver(self, message):
        """Where names count they are as Dovecot's own delivery makes them, with sizes."""
        super().deliver(message)
        if self.form == "%f":
            path = max((self.maildir / "new").iterdir())
            path.rename(f"{path},S={len(message)},W={len(wire(message))}")
        return True

    def configuration(self):
        return super().configuration() + f"pop3_uidl_format = {self.form}\n"

    def restart(self):
        self.start(["dovecot", "-F", "-c", self.base / "dovecot.conf"])


class HidingDovecot(DovecotForm):
    """What POP3 clients delete gets a flag, and stays."""

    def configuration(self):
        return super().configuration() + 'pop3_deleted_flag = "$POP3Deleted"\n'


class CourierForm(Courier):
    """Courier has no option: which UIDLs it gives out depends on when it first saw a message.
    `now`: UIDn-m. `version 2`: its list was begun by an older one, UIDn. `names`: by the
    oldest, names of files."""

    def __init__(self, base, form, root):
        self.form, self.root = form, root
        super().__init__(base, root)

    def enter(self, root, over, script):
        self.over, self.script = over, script
        super().enter(root, over, script)

    def restart(self):
        self.syslog.path.unlink()
        self.enter(self.root, self.over, self.script)

    def put(self, *messages):
        """The list is as its form says when the first mail is there."""
        first = self.n == 0
        out = super().put(*messages)
        path = self.maildir / "courierpop3dsizelist"
        if first and self.form != "now":
            listed(self)
            until(path.exists)
            head, *rows = path.read_text().splitlines()
            assert head.startswith("/3 "), head
            if self.form == "names":
                rows = [r.rsplit(" ", 1)[0] + " 0:0:0" for r in rows]
            else:
                head = "/2" + head[2:]
                rows = [r.rsplit(":", 1)[0] for r in rows]
            path.write_text("\n".join([head, *rows]) + "\n")
        return out


class CyrusForm(Cyrus):
    def __init__(self, base, form, root):
        self.form, self.root = form, root
        super().__init__(base, root)

    def enter(self, root, over, script):
        conf = self.base / "imapd.conf"
        conf.write_text(conf.read_text() + f"uidl_format: {self.form}\n")
        self.over = over
        super().enter(root, over, script)

    def inside(self, *command):
        """A command beside the server that runs, as Cyrus' own user."""
        over = (x for pair in self.over.items() for x in ("--over", *reversed(pair)))
        return [PEER_ROOT, "--in", self.root, self.syslog.path, *over, *command]


class Inetd(Peer):
    """A server that speaks over its standard input and output, over an mbox, behind a relay
    that does TLS for it, as these are run."""
    locks = False
    UID = 1500
    COMMANDS = {"popa3d": (["popa3d", "msmtp-mta"], ["/usr/sbin/popa3d"]),
                "mailutils": (["mailutils-pop3d", "msmtp-mta"], ["/usr/sbin/pop3d", "--inetd"])}

    def __init__(self, base, form, _):
        self.name, self.form = form, form
        super().__init__(base)
        packages, self.command = self.COMMANDS[form]
        self.root = make_root(form, packages)
        self.etc, self.spool = self.base / "etc", self.base / "spool"
        shutil.copytree(self.root / "etc", self.etc, symlinks=True)
        self.spool.mkdir()
        self.spool.chmod(0o1777)
        hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, text=True,
                                capture_output=True).stdout.strip()
        for name, line in (("passwd", f"{USER}:x:{self.UID}:{self.UID}::/:/bin/sh\n"),
                           ("group", f"{USER}:x:{self.UID}:\n"),
                           ("shadow", f"{USER}:{hashed}:19000:0:99999:7:::\n")):
            with open(self.etc / name, "a") as f:
                f.write(line)
        self.mbox = self.spool / USER
        self.mbox.touch(0o660)
        os.chown(self.mbox, self.UID, self.UID)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.base / "server.pem", self.base / "server.key")
        self.listener = socket.create_server(("127.0.0.1", self.pop3s))
        self.children, self.threads = [], []
        self._thread(self._accept)

    def deliver(self, message):
        with open(self.mbox, "ab") as f:
            f.write(b"From eva Thu Jan  1 00:00:00 1970\n" + message + b"\n")
        return True

    def _thread(self, what, *args):
        t = threading.Thread(target=what, args=args, daemon=True)
        self.threads.append(t)
        t.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self._thread(self._serve, s)

    def _serve(self, s):
        ours, theirs = socket.socketpair()
        with open(self.log_path, "ab") as log:
            child = subprocess.Popen(
                [PEER_ROOT, "--in", self.root, self.base / "nothing-listens", "--over", self.etc,
                 "/etc", "--over", self.spool, "/var/mail", *self.command],
                stdin=theirs, stdout=theirs, stderr=log, start_new_session=True)
        self.children.append(child)
        theirs.close()
        with contextlib.suppress(OSError), ours, s, \
                self.tls.wrap_socket(s, server_side=True) as t:
            self._relay(t, ours)
        child.wait(60)

    def _relay(self, client, server):
        """Until the server has said its last."""
        others = {server: client, client: server}
        while server in others:
            ready = [client] if client in others and client.pending() else \
                select.select(list(others), [], [])[0]
            for end in ready:
                octets = end.recv(65536)
                if octets:
                    others[end].sendall(octets)
                    continue
                del others[end]
                if end is client:
                    server.shutdown(socket.SHUT_WR)

    # What a process has, for those that ask whether it runs.
    @property
    def process(self):
        return self

    def poll(self):
        return 0 if self.listener.fileno() < 0 else None

    def stop(self, how=None):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for t in self.threads:
            t.join(60)
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()


KINDS = {"inetd": Inetd, "dovecot": DovecotForm, "hiding": HidingDovecot, "courier": CourierForm,
         "cyrus": CyrusForm}


# ---- clients -----------------------------------------------------------------------------


class Where:
    """Name and ports of the server, which stay as they are, and whom the clients believe."""
    host = "localhost"

    def __init__(self, base, peer):
        self.pop3, self.pop3s, self.ca = peer.pop3, peer.pop3s, base / "authorities.pem"
        self.old = peer.ca.read_bytes()
        self.ca.write_bytes(self.old)

    def become(self, host, port):
        self.host, self.pop3s = host, port

    def believe(self, ca):
        self.ca.write_bytes(self.old + pathlib.Path(ca).read_bytes())


class Outside:
    """fetchmail, mpop, getmail: collect() gives what came now."""

    def __init__(self, kind, base, where):
        self.name, self.c = kind.name, kind(base, where, USER, PASSWORD)
        self.seen = set()

    def collect(self):
        code = self.c.run()
        files = {p for part in ("new", "cur") for p in (self.c.box / part).iterdir()}
        new, self.seen = [p.read_bytes() for p in files - self.seen], files
        assert code in (0, self.c.nothing_new), (code, self.c.output[-3000:])
        return new

    def rename(self, old, new, old_port):
        self.c.port = self.c.o.pop3s
        self.c.rename(old, new, old_port)


class Fetch:
    """restante fetch with --keep."""
    name = "restante-fetch"

    def __init__(self, base, where):
        self.base, self.o, self.seen = base / self.name, where, set()
        self.base.mkdir()
        (self.base / "password").write_text(PASSWORD + "\n")
        (self.base / "password").chmod(0o600)

    def collect(self, *more):
        got = subprocess.run(
            [str(x) for x in (
                BUILD / "restante", "fetch", "--server", f"{self.o.host}:{self.o.pop3s}",
                "--user", USER, "--password-file", self.base / "password", "--tls", "tls",
                "--ca", self.o.ca, "--maildir", self.base / "box", "--state",
                self.base / "state", "--keep", *more)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            env={"PATH": os.environ["PATH"], "HOME": str(self.base)})
        assert got.returncode == 0, got.stdout + got.stderr
        files = {p for part in ("new", "cur") for p in (self.base / "box" / part).iterdir()}
        new, self.seen = files - self.seen, files
        return [p.read_bytes() for p in new]

    def rename(self, *_):
        self.collect("--reconcile", self.base / "box")


class Thunderbird:
    """What Thunderbird does where it leaves mail on the server, over its own popstate.dat.

    Thunderbird itself wants a screen and half a gigabyte; this is a reader and writer of its
    file and the rule that it follows: per server and user, a letter, a UIDL and a time; a
    UIDL of which the file says `k` is not fetched; what the server does not list any more is
    not written again.
    """
    name = "thunderbird"
    HEAD = "# POP3 State File\n# This is a generated file!  Do not edit.\n\n"

    def __init__(self, base, where):
        self.path, self.o = base / "popstate.dat", where

    def read(self):
        out, account = {}, None
        for line in self.path.read_bytes().splitlines() if self.path.exists() else ():
            words = line.split()
            if line.startswith(b"*"):
                account = out.setdefault(tuple(words), {})
            elif len(words) == 3 and account is not None:
                account[words[1]] = (words[0], int(words[2]))
        return out

    def rename(self, old, new, _):
        change(self.path, f"*{old} {USER}\n", f"*{new} {USER}\n")

    def write(self, accounts):
        text = bytearray(self.HEAD.encode())
        for account, known in accounts.items():
            text += b" ".join(account) + b"\n"
            text += b"".join(b"%s %s %d\n" % (letter, uid, when)
                             for uid, (letter, when) in known.items()) + b"\n"
        new = self.path.with_suffix(".new")
        new.write_bytes(text)
        new.rename(self.path)

    def collect(self):
        accounts, out = self.read(), []
        account = (b"*" + self.o.host.encode(), USER.encode())
        known, now = accounts.get(account, {}), {}
        with Pop(self.o.host, self.o.pop3s, tls_ca=self.o.ca) as p:
            assert p.login(USER, PASSWORD).startswith(b"+OK")
            for row in p.multi("UIDL"):
                n, uid = row.split(b" ", 1)
                if known.get(uid, b" ")[0] != b"k":
                    out.append(b"".join(x + b"\r\n" for x in p.multi(b"RETR " + n)))
                    known = {**known, uid: (b"k", int(time.time()))}
                now[uid] = known[uid]
            assert p.say("QUIT").startswith(b"+OK")
        self.write({**accounts, account: now})
        return out


class Fetchmails(Fetchmail):
    def write(self, name, text):
        return super().write(name, text.replace("poll localhost", f"poll {self.o.host}").replace(
            "sslcertck", 'sslcertck sslcommonname "localhost"'))

    def rename(self, old, new, _):
        change(self.base / "ids", f"{USER}@{old} ", f"{USER}@{new} ")


class Mpops(Mpop):
    def rename(self, old, new, _):
        change(self.base / "uidls", f" {old} {USER}\n", f" {new} {USER}\n")


class Getmails(Getmail):
    def write(self, name, text):
        return super().write(name, text.replace("timeout = 60", "timeout = 10"))

    def rename(self, old, new, old_port):
        state = self.base / "state"
        (state / f"oldmail-{old}-{old_port}-{USER}").rename(
            state / f"oldmail-{new}-{self.o.pop3s}-{USER}")


def change(path, old, new):
    text = path.read_text()
    assert old in text, (old, text[:500])
    path.write_text(text.replace(old, new))


def rename(clients, where, host, port):
    """The server has another name and port; what is to be done is what the page says."""
    old, old_port = where.host, where.pop3s
    where.become(host, port)
    for c in clients:
        c.rename(old, host, old_port)


def make_clients(base, where):
    base.mkdir(mode=0o755)
    return [*(Outside(kind, base, where) for kind in (Fetchmails, Mpops, Getmails)),
            Fetch(base, where), Thunderbird(base, where)]


# ---- the new server ------------------------------------------------------------------------


PRELUDE = """
restante() {
	what=$1
	shift
	case $what in
	import) "$BUILD/restante" import --config "$CONF" --ca "$CA" "$@" ;;
	compare) "$BUILD/restante" compare --ca "$CA" "$@" ;;
	passport)
		case $1 in
		key) "$BUILD/restante" passport "$@" ;;
		*) "$BUILD/restante" passport "$@" --ca "$CA" ;;
		esac ;;
	*) "$BUILD/restante" "$what" "$@" ;;
	esac
}
cyrus() { $CYRUS cyrus "$@"; }
doveconf() { command doveconf -c "$OLD/dovecot.conf" "$@"; }
doveadm() { command doveadm -c "$OLD/dovecot.conf" "$@"; }
"""


class Move:
    """The office beside the old server, over the maildrops of these users."""

    def __init__(self, base, peer, where, maildrops):
        self.base, self.peer, self.where = base, peer, where
        self.dir = base / "office"
        self.users = [(name, PASSWORD, box) for name, box in maildrops.items()]
        self.open()
        (base / "users").write_text(f"{USER}:{PASSWORD}\n")
        (base / "passwords").write_text("".join(f"{n}:{PASSWORD}\n" for n in maildrops))
        (base / "pw").write_text(PASSWORD + "\n")
        for name in ("users", "passwords", "pw"):
            (base / name).chmod(0o600)

    def open(self, *at):
        self.office = Office("--dir", self.dir, "--lmtp", "127.0.0.1:0", *at, users=self.users)
        self.where.believe(self.office.ca)

    def run(self, name, code=0, more="", **by):
        """Runs a block of the manual page. by: words of it, and what stands here for each."""
        text = blocks()[name]
        here = {**by, "old.example": f"localhost:{self.peer.pop3s}",
                "new.example": f"localhost:{self.office.pop3s}"}
        for word, place in here.items():
            text = text.replace(word, place)
        return self.shell(text.rstrip("\n") + more, code)

    def compare(self, code=0, ignore=(), more=""):
        """The kinds of the differences, their lines, and the line of the user."""
        said = self.run(f"compare {self.peer.name}", code, more, **self.ignoring(ignore))
        lines = [x.split(": ", 1)[1] for x in said.splitlines()[:-1]]
        return [re.match("[a-z-]+", x)[0] for x in lines[:-1]], lines[:-1], lines[-1]

    def ignoring(self, words):
        return {" --users users": f" --users users --ignore {','.join(words)}"} if words else {}

    def shell(self, text, code=0):
        cyrus = " ".join(map(str, self.peer.inside())) if hasattr(self.peer, "inside") else ""
        got = subprocess.run(
            ["sh", "-e", "-c", PRELUDE + text], cwd=self.base, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120,
            env={"PATH": os.environ["PATH"], "BUILD": str(BUILD), "CA": str(self.where.ca),
                 "CONF": str(self.dir / "restante.conf"), "CYRUS": cyrus,
                 "OLD": str(self.peer.base)})
        assert got.returncode == code, (text, got.returncode, got.stdout, got.stderr)
        return got.stdout

    def session(self, user=USER):
        p = Pop("localhost", self.office.pop3s, tls_ca=self.where.ca)
        assert p.login(user, PASSWORD).startswith(b"+OK"), self.office.log()
        return p

    def cut_over(self):
        """The old server ends, ours comes at its ports."""
        self.peer.stop()
        self.office.stop()
        self.open("--pop3", f"127.0.0.1:{self.where.pop3}",
                  "--pop3s", f"127.0.0.1:{self.where.pop3s}")

    def put(self, *messages):
        """By LMTP."""
        host, port = self.office.lmtp_at.rsplit(":", 1)
        with smtplib.LMTP(host, int(port), timeout=60) as lmtp:
            for m in messages:
                assert not lmtp.sendmail("eva@example.org", [USER],
                                         re.sub(rb"\r?\n", b"\r\n", m))

    def sent(self):
        """Messages that went out, whole or by TOP."""
        stat = self.office.stat()
        return stat["messages_retrieved_total"] + stat["messages_topped_total"]
