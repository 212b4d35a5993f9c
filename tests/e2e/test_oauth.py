"""restante-auth-oauth in its cage, with an identity provider on loopback."""
import base64
import hashlib
import hmac
import json
import pathlib
import socket
import threading
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import ticket_office
from helper_alone import (LANDLOCK, NAME, NO_USER, SECCOMP, TEMPORARY, WRONG, Failed, Helper)
from identity_provider import AUDIENCE, ISSUER, Key, Provider, b64, claims
from postoffice import until

ANNA = b"anna@example.test"


@pytest.fixture(scope="module")
def place(module_base):
    return pathlib.Path(module_base)


@pytest.fixture
def provider(place):
    with Provider(place) as p:
        yield p


@pytest.fixture
def start():
    made = []

    def make(timeout_ms=60000, **options):
        made.append(Helper("oauth", {
            "oauth_issuer": ISSUER, "oauth_audience": f"other {AUDIENCE}",
            "oauth_user_claim": "email", "oauth_jwks_cache": "10m", **options},
            timeout_ms=timeout_ms))
        return made[-1]
    yield make
    for h in made:
        assert h.done() == 0


def by_url(start, provider, **more):
    return start(oauth_jwks=provider.url("/keys"), oauth_ca=provider.ca, **more)


def refused(a, words=b""):
    assert (a.outcome, a.name, a.valid_s) == (WRONG, b"", 0) and words in a.reason, a


def test_good_token(provider, start):
    h = by_url(start, provider)
    assert h.cage & SECCOMP and h.cage & LANDLOCK
    for name in (b"", ANNA):
        a = h.token(name, provider.token())
        assert (a.outcome, a.name, a.line, a.octets) == (NAME, ANNA, b"", b""), a
        assert 590 <= a.valid_s <= 600
    for name in (b"berta@example.test", b"anna", b"Anna@example.test", b"x" * 1024):
        refused(h.token(name, provider.token()), b"another user")
    assert h.token(b"", provider.token(aud=["x", AUDIENCE])).outcome == NAME
    assert provider.asked("/keys") == 1
    assert h.verify(ANNA, b"x").outcome == NO_USER
    assert h.lookup(ANNA).outcome == NO_USER


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_algorithms(place, start, algorithm):
    key, other = Key(algorithm, "k"), Key(algorithm, "k")
    path = place / f"keys-{algorithm}"
    path.write_text(json.dumps({"keys": [key.jwk(alg=algorithm)]}))
    h = start(oauth_jwks=path)
    good = key.token(claims())
    assert h.token(b"", good).name == ANNA
    refused(h.token(b"", other.token(claims())), b"signature is wrong")
    head, body, signature = good.split(b".")
    refused(h.token(b"", b".".join((head, b64(json.dumps(claims(email="berta")).encode()),
                                    signature))), b"signature is wrong")
    raw = base64.urlsafe_b64decode(signature + b"==")
    for wrong in (raw[:-1], raw + b"\0", bytes(len(raw)), raw[:-1] + bytes([raw[-1] ^ 1]), b""):
        refused(h.token(b"", b".".join((head, body, b64(wrong)))), b"signature")


@pytest.mark.parametrize("more, words", [
    ({"iss": "https://evil.example.test/"}, b"issuer"), ({"iss": None}, b"issuer"),
    ({"iss": [ISSUER]}, b"issuer"), ({"iss": ISSUER[:-1]}, b"issuer"),
    ({"aud": "someone"}, b"audience"), ({"aud": None}, b"audience"),
    ({"aud": ["a", "b"]}, b"audience"), ({"aud": {"x": AUDIENCE}}, b"audience"),
    ({"exp": lambda now: now - 61}, b"run out"), ({"exp": None}, b"never"),
    ({"exp": "9999999999"}, b"number"), ({"exp": -1}, b"number"), ({"exp": 1e30}, b"number"),
    ({"nbf": lambda now: now + 300}, b"not valid yet"), ({"nbf": "x"}, b"number"),
    ({"iat": lambda now: now + 300}, b"future"),
    ({"scope": "openid"}, b"scope"), ({"scope": None}, b"scope"), ({"scope": "pop33"}, b"scope"),
    ({"email": None}, b"claim"), ({"email": ""}, b"claim"), ({"email": ["a"]}, b"claim"),
    ({"email": "a b"}, b"blanks"), ({"email": "a:b"}, b"colons"), ({"email": "a\nb"}, b"blanks"),
    ({"email": "x" * 256}, b"255"), ({"email_verified": False}, b"verify"),
    ({"email_verified": "false"}, b"verify"), ({"email_verified": 0}, b"verify"),
    ({"email_verified": []}, b"verify")])
def test_claims(provider, start, more, words):
    h = by_url(start, provider, oauth_scope="pop3, openid")
    now = int(time.time())
    more = {k: v(now) if callable(v) else v for k, v in more.items()}
    refused(h.token(b"", provider.token(**more)), words)


def test_leeway_and_lists(provider, start):
    h = by_url(start, provider, oauth_scope="pop3")
    now = int(time.time())
    a = h.token(b"", provider.token(exp=now - 30))
    assert (a.outcome, a.valid_s) == (NAME, 0)
    assert h.token(b"", provider.token(nbf=now + 30, iat=now + 30)).outcome == NAME
    assert h.token(b"", provider.token(scope=None, scp=["pop3"])).outcome == NAME
    assert h.token(b"", provider.token(exp=now + 100.5)).outcome == NAME
    h = by_url(start, provider, oauth_user_claim="preferred_username, sub")
    assert h.token(b"", provider.token()).name == b"4711"
    assert h.token(b"", provider.token(preferred_username="berta")).name == b"berta"


def test_forgeries(provider, start):
    rsa_key = Key("RS256", "rsa")
    provider.keys.append(rsa_key)
    h = by_url(start, provider)
    first = provider.keys[0]
    assert h.token(b"", rsa_key.token(claims())).outcome == NAME
    body = b64(json.dumps(claims()).encode())

    def forged(header, signature=b""):
        return b64(json.dumps(header).encode()) + b"." + body + b"." + signature
    for none in ("none", "None", "NONE", "nOnE", ""):
        refused(h.token(b"", forged({"alg": none})))
        refused(h.token(b"", forged({"alg": none, "kid": "rsa"}, b"AAAA")), b"algorithm")
    # The public key as if it were a secret that both know (RFC 8725 s.2.1).
    pem = rsa_key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, provider.jwks().encode(), b"", rsa_key.jwk()["n"].encode()):
        text = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode()) + b"." + body
        mac = hmac.new(secret, text, hashlib.sha256).digest()
        refused(h.token(b"", text + b"." + b64(mac)), b"algorithm")
    # A key of one kind with the algorithm of another, and a key that the token brings.
    refused(h.token(b"", first.token(claims(), {"kid": "rsa"})), b"signature is wrong")
    refused(h.token(b"", rsa_key.token(claims(), {"alg": "PS256"})), b"signature is wrong")
    refused(h.token(b"", rsa_key.token(claims(), {"alg": "ES256"})), b"signature is wrong")
    mine = Key("ES256", "first")
    refused(h.token(b"", mine.token(claims(), {"jwk": mine.jwk(), "jku": "https://evil/"})))
    refused(h.token(b"", first.token(claims(), {"crit": ["exp"]})), b"critical")
    refused(h.token(b"", first.token(claims(), {"kid": 7})), b"kid")
    # Without a kid nothing is guessed where two might do; here one of each kind.
    assert h.token(b"", first.token(claims(), {"kid": None})).outcome == NAME


def test_malformed(provider, start):
    h = by_url(start, provider)
    good = provider.token()
    head, body, signature = good.split(b".")
    twice = b'{"email":"berta@example.test","email":"anna@example.test","iss":"%s","aud":"%s",' \
        b'"exp":%d}' % (ISSUER.encode(), AUDIENCE.encode(), time.time() + 60)
    key = provider.keys[0]
    for token, words in (
            (b"", b"three parts"), (b"a.b", b"three parts"), (good + b".x", b"three parts"),
            (b".." + signature, b"header"), (head + b"." + body + b".", b"signature"),
            (good + b"=", b"base64url"), (good + b"\n", b"base64url"), (good + b"\0", b"base64url"),
            (good.replace(b".", b"..", 1), b"three parts"), (b"\xff" + good, b"header"),
            (b"x" * 12288, b"three parts"), (key.token(twice), b"claims"),
            (key.token(b"[]"), b"claims"), (key.token(b"{} {}"), b"claims"),
            (key.token(b'{"email":"\\u0000"}'), b"claims"), (key.token(b"[" * 8000), b"claims")):
        refused(h.token(b"", token), words)
    a = h.token(b"", key.token(claims(pad="x" * 8000)))
    assert a.outcome == NAME


@pytest.mark.parametrize("typ, good", [
    ("JWT", True), ("jwt", True), ("at+jwt", True), ("AT+JWT", True), ("application/at+jwt", True),
    ("Application/AT+JWT", True), (None, True), ("logout+jwt", False), ("secevent+jwt", False),
    ("application/logout+jwt", False), ("dpop+jwt", False), ("id+jwt", False), ("", False),
    ("at+jwt ", False), ("JOSE", False), (7, False), (["JWT"], False)])
def test_types(provider, start, typ, good):
    """What is signed by the same key for another purpose lets nobody in."""
    h = by_url(start, provider)
    a = h.token(b"", provider.keys[0].token(claims(), {"typ": typ}))
    if good:
        assert (a.outcome, a.name) == (NAME, ANNA)
    else:
        refused(a, b"another kind of token")


def test_unknown_kids_while_the_provider_swallows(provider, start):
    """It takes connections and never says a word: the helper waits for it once, not at each."""
    h = by_url(start, provider, timeout_ms=1500)
    good = provider.token()
    until(lambda: h.token(b"", good).outcome == NAME)
    provider.stop()
    with socket.create_server(("127.0.0.1", provider.port), backlog=64) as silent:
        a = h.token(b"", Key("ES256", "made-up").token(claims()))
        assert (a.outcome, a.name) == (TEMPORARY, b"") and b"cannot be had" in a.reason
        strangers = [Key("ES256", f"made-up-{i}").token(claims()) for i in range(20)]
        begun = time.monotonic()
        # Longer than the pause after a try that failed.
        while time.monotonic() - begun < 6:
            asked = time.monotonic()
            for stranger in strangers:
                assert h.token(b"", stranger).outcome == TEMPORARY
            assert h.token(b"", good).outcome == NAME
            assert time.monotonic() - asked < 12, "twenty tries take 24 s"
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_rotation(provider, start):
    h = by_url(start, provider)
    old = provider.keys[0]
    assert h.token(b"", provider.token()).outcome == NAME
    new = Key("EdDSA", "second")
    provider.keys = [new]
    assert h.token(b"", new.token(claims())).outcome == NAME
    assert provider.asked("/keys") == 2
    refused(h.token(b"", old.token(claims())), b"kid")
    # Strangers make us fetch once a minute at most.
    for i in range(20):
        refused(h.token(b"", Key("EdDSA", f"made-up-{i}").token(claims())), b"kid")
    assert provider.asked("/keys") == 2
    assert h.token(b"", new.token(claims())).outcome == NAME


def test_keys_run_out(provider, start):
    h = by_url(start, provider, oauth_jwks_cache="1s")
    assert h.token(b"", provider.token()).outcome == NAME
    # It fetches ahead by itself, while nobody asks.
    until(lambda: provider.asked("/keys") >= 3)
    gone = provider.keys[0]
    provider.keys = [Key("ES256", "second")]
    until(lambda: h.token(b"", gone.token(claims())).outcome != NAME)
    refused(h.token(b"", gone.token(claims())))


def recovers(h, token):
    return until(lambda: h.token(b"", token).outcome == NAME, tick=0.1)


def test_provider_goes_and_comes(provider, start):
    h = by_url(start, provider, oauth_jwks_cache="1s")
    token = provider.token()
    assert h.token(b"", token).outcome == NAME
    provider.stop()
    until(lambda: h.token(b"", token).outcome != NAME)
    a = h.token(b"", token)
    assert (a.outcome, a.name) == (TEMPORARY, b"") and b"cannot be had" in a.reason
    # Nobody is let in meanwhile, whatever he brings.
    assert h.token(b"", Key("ES256", "first").token(claims())).outcome == TEMPORARY
    provider.start()
    assert recovers(h, token)
    assert any(e == "oauth_keys" for e, _ in h.logged())
    assert not any(token[:40] in v for _, pairs in h.logged() for v in pairs.values())


def test_provider_that_is_not_there_at_first(provider, start):
    provider.stop()
    h = by_url(start, provider)
    assert h.token(b"", provider.token()).outcome == TEMPORARY
    provider.start()
    assert recovers(h, provider.token())


@pytest.mark.parametrize("answer", [
    (500, b"{}"), (404, b""), (200, b""), (200, b"{}"), (200, b'{"keys":{}}'),
    (200, b'{"keys":[]}'), (200, b'{"keys":[{"kty":"oct","k":"AAAA","kid":"first"}]}'),
    (200, b"x" * 300000), (200, b'{"keys":[' + b'{},' * 80000 + b"{}]}"),
    (200, b'{"keys":[],"keys":[]}')])
def test_bad_key_sets(provider, start, answer):
    h = by_url(start, provider)
    provider.answer = answer
    a = h.token(b"", provider.token())
    assert (a.outcome, a.name) == (TEMPORARY, b""), a


def test_weak_and_broken_keys(place, start):
    path = place / "weak"
    weak, point = Key("RS256", "weak", 1024), Key("ES256", "point")
    for key, more in ((weak, {}), (point, {"x": b64(bytes(32)).decode()}),
                      (point, {"y": "AAAA"}), (Key("EdDSA", "short"), {"x": "AAAA"})):
        path.write_text(json.dumps({"keys": [key.jwk(**more)]}))
        h = start(oauth_jwks=path)
        assert h.token(b"", key.token(claims())).outcome == TEMPORARY
    for more in ({"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "ES384"}):
        path.write_text(json.dumps({"keys": [point.jwk(**more), Key("EdDSA", "k").jwk()]}))
        h = start(oauth_jwks=path)
        refused(h.token(b"", point.token(claims())))


def test_slow_provider(provider, start):
    provider.delay = threading.Event()
    h = by_url(start, provider, timeout_ms=1500)
    begun = time.monotonic()
    assert h.token(b"", provider.token()).outcome == TEMPORARY
    assert time.monotonic() - begun < 20
    provider.delay.set()
    assert recovers(h, provider.token())


def test_whom_it_asks(provider, place, start):
    # A certificate that nobody vouches for, a redirect: neither is followed.
    h = start(oauth_jwks=provider.url("/keys"))
    assert h.token(b"", provider.token()).outcome == TEMPORARY
    assert provider.asked("/keys") == 0
    h = start(oauth_jwks=provider.url("/moved"), oauth_ca=provider.ca)
    assert h.token(b"", provider.token()).outcome == TEMPORARY
    assert (provider.asked("/moved"), provider.asked("/keys")) == (1, 0)
    with Provider(place, tls=False) as plain:
        h = start(oauth_jwks=plain.url("/keys"))
        assert h.token(b"", plain.token()).outcome == NAME


@pytest.mark.parametrize("url", [
    "http://example.test/keys", "http://10.0.0.1/keys", "http://127.0.0.1.example.test/",
    "http://localhost.example.test/", "file:///etc/passwd", "ftp://localhost/x", "keys.json",
    "https://user:word@localhost/", "https://localhost/#x", "http://127.0.0.1@example.test/"])
def test_urls_that_are_refused(start, url):
    with pytest.raises(Failed, match="https URL"):
        start(oauth_jwks=url)


def test_bad_settings(start, place):
    path, empty, public = place / "settings", place / "empty.pem", place / "public"
    path.write_text("{}")
    empty.write_text("")
    public.write_text("secret\n")
    public.chmod(0o644)
    for options, words in (
            ({"oauth_jwks": path, "oauth_ca": empty}, "empty"),
            ({"oauth_introspection": "https://x/", "oauth_secret_file": public}, "chmod"),
            ({}, "either"), ({"oauth_jwks": path, "oauth_introspection": "https://x/"}, "either"),
            ({"oauth_jwks": path, "oauth_issuer": ""}, "oauth_issuer"),
            ({"oauth_jwks": path, "oauth_audience": ""}, "oauth_audience"),
            ({"oauth_jwks": path, "oauth_user_claim": ""}, "oauth_user_claim"),
            ({"oauth_jwks": path, "oauth_ca": "/nowhere"}, "oauth_ca"),
            ({"oauth_introspection": "https://x/", "oauth_audience": ""}, "oauth_scope"),
            ({"oauth_introspection": "https://x/", "oauth_secret_file": "/nowhere"},
             "oauth_secret_file")):
        with pytest.raises(Failed, match=words):
            start(**options)


# ---- introspection ----------------------------------------------------------------------

def introspecting(start, provider, place, **more):
    secret = place / "secret"
    secret.write_text("s%cr:t\n")
    secret.chmod(0o600)  # root's alone: it is read before the cage
    return start(oauth_introspection=provider.url("/introspect"), oauth_ca=provider.ca,
                 oauth_client_id="pop3 server", oauth_secret_file=secret, **more)


def test_introspection(provider, place, start):
    h = introspecting(start, provider, place)
    token = "opaque+token/1=="
    provider.introspected[token] = {"active": True, **claims()}
    a = h.token(ANNA, token.encode())
    assert (a.outcome, a.name) == (NAME, ANNA) and 590 <= a.valid_s <= 600, a
    path, authorization, form = provider.seen[-1]
    pair = base64.b64decode(authorization.split()[1]).decode().split(":")
    assert [urllib.parse.unquote(p) for p in pair] == ["pop3 server", "s%cr:t"]
    assert urllib.parse.parse_qs(form)["token"] == [token]
    refused(h.token(b"", b"unknown"), b"not active")
    refused(h.token(b"berta", token.encode()), b"another user")
    for more, words in (({"active": "true"}, b"active"), ({"active": 1}, b"active"),
                        ({"iss": "https://evil/"}, b"issuer"), ({"aud": "x"}, b"audience"),
                        ({"exp": int(time.time()) - 100}, b"run out"),
                        ({"email": None}, b"claim")):
        provider.introspected[token] = {"active": True, **claims(**more), **{
            k: v for k, v in more.items() if k == "active"}}
        refused(h.token(b"", token.encode()), words)
    provider.introspected[token] = {"active": True, **claims(exp=None)}
    a = h.token(b"", token.encode())
    assert (a.outcome, a.valid_s) == (NAME, 0)
    for token in (b"", b"a b", b"a\r\nb", b"\xff", b"a\0b"):
        before = len(provider.seen)
        refused(h.token(b"", token), b"token is empty")
        assert len(provider.seen) == before
    refused(h.token(b"", b"+" * 12288), b"not active")


def test_introspection_goes_and_comes(provider, place, start):
    h = introspecting(start, provider, place)
    provider.introspected["t"] = {"active": True, **claims()}
    assert h.token(b"", b"t").outcome == NAME
    for answer in ((401, b'{"error":"invalid_client"}'), (500, b""), (200, b"[]"), (200, b"x"),
                   (200, b"{" * 300000)):
        provider.answer = answer
        a = h.token(b"", b"t")
        assert (a.outcome, a.name) == (TEMPORARY, b""), a
    provider.answer = None
    assert h.token(b"", b"t").outcome == NAME
    provider.stop()
    assert h.token(b"", b"t").outcome == TEMPORARY
    provider.start()
    assert h.token(b"", b"t").outcome == NAME


def test_two_users(provider, start):
    h = by_url(start, provider)
    for name in ("anna@example.test", "berta@example.test", "anna@example.test"):
        assert h.token(b"", provider.token(email=name)).name == name.encode()


# ---- a whole office ------------------------------------------------------------------------

def bearer(name, token):
    yield b"n,a=%s,\1host=localhost\1port=995\1auth=Bearer %s\1\1" % (name, token)
    while True:
        yield b"\1"


def xoauth2(name, token):
    yield b"user=%s\1auth=Bearer %s\1\1" % (name, token)
    while True:
        yield b""


def test_office(provider, place, base, office):
    users = base / "users"
    lines = []
    for name in ("anna", "berta"):
        mail = ticket_office.put_mail(base, name, f"for {name}")
        lines.append(f"{name}@example.test:{{PLAIN}}{name}-word:5000:5000::{base}::"
                     f"userdb_mail=maildir:{mail}\n")
    users.write_text("".join(lines))
    users.chmod(0o644)
    o = office("--users", users, sets={
        "mail_roots": base, "oauth_jwks": provider.url("/keys"), "oauth_ca": provider.ca,
        "oauth_issuer": ISSUER, "oauth_audience": AUDIENCE, "oauth_jwks_cache": "1s",
        "login_failure_delay": "0", "auth_cache_unseen": "0"})

    def answer(name, token, line=bearer):
        mechanism = {bearer: "OAUTHBEARER", xoauth2: "XOAUTH2"}[line]
        got, p = ticket_office.conversation(o, mechanism, line(name, token))
        if got.startswith(b"+OK"):
            ticket_office.reads_own(p, f"for {name.split(b'@')[0].decode()}")
        p.close()
        return got
    capa = ticket_office.Pop("localhost", o.pop3s, o.ca)
    sasl = next(x for x in capa.multi("CAPA") if x.startswith(b"SASL"))
    assert {b"OAUTHBEARER", b"XOAUTH2"} <= set(sasl.split())
    capa.close()
    token = provider.token()
    for line in (bearer, xoauth2):
        assert answer(ANNA, token, line).startswith(b"+OK"), o.log()
        assert answer(b"berta@example.test", token, line).startswith(b"-ERR [AUTH]")
        assert answer(ANNA, token[:-4] + b"AAAA", line).startswith(b"-ERR [AUTH]")
        assert answer(ANNA, provider.token(aud="x"), line).startswith(b"-ERR [AUTH]")
        stranger = provider.token(email="carla@example.test")
        assert answer(b"carla@example.test", stranger, line).startswith(b"-ERR [AUTH]")
    provider.stop()
    until(lambda: answer(ANNA, token).startswith(b"-ERR [SYS/TEMP]"), 60)
    assert answer(ANNA, Key("ES256", "first").token(claims())).startswith(b"-ERR [SYS/TEMP]")
    provider.start()
    until(lambda: answer(ANNA, token).startswith(b"+OK"), 60)
    assert token.decode() not in o.log() and token[-40:].decode() not in o.log()
