"""restante-auth-pam: accounts of this machine, made for the test and removed after it."""
import contextlib
import os
import pwd
import signal
import time

import pytest

import ticket_office
from helper_alone import (FOUND, GSSAPI, KPOP, LANDLOCK, LOOKUP, NO_NEW_PRIVS, NO_USER, OAUTHBEARER, PASS,
                          SECCOMP, TEMPORARY, TOKEN, USER, WRONG, XOAUTH2, Failed, Helper)
from postoffice import until
from system_account import account, locked, run, service

UNIX = ("auth required pam_unix.so", "account required pam_unix.so")


@pytest.fixture(scope="module")
def anna():
    with account("secret", "/srv/mail/anna") as name:
        yield name.encode()


@contextlib.contextmanager
def helper(*lines, **more):
    with service(*(lines or UNIX)) as name:
        h = Helper("pam", {"pam_service": name, "pam_ask_unknown": "yes", **more}, uid=0)
        try:
            yield h
        finally:
            assert h.done() == 0


def test_right_and_wrong(anna):
    entry = pwd.getpwnam(anna.decode())
    line = b"%s::%d:%d::/srv/mail/anna" % (anna, entry.pw_uid, entry.pw_gid)
    with helper() as h:
        # It has to be root, and has few of root's powers.
        assert h.cage & NO_NEW_PRIVS and not h.cage & (USER | SECCOMP | LANDLOCK)
        status = open(f"/proc/{h.process.pid}/status").read()
        powers = int(status.split("CapEff:")[1].split()[0], 16)
        assert powers and not powers & (1 << 21 | 1 << 12 | 1 << 16 | 1 << 19)
        a = h.verify(anna, b"secret")
        assert a.outcome == FOUND and a.line.rstrip(b":\n") == line, a
        assert h.lookup(anna).line == a.line
        for password in (b"Secret", b"secret ", b"", b"secret\0", b"x" * 12288):
            a = h.verify(anna, password)
            assert (a.outcome, a.line) == (WRONG, b""), a
        assert h.ask(TOKEN, anna, b"secret").outcome == NO_USER
        assert not any(b"secret" in v for _, pairs in h.logged() for v in pairs.values())


@pytest.mark.parametrize("name", [
    b"", b"nobody-has-this-name", b"../../etc/passwd", b"a:b", b"a b", b"a\0b", b"\xff\xfe", b"-x",
    b".", b"x" * 33, b"%s%n", b"x" * 1024, "ännchen".encode()])
def test_names_that_are_none(anna, name):
    with helper() as h:
        for a in (h.verify(name, b"secret"), h.lookup(name)):
            assert (a.outcome, a.line) == (NO_USER, b""), a


def test_accounts_that_are_not_served(anna):
    with helper("auth required pam_permit.so", "account required pam_permit.so") as h:
        assert h.verify(anna, b"anything").outcome == FOUND
        for name in (b"root", b"nobody-has-this-name"):
            for a in (h.verify(name, b"anything"), h.lookup(name)):
                assert (a.outcome, a.line) == (NO_USER, b""), a


def test_nobody_waits_here(anna):
    with helper("auth optional pam_faildelay.so delay=60000000", *UNIX) as h:
        for name in (anna, b"nobody-has-this-name"):
            begun = time.monotonic()
            assert h.verify(name, b"wrong").outcome in (WRONG, NO_USER)
            assert time.monotonic() - begun < 20


def test_empty_passwords():
    with account(None) as name, helper("auth required pam_unix.so nullok", UNIX[1]) as h:
        for password in (b"", b"x"):
            assert h.verify(name.encode(), password).outcome == WRONG


def test_account_of_who_comes_with_a_ticket_or_a_token():
    with account("secret") as name, helper() as h:
        settled, others = (GSSAPI, KPOP, OAUTHBEARER, XOAUTH2), (0, PASS)
        for mechanism in settled + others:
            assert h.ask(LOOKUP, name.encode(), mechanism=mechanism).outcome == FOUND
        with locked():
            run("chage", "-E", "1", name)
        for mechanism in settled:
            a = h.ask(LOOKUP, name.encode(), mechanism=mechanism)
            assert (a.outcome, a.line) == (WRONG, b"") and b"expired" in a.reason, a
        for mechanism in others:  # his mail still comes in
            assert h.ask(LOOKUP, name.encode(), mechanism=mechanism).outcome == FOUND


def test_expired_account():
    with account("secret") as name, helper() as h:
        assert h.verify(name.encode(), b"secret").outcome == FOUND
        with locked():
            run("chage", "-E", "1", name)
        a = h.verify(name.encode(), b"secret")
        assert a.outcome == WRONG and b"expired" in a.reason, a
        with locked():
            run("chage", "-E", "-1", "-d", "0", name)
        a = h.verify(name.encode(), b"secret")
        assert a.outcome == WRONG and b"expired" in a.reason, a


@pytest.mark.parametrize("what, outcome", [
    ("auth=success", FOUND), ("auth=auth_err", WRONG), ("auth=user_unknown", WRONG),
    ("auth=maxtries", WRONG), ("auth=perm_denied", WRONG), ("auth=authinfo_unavail", TEMPORARY),
    ("auth=service_err", TEMPORARY), ("auth=system_err", TEMPORARY), ("auth=buf_err", TEMPORARY),
    ("acct=acct_expired", WRONG), ("acct=new_authtok_reqd", WRONG), ("acct=perm_denied", WRONG),
    ("acct=authinfo_unavail", TEMPORARY)])
def test_what_modules_say(anna, what, outcome):
    with helper(f"auth required pam_debug.so {what}", f"account required pam_debug.so {what}") as h:
        a = h.verify(anna, b"secret")
        assert a.outcome == outcome, a
        assert (a.line != b"") == (outcome == FOUND)


def test_a_second_question_gets_no_answer(anna):
    with helper(UNIX[0], f"auth required pam_ftp.so users={anna.decode()}", UNIX[1]) as h:
        a = h.verify(anna, b"secret")
        assert (a.outcome, a.line) == (WRONG, b"") and b"more than a password" in a.reason, a


def test_address_is_told(anna, tmp_path):
    rules = tmp_path / "access"
    rules.write_text(f"+:{anna.decode()}:192.0.2.7 2001:db8::7\n-:ALL:ALL\n")
    with helper(UNIX[0], f"account required pam_access.so accessfile={rules} noaudit") as h:
        v6 = bytes.fromhex("20010db8000000000000000000000007")
        assert h.verify(anna, b"secret").outcome == FOUND
        assert h.ask(2, anna, b"secret", address=v6).outcome == FOUND
        assert h.ask(2, anna, b"secret", address=v6[:-1] + b"\x08").outcome == WRONG


def test_service_that_is_missing(anna):
    """Debian's rules for `other` decide then: it knows no restante-test, and lets nobody in
    whom they do not."""
    with helper("auth required pam_nosuchmodule.so", UNIX[1]) as h:
        a = h.verify(anna, b"secret")
        assert a.outcome in (TEMPORARY, WRONG) and a.line == b""


def test_account_that_goes_and_comes_while_it_runs(anna):
    with helper() as h:
        with account("secret") as name:
            assert h.verify(name.encode(), b"secret").outcome == FOUND
            with locked():
                run("chpasswd", input=f"{name}:other\n".encode())
            assert h.verify(name.encode(), b"secret").outcome == WRONG
            assert h.verify(name.encode(), b"other").outcome == FOUND
        assert h.verify(name.encode(), b"other").outcome == NO_USER
        assert h.verify(anna, b"secret").outcome == FOUND


def test_two_users_with_one_password(anna):
    with account("secret") as name, helper() as h:
        for user in (anna, name.encode(), anna):
            assert h.verify(user, b"secret").line.split(b":")[0] == user


@pytest.mark.parametrize("name", ["", "../passwd", ".", "a/b"])
def test_bad_settings(name):
    with pytest.raises(Failed, match="pam_service"):
        Helper("pam", {"pam_service": name}, uid=0)


# ---- a whole office ------------------------------------------------------------------------

def test_office(base, office):
    with account("secret") as anna, account("secret") as berta, service(*UNIX) as rules:
        for name in (anna, berta):
            entry = pwd.getpwnam(name)
            ticket_office.put_mail(base, name, f"for {name}", entry.pw_uid, entry.pw_gid)
        o = office(sets={"databases": "system", "pam_service": rules, "mail_roots": base,
                         "maildrop": f"maildir:{base}/mail/%u", "mail_uid_min": "100",
                         "login_failure_delay": "0", "auth_cache_unseen": "60s"})

        def answer(name, word):
            got, p = ticket_office.password(o, name, word)
            if got.startswith(b"+OK"):
                ticket_office.reads_own(p, f"for {name}")
            p.close()
            return got
        # Two users with one password, again and again: never the other's mail.
        for name in (anna, berta, anna, berta):
            assert answer(name, "secret").startswith(b"+OK")
            assert answer(name, "wrong").startswith(b"-ERR [AUTH]")
        for name in ("root", "nobody-has-this-name", "../" + anna, anna + "/", anna.upper()):
            assert answer(name, "secret").startswith(b"-ERR [AUTH]")
        # The helpers are ended, and come back.
        for pid in o.pids("restante-auth-pam"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: answer(anna, "secret").startswith(b"+OK"), 60)
        assert "secret" not in o.log()
        o.stop()


def test_a_password_is_remembered_for_a_while(base, office):
    """PAM itself counts, by a directory for each time."""
    count = base / "count"
    count.mkdir()
    program = base / "note"
    program.write_text(f"#!/bin/sh\nexec /bin/mktemp -d {count}/XXXXXX\n")
    program.chmod(0o755)
    with account("secret") as anna, account("secret") as berta, \
            service(f"auth optional pam_exec.so quiet {program}", *UNIX) as rules:
        for name in (anna, berta):
            entry = pwd.getpwnam(name)
            ticket_office.put_mail(base, name, f"for {name}", entry.pw_uid, entry.pw_gid)

        def change(name, word):
            with locked():
                run("chpasswd", input=f"{name}:{word}\n".encode())
        ticket_office.is_asked_no_more(office, {
            "databases": "system", "pam_service": rules, "mail_roots": base,
            "maildrop": f"maildir:{base}/mail/%u", "mail_uid_min": "100"},
            (anna, berta), change, lambda: len(os.listdir(count)))
        assert os.listdir(count)
