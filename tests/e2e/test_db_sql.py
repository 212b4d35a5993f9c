"""restante-auth-sql: SQLite, and a PostgreSQL that is killed in the middle."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import tempfile
import time

import pytest

import databases
import helper_alone
from helper_alone import (FOUND, LANDLOCK, LOOKUP, NO_USER, SECCOMP, TEMPORARY, USER, VERIFY,
                          Failed, Helper)
from postoffice import suspend, until

QUERY = "SELECT name, password, uid, gid, home, maildrop FROM users WHERE name = $1"
TABLE = """CREATE TABLE users (name TEXT, password TEXT, uid INTEGER, gid INTEGER, home TEXT,
    maildrop TEXT, allow_nets TEXT)"""
ROWS = """INSERT INTO users VALUES
    ('bob', '{PLAIN}secret', 1001, 1002, '/home/bob', NULL, '192.0.2.0/24'),
    ('bobby', '{PLAIN}other', 1003, 1003, '/home/bobby', 'maildir:~/M', NULL),
    ('BOB', '{PLAIN}third', 1004, 1004, '/home/third', NULL, NULL),
    ('bob@example.org', '{PLAIN}mail', 1005, 1005, NULL, NULL, NULL),
    ('o''brien', '{PLAIN}quoted', 1006, 1006, NULL, NULL, NULL),
    ('jürgen', '{PLAIN}ü', 1007, 1007, NULL, NULL, NULL),
    ('nopassword', NULL, 1008, 1008, NULL, NULL, NULL),
    ('empty', '', 1009, 1009, NULL, NULL, NULL),
    ('colon', '{PLAIN}a:b', 1010, 1010, NULL, NULL, NULL),
    ('twice', '{PLAIN}a', 1011, 1011, NULL, NULL, NULL),
    ('twice', '{PLAIN}b', 1012, 1012, NULL, NULL, NULL),
    ('blank', '{PLAIN}a', 1013, 1013, NULL, 'maildir:/a userdb_uid=7', NULL),
    ('line', '{PLAIN}a' || %s || 'eve:{PLAIN}a', 1014, 1014, NULL, NULL, NULL)"""
BOB = b"bob:{PLAIN}secret:1001:1002::/home/bob::"
NAMES = [b"' OR '1'='1", b"bob' --", b"bob'; DROP TABLE users; --", b"*", b"%", b"b_b", b"bo%", b"$1",
         b"\\", b"bob\\' OR 1=1 --", b"\"", b"bob\0", b"\0", b"bob:x", b"bob\n", b"", b" bob", b"bob ",
         b"\xff\xfe", b"b\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"a" * 255, b"a" * 256, b"a" * 1024,
         b"../bob", b"Bob", b"(bob)", b"1 UNION SELECT * FROM users"]


@pytest.fixture
def open_dir():
    """A directory that the helper's user may enter."""
    path = tempfile.mkdtemp(prefix="rst-", dir="/tmp")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def helper():
    running = []

    def start(database, query=QUERY, **options):
        settings = {"sql_database": database, "sql_query": query,
                    "sql_password_file": options.pop("password_file", "")}
        running.append(Helper("sql", settings, **options))
        return running[-1]
    yield start
    for h in running:
        assert h.done() == 0, "it ends in order when the monitor is gone"


def file_of(path, rows=ROWS % "char(10)", wal=False):
    db = sqlite3.connect(path)
    if wal:
        db.execute("PRAGMA journal_mode=WAL")
    db.execute(TABLE)
    db.execute(rows)
    db.commit()
    os.chmod(path, 0o644)
    return db


@pytest.fixture
def sqlite(open_dir, helper):
    path = open_dir + "/users.db"
    file_of(path).close()

    def start(query=QUERY, **options):
        h = helper("sqlite:" + path, query, **options)
        h.path = path
        return h
    return start


@pytest.fixture(scope="module")
def server():
    s = databases.Postgres()
    s.sql(f"CREATE ROLE mail LOGIN PASSWORD 'mailword'; {TABLE}; {ROWS % 'chr(10)'};"
          "GRANT SELECT ON users TO mail;")
    yield s
    s.close()


@pytest.fixture
def postgres(server, helper, tmp_path):
    word = tmp_path / "word"
    word.write_text("mailword\n")
    word.chmod(0o600)

    def start(query=QUERY, uri=None, **options):
        options.setdefault("timeout_ms", 60000)
        return helper(uri or server.uri(), query, password_file=word, **options)
    return start


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    return request.getfixturevalue(request.param)


# ---- what both do ----------------------------------------------------------------------


def test_a_row_is_a_line(database):
    h = database()
    assert h.cage & SECCOMP and (os.geteuid() != 0 or h.cage & USER)
    for ask in (h.lookup, lambda name: h.verify(name, b"secret")):
        a = ask(b"bob")
        assert (a.outcome, a.line, a.name, a.octets) == (FOUND, BOB, b"", b"")
        assert ask(b"nobody").outcome == NO_USER
    a = h.lookup(b"bobby")
    assert a.line == b"bobby:{PLAIN}other:1003:1003::/home/bobby::userdb_mail=maildir:~/M"
    assert h.lookup("jürgen".encode()).line.startswith("jürgen:{PLAIN}ü:1007:".encode())


def test_two_users_with_like_names_are_never_mixed(database):
    h = database()
    for _ in range(3):
        for name, uid in (b"bob", b"1001"), (b"BOB", b"1004"), (b"bobby", b"1003"), \
                (b"bob@example.org", b"1005"), (b"o'brien", b"1006"):
            a = h.verify(name, b"x")
            assert a.outcome == FOUND and a.line.split(b":")[0] == name and a.line.split(b":")[2] == uid


def test_names_are_data(database):
    h = database()
    for name in NAMES:
        a = h.verify(name, b"x")
        assert a.outcome == NO_USER and a.line == b"", name
    assert h.lookup(b"bob").line == BOB
    assert not h.logged()


def test_a_user_without_a_password_is_locked_never_let_in(database):
    """An empty field would tell auth that the database had checked the password."""
    h = database()
    for name in b"nopassword", b"empty":
        for a in h.verify(name, b""), h.verify(name, b"x"), h.lookup(name):
            assert a.outcome == FOUND and a.line.split(b":")[1] == b"!"


def test_rows_that_cannot_be_lines_are_temporary(database):
    h = database()
    for name, reason in (b"twice", b"more than one row"), (b"colon", b"colon"), (b"line", b"control"):
        a = h.verify(name, b"a")
        assert (a.outcome, a.line) == (TEMPORARY, b"") and reason in a.reason, name
    h = database("SELECT password, maildrop FROM users WHERE name = $1")
    a = h.verify(b"blank", b"a")
    assert a.outcome == TEMPORARY and b"blank" in a.reason
    assert h.counter("HELPER_TEMPORARY") == 1


def test_every_other_column_is_an_extra_field(database):
    h = database("SELECT * FROM users WHERE name = $1")
    assert h.lookup(b"bob").line == BOB + b"allow_nets=192.0.2.0/24"
    h = database('SELECT password, 1 AS "Bad Key" FROM users WHERE name = $1')
    a = h.lookup(b"bob")
    assert a.outcome == TEMPORARY and b"field's name" in a.reason
    h = database("SELECT password, uid, gid AS uid FROM users WHERE name = $1")
    a = h.lookup(b"bob")
    assert a.outcome == TEMPORARY and b"twice" in a.reason


def test_an_extra_field_that_is_empty_goes_on_for_auth_to_refuse(database):
    """Left out, it would be a limit that nobody set."""
    h = database("SELECT password, '' AS userdb_read_only, '' AS maildrop FROM users "
                 "WHERE name = $1")
    assert h.lookup(b"bob").line == b"bob:{PLAIN}secret::::::userdb_read_only="


def test_a_name_that_differs_in_case_is_another_user(database):
    h = database("SELECT name, password FROM users WHERE lower(name) = lower($1) AND name = 'bobby'")
    assert h.lookup(b"bobby").outcome == FOUND
    a = h.lookup(b"Bobby")
    assert a.outcome == NO_USER and b"differs" in a.reason


def test_parts_of_the_name(database):
    h = database("SELECT password FROM users WHERE name = $2 || '@' || $3")
    assert h.lookup(b"bob@example.org").outcome == FOUND
    assert h.lookup(b"bob@example.com").outcome == NO_USER
    h = database("SELECT password FROM users WHERE name = $2")
    assert h.lookup(b"bob@anything").line == b"bob@anything:{PLAIN}secret::::::"


def test_the_cage(database):
    h = database()
    assert h.lookup(b"bob").outcome == FOUND
    with open(f"/proc/{h.process.pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert int(status["CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert status["Uid"].split() == ["65533"] * 4 and status["Groups"].strip() == ""


def test_other_questions_get_no_yes(database):
    h = database()
    assert h.token(b"bob", b"x").outcome == TEMPORARY
    h.end(1)
    assert h.lookup(b"bob").outcome == FOUND


def test_a_new_auth_is_served(database):
    h = database()
    question = h.send_ask(LOOKUP, b"bob")
    h.answer(question)
    h.new_channel()
    assert h.lookup(b"bob").line == BOB


def wait_asked(server):
    """Until PostgreSQL works on a question that sleeps."""
    deadline = time.monotonic() + 60
    while "1" not in server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                                "'%pg_sleep(%' AND usename = 'mail' AND state = 'active'"):
        assert time.monotonic() < deadline


def test_an_answer_for_an_auth_that_is_gone_is_dropped(server, postgres):
    # Long enough to be seen at it.
    h = postgres("SELECT password FROM users, pg_sleep(CASE $1 WHEN 'bob' THEN 4 ELSE 0 END) "
                 "WHERE name = $1")
    h.send_ask(VERIFY, b"bob", b"x")
    wait_asked(server)
    h.new_channel()
    assert h.lookup(b"bobby").line.startswith(b"bobby:")
    assert h.counter("HELPER_ANSWERS") == 2 and h.counter("HELPER_ANSWERS_LOST") == 1


def test_a_set_up_for_another_helper_stops_the_start(monkeypatch):
    monkeypatch.setitem(helper_alone.BACKENDS, "sql", helper_alone.BACKENDS["ldap"])
    with pytest.raises(Failed, match="another helper"):
        Helper("sql", {"sql_database": "sqlite:/x", "sql_query": QUERY})


def test_a_malformed_question_ends_the_channel_not_the_helper(database):
    h = database()
    h.auth.send(b"\x81\0nonsense")
    assert h.receive(h.auth, 5) == b""
    assert h.log_line("protocol_fault")["peer"] == b"auth"
    h.new_channel()
    assert h.lookup(b"bob").outcome == FOUND


@pytest.mark.parametrize("query, what", [
    ("SELECT password FROM users", "every name"),
    ("SELECT password FROM users WHERE name = '$1'", "every name"),
    ("SELECT password FROM users -- $1", "every name"),
    ("SELECT password FROM users WHERE name = $4", "no others"),
    ("SELECT password FROM users WHERE name = $12", "no others"),
    ("SELECT password FROM users WHERE name = ?", "write $1"),
    ("SELECT password FROM users WHERE domain = $3", "every name"),
])
def test_a_query_that_cannot_be_right_stops_the_start(query, what):
    with pytest.raises(Failed, match=what.replace("$", r"\$")):
        Helper("sql", {"sql_database": "sqlite:/x", "sql_query": query, "sql_password_file": ""})


# ---- SQLite ----------------------------------------------------------------------------


def test_sqlite_is_never_made(open_dir, helper):
    h = helper(f"sqlite:{open_dir}/none.db")
    a = h.verify(b"bob", b"secret")
    assert a.outcome == TEMPORARY and b"cannot be read" in a.reason
    assert not os.path.exists(open_dir + "/none.db")
    assert h.log_line("database_lost")
    file_of(open_dir + "/none.db").close()
    assert h.lookup(b"bob").line == BOB
    assert h.log_line("database_back")


def test_sqlite_cannot_write(sqlite):
    h = sqlite("DELETE FROM users WHERE name = $1")
    assert h.lookup(b"bob").outcome == TEMPORARY
    h = sqlite()
    assert h.lookup(b"bob").outcome == FOUND
    if os.geteuid() == 0:
        assert h.cage & LANDLOCK


def test_sqlite_replaced_and_removed_in_the_middle(sqlite, open_dir):
    h = sqlite()
    assert h.lookup(b"bob").line == BOB
    new = open_dir + "/new.db"
    file_of(new, "INSERT INTO users VALUES ('bob', '{PLAIN}new', 7, 7, NULL, NULL, NULL)").close()
    os.rename(new, h.path)
    assert h.lookup(b"bob").line == b"bob:{PLAIN}new:7:7::::"
    assert h.lookup(b"bobby").outcome == NO_USER
    os.rename(h.path, new)
    assert h.verify(b"bob", b"new").outcome == TEMPORARY
    os.rename(new, h.path)
    assert h.lookup(b"bob").outcome == FOUND


def test_sqlite_changes_count_at_once(sqlite):
    h = sqlite()
    assert h.lookup(b"bob").line == BOB
    db = sqlite3.connect(h.path)
    db.execute("UPDATE users SET password = '{PLAIN}changed' WHERE name = 'bob'")
    db.commit()
    assert b"changed" in h.lookup(b"bob").line
    db.execute("DELETE FROM users WHERE name = 'bob'")
    db.commit()
    db.close()
    assert h.lookup(b"bob").outcome == NO_USER


def test_sqlite_locked_is_temporary_within_the_time(sqlite):
    h = sqlite(timeout_ms=600)
    db = sqlite3.connect(h.path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    assert h.lookup(b"bob").outcome == TEMPORARY
    assert 0.3 < time.monotonic() - begin < 30
    db.execute("ROLLBACK")
    db.close()
    assert h.lookup(b"bob").line == BOB


def test_sqlite_slow_query_is_temporary_within_the_time(sqlite):
    h = sqlite("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
               "SELECT password FROM users WHERE name = $1 AND (SELECT count(*) FROM c) > 0",
               timeout_ms=600)
    begin = time.monotonic()
    a = h.lookup(b"bob")
    assert a.outcome == TEMPORARY and b"too long" in a.reason
    assert time.monotonic() - begin < 30


def test_sqlite_with_a_write_ahead_log(open_dir, helper):
    path = open_dir + "/wal.db"
    db = file_of(path, wal=True)
    for name in os.listdir(open_dir):
        os.chmod(f"{open_dir}/{name}", 0o644)
    h = helper("sqlite:" + path)
    assert h.lookup(b"bob").line == BOB
    db.execute("UPDATE users SET password = '{PLAIN}wal' WHERE name = 'bob'")
    db.commit()
    assert b"wal" in h.lookup(b"bob").line
    db.close()
    assert b"wal" in h.lookup(b"bob").line


def test_sqlite_whose_log_was_put_away_cannot_be_read(open_dir, helper):
    """SQLite would have to make files beside it, which we may not."""
    path = open_dir + "/wal.db"
    file_of(path, wal=True).close()
    h = helper("sqlite:" + path)
    a = h.lookup(b"bob")
    assert (a.outcome, a.line) == (TEMPORARY, b"")
    assert sorted(os.listdir(open_dir)) == ["wal.db"]
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    assert h.lookup(b"bob").line == BOB


def test_the_query_of_the_manual_where_the_database_ignores_case(open_dir, helper):
    """The row is found in any spelling, and is a user in one alone."""
    manual = pathlib.Path(__file__).parents[2] / "man" / "restante-databases.7"
    query = re.search(r"^sql_query = (SELECT.*)$", manual.read_text(), re.M).group(1)
    path = open_dir + "/users.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE accounts (login TEXT COLLATE NOCASE PRIMARY KEY, hash TEXT);"
                         "INSERT INTO accounts VALUES ('anna', '{PLAIN}secret');")
    os.chmod(path, 0o644)
    h = helper("sqlite:" + path, query)
    a = h.lookup(b"anna")
    assert a.outcome == FOUND and a.line.startswith(b"anna:{PLAIN}secret:"), a
    for name in (b"ANNA", b"Anna", b"annA"):
        for a in (h.lookup(name), h.verify(name, b"secret")):
            assert (a.outcome, a.line) == (NO_USER, b""), a


def test_sqlite_that_is_no_file_is_temporary(open_dir, helper):
    os.mkfifo(open_dir + "/fifo", 0o644)
    for name in "fifo", "":
        a = helper(f"sqlite:{open_dir}/{name}").lookup(b"bob")
        assert a.outcome == TEMPORARY and b"no file" in a.reason


def test_sqlite_garbage_is_temporary(open_dir, helper):
    with open(open_dir + "/x.db", "wb") as f:
        f.write(b"bob:{PLAIN}secret\n" * 1000)
    h = helper(f"sqlite:{open_dir}/x.db")
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY


# ---- PostgreSQL ------------------------------------------------------------------------


def test_postgres_by_its_unix_socket(server, postgres):
    h = postgres(uri=f"host={server.dir} port={server.port} user=mail dbname=postgres")
    assert h.lookup(b"bob").line == BOB


def test_postgres_wrong_password_is_temporary_and_not_logged(server, helper, tmp_path):
    word = tmp_path / "word"
    word.write_text("wrongword\n")
    word.chmod(0o600)
    h = helper(server.uri(), password_file=word)
    assert h.verify(b"bob", b"secret").outcome == TEMPORARY
    line = h.log_line("database_lost")
    assert b"authentication failed" in line["detail"] and b"wrongword" not in str(h.lines).encode()


def test_postgres_password_file_of_others_stops_the_start(server, tmp_path):
    word = tmp_path / "word"
    word.write_text("mailword\n")
    word.chmod(0o644)
    with pytest.raises(Failed, match="chmod 600"):
        Helper("sql", {"sql_database": server.uri(), "sql_query": QUERY, "sql_password_file": word})


def test_postgres_killed_and_restarted(server, postgres):
    h = postgres()
    assert h.lookup(b"bob").line == BOB
    server.kill()
    for _ in range(5):
        a = h.verify(b"bob", b"secret")
        assert (a.outcome, a.line) == (TEMPORARY, b"")
        a = h.verify(b"nobody", b"x")
        assert a.outcome == TEMPORARY, "who is there is not known"
    assert h.log_line("database_lost")
    server.start()
    deadline = time.monotonic() + 60
    while (a := h.lookup(b"bob")).outcome == TEMPORARY and time.monotonic() < deadline:
        pass
    assert a.line == BOB
    assert h.log_line("database_back")
    assert h.verify(b"nobody", b"x").outcome == NO_USER


def test_postgres_restarted_between_two_questions_is_not_noticed(server, postgres):
    h = postgres()
    assert h.lookup(b"bob").outcome == FOUND
    server.restart()
    assert h.lookup(b"bob").line == BOB


def test_postgres_killed_while_it_is_asked(server, postgres):
    h = postgres("SELECT password FROM users, pg_sleep(30) WHERE name = $1")
    question = h.send_ask(VERIFY, b"bob", b"secret")
    wait_asked(server)
    server.kill()
    a = h.answer(question)
    assert (a.outcome, a.line) == (TEMPORARY, b"")
    server.start()


def test_postgres_that_hangs_is_temporary_within_the_time(server, postgres):
    h = postgres(timeout_ms=800)
    until(lambda: h.lookup(b"bob").outcome == FOUND)
    pid = int(server.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'mail' "
                         "ORDER BY backend_start DESC").split()[0])
    suspend(pid)
    try:
        begin = time.monotonic()
        a = h.lookup(b"bob")
        assert a.outcome == TEMPORARY and time.monotonic() - begin < 30
        deadline = time.monotonic() + 60
        while (a := h.lookup(b"bob")).outcome == TEMPORARY and time.monotonic() < deadline:
            pass
        assert a.outcome == FOUND, "a new connection"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_postgres_slow_query_is_temporary(postgres):
    h = postgres("SELECT password FROM users, pg_sleep(60) WHERE name = $1", timeout_ms=800)
    begin = time.monotonic()
    assert h.lookup(b"bob").outcome == TEMPORARY
    assert time.monotonic() - begin < 30


def test_postgres_only_reads(server, postgres):
    server.sql("GRANT DELETE ON users TO mail")
    h = postgres("DELETE FROM users WHERE name = $1 RETURNING password")
    assert h.lookup(b"bob").outcome == TEMPORARY
    assert server.sql("SELECT count(*) FROM users WHERE name = 'bob'").strip() == "1"
    server.sql("REVOKE DELETE ON users FROM mail")


def test_postgres_faults_show_no_name_in_the_log(postgres):
    h = postgres("SELECT password FROM users WHERE uid = $1")
    assert h.verify(b"hunter2", b"x").outcome == TEMPORARY
    assert h.log_line("database_lost")["detail"] == b"22P02"
    assert b"hunter2" not in str(h.lines).encode()
    assert h.lookup(b"1001").outcome == FOUND


def test_postgres_booleans_are_yes_and_no(postgres):
    h = postgres("SELECT password, uid = 1001 AS userdb_read_only FROM users WHERE name = $1")
    assert h.lookup(b"bob").line == b"bob:{PLAIN}secret::::::userdb_read_only=yes"
    assert h.lookup(b"bobby").line == b"bobby:{PLAIN}other::::::userdb_read_only=no"


def test_postgres_elsewhere_must_show_its_certificate(server, postgres):
    """Only 127.0.0.1 and localhost count as this machine; this server knows no TLS."""
    h = postgres(uri=server.uri(host="127.0.0.2"))
    assert h.lookup(b"bob").outcome == TEMPORARY
    assert b"SSL" in h.log_line("database_lost")["detail"]
    h = postgres(uri=server.uri(host="127.0.0.2") + "?sslmode=disable")
    assert h.lookup(b"bob").line == BOB


def test_a_connection_string_that_is_none_stops_the_start():
    for database in "", "mysql://x", "host", "sqlite:users.db":
        with pytest.raises(Failed):
            Helper("sql", {"sql_database": database, "sql_query": QUERY, "sql_password_file": ""})
