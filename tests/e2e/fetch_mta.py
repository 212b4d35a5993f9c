"""Debian's Postfix and Dovecot's LMTP server, each with its own configuration on free ports
of 127.0.0.1, as the places to which `restante fetch` delivers.

Lmtp(base)           anna's mail goes to base/lmtp/home/anna/Maildir; also checks passwords
Postfix(base, lmtp)  SMTP with STARTTLS; anna@example.org's mail goes to base/postfix/boxes/anna;
                     with `lmtp` people log in by that Dovecot's passwords
"""
import os
import pathlib
import re
import shutil
import signal
import socket

from fetch_dovecot import Program, free_port, make_certificates
from postoffice import alive, tree_of, until

PASSWORD = "letter box"


def answers(port):
    """Whether a server greets there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as s:
            s.settimeout(5)
            return s.recv(100).startswith(b"220")
    except OSError:
        return False


class Box:
    """A Maildir that somebody else fills."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def files(self):
        return [p for part in ("new", "cur") if (self.path / part).exists()
                for p in (self.path / part).iterdir()]

    def take(self, n, deadline=30):
        """n messages, which leave it."""
        until(lambda: len(self.files()) >= n, deadline,
              lambda: f"{len(self.files())} of {n} messages came")
        got = [p.read_bytes() for p in self.files()]
        for p in self.files():
            p.unlink()
        assert len(got) == n
        return got


def by_trace(messages):
    """{trace id: what follows its line}."""
    found = {}
    for m in messages:
        at = re.search(rb"^X-Restante-Trace: ([0-9a-f]{40})\n", m, re.M)
        assert at, m[:500]
        assert at[1] not in found
        found[at[1]] = m[at.end():]
    return found


class Lmtp:
    def __init__(self, base):
        self.base = pathlib.Path(base) / "lmtp"
        self.base.mkdir()
        self.base.chmod(0o755)
        self.port, self.socket = free_port(), self.base / "socket"
        self.sasl = self.base / "sasl"
        home = self.base / "home"
        home.mkdir()
        shutil.chown(home, "nobody", "nogroup")
        self.box = Box(home / "anna/Maildir")
        (self.base / "users").write_text(f"anna:{{PLAIN}}{PASSWORD}::::::\n")
        (self.base / "dovecot.conf").write_text(f"""
base_dir = {self.base}/run
state_dir = {self.base}/state
log_path = {self.base}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
first_valid_uid = 1
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = username_format=%n {self.base}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {self.base}/users
  override_fields = uid=nobody gid=nogroup home={home}/%n
}}
service lmtp {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {self.port}
  }}
}}
service auth {{
  unix_listener {self.sasl} {{
    mode = 0666
  }}
}}
""")
        self.program = Program(["dovecot", "-F", "-c", self.base / "dovecot.conf"],
                               os.environ, self.base / "start.log")
        until(lambda: answers(self.port), 60, self.log)

    def log(self):
        return "".join(p.read_text() for p in (self.base / "log", self.base / "start.log")
                       if p.exists())

    def stop(self):
        self.program.stop()


MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, base, lmtp=None, settings="", services=""):
        """settings and services: more lines of main.cf, which win, and of master.cf."""
        self.base = pathlib.Path(base) / "postfix"
        self.port = free_port()
        for part in ("etc", "spool", "data", "boxes", "tls"):
            (self.base / part).mkdir(parents=True)
        self.base.chmod(0o755)
        make_certificates(self.base / "tls")
        self.ca = self.base / "tls/ca.pem"
        shutil.chown(self.base / "data", "postfix")
        shutil.chown(self.base / "boxes", "nobody", "nogroup")
        self.box = Box(self.base / "boxes/anna")
        sasl = f"""
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {lmtp.sasl}
smtpd_tls_auth_only = yes
smtpd_client_restrictions = permit_sasl_authenticated, reject
""" if lmtp else ""
        (self.base / "etc/main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.base}/spool
data_directory = {self.base}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {self.base}/log
maillog_file_prefixes = {self.base}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.org
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
local_recipient_maps =
local_header_rewrite_clients =
message_size_limit = 20000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.org
virtual_mailbox_base = {self.base}/boxes
virtual_mailbox_maps = inline:{{ anna@example.org=anna/ }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.base}/tls/server.pem
smtpd_tls_key_file = {self.base}/tls/server.key
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
{sasl}{settings}""")
        (self.base / "etc/master.cf").write_text(MASTER.format(port=self.port) + services)
        self.program = Program(
            ["postfix", "-c", self.base / "etc", "start-fg"],
            {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}, self.base / "start.log")
        until(lambda: answers(self.port), 60, self.log)

    def log(self):
        return "".join(p.read_text() for p in (self.base / "log", self.base / "start.log")
                       if p.exists())

    def stop(self):
        """What is in the queue stays there: nobody waits for a delivery that hangs."""
        processes = tree_of(self.program.process.pid)
        self.program.stop()
        for pid in filter(alive, processes):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(alive, processes)), 60, "postfix has left processes")
