"""Every transcript against the real programs: over a socket, octet by octet, and over TLS."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

import pytest
from ports import free_port
from postoffice import NOBODY, Office, make_base
from transcript import all_transcripts, materialise, play

pytestmark = pytest.mark.anyone

ALL = all_transcripts()
assert len(ALL) > 58


def speaks_of_tls(t):
    return t.link != "plain" or any(
        s.kind == "tls" or b"STLS" in s.octets for s in t.steps)


def injects(t):
    """Octets right behind STLS: only one write keeps them together."""
    return any(re.search(rb"STLS\r\n(?s:.)", s.octets) for s in t.steps)


def ways(t):
    if t.link == "tls":
        return ["tls"]
    return ["socket"] + ([] if injects(t) else ["octets"]) + ([] if speaks_of_tls(t) else ["tls"])


CASES = [pytest.param(t, way, id=f"{t.name}-{way}") for t in ALL for way in ways(t)]


class Offices:
    """One office for all transcripts with the same users and options, and one maildrop
    that is made anew for each of them."""

    def __init__(self, base):
        self.base, self.open = base, {}

    def of(self, t):
        key = (tuple(t.users), tuple(sorted(t.options.items())), t.link == "tls-needed")
        if key not in self.open:
            self.open[key] = self.start(t, self.base / str(len(self.open)))
        return self.open[key]

    def start(self, t, base):
        base.mkdir()
        base.chmod(0o755)
        lines = b""
        for i, (name, password) in enumerate(t.users):
            box = base / "mail" / str(i)
            lines += b"%s:{PLAIN}%s::::%s::userdb_mail=maildir:~\n" % (
                name, password, os.fsencode(box))
        (base / "in").write_bytes(lines)
        sets = {"mechanisms": "USER PLAIN"} | t.options
        if t.link == "tls-needed":
            sets["plaintext"] = "never"
        o = Office("--users", base / "in", sets=sets)
        o.box = base / "mail" / "0"
        return o

    def stop(self):
        for o in self.open.values():
            o.stop()


@pytest.fixture(scope="module")
def offices():
    for base in make_base():
        o = Offices(base)
        yield o
        o.stop()


def renew(box, t):
    """A fresh Maildir under the old name, as a restore would leave it."""
    new = box.parent / "fresh"
    materialise(t, new)
    if os.geteuid() == 0:
        for p in [new, *new.rglob("*")]:
            os.chown(p, NOBODY, NOBODY, follow_symlinks=False)
    if box.exists():
        # Out of the way, not removed: a keeper may be writing its index in there still.
        box.rename(box.with_name(f"old-{box.stat().st_ino}"))
    new.rename(box)


def connector(o, implicit):
    def connect(tls):
        secure = tls or implicit
        s = socket.create_connection((o.host, o.pop3s if secure else o.pop3), 60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            s = ssl.create_default_context(cafile=o.ca).wrap_socket(s, server_hostname=o.host)
        return s
    return connect


@pytest.mark.parametrize("t,way", CASES)
def test_transcript(offices, without_tls, t, way):
    o = without_tls(t) if t.link == "no-tls" else offices.of(t)
    renew(o.box, t)
    play(t, connector(o, way == "tls"), o.box, split=1 if way == "octets" else None)


class WithoutTls:
    """restanted with an office's configuration less its certificate."""

    def __init__(self, o):
        self.box, self.host = o.box, "127.0.0.1"
        self.pop3 = free_port()
        self.dir = tempfile.mkdtemp()
        text = (o.dir / "restante.conf").read_text().split("[listener")[0]
        text = re.sub(r"(?m)^(tls_\w+|run_dir|service_uids) = .*\n", "", text)
        conf = f"{self.dir}/restante.conf"
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"{text}run_dir = {self.dir}/run\n[listener pop3]\n"
                    f"address = {self.host}:{self.pop3}\n")
        os.mkdir(f"{self.dir}/run")
        self.p = subprocess.Popen([o.build / "restanted", "-c", conf], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        said = ""
        for line in self.p.stderr:
            said += line
            if "event=serving" in line:
                return
        raise AssertionError(said)

    def stop(self):
        self.p.terminate()
        self.p.stderr.read()
        self.p.stderr.close()
        assert self.p.wait(60) == 0
        shutil.rmtree(self.dir)


@pytest.fixture
def without_tls(offices):
    started = []

    def start(t):
        started.append(WithoutTls(offices.of(t)))
        return started[0]
    yield start
    for s in started:
        s.stop()
