"""`restante passport`: what is exported is verified; what was tampered with, damaged or
signed by another is not believed; what a client would notice is found."""
import hashlib
import os
import pathlib
import re
import subprocess

import pytest

from fetch_faulty import PASSWORD, Drop, House, Session, plain_mails
from pop import Pop
from postoffice import BUILD, NOBODY, SANITIZED, make_maildir, until

SAFE, USAGE, NOT_SAFE, NO_INPUT, UNREACHABLE, CANNOT, LATER, PROTOCOL, NO_RIGHT = \
    0, 64, 65, 66, 69, 73, 75, 76, 77
MAILS = [b"From: a%d@x\nSubject: %d\nMessage-ID: <%d@x>\n\nbody\n..\n.\n%d\n" % (i, i, i, i)
         for i in range(9)]


class Answer:
    def __init__(self, got):
        self.code, self.octets, self.err = got.returncode, got.stdout, got.stderr.decode()
        self.out = got.stdout.decode()


def passport(*args, **more):
    command = [str(x) for x in (BUILD / "restante", "passport", *args)]
    return Answer(subprocess.run(command, capture_output=True, timeout=60, **more))


def kinds(got, source):
    return re.findall(rf"^{re.escape(source)}: ([a-z-]+)(?: \(harmless\))?: (?:OLD|NEW) ", got.out, re.M)


@pytest.fixture
def drop(base):
    make_maildir(base / "mail", MAILS)
    return f"maildir:{base}/mail"


@pytest.fixture
def key(base):
    got = passport("key", base / "key")
    assert got.code == SAFE, got.err
    return base / "key"


def export(base, *args, name="passport"):
    got = passport("export", *args)
    assert got.code == SAFE, got.err
    (base / name).write_bytes(got.octets)
    return base / name


def verify(path, *args, **more):
    return passport("verify", path, *args, **more)


def test_key(base, key):
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    before = key.read_bytes()
    again = passport("key", key)
    assert again.code == CANNOT and "never written over" in again.err
    assert key.read_bytes() == before
    assert passport("key", base / "no" / "key").code == CANNOT


def test_signed(base, drop, key):
    path = export(base, "--maildrop", drop, "--key", key)
    text = path.read_text()
    assert text.startswith("restante-passport 1\nmade 2") and f"\nof {drop}\n" in text
    rows = [x.split(" ") for x in text.splitlines() if re.match(r"\d+ ", x)]
    assert [r[0] for r in rows] == [str(i) for i in range(1, 10)]
    assert int(rows[0][2]) == len(MAILS[0].replace(b"\n", b"\r\n"))
    header = MAILS[0].split(b"\n\n")[0].replace(b"\n", b"\r\n") + b"\r\n"
    assert rows[0][3] == hashlib.sha256(header).hexdigest()
    got = verify(path, "--maildrop", drop, "--key", f"{key}.pub")
    assert got.code == SAFE and got.err == "" and ": safe: 9 messages on OLD, 9 on NEW" in got.out
    got = verify(path, "--maildrop", drop)
    assert got.code == SAFE and "only --key tells" in got.err
    assert passport("key", base / "other").code == SAFE
    got = verify(path, "--maildrop", drop, "--key", base / "other.pub")
    assert got.code == PROTOCOL and "another key" in got.err and got.out == ""


@pytest.mark.parametrize("old,new", ((b"digests header", b"digests Header"), (b" 1 ", b" 1  "),
                                     (b"\n3 ", b"\n4 "), (b"ed25519 ", b"ed25518 "),
                                     (b"\nend 9\n", b"\nend 9\n\n")))
def test_tampered(base, drop, key, old, new):
    path = export(base, "--maildrop", drop, "--key", key)
    text = path.read_bytes()
    path.write_bytes(text.replace(old, new, 1) if old in text else text + new)
    got = verify(path, "--maildrop", drop, "--key", f"{key}.pub")
    assert got.code == PROTOCOL and str(path) in got.err and got.out == "", got.err


def test_forged(base, drop, key):
    """Well formed, and not what was signed."""
    path = export(base, "--maildrop", drop, "--key", key)
    text = path.read_bytes()
    path.write_bytes(text.replace(b"\nmade 2", b"\nmade 3", 1))
    got = verify(path, "--maildrop", drop)
    assert got.code == PROTOCOL and "signature does not fit" in got.err
    # The signature of another key over the forged text fits itself, and not --key.
    lines = text.splitlines(True)
    path.write_bytes(b"".join(lines[:-1]) + b"sha256 " +
                     hashlib.sha256(b"".join(lines[:-1])).hexdigest().encode() + b"\n")
    got = verify(path, "--maildrop", drop, "--key", f"{key}.pub")
    assert got.code == PROTOCOL and "not signed" in got.err


def test_without_a_key(base, drop):
    got = passport("export", "--maildrop", drop)
    assert got.code == SAFE and "not signed" in got.err and "no forgery" in got.err
    lines = got.octets.splitlines(True)
    assert lines[-1].decode() == f"sha256 {hashlib.sha256(b''.join(lines[:-1])).hexdigest()}\n"
    path = base / "passport"
    path.write_bytes(got.octets)
    got = verify(path, "--maildrop", drop)
    assert got.code == SAFE and "accidental damage only" in got.err
    path.write_bytes(path.read_bytes().replace(b"\nmade 2", b"\nmade 3", 1))
    got = verify(path, "--maildrop", drop)
    assert got.code == PROTOCOL and "damaged" in got.err


def test_what_a_client_would_notice(base, drop):
    path = export(base, "--maildrop", drop, "--bytes")
    files = sorted((base / "mail" / "new").iterdir())
    files[2].unlink()
    files[4].rename(files[4].with_name("1700000004.other.host"))
    data = files[6].read_bytes()
    files[6].unlink()
    files[6].write_bytes(data.replace(b"body", b"BODY"))
    (base / "mail" / "new" / "1700001000.more.host").write_bytes(MAILS[0].replace(b"Subject", b"X"))
    make_maildir(base / "mail")
    got = verify(path, "--maildrop", drop)
    assert got.code == NOT_SAFE
    assert sorted(kinds(got, drop)) == ["body", "lost", "new", "uidl"], got.out
    got = verify(path, "--maildrop", drop, "--ignore", "lost,uidl,body", "--quiet")
    assert got.code == SAFE and len(got.out.splitlines()) == 1
    got = verify(path, "--maildrop", drop, "--json")
    assert got.code == NOT_SAFE and '"difference":"lost"' in got.out


def test_a_server_against_its_maildrop(base, drop, key, office):
    path = export(base, "--maildrop", drop, "--bytes", "--key", key)
    o = office(users=[("anna", "pw", base / "mail")])
    (base / "pw").write_text("pw\n")
    source = ("--from", f"pop3s://anna@{o.pop3s_at}", "--ca", o.ca, "--password-file", base / "pw")
    got = verify(path, *source, "--key", f"{key}.pub")
    assert got.code == SAFE and "only headers are compared" in got.err, got.out + got.err
    got = verify(path, *source, "--bytes", "--key", f"{key}.pub")
    assert got.code == SAFE and "only headers" not in got.err
    live = export(base, *source, "--bytes", name="live")
    assert [x for x in live.read_text().splitlines() if re.match(r"\d+ ", x)] == \
        [x for x in path.read_text().splitlines() if re.match(r"\d+ ", x)]
    # While a session holds the maildrop it is not read.
    with_session = Pop(o.host, o.pop3)
    assert with_session.say("USER anna").startswith(b"+OK")
    assert with_session.say("PASS pw").startswith(b"+OK")
    got = verify(path, "--maildrop", drop)
    assert got.code == LATER and "a session holds the maildrop" in got.err
    assert with_session.say("QUIT").startswith(b"+OK")
    (base / "pw").write_text("wrong\n")
    assert verify(path, *source).code == NO_RIGHT


def test_reads_as_the_owner(base, drop):
    for p in (base / "mail", *(base / "mail").rglob("*")):
        p.chmod(0o700 if p.is_dir() else 0o600)
    path = export(base, "--maildrop", drop)
    made = {p.stat().st_uid for p in (base / "mail").rglob("*")}
    assert made == {NOBODY}, "something in the maildrop is not its owner's"
    # What the owner may not reach is not read, whoever asks.
    (base / "mail").chmod(0o000)
    got = verify(path, "--maildrop", drop)
    assert got.code not in (SAFE, NOT_SAFE) and "mail" in got.err and not got.out
    (base / "mail").chmod(0o700)
    os.symlink(base / "mail", base / "link")
    os.lchown(base / "link", NOBODY, NOBODY)
    assert passport("export", "--maildrop", f"maildir:{base}/link").code not in (SAFE, NOT_SAFE)
    os.chown(base / "mail", 0, 0)
    got = verify(path, "--maildrop", drop)
    assert got.code == NO_RIGHT and "belongs to root" in got.err


def test_an_owner_stops_the_child(base, drop):
    """A message of many octets keeps it busy until the owner stops it."""
    large = next((base / "mail" / "new").iterdir())
    os.truncate(large, 8 << 30)
    p = subprocess.Popen([str(BUILD / "restante"), "passport", "export", "--maildrop", drop,
                          "--bytes", "--timeout", "1"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def child():
        pids = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
        for pid in pids:
            try:
                if os.stat(f"/proc/{pid}/limits") and f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}" in \
                        pathlib.Path(f"/proc/{pid}/status").read_text():
                    return int(pid)
            except FileNotFoundError:
                pass
        return None
    pid = until(child, tick=0.002)
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    subprocess.run(["kill", "-STOP", str(pid)], check=True, user=NOBODY, group=NOBODY,
                   extra_groups=[])
    out, err = p.communicate(timeout=60)
    assert p.returncode == LATER and "no progress for 1 second" in err, (p.returncode, err)
    assert out == "" and str(base / "mail") in err
    assert not pathlib.Path(f"/proc/{pid}").exists()
    assert "Max core file size        0 " in limits
    # A sanitizer's shadow memory would count.
    assert SANITIZED or f"Max data size             {1 << 30} " in limits


def test_as_a_user(base, drop):
    more = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    got = passport("export", "--maildrop", drop, **more)
    assert got.code == SAFE, got.err
    (base / "passport").write_bytes(got.octets)
    assert verify(base / "passport", "--maildrop", drop, **more).code == SAFE


def test_mbox(base):
    spool = base / "spool"
    spool.mkdir()
    box = spool / "anna"
    box.write_bytes(b"".join(b"From a@x Sun Nov 22 10:00:00 2026\n" + m + b"\n" for m in MAILS))
    for p in (spool, box):
        os.chown(p, NOBODY, NOBODY)
    path = export(base, "--maildrop", f"mbox:{box}", "--bytes")
    rows = [x.split(" ") for x in path.read_text().splitlines() if re.match(r"\d+ ", x)]
    assert len(rows) == len(MAILS)
    assert [int(r[2]) for r in rows] == [len(m.replace(b"\n", b"\r\n")) for m in MAILS]
    assert verify(path, "--maildrop", f"mbox:{box}").code == SAFE
    text = box.read_bytes()
    box.write_bytes(text.replace(b"Subject: 4", b"Subject: X"))
    assert verify(path, "--maildrop", f"mbox:{box}").code == NOT_SAFE


def test_wrong_words(base, drop):
    for args, word in (((), "usage: "), (("stamp",), "key, export"), (("key",), "where to"),
                       (("export",), "--maildrop"), (("verify",), "missing"),
                       (("export", "--maildrop", "mail"), "absolute"),
                       (("export", "--maildrop", drop, "--from", "pop3://h"), "--maildrop"),
                       (("export", "--from", "pop3://h"), "USER@"),
                       (("export", "--from", "pop3://u@h"), "--password-file"),
                       (("export", "file", "--maildrop", drop), "standard output"),
                       (("export", "--maildrop", drop, "--folder", "a/b"), "--folder")):
        got = passport(*args)
        assert got.code == USAGE and word in got.err, (args, got.err)
    assert passport("verify", base / "none", "--maildrop", drop).code == NO_INPUT
    assert passport("export", "--maildrop", "maildir:/no/such/drop").code == NO_INPUT
    assert passport("export", "--maildrop", drop, "--key", base / "none").code == NO_INPUT
    for task in ("key", "export", "verify"):
        assert passport(task, "--help").code == SAFE


class Hangs(Session):
    def on_UIDL(self, arg):
        self.hang()


def test_a_server_that_hangs(tmp_path):
    (tmp_path / "pw").write_bytes(PASSWORD + b"\n")
    with House(Drop(plain_mails(3)), Hangs) as house:
        got = passport("export", "--from", f"pop3://anna@127.0.0.1:{house.port}", "--plaintext",
                       "--timeout", "3", "--password-file", tmp_path / "pw")
    assert got.code == UNREACHABLE and "UIDL" in got.err and got.out == ""


class NoTop(Session):
    def on_TOP(self, arg):
        self.err("not now")


def test_what_is_not_shown_is_told(tmp_path):
    (tmp_path / "pw").write_bytes(PASSWORD + b"\n")
    with House(Drop(plain_mails(3)), NoTop) as house:
        got = passport("export", "--from", f"pop3://anna@127.0.0.1:{house.port}", "--plaintext",
                       "--password-file", tmp_path / "pw")
    assert got.code == NOT_SAFE and "not whole: 3 of 3 messages were not shown" in got.err
    assert [int(x) for x in re.findall(r": message (\d+) \(\S+, \d+ octets\) was not shown", got.err)] == \
        [1, 2, 3], got.err
    (tmp_path / "passport").write_bytes(got.octets)
    with House(Drop(plain_mails(3))) as house:
        got = verify(tmp_path / "passport", "--from", f"pop3://anna@127.0.0.1:{house.port}", "--plaintext",
                     "--password-file", tmp_path / "pw")
    assert got.code == SAFE and ", 0 compared by header" in got.out


def test_a_file_that_cannot_be_read_is_told(base, drop):
    """The passport is there, and says by its status that it is not whole."""
    file = sorted((base / "mail" / "new").iterdir())[4]
    # Its name says how large it is, so that it is listed.
    stored, wire = len(MAILS[4]), len(MAILS[4].replace(b"\n", b"\r\n"))
    hidden = file.rename(file.with_name(f"{file.name},S={stored},W={wire}"))
    os.chown(hidden, 0, 0)
    hidden.chmod(0o600)
    got = passport("export", "--maildrop", drop)
    assert got.code == NOT_SAFE and "not whole: 1 of 9 messages" in got.err, got.err
    assert f": message 5 ({file.name}, {wire} octets)" in got.err, got.err
    assert b"\nend 9\n" in got.octets


def test_of_many_hidden_ones_some_are_named(tmp_path):
    (tmp_path / "pw").write_bytes(PASSWORD + b"\n")
    with House(Drop(plain_mails(25)), NoTop) as house:
        got = passport("export", "--from", f"pop3://anna@127.0.0.1:{house.port}", "--plaintext",
                       "--password-file", tmp_path / "pw")
    assert got.code == NOT_SAFE and got.err.count("octets) was not shown") == 20
    assert ": and 5 more\n" in got.err and "25 of 25 messages" in got.err
