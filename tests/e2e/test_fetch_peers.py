"""`restante fetch` against real servers: ours, Dovecot, Courier and Cyrus."""
import hashlib
import os
import pathlib
import subprocess

import pytest

from fetch_line import Line
from fetch_peers import OTHER, PASSWORD, USER, make_roots, start_peer
from nasty import NASTY
from postoffice import BUILD

NAMES = ("restante", "dovecot", "courier", "cyrus")
TEMPORARY, PROTOCOL, REFUSED = 75, 76, 77
RTT_S = 0.01

# Dovecot and Courier send a dot at the very start of a message as it stands, without the
# second one of RFC 1939 s.3: no client can read such an answer. Courier wraps a message
# with 8-bit octets in its header into one of its own, which is another one at each RETR.
NOT_TWICE_THE_SAME = {"dovecot": ["dot-at-once"], "courier": ["dot-at-once", "eight-bit"]}


def mails(peer):
    return [m for name, m in NASTY.items() if name not in NOT_TWICE_THE_SAME.get(peer.name, ())]


def plain(n, start=0):
    return [b"From: a@example.org\nSubject: %d\n\nmail %d\n.\n..x\n" % (i, i)
            for i in range(start, start + n)]


def digest(octets):
    return hashlib.sha256(octets).hexdigest()


class Account:
    """One user of the fetcher at one server."""

    def __init__(self, base, peer, user=USER):
        self.base, self.peer, self.user = base, peer, user
        base.mkdir()
        self.box, self.ca = base / "Maildir", peer.ca
        self.secret(PASSWORD)

    def secret(self, text):
        self.password = self.base / "password"
        self.password.write_text(text + "\n")
        self.password.chmod(0o600)

    def command(self, *args, tls="tls", port=None):
        port = port or (self.peer.pop3s if tls == "tls" else self.peer.pop3)
        return [str(x) for x in (
            BUILD / "restante", "fetch", "--server", f"{self.peer.host}:{port}",
            "--user", self.user,
            "--password-file", self.password, "--tls", tls, "--ca", self.ca,
            "--maildir", self.box, "--state", self.base / "state", *args)]

    def start(self, *args, **more):
        return subprocess.Popen(
            self.command(*args, **more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.base)})

    def end(self, process, status=0):
        try:
            out, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        said = out.decode("utf-8", "replace")
        assert process.returncode == status, f"{said}\n{self.peer.log()[-3000:]}"
        assert self.peer.password not in said
        assert not list(self.box.glob("tmp/*"))
        return said

    def run(self, *args, status=0, **more):
        return self.end(self.start(*args, **more), status)

    def files(self):
        return [p for part in ("new", "cur") for p in self.box.glob(f"{part}/*")]

    def got(self):
        return sorted(digest(p.read_bytes()) for p in self.files())

    def forget_files(self):
        for p in self.files():
            p.unlink()


def as_delivered(octets_by_uid):
    """What must lie in the Maildir of what a plain client read: lines end in LF there."""
    return sorted(digest(x.replace(b"\r\n", b"\n")) for x in octets_by_uid.values())


@pytest.fixture(scope="module")
def house(module_base):
    """start(name): that server, started at the first call; all of them are ended."""
    roots, running = make_roots(), {}

    def start(name):
        if name not in running:
            running[name] = start_peer(name, module_base, roots)
        return running[name]
    yield start
    for p in running.values():
        p.stop()


@pytest.fixture
def peer(house, request):
    """An empty maildrop."""
    p = house(request.param)
    with p.session() as s:
        for line in s.multi("LIST"):
            assert s.say(b"DELE " + line.split()[0]).startswith(b"+OK")
        assert s.say("QUIT").startswith(b"+OK")
    return p


@pytest.fixture
def account(peer, module_base, request):
    return Account(pathlib.Path(module_base, f"account-{request.node.name.replace('/', '-')}"),
                   peer)


def every(*names):
    return pytest.mark.parametrize("peer", names or NAMES, indirect=True)


@every()
def test_keep_again_new_delete(peer, account):
    """Byte for byte what a plain client reads; each once; nothing is left in the end."""
    sent = mails(peer)
    taken = peer.put(*sent)
    assert len(taken) >= len(sent) - 5  # LMTP refuses NUL and a header that is none
    there = peer.read_all()
    assert len(there) == len(taken)
    account.run("--keep")
    assert account.got() == as_delivered(there)
    account.run("--keep")
    assert account.got() == as_delivered(there)

    peer.put(*plain(3))
    later = peer.read_all()
    assert len(later) == len(taken) + 3
    account.run("--keep", tls="stls")
    assert account.got() == as_delivered(later)

    peer.put(*plain(2, 3))
    last = peer.read_all()
    account.run()
    assert account.got() == as_delivered(last)
    assert peer.read_all() == {}
    account.run()
    assert account.got() == as_delivered(last)


@every()
@pytest.mark.parametrize("tls", ["tls", "stls"])
def test_fetch_and_delete(peer, account, tls):
    peer.put(*mails(peer))
    there = peer.read_all()
    account.run(tls=tls)
    assert account.got() == as_delivered(there)
    assert peer.read_all() == {}


@every()
def test_only_what_came_in_between(peer, account):
    """300 kept messages: the second session brings the new ones, and those alone."""
    peer.put(*plain(300))
    account.run("--keep")
    first = account.got()
    assert first == as_delivered(peer.read_all())
    account.forget_files()
    peer.put(*plain(20, 300))
    account.run("--keep")
    everything = as_delivered(peer.read_all())
    assert len(everything) == 320
    assert sorted(first + account.got()) == everything


@every()
def test_wrong_password(peer, account):
    peer.put(*plain(1))
    account.secret("wrong")
    other = Account(account.base / "stls", peer)
    other.secret("wrong")
    both = [(account, account.start()), (other, other.start(tls="stls"))]
    for a, process in both:
        a.end(process, REFUSED)
        assert a.got() == []
    assert len(peer.read_all()) == 1


@pytest.fixture(scope="module", autouse=True)
def second_sessions(house, module_base):
    """Fetches beside a session of the same user; begun before all else, as Dovecot waits ten
    seconds for its lock."""
    out = {}
    for name in ("restante", "dovecot"):
        peer = house(name)
        a = Account(module_base / f"second-{name}", peer, OTHER)
        out[name] = (peer.session(OTHER), a, a.start())
    yield out
    for session, _, process in out.values():
        session.close()
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def awake(second_sessions):
    """They are not to end for idleness, however long what comes before their test takes."""
    for session, *_ in second_sessions.values():
        if session.s.fileno() >= 0:
            session.say("NOOP")


@every("courier", "cyrus")
def test_beside_another_session(peer, account):
    peer.put(*plain(1))
    with peer.session() as other:
        account.run()
        assert len(account.got()) == 1
        other.say("QUIT")


@every()
def test_another_authority(peer, account, tmp_path):
    """A certificate that nobody here vouches for: no password is sent, nothing is fetched."""
    peer.put(*plain(1))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=other",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "pem"],
                   check=True, capture_output=True)
    account.ca = tmp_path / "pem"
    for tls in ("tls", "stls"):
        account.run(status=PROTOCOL, tls=tls)
    assert account.got() == []


@every()
def test_waits_of_a_poll(peer, account):
    """Nothing new, all remembered: handshake; login with all questions, before the greeting;
    QUIT, whose answer nobody waits for."""
    peer.put(*plain(30))
    with Line(peer.pop3s, RTT_S / 2) as line:
        account.run("--keep", port=line.port)
        most = peer.turns or 8  # a challenge more, or a command at a time
        turns = []
        # Who is held up by others on the machine waits once more; but not each time.
        while len(turns) < 8 and min(turns, default=most + 1) > most:
            line.clear()
            said = account.run("--keep", port=line.port)
            turns.append(line.turns)
            assert line.connections == 1, said
    assert min(turns) <= most, turns
    assert len(account.got()) == 30


@pytest.mark.parametrize("name", ["restante", "dovecot"])
def test_second_session(second_sessions, name):
    """[IN-USE] (Courier and Cyrus let several sessions in)."""
    session, account, process = second_sessions[name]
    account.end(process, TEMPORARY)
    assert session.say("QUIT").startswith(b"+OK")
    session.close()
    account.run()
