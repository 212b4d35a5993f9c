"""Users whose names have letters beyond ASCII: in every mechanism they are prepared alike (RFC
4013), so that composed and decomposed letters are one (RFC 6856 s.2.2: UTF8 USER)."""
import base64
import os
import unicodedata

import pytest

from login_clients import scram
from pop import Pop
from postoffice import NOBODY, make_maildir

pytestmark = pytest.mark.anyone

NAME = "jürgen.größe@bücher.example"
WORD = "schlüssel"
FORMS = {"composed": "NFC", "decomposed": "NFD"}
WRONG = b"-ERR [AUTH] name or password is wrong"


@pytest.fixture(scope="module")
def office(module_office, module_base):
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    box = make_maildir(module_base / "box", [b"Subject: for juergen\n\nhello\n"])
    other = make_maildir(module_base / "other", [b"Subject: for another\n\nhello\n"])
    users = module_base / "users"
    users.write_text(
        f"{NAME}:{{PLAIN}}{WORD}:{owner}:{owner}::::userdb_mail=maildir:{box}\n"
        f"jurgen:{{PLAIN}}{WORD}:{owner}:{owner}::::userdb_mail=maildir:{other}\n", "utf-8")
    return module_office("--users", users, sets={"login_failure_delay": "0"})


def connect(o):
    return Pop("localhost", o.pop3s, tls_ca=o.ca)


def collects(p):
    assert p.say("RETR 1").startswith(b"+OK")
    return b"Subject: for juergen\r\n" in p.body()


def form(text, which):
    return unicodedata.normalize(FORMS[which], text)


@pytest.mark.parametrize("name", FORMS)
def test_user_and_pass_after_utf8(office, name):
    with connect(office) as p:
        assert b"UTF8 USER" in p.multi("CAPA")
        assert p.say("UTF8").startswith(b"+OK")
        assert p.say(f"USER {form(NAME, name)}").startswith(b"+OK")
        assert p.say(f"PASS {WORD}").startswith(b"+OK")
        assert collects(p)


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_plain(office, name, utf8):
    with connect(office) as p:
        if utf8:
            assert p.say("UTF8").startswith(b"+OK")
        response = "\0" + form(NAME, name) + "\0" + WORD
        assert p.say(b"AUTH PLAIN " + base64.b64encode(response.encode())).startswith(b"+OK")
        assert collects(p)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("name", FORMS)
def test_scram(office, name, mechanism):
    said = []

    def say(line):
        said.append(p.say(line))
        assert not said[-1].startswith(b"-ERR"), said
        return said[-1].rstrip()

    with connect(office) as p:
        # The client prepares its password itself (RFC 5802 s.2.2).
        scram(form(NAME, name), WORD, say, mechanism)
        assert said[-1].startswith(b"+OK") and collects(p)


@pytest.mark.parametrize("name, password", [
    (NAME, "schlussel"), (NAME.replace("ü", "u"), WORD), (NAME.upper(), WORD),
    (NAME + "\u0308", WORD), (NAME.encode().decode("latin-1"), WORD), (NAME, "schlu\u0308\u0308ssel")])
def test_what_only_looks_alike_is_wrong(office, name, password):
    with connect(office) as p:
        assert p.say("UTF8").startswith(b"+OK")
        assert p.say(f"USER {name}").startswith(b"+OK")
        assert p.say(f"PASS {password}").startswith(WRONG)


@pytest.mark.parametrize("octets", [b"j\xfcrgen", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_octets_that_are_no_utf8_are_nobody(office, octets):
    with connect(office) as p:
        assert p.say("UTF8").startswith(b"+OK")
        said = p.say(b"USER " + octets)
        assert said.startswith((b"+OK", b"-ERR"))
        if said.startswith(b"+OK"):
            assert p.say(f"PASS {WORD}").startswith(WRONG)
        assert p.say("NOOP")
