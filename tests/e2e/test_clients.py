"""fetchmail, mpop and getmail6 over nasty messages: what they deliver is what was sent but
for a written list of what they alter themselves (doc/clients.md), which must not grow."""
import functools
import re

import pytest
from collectors import ALL, Fetchmail, Getmail, Mpop
from postoffice import ROOT, make_maildir
from nasty import NASTY, stuffed, wire
from pop import Pop

pytestmark = pytest.mark.anyone

WAYS = ("pop3s", "stls")
CASES = [(c, way) for c in ALL for way in WAYS]
ALTERED_MAX = 12  # rows of doc/clients.md; a new one is a fault of the server until shown otherwise


# What a client alters: a function of the octets so far. Each is one row of doc/clients.md.

def parts(octets):
    """Header lines and what follows them, with the blank line."""
    end = re.search(rb"(?:\A|\r\n)(?=\r\n)|\Z", octets).end()
    return octets[:end], octets[end:]


def no_envelope(w):
    return re.sub(rb"\AFrom [^\r\n]*\r\n", b"", w)


def blank_after_header(w):
    head, body = parts(w)
    return head + (body or b"\r\n")


def blank_of_getmail(w):
    """Lines end in LF by now. What has no header gets an empty one."""
    if w and not re.match(rb"[!-9;-~]+:|\n", w):
        return b"\n" + w
    return w if re.search(rb"\A\n|\n\n", w) else w + b"\n"


def any_line_end(w):
    for end in (b"\r\n", b"\r\n", b"\r"):  # CR CR LF is one line end too
        w = w.replace(end, b"\n")
    return w


FETCHMAIL_HEADER = (rb"From: FETCHMAIL-DAEMON\r\nTo: [^\r\n]+\r\n"
                    rb"Subject: Headerless mail from \S+'s mailbox on localhost\r\n")
PIECE = 8191
# Marks for what is not fixed; no message holds them.
HEADERLESS, TWO_OCTETS = b"@@header of fetchmail@@", b"@@two octets@@"


def fetchmail_header_cr(w):
    return w[1:] if w.startswith(b"\r\r\n") else w


def fetchmail_headerless(w):
    return HEADERLESS + (w or b"\r\n") if not w or w.startswith(b"\r\n") else w


def fetchmail_header_dots(w):
    """Dots that were stuffed into the header stay, but on its first line."""
    head, body = parts(w)
    first, *more = head.split(b"\r\n")
    return b"\r\n".join([first, *(b"." + x if x.startswith(b".") else x for x in more)]) + body


def fetchmail_pieces(w):
    """Long lines come in pieces, each with two octets of its memory and a line end."""
    out = []
    for line in w.split(b"\r\n"):
        sent = b"." + line if line.startswith(b".") else line
        cut = [sent[i:i + PIECE] for i in range(0, len(sent), PIECE)] or [b""]
        if sent is not line:
            cut[0] = cut[0][1:]
        out.append((TWO_OCTETS + b"\r\n").join(cut))
    return b"\r\n".join(out)


ALTERS = {
    Fetchmail: {"envelope": no_envelope, "header-cr": fetchmail_header_cr,
                "header-dots": fetchmail_header_dots, "blank-line": blank_after_header,
                "headerless": fetchmail_headerless, "long-line": fetchmail_pieces},
    Mpop: {"line-ends": lambda w: w.replace(b"\r\n", b"\n")},
    Getmail: {"envelope": no_envelope, "line-ends": any_line_end,
              "blank-line": blank_of_getmail,
              "return-path": lambda w: b"Return-Path: <unknown>\n" + w},
}


@functools.cache
def expected(client, octets):
    """What the client delivers, with marks, and the rows that mattered."""
    used = set()
    for name, alter in ALTERS[client].items():
        before, octets = octets, alter(octets)
        if octets != before:
            used.add(name)
    return octets, used


def matches(client, octets, got):
    want, _ = expected(client, octets)
    if HEADERLESS not in want and TWO_OCTETS not in want:
        return want == got
    pattern = re.escape(want).replace(re.escape(HEADERLESS), FETCHMAIL_HEADER).replace(
        re.escape(TWO_OCTETS), b"..")
    return re.fullmatch(pattern, got, re.S) is not None


@pytest.fixture(scope="module")
def house(module_office, module_base):
    users = []
    for c, way in CASES:
        for what in ("keep", "dele"):
            box = make_maildir(module_base / f"{c.name}-{way}-{what}" / "Maildir", NASTY.values())
            users.append(f"{c.name}-{way}-{what}:secret:{box}")
    o = module_office(users=users)
    o.base = module_base
    return o


def waiting(o, user):
    with Pop(o.host, o.pop3) as p:
        assert p.login(user, "secret").startswith(b"+OK")
        n = int(p.say("STAT").split()[1])
        assert p.say("QUIT").startswith(b"+OK")
        return n


def sent(client, stored, kept):
    """What the server sends: fetchmail asks by TOP where it keeps mail, and the answer to
    that always has the blank line."""
    w = wire(stored)
    return blank_after_header(w) if client is Fetchmail and kept else w


def compare(client, got, kept):
    assert len(got) == len(NASTY)
    for (name, stored), octets in zip(NASTY.items(), got):
        w = sent(client, stored, kept)
        assert matches(client, w, octets), (name, octets[:300], expected(client, w)[0][:300])


@pytest.mark.parametrize("client,way", CASES, ids=lambda x: getattr(x, "name", x))
def test_kept_and_collected_again(house, client, way):
    user = f"{client.name}-{way}-keep"
    c = client(house.base, house, user, tls=way)
    assert c.run() == 0, c.output
    compare(client, c.got(), True)
    assert waiting(house, user) == len(NASTY)
    assert c.run() in (0, c.nothing_new), c.output
    assert len(c.got()) == len(NASTY), "nothing comes twice"
    new = house.base / user / "Maildir" / "new" / "1800000000.M1P1.test"
    new.write_bytes(b"Subject: late\n\nx\n")
    new.chmod(0o644)
    assert c.run() == 0, c.output
    assert len(c.got()) == len(NASTY) + 1, "and new mail does"
    assert matches(client, wire(new.read_bytes()), c.got()[-1])


@pytest.mark.parametrize("client,way", CASES, ids=lambda x: getattr(x, "name", x))
def test_deletion(house, client, way):
    user = f"{client.name}-{way}-dele"
    c = client(house.base, house, user, tls=way, delete=True)
    assert c.run() == 0, c.output
    compare(client, c.got(), False)
    assert waiting(house, user) == 0
    box = house.base / user / "Maildir"
    assert not any((box / "new").iterdir()) and not any((box / "cur").iterdir())
    assert c.run() in (0, c.nothing_new), c.output
    assert len(c.got()) == len(NASTY)


def test_the_list_is_written_and_does_not_grow():
    text = (ROOT / "doc" / "clients.md").read_text()
    rows = set(re.findall(r"^\| (\w+) \| ([a-z-]+) \|", text, re.M)) - {("client", "row")}
    here = {(c.name, name) for c, table in ALTERS.items() for name in table}
    assert rows == here | {("curl", "empty")}
    assert len(rows) <= ALTERED_MAX


@pytest.mark.parametrize("client", ALL, ids=lambda c: c.name)
def test_every_row_is_needed(client):
    used = set().union(*(expected(client, wire(m))[1] for m in NASTY.values()))
    assert used == set(ALTERS[client])


def test_stuffing_here_is_right():
    assert stuffed(wire(b".\n..\nx")) == b"..\r\n...\r\nx\r\n.\r\n"
