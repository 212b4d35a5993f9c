"""Unknown users and wrong passwords take the same time, from end to end: each mechanism, each
kind of stored password. (test_auth_process.py measures auth alone.)"""
import base64
import hashlib
import hmac
import itertools
import secrets
import time

import pytest

from pop import Pop
from postoffice import NOBODY
from test_auth_process import crypt_hash, take_as_long

TRIES = 400
SALT, ROUNDS = b"0123456789abcdef", 4096


def b64(octets):
    return base64.b64encode(octets).decode()


def scram_keys(password):
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), SALT, ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return (f"{{SCRAM-SHA-256}}{ROUNDS},{b64(SALT)},{b64(hashlib.sha256(client).digest())},"
            f"{b64(hmac.digest(salted, b'Server Key', 'sha256'))}")


STORED = {
    "plain": lambda: "{PLAIN}secret",
    # As slow as it is by default, only less so: 800 of them are to be computed.
    "yescrypt": lambda: crypt_hash("secret", "$y$j75$saltsaltsaltsalt"),
    "scram": lambda: scram_keys("secret"),
}


def wrong_user(c, name):
    assert c.say(f"USER {name}").startswith(b"+OK")
    return c.say("PASS wrong")


def wrong_plain(c, name):
    return c.say("AUTH PLAIN " + b64(f"\0{name}\0wrong".encode()))


def wrong_cram(c, name):
    challenge = c.say("AUTH CRAM-MD5")
    assert challenge.startswith(b"+ ")
    return c.say(b64(f"{name} {secrets.token_hex(16)}".encode()))


def wrong_scram(c, name):
    """The arithmetic of the client is no part of the time: any proof of the right size."""
    nonce = secrets.token_urlsafe(18)
    server = c.say("AUTH SCRAM-SHA-256 " + b64(f"n,,n={name},r={nonce}".encode()))
    assert server.startswith(b"+ "), server
    fields = dict(x.split(b"=", 1) for x in base64.b64decode(server[2:]).split(b","))
    assert int(fields[b"i"]) >= ROUNDS
    return c.say(b64(b"c=biws,r=" + fields[b"r"] + b",p=" + base64.b64encode(bytes(32))))


WAYS = {"PASS": wrong_user, "PLAIN": wrong_plain, "CRAM-MD5": wrong_cram,
        "SCRAM-SHA-256": wrong_scram}


@pytest.mark.parametrize("stored,way", [
    *itertools.product(["plain"], WAYS), ("yescrypt", "PASS"), ("yescrypt", "PLAIN"),
    ("scram", "SCRAM-SHA-256")])
def test_unknown_users_and_wrong_passwords_take_as_long(office, base, stored, way):
    # Each name once: what an account has behind it plays no part.
    (base / "users").write_text("".join(
        f"user{i:03d}:{STORED[stored]()}:{NOBODY}:{NOBODY}::{base}::\n" for i in range(TRIES)))
    (base / "users").chmod(0o644)
    o = office("--users", base / "users", sets={
        "fronts": 1, "login_failure_delay": "0", "max_login_failures": 100})
    times, texts = {"user": [], "none": []}, set()
    for i in range(TRIES):
        if i % 40 == 0:
            c = Pop(o.host, o.pop3)
            WAYS[way](c, f"warm{i:03d}")  # what only the first login of a connection costs
        for kind in ("user", "none") if i % 2 else ("none", "user"):
            begun = time.perf_counter()
            said = WAYS[way](c, f"{kind}{i:03d}")
            times[kind].append(time.perf_counter() - begun)
            assert said.startswith(b"-ERR [AUTH]"), said
            texts.add((said.split(b"(id ")[0], len(said)))
        if i % 40 == 39:
            c.close()
    assert len(texts) == 1, texts
    known, unknown = (sorted(times[k])[TRIES // 2] for k in ("user", "none"))
    print(f"{way} {stored}: known {1000 * known:.3f} ms, unknown {1000 * unknown:.3f} ms")
    assert take_as_long(times["user"], times["none"]), (known, unknown)
