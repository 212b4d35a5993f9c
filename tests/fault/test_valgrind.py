"""Sessions, deliveries and a collection by the real programs under valgrind: nobody reads what
was never written, decides by it, or sends it to another process; nobody loses memory or a
descriptor. All of the server runs so at once, caged but for the filter (valgrind_shim.c).

The quick form is one round after a first one; RESTANTE_LONG=1 has more, and reads the
configuration anew in each.
"""
import base64
import hashlib
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from house import BUILD, MAIL_UID, SANITIZED, House, Mta, descriptors, until
from pop import Pop
from valgrind_house import (MONITOR, PATIENCE_S, Reports, ValgrindHouse, arguments, comes_back,
                            faults_of, judge, program_of)

LONG = bool(os.environ.get("RESTANTE_LONG"))
ROUNDS = 4 if LONG else 1
FAULTY = BUILD / "tests" / "fault" / "valgrind_faulty"
# Of valgrind_faulty.c, by their numbers.
PLANTED = [r"Syscall param sendmsg.* points to uninitialised", r"depends on uninitialised value",
           r"definitely lost: 100 bytes", r"Invalid write of size 1", r"Invalid read of size 1",
           r"Open file descriptor \d+: /dev/null"]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production"),
    pytest.mark.skipif(SANITIZED or b"__tsan_init" in (BUILD / "restante-front").read_bytes(),
                       reason="a sanitizer and valgrind want the same addresses")]

LARGE = b"Subject: large\n\n" + b"".join(b"%s line %d\n" % (b"." * (i % 3), i) for i in range(3000))
MAIL = [b"Subject: one\n\n.\n..two\nthree\n", b"Subject: two\r\n\r\nas it travels\r\n", LARGE,
        b"Subject: =?utf-8?q?f=C3=BCnf?=\n\n\xff\xfe no end"]


# ---- what is said ----

class Client(Pop):
    def __init__(self, house, tls=None):
        super().__init__("127.0.0.1", house.port, timeout=PATIENCE_S)
        assert self.greeting.startswith(b"+OK"), self.greeting
        if tls:
            assert self.say("STLS").startswith(b"+OK")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = tls
            self.s = context.wrap_socket(self.s, server_hostname="localhost")

    def good(self, line):
        got = self.say(line)
        assert got.startswith(b"+OK"), (line, got)
        return got


def entered(house, name, tls=None):
    """A session, when the one before it has ended."""
    def look():
        c = Client(house, tls)
        c.multi("CAPA")
        assert c.say("AUTH NONSENSE").startswith(b"-ERR")
        c.say(f"USER {name}")
        assert c.say("PASS wrong").startswith(b"-ERR")
        said = c.login(name, "secret")
        if said.startswith(b"+OK"):
            return c
        c.close()
        assert b"[IN-USE]" in said, said
        return None
    return until(look, PATIENCE_S, "a session")


def session(house, name, tls=None):
    """One that looks at everything and deletes the first message."""
    with entered(house, name, tls) as c:
        n = int(c.good("STAT").split()[1])
        assert len(c.multi("LIST")) == len(c.multi("UIDL")) == n > 0
        c.send(b"".join(b"RETR %d\r\nTOP %d 1\r\n" % (i, i) for i in range(1, n + 1)))
        for _ in range(2 * n):
            assert c.line().startswith(b"+OK")
            c.body()
        for line in ("DELE 99", "NONSENSE", "RETR 0", "X" * 300):
            assert c.say(line).startswith(b"-ERR")
        for line in ("NOOP", "DELE 1", "RSET", "DELE 1", "QUIT"):
            c.good(line)
        return n


def plain_auth(house, name):
    with Client(house) as c:
        # Whoever was there before has said QUIT, and has been answered.
        word = base64.b64encode(b"\0%s\0secret" % name.encode()).decode()
        c.good(f"AUTH PLAIN {word}")
        c.good("STAT")
        c.good("QUIT")


def rude_clients(house):
    """Those that go in the middle of a message, of a handshake, of a line, of a login."""
    c = entered(house, "anna")
    c.send(b"".join(b"RETR %d\r\n" % i for i in range(1, 5)))
    c.line()
    c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()
    c = Client(house)
    c.good("STLS")
    c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(200))
    c.close()
    c = Client(house)
    c.good("STLS")
    c.send(b"this is no TLS\r\n\r\n")
    c.rest()
    c.close()
    c = Client(house)
    c.send(b"USER anna\r\nPASS secret\r\nST")
    c.close()


def deliveries(house, n=1):
    for _ in range(n):
        mta = Mta(house.lmtp)
        mta.s.settimeout(PATIENCE_S)
        mta.say("LHLO mta.example")
        for octets in (b"Subject: short\n\n.\ntext\n", LARGE):
            said = mta.send(re.sub(rb"(?m)^\.", b"..", octets), "anna", "nobody", "bert")
            assert [x[:3] for x in said] == ["250", "550", "250"], said
        mta.say("QUIT")
        mta.close()
    mta = Mta(house.lmtp)
    mta.s.settimeout(PATIENCE_S)
    mta.say("LHLO mta.example")
    mta.envelope("anna")
    mta.say("DATA")
    mta.s.sendall(b"Subject: cut off\r\n\r\nhalf a l")
    mta.close()


def reload(house):
    since = len(house.lines)
    os.kill(house.p.pid, signal.SIGHUP)
    house.wait_for_line("configuration was read again", PATIENCE_S, since)


def a_round(house):
    session(house, "anna")
    session(house, "anna", ssl.TLSVersion.TLSv1_3)
    session(house, "bert", ssl.TLSVersion.TLSv1_2)
    plain_auth(house, "bert")
    rude_clients(house)
    deliveries(house, 2)
    house.restante("stat")
    if LONG:
        reload(house)


# ---- the house ----

def make_house(base):
    box = pathlib.Path(base) / "mail" / "bert.mbox"
    house = ValgrindHouse(
        base, {"anna": ("secret", None, MAIL),
               "bert": ("secret", None, [], f"userdb_mail=mbox:{box}")},
        # Keepers of a configuration that is no more in force stay until they are idle for so long.
        {"log_level": "debug", "keeper_idle": "2s" if LONG else "300s", "fronts": 1,
         "drain_timeout": "20s", "spool_memory": "16K", "spool_dir": base},
        listeners={"pop3": ""}, lmtp=True, tls=True)
    house.listeners["pop3"] = f"address = 127.0.0.1:{house.port}"
    house.configure()
    box.write_bytes(b"".join(b"From a@b.example Sun Nov 22 10:00:00 2026\n" +
                             re.sub(rb"(?m)^From ", b">From ", m.replace(b"\r\n", b"\n")) + b"\n\n"
                             for m in MAIL))
    for p in (box, box.parent):
        os.chown(p, MAIL_UID, MAIL_UID)
    return house


def collect(house, base, port):
    """restante-fetch under valgrind: all that anna has, over TLS, to a Maildir."""
    pem = x509.load_pem_x509_certificate((house.base / "cert.pem").read_bytes())
    pin = hashlib.sha256(pem.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    secret = base / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    run = subprocess.run(
        [*arguments(port, leaks=True), "--track-fds=yes", BUILD / "restante-fetch", "--server",
         f"127.0.0.1:{house.port}", "--user", "anna", "--tls", "stls", "--pin", pin,
         "--password-file", secret, "--state", base / "state", "--maildir", base / "Maildir",
         "--mbox", base / "mbox"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        timeout=PATIENCE_S, cwd=base, env={"PATH": os.environ["PATH"], "HOME": str(base)})
    assert run.returncode == 0, run.stderr.decode()
    return sorted(p.read_bytes() for p in (base / "Maildir" / "new").iterdir())


def test_sessions_deliveries_and_a_collection(house_dir, tmp_path):
    house = make_house(house_dir("valgrind"))
    fetching = Reports()
    with house:
        a_round(house)
        before = house.descriptors()
        for _ in range(ROUNDS):
            a_round(house)
        left = comes_back(house, before)
        collected = collect(house, tmp_path, fetching.port)
        processes = set(house.processes().values())
    texts, fetched = house.reports.finish(), fetching.finish()
    assert {MONITOR, *(f"restante-{p}" for p in (
        "front", "auth", "keys", "keeper", "lmtpd", "log", "control"))} <= processes
    assert processes <= set(map(program_of, texts))
    wrong = judge(texts) + judge(fetched, descriptors=True)
    assert not wrong, "\n".join(wrong)
    assert not left, left
    assert len(fetched) == 1 and house.p.returncode == 0, house.log()
    # Four of each round, half of them large; the first ones were deleted.
    assert len(collected) > 4 and sum(x.endswith(LARGE) for x in collected) > 1


def test_reloads_leave_no_descriptor_open(house_dir):
    """Not under valgrind: nobody has more open after many of them than after the first."""
    users = {"anna": ("secret", None, MAIL)}
    with House(house_dir("reloads"), users, {"log_level": "info"}, lmtp=True, tls=True) as house:
        reload(house)
        processes = {house.p.pid: MONITOR, **house.children()}
        before = {pid: descriptors(pid) for pid in processes}
        for _ in range(8):
            reload(house)

        def more():
            return {processes[pid]: (n, descriptors(pid)) for pid, n in before.items()
                    if descriptors(pid) > n}
        until(lambda: not more(), 20, "closed again")
        assert processes.items() >= house.children().items()


# ---- the judge ----

@pytest.mark.parametrize("fault", range(len(PLANTED) + 1))
def test_a_planted_fault_is_found(fault):
    reports = Reports()
    run = subprocess.run(
        [*arguments(reports.port, leaks=True), "--track-fds=yes", FAULTY,
         *([str(fault)] if fault < len(PLANTED) else [])],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=PATIENCE_S)
    text, = reports.finish()
    found = faults_of(text, descriptors=True)
    if fault == len(PLANTED):
        assert (run.returncode, found) == (0, []), text
    else:
        assert len(found) >= 1 and re.search(PLANTED[fault], text), (found, text)
