"""The servers that bench/run sets side by side, each in a control group of its own.

    with start("dovecot", Place(build, work), mail) as server: ...

server.ports has "plain" and, where it speaks TLS, "tls"; server.inside goes before the
command of a client. Debian's Courier and popa3d run in roots of their own
(tests/tools/peer-root), popa3d in a network of its own too, since its port is fixed.
Each serves one set of Maildirs; popa3d, which knows mbox alone, a copy of it.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from common import CACHE, PASSWORD, ROOT, UID, Account, Failed, program

PEER_ROOT = ROOT / "tests/tools/peer-root"
PACKAGES = {"courier": ["courier-pop", "msmtp-mta"], "popa3d": ["popa3d", "msmtp-mta"]}
START_S = 60
MANY = 20000


class Place:
    """Where servers are started from: a directory that goes when the run ends."""

    def __init__(self, build, work):
        self.build, self.work, self.n = build, work, 0
        self.cert, self.key = work / "cert.pem", work / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out",
                        self.cert, "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)

    def home(self, name):
        self.n += 1
        home = self.work / f"{name}-{self.n}"
        home.mkdir()
        return home


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def root_of(name):
    got = subprocess.run([PEER_ROOT, name, *PACKAGES[name]], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=900)
    if got.returncode != 0:
        raise Failed(f"{name}: {got.stderr.strip()}")
    return pathlib.Path(got.stdout.strip())


def crypted():
    """Cheap to verify: none of these knows plain passwords."""
    return subprocess.run(["openssl", "passwd", "-1", "-salt", "bench", PASSWORD], check=True,
                          capture_output=True, text=True).stdout.strip()


class Server:
    """What differs between them stands in the classes below. sessions_max: what it takes
    at a time, by its design or its package's limits."""
    name, inside, sources, sessions_max = "", (), 1, 18000
    ready_line = False

    def __init__(self, place, mail, **more):
        self.place, self.mail, self.more = place, mail, more
        self.home = place.home(self.name)
        self.log = self.home / "log"
        self.account = Account()
        self.ports, self.process = {}, None

    def start(self):
        command, say_ready = self.command(), subprocess.PIPE if self.ready_line else None
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(x) for x in command], stdin=subprocess.DEVNULL, stdout=say_ready or log,
                stderr=log, preexec_fn=self.account.enter, start_new_session=True, text=True)
        self.account.pid = self.process.pid
        if self.ready_line:
            line = self.process.stdout.readline()
            if not line.startswith("ready "):
                raise Failed(f"{self.name} did not start: {self.tail()}")
            self.take_ready(dict(x.split("=", 1) for x in line.split()[1:]))
        self.wait()
        return self

    def wait(self):
        """Until it greets."""
        end = time.monotonic() + START_S
        while not self.greets():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed(f"{self.name} did not start: {self.tail()}")
            time.sleep(0.02)

    def greets(self):
        with contextlib.suppress(OSError), \
                socket.create_connection(("127.0.0.1", self.ports["plain"]), 5) as s:
            return s.recv(100).startswith(b"+OK")
        return False

    def tail(self):
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace")[-1500:]
        return ""

    def stop(self):
        try:
            if self.process and self.process.poll() is None:
                if self.name in PEERS:
                    self.account.kill()  # nothing of it is kept
                else:
                    self.process.send_signal(signal.SIGTERM)
                self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            self.account.close()
            if self.process and self.process.stdout:
                self.process.stdout.close()

    def forget(self, user):
        """What it remembers of a maildrop, its index, goes; the server is down meanwhile."""


class Floor(Server):
    name, ready_line = "floor", True

    def command(self):
        args = [f"--{k}" if v is True else f"--{k}={v}" for k, v in self.more.items()]
        return [program(self.place.build, "floor"), *args, self.mail.base, self.place.cert,
                self.place.key]

    def take_ready(self, said):
        self.ports = {"plain": int(said["plain"]), "tls": int(said["tls"])}


class Restante(Server):
    name, ready_line = "restante", True

    def command(self):
        users = self.home / "users"
        users.write_text("".join(
            f"{u}:{{PLAIN}}{PASSWORD}:{UID}:{UID}::{self.mail.base}/{u}::"
            f"userdb_mail=maildir:{self.mail.base}/{u}\n" for u in self.mail.users))
        sets = {"connections_per_address": MANY, **self.more}
        return [self.place.build / "restante", "sandbox", "--users", users,
                *(x for k, v in sets.items() for x in ("--set", f"{k}={v}"))]

    def take_ready(self, said):
        self.ports = {"plain": int(said["pop3"].rsplit(":", 1)[1]),
                      "tls": int(said["pop3s"].rsplit(":", 1)[1])}

    def forget(self, user):
        for p in (self.mail.base / user).glob("restante-index*"):
            p.unlink()


class Dovecot(Server):
    """Its best configuration: processes that serve many logins, plain passwords, a cache."""
    name = "dovecot"
    services = """service pop3-login {{
  service_count = 0
  client_limit = 500
  process_min_avail = 2
{listeners}}}
service pop3 {{
  service_count = 0
  client_limit = 200
  process_min_avail = 2
}}
service anvil {{
  client_limit = 30000
}}
service auth {{
  client_limit = 60000
}}
auth_cache_size = 10M
"""

    def command(self):
        self.ports = {"plain": free_port(), "tls": free_port()}
        state = self.home / "state"
        state.mkdir()
        os.chown(state, UID, UID)
        # Its indexes stay out of the fixture.
        users = "".join(
            f"{u}:{{PLAIN}}{PASSWORD}:{UID}:{UID}::{self.mail.base}/{u}::userdb_mail=maildir:"
            f"{self.mail.base}/{u}:INDEX={state}/{u}:CONTROL={state}/{u}\n"
            for u in self.mail.users)
        (self.home / "users").write_text(users)
        listeners = (f"  inet_listener pop3 {{\n    port = {self.ports['plain']}\n  }}\n"
                     f"  inet_listener pop3s {{\n    port = {self.ports['tls']}\n"
                     "    ssl = yes\n  }\n")
        (self.home / "conf").write_text(f"""base_dir = {self.home}/run
log_path = {self.log}
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{self.place.cert}
ssl_key = <{self.place.key}
disable_plaintext_auth = no
first_valid_uid = 500
mail_max_userip_connections = 1000
mail_location = maildir:~
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {self.home}/users
}}
userdb {{
  driver = passwd-file
  args = {self.home}/users
}}
{self.services.format(listeners=listeners)}""")
        return ["/usr/sbin/dovecot", "-F", "-c", self.home / "conf"]

    def forget(self, user):
        shutil.rmtree(self.home / "state" / user, ignore_errors=True)


class DovecotDefault(Dovecot):
    """As its package comes: a process for each login, and one for each session."""
    name, sessions_max = "dovecot-default", 90
    services = "service pop3-login {{\n{listeners}}}\n"


class Rooted(Server):
    """In a root of its own, which sees CACHE at /srv, and of the machine /tmp. What its
    namespace holds ends with it."""

    def enter(self, over, script):
        (self.home / "start").write_text("set -e\n" + script)
        self.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.syslog.bind(str(self.home / "syslog"))
        (self.home / "syslog").chmod(0o666)
        threading.Thread(target=self.take_log, daemon=True).start()
        return [PEER_ROOT, "--in", self.root, self.home / "syslog",
                "--over", CACHE, "/srv",
                *(x for where, what in over.items() for x in ("--over", what, where)),
                "sh", self.home / "start"]

    def take_log(self):
        """In this process, so that it costs the server nothing but the sending."""
        with contextlib.suppress(OSError):
            while self.syslog.recv(65536):
                continue

    def stop(self):
        super().stop()
        with contextlib.suppress(OSError):
            self.syslog.shutdown(socket.SHUT_RDWR)
        self.syslog.close()


class Courier(Rooted):
    name = "courier"

    def command(self):
        self.root, self.ports = root_of(self.name), {"plain": free_port(), "tls": free_port()}
        etc, mail = self.home / "etc", pathlib.Path("/srv") / self.mail.base.relative_to(CACHE)
        etc.mkdir()
        (etc / "authdaemonrc").write_text(
            'authmodulelist="authuserdb"\nauthmodulelistorig="authuserdb"\ndaemons=5\n'
            "authdaemonvar=/run/courier/authdaemon\n")
        stored, users = crypted(), etc / "userdb"
        users.write_text("".join(
            f"{u}\tuid={UID}|gid={UID}|home={mail}/{u}|mail={mail}/{u}|systempw={stored}\n"
            for u in self.mail.users))
        users.chmod(0o600)
        pair = etc / "pair.pem"  # read after privileges are gone
        pair.write_text(self.place.key.read_text() + self.place.cert.read_text())
        pair.chmod(0o644)
        login = "/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d"
        daemon = (f"couriertcpd -address=127.0.0.1 -maxprocs={MANY} -maxperip={MANY} "
                  "-nodnslookup -noidentlookup")
        return self.enter({"/etc/courier": etc}, f"""
mkdir -p /run/courier/authdaemon
chown courier:courier /run/courier /run/courier/authdaemon
makeuserdb
/usr/sbin/authdaemond start
set -a
prefix=/usr exec_prefix=/usr sbindir=/usr/sbin bindir=/usr/bin libexecdir=/usr/lib/courier
POP3AUTH="PLAIN" POP3AUTH_TLS="PLAIN" MAILDIRPATH=Maildir COURIERTLS=/usr/bin/couriertls
TLS_CERTFILE={pair} TLS_VERIFYPEER=NONE TLS_PRIORITY=NORMAL
until test -S /run/courier/authdaemon/socket; do sleep 0.05; done
POP3_STARTTLS=NO POP3_TLS_REQUIRED=0 {daemon} {self.ports['plain']} {login} . &
POP3_TLS=1 POP3_STARTTLS=NO POP3_TLS_REQUIRED=0 {daemon} {self.ports['tls']} \\
	/usr/bin/couriertls -server -tcpd -user=courier {login} . &
wait
""")

    def forget(self, user):
        (self.mail.base / user / "courierpop3dsizelist").unlink(missing_ok=True)


class Popa3d(Rooted):
    """Its own daemon. It takes 50 sessions of an address in 10 s: the load comes from many."""
    name, sources, sessions_max = "popa3d", 20000, 100

    def __init__(self, place, mail, **more):
        super().__init__(place, mail, **more)
        self.ports = {"plain": 110}

    def command(self):
        self.root, etc = root_of(self.name), self.home / "etc"
        shutil.copytree(self.root / "etc", etc, symlinks=True)
        stored = crypted()
        for name, line in (("passwd", "{u}:x:{id}:{id}::/:/bin/sh\n"),
                           ("shadow", "{u}:{stored}:19000:0:99999:7:::\n")):
            with open(etc / name, "a") as f:
                f.writelines(line.format(u=u, id=UID, stored=stored) for u in self.mail.users)
        with open(etc / "group", "a") as f:
            f.write(f"bench:x:{UID}:\n")
        spool = self.mail.mbox()
        inner = self.enter({"/etc": etc, "/var/mail": spool}, "exec popa3d -D\nwait\n")
        (self.home / "start").write_text("popa3d -D\nexec sleep 1000000\n")
        return ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *inner]

    @property
    def inside(self):
        return ("nsenter", f"--net=/proc/{self.process.pid}/ns/net")

    def greets(self):
        done = subprocess.run([*self.inside, sys.executable, "-c", "import socket; print(socket."
                               "create_connection(('127.0.0.1', 110), 5).recv(100)[:3])"],
                              capture_output=True, text=True)
        return "+OK" in done.stdout


SERVERS = {s.name: s for s in (Floor, Restante, Dovecot, DovecotDefault, Courier, Popa3d)}
PEERS = ("dovecot", "dovecot-default", "courier", "popa3d")


@contextlib.contextmanager
def start(name, place, mail, **more):
    server = SERVERS[name](place, mail, **more)
    try:
        yield server.start()
    finally:
        server.stop()
