"""Helpers of databases in a running office: a reload puts others in their place when a file
that they have read is another one now, and nobody who logs in meanwhile notices; and what
sql_stores says is offered before anybody has logged in."""
import contextlib
import subprocess
import threading

import pytest

import test_db_office
from postoffice import Office, until
from pop import Pop
from test_db_office import Sql, Sqlite, in_as, login

drops = test_db_office.drops
PROGRAM = "restante-auth-sql"


def restante(o, *args):
    return subprocess.run([o.build / "restante", args[0], "--socket", o.dir / "run" / "control",
                           *args[1:]], capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def office_of(base, drops, **sets):
    office = Office(sets=dict(base.sets, mail_roots=drops, maildrop="maildir:~/Maildir",
                              login_failure_delay="0", **sets))
    try:
        yield office
    finally:
        office.stop()


@pytest.fixture(scope="module")
def postgres(drops):
    base = Sql(drops)
    yield base
    base.close()


class Busy:
    """Somebody who logs in all the time; what he was told is in `said`."""

    def __init__(self, office):
        self.office, self.said, self.over = office, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            self.said.append(login(self.office, "anna", "same")[0])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_a_changed_password_file_is_taken_up(postgres, drops):
    word = postgres.sets["sql_password_file"]
    with office_of(postgres, drops, auth_cache="0") as o:
        assert in_as(o, "anna", "same")
        old = set(o.pids(PROGRAM))
        assert len(old) == 2
        # Nothing changed: the same ones go on.
        since = o.mark()
        assert restante(o, "reload").returncode == 0
        o.wait_for_log("is in force", since=since)
        assert set(o.pids(PROGRAM)) == old
        postgres.sql("ALTER ROLE mail PASSWORD 'another'")
        word.write_text("another\n")
        with Busy(o) as busy:
            until(lambda: len(busy.said) > 3)
            assert restante(o, "reload").returncode == 0
            until(lambda: len(o.pids(PROGRAM)) == 2 and not old & set(o.pids(PROGRAM)), 60, o.log)
            n = len(busy.said)
            until(lambda: len(busy.said) > n + 3)
        assert all(x.startswith(b"+OK") for x in busy.said), busy.said
        assert in_as(o, "bert", "same")
        # One that cannot start takes nothing away.
        old = set(o.pids(PROGRAM))
        since = o.mark()
        word.chmod(0o644)
        assert restante(o, "reload").returncode == 0
        o.wait_for_log("open to others than its owner", since=since)
        assert in_as(o, "carl", "other") and old <= set(o.pids(PROGRAM))
        word.chmod(0o600)
        assert restante(o, "reload").returncode == 0
        until(lambda: len(o.pids(PROGRAM)) == 2 and not old & set(o.pids(PROGRAM)), 60, o.log)
        assert in_as(o, "anna", "same")
        # And without the file the reload is refused, as a start would be.
        since, away = o.mark(), word.with_name("away")
        word.rename(away)
        assert restante(o, "reload").returncode == 0
        o.wait_for_log("sql_password_file: .*No such file", since=since)
        assert in_as(o, "bert", "same")
        away.rename(word)


def mechanisms(o):
    with Pop("localhost", o.pop3s, tls_ca=o.ca) as p:
        return next(x for x in p.multi("CAPA") if x.startswith(b"SASL")).split()[1:]


@pytest.mark.parametrize("stores, offered", [
    ("", set()),
    ("hash", set()),
    ("scram-sha-256 hash", {b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS"}),
    ("plain", {b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-1", b"SCRAM-SHA-1-PLUS",
               b"CRAM-MD5"})])
def test_what_is_stored_is_offered_from_the_start(drops, stores, offered):
    base = Sqlite(drops)
    try:
        with office_of(base, drops, sql_stores=stores) as o:
            always = {b"PLAIN", b"LOGIN"}
            until(lambda: set(mechanisms(o)) == always | offered, why=lambda: mechanisms(o))
            assert in_as(o, "anna", "same")
            # Without a word of the operator, what was seen counts: here plain passwords.
            if not stores:
                until(lambda: b"CRAM-MD5" in mechanisms(o))
            else:
                assert set(mechanisms(o)) == always | offered
    finally:
        base.close()
