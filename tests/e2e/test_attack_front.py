"""What a client, a proxy's client or a sender of mail might try against the front."""
import base64
import os

import pytest
from front_alone import CRAM_MD5, PLAIN, Front
from pop import Pop
from postoffice import NOBODY, make_maildir

LOOPBACK = ["127.0.0.0/8"]
ADDRESS = 1  # of enum assertion


@pytest.fixture(name="make")
def fixture_make(tmp_path):
    made = []

    def make(**arguments):
        made.append(Front(tmp_path, **arguments))
        return made[-1]

    yield make
    for front in made:
        front.close()


@pytest.mark.parametrize("end", [b"*", b"!", b"A" * 20000])
def test_an_answer_reaches_no_question_that_is_over(make, end):
    """The client ends one talk and begins another in one write: what it says then belongs to
    the new one alone, under a number of its own."""
    front = make()
    client = front.client()
    client.send(b"AUTH CRAM-MD5\r\n")
    first = front.asked()
    assert first.mechanism == CRAM_MD5
    front.challenge(first.session, b"<1.2@mail.example>")
    assert client.line().startswith(b"+ ")
    secret = b"\0tester\0secret"
    client.send(end + b"\r\nAUTH PLAIN\r\n" + base64.b64encode(secret) + b"\r\n")
    assert front.response() == (first.session, 1, b"")
    second = front.asked()
    assert (second.mechanism, second.response) == (PLAIN, secret)
    assert second.session != first.session
    # A yes to what was cancelled finds nobody.
    front.attach(first.session, b"other").close()
    front.fail(second.session)
    assert client.line().startswith(b"-ERR")
    assert client.line() == b"+ "
    assert client.line().startswith(b"-ERR [AUTH]")
    assert client.ask(b"STAT").startswith(b"-ERR")


def test_only_the_proxy_itself_says_xclient(make):
    """Behind a relay the client's own octets follow: it does not name its address itself."""
    front = make(listen=False)
    port = front.listen(xclients=LOOPBACK, asserts=ADDRESS)
    client = front.client(port=port)
    assert client.ask(b"XCLIENT ADDR=192.0.2.8 PORT=4711").startswith(b"+OK")
    assert client.ask(b"XCLIENT ADDR=127.0.0.1").startswith(b"-ERR")
    client.send(b"USER tester\r\nPASS secret\r\n")
    asked = front.asked()
    assert asked.address == bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 8])
    unknown = front.client(port=port)
    assert unknown.ask(b"XCLIENT ADDR=[UNAVAILABLE]").startswith(b"+OK")
    assert unknown.ask(b"XCLIENT ADDR=192.0.2.9").startswith(b"-ERR")


# What a sender can make stand in a maildrop: the last chunk of BDAT need not end a line.
HEADS = [b"Subject: \xc3\xa4", b"Subject: \xc3\xa4\r", b"To: \xff@a\n b@c", b"\xc3\xa4", b"Subject: \xc3\xa4\n \n \n"]


@pytest.mark.anyone
def test_a_header_without_its_end_is_announced_as_it_is_sent(office, base):
    path = make_maildir(base / "box", HEADS)
    users = base / "users"
    users.write_text(f"anna:{{PLAIN}}secret:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{path}\n")
    o = office("--users", users, sets={"utf8_downgrade": "yes"})
    with Pop(o.host, o.pop3) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
        sizes = dict(map(int, x.split()) for x in p.multi("LIST"))
        assert len(sizes) == len(HEADS)
        for n, size in sizes.items():
            assert p.say(f"RETR {n}").startswith(b"+OK %d " % size)
            body = p.body()[:-3]
            assert len(body) == size and max(body) < 0x80, (n, body)
        assert p.say("QUIT").startswith(b"+OK")


@pytest.mark.anyone
def test_a_deny_file_of_a_million_lines_and_more_ends_no_front(office, base):
    """What fronts do not take is not sent to them: the list that was in force stays."""
    users = base / "users"
    path = make_maildir(base / "box", [b"Subject: x\n\ny\n"])
    users.write_text(f"anna:{{PLAIN}}secret:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{path}\n")
    deny = base / "deny"
    deny.write_text("".join(f"{n >> 16}.{n >> 8 & 255}.{n & 255}.7\n" for n in range(1 << 16, 1100000 + (1 << 16))))
    o = office("--users", users, sets={"deny_file": str(deny)})
    o.wait_for_log("what was denied before is denied still")
    with Pop(o.host, o.pop3) as p:
        assert p.login("anna", "secret").startswith(b"+OK")
