"""restante-front alone, in its cage: the test is its monitor, its auth, its log and its keepers."""
import array
import fcntl
import ipaddress
import mmap
import os
import select
import socket
import struct
import subprocess
import time

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-front")
SHIM = os.path.abspath(os.path.join(BUILD, "tests/fault/liblmtpd_shim.so"))
READY, FRONT_SETUP, FRONT_OPTIONS, FRONT_LISTENER, FRONT_TLS = 0x01, 0x10, 0x11, 0x12, 0x13
FRONT_CERTIFICATE, FRONT_KEYS, FRONT_DENY, FRONT_WHO, SESSION_KICK = 0x1D, 0x1E, 0x1F, 0x70, 0x71
FRONT_TLS_TAKEN = 0x72
CHALLENGE, RESPONSE, LOGIN_LOST, AUTH_OFFER, STAMP_ASK, STAMP = 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E
PASS, PLAIN, MECHANISM_LOGIN, CRAM_MD5, SCRAM_SHA_256, SCRAM_SHA_256_PLUS = 1, 2, 3, 4, 7, 8
EXTERNAL, APOP, KPOP = 9, 13, 14
ALL = 0xFFFFFFFF
WHO_ROW = 320
FRONT_AUTH, FRONT_PEERS, FRONT_DRAIN, SESSION_ATTACHED = 0x14, 0x15, 0x16, 0x18
SESSION_REFUSED, FRONT_FULL, FRONTS_FULL, LISTENER_GONE = 0x19, 0x1A, 0x1B, 0x1C
LOGIN, LOGIN_FAILED, SNAPSHOT, REFUSED, WANT, SLICES = 0x24, 0x25, 0x40, 0x41, 0x42, 0x43
SNAPSHOT_SMALL = 0x4C
FETCH, FETCHED, SEEN, VERDICT, DONE, YIELD = 0x44, 0x45, 0x46, 0x47, 0x48, 0x49
FILE, SEALED, PIECES, GONE, UNREADABLE = 1, 2, 3, 4, 5
READ, DELETE = 1, 2
COUNTERS = [line.split("(")[1].split(",")[0] for line in
            open(os.path.join(os.path.dirname(__file__), "../../src/stat/counters.def"),
                 encoding="ascii") if line.startswith("COUNTER(")]
F_ADD_SEALS, SEALS, SHRINK = 1033, 15, 2
PEERS_OCTETS = 65536 * 16
SECONDS = 60


def octets(b):
    return struct.pack("<H", len(b)) + b


class Fields:
    """What stands in a message, in order."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        size = struct.calcsize("<" + form)
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += size
        return values if len(values) > 1 else values[0]

    def octets(self):
        n = self.take("H")
        self.at += n
        assert self.at <= len(self.data)
        return self.data[self.at - n:self.at]

    def end(self):
        assert self.at == len(self.data), "%d octets left" % (len(self.data) - self.at)


class Asked:
    """A LOGIN."""

    def __init__(self, fields):
        self.session, self.mechanism, self.tls = fields.take("QBB")
        self.address, self.port = fields.octets(), fields.take("H")
        self.name, self.response = fields.octets(), fields.octets()
        self.has_response, self.id, self.listener, self.connection, self.utf8 = fields.take("BIIQB")
        self.binding_kind, self.binding = fields.take("B"), fields.octets()
        self.certificate = fields.octets()


def network(text):
    """17 octets: "10.0.0.0/8", "2001:db8::/32"."""
    net = ipaddress.ip_network(text)
    if net.version == 4:
        return bytes(10) + b"\xff\xff" + net.network_address.packed + bytes([96 + net.prefixlen])
    return net.network_address.packed + bytes([net.prefixlen])


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

    def open_small(self, table=None, rights=READ | DELETE, fds=()):
        """The table in the message itself, as keepers send it of small maildrops."""
        table = snapshot([len(wire(m)) for m in self.messages]) if table is None else table
        send(self.sock, struct.pack("<HB", SNAPSHOT_SMALL, rights) + octets(table), list(fds))

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
        return struct.unpack("<IQIB", self.next(FETCH))[:3]

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
    def __init__(self, tmp_path, sessions=100, nofile=None, tls=None, options=None, listen=True, fail=None):
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
        self.tell(struct.pack("<HQIIII", FRONT_SETUP, 7, 0, 1, uid, sessions) +
                  octets(b"Restante"),
                  [os.open(empty, os.O_RDONLY | os.O_DIRECTORY)])
        self.options(**(options or {}))
        self.listeners, self.ports, self.keepers, self.lost = [], [], [], []
        if tls:
            self.tls(*tls)
        if listen:
            self.listen()
        self.auth = None
        self.new_auth()
        if tls:
            assert self.tls_taken() == (1, 1)
        data, _ = receive(self.monitor)
        number, self.cage = struct.unpack("<HI", data)
        assert number == READY

    def tell(self, message, fds=()):
        send(self.monitor, message, list(fds))

    def options(self, idle=600, login=120, bad=20, failures=3, per_address=500,
                last=0, seen=0, hostname=b"mail.example"):
        self.tell(struct.pack("<HIIIIIIIBBB", FRONT_OPTIONS, idle, login, bad, failures,
                              per_address, 0xFFFFFFFF, 0, last, seen, 1) + octets(b"en") +
                  octets(hostname))

    def listen(self, implicit=0, plaintext=2, kpop=0, apop=0, asserts=0, certificates=0, profile=0,
               mechanisms=ALL, proxies=(), xclients=(), old_tls=()):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(4096)
        sock.setblocking(False)  # as the monitor hands them over
        self.listeners.append(sock)
        self.ports.append(sock.getsockname()[1])
        self.tell(struct.pack("<HIBB", FRONT_LISTENER, len(self.ports), implicit, plaintext) + octets(b"l") +
                  struct.pack("<BBBBBI", kpop, apop, asserts, certificates, profile, mechanisms) +
                  b"".join(octets(b"".join(map(network, nets))) for nets in (proxies, xclients, old_tls)),
                  [os.dup(sock.fileno())])
        return self.ports[-1]

    def tls(self, certificate, key):
        self.tell(struct.pack("<HIB", FRONT_TLS, 1, 1) + octets(b""))
        self.tell(struct.pack("<HIBBB", FRONT_CERTIFICATE, 1, 0, 1, 0), [sealed(certificate), sealed(key)])

    def tls_taken(self):
        """Of which generation it says so, and whether it has taken it."""
        number, *said = struct.unpack("<HIB", receive(self.monitor)[0])
        assert number == FRONT_TLS_TAKEN
        return tuple(said)

    def deny(self, *networks):
        rows = sorted(map(network, networks))
        self.tell(struct.pack("<HI", FRONT_DENY, len(rows)), [sealed(b"".join(rows))])

    def show_who(self, rows=4):
        fd = memory(rows * WHO_ROW)
        self.who_map = mmap.mmap(fd, rows * WHO_ROW)
        self.tell(struct.pack("<H", FRONT_WHO), [fd])

    def who_row(self, at):
        """As restante-control does: what is being written is read again."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            row = self.who_map[at:at + WHO_ROW]
            if row[0] % 2 == 0 and row[:4] == self.who_map[at:at + 4]:
                return row
        raise AssertionError(f"row at {at} is being written for {SECONDS} s")

    def who(self):
        """The rows in use: (user, session, retrieved, marked, octets, messages)."""
        rows = []
        for at in range(0, len(self.who_map), WHO_ROW):
            row = self.who_row(at)
            _, used, mechanism, tls, user_n = struct.unpack_from("<IBBBB", row)
            session, _, octets_out, messages, retrieved, marked = \
                struct.unpack_from("<QQQIII", row, 8)
            user = row[128:128 + user_n]
            if used:
                rows.append((user, session, retrieved, marked, octets_out, messages, mechanism, tls))
            else:
                assert not any(row[4:])
        return rows

    def kick(self, session):
        self.tell(struct.pack("<HQ", SESSION_KICK, session))

    def offer(self, mechanisms=ALL, expire=0xFFFFFFFF, expire_differs=0, delay=0, delay_differs=0):
        send(self.auth, struct.pack("<HIIBIB", AUTH_OFFER, mechanisms, expire, expire_differs, delay,
                                    delay_differs))

    def new_auth(self):
        if self.auth:
            self.auth.close()
        self.auth, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQ", FRONT_AUTH, 1), [os.dup(theirs.fileno())])
        theirs.close()
        self.offer()

    def client(self, greet=True, port=None):
        return Client(port or self.ports[0], greet)

    def heard(self):
        """The next message to auth: its number and what follows."""
        data, fds = receive(self.auth)
        assert data and not fds
        return struct.unpack_from("<H", data)[0], Fields(data[2:])

    def asked(self):
        """The next LOGIN, whole. What was lost before it is kept aside."""
        number, fields = self.heard()
        while number == LOGIN_LOST:
            self.lost.append(fields.take("QIB"))
            fields.end()
            number, fields = self.heard()
        assert number == LOGIN, hex(number)
        asked = Asked(fields)
        fields.end()
        return asked

    def login(self):
        """The next LOGIN: its session number, name and response."""
        asked = self.asked()
        return asked.session, asked.name, asked.response

    def response(self):
        """The next RESPONSE: session, cancelled, octets."""
        number, fields = self.heard()
        assert number == RESPONSE, hex(number)
        answer = (*fields.take("QB"), fields.octets())
        fields.end()
        return answer

    def challenge(self, session, text):
        send(self.auth, struct.pack("<HQ", CHALLENGE, session) + octets(text))

    def fail(self, session, code=1, delay_ms=0):
        send(self.auth, struct.pack("<HQBI", LOGIN_FAILED, session, code, delay_ms))

    def attach(self, session, user=b"tester", expire=0xFFFFFFFF, delay=0):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tell(struct.pack("<HQII", SESSION_ATTACHED, session, expire, delay) + octets(user),
                  [os.dup(theirs.fileno())])
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


