"""What comes over the network, at its worst: lines, floods, silence, TLS that is none."""
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from fault_house import (BUILD, FaultHouse, TlsClient, cut_after, make_certificate,
                         open_many, pss_kib, rests, timed_session, until)
from house import Client, status

pytestmark = pytest.mark.root
SANITIZED = b"__asan_init" in (BUILD / "restante-front").read_bytes()
SMALL = b"Subject: 1\n\nhello\n"
FIVE_MIB = b"Subject: 5\n\n" + (b"x" * 62 + b"\r\n") * (5 * 16384)
COMMANDS = 10_000
SERVED_S = 20  # behind what hangs, nobody would be served for ever


@pytest.fixture(scope="module")
def house(house_dir):
    users = {n: ("secret", 5000 + i, [SMALL, SMALL * 2, SMALL * 3])
             for i, n in enumerate(("anna", "bert", "carl"))}
    users["slow"] = users["deaf"] = ("secret", 5011, [FIVE_MIB])
    with FaultHouse(house_dir("input"), users, {
            "login_timeout": "2s", "idle_timeout": "2s", "connections_per_address": 500},
            tls=True) as h:
        # What a front uses once stays with it: buffers are measured when they are warm.
        for _ in range(8):
            timed_session(h.port, "slow")
        yield h


# ---- lines ----------------------------------------------------------------------

@pytest.mark.parametrize("octets", [511, 1000, 8192, 100_000, 1 << 20])
def test_a_line_that_is_too_long_is_answered_once(house, octets):
    c = house.login("anna")
    try:
        c.s.sendall(b"NOOP " + b"x" * octets + b"\r\n")
        said = c.f.readline()
        assert said == b"" or said.startswith(b"-ERR"), said
        if said and octets <= 8192:
            # It was thrown away to its end: the next line is a command again.
            assert c.say("STAT").startswith(b"+OK 3 ")
    finally:
        c.close()


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_mebibyte_without_an_end_of_line(house, logged_in):
    before = pss_kib(house.fronts())
    c = house.login("anna") if logged_in else house.client()
    try:
        try:
            c.s.sendall(b"x" * (1 << 20))
        except ConnectionError:
            return
        # Nobody keeps it: it ends by the flood's limit or by its time-out.
        grown = pss_kib(house.fronts()) - before
        assert SANITIZED or grown < 1024, f"{grown} KiB"
        assert cut_after(c.s, 60) < 30
    finally:
        c.close()
    assert timed_session(house.port, "bert") < SERVED_S


@pytest.mark.parametrize("line", [b"\0\r\n", b"NOOP\0\r\n", b"US\0ER anna\r\n",
                                  b"USER an\0na\r\n", b"\0" * 200 + b"\r\n", b"\xff\xfe\r\n"],
                         ids=["nul", "behind", "in a name", "in an argument", "many", "high"])
def test_nul_and_other_octets_get_an_answer(house, line):
    c = house.client()
    try:
        c.s.sendall(line)
        assert c.f.readline().startswith(b"-ERR")
        assert c.say("CAPA").startswith(b"+OK")
    finally:
        c.close()


def test_nothing_of_a_bad_line_becomes_a_command(house):
    """The rest of a long line is not the next one, however it is cut into packets."""
    c = house.login("anna")
    try:
        c.s.sendall(b"x" * 600 + b" DELE 1")
        c.s.sendall(b" DELE 2\r\n")
        assert c.f.readline().startswith(b"-ERR")
        assert c.say("STAT").startswith(b"+OK 3 ")
    finally:
        c.close()


# ---- many commands -----------------------------------------------------------------

@pytest.mark.parametrize("tls", [False, True])
def test_ten_thousand_commands_in_one_write(house, tls):
    c = TlsClient(house.tls_port) if tls else house.client()
    try:
        assert c.login("carl", "secret").startswith(b"+OK")
        sizes = [line.split()[1] for line in c.multi("LIST")]
        text = b"".join(b"LIST %d\r\n" % (i % 3 + 1) for i in range(COMMANDS))
        c.s.settimeout(60)
        writer = threading.Thread(target=c.s.sendall, args=(text,))
        if tls:
            c.s.sendall(text)  # one TLS socket belongs to one thread
        else:
            writer.start()
        for i in range(COMMANDS):
            want = b"+OK %d %s\r\n" % (i % 3 + 1, sizes[i % 3])
            assert c.f.readline() == want, i
        if not tls:
            writer.join(60)
        assert c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()


def test_ten_thousand_commands_that_nobody_reads_the_answers_of(house):
    """Back pressure: the front stops reading, and cuts the session after idle_timeout."""
    before = pss_kib(house.fronts())
    c = house.login("anna")
    c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.s.settimeout(60)
    sent, cut = 0, False
    try:
        while sent < 64 << 20 and not cut:
            try:
                sent += c.s.send(b"UIDL\r\n" * 10_000)
            except TimeoutError:
                break
            except ConnectionError:
                cut = True
        grown = pss_kib(house.fronts()) - before
        assert cut, f"still there after {sent} octets"
        assert SANITIZED or grown < 1024, f"{grown} KiB"
    finally:
        c.close()
    house.login("anna").close()


def test_a_gibibyte_that_is_not_read(house_dir):
    users = {"huge": ("secret", 5010, [SMALL]), "bert": ("secret", 5011, [SMALL])}
    with FaultHouse(house_dir("huge"), users) as h:
        big = h.box("huge") / "new" / "1600000000.M1.huge,S=1073741824,W=1073741826"
        with big.open("wb") as f:
            f.write(b"Subject: huge\n\n")
            f.truncate(1 << 30)
        os.chown(big, 5010, 5010)
        c = h.login("huge")
        fronts = h.fronts()
        before = pss_kib(fronts)
        c.s.settimeout(60)
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.s.sendall(b"RETR 1\r\n")
        assert c.s.recv(3) == b"+OK"
        rests(fronts, 0.3, 0.5)  # not busy with what nobody reads
        grown = pss_kib(fronts) - before
        assert SANITIZED or grown < 1024, f"{grown} KiB"
        assert timed_session(h.port, "bert") < SERVED_S
        c.close()
        assert until(lambda: _login(h, "huge"), 60, "the maildrop is free again").close() is None


# ---- TLS that is none ----------------------------------------------------------------

def client_hello():
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(inside, outside, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outside.read()


@pytest.mark.parametrize("sent", ["nothing", "half", "one octet", "all but one"])
def test_a_handshake_that_stops_ends_by_login_timeout(house, sent):
    hello = client_hello()
    part = {"nothing": b"", "half": hello[:len(hello) // 2], "one octet": hello[:1],
            "all but one": hello[:-1]}[sent]
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", house.tls_port), 60) as s:
        s.sendall(part)
        cut_after(s, 60)
        assert 1 < time.monotonic() - start < 30


def test_a_handshake_that_comes_octet_by_octet_does_not_last_longer(house):
    hello = client_hello()
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", house.tls_port), 60) as s:
        s.settimeout(0.1)
        for i in range(len(hello) - 1):
            try:
                s.sendall(hello[i:i + 1])
                if not s.recv(10):
                    break
            except TimeoutError:
                pass
            except ConnectionError:
                break
    assert time.monotonic() - start < 25


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.0\r\n\r\n", b"USER anna\r\nPASS secret\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 65535,
    b"\x80\x2e\x01\x00\x02" + b"\xff" * 60, random.Random(1).randbytes(100_000), b"\x17\x03\x03\x00\x00" * 1000],
    ids=["http", "pop3", "long record", "old hello", "noise", "empty records"])
def test_garbage_instead_of_tls(house, garbage):
    fronts = house.fronts()
    with socket.create_connection(("127.0.0.1", house.tls_port), 60) as s:
        try:
            s.sendall(garbage)
        except ConnectionError:
            pass
        assert cut_after(s, 60) < 30
    assert house.fronts() == fronts
    c = TlsClient(house.tls_port)
    assert c.login("anna", "secret").startswith(b"+OK")
    # With QUIT, the lock is free before the answer; the next case logs in at once.
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


def test_stls_and_then_garbage(house):
    c = house.client()
    assert c.say("STLS").startswith(b"+OK")
    c.s.sendall(b"NOOP\r\n" * 100)
    assert cut_after(c.s, 60) < 30
    c.close()


def test_no_login_ends_by_login_timeout_whatever_is_said(house):
    c = house.client()
    start = time.monotonic()
    c.s.settimeout(0.2)
    try:
        while time.monotonic() < start + 40:
            try:
                c.s.sendall(b"CAPA\r\n")
                if not c.s.recv(4096):
                    break
            except TimeoutError:
                pass
            threading.Event().wait(0.05)
    except ConnectionError:
        pass
    finally:
        c.close()
    assert 1 < time.monotonic() - start < 30


# ---- slow ones -------------------------------------------------------------------------

def test_one_octet_at_a_time(house):
    c = house.client()
    try:
        for line in (b"USER bert\r\n", b"PASS secret\r\n", b"UIDL 1\r\n", b"RETR 3\r\n"):
            for i in range(len(line)):
                c.s.sendall(line[i:i + 1])
            assert c.f.readline().startswith(b"+OK")
        while c.f.readline() != b".\r\n":
            pass
        assert c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()


def test_a_slow_reader_is_not_cut_while_it_reads(house):
    """For much longer than idle_timeout, and so slowly that the front can write only now
    and then; then the rest at once."""
    c = house.login("slow")
    try:
        c.s.settimeout(60)
        c.s.sendall(b"RETR 1\r\n")
        got, start = bytearray(), time.monotonic()
        while time.monotonic() < start + 6:
            piece = c.f.read1(8192)
            assert piece, "cut although it reads"
            got += piece
            threading.Event().wait(0.05)
        while not got.endswith(b"\r\n.\r\n"):
            piece = c.f.read1(1 << 20)
            assert piece, "cut although it reads"
            got += piece
        assert got.split(b"\r\n", 1)[1] == FIVE_MIB.replace(b"\r\n", b"\n").replace(
            b"\n", b"\r\n") + b".\r\n"
        assert c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()


def test_a_reader_that_never_reads_is_cut_after_idle_timeout(house):
    mark = len(house.lines)
    c = house.login("deaf")
    try:
        start = time.monotonic()
        c.s.sendall(b"RETR 1\r\n")
        house.wait_for_line(r"event=logout .*user=deaf|user=deaf .*event=logout", 60, mark)
        assert 1 < time.monotonic() - start < 30
    finally:
        c.close()
    house.login("deaf").close()


# ---- many connections --------------------------------------------------------------------

@pytest.fixture(scope="module")
def crowd_house(house_dir):
    users = {n: ("secret", 5000, [SMALL]) for n in ("anna", "bert")}
    with FaultHouse(house_dir("crowd"), users, {"connections_per_address": 300}, tls=True) as h:
        yield h


def test_two_thousand_silent_connections(crowd_house):
    h = crowd_house
    fronts = h.fronts()
    timed_session(h.port, "anna")
    before = pss_kib(fronts)
    targets = [(f"127.0.0.{i % 8 + 1}", (h.port, h.tls_port)[i // 8 % 2]) for i in range(2000)]
    crowd = open_many(targets)
    try:
        def count():
            return sum(len(os.listdir(f"/proc/{p}/fd")) for p in fronts)
        until(lambda: count() >= 2000, 60, "all accepted")
        assert timed_session(h.port, "anna") < SERVED_S
        grown = pss_kib(fronts) - before
        assert SANITIZED or grown < 16 * 1024, f"{grown} KiB"
        rests(fronts, 0.2)
    finally:
        for s in crowd:
            s.close()
    until(lambda: sum(len(os.listdir(f"/proc/{p}/fd")) for p in fronts) < 200, 60, "all released")
    assert h.fronts() == fronts


def greeting_from(port, address):
    s = socket.socket()
    s.settimeout(60)
    s.bind((address, 0))
    s.connect(("127.0.0.1", port))
    return s, s.makefile("rb").readline()


def test_connections_per_address_holds_over_all_fronts(house_dir):
    with FaultHouse(house_dir("limit"), {"anna": ("secret", 5000, [SMALL])},
                    {"connections_per_address": 20, "fronts": 4}) as h:
        held = []
        for _ in range(20):
            s, said = greeting_from(h.port, "127.0.0.9")
            assert said.startswith(b"+OK")
            held.append(s)
        served = sum(1 for p in h.fronts() if len(os.listdir(f"/proc/{p}/fd")) > 12)
        for _ in range(10):
            s, said = greeting_from(h.port, "127.0.0.9")
            assert said.startswith(b"-ERR"), (said, served)
            s.close()
        s, said = greeting_from(h.port, "127.0.0.10")
        assert said.startswith(b"+OK"), "another address is not meant"
        s.close()
        held.pop().close()

        def again():
            s, said = greeting_from(h.port, "127.0.0.9")
            held.append(s)
            return said.startswith(b"+OK")
        until(again, 60, "a place is free again")
        for s in held:
            s.close()
        assert until(lambda: greeting_from(h.port, "127.0.0.9")[1].startswith(b"+OK"), 60)


# ---- no descriptors ------------------------------------------------------------------------

def run_out_of_descriptors(h, is_out):
    """400 connections come. Nothing spins, who waits is served later, and all is well
    afterwards."""
    crowd = open_many([(f"127.0.0.{i % 8 + 1}", h.port) for i in range(400)])
    try:
        fronts = h.fronts()
        until(lambda: is_out(fronts[0]), 60, "full")
        rests([*fronts, h.p.pid], 0.2)
    finally:
        for s in crowd:
            s.close()
    assert until(lambda: served(h), 60, "served again")
    assert h.fronts() == fronts


def served(h):
    try:
        return timed_session(h.port, "anna")
    except (AssertionError, OSError):
        return None


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_front_whose_descriptors_are_taken_away(house_dir):
    with FaultHouse(house_dir("files"), {"anna": ("secret", 5000, [SMALL])},
                    {"fronts": 1, "connections_per_address": 500}) as h:
        [front] = h.fronts()
        uid = status(front)["Uid"].split()[0]
        # As its own user: even root may not everywhere.
        subprocess.run(["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "prlimit",
                        "--pid", str(front), "--nofile=100:100"], check=True)
        run_out_of_descriptors(h, lambda front: descriptors(front) >= 100)
        h.wait_for_line("accept_paused", 60)


def bounded(limit):
    """As in a container: so many descriptors, and nobody may raise that."""
    return ["setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource",
            "prlimit", f"--nofile={limit}:{limit}"]


@pytest.mark.parametrize("fronts", [1, 2])
def test_a_server_that_may_not_have_many_descriptors(house_dir, fronts):
    with FaultHouse(house_dir("few"), {"anna": ("secret", 5000, [SMALL])},
                    {"fronts": fronts, "connections_per_address": 500},
                    prefix=bounded(260)) as h:
        assert served(h)
        run_out_of_descriptors(h, lambda front: descriptors(front) > 30)


def test_too_few_descriptors_are_said_plainly(house_dir):
    with pytest.raises(AssertionError) as e:
        with FaultHouse(house_dir("none"), {"anna": ("secret", 5000, [SMALL])},
                        prefix=bounded(100)):
            pass
    assert "restanted ended" in str(e.value)
    assert "Too many open files" in str(e.value)


# ---- signals -----------------------------------------------------------------------------------

def test_a_broken_configuration_keeps_the_old_one(house_dir):
    with FaultHouse(house_dir("reload"), {"anna": ("secret", 5000, [SMALL])},
                    {"max_bad_commands": 3}, tls=True) as h:
        good = h.conf.read_text()
        mark = len(h.lines)
        h.conf.write_text(good.replace("max_bad_commands = 3", "max_bad_commands = 100000")
                          + "\n[listener x]\ntls = maybe\n[nonsense]\n")
        open_session = h.login("anna")
        h.p.send_signal(signal.SIGHUP)
        h.wait_for_line("the one before stays in force", 60, mark)
        said = "\n".join(h.lines[mark:])
        for word in ("max_bad_commands", "maybe", "nonsense"):
            assert word in said, said
        assert open_session.say("NOOP").startswith(b"+OK")
        open_session.close()
        c = h.client()
        assert [c.say("XXXX")[:4] for _ in range(3)] == [b"-ERR"] * 3
        assert c.rest() == b""
        c.close()
        # A certificate that is none is an error too, and the old one stays.
        h.conf.write_text(good)
        pem = (h.base / "cert.pem").read_bytes()
        (h.base / "cert.pem").write_bytes(b"no certificate\n")
        mark = len(h.lines)
        h.p.send_signal(signal.SIGHUP)
        h.wait_for_line("cert", 60, mark)
        TlsClient(h.tls_port).close()
        (h.base / "cert.pem").write_bytes(pem)


def test_a_new_certificate_is_used_for_the_next_connection(house_dir):
    with FaultHouse(house_dir("cert"), {"anna": ("secret", 5000, [SMALL])}, tls=True) as h:
        old = TlsClient(h.tls_port)
        assert old.login("anna", "secret").startswith(b"+OK")
        first = old.certificate()
        make_certificate(h.base, "new.example")
        mark = len(h.lines)
        h.p.send_signal(signal.SIGHUP)
        h.wait_for_line("is in force", 60, mark)

        def new():
            c = TlsClient(h.tls_port)
            try:
                return c.certificate() != first
            finally:
                c.close()
        until(new, 60, "the new certificate")
        assert all(new() for _ in range(8)), "in every front"
        assert old.say("NOOP").startswith(b"+OK")
        assert old.multi("RETR 1") == [b"Subject: 1\r\n", b"\r\n", b"hello\r\n"]
        assert old.say("QUIT").startswith(b"+OK")
        old.close()


def test_sigterm_lets_sessions_finish(house_dir):
    with FaultHouse(house_dir("drain"), {"anna": ("secret", 5000, [SMALL] * 2)},
                    {"drain_timeout": "60s"}) as h:
        c, idle = h.login("anna"), h.client()
        assert c.say("DELE 1").startswith(b"+OK")
        h.p.send_signal(signal.SIGTERM)
        assert cut_after(idle.s, 60) < 30, "who has not logged in is not waited for"

        def closed():
            try:
                socket.create_connection(("127.0.0.1", h.port), 1).close()
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:
                return False  # it met the close
            return False
        until(closed, 60, "no new connections")
        assert c.multi("RETR 2")
        assert c.say("QUIT").startswith(b"+OK")
        c.close()
        idle.close()
        assert h.p.wait(60) == 0
        assert len(os.listdir(h.box("anna") / "new")) == 1


def test_a_reset_in_the_middle_of_everything(house):
    fronts = house.fronts()
    for line in (b"USER bert\r\nPASS secret\r\n", b"USER bert\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQ",
                 b"USER", b"STLS\r\n", b""):
        s = socket.create_connection(("127.0.0.1", house.port), 60)
        s.sendall(line)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    c = until(lambda: _login(house, "bert"), 60, "the maildrop is free again")
    assert c.say("STAT").startswith(b"+OK 3 ")
    c.close()
    assert house.fronts() == fronts


def _login(house, name):
    c = Client(house.port)
    if c.login(name, "secret").startswith(b"+OK"):
        return c
    c.close()
    return None
