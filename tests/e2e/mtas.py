"""Debian's Postfix, Exim and OpenSMTPD in front of Restante, as restante-mta(7) says.

What that page shows is read out of it and used with other ports, paths and numbers of groups;
what is added here is where each program keeps its own files. Exim and OpenSMTPD run in roots
of their own (tests/tools/peer-root), Postfix as it is installed.

    MailHouse(base, names, roots)   the server, with a unix socket for each MTA and a port for all
    start_mta(kind, house, way)     way: "unix" or "tcp"
    mta.settle(letters)             until everything that it took is delivered or bounced
"""
import collections
import concurrent.futures
import os
import pathlib
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "privs"))

import fetch_peers  # noqa: E402
from fetch_mta import MASTER, answers  # noqa: E402
from fetch_peers import PEER_ROOT, Syslog  # noqa: E402
from house import House, free_port  # noqa: E402
from postoffice import ROOT, alive, tree_of, until  # noqa: E402
from smtp_sender import SENDER_NAME  # noqa: E402

PAGE = ROOT / "man/restante-mta.7"
# The library is what restante-deliver needs.
PACKAGES = {"exim": ["exim4-daemon-light", "libxxhash0"], "opensmtpd": ["opensmtpd", "libxxhash0"]}
KINDS = ["postfix", "exim", "opensmtpd"]
VMAIL = 5090  # in OpenSMTPD's root
SETTLE_S = 60


def blocks(page=PAGE):
    """{name: text} of what a manual page marks, as a reader sees it."""
    found = re.findall(r'^\.\\" block: (.+)\n(?:\.Pp\n)?\.Bd .*\n((?:[^.\n].*\n|\n)+)\.Ed$',
                       page.read_text(), re.M)
    return {name: text.replace("\\e", "\\").replace("\\&", "") for name, text in found}


def replaced(text, **by):
    """The text with each of these in place of what the page has; all of them are there."""
    places = {"path": "/run/restante/lmtp", "port": "127.0.0.1:24", "eximport": "port = 24",
              "group": "socket_group = 112", "listen": "port 25",
              "names": "/etc/mail/restante-names", "users": "/etc/restante/users",
              "boxes": "/var/mail", "restante": "/usr/bin/restante"}
    for what, value in by.items():
        assert places[what] in text, (what, text)
        text = text.replace(places[what], str(value))
    return text


def make_roots():
    return fetch_peers.make_roots(PACKAGES)


def ids_in(root, name):
    line = next(x for x in (root / "etc/passwd").read_text().splitlines()
                if x.startswith(f"{name}:"))
    return [int(x) for x in line.split(":")[2:4]]


def section(text):
    """The lines of a block below its [listener NAME]."""
    head, rest = text.split("\n", 1)
    assert head.startswith("[listener "), head
    return rest


class MailHouse(House):
    """`names` have a Maildir each; a few belong to users of their own."""

    def __init__(self, base, names, roots, options=None):
        users = {name: ("secret", 5100 + i if i % 5 == 0 else None, [])
                 for i, name in enumerate([SENDER_NAME, *names])}
        super().__init__(base, users, {
            "connections_per_address": 1000, "connections_per_user": 50,
            "spool_dir": pathlib.Path(base) / "spool", "spool_memory": "64k", **(options or {})})
        (self.base / "spool").mkdir()
        self.names, self.roots, self.lmtp_port = list(names), roots, free_port()
        text = blocks()
        groups = {"postfix": pwd.getpwnam("postfix").pw_gid, "opensmtpd": VMAIL,
                  "exim": ids_in(roots["exim"], "Debian-exim")[1]}
        for kind, gid in groups.items():
            self.listeners[f"lmtp-{kind}"] = section(replaced(
                text["restante.conf unix"], path=self.socket(kind), group=f"socket_group = {gid}"))
        self.listeners["lmtp-tcp"] = section(replaced(
            text["restante.conf tcp"], port=f"127.0.0.1:{self.lmtp_port}"))
        self.configure()

    def socket(self, kind):
        return self.base / f"lmtp-{kind}"


# ---- the mail servers ---------------------------------------------------------------


class Mta:
    """One that runs. `unknown_at_rcpt`: it refuses unknown users before it takes the mail."""
    name = ""

    def __init__(self, house, way):
        self.house, self.way, self.text = house, way, blocks()
        self.base = house.base / f"{self.name}-{way}"
        self.base.mkdir(mode=0o755)
        self.port = free_port()
        self.lmtp = f"127.0.0.1:{house.lmtp_port}"

    def fates(self):
        """{(queue id, recipient): its ends so far: sent, deferred or bounced}."""
        out = collections.defaultdict(list)
        for queue_id, recipient, what in self.events():
            out[queue_id, recipient].append(what)
        return out

    def settle(self, list_, deadline=SETTLE_S):
        """Until each recipient that was taken has got the message, or the sender a bounce; the
        fates."""
        want = {(x.queue_id, r) for x in list_ for r in x.taken}
        seen, ticks = {}, 0

        def look():
            nonlocal seen, ticks
            seen = self.fates()
            if all(set(seen.get(k, ())) & {"sent", "bounced"} for k in want):
                return True
            if ticks % 5 == 4:
                self.flush()
            ticks += 1
            return False
        until(look, deadline, lambda: f"{self.name}: in its queue: " + str(
            [(k, seen.get(k)) for k in want if not set(seen.get(k, ())) & {"sent", "bounced"}][:5])
            + f"\n{self.log()[-3000:]}", 0.2)
        return seen


class PostfixHere:
    """The installed one with its files below `base`; `view`: a command that runs others."""

    def __init__(self, base, port, settings, services, view=()):
        self.base, self.view = base, list(view)
        for part in ("etc", "spool", "data"):
            (base / part).mkdir(parents=True)
        shutil.chown(base / "data", "postfix")
        # A new address is asked for within a second here instead of three.
        (base / "etc/main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {base}/log
maillog_file_prefixes = {base}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.org
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
address_verify_poll_delay = 1s
{settings}""")
        (base / "etc/master.cf").write_text(MASTER.format(port=port) + services)
        self.command("postfix", "start")
        until(lambda: answers(port), 60, self.log)

    def command(self, program, what):
        with open(self.base / "start.log", "ab") as out:
            subprocess.run([*self.view, f"/usr/sbin/{program}", "-c", self.base / "etc", what],
                           timeout=60, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in (
            self.base / "log", self.base / "start.log") if p.exists())

    def stop(self):
        # Its own `stop` waits five seconds at least.
        pid = int((self.base / "spool/pid/master.pid").read_text())
        processes = tree_of(pid)
        os.killpg(pid, signal.SIGTERM)
        until(lambda: not any(map(alive, processes)), 60, "postfix has left processes")


class Postfix(Mta):
    name, unknown_at_rcpt = "postfix", True

    def __init__(self, house, way):
        super().__init__(house, way)
        self.here = PostfixHere(self.base, self.port, self.settings(),
                                self.text["postfix master.cf"])
        self.log, self.stop = self.here.log, self.here.stop

    def settings(self):
        text = replaced(self.text["postfix main.cf"], path=self.house.socket(self.name))
        if self.way == "tcp":
            over = replaced(self.text["postfix main.cf tcp"], port=self.lmtp)
            text = re.sub(r"(?m)^virtual_transport = .*\n", over, text)
        return text

    def events(self):
        return re.findall(r"/lmtp\[\d+\]: (\w+): to=<([^>]+)>.* status=(\w+)", self.log())

    def flush(self):
        self.here.command("postqueue", "-f")


class Rooted(Mta):
    """In a root of its own. A shell in there runs the server, and the lines that it is given."""
    users = ()  # more lines for /etc/passwd

    def enter(self, over, command):
        (self.base / "start").write_text(
            f"{command} &\nwhile read -r line; do $line; done\n")
        self.syslog = Syslog(self.base / "syslog", self.base / "log")
        with open(self.base / "start.log", "ab") as out:
            self.process = subprocess.Popen(
                [PEER_ROOT, "--in", self.house.roots[self.name], self.syslog.path,
                 *(x for place, ours in over.items() for x in ("--over", ours, place)),
                 "sh", self.base / "start"],
                stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True)
        until(lambda: answers(self.port) or self.process.poll() is not None, 60, self.log)
        assert self.process.poll() is None, self.log()

    def passwd(self, *more):
        path = self.base / "passwd"
        path.write_text((self.house.roots[self.name] / "etc/passwd").read_text() +
                        "".join(f"{x}\n" for x in (*more, *self.users)))
        return path

    def run(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def log(self):
        return "".join(p.read_text(errors="replace") for p in self.logs if p.exists())

    @property
    def logs(self):
        return [self.base / "log", self.base / "start.log"]

    def stop(self):
        processes = tree_of(self.process.pid)
        self.process.kill()
        self.process.wait(60)
        self.process.stdin.close()
        self.syslog.stop()
        until(lambda: not any(map(alive, processes)), 60, f"{self.name} has left processes")


class Exim(Rooted):
    name = "exim"

    def __init__(self, house, way):
        super().__init__(house, way)
        self.unknown_at_rcpt = way == "tcp"  # there it asks ahead
        uid, gid = ids_in(house.roots["exim"], "Debian-exim")
        for part in ("etc", "spool", "logs"):
            (self.base / part).mkdir()
            if part != "etc":
                os.chown(self.base / part, uid, gid)
        (self.base / "etc/exim4.conf").write_text(f"""primary_hostname = mail.example.org
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
spool_directory = {self.base}/spool
log_file_path = {self.base}/logs/%slog
pid_file_path = {self.base}/spool/pid
keep_environment =
tls_advertise_hosts =
""" + self.settings())
        self.enter({"/etc/exim4": self.base / "etc", "/etc/passwd": self.passwd()}, "exim -bdf")

    def settings(self):
        """The whole one, with its router and transport replaced for the unix socket."""
        text = replaced(self.text["exim tcp"],
                        eximport=f"port = {self.house.lmtp_port}")
        if self.way == "tcp":
            return text
        text = re.sub(r"(?s)begin routers\n.*?\n\n",
                      lambda _: f"begin routers\n{self.text['exim unix router']}\n", text)
        transport = replaced(self.text["exim unix transport"], path=self.house.socket(self.name))
        return re.sub(r"(?s)begin transports\n.*?\n\n",
                      lambda _: f"begin transports\n{transport}\n", text)

    @property
    def logs(self):
        return [self.base / "logs/mainlog", self.base / "start.log"]

    def events(self):
        words = {"=>": "sent", "->": "sent", "==": "deferred", "**": "bounced"}
        return [(queue_id, a or b, words[what]) for queue_id, what, a, b in re.findall(
            r"^\S+ \S+ ([\w-]{16,23}) (=>|->|==|\*\*) (?:\S+ <([^>\s]+)>|([^\s:]+))"
            r"(?!.*retry time not reached)", self.log(), re.M)]

    def flush(self):
        self.run("exim -qff")


class OpenSmtpd(Rooted):
    name, unknown_at_rcpt = "opensmtpd", True

    def __init__(self, house, way):
        super().__init__(house, way)
        (self.base / "spool/smtpd").mkdir(mode=0o711, parents=True)
        self.conf = self.base / "smtpd.conf"
        self.conf.write_text(self.settings())
        passwd = self.passwd(f"vmail:x:{VMAIL}:{VMAIL}::/nonexistent:/usr/sbin/nologin")
        self.enter({"/etc/passwd": passwd, "/var/spool": self.base / "spool"},
                   f"smtpd -d -f {shlex.quote(str(self.conf))}")

    def names(self):
        """The table of users, made as the page makes it."""
        names = self.base / "names"
        command, update = replaced(self.text["opensmtpd table"], names=names,
                                   users=self.house.base / "users").rsplit("\n", 2)[:2]
        assert update.startswith("smtpctl "), update
        subprocess.run(["sh", "-c", command], check=True)
        return names

    def settings(self):
        text = replaced(self.text["opensmtpd smtpd.conf"], names=self.names(),
                        path=self.house.socket(self.name), listen=f"port {self.port}")
        if self.way == "tcp":
            over = replaced(self.text["opensmtpd smtpd.conf tcp"], port=self.lmtp)
            text = re.sub(r"(?m)^action .*\n .*\n", lambda _: over, text)
        return text

    def events(self):
        words = {"Ok": "sent", "TempFail": "deferred", "PermFail": "bounced"}
        return [(evp[:8], rcpt, words[what]) for evp, rcpt, what in re.findall(
            r"mda delivery evpid=([0-9a-f]{16}) .* rcpt=<([^>]+)> .* result=(\w+)", self.log())]

    def flush(self):
        self.run("smtpctl schedule all")


def start_mta(kind, house, way):
    return {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}[kind](house, way)


def start_all(house, way):
    """All three, side by side."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(start_mta, k, house, way) for k in KINDS]
        concurrent.futures.wait(jobs)
    good = [j.result() for j in jobs if not j.exception()]
    if len(good) < len(jobs):
        for mta in good:
            mta.stop()
        raise next(j.exception() for j in jobs if j.exception())
    return good
