"""restante-control alone: the test plays the monitor over its channel."""

import array
import json
import mmap
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("RESTANTE_BUILD", os.path.join(ROOT, "build"))
DEADLINE = 60

CONTROL_SETUP, STAT_SOURCE, CONTROL, READY = 0x54, 0x55, 0x56, 0x01
AUTH_CONTROL, WHY_ANSWER = 0x59, 0x5B
NO_ANSWER_BEFORE_S = 4.0


def counters():
    text = open(os.path.join(ROOT, "src/stat/counters.def")).read()
    return re.findall(r"^COUNTER\(\w+, (\w+), (STAT_\w+)", text, re.M)


NAMES = [name for name, _ in counters()]


class Page:
    """One process's counters."""

    def __init__(self, pid, index, program):
        self.pid, self.index, self.program = pid, index, program
        self.fd = os.memfd_create("stat")
        os.ftruncate(self.fd, 8 * len(NAMES))
        self.map = mmap.mmap(self.fd, 8 * len(NAMES))

    def set(self, name, value):
        struct.pack_into("<Q", self.map, 8 * NAMES.index(name), value)

    def message(self, gone):
        return struct.pack("<HIIB", STAT_SOURCE, self.pid, self.index, gone) + bytes_field(self.program)


def bytes_field(data):
    """BYTES as ipc/message.c writes it: a length of 16 bits and the octets."""
    return struct.pack("<H", len(data)) + data


class Office:
    def __init__(self, directory, files=None):
        self.directory = str(directory)
        self.path = os.path.join(self.directory, "control")
        self.operators = socket.socket(socket.AF_UNIX)
        self.operators.bind(self.path)
        self.operators.listen(64)
        self.scrapers = socket.create_server(("127.0.0.1", 0))
        self.port = self.scrapers.getsockname()[1]
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log, their_log = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.own = Page(0, 0, b"control")
        self.process = spawn([theirs.fileno(), their_log.fileno(), self.own.fd], files)
        theirs.close()
        their_log.close()
        self.channel.settimeout(DEADLINE)
        empty = os.path.join(self.directory, "empty")
        os.mkdir(empty)
        fd = os.open(empty, os.O_RDONLY | os.O_DIRECTORY)
        uid = 65532 if os.getuid() == 0 else 0
        self.send(struct.pack("<HII", CONTROL_SETUP, uid, os.getuid()),
                  [fd, self.operators.fileno(), self.scrapers.fileno()])
        os.close(fd)
        assert self.channel.recv(64)[:2] == struct.pack("<H", READY)

    def send(self, message, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.channel.sendmsg([message], rights)

    def add(self, page):
        self.send(page.message(0), [page.fd])

    def gone(self, page):
        self.send(page.message(1))

    def ask(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect(self.path)
            s.sendall(line)
            return everything(s)

    def scrape(self, request):
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as s:
            s.sendall(request)
            return everything(s)

    def total(self, name):
        found = re.search(rb"^%s (\d+)$" % name.encode(), self.ask(b"stat\n"), re.M)
        return int(found.group(1))

    def wait_for(self, name, value):
        end = time.monotonic() + DEADLINE
        while self.total(name) != value:
            assert time.monotonic() < end, f"{name} never became {value}"

    def stop(self):
        self.channel.close()
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def everything(s):
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got


def spawn(fds, files=None):
    """Descriptors 3, 4 and 5 as the monitor gives them; 0 to 2 are /dev/null."""
    def place():
        high = [os.dup2(fd, 50 + i, inheritable=False) for i, fd in enumerate(fds)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    return subprocess.Popen([os.path.join(BUILD, "restante-control")], preexec_fn=place,
                            close_fds=False, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def office(tmp_path):
    o = Office(tmp_path)
    yield o
    if o.process.returncode is None:
        assert o.stop() == 0


def test_counters_live_on_and_gauges_do_not(office):
    front = Page(1001, 0, b"restante-front")
    front.set("logins_total", 5)
    front.set("sessions", 2)
    office.add(front)
    office.wait_for("logins_total", 5)
    assert office.total("sessions") == 2
    front.set("logins_total", 6)
    office.gone(front)
    office.wait_for("sessions", 0)
    assert office.total("logins_total") == 6

    again = Page(1002, 0, b"restante-front")
    again.set("logins_total", 1)
    office.add(again)
    office.wait_for("logins_total", 7)
    assert b"1002 restante-front 0\n" in office.ask(b"processes\n")
    assert json.loads(office.ask(b"stat json\n").split(b"\n", 1)[1])["total"]["logins_total"] == 7


def test_prometheus(office):
    front = Page(1001, 3, b"restante-front")
    front.set("logins_total", 5)
    office.add(front)
    office.wait_for("logins_total", 5)
    head, body = office.scrape(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.0 200 ")
    assert b"Content-Length: %d" % len(body) in head
    assert b'restante_logins_total{program="restante-front",index="3"} 5\n' in body
    assert body.count(b"# TYPE ") == len(NAMES)
    assert office.ask(b"stat prometheus\n") == b"ok\n" + body
    assert office.scrape(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 404 ")
    assert office.scrape(b"x" * 4096).startswith(b"HTTP/1.0 400 ")


def test_reload_and_drain_reach_the_monitor(office):
    assert office.ask(b"reload\n") == b"ok\n"
    assert office.channel.recv(64) == struct.pack("<HB", CONTROL, 1)
    assert office.ask(b"drain\r\n") == b"ok\n"
    assert office.channel.recv(64) == struct.pack("<HB", CONTROL, 2)
    assert office.ask(b"dance\n").startswith(b"error: unknown command")
    assert office.ask(b"x" * 1280).startswith(b"error: unknown command")


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_strangers_are_refused(office):
    os.chmod(office.directory, 0o711)
    os.chmod(office.path, 0o666)
    stranger = ("import os,socket,sys\nos.chdir(sys.argv[1])\nos.setuid(65533)\n"
                "s=socket.socket(socket.AF_UNIX)\ns.connect('control')\n"
                "print(s.recv(200).decode())")
    out = subprocess.run(["/usr/bin/python3", "-c", stranger, office.directory],
                         capture_output=True, text=True, timeout=DEADLINE)
    assert out.stdout.startswith("error: only root"), out.stderr
    assert office.ask(b"stat\n").startswith(b"ok\n")


def test_silent_connections_end_and_others_wait_their_turn(office):
    began = time.monotonic()
    idle = [socket.create_connection(("127.0.0.1", office.port), DEADLINE) for _ in range(33)]
    assert office.ask(b"stat\n").startswith(b"ok\n")  # the operator is not kept out
    assert office.scrape(b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 ")
    assert time.monotonic() - began > NO_ANSWER_BEFORE_S
    for s in idle:
        s.close()


def test_who_stops_waiting_for_auth_is_forgotten(office):
    """As `restante why` at Ctrl-C: his place is free again, and he costs no time."""
    auth, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    auth.settimeout(DEADLINE)
    with auth, theirs:
        office.send(struct.pack("<H", AUTH_CONTROL), [theirs.fileno()])
        for _ in range(32):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(office.path)
                s.sendall(b"why login %032x yes 1 anna\n" % 1)
                auth.recv(4096)
        begun = time.monotonic()
        assert office.ask(b"stat\n").startswith(b"ok\n")
        assert time.monotonic() - begun < 20  # auth has 30 for its answer
        # Who only stops sending still hears it.
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect(office.path)
            s.sendall(b"why id 1\n")
            question = auth.recv(4096)[2:6]
            s.shutdown(socket.SHUT_WR)
            auth.send(struct.pack("<H", WHY_ANSWER) + question + b"\1" + bytes_field(b""))
            assert everything(s) == b"ok\n"


def test_without_descriptors_it_waits(tmp_path):
    o = Office(tmp_path, files=20)

    def waits():
        text = open(f"/proc/{o.process.pid}/status").read()
        return int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", text)[1])
    silent = [socket.socket(socket.AF_UNIX) for _ in range(24)]  # fewer than there are places
    for s in silent:
        s.connect(o.path)
    begun, deadline = waits(), time.monotonic() + DEADLINE
    while waits() < begun + 20:  # who turns in circles never waits
        assert time.monotonic() < deadline
    for s in silent:
        s.close()
    assert o.ask(b"stat\n").startswith(b"ok\n")
    assert o.stop() == 0


def test_bad_messages_are_counted_and_survived(office):
    office.add(office.own)
    office.send(b"\xff\xff")
    office.send(struct.pack("<HIIB", STAT_SOURCE, 1, 0, 0) + bytes_field(b"x" * 40))
    office.wait_for("protocol_faults_total", 2)
    small = Page(7, 0, b"small")
    os.ftruncate(small.fd, 8)
    office.add(small)
    office.send(Page(8, 0, b'"quoted"').message(0), [office.own.fd])
    late = Page(9, 0, b"late")
    late.set("scans_total", 1)
    office.add(late)
    office.wait_for("scans_total", 1)
    assert b"small" not in office.ask(b"processes\n")


def test_it_ends_with_the_monitor(office):
    assert office.stop() == 0


def test_the_face(office):
    face = os.path.join(BUILD, "restante")

    def run(*words):
        return subprocess.run([face, *words], capture_output=True, text=True, timeout=60)

    page = Page(1001, 0, b"keeper")
    page.set("scans_total", 3)
    office.add(page)
    office.wait_for("scans_total", 3)
    out = run("stat", "--socket", office.path)
    assert out.returncode == 0 and "scans_total 3\n" in out.stdout
    assert json.loads(run("stat", "--json", "--socket", office.path).stdout)["total"]["scans_total"] == 3
    assert "# TYPE " in run("stat", "--prometheus", "--socket", office.path).stdout
    assert run("stat", "--socket", office.path + "x").returncode == 69
    assert run("reload", "--socket", office.path).returncode == 0
    assert run("drian").returncode == 64
    assert "did you mean 'drain'" in run("drian").stderr
    conf = os.path.join(office.directory, "conf")
    with open(conf, "w") as f:
        f.write(f"control_socket = {office.path}\nidle_timeout = 11m\n\n"
                "[listener near]\naddress = 127.0.0.1:1110\nplaintext = always\n")
    assert run("conf", "get", "idle_timeout", "-c", conf).stdout == "11m\n"
    assert "scans_total 3\n" in run("stat", "-c", conf).stdout
    assert run("conf", "get", "near.address", "-c", conf).stdout == "127.0.0.1:1110\n"
    assert run("conf", "get", "far.address", "-c", conf).returncode == 64
    assert "idle_timeout = 11m\n" in run("conf", "list", "-c", conf).stdout
    wrong = run("conf", "get", "idle_timeuot", "-c", conf)
    assert wrong.returncode == 64 and "did you mean 'idle_timeout'" in wrong.stderr
    assert run("conf", "get", "idle_timeout", "-c", conf + "x").returncode == 78
