"""A whole office whose users are in SQL or in a directory, which goes away and comes back."""
import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import tempfile

import pytest

import databases
import ticket_office
from pop import Pop
from postoffice import NOBODY, Office, until
from test_db_ldap import BASE, ENTRIES, person, ssha

USERS = {"anna": "same", "bert": "same", "carl": "other"}
WRONG, TEMPORARY = b"-ERR [AUTH]", b"-ERR [SYS/TEMP]"
TABLE = ("CREATE TABLE users (name TEXT, password TEXT, uid BIGINT, gid BIGINT, home TEXT, "
         "maildrop TEXT);")


@pytest.fixture(scope="module")
def drops():
    """A Maildir with one message for each user; uid and home of all are in the databases."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="rst-", dir="/tmp"))
    d.chmod(0o755)
    for user in USERS:
        for part in "new", "cur", "tmp":
            (d / user / "Maildir" / part).mkdir(parents=True)
        (d / user / "Maildir" / "new" / "1.x").write_text(f"Subject: for {user}\n\nhello\n")
    if os.geteuid() == 0:
        for path in [d, *d.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
    yield d
    shutil.rmtree(d)


def owner():
    return NOBODY if os.geteuid() == 0 else os.geteuid()


class Sqlite:
    """A file: away is renamed."""

    def __init__(self, drops):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rst-", dir="/tmp"))
        self.dir.chmod(0o755)
        self.path = self.dir / "users.db"
        self.run(TABLE + rows(drops))
        self.path.chmod(0o644)
        self.sets = {"databases": "sql", "sql_database": f"sqlite:{self.path}"}

    def run(self, text):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.executescript(text)

    def kill(self):
        self.path.rename(self.dir / "away")

    def start(self):
        (self.dir / "away").rename(self.path)

    def change(self, user, word):
        self.run(f"UPDATE users SET password = '{{PLAIN}}{word}' WHERE name = '{user}';")

    def close(self):
        shutil.rmtree(self.dir)


def rows(drops):
    return "".join(f"INSERT INTO users VALUES ('{user}', '{{PLAIN}}{word}', {owner()}, {owner()}, "
                   f"'{drops}/{user}', NULL);" for user, word in USERS.items())


class Sql(databases.Postgres):
    def __init__(self, drops):
        super().__init__()
        self.sql("CREATE ROLE mail LOGIN PASSWORD 'mailword';" + TABLE + rows(drops) +
                 "GRANT SELECT ON users TO mail;")
        word = pathlib.Path(self.dir) / "mailword"
        word.write_text("mailword\n")
        word.chmod(0o600)
        self.sets = {"databases": "sql", "sql_database": self.uri(), "sql_password_file": word}

    def change(self, user, word):
        self.sql(f"UPDATE users SET password = '{{PLAIN}}{word}' WHERE name = '{user}'")


class Ldap(databases.Slapd):
    auth_bind = "yes"

    def __init__(self, drops):
        entries = ENTRIES
        for user, word in USERS.items():
            entry = person(f"uid={user}", user, owner(), ssha(word.encode()))
            entries += entry.replace(f"/home/{owner()}", f"{drops}/{user}")
        super().__init__(entries)
        word = pathlib.Path(self.dir) / "word"
        word.write_text(self.root_word + "\n")
        word.chmod(0o600)
        self.sets = {"databases": "ldap", "ldap_uri": self.uri(), "ldap_base": BASE,
                     "ldap_bind_dn": self.root, "ldap_bind_password_file": word,
                     "ldap_auth_bind": self.auth_bind, "auth_cache_unseen": "0"}

    def change(self, user, word):
        self.run("ldapmodify", "-x", "-H", self.uri(), "-D", self.root, "-w", self.root_word,
                 text=f"dn: uid={user},{BASE}\nchangetype: modify\nreplace: userPassword\n"
                      f"userPassword: {ssha(word.encode())}\n")


class LdapHash(Ldap):
    auth_bind = "no"


@pytest.fixture(scope="module", params=[Sqlite, Sql, Ldap, LdapHash])
def served(request, drops):
    with contextlib.ExitStack() as stack:
        base = request.param(drops)
        stack.callback(base.close)
        office = Office(sets=dict(base.sets, mail_roots=drops, maildrop="maildir:~/Maildir",
                                  login_failure_delay="0", auth_helper_timeout="4s"))
        stack.callback(office.stop)
        yield office, base


def login(office, user, word):
    """The answer to PASS, and of a login the subject of the message."""
    pop = Pop(office.host, office.pop3)
    try:
        pop.say(f"USER {user}")
        answer = pop.say(f"PASS {word}")
        if not answer.startswith(b"+OK"):
            return answer, None
        assert pop.send(b"TOP 1 0\r\n") is None and pop.line().startswith(b"+OK")
        subject = pop.body().split(b"\r\n")[0]
        pop.say("QUIT")
        return answer, subject
    finally:
        pop.s.close()


def in_as(office, user, word):
    answer, subject = login(office, user, word)
    assert answer.startswith(b"+OK"), (answer, office.log())
    return subject == f"Subject: for {user}".encode()


def test_everybody_gets_his_own_mail(served):
    """Two have the same password; the cache knows each by more than that."""
    office, _ = served
    for _ in range(3):
        for user, word in USERS.items():
            assert in_as(office, user, word)
        for user, word in ("anna", "other"), ("carl", "same"), ("nobody", "same"), ("anna", "x"):
            answer, _ = login(office, user, word)
            assert answer.startswith(WRONG), (user, answer)


def test_names_are_data(served):
    office, _ = served
    for name in "anna' OR '1'='1", "anna'--", "*", "an*", "a)(uid=*", "anna)(uid=*", "%", "ANNA", "anna%00":
        answer, _ = login(office, name, "same")
        assert answer.startswith(WRONG), (name, answer)
    assert in_as(office, "anna", "same")


def test_the_database_goes_away_and_comes_back(served):
    office, base = served
    assert in_as(office, "anna", "same")
    base.kill()
    for user, word in ("anna", "same"), ("bert", "same"), ("anna", "wrong"), ("nobody", "x"), \
            ("anna", "same"):
        answer, _ = login(office, user, word)
        assert answer.startswith(TEMPORARY), (user, answer, office.log())
    mark = office.mark()
    base.start()
    until(lambda: login(office, "bert", "same")[0].startswith(b"+OK"), 60, office.log)
    office.wait_for_log("event=database_back", since=mark)
    for user, word in USERS.items():
        assert until(lambda u=user, w=word: login(office, u, w)[1], 60, office.log) == \
            f"Subject: for {user}".encode()
    until(lambda: login(office, "anna", "wrong")[0].startswith(WRONG), 60, office.log)
    until(lambda: login(office, "nobody", "same")[0].startswith(WRONG), 60, office.log)


class LdapRemembered(Ldap):
    """With the option as it is by default."""
    def __init__(self, drops):
        super().__init__(drops)
        del self.sets["auth_cache_unseen"]


def test_what_a_bind_has_checked_is_remembered_for_a_while(drops, office):
    with contextlib.ExitStack() as stack:
        base = LdapRemembered(drops)
        stack.callback(base.close)
        sets = dict(base.sets, mail_roots=drops, maildrop="maildir:~/Maildir")
        base.change("anna", "secret")
        base.change("bert", "secret")
        ticket_office.is_asked_no_more(office, sets, ("anna", "bert"), base.change, lambda: None)
        # A directory that is not there cannot be asked.
        o = office(sets=dict(sets, login_failure_delay="0", auth_helper_timeout="4s"))
        assert in_as(o, "bert", "secret")
        base.kill()
        for _ in range(3):
            assert in_as(o, "bert", "secret")
        for user, word in ("bert", "wrong"), ("anna", "secret"), ("anna", "third"), ("nobody", "secret"):
            assert login(o, user, word)[0].startswith(TEMPORARY)
        base.start()
        until(lambda: login(o, "anna", "third")[0].startswith(b"+OK"), 60, o.log)


def test_a_changed_password_counts_at_once(served):
    office, base = served
    for _ in range(2):
        assert in_as(office, "carl", "other")
    base.change("carl", "changed")
    answer, _ = login(office, "carl", "other")
    assert answer.startswith(WRONG)
    assert in_as(office, "carl", "changed")
    base.change("carl", "other")
    assert in_as(office, "carl", "other")


def test_helpers_that_are_killed_are_replaced(served):
    office, _ = served
    program = "restante-auth-ldap" if "ldap" in served[1].sets["databases"] else "restante-auth-sql"
    old = office.pids(program)
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    answer, _ = login(office, "anna", "wrong")
    assert not answer.startswith(b"+OK")
    until(lambda: login(office, "anna", "same")[0].startswith(b"+OK"), 60, office.log)
    assert in_as(office, "bert", "same")
    assert not set(old) & set(office.pids(program))


def test_the_file_is_asked_before_sql(drops):
    """The first database that knows a name decides, and one that is away stops the chain."""
    base = Sqlite(drops)
    with contextlib.ExitStack() as stack:
        stack.callback(base.close)
        base.run("UPDATE users SET maildrop = 'maildir:~/Maildir'")
        office = Office(users=[f"bert:fileword:{drops}/bert/Maildir"], sets=dict(
            base.sets, databases="file sql", login_failure_delay="0",
            mail_roots=drops))
        stack.callback(office.stop)
        assert login(office, "bert", "fileword")[0].startswith(b"+OK")
        assert login(office, "bert", "same")[0].startswith(WRONG), "the file knows him"
        assert in_as(office, "anna", "same")
        base.kill()
        assert login(office, "anna", "same")[0].startswith(TEMPORARY)
        assert login(office, "nobody", "same")[0].startswith(TEMPORARY)
        assert login(office, "bert", "fileword")[0].startswith(b"+OK")
        base.start()
