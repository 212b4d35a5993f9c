"""SCRAM bound to the TLS connection, with a client of ours and `restante fetch`: the right binding
logs in, any other does not, and nobody stands in between unnoticed."""
import contextlib
import re
import socket
import ssl
import subprocess
import threading

import pytest
from login_clients import scram
from postoffice import BUILD, make_maildir

pytestmark = pytest.mark.anyone

IN, REFUSED, GAVE_UP = 0, 1, 2
FETCH_REFUSED = 77
PLUS = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]
WAYS = {"pop3s": (), "stls": ("stls",)}
VERSIONS = {"1.3": ((), "tls-exporter", "TLSv1.3"), "1.2": (("tls1.2",), "tls-unique", "TLSv1.2")}
MARK = "the letter of the bound one"
PASSWORD = "a word, = \u00e9"


@pytest.fixture(scope="module")
def house(module_office, module_base):
    box = make_maildir(module_base / "Maildir", [f"Subject: {MARK}\n\nx\n".encode()])
    keys = subprocess.run([BUILD / "restante", "passwd", "--hash", "--scram", "--stdin"], input=PASSWORD.encode() + b"\n",
                          capture_output=True, check=True).stdout.decode().strip()
    owner = box.stat()
    users = module_base / "users"
    users.write_text("".join(f"{name}:{stored}:{owner.st_uid}:{owner.st_gid}::::userdb_mail=maildir:{box}\n"
                             for name, stored in (("anna", "{PLAIN}" + PASSWORD), ("kay", keys))))
    users.chmod(0o600)
    o = module_office("--users", users, sets={"login_failure_delay": "0", "growing_penalty": "no"})
    o.base = module_base
    return o


def bound(port, ca, user, mechanism, *words, password=PASSWORD):
    got = subprocess.run([BUILD / "tests" / "clients" / "bound_client", str(port), ca, user, mechanism, *words],
                         input=password.encode() + b"\n", stdout=subprocess.PIPE, timeout=60)
    return got.returncode, got.stdout.decode()


def client(o, user, mechanism, *words, way="pop3s", **more):
    return bound(o.pop3s if way == "pop3s" else o.pop3, o.ca, user, mechanism, *WAYS[way], *words, **more)


def by_hand(port, ca, mechanism, flag, old=False):
    """The last answer to SCRAM with that flag; the library's client says `y` in no case."""
    context = ssl.create_default_context(cafile=ca)
    if old:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60), server_hostname="localhost")
    with s, s.makefile("rwb") as f:
        heard = [f.readline()]

        def say(line):
            f.write(line + b"\r\n")
            f.flush()
            heard.append(f.readline())
            if heard[-1].startswith(b"-ERR"):
                raise PermissionError
            return heard[-1].rstrip()
        with contextlib.suppress(PermissionError):
            scram("anna", PASSWORD, say, mechanism, flag)
        return heard[-1].decode()


def refusal(o, since, mechanism, reason):
    o.wait_for_log(rf"event=login_failed .*mechanism={mechanism} reason=.*{reason}", since=since)


@pytest.mark.parametrize("user, mechanism", [("anna", PLUS[0]), ("anna", PLUS[1]), ("kay", PLUS[0])])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", WAYS)
def test_right_and_wrong(house, user, mechanism, version, way):
    words, name, tls = VERSIONS[version]
    since = house.mark()
    status, said = client(house, user, mechanism, *words, way=way)
    assert status == IN and MARK in said and f"binding {name}, {tls}, new" in said, said
    line = house.wait_for_log(f"event=login user={user} mechanism={mechanism} ", since=since)
    assert f"tls={tls} " in line
    since = house.mark()
    status, said = client(house, user, mechanism, *words, "wrong", way=way)
    assert status == REFUSED and "-ERR [AUTH]" in said, said
    refusal(house, since, mechanism, "binding")
    since = house.mark()
    assert client(house, user, mechanism, *words, way=way, password="another")[0] == REFUSED
    refusal(house, since, mechanism, "password")


def test_resumed_session(house):
    """Of TLS 1.2: there the first Finished is the server's."""
    status, said = client(house, "anna", PLUS[0], "tls1.2", "resume")
    assert "binding tls-unique, TLSv1.2, resumed" in said and status == IN, said
    assert client(house, "anna", PLUS[0], "tls1.2", "resume", "wrong")[0] == REFUSED


def test_another_kind(house):
    since = house.mark()
    status, said = client(house, "anna", PLUS[0], "kind")
    assert status == REFUSED and "tls-unique" in said, said
    refusal(house, since, PLUS[0], "another kind")


def test_no_extended_master_secret(house):
    """Such a connection has no binding, so nothing is offered that needs one."""
    status, said = client(house, "anna", PLUS[0], "tls1.2", "no-ems")
    assert status == REFUSED and "-ERR" in said, said
    status, said = client(house, "anna", "SCRAM-SHA-256", "tls1.2", "no-ems")
    assert status == IN and MARK in said, said


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
@pytest.mark.parametrize("version", VERSIONS)
def test_without_plus(house, mechanism, version):
    """`n`: no binding is known, and that is fine. `y`: it was offered, so somebody took it away."""
    status, said = client(house, "anna", mechanism, *VERSIONS[version][0])
    assert status == IN and MARK in said, said
    assert by_hand(house.pop3s, house.ca, mechanism, "n", version == "1.2").startswith("+OK")
    since = house.mark()
    assert by_hand(house.pop3s, house.ca, mechanism, "y", version == "1.2").startswith("-ERR [AUTH]")
    refusal(house, since, mechanism, "in between")


# ---- with somebody in between ------------------------------------------------------------------

class Between:
    """Ends TLS with the server's own key, and begins it anew: the worst that can happen. Takes what
    matches `hide` out of what the server says."""

    def __init__(self, o, hide=None):
        self.o, self.hide, self.saw, self.open = o, hide, b"", []
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(o.dir / "cert.pem", o.dir / "key.pem")
        self.client = ssl.create_default_context(cafile=o.ca)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.serve)]
        self.threads[0].start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                near = self.server.wrap_socket(near, server_side=True)
                far = self.client.wrap_socket(socket.create_connection(("127.0.0.1", self.o.pop3s)),
                                              server_hostname="localhost")
                self.open += [near, far]
                for ends in ((near, far, None), (far, near, self.hide)):
                    self.threads.append(threading.Thread(target=self.carry, args=ends))
                    self.threads[-1].start()

    def carry(self, source, sink, hide):
        with contextlib.suppress(OSError, ValueError):
            while octets := source.recv(65536):
                self.saw += octets
                sink.sendall(re.sub(hide, b"", octets) if hide else octets)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for s in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join(60)
        for s in (self.listener, *self.open):
            s.close()


@pytest.fixture(scope="module")
def between(house):
    with Between(house) as b:
        yield b


@pytest.mark.parametrize("mechanism", PLUS)
@pytest.mark.parametrize("version", VERSIONS)
def test_in_between(house, between, mechanism, version):
    since = house.mark()
    status, said = bound(between.port, house.ca, "anna", mechanism, *VERSIONS[version][0])
    assert status == REFUSED and MARK not in said, said
    refusal(house, since, mechanism, "binding")
    assert PASSWORD.encode() not in between.saw


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_in_between_without_plus(house, between, mechanism):
    """He who could have bound and was told that he cannot is refused; who knows no binding is read by
    whoever stands there, which only binding can prevent."""
    since = house.mark()
    assert by_hand(between.port, house.ca, mechanism, "y").startswith("-ERR [AUTH]")
    refusal(house, since, mechanism, "in between")
    status, said = bound(between.port, house.ca, "anna", mechanism)
    assert status == IN and MARK in said, said


# ---- by our retriever --------------------------------------------------------------------------

def fetch(base, o, port, auth, **more):
    n = sum(1 for _ in base.glob("fetch-*"))
    here = base / f"fetch-{n}"
    here.mkdir()
    rows = {"server": f"localhost:{port}", "user": "anna", "tls": "tls", "ca": o.ca, "auth": auth,
            "deliver": f"maildir:{here}/box", "keep": "yes", "password_file": here / "password", **more}
    (here / "password").write_text(PASSWORD + "\n")
    (here / "fetch.conf").write_text("[account anna]\n" + "".join(
        f"{k} = {v}\n" for k, v in rows.items() if v is not None))
    for name in ("password", "fetch.conf"):
        (here / name).chmod(0o600)
    got = subprocess.run([BUILD / "restante", "fetch", "--config", here / "fetch.conf", "--state",
                          here / "state", "--verbose"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    mails = [p.read_text() for p in here.glob("box/new/*")]
    return got.returncode, got.stdout.decode(errors="replace"), mails


@pytest.mark.parametrize("mechanism", PLUS)
@pytest.mark.parametrize("way", WAYS)
def test_fetch(house, base, mechanism, way):
    since = house.mark()
    port, tls = (house.pop3, "stls") if way == "stls" else (house.pop3s, "tls")
    status, said, mails = fetch(base, house, port, mechanism.lower(), tls=tls)
    assert status == 0 and MARK in mails[0], said
    house.wait_for_log(f"event=login user=anna mechanism={mechanism} ", since=since)


def test_fetch_takes_it_by_itself(house, base):
    since = house.mark()
    status, said, mails = fetch(base, house, house.pop3s, None)
    assert status == 0 and MARK in mails[0], said
    house.wait_for_log("event=login user=anna mechanism=SCRAM-SHA-256-PLUS ", since=since)


@pytest.mark.parametrize("mechanism", PLUS)
def test_fetch_in_between(house, between, base, mechanism):
    since = house.mark()
    status, said, mails = fetch(base, house, between.port, mechanism)
    assert status == FETCH_REFUSED and not mails, said
    refusal(house, since, mechanism, "binding")


def test_fetch_in_between_by_itself(house, between, base):
    """Where -PLUS is not demanded, what it finds out stands in the server's log, and it goes on unbound:
    proxies that end TLS are common."""
    since = house.mark()
    status, said, mails = fetch(base, house, between.port, None)
    house.wait_for_log(f"event=login_failed user=anna .*mechanism={PLUS[0]} .*in between", since=since)
    assert status == 0 and mails, said
    house.wait_for_log("event=login user=anna mechanism=SCRAM-SHA-256 ", since=since)


def test_fetch_when_plus_is_hidden(house, base):
    """The one in between takes out of the capabilities what would find him out."""
    with Between(house, rb"SCRAM-SHA-[0-9]+-PLUS ") as b:
        status, said, mails = fetch(base, house, b.port, "scram-sha-256-plus")
        assert b"-PLUS" in b.saw
    assert status == FETCH_REFUSED and not mails and "nothing of what auth allows" in said, said
