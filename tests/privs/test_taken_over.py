"""Programs that were taken over, in the place of ours: what they can do, and that others do
not notice. SECURITY.md says what a front, an auth and a keeper can do; this asserts it."""
import errno
import os
import pathlib
import re
import signal
import subprocess

import pytest

from house import (MAIL, MORE_KIB, SANITIZED, USERS, House, Mta, descriptors, good_session, mail_of,
                   resident, status, until)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")


# ---- a front --------------------------------------------------------------------

@pytest.fixture
def house(house_dir):
    """A fresh one for each attack: a front that keeps dying comes back ever more slowly."""
    with House(house_dir("front"), USERS,
               evil={"restante-front": "evil-front"}) as h:
        yield h
        assert len(mail_of(h, "bert")) == 3
        assert h.p.poll() is None


# What the wider filter of a sanitizer build lets through: an empty root still has no file
# that could be opened; what changes the process alone works.
NOTHING_THERE = f"errno={errno.ENOENT}"
LET_THROUGH = {"open_file": NOTHING_THERE, "open_up": NOTHING_THERE, "open_own_fd": NOTHING_THERE,
               "slice_reopen": NOTHING_THERE, "be_dumpable": "SUCCEEDED",
               "code_pages": "SUCCEEDED"} if SANITIZED else {}


def killed(house, attack):
    """The attack ends the process that tried it, the monitor says so, another comes."""
    before = len(house.lines)
    said = house.attack(attack)
    assert said == LET_THROUGH.get(attack, ""), said
    if attack in LET_THROUGH:
        good_session(house)
        return
    house.wait_for_line(r"event=process_ended child=restante-front .*signal=SYS", since=before)
    good_session(house)


@pytest.mark.parametrize("attack", [
    "open_file", "open_up", "open_own_fd", "make_socket", "make_unix_pair", "connect_out",
    "exec_shell", "fork_child", "kill_monitor", "trace_monitor", "become_root", "be_dumpable",
    "leave_root", "code_pages", "mount_things", "write_memory",
    "shut_listener", "block_listener", "tune_listener"])
def test_a_call_that_no_front_makes_ends_it(house, attack):
    killed(house, attack)


@pytest.mark.parametrize("attack", ["slice_truncate", "slice_chmod", "slice_flock", "slice_lock",
                                    "slice_reopen"])
def test_a_slice_cannot_be_locked_or_changed(house, attack):
    assert house.attack("login_as anna secret") == "attached"
    killed(house, attack)
    assert mail_of(house, "anna")


@pytest.mark.parametrize("attack,error", [("slice_write", errno.EBADF), ("slice_pwrite", errno.EBADF)])
def test_a_slice_is_read_only(house, attack, error):
    assert house.attack("login_as anna secret") == "attached"
    said = house.attack(attack)
    assert said in (f"errno={error}", ""), said
    house.attack("quit_session")


def test_tables_of_other_fronts_are_read_only(house):
    assert "SUCCEEDED" not in house.attack("peers_write")


def test_no_login_without_the_password(house):
    assert house.attack("login_as bert wrong") == "refused"
    assert house.attack("login_as nobody secret") == "refused"
    assert house.attack("login_as ../bert secret") == "refused"


def test_a_session_is_granted_once(house):
    assert house.attack("login_again anna secret") in ("silence", "refused")
    house.attack("quit_session")
    good_session(house)


@pytest.mark.parametrize("attack", ["grant_to_monitor", "grant_to_auth"])
def test_a_front_cannot_grant(house, attack):
    said = house.attack(f"{attack} {house.mail}/bert")
    assert "SUCCEEDED" not in said
    good_session(house)


def test_a_session_channel_takes_no_permit(house):
    assert house.attack("login_as anna secret") == "attached"
    assert house.attack("attach_to_session bert") in ("end", "")
    assert len(mail_of(house, "bert")) == 3
    good_session(house)


@pytest.mark.parametrize("attack", ["control_to_monitor", "users_ask_to_monitor", "idle_to_monitor"])
def test_words_of_others_are_not_taken_from_a_front(house, attack):
    house.attack(attack)
    good_session(house)
    assert house.p.poll() is None


@pytest.mark.parametrize("who", ["monitor", "auth", "log"])
def test_garbage(house, who):
    house.attack(f"garbage {who}")
    good_session(house)
    assert house.p.poll() is None


def test_garbage_to_a_keeper_ends_that_session_only(house):
    assert house.attack("login_as anna secret") == "attached"
    house.attack("garbage keeper")
    assert len(mail_of(house, "anna")) == 3
    good_session(house)


@pytest.mark.parametrize("who", ["monitor", "auth", "log"])
def test_descriptors_that_nobody_asked_for_are_not_kept(house, who):
    program = {"monitor": None, "auth": "restante-auth", "log": "restante-log"}[who]

    def count():
        pid = house.p.pid if program is None else next(iter(house.children(program)))
        return len(os.listdir(f"/proc/{pid}/fd"))
    good_session(house)
    before = count()
    house.attack(f"with_descriptors {who}")
    good_session(house)
    until(lambda: count() <= before + 4, 60, "back to as many descriptors as before")


@pytest.mark.parametrize("attack", ["want_nothing_there", "fetch_beyond"])
def test_what_is_not_there_is_not_given(house, attack):
    assert house.attack("login_as anna secret") == "attached"
    assert house.attack(attack) not in ("SLICES", "FETCHED")
    house.attack("quit_session")
    good_session(house)


def test_one_that_never_reads_its_descriptors(house):
    assert house.attack("login_as anna secret") == "attached"
    keeper = {p for p in house.children("restante-keeper")
              if status(p)["Uid"].split()[0] == "5000"}
    assert keeper
    said = house.attack("never_read")
    assert said.startswith("sent=") and int(said[5:]) < 5000, said
    for p in keeper:
        assert len(os.listdir(f"/proc/{p}/fd")) < 200
        assert int(status(p)["VmRSS"].split()[0]) < 64 * 1024
    assert good_session(house) < 1.9
    house.attack("quit_session")


def test_a_verdict_reaches_only_what_is_logged_in(house):
    assert house.attack("login_as carl secret") == "attached"
    assert house.attack("verdict_beyond") in ("end", "done outcome=1 removed=0")
    assert len(mail_of(house, "carl")) == 3
    house.attack("quit_session")
    assert house.attack("login_as carl secret") == "attached"
    assert house.attack("verdict_zero") in ("end", "done outcome=1 removed=0")
    assert len(mail_of(house, "carl")) == 3
    house.attack("quit_session")
    # This it can do: delete what was logged in through it.
    assert house.attack("login_as carl secret") == "attached"
    assert house.attack("verdict_first") == "done outcome=1 removed=1"
    assert len(mail_of(house, "carl")) == 2
    assert len(mail_of(house, "bert")) == 3


def test_an_unfinished_verdict_deletes_nothing(house):
    assert house.attack("login_as dora secret") == "attached"
    house.attack("verdict_unfinished")
    assert house.attack("login_as dora secret") == "attached"
    assert house.attack("verdict_twice") in ("end", "silence")
    assert len(mail_of(house, "dora")) == 3


def test_a_read_only_permit_deletes_nothing(house):
    """SECURITY.md: a front deletes by verdict unless the permit lacks it; outcome 5 is
    VERDICT_DENIED."""
    denied = "done outcome=5 removed=0"
    # The second marks more messages than there are, which ends the session at once.
    for attack, answers in (("verdict_first", [denied]), ("verdict_all", ["end", denied])):
        assert house.attack("login_as frozen secret") == "attached"
        assert house.attack(attack) in answers
        assert len(mail_of(house, "frozen")) == 3
        house.attack("quit_session")
    c = house.connect()
    assert c.login("frozen", "secret").startswith(b"+OK")
    assert c.say("DELE 1").startswith(b"-ERR")
    assert b"body 0\r\n" in c.multi("RETR 1")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    assert len(mail_of(house, "frozen")) == 3


def test_log_lines_cannot_be_forged(house):
    before = len(house.lines)
    house.attack("forge_log")
    good_session(house)
    # It is told of once a second what was no record.
    house.wait_for_line("program=restante-front .*event=dropped .*malformed=1", since=before)
    said = house.wait_for_line("event=forged", since=before)
    assert "program=restante-front" in said.split(" event=forged ")[0], said
    assert said.split(" event=forged ")[1].startswith('user="x'), said
    for line in house.lines[before:]:
        assert "\x1b" not in line
        assert not line.startswith("event="), line


def test_a_flood_of_log_records_stops_nobody(house):
    house.attack("flood_log")
    assert good_session(house) < 2


def test_a_flood_of_logins_stops_nobody(house):
    house.attack("login_flood nobody")
    assert good_session(house) < 5


def test_one_that_does_not_hear_of_its_grants_is_not_ended_for_it(house):
    """So looks a front with more logins at once than its channel holds: a storm is no fault."""
    fronts = {p for p, name in house.children().items() if "front" in name}
    said = house.attack("never_hear anna secret")
    assert said.startswith("sent=") and int(said[5:]) > 5000, said

    def served():
        c = house.connect()
        try:
            return c.login("bert", "secret").startswith(b"+OK")
        finally:
            c.close()
    until(served, 60, "served while its grants are worked off")
    assert fronts <= set(house.children())


@pytest.mark.parametrize("attack", ["say_full", "spin_stat"])
def test_lies_about_itself(house, attack):
    house.attack(attack)
    good_session(house)
    assert house.p.poll() is None


# ---- an lmtpd -------------------------------------------------------------------

@pytest.fixture
def deliverer(house_dir):
    with House(house_dir("lmtpd"), USERS, {"spool_dir": "/var/tmp"},
               evil={"restante-lmtpd": "evil-lmtpd"}, lmtp=True) as h:
        yield h
        assert h.p.poll() is None
        assert len(mail_of(h, "bert")) == 3
        good_session(h)


@pytest.mark.parametrize("attack", ["open_file", "make_socket", "exec_shell", "fork_child",
                                    "kill_monitor", "become_root", "shut_listener", "spool_link"])
def test_a_call_that_no_lmtpd_makes_ends_it(deliverer, attack):
    h = deliverer
    if attack == "spool_link":
        assert h.attack("spool") == "spooled"
    said = h.attack(attack)
    assert said == LET_THROUGH.get(attack, ""), said
    if attack in LET_THROUGH:
        return
    h.wait_for_line(r"event=process_ended child=restante-lmtpd .*signal=SYS")
    # Another one comes, and serves the same socket.
    assert h.attack("lookup_as anna") == "attached"


def test_lmtpd_can_deposit_as_anyone(deliverer):
    """SECURITY.md says so; outcome 1 is DEPOSIT_DONE."""
    assert deliverer.attack("deposit anna") == "deposited=1"
    assert len(mail_of(deliverer, "anna")) == 4
    # A read-only user gets mail too.
    assert deliverer.attack("deposit frozen+x@example.org") == "deposited=1"
    assert deliverer.attack("lookup_as nobody") == "failed=8"
    assert deliverer.attack("lookup_as ../bert") == "failed=8"


@pytest.mark.parametrize("attack", ["want_mail", "delete_mail"])
def test_a_deposit_channel_gives_and_deletes_nothing(deliverer, attack):
    assert deliverer.attack(f"{attack} bert") == "end"


@pytest.mark.parametrize("attack", ["deposit_beyond", "deposit_nothing", "deposit_socket"])
def test_what_is_no_message_is_not_deposited(deliverer, attack):
    assert deliverer.attack(f"{attack} bert") == "end"


def test_a_spool_that_can_still_be_written_is_not_taken(deliverer):
    assert deliverer.attack("spool") == "spooled"
    assert deliverer.attack("spool_write_to_the_read_only") == f"errno={errno.EBADF}"
    assert deliverer.attack("deposit_writable bert") == "end"


def test_a_session_of_lmtpd_is_granted_once(deliverer):
    assert deliverer.attack("lookup_again anna") == "silence"


@pytest.mark.parametrize("attack", ["log_in anna", "grant_to_monitor"])
def test_lmtpd_cannot_log_in_or_grant(deliverer, attack):
    if attack == "grant_to_monitor":
        attack += f" {deliverer.mail}/bert"
    assert deliverer.attack(attack) in ("end", "")
    what = "message=LOGIN" if "log_in" in attack else "process_fault child=restante-lmtpd"
    deliverer.wait_for_line(what)


def test_spools_are_limited_in_rate(deliverer):
    said = re.fullmatch(r"made=(\d+) refused=(\d+)", deliverer.attack("spool_flood"))
    assert int(said[1]) + int(said[2]) == 2000 and int(said[2]) > 500, said[0]
    assert deliverer.attack("lookup_as anna") == "attached"


def test_a_spool_whose_files_no_keeper_takes(house_dir):
    """On overlay a large message would be refused for ever: it is spooled in memory."""
    base = pathlib.Path(house_dir("overlay"))
    parts = [base / p for p in ("lower", "upper", "work", "spool", "house")]
    for p in [base, *parts]:
        p.mkdir(mode=0o755, exist_ok=True)
        p.chmod(0o755)
    mount = "mount -t overlay none -o lowerdir={},upperdir={},workdir={} {}".format(*parts[:4])
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode != 0:
        pytest.skip("no overlay here")
    with House(parts[4], USERS, {"spool_dir": parts[3], "spool_memory": "64K"}, lmtp=True,
               wrap=["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]) as h:
        h.wait_for_line("spool_dir: .*cannot read without waiting")
        mta = Mta(h.lmtp)
        letter = b"Subject: large\r\n\r\n" + b"x" * 70 * 1024 * 3 + b"\r\n"
        for say, answer in ((b"LHLO x", b"250 SIZE"), (b"MAIL FROM:<a@b>", b"250"),
                            (b"RCPT TO:<anna>", b"250"),
                            (b"BDAT %d LAST\r\n" % len(letter) + letter[:-2], b"250 2.0.0")):
            mta.s.sendall(say + b"\r\n")
            while (line := mta.f.readline())[3:4] == b"-":
                pass
            assert line.startswith(answer), line
        mta.close()
        assert len(mail_of(h, "anna")) == 4


@pytest.mark.parametrize("name", ["nobody", "anna"])
def test_answers_that_lmtpd_does_not_take_cost_nobody_anything(deliverer, name):
    h = deliverer
    assert h.attack("deposit anna") == "deposited=1"
    good_session(h)
    auth, = h.children("restante-auth")
    before = {p: (descriptors(p), resident(p)) for p in (auth, h.p.pid)}
    said = h.attack(f"lookup_flood {name}", 60)
    assert said == "" or int(said.removeprefix("sent=")) > 0, said
    # The others are served as before, and what waits for it is bounded.
    assert good_session(h) < 5

    def grown():
        return [(descriptors(p) - n, resident(p) - kib) for p, (n, kib) in before.items()]
    until(lambda: all(n <= 40 and kib <= MORE_KIB for n, kib in grown()), 20,
          lambda: f"bounded: {grown()}")
    assert auth in h.children("restante-auth")


def test_ways_that_are_never_used_leave_room_for_sessions(deliverer):
    h = deliverer
    said = h.attack("hoard bert", 120)
    assert int(said.removeprefix("kept=")) > 200, said
    assert good_session(h) < 5
    # With its end all of them end.
    keepers = h.children("restante-keeper")
    lmtpd, = h.children("restante-lmtpd")
    os.kill(lmtpd, signal.SIGKILL)
    until(lambda: all(descriptors(p) < 60 for p in keepers if p in h.children()), 60, "let go")
    until(lambda: h.attack("lookup_as anna") == "attached", 60, "another one")


# ---- an auth --------------------------------------------------------------------

@pytest.fixture(scope="module")
def lying_auth(house_dir):
    with House(house_dir("auth"), {n: v for n, v in USERS.items()} |
               {"good": ("x", 5000, list(MAIL))},
               # Half of it is what a front waits for an answer.
               {"login_timeout": "4s", "mail_uid_max": 3999999999},
               evil={"restante-auth": "evil-auth"}) as h:
        yield h


# What the monitor drops without a word, the front answers when its patience ends.
REFUSED_LIES = {lie: b"-ERR [SYS/TEMP] " for lie in ("deadfront", "garbage")}
# A session that nobody has: this login is never answered by auth, either.
REFUSED_LIES["nosession"] = b"-ERR [SYS/TEMP] "


@pytest.mark.parametrize("lie", [
    "uid0", "gid0", "service", "front", "toolow", "toohigh", "nouid", "gidservice", "deliver",
    "outside", "root", "relative", "empty",
    "badstore", "badaddress", "deadfront", "nosession", "nul", "dotdot", "garbage"])
def test_a_lie_of_auth_is_not_believed(lying_auth, lie):
    h = lying_auth
    monitor = h.p.pid
    c = h.connect()
    said = c.login(lie, "x")
    c.close()
    assert said.startswith(REFUSED_LIES.get(lie, b"-ERR [SYS/PERM] ")), said
    assert h.p.poll() is None and h.p.pid == monitor
    for pid in h.children("restante-keeper"):
        uid = int(status(pid)["Uid"].split()[0])
        assert uid == 5000
    until(lambda: honest(h), 60, "served by the honest part")


def honest(h):
    c = h.connect()
    try:
        return c.login("good", "x").startswith(b"+OK")
    finally:
        c.close()


@pytest.mark.parametrize("lie", ["twice", "flood"])
def test_a_session_is_attached_once_whatever_auth_says(lying_auth, lie):
    h = lying_auth
    (h.mail / lie).mkdir(exist_ok=True)
    os.chown(h.mail / lie, 5000, 5000)
    c = h.connect()
    said = c.login(lie, "x")
    assert said.startswith((b"+OK", b"-ERR"))
    c.close()
    until(lambda: honest(h), 60, "served afterwards")


# ---- a keeper -------------------------------------------------------------------

BAD_SNAPSHOTS = ["magic", "version", "count", "total", "overflow", "uidl_control",
                 "uidl_outside", "uidl_empty", "snapshot_pipe", "snapshot_unsealed",
                 "snapshot_half_sealed", "snapshot_file", "snapshot_none", "snapshot_garbage",
                 "snapshot_many", "refused_odd", "die"]
BAD_SLICES = ["slice_pipe", "slice_socket", "slice_directory", "slice_device", "slice_writable",
              "slice_path", "slice_unsealed", "slice_beyond", "slice_overflow",
              "slice_not_asked", "slice_no_message", "slice_kind", "slice_no_fd",
              "slice_many_fds", "slice_wire"]


@pytest.fixture(scope="module")
def lying_keeper(house_dir):
    evil = {name: ("secret", 7777, []) for name in
            BAD_SNAPSHOTS + BAD_SLICES + ["snapshot_never", "slice_never", "done_odd", "done_never"]}
    with House(house_dir("keeper"), USERS | evil, {"keepers_per_owner": 1},
               evil={"restante-keeper": "evil-keeper"}) as h:
        yield h


def fronts(h):
    return set(h.children("restante-front"))


@pytest.mark.parametrize("name", BAD_SNAPSHOTS)
def test_a_bad_snapshot_ends_that_session_only(lying_keeper, name):
    h = lying_keeper
    before = fronts(h)
    bystander = h.connect()
    assert bystander.login("anna", "secret").startswith(b"+OK")
    c = h.connect()
    assert not c.login(name, "secret").startswith(b"+OK")
    c.close()
    assert bystander.say("NOOP").startswith(b"+OK")
    bystander.say("QUIT")
    bystander.close()
    assert fronts(h) == before


@pytest.mark.parametrize("name", BAD_SLICES)
def test_a_bad_slice_ends_that_session_only(lying_keeper, name):
    h = lying_keeper
    before = fronts(h)
    c = h.connect()
    assert c.login(name, "secret").startswith(b"+OK")
    said = c.say("RETR 1")
    if said.startswith(b"+OK"):
        # Announced, but never finished: the terminator does not come.
        assert not c.rest().endswith(b"\r\n.\r\n")
    c.close()
    assert fronts(h) == before
    good_session(h)


@pytest.mark.parametrize("name", ["snapshot_never", "slice_never", "done_never"])
def test_a_keeper_that_does_not_answer_delays_nobody_else(lying_keeper, name):
    h = lying_keeper
    c = h.connect()
    c.s.settimeout(0.5)
    try:
        if c.login(name, "secret").startswith(b"+OK"):
            c.say("RETR 1" if name == "slice_never" else "DELE 1")
            c.say("QUIT")
    except TimeoutError:
        pass
    assert good_session(h) < 1.9  # what waits for somebody in the server waits two seconds
    c.close()


def test_an_odd_answer_to_a_verdict_is_no_ok(lying_keeper):
    c = lying_keeper.connect()
    assert c.login("done_odd", "secret").startswith(b"+OK")
    assert c.say("DELE 1").startswith(b"+OK")
    assert not c.say("QUIT").startswith(b"+OK")
    c.close()
    good_session(lying_keeper)
