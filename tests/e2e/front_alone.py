"""restante-front alone, in its cage: the test is its monitor, its auth, its log and its keepers."""
import array
import fcntl
import mmap
import os
import select
import socket
import struct
import subprocess
import time

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-front")
READY, FRONT_SETUP, FRONT_OPTIONS, FRONT_LISTENER, FRONT_TLS = 0x01, 0x10, 0x11, 0x12, 0x13
FRONT_AUTH, FRONT_PEERS, FRONT_DRAIN, SESSION_ATTACHED = 0x14, 0x15, 0x16, 0x18
SESSION_REFUSED, FRONT_FULL, FRONTS_FULL, LISTENER_GONE = 0x19, 0x1A, 0x1B, 0x1C
LOGIN, LOGIN_FAILED, SNAPSHOT, REFUSED, WANT, SLICES = 0x24, 0x25, 0x40, 0x41, 0x42, 0x43
FETCH, FETCHED, SEEN, VERDICT, DONE, YIELD = 0x44, 0x45, 0x46, 0x47, 0x48, 0x49
FILE, SEALED, PIECES, GONE, UNREADABLE = 1, 2, 3, 4, 5
READ, DELETE = 1, 2
COUNTERS = [line.split("(")[1].split(",")[0] for line in
            open(os.path.join(os.path.dirname(__file__), "../../src/stat/counters.def"),
                 encoding="ascii") if line.startswith("COUNTER(")]
F_ADD_SEALS, SEALS, SHRINK = 1033, 15, 2
PEERS_OCTETS = 65536 * 16
SECONDS = 20


def octets(b):
    return struct.pack("<H", len(b)) + b


def sealed(data, seals=SEALS):
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    while data:
        data = data[os.write(fd, data):]
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def memory(n):
    fd = os.memfd_create("memory", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, n)
    fcntl.fcntl(fd, F_ADD_SEALS, SHRINK)
    return fd


def wire(message):
    """As RETR sends it, without stuffing."""
    if not message:
        return b""
    lines = message.replace(b"\r\n", b"\n")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def stuffed(message):
    return b"".join(b"." + line if line.startswith(b".") else line
                    for line in wire(message).splitlines(keepends=True)) + b".\r\n"


def snapshot(sizes, uidls=None, total=None):
    rows, at = [], 0
    names = uidls or [b"u%d" % (i + 1) for i in range(len(sizes))]
    for size, name in zip(sizes, names):
        rows.append(struct.pack("<QIHH", size, at, len(name), 0))
        at += len(name)
    total = sum(sizes) if total is None else total
    head = struct.pack("<QIIQQ", 0x31304E5354534552, 1, len(sizes), total, at)
    return head + b"".join(rows) + b"".join(names)


def receive(sock, seconds=SECONDS):
    ready, _, _ = select.select([sock], [], [], seconds)
    assert ready, "nothing came in time"
    data, ancillary, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
    fds = array.array("i")
    for level, kind, payload in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(payload[:len(payload) - len(payload) % 4])
    return data, list(fds)


def send(sock, message, fds=()):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([message], ancillary)
    for fd in fds:
        os.close(fd)


def readable(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])


class Client:
    """The network's side."""

    def __init__(self, port, greet=True):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.data = b""
        if greet:
            assert self.line().startswith(b"+OK")

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

    def take(self, n):
        while len(self.data) < n:
            assert self.more(), "closed after %d octets of %d" % (len(self.data), n)
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def ask(self, text):
        self.send(text + b"\r\n")
        return self.line()

    def rest(self):
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        rest, self.data = self.data, b""
        return rest

    def close(self):
        self.sock.close()


class Keeper:
    """The keeper's end of one session; messages are octets as stored."""

    def __init__(self, sock, messages=(), tmp_path=None):
        self.sock = sock
        self.messages = list(messages)
        self.tmp_path = tmp_path
        self.kinds = {}

    def open(self, rights=READ | DELETE, table=None, count=None, fd=None):
        sizes = [len(wire(m)) for m in self.messages]
        table = snapshot(sizes) if table is None else table
        count = len(sizes) if count is None else count
        total = struct.unpack_from("<Q", table, 16)[0] if len(table) >= 24 else 0
        send(self.sock, struct.pack("<HBIQ", SNAPSHOT, rights, count, total),
             [sealed(table) if fd is None else fd])

    def refuse(self, code, holder=b"", since=0):
        send(self.sock, struct.pack("<HB", REFUSED, code) + octets(holder) + struct.pack("<QB", since, 0))

    def next(self, number, seconds=SECONDS):
        data, fds = receive(self.sock, seconds)
        assert data, "the front closed the channel"
        assert struct.unpack_from("<H", data)[0] == number and not fds
        return data[2:]

    def want(self):
        payload = self.next(WANT)
        n = struct.unpack_from("<H", payload)[0]
        return list(struct.unpack_from("<%dI" % (n // 4), payload, 2))

    def row(self, msgno, kind=FILE, length=None, size=None, offset=0):
        body = self.messages[msgno - 1] if msgno <= len(self.messages) else b""
        length = len(body) if length is None else length
        size = len(wire(body)) if size is None else size
        return struct.pack("<IBBQQQ", msgno, kind, 0, offset, length, size)

    def file(self, msgno, mode=os.O_RDONLY):
        path = self.tmp_path / ("m%d" % msgno)
        path.write_bytes(self.messages[msgno - 1])
        return os.open(path, mode)

    def slices(self, rows, fds=()):
        send(self.sock, struct.pack("<H", SLICES) + octets(b"".join(rows)), list(fds))

    def serve_want(self):
        """Answers one WANT by `kinds` (FILE unless said otherwise); the numbers asked for."""
        numbers = self.want()
        rows, fds = [], []
        for msgno in numbers:
            kind = self.kinds.get(msgno, FILE)
            rows.append(self.row(msgno, kind))
            if kind == FILE:
                fds.append(self.file(msgno))
            if kind == SEALED:
                fds.append(sealed(self.messages[msgno - 1]))
        self.slices(rows, fds)
        return numbers

    def fetch(self):
        return struct.unpack("<IQI", self.next(FETCH))

    def fetched(self, msgno, offset, length, error=0, data=None):
        data = self.messages[msgno - 1][offset:offset + length] if data is None else data
        send(self.sock, struct.pack("<HIQIB", FETCHED, msgno, offset, length, error),
             [] if error else [sealed(data)])

    def verdict(self):
        """All its pieces: the message numbers that are marked."""
        marked = []
        while True:
            payload = self.next(VERDICT)
            first, last, n = struct.unpack_from("<IBH", payload)
            marks = payload[7:]
            assert len(marks) == n
            marked += [first + i for i in range(8 * n) if marks[i // 8] >> (i % 8) & 1]
            if last:
                return marked

    def done(self, outcome=1, removed=0, remain=0):
        send(self.sock, struct.pack("<HBII", DONE, outcome, removed, remain))

    def is_closed(self, seconds=SECONDS):
        return readable(self.sock, seconds) and self.sock.recv(65536) == b""


class Front:
    def __init__(self, tmp_path, sessions=100, nofile=None, tls=None, options=None, listen=True):
        self.tmp_path = tmp_path
        self.monitor, monitor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log, log = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        page = memory(4096)
        self.counters = mmap.mmap(page, 4096)
        high = [os.dup2(fd, 200 + i) for i, fd in
                enumerate((monitor.fileno(), log.fileno(), page))]
        limit = "ulimit -n %d; " % nofile if nofile else ""
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", limit + "exec " + PROGRAM],
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
        self.tell(struct.pack("<HQIIII", FRONT_SETUP, 7, 0, 1, uid, sessions) +
                  octets(b"mail.example") + octets(b"Restante"),
                  [os.open(empty, os.O_RDONLY | os.O_DIRECTORY)])
        self.options(**(options or {}))
        self.listeners, self.ports, self.keepers = [], [], []
        if tls:
            self.tls(*tls)
        if listen:
            self.listen()
        self.auth = None
        self.new_auth()
        data, _ = receive(self.monitor)
        number, self.cage = struct.unpack("<HI", data)
        assert number == READY

    def tell(self, message, fds=()):
        send(self.monitor, message, list(fds))

    def options(self, idle=600, login=120, bad=20, failures=3, delay_ms=0, per_address=500,
                last=0, seen=0):
        self.tell(struct.pack("<HIIIIIIIIBBB", FRONT_OPTIONS, idle, login, bad, failures, delay_ms,
                              per_address, 0xFFFFFFFF, 0, last, seen, 0))

    def listen(self, implicit=0, plaintext=2):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(4096)
        sock.setblocking(False)  # as the monitor hands them over
        self.listeners.append(sock)
        self.ports.append(sock.getsockname()[1])
        self.tell(struct.pack("<HIBB", FRONT_LISTENER, len(self.ports), implicit, plaintext) + octets(b"l"),
                  [os.dup(sock.fileno())])
        return self.ports[-1]

    def tls(self, certificate, key):
        self.tell(struct.pack("<HI", FRONT_TLS, 1) + octets(b""), [sealed(certificate), sealed(key)])

    def new_auth(self):
        if self.auth:
            self.auth.close()
        self.auth, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQ", FRONT_AUTH, 1), [os.dup(theirs.fileno())])
        theirs.close()

    def client(self, greet=True, port=None):
        return Client(port or self.ports[0], greet)

    def login(self):
        """The next LOGIN: its session number, name and response."""
        data, _ = receive(self.auth)
        number, session, _, _ = struct.unpack_from("<HQBB", data)
        assert number == LOGIN
        fields, at = [], 12
        for skip in (2, 0, 0):
            n = struct.unpack_from("<H", data, at)[0]
            fields.append(data[at + 2:at + 2 + n])
            at += 2 + n + skip
        assert at == len(data)
        return session, fields[1], fields[2]

    def fail(self, session, code=1):
        send(self.auth, struct.pack("<HQB", LOGIN_FAILED, session, code))

    def attach(self, session):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQ", SESSION_ATTACHED, session), [os.dup(theirs.fileno())])
        theirs.close()
        return ours

    def session(self, messages, rights=READ | DELETE, client=None):
        """A client that is logged in, and its keeper."""
        client = client or self.client()
        client.send(b"USER tester\r\nPASS secret\r\n")
        session, name, response = self.login()
        assert (name, response) == (b"tester", b"secret")
        keeper = Keeper(self.attach(session), messages, self.tmp_path)
        self.keepers.append(keeper)
        keeper.open(rights)
        assert client.line().startswith(b"+OK")
        assert client.line().startswith(b"+OK")
        return client, keeper

    def count(self, name):
        return struct.unpack_from("<Q", self.counters, 8 * COUNTERS.index(name))[0]

    def wait_count(self, name, at_least, seconds=SECONDS):
        deadline = time.monotonic() + seconds
        while self.count(name) < at_least:
            assert time.monotonic() < deadline, "%s is %d" % (name, self.count(name))
            select.select([], [], [], 0.005)

    def wait_gone(self, name, value=0, seconds=SECONDS):
        deadline = time.monotonic() + seconds
        while self.count(name) != value:
            assert time.monotonic() < deadline, "%s is %d" % (name, self.count(name))
            select.select([], [], [], 0.005)

    def logged(self):
        """The records that came so far, as text."""
        lines = []
        while readable(self.log, 0):
            data = self.log.recv(65536)
            if not data:
                break
            lines.append(data)
        return lines

    def ends(self, seconds=SECONDS):
        return self.process.wait(seconds)

    def close(self):
        self.monitor.close()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        for sock in self.listeners + [self.auth, self.log]:
            sock.close()


