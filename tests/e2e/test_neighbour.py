"""Dovecot serves by IMAP the Maildir that Restante serves by POP3 and fills by LMTP, set up
as restante-imap(7) says: nothing is lost, doubled or renamed, whoever works on it."""
import hashlib
import json
import os
import random
import re
import shutil
import subprocess

import pytest

from lmtpd_alone import Mta
from nasty import NASTY, stuffed, wire
from neighbour import FORMATS, PAGE, Imap, Neighbour, blocks, listing
from neighbour_load import ID, Ledger, Load, wait_for
from pop import Pop
from postoffice import BUILD, until

LONG = bool(os.environ.get("RESTANTE_LONG"))
LETTERS = 400 if LONG else 100
LEAST = {"sessions": 30, "retrieved": 300, "deleted": 15, "dropped": 5, "stores": 60,
         "storms": 24, "moved": 30, "expunged": 8, "idle": 8}


@pytest.fixture
def neighbour(base):
    n = Neighbour(base)
    yield n
    n.stop()
    print("\n".join(n.complaints()))


@pytest.fixture
def both(neighbour, office):
    """Dovecot, and how an office over its Maildir is started; the page's lines count."""
    def start(**sets):
        rows = dict(x.split(" = ") for x in blocks()["restante.conf"].splitlines())
        assert rows.pop("maildrop") == "maildir:~/Maildir"
        sets = {**rows, **sets}
        return office("--lmtp", "127.0.0.1:0", sets=sets,
                      users=[(u, "secret", neighbour.maildir) for u in ("anna", "bert")])
    return neighbour, start


def lmtp(office):
    return int(office.lmtp_at.rsplit(":", 1)[1])


def mail(ident, more=b""):
    return b"Message-ID: <%s>\r\nSubject: x\r\n\r\nhello\r\n" % ident.encode() + more


def put(port, octets):
    mta = Mta(port)
    mta.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<anna>\r\n")
    mta.expect(b"250", b"250")
    mta.ask(b"DATA", b"354")
    mta.send(stuffed(wire(octets)))
    mta.expect(b"250")
    mta.close()


def put_file(neighbour, name, octets):
    """As a program does that writes no sizes into names."""
    path = neighbour.maildir / "tmp" / name
    path.write_bytes(octets.replace(b"\r\n", b"\n"))
    shutil.chown(path, "nobody", "nogroup")
    path.rename(neighbour.maildir / "new" / name)


def ours(office, user="anna"):
    with Pop(office.host, office.pop3) as p:
        return listing(p, user)


def ours_when_free(office):
    """The same, once the session before has ended."""
    def look():
        with Pop(office.host, office.pop3) as p:
            return p.login("anna", "secret").startswith(b"+OK") and p.say("QUIT")
    until(look)
    return ours(office)


def names(rows):
    return [row[0] for row in rows]


def ident_of(row):
    return ID.search(row[2])[1].decode()


def by_ident(rows):
    """{Message-ID: UIDL}"""
    out = {ident_of(row): row[0] for row in rows}
    assert len(out) == len(rows)
    return out


def fill(neighbour, office):
    """Mail by every way; the Message-IDs."""
    put(lmtp(office), mail("ours@x"))
    put(neighbour.lmtp, mail("theirs@x"))
    put_file(neighbour, "1700000000.M1P1.plain", mail("plain@x"))
    imap = Imap(neighbour.imap)
    assert imap.append("INBOX", "(\\Seen work)", None, mail("append@x"))[0] == "OK"
    imap.end()
    return ["append@x", "ours@x", "plain@x", "theirs@x"]


def move(neighbour, ident, there, back):
    """A client opens the folder `there`, moves the message with that Message-ID, and goes."""
    imap = Imap(neighbour.imap)
    imap.select(there)
    found = imap.search(None, f'HEADER Message-ID "<{ident}>"')[1][0].decode()
    assert found.isdigit(), (ident, there)
    kind, said = imap._simple_command("MOVE", found, back)
    assert kind == "OK", said
    imap.end()


# ---- all at once -------------------------------------------------------------------------

@pytest.mark.parametrize("folders", ["", "Junk"])
def test_load(both, folders):
    neighbour, start = both
    seed = int(os.environ.get("RESTANTE_SEED") or random.randrange(1 << 32))
    print(f"RESTANTE_SEED={seed}")
    office, ledger = start(maildir_folders=folders), Ledger()
    imap = Imap(neighbour.imap)
    assert imap.create("Junk")[0] == "OK"
    load = Load(neighbour, office, ledger, seed, ["anna", "bert"], LETTERS)
    load.start()
    try:
        wait_for(load, ledger, LEAST, 600 if LONG else 240)
    finally:
        load.stop()
    print(sorted(ledger.seen.items()))
    inbox, junk = imap.ids(), imap.ids("Junk")
    ledger.check(inbox + junk)
    check_ledger(ledger, inbox + junk)
    rows = ours(office)
    for row in rows:
        ledger.named(row[0], ident_of(row))
        assert len(row[2]) == row[1]
    assert sorted(map(ident_of, rows)) == sorted(inbox + (junk if folders else []))
    # Once all is quiet, Dovecot's own POP3 says the same.
    theirs = neighbour.listed("f")
    assert sorted(map(ident_of, theirs)) == inbox
    stripped = {i: re.sub(rb",[SW]=\d+", b"", u) for i, u in by_ident(theirs).items()}
    mine = by_ident(rows)
    assert {i: mine[i] for i in inbox} == stripped
    for row in theirs:
        assert len(row[2]) in (row[1], row[1] + 2)
    imap.end()
    check_complaints(neighbour)


def check_ledger(ledger, there):
    """It would have seen a message that is missing, is there twice, or is there again."""
    stays = next(i for i in there if i not in ledger.doomed)
    gone = min(ledger.gone)
    for listed, what in (([i for i in there if i != stays], "lost"),
                         ([*there, stays], "doubled"), ([*there, gone], "back again")):
        with pytest.raises(AssertionError, match=what):
            ledger.check(listed)


def check_complaints(neighbour):
    """Of names, sizes, rights and damage: none. That a message went is no fault."""
    bad = [x for x in neighbour.complaints()
           if re.search(r"wrong|orrupt|ermission|roken|EACCES|too little|too much", x)]
    assert not bad, "\n".join(bad)


# ---- UIDLs -------------------------------------------------------------------------------

@pytest.mark.parametrize("form", list(FORMATS))
def test_uidls_are_those_of_dovecot_after_an_import(both, form):
    neighbour, start = both
    office = start()
    idents = fill(neighbour, office)
    before = neighbour.listed(form)
    assert sorted(map(ident_of, before)) == idents
    office.stop()
    args = ["--json", "--maildrop", f"maildir:{neighbour.maildir}"]
    got = subprocess.run(
        [BUILD / "restante-move", "import", *args, "--uidl-format", FORMATS[form]],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert got.returncode == 0, got.stdout + got.stderr
    assert json.loads(got.stdout)["imported"] == len(idents)
    office = start(maildir_folders="")
    assert names(ours(office)) == names(before)
    # New mail comes behind it; nothing of before changes, here or there.
    put(lmtp(office), mail("later@x"))
    put(neighbour.lmtp, mail("later-too@x"))
    assert names(ours(office))[:-2] == names(before)
    assert neighbour.listed(form)[:-2] == before
    check_complaints(neighbour)


def test_uidls_are_the_names_that_dovecot_shows(both):
    """Without an import: %f, and its MD5, where names hold no sizes."""
    neighbour, start = both
    office = start()
    fill(neighbour, office)
    mine = by_ident(ours(office))
    theirs = by_ident(neighbour.listed("f"))
    assert {i: re.sub(rb",[SW]=\d+", b"", u) for i, u in theirs.items()} == mine
    assert theirs["plain@x"] == mine["plain@x"] == b"1700000000.M1P1.plain"
    digests = by_ident(neighbour.listed("mf"))
    assert digests["plain@x"].decode() == hashlib.md5(mine["plain@x"]).hexdigest()


@pytest.mark.parametrize("folders", ["", "Junk"])
def test_a_uidl_stays(both, folders):
    """Flags, keywords, from new to cur, to a folder and back, by either server's hand."""
    neighbour, start = both
    office = start(maildir_folders=folders, mark_seen="yes")
    idents = fill(neighbour, office)
    before = ours(office)
    want = by_ident(before)
    imap = Imap(neighbour.imap)
    imap.create("Junk")
    imap.select("INBOX")
    for flags in ("\\Flagged", "\\Seen \\Answered", "work later", "\\Deleted"):
        for way in ("+FLAGS", "-FLAGS", "+FLAGS"):
            assert imap.store("1:*", way, f"({flags})")[0] == "OK"
            assert ours(office) == before
    assert imap.store("1:*", "-FLAGS", "(\\Deleted)")[0] == "OK"
    assert not list((neighbour.maildir / "new").iterdir())
    for ident in idents:
        move(neighbour, ident, "INBOX", "Junk")
        now = by_ident(ours(office))
        assert now == {i: u for i, u in want.items() if folders or i != ident}
        assert imap.select("INBOX")[0] == "OK"  # now it has read that the message is gone
        imap.noop()
        move(neighbour, ident, "Junk", "INBOX")
        assert by_ident(ours(office)) == want
    imap.end()
    assert [row for row in ours(office)] == before
    check_complaints(neighbour)


def test_a_message_that_comes_back_at_once_has_a_new_name(both):
    """Dovecot's list of the inbox still has the old one: a new message, for both."""
    neighbour, start = both
    office = start(maildir_folders="")
    put(lmtp(office), mail("goes@x"))
    put(lmtp(office), mail("stays@x"))
    imap = Imap(neighbour.imap)
    imap.create("Junk")
    before = by_ident(ours(office))
    move(neighbour, "goes@x", "INBOX", "Junk")
    move(neighbour, "goes@x", "Junk", "INBOX")
    now = by_ident(ours(office))
    assert now["stays@x"] == before["stays@x"] and now["goes@x"] != before["goes@x"]
    theirs = by_ident(neighbour.listed("f"))
    assert re.sub(rb",[SW]=\d+", b"", theirs["goes@x"]) == now["goes@x"]
    # And the first one again, as a message that never went has it.
    move(neighbour, "goes@x", "INBOX", "Junk")
    imap.select("INBOX")
    imap.end()
    move(neighbour, "goes@x", "Junk", "INBOX")
    assert by_ident(ours(office)) == before


# ---- sizes and octets --------------------------------------------------------------------

def test_sizes_whoever_delivered(both):
    """Each nasty message by each way: LIST says what RETR sends, at the first sight already,
    and IMAP reads the same octets and finds no fault with a size."""
    neighbour, start = both
    office = start(lmtp_bare_line_ends="keep")
    imap = Imap(neighbour.imap)
    small = {k: v for k, v in NASTY.items() if len(v) < 1 << 18 and b"\0" not in v}
    assert len(small) > 10
    imap.select("INBOX")
    for name, octets in small.items():
        ident = f"<{name.replace(' ', '-')}@x>".encode()
        octets = b"Message-ID: " + ident + b"\r\n" + octets
        put(lmtp(office), octets)
        bdat(lmtp(office), octets)
        put(neighbour.lmtp, octets)
        # imaplib would mend the line ends.
        append(imap, octets)
    rows = ours(office)
    assert len(rows) == 4 * len(small)
    for uidl, size, octets in rows:
        assert len(octets) == size, (uidl, octets[:200])
    got = [r for r in imap.rows("(RFC822.SIZE BODY.PEEK[])") if isinstance(r, tuple)]
    assert len(got) == len(rows)
    for head, octets in got:
        assert int(re.search(rb"RFC822.SIZE (\d+)", head)[1]) == len(octets)
    assert sorted(wire(x[1]) for x in got) == sorted(row[2] for row in rows)
    imap.end()
    check_complaints(neighbour)
    # And again without an index: from the names alone.
    office.stop()
    (neighbour.maildir / "restante-index").unlink(missing_ok=True)
    assert ours(start()) == rows


def bdat(port, octets):
    mta = Mta(port)
    mta.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<anna>\r\n")
    mta.expect(b"250", b"250")
    mta.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
    mta.expect(b"250")
    mta.close()


def append(imap, octets):
    imap.send(b"X2 APPEND INBOX {%d+}\r\n" % len(octets) + octets + b"\r\n")
    while not (said := imap.readline()).startswith(b"X2 "):
        assert said
    assert said.startswith(b"X2 OK"), said


# ---- a session and what happens under it ---------------------------------------------------

def test_what_a_session_sees_of_the_other_side(both):
    neighbour, start = both
    office = start(maildir_folders="")
    for i in range(6):
        put(lmtp(office), mail(f"{i}@x"))
    imap = Imap(neighbour.imap)
    imap.create("Archive")
    pop = Pop(office.host, office.pop3)
    assert pop.login("anna", "secret").startswith(b"+OK")
    imap.select("INBOX")
    imap.store("1,2", "+FLAGS", "(\\Seen work)")
    imap.store("2,3", "+FLAGS", "(\\Deleted)")
    imap.expunge()
    move(neighbour, "3@x", "INBOX", "Archive")
    # Here nothing was read ahead yet.
    for gone in (2, 3, 4):
        assert pop.say(f"RETR {gone}").startswith(b"-ERR")
    assert pop.multi("RETR 1")[-1] == b"hello"
    for number in (3, 4, 5):
        assert pop.say(f"DELE {number}").startswith(b"+OK")
    imap.store("2", "+FLAGS", "(\\Flagged)")
    assert pop.say("QUIT").startswith(b"+OK")
    pop.close()
    # What QUIT confirmed is gone for IMAP at once; what was moved away is not lost.
    assert imap.ids() == ["0@x", "5@x"]
    assert imap.ids("Archive") == ["3@x"]
    # A connection that ends without QUIT deletes nothing.
    with Pop(office.host, office.pop3) as pop:
        assert pop.login("anna", "secret").startswith(b"+OK")
        assert pop.say("DELE 1").startswith(b"+OK")
    ours_when_free(office)
    assert imap.ids() == ["0@x", "5@x"]
    imap.end()
    check_complaints(neighbour)


@pytest.mark.parametrize("folders", ["", "Junk"])
def test_a_copy_is_one_file_of_two_names(both, folders):
    neighbour, start = both
    office = start(maildir_folders=folders)
    put(lmtp(office), mail("a@x"))
    put(lmtp(office), mail("b@x"))
    imap = Imap(neighbour.imap)
    imap.create("Junk")
    before = ours(office)
    imap.select("INBOX")
    assert imap.copy("1:2", "Junk")[0] == "OK"
    assert imap.ids() == imap.ids("Junk") == ["a@x", "b@x"]
    assert ours(office) == before
    with Pop(office.host, office.pop3) as pop:
        assert pop.login("anna", "secret").startswith(b"+OK")
        assert pop.say("DELE 1").startswith(b"+OK")
        assert pop.say("QUIT").startswith(b"+OK")
    assert imap.ids() == ["b@x"]
    assert imap.ids("Junk") == (["b@x"] if folders else ["a@x", "b@x"])
    assert ours(office) == before[1:]
    imap.end()
    check_complaints(neighbour)


# ---- files ---------------------------------------------------------------------------------

def test_files_of_one_do_not_disturb_the_other(both):
    neighbour, start = both
    office = start()
    idents = fill(neighbour, office)
    imap = Imap(neighbour.imap)
    imap.create("Junk")
    rows = ours(office)
    twin = neighbour.maildir / "restante-identity"
    assert (neighbour.maildir / "restante-lock").exists()
    assert imap.ids() == idents
    boxes = [x.split(b' "." ')[1] for x in imap.list()[1]]
    assert sorted(boxes) == [b"INBOX", b"Junk"]
    # One owner, and nobody else reads mail that we wrote.
    for p in neighbour.maildir.rglob("*"):
        assert (p.owner(), p.group()) == ("nobody", "nogroup"), p
        if p.name.startswith("restante-") or ".localhost," in p.name:
            assert p.stat().st_mode & 0o7777 == 0o600, p
    # Neither needs what the other knows.
    imap.end()
    office.stop()
    for p in neighbour.maildir.glob("restante-*"):
        assert p != twin
        p.unlink()
    imap = Imap(neighbour.imap)
    assert imap.ids() == idents
    imap.end()
    for p in neighbour.maildir.rglob("dovecot*"):
        p.unlink(missing_ok=True)  # a process that has said its last word may tidy up yet
    assert ours(start()) == rows
    imap = Imap(neighbour.imap)
    assert imap.ids() == idents
    imap.end()


# ---- the manual ------------------------------------------------------------------------------

def test_the_page(base):
    """It is well formed, and what it has of settings is in force here."""
    said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", PAGE], capture_output=True, text=True,
                          check=False)
    assert said.returncode == 0, said.stdout
    assert set(blocks()) == {"dovecot", "restante.conf"}
    assert len(blocks()) == PAGE.read_text().count('.\\" block: ')
    conf = Neighbour(base, run=False).base / "dovecot.conf"
    force = subprocess.run(["doveconf", "-c", conf], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for line in blocks()["dovecot"].splitlines():
        assert line in force, line
