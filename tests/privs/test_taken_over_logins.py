"""A front that was taken over, and what it says to auth, to keys and in its table of sessions;
an auth that says odd things to fronts. SECURITY.md says what that can do; this asserts it."""
import base64
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time

import pytest

from house import (MAIL, MORE_KIB, USERS, Client, House, descriptors, free_port, good_session,
                   mail_of, resident, until)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
FINGERPRINT = "5a" * 32
PEOPLE = USERS | {
    "cert": ("secret", 5005, list(MAIL), f"certificate={FINGERPRINT}"),
    "nets": ("secret", 5006, list(MAIL), "allow_nets=10.1.2.0/24 tls=yes")}
# What a process may grow by; a sanitizer keeps what was freed for a while.
BAD_CONTENT = 1


@pytest.fixture
def house(house_dir):
    with House(house_dir("words"), PEOPLE, tls=True, evil={"restante-front": "evil-front"}) as h:
        yield h
        assert h.p.poll() is None
        assert len(mail_of(h, "bert")) == 3
        good_session(h)


def one(house, program):
    pid, = house.children(program)
    return pid


# ---- what it asserts -------------------------------------------------------------

@pytest.mark.parametrize("name", ["cert", "anna"])
def test_a_certificate_that_it_may_not_assert(house, name):
    assert house.attack(f"assert_certificate {name} {FINGERPRINT}") == "refused"
    house.wait_for_line("event=protocol_fault .*a certificate that it may not assert")


def test_a_certificate_that_it_may_assert_is_its_word(house_dir):
    """On listeners with client certificates, and for users whose record holds it; nobody else."""
    port = free_port()
    listeners = {"pop3": f"address = 127.0.0.1:{free_port()}",
                 "certs": f"address = 127.0.0.1:{port}\nclient_certificates = ask"}
    with House(house_dir("certs"), PEOPLE, {"fronts": 1}, tls=True, listeners=listeners,
               evil={"restante-front": "evil-front"}) as h:
        h.port = port
        assert h.attack(f"assert_certificate cert {FINGERPRINT}") == "attached"
        for name, fingerprint in (("anna", FINGERPRINT), ("cert", "5b" * 32), ("nobody", FINGERPRINT)):
            assert h.attack(f"assert_certificate {name} {fingerprint}") == "refused"


def test_address_and_tls_are_its_word(house):
    """So a user's networks and the need for TLS bind honest fronts; the password binds all."""
    c = house.connect()
    assert c.login("nets", "secret").startswith(b"-ERR [AUTH]")
    c.close()
    assert house.attack("assert_address nets wrong") == "refused"
    assert house.attack("assert_address nets secret") == "attached"


# ---- conversations ---------------------------------------------------------------

def encoded(text):
    return base64.b64encode(text.encode()).decode()


@contextlib.contextmanager
def conversation(house):
    """On an honest front, at the challenge for the password of bert; who must get in with it."""
    c = house.connect()
    assert c.say("AUTH LOGIN").startswith(b"+ ")
    assert c.say(encoded("bert")).startswith(b"+ ")
    yield
    assert c.say(encoded("secret")).startswith(b"+OK")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


def test_an_answer_for_others_is_none(house):
    with conversation(house):
        assert house.attack("respond_for_others") == "silence"


def test_open_conversations_are_bounded(house):
    good_session(house)
    auth = one(house, "restante-auth")
    before = resident(auth)
    with conversation(house):
        said = re.fullmatch(r"challenges=(\d+) ended=(\d+)", house.attack("talks 6000", 60))
        assert int(said[1]) == 6000 and 6000 - int(said[2]) == 2048, said[0]
        assert resident(auth) < before + MORE_KIB
        assert good_session(house) < 2


def test_a_challenge_is_answered_once(house):
    assert house.attack("answer_twice anna secret") == "refused"


def test_a_login_within_a_login_begins_anew(house):
    assert house.attack("login_within anna secret") in ("refused", "anew")


@pytest.mark.parametrize("attack", ["stamp_flood 100000", "stamp_flood 20000 read"])
def test_a_flood_of_stamps_stops_nobody(house, attack):
    good_session(house)
    auth = one(house, "restante-auth")
    before = resident(auth)
    assert int(house.attack(attack, 60).removeprefix("sent=")) > 0
    assert good_session(house) < 5
    assert resident(auth) < before + MORE_KIB


# ---- refusals --------------------------------------------------------------------

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def refused(house):
    """The id of a refusal that an honest front told its client, and its number."""
    c = house.connect()
    text = re.search(rb"\(id (\w{4}-\w{3})\)", c.login("bert", "wrong"))[1].decode()
    c.close()
    number = 0
    for digit in text.replace("-", ""):
        number = number * 32 + ALPHABET.index(digit)
    return text, number & 0xFFFFFFFF


def why(house, text):
    """Refused is status 1, with what is known of it on standard output."""
    got = subprocess.run([house.bin / "restante", "why", text, "-c", house.conf], timeout=60,
                         capture_output=True, text=True)
    assert got.returncode == 1, got
    return got.stdout


def is_known(house, text):
    """The same; nothing where it is not remembered."""
    got = subprocess.run([house.bin / "restante", "why", text, "-c", house.conf], timeout=60,
                         capture_output=True, text=True)
    return got.stdout


def test_ids_of_refusals_are_the_front_s_word(house):
    """It can hide what was refused elsewhere, where it knows the id; a login it is not."""
    text, number = refused(house)
    said = why(house, text)
    assert "credentials" in said and "bert" in said
    assert house.attack(f"lie_about_refusal {number}") == "said"
    until(lambda: "in_use" in why(house, text), 60, "told otherwise")


def test_a_flood_of_lies_about_refusals(house):
    good_session(house)
    auth = one(house, "restante-auth")
    before = resident(auth)
    assert int(house.attack("lie_flood", 60).removeprefix("sent=")) > 0
    assert good_session(house) < 2
    assert resident(auth) < before + MORE_KIB
    # Auth may still be reading lies, more than it remembers: then once more.
    until(lambda: "bert" in is_known(house, refused(house)[0]), 60, "a refusal is not found")


def test_a_refusal_that_there_is_not_ends_its_channel_alone(house):
    with conversation(house):
        assert house.attack("lie_oddly") == "end"
        assert house.attack("login_as anna secret") == "no-auth"


# ---- signatures ------------------------------------------------------------------

def test_it_gets_signatures_of_handshakes(house):
    """SECURITY.md says so: while it lasts it can be the server to whom it likes."""
    assert house.attack("sign_handshake") == "signed"


@pytest.mark.parametrize("attack", ["sign_as_client", "sign_digest", "sign_text", "sign_garbage"])
def test_nothing_else_is_signed(house, attack):
    assert house.attack(attack) == f"error={BAD_CONTENT}"
    house.wait_for_line("event=signature_refused .*not of a handshake")


def certificate(house):
    """What an honest front shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = house.connect()
    assert c.say("STLS").startswith(b"+OK")
    c.f.close()
    with context.wrap_socket(c.s) as s:
        return s.getpeercert(True)


def test_a_front_that_refuses_all_certificates_refuses_for_itself(house):
    old, before = certificate(house), len(house.lines)
    house.certificate()
    said = []
    attack = threading.Thread(target=lambda: said.append(house.attack("refuse_certificates")))
    attack.start()
    house.p.send_signal(signal.SIGHUP)
    house.wait_for_line("configuration was read again", since=before)
    attack.join()
    assert said == ["refused"]
    until(lambda: certificate(house) != old, 60, "in force")
    assert not any("no process can use" in line for line in house.lines[before:])


def handshake(house):
    """TLS with an honest front; how long it took."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = house.connect()
    begun = time.monotonic()
    assert c.say("STLS").startswith(b"+OK")
    c.f.close()
    with context.wrap_socket(c.s) as s:
        s.sendall(b"QUIT\r\n")
        assert s.recv(100).startswith(b"+OK")
    return time.monotonic() - begun


def test_a_flood_of_signatures_is_limited_and_stops_no_handshake(house):
    handshake(house)
    said = []
    flood = threading.Thread(target=lambda: said.append(house.attack("sign_flood", 30)))
    flood.start()
    times = []
    while flood.is_alive():
        times.append(handshake(house))
    flood.join()
    m = re.fullmatch(r"signed=(\d+) refused=(\d+)", said[0])
    # At once 4000, and 2000 a second.
    assert 0 < int(m[1]) <= 4000 + 2000 * 4, said[0]
    assert times and max(times) < 2, times


# ---- the table of sessions -------------------------------------------------------

def who(house, front=None):
    """Rows of `restante who`, in both forms the same; nothing in them obeys or begins a line."""
    text = house.restante("who")
    rows = json.loads(house.restante("who", "--json"))
    assert all(c == "\n" or " " <= c < "\x7f" for c in text)
    for line in text.splitlines():
        assert re.match(r'user="[^"\\]*(\\.[^"\\]*)*" address=\S+ port=\d+ since=\S+ tls=(yes|no) '
                        r"mechanism=[\w-]+ messages=\d+ retrieved=\d+ marked=\d+ octets=\d+ "
                        r"front=\d+ session=\d+$", line), line
    return rows


@contextlib.contextmanager
def reader(house, name="bert"):
    """A session on an honest front that is there before and after."""
    c = house.connect()
    assert c.login(name, "secret").startswith(b"+OK")
    yield c
    assert c.say("NOOP").startswith(b"+OK")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


def test_names_in_its_table_are_shown_as_text(house):
    with reader(house):
        assert house.attack("who_names 50") == "rows=50"
        rows = who(house)
        assert len(rows) == 51
        forged = [r for r in rows if r["user"] != "bert"]
        assert len({r["front"] for r in forged}) == 1 and len(forged) == 50
        assert forged[0]["user"].startswith("\x1b[31m\n\"user\"")


def test_a_full_table_is_shown(house):
    with reader(house):
        n = int(house.attack("who_names 1000000").removeprefix("rows="))
        assert len(who(house)) == n + 1


@pytest.mark.parametrize("attack", ["who_noise", "who_odd"])
def test_a_table_of_noise(house, attack):
    with reader(house):
        assert house.attack(attack) == "said"
        rows = who(house)
        assert [r for r in rows if r["user"] == "bert"]
        if attack == "who_odd":
            assert len(rows) == 1


def test_a_table_that_changes_while_it_is_read(house):
    with reader(house):
        spin = threading.Thread(target=lambda: house.attack("who_spin"))
        spin.start()
        while spin.is_alive():
            assert len([r for r in who(house) if r["user"] == "bert"]) == 1
        spin.join()


def test_a_kick_reaches_the_front_alone_that_claims_the_session(house):
    """`who` and `kick` rest on the front's word about its own sessions, and on no other's."""
    with reader(house):
        house.attack("who_claim carl 100")
        assert house.restante("kick", "carl") == "kicked 100\n"


# ---- an auth ---------------------------------------------------------------------

@pytest.fixture(scope="module")
def lying_auth(house_dir):
    names = ("good", "meddle", "offers", "twoend")
    with House(house_dir("auth"), {n: ("x", 5000, list(MAIL)) for n in names},
               {"login_timeout": "4s"}, evil={"restante-auth": "evil-auth"}) as h:
        yield h


def granted(h, name):
    c = Client(h.port)
    try:
        said = c.login(name, "x")
        # With the answer to QUIT the maildrop is free for the next one.
        return said.startswith(b"+OK") and c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()


@pytest.mark.parametrize("lie", ["manyconnections", "longdelay", "longexpire", "tlstwo"])
def test_a_permit_with_absurd_limits(lying_auth, lie):
    c = Client(lying_auth.port)
    assert c.login(lie, "x").startswith(b"-ERR [SYS/PERM]")
    c.close()
    assert granted(lying_auth, "good")


@pytest.mark.parametrize("lie", ["challenge", "hugechallenge", "oddcode"])
def test_an_answer_that_fits_no_question(lying_auth, lie):
    fronts = set(lying_auth.children("restante-front"))
    c = Client(lying_auth.port)
    assert c.login(lie, "x").startswith(b"-ERR"), lie
    c.close()
    assert granted(lying_auth, "good")
    assert set(lying_auth.children("restante-front")) == fronts


@pytest.mark.parametrize("lie", ["meddle", "offers"])
def test_words_for_sessions_of_others(lying_auth, lie):
    fronts = set(lying_auth.children("restante-front"))
    bystander = Client(lying_auth.port)
    assert bystander.login("good", "x").startswith(b"+OK")
    assert granted(lying_auth, lie)
    assert bystander.say("STAT").startswith(b"+OK 3 ")
    bystander.close()
    c = Client(lying_auth.port)
    assert all(re.fullmatch(rb"[ -~]+\r\n", line) for line in c.multi("CAPA"))
    c.close()
    assert set(lying_auth.children("restante-front")) == fronts


def test_a_delay_without_end_holds_that_client_alone(lying_auth):
    c = Client(lying_auth.port)
    c.say("USER longwait")
    c.s.sendall(b"PASS x\r\n")
    for _ in range(20):
        assert granted(lying_auth, "good")
    c.close()
    fronts = lying_auth.children("restante-front")
    until(lambda: all(descriptors(p) < 60 for p in fronts), 60, "let go")
