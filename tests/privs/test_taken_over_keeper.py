"""A keeper that was taken over, and lies about snapshots, slices, pieces and verdicts, to its
fronts and to the monitor: only its own sessions come to harm. SECURITY.md says what a keeper
can do; each row is a lie, and what the client of that session may see of it."""
import os

import pytest

from house import MAIL, MORE_KIB, USERS, House, good_session, mail_of, resident, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")

# The login is refused.
REFUSED = ["snapshot_nothing", "snapshot_cut", "snapshot_wraps", "snapshot_count", "snapshot_sum",
           "snapshot_huge", "snapshot_millions", "refused_then_snapshot", "small_garbage",
           "small_empty", "small_cut", "small_tail", "small_wraps"]
# The session ends at once, or at its next word; no message comes.
ENDED = ["snapshot_twice", "snapshot_then_refused", "small_twice", "slices_unasked", "slices_flood",
         "fetched_unasked", "done_unasked", "yield_flood", "words_of_others"]
# RETR is refused or never finished.
CUT = ["sealed_short", "sealed_unsealed", "sealed_half", "sealed_file", "slice_smaller",
       "sealed_offset", "slice_rows_cut", "slice_rows_none", "slice_overlapping", "slice_shrinks",
       "fetched_other", "fetched_elsewhere", "fetched_longer", "fetched_short",
       "fetched_unsealed", "fetched_bare", "fetched_error"]
HONEST = ["slice_honest", "fetched_honest"]
# The message may come whole; what came twice is not believed or not needed.
TWICE = ["slice_twice", "fetched_twice"]
VERDICTS = ["done_partial", "done_is_snapshot", "done_twice"]
MONITOR = ["monitor_idle", "monitor_grant", "monitor_control", "monitor_garbage", "log_forged"]
ALL = REFUSED + ENDED + HONEST + CUT + TWICE + VERDICTS + MONITOR


@pytest.fixture(scope="module", name="lying")
def fixture_lying(house_dir):
    evil = {name: ("secret", 7777, []) for name in ALL}
    with House(house_dir("keeper-lies"), USERS | evil,
               {"keepers_per_owner": 1, "login_timeout": "4s"},
               evil={"restante-keeper": "evil-keeper"}) as h:
        yield h
        assert len(mail_of(h, "anna")) == len(MAIL)


@pytest.fixture(autouse=True)
def bounded(lying):
    """The same fronts as before, served and of the same size; a bystander notices nothing."""
    h = lying
    before = {p: resident(p) for p in h.children("restante-front")}
    bystander = h.connect()
    assert bystander.login("anna", "secret").startswith(b"+OK")
    yield
    assert bystander.say("STAT").startswith(b"+OK 3 ")
    assert b"body 1\r\n" in bystander.multi("RETR 2")
    assert bystander.say("QUIT").startswith(b"+OK")
    bystander.close()
    assert set(h.children("restante-front")) == set(before)
    # A sanitizer keeps what was freed for a while.
    until(lambda: all(resident(p) < kib + MORE_KIB for p, kib in before.items()), 60, "bounded")
    good_session(h)
    assert h.p.poll() is None


def log_in(h, name):
    c = h.connect()
    c.s.settimeout(60)
    return c, c.login(name, "secret")


def until_cut(c):
    """All that comes before the end; a read that times out is no end."""
    try:
        return c.f.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("name", REFUSED)
def test_a_snapshot_that_is_none_is_refused(lying, name):
    c, said = log_in(lying, name)
    assert said.startswith(b"-ERR [SYS/TEMP] "), said
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


@pytest.mark.parametrize("name", ENDED)
def test_words_that_nobody_asked_for_end_that_session(lying, name):
    since = len(lying.lines)
    c, said = log_in(lying, name)
    if name != "yield_flood":
        # First: a slice that comes just behind its RETR would be one that was asked for.
        lying.wait_for_line("event=protocol_fault peer=keeper", since=since)
    if said.startswith(b"+OK"):
        try:
            c.s.sendall(b"STAT\r\nRETR 1\r\nQUIT\r\n")
        except OSError:
            pass
        if name == "yield_flood":
            c.s.settimeout(1)  # its keeper's own answers may be lost behind its flood
        try:
            said = until_cut(c)
        except TimeoutError:
            assert name == "yield_flood"
        # Who is asked to yield and is not idle goes on, as it may.
        assert name == "yield_flood" or b"octets\r\n" not in said, said
    c.close()


@pytest.mark.parametrize("name", HONEST)
def test_without_a_lie_the_message_comes_whole(lying, name):
    """The same octets by the same ways: what is cut below is cut for the lie."""
    c, said = log_in(lying, name)
    assert said.startswith(b"+OK"), said
    lines = c.multi("RETR 1")
    assert lines[0] == b"Subject: evil\r\n" and sum(map(len, lines)) == 100
    c.close()


@pytest.mark.parametrize("name", CUT)
def test_a_message_that_is_not_there_never_seems_whole(lying, name):
    c, said = log_in(lying, name)
    assert said.startswith(b"+OK"), said
    said = c.say("RETR 1")
    if said.startswith(b"+OK"):
        # It is cut, and at once; a read that times out would be a whole message.
        assert not until_cut(c).endswith(b"\r\n.\r\n")
    else:
        assert said == b"" or said.startswith(b"-ERR")
    c.close()


@pytest.mark.parametrize("name", TWICE)
def test_what_comes_twice_counts_once(lying, name):
    c, said = log_in(lying, name)
    assert said.startswith(b"+OK"), said
    c.s.sendall(b"RETR 1\r\nQUIT\r\n")
    assert c.rest().count(b"Subject: evil\r\n") <= 1
    c.close()


@pytest.mark.parametrize("name", VERDICTS)
def test_an_answer_to_a_verdict_that_is_none_is_no_ok(lying, name):
    c, said = log_in(lying, name)
    assert said.startswith(b"+OK"), said
    assert c.say("DELE 1").startswith(b"+OK")
    said = c.say("QUIT")
    assert not said.startswith(b"+OK"), said
    c.close()


@pytest.mark.parametrize("name", MONITOR)
def test_the_monitor_does_not_believe_it(lying, name):
    h = lying
    since = len(h.lines)
    c, _ = log_in(h, name)
    c.close()
    if name == "log_forged":
        line = h.wait_for_line("event=forged", since=since)
        # The value stands in one line, between quotes, behind what the log says itself.
        head, value = line.split(" event=forged ")
        assert "program=restante-keeper" in head and "program=x" in value and value.startswith('user="')
        assert "\x1b" not in line and not [x for x in h.lines if x.startswith("event=login")]
    elif name == "monitor_idle":
        assert not [x for x in h.lines[since:] if "process_ended child=restante-keeper" in x and "uid=7777" not in x]
    else:
        h.wait_for_line("event=process_fault child=restante-keeper .*uid=7777", since=since)
