"""The log of an office under attack, read by fail2ban with its stock filter; and its ban, as
restante.conf(5) shows it, which closes the door. No firewall has a part in it."""
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from pop import Pop
from postoffice import ROOT, until

ATTACKER, GUEST, SLIPS = "127.0.1.1", "127.0.2.1", "127.0.2.2"
STOCK = pathlib.Path("/etc/fail2ban/filter.d")

pytestmark = pytest.mark.skipif(not shutil.which("fail2ban-server") or not STOCK.is_dir(),
                                reason="fail2ban is not installed")


def log_in(o, address, password):
    with Pop(o.host, o.pop3, source=address) as c:
        said = c.login("ann", password)
        c.send(b"QUIT\r\n")
        c.rest()
        return said


def is_shut_out(o, address):
    with socket.create_connection((o.host, o.pop3), 60, (address, 0)) as s:
        try:
            return s.recv(512) == b""
        except ConnectionResetError:
            return True


def from_the_manual(deny):
    """The action of the manual page, for this file instead of the one that it names."""
    text = (ROOT / "man" / "restante.conf.5.tail").read_text()
    block = re.search(r"^# action\.d/restante\.conf\n(.*?)^\.Ed", text, re.S | re.M)[1]
    assert block.count("/etc/restante/deny") >= 2
    return block.replace("\\e", "\\").replace("/etc/restante/deny", str(deny))


class Fail2ban:
    """fail2ban-server with everything in a directory of its own."""

    def __init__(self, base, deny):
        self.dir, self.log = base / "f2b", base / "mail.log"
        for part in ("action.d", "fail2ban.d", "jail.d", "filter.d"):
            (self.dir / part).mkdir(parents=True)
        for name in ("common.conf", "dovecot.conf"):  # the stock filter, and nothing of ours
            shutil.copy(STOCK / name, self.dir / "filter.d" / name)
        (self.dir / "fail2ban.conf").write_text(
            f"[Definition]\nloglevel = INFO\nlogtarget = {self.dir}/log\nsyslogsocket = auto\n"
            f"socket = {self.dir}/sock\npidfile = {self.dir}/pid\ndbfile = {self.dir}/db\n"
            "dbpurgeage = 1d\n")
        (self.dir / "action.d" / "restante.conf").write_text(from_the_manual(deny))
        (self.dir / "jail.conf").write_text(
            "[DEFAULT]\nignoreself = false\nignoreip =\nusedns = no\nbackend = polling\n"
            "[restante]\nenabled = true\nfilter = dovecot\naction = restante\n"
            f"logpath = {self.log}\nmaxretry = 5\nfindtime = 10m\nbantime = 1h\n")
        self.log.touch()
        self.written = 0
        self.process = subprocess.Popen(
            ["fail2ban-server", "-f", "-x", *self.where()], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until(lambda: self.client("status", "restante").returncode == 0, 60, self.said, 0.2)

    def where(self):
        return ["-c", str(self.dir), "-s", str(self.dir / "sock"), "-p", str(self.dir / "pid")]

    def client(self, *words):
        return subprocess.run(["fail2ban-client", *self.where(), *words], capture_output=True,
                              text=True, timeout=60)

    def said(self):
        log = self.dir / "log"
        return log.read_text() if log.exists() else "fail2ban said nothing"

    def feed(self, office):
        """What the office logged since the last time."""
        lines = office.lines[self.written:]
        self.written += len(lines)
        with open(self.log, "a", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in lines)

    def found(self, address):
        return self.said().count(f"[restante] Found {address} ")

    def end(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture(name="guard")
def fixture_guard(base):
    deny = base / "deny"
    deny.write_text("# fail2ban writes here\n192.0.2.9\n")
    guard = Fail2ban(base, deny)
    guard.deny = deny
    yield guard
    guard.end()


def test_an_attacker_is_banned_and_users_are_not(office, guard):
    o = office(users=[("ann", "secret")], sets={
        "log_fail2ban": "yes", "login_failure_delay": "0", "deny_file": guard.deny})
    o.wait_for_log("deny_file: 1 networks are not served")
    assert log_in(o, SLIPS, "sceret").startswith(b"-ERR [AUTH]")
    for i in range(5):
        assert log_in(o, ATTACKER, f"guess{i}").startswith(b"-ERR [AUTH]")
        assert log_in(o, GUEST, "secret").startswith(b"+OK")
    # Names that try to speak for another address.
    with Pop(o.host, o.pop3, source=SLIPS) as c:
        assert c.say(f"USER x>, rip={GUEST}").startswith(b"+OK")
        assert c.say("PASS y").startswith(b"-ERR")
    since = o.mark()

    def banned():
        guard.feed(o)
        return ATTACKER in guard.deny.read_text().split()
    until(banned, 60, guard.said, 0.2)
    o.wait_for_log("deny_file: 2 networks are not served", since=since)
    until(lambda: is_shut_out(o, ATTACKER), 60, "the attacker is still served")
    assert log_in(o, GUEST, "secret").startswith(b"+OK")
    assert log_in(o, SLIPS, "secret").startswith(b"+OK")
    until(lambda: guard.found(SLIPS) == 2, 60, guard.said, 0.2)
    assert guard.found(ATTACKER) == 5 and guard.found(GUEST) == 0, guard.said()
    status = guard.client("status", "restante").stdout
    assert re.search(rf"Banned IP list:\s*{re.escape(ATTACKER)}\s*$", status), status

    # And it opens again when the ban is over.
    assert guard.client("set", "restante", "unbanip", ATTACKER).returncode == 0
    until(lambda: not is_shut_out(o, ATTACKER), 60, guard.said, 0.2)
    assert log_in(o, ATTACKER, "secret").startswith(b"+OK")
    assert guard.deny.read_text().split("\n")[1] == "192.0.2.9", "others' lines stay"
