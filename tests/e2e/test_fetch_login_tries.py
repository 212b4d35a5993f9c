"""How often `restante fetch` logs in where the server says no and not why: each is a failed login
there, and some lock an account after a few."""
import base64
import hashlib
import hmac

import pytest

from fetch_faulty import PASSWORD, USER, Session, plain_mails
from fetch_trial import Trial, make_pki

REFUSED = 77
SALT, ROUNDS = b"0123456789abcdef", 4096


def mac(key, text, digest="sha256"):
    return hmac.new(key, text, digest).digest()


class Sasl(Session):
    """Refuses without [AUTH], which RFC 3206 lets it do for a mechanism alone."""
    offers = b"SCRAM-SHA-256 CRAM-MD5 PLAIN"
    has_keys = ()        # mechanisms that it can do for this user
    proves = True        # that it knows the password
    is_right = True      # the password

    @property
    def capabilities(self):
        return (b"TOP", b"UIDL", b"USER", b"SASL " + self.offers, b"PIPELINING", b"RESP-CODES",
                b"AUTH-RESP-CODE")

    def right(self, user, password):
        return self.is_right and super().right(user, password)

    def login(self, good):
        if good:
            return super().login(True)
        self.house.logins.append((self.visit, False))
        return self.err("no")

    def ask(self, text):
        self.say(b"+ " + base64.b64encode(text))
        line = (self.readline() or b"").strip()
        self.house.note(self, line)
        return None if line == b"*" else base64.b64decode(line)

    def on_AUTH(self, arg):
        name, _, initial = arg.partition(b" ")
        name = name.upper()
        if name == b"PLAIN":
            return super().on_AUTH(arg)
        if name not in self.has_keys:
            return self.login(False)
        if name == b"CRAM-MD5":
            challenge = b"<1@localhost>"
            user, _, digest = (self.ask(challenge) or b"").partition(b" ")
            want = hmac.new(PASSWORD, challenge, "md5").hexdigest().encode()
            return self.login(self.is_right and user == USER and digest == want)
        return self.scram(base64.b64decode(initial))

    def scram(self, first):
        binding, _, user, nonce = first.split(b",")
        nonce = nonce[2:] + b"server"
        offer = b"r=%s,s=%s,i=%d" % (nonce, base64.b64encode(SALT), ROUNDS)
        final, _, proof = (self.ask(offer) or b"").partition(b",p=")
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD, SALT, ROUNDS)
        said = b",".join([first[len(binding) + 2:], offer, final])
        key = mac(salted, b"Client Key")
        sign = mac(hashlib.sha256(key).digest(), said)
        want = bytes(a ^ b for a, b in zip(key, sign))
        good = self.is_right and (not self.proves or base64.b64decode(proof) == want)
        if not good:
            return self.login(False)
        server = mac(mac(salted, b"Server Key"), said)
        if not self.proves:
            server = b"\0" * 32
        return self.login(self.ask(b"v=" + base64.b64encode(server)) == b"")


@pytest.fixture
def trial(tmp_path):
    made = []

    def make(script, tls="none", **how):
        t = Trial(tmp_path, plain_mails(3), script, tls,
                  make_pki(tmp_path) if tls != "none" else None, **how)
        made.append(t)
        return t
    yield make
    for t in made:
        t.house.stop()


def ways(t, run=-1):
    """What was tried in a run, in order."""
    visits = t.runs[run].visits
    out = []
    for x in t.house.lines:
        words = x.octets.upper().split()
        if x.session in visits and words and words[0] in (b"AUTH", b"PASS"):
            out.append(words[1].decode() if words[0] == b"AUTH" else "PASS")
    return out


def script(**how):
    return type("Script", (Sasl,), how)


ALL_KEYS = (b"SCRAM-SHA-256", b"CRAM-MD5")


@pytest.mark.parametrize("keys", [ALL_KEYS, ()], ids=["keys", "no-keys"])
@pytest.mark.parametrize("offers, tried", [
    (b"SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN", ["SCRAM-SHA-256", "PLAIN"]),
    (b"SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5", ["SCRAM-SHA-256", "PASS"]),
    (b"CRAM-MD5 PLAIN", ["CRAM-MD5", "PLAIN"])])
def test_a_wrong_password_is_two_failed_logins(trial, keys, offers, tried):
    t = trial(script(offers=offers, has_keys=keys, is_right=False))
    for _ in range(3):
        t.run(codes=[REFUSED])
        assert ways(t) == tried
        assert len([x for x in t.house.logins if x[0] in t.runs[-1].visits]) == 2


def test_a_password_that_shows_is_said_twice(trial):
    """In one flight, and step by step where that was too much at once."""
    t = trial(script(offers=b"PLAIN LOGIN", is_right=False))
    for _ in range(3):
        t.run(codes=[REFUSED])
        assert len(ways(t)) == 2, t.last()


@pytest.mark.parametrize("tls", ["none", "tls"])
def test_a_server_without_keys_is_logged_in_to(trial, tls):
    """And remembered: what it refuses is a failed login each time."""
    t = trial(script(), tls)
    t.run(keep=True, codes=[0])
    t.complete()
    assert ways(t) == ["SCRAM-SHA-256", "PLAIN"]
    for _ in range(2):
        t.run(keep=True, codes=[0])
        assert ways(t) == ["PLAIN"]
    # Another password: as often as at first, from the next time on.
    t.house.script = script(is_right=False)
    t.run(keep=True, codes=[REFUSED])
    assert set(ways(t)) == {"PLAIN"} and len(ways(t)) <= 2
    t.run(keep=True, codes=[REFUSED])
    assert ways(t) == ["SCRAM-SHA-256", "PLAIN"]
    t.house.script = script()
    t.run(keep=True, codes=[0])
    # What is not wanted any more is not taken for having worked; nor where another is offered.
    t.house.script = script(has_keys=ALL_KEYS)
    t.run(keep=True, more=["--auth", "SCRAM-SHA-256,CRAM-MD5"], codes=[0])
    assert ways(t) == ["SCRAM-SHA-256"]
    t.run(keep=True, codes=[0])
    assert ways(t) == ["SCRAM-SHA-256"]


def test_only_what_hides_the_password(trial):
    """One other way, also where none shows it."""
    t = trial(script(offers=b"SCRAM-SHA-256 CRAM-MD5", has_keys=(b"CRAM-MD5",)))
    more = ["--auth", "SCRAM-SHA-256,CRAM-MD5"]
    t.run(more=more, codes=[0])
    assert ways(t) == ["SCRAM-SHA-256", "CRAM-MD5"]
    t.complete()


def test_what_worked_is_refused(trial):
    """The password is another one now; it is no matter of the mechanism."""
    t = trial(script(has_keys=ALL_KEYS), "tls")
    for _ in range(2):
        t.run(keep=True, codes=[0])
        assert ways(t) == ["SCRAM-SHA-256"]
    t.house.script = script(has_keys=ALL_KEYS, is_right=False)
    t.run(keep=True, codes=[REFUSED])
    assert set(ways(t)) == {"SCRAM-SHA-256"} and len(ways(t)) <= 2
    # The keys are gone: that is seen the next time.
    t.house.script = script()
    t.run(keep=True, codes=[0])
    assert ways(t) == ["SCRAM-SHA-256", "PLAIN"]


PLUS = b"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN"


def test_a_binding_that_is_refused(trial):
    """Then without it; where the proof is refused again it is the password."""
    t = trial(script(offers=PLUS, has_keys=(*ALL_KEYS, b"SCRAM-SHA-256-PLUS"), is_right=False),
              "tls")
    t.run(codes=[REFUSED])
    assert ways(t) == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    t.house.script = script(offers=PLUS, has_keys=ALL_KEYS)
    t.run(codes=[0])
    assert ways(t) == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    t.complete()


def test_no_keys_for_a_binding_either(trial):
    t = trial(script(offers=PLUS), "tls")
    t.run(keep=True, codes=[0])
    assert ways(t) == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"]
    t.run(keep=True, codes=[0])
    assert ways(t) == ["PLAIN"]


@pytest.mark.parametrize("offers", [Sasl.offers, PLUS], ids=["plain", "plus"])
@pytest.mark.parametrize("then", [(), (b"SCRAM-SHA-256",)], ids=["refuses", "goes-on"])
def test_a_server_that_cannot_prove_itself_gets_no_password(trial, offers, then):
    first = offers.split()[0]
    t = trial(script(offers=offers, has_keys=(first, *then), proves=False), "tls")
    for _ in range(2):
        said = t.run(codes=[REFUSED])
        assert not {"PLAIN", "LOGIN", "PASS", "CRAM-MD5"} & set(ways(t)), t.last()
        assert b"SCRAM-SHA-256" in said.err, said.err
