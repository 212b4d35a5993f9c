"""Names that no user can have, in every mechanism: just wrong. The answer is the one that an unknown
user and a wrong password get, but for its id, and the server goes on."""
import base64
import hashlib
import hmac
import re
import socket
import ssl
import subprocess

import pytest
from identity_provider import AUDIENCE, ISSUER, Provider
from pop import Pop
from postoffice import make_maildir

pytestmark = pytest.mark.anyone

NAMES = {
    "unknown": b"nobody-of-that-name", "slash": b"/", "dots": b"..", "path": b"../../etc/passwd",
    "absolute": b"/var/mail/anna", "nul": b"anna\0", "nul-inside": b"an\0na", "percent": b"%n%s%x%%",
    "long": b"a" * 8500, "longer-than-a-line": b"a" * 10240, "just-too-long": b"a" * 256, "not-utf8": b"anna\xff\xfe", "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80", "emoji": "\U0001f4ec".encode(), "controls": b"an\x1b[2Jna\x7f",
    "space": b"an na", "colon": b"anna:{PLAIN}x", "quote": b"x' or '1'='1", "star": b"*)(uid=*",
    "unassigned": "\u0378".encode(), "bidi": "a\u05d0b".encode(), "at": b"@", "empty-part": b"anna@",
}
ID = re.compile(rb"\(id [0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{3}\)")
MECHANISMS = ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL",
              "XOAUTH2", "OAUTHBEARER"]
# USER and APOP are lines of words, which end at NUL, blanks and their limit (RFC 2449 s.4).
NO_WORD = {"nul", "nul-inside", "long", "longer-than-a-line", "just-too-long", "space", "controls"}


@pytest.fixture(scope="module")
def provider(module_base):
    with Provider(module_base) as p:
        yield p


@pytest.fixture(scope="module")
def house(provider, module_office, module_base):
    pem = module_base / "both.pem"
    pem.write_text((module_base / "client.pem").read_text() + (module_base / "client.key").read_text())
    der = subprocess.run(["openssl", "x509", "-in", pem, "-outform", "DER"], check=True,
                         capture_output=True).stdout
    box = make_maildir(module_base / "Maildir", [b"Subject: x\n\nx\n"])
    owner = box.stat()
    users = module_base / "users"
    users.write_text(
        f"anna:{{PLAIN}}secret:{owner.st_uid}:{owner.st_gid}::::userdb_mail=maildir:{box}\n"
        f"cert:{{PLAIN}}secret:{owner.st_uid}:{owner.st_gid}::::userdb_mail=maildir:{box} "
        f"certificate={hashlib.sha256(der).hexdigest()}\n"
        f"stamp:{{PLAIN}}secret:{owner.st_uid}:{owner.st_gid}::::userdb_mail=maildir:{box} apop=yes\n")
    users.chmod(0o600)
    o = module_office("--users", users, sets={
        "login_failure_delay": "0", "growing_penalty": "no", "connections_per_address": "500",
        "connections_per_user": "100", "oauth_jwks": provider.url("/keys"), "oauth_ca": provider.ca,
        "oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "pop3s:apop": "yes",
        "pop3s:client_certificates": "ask"})
    o.pem = pem
    return o


def connect(o):
    """With a client certificate."""
    context = ssl.create_default_context(cafile=o.ca)
    context.load_cert_chain(o.pem)
    p = Pop.__new__(Pop)
    p.buffer = b""
    p.s = context.wrap_socket(socket.create_connection((o.host, o.pop3s), 60), server_hostname="localhost")
    p.greeting = p.line()
    return p


def b64(octets):
    return base64.b64encode(octets)


def scram_name(name):
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")


def long_ones(p, mechanism, octets):
    """AUTH with an initial response, on a line of its own where it is long (RFC 5034 s.4)."""
    if len(octets) < 150:
        return p.say(b"AUTH " + mechanism + b" " + b64(octets))
    assert p.say(b"AUTH " + mechanism).startswith(b"+ ")
    return p.say(b64(octets))


def attempt(p, mechanism, name, password, token):
    """The last answer."""
    if mechanism == "USER":
        got = p.say(b"USER " + name)
        return p.say(b"PASS " + password) if got.startswith(b"+OK") else got
    if mechanism == "APOP":
        stamp = re.search(rb"<[^>]+>", p.greeting).group()
        return p.say(b"APOP " + name + b" " + hashlib.md5(stamp + password).hexdigest().encode())
    if mechanism == "PLAIN":
        return long_ones(p, b"PLAIN", b"\0" + name + b"\0" + password)
    if mechanism == "LOGIN":
        assert p.say(b"AUTH LOGIN").startswith(b"+ ")
        got = p.say(b64(name))
        return p.say(b64(password)) if got.startswith(b"+ ") else got
    if mechanism == "CRAM-MD5":
        challenge = base64.b64decode(p.say(b"AUTH CRAM-MD5")[2:])
        return p.say(b64(name + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()))
    if mechanism.startswith("SCRAM"):
        return scram(p, mechanism, scram_name(name), password)
    if mechanism == "EXTERNAL":
        return long_ones(p, b"EXTERNAL", name)
    line = b"user=%s\1auth=Bearer %s\1\1" if mechanism == "XOAUTH2" else b"n,a=%s,\1auth=Bearer %s\1\1"
    got = long_ones(p, mechanism.encode(),
                    line % (name if mechanism == "XOAUTH2" else scram_name(name), token))
    while got.startswith(b"+ "):
        got = p.say(b64(b"\1") if mechanism == "OAUTHBEARER" else b"")
    return got


def scram(p, mechanism, name, password):
    first = b"n=" + name + b",r=rOprNGfwEbeRWgbNEkqO"
    got = long_ones(p, mechanism.encode(), b"n,," + first)
    if not got.startswith(b"+ "):
        return got
    server = base64.b64decode(got[2:])
    fields = dict(x.split(b"=", 1) for x in server.split(b","))
    hash = "sha256" if mechanism.endswith("256") else "sha1"
    salted = hashlib.pbkdf2_hmac(hash, password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    key = hmac.digest(salted, b"Client Key", hash)
    bare = b"c=biws,r=" + fields[b"r"]
    signature = hmac.digest(hashlib.new(hash, key).digest(), first + b"," + server + b"," + bare, hash)
    proof = bytes(x ^ y for x, y in zip(key, signature))
    got = p.say(b64(bare + b",p=" + b64(proof)))
    return p.say(b"") if got.startswith(b"+ ") else got


def right(mechanism):
    return {"EXTERNAL": b"cert", "APOP": b"stamp"}.get(mechanism, b"anna")


def wrong_password(o, mechanism, token):
    """What the others are held against: a user who is there, and what is wrong."""
    name = b"anna" if mechanism == "EXTERNAL" else right(mechanism)
    with connect(o) as p:
        got = attempt(p, mechanism, name, b"wrong", token[:-8] + b"AAAAAAAA")
        assert got.startswith(b"-ERR [AUTH]") and ID.search(got), got
        return ID.sub(b"", got)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_names(house, provider, mechanism):
    token = provider.token(email="anna")
    with connect(house) as p:
        got = attempt(p, mechanism, right(mechanism), b"secret", token)
        assert got.startswith(b"+OK"), got
    want = wrong_password(house, mechanism, token)
    for what, name in NAMES.items():
        since = house.mark()
        with connect(house) as p:
            got = attempt(p, mechanism, name, b"secret", token)
            if mechanism in ("USER", "APOP") and what in NO_WORD:
                assert got.startswith(b"-ERR"), (what, got)
                continue
            if what == "longer-than-a-line":  # in base64 more than the 12 KiB that a response may have
                assert got == b"-ERR line too long\r\n"
                continue
            assert ID.sub(b"", got) == want and ID.search(got), (what, got, want)
            assert p.say("QUIT").startswith(b"+OK"), what
        id = ID.search(got).group()[4:-1].decode()
        line = house.wait_for_log(rf"event=login_failed .*id={id}\b", since=since)
        assert f"mechanism={mechanism} " in line
        assert "user=" not in line or what in ("at", "empty-part"), "it is nobody's name"
    with connect(house) as p:
        assert attempt(p, mechanism, right(mechanism), b"secret", token).startswith(b"+OK")
