"""restante-lmtpd alone, in its cage: the test is its monitor, its auth, its log and its keepers."""
import fcntl
import ipaddress
import mmap
import os
import select
import socket
import struct
import subprocess
import threading
import time

from front_alone import COUNTERS, SECONDS, SHIM, memory, octets, readable, receive, send

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-lmtpd")
READY, FRONT_AUTH, FRONT_DRAIN, SESSION_ATTACHED = 0x01, 0x14, 0x16, 0x18
SESSION_REFUSED, LISTENER_GONE, LOOKUP, LOOKUP_FAILED = 0x19, 0x1C, 0x27, 0x28
REFUSED, DEPOSIT, DEPOSITED, LOG_RECORD = 0x41, 0x4A, 0x4B, 0x52
LMTP_SETUP, LMTP_LISTENER, SPOOL_ASK, SPOOL_FILE = 0x60, 0x61, 0x62, 0x63
TEMPORARY, PERMANENT, BUSY, NO_USER = 2, 3, 6, 8
DONE, FAILED, FULL, NO_SPACE, TOO_LARGE, CLOSED, DENIED = 1, 2, 3, 4, 5, 6, 7
F_GET_SEALS, SEALS = 1034, 15
LOOKUP_S = 30


def fields(data, at, n):
    """The next n BYTES, and nothing behind them."""
    out = []
    for _ in range(n):
        size = struct.unpack_from("<H", data, at)[0]
        out.append(data[at + 2:at + 2 + size])
        at += 2 + size
    assert at == len(data)
    return out


def network(text):
    """A row of LMTP_SETUP.networks."""
    net = ipaddress.ip_network(text)
    if net.version == 6:
        return net.network_address.packed + bytes([net.prefixlen])
    return bytes(10) + b"\xff\xff" + net.network_address.packed + bytes([96 + net.prefixlen])


class Mta:
    """The network's side."""

    def __init__(self, at, greet=True):
        family = socket.AF_UNIX if isinstance(at, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(SECONDS)
        self.sock.connect(at if isinstance(at, str) else ("127.0.0.1", at))
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        if greet:
            self.expect(b"220")
            self.send(b"LHLO test.example\r\n")
            while self.line()[3:4] == b"-":
                pass

    def send(self, text):
        self.sock.sendall(text)

    def more(self):
        got = self.sock.recv(262144)
        self.data += got
        return bool(got)

    def line(self):
        while b"\r\n" not in self.data:
            assert self.more(), "closed after %r" % self.data
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def expect(self, *starts):
        """The next replies begin like this; the last one is returned."""
        line = b""
        for start in starts:
            line = self.line()
            assert line.startswith(start), (line, start)
        return line

    def ask(self, text, *starts):
        self.send(text + b"\r\n")
        return self.expect(*starts)

    def begin(self, lmtpd, *recipients, sender=b"from@example.org"):
        """A transaction up to the 354; the keepers of its recipients."""
        self.send(b"MAIL FROM:<%s>\r\n" % sender +
                  b"".join(b"RCPT TO:<%s>\r\n" % r for r in recipients) + b"DATA\r\n")
        keepers = lmtpd.accept(*recipients)
        self.expect(b"250", *[b"250 2.1.5"] * len(recipients), b"354")
        return keepers

    def is_silent(self):
        return not self.data and not readable(self.sock, 0.05)

    def is_closed(self):
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        return not self.data

    def close(self):
        self.sock.close()


class Keeper:
    """The keeper's end of one recipient."""

    def __init__(self, sock):
        self.sock = sock
        self.fd = None

    def deposit(self, seconds=SECONDS):
        """Sender, recipient and octets; the descriptor is kept in `fd`."""
        data, fds = receive(self.sock, seconds)
        assert data, "the way was closed"
        number, length = struct.unpack_from("<HQ", data)
        assert number == DEPOSIT and len(fds) == 1
        self.fd = fds[0]
        sender, recipient = fields(data, 10, 2)
        body = bytearray()
        while len(body) < length:
            body += os.pread(self.fd, length - len(body), len(body))
        assert os.fstat(self.fd).st_size == length
        return sender, recipient, bytes(body)

    def is_sealed(self):
        return fcntl.fcntl(self.fd, F_GET_SEALS) & SEALS == SEALS

    def answer(self, outcome=DONE):
        send(self.sock, struct.pack("<HB", DEPOSITED, outcome))

    def refuse(self, code):
        send(self.sock, struct.pack("<HB", REFUSED, code) + octets(b"") + struct.pack("<QB", 0, 0))

    def is_closed(self, seconds=SECONDS):
        return readable(self.sock, seconds) and self.sock.recv(65536) == b""

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        self.sock.close()


class Lmtpd:
    def __init__(self, tmp_path, connections=50, recipients=100, timeout=300, message_max=64 << 20,
                 spool_memory=65536, spool_total=64 << 20, networks=(), nofile=None, auth=True, fail=None,
                 keep_bare=True):
        self.tmp_path = tmp_path
        self.monitor, monitor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log, log = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        page = memory(4096)
        self.counters = mmap.mmap(page, 4096)
        high = [os.dup2(fd, 200 + i) for i, fd in
                enumerate((monitor.fileno(), log.fileno(), page))]
        limit = "ulimit -n %d; " % nofile if nofile else ""
        shim = "env LD_PRELOAD=%s LMTPD_FAIL=%s " % (SHIM, fail) if fail else ""
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", limit + "exec " + shim + PROGRAM],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=lambda: ([os.dup2(fd, 3 + i) for i, fd in enumerate(high)],
                                os.closerange(6, 256)))
        for fd in high + [page]:
            os.close(fd)
        monitor.close()
        log.close()
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        uid = 65532 if os.geteuid() == 0 else 0
        self.tell(struct.pack("<HQIIIIQQQB", LMTP_SETUP, 7, uid, connections, recipients, timeout,
                              message_max, spool_memory, spool_total, keep_bare) +
                  octets(b"".join(map(network, networks))) + octets(b"mail.example"),
                  [os.open(empty, os.O_RDONLY | os.O_DIRECTORY)])
        self.ports, self.keepers, self.mtas, self.listeners, self.records = [], [], [], [], []
        self.listen()
        self.auth = None
        if auth:
            self.new_auth()
        data, _ = receive(self.monitor)
        number, self.cage = struct.unpack("<HI", data)
        assert number == READY

    def tell(self, message, fds=()):
        send(self.monitor, message, list(fds))

    def listen(self, host="127.0.0.1", path=None):
        sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        sock.bind(path or (host, 0))
        sock.listen(256)
        sock.setblocking(False)  # as the monitor hands them over
        if not path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listeners.append(sock)
        self.ports.append(path or sock.getsockname()[1])
        self.tell(struct.pack("<HIB", LMTP_LISTENER, len(self.ports), bool(path)) + octets(b"l"),
                  [os.dup(sock.fileno())])
        return self.ports[-1]

    def new_auth(self):
        if self.auth:
            self.auth.close()
        self.auth, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQ", FRONT_AUTH, 1), [os.dup(theirs.fileno())])
        theirs.close()

    def mta(self, greet=True, at=None):
        self.mtas.append(Mta(at or self.ports[0], greet))
        return self.mtas[-1]

    def lookup(self, name=None):
        """The next LOOKUP: its session number."""
        data, _ = receive(self.auth)
        number, session = struct.unpack_from("<HQ", data)
        assert number == LOOKUP
        asked = fields(data, 10, 1)[0]
        assert name is None or asked == name, asked
        return session

    def no_lookup(self):
        return not readable(self.auth, 0.05)

    def fail(self, session, code=NO_USER):
        send(self.auth, struct.pack("<HQB", LOOKUP_FAILED, session, code))

    def refuse(self, session, code):
        self.tell(struct.pack("<HQB", SESSION_REFUSED, session, code))

    def attach(self, session):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQII", SESSION_ATTACHED, session, 0xFFFFFFFF, 0) + octets(b"anna"),
                  [os.dup(theirs.fileno())])
        theirs.close()
        self.keepers.append(Keeper(ours))
        return self.keepers[-1]

    def accept(self, *names):
        return [self.attach(self.lookup(name)) for name in names]

    def file_asked(self):
        data, _ = receive(self.monitor)
        number, session = struct.unpack("<HQ", data)
        assert number == SPOOL_ASK
        return session

    def file(self, session, error=0):
        """Answers SPOOL_ASK with a file as the monitor opens it, or with an error."""
        fds = []
        if not error:
            write = os.open(self.tmp_path, os.O_TMPFILE | os.O_WRONLY, 0o600)
            fds = [write, os.open("/proc/self/fd/%d" % write, os.O_RDONLY)]
        self.tell(struct.pack("<HQI", SPOOL_FILE, session, error), fds)

    def drain(self, seconds=60):
        self.tell(struct.pack("<HI", FRONT_DRAIN, seconds))

    def count(self, name):
        return struct.unpack_from("<Q", self.counters, 8 * COUNTERS.index(name))[0]

    def wait_count(self, name, value, seconds=SECONDS):
        deadline = time.monotonic() + seconds
        while self.count(name) != value:
            assert time.monotonic() < deadline, "%s is %d" % (name, self.count(name))
            time.sleep(0.002)

    def record(self, event):
        """The next log record of this event, as a dictionary."""
        while True:
            data, _ = receive(self.log)
            assert data, "no record of %s" % event
            assert struct.unpack_from("<H", data)[0] == LOG_RECORD
            name, pairs = fields(data, 3, 2)
            if name.decode() == event:
                break
        found, at = {}, 0
        while at < len(pairs):
            key = pairs[at + 1:at + 1 + pairs[at]].decode()
            at += 1 + pairs[at]
            n = struct.unpack_from("<H", pairs, at)[0]
            found[key] = pairs[at + 2:at + 2 + n]
            at += 2 + n
        return found

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def ends(self, status=0):
        assert self.process.wait(SECONDS) == status
        return True

    def close(self):
        for thing in self.mtas + self.keepers:
            thing.close()
        self.monitor.close()
        if self.auth:
            self.auth.close()
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.log.close()
        for sock in self.listeners:
            sock.close()
        self.counters.close()
        assert status == 0, status


class Neighbours(threading.Thread):
    """Auth, monitor and keepers that answer by themselves: no to names with "no" in them, yes to
    all others; `deposits` is what they were given."""

    def __init__(self, lmtpd):
        super().__init__(daemon=True)
        self.lmtpd, self.deposits, self.ended, self.held = lmtpd, [], threading.Event(), {}
        self.start()

    def run(self):
        while not self.ended.is_set():
            for sock in select.select([self.lmtpd.auth, *self.held], [], [], 0.02)[0]:
                if sock is self.lmtpd.auth:
                    self.look_up()
                else:
                    self.take(sock)

    def look_up(self):
        data, _ = receive(self.lmtpd.auth)
        session, name = struct.unpack_from("<Q", data, 2)[0], fields(data, 10, 1)[0]
        if b"no" in name:
            self.lmtpd.fail(session)
        else:
            keeper = self.lmtpd.attach(session)
            self.lmtpd.keepers.remove(keeper)
            self.held[keeper.sock] = keeper

    def take(self, sock):
        keeper = self.held.pop(sock)
        if sock.recv(1, socket.MSG_PEEK):
            self.deposits.append(keeper.deposit())
            keeper.answer()
        keeper.close()

    def end(self):
        self.ended.set()
        self.join()
        for keeper in self.held.values():
            keeper.close()
