"""lmtpd against an outside that the test plays: order of answers, limits, and no 250 without a deposit."""
import contextlib
import errno
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from front_alone import SECONDS, readable, send
from lmtpd_alone import (BUSY, CLOSED, DENIED, DEPOSITED, DONE, FAILED, FULL, LISTENER_GONE, NO_SPACE, NO_USER,
                         PERMANENT, SPOOL_FILE, TEMPORARY, TOO_LARGE, Lmtpd, Neighbours)

MAIL = b"From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n.dot\r\nbare\nlf\r\n"


def stuffed(message):
    return b"".join(b"." + line if line.startswith(b".") else line
                    for line in message.splitlines(keepends=True)) + b".\r\n"


@pytest.fixture(name="make")
def fixture_make(tmp_path):
    made = []

    def make(**arguments):
        made.append(Lmtpd(tmp_path, **arguments))
        return made[-1]

    yield make
    for lmtpd in made:
        lmtpd.close()


@pytest.fixture(name="lmtpd")
def fixture_lmtpd(make):
    return make()


# ---- one message -----------------------------------------------------------------------

def test_one_message(lmtpd):
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"anna@example.org")
    before = lmtpd.open_files()
    mta.send(stuffed(MAIL))
    assert keeper.deposit() == (b"from@example.org", b"anna@example.org", MAIL)
    assert keeper.is_sealed()
    assert mta.is_silent()  # no answer before the keeper's
    keeper.answer()
    mta.expect(b"250 2.0.0")
    assert keeper.is_closed()
    record = lmtpd.record("delivered")
    assert record["recipients"] == b"anna@example.org" and record["sender"] == b"from@example.org"
    assert (record["accepted"], record["stored"], record["octets"]) == (b"1", b"1", b"%d" % len(MAIL))
    assert record["address"] == b"127.0.0.1" and record["spool"] == b"memory"
    assert lmtpd.open_files() == before - 1
    mta.ask(b"QUIT", b"221")
    assert mta.is_closed()
    for name, value in (("LMTP_CONNECTIONS", 1), ("LMTP_MESSAGES", 1), ("LMTP_RECIPIENTS", 1),
                        ("LMTP_STORED", 1), ("LMTP_OCTETS", len(MAIL)), ("LMTP_SPOOL_OCTETS", 0),
                        ("LMTP_SESSIONS", 0)):
        lmtpd.wait_count(name, value)


def test_null_sender_and_an_empty_message(lmtpd):
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"anna", sender=b"")
    mta.send(b".\r\n")
    assert keeper.deposit() == (b"", b"anna", b"")
    keeper.answer()
    mta.expect(b"250 2.0.0")


def test_pipelined_recipients_are_asked_about_at_the_same_time(lmtpd):
    mta = lmtpd.mta()
    names = [b"u%d@example.org" % i for i in range(20)]
    mta.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n for n in names) + b"DATA\r\n")
    sessions = [lmtpd.lookup(n) for n in names]
    assert len(set(sessions)) == 20
    # Answers in the order of the commands, whatever the order of auth's.
    keepers = {}
    for i in reversed(range(20)):
        if i % 5 == 1:
            lmtpd.fail(sessions[i], NO_USER)
        else:
            keepers[i] = lmtpd.attach(sessions[i])
    mta.expect(b"250", *[b"550 5.1.1" if i % 5 == 1 else b"250 2.1.5" for i in range(20)], b"354")
    mta.send(stuffed(MAIL))
    outcomes = {0: (DONE, b"250 2.0.0"), 2: (FULL, b"452 4.2.2"), 3: (NO_SPACE, b"452 4.3.1"),
                4: (FAILED, b"451 4.3.0"), 5: (TOO_LARGE, b"552 5.3.4"), 7: (CLOSED, b"452 4.2.0"),
                8: (DENIED, b"550 5.7.1"), 9: (99, b"451 4.3.0")}
    for i in reversed(sorted(keepers)):
        assert keepers[i].deposit() == (b"", names[i], MAIL)
        keepers[i].answer(outcomes.get(i, (DONE, b""))[0])
    mta.expect(*[outcomes.get(i, (DONE, b"250 2.0.0"))[1] for i in sorted(keepers)])
    record = lmtpd.record("delivered")
    assert (record["asked"], record["accepted"], record["stored"]) == (b"20", b"16", b"9")
    assert (record["temporary"], record["permanent"]) == (b"5", b"2")
    assert lmtpd.count("LMTP_RECIPIENTS_REFUSED") == 4


def test_many_messages_in_one_write(lmtpd):
    mta = lmtpd.mta()
    one = (b"MAIL FROM:<a@b>\r\nRCPT TO:<anna>\r\nBDAT %d LAST\r\n" % len(MAIL)) + MAIL
    mta.send(one * 30 + b"QUIT\r\n")
    for _ in range(30):
        keeper, = lmtpd.accept(b"anna")
        assert keeper.deposit()[2] == MAIL
        keeper.answer()
        keeper.close()
    for _ in range(30):
        mta.expect(b"250 2.1.0", b"250 2.1.5", b"250 2.0.0")
    mta.expect(b"221")
    assert mta.is_closed()
    lmtpd.wait_count("LMTP_STORED", 30)


def test_octet_by_octet(lmtpd):
    mta = lmtpd.mta()
    whole = b"MAIL FROM:<a@b>\r\nRCPT TO:<anna>\r\nDATA\r\n"
    for i in range(len(whole)):
        mta.send(whole[i:i + 1])
    keeper, = lmtpd.accept(b"anna")
    mta.expect(b"250", b"250", b"354")
    for octet in stuffed(MAIL):
        mta.send(bytes([octet]))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    mta.expect(b"250 2.0.0")


def test_twins_share_an_answer_and_a_deposit(lmtpd):
    mta = lmtpd.mta()
    names = [b"anna", b"bob", b"anna", b"nobody", b"nobody", b"anna@x"]
    mta.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n for n in names) + b"DATA\r\n")
    anna, bob = lmtpd.accept(b"anna", b"bob")
    lmtpd.fail(lmtpd.lookup(b"nobody"))
    other, = lmtpd.accept(b"anna@x")
    assert lmtpd.no_lookup()
    mta.expect(b"250", b"250", b"250", b"250", b"550", b"550", b"250", b"354")
    mta.send(stuffed(MAIL))
    for keeper, outcome in ((other, DONE), (anna, FULL), (bob, DONE)):
        keeper.deposit()
        keeper.answer(outcome)
    mta.expect(b"452 4.2.2", b"250 2.0.0", b"452 4.2.2", b"250 2.0.0")


def test_answers_leave_as_soon_as_their_turn_has_come(lmtpd):
    mta = lmtpd.mta()
    first, second = mta.begin(lmtpd, b"a", b"b")
    mta.send(stuffed(MAIL))
    first.deposit()
    second.deposit()
    second.answer()
    assert mta.is_silent()
    first.answer()
    mta.expect(b"250 2.0.0 <a>", b"250 2.0.0 <b>")


def script(dice):
    """Commands of an MTA that is not always right, a line (or a line and its message) each."""
    names = [b"a", b"b", b"a@x", b"no", b"no@x", b"\"q q\"@x", b"bad name", b"c@", b"<", b"u+d@example.org"]
    lines = []
    for _ in range(dice.randrange(3, 40)):
        what = dice.random()
        if what < 0.25:
            lines.append(b"MAIL FROM:<%s>" % dice.choice([b"", b"s@x", b"bad bad"]))
        elif what < 0.8:
            lines += [dice.choice([b"RCPT", b"rcpt"]) + b" TO:<%s>" % dice.choice(names)
                      for _ in range(dice.randrange(1, 8))]
        elif what < 0.9:
            n = dice.randrange(0, 300)
            lines.append(b"BDAT %d%s\r\n" % (n, dice.choice([b"", b" LAST"])) + b"m" * n)
        else:
            lines.append(dice.choice([b"RSET", b"NOOP", b"RSXT", b"VRFY x", b"LHLO y", b"R"]))
    return [x + b"\r\n" if not x.startswith(b"BDAT") else x for x in lines] + [b"QUIT\r\n"]


def test_foretelling_recipients_changes_no_answer(make):
    """The same commands in one write, line by line and in random pieces: the same replies and deposits."""
    dice = random.Random(2033)
    lmtpd = make(recipients=12)
    neighbours = Neighbours(lmtpd)
    for _ in range(25):
        lines = script(dice)
        whole, heard = b"".join(lines), []
        pieces = [whole[i:i + 61] for i in range(0, len(whole), 61)]
        for way in ([whole], lines, pieces):
            begun = len(neighbours.deposits)
            mta = lmtpd.mta()
            for piece in way:
                mta.send(piece)
            while mta.more():
                pass
            heard.append((mta.data, sorted(neighbours.deposits[begun:])))
            mta.close()
        assert heard[0] == heard[1] == heard[2], whole
    neighbours.end()
    assert lmtpd.count("LMTP_STORED") > 50 and lmtpd.count("LMTP_RECIPIENTS_REFUSED") > 50


# ---- noes of others --------------------------------------------------------------------

@pytest.mark.parametrize("code, reply", [(NO_USER, b"550 5.1.1"), (BUSY, b"451 4.3.2"),
                                         (TEMPORARY, b"451 4.3.0"), (PERMANENT, b"451 4.3.5"),
                                         (0, b"451 4.3.0"), (200, b"451 4.3.0")])
def test_refused_recipients(lmtpd, code, reply):
    mta = lmtpd.mta()
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n")
    lmtpd.fail(lmtpd.lookup(b"a"), code)
    lmtpd.refuse(lmtpd.lookup(b"b"), code)
    mta.expect(b"250", reply, reply, b"503")
    assert lmtpd.record("recipient_refused")["status"] == reply[4:]


def test_a_keeper_that_ends_without_an_answer_is_no_yes(lmtpd):
    mta = lmtpd.mta()
    keepers = mta.begin(lmtpd, b"a", b"b", b"c", b"d", b"e")
    keepers[0].close()  # before the message
    mta.send(stuffed(MAIL))
    for keeper in keepers[1:]:
        keeper.deposit()
    keepers[1].close()  # before its answer
    send(keepers[2].sock, struct.pack("<HBB", DEPOSITED, DONE, 0))  # malformed
    keepers[3].refuse(TEMPORARY)
    keepers[4].answer()
    mta.expect(*[b"451 4.3.0"] * 4, b"250 2.0.0")
    assert lmtpd.count("PROTOCOL_FAULTS") == 1 and lmtpd.count("LMTP_TEMPORARY") == 4


def test_another_auth(lmtpd):
    mta = lmtpd.mta()
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\n")
    held, = lmtpd.accept(b"a")
    late = lmtpd.lookup(b"b")
    lmtpd.new_auth()
    mta.expect(b"250", b"250", b"451 4.3.0")
    assert lmtpd.attach(late).is_closed()
    mta.send(b"RCPT TO:<c>\r\nDATA\r\n")
    other, = lmtpd.accept(b"c")
    mta.expect(b"250", b"354")
    mta.send(b"x\r\n.\r\n")
    for keeper in (held, other):
        keeper.deposit()
        keeper.answer()
    mta.expect(b"250", b"250")


def test_without_auth_nobody_is_served_and_a_dead_one_is_temporary(make):
    lmtpd = make(auth=False)
    mta = lmtpd.mta(greet=False)
    assert mta.is_silent()
    lmtpd.new_auth()
    mta.expect(b"220")
    lmtpd.auth.close()
    mta.send(b"LHLO a\r\nMAIL FROM:<>\r\n")
    while mta.line()[3:4] == b"-":
        pass
    mta.expect(b"250")
    mta.ask(b"RCPT TO:<a>", b"451 4.3.0")
    lmtpd.auth = None


def test_auth_that_closed_its_channel_and_lives_on(make):
    lmtpd, other = make(), make()
    other.auth.close()
    busy, idle = lmtpd.mta(), lmtpd.mta()
    keeper, = busy.begin(lmtpd, b"anna")
    lmtpd.auth.close()
    lmtpd.auth = None
    idle.send(b"MAIL FROM:<>\r\nRCPT TO:<a>\r\nRSET\r\n")
    idle.expect(b"250", b"451 4.3.0", b"250")
    other.new_auth()
    # What was begun comes to its end, and then another takes this one's place.
    idle.expect(b"421 4.3.2")
    assert idle.is_closed()
    idle.close()
    assert lmtpd.record("auth_lost")["what"] == b"no other channel came: this lmtpd ends"
    busy.send(stuffed(MAIL))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    busy.expect(b"250 2.0.0", b"421 4.3.2")
    busy.close()
    assert lmtpd.ends()
    # Auth that came back in time is as good as the one before.
    mta = other.mta()
    keeper, = mta.begin(other, b"anna")
    mta.send(stuffed(MAIL))
    keeper.deposit()
    keeper.answer()
    mta.expect(b"250 2.0.0")


def test_more_recipients_than_the_channel_to_auth_holds(make):
    lmtpd = make(recipients=1000)
    mta = lmtpd.mta()
    names = [b"someone.with.a.long.name.%04d@example.org" % i for i in range(1000)]
    mta.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n for n in names))
    for name in names:
        lmtpd.fail(lmtpd.lookup(name))
    mta.expect(b"250", *[b"550 5.1.1"] * 1000)
    assert lmtpd.count("LMTP_RECIPIENTS_REFUSED") == 1000


# ---- the spool -------------------------------------------------------------------------

def test_a_large_message_goes_into_the_file(lmtpd):
    message = b"".join(b"%08d %s\r\n" % (i, b"x" * 100) for i in range(48000))
    assert len(message) > 5 << 20
    mta = lmtpd.mta()
    anna, bob = mta.begin(lmtpd, b"anna", b"bob")
    files = lmtpd.open_files()
    mta.send(message[:200000])
    lmtpd.file(lmtpd.file_asked())
    mta.send(message[200000:] + b".\r\n")
    for keeper in (bob, anna):
        assert keeper.deposit()[2] == message
        with pytest.raises(OSError):
            os.pwrite(keeper.fd, b"x", 0)
        keeper.answer()
        keeper.close()
    mta.expect(b"250 2.0.0", b"250 2.0.0")
    assert lmtpd.record("delivered")["spool"] == b"file"
    assert lmtpd.count("LMTP_SPOOL_FILES") == 1
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)
    assert lmtpd.open_files() == files - 2


@pytest.mark.parametrize("error, reply", [(errno.ENOSPC, b"452 4.3.1"), (errno.EACCES, b"451 4.3.0")])
def test_no_file(lmtpd, error, reply):
    mta = lmtpd.mta()
    anna, bob = mta.begin(lmtpd, b"anna", b"bob")
    mta.send(b"x" * 998 + b"\r\n")
    mta.send((b"x" * 998 + b"\r\n") * 300)
    lmtpd.file(lmtpd.file_asked(), error)
    mta.send((b"x" * 998 + b"\r\n") * 3000 + b".\r\n")
    mta.expect(reply, reply)
    assert anna.is_closed() and bob.is_closed()
    # The next one is small.
    keeper, = mta.begin(lmtpd, b"anna")
    mta.send(stuffed(MAIL))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    mta.expect(b"250 2.0.0")


def test_a_file_that_cannot_be_written_is_refused(lmtpd):
    """A full disk, met in the middle of the message."""
    full = os.open("/dev/full", os.O_WRONLY)
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"anna")
    mta.send(b"y" * 200000 + b"\r\n")
    lmtpd.tell(struct.pack("<HQI", SPOOL_FILE, lmtpd.file_asked(), 0),
               [full, os.open("/dev/null", os.O_RDONLY)])
    mta.send(b"more\r\n.\r\n")
    mta.expect(b"452 4.3.1")
    assert keeper.is_closed()
    assert lmtpd.record("spool_failed")["what"] == b"file"


def test_spool_total(make):
    lmtpd = make(spool_total=150000, spool_memory=1 << 20)
    first, second = lmtpd.mta(), lmtpd.mta()
    one, = first.begin(lmtpd, b"one")
    two, = second.begin(lmtpd, b"two")
    first.send(b"a" * 100000 + b"\r\n")
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 100002)
    second.send(b"b" * 100000 + b"\r\n.\r\n")
    second.expect(b"452 4.3.1")
    assert lmtpd.record("spool_failed")["what"] == b"spool_total is reached"
    assert two.is_closed()
    first.send(b".\r\n")
    assert len(one.deposit()[2]) == 100002
    one.answer()
    first.expect(b"250 2.0.0")
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)
    two, = second.begin(lmtpd, b"two")
    second.send(b"b" * 100000 + b"\r\n.\r\n")
    assert len(two.deposit()[2]) == 100002
    two.answer()
    second.expect(b"250 2.0.0")


def test_the_limit_of_a_message(make):
    lmtpd = make(message_max=100000, spool_memory=1 << 20)
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"a")
    mta.send(b"x" * 99998 + b"\r\n.\r\n")
    assert len(keeper.deposit()[2]) == 100000
    keeper.answer()
    mta.expect(b"250 2.0.0")
    keeper, = mta.begin(lmtpd, b"a")
    mta.send(b"x" * 99999 + b"\r\n.\r\n")
    mta.expect(b"552 5.3.4")
    assert keeper.is_closed()
    mta.ask(b"NOOP", b"250")
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)


# ---- MTAs that go, and that are silent -------------------------------------------------

def test_an_mta_that_goes_in_the_middle_leaves_nothing(lmtpd):
    files = lmtpd.open_files()
    for cut in (b"", b"half a li", b"x" * 200000):
        mta = lmtpd.mta()
        keeper, = mta.begin(lmtpd, b"anna")
        mta.send(cut)
        session = lmtpd.file_asked() if len(cut) > 100000 else None
        mta.close()
        if session:
            lmtpd.file(session)
        assert keeper.is_closed()
    lmtpd.wait_count("LMTP_SESSIONS", 0)
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)
    assert lmtpd.open_files() == files
    assert lmtpd.count("LMTP_MESSAGES") == 0


def test_an_mta_that_does_not_wait_for_the_answer(lmtpd):
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"anna")
    mta.send(stuffed(MAIL))
    keeper.deposit()
    mta.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    mta.close()
    lmtpd.wait_count("LMTP_SESSIONS", 1)
    keeper.answer()
    record = lmtpd.record("delivered")
    assert record["stored"] == b"1"
    lmtpd.wait_count("LMTP_SESSIONS", 0)


def test_a_half_closed_connection_gets_its_answers(lmtpd):
    mta = lmtpd.mta()
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<anna>\r\nBDAT 3 LAST\r\nx\r\n")
    mta.sock.shutdown(socket.SHUT_WR)
    keeper, = lmtpd.accept(b"anna")
    assert keeper.deposit()[2] == b"x\r\n"
    keeper.answer()
    mta.expect(b"250", b"250", b"250 2.0.0")
    assert mta.is_closed()


@pytest.mark.parametrize("after", [b"", b"MAIL FROM:<>\r\n", b"data"])
def test_silence(make, after):
    lmtpd = make(timeout=3)
    begun = time.monotonic()
    mta = lmtpd.mta()
    if after == b"data":
        mta.begin(lmtpd, b"anna")
        mta.send(b"half a line")
    elif after:
        mta.ask(after[:-2], b"250")
    mta.expect(b"421 4.4.2")
    assert time.monotonic() - begun > 2.5
    assert mta.is_closed()
    mta.close()
    lmtpd.wait_count("LMTP_SESSIONS", 0)
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)


def test_waiting_for_others_is_no_silence(make):
    lmtpd = make(timeout=3)
    mta = lmtpd.mta()
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<anna>\r\n")
    session = lmtpd.lookup(b"anna")
    assert not readable(mta.sock, 3.2)
    keeper = lmtpd.attach(session)
    mta.expect(b"250", b"250")
    mta.ask(b"DATA", b"354")
    mta.send(b"x\r\n.\r\n")
    keeper.deposit()
    assert not readable(mta.sock, 3.2)
    keeper.answer()
    mta.expect(b"250 2.0.0")
    mta.ask(b"NOOP", b"250")


@pytest.mark.long
def test_an_auth_that_does_not_answer(lmtpd):
    mta = lmtpd.mta()
    mta.sock.settimeout(60)
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<anna>\r\nRCPT TO:<bob>\r\n")
    late = [lmtpd.lookup(b"anna"), lmtpd.lookup(b"bob")]
    mta.expect(b"250", b"451 4.3.0", b"451 4.3.0")
    assert all(lmtpd.attach(session).is_closed() for session in late)


# ---- who may connect -------------------------------------------------------------------

def own_address():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return s.getsockname()[0]


@pytest.mark.skipif(not own_address(), reason="this machine has no address but loopback")
def test_networks(make):
    me = own_address()
    for networks, greeting in (((), b"554 5.7.1"), (("198.51.100.0/24", "2001:db8::/32"), b"554 5.7.1"),
                               ((me + "/32",), b"220"), (("0.0.0.0/0",), b"220")):
        lmtpd = make(networks=networks)
        port = lmtpd.listen(host="0.0.0.0")
        with socket.create_connection((me, port), timeout=60) as s:
            assert s.recv(1000).startswith(greeting)
        if greeting != b"220":
            assert lmtpd.record("connection_refused")["limit"] == b"networks"
            lmtpd.wait_count("LMTP_CONNECTIONS_REFUSED", 1)
        lmtpd.mta()  # loopback always may


def test_a_local_socket(make, tmp_path):
    lmtpd = make()
    at = lmtpd.listen(path=str(tmp_path / "lmtp"))
    mta = lmtpd.mta(at=at)
    keeper, = mta.begin(lmtpd, b"anna")
    mta.send(stuffed(MAIL))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    mta.expect(b"250 2.0.0")
    assert lmtpd.record("delivered")["address"] == b"local"


def test_connections_max(make):
    lmtpd = make(connections=3)
    mtas = [lmtpd.mta() for _ in range(3)]
    more = lmtpd.mta(greet=False)
    more.expect(b"421 4.3.2")
    assert more.is_closed()
    assert lmtpd.record("connection_refused")["limit"] == b"connections"
    mtas[0].close()
    lmtpd.wait_count("LMTP_SESSIONS", 2)
    lmtpd.mta()


def test_few_descriptors(make):
    """Ways to keepers end before the descriptors do, and that is for now."""
    lmtpd = make(nofile=200, connections=5, recipients=100)
    mta = lmtpd.mta()
    names = [b"u%d" % i for i in range(100)]
    mta.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n for n in names))
    accepted, deadline = 0, time.monotonic() + SECONDS
    while lmtpd.count("LMTP_RECIPIENTS_REFUSED") + accepted < 100:
        assert time.monotonic() < deadline, accepted
        if readable(lmtpd.auth, 0.05):
            lmtpd.attach(lmtpd.lookup(names[accepted]))
            accepted += 1
    assert 40 <= accepted < 100
    mta.expect(b"250", *[b"250 2.1.5"] * accepted, *[b"451 4.3.2"] * (100 - accepted))
    mta.send(b"DATA\r\n")
    mta.expect(b"354")
    mta.send(b"x\r\n.\r\n")
    for keeper in lmtpd.keepers:
        keeper.deposit()
        keeper.answer()
    mta.expect(*[b"250 2.0.0"] * accepted)


# ---- the end ---------------------------------------------------------------------------

def test_drain(lmtpd):
    idle, busy = lmtpd.mta(), lmtpd.mta()
    keeper, = busy.begin(lmtpd, b"anna")
    lmtpd.drain()
    idle.expect(b"421 4.3.2")
    assert idle.is_closed()
    idle.close()
    busy.send(stuffed(MAIL))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    busy.expect(b"250 2.0.0", b"421 4.3.2")
    assert busy.is_closed()
    busy.close()
    assert lmtpd.ends()


def test_drain_has_an_end(lmtpd):
    mta = lmtpd.mta()
    mta.begin(lmtpd, b"anna")
    lmtpd.drain(0)
    mta.expect(b"421 4.3.2")
    assert lmtpd.ends()


def test_a_listener_that_is_gone(lmtpd):
    port = lmtpd.listen()
    mta = lmtpd.mta(at=port)
    lmtpd.tell(struct.pack("<HI", LISTENER_GONE, 2))
    lmtpd.listeners[1].close()
    mta.ask(b"NOOP", b"250")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            break
        assert time.monotonic() < deadline
    lmtpd.mta()


def test_without_a_monitor_it_ends(lmtpd):
    lmtpd.mta()
    lmtpd.monitor.close()
    assert lmtpd.ends()



def test_ways_that_nobody_asked_for_are_closed(lmtpd):
    for session in (0, 1, 1 << 24, (1 << 24) + 5, (1 << 64) - 1):
        assert lmtpd.attach(session).is_closed()


def test_a_way_given_twice_is_a_fault_of_the_monitor(tmp_path):
    lmtpd = Lmtpd(tmp_path)
    mta = lmtpd.mta()
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<a>\r\n")
    session = lmtpd.lookup(b"a")
    lmtpd.attach(session)
    lmtpd.attach(session)
    assert lmtpd.ends(76)
    with pytest.raises(AssertionError):
        lmtpd.close()


# ---- many at once ----------------------------------------------------------------------

def test_random_order_of_everything(lmtpd):
    """Many MTAs, recipients and outcomes, in a random order that a seed repeats."""
    dice = random.Random(4711)
    mtas = [lmtpd.mta() for _ in range(12)]
    expected, sessions = {}, []
    for i, mta in enumerate(mtas):
        names = [b"m%d.r%d" % (i, j) for j in range(dice.randrange(1, 9))]
        mta.send(b"MAIL FROM:<m%d@x>\r\n" % i + b"".join(b"RCPT TO:<%s>\r\n" % n for n in names))
        for name in names:
            sessions.append((i, name, lmtpd.lookup(name)))
        mta.names = names
    dice.shuffle(sessions)
    held = {}
    for i, name, session in sessions:
        if dice.random() < 0.3:
            lmtpd.fail(session)
        else:
            held[name] = lmtpd.attach(session)
    waiting = []
    for i, mta in enumerate(mtas):
        mta.expect(b"250", *[b"250" if n in held else b"550" for n in mta.names])
        mine = [n for n in mta.names if n in held]
        if not mine:
            continue
        mta.ask(b"DATA", b"354")
        mta.send(b"I am %d\r\n.\r\n" % i)
        for name in mine:
            assert held[name].deposit() == (b"m%d@x" % i, name, b"I am %d\r\n" % i)
        waiting += mine
        expected[i] = mine
    dice.shuffle(waiting)
    said = {}
    for name in waiting:
        said[name] = dice.choice((DONE, DONE, FULL, None))
        if said[name] is None:
            held[name].close()
        else:
            held[name].answer(said[name])
    replies = {DONE: b"250 2.0.0", FULL: b"452 4.2.2", None: b"451 4.3.0"}
    for i, mine in expected.items():
        mtas[i].expect(*[replies[said[n]] for n in mine])


@contextlib.contextmanager
def traced(lmtpd, *arguments):
    """strace looks on, or makes calls fail."""
    strace = subprocess.Popen(["strace", *arguments, "-p", str(lmtpd.process.pid)],
                              stderr=subprocess.PIPE)
    assert b"attached" in strace.stderr.readline()
    try:
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate()


NEEDS_STRACE = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


@pytest.mark.parametrize("call, error, replies", [
    ("memfd_create", errno.EMFILE, [b"451 4.3.0"] * 2),
    ("pwrite64", errno.ENOSPC, [b"452 4.3.1"] * 2),
    ("pwrite64", errno.EIO, [b"451 4.3.0"] * 2),
    ("pwrite64", errno.EFBIG, [b"552 5.3.4"] * 2),
    ("pwrite64", errno.EINTR, [b"250 2.0.0"] * 2),
    ("pwrite64", 0, [b"250 2.0.0"] * 2),
    ("fcntl", errno.EPERM, [b"451 4.3.0"] * 2),
    ("sendmsg", errno.ENOBUFS, [b"451 4.3.0", b"250 2.0.0"]),
    ("sendmsg", errno.ETOOMANYREFS, [b"451 4.3.0", b"250 2.0.0"]),
    ("sendmsg", errno.EPIPE, [b"451 4.3.0", b"250 2.0.0"]),
    ("epoll_ctl", errno.ENOMEM, [b"451 4.3.0", b"250 2.0.0"])])
def test_a_call_that_fails_is_an_honest_answer(make, call, error, replies):
    # Four are in the loop before the first keeper is: monitor, listener, auth and MTA.
    lmtpd = make(fail="%s:%d:%d" % (call, error, 5 if call == "epoll_ctl" else 1))
    mta = lmtpd.mta()
    files = lmtpd.open_files()
    keepers = mta.begin(lmtpd, b"a", b"b")
    mta.send(stuffed(MAIL))
    for keeper, reply in zip(keepers, replies):
        if reply.startswith(b"250"):
            assert keeper.deposit()[2] == MAIL
            keeper.answer()
        assert keeper.is_closed()
    mta.expect(*replies)
    # It goes on as if nothing had been.
    keeper, = mta.begin(lmtpd, b"a")
    mta.send(stuffed(MAIL))
    assert keeper.deposit()[2] == MAIL
    keeper.answer()
    mta.expect(b"250 2.0.0")
    assert keeper.is_closed()
    assert lmtpd.open_files() == files


@pytest.mark.parametrize("n, error, replies", [
    (1, errno.ENOSPC, [b"452 4.3.1"]), (3, errno.EIO, [b"451 4.3.0"]), (4, errno.ENOSPC, [b"452 4.3.1"])])
def test_writes_into_a_file_fail(make, n, error, replies):
    """In memory, while what was in memory is copied, and after it. Each piece comes as one, and so
    is written by one call: of larger ones the kernel may hand over a part before the rest."""
    lmtpd = make(fail="pwrite64:%d:%d" % (error, n), spool_memory=30000)
    mta = lmtpd.mta()
    keeper, = mta.begin(lmtpd, b"a")
    piece = b"x" * 20000 + b"\r\n"
    mta.send(piece)
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", len(piece) if n > 1 else 0)
    mta.send(piece)
    if n > 1:
        lmtpd.file(lmtpd.file_asked())
    if n > 3:
        lmtpd.wait_count("LMTP_SPOOL_FILES", 1)
    mta.send(piece + b".\r\n")
    mta.expect(*replies)
    assert keeper.is_closed()
    lmtpd.wait_count("LMTP_SPOOL_OCTETS", 0)


@NEEDS_STRACE
def test_no_descriptor_for_a_connection_is_a_pause(make, tmp_path):
    lmtpd = make(fail="accept4:%d:1" % errno.EMFILE)
    with traced(lmtpd, "-o", str(tmp_path / "trace")):
        lmtpd.mta()
    assert lmtpd.record("accept_paused")["error"]
    # It slept meanwhile: the loop was not asked again and again.
    waits = [line for line in (tmp_path / "trace").read_text().splitlines() if "epoll_wait" in line]
    assert len(waits) < 10


@NEEDS_STRACE
def test_what_a_message_costs(lmtpd, tmp_path):
    """In system calls, one connection and many messages: what was reached plus 15 %."""
    def one():
        keeper, = mta.begin(lmtpd, b"anna")
        mta.send(stuffed(MAIL * 100))
        keeper.deposit()
        keeper.answer()
        mta.expect(b"250 2.0.0")
        keeper.close()

    mta = lmtpd.mta()
    one()
    trace = tmp_path / "trace"
    with traced(lmtpd, "-o", str(trace)):
        for _ in range(40):
            one()
    calls = [line.split("(")[0] for line in trace.read_text().splitlines() if "(" in line]
    assert len(calls) <= 40 * 23, {name: calls.count(name) / 40 for name in set(calls)}


def test_its_cage_is_shut(lmtpd):
    status = open("/proc/%d/status" % lmtpd.process.pid, encoding="ascii").read()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert os.readlink("/proc/%d/root" % lmtpd.process.pid).endswith("/empty")
