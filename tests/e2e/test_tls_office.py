"""TLS of the real office: certificates by name, tickets, OCSP, client certificates, floors,
and the process that holds the keys."""
import contextlib
import datetime
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from postoffice import NOBODY, alive, few_descriptors, make_maildir, suspend, until

HOUR = datetime.timedelta(hours=1)
USERS = ["anna:pw"]
OLD = ssl.TLSVersion.TLSv1_2


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def put(path, octets):
    """As an administrator does: beside it, and renamed."""
    beside = path.with_suffix(".next")
    beside.write_bytes(octets)
    beside.rename(path)


def pem_of(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """A throwaway one, which writes NAME.pem and NAME.key."""

    def __init__(self, path):
        self.path, self.key = path, ec.generate_private_key(ec.SECP256R1())
        self.issued = {}
        self.cert = self.build("Throwaway", self.key, name_of("Throwaway"), x509.BasicConstraints(
            ca=True, path_length=None), [])
        put(path / "authority.pem", self.pem(self.cert))

    @staticmethod
    def pem(cert):
        return cert.public_bytes(serialization.Encoding.PEM)

    def build(self, name, key, issuer, basic, hosts):
        b = (x509.CertificateBuilder().subject_name(name_of(name)).issuer_name(issuer)
             .public_key(key.public_key()).serial_number(x509.random_serial_number())
             .not_valid_before(now() - HOUR).not_valid_after(now() + 48 * HOUR)
             .add_extension(basic, True))
        if hosts:
            b = b.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, file, *hosts, kind="ec"):
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else \
            rsa.generate_private_key(65537, 2048)
        cert = self.build(file, key, self.cert.subject,
                          x509.BasicConstraints(ca=False, path_length=None), hosts)
        put(self.path / f"{file}.key", pem_of(key))
        put(self.path / f"{file}.pem", self.pem(cert))
        self.issued[file] = cert
        return cert

    def section(self, file):
        return {f"{file}:certificate": self.path / f"{file}.pem",
                f"{file}:key": self.path / f"{file}.key"}

    def first(self, file):
        return {"tls_certificate": self.path / f"{file}.pem",
                "tls_key": self.path / f"{file}.key"}

    def staple(self, file, seconds):
        """An OCSP response in DER that holds for so long."""
        end = now() + datetime.timedelta(seconds=seconds)
        r = ocsp.OCSPResponseBuilder().add_response(
            cert=self.issued[file], issuer=self.cert, algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD, this_update=now() - HOUR, next_update=end,
            revocation_time=None, revocation_reason=None).responder_id(
                ocsp.OCSPResponderEncoding.NAME, self.cert).sign(self.key, hashes.SHA256())
        return r.public_bytes(serialization.Encoding.DER)


@pytest.fixture(name="ca", scope="module")
def fixture_ca(module_base):
    authority = Authority(module_base)
    authority.issue("first", "first.example")
    authority.issue("wild", "*.wild.example", "wild.example")
    authority.issue("both-ec", "both.example")
    authority.issue("both-rsa", "both.example", kind="rsa")
    authority.issue("client")
    return authority


class Client:
    """One connection to the port of POP3S."""

    def __init__(self, office, context=None, name=None, session=None, port=None, source=None):
        self.raw = socket.create_connection((office.host, port or office.pop3s), 60,
                                            source_address=source and (source, 0))
        self.tls = (context or lax()).wrap_socket(
            self.raw, server_hostname=name, session=session)
        self.greeting = self.tls.recv(512)
        assert self.greeting.startswith(b"+OK"), self.greeting

    def say(self, text):
        self.tls.sendall(text + b"\r\n")
        return self.tls.recv(4096)

    def cert(self):
        return x509.load_der_x509_certificate(self.tls.getpeercert(True))

    def common_name(self):
        return self.cert().subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value

    def close(self):
        self.tls.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def lax(low=None, high=None, alpn=None, ciphers=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if low:
        c.minimum_version = low
    if high:
        c.maximum_version = high
    if alpn:
        c.set_alpn_protocols(alpn)
    if ciphers:
        c.set_ciphers(ciphers)
    return c


def refused(office, **more):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(office, **more)


def s_client(office, *args, source=None):
    """What openssl says of one handshake."""
    command = ["openssl", "s_client", "-connect", f"{office.host}:{office.pop3s}", *args]
    if source:
        command += ["-bind", source]
    done = subprocess.run(command, input=b"QUIT\r\n", capture_output=True, timeout=60,
                          check=False)
    return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")


@pytest.fixture(name="house", scope="module")
def fixture_house(module_office, ca):
    """The office of all tests that neither change it nor end its programs."""
    staple = ca.path / "first.ocsp"
    put(staple, ca.staple("first", 3600))
    sets = ca.first("first") | {"tls_ocsp": staple, "fronts": 3}
    for file in ("wild", "both-ec", "both-rsa"):
        sets |= ca.section(file)
    return module_office(users=USERS, sets=sets)


@pytest.fixture(name="plain", params=["yes", "no"])
def fixture_plain(request, office, ca):
    """Small offices with keys in their process and in the front."""
    ca.issue("turn", "turn.example")
    return office(users=USERS, sets=ca.first("turn") | {
        "key_process": request.param, "fronts": 1, "log_level": "debug"})


# ---- which certificate -------------------------------------------------------------------

@pytest.mark.parametrize("name, wanted", [
    ("first.example", "first"), ("FIRST.example", "first"), (None, "first"),
    ("unknown.example", "first"), ("a.wild.example", "wild"), ("wild.example", "wild"),
    ("a.b.wild.example", "first"),
])
def test_the_name_chooses(house, name, wanted):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Client(house, lax(version, version), name) as c:
            assert c.common_name() == wanted


@pytest.mark.parametrize("args, wanted", [
    (["-tls1_3"], "both-ec"),
    (["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "both-rsa"),
    (["-tls1_2"], "both-ec"),
    (["-tls1_2", "-sigalgs", "RSA+SHA256"], "both-rsa"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "both-rsa"),
])
def test_ecdsa_and_rsa_of_one_name(house, args, wanted):
    said = s_client(house, "-servername", "both.example", *args)
    assert f"CN = {wanted}" in said, said
    assert "Cipher is (NONE)" not in said


def test_a_client_that_can_only_rsa_gets_no_certificate_of_a_name_without(house):
    said = s_client(house, "-servername", "a.wild.example", "-tls1_3", "-sigalgs",
                    "rsa_pss_rsae_sha256")
    assert "alert handshake failure" in said, said


def test_alpn(house):
    with Client(house, lax(alpn=["imap", "pop3"])) as c:
        assert c.tls.selected_alpn_protocol() == "pop3"
    with Client(house) as c:
        assert c.tls.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        Client(house, lax(alpn=["h2", "imap"]))


def test_who_is_silent_at_first_is_seen_and_served_all_the_same(house):
    before = house.stat()["connections_total"]
    with socket.create_connection((house.host, house.pop3s), 60) as s:
        # The listener waits a second for the hello; then a front has him, and his time runs.
        house.wait_for_counter("connections_total", before + 1)
        with lax().wrap_socket(s, server_hostname="first.example") as tls:
            assert tls.recv(100).startswith(b"+OK")


def test_signed_by_the_key_process(house):
    before = house.stat()["signatures_total"]
    for _ in range(5):
        Client(house).close()
    assert house.wait_for_counter("signatures_total", before + 5) == before + 5
    assert house.stat()["signatures_refused_total"] == 0


# ---- tickets ------------------------------------------------------------------------------

def fronts_met(office, connect, rounds=1000):
    """connect() until the kernel has given connections to two fronts at least. On a quiet
    machine it gives many in a row to the one that it woke last."""
    seen = set()
    for _ in range(rounds):
        c = connect()
        port = c.tls.getsockname()[1]
        out = subprocess.run(["ss", "-Htnp", f"dport = :{port}"], capture_output=True,
                             check=True, timeout=60).stdout.decode()
        seen |= set(re.findall(r'"restante-front",pid=(\d+)', out))
        c.close()
        if len(seen) > 1:
            return seen
    return seen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_front_resumes(house, version):
    context = lax(version, version)
    with Client(house, context, "first.example") as c:
        session = c.tls.session
        assert not c.tls.session_reused

    def again():
        nonlocal session
        c = Client(house, context, "first.example", session)
        assert c.tls.session_reused
        session = c.tls.session
        return c
    assert len(fronts_met(house, again)) > 1


def test_a_ticket_of_one_name_is_none_for_another(house):
    context = lax()
    with Client(house, context, "first.example") as c:
        session = c.tls.session
    with Client(house, context, "wild.example", session) as c:
        assert not c.tls.session_reused and c.common_name() == "wild"


def test_a_reload_leaves_tickets_good(plain):
    context = lax()
    with Client(plain, context) as c:
        session = c.tls.session
    reload(plain)
    with Client(plain, context, session=session) as c:
        assert c.tls.session_reused


def test_no_early_data(house, tmp_path):
    path = tmp_path / "session"
    # The ticket comes with the greeting, so that is waited for.
    with subprocess.Popen(
            ["openssl", "s_client", "-quiet", "-connect", f"{house.host}:{house.pop3s}",
             "-tls1_3", "-sess_out", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL) as p:
        assert p.stdout.readline().startswith(b"+OK")
        p.communicate(b"QUIT\r\n", timeout=60)
    said = subprocess.run(["openssl", "sess_id", "-in", path, "-text", "-noout"],
                          capture_output=True, timeout=60, check=True).stdout.decode()
    assert "TLS session ticket:" in said
    assert re.search(r"Max Early Data: 0\b", said), said


# ---- OCSP ----------------------------------------------------------------------------------

def test_a_response_is_stapled_to_its_certificate_alone(house):
    for version in ("-tls1_2", "-tls1_3"):
        said = s_client(house, "-status", version, "-servername", "first.example")
        assert "OCSP Response Status: successful" in said, said
        assert "Cert Status: good" in said
        said = s_client(house, "-status", version, "-servername", "wild.example")
        assert "OCSP response: no response sent" in said, said
    assert "OCSP response" not in s_client(house, "-servername", "first.example")


def test_a_response_is_read_again_and_never_sent_when_it_is_old(office, ca):
    path = ca.path / "again.ocsp"
    put(path, b"no response")
    o = office(users=USERS, sets=ca.first("first") | {"tls_ocsp": path, "fronts": 1})
    assert "no response sent" in s_client(o, "-status")
    o.wait_for_log("tls_ocsp.*again.ocsp.*DER")
    put(path, ca.staple("first", 8))  # the monitor looks every two seconds
    until(lambda: "Cert Status: good" in s_client(o, "-status"), 60, o.log)
    # It is not changed, and its time ends.
    until(lambda: "no response sent" in s_client(o, "-status"), 60, o.log)
    mark = o.mark()
    put(path, ca.staple("first", -10))
    assert "out of date" in o.wait_for_log("ocsp_refused", 60, mark)
    with Client(o) as c:
        assert c.say(b"NOOP")


def test_a_response_stays_where_another_cannot_be_read(office, ca):
    path = ca.path / "stays.ocsp"
    put(path, ca.staple("first", 1000))
    o = office(users=USERS, sets=ca.first("first") | {"tls_ocsp": path, "fronts": 1})

    def end():
        found = re.search("Next Update: (.*)", s_client(o, "-status"))
        return found and found[1]
    before = end()
    assert before
    with few_descriptors(o.pid, 0):
        put(path, ca.staple("first", 3000))
        o.wait_for_log("tls_ocsp: .*stays.ocsp: Too many open files")
        assert end() == before
    until(lambda: end() not in (None, before), 60, o.log)
    assert o.log().count("Too many open files") == 1


# ---- client certificates ---------------------------------------------------------------------

@pytest.mark.parametrize("how", ["ask", "require"])
def test_client_certificates(office, ca, how):
    finger = ca.issued["client"].fingerprint(hashes.SHA256()).hex()
    box, users = make_maildir(ca.path / f"box-{how}"), ca.path / f"users-{how}"
    users.write_text(f"anna:{{PLAIN}}pw:{NOBODY}:{NOBODY}::/::userdb_mail=maildir:{box} "
                     f"certificate={finger}\n")
    o = office("--users", users, sets=ca.first("first") | {
        "pop3s:client_certificates": how, "fronts": 1})
    own = lax()
    own.load_cert_chain(ca.path / "client.pem", ca.path / "client.key")
    with Client(o, own) as c:
        assert b"EXTERNAL" in c.say(b"CAPA")
        assert c.say(b"AUTH EXTERNAL YW5uYQ==").startswith(b"+OK"), o.log()
        # A ticket would be a certificate without the proof of its key.
        session = c.tls.session
        assert session is None or not session.has_ticket
    if how == "require":
        refused(o)
        o.wait_for_counter("tls_failed_total", 1)
    else:
        with Client(o) as c:
            assert b"EXTERNAL" not in c.say(b"CAPA")
    # Of the other listener nobody is asked.
    said = subprocess.run(
        ["openssl", "s_client", "-starttls", "pop3", "-connect", f"{o.host}:{o.pop3}"],
        input=b"QUIT\r\n", capture_output=True, timeout=60, check=False).stdout.decode()
    assert "No client certificate CA names sent" in said and "Verify return code" in said


# ---- the floor --------------------------------------------------------------------------------

TLS_11 = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]


def test_below_the_floor(house):
    said = s_client(house, *TLS_11)
    assert "alert protocol version" in said, said
    assert house.stat()["tls_old_total"] == 0


def test_old_from_the_networks_named_and_nowhere_else(office, ca):
    o = office(users=USERS, sets=ca.first("first") | ca.section("both-rsa") | {
        "old_tls_networks": "127.0.0.2, 192.0.2.0/24", "fronts": 1})
    assert "alert protocol version" in s_client(o, *TLS_11)
    assert o.stat()["tls_old_total"] == 0
    assert "Protocol  : TLSv1.1" in s_client(o, *TLS_11, source="127.0.0.2")
    assert "Protocol  : TLSv1.1" in s_client(o, *TLS_11, "-servername", "both.example",
                                             source="127.0.0.2")
    assert o.wait_for_counter("tls_old_total", 2) == 2
    assert o.wait_for_counter("signatures_legacy_total", 2) == 2
    assert "TLSv1.3" in s_client(o, source="127.0.0.2")
    assert o.stat()["tls_old_total"] == 2
    shown = subprocess.run([o.build / "restante", "stat", "--socket", o.dir / "run" / "control"],
                           capture_output=True, check=True, timeout=60).stdout.decode()
    assert re.search(r"tls_old_total\D+2\b", shown), shown


def test_profiles_of_listeners(office, ca):
    o = office(users=USERS, sets=ca.first("first") | {
        "tls_profile": "old", "pop3s:tls_profile": "modern", "fronts": 1})
    refused(o, context=lax(high=OLD))
    with Client(o, lax(low=ssl.TLSVersion.TLSv1_3)) as c:
        assert c.tls.version() == "TLSv1.3"
    said = subprocess.run(
        ["openssl", "s_client", "-starttls", "pop3", "-connect", f"{o.host}:{o.pop3}", *TLS_11],
        input=b"QUIT\r\n", capture_output=True, timeout=60, check=False).stdout.decode()
    assert "Protocol  : TLSv1.1" in said, said


# ---- new certificates -------------------------------------------------------------------------

def reload(office):
    count = office.stat()["reloads_total"]
    os.kill(office.pid, signal.SIGHUP)
    office.wait_for_counter("reloads_total", count + 1)


def serial(office):
    with Client(office) as c:
        return c.cert().serial_number


def serial_or_none(office):
    try:
        return serial(office)
    except OSError:
        return None


def test_a_new_certificate_is_for_new_sessions(plain, ca):
    old = ca.issued["turn"].serial_number
    assert serial(plain) == old
    with Client(plain) as standing:
        new = ca.issue("turn", "turn.example").serial_number
        reload(plain)
        until(lambda: serial(plain) == new, 60, plain.log)
        assert standing.cert().serial_number == old
        assert standing.say(b"USER anna").startswith(b"+OK")
        assert standing.say(b"PASS pw").startswith(b"+OK")
        assert standing.say(b"QUIT").startswith(b"+OK")


@pytest.mark.parametrize("what", ["chain", "key", "other"])
def test_a_broken_certificate_changes_nothing(plain, ca, what):
    old = serial(plain)
    with Client(plain) as standing:
        for _ in range(4):  # as often as one tries
            mark = plain.mark()
            if what == "chain":
                put(ca.path / "turn.pem", b"-----BEGIN CERTIFICATE-----\nbm8=\n"
                    b"-----END CERTIFICATE-----\n")
            elif what == "key":
                put(ca.path / "turn.key", b"-----BEGIN PRIVATE KEY-----\nbm8=\n"
                    b"-----END PRIVATE KEY-----\n")
            else:
                put(ca.path / "turn.key", pem_of(ec.generate_private_key(ec.SECP256R1())))
            os.kill(plain.pid, signal.SIGHUP)
            line = plain.wait_for_log("certificate_refused", since=mark)
            assert re.search("chain|key", line), line
            assert serial(plain) == old
        assert standing.say(b"NOOP")
    new = ca.issue("turn", "turn.example").serial_number
    os.kill(plain.pid, signal.SIGHUP)
    until(lambda: serial(plain) == new, 60, plain.log)


BROKEN = "no process can use the certificates"


@pytest.mark.parametrize("keys", ["yes", "no"])
def test_a_front_without_its_certificate_serves_nobody(office, ca, keys):
    """At the start that is told to who starts it; and a front that is renewed meanwhile is
    followed by one that has what it had."""
    ca.issue("turn", "turn.example")
    other = pem_of(ec.generate_private_key(ec.SECP256R1()))
    sets = ca.first("turn") | {"key_process": keys, "fronts": 2, "front_renew": "1s"}
    o = office(users=USERS, sets=sets)
    old, good = serial(o), (ca.path / "turn.key").read_bytes()
    put(ca.path / "turn.key", other)
    os.kill(o.pid, signal.SIGHUP)
    o.wait_for_log(BROKEN)
    fronts = set(o.pids("restante-front"))
    until(lambda: not fronts & set(o.pids("restante-front")), 60, "others have taken their place")
    assert [serial(o) for _ in range(8)] == [old] * 8
    o.stop()
    with pytest.raises(AssertionError) as said:
        office(users=USERS, sets=sets)
    assert "restante-front did not get ready" in str(said.value), said.value
    put(ca.path / "turn.key", good)
    assert serial(office(users=USERS, sets=sets)) == old


def end_those_with_certificates(office):
    """Until others have taken their place."""
    ended = office.pids("restante-front") + office.pids("restante-keys")
    for pid in ended:
        with contextlib.suppress(ProcessLookupError):  # one of one session may have ended
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, ended)), 60, "they have ended")
    until(lambda: serial_or_none(office), 60, "fronts and keys are there again")


@pytest.mark.parametrize("keys", ["yes", "no"])
@pytest.mark.parametrize("sessions", [1, 1000])
def test_processes_that_start_while_the_files_are_broken_have_those_before(office, ca, keys,
                                                                           sessions):
    """Fronts and restante-keys that end take nothing with them; mended files are used again."""
    ca.issue("turn", "turn.example")
    o = office(users=USERS, sets=ca.first("turn") | {
        "fronts": 2, "key_process": keys, "front_sessions": sessions})
    old = serial(o)
    for _ in range(2):  # what was refused is not what is kept
        put(ca.path / "turn.key", pem_of(ec.generate_private_key(ec.SECP256R1())))
        mark = o.mark()
        os.kill(o.pid, signal.SIGHUP)
        o.wait_for_log(BROKEN, since=mark)
        end_those_with_certificates(o)
        assert [serial(o) for _ in range(8)] == [old] * 8
    ca.issue("turn", "turn.example")
    mark = o.mark()
    os.kill(o.pid, signal.SIGHUP)
    o.wait_for_log("was read again", since=mark)
    until(lambda: serial(o) != old, 60, "the new one is in force")
    end_those_with_certificates(o)
    assert serial(o) != old


def test_a_front_that_ends_and_says_nothing_holds_nobody_up(office, ca):
    """It had its one session, and another has its place."""
    ca.issue("turn", "turn.example")
    o = office(users=USERS, sets=ca.first("turn") | {"fronts": 1, "front_sessions": 1})
    first, = o.pids("restante-front")
    c = Client(o)
    second, = until(lambda: set(o.pids("restante-front")) - {first}, 60, o.log)
    until(lambda: o.log().count("event=process_ready child=restante-front") == 2, 60, o.log)
    suspend(first)
    c.close()
    put(ca.path / "turn.key", pem_of(ec.generate_private_key(ec.SECP256R1())))
    os.kill(o.pid, signal.SIGHUP)
    o.wait_for_log(rf"front pid={second} event=certificate_refused")
    assert BROKEN not in o.log()
    os.kill(first, signal.SIGCONT)
    o.wait_for_log(BROKEN)


# ---- the process for keys ------------------------------------------------------------------------

def keys_of(office):
    return until(lambda: office.pids("restante-keys"), 60, office.log)[0]


def greets(office):
    try:
        Client(office).close()
    except OSError:  # ssl.SSLError is one
        return False
    return True


def test_killed_and_back(office, ca):
    o = office(users=USERS, sets=ca.first("first") | {"fronts": 2})
    fronts, keys = o.pids("restante-front"), keys_of(o)
    with Client(o) as standing:
        assert standing.say(b"USER anna").startswith(b"+OK")
        os.kill(keys, signal.SIGKILL)
        until(lambda: not alive(keys), 60)

        until(lambda: greets(o), 60, o.log, 0.05)
        assert standing.say(b"PASS pw").startswith(b"+OK")
        assert standing.say(b"QUIT").startswith(b"+OK")
    assert keys_of(o) != keys
    assert o.pids("restante-front") == fronts
    assert o.stat()["protocol_faults_total"] == 0


def test_stopped_costs_two_seconds_once(office, ca):
    o = office(users=USERS, sets=ca.first("first") | {"fronts": 1})
    fronts, keys = o.pids("restante-front"), keys_of(o)
    with Client(o) as standing:
        suspend(keys)
        try:
            hello = socket.create_connection((o.host, o.pop3s), 60)
            tls = lax().wrap_socket(hello, do_handshake_on_connect=False)
            tls.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            begin = time.monotonic()
            longest = 0
            while time.monotonic() < begin + 3:
                sent = time.monotonic()
                assert standing.say(b"USER anna").startswith(b"+OK")
                longest = max(longest, time.monotonic() - sent)
                if longest > 1:
                    break
            assert 1 < longest < 3.8
            # The link counts as dead, so that the next one fails at once.
            took = []  # the machine is busy now and then, not each time
            while len(took) < 3 and min(took, default=1.9) >= 1.9:
                sent = time.monotonic()
                refused(o)
                took.append(time.monotonic() - sent)
            assert min(took) < 1.9, took
            assert standing.say(b"PASS pw").startswith(b"+OK")
            tls.close()
        finally:
            os.kill(keys, signal.SIGCONT)
    # It goes on where it was.
    until(lambda: greets(o), 60, o.log)
    assert keys_of(o) == keys
    assert o.pids("restante-front") == fronts


def test_the_front_signs_inside_its_cage(house):
    for pid in house.pids("restante-front") + house.pids("restante-keys"):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Seccomp:\s*2$", status, re.M)
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.M)
