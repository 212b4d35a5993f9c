"""The front against an outside that the test plays: order, limits, and hostile neighbours."""
import os
import select
import socket
import ssl
import struct
import subprocess
import time

import pytest

import front_alone as fa
from front_alone import (DELETE, FILE, GONE, PIECES, READ, SEALED, SECONDS, UNREADABLE, Client, Front,
                         Keeper, readable, receive, sealed, send, snapshot, stuffed, wire)
from postoffice import ahead

TEMPORARY, IN_USE = 2, 4


@pytest.fixture(name="make")
def fixture_make(tmp_path):
    made = []

    def make(**arguments):
        made.append(Front(tmp_path, **arguments))
        return made[-1]

    yield make
    for front in made:
        front.close()


@pytest.fixture(name="front")
def fixture_front(make):
    return make()


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", str(path / "key"), "-out", str(path / "cert"), "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    return (path / "cert").read_bytes(), (path / "key").read_bytes(), str(path / "cert")


def open_files(front):
    return len(os.listdir("/proc/%d/fd" % front.process.pid))


def cpu_seconds(front):
    fields = open("/proc/%d/stat" % front.process.pid, encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask_retr(client, msgno):
    client.send(b"RETR %d\r\n" % msgno)


def expect_message(client, message):
    assert client.line() == b"+OK %d octets" % len(wire(message))
    assert client.take(len(stuffed(message))) == stuffed(message)


MAIL = [b"From: a\n\n.dot\nhello\n", b"", b"Subject: y\r\n\r\nlast", b"z" * 300000 + b"\n"]


# ---- one session -----------------------------------------------------------------------

@pytest.mark.parametrize("kind", [FILE, SEALED, PIECES])
def test_every_kind_of_slice(front, kind):
    client, keeper = front.session(MAIL)
    keeper.kinds = {n: kind for n in range(1, 5)}
    held = []
    for msgno, message in enumerate(MAIL, 1):
        ask_retr(client, msgno)
        if msgno not in held:
            held += keeper.serve_want()
        if kind == PIECES and message:
            keeper.fetched(*keeper.fetch())
        expect_message(client, message)
    # Two in a row, then the rest ahead.
    assert held == [1, 2, 3, 4]
    assert client.ask(b"QUIT").startswith(b"+OK")
    assert keeper.is_closed()


def test_a_whole_session_in_one_write(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nDELE 2\r\n"
                b"NOOP\r\nQUIT\r\n")
    session, _, _ = front.login()
    keeper = Keeper(front.attach(session), MAIL, front.tmp_path)
    keeper.open()
    assert keeper.serve_want() == [1, 2, 3, 4]
    assert keeper.verdict() == [2]
    keeper.done(1, 1, 0)
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"+OK")
    assert client.line() == b"+OK 4 %d" % sum(len(wire(m)) for m in MAIL)
    for message in MAIL[:3]:
        expect_message(client, message)
    rest = client.rest().split(b"\r\n")
    assert [line[:3] for line in rest] == [b"+OK"] * 3 + [b""]


def test_without_marks_the_lock_is_free_before_the_answer(front):
    client, keeper = front.session(MAIL)
    assert client.ask(b"QUIT").startswith(b"+OK")
    assert keeper.is_closed(0)


def test_a_client_that_vanishes_deletes_nothing(front):
    client, keeper = front.session(MAIL)
    assert client.ask(b"DELE 1").startswith(b"+OK")
    client.close()
    assert keeper.is_closed()
    client, keeper = front.session(MAIL)
    assert client.ask(b"DELE 1").startswith(b"+OK")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert keeper.is_closed()
    front.wait_gone("SESSIONS")


def test_a_verdict_larger_than_a_message(front):
    count = 300000
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    keeper = Keeper(front.attach(session))
    keeper.open(table=snapshot([7] * count), count=count)
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"+OK")
    for msgno in (1, 262144, 262145, 300000):
        assert client.ask(b"DELE %d" % msgno).startswith(b"+OK")
    client.send(b"QUIT\r\n")
    assert keeper.verdict() == [1, 262144, 262145, 300000]
    keeper.done(2, 3, 1)
    assert client.rest().startswith(b"-ERR")


def test_a_keeper_that_dies_within_the_verdict(front):
    client, keeper = front.session(MAIL)
    assert client.ask(b"DELE 1").startswith(b"+OK")
    client.send(b"QUIT\r\n")
    assert keeper.verdict() == [1]
    keeper.sock.close()
    assert client.rest().startswith(b"-ERR")


def test_the_verdict_is_waited_for_when_the_client_has_gone(front):
    client, keeper = front.session(MAIL)
    client.send(b"DELE 1\r\nQUIT\r\n")
    assert keeper.verdict() == [1]
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert not keeper.is_closed(0.3)
    keeper.done(1, 1, 0)
    assert keeper.is_closed()
    front.wait_gone("SESSIONS")
    assert any(b"deleted\x01\x001" in line for line in front.logged())


def test_a_keeper_that_dies_ends_its_session_only(front):
    client, keeper = front.session(MAIL)
    other, _ = front.session(MAIL)
    ask_retr(client, 1)
    assert keeper.want() == [1]
    keeper.sock.close()
    assert client.rest().startswith(b"-ERR [SYS/TEMP]")
    assert other.ask(b"NOOP").startswith(b"+OK")


def test_gone_and_unreadable_messages(front):
    client, keeper = front.session(MAIL)
    keeper.kinds = {1: GONE, 2: UNREADABLE}
    for msgno in (1, 2):
        ask_retr(client, msgno)
        keeper.serve_want()
        assert client.line().startswith(b"-ERR")
    assert client.ask(b"NOOP").startswith(b"+OK")


def test_a_file_that_shrinks_is_cut(front):
    message = b"line of a message\n" * 200000
    client, keeper = front.session([message])
    ask_retr(client, 1)
    keeper.want()
    fd = keeper.file(1)
    keeper.slices([keeper.row(1)], [fd])
    # The socket is full before the message is sent: now the file loses its end.
    front.wait_count("COMMANDS", 3)
    select.select([client.sock], [], [], SECONDS)
    os.truncate(front.tmp_path / "m1", 1000)
    got = client.rest()
    assert not got.endswith(b"\r\n.\r\n")
    assert keeper.is_closed()


def test_a_file_that_was_shortened_before_its_first_octet_is_cut(front):
    """It was handed over whole, ahead: nobody broke the rules."""
    messages = [b"message %d\n" % i * 10 for i in range(40)]
    client, keeper = front.session(messages)
    for msgno in range(1, 4):
        ask_retr(client, msgno)
        if msgno < 3:
            keeper.serve_want()
        expect_message(client, messages[msgno - 1])
    os.truncate(front.tmp_path / "m20", 20)
    ask_retr(client, 20)
    got = client.rest()
    assert got.startswith(b"+OK") and not got.endswith(b"\r\n.\r\n")
    assert keeper.is_closed()
    front.wait_gone("SESSIONS")
    assert any(b"file-changed" in line for line in front.logged())
    assert front.count("PROTOCOL_FAULTS") == 0


def test_a_slice_beyond_its_file_is_cut(front):
    client, keeper = front.session(MAIL)
    ask_retr(client, 1)
    keeper.want()
    keeper.slices([keeper.row(1, length=1000, size=1000)], [keeper.file(1)])
    assert not client.rest().endswith(b"\r\n.\r\n")
    assert keeper.is_closed()


def test_a_size_that_lies_is_cut(front):
    client, keeper = front.session([b"one\ntwo\n"])
    ask_retr(client, 1)
    keeper.want()
    keeper.slices([keeper.row(1, size=9)], [keeper.file(1)])
    got = client.rest()
    assert got.startswith(b"+OK 9 octets\r\n") and not got.endswith(b".\r\n")


def test_seen_is_told_after_the_message(make):
    front = make(options={"seen": 1})
    client, keeper = front.session(MAIL[:3])
    client.send(b"RETR 1\r\nTOP 2 0\r\nRETR 3\r\nQUIT\r\n")
    assert keeper.serve_want() == [1, 2, 3]
    assert struct.unpack("<I", keeper.next(fa.SEEN)) == (1,)
    assert struct.unpack("<I", keeper.next(fa.SEEN)) == (3,)
    assert keeper.is_closed()
    assert client.rest().endswith(b"\r\n")


def test_messages_out_of_order_are_not_asked_ahead(front):
    messages = [b"message %d\n" % i for i in range(100)]
    client, keeper = front.session(messages)
    for msgno in (50, 3, 99, 7, 8):
        ask_retr(client, msgno)
        assert keeper.serve_want()[0] == msgno
        expect_message(client, messages[msgno - 1])
    ask_retr(client, 9)
    assert keeper.serve_want() == list(range(9, 41))
    expect_message(client, messages[8])
    before = open_files(front)
    ask_retr(client, 20)
    expect_message(client, messages[19])
    assert open_files(front) < before
    client.close()
    assert keeper.is_closed()


def test_a_message_asked_for_again_is_asked_for_alone(front):
    """And what is held ahead stays."""
    messages = [b"message %d\n" % i for i in range(40)]
    client, keeper = front.session(messages)
    for msgno in range(1, 4):
        ask_retr(client, msgno)
        if msgno < 3:
            assert keeper.serve_want() == ([1] if msgno == 1 else list(range(2, 34)))
        expect_message(client, messages[msgno - 1])
    for _ in range(3):
        client.send(b"TOP 3 0\r\n")
        assert keeper.serve_want() == [3]
        while client.line() != b".":
            pass
    before = open_files(front)
    for msgno in range(4, 10):
        ask_retr(client, msgno)
        expect_message(client, messages[msgno - 1])
    assert open_files(front) == before - 6
    assert not readable(keeper.sock, 0)


def test_a_message_asked_for_again_where_no_more_can_be_held(front):
    messages = [b"message %d\n" % i for i in range(150)]
    client, keeper = front.session(messages)
    numbers = list(range(1, 49)) + [48]
    client.send(b"".join(b"RETR %d\r\n" % n for n in numbers) + b"NOOP\r\n" * 64)
    assert keeper.serve_want() == list(range(1, 65))
    assert keeper.serve_want() == list(range(65, 113))
    assert keeper.serve_want() == [48]
    assert keeper.serve_want() == list(range(49, 81))
    for msgno in numbers:
        expect_message(client, messages[msgno - 1])
    assert [client.line()[:3] for _ in range(64)] == [b"+OK"] * 64


def answers(client, keeper, requests):
    """Reads the answers to so many; all the numbers that the keeper is asked for meanwhile."""
    asked = []
    while requests:
        ready = select.select([client.sock, keeper.sock], [], [], SECONDS)[0]
        assert ready, "neither an answer nor a question"
        if keeper.sock in ready:
            asked += keeper.serve_want()
        if client.sock in ready:
            assert client.more()
        while b"\r\n.\r\n" in client.data:
            client.data = client.data.split(b"\r\n.\r\n", 1)[1]
            requests -= 1
    return asked


@pytest.mark.parametrize("kind", [FILE, SEALED])
@pytest.mark.parametrize("at_once", [1, 2, 80])
def test_a_head_before_each_message(front, at_once, kind):
    """As of clients that look before they take it: two are opened for each, not a window."""
    messages = [b"Subject: %d\n\nbody\n" % i for i in range(40)]
    client, keeper = front.session(messages)
    keeper.kinds = {n: kind for n in range(1, 41)}
    said = [b"%s %d%s\r\n" % (verb, n, args) for n in range(1, 41)
            for verb, args in ((b"TOP", b" 0"), (b"RETR", b""))]
    asked = []
    for i in range(0, len(said), at_once):
        client.send(b"".join(said[i:i + at_once]))
        asked += answers(client, keeper, len(said[i:i + at_once]))
    assert sorted(asked) == sorted(2 * list(range(1, 41)))


# ---- copies in memory ------------------------------------------------------------------

AHEAD_OCTETS = 4 << 20


def test_copies_that_are_held_ahead_are_bounded_in_octets(front):
    """Whatever a client asks for that then reads nothing, or slowly."""
    size = 1 << 20
    messages = [(b"%07d\r\n" % i).ljust(size - 2, b"x") + b"\r\n" for i in range(64)]
    client, keeper = front.session(messages)
    keeper.kinds = {n: SEALED for n in range(1, 65)}
    client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, 65)))
    most, asked, before = AHEAD_OCTETS // size, 0, open_files(front)
    for done, message in enumerate(messages):
        while asked <= done or readable(keeper.sock, 0):
            numbers = keeper.serve_want()
            assert len(numbers) <= most
            asked += len(numbers)
        # One more of them is being sent.
        assert open_files(front) - before <= most + 1
        expect_message(client, message)
    assert asked == 64


def test_one_copy_larger_than_the_bound(front):
    messages = [b"x" * (AHEAD_OCTETS + 8) + b"\r\n"] * 2 + [b"small\r\n"] * 3
    client, keeper = front.session(messages)
    keeper.kinds = {n: SEALED for n in range(1, 6)}
    client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, 6)))
    for numbers in ([1], [2], [3, 4, 5]):
        assert keeper.serve_want() == numbers
        for n in numbers:
            expect_message(client, messages[n - 1])


@pytest.mark.parametrize("kind,octets,first", [(SEALED, 8192, 64), (FILE, 8192, 64), (FILE, 1 << 20, 4)])
def test_small_copies_and_files_have_the_whole_window(front, kind, octets, first):
    """Of large ones it is not known that they are files, until one came."""
    messages = [b"x" * (octets - 2) + b"\r\n"] * 64
    client, keeper = front.session(messages)
    keeper.kinds = {n: kind for n in range(1, 65)}
    client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, 65)))
    assert keeper.serve_want() == list(range(1, first + 1))
    if first < 64:
        assert keeper.serve_want() == list(range(first + 1, 65))
    for message in messages:
        expect_message(client, message)


@pytest.mark.parametrize("said,wants", [
    (b"RETR 1\r\nNOOP\r\n", [[1, 2]]),
    (b"RETR 60\r\nRETR 61\r\nTOP 62 1\r\n", [[60, 61, 62]]),
    (b"RETR 99\r\n" + b"NOOP\r\n" * 8, [[99, 100]]),
    (b"RETR 5\r\nRETR 50\r\nNOOP\r\n", [[5, 6, 7], [50]]),
    (b"RETR 1\r\n" + b"NOOP\r\n" * 90, [list(range(1, 65))]),
])
def test_as_many_are_asked_for_as_requests_came(front, said, wants):
    """At once with the first of them; and not where the client takes them out of order."""
    messages = [b"message %d\n" % i for i in range(100)]
    client, keeper = front.session(messages)
    client.send(said)
    for numbers in wants:
        assert keeper.serve_want() == numbers
    for line in said.splitlines():
        if not line.startswith(b"NOOP"):
            assert client.line().startswith(b"+OK")
            while client.line() != b".":
                pass
        else:
            assert client.line() == b"+OK"
    assert client.ask(b"QUIT").startswith(b"+OK")


def test_all_messages_of_a_long_maildrop_in_one_pipeline(front):
    messages = [b"message %d\n" % i + b"." * (i % 90) + b"\n" for i in range(1000)]
    client, keeper = front.session(messages)
    client.send(b"".join(b"RETR %d\r\n" % (i + 1) for i in range(1000)) + b"QUIT\r\n")
    served = 0
    while served < 1000:
        served += len(keeper.serve_want())
    for message in messages:
        expect_message(client, message)
    assert client.rest().startswith(b"+OK")


def test_yield_ends_an_idle_session_only(front):
    client, keeper = front.session(MAIL)
    send(keeper.sock, struct.pack("<HI", fa.YIELD, 600))
    assert client.ask(b"NOOP").startswith(b"+OK")
    assert client.ask(b"DELE 1").startswith(b"+OK")
    select.select([], [], [], 0.05)
    send(keeper.sock, struct.pack("<HI", fa.YIELD, 0))
    assert keeper.is_closed()
    client.rest()


def test_yield_waits_while_a_large_snapshot_is_looked_at(front):
    """The next login may come before the rows have all been checked: no fault of the keeper's."""
    count = 1000000
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    keeper = fa.Keeper(front.attach(session))
    keeper.open(table=fa.snapshot([9] * count), count=count)
    send(keeper.sock, struct.pack("<HI", fa.YIELD, 600))
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"+OK")


# ---- logins ---------------------------------------------------------------------------

def test_refusals_reach_the_client_and_it_may_try_again(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS wrong\r\n")
    first, _, _ = front.login()
    front.fail(first)
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [AUTH]")
    client.send(b"USER tester\r\nPASS secret\r\n")
    second, _, _ = front.login()
    keeper = Keeper(front.attach(second))
    keeper.refuse(IN_USE, bytes(10) + b"\xff\xff\xc0\x00\x02\x07", 1700000000)
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [IN-USE]")
    assert keeper.is_closed()
    client.send(b"USER tester\r\nPASS secret\r\n")
    third, _, _ = front.login()
    assert len({first, second, third}) == 3
    front.tell(struct.pack("<HQB", fa.SESSION_REFUSED, third, TEMPORARY))
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")


def test_a_late_attach_finds_nobody(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    client.close()
    # The client is gone, and the next one takes its place.
    front.wait_count("CONNECTIONS", 1)
    other = front.client()
    other.send(b"USER other\r\nPASS secret\r\n")
    theirs, name, _ = front.login()
    assert name == b"other" and theirs != session
    late = front.attach(session)
    assert other.line().startswith(b"+OK")
    assert Keeper(late).is_closed()
    keeper = Keeper(front.attach(theirs), [b"mail of other\n"], front.tmp_path)
    keeper.open()
    assert other.line().startswith(b"+OK")
    assert other.ask(b"STAT") == b"+OK 1 15"
    # An unknown number, and one that was attached before.
    assert Keeper(front.attach(12345)).is_closed()
    assert Keeper(front.attach(theirs)).is_closed()
    assert other.ask(b"STAT") == b"+OK 1 15"


def test_auth_that_goes_and_comes_back(front):
    client, waiting = front.client(), front.client()
    standing, _ = front.session(MAIL)
    waiting.send(b"USER tester\r\nPASS secret\r\n")
    front.login()
    front.new_auth()
    assert waiting.line().startswith(b"+OK")
    assert waiting.line().startswith(b"-ERR [SYS/TEMP]")
    assert standing.ask(b"NOOP").startswith(b"+OK")
    client, _ = front.session(MAIL, client=client)
    send(front.auth, b"\x25\x00nonsense that is no message")
    assert front.auth.recv(10) == b""
    front.wait_count("PROTOCOL_FAULTS", 1)
    waiting.send(b"USER tester\r\nPASS secret\r\n")
    assert waiting.line().startswith(b"+OK")
    assert waiting.line().startswith(b"-ERR [SYS/TEMP]")
    assert client.ask(b"NOOP").startswith(b"+OK")


def test_auth_that_closed_its_channel_and_lives_on(make):
    front = make()
    standing, keeper = front.session(MAIL)
    front.auth.close()
    assert standing.ask(b"NOOP").startswith(b"+OK")
    # It tells the monitor that nobody else should come, and ends with its last session.
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 1)
    assert standing.ask(b"QUIT").startswith(b"+OK")
    assert front.ends() == 0



def test_auth_that_does_not_read_gives_busy(make):
    front = make(sessions=400)
    clients = []
    for _ in range(300):
        client = front.client()
        clients.append(client)
        client.send(b"USER tester\r\nPASS " + b"x" * 900 + b"\r\n")
        assert client.line().startswith(b"+OK")
    # Not at once: who asks again and again must not keep the front busy.
    assert not clients[-1].data and fa.readable(clients[-1].sock, fa.SECONDS)
    assert clients[-1].line().startswith(b"-ERR [SYS/TEMP]")
    assert not fa.readable(clients[0].sock, 0), "auth has that one"


def places_in_memory(front, octets):
    """Writable parts of the front's memory that hold these octets."""
    if os.geteuid() != 0:
        pytest.skip("reads the memory of the front")
    found = []
    maps = open("/proc/%d/maps" % front.process.pid, encoding="ascii").read().splitlines()
    with open("/proc/%d/mem" % front.process.pid, "rb", 0) as memory:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "rw" not in line.split()[1] or last - first > 1 << 26:
                continue
            memory.seek(first)
            if octets in memory.read(last - first):
                found.append(line)
    return found


def test_no_password_stays_in_memory(front):
    client = front.client()
    client.send(b"USER tester\r\nPASS Xq7SecretNobodyElseHas")
    front.wait_count("COMMANDS", 1)
    client.send(b"!\r\n")
    session, _, response = front.login()
    assert response == b"Xq7SecretNobodyElseHas!"
    front.fail(session)
    client.line()
    client.line()
    assert not places_in_memory(front, b"q7SecretNobodyElseHas")


def gone_from_memory(front, secret):
    """The answer may come a moment before the front has wiped what it read."""
    end = time.monotonic() + 60
    while places_in_memory(front, secret):
        assert time.monotonic() < end, places_in_memory(front, secret)


def test_a_password_that_came_ahead_does_not_stay(make):
    """Behind one that is refused late, and with a command that nobody has read yet."""
    front = make()
    client = front.client()
    client.send(b"USER tester\r\nPASS wrong\r\nUSER tester\r\nPASS Yr7SecretNobodyElseHas\r\n"
                b"NOOP\r\nNOO")
    session, _, _ = front.login()
    front.fail(session, delay_ms=300)
    session, _, response = front.login()
    assert response == b"Yr7SecretNobodyElseHas"
    Keeper(front.attach(session), MAIL, front.tmp_path).open()
    assert [client.line()[:4] for _ in range(5)] == [b"+OK ", b"-ERR", b"+OK ", b"+OK ", b"+OK"]
    gone_from_memory(front, b"r7SecretNobodyElseHas")


def test_a_password_does_not_stay_in_the_tls_library(make, certificate):
    front = make(tls=certificate[:2])
    port = front.listen(implicit=1, plaintext=0)
    client = Client(port, greet=False)
    client.sock = secured(client.sock, certificate[2])
    client.line()
    # What is freed is written over at its start soon, so it stands further back.
    client.send(b"USER %s\r\n" % (b"x" * 900) * 10 + b"USER tester\r\nPASS Zs7SecretNobodyElseHas\r\n")
    session, _, response = front.login()
    assert response == b"Zs7SecretNobodyElseHas"
    gone_from_memory(front, b"s7SecretNobodyElseHas")


# ---- hostile keepers --------------------------------------------------------------------

def writable(keeper, _):
    keeper.slices([keeper.row(1)], [keeper.file(1, os.O_RDWR)])


def unasked(keeper, _):
    keeper.slices([keeper.row(2)], [keeper.file(2)])


def two_for_one(keeper, _):
    keeper.slices([keeper.row(1)], [keeper.file(1), keeper.file(2)])


def none_for_one(keeper, _):
    keeper.slices([keeper.row(1)])


def no_rows(keeper, _):
    keeper.slices([])


def twice(keeper, _):
    keeper.slices([keeper.row(1), keeper.row(1)], [keeper.file(1), keeper.file(1)])


def overflowing(keeper, _):
    keeper.slices([keeper.row(1, length=30, size=30, offset=2**64 - 8)], [keeper.file(1)])


def a_pipe(keeper, _):
    read_end, write_end = os.pipe()
    keeper.slices([keeper.row(1)], [read_end])
    os.close(write_end)


def a_pipe_for_nothing(keeper, _):
    read_end, write_end = os.pipe()
    keeper.slices([keeper.row(1, length=0, size=0)], [read_end])
    os.close(write_end)


def a_directory(keeper, tmp_path):
    keeper.slices([keeper.row(1)], [os.open(tmp_path, os.O_RDONLY)])


def a_socket(keeper, _):
    keeper.slices([keeper.row(1)], [socket.socketpair()[0].detach()])


def not_sealed(keeper, _):
    keeper.slices([keeper.row(1, SEALED)], [sealed(keeper.messages[0], 0)])


def half_sealed(keeper, _):
    keeper.slices([keeper.row(1, SEALED)], [sealed(keeper.messages[0], 7)])


def file_as_sealed(keeper, _):
    keeper.slices([keeper.row(1, SEALED)], [keeper.file(1)])


def absurd_size(keeper, _):
    keeper.slices([keeper.row(1, PIECES, length=10, size=2**63)])


def unknown_kind(keeper, _):
    keeper.slices([keeper.row(1, 9)], [keeper.file(1)])


def done_unasked(keeper, _):
    keeper.done()


def second_snapshot(keeper, _):
    keeper.open()


def not_ours(keeper, _):
    send(keeper.sock, struct.pack("<HQ", fa.SESSION_ATTACHED, 1))


def noise(keeper, _):
    send(keeper.sock, b"\xff" * 50)


def wrong_piece(keeper, _):
    keeper.slices([keeper.row(1, PIECES)])
    msgno, offset, length = keeper.fetch()
    keeper.fetched(msgno, offset + 1, length)


def short_piece(keeper, _):
    keeper.slices([keeper.row(1, PIECES)])
    msgno, offset, length = keeper.fetch()
    keeper.fetched(msgno, offset, length, data=b"x")


def open_piece(keeper, _):
    keeper.slices([keeper.row(1, PIECES)])
    msgno, offset, length = keeper.fetch()
    send(keeper.sock, struct.pack("<HIQIB", fa.FETCHED, msgno, offset, length, 0),
         [sealed(keeper.messages[0], 0)])


def unasked_piece(keeper, _):
    keeper.fetched(1, 0, 10)


@pytest.mark.parametrize("trick", [
    writable, unasked, two_for_one, none_for_one, no_rows, twice, overflowing, a_pipe,
    a_pipe_for_nothing, a_directory, a_socket, not_sealed, half_sealed, file_as_sealed, absurd_size, unknown_kind,
    done_unasked, second_snapshot, not_ours, noise, wrong_piece, short_piece, open_piece, unasked_piece], ids=lambda f: f.__name__)
def test_a_hostile_keeper_ends_its_session_only(front, trick, tmp_path):
    standing, _ = front.session(MAIL)
    before = open_files(front)
    client, keeper = front.session([MAIL[0], MAIL[2]])
    ask_retr(client, 1)
    assert keeper.want() == [1]
    trick(keeper, tmp_path)
    assert keeper.is_closed()
    assert not client.rest().endswith(b"\r\n.\r\n")
    client.close()
    front.wait_gone("SESSIONS", 1)
    assert open_files(front) == before
    assert standing.ask(b"NOOP").startswith(b"+OK")
    assert front.count("PROTOCOL_FAULTS") >= 1


def test_descriptors_that_do_not_fit_are_asked_for_again_and_then_given_up(front):
    client, keeper = front.session([MAIL[0], MAIL[2]])
    before = open_files(front)
    ask_retr(client, 1)
    for _ in range(4):
        assert keeper.want() == [1]
        send(keeper.sock, struct.pack("<H", fa.SLICES) + fa.octets(keeper.row(1)),
             [keeper.file(1) for _ in range(100)])
    assert client.line().startswith(b"-ERR")
    assert open_files(front) == before
    ask_retr(client, 2)
    assert keeper.serve_want() == [2]
    expect_message(client, MAIL[2])


SIZES = [5, 6, 7]


@pytest.mark.parametrize("table,count", [
    (b"", 0), (b"x" * 31, 0), (snapshot(SIZES)[:-1], 3), (snapshot(SIZES) + b"x", 3), (snapshot(SIZES), 2),
    (snapshot(SIZES, total=19), 3), (snapshot(SIZES, [b"a", b"b c", b"d"]), 3),
    (snapshot(SIZES, [b"a", b"", b"d"]), 3), (snapshot(SIZES, [b"a", b"x" * 256, b"d"]), 3),
    (snapshot([2**63, 2**63], total=0), 2), (b"\0" * 32, 0), (snapshot(SIZES), 4000001)],
    ids=lambda x: None)
def test_an_unsound_snapshot_is_a_temporary_failure(front, table, count):
    client = front.client()
    before = open_files(front)
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    keeper = Keeper(front.attach(session))
    total = struct.unpack_from("<Q", table, 16)[0] if len(table) >= 24 else 0
    send(keeper.sock, struct.pack("<HBIQ", fa.SNAPSHOT, 3, count, total), [sealed(table)])
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    assert keeper.is_closed()
    assert open_files(front) == before
    front.session(MAIL, client=client)


@pytest.mark.parametrize("table", [
    b"", b"x" * 31, snapshot(SIZES)[:-1], snapshot(SIZES) + b"x", snapshot(SIZES, total=19),
    snapshot(SIZES, [b"a", b"b c", b"d"]), snapshot(SIZES, [b"a", b"", b"d"]),
    snapshot([2**63, 2**63], total=0), b"\0" * 32, snapshot([7] * 250), None], ids=lambda x: None)
def test_an_unsound_small_snapshot_is_a_temporary_failure(front, table):
    client = front.client()
    before = open_files(front)
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    keeper = Keeper(front.attach(session))
    if table is None:  # a descriptor that does not belong there
        keeper.open_small(snapshot(SIZES), fds=[sealed(b"x")])
    else:
        keeper.open_small(table)
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    assert keeper.is_closed()
    assert open_files(front) == before
    front.session(MAIL, client=client)


def test_a_channel_that_ends_before_the_snapshot_is_a_temporary_failure(front):
    """As of a keeper that had no descriptor left for it."""
    client = front.client()
    before = open_files(front)
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    front.attach(session).close()
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    assert open_files(front) == before
    front.session(MAIL, client=client)


def test_a_small_snapshot_comes_in_the_message(front):
    for mail in (MAIL, []):
        client = front.client()
        client.send(b"USER tester\r\nPASS secret\r\n")
        session, _, _ = front.login()
        keeper = Keeper(front.attach(session), mail)
        keeper.open_small()
        assert client.line().startswith(b"+OK")
        assert client.line().startswith(b"+OK"), "logged in"
        assert client.ask(b"STAT").split()[1] == b"%d" % len(mail)
        keeper.open_small()  # a second one is a fault
        assert client.rest() == b""
        assert keeper.is_closed()


def test_a_snapshot_that_could_change_is_refused(front, tmp_path):
    path = tmp_path / "table"
    path.write_bytes(snapshot(SIZES))
    for fd in (sealed(snapshot(SIZES), 7), os.open(path, os.O_RDONLY)):
        client = front.client()
        client.send(b"USER tester\r\nPASS secret\r\n")
        session, _, _ = front.login()
        keeper = Keeper(front.attach(session), [b"1234\n"] * 3)
        keeper.open(fd=fd, table=snapshot(SIZES))
        assert client.line().startswith(b"+OK")
        assert client.line().startswith(b"-ERR [SYS/TEMP]")


def test_a_large_snapshot_delays_nobody(front):
    table = snapshot([9] * 1000000)
    client, other = front.client(), front.client()
    client.send(b"USER tester\r\nPASS secret\r\n")
    session, _, _ = front.login()
    keeper = Keeper(front.attach(session))
    asked, slowest = 0, 0.0
    with ahead():
        keeper.open(table=table, count=1000000)
        while client.data.count(b"\r\n") < 2:
            start = time.monotonic()
            assert other.ask(b"CAPA").startswith(b"+OK")
            while other.line() != b".":
                pass
            slowest = max(slowest, time.monotonic() - start)
            asked += 1
            if fa.readable(client.sock, 0):
                client.more()
    # Checked in pieces: the other one had its turns in between.
    assert asked >= 5, asked
    assert slowest < 5
    assert client.line().startswith(b"+OK")
    assert client.line().startswith(b"+OK")


# ---- limits, fairness, the end ------------------------------------------------------------

def test_one_greedy_client_waits_for_its_own_output(front):
    message = b"0123456789abcdef" * 4096 + b"\n"
    client, keeper = front.session([message])
    keeper.kinds = {1: SEALED}
    before = front.count("RETRIEVED")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(b"RETR 1\r\n" * 3000)
    rounds = 0
    while fa.readable(keeper.sock, 1):
        keeper.serve_want()
        rounds += 1
    # It does not read, so it gets what the sockets hold and no more.
    assert front.count("RETRIEVED") - before < 500
    status = open("/proc/%d/status" % front.process.pid, encoding="ascii").read()
    resident = int(status.split("VmRSS:")[1].split()[0])
    assert resident < 40000
    used = cpu_seconds(front)
    other, _ = front.session(MAIL)
    assert other.ask(b"NOOP").startswith(b"+OK")
    select.select([], [], [], 0.5)
    assert cpu_seconds(front) - used < 0.2


def test_ten_thousand_commands_do_not_delay_the_others(front):
    client, _ = front.session(MAIL)
    other, _ = front.session(MAIL)
    client.send(b"NOOP\r\n" * 10000)
    start = time.monotonic()
    assert other.ask(b"STAT").startswith(b"+OK")
    assert time.monotonic() - start < 10
    for _ in range(10000):
        assert client.line().startswith(b"+OK")


def test_a_full_front_says_so_and_refuses_only_when_all_are_full(make):
    front = make(sessions=2)
    first, second = front.client(), front.client()
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 1)
    third = Client(front.ports[0], greet=False)
    assert not fa.readable(third.sock, 0.3)
    used = cpu_seconds(front)
    front.tell(struct.pack("<HB", fa.FRONTS_FULL, 1))
    assert third.rest().startswith(b"-ERR [SYS/TEMP]")
    front.tell(struct.pack("<HB", fa.FRONTS_FULL, 0))
    # A connection may overtake that message; the ones behind it wait again.
    for _ in range(10):
        fourth = Client(front.ports[0], greet=False)
        if not fa.readable(fourth.sock, 0.3):
            break
    assert not fa.readable(fourth.sock, 0)
    assert cpu_seconds(front) - used < 0.2
    first.close()
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 0)
    assert fourth.line().startswith(b"+OK")
    assert second.ask(b"CAPA").startswith(b"+OK")


def test_comings_and_goings_at_the_limit_are_told_now_and_then(make):
    front = make(sessions=2)
    first, last = front.client(), front.client()
    start, heard = time.monotonic(), []
    for _ in range(100):
        last.close()
        last = front.client()
    took = time.monotonic() - start
    # What is so in the end is told.
    last.close()
    first.close()
    while not heard or heard[-1] != 0 or fa.readable(front.monitor, 0.5):
        number, full = struct.unpack("<HB", receive(front.monitor)[0])
        assert number == fa.FRONT_FULL and (not heard or full != heard[-1])
        heard.append(full)
    assert heard[0] == 1 and len(heard) <= 3 + 10 * took, (took, heard)
    kept = front.client(), front.client()
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 1) and kept


def test_connections_of_an_address_are_limited(make):
    front = make(options={"per_address": 3})
    clients = [front.client() for _ in range(3)]
    assert Client(front.ports[0], greet=False).rest().startswith(b"-ERR [SYS/TEMP]")
    assert front.count("CONNECTIONS_REFUSED") == 1
    clients[0].close()
    front.wait_gone("SESSIONS", 2)
    front.client()


def test_sessions_are_as_many_as_there_are_descriptors(make):
    front = make(nofile=200)
    clients = [front.client() for _ in range(3)]
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 1)
    # Slices have a budget of two: hardly any read-ahead, and still every message is served.
    client, keeper = front.session([b"message %d\n" % i for i in range(20)], client=clients[0])
    served = set()
    for msgno in range(1, 21):
        ask_retr(client, msgno)
        while msgno not in served:
            wanted = keeper.serve_want()
            assert len(wanted) <= 2
            served |= set(wanted)
        assert client.line().startswith(b"+OK")
        while client.line() != b".":
            pass


def asks_and_waits(client, keeper):
    """Its RETR was looked at, and the keeper has not heard of it."""
    client.send(b"NOOP\r\nRETR 1\r\n")
    assert client.line().startswith(b"+OK")
    assert not readable(keeper.sock, 0)


def test_without_descriptors_a_message_waits_for_its_turn(make):
    # Two descriptors, of which slices may take one.
    front = make(nofile=200, sessions=3)
    sessions = [front.session([b"message %d\n" % i]) for i in range(3)]
    (first, keeper), (second, second_keeper), (third, third_keeper) = sessions
    before = open_files(front)
    ask_retr(first, 1)
    assert keeper.want() == [1]
    asks_and_waits(second, second_keeper)
    asks_and_waits(third, third_keeper)
    keeper.slices([keeper.row(1)], [keeper.file(1)])
    expect_message(first, b"message 0\n")
    # In the order in which they came; who goes away while it waits holds up nobody.
    assert second_keeper.want() == [1]
    asks_and_waits(first, keeper)
    third.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    third.close()
    front.wait_gone("SESSIONS", 2)
    assert not readable(keeper.sock, 0)
    second_keeper.slices([second_keeper.row(1)], [second_keeper.file(1)])
    expect_message(second, b"message 1\n")
    assert keeper.serve_want() == [1]
    expect_message(first, b"message 0\n")
    assert open_files(front) == before - 2


def test_who_waits_gets_what_others_hold_ahead(make):
    front = make(nofile=202, sessions=3)  # four, and three for slices
    messages = [b"message %d\n" % i for i in range(9)]
    messages[1] = (b"x" * 79 + b"\n") * 200000  # takes long enough
    reader, keeper = front.session(messages)
    other, other_keeper = front.session([b"other\n"])
    slow, slow_keeper = front.session([b"slow\n"])
    ask_retr(reader, 1)
    assert keeper.serve_want() == [1]
    expect_message(reader, keeper.messages[0])
    ask_retr(reader, 2)
    # The second in a row: more are asked for, within half of what there is.
    assert keeper.want() == [2, 3]
    ask_retr(slow, 1)
    assert slow_keeper.want() == [1]
    asks_and_waits(other, other_keeper)
    keeper.slices([keeper.row(n) for n in (2, 3)], [keeper.file(n) for n in (2, 3)])
    # The reader is at its second; the third, which it has not asked for, is taken away.
    assert other_keeper.serve_want() == [1]
    expect_message(other, b"other\n")
    expect_message(reader, keeper.messages[1])
    # What was taken away is asked for again.
    ask_retr(reader, 3)
    assert 3 in keeper.serve_want()
    expect_message(reader, keeper.messages[2])


def test_pieces_count_in_the_budget(make):
    front = make(nofile=202, sessions=3)
    message = b"".join(b"line %d\n" % i for i in range(500000))
    sessions = [front.session([message]) for _ in range(3)]
    for client, keeper in sessions:
        keeper.kinds = {1: PIECES}
        ask_retr(client, 1)
    # All have asked for their row by then: three slices.
    for _, keeper in sessions:
        keeper.serve_want()
    most, left = 0, dict(sessions)
    while left:
        sources = {c.sock: (c, None) for c in left} | {k.sock: (None, k) for k in left.values()}
        ready = select.select(list(sources), [], [], SECONDS)[0]
        assert ready
        for client, keeper in (sources[sock] for sock in ready):
            if keeper:
                keeper.fetched(*keeper.fetch())
            elif not client.data.endswith(b"\r\n.\r\n"):
                client.data += client.sock.recv(16384)
        fds = "/proc/%d/fd" % front.process.pid
        held = 0
        for name in os.listdir(fds):
            try:
                held += "memfd:sealed" in os.readlink(os.path.join(fds, name))
            except FileNotFoundError:
                pass
        most = max(most, held)
        left = {c: k for c, k in left.items() if not c.data.endswith(b"\r\n.\r\n")}
    assert 3 <= most <= 4
    for client, _ in sessions:
        expect_message(client, message)


def test_a_front_for_one_session_ends_after_it(make):
    front = make(sessions=1)
    client, keeper = front.session(MAIL)
    assert receive(front.monitor)[0] == struct.pack("<HB", fa.FRONT_FULL, 1)
    assert client.ask(b"QUIT").startswith(b"+OK")
    assert front.ends() == 0


def test_drain_lets_sessions_finish(front):
    idle = front.client()
    client, keeper = front.session(MAIL)
    front.tell(struct.pack("<HI", fa.FRONT_DRAIN, 60))
    assert idle.rest() == b""
    assert client.ask(b"DELE 1").startswith(b"+OK")
    for sock in front.listeners:
        sock.close()
    with pytest.raises(OSError):
        front.client()
    client.send(b"QUIT\r\n")
    assert keeper.verdict() == [1]
    keeper.done(1, 1, 0)
    assert client.rest().startswith(b"+OK")
    client.close()
    assert front.ends() == 0


def test_drain_has_an_end(front):
    client, keeper = front.session(MAIL)
    front.tell(struct.pack("<HI", fa.FRONT_DRAIN, 0))
    assert keeper.is_closed()
    client.rest()
    client.close()
    assert front.ends() == 0


def test_without_the_monitor_it_ends_at_once(front):
    front.session(MAIL)
    front.monitor.close()
    assert front.ends() == 0


def test_nonsense_from_the_monitor_ends_it(front):
    front.tell(struct.pack("<HI", fa.FRONT_SETUP, 1))
    assert front.ends() == 76


def test_silent_timeouts(make):
    front = make(options={"idle": 1, "login": 4})
    client, keeper = front.session(MAIL)
    stranger = front.client()
    assert client.rest() == b""
    assert keeper.is_closed()
    assert stranger.rest() == b""


def test_a_keeper_that_never_answers_holds_up_its_session_only(make):
    front = make(options={"idle": 2})
    client, keeper = front.session(MAIL)
    other, _ = front.session(MAIL)
    ask_retr(client, 1)
    assert keeper.want() == [1]
    for _ in range(5):
        assert other.ask(b"NOOP").startswith(b"+OK")
    assert client.rest().startswith(b"-ERR [SYS/TEMP]")
    assert keeper.is_closed()


def test_pieces_come_ahead_and_in_order(front):
    message = b"".join(b"line %d\n" % i for i in range(400000))
    client, keeper = front.session([message])
    keeper.kinds = {1: PIECES}
    ask_retr(client, 1)
    keeper.serve_want()
    keeper.fetched(*keeper.fetch())
    # The client has read nothing, and the next piece is asked for already.
    at = 1 << 20
    while len(client.data) < len(stuffed(message)):
        ready, _, _ = select.select([client.sock, keeper.sock], [], [], SECONDS)
        assert ready
        if keeper.sock in ready:
            msgno, offset, length = keeper.fetch()
            assert (msgno, offset) == (1, at) and length <= 1 << 20
            keeper.fetched(msgno, offset, length)
            at += length
        if client.sock in ready:
            client.more()
    expect_message(client, message)
    assert at == len(message)


def test_octets_that_are_not_in_memory_come_from_the_keeper(front, tmp_path):
    message = b"".join(b"line %d\n" % i for i in range(200000))
    client, keeper = front.session([message])
    path = tmp_path / "cold"
    path.write_bytes(message)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    ask_retr(client, 1)
    assert keeper.want() == [1]
    keeper.slices([keeper.row(1)], [fd])
    client.sock.setblocking(True)
    while len(client.data) < len(stuffed(message)):
        ready, _, _ = select.select([client.sock, keeper.sock], [], [], SECONDS)
        assert ready
        if keeper.sock in ready:
            keeper.fetched(*keeper.fetch())
        if client.sock in ready:
            client.more()
    expect_message(client, message)


# ---- TLS -------------------------------------------------------------------------------

def secured(sock, ca):
    context = ssl.create_default_context(cafile=ca)
    return context.wrap_socket(sock, server_hostname="localhost")


def test_stls(make, certificate):
    front = make(tls=certificate[:2])
    client = front.client()
    assert client.ask(b"STLS").startswith(b"+OK")
    client.sock = secured(client.sock, certificate[2])
    client, keeper = front.session(MAIL, client=client)
    keeper.kinds = {4: SEALED}
    ask_retr(client, 4)
    keeper.serve_want()
    expect_message(client, MAIL[3])
    client.send(b"NOOP\r\n" * 50 + b"QUIT\r\n")
    assert client.rest().count(b"+OK") == 51
    assert front.count("TLS_HANDSHAKES") == 1


def test_implicit_tls_and_a_new_certificate(make, certificate):
    front = make(tls=certificate[:2])
    port = front.listen(implicit=1, plaintext=0)

    def connect():
        client = Client(port, greet=False)
        client.sock = secured(client.sock, certificate[2])
        assert client.line().startswith(b"+OK")
        return client

    client, _ = front.session(MAIL, client=connect())
    front.tls(b"no certificate", b"no key")
    assert front.tls_taken() == (1, 0)
    front.session(MAIL, client=connect())
    front.tls(*certificate[:2])
    assert front.tls_taken() == (1, 1)
    front.session(MAIL, client=connect())
    assert client.ask(b"NOOP").startswith(b"+OK")
    broken = Client(port, greet=False)
    broken.send(b"USER in clear\r\n")
    broken.rest()
    front.wait_count("TLS_FAILED", 1)


def test_octets_behind_stls_end_the_connection(make, certificate):
    front = make(tls=certificate[:2])
    client = front.client()
    client.send(b"STLS\r\nUSER injected\r\n")
    assert b"\r\n" not in client.rest().split(b"\r\n", 1)[1]
    client = front.client()
    assert client.ask(b"STLS").startswith(b"+OK")
    client.send(b"USER not tls\r\n")
    client.rest()
    front.wait_count("TLS_FAILED", 1)


def test_a_handshake_that_does_not_come_ends_with_the_login_time(make, certificate):
    front = make(tls=certificate[:2], options={"login": 1})
    port = front.listen(implicit=1)
    assert Client(port, greet=False).rest() == b""
    front.wait_gone("SESSIONS")
