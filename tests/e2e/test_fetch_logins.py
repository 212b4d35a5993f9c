"""`restante fetch` logs in to a real Dovecot in every way that both know."""
import os
import subprocess

import pytest

from fetch_dovecot import PASSWORD, Dovecot, Realm, token
from postoffice import BUILD, make_base, until

REFUSED = 77
BY_PASSWORD = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "USER", "APOP"]


class House:
    """One Dovecot for all tests of this file; fetch() runs the fetcher on a fresh state."""

    def __init__(self, base):
        self.base, self.runs = base, 0
        self.realm = Realm(base)
        self.dovecot = Dovecot(base, self.realm)
        self.password = base / "password"
        self.write(self.password, PASSWORD + "\n")
        self.write(base / "wrong", "wrong\n")
        # libgssglue asks a mechanism for its names, and forgets them.
        self.leaks = self.write(base / "leaks", "leak:libgssapi_krb5\nleak:libgssglue\n")

    @staticmethod
    def write(path, text):
        path.write_text(text)
        path.chmod(0o600)
        return path

    def fetch(self, options, args=(), env=None, pass_fds=()):
        """Exit status, and all that was said."""
        self.runs += 1
        here = self.base / f"run-{self.runs}"
        here.mkdir()
        self.box = here / "Maildir"
        rows = {"server": f"localhost:{self.dovecot.pop3s}", "user": "anna", "tls": "tls",
                "ca": self.dovecot.ca, "deliver": f"maildir:{self.box}", "keep": "yes",
                "line_ends": "crlf", **options}
        text = "[account anna]\n" + "".join(
            f"{k} = {v}\n" for k, v in rows.items() if v is not None)
        config = self.write(here / "fetch.conf", text)
        got = subprocess.run(
            [str(BUILD / "restante"), "fetch", "--config", str(config), "--state",
             str(here / "state"), "--verbose", *map(str, args)],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(here),
                 "LSAN_OPTIONS": f"suppressions={self.leaks}:print_suppressions=0",
                 **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=60, pass_fds=pass_fds, start_new_session=True)
        said = got.stdout.decode("utf-8", "replace")
        for secret in (PASSWORD, PASSWORD.split("=")[0].strip(), "wrong\n"):
            assert secret not in said
        return got.returncode, said

    def got(self):
        """What was delivered by the last run."""
        new = self.box / "new"
        return [p.read_bytes() for p in new.iterdir()] if new.exists() else []

    def logs_in(self, options, method, **more):
        before = len(self.dovecot.logins())
        status, said = self.fetch(options, **more)
        assert status == 0, said + self.dovecot.log()[-2000:]
        assert self.got() == [MESSAGE]
        # Its log is written by a process of its own.
        until(lambda: len(self.dovecot.logins()) > before, why=self.dovecot.log)
        assert self.dovecot.logins()[before:] == [method]

    def is_refused(self, options, part=None, **more):
        before = len(self.dovecot.logins())
        status, said = self.fetch(options, **more)
        assert status == REFUSED, said
        assert self.dovecot.logins()[before:] == []
        assert part is None or part in said, said
        return said

    def stop(self):
        self.dovecot.stop()
        self.realm.stop()


MESSAGE = b"From: a@example.org\r\nSubject: a login\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def house():
    for base in make_base():
        h = House(base)
        h.dovecot.put("1.only", MESSAGE)
        yield h
        h.stop()


@pytest.mark.parametrize("mechanism", BY_PASSWORD)
def test_password(house, mechanism):
    house.logs_in({"auth": mechanism.lower(), "password_file": house.password},
                  "PLAIN" if mechanism == "USER" else mechanism)


@pytest.mark.parametrize("mechanism", BY_PASSWORD)
def test_wrong_password(house, mechanism):
    house.is_refused({"auth": mechanism, "password_file": house.base / "wrong"})


def test_the_best_is_taken_by_itself(house):
    house.logs_in({"password_file": house.password}, "SCRAM-SHA-256")


def test_order_of_auth(house):
    house.logs_in({"auth": "scram-sha-256-plus, cram-md5, scram-sha-256",
                   "password_file": house.password}, "CRAM-MD5")


def test_apop_on_demand(house):
    house.logs_in({"apop": "yes", "password_file": house.password}, "APOP")


def test_stls(house):
    house.logs_in({"server": f"localhost:{house.dovecot.pop3}", "tls": "stls",
                   "auth": "plain", "password_file": house.password}, "PLAIN")


def test_no_password_without_tls(house):
    """Dovecot would take it: it trusts connections of the same machine."""
    clear = {"server": f"localhost:{house.dovecot.pop3}", "tls": "none", "ca": None,
             "password_file": house.password}
    house.is_refused({**clear, "auth": "plain login user"}, "plaintext = yes")
    house.logs_in(clear, "SCRAM-SHA-256")
    house.logs_in({**clear, "auth": "plain", "plaintext": "yes"}, "PLAIN")


def test_binding_that_is_not_offered(house):
    house.is_refused({"auth": "scram-sha-256-plus", "password_file": house.password},
                     "nothing of what auth allows")


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("filler", [0, 3000])
def test_token(house, mechanism, filler):
    """The long one does not fit on the AUTH line."""
    path = house.write(house.base / "token", token(filler=filler) + "\n")
    house.logs_in({"auth": mechanism, "token_command": f"cat {path}"}, mechanism)


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("bad", [{"lasts_s": -100}, {"key": b"another key"}])
def test_token_that_is_bad(house, mechanism, bad):
    path = house.write(house.base / "token", token(**bad) + "\n")
    house.is_refused({"auth": mechanism, "token_command": f"cat {path}"},
                     "the access token is wrong, has run out or was revoked")


def test_a_token_is_used_by_itself(house):
    path = house.write(house.base / "token", token() + "\n")
    house.logs_in({"token_command": f"cat {path}"}, "OAUTHBEARER")


def test_a_token_is_no_password(house):
    """A mechanism for passwords never gets the token."""
    path = house.write(house.base / "token", token() + "\n")
    for mechanism in ("plain", "scram-sha-256", "user"):
        house.is_refused({"auth": mechanism, "token_command": f"cat {path}"},
                         "give a password")


def test_certificate(house):
    ours = {"certificate": house.dovecot.base / "client.pem",
            "key": house.dovecot.base / "client.key"}
    house.logs_in({"auth": "external", **ours}, "EXTERNAL")
    house.is_refused({"auth": "external", **ours, "user": "berta"})


def test_kerberos(house):
    house.logs_in({"auth": "gssapi"}, "GSSAPI", env=house.realm.ticket())
    house.is_refused({"auth": "gssapi"}, "run kinit",
                     env={**house.realm.ticket(), "KRB5CCNAME": "FILE:/nowhere"})


def test_password_from_a_command(house):
    house.logs_in({"password_command": f"cat {house.password}; echo more"}, "SCRAM-SHA-256")


def test_password_from_a_descriptor(house):
    before = len(house.dovecot.logins())
    with open(house.password, "rb") as f:
        status, said = house.fetch(
            {}, args=["--password-fd", f.fileno()], pass_fds=[f.fileno()])
    assert status == 0, said
    assert house.got() == [MESSAGE]
    until(lambda: len(house.dovecot.logins()) > before)


def test_password_from_a_credential(house):
    house.logs_in({"password_credential": "password"}, "SCRAM-SHA-256",
                  env={"CREDENTIALS_DIRECTORY": str(house.base)})


def test_password_in_the_file(house):
    house.logs_in({"password": PASSWORD}, "SCRAM-SHA-256")


@pytest.mark.parametrize("text, part", [("", "is empty"), ("\n", "is empty"),
                                        ("a\0b\n", "NUL"), ("x" * 20000, "longer than")],
                         ids=["empty", "empty-line", "nul", "long"])
def test_password_files_that_are_bad(house, text, part):
    path = house.write(house.base / "bad", text)
    before = len(house.dovecot.logins())
    status, said = house.fetch({"password_file": path})
    assert status != 0
    assert part in said
    assert len(house.dovecot.logins()) == before
