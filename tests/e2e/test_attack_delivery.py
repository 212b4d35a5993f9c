"""Attacks on mail that comes in: by who sends it, by a client of the LMTP port, by the owner
of a maildrop, and by a neighbour in a directory of many. Only who attacks may be hurt."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from lmtpd_alone import Mta
from pop import Pop
from postoffice import BUILD, make_base, start_offices

ALICE, BOB, MAIL = 60001, 60002, 8
FROM = b"From x@y Sat Jan  3 01:05:34 1996\n"
LETTER = b"Subject: x\n\nhello\n"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="plays several users")


@pytest.fixture(scope="module", name="office")
def fixture_office():
    for start in start_offices():
        yield start("--lmtp", "127.0.0.1:0",
                    users=[f"{u}:secret" for u in ("anna", "bob", "carl", "dora", "eva")],
                    sets={"lmtp_bare_line_ends": "keep"})


@pytest.fixture
def base():
    yield from make_base()


def connect(office):
    return Mta(int(office.lmtp_at.rsplit(":", 1)[1]))


def collect(office, user):
    """What the user has, dots undone, and deleted."""
    pop = Pop(office.host, office.pop3)
    assert pop.login(user, "secret").startswith(b"+OK")
    out = []
    for i in range(1, int(pop.say("STAT").split()[1]) + 1):
        assert pop.say(f"RETR {i}").startswith(b"+OK")
        lines = pop.body().split(b"\r\n")[:-2]
        out.append(b"".join((x[1:] if x.startswith(b".") else x) + b"\r\n" for x in lines))
        assert pop.say(f"DELE {i}").startswith(b"+OK")
    assert pop.say("QUIT").startswith(b"+OK")
    pop.close()
    return out


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


# ---- a client of the LMTP port -----------------------------------------------------------

@pytest.mark.parametrize("end", [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\r.\r\n", b"\r\n.\r\r\n",
    b"\r\n.\0\r\n", b"\r\n\0.\r\n", b"\r\n.\r\n"[:-1] + b" \n", b"\r\n. \r\n", b"\r\n\x0b.\r\n"])
def test_nothing_but_crlf_dot_crlf_ends_a_message(office, end):
    """What another server takes for the end must not be one here: the rest is no envelope."""
    hidden = (b"MAIL FROM:<forged@x>\r\nRCPT TO:<anna>\r\nDATA\r\nSubject: hidden\r\n")
    mta = connect(office)
    mta.send(b"MAIL FROM:<s@x>\r\nRCPT TO:<anna>\r\nDATA\r\n")
    mta.expect(b"250", b"250", b"354")
    mta.send(b"Subject: one\r\n\r\nbody" + end + hidden + b"\r\n.\r\nNOOP\r\n")
    mta.expect(b"250 2.0.0", b"250 2.0.0 ok")
    assert mta.is_silent()
    mta.close()
    came, = collect(office, "anna")
    assert came.count(b"Return-Path: ") == 1 and b"Subject: hidden\r\n" in came


def test_a_refused_envelope_leaves_nothing_open(office):
    """Pipelined behind errors, the message itself must not become commands."""
    mta = connect(office)
    mta.send(b"MAIL FROM:<a b>\r\nRCPT TO:<anna>\r\nDATA\r\nNOOP\r\n"
             b"MAIL FROM:<s@x>\r\nRCPT TO:<nobody>\r\nDATA\r\nBDAT 6 LAST\r\nRSET\r\n"
             b"BDAT 6\r\nQUIT\r\nRSET\r\nRCPT TO:<anna>\r\nNOOP\r\n")
    mta.expect(b"501", b"503", b"503", b"250", b"250", b"550", b"503", b"503", b"503", b"250",
               b"503", b"250")
    mta.close()
    assert collect(office, "anna") == []


def test_recipients_that_are_refused_are_not_kept_for_ever(office):
    pid, = office.pids("restante-lmtpd")
    mta = connect(office)
    mta.ask(b"MAIL FROM:<s@x>", b"250")
    name = b"n" * 900
    mta.send(b"".join(b"RCPT TO:<%s%d@x>\r\n" % (name, i) for i in range(1024)))
    mta.expect(*[b"550"] * 1024)
    before = resident_kib(pid)
    for _ in range(8):
        mta.send(b"RCPT TO:<%s@x>\r\n" % name * 1000)
        mta.expect(*[b"452 4.5.3"] * 1000)
    assert resident_kib(pid) < before + 2048
    mta.ask(b"RSET", b"250")
    mta.send(b"MAIL FROM:<s@x>\r\nRCPT TO:<anna>\r\nQUIT\r\n")
    mta.expect(b"250", b"250", b"221")
    mta.close()


HOSTILE_NAMES = [
    rb'"x event=login user=root result=ok"@y',
    rb'"x\" event=\"login"@y',
    rb'"\\"@y',
    rb'"<root@x>"@y',
    rb'"a@b"@c@d'[:-2],
    '"\u0085 \u202e"@y'.encode(),
    b"%s%n@y",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_recipient_forges_no_log_line(office, name):
    since = office.mark()
    mta = connect(office)
    mta.ask(b"MAIL FROM:<%s> SMTPUTF8" % name, b"250")
    mta.ask(b"RCPT TO:<%s>" % name, b"550 5.1.1")
    mta.close()
    line = office.wait_for_log("event=recipient_refused", since=since)
    assert all(32 <= ord(c) < 127 or ord(c) > 0xA0 for c in line), line
    words = [w.split("=", 1) for w in shlex.split(line) if "=" in w]
    keys = [w[0] for w in words]
    assert keys.count("event") == 1 and "user" not in keys and keys.count("recipient") == 1, line


@pytest.mark.parametrize("name", [b"a\rb", b'"a\rb"', b'"a\0b"', b'"a\x7fb"', b"a\tb", b'"a'])
def test_control_octets_are_no_address(office, name):
    mta = connect(office)
    mta.ask(b"MAIL FROM:<%s@x>" % name, b"50")
    mta.ask(b"MAIL FROM:<s@x>", b"250")
    mta.ask(b"RCPT TO:<%s@x>" % name, b"50")
    mta.close()


def test_an_envelope_makes_one_line_each(office):
    mta = connect(office)
    mta.ask(rb'MAIL FROM:<"\>: x\ y"@x>', b"250")
    mta.ask(rb'RCPT TO:<"bob+\ Subject:\ y"@x>', b"250")
    mta.ask(b"DATA", b"354")
    mta.send(b"\r\n.\r\n")
    mta.expect(b"250 2.0.0")
    mta.close()
    came, = collect(office, "bob")
    head = came.split(b"\r\n")
    assert head[0].startswith(b"Return-Path: <") and head[1].startswith(b"Delivered-To: bob+")
    assert head[2:] == [b"", b""]


def test_what_lmtpd_writes_has_a_limit(office):
    """RLIMIT_FSIZE holds for its memory files too, so a taken-over one has it as well."""
    pid, = office.pids("restante-lmtpd")
    mta = connect(office)
    mta.sock.sendall(b"LHLO x\r\n")
    size = int(next(x for x in iter(mta.line, None) if b"SIZE" in x).split()[-1])
    mta.close()
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max file size +(\d+) +(\d+)", limits).groups() == (str(size), str(size))


# ---- who sends a message ------------------------------------------------------------------

HOSTILE_MESSAGES = {
    "one line of 32 MiB": b"x" * (32 << 20),
    "line ends alone": b"\r\n" * (1 << 20),
    "bare line feeds": b"\n" * (4 << 20),
    "carriage returns": b"\r" * (1 << 20),
    "NULs": b"\0" * (4 << 20),
    "header lines without end": b"A: b\r\n" * 1000000,
    "a header line that goes on": b"A: b\r\n" + b" c\r\n" * 1000000,
    "dots": b".\r\n..\r\n" * 300000,
    "From_ lines": b"From x@y Sat Jan  3 01:05:34 1996\r\n\r\n" * 100000,
}


@pytest.mark.parametrize("what", HOSTILE_MESSAGES)
def test_a_hostile_message_is_only_a_message(office, what):
    message = HOSTILE_MESSAGES[what]
    mta = connect(office)
    mta.send(b"MAIL FROM:<>\r\nRCPT TO:<carl>\r\n")
    mta.expect(b"250", b"250")
    mta.send(b"BDAT %d LAST\r\n" % len(message) + message)
    mta.expect(b"250 2.0.0")
    mta.close()
    came, = collect(office, "carl")
    body = came.split(b"Delivered-To: carl\r\n", 1)[1]
    lines = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert body == (lines if lines.endswith(b"\n") else lines + b"\r\n")


def deliver(maildrop, message=LETTER, uid=None, groups=(), args=(), timeout=60):
    """(exit status, standard error) of restante-deliver."""
    ids = {} if uid is None else {"user": uid, "group": uid, "extra_groups": list(groups)}
    r = subprocess.run([BUILD / "restante-deliver", "--maildrop", maildrop, *args], input=message,
                       capture_output=True, timeout=timeout, **ids,
                       env={"PATH": os.environ["PATH"]})
    return r.returncode, r.stderr.decode()


def listed(maildrop, uid=None):
    """(exit status, [sizes], standard error) as restante passport sees it."""
    ids = {} if uid is None else {"user": uid, "group": uid, "extra_groups": [MAIL]}
    r = subprocess.run([BUILD / "restante-move", "passport", "export", "--maildrop", maildrop],
                       capture_output=True, timeout=60, stdin=subprocess.DEVNULL, **ids)
    return r.returncode, r.stdout, r.stderr.decode()


def test_from_lines_make_no_messages(base):
    """Whatever a stranger writes, an mbox has as many messages as were delivered."""
    box = base / "box"
    for body in (FROM * 3, b"\n" + FROM, b"\n\n" + FROM + b"\n" + FROM, b"\r\n\r\n" + FROM,
                 b"A: b\n\n>" + FROM, b"\r\r\n\r\r\n" + FROM + b"\r\r\n" + FROM,
                 b"x" * 131067 + b"\n\n" + FROM, b"x" * 131070 + b"\n" + FROM):
        before = box.read_bytes().count(b"\n\nFrom ") if box.exists() else -1
        assert deliver(f"mbox:{box}", b"Subject: x\n\n" + body)[0] == 0
        assert box.read_bytes().count(b"\n\nFrom ") == before + 1


# ---- the owner of a maildrop: he hurts nobody but himself ------------------------------------

def tree(path):
    """All that is there, to be compared."""
    return {p: (p.lstat().st_mode, p.lstat().st_uid, p.lstat().st_size,
                p.read_bytes() if p.is_file() and not p.is_symlink() else None)
            for p in sorted(path.rglob("*"))}


@pytest.mark.parametrize("part", ["tmp", "new", "cur", ""])
@pytest.mark.parametrize("what", ["link", "file", "fifo"])
def test_a_maildir_that_leads_elsewhere_takes_nothing(base, part, what):
    other, box = base / "other", base / "home" / "box"
    for d in ("tmp", "new", "cur"):
        (other / d).mkdir(parents=True)
        if part:
            (box / d).mkdir(parents=True)
    box.parent.mkdir(exist_ok=True)
    at = box / part if part else box
    if at.exists():
        at.rmdir()
    if what == "link":
        at.symlink_to(other / part)
    elif what == "file":
        at.write_bytes(b"")
    else:
        os.mkfifo(at)
    before = tree(other)
    code, text = deliver(f"maildir:{box}")
    if part == "cur" and code == 0:
        # Nothing is ever written there.
        assert len(os.listdir(box / "new")) == 1
    else:
        assert code in (73, 75), (code, text)
    assert tree(other) == before


@pytest.mark.parametrize("name", ["restante-swept", "tmp/x", "restante-index", "restante-identity",
                                  "restante-lock"])
def test_files_of_ours_that_are_links(base, name):
    box, victim = base / "box", base / "victim"
    victim.write_bytes(b"precious")
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
    (box / name).symlink_to(victim)
    assert deliver(f"maildir:{box}")[0] == 0
    listed(f"maildir:{box}")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["box", ".box.restante-identity", ".box.restante-intent",
                                  ".box.restante-index", ".box.restante-lock",
                                  ".box.restante-dot"])
@pytest.mark.parametrize("what", ["fifo", "link", "directory", "device"])
def test_odd_files_in_the_place_of_an_mbox_and_its_own(base, name, what):
    """Nothing hangs, nothing is written through a link, and it is no crash."""
    victim, at = base / "victim", base / "mail" / name
    at.parent.mkdir()
    victim.write_bytes(b"precious")
    if name != "box":
        (base / "mail/box").write_bytes(FROM + LETTER + b"\n")
    if what == "fifo":
        os.mkfifo(at)
    elif what == "link":
        at.symlink_to(victim)
    elif what == "directory":
        at.mkdir()
    elif os.geteuid() == 0:
        os.mknod(at, 0o20666, os.makedev(1, 5))
    else:
        pytest.skip("only root makes devices")
    code, text = deliver(f"mbox:{base}/mail/box", timeout=120)
    assert code in (0, 73, 75), (code, text)
    code, _, text = listed(f"mbox:{base}/mail/box")
    assert 0 <= code < 128 and "signal" not in text, (code, text)
    assert victim.read_bytes() == b"precious"


# ---- root ------------------------------------------------------------------------------------

@pytest.fixture(name="program")
def fixture_program(base, monkeypatch):
    for name in ("restante-deliver", "restante-move"):
        shutil.copy2(BUILD / name, base / name)
        (base / name).chmod(0o755)
    monkeypatch.setattr("test_attack_delivery.BUILD", base)


def own(path, uid, gid=None):
    for p in [path, *path.rglob("*")]:
        os.chown(p, uid, uid if gid is None else gid, follow_symlinks=False)


@as_root
@pytest.mark.parametrize("args", [[], ["-d", "virtual@example.org"]])
def test_root_puts_nothing_down_that_the_owner_cannot_read(base, args):
    box = base / "box"
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
    own(box, ALICE)
    assert deliver(f"maildir:{box}", args=args) == (0, "")
    file, = (box / "new").iterdir()
    assert file.stat().st_uid == ALICE


@as_root
def test_root_follows_no_link_of_a_user(base):
    home, target = base / "alice", base / "roots"
    home.mkdir()
    target.mkdir()
    (home / "mail").symlink_to(target)
    own(home, ALICE)
    code, text = deliver(f"maildir:{home}/mail/inbox")
    assert code == 73 and "symbolic link" in text, text
    assert list(target.iterdir()) == []


@as_root
@pytest.mark.parametrize("way", ["box", "mail/box"])
@pytest.mark.parametrize("words", [("import", "--maildrop"), ("check", "--repair", "--maildrop"),
                                   ("passport", "export", "--maildrop")])
def test_root_does_not_take_one_users_mail_for_anothers(base, way, words):
    """alice's maildrop is a link to bob's: nothing is read or written there in her name."""
    alice, box = base / "alice", base / "bob/box"
    alice.mkdir()
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
    (box / "new/1.M1P1.x").write_bytes(LETTER)
    (box / "dovecot-uidlist").write_text("3 V1 N2\n1 Palice :1.M1P1.x\n")
    own(base / "bob", BOB)
    if way == "box":
        (alice / "box").symlink_to(box)
    else:
        (alice / "mail").symlink_to(base / "bob")
    own(alice, ALICE)
    before = tree(base / "bob")
    r = subprocess.run([BUILD / "restante-move", *words, f"maildir:{alice}/{way}"],
                       capture_output=True, timeout=60, stdin=subprocess.DEVNULL, text=True)
    assert r.returncode == 66 and "ymbolic link" in r.stderr and "1.M1P1" not in r.stdout, r
    assert tree(base / "bob") == before
    r = subprocess.run([BUILD / "restante-move", *words, f"maildir:{box}"],
                       capture_output=True, timeout=60, stdin=subprocess.DEVNULL, text=True)
    assert r.returncode == 0, r


# ---- a neighbour in a directory of many ---------------------------------------------------------

@pytest.fixture(name="spool")
def fixture_spool(base, program):
    """As /var/mail where everybody may write."""
    d = base / "mail"
    d.mkdir()
    os.chown(d, 0, MAIL)
    d.chmod(0o1777)
    return d


def put(path, octets, uid, mode=0o660):
    path.write_bytes(octets)
    os.chown(path, uid, MAIL)
    path.chmod(mode)
    return path


@as_root
def test_mail_is_not_put_into_a_neighbours_file(spool):
    """bob made alice's mbox before her: he would read her mail."""
    box = put(spool / "alice", b"", BOB, 0o666)
    code, text = deliver(f"mbox:{box}", uid=ALICE, groups=[MAIL])
    assert code == 73, (code, text)
    assert box.read_bytes() == b""


@as_root
def test_a_neighbours_mail_is_not_served_under_another_name(spool):
    """A hard link to bob's mbox, as alice's; the group of both may read it."""
    put(spool / "bob", FROM + LETTER + b"\n", BOB)
    os.link(spool / "bob", spool / "alice")
    code, out, text = listed(f"mbox:{spool}/alice", uid=ALICE)
    assert code != 0 and b"uidl" not in out.lower(), (out, text)
    code, _ = deliver(f"mbox:{spool}/alice", uid=ALICE, groups=[MAIL])
    assert code == 73
    assert (spool / "bob").read_bytes() == FROM + LETTER + b"\n"


@as_root
@pytest.mark.parametrize("how", ["link", "closed", "directory"])
@pytest.mark.parametrize("what", ["append", "identity~", "index", "lock", "intent", "intent~", "dot"])
def test_files_that_a_neighbour_planted_do_not_stop_mail(spool, base, what, how):
    box, victim = put(spool / "alice", FROM + LETTER + b"\n", ALICE, 0o600), base / "victim"
    put(victim, b"precious", ALICE)
    at = spool / f".alice.restante-{what}"
    if how == "link":
        at.symlink_to(victim)
        os.chown(at, BOB, MAIL, follow_symlinks=False)
    elif how == "closed":
        put(at, b"", BOB, 0o600)
    else:
        at.mkdir(mode=0o700)
        os.chown(at, BOB, MAIL)
    assert deliver(f"mbox:{box}", uid=ALICE, groups=[MAIL]) == (0, "")
    code, out, text = listed(f"mbox:{box}", uid=ALICE)
    assert code == 0 and b"\nmessages 2 " in out, text
    assert victim.read_bytes() == b"precious"


@as_root
@pytest.mark.parametrize("what", ["append", "identity", "identity~", "index", "lock", "intent", "dot"])
def test_files_that_a_neighbour_planted_are_not_believed(spool, base, what):
    """They may be in the way; but no mail of alice's is lost, changed or given away."""
    box = put(spool / "alice", FROM + LETTER + b"\n", ALICE, 0o600)
    mine = base / "bobs" / "alice"
    mine.parent.mkdir()
    own(mine.parent, BOB)
    put(mine, FROM + b"Subject: other\n\nother\n\n" + FROM + LETTER + b"\n", BOB)
    # Sound files of ours, of another mbox.
    assert listed(f"mbox:{mine}", uid=BOB)[0] == 0
    made = mine.parent / f".alice.restante-{what}"
    planted = put(spool / f".alice.restante-{what}",
                  made.read_bytes() if made.exists() else b"planted", BOB, 0o666)
    octets = planted.read_bytes()
    code, out, text = listed(f"mbox:{box}", uid=ALICE)
    if code == 0:
        assert out.count(b"\n") == listed(f"mbox:{mine}", uid=BOB)[1].count(b"\n") - 1
    code, text = deliver(f"mbox:{box}", uid=ALICE, groups=[MAIL], timeout=120)
    assert box.read_bytes().startswith(FROM + LETTER + b"\n"), text
    assert box.read_bytes().count(b"hello") == (2 if code == 0 else 1), (code, text)
    assert planted.read_bytes() == octets
