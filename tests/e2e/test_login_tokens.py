"""The rows of the login table that bring a token of an identity provider: right, another's, forged,
run out, and cut short."""
import time

import pytest
from identity_provider import AUDIENCE, ISSUER, Key, Provider, claims
from login_clients import CLIENTS, TOKENS, Account
from postoffice import make_maildir

pytestmark = pytest.mark.anyone

WAYS = ("pop3s", "stls")
ROWS = [(c, m, way) for c in TOKENS for m in TOKENS[c] for way in WAYS]
MARK = "the letter of the token table"
BAD = {
    "another user's": lambda p, name: p.token(email="somebody@example.test"),
    "another key": lambda p, name: Key("ES256", "first").token(claims(email=name)),
    "run out": lambda p, name: p.token(email=name, exp=int(time.time()) - 300),
    "cut": lambda p, name: p.token(email=name)[:-7],
}


def user_of(client, mechanism, way):
    return f"{client}-{mechanism.lower()}-{way}"


@pytest.fixture(scope="module")
def provider(module_base):
    with Provider(module_base) as p:
        yield p


@pytest.fixture(scope="module")
def house(provider, module_office, module_base):
    lines = []
    for row in ROWS:
        name = user_of(*row)
        box = make_maildir(module_base / name / "Maildir", [f"Subject: {MARK}\n\n{name}\n".encode()])
        owner = box.stat()
        lines.append(f"{name}:{{PLAIN}}a-word:{owner.st_uid}:{owner.st_gid}::::userdb_mail=maildir:{box}\n")
    users = module_base / "users"
    users.write_text("".join(lines))
    users.chmod(0o600)
    common = {
        "oauth_jwks": provider.url("/keys"), "oauth_ca": provider.ca, "oauth_issuer": ISSUER,
        "oauth_audience": AUDIENCE, "login_failure_delay": "0", "growing_penalty": "no",
        "connections_per_address": "500"}
    # Where both are offered, curl takes OAUTHBEARER whatever it is told.
    both, old = module_office("--users", users, sets=common), module_office("--users", users, sets={
        **common, "mechanisms": "XOAUTH2"})
    return {"OAUTHBEARER": both, "XOAUTH2": both, ("curl", "XOAUTH2"): old}


def office_of(house, row):
    return house.get(row[:2], house[row[1]])


def run(o, base, row, token):
    client, mechanism, way = row
    status, output = CLIENTS[client](base, Account(o, user_of(*row), token.decode(), mechanism, way))
    return status, output, output + "".join(p.read_text() for p in base.glob("box/*/*"))


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_right(house, provider, base, row):
    o = office_of(house, row)
    name, since = user_of(*row), o.mark()
    token = provider.token(email=name)
    status, output, got = run(o, base, row, token)
    assert status == 0 and MARK in got, output
    line = o.wait_for_log(f"event=login user={name} ", since=since)
    assert f"mechanism={row[1]} " in line and "tls=TLSv1." in line
    assert token.decode() not in o.log()


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_bad(house, provider, base, row, what):
    o = office_of(house, row)
    name, since = user_of(*row), o.mark()
    token = BAD[what](provider, name)
    status, output, got = run(o, base, row, token)
    assert status != 0 and MARK not in got, output
    line = o.wait_for_log(rf"event=login_failed .*mechanism={row[1]} ", since=since)
    assert "address=127.0.0.1" in line and "tls=1" in line, line
    assert not [x for x in o.lines[since:] if f"event=login user={name} " in x]
    assert token.decode() not in o.log()
