"""restante-keys alone, in its cage, with this test as monitor, fronts and log."""
import array
import fcntl
import mmap
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-keys")
CLOCK_SHIM = os.path.abspath(os.path.join(BUILD, "tests/fault/libclock_shim.so"))
READY, LOG_RECORD = 0x01, 0x52
KEYS_SETUP, KEYS_KEY, KEYS_FRONT, SIGN, SIGNED = 0x90, 0x91, 0x92, 0x93, 0x94
BAD_CONTENT, BAD_SCHEME, NO_KEY, TOO_MANY = 1, 2, 3, 4
BURST, PER_SECOND = 4000, 2000
DEADLINE = 60
F_ADD_SEALS, SEALS = 1033, 0xF
MFD_ALLOW_SEALING = 2

VERIFY = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
EXCHANGE = bytes(range(64)) + b"\x03\x00\x1d\x20" + b"p" * 32

KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
INDEX = {"rsa": 0, "p256": 1, "ed": 2}


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def octets(b):
    return struct.pack("<H", len(b)) + b


def sealed(data, seals=SEALS):
    fd = os.memfd_create("key", MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Counters:
    NAMES = re.findall(r"^COUNTER\(\w+, (\w+),", open(
        os.path.join(ROOT, "src/stat/counters.def")).read(), re.M)

    def __init__(self):
        self.fd = os.memfd_create("stat")
        os.ftruncate(self.fd, max(4096, 8 * len(self.NAMES)))

    def __getitem__(self, name):
        return struct.unpack("<Q", os.pread(self.fd, 8, 8 * self.NAMES.index(name)))[0]


class Keys:
    def __init__(self, tmp_path, env=None):
        kind = socket.SOCK_SEQPACKET
        self.monitor, monitor = socket.socketpair(socket.AF_UNIX, kind)
        self.log, log = socket.socketpair(socket.AF_UNIX, kind)
        self.counters = Counters()
        # High numbers first, so that the three fixed ones do not meet them.
        high = [os.dup2(fd, 200 + i) for i, fd in
                enumerate((monitor.fileno(), log.fileno(), self.counters.fd))]
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False, env=os.environ | (env or {}),
            preexec_fn=lambda: ([os.dup2(fd, 3 + i) for i, fd in enumerate(high)],
                                os.closerange(6, 256)))
        for fd in high:
            os.close(fd)
        monitor.close()
        log.close()
        self.uid = 65531 if os.geteuid() == 0 else 0
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        self.send(struct.pack("<HI", KEYS_SETUP, self.uid),
                  os.open(empty, os.O_RDONLY | os.O_DIRECTORY))
        number, self.cage = struct.unpack("<HI", self.receive(self.monitor))
        assert number == READY
        self.fronts = {}
        self.question = 0

    def send(self, message, fd=-1):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        self.monitor.sendmsg([message], rights)
        if fd >= 0:
            os.close(fd)

    def give(self, name, generation=1, data=None, seals=SEALS):
        self.send(struct.pack("<HIB", KEYS_KEY, generation, INDEX[name]),
                  sealed(pem(KEYS[name]) if data is None else data, seals))

    def front(self, incarnation):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(struct.pack("<HQB", KEYS_FRONT, incarnation, 0), os.dup(theirs.fileno()))
        theirs.close()
        self.fronts[incarnation] = mine

    def gone(self, incarnation):
        self.send(struct.pack("<HQB", KEYS_FRONT, incarnation, 1))

    def receive(self, sock, seconds=DEADLINE):
        assert select.select([sock], [], [], seconds)[0], "nothing came in time"
        return sock.recv(65536)

    def message(self, name, scheme, content, generation=1):
        self.question += 1
        return struct.pack("<HIIBH", SIGN, self.question, generation, INDEX[name],
                           scheme) + octets(content)

    def answer(self, front):
        """(question, error, signature), or None where the channel has ended."""
        message = self.receive(self.fronts[front])
        if not message:
            return None
        number, question, error, n = struct.unpack_from("<HIBH", message)
        assert number == SIGNED and len(message) == 9 + n
        return question, error, message[9:]

    def sign(self, name, scheme, content, generation=1, front=1):
        self.fronts[front].send(self.message(name, scheme, content, generation))
        question, error, signature = self.answer(front)
        assert question == self.question
        assert bool(error) != bool(signature)
        return error or signature

    def event(self, wanted):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            record = self.receive(self.log)
            if wanted.encode() in record:
                return record
        raise AssertionError(f"no record of {wanted}")

    def status(self, field):
        text = open(f"/proc/{self.process.pid}/status").read()
        return re.search(rf"^{field}:[ \t]*(.*)$", text, re.M).group(1)

    def close(self):
        self.monitor.close()
        assert self.process.wait(DEADLINE) == 0
        self.log.close()
        os.close(self.counters.fd)
        for f in self.fronts.values():
            f.close()


@pytest.fixture
def keys(tmp_path):
    k = Keys(tmp_path)
    for name in KEYS:
        k.give(name)
    k.front(1)
    yield k
    k.close()


def test_signatures_are_good(keys):
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    public = {name: key.public_key() for name, key in KEYS.items()}
    verify = VERIFY + b"h" * 48
    public["rsa"].verify(keys.sign("rsa", 0x0804, verify), verify, pss, hashes.SHA256())
    public["p256"].verify(keys.sign("p256", 0x0403, verify), verify, ec.ECDSA(hashes.SHA256()))
    public["ed"].verify(keys.sign("ed", 0x0807, verify), verify)
    public["rsa"].verify(keys.sign("rsa", 0x0401, EXCHANGE), EXCHANGE, padding.PKCS1v15(),
                         hashes.SHA256())
    public["rsa"].verify(keys.sign("rsa", 0x0601, EXCHANGE), EXCHANGE, padding.PKCS1v15(),
                         hashes.SHA512())
    assert keys.counters["signatures_total"] == 5
    assert keys.counters["signatures_legacy_total"] == 0
    public["rsa"].verify(keys.sign("rsa", 0x0201, EXCHANGE), EXCHANGE, padding.PKCS1v15(),
                         hashes.SHA1())
    public["p256"].verify(keys.sign("p256", 0x0203, EXCHANGE), EXCHANGE, ec.ECDSA(hashes.SHA1()))
    assert len(keys.sign("rsa", 0x0001, EXCHANGE)) == 256
    assert keys.counters["signatures_legacy_total"] == 3
    assert keys.counters["signatures_refused_total"] == 0


@pytest.mark.parametrize("content", [
    b"", b"d" * 32, b"d" * 48, b"d" * 64, b"0" * 256, b"x" * 512,
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" + b"d" * 32,
    VERIFY, VERIFY + b"h" * 31, VERIFY + b"h" * 33, VERIFY[:-1] + b"h" * 32,
    VERIFY.replace(b"server", b"client") + b"h" * 32, VERIFY[1:] + b"h" * 32,
    EXCHANGE + b"x", EXCHANGE[:-1], b"r" * 64 + b"\x01" + EXCHANGE[65:],
    b"r" * 64 + b"\x03\x00\x17\x41\x04" + b"p" * 63,
], ids=range(17))
def test_other_content_is_refused(keys, content):
    for name, scheme in (("rsa", 0x0804), ("rsa", 0x0401), ("p256", 0x0403), ("ed", 0x0807)):
        assert keys.sign(name, scheme, content) == BAD_CONTENT
    assert keys.counters["signatures_total"] == 0
    assert keys.counters["signatures_refused_total"] == 4
    assert b"not of a handshake" in keys.event("signature_refused")
    # The front lives on.
    assert len(keys.sign("rsa", 0x0804, VERIFY + b"h" * 32)) == 256


def test_scheme_key_and_generation_must_fit(keys):
    verify = VERIFY + b"h" * 32
    assert keys.sign("rsa", 0x0403, verify) == BAD_SCHEME
    assert keys.sign("rsa", 0x0401, verify) == BAD_SCHEME  # no PKCS1 in TLS 1.3
    assert keys.sign("p256", 0x0503, verify) == BAD_SCHEME  # there the curve has its hash
    assert keys.sign("p256", 0x0804, EXCHANGE) == BAD_SCHEME
    assert keys.sign("rsa", 0xFFFF, EXCHANGE) == BAD_SCHEME
    assert keys.sign("rsa", 0x0804, verify, generation=2) == NO_KEY
    keys.fronts[1].send(struct.pack("<HIIBH", SIGN, 9, 1, 200, 0x0804) + octets(verify))
    assert keys.answer(1)[1] == NO_KEY


def test_two_generations_and_the_one_that_signs(keys):
    verify = VERIFY + b"h" * 32
    keys.give("rsa", 2)
    assert len(keys.sign("rsa", 0x0804, verify, 2)) == 256
    assert len(keys.sign("rsa", 0x0804, verify, 1)) == 256
    for new in (3, 4, 5):  # fronts refuse them all, and go on with what they have
        keys.give("rsa", new)
        assert len(keys.sign("rsa", 0x0804, VERIFY + bytes(32), new)) == 256
        assert len(keys.sign("rsa", 0x0804, verify, 2)) == 256
    assert keys.sign("rsa", 0x0804, verify, 1) == NO_KEY
    keys.give("rsa", 6)
    assert len(keys.sign("rsa", 0x0804, verify, 6)) == 256
    keys.give("rsa", 7)
    keys.give("rsa", 8)
    # Keys and questions come over two channels: a trial with the last one shows that it came.
    assert len(keys.sign("rsa", 0x0804, VERIFY + bytes(32), 8)) == 256
    assert keys.sign("rsa", 0x0804, verify, 2) == NO_KEY
    assert len(keys.sign("rsa", 0x0804, verify, 6)) == 256
    keys.give("rsa", 1)
    assert b"older" in keys.event("key_refused")


@pytest.mark.parametrize("data, seals, words", [
    (b"no key\n", SEALS, b"no private key"),
    (b"", SEALS, b"sealed"),
    (None, 0, b"sealed"),
    (b"x" * 65537, SEALS, b"sealed"),
    (pem(ec.generate_private_key(ec.SECP521R1())), SEALS, b"only RSA"),
], ids=["no_key", "empty", "unsealed", "long", "curve"])
def test_bad_keys_are_told(keys, data, seals, words):
    keys.give("rsa", 4, data, seals)
    assert words in keys.event("key_refused")
    assert keys.sign("rsa", 0x0804, VERIFY + b"h" * 32, 4) == NO_KEY
    assert len(keys.sign("p256", 0x0403, VERIFY + b"h" * 32)) > 60


@pytest.mark.parametrize("message", [
    b"", b"x", struct.pack("<H", SIGN), struct.pack("<HIQ", KEYS_SETUP, 0, 0),
    struct.pack("<HIIBH", SIGN, 1, 1, 0, 0x0804) + octets(b"x" * 513),
    struct.pack("<HIIBH", SIGN, 1, 1, 0, 0x0804) + octets(EXCHANGE) + b"more",
    struct.pack("<HQB", KEYS_FRONT, 2, 1), b"x" * 40000,
], ids=range(8))
def test_nonsense_ends_that_front_alone(keys, message):
    keys.front(2)
    keys.fronts[1].send(message)
    assert keys.answer(1) is None
    assert len(keys.sign("rsa", 0x0804, VERIFY + b"h" * 32, front=2)) == 256
    if message:
        assert keys.counters["protocol_faults_total"] == 1
        assert b"front" in keys.event("bad_message")


def test_nonsense_of_the_monitor_is_counted(keys):
    keys.send(struct.pack("<HI", KEYS_KEY, 1))
    keys.send(struct.pack("<HQB", KEYS_FRONT, 5, 0))  # without a channel
    keys.event("bad_message")
    keys.event("bad_message")
    assert keys.counters["protocol_faults_total"] == 2
    assert len(keys.sign("rsa", 0x0804, VERIFY + b"h" * 32)) == 256


class Clock:
    """What time it is for a process with clock_shim."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 8)
        self.env = {"LD_PRELOAD": CLOCK_SHIM, "CLOCK_SHIM_PAGE": str(path),
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.is_at(1 << 30)

    def is_at(self, ms):
        self.ms = ms
        self.page[:] = struct.pack("<Q", ms)


@pytest.mark.skipif(b"__tsan_init" in open(PROGRAM, "rb").read(),
                    reason="the build for ThreadSanitizer has no programs of the tests")
def test_a_flood_is_limited_and_others_are_not(tmp_path):
    """By a clock that stands still, for a machine may be too slow for a flood."""
    clock = Clock(tmp_path / "clock")
    keys = Keys(tmp_path, clock.env)
    keys.give("ed")
    keys.front(1)
    keys.front(2)
    content = VERIFY + b"h" * 32
    flood = keys.fronts[1]

    def signed(n):
        """How many of n questions at once are answered with a signature."""
        good, asked, answered = 0, 0, 0
        while answered < n:
            while asked < n and asked < answered + 64:
                flood.send(keys.message("ed", 0x0807, content))
                asked += 1
            error = keys.answer(1)[1]
            assert error in (0, TOO_MANY)
            good += error == 0
            answered += 1
        return good
    assert signed(BURST + 100) == BURST
    assert b"too many" in keys.event("signature_refused")
    assert len(keys.sign("ed", 0x0807, content, front=2)) == 64
    clock.is_at(clock.ms + 500)
    assert signed(PER_SECOND) == PER_SECOND // 2
    clock.is_at(clock.ms + 3600 * 1000)
    assert signed(2 * BURST) == BURST
    keys.close()


def test_a_front_that_takes_no_answers_stops_nobody(keys):
    keys.front(2)
    deaf = keys.fronts[1]
    deaf.setblocking(False)
    content = VERIFY + b"h" * 32
    sent, end = 0, time.monotonic() + DEADLINE
    while sent < 2000 and time.monotonic() < end:
        try:
            deaf.send(keys.message("ed", 0x0807, content))
            sent += 1
        except BlockingIOError:
            select.select([], [deaf], [], 0.1)
    assert sent == 2000
    assert len(keys.sign("ed", 0x0807, content, front=2)) == 64
    # It may listen again.
    end, last = time.monotonic() + DEADLINE, 0
    while last < keys.question and time.monotonic() < end:
        if select.select([deaf], [], [], 0.1)[0]:
            last = keys.answer(1)[0]
        elif select.select([], [deaf], [], 0)[1]:
            deaf.send(keys.message("ed", 0x0807, content))
    assert last == keys.question


def test_a_front_that_is_gone_is_closed(keys):
    keys.gone(1)
    assert keys.answer(1) is None
    keys.gone(1)
    keys.front(3)
    assert len(keys.sign("ed", 0x0807, VERIFY + b"h" * 32, front=3)) == 64


def test_the_cage_and_what_is_open(keys):
    keys.sign("ed", 0x0807, VERIFY + b"h" * 32)
    assert keys.status("Seccomp") == "2"
    assert keys.status("NoNewPrivs") == "1"
    assert keys.status("Threads") == "1"
    if os.geteuid() == 0:
        assert keys.status("Uid").split() == [str(keys.uid)] * 4
        assert keys.status("Groups").strip() == ""
        # As far as the limit allows: the heap of private numbers at least.
        if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] >= 8 << 20:
            assert int(keys.status("VmLck").split()[0]) >= 4096
        assert int(keys.status("CapPrm"), 16) == 0
    # Not dumpable: what is below /proc is root's.
    assert os.stat(f"/proc/{keys.process.pid}/mem").st_uid == 0
    if os.geteuid() == 0:
        links = [os.readlink(f"/proc/{keys.process.pid}/fd/{n}")
                 for n in os.listdir(f"/proc/{keys.process.pid}/fd")]
        assert not [name for name in links if name.startswith("/") and
                    name != "/dev/null" and not name.startswith("/memfd:")], links


def test_killed_and_back(tmp_path, keys):
    keys.process.send_signal(signal.SIGKILL)
    keys.process.wait(DEADLINE)
    assert keys.answer(1) is None
    again = Keys(tmp_path)
    again.give("ed", 8)
    again.front(1)
    assert len(again.sign("ed", 0x0807, VERIFY + b"h" * 32, 8)) == 64
    again.close()
    keys.process = subprocess.Popen(["/bin/true"])  # for the end of the fixture
