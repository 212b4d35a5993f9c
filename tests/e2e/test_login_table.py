"""The table of mechanism and client: mail programs in use log in by every mechanism that they
know, over STLS and POP3S, with the right password and a wrong one. That it was this mechanism
is read from the server's own log line."""
import hashlib
import re
import subprocess

import pytest
from login_clients import CLIENTS, MECHANISMS, NO_STLS, TICKETS, TOKENS, Account
from postoffice import ROOT, make_maildir

pytestmark = pytest.mark.anyone

WAYS = ("pop3s", "stls")
MARK = "the letter of the login table"
ROWS = [(c, m, way) for c in CLIENTS for m in MECHANISMS[c] for way in WAYS
        if way == "pop3s" or (c, m) not in NO_STLS]


def client_certificate(base):
    """A self-signed one, and the SHA-256 of it that stands in the user's record."""
    key, cert = base / "client.key", base / "client.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=client"],
                   check=True, capture_output=True)
    der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], check=True,
                         capture_output=True).stdout
    pem = base / "client.pem"
    pem.write_text(cert.read_text() + key.read_text())
    return str(pem), hashlib.sha256(der).hexdigest()


def user_of(client, mechanism, way):
    return f"{client}-{mechanism.lower()}-{way}"


@pytest.fixture(scope="module")
def house(module_office, module_base):
    """Two offices over one users file: one whose greeting has a stamp, one that asks for certificates."""
    pem, fingerprint = client_certificate(module_base)
    lines = []
    for client, mechanism, way in ROWS:
        name = user_of(client, mechanism, way)
        box = make_maildir(module_base / name / "Maildir", [f"Subject: {MARK}\n\n{name}\n".encode()])
        extra = [f"userdb_mail=maildir:{box}"]
        if mechanism == "APOP":
            extra.append("apop=yes")
        if mechanism == "EXTERNAL":
            extra.append(f"certificate={fingerprint}")
        owner = box.stat()
        lines.append(f"{name}:{{PLAIN}}right-{name}:{owner.st_uid or ''}:{owner.st_gid or ''}::::{' '.join(extra)}\n")
    users = module_base / "users"
    users.write_text("".join(lines))
    users.chmod(0o600)
    common = {"login_failure_delay": "0", "growing_penalty": "no", "connections_per_address": "500"}
    plain = module_office("--users", users, sets=common)
    stamp = module_office("--users", users, sets={**common, "pop3:apop": "yes", "pop3s:apop": "yes"})
    asks = module_office("--users", users, sets={
        **common, **{f"{x}:{key}": value for x in ("pop3", "pop3s") for key, value in (
            ("client_certificates", "ask"), ("mechanisms", "USER, EXTERNAL"))}})
    plain.by = {"APOP": stamp, "EXTERNAL": asks}
    plain.pem = pem
    return plain


def account(house, client, mechanism, way, password):
    office = house.by["EXTERNAL"] if (client, mechanism) == ("curl", "USER") else house.by.get(mechanism, house)
    return Account(office, user_of(client, mechanism, way), password, mechanism,
                   way, house.pem if mechanism == "EXTERNAL" else "")


@pytest.mark.parametrize("client,mechanism,way", ROWS)
def test_right(house, base, client, mechanism, way):
    name = user_of(client, mechanism, way)
    a = account(house, client, mechanism, way, f"right-{name}")
    since = a.office.mark()
    status, output = CLIENTS[client](base, a)
    got = output + "".join(p.read_text() for p in base.glob("box/*/*"))
    assert status == 0 and MARK in got, output
    line = a.office.wait_for_log(rf"event=login .*user={name}\b", since=since)
    assert f"mechanism={mechanism} " in line + " " and "tls=TLSv1." in line


@pytest.mark.parametrize("client,mechanism,way", ROWS)
def test_wrong(house, base, client, mechanism, way):
    """Never let in, whatever the program says of it; and the log says who, how, and from where."""
    name = user_of(client, mechanism, way)
    wrong = f"wrong-{name}"
    a = account(house, client, mechanism, way, wrong)
    if mechanism == "EXTERNAL":  # somebody else's certificate
        a.certificate = client_certificate(base)[0]
    since = a.office.mark()
    status, output = CLIENTS[client](base, a)
    got = output + "".join(p.read_text() for p in base.glob("box/*/*"))
    assert MARK not in got
    assert status != 0 or client == "getmail", output
    line = a.office.wait_for_log(rf"event=login_failed .*user={name}\b", since=since)
    assert f"mechanism={mechanism} " in line + " " and "address=127.0.0.1" in line and "tls=1" in line
    assert not [x for x in a.office.lines[since:] if "event=login " in x and f"user={name} " in x]
    assert wrong not in a.office.log()


def test_the_table_is_written():
    """doc/clients.md says what is tried here, and nothing else."""
    text = (ROOT / "doc" / "clients.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([A-Z][A-Z0-9-]+) \| ([^|]+) \|", text, re.M)
    assert len(rows) == len(set(rows))
    ways = {False: "TLS port, STLS", True: "TLS port"}
    assert set(rows) == {("fetchmail", "KPOP", "no TLS")} | {
        (c, m, ways[(c, m) in NO_STLS])
        for table in (MECHANISMS, TOKENS, TICKETS) for c in table for m in table[c]}
