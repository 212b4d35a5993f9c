"""A helper of auth alone, in its cage, with the test as monitor, auth and log.

    h = Helper("sql", {"sql_database": "sqlite:/x/users.db"}, timeout_ms=2000)
    h.verify(b"bob", b"secret")      an Answer: outcome, line, name, octets, valid_s, reason
    h.done()                         its exit status
"""
import array
import collections
import os
import select
import socket
import struct
import subprocess
import tempfile
import time

BUILD = os.environ.get("RESTANTE_BUILD", "build")
READY, LOG_RECORD, HELPER_SETUP, ASK, ANSWER, HELPER_CHANNEL = 0x01, 0x52, 0x80, 0x81, 0x82, 0x83
BACKENDS = {"pam": 2, "sql": 3, "ldap": 4, "command": 5, "oauth": 6, "krb5": 7}
LOOKUP, VERIFY, TOKEN, STEP, END = 1, 2, 3, 4, 5
FOUND, NO_USER, WRONG, TEMPORARY, CHALLENGE, NAME = 1, 2, 3, 4, 5, 6
PASS, PLAIN, GSSAPI, OAUTHBEARER, XOAUTH2, KPOP = 1, 2, 10, 11, 12, 14
ADDRESS = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
STAT_PAGE = 4096
# Parts of a cage, os/sandbox.h.
CHROOT, USER, NO_NEW_PRIVS, LANDLOCK, SECCOMP = 1, 2, 4, 8, 16
NOBODY = 65533

Answer = collections.namedtuple("Answer", "question outcome valid_s name line octets reason")


def octets(b):
    return struct.pack("<H", len(b)) + b


def settings_of(options):
    return b"".join(b"%s\0%s\0" % (k.encode(), v if isinstance(v, bytes) else str(v).encode())
                    for k, v in options.items())


class Failed(Exception):
    """The helper ended before it was ready; the text says why."""


class Helper:
    def __init__(self, name, options, timeout_ms=60000, hostname=b"mail.example.org", uid=None,
                 environment=None):
        self.name, self.question, self.lines, self.waiting = name, 0, [], {}
        self.timeout = timeout_ms / 1000
        kind = socket.SOCK_SEQPACKET
        self.monitor, monitor = socket.socketpair(socket.AF_UNIX, kind)
        self.log, log = socket.socketpair(socket.AF_UNIX, kind)
        self.auth = None
        self.page = os.memfd_create("stat")
        os.ftruncate(self.page, STAT_PAGE)
        # High numbers first, so that the three fixed ones do not meet them.
        high = [os.dup2(fd, 200 + i) for i, fd in
                enumerate((monitor.fileno(), log.fileno(), self.page))]
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "restante-auth-" + name)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, env=environment,
            preexec_fn=lambda: ([os.dup2(fd, 3 + i) for i, fd in enumerate(high)],
                                os.closerange(6, 256)))
        for fd in high:
            os.close(fd)
        monitor.close()
        log.close()
        if uid is None:
            uid = NOBODY if os.geteuid() == 0 else 0
        with tempfile.TemporaryDirectory() as empty:
            self.tell(struct.pack("<HBIIII", HELPER_SETUP, BACKENDS[name], 1, uid, uid, timeout_ms) +
                      octets(hostname) + octets(settings_of(options)),
                      os.open(empty, os.O_RDONLY | os.O_DIRECTORY))
            try:
                ready = self.receive(self.monitor, 60)
            except ConnectionResetError:
                ready = b""
        if not ready:
            text = str(self.log_line("start_failed"))
            self.done()
            raise Failed(text)
        number, self.cage = struct.unpack("<HI", ready)
        assert number == READY
        self.new_channel()

    def tell(self, message, fd=-1):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        self.monitor.sendmsg([message], ancillary)
        if fd >= 0:
            os.close(fd)

    def new_channel(self):
        """As if auth had been started anew."""
        if self.auth:
            self.auth.close()
        self.auth, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)  # as the monitor makes them
        self.tell(struct.pack("<H", HELPER_CHANNEL), os.dup(theirs.fileno()))
        theirs.close()

    def receive(self, sock, seconds):
        ready, _, _ = select.select([sock], [], [], seconds)
        assert ready, "nothing came in time"
        return sock.recv(65536)

    def send_ask(self, kind, name=b"", secret=b"", mechanism=PASS, talk=0, address=ADDRESS):
        """Asks, and returns the question's number."""
        self.question += 1
        self.auth.send(struct.pack("<HQBBQ", ASK, self.question, kind, mechanism, talk) +
                       octets(name) + octets(secret) + octets(address))
        return self.question

    def answer(self, question, seconds=None):
        """The answer to this question; others that come before it are kept for their turn."""
        deadline = time.monotonic() + (seconds or self.timeout + 60)
        while question not in self.waiting:
            a = self.read_answer(self.receive(self.auth, max(0, deadline - time.monotonic())))
            self.waiting[a.question] = a
        return self.waiting.pop(question)

    def read_answer(self, message):
        assert message, "the helper closed the channel"
        number, question, outcome, valid_s = struct.unpack_from("<HQBI", message)
        assert number == ANSWER
        at, fields = struct.calcsize("<HQBI"), []
        for _ in range(4):
            n, = struct.unpack_from("<H", message, at)
            fields.append(message[at + 2:at + 2 + n])
            at += 2 + n
        assert at == len(message)
        return Answer(question, outcome, valid_s, *fields)

    def ask(self, kind, name=b"", secret=b"", mechanism=PASS, talk=0, address=ADDRESS, seconds=None):
        return self.answer(self.send_ask(kind, name, secret, mechanism, talk, address), seconds)

    def lookup(self, name):
        return self.ask(LOOKUP, name)

    def verify(self, name, password):
        return self.ask(VERIFY, name, password)

    def token(self, name, token, mechanism=OAUTHBEARER):
        return self.ask(TOKEN, name, token, mechanism)

    def step(self, talk, data, name=b"", mechanism=GSSAPI):
        return self.ask(STEP, name, data, mechanism, talk)

    def end(self, talk, mechanism=GSSAPI):
        """There is no answer."""
        self.send_ask(END, mechanism=mechanism, talk=talk)

    def log_line(self, event, seconds=60):
        """The pairs of the next record of this event."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read_log(self.receive(self.log, max(0, deadline - time.monotonic())))
            if self.lines[-1][0] == event:
                return self.lines[-1][1]
        raise AssertionError("no such log line")

    def logged(self):
        """All records so far: (event, pairs)."""
        while select.select([self.log], [], [], 0)[0]:
            record = self.log.recv(65536)
            if not record:
                break
            self.read_log(record)
        return self.lines

    def read_log(self, record):
        assert record, "the helper has ended"
        number, _, n = struct.unpack_from("<HBH", record)
        assert number == LOG_RECORD
        name, pairs, at = record[5:5 + n], {}, 5 + n + 2
        while at < len(record):
            k = record[at]
            key = record[at + 1:at + 1 + k].decode()
            v, = struct.unpack_from("<H", record, at + 1 + k)
            pairs[key] = record[at + 3 + k:at + 3 + k + v]
            at += 3 + k + v
        self.lines.append((name.decode(), pairs))

    def counter(self, name):
        text = open(os.path.join(os.path.dirname(__file__), "../../src/stat/counters.def")).read()
        names = [line.split("(")[1].split(",")[0] for line in text.splitlines()
                 if line.startswith("COUNTER(")]
        return struct.unpack_from("<Q", os.pread(self.page, STAT_PAGE, 0), 8 * names.index(name))[0]

    def done(self):
        """Ends it as the monitor does, by closing the channel; its exit status."""
        self.monitor.close()
        if self.auth:
            self.auth.close()
        try:
            code = self.process.wait(self.timeout + 10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.close()
        os.close(self.page)
        return code
