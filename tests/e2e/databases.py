"""Databases of users for tests: a PostgreSQL and a slapd, each the real thing, on loopback."""
import contextlib
import glob
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from ports import free_port

SECONDS = 60


def who(*names):
    """The account that a server runs as: these refuse to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in names + ("nobody",):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("no account to run as")


class Server:
    """start(), kill() (at once, without a goodbye), stop(), and a directory of its own."""

    def __init__(self, *accounts):
        self.dir = tempfile.mkdtemp(prefix="rst-", dir="/tmp")
        self.process = None
        self.as_user = who(*accounts)
        if self.as_user:
            os.chown(self.dir, self.as_user["user"], self.as_user["group"])
        os.chmod(self.dir, 0o755)
        self.port = free_port()

    def run(self, *command, text=None):
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=self.dir,
                              **self.as_user)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def kill(self):
        self.process.send_signal(self.at_once)
        self.process.wait(SECONDS)

    def restart(self):
        self.kill()
        self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Postgres(Server):
    at_once = signal.SIGQUIT  # an immediate shutdown: it recovers when it starts again

    def __init__(self):
        super().__init__("postgres")
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = os.path.join(self.dir, "data")
        words = os.path.join(self.dir, "word")
        with open(words, "w") as f:
            f.write("owner\n")
        os.chmod(words, 0o644)
        self.run(f"{self.bin}/initdb", "-D", self.data, "-U", "owner", "--auth=scram-sha-256",
                 f"--pwfile={words}", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [f"{self.bin}/postgres", "-D", self.data, "-k", self.dir, "-h", "127.0.0.1,127.0.0.2", "-F",
             "-p", str(self.port), "-c", "max_connections=20", "-c", "shared_buffers=1MB",
             "-c", "log_min_messages=log"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.dir, **self.as_user)
        deadline, seen = time.monotonic() + SECONDS, b""
        while b"ready to accept connections" not in seen:
            ready, _, _ = select.select([self.process.stderr], [], [],
                                        max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            assert piece, ("PostgreSQL does not start", seen)
            seen += piece

    def sql(self, text, database="postgres"):
        environment = dict(os.environ, PGPASSWORD="owner")
        done = subprocess.run(
            ["psql", "-h", self.dir, "-p", str(self.port), "-U", "owner", "-d", database, "-qAtX",
             "-v", "ON_ERROR_STOP=1"], input=text, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def uri(self, user="mail", host="127.0.0.1"):
        return f"postgresql://{user}@{host}:{self.port}/postgres"


class Slapd(Server):
    at_once = signal.SIGKILL
    suffix = "dc=example,dc=org"
    root, root_word = "cn=admin,dc=example,dc=org", "adminword"

    def __init__(self, entries, tls=None, anonymous=False):
        """entries: LDIF; tls: (certificate, key) as PEM files."""
        super().__init__("openldap")
        self.tls_port = free_port()
        db = os.path.join(self.dir, "db")
        os.mkdir(db)
        if self.as_user:
            os.chown(db, self.as_user["user"], self.as_user["group"])
        self.conf = os.path.join(self.dir, "slapd.conf")
        lines = ["include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema",
                 "include /etc/ldap/schema/nis.schema", "include /etc/ldap/schema/inetorgperson.schema",
                 "modulepath /usr/lib/ldap", "moduleload back_mdb.so", "allow bind_v2",
                 f"pidfile {self.dir}/pid"]
        if tls:
            # Its own copies: it may not read those of the test.
            for keyword, path in zip(("TLSCertificateFile", "TLSCertificateKeyFile"), tls):
                copy = os.path.join(self.dir, keyword)
                shutil.copyfile(path, copy)
                os.chmod(copy, 0o644)
                lines.append(f"{keyword} {copy}")
        lines += ["database mdb", f"suffix {self.suffix}", f"directory {db}", "maxsize 16777216",
                  f"rootdn {self.root}", f"rootpw {self.root_word}", "dbnosync",
                  "index objectClass eq", "index uid eq",
                  "access to attrs=userPassword by anonymous auth by * none",
                  f"access to * by {'*' if anonymous else 'users'} read by anonymous auth"]
        with open(self.conf, "w") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod(self.conf, 0o644)
        self.run("/usr/sbin/slapadd", "-q", "-f", self.conf, text=entries)
        self.tls = tls
        self.start()

    def start(self):
        urls = f"ldap://127.0.0.1:{self.port} ldapi://{self.dir.replace('/', '%2F')}%2Fldapi"
        if self.tls:
            urls += f" ldaps://127.0.0.1:{self.tls_port} ldaps://127.0.0.2:{self.tls_port}"
        self.process = subprocess.Popen(
            ["/usr/sbin/slapd", "-d", "0", "-f", self.conf, "-h", urls], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir, **self.as_user)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "slapd does not start"
                select.select([], [], [], 0.01)

    def uri(self):
        return f"ldap://127.0.0.1:{self.port}"

    def unix_uri(self):
        return f"ldapi://{self.dir.replace('/', '%2F')}%2Fldapi"
