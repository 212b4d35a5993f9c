"""Four POP3 servers with the mail of one user, anna, for tests of the fetcher. Those that
lock have a second one, berta, whose maildrop is empty.

Ours, Dovecot, Courier and Cyrus: each on free ports of loopback, with a configuration, a
certificate, data and a log of its own below base. put() delivers as that server's mail is
delivered: a file into the Maildir, or LMTP. Debian's packages of Courier and Cyrus run in
roots of their own (tests/tools/peer-root), made all at once by make_roots().
"""
import concurrent.futures
import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from fetch_dovecot import free_port, listens, make_certificates
from pop import Pop
from postoffice import ROOT, Office, alive, tree_of, until

PEER_ROOT = ROOT / "tests/tools/peer-root"
PACKAGES = {"courier": ["courier-pop", "msmtp-mta"],
            "cyrus": ["cyrus-pop3d", "msmtp-mta", "sasl2-bin"]}
USER, OTHER, PASSWORD = "anna", "berta", "s3cret pass"
CANNOT = 77


def make_root(name, packages):
    got = subprocess.run([PEER_ROOT, name, *packages], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=600)
    if got.returncode == CANNOT:
        pytest.skip(got.stderr.strip())
    assert got.returncode == 0, got.stderr
    return pathlib.Path(got.stdout.strip())


def make_roots(packages=None):
    """{name: root}; those that are not there yet are made side by side."""
    packages = packages or PACKAGES
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(packages, pool.map(make_root, packages, packages.values())))


class Syslog:
    """A socket in the place of /dev/log; what comes is kept in a file."""

    def __init__(self, path, log):
        self.path = path
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(str(path))
        path.chmod(0o666)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(log,), daemon=True)
        self.thread.start()

    def _run(self, log):
        with open(log, "ab", buffering=0) as out:
            while not self.ended.is_set():
                if select.select([self.s], [], [], 0.1)[0]:
                    out.write(self.s.recv(65536).rstrip(b"\0\n") + b"\n")

    def stop(self):
        self.ended.set()
        self.thread.join(60)
        self.s.close()


class Peer:
    """A server that runs. What differs between them stands in the classes below."""
    name = ""
    locks = True   # one session at a time
    turns = None   # how often a poll with nothing new waits, where it is to be the least
    user, password, host = USER, PASSWORD, "localhost"

    def __init__(self, base):
        self.base = pathlib.Path(base) / self.name
        self.base.mkdir(mode=0o755)
        self.pop3, self.pop3s = free_port(), free_port()
        make_certificates(self.base)
        self.ca = self.base / "ca.pem"
        self.log_path, self.n = self.base / "log", 0

    def put(self, *messages):
        """Delivers; those that the server took."""
        return [m for m in messages if self.deliver(m)]

    def session(self, user=USER):
        """A raw one, logged in."""
        p = Pop(self.host, self.pop3s, tls_ca=self.ca)
        assert p.login(user, self.password).startswith(b"+OK")
        return p

    def read_all(self):
        """UIDL: octets, without stuffing, of every message, as a plain client sees them."""
        with self.session() as p:
            uids = dict(x.split(b" ", 1) for x in p.multi("UIDL"))
            out = {uid: b"".join(x + b"\r\n" for x in p.multi(b"RETR " + n))
                   for n, uid in uids.items()}
            assert p.say("QUIT").startswith(b"+OK")
        return out

    def log(self):
        with contextlib.suppress(OSError):
            return self.log_path.read_text(errors="replace")
        return ""

    # ---- a Maildir ----
    def make_maildir(self, path, owner="nobody", group="nogroup"):
        self.maildir, self.owner, self.group = path, owner, group
        for part in ("new", "cur", "tmp"):
            (path / part).mkdir(parents=True)
        for p in (path.parent, path, *path.iterdir()):
            shutil.chown(p, owner, group)

    def deliver(self, message):
        self.n += 1
        name = f"{1700000000 + self.n}.M{self.n:06d}P1.test"
        path = self.maildir / "tmp" / name
        path.write_bytes(message)
        shutil.chown(path, self.owner, self.group)
        path.rename(self.maildir / "new" / name)
        return True

    # ---- a program ----
    def start(self, command):
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True)
        for port in (self.pop3, self.pop3s):
            until(lambda: listens(port) or self.process.poll() is not None, 60,
                  lambda: f"{self.name} does not listen:\n{self.log()}")
            assert self.process.poll() is None, self.log()

    def stop(self, how=signal.SIGTERM):
        processes = tree_of(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)
        until(lambda: not any(map(alive, processes)), 60, f"{self.name} has left processes")


class Ours(Peer):
    name, turns = "restante", 6  # SCRAM is the best that it offers: three more than PLAIN

    def __init__(self, base):
        super().__init__(base)
        self.make_maildir(self.base / "mail/Maildir")
        self.office = Office(users=[(self.user, self.password, self.maildir),
                                    (OTHER, self.password)])
        self.pop3, self.pop3s, self.ca = self.office.pop3, self.office.pop3s, self.office.ca

    def log(self):
        return self.office.log()

    def stop(self, how=None):
        self.office.stop()


class Dovecot(Peer):
    name, turns = "dovecot", 3

    def __init__(self, base):
        super().__init__(base)
        self.make_maildir(self.base / "home/anna/Maildir")
        other = self.base / "home" / OTHER
        other.mkdir()
        shutil.chown(other, self.owner, self.group)
        (self.base / "users").write_text("".join(
            f"{u}:{{PLAIN}}{self.password}::::::\n" for u in (self.user, OTHER)))
        (self.base / "dovecot.conf").write_text(self.configuration())
        self.start(["dovecot", "-F", "-c", self.base / "dovecot.conf"])

    def configuration(self):
        return f"""base_dir = {self.base}/run
state_dir = {self.base}/state
log_path = {self.base}/log
protocols = pop3
listen = 127.0.0.1
auth_mechanisms = plain
auth_failure_delay = 0
ssl = required
ssl_cert = <{self.base}/server.pem
ssl_key = <{self.base}/server.key
first_valid_uid = 1
mail_location = maildir:~/Maildir
pop3_lock_session = yes
passdb {{
  driver = passwd-file
  args = {self.base}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.base}/home/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
    ssl = yes
  }}
}}
# No waiting after a wrong password.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""


class Rooted(Peer):
    """In a root of its own. What its namespace holds ends with it."""

    def enter(self, root, over, script):
        (self.base / "start").write_text("set -e\n" + script)
        self.syslog = Syslog(self.base / "syslog", self.log_path)
        self.start([PEER_ROOT, "--in", root, self.syslog.path,
                    *(x for pair in over.items() for x in ("--over", *reversed(pair))),
                    "sh", self.base / "start"])

    def id_in(self, root, name):
        line = next(x for x in (root / "etc/passwd").read_text().splitlines()
                    if x.startswith(f"{name}:"))
        return [int(x) for x in line.split(":")[2:4]]

    def stop(self, how=signal.SIGKILL):
        super().stop(how)
        self.syslog.stop()


class Courier(Rooted):
    name, locks = "courier", False

    def __init__(self, base, root):
        super().__init__(base)
        self.make_maildir(self.base / "home/anna/Maildir", *self.id_in(root, "nobody"))
        etc = self.base / "etc"
        etc.mkdir()
        (etc / "authdaemonrc").write_text(
            'authmodulelist="authuserdb"\nauthmodulelistorig="authuserdb"\ndaemons=2\n'
            "authdaemonvar=/run/courier/authdaemon\n")
        crypted = subprocess.run(["openssl", "passwd", "-6", self.password], check=True,
                                 capture_output=True, text=True).stdout.strip()
        users = etc / "userdb"
        uid, gid = self.owner, self.group
        users.write_text(f"{self.user}\tuid={uid}|gid={gid}|home={self.base}/home/anna|"
                         f"mail={self.maildir}|systempw={crypted}\n")
        users.chmod(0o600)
        pair = etc / "pair.pem"  # read after privileges are gone
        pair.write_text("".join((self.base / f"server.{x}").read_text() for x in ("key", "pem")))
        pair.chmod(0o644)
        login = "/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d"
        daemon = ("couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup "
                  "-noidentlookup")
        self.enter(root, {"/etc/courier": etc}, f"""
mkdir -p /run/courier/authdaemon
chown courier:courier /run/courier /run/courier/authdaemon
makeuserdb
/usr/sbin/authdaemond start
set -a
prefix=/usr exec_prefix=/usr sbindir=/usr/sbin bindir=/usr/bin libexecdir=/usr/lib/courier
POP3AUTH="PLAIN" POP3AUTH_TLS="PLAIN" MAILDIRPATH=Maildir COURIERTLS=/usr/bin/couriertls
TLS_CERTFILE={pair} TLS_VERIFYPEER=NONE TLS_PRIORITY=NORMAL MAXPERIP=40
until test -S /run/courier/authdaemon/socket; do sleep 0.05; done
POP3_STARTTLS=YES POP3_TLS_REQUIRED=0 {daemon} {self.pop3} {login} Maildir &
POP3_TLS=1 POP3_STARTTLS=NO POP3_TLS_REQUIRED=0 {daemon} {self.pop3s} \\
	/usr/bin/couriertls -server -tcpd -user=courier {login} Maildir &
wait
""")


class Cyrus(Rooted):
    name, locks = "cyrus", False

    def __init__(self, base, root):
        super().__init__(base)
        data = self.base / "data"
        for part in ("db", "log", "mail", "proc", "lock", "msg", "socket"):
            (data / part).mkdir(parents=True)
        self.lmtp = data / "socket/lmtp"
        (self.base / "imapd.conf").write_text(f"""configdirectory: {data}
proc_path: {data}/proc
mboxname_lockpath: {data}/lock
defaultpartition: default
partition-default: {data}/mail
servername: localhost
unixhierarchysep: no
virtdomains: off
allowplaintext: no
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {data}/sasldb
sasl_mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256
failedloginpause: 0
popminpoll: 0
autocreate_quota: 0
autocreate_post: yes
duplicatesuppression: no
lmtpsocket: {self.lmtp}
tls_server_cert: {self.base}/server.pem
tls_server_key: {self.base}/server.key
""")
        (self.base / "cyrus.conf").write_text(f"""START {{
	recover cmd="/usr/sbin/cyrus ctl_cyrusdb -C /etc/imapd.conf -r"
}}
SERVICES {{
	pop3 cmd="pop3d -U 30" listen="127.0.0.1:{self.pop3}" prefork=1 maxchild=50
	pop3s cmd="pop3d -s -U 30" listen="127.0.0.1:{self.pop3s}" prefork=1 maxchild=50
	lmtpunix cmd="lmtpd" listen="{self.lmtp}" prefork=1 maxchild=5
}}
EVENTS {{
	checkpoint cmd="/usr/sbin/cyrus ctl_cyrusdb -c" period=30
}}
""")
        uid, gid = self.id_in(root, "cyrus")
        for p in (data, *data.rglob("*"), self.base / "server.key"):
            os.chown(p, uid, gid)
        self.enter(root, {"/etc/imapd.conf": self.base / "imapd.conf",
                          "/etc/cyrus.conf": self.base / "cyrus.conf"}, f"""
mkdir -p /run/cyrus
chown cyrus:mail /run/cyrus
printf %s '{self.password}' | saslpasswd2 -c -p -f {data}/sasldb -u localhost {self.user}
chown cyrus:mail {data}/sasldb
exec /usr/lib/cyrus/bin/master -p /run/cyrus/master.pid
""")
        until(self.lmtp_listens, 60, lambda: f"no LMTP:\n{self.log()}")
        with self.lmtp_session():  # so that its process stands
            pass

    def lmtp_listens(self):
        """The file is there a moment before anybody listens."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.lmtp))
            return True
        return False

    @contextlib.contextmanager
    def lmtp_session(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(str(self.lmtp))
            f = s.makefile("rb")

            def say(line):
                if line is not None:
                    s.sendall(line)
                while True:
                    got = f.readline()
                    assert got, self.log()
                    if got[3:4] != b"-":
                        return got
            assert say(None).startswith(b"220")
            assert say(b"LHLO localhost\r\n").startswith(b"250")
            yield say
            say(b"QUIT\r\n")

    def put(self, *messages):
        """LMTP carries lines: those ends that are not CRLF become it on the way."""
        out = []
        with self.lmtp_session() as say:
            for m in messages:
                lines = m.replace(b"\r\n", b"\n").split(b"\n")
                if lines[-1] == b"":
                    lines.pop()
                octets = b"".join((b"." if x[:1] == b"." else b"") + x + b"\r\n" for x in lines)
                assert say(b"MAIL FROM:<>\r\n").startswith(b"250")
                answer = say(f"RCPT TO:<{self.user}>\r\n".encode())
                assert answer.startswith(b"250"), answer
                assert say(b"DATA\r\n").startswith(b"354")
                if say(octets + b".\r\n").startswith(b"250"):
                    out.append(m)
                say(b"RSET\r\n")
        return out


def start_peer(name, base, roots):
    kind = {"restante": Ours, "dovecot": Dovecot, "courier": Courier, "cyrus": Cyrus}[name]
    return kind(base, roots[name]) if name in roots else kind(base)
