"""UTF8 (RFC 6856): who says it gets messages as they are stored; who does not gets them so
too, or, where the operator wants that, with headers of ASCII only. Sizes are those of what
is sent, either way, in a Maildir and in an mbox."""
import email
import email.policy
import os

import pytest
from nasty import wire
from pop import Pop
from postoffice import NOBODY, make_maildir

pytestmark = pytest.mark.anyone

RAW = ("From: Jörg <joerg@example.org>\n"
       "To: \"Müller, Äda\" <ada@example.org>, plain@example.org\n"
       "Subject: Grüße aus Köln und noch mehr\n"
       "X-Long: " + "ä" * 300 + "\n"
       "\n"
       "Die erste Zeile.\n.ein Punkt\nGrüße\n").encode()
PLAIN = b"Subject: plain\n\nthe body has raw octets alone: \xc3\xa4\n"
NO_BODY = "Subject: ü\n".encode()
MESSAGES = [PLAIN, RAW, NO_BODY]


def make_mbox(path):
    path.write_bytes(b"".join(b"From a@b Sun Nov 22 12:00:00 2026\n" + m +
                              (b"" if b"\n\n" in m else b"\n") + b"\n" for m in MESSAGES))
    return path


@pytest.fixture(scope="module", params=["maildir", "mbox"])
def kind(request):
    return request.param


def make_office(module_office, base, kind, **sets):
    where = base / ("y" if sets else "n") / kind
    where.mkdir(parents=True)
    if kind == "maildir":
        path = make_maildir(where / "box", MESSAGES)
    else:
        path = make_mbox(where / "box")
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
            os.chown(where, NOBODY, NOBODY)
    users = where / "users"
    users.write_text(f"anna:{{PLAIN}}secret:{NOBODY}:{NOBODY}::::userdb_mail={kind}:{path}\n")
    return module_office("--users", users, sets=sets)


@pytest.fixture(scope="module")
def rewrites(module_office, module_base, kind):
    return make_office(module_office, module_base, kind, utf8_downgrade="yes")


@pytest.fixture(scope="module")
def leaves(module_office, module_base, kind):
    return make_office(module_office, module_base, kind)


def collect(o, utf8, before=True):
    """{number: octets} by RETR, with all sizes compared."""
    with Pop(o.host, o.pop3) as p:
        if utf8 and before:
            assert p.say("UTF8").startswith(b"+OK")
        assert p.login("anna", "secret").startswith(b"+OK")
        if utf8 and not before:
            assert p.say("UTF8").startswith(b"+OK")
        sizes = {int(n): int(size) for n, size in (x.split() for x in p.multi("LIST"))}
        _, n, total = p.say("STAT").split()[:3]
        assert int(n) == len(sizes) and int(total) == sum(sizes.values())
        got = {}
        for n, size in sizes.items():
            first = p.say(f"RETR {n}")
            assert first.startswith(b"+OK %d " % size), first
            lines = p.body()[:-3].split(b"\r\n")
            octets = b"\r\n".join(x[1:] if x.startswith(b".") else x for x in lines)
            assert len(octets) == size
            got[n] = octets
            top = p.multi(f"TOP {n} 1")
            assert octets.startswith(b"\r\n".join(top[:3]))
        assert p.say("QUIT").startswith(b"+OK")
        return got


@pytest.mark.parametrize("before", [True, False])
def test_who_says_utf8_gets_what_is_stored(rewrites, leaves, kind, before):
    for o in (rewrites, leaves):
        got = collect(o, True, before)
        for n, stored in enumerate(MESSAGES, 1):
            assert got[n].startswith(wire(stored))


def test_headers_are_rewritten_for_the_others(rewrites):
    got = collect(rewrites, False)
    assert got[1].startswith(wire(PLAIN))
    head, body = got[2].split(b"\r\n\r\n", 1)
    assert max(head) < 0x80 and body.startswith(wire(RAW).split(b"\r\n\r\n", 1)[1])
    assert all(len(x) <= 78 for x in head.split(b"\r\n"))
    m = email.message_from_bytes(got[2], policy=email.policy.default)
    assert m["Subject"] == "Grüße aus Köln und noch mehr"
    assert m["X-Long"] == "ä" * 300
    assert [a.display_name for a in m["To"].addresses][:1] == ["Müller, Äda"]
    assert [a.addr_spec for a in m["To"].addresses] == ["ada@example.org", "plain@example.org"]
    assert max(got[3]) < 0x80


def test_without_the_option_nothing_is(leaves):
    got = collect(leaves, False)
    for n, stored in enumerate(MESSAGES, 1):
        assert got[n].startswith(wire(stored))


def test_too_late(rewrites):
    """RFC 6856 s.2: not once messages were looked at (threats: UTF8 after login)."""
    with Pop(rewrites.host, rewrites.pop3) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
        assert p.say("STAT").startswith(b"+OK")
        assert p.say("UTF8").startswith(b"-ERR")
        assert p.say("QUIT").startswith(b"+OK")


def test_capabilities(rewrites):
    with Pop(rewrites.host, rewrites.pop3) as p:
        before = p.multi("CAPA")
        assert b"UTF8 USER" in before and b"LANG" in before
        assert p.login("anna", "secret").startswith(b"+OK")
        after = p.multi("CAPA")
        assert b"UTF8 USER" in after and b"LANG" in after
        assert p.say("QUIT").startswith(b"+OK")
