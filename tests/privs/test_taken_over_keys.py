"""A restante-keys and a restante-control that were taken over. SECURITY.md says what each can
do; this asserts it."""
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from house import MORE_KIB, USERS, Client, House, good_session, mail_of, resident, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
# What a front waits for a signature, and what a busy machine adds: no second one of those.
DEADLINE, SLACK = 2.0, 1.9


# ---- keys ------------------------------------------------------------------------

KINDS = ["wrong", "silence", "another", "long", "empty", "refused", "garbage"]


@pytest.fixture
def keys(house_dir):
    """One front; certificate i has the name KINDS[i], and is signed for in that way."""
    h = House(house_dir("keys"), USERS, {"fronts": 1}, tls=True,
              evil={"restante-keys": "evil-keys"})
    sections = ""
    for name in KINDS[1:]:
        cert, key = h.base / f"{name}.pem", h.base / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName=DNS:{name}.example", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        sections += f"\n[certificate {name}]\ncertificate = {cert}\nkey = {key}\n"
    h.conf.write_text(h.conf.read_text() + sections)
    with h:
        yield h
        assert h.p.poll() is None
        assert good_session(h) < SLACK


def handshake(h, name):
    """How long it took to fail."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = Client(h.port)
    assert c.say("STLS").startswith(b"+OK")
    c.f.close()
    begun = time.monotonic()
    with pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(c.s, server_hostname=f"{name}.example")
    c.s.close()
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", KINDS)
def test_a_handshake_that_is_not_signed_fails_alone(keys, kind):
    fronts = set(keys.children("restante-front"))
    bystander = Client(keys.port)
    assert bystander.login("anna", "secret").startswith(b"+OK")
    failing = threading.Thread(target=handshake, args=(keys, kind))
    failing.start()
    longest = 0.0
    while failing.is_alive():
        begun = time.monotonic()
        assert bystander.say("NOOP").startswith(b"+OK")
        longest = max(longest, time.monotonic() - begun)
    failing.join()
    waits = kind in ("silence", "another")
    assert longest < (DEADLINE if waits else 0) + SLACK, longest
    # The next ones do not wait again.
    for _ in range(3):
        assert handshake(keys, kind) < SLACK
    assert bystander.say("QUIT").startswith(b"+OK")
    bystander.close()
    assert set(keys.children("restante-front")) == fronts


# ---- control ---------------------------------------------------------------------

@pytest.fixture
def control(house_dir):
    with House(house_dir("control"), USERS, evil={"restante-control": "evil-control"}) as h:
        yield h
        assert h.p.poll() is None
        assert len(mail_of(h, "bert")) == 3
        good_session(h)


def attack(h, line, deadline=30):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(deadline)
        s.connect(str(h.base / "run" / "control"))
        f = s.makefile("rb")
        assert f.readline() == b"EVIL\n"
        s.sendall(line.encode() + b"\n")
        return f.read().decode()


def reads(h):
    c = h.connect()
    assert c.login("bert", "secret").startswith(b"+OK")
    return c


def test_a_flood_of_kicks_ends_nobody_who_is_not_named(control):
    h = control
    fronts, c = set(h.children("restante-front")), reads(h)
    before = resident(h.p.pid)
    assert attack(h, "kick_flood 30000") == "sent=30000"
    assert c.say("NOOP").startswith(b"+OK")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    assert good_session(h, "anna") < 2
    assert set(h.children("restante-front")) == fronts
    assert resident(h.p.pid) < before + MORE_KIB


@pytest.mark.parametrize("flood", ["why_flood 5000", "why_deaf 20000"])
def test_a_flood_of_questions_stops_nobody(control, flood):
    h = control
    good_session(h)
    auth, = h.children("restante-auth")
    before = resident(auth)
    said = attack(h, flood)
    assert int(re.match(r"sent=(\d+)", said)[1]) > 0, said
    assert good_session(h) < 2
    assert resident(auth) < before + MORE_KIB


def test_garbage_to_auth_ends_its_channel_alone(control):
    c = reads(control)
    attack(control, "garbage_to_auth")
    assert good_session(control, "anna") < 2
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


def test_words_of_others_are_not_taken_from_it(control):
    old, = control.children("restante-control")
    attack(control, f"speak_as_others {control.mail}/bert")
    control.wait_for_line("event=process_fault child=restante-control")
    until(lambda: set(control.children("restante-control")) not in (set(), {old}), 60, "replaced")


def test_a_command_that_there_is_not_ends_it(control):
    attack(control, "odd_command 77")
    control.wait_for_line("event=process_fault child=restante-control")


def test_tables_of_sessions_are_read_only_to_it(control):
    assert attack(control, "write_table") in ("refused", "")


def test_it_can_drain_the_server(control):
    """SECURITY.md says so: it ends no session at once, and after a drain there is none."""
    c = reads(control)
    attack(control, "odd_command 2")
    control.wait_for_line("drain")
    c.close()
    until(lambda: control.p.poll() is not None, 60, "drained")
    control.reader.join(60)
    since = len(control.lines)
    control.start()
    control.wait_for_line("serving", since=since)
