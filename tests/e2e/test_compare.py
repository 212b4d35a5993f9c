"""`restante compare`: two servers with the same mail are safe; each planted difference is
found and named; what a server does wrong ends in a clear word and a status, never in a
verdict, and nothing on any server is touched."""
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from fetch_dovecot import PASSWORD as DOVECOT_PASSWORD, Dovecot
from fetch_faulty import PASSWORD, USER, Authority, Drop, House, Mail, Session, plain_mails
from postoffice import BUILD, ROOT, make_maildir

SAFE, USAGE, NOT_SAFE, NO_INPUT, UNREACHABLE, LATER, PROTOCOL, REFUSED = 0, 64, 65, 66, 69, 75, 76, 77
MAILS = 12


class Answer:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.rows = [json.loads(x) for x in out.splitlines()] if out.startswith("{") else []

    def kinds(self, user="anna"):
        """The words of the differences, in order."""
        return [r["difference"] for r in self.rows if "difference" in r and r["user"] == user]

    def row(self, kind):
        found = [r for r in self.rows if r.get("difference") == kind]
        assert len(found) == 1, self.out
        return found[0]

    def why(self):
        found = [r["why"] for r in self.rows if r.get("result") == "not asked"]
        assert len(found) == 1, self.out
        return found[0]


def compare(base, old, new, *args, users=f"{USER.decode()}:{PASSWORD.decode()}\n", text=False,
            plaintext=True):
    command = [BUILD / "restante", "compare", old, new]
    if users is not None:
        (base / "users").write_text(users)
        command += ["--users", base / "users"]
    command += [*args, *([] if text else ["--json"]), *(["--plaintext"] if plaintext else [])]
    start = time.monotonic()
    got = subprocess.run([str(x) for x in command], capture_output=True, timeout=60)
    return Answer(got.returncode, got.stdout.decode(), got.stderr.decode(),
                  time.monotonic() - start)


def at(house, user="", tls=False):
    return f"pop3{'s' if tls else ''}://{user}127.0.0.1:{house.port}"


def ask(base, old, new, *args, old_script=Session, new_script=Session, **more):
    """Both are lists of mails; the houses come back with the answer."""
    with House(Drop(old), old_script) as a, House(Drop(new), new_script) as b:
        got = compare(base, at(a), at(b), *args, **more)
        got.old, got.new = a, b
    for house in (a, b):
        assert not house.faults and not house.deleted and not house.marked
        for visit, good in house.logins:
            if good and (said := [x.octets for x in house.lines if x.session == visit]):
                assert said[-2:] == [b"RSET", b"QUIT"] or b"QUIT" not in said
    return got


def untouched(got):
    assert not got.old.retrieved and not got.new.retrieved


# ---- two offices ----------------------------------------------------------------------

def test_copies_are_safe_and_what_is_done_to_one_is_found(base, office):
    mails = [b"From: a%d@x\nSubject: %d\nMessage-ID: <%d@x>\n\nbody\n..\n.\n%d\n" % (i, i, i, i)
             for i in range(MAILS)]
    make_maildir(base / "a", mails)
    shutil.copytree(base / "a", base / "b")
    make_maildir(base / "b")
    old, new = office(users=[("anna", "pw", base / "a")]), office(users=[("anna", "pw", base / "b")])
    (base / "ca").write_text(pathlib.Path(old.ca).read_text() + pathlib.Path(new.ca).read_text())
    for urls in ((f"pop3s://{old.pop3s_at}", f"pop3s://{new.pop3s_at}"),
                 (f"pop3://{old.pop3_at}", f"pop3://{new.pop3_at}")):
        got = compare(base, *urls, "--ca", base / "ca", users="anna:pw\n", text=True, plaintext=False)
        assert got.code == SAFE, got.out + got.err
        assert got.out.splitlines() == [
            "anna: safe: 12 messages on OLD, 12 on NEW, 12 compared by header; "
            "differences: 0 serious, 0 harmless",
            "1 users: 1 safe, 0 not safe, 0 could not be asked"]
    got = compare(base, *urls, "--ca", base / "ca", "--all-bytes", users="anna:pw\n",
                  plaintext=False)
    assert got.code == SAFE and "may mark mail" in got.err
    # A certificate that nobody vouches for, and the pin that the message tells.
    got = compare(base, *urls, "--new-ca", base / "ca", users="anna:pw\n", plaintext=False)
    assert got.code == PROTOCOL and "OLD: " in got.why() and "--pin sha256:" in got.why()
    pin = got.why().split("--pin ")[1].split()[0]
    got = compare(base, *urls, "--new-ca", base / "ca", "--old-pin", pin, users="anna:pw\n",
                  plaintext=False)
    assert got.code == SAFE

    files = sorted(p for d in ("new", "cur") for p in (base / "b" / d).iterdir())
    files[3].unlink()
    files[5].rename(files[5].with_name("1700000005.OTHER.host"))
    got = compare(base, *urls, "--ca", base / "ca", users="anna:pw\n", plaintext=False)
    assert got.code == NOT_SAFE
    assert got.kinds() == ["lost", "uidl"]
    assert got.row("lost")["old"]["number"] == 4
    assert got.row("uidl")["new"]["number"] == 5
    assert got.rows[-1] == {"users": 1, "safe": 0, "not_safe": 1, "not_asked": 0}


def test_dovecot_and_restante_over_one_maildir_before_an_import(base, office):
    dovecot = Dovecot(base)
    try:
        for i in range(MAILS):
            dovecot.put(f"{1700000000 + i}.M{i}P1.host",
                        b"From: a@x\nSubject: %d\n\nbody %d\n.\n" % (i, i))
        dovecot.base.chmod(0o755)
        new = office(users=[("anna", "new", dovecot.maildir)])
        (base / "ca").write_text(dovecot.ca.read_text() + pathlib.Path(new.ca).read_text())
        (base / "old").write_text(DOVECOT_PASSWORD + "\n")
        (base / "new").write_text("new\n")
        got = compare(base, f"pop3s://anna@localhost:{dovecot.pop3s}", f"pop3s://{new.pop3s_at}",
                      "--ca", base / "ca", "--old-password-file", base / "old",
                      "--new-password-file", base / "new", "--ignore", "sasl", users=None,
                      plaintext=False)
        assert got.code == NOT_SAFE, got.out + got.err
        kinds = [k for k in got.kinds() if k != "sasl"]
        assert kinds == ["uidl"] * MAILS, got.out
        # The same messages, found by their headers, in the same order.
        pairs = [(r["old"]["number"], r["new"]["number"]) for r in got.rows
                 if r.get("difference") == "uidl"]
        assert pairs == [(i, i) for i in range(1, MAILS + 1)]
        assert "OAUTHBEARER" in [r["about"] for r in got.rows if r.get("difference") == "sasl"]
        again = compare(base, f"pop3s://anna@localhost:{dovecot.pop3s}",
                        f"pop3s://anna@localhost:{dovecot.pop3s}", "--ca", base / "ca",
                        "--password-file", base / "old", users=None, plaintext=False)
        assert again.code == SAFE, again.out + again.err
    finally:
        dovecot.stop()


# ---- planted differences --------------------------------------------------------------

def changed(i, uid=None, octets=None):
    mails = plain_mails(MAILS)
    m = mails[i - 1]
    mails[i - 1] = Mail(uid or m.uid, octets or m.octets)
    return mails


def without(i):
    return [m for n, m in enumerate(plain_mails(MAILS), 1) if n != i]


def swapped():
    mails = plain_mails(MAILS)
    mails[2], mails[7] = mails[7], mails[2]
    return mails


def other_octets(i):
    return plain_mails(MAILS)[i - 1].octets.replace(b"Subject: letter", b"Subject: LETTER")


LONG = b"L" * 71
PLANTED = {
    "lost": (without(4), ["lost"], (4, None)),
    "other-uidl": (changed(5, uid=b"other"), ["uidl"], (5, 5)),
    "reused-uidl": (changed(6, octets=other_octets(6)), ["reused", "lost"], (6, 6)),
    "order": (swapped(), ["order"], (4, 4)),
    "size": (changed(7, octets=plain_mails(MAILS)[6].octets + b"more\r\n"), ["size"], (7, 7)),
    "illegal": (changed(8, uid=b"a\xe9b"), ["uidl", "illegal"], (8, 8)),
    "long": (changed(9, uid=LONG), ["uidl", "long"], (9, 9)),
    "duplicate": (changed(10, uid=plain_mails(MAILS)[1].uid), ["uidl", "duplicate", "duplicate"], (10, 10)),
    "two-lost": ([m for m in without(4) if m is not None][1:], ["lost", "lost"], (1, None)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name, tmp_path):
    new, kinds, (old_number, new_number) = PLANTED[name]
    got = ask(tmp_path, plain_mails(MAILS), new)
    assert got.code == NOT_SAFE, got.out + got.err
    assert got.kinds() == kinds, got.out
    first = next(r for r in got.rows if r.get("difference") == kinds[0])
    assert first["old"]["number"] == old_number
    assert first.get("new", {}).get("number") == new_number
    assert got.rows[-1] == {"users": 1, "safe": 0, "not_safe": 1, "not_asked": 0}
    untouched(got)
    # The other way round it is as unsafe: what stands in the middle is no new mail.
    back = ask(tmp_path, new, plain_mails(MAILS))
    assert back.code == NOT_SAFE, back.out


def test_a_long_uidl_that_both_have_is_only_told(tmp_path):
    got = ask(tmp_path, changed(9, uid=LONG), changed(9, uid=LONG))
    assert got.code == SAFE and got.kinds() == ["long-kept"]


def test_all_finds_what_a_sample_may_miss_and_a_find_makes_it_all(tmp_path):
    mails, n = plain_mails(60), 30
    new = list(mails)
    for i in (n, n + 7):
        new[i] = Mail(mails[i].uid, mails[i].octets.replace(b"Subject: letter", b"Subject: LETTER"))
    got = ask(tmp_path, mails, new, "--sample", "0")
    assert got.code == SAFE and got.rows[-2]["headers"] == 0
    got = ask(tmp_path, mails, new, "--all")
    assert got.code == NOT_SAFE and got.kinds() == ["reused", "lost"] * 2
    # 54 of 60 cannot miss both: one find, and every header is looked at.
    for _ in range(3):
        got = ask(tmp_path, mails, new, "--sample", "59")
        assert got.code == NOT_SAFE and got.rows[-2]["headers"] == 60


def test_bytes(tmp_path):
    body = plain_mails(MAILS)[6].octets.replace(b"body", b"BODY")
    got = ask(tmp_path, plain_mails(MAILS), changed(7, octets=body), "--all")
    assert got.code == SAFE
    untouched(got)
    got = ask(tmp_path, plain_mails(MAILS), changed(7, octets=body), "--all-bytes")
    assert got.code == NOT_SAFE and got.kinds() == ["body"]
    assert len(got.old.retrieved) == len(got.new.retrieved) == MAILS
    assert "may mark mail as seen" in got.err


class Poor(Session):
    capabilities = (b"UIDL", b"EXPIRE 7", b"LOGIN-DELAY 60")


class Rich(Session):
    capabilities = (*Session.capabilities, b"SASL PLAIN CRAM-MD5", b"UTF8")
    stamp = b"<1.2@x>"


def test_capabilities(tmp_path):
    got = ask(tmp_path, plain_mails(3), plain_mails(3), old_script=Rich, new_script=Poor)
    assert got.code == NOT_SAFE
    said = {(r["difference"], r["about"]) for r in got.rows if "difference" in r}
    assert said >= {("capability", "TOP"), ("capability", "USER"), ("capability", "RESP-CODES"),
                    ("capability", "AUTH-RESP-CODE"), ("capability", "UTF8"), ("sasl", "PLAIN"),
                    ("sasl", "CRAM-MD5"), ("sasl", "APOP"), ("expire", "EXPIRE 7"),
                    ("login-delay", "LOGIN-DELAY 60"), ("slower", "PIPELINING")}
    assert ("capability", "UIDL") not in said
    got = ask(tmp_path, plain_mails(3), plain_mails(3), "--ignore", "capability,sasl,expire",
              old_script=Rich, new_script=Poor)
    assert got.code == SAFE
    got = ask(tmp_path, plain_mails(3), plain_mails(3), old_script=Poor, new_script=Rich)
    assert got.code == SAFE and got.kinds() == []


class NoUidl(Session):
    capabilities = tuple(c for c in Session.capabilities if c != b"UIDL")

    def on_UIDL(self, _):
        self.err("unknown command")


def test_new_without_uidl(tmp_path):
    got = ask(tmp_path, plain_mails(3), plain_mails(3), new_script=NoUidl)
    assert got.code == NOT_SAFE
    assert got.kinds() == ["capability", "no-uidl", "no-uidl", "no-uidl"]
    got = ask(tmp_path, plain_mails(3), plain_mails(3), old_script=NoUidl)
    assert got.code == SAFE and got.kinds() == ["no-uidl-old"] * 3


class UidlLater(Session):
    """A server whose CAPA has UIDL; the message of the refusal is not cut off."""
    code = b"[SYS/TEMP] "

    def on_UIDL(self, _):
        self.err((self.code + b"no UIDLs now").decode())


class UidlBroken(UidlLater):
    code = b""


class UidlLaterNoCapa(UidlLater):
    def on_CAPA(self, _):
        self.err("unknown command")


@pytest.mark.parametrize("script, status", [
    (UidlLater, LATER), (UidlBroken, PROTOCOL), (UidlLaterNoCapa, LATER)])
def test_a_refusal_of_uidl_is_no_server_without_uidls(script, status, tmp_path):
    """All UIDLs changed; were OLD taken for a server without any, this would be safe."""
    changed_all = [Mail(b"x%d" % i, m.octets) for i, m in enumerate(plain_mails(3))]
    got = ask(tmp_path, plain_mails(3), changed_all, old_script=script)
    assert got.code == status and "no UIDLs now" in got.why(), got.out
    got = ask(tmp_path, [], plain_mails(1), old_script=script)
    assert got.code == SAFE and got.kinds() == ["new"], got.out


class Unreadable(Session):
    def on_TOP(self, arg):
        if arg.startswith(b"2 "):
            return self.err("[SYS/PERM] this one is gone")
        super().on_TOP(arg)


def test_a_message_that_is_not_shown(tmp_path):
    got = ask(tmp_path, plain_mails(3), plain_mails(3), new_script=Unreadable)
    assert got.code == NOT_SAFE and got.kinds() == ["unreadable"]
    got = ask(tmp_path, plain_mails(3), plain_mails(3), old_script=Unreadable)
    assert got.code == SAFE and got.kinds() == ["unreadable-old"]
    other = plain_mails(3)
    other[1] = Mail(b"other", other[1].octets)
    got = ask(tmp_path, plain_mails(3), other, old_script=Unreadable)
    assert got.code == NOT_SAFE and got.kinds() == ["unknown", "hidden"]


def test_a_message_that_is_there_twice(tmp_path):
    """As a second copy of a Maildir leaves it: in new, and with its flags in cur."""
    old = plain_mails(5)
    new = [*old, Mail(b"once-more", old[2].octets), Mail(b"fresh", b"Subject: fresh\r\n\r\nx\r\n")]
    for more in ([], ["--all"], ["--all-bytes"]):
        got = ask(tmp_path, old, new, *more)
        assert got.code == NOT_SAFE and got.kinds() == ["doubled", "new"], got.out
        assert got.row("doubled")["new"]["uidl"] == "once-more"
    other = old[2].octets.replace(b"\r\n\r\n", b"\r\n\r\nother", 1)
    assert ask(tmp_path, old, [*old, Mail(b"b", other)], "--all-bytes").code == SAFE


# ---- who is asked ---------------------------------------------------------------------

class Many(Session):
    def right(self, user, password):
        return password == b"pw-" + user and user not in self.house.memory.get("closed", ())


class OnlyNew(Many):
    def right(self, user, password):
        return user != b"u2" and super().right(user, password)


def test_login_refused_on_new_is_not_safe(tmp_path):
    users = "# who\n\nu1:{PLAIN}pw-u1:1:1::/home\nu2 pw-u2\nu3\tpw-u3\n"
    for jobs in ("1", "4"):
        got = ask(tmp_path, plain_mails(3), plain_mails(3), "--jobs", jobs, old_script=Many,
                  new_script=OnlyNew, users=users)
        assert got.code == NOT_SAFE
        assert got.kinds("u2") == ["login"] and got.kinds("u1") == got.kinds("u3") == []
        assert got.rows[-1] == {"users": 3, "safe": 2, "not_safe": 1, "not_asked": 0}
    got = ask(tmp_path, plain_mails(3), plain_mails(3), old_script=OnlyNew, new_script=Many,
              users=users, text=True)
    assert got.code == REFUSED
    assert "u2: could not be asked: OLD: 127.0.0.1:" in got.out
    assert got.out.splitlines()[-1] == "3 users: 2 safe, 0 not safe, 1 could not be asked"


class Master(Session):
    def right(self, user, password):
        return user == b"anna*boss" and password == b"key of all"


def test_master(tmp_path):
    (tmp_path / "key").write_text("key of all\n")
    got = ask(tmp_path, plain_mails(3), plain_mails(3), "--master", "boss", "--password-file",
              tmp_path / "key", old_script=Master, new_script=Master, users="anna:{SSHA}hash\n")
    assert got.code == SAFE, got.out + got.err
    got = ask(tmp_path, plain_mails(3), plain_mails(3), "--old-master", "boss",
              "--old-login-format", "%u*%m", "--old-password-file", tmp_path / "key",
              old_script=Master)
    assert got.code == SAFE, got.out + got.err


def test_wrong_words(tmp_path):
    for args, word in ((["--jobs", "0"], "--jobs"), (["--ignore", "lost,lots"], "lots"),
                       (["--nothing"], "--nothing"), (["--pin", "12"], "--pin"),
                       (["a", "b"], "more than two"), (["--master", "m"], "--password-file")):
        got = compare(tmp_path, "pop3://127.0.0.1:1", "pop3://127.0.0.1:1", *args, text=True)
        assert got.code == USAGE and word in got.err and not got.out, got.err
    got = compare(tmp_path, "pop3://u:secret@h", "pop3://h", text=True)
    assert got.code == USAGE and "a password does not belong into the URL" in got.err
    got = compare(tmp_path, "pop3://h", "pop3://h", users="anna:x\nbert:$6$hash\n:y\n", text=True)
    assert got.code == NO_INPUT and "users:2: " in got.err and "users:3: " in got.err
    assert "$6$" not in got.err
    got = compare(tmp_path, "pop3://h", "pop3://h", users="# nobody\n", text=True)
    assert got.code == NO_INPUT


def test_the_manual_has_every_word():
    words = re.findall(r'^DIFFERENCE\(\w+, "([a-z-]+)"',
                       (ROOT / "src/move/differences.def").read_text(), re.M)
    manual = (ROOT / "man/restante-compare.1").read_text()
    assert len(words) > 20
    assert not [w for w in words if not re.search(rf"^\.(It )?Sy (.* , )?{w}( |$)", manual, re.M)]


# ---- servers with faults ---------------------------------------------------------------

FAULTS = []


def fault(status, *words):
    def take(cls):
        cls.status, cls.words = status, words
        FAULTS.append(cls)
        return cls
    return take


@fault(UNREACHABLE, "LIST", "closed")
class ClosesInList(Session):
    def on_LIST(self, arg):
        self.wire.send(b"+OK\r\n1 100\r\n")
        raise OSError


@fault(UNREACHABLE, "greeting", "silent")
class NoGreeting(Session):
    def opening(self):
        self.hang()


@fault(UNREACHABLE, "TOP ", "silent")
class HangsInTop(Session):
    def on_TOP(self, arg):
        self.wire.send(b"+OK\r\nFrom: a\r\n")
        self.hang()


@fault(UNREACHABLE, "LIST", "too slow")
class Drips(Session):
    def on_LIST(self, arg):
        self.wire.send(b"+OK\r\n")
        for i in range(1, 4000):
            if self.house.ended.wait(0.05):
                break
            self.wire.send(b"%d 1\r\n" % i)


@fault(LATER, "greeting", "[SYS/TEMP]")
class GreetsWithError(Session):
    def opening(self):
        self.say(b"-ERR [SYS/TEMP] come later")
        self.hang()

    def say(self, line):
        # The code is taken off by the client's side; the words have it for the test.
        super().say(line.replace(b"come", b"[SYS/TEMP] come"))


@fault(LATER, "in use")
class InUse(Session):
    def login(self, good):
        self.err("[IN-USE] in use")


@fault(PROTOCOL, "LIST", "twice")
class ListsTwice(Session):
    def list_row(self, n):
        return b"2 100"


@fault(PROTOCOL, "UIDL", "LIST has not")
class UidlOfNothing(Session):
    def uidl_row(self, n):
        return b"99 x"


@fault(PROTOCOL, "LIST", "cannot be read")
class OddRow(Session):
    def list_row(self, n):
        return b"one hundred"


@fault(PROTOCOL, "CAPA", "1000 rows")
class EndlessCapa(Session):
    def on_CAPA(self, _):
        self.ok()
        while True:
            self.wire.send(b"X-MORE\r\n" * 1000)


@fault(PROTOCOL, "TOP ", "no end")
class EndlessTop(Session):
    def on_TOP(self, arg):
        self.ok()
        while True:
            self.wire.send((b"X: " + b"x" * 1000 + b"\r\n") * 1000)


@fault(PROTOCOL, "greeting")
class EndlessStatus(Session):
    def opening(self):
        while True:
            self.wire.send(b"+OK " + b"x" * 65536)


@fault(PROTOCOL, "LIST", "no such thing")
class NoList(Session):
    def on_LIST(self, arg):
        self.err("no such thing")


@fault(REFUSED, "no")
class Refuses(Session):
    def right(self, user, password):
        return False


@pytest.mark.parametrize("scenario", FAULTS, ids=lambda c: c.__name__)
def test_fault(scenario, tmp_path):
    got = ask(tmp_path, plain_mails(3), plain_mails(3), "--timeout", "1", old_script=scenario)
    assert got.code == scenario.status, got.out + got.err
    for word in scenario.words:
        assert word in got.why(), got.why()
    assert got.why().startswith("OLD: 127.0.0.1:")
    assert got.seconds < 40
    assert got.rows[-1] == {"users": 1, "safe": 0, "not_safe": 0, "not_asked": 1}
    if scenario is not Refuses:
        got = ask(tmp_path, plain_mails(3), plain_mails(3), "--timeout", "1", new_script=scenario)
        assert got.code == scenario.status and got.why().startswith("NEW: 127.0.0.1:")


def test_nobody_listens(tmp_path):
    with House(Drop([])) as house:
        port = house.port
    got = compare(tmp_path, f"pop3://127.0.0.1:{port}", f"pop3://127.0.0.1:{port}")
    assert got.code == UNREACHABLE and f"127.0.0.1:{port}" in got.why()


class NoStls(Session):
    def on_STLS(self, _):
        self.err("no TLS here")


class Injects(Session):
    def on_STLS(self, _):
        self.wire.send(b"+OK begin\r\n+OK hello\r\n")
        self.hang()


@pytest.mark.parametrize("script,status,word", ((NoStls, PROTOCOL, "does not do STLS"),
                                                (Injects, PROTOCOL, "behind the answer")))
def test_no_password_without_tls(script, status, word, tmp_path):
    with House(Drop(plain_mails(1)), script) as a, House(Drop(plain_mails(1)), script) as b:
        got = compare(tmp_path, at(a), at(b), "--timeout", "2", plaintext=False)
    assert got.code == status and word in got.why(), got.out
    assert not a.said("USER") and not a.said("PASS") and not a.said("AUTH")


def test_certificates(tmp_path):
    pki = Authority(tmp_path / "pki")
    good, wrong = pki.make("good"), pki.make("wrong", alt="DNS:elsewhere.example")
    with House(Drop(plain_mails(2)), tls="tls", certificate=good) as a, \
            House(Drop(plain_mails(2)), tls="stls", certificate=good) as b:
        got = compare(tmp_path, at(a, tls=True), at(b), "--ca", pki.ca, plaintext=False)
        assert got.code == SAFE, got.out + got.err
        a.certificate = wrong
        got = compare(tmp_path, at(a, tls=True), at(b), "--ca", pki.ca, plaintext=False)
        assert got.code == PROTOCOL and "elsewhere.example" in got.why(), got.out
        assert len([x for x in a.said("PASS") + a.said("AUTH")]) == 1


# ---- servers that are odd, and right ---------------------------------------------------

ODD = []


def odd(cls):
    ODD.append(cls)
    return cls


@odd
class NoCapa(Session):
    def on_CAPA(self, _):
        self.err("unknown command")

    def on_AUTH(self, _):
        self.err("unknown command")


@odd
class NoPipelining(Session):
    capabilities = (b"TOP", b"UIDL", b"USER")

    def on_QUIT(self, arg):
        assert not self.piled, "two commands at a time"
        super().on_QUIT(arg)


@odd
class OddWords(Session):
    """Lower case, blanks, words behind the numbers."""
    def say(self, line):
        super().say(line.replace(b"+OK", b"+ok"))

    def list_row(self, n):
        return b"%d  %d  octets" % (n, self.size(n))


@odd
class Descending(Session):
    def numbers(self):
        return list(reversed(super().numbers()))


@odd
class LongGreeting(Session):
    def opening(self):
        self.say(b"+OK " + b"x" * 3000)


@odd
class BareLf(Session):
    eol = b"\n"


@odd
class QuitFails(Session):
    def on_QUIT(self, _):
        self.quit_seen = True
        self.err("cannot")


@odd
class ClosesAtQuit(Session):
    def on_QUIT(self, _):
        self.quit_seen = True
        raise OSError


@pytest.mark.parametrize("script", ODD, ids=lambda c: c.__name__)
def test_odd(script, tmp_path):
    got = ask(tmp_path, plain_mails(MAILS), plain_mails(MAILS), "--all", old_script=script,
              new_script=script)
    assert got.code == SAFE and got.kinds() == [], got.out + got.err
    assert got.rows[-2]["headers"] == MAILS
    got = ask(tmp_path, plain_mails(MAILS), without(4), old_script=script, new_script=script)
    assert got.code == NOT_SAFE and got.kinds() == ["lost"]


def test_what_servers_say_gets_onto_no_terminal(tmp_path):
    class Paints(Session):
        def on_PASS(self, _):
            self.err(b"\x1b[31m\x07 no \x9b")
    users = "an\x1b[2Jna pw\n"
    with House(Drop([]), Paints) as a, House(Drop([])) as b:
        Paints.capabilities = (b"USER",)
        got = compare(tmp_path, at(a), at(b), users=users, text=True)
    assert got.code == REFUSED
    assert not [c for c in got.out + got.err if ord(c) < 32 and c != "\n" or ord(c) > 126]


def test_many_messages_quickly(tmp_path):
    """20000 other UIDLs, in another order: what grows is not squared."""
    mails = plain_mails(20000)
    new = [Mail(b"x" + m.uid, m.octets) for m in reversed(mails)]
    got = ask(tmp_path, mails, new, "--max-lines", "3")
    assert got.code == NOT_SAFE
    assert got.rows[-2]["differences"] == {"uidl": 20000, "order": 1}
    assert got.kinds() == ["uidl"] * 3 + ["order"]
