"""A move from the real Dovecot, Courier and Cyrus, as man/restante-migrate.7 tells it: clients
that have fetched everything fetch nothing again, and get what is new once; compare and
passport say so before, and find what would not be so."""
import os
import re
import shutil

import pytest

from fetch_peers import USER, make_roots
from migration import (KINDS, Move, Where, blocks, listed, listing, mails, make_clients, plain,
                       rename, unended)
from postoffice import make_maildir, until

SAFE, NOT_SAFE = 0, 65
SHORT = [("dovecot", "%08Xu%08Xv"), ("dovecot", "%f"), ("courier", "now"),
         ("courier", "version 2"), ("cyrus", "cyrus"), ("cyrus", "dovecot")]
# What these servers offer and Restante does not, or not in a sandbox. The page says so.
TOLD = {"dovecot": [], "courier": ["capability"], "cyrus": ["sasl"]}
LONG = [("dovecot", "%u.%v"), ("dovecot", "%g"), ("courier", "names"), ("cyrus", "uidonly"),
        ("cyrus", "courier")]


@pytest.fixture(scope="module")
def roots():
    return make_roots()


class Story:
    """An old server with mail, and clients that have all of it."""

    def __init__(self, base, roots, kind, form):
        self.base, self.kind, self.form, self.moves = base, kind, form, []
        self.peer = KINDS[kind](base, form, roots.get(kind))

    def begin(self, every=False, nasty=True, collect=True):
        self.where = Where(self.base, self.peer)
        self.clients = make_clients(self.base / "clients", self.where) if collect else []
        first = self.peer.put(*(mails(self.peer, every) if nasty else ()), *plain(0, 6))
        self.everybody_gets(len(first))
        # Some goes, some comes.
        gone = (2, len(first) - 1, len(first) - 3)
        with self.peer.session() as p:
            for n in gone:
                assert p.say(f"DELE {n}").startswith(b"+OK")
            assert p.say("QUIT").startswith(b"+OK")
        assert len(self.peer.put(*plain(6, 3))) == 3
        self.everybody_gets(3)
        self.before = listed(self.peer)
        assert len(self.before) == len(first)
        self.mails = [m for n, m in enumerate(first, 1) if n not in gone] + plain(6, 3)

    def everybody_gets(self, count, subjects=()):
        for c in self.clients:
            got = c.collect()
            assert len(got) == count, (c.name, len(got), [x[:200] for x in got[:3]])
            for s in subjects:
                assert sum(bool(re.search(rb"\nSubject: " + s + rb"\r?\n", x))
                           for x in got) == 1, (c.name, s)

    def move(self, maildrops):
        self.moves.append(Move(self.base, self.peer, self.where, maildrops))
        return self.moves[-1]

    def stop(self):
        for m in self.moves:
            m.office.stop()
        if self.peer.process.poll() is None:
            self.peer.stop()


@pytest.fixture
def story(base, roots):
    started = []

    def start(kind, form, **more):
        started.append(Story(base, roots, kind, form))
        started[-1].begin(**more)
        return started[-1]
    yield start
    for s in started:
        s.stop()


def test_the_page_has_no_command_that_is_not_tried():
    kinds = ("dovecot", "courier", "cyrus", "mailutils", "popa3d")
    assert set(blocks()) == {
        "passport", "passport key", "cyrus copy", "cyrus offline", "dovecot look",
        "dovecot expunge",
        *(f"{x} import" for x in kinds if x != "mailutils"), *(f"compare {x}" for x in kinds)}


def bring_in(story):
    """The maildrop that restante is to serve: the old one, or a copy; nobody imported yet."""
    peer = story.peer
    if story.kind != "cyrus":
        return story.move({USER: peer.maildir}), peer.maildir
    box = make_maildir(story.base / "moved/Maildir")
    move = story.move({USER: box})
    move.run("cyrus copy", **{"/srv/mail/anna": str(box),
                              "-o anna -g anna": "-o nobody -g nogroup"})
    return move, box


def take_over(story, move):
    """The import, as the page has it for that server. The same again changes nothing."""
    form = {"%08Xu%08Xv": story.form} if story.kind == "dovecot" else {}
    n = len(story.before)
    said = move.run(f"{story.kind} import", **form)
    # A list may still have rows of what was deleted.
    whole = r"of \d+, kept 0, gone \d+, without match 0, not in the list 0$"
    for words in ("would have imported", "imported"):
        assert re.search(rf"^{USER}: {words} {n} {whole}", said, re.M), said
    said = move.run(f"{story.kind} import", **form)
    assert re.search(rf"^{USER}: imported 0 of \d+, kept {n},", said, re.M), said
    if story.kind == "dovecot":
        assert f"pop3_uidl_format = {story.form}\n" in move.run("dovecot look")
    if story.kind == "cyrus":  # its files say the same as it did
        said = move.run("cyrus offline", **{"--cyrus-uidl cyrus": f"--cyrus-uidl {story.form}"})
        assert re.search(rf"^{USER}: imported 0 of \d+, kept {n},", said, re.M), said


def two_octets_more(line):
    old, new = re.search(r"^size: .*, (\d+) octets\), .*, (\d+) octets\)", line).groups()
    return int(new) == int(old) + 2


@pytest.mark.parametrize("kind,form", [
    *SHORT, *(pytest.param(*x, marks=pytest.mark.long) for x in LONG)])
def test_nobody_fetches_again(story, kind, form):
    s = story(kind, form, every=(kind, form) in SHORT[::2])
    move, box = bring_in(s)
    # Without the import nothing would do, but where UIDLs are the names of files.
    other = {"%g": 0, "names": 3}.get(form, len(s.before))
    kinds, _, _ = move.compare(NOT_SAFE if other else SAFE)
    assert kinds.count("uidl") == other
    take_over(s, move)
    sizes = [] if kind == "cyrus" else [m for m in s.mails if unended(m)]
    ignore = ["size"] if sizes else []
    if sizes:
        kinds, lines, said = move.compare(NOT_SAFE)
        lines = [x for k, x in zip(kinds, lines) if k == "size"]
        assert len(lines) == len(sizes) and all(map(two_octets_more, lines)), said
    kinds, _, said = move.compare(SAFE, ignore)
    assert said.startswith(f"safe: {len(s.before)} messages on OLD, {len(s.before)} on NEW")
    assert set(kinds) <= {"size", *TOLD[kind]}
    with move.session() as p:
        now = listing(p)
        assert [u for u, _ in now] == [u for u, _ in s.before]
        assert sum(a != b for a, b in zip(now, s.before)) == len(sizes)
        assert p.say("QUIT").startswith(b"+OK")
    move.run("passport key")
    move.run("passport", more=" --ignore size" if sizes else "")

    after(s, move, looked_at=len(sizes))
    if kind != "cyrus":
        way_back(s, move)


def counts(move):
    """Logins, and messages that were sent whole or by TOP."""
    stat = move.office.stat()
    return tuple(stat[f"{x}_total"] for x in ("logins", "messages_retrieved", "messages_topped"))


def after(s, move, looked_at=0):
    """Nothing comes again: no message goes out at all, but that restante fetch looks at the
    header where a size is another one. What is new comes, and once."""
    move.cut_over()
    s.everybody_gets(0)
    # A front counts what it has sent a moment after it has.
    until(lambda: counts(move) == (len(s.clients), 0, looked_at), why=lambda: counts(move))
    move.put(*plain(9, 2))
    s.everybody_gets(2, (b"number 9", b"number 10"))
    until(lambda: move.sent() == looked_at + 2 * len(s.clients), why=move.sent)
    s.everybody_gets(0)


def way_back(s, move):
    """The old server finds its own files as they were. What came in between it names in its
    own way: that alone comes once more."""
    move.office.stop()
    s.peer.restart()
    now = listed(s.peer)
    assert now[:-2] == s.before
    s.everybody_gets(2, (b"number 9", b"number 10"))
    s.everybody_gets(0)


# ---- what compare and passport find --------------------------------------------------------


def file_of(box, n):
    """The message `number n`."""
    subject = b"\nSubject: number %d\n" % n
    found = [p for part in ("new", "cur") for p in (box / part).iterdir()
             if subject in p.read_bytes().replace(b"\r", b"")]
    assert len(found) == 1
    return found[0]


def edit_rows(path, edit):
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *edit(rows)]) + "\n")


def alter_list(s, box, plant):
    """A list of the old server that is not as the old server has it."""
    if s.kind == "courier":
        path = box / "courierpop3dsizelist"
        assert len(path.read_text().splitlines()) == len(s.before) + 1

        def edit(rows):
            if plant == "order":
                return [rows[1], rows[0], *rows[2:]]
            head, fields = rows[1].rsplit(" ", 1)
            return [rows[0], f"{head} 999:{fields.split(':', 1)[1]}", *rows[2:]]
        edit_rows(path, edit)
        return
    path = box / "dovecot-uidlist"
    if s.kind == "cyrus":  # which has no list that one could edit: it is written here
        files = sorted((box / "cur").iterdir(), key=lambda p: int(p.name.split(".")[0]))
        path.write_text("3 V1 N999\n" + "".join(
            f"{i} P{uidl.decode()} :{p.name.split(':')[0]}\n"
            for i, ((uidl, _), p) in enumerate(zip(s.before, files), 1)))
        assert len(files) == len(s.before)
        path.chmod(0o644)

    def edit(rows):
        uid, rest = rows[1].split(" ", 1)
        if plant == "uidl":
            rest = "Pplanted " + (rest.split(" ", 1)[1] if rest.startswith("P") else rest)
        else:
            rest = "O1 " + rest
        return [rows[0], f"{uid} {rest}", *rows[2:]]
    edit_rows(path, edit)


def plant_lost(box):
    file_of(box, 3).unlink()


def plant_size(box):
    with file_of(box, 3).open("ab") as f:
        f.write(b"more\n")


def plant_swapped(box):
    """Of the same size to the octet, but for what Cyrus writes into Received."""
    a, b = file_of(box, 7), file_of(box, 8)
    octets = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(octets)


PLANTS = {"uidl": None, "order": None, "lost": plant_lost, "size": plant_size,
          "swapped": plant_swapped}
KINDS_OF = {"uidl": {"uidl"}, "order": {"order"}, "lost": {"lost"}, "size": {"size"},
            "swapped": {"uidl", "reused", "order", "size"}}


@pytest.mark.parametrize("kind,form", SHORT[::2])
def test_each_planted_difference_is_found(story, kind, form):
    s = story(kind, form, collect=False)
    peer, names = s.peer, [f"{USER}-{x}" for x in (*PLANTS, "asked")]
    move, box = bring_in(s)
    move.office.stop()
    boxes = {name: s.base / "planted" / name for name in names}
    for b in boxes.values():
        shutil.copytree(box, b, ignore=shutil.ignore_patterns("restante*"))
        for p in (b, *b.rglob("*")):
            shutil.chown(p, "nobody", "nogroup")
    move = s.move({USER: box, **boxes})
    for plant, spoil in PLANTS.items():
        if not spoil:
            alter_list(s, boxes[f"{USER}-{plant}"], plant)
    # Their lists, or the old server itself, which knows them all as anna.
    asked = f"--from pop3s://{USER}@localhost:{peer.pop3s} --password-file pw"
    for name, b in boxes.items():
        spoil = PLANTS.get(name.removeprefix(f"{USER}-"))
        how = asked if name == f"{USER}-asked" or s.kind == "cyrus" and spoil else ""
        move.shell(f"restante import --maildrop maildir:{b} {how}")
        if spoil:
            spoil(b)
    kinds, _, said = move.compare(SAFE, more=" --new-login-format %u-asked")
    assert said.startswith("safe: ") and set(kinds) <= set(TOLD[kind])
    move.run("passport key")
    at = {n: next(i for i, m in enumerate(s.mails, 1) if b"number %d\n" % n in m)
          for n in (3, 7)}
    for plant in PLANTS:
        kinds, lines, said = move.compare(NOT_SAFE, more=f" --new-login-format %u-{plant}")
        assert said.startswith("not safe: ")
        found = [x for k, x in zip(kinds, lines) if k not in TOLD[kind]]
        assert found and {x.split(":")[0] for x in found} <= KINDS_OF[plant], (plant, lines)
        assert plant != "swapped" or {"uidl", "reused"} <= set(kinds), lines
        if plant != "order":
            n = {"uidl": 2, "swapped": at[7]}.get(plant, at[3])
            uidl = s.before[n - 1][0].decode()
            assert f"OLD {n} ({uidl}, " in "".join(found), (plant, found)
            assert len(found) == 1 or plant == "swapped", found
        # The passport says the same, but for what servers offer.
        text = move.run("passport", NOT_SAFE,
                        **{"anna@new.example": f"{USER}-{plant}@localhost:{move.office.pop3s}"})
        assert [x.split(": ", 1)[1] for x in text.splitlines()[:-1]] == found


# ---- mbox ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mailutils", "popa3d"])
def test_mbox_stays_one(story, name):
    """Copied as it is. X-UIDL in it holds by itself; what popa3d computes is imported."""
    s = story("inetd", name, nasty=False)
    new = s.base / "new"
    new.mkdir()
    box = new / USER
    shutil.copyfile(s.peer.mbox, box)
    os.chown(new, s.peer.UID, s.peer.UID)
    os.chown(box, s.peer.UID, s.peer.UID)
    move = s.move({USER: f"mbox:{box}"})
    if name == "popa3d":
        kinds, _, _ = move.compare(NOT_SAFE)
        assert kinds == ["uidl"] * len(s.before)
        said = move.run("popa3d import", **{"/var/mail/anna": str(s.peer.mbox)})
        assert f"imported {len(s.before)} of {len(s.before)}," in said
    kinds, _, said = move.compare(SAFE)
    assert said.startswith(f"safe: {len(s.before)} messages on OLD, {len(s.before)} on NEW")
    assert kinds == (["sasl", "size"] if name == "mailutils" else [])
    after(s, move, looked_at=kinds.count("size"))


def test_what_dovecot_hides(story):
    """Deleted mail that is still there would come again: it is found, and goes as the page says."""
    s = story("hiding", "%08Xu%08Xv", nasty=False, collect=False)
    move = s.move({USER: s.peer.maildir})
    move.run("dovecot import")
    kinds, _, _ = move.compare(NOT_SAFE)
    assert kinds == ["hidden"] * 3
    move.run("dovecot expunge")
    kinds, _, _ = move.compare(SAFE)
    assert kinds == []


def test_under_another_name(story):
    """The new server has a name and port of its own: the clients' files are changed as the
    page says."""
    s = story("dovecot", "%08Xu%08Xv", nasty=False)  # restante fetch goes by the header
    move, _ = bring_in(s)
    take_over(s, move)
    rename(s.clients, s.where, "127.0.0.1", move.office.pop3s)
    s.everybody_gets(0)
    assert move.office.stat()["messages_retrieved_total"] == 0
    move.put(*plain(9, 2))
    s.everybody_gets(2, (b"number 9", b"number 10"))
    s.everybody_gets(0)
