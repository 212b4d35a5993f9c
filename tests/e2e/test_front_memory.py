"""What a debugger would find in a front: no password after its login, no private key ever."""
import base64
import pathlib
import re
import socket
import ssl
import subprocess
import time

import pytest

from postoffice import Office, until

PASSWORD = b"Qv9#zKt2!mWx7Lp4$bNc8@Rd"
LINKS = ["plain", "stls", "pop3s"]

# Root may read the memory of a process that is not dumpable.
pytestmark = pytest.mark.skipif(__import__("os").geteuid() != 0, reason="reads the memory of others")


def writable_memory(pid):
    """(what the map is called, its octets)."""
    found = []
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "w" not in line.split()[1]:
                continue
            memory.seek(first)
            at, parts = first, []
            while at < last:
                try:
                    parts.append(memory.read(min(1 << 24, last - at)))
                except OSError:  # a hole of a file
                    break
                at += len(parts[-1])
            found.append((line, b"".join(parts)))
    return found


def places(office, needles):
    """Where any of these stands in a front: (pid, map, name of the needle)."""
    found = []
    pids = office.pids("restante-front")
    assert pids
    for pid in pids:
        for line, octets in writable_memory(pid):
            found += [(pid, line, name) for name, needle in needles.items() if needle in octets]
    return found


def forms(secret):
    """The secret, and what of it shows in base64 wherever it may begin there."""
    needles = {"plain": secret}
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret)
        # What the octets before and behind it have a part in is left out.
        first = (before * 8 + 5) // 6
        needles[f"base64 behind {before}"] = text[first:(before + len(secret)) * 8 // 6]
    return needles


def test_the_forms_are_what_base64_makes():
    for before in range(7):
        for behind in range(4):
            text = base64.b64encode(b"u" * before + PASSWORD + b"v" * behind)
            assert any(form in text for form in list(forms(PASSWORD).values())[1:])


@pytest.fixture(name="office", scope="module")
def fixture_office():
    office = Office(users=[f"anna:{PASSWORD.decode()}"], sets={"plaintext": "always"})
    yield office
    office.stop()


class Client:
    def __init__(self, office, link):
        port = office.pop3s if link == "pop3s" else office.pop3
        self.sock = socket.create_connection((office.host, port), timeout=60)
        self.data = b""
        context = ssl.create_default_context(cafile=office.ca)
        context.check_hostname = False
        if link == "pop3s":
            self.sock = context.wrap_socket(self.sock)
        assert self.line().startswith(b"+OK")
        if link == "stls":
            assert self.ask(b"STLS").startswith(b"+OK")
            self.sock = context.wrap_socket(self.sock)

    def line(self):
        while b"\r\n" not in self.data:
            more = self.sock.recv(4096)
            assert more, self.data
            self.data += more
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def ask(self, text):
        self.sock.sendall(text + b"\r\n")
        return self.line()


def held(office):
    """It is seen where it must be: an unfinished line waits in the front."""
    return until(lambda: places(office, forms(PASSWORD)), 60, "the scan does not find a password that is there")


def gone(office):
    """The answer may come a moment before what was read is wiped."""
    last = {}

    def look():
        last["found"] = places(office, forms(PASSWORD))
        return not last["found"]
    until(look, 60, lambda: f"{last['found']}")


SASL = base64.b64encode(b"\0anna\0" + PASSWORD)
SASL_LONG = base64.b64encode(b"anna\0anna\0" + PASSWORD)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("lines", [
    [b"USER anna", b"PASS " + PASSWORD],
    [b"AUTH PLAIN " + SASL],
    [b"AUTH PLAIN", SASL],
    [b"AUTH PLAIN " + SASL_LONG],
    [b"AUTH LOGIN", base64.b64encode(b"anna"), base64.b64encode(PASSWORD)],
], ids=["pass", "plain", "plain-two-lines", "plain-authzid", "login"])
def test_no_password_stays_behind_a_login(office, link, lines):
    client = Client(office, link)
    for line in lines[:-1]:
        assert client.ask(line)[:2] in (b"+O", b"+ ")
    client.sock.sendall(lines[-1])
    assert held(office)
    assert client.ask(b"").startswith(b"+OK"), office.log()
    gone(office)
    assert client.ask(b"NOOP").startswith(b"+OK")
    assert client.ask(b"QUIT").startswith(b"+OK")
    gone(office)


@pytest.mark.parametrize("link", LINKS)
def test_nor_where_more_came_with_it_or_it_was_refused(office, link):
    client = Client(office, link)
    client.sock.sendall(b"USER nobody\r\nPASS " + PASSWORD + b"\r\nUSER anna\r\nPASS " + PASSWORD +
                        b"\r\nSTAT\r\nNOO")
    assert [client.line()[:1] for _ in range(5)] == [b"+", b"-", b"+", b"+", b"+"]
    gone(office)
    client.sock.close()


# ---- the private key ------------------------------------------------------------------------

def key_forms(path):
    """PEM text, and the private number as DER and as a library keeps it in memory."""
    pem = path.read_bytes()
    body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-"))
    text = subprocess.run(["openssl", "pkey", "-in", str(path), "-noout", "-text"], check=True,
                          capture_output=True).stdout.decode()
    digits = re.search(r"(?:priv|privateExponent):\s*((?:[0-9a-f]{2}:?\s*)+)", text).group(1)
    number = bytes.fromhex(re.sub(r"[^0-9a-f]", "", digits)).lstrip(b"\0")
    first = pem.splitlines()[2] if len(body) > 200 else pem.splitlines()[1]
    return {"PEM": first, "DER": number, "limbs": number[::-1], "whole DER": base64.b64decode(body)}


def keys_of(office):
    found = [p for p in office.dir.rglob("*.pem") if b"PRIVATE KEY" in p.read_bytes()]
    found += [p for p in office.dir.rglob("*.key") if b"PRIVATE KEY" in p.read_bytes()]
    assert found
    return found


def handshake(office):
    for link in LINKS[1:]:
        assert Client(office, link).ask(b"QUIT").startswith(b"+OK")


def test_a_front_holds_no_private_key(office):
    handshake(office)
    for key in keys_of(office):
        assert not places(office, key_forms(key))


def test_without_a_process_for_keys_the_scan_finds_it():
    """So that the test above is known to look at the right place."""
    office = Office(users=["anna:pw"], sets={"key_process": "no"})
    try:
        handshake(office)
        found = {name for key in keys_of(office) for _, _, name in places(office, key_forms(key))}
        assert "limbs" in found or "DER" in found
        assert "PEM" not in found
    finally:
        office.stop()


def test_key_and_password_are_not_mixed_up(office):
    """A scan for what is nowhere finds nothing, for what is everywhere finds it."""
    assert not places(office, {"random": b"\x93Nowhere" + str(time.time_ns()).encode() + PASSWORD})
    assert places(office, {"host": b"restante"}) or places(office, {"name": b"Restante"})
