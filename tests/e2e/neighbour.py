"""Debian's Dovecot beside Restante over one Maildir, configured as restante-imap(7) says.

Neighbour(base)   Dovecot with IMAP, POP3 and LMTP on free ports of 127.0.0.1; anna's mail is
                  base/neighbour/home/anna/Maildir, which belongs to nobody. For each name of
                  FORMATS there is a user anna-NAME to whom its POP3 shows that form of UIDLs.
"""
import contextlib
import imaplib
import os
import pathlib
import re
import shutil

from fetch_dovecot import Program, free_port
from pop import Pop
from postoffice import ROOT

PAGE = ROOT / "man/restante-imap.7"
FORMATS = {"uid": "%08Xu%08Xv", "f": "%f", "mf": "%Mf"}
OWNER = ("nobody", "nogroup")


def blocks():
    """{name: text} of what the manual page marks, as a reader sees it."""
    found = re.findall(r'^\.\\" block: (.+)\n(?:\.Pp\n)?\.Bd .*\n((?:[^.\n].*\n|\n)+)\.Ed$',
                       PAGE.read_text(), re.M)
    return {name: text.replace("\\e", "\\").replace("\\&", "") for name, text in found}


class Imap(imaplib.IMAP4):
    """Logged in as anna; answers that are not OK are what a test looks at, not faults."""

    def __init__(self, port, user="anna"):
        super().__init__("127.0.0.1", port, timeout=60)
        self.login(user, "secret")

    def rows(self, what, box="INBOX"):
        """FETCH of all messages, as it came: a line or (line, literal) each."""
        kind, count = self.select(box)
        assert kind == "OK", count
        if count == [b"0"]:
            return []
        kind, rows = self.fetch("1:*", what)
        assert kind == "OK", rows
        return [r for r in rows if r not in (None, b")")]

    def ids(self, box="INBOX"):
        """Message-IDs, as many times as they are there."""
        rows = self.rows("(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])", box)
        return sorted(re.search(rb"<([^>]*)>", r[1])[1].decode() for r in rows)

    def end(self):
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self.logout()
        with contextlib.suppress(OSError):
            self.shutdown()


class Neighbour:
    def __init__(self, base, run=True):
        self.base = pathlib.Path(base) / "neighbour"
        self.base.mkdir()
        self.base.chmod(0o755)
        self.imap, self.pop3, self.lmtp = free_port(), free_port(), free_port()
        home = self.base / "home/anna"
        self.maildir = home / "Maildir"
        for part in ("new", "cur", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        for p in (home, self.maildir, *self.maildir.iterdir()):
            shutil.chown(p, *OWNER)
        users = ["anna:{PLAIN}secret::::::\n"]
        for name, form in FORMATS.items():
            users.append(f"anna-{name}:{{PLAIN}}secret::::::"
                         f"userdb_pop3_uidl_format={form.replace('%', '%%')}\n")
        (self.base / "users").write_text("".join(users))
        (self.base / "dovecot.conf").write_text(self.configuration())
        if not run:
            return
        self.program = Program(["dovecot", "-F", "-c", self.base / "dovecot.conf"],
                               os.environ, self.base / "start.log")
        for port in (self.imap, self.pop3, self.lmtp):
            self.program.wait_for_port(port)

    def configuration(self):
        return f"""{blocks()["dovecot"]}
base_dir = {self.base}/run
state_dir = {self.base}/state
log_path = {self.base}/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
auth_failure_delay = 0
first_valid_uid = 1
mail_max_userip_connections = 100
passdb {{
  driver = passwd-file
  args = username_format=%n {self.base}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {self.base}/users
  override_fields = uid=nobody gid=nogroup home={self.base}/home/anna
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.lmtp}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""

    def listed(self, form):
        """[(UIDL, octets, as RETR sends it)] of its POP3, in the form of that name."""
        with Pop("127.0.0.1", self.pop3) as p:
            return listing(p, f"anna-{form}")

    def log(self):
        return "".join(p.read_text(errors="replace")
                       for p in (self.base / "log", self.base / "start.log") if p.exists())

    def complaints(self):
        return [x for x in self.log().splitlines()
                if re.search(r"Error:|Fatal:|Panic:|Warning:", x)]

    def stop(self):
        self.program.stop()


def listing(p, user="anna"):
    """A whole session: [(UIDL, octets of LIST, message without stuffing)]."""
    assert p.login(user, "secret").startswith(b"+OK")
    uidls = [x.split(b" ", 1)[1] for x in p.multi("UIDL")]
    sizes = [int(x.split(b" ")[1]) for x in p.multi("LIST")]
    bodies = [b"".join(x + b"\r\n" for x in p.multi(f"RETR {n + 1}")) for n in range(len(uidls))]
    assert p.say("QUIT").startswith(b"+OK")
    return list(zip(uidls, sizes, bodies, strict=True))
