"""Helpers of auth that were taken over. SECURITY.md says what each can do; this asserts it."""
import base64
import contextlib
import os
import time

import pytest

from house import (MAIL, MORE_KIB, USERS, Client, House, descriptors, mail_of, resident, status,
                   until)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
AUTH, TEMPORARY, PERMANENT = b"-ERR [AUTH]", b"-ERR [SYS/TEMP]", b"-ERR [SYS/PERM]"


@contextlib.contextmanager
def made(house_dir, **options):
    options = {"databases": "file sql", "sql_database": "sqlite:/nowhere", "auth_helpers": 1,
               "auth_cache_unseen": "0", **options}
    with House(house_dir("helper"), USERS, options,
               evil={"restante-auth-sql": "evil-helper"}) as h:
        h.box = h.mail / "box"
        for path in (h.box, *(h.box / d for d in ("new", "cur", "tmp"))):
            path.mkdir()
            os.chown(path, 5000, 5000)
        until(lambda: granted(h, "good.x"), 60, "served by the helper")
        yield h
        assert h.p.poll() is None
        assert granted(h, "bert", "secret")
        assert len(mail_of(h, "bert")) == 3
        for pid in h.children("restante-keeper"):
            assert 5000 <= int(status(pid)["Uid"].split()[0]) < 5010


@pytest.fixture(scope="module")
def steady(house_dir):
    """For answers after which the helper is asked again."""
    with made(house_dir) as h:
        yield h


@pytest.fixture
def fresh(house_dir):
    with made(house_dir) as h:
        yield h


def says(h, name, password=None):
    c = Client(h.port)
    try:
        return c.login(name, str(h.box) if password is None else str(password))
    finally:
        c.close()


def granted(h, name, password=None):
    c = Client(h.port)
    try:
        said = c.login(name, str(h.box) if password is None else str(password))
        # With the answer to QUIT the maildrop is free for the next one.
        return said.startswith(b"+OK") and c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()


@pytest.mark.parametrize("lie,answer", [
    ("uid0", AUTH), ("gid0", AUTH), ("service", PERMANENT), ("outside", PERMANENT),
    ("dotdot", AUTH), ("other", TEMPORARY), ("noline", TEMPORARY), ("lines", TEMPORARY),
    ("fields", AUTH), ("costly", AUTH), ("wronglong", TEMPORARY)])
def test_a_line_that_no_user_may_have(steady, lie, answer):
    assert says(steady, f"{lie}.x").startswith(answer)
    assert granted(steady, "good.x")
    assert not any("\n" in line or "evil0=" in line for line in steady.lines)


def test_a_line_as_long_as_it_may_be(steady):
    assert granted(steady, "longline.x")


def test_it_can_say_whose_mail_a_name_of_its_own_is(steady):
    """SECURITY.md says so: any maildrop below the roots, under a name that no database before
    knows. Names that one knows are never asked of it."""
    c = Client(steady.port)
    assert c.login("theft.x", str(steady.mail / "bert")).startswith(b"+OK")
    assert c.say("STAT").startswith(b"+OK 3 ")
    c.close()
    assert says(steady, "bert", steady.box).startswith(AUTH)


def test_a_yes_counts_no_longer_than_the_option_says(house_dir):
    with made(house_dir, auth_cache_unseen="1s") as h:
        # It says so for 136 years, once.
        until(lambda: says(h, "forever.x").startswith(AUTH), 60, "asked again")


@pytest.mark.parametrize("lie", ["twice", "unasked", "zero", "outcome", "challenge", "named",
                                 "garbage", "flood"])
def test_an_answer_that_is_none_ends_its_channel(fresh, lie):
    auth, = fresh.children("restante-auth")
    before = descriptors(auth), resident(auth)
    c = Client(fresh.port)
    c.s.settimeout(60)
    c.login(f"{lie}.x", str(fresh.box))
    c.close()
    fresh.wait_for_line("event=protocol_fault .*an answer that is none; its channel is closed")
    # What it serves alone is not known now; nobody waits for it, and the file goes on.
    begun = time.monotonic()
    assert says(fresh, "good.x").startswith(TEMPORARY)
    assert granted(fresh, "bert", "secret")
    assert time.monotonic() - begun < 9  # auth_helper_timeout is ten
    assert descriptors(auth) <= before[0] and resident(auth) < before[1] + MORE_KIB


def test_a_permit_from_a_helper_ends_it(fresh):
    c = Client(fresh.port)
    assert c.login("grant.x", str(fresh.mail / "bert")).startswith(TEMPORARY)
    c.close()
    fresh.wait_for_line("event=process_fault child=restante-auth-sql")
    until(lambda: granted(fresh, "good.x"), 60, "replaced")


def test_one_that_dies(fresh):
    assert says(fresh, "die.x").startswith(TEMPORARY)
    until(lambda: granted(fresh, "good.x"), 60, "replaced")


def test_one_that_answers_late_is_asked_again_when_it_has(house_dir):
    with made(house_dir, auth_helper_timeout="300ms") as h:
        begun = time.monotonic()
        assert says(h, "late.x").startswith(TEMPORARY)
        assert time.monotonic() - begun < 9
        until(lambda: granted(h, "good.x"), 60, "asked again")


def test_one_that_never_answers_holds_up_one_question(house_dir):
    with made(house_dir, auth_helper_timeout="2s", auth_helpers=2) as h:
        for stuck in range(2):
            assert granted(h, "good.x")
            assert says(h, f"never.{stuck}").startswith(TEMPORARY)
        begun = time.monotonic()
        assert says(h, "good.x").startswith(TEMPORARY)
        assert time.monotonic() - begun < 1.8


def test_it_writes_no_file_and_runs_no_program(steady, house_dir):
    there = house_dir("open")
    os.chmod(there, 0o777)
    assert says(steady, "write_file.x", there).startswith(AUTH)
    assert os.listdir(there) == []
    # It goes on as if nothing were: the call has failed.
    assert granted(steady, "exec_shell.x")


# ---- tickets ---------------------------------------------------------------------

@pytest.fixture
def tickets(house_dir):
    options = {"krb5_keytab": "/etc/hostname", "krb5_realm": "EXAMPLE.TEST", "hostname": "localhost"}
    with House(house_dir("tickets"), USERS, options,
               evil={"restante-auth-krb5": "evil-helper"}) as h:
        yield h
        assert granted(h, "bert", "secret")
        assert len(mail_of(h, "bert")) == 3


def ticket(h, first):
    """A conversation that begins with these octets, and its first answer."""
    c = Client(h.port)
    until(lambda: any(b"GSSAPI" in line for line in c.multi("CAPA")), 60, "offered")
    return c, c.say("AUTH GSSAPI " + base64.b64encode(first).decode())


def test_it_can_say_whose_a_ticket_is(tickets):
    """SECURITY.md says so: anybody's. The databases say what may be done with it."""
    c, said = ticket(tickets, b"name bert")
    if said.startswith(b"+ "):
        said = c.say("")
    assert said.startswith(b"+OK")
    assert c.say("STAT").startswith(b"+OK 3 ")
    c.close()
    c, said = ticket(tickets, b"name nobody")
    if said.startswith(b"+ "):
        said = c.say("")
    assert said.startswith(AUTH)
    c.close()


def test_a_ticket_gives_no_line(tickets):
    c, said = ticket(tickets, b"found")
    assert said.startswith(TEMPORARY)
    c.close()
    tickets.wait_for_line("event=protocol_fault .*an answer that is none")


def test_challenges_as_long_as_they_may_be(tickets):
    c, said = ticket(tickets, b"huge")
    for _ in range(20):
        if not said.startswith(b"+ "):
            break
        said = c.say(base64.b64encode(b"huge").decode())
    assert said.startswith((b"+ ", b"-ERR"))
    c.close()


def test_an_answer_after_the_end(tickets):
    c, said = ticket(tickets, b"go")
    assert said.startswith(b"+ ")
    assert c.say("*").startswith(b"-ERR")
    tickets.wait_for_line("event=protocol_fault .*an answer that is none")
    assert c.say("STAT").startswith(b"-ERR")
    c.close()
