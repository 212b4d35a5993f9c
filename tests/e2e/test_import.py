"""restante import and check against the real Dovecot, Courier and Cyrus: maildrops that they
made themselves, with mail deleted and added in between. What they listed last, restante
lists: the same UIDLs in the same order; new mail comes behind it with new ones."""
import ctypes
import fcntl
import json
import os
import re
import pathlib
import shutil
import subprocess

import pytest
from fetch_faulty import PASSWORD, USER, Drop, House, Mail, Session, plain_mails
from fetch_peers import CANNOT, PEER_ROOT, Courier, Cyrus, Dovecot, make_roots
from pop import Pop
from postoffice import BUILD, SANITIZED, make_maildir, until

PROGRAM = BUILD / "restante-move"


def make_root(name, packages):
    got = subprocess.run([PEER_ROOT, name, *packages], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=600)
    if got.returncode == CANNOT:
        pytest.skip(got.stderr.strip())
    assert got.returncode == 0, got.stderr
    return pathlib.Path(got.stdout.strip())


def mail(i, body=""):
    return (f"Received: from a{i}\n\tby b; x\nFrom: eva@example.test\nTo: anna@example.test\n"
            f"Message-ID: <{i}@example.test>\nSubject: number {i}\n\nbody {i} {body}\n.dot\n"
            ).encode()


def run(command, *args, code=0, user=None):
    got = subprocess.run([PROGRAM, command, *map(str, args)], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=60, user=user)
    assert got.returncode == code, (got.returncode, got.stdout, got.stderr)
    return got


def take_over(*args, code=0):
    """What `restante import --json` says."""
    return json.loads(run("import", "--json", *args, code=code).stdout)


def listed(peer):
    """[(UIDL, octets)] in order, from a server that runs."""
    with peer.session() as p:
        uidls = [x.split(b" ", 1)[1] for x in p.multi("UIDL")]
        sizes = [int(x.split(b" ")[1]) for x in p.multi("LIST")]
        assert p.say("QUIT").startswith(b"+OK")
    return list(zip(uidls, sizes))


def served(office, name="anna", maildrop=None):
    """The same from restante, over the maildrop."""
    o = office(users=[(name, "secret", maildrop)])
    with Pop(o.host, o.pop3s, tls_ca=o.ca) as p:
        assert p.login(name, "secret").startswith(b"+OK"), o.log()
        uidls = [x.split(b" ", 1)[1] for x in p.multi("UIDL")]
        sizes = [int(x.split(b" ")[1]) for x in p.multi("LIST")]
        assert p.say("QUIT").startswith(b"+OK")
    o.stop()
    return list(zip(uidls, sizes))


def live_through(peer, first=6, drop=(2, 4), then=3):
    """Mail comes, some is deleted, more comes."""
    assert len(peer.put(*[mail(i) for i in range(first)])) == first
    with peer.session() as p:
        assert len(p.multi("UIDL")) == first
        for n in drop:
            assert p.say(f"DELE {n}").startswith(b"+OK")
        assert p.say("QUIT").startswith(b"+OK")
    peer.put(*[mail(100 + i) for i in range(then)])
    return listed(peer)


def then_new(office, maildir, before, owner=None):
    """One more message: the others keep theirs, it gets one of its own, at the end."""
    path = maildir / "new" / "4000000000.M1P1.new"
    path.write_bytes(mail(999))
    st = maildir.stat()
    os.chown(path, st.st_uid, st.st_gid)
    after = served(office, maildrop=maildir)
    assert after[:-1] == before
    assert after[-1][0] not in [uidl for uidl, _ in before]


# ---- Dovecot ---------------------------------------------------------------------------


class Formatted(Dovecot):
    def __init__(self, base, more):
        self.more = more
        super().__init__(base)

    def configuration(self):
        return super().configuration() + self.more


@pytest.mark.parametrize("uidl_format", ["%08Xu%08Xv", "%f", "%Mf", "UID%u-%v",
                                         "%LRg%-9.4f-%010u"])
def test_dovecot(office, base, uidl_format):
    peer = Formatted(base, f"pop3_uidl_format = {uidl_format}\n")
    before = live_through(peer)
    peer.stop()
    args = ["--maildrop", f"maildir:{peer.maildir}"]
    if uidl_format != "%08Xu%08Xv":
        args += ["--uidl-format", uidl_format]
    tried = take_over("--dry-run", *args)
    assert not (peer.maildir / "restante-identity").exists()
    got = take_over(*args)
    assert got["imported"] == tried["imported"] == len(before) == 7
    assert served(office, maildrop=peer.maildir) == before
    # Again: nothing is changed.
    log = (peer.maildir / "restante-identity").read_bytes()
    again = take_over(*args)
    assert (again["imported"], again["kept"]) == (0, 7)
    assert (peer.maildir / "restante-identity").read_bytes() == log
    then_new(office, peer.maildir, before)


def while_stopped(peer, change):
    """A session's process may write after it has answered QUIT."""
    peer.stop()
    change()
    peer.start(["dovecot", "-F", "-c", peer.base / "dovecot.conf"])


def edit_list(peer, edit):
    path = peer.maildir / "dovecot-uidlist"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *map(edit, range(len(rows)), rows)]) + "\n")
    for f in peer.maildir.glob("dovecot.index*"):
        f.unlink()


def test_dovecot_saved_ordered_and_renamed(office, base):
    """UIDLs and an order that Dovecot itself took over from elsewhere, and its renaming."""
    peer = Formatted(base, "pop3_uidl_format = %4.1f\npop3_uidl_duplicates = rename\n")
    live_through(peer)
    saved = {0: "Pold.0", 1: "P0", 3: "P0-2", 4: "P"}
    order = {0: "O9", 1: "O1", 2: "O1", 5: "O3"}

    def edit(i, row):
        uid, rest = row.split(" ", 1)
        return " ".join(filter(None, [uid, saved.get(i), order.get(i), rest]))
    while_stopped(peer, lambda: edit_list(peer, edit))
    before = listed(peer)
    peer.stop()
    assert [u for u, _ in before] != sorted(u for u, _ in before)
    assert b"old.0" in [u for u, _ in before] and b"0-2-2" in [u for u, _ in before]
    got = take_over("--maildrop", f"maildir:{peer.maildir}", "--uidl-format", "%4.1f",
                    "--uidl-duplicates", "rename")
    assert got["imported"] == 7 and got["renamed"] == 4
    assert served(office, maildrop=peer.maildir) == before


def test_dovecot_reuses_xuidl(office, base):
    peer = Formatted(base, "pop3_reuse_xuidl = yes\n")
    peer.put(b"X-UIDL: from-long-ago\n" + mail(0), mail(1))
    before = listed(peer)
    peer.stop()
    assert before[0][0] == b"from-long-ago"
    take_over("--maildrop", f"maildir:{peer.maildir}", "--reuse-xuidl")
    assert served(office, maildrop=peer.maildir) == before


def test_dovecot_list_of_version_1(office, base):
    peer = Dovecot(base)
    peer.put(*[mail(i) for i in range(3)])
    listed(peer)
    path = peer.maildir / "dovecot-uidlist"

    def write():
        for f in peer.maildir.glob("dovecot*"):
            f.unlink()
        names = sorted(p.name.split(":")[0] for p in (peer.maildir / "cur").iterdir())
        path.write_text("1 1600000000 9\n" +
                        "".join(f"{i * 2 + 1} {n}\n" for i, n in enumerate(names)))
        shutil.chown(path, peer.owner, peer.group)
        shutil.copy2(path, base / "list")
    while_stopped(peer, write)
    before = listed(peer)
    peer.stop()
    shutil.copyfile(base / "list", path)
    take_over("--maildrop", f"maildir:{peer.maildir}")
    assert before[0][0] == b"000000015f5e1000"
    assert served(office, maildrop=peer.maildir) == before


def test_long_illegal_and_twice(office, base):
    """A UIDL of more than 70 octets stays; what POP3 does not allow gets none."""
    long = "1700000001.M1P1." + "x" * 80
    box = make_maildir(base / "mail", [mail(1), mail(2)])
    for name in (long, "a b"):
        (box / "cur" / f"{name}:2,S").write_bytes(mail(3))
    names = sorted(p.name for p in (box / "new").iterdir())
    (box / "dovecot-uidlist").write_text(
        "3 V5 N9\n" + f"1 :{long}\n2 :a b\n3 Psame :{names[0]}\n4 Psame :{names[1]}\n")
    for p in box.rglob("*"):
        shutil.chown(p, "nobody", "nogroup")
    got = take_over("--maildrop", f"maildir:{box}", "--uidl-format", "%f", code=65)
    assert (got["imported"], got["illegal"], got["duplicate"], got["long"]) == (2, 1, 1, 1)
    assert {f["uidl"] for f in got["faults"]} == {"a b", "same"}
    uidls = [u.decode() for u, _ in served(office, maildrop=box)]
    assert long in uidls and "same" in uidls and len(set(uidls)) == 4


def test_several_lists_of_which_one_lies_in_the_maildrop(base):
    """What the other list has and the maildrop has not is no deleted file."""
    box = make_maildir(base / "mail", [mail(i) for i in range(3)])
    names = sorted(p.name for p in (box / "new").iterdir())
    (box / "dovecot-uidlist").write_text(
        f"3 V5 N9\n1 :{names[0]}\n2 :{names[1]}\n3 :1700000009.M1P1.h\n")
    (base / "other").write_text(f"3 V6 N9\n1 :{names[2]}\n2 :1700000008.M1P1.h\n")
    (base / "rival").write_text(f"3 V7 N9\n1 :{names[0]}\n")
    for p in (*box.rglob("*"), base / "other", base / "rival"):
        shutil.chown(p, "nobody", "nogroup")
    where = ("--dry-run", "--maildrop", f"maildir:{box}")
    own = box / "dovecot-uidlist"

    def counts(*sources, code):
        got = take_over(*where, *sources, code=code)
        return [got[x] for x in ("rows", "imported", "gone", "without match", "not in the list")]
    assert counts(code=0) == counts(own, code=0) == [3, 2, 1, 0, 1]
    assert counts(base / "other", code=65) == [2, 1, 0, 1, 2]
    for sources in ((own, base / "other"), (base / "other", own)):
        assert counts(*sources, code=65) == [5, 3, 1, 1, 0]
    # The later list names a message that the first one named otherwise: clients of that
    # one see it anew.
    assert counts(own, base / "rival", code=65) == [4, 2, 1, 1, 1]


# ---- Courier and Cyrus -------------------------------------------------------------------


@pytest.fixture(scope="module")
def roots():
    return make_roots()


def restyle(text, version):
    """The list as earlier versions of Courier wrote it, without what they did not know."""
    head, *rows = text.splitlines()
    rows = [r.rsplit(" ", 1)[0] + " " + r.rsplit(" ", 1)[1].rsplit(":", 1)[0] for r in rows]
    return "\n".join(["/2" + head[2:], *rows]) + "\n" if version == 2 else text


@pytest.mark.parametrize("version", [2, 3])
def test_courier(office, base, roots, version):
    peer = Courier(base, roots["courier"])
    live_through(peer)
    path = peer.maildir / "courierpop3dsizelist"
    # A message that keeps its name from the oldest lists, and one of those behind them.
    text = path.read_text()
    head, *rows = text.splitlines()
    odd = "1650000000.M1P1.it's+odd"
    name = rows[1].split(":", 1)[0]
    (peer.maildir / "cur" / f"{name}:2,").rename(peer.maildir / "cur" / f"{odd}:2,")
    rows[1] = rows[1].replace(name, odd).rsplit(" ", 1)[0] + " 0:0:0"
    rows[2] = rows[2].rsplit(" ", 1)[0] + " 77:0:0"
    rows.sort(key=lambda r: int(r.split(".")[0]))  # as Courier keeps them
    text = restyle("\n".join([head, *rows]) + "\n", version)
    path.write_text(text)
    before = listed(peer)
    peer.stop()
    assert before[0][0] == b"1650000000.M1P1.it+27s+2Bodd"
    assert b"UID77" in [u for u, _ in before]
    got = take_over("--maildrop", f"maildir:{peer.maildir}")
    assert got["imported"] == 7
    assert served(office, maildrop=peer.maildir) == before
    then_new(office, peer.maildir, before)


class CyrusForm(Cyrus):
    def __init__(self, base, root, form):
        self.form = form
        super().__init__(base, root)

    def enter(self, root, over, script):
        conf = self.base / "imapd.conf"
        conf.write_text(conf.read_text() + f"uidl_format: {self.form}\n")
        super().enter(root, over, script)

    def mailbox(self):
        return next((self.base / "data/mail").rglob("cyrus.index")).parent

    def copy_to(self, maildir, numbered):
        """As an operator moves it: the files, under names of a Maildir."""
        make_maildir(maildir)
        files = sorted((p for p in self.mailbox().iterdir() if p.name[0].isdigit()),
                       key=lambda p: int(p.name[:-1]))
        gone = self.gone()
        for p in files:
            if int(p.name[:-1]) not in gone:
                name = p.name if numbered else f"{1700000000 + int(p.name[:-1])}.M1P1.x"
                (maildir / "cur" / f"{name}:2,").write_bytes(p.read_bytes())
        for p in maildir.rglob("*"):
            shutil.chown(p, "nobody", "nogroup")
        return maildir

    def gone(self):
        return {2, 4}


@pytest.mark.parametrize("form,numbered", [("cyrus", False), ("uidonly", True),
                                           ("courier", False), ("dovecot", True)])
def test_cyrus(office, base, roots, form, numbered):
    peer = CyrusForm(base, roots["cyrus"], form)
    before = live_through(peer)
    peer.stop()
    box = peer.copy_to(base / "moved", numbered)
    source = peer.mailbox()
    if numbered:  # by the names alone
        shutil.copyfile(source / "cyrus.index", base / "cyrus.index")
        source = base / "cyrus.index"
    elif form == "courier":  # of the old server's own user, who alone may look into it
        shutil.copytree(source, base / "theirs")
        source = base / "theirs"
        for p in (source, *source.iterdir()):
            os.chown(p, 61001, 61001)
            p.chmod(0o700 if p.is_dir() else 0o600)
    got = take_over("--maildrop", f"maildir:{box}", "--cyrus-uidl", form, source)
    assert got["imported"] == 7
    want = [u for u, _ in before]
    assert [u for u, _ in served(office, maildrop=box)] == want


# ---- any server that runs ------------------------------------------------------------------


def test_live(office, base):
    """The copy has more on top of its headers, and one message is not in it."""
    peer = Dovecot(base)
    before = live_through(peer)
    with peer.session() as p:
        octets = [b"\n".join(p.multi(f"RETR {n}")) + b"\n" for n in range(1, 8)]
    box = make_maildir(base / "copy", [
        b"Return-Path: <x@y>\nDelivered-To: anna@new\nReceived: from old\n\tby new; z\n" + o
        for o in reversed(octets[1:])])
    (base / "password").write_text(peer.password + "\n")
    args = ["--maildrop", f"maildir:{box}", "--from", f"pop3s://anna@localhost:{peer.pop3s}",
            "--ca", peer.ca, "--password-file", base / "password"]
    got = take_over(*args, code=65)
    assert (got["imported"], got["without match"]) == (6, 1)
    assert got["faults"][0]["uidl"] == before[0][0].decode()
    want = [u for u, _ in before[1:]]
    assert [u for u, _ in served(office, maildrop=box)] == want
    (base / "password").write_text("wrong\n")
    run("import", *args, code=77)
    peer.stop()


class Shown(Session):
    """As servers do that take UIDLs from X-UIDL fields: one is empty, one is folded."""

    def on_UIDL(self, arg):
        self.ok(b"")
        for row in (b"1 u0", b"2 ", b"3 u2", b" more", b"4 u3", b"."):
            self.wire.send(row + b"\r\n")


def test_live_uidls_of_fields_that_a_sender_wrote(base):
    """They cost one message its UIDL, and nobody else anything."""
    octets = [mail(i) for i in range(4)]
    box = make_maildir(base / "copy", octets)
    (base / "password").write_text(PASSWORD.decode() + "\n")
    with House(Drop([Mail(b"x%d" % i, o.replace(b"\n", b"\r\n")) for i, o in enumerate(octets)]),
               Shown) as house:
        got = take_over("--maildrop", f"maildir:{box}", "--from",
                        f"pop3://{USER.decode()}@127.0.0.1:{house.port}", "--plaintext",
                        "--password-file", base / "password", code=65)
    assert (got["imported"], got["illegal"]) == (3, 1)
    assert [x["uidl"] for x in got["faults"]] == [""]


def test_live_messages_that_are_alike(office, base):
    """Header and size of two messages are the same and their bodies are not: which is which
    cannot be told by TOP. Those that are the same to the octet can be either."""
    head = b"Subject: the door\n\n"
    octets = [head + b"open\n", head + b"shut\n", b"Subject: same\n\nx\n", b"Subject: same\n\nx\n"]
    wire = [o.replace(b"\n", b"\r\n") for o in octets]
    box = make_maildir(base / "copy", list(reversed(octets)))
    sized = make_maildir(base / "sized", list(reversed(octets)))
    for p in (sized / "new").iterdir():
        o = p.read_bytes()
        p.rename(f"{p},S={len(o)},W={len(o) + o.count(bytes([10]))}")
    (base / "password").write_text(PASSWORD.decode() + "\n")
    with House(Drop([Mail(b"u%d" % i, o) for i, o in enumerate(wire)])) as house:
        for drop in (box, sized):
            got = take_over("--maildrop", f"maildir:{drop}", "--from",
                            f"pop3://{USER.decode()}@127.0.0.1:{house.port}", "--plaintext",
                            "--password-file", base / "password", code=65)
            assert (got["imported"], got["unclear"]) == (2, 2)
            assert {x["uidl"] for x in got["faults"]} == {"u0", "u1"}


# ---- mbox as the source: X-UIDL, X-UID, computed ---------------------------------------------


def test_mbox_sources(office, base):
    source = base / "mbox"
    source.write_bytes(b"".join(
        b"From eva Thu Jan  1 00:00:00 1970\n" + (b"X-IMAPbase: 1600000000 9\n" if i == 1 else b"")
        + b"X-UID: %d\nX-UIDL: q'%d!\nStatus: RO\n" % (i * 2, i) + mail(i) + b"\n"
        for i in (1, 2, 3)))
    source.chmod(0o644)
    for form, more, want in (
            ("x-uidl", [], [b"q'1!", b"q'2!", b"q'3!"]),
            ("x-uid", ["--uidl-format", "%08Xv%08Xu"],
             [b"5f5e1000%08x" % n for n in (2, 4, 6)]),
            ("popa3d", [], None)):
        box = make_maildir(base / form, [mail(i) for i in (1, 2, 3)])
        got = take_over("--maildrop", f"maildir:{box}", "--mbox-uidl", form, *more, source)
        assert got["imported"] == 3
        uidls = [u for u, _ in served(office, maildrop=box)]
        assert uidls == want if want else all(len(u) == 16 for u in uidls)


INETD = {"popa3d": (["popa3d", "msmtp-mta"], ["/usr/sbin/popa3d"]),
         "mailutils": (["mailutils-pop3d", "msmtp-mta"], ["/usr/sbin/pop3d", "--inetd"])}


def listed_by_inetd(base, name, mbox):
    """UIDLs and sizes that Debian's server of that name gives for anna's mbox, which it may
    change; it speaks over its standard input and output."""
    packages, command = INETD[name]
    root = make_root(name, packages)
    etc, spool, home = base / "etc", base / "spool", base / "home"
    shutil.copytree(root / "etc", etc, symlinks=True)
    for d in (spool, home):
        d.mkdir(mode=0o755)
    with open(etc / "passwd", "a") as f:
        f.write(f"anna:x:1500:1500::{home}:/bin/sh\n")
    with open(etc / "group", "a") as f:
        f.write("anna:x:1500:\n")
    hashed = subprocess.run(["openssl", "passwd", "-6", "secret"], check=True, text=True,
                            capture_output=True).stdout.strip()
    with open(etc / "shadow", "a") as f:
        f.write(f"anna:{hashed}:19000:0:99999:7:::\n")
    spool.chmod(0o1777)
    box = spool / "anna"
    box.write_bytes(mbox)
    box.chmod(0o660)
    os.chown(box, 1500, 1500)
    log = base / "nothing-listens"
    p = subprocess.Popen([PEER_ROOT, "--in", root, log, "--over", etc, "/etc", "--over", spool,
                          "/var/mail", *command], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, start_new_session=True)

    def say(words):
        if words:
            p.stdin.write(words + b"\r\n")
            p.stdin.flush()
        got = p.stdout.readline()
        assert got.startswith(b"+OK"), (words, got)

    def multi(words):
        say(words)
        return [x.rstrip(b"\r\n").split(b" ")[1] for x in iter(p.stdout.readline, b".\r\n")]
    for words in (b"", b"USER anna", b"PASS secret"):
        say(words)
    uidls, sizes = multi(b"UIDL"), multi(b"LIST")
    say(b"QUIT")
    p.stdin.close()
    p.stdout.close()
    assert p.wait(60) == 0
    return uidls, [int(x) for x in sizes], box.read_bytes()


@pytest.mark.parametrize("name,form", [("popa3d", "popa3d"), ("mailutils", "x-uidl")])
def test_mbox_of_a_real_server(office, base, name, form):
    mails = [
        mail(1),
        b"Date: Mon, 1 Jan 2024\n\t00:00:00 +0000\nMESSAGE-ID: <2@x>\nreceived: one\n\ttwo\n"
        b"Received: three\nDate: Tue\nDelivered-To: anna\n folded\nX-Delivery-Id: q\n\nbody\n",
        b"Date: Wed\nMessage-Id:\n <3@x>\nX-UIDL: given-before\n\nDate: in the body\n",
        b"Subject: nothing that counts\n\nx\n"]
    mbox = b"".join(b"From eva Thu Jan  1 00:00:00 1970\n" + m + b"\n" for m in mails)
    uidls, _, left = listed_by_inetd(base, name, mbox)
    (base / "mbox").write_bytes(left)
    (base / "mbox").chmod(0o644)
    box = make_maildir(base / "mail", mails)
    got = take_over("--maildrop", f"maildir:{box}", "--mbox-uidl", form, base / "mbox")
    assert got["imported"] == 4
    assert [u for u, _ in served(office, maildrop=box)] == uidls


# ---- what goes wrong -------------------------------------------------------------------------


def test_users_and_rights(office, base):
    """--all takes each user's list as that user; nobody's maildrop is touched as root."""
    users = []
    for i, name in enumerate(("anna", "berta", "carla")):
        box = make_maildir(base / "mail" / name, [mail(1), mail(2)], uid=61000 + i)
        names = sorted(p.name for p in (box / "new").iterdir())
        if name != "carla":
            (box / "dovecot-uidlist").write_text(f"3 V7 N9\n1 :{names[0]}\n2 :{names[1]}\n")
            os.chown(box / "dovecot-uidlist", 61000 + i, 61000 + i)
        users.append(f"{name}:{{PLAIN}}x:{61000 + i}:{61000 + i}::{base}::")
        box.chmod(0o700)
    users.append(f"dora:{{PLAIN}}x:5:5::{base}::")
    spool = mbox_of(base / "mail/spool/emil", [mail(1)], uid=61009)
    users.append(f"emil:{{PLAIN}}x:61009:61009::/::userdb_mail=mbox:{spool}")
    (base / "users").write_text("\n".join(users) + "\n")
    conf = base / "restante.conf"
    conf.write_text(f"maildrop = maildir:~/mail/%u\nmail_roots = {base}/mail\n"
                    f"users_file = {base}/users\n"
                    "[listener a]\naddress = 127.0.0.1:1110\nplaintext = always\n")
    got = run("import", "--all", "--config", conf, code=78)  # for dora's uid
    assert got.stdout.count("imported 2 of 2") == 2 and "mail_uid_min" in got.stderr
    for i, name in enumerate(("anna", "berta")):
        assert (base / "mail" / name / "restante-identity").stat().st_uid == 61000 + i
    assert not (base / "mail/carla/restante-identity").exists()
    one = run("import", "--user", "berta", "--config", conf)
    assert "imported 0 of 2, kept 2" in one.stdout
    run("import", "--user", "nobody-there", "--config", conf, code=67)
    checked = run("check", "--all", "--config", conf, code=78)
    assert checked.stdout.count("identity log sound: 2 imported") == 2


def test_conflict_is_not_written(base):
    box = make_maildir(base / "mail", [mail(1), mail(2)])
    names = sorted(p.name for p in (box / "new").iterdir())
    path = box / "dovecot-uidlist"
    path.write_text(f"3 V7 N9\n1 Pa :{names[0]}\n2 Pb :{names[1]}\n")
    take_over("--maildrop", f"maildir:{box}")
    log = (box / "restante-identity").read_bytes()
    path.write_text(f"3 V7 N9\n1 Pc :{names[0]}\n2 Pb :{names[1]}\n")
    got = take_over("--maildrop", f"maildir:{box}", code=65)
    assert (got["kept"], got["in conflict"]) == (1, 1)
    assert (box / "restante-identity").read_bytes() == log


def test_order_of_a_second_import(office, base):
    """Mail was deleted and came on the old server between two imports, and a line of its list
    could not be read the first time: the order is the old server's still."""
    box = make_maildir(base / "mail", [mail(i) for i in range(9)])
    names = sorted(p.name for p in (box / "new").iterdir())
    path = box / "dovecot-uidlist"
    args = ["--maildrop", f"maildir:{box}"]
    rows = [f"{i + 1} Pu{i} :{name}\n" for i, name in enumerate(names)]
    path.write_text("3 V7 N9\n" + "".join(rows[:4]) + "5 Pu4 two  blanks\n" + rows[5])
    take_over(*args, code=65)
    for name in names[:3]:
        (box / "new" / name).unlink()
    path.write_text("3 V7 N19\n" + "".join(rows[3:]))
    want = [f"u{i}".encode() for i in range(3, 9)]
    assert take_over(*args)["kept"] == 2
    assert [u for u, _ in served(office, maildrop=box)] == want
    assert take_over(*args)["kept"] == 6


def test_check_finds_and_repairs(office, base):
    box = make_maildir(base / "mail", [mail(i) for i in range(4)])
    names = sorted(p.name for p in (box / "new").iterdir())
    (box / "dovecot-uidlist").write_text(
        "3 V7 N9\n" + "".join(f"{i + 1} Pold-{i} :{n}\n" for i, n in enumerate(names)))
    drop = f"maildir:{box}"
    take_over("--maildrop", drop)
    assert "4 imported" in run("check", "--maildrop", drop).stdout
    log = box / "restante-identity"
    octets = bytearray(log.read_bytes())
    octets[octets.index(b"old-1")] ^= 1
    log.write_bytes(octets)
    assert "check --repair" in run("check", "--maildrop", drop, code=65).stderr
    run("import", "--maildrop", drop, code=65)
    # A damaged one of before stays; what is said names the file that it is.
    (box / "restante-identity.damaged").write_bytes(b"older")
    said = run("check", "--repair", "--maildrop", drop).stdout
    assert re.search(r"repaired: .*; what was there is \S*restante-identity\.damaged\.2\n", said)
    run("check", "--maildrop", drop)
    assert (box / "restante-identity.damaged").read_bytes() == b"older"
    assert (box / "restante-identity.damaged.2").read_bytes() == octets
    # The list is still there: what was lost comes back.
    assert take_over("--maildrop", drop)["imported"] >= 1
    assert [u for u, _ in served(office, maildrop=box)] == [b"old-%d" % i for i in range(4)]


@pytest.mark.parametrize("args,code,words", [
    ([], 64, "which maildrop"),
    (["--maildrop", "/x"], 64, "maildir:PATH or mbox:PATH"),
    (["--maildrop", "maildir:/nowhere/at/all"], 66, "No such file"),
    (["--maildrop", "maildir:/", "--uidl-format", "%m"], 64, "--from"),
    (["--maildrop", "maildir:/", "--uidl-format", "%v"], 64, "the same"),
    (["--maildrop", "maildir:/", "--from", "pop3s://x"], 64, "--password-file"),
    (["--all", "--config", "/nowhere"], 78, "/nowhere"),
    (["--no-such"], 64, "no such option"),
])
def test_wishes_that_cannot_be(args, code, words):
    assert words in run("import", *args, code=code).stderr


def test_as_a_user_of_ones_own(base):
    """Without root the caller's own maildrop is taken, and nobody else's."""
    box = make_maildir(base / "mail", [mail(1)], uid=61000)
    box.chmod(0o700)
    name = next((box / "new").iterdir()).name
    (box / "dovecot-uidlist").write_text(f"3 V7 N9\n1 :{name}\n")
    os.chown(box / "dovecot-uidlist", 61000, 61000)
    got = subprocess.run([PROGRAM, "import", "--maildrop", f"maildir:{box}"], user=61001, group=61001,
                         extra_groups=[], capture_output=True, text=True, timeout=60)
    assert got.returncode == 77
    got = subprocess.run([PROGRAM, "import", "--maildrop", f"maildir:{box}"], user=61000, group=61000,
                         extra_groups=[], capture_output=True, text=True, timeout=60)
    assert got.returncode == 0 and "imported 1 of 1" in got.stdout, got


# ---- mbox as the maildrop ----------------------------------------------------------------------


def mbox_of(path, messages, uid=61000):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(b"From eva Thu Jan  1 00:00:00 1970\n" + m + b"\n"
                              for m in messages))
    for p in (path.parent, path):
        os.chown(p, uid, uid)
    return path


def served_mbox(office, base, path, meanwhile=None):
    """The UIDLs at last; meanwhile(UIDLs) is between two sessions."""
    (base / "users").write_text(f"anna:{{PLAIN}}secret:61000:61000::/:"
                                f":userdb_mail=mbox:{path}\n")
    o = office("--users", base / "users", "--set", f"mail_roots={base}")

    def visit():
        with Pop(o.host, o.pop3s, tls_ca=o.ca) as p:
            assert p.login("anna", "secret").startswith(b"+OK"), o.log()
            uidls = [x.split(b" ", 1)[1].decode() for x in p.multi("UIDL")]
            assert p.say("QUIT").startswith(b"+OK")
        return uidls
    uidls = visit()
    if meanwhile:
        meanwhile(uidls)
        uidls = visit()
    o.stop()
    return uidls


def test_mbox_as_the_maildrop(office, base):
    """From a live server into an mbox; two messages are the same to the octet, and each gets
    a UIDL. Then the same from the mbox that the old server left."""
    peer = Dovecot(base)
    mails = [mail(0), mail(1), mail(1), mail(2)]
    peer.put(*mails)
    want = [u.decode() for u, _ in listed(peer)]
    path = mbox_of(base / "spool/anna", mails)
    (base / "password").write_text(peer.password + "\n")
    drop = f"mbox:{path}"
    got = take_over("--maildrop", drop, "--from", f"pop3s://anna@localhost:{peer.pop3s}",
                    "--ca", peer.ca, "--password-file", base / "password")
    peer.stop()
    assert got["imported"] == 4
    log = path.parent / ".anna.restante-identity"
    assert log.stat().st_uid == 61000
    assert served_mbox(office, base, path) == want
    assert "identity log sound: 4 imported" in run("check", "--maildrop", drop).stdout
    with open(path, "ab") as f:
        f.write(b"From eva Thu Jan  1 00:00:00 1970\n" + mail(7) + b"\n")
    after = served_mbox(office, base, path)
    assert after[:-1] == want and after[-1] not in want
    o = office("--users", base / "users", "--set", f"mail_roots={base}")
    with Pop(o.host, o.pop3s, tls_ca=o.ca) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
        assert "a session is open" in run("check", "--maildrop", drop, code=75).stderr

    old = mbox_of(base / "old/mbox", [b"X-UIDL: q%d\n" % i + m for i, m in enumerate(mails)])
    new = mbox_of(base / "new/anna", [b"Received: moved\n" + m for m in mails])
    assert take_over("--maildrop", f"mbox:{new}", old)["imported"] == 4
    assert served_mbox(office, base, new) == ["q0", "q1", "q2", "q3"]

    # The old server's own file, which stays where it is; the same text twice has one UIDL.
    here = mbox_of(base / "here/anna", mails)
    got = take_over("--maildrop", f"mbox:{here}", "--mbox-uidl", "popa3d", here, code=65)
    assert (got["imported"], got["duplicate"]) == (3, 1)
    uidls = served_mbox(office, base, here)
    assert [len(u) for u in uidls].count(16) == 3 and len(set(uidls)) == 4
    assert len(uidls[1]) == 16


def test_mbox_that_was_served_before(office, base):
    """The old server wrote its UIDLs into the messages when they had been shown already, and
    two are the same to the octet: what is imported holds from then on."""
    mails = [mail(0), mail(1), mail(1), mail(2)]
    path = mbox_of(base / "spool/anna", mails)
    first = []

    def write_fields(uidls):
        first.extend(uidls)
        mbox_of(path, [b"X-UIDL: q%d\n" % i + m for i, m in enumerate(mails)])
    assert served_mbox(office, base, path, write_fields) == first and len(set(first)) == 4
    args = ["--maildrop", f"mbox:{path}", "--mbox-uidl", "x-uidl", path]
    assert take_over(*args)["imported"] == 4
    for _ in range(2):
        assert served_mbox(office, base, path) == ["q0", "q1", "q2", "q3"]
        assert take_over(*args)["kept"] == 4
    # The UIDLs from before are not given to others.
    with open(path, "ab") as f:
        f.write(b"From eva Thu Jan  1 00:00:00 1970\n" + mail(1) + b"\n")
    last = served_mbox(office, base, path)
    assert last[:-1] == ["q0", "q1", "q2", "q3"] and last[-1] not in first
    # What it got since stays: nothing was imported for it.
    assert served_mbox(office, base, path) == last


def test_lists_of_two_servers(base):
    """As after a move from Courier to Dovecot: which one clients know has to be said."""
    box = make_maildir(base / "mail", [mail(1), mail(2)])
    names = sorted(p.name for p in (box / "new").iterdir())
    (box / "dovecot-uidlist").write_text(f"3 V7 N9\n1 :{names[0]}\n2 :{names[1]}\n")
    (box / "courierpop3dsizelist").write_text(f"/3 3 7\n{names[0]} 100 1:7:0\n")
    for p in box.glob("*list"):
        shutil.chown(p, "nobody", "nogroup")
    where = ("--maildrop", f"maildir:{box}", "--dry-run")
    assert "--list dovecot, or courier" in run("import", *where, code=65).stderr
    for whose, rows in (("dovecot", 2), ("courier", 1)):
        assert take_over(*where, "--list", whose)["imported"] == rows
    (box / "courierpop3dsizelist").unlink()
    run("import", *where, "--list", "courier", code=66)
    run("import", *where, "--list", "cyrus", code=64)
    run("import", *where, "--list", "courier", box / "dovecot-uidlist", code=64)


def test_a_list_of_files_that_were_renamed(base):
    box = make_maildir(base / "mail", [mail(1), mail(2)])
    (box / "dovecot-uidlist").write_text("3 V7 N9\n1 :1700000001.M1P1.h\n2 :1700000002.M1P1.h\n")
    shutil.chown(box / "dovecot-uidlist", "nobody", "nogroup")
    got = run("import", "--maildrop", f"maildir:{box}", code=65)
    assert "imported 0 of 2, kept 0, gone 2" in got.stdout and "renamed" in got.stderr
    for p in (box / "new").iterdir():
        p.unlink()
    run("import", "--maildrop", f"maildir:{box}")


def test_source_is_read_as_its_owner(base):
    """A list of the old server's own user, whom the mail's owner cannot read."""
    box = make_maildir(base / "mail", [mail(1)], uid=61000)
    name = next((box / "new").iterdir()).name
    old = base / "old"
    old.mkdir(mode=0o700)
    (old / "dovecot-uidlist").write_text(f"3 V7 N9\n1 :{name}\n")
    (old / "dovecot-uidlist").chmod(0o600)
    for p in (old, old / "dovecot-uidlist"):
        os.chown(p, 61001, 61001)
    assert take_over("--maildrop", f"maildir:{box}", old / "dovecot-uidlist")["imported"] == 1
    (old / "junk").write_text("Subject: this is nothing\n\n")
    assert "this is no dovecot-uidlist" in run(
        "import", "--maildrop", f"maildir:{box}", old / "junk", code=65).stderr
    (old / "link").symlink_to("dovecot-uidlist")
    run("import", "--maildrop", f"maildir:{box}", old / "link", code=66)


def test_session_in_the_way(office, base):
    box = make_maildir(base / "mail", [mail(1)])
    (box / "dovecot-uidlist").write_text(f"3 V7 N9\n1 :{next((box / 'new').iterdir()).name}\n")
    (box / "dovecot-uidlist").chmod(0o644)
    o = office(users=[("anna", "secret", box)])
    with Pop(o.host, o.pop3s, tls_ca=o.ca) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
        assert "a session is open" in run("import", "--maildrop", f"maildir:{box}",
                                          code=75).stderr
        assert p.say("QUIT").startswith(b"+OK")
    # The lock goes a moment after QUIT is answered.
    until(lambda: subprocess.run([PROGRAM, "import", "--maildrop", f"maildir:{box}"],
                                 capture_output=True, timeout=60).returncode == 0)
    # The server that runs gives them out at once.
    with Pop(o.host, o.pop3s, tls_ca=o.ca) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
        assert p.multi("UIDL") == [b"1 0000000100000007"]


def test_links_lead_nowhere(base):
    """A maildrop below mail_roots that is a link, or holds lists that are links."""
    box = make_maildir(base / "mail/anna", [mail(1)], uid=61000)
    other = make_maildir(base / "mail/berta", [mail(1)], uid=61001)
    (base / "mail/carla").symlink_to("anna")
    (box / "dovecot-uidlist").symlink_to(other / "dovecot-uidlist")
    (base / "users").write_text("".join(
        f"{n}:{{PLAIN}}x:61000:61000::{base}::\n" for n in ("anna", "carla")))
    conf = base / "restante.conf"
    conf.write_text(f"maildrop = maildir:~/mail/%u\nmail_roots = {base}/mail\n"
                    f"users_file = {base}/users\n"
                    "[listener a]\naddress = 127.0.0.1:1110\nplaintext = always\n")
    for name in ("anna", "carla"):
        got = run("import", "--user", name, "--config", conf, code=66)
        assert "symbolic link" in got.stderr, got.stderr


# ---- owners and sources that mean harm -------------------------------------------------------


def conf_of_two(base):
    """anna (61000) and berta (61001), each with one message and Dovecot's list."""
    users = ""
    for i, name in enumerate(("anna", "berta")):
        box = make_maildir(base / "mail" / name, [mail(1)], uid=61000 + i)
        path = box / "dovecot-uidlist"
        path.write_text(f"3 V7 N9\n1 :{next((box / 'new').iterdir()).name}\n")
        os.chown(path, 61000 + i, 61000 + i)
        users += f"{name}:{{PLAIN}}x:{61000 + i}:{61000 + i}::{base}::\n"
    (base / "users").write_text(users)
    conf = base / "restante.conf"
    conf.write_text(f"maildrop = maildir:~/mail/%u\nmail_roots = {base}/mail\n"
                    f"users_file = {base}/users\n"
                    "[listener a]\naddress = 127.0.0.1:1110\nplaintext = always\n")
    return conf


def held(maildir):
    """As a session would hold it on a file system where no file can be locked."""
    fd = os.open(maildir, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def status_of(pid, field):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(x.split()[1:] for x in text.splitlines() if x.startswith(field + ":"))


def child_that_is(parent, uid):
    def look():
        try:
            pids = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            return next((p for p in pids if status_of(p, "Uid") == [str(uid)] * 4), None)
        except (FileNotFoundError, StopIteration):
            return None
    return int(until(look, tick=0.002))


@pytest.mark.parametrize("command,word", [("import", "imported 1 of 1"),
                                          ("check", "identity log sound")])
def test_an_owner_stops_the_child(base, command, word):
    """anna may: it is her process. It has no root left, and berta comes all the same."""
    conf = conf_of_two(base)
    lock = held(base / "mail/anna")
    p = subprocess.Popen([PROGRAM, command, "--all", "--config", conf, "--timeout", "5"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    pid = child_that_is(p.pid, 61000)
    subprocess.run(["kill", "-STOP", str(pid)], check=True, user=61000, group=61000,
                   extra_groups=[])
    until(lambda: status_of(pid, "State")[0] == "T")
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    os.close(lock)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 75 and "anna: no progress for 5 seconds" in err, err
    assert word in out and out.startswith("berta") and "berta" not in err, (out, err)
    assert not pathlib.Path(f"/proc/{pid}").exists()
    assert "Max core file size        0 " in limits
    # A sanitizer's shadow memory would count.
    assert SANITIZED or f"Max data size             {1 << 30} " in limits
    assert not (base / "mail/anna/restante-identity").exists()


def mounted_silence(at, uid):
    """A file system that never answers; the descriptor keeps it so."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id={uid},group_id={uid},allow_other"
    if libc.mount(b"silence", str(at).encode(), b"fuse", 6, options.encode()) != 0:
        os.close(fd)
        pytest.skip(f"no FUSE here: {os.strerror(ctypes.get_errno())}")
    return fd, lambda: libc.umount2(str(at).encode(), 2)


def test_a_file_system_that_never_answers(base):
    conf = conf_of_two(base)
    fd, unmount = mounted_silence(base / "mail/anna", 61000)
    try:
        got = run("import", "--all", "--config", conf, "--timeout", "5", code=75)
        assert "anna: no progress" in got.stderr and "berta: imported 1 of 1" in got.stdout
        # As a source, where whoever runs the import meets it first.
        got = run("import", "--user", "berta", "--config", conf, "--timeout", "5",
                  base / "mail/anna", code=75)
        assert "berta: no progress" in got.stderr
    finally:
        os.close(fd)
        unmount()


def test_sources_are_parsed_by_the_owner_of_the_mail(base):
    """Not before the process is the owner for good: the lock comes first. A list of root's
    that the owner cannot open is read all the same, through its descriptor."""
    box = make_maildir(base / "mail", [mail(1)], uid=61000)
    drop = f"maildir:{box}"
    junk = base / "junk"
    junk.write_text("Subject: this is nothing\n\n")
    junk.chmod(0o600)
    lock = held(box)
    assert "a session is open" in run("import", "--maildrop", drop, junk, code=75).stderr
    os.close(lock)
    assert "this is no dovecot-uidlist" in run("import", "--maildrop", drop, junk,
                                               code=65).stderr
    old = base / "old"
    old.mkdir(mode=0o700)
    (old / "list").write_text(f"3 V7 N9\n1 :{next((box / 'new').iterdir()).name}\n")
    (old / "list").chmod(0o600)
    assert take_over("--maildrop", drop, old / "list")["imported"] == 1
    # Relative, over the parent directory.
    got = subprocess.run([PROGRAM, "import", "--maildrop", drop, "../old/list"], cwd=box,
                         capture_output=True, text=True, timeout=60)
    assert got.returncode == 0 and "kept 1" in got.stdout, got


def test_sources_that_are_no_lists(base):
    """A FIFO, a device, links to what is root's, a list that is too large."""
    box = make_maildir(base / "mail", [mail(1)], uid=61000)
    hers = base / "hers"
    hers.mkdir()
    root = base / "root"
    root.mkdir(mode=0o700)
    name = next((box / "new").iterdir()).name
    (root / "dovecot-uidlist").write_text(f"3 V7 N9\n1 Psecret :{name}\n")
    (root / "dovecot-uidlist").chmod(0o600)
    os.mkfifo(hers / "fifo")
    os.mknod(hers / "null", 0o666 | 0o020000, os.makedev(1, 3))
    (hers / "link").symlink_to(root / "dovecot-uidlist")
    (hers / "dir").symlink_to(root)
    (hers / "large").write_text("3 V7 N9\n")
    os.truncate(hers / "large", (256 << 20) + 1)
    (hers / "mbox").write_text("From eva Thu Jan  1 00:00:00 1970\n")
    os.truncate(hers / "mbox", (768 << 20) + 1)
    for p in (hers, *hers.iterdir()):
        os.lchown(p, 61000, 61000)
    for what, code, words in (("fifo", 66, "no plain file"), ("null", 66, "no plain file"),
                              ("link", 66, "symbolic link"),
                              ("dir/dovecot-uidlist", 66, "symbolic link"),
                              ("large", 65, "larger than 256 MiB"),
                              ("mbox", 65, "larger than 768 MiB")):
        got = run("import", "--maildrop", f"maildir:{box}", hers / what, code=code)
        assert words in got.stderr and str(hers / what) in got.stderr, got.stderr
    # By its owner's rights alone: root's pass over the mode.
    (hers / "large").write_text(f"3 V7 N9\n1 :{name}\n")
    (hers / "large").chmod(0)
    run("import", "--maildrop", f"maildir:{box}", hers / "large", code=77)
    assert not (box / "restante-identity").exists()


def test_a_directory_of_somebody_else(base):
    """That of a Cyrus which is neither the mail's owner's nor root's: its owner reads it,
    and no more than it may."""
    box = make_maildir(base / "mail", [mail(1)], uid=61000)
    old = base / "old"
    old.mkdir(mode=0o700)
    (old / "cyrus.index").symlink_to(base / "mail")
    for p in (old, old / "cyrus.index"):
        os.lchown(p, 61001, 61001)
    assert "symbolic link" in run("import", "--maildrop", f"maildir:{box}", old,
                                  code=66).stderr
    (old / "cyrus.index").unlink()
    (old / "cyrus.index").write_text("x")  # root's
    (old / "cyrus.index").chmod(0o600)
    assert "Permission denied" in run("import", "--maildrop", f"maildir:{box}", old,
                                      code=77).stderr


class WithMaster(Dovecot):
    """Two users with mail, and a master who may log in as each."""

    def configuration(self):
        (self.base / "masters").write_text("root:{PLAIN}of all::::::\n")
        return super().configuration() + f"""auth_master_user_separator = *
passdb {{
  driver = passwd-file
  args = {self.base}/masters
  master = yes
}}
"""


def test_all_users_from_a_live_server(office, base):
    peer = WithMaster(base)
    peer.put(mail(0), mail(1))
    anna = peer.maildir
    peer.make_maildir(peer.base / "home/berta/Maildir")
    peer.put(mail(2), mail(3), mail(4))
    users = ""
    for i, (name, mails) in enumerate((("anna", (0, 1)), ("berta", (2, 3, 4)))):
        make_maildir(base / "mail" / name, [mail(n) for n in mails], uid=61000 + i)
        users += f"{name}:{{PLAIN}}x:{61000 + i}:{61000 + i}::{base}::\n"
    (base / "users").write_text(users)
    (base / "password").write_text("of all\n")
    (base / "passwords").write_text(f"anna:{peer.password}\nberta:wrong\n")
    conf = base / "restante.conf"
    conf.write_text(f"maildrop = maildir:~/mail/%u\nmail_roots = {base}/mail\n"
                    f"users_file = {base}/users\n"
                    "[listener a]\naddress = 127.0.0.1:1110\nplaintext = always\n")
    args = ["--all", "--config", conf, "--from", f"pop3s://localhost:{peer.pop3s}", "--ca",
            peer.ca]
    one = run("import", "--dry-run", *args, "--passwords", base / "passwords", code=77)
    assert "anna: would have imported 2 of 2" in one.stdout and "berta" in one.stderr
    got = run("import", *args, "--master", "root", "--password-file", base / "password")
    assert "anna: imported 2 of 2" in got.stdout and "berta: imported 3 of 3" in got.stdout
    with peer.session("berta") as p:
        want = [x.split(b" ")[1] for x in p.multi("UIDL")]
    peer.stop()
    assert [u for u, _ in served(office, "berta", base / "mail/berta")] == want
    assert anna.exists()


class Slow(Session):
    def on_TOP(self, arg):
        self.house.memory["asked"] = True
        until(lambda: "go" in self.house.memory or self.house.ended.is_set())
        super().on_TOP(arg)


def test_deliveries_do_not_wait_for_the_old_server(base):
    mails = plain_mails(3)
    box = base / "mail" / "box"
    box.parent.mkdir()
    box.write_bytes(b"".join(b"From a@x Sun Nov 22 10:00:00 2026\n" + m.octets.replace(b"\r\n", b"\n") + b"\n"
                             for m in mails))
    for p in (box.parent, box):
        os.chown(p, 61001, 61001)
    (base / "password").write_text(PASSWORD.decode() + "\n")
    with House(Drop(mails), Slow) as house:
        p = subprocess.Popen([PROGRAM, "import", "--maildrop", f"mbox:{box}", "--from",
                              f"pop3://{USER.decode()}@127.0.0.1:{house.port}", "--plaintext", "--password-file",
                              base / "password"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        until(lambda: "asked" in house.memory)
        got = subprocess.run([BUILD / "restante-deliver", "--maildrop", f"mbox:{box}"], input=b"Subject: new\n\nx\n",
                             timeout=20, check=False)
        house.memory["go"] = True
        assert b"imported 3 of 3" in p.communicate(timeout=60)[0] and p.returncode == 0
    assert got.returncode == 0
