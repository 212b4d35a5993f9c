"""`restante deliver`: what it stores, what it answers, and what is left when it is killed."""
import concurrent.futures
import grp
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import smtplib
import subprocess
import time

import pytest

from fetch_mta import Postfix
from postoffice import BUILD, make_base, until

PROGRAM = BUILD / "restante-deliver"
USAGE, DATA, NO_USER, CANNOT, AGAIN = 64, 65, 67, 73, 75
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def base():
    yield from make_base()


@pytest.fixture
def program(base):
    """A copy that every user can run: the build tree may be one user's alone."""
    shutil.copy2(PROGRAM, base / "restante-deliver")
    (base / "restante-deliver").chmod(0o755)
    return base / "restante-deliver"


def configuration(base, *lines):
    path = base / "restante.conf"
    path.write_text("\n".join([*lines, "plaintext = loopback", "[listener a]",
                               "address = 127.0.0.1:1100", ""]))
    path.chmod(0o644)
    return path


def deliver(message, *args, env=None, program=PROGRAM):
    """(exit status, standard error)"""
    r = subprocess.run([program, *map(str, args)], input=message, capture_output=True,
                       timeout=60, env={"PATH": os.environ["PATH"], **(env or {})})
    assert r.stdout == b""
    return r.returncode, r.stderr.decode()


def stored(maildir):
    return [p.read_bytes() for p in sorted((maildir / "new").iterdir())]


def wire_size(octets):
    """What RETR sends of it, without stuffed dots and the end that a last line lacks."""
    lines = octets.replace(b"\r\n", b"\n")
    return len(lines) + lines.count(b"\n")


def check_names(maildir):
    for p in (maildir / "new").iterdir():
        at = re.fullmatch(r"\d+\.M\d+P\d+Q\d+R[0-9a-f]{8}\.[A-Za-z0-9.-]+,S=(\d+),W=(\d+)",
                          p.name)
        assert at, p.name
        octets = p.read_bytes()
        assert len(octets) == int(at[1])
        assert wire_size(octets) == int(at[2])
        assert p.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("message,args,env,expected", [
    (b"Subject: a\r\n\r\nb\r\n", ["-f", "s@x", "-a", "r@y"], {},
     b"Return-Path: <s@x>\nDelivered-To: r@y\nSubject: a\n\nb\n"),
    (b"a\n", [], {"SENDER": "s@x", "RECIPIENT": "r@y", "ORIGINAL_RECIPIENT": "o@y"},
     b"Return-Path: <s@x>\nDelivered-To: r@y\na\n"),
    (b"a\n", ["-f", "t@x"], {"SENDER": "s@x", "ORIGINAL_RECIPIENT": "o@y"},
     b"Return-Path: <t@x>\nDelivered-To: o@y\na\n"),
    (b"a\n", ["-f", "<>"], {}, b"Return-Path: <>\na\n"),
    (b"a\n", [], {"SENDER": "MAILER-DAEMON"}, b"Return-Path: <>\na\n"),
    (b"a\n", ["-f", ""], {}, b"Return-Path: <>\na\n"),
    (b"a\n", [], {}, b"a\n"),
    (b"From s@x Mon Jan  1 00:00:00 2026\na\n", ["-a", "r"], {}, b"Delivered-To: r\na\n"),
    # What the MTA put there is not put there twice.
    (b"From s\nReturn-Path: <s@x>\nDelivered-To: r@y\n\na", ["-f", "s@x", "-a", "R@Y"], {},
     b"Return-Path: <s@x>\nDelivered-To: r@y\n\na"),
    (b"a\n", ["-f", "s\nBcc: all@x"], {}, b"Return-Path: <s?Bcc: all@x>\na\n"),
    (b"one\0\xff\r\r\n.\r\n\r", [], {}, b"one\0\xff\r\n.\n\r"),
])
def test_what_is_stored(base, message, args, env, expected):
    r = deliver(message, "--maildrop", f"maildir:{base}/deep/Maildir", *args, env=env)
    assert r == (0, "")
    assert stored(base / "deep/Maildir") == [expected]
    check_names(base / "deep/Maildir")


def test_large_messages(base):
    for n in (65535, 65536, 1 << 20, (1 << 20) + 1, 5_000_001):
        message = b"From x\n" + (b"0123456789abcdef" * 4 + b"\r\n") * (n // 66) + b"y" * (n % 66)
        box = base / str(n)
        assert deliver(message, "--maildrop", f"maildir:{box}") == (0, "")
        assert stored(box) == [message[7:].replace(b"\r\n", b"\n")]
        check_names(box)
        assert sorted(p.name for p in base.iterdir()) == [str(n)]  # the spool had no name
        shutil.rmtree(box)


def test_into_an_mbox(base):
    for i in range(2):
        assert deliver(b"Subject: %d\n\nFrom here on\n" % i, "--maildrop", f"mbox:{base}/box",
                       "-f", "s@x") == (0, "")
    octets = (base / "box").read_bytes()
    assert len(re.findall(rb"^From s@x ", octets, re.M)) == 2
    assert octets.count(b"\n>From here on\n") == 2
    assert (base / "box").stat().st_mode & 0o077 == 0


def test_answers(base):
    there = f"maildir:{base}/M"
    (base / "file").write_text("")
    os.symlink("/tmp", base / "link")
    rows = [
        (USAGE, b"a", ["--bogus"]),
        (USAGE, b"a", ["--maildrop", there, "more"]),
        (USAGE, b"a", ["--maildrop", "M"]),
        (USAGE, b"a", ["--maildrop", "maildir:M"]),
        (USAGE, b"a", ["--maildrop", f"maildir:{base}/../M"]),
        (USAGE, b"a", ["--maildrop", f"maildir:{base}/%x"]),
        (DATA, b"", ["--maildrop", there]),
        (DATA, b"From nobody but me\n", ["--maildrop", there]),
        (NO_USER, b"a", ["--maildrop", "maildir:~/M", "-d", "no such user"]),
        (NO_USER, b"a", ["--maildrop", f"maildir:{base}/%u", "-d", "no-such-user"]),
        (NO_USER, b"a", ["--maildrop", f"maildir:{base}/%u", "-d", "../up"]),
        (CANNOT, b"a", ["--maildrop", f"maildir:{base}/file"]),
        (CANNOT, b"a", ["--maildrop", f"maildir:{base}/file/M"]),
        (CANNOT, b"a", ["--maildrop", f"maildir:{base}/link"]),
        (AGAIN, b"a", ["--config", f"{base}/missing", "--maildrop", there]),
    ]
    for status, message, args in rows:
        code, text = deliver(message, *args)
        assert code == status, (args, text)
        assert text.startswith(f"{4 if code == AGAIN else 5}.") or "--bogus" in args, text
    assert sorted(p.name for p in base.iterdir()) == ["file", "link"]


def test_help():
    r = subprocess.run([BUILD / "restante", "deliver", "--help"], capture_output=True,
                       timeout=60, text=True)
    assert r.returncode == 0 and r.stdout.startswith("usage: restante deliver")


def test_the_limit_of_the_configuration(base):
    conf = configuration(base, "message_size_max = 65536", f"maildrop = maildir:{base}/%u/box")
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert deliver(b"x" * 65536, "--config", conf) == (0, "")
    code, text = deliver(b"x" * 65537, "--config", conf)
    assert code == DATA and text.startswith("5.3.4 ")
    assert stored(base / user / "box") == [b"x" * 65536]
    assert list((base / user / "box/tmp").iterdir()) == []


@as_root
def test_root_becomes_the_user(base, program):
    conf = configuration(base, f"maildrop = maildir:{base}/%u/Maildir")
    (base / "games").mkdir()
    shutil.chown(base / "games", "games")
    assert deliver(b"a\n", "-d", "games", "--config", conf, program=program) == (0, "")
    for p in (base / "games/Maildir").rglob("*"):
        assert p.owner() == "games"
    # In nobody's directory games may not write, whatever root may.
    (base / "nobody").mkdir()
    shutil.chown(base / "nobody", "nobody")
    code, _ = deliver(b"a\n", "-d", "games", "--maildrop", f"maildir:{base}/nobody/M",
                      program=program)
    assert code == CANNOT
    assert list((base / "nobody").iterdir()) == []


@as_root
def test_groups_of_the_configuration(base, program):
    """Where mail lies in a directory of group mail, as /var/mail."""
    (base / "spool").mkdir()
    shutil.chown(base / "spool", "root", "mail")
    (base / "spool").chmod(0o770)
    conf = configuration(base, f"maildrop = maildir:{base}/spool/%u")
    code, _ = deliver(b"a\n", "-d", "games", "--config", conf, program=program)
    assert code == CANNOT
    conf = configuration(base, f"maildrop = maildir:{base}/spool/%u",
                         f"mail_groups = {grp.getgrnam('mail').gr_gid}")
    assert deliver(b"a\n", "-d", "games", "--config", conf, program=program) == (0, "")
    assert (base / "spool/games").owner() == "games"


@as_root
def test_home_is_that_of_the_list_of_users(base, program):
    """A foreign HOME does not lead mail elsewhere."""
    (base / "Maildir").mkdir()
    shutil.chown(base / "Maildir", "games")
    home = pwd.getpwnam("games").pw_dir
    code, text = deliver(b"a\n", "-d", "games", "--maildrop", "maildir:~/restante-test/M",
                         env={"HOME": str(base)}, program=program)
    assert code == CANNOT, (home, text)  # Debian's games owns nothing there
    assert list((base / "Maildir").iterdir()) == []
    assert not pathlib.Path(home, "restante-test").exists()


@as_root
def test_a_full_disk(base):
    """In a mount namespace of its own, so that nothing stays mounted."""
    script = (f"mount -t tmpfs -o size=256k none {base} && "
              f"{PROGRAM} --maildrop maildir:{base}/M; echo status $?; find {base} -type f "
              f"-not -name restante-swept")
    r = subprocess.run(["unshare", "-m", "sh", "-c", script], input=b"x" * 400_000,
                       capture_output=True, timeout=60)
    assert r.stdout == b"status 75\n", r
    assert r.stderr.startswith(b"4.3.1 "), r.stderr


def test_a_limit_of_file_sizes(base):
    r = subprocess.run(["prlimit", "--fsize=100000", PROGRAM, "--maildrop",
                        f"maildir:{base}/M"], input=b"x" * 100_001, capture_output=True,
                       timeout=60)
    assert r.returncode != 0
    assert [p for p in base.rglob("*") if p.is_file() and p.name != "restante-swept"] == []


def test_an_mbox_that_reached_a_limit_of_file_sizes(base):
    """As Postfix sets it (mailbox_size_limit, 51200000): the mbox is full, and will not be."""
    box = base / "box"
    assert deliver(b"first\n" * 1000, "--maildrop", f"mbox:{box}") == (0, "")
    before = box.read_bytes()
    limited = ["prlimit", f"--fsize={len(before) + 10}", PROGRAM, "--maildrop", f"mbox:{box}"]
    for text, status, code in ((b"small\n", AGAIN, b"4.2.2 "), (b"x" * 9000, AGAIN, b"4.3.0 ")):
        r = subprocess.run(limited, input=text, capture_output=True, timeout=60)
        assert (r.returncode, r.stderr[:6]) == (status, code), r
        assert box.read_bytes() == before


def letter(i):
    return b"Subject: %d\r\n\r\n" % i + b"text %d\r\n" % i * 300


def test_many_at_once(base):
    def work(part):
        return [deliver(letter(i), "--maildrop", f"maildir:{base}/a/M")
                for i in range(part * 50, part * 50 + 50)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [a for part in pool.map(work, range(8)) for a in part]
    assert answers == [(0, "")] * 400
    assert sorted(stored(base / "a/M")) == sorted(
        letter(i).replace(b"\r\n", b"\n") for i in range(400))
    check_names(base / "a/M")
    assert list((base / "a/M/tmp").iterdir()) == []


def test_killed_at_any_moment(base):
    """What said 0 is there, what was killed is there whole or not at all."""
    box, draw = base / "M", random.Random(7)
    whole, certain = set(), set()
    took = []
    for i in range(5):
        begin = time.monotonic()
        assert deliver(b"first\n", "--maildrop", f"maildir:{base}/first{i}") == (0, "")
        took.append(time.monotonic() - begin)
    longest = 2 * min(took)

    def one(i):
        p = subprocess.Popen([PROGRAM, "--maildrop", f"maildir:{box}"],
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write(letter(i))
        p.stdin.close()
        try:
            p.wait(draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            p.kill()
        p.stderr.close()
        return i, p.wait(60)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for i, status in pool.map(one, range(240)):
            assert status in (0, -9)
            text = letter(i).replace(b"\r\n", b"\n")
            whole.add(text)
            if status == 0:
                certain.add(text)
    found = stored(box) if (box / "new").exists() else []
    assert set(found) <= whole and len(found) == len(set(found))
    assert certain <= set(found)
    assert len(certain) < 240
    # And the next one is as if nothing had been.
    assert deliver(b"last\n", "--maildrop", f"maildir:{box}") == (0, "")
    assert b"last\n" in stored(box)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ended_while_the_message_comes(base, number):
    """A shutdown ends all programs; Exim bounces what was for one that a signal killed."""
    p = subprocess.Popen([PROGRAM, "--maildrop", f"maildir:{base}/M"],
                         stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"Subject: half\n\n" + b"x" * 70000)
    p.stdin.flush()
    # It waits for more of the message in the second block.
    until(lambda: (pathlib.Path(f"/proc/{p.pid}/syscall").read_text().split()[:2]
                   == ["0", "0x0"]))
    p.send_signal(number)
    assert p.wait(10) == AGAIN
    assert p.stderr.read().startswith(b"4.3.2 ")
    p.stdin.close()
    p.stderr.close()
    assert not (base / "M/new").exists() or stored(base / "M") == []


@as_root
def test_postfix_pipes(base, program):
    """mailbox_command and pipe(8), with the lines of the manual."""
    shutil.copy2(BUILD / "restante", base / "restante")
    for user in ("games", "nobody"):
        (base / user).mkdir()
        shutil.chown(base / user, user)
    (base / "nobody/example.org/anna").mkdir(parents=True)
    shutil.chown(base / "nobody/example.org/anna", "nobody")
    local = configuration(base, f"maildrop = maildir:{base}/%u/Maildir")
    virtual = base / "virtual.conf"
    virtual.write_text(local.read_text().replace("%u/Maildir", "nobody/%d/%n"))
    postfix = Postfix(base, settings=f"""
mydestination = example.net
mailbox_command = {base}/restante deliver --config {local}
virtual_transport = restante
virtual_mailbox_maps = static:all
""", services=f"""
local unix - n n - - local
restante unix - n n - 10 pipe
  flags=DRXhu user=nobody null_sender=
  argv={base}/restante deliver --config {virtual} -f ${{sender}} -d ${{recipient}}
""")
    try:
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=120) as s:
            for to in ("games@example.net", "anna@example.org", "nosuch@example.org"):
                s.sendmail("sender@example.com", [to], "Subject: a\r\n\r\n.body\r\nFrom b\r\n")
        boxes = base / "games/Maildir", base / "nobody/example.org/anna"
        until(lambda: all((b / "new").exists() and stored(b) for b in boxes), 120, postfix.log)
        for box, to in zip(boxes, (b"games@example.net", b"anna@example.org")):
            octets, = stored(box)
            head, body = octets.split(b"\n\n", 1)
            assert body == b".body\nFrom b\n"
            assert head.count(b"Return-Path: <sender@example.com>") == 1
            assert head.count(b"Delivered-To: " + to) == 1
            assert not head.startswith(b"From ")
            check_names(box)
            assert next((box / "new").iterdir()).owner() == box.owner()
        log = until(lambda: re.search(r"to=<nosuch@example.org>.*status=bounced.*", postfix.log()),
                    120, postfix.log)
        assert "dsn=5.1.1" in log[0]
        assert "has no maildrop" in log[0]
    finally:
        postfix.stop()
