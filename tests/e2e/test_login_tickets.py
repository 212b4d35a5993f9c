"""The rows of the login table that bring a Kerberos ticket, of a real key server. KPOP by fetchmail is
in test_kerberos.py."""
import pytest
from fetch_dovecot import Realm
from login_clients import CLIENTS, TICKETS, Account
from postoffice import make_maildir

WAYS = ("pop3s", "stls")
ROWS = [(c, m, way) for c in TICKETS for m in TICKETS[c] for way in WAYS]
MARK = "the letter of the ticket table"


@pytest.fixture(scope="module")
def realm(module_base):
    r = Realm(module_base)
    r.run("kadmin.local", "-q", "addprinc -pw secret berta")
    r.keytab.chmod(0o600)
    yield r
    r.stop()


@pytest.fixture(scope="module")
def house(realm, module_office, module_base):
    lines = []
    for name in ("anna", "berta"):
        box = make_maildir(module_base / name / "Maildir", [f"Subject: {MARK}\n\nfor {name}\n".encode()], 5000)
        lines.append(f"{name}:{{PLAIN}}a-word:5000:5000::::userdb_mail=maildir:{box}\n")
    users = module_base / "users"
    users.write_text("".join(lines))
    users.chmod(0o600)
    return module_office("--users", users, sets={
        "krb5_keytab": realm.keytab, "krb5_realm": "EXAMPLE.TEST", "krb5_hostname": "localhost",
        "krb5_config": realm.env["KRB5_CONFIG"], "mail_roots": module_base,
        "login_failure_delay": "0", "growing_penalty": "no", "connections_per_user": "100"})


def run(o, base, row, user, ticket):
    client, mechanism, way = row
    status, output = CLIENTS[client](base, Account(o, user, "", mechanism, way, ticket=ticket))
    return status, output + "".join(p.read_text() for p in base.glob("box/*/*"))


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_right(house, realm, base, row):
    since = house.mark()
    status, got = run(house, base, row, "anna", realm.ticket("anna"))
    assert status == 0 and MARK in got and "for anna" in got, got
    assert "tls=TLSv1." in house.wait_for_log("event=login user=anna mechanism=GSSAPI ", since=since)


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_another_users(house, realm, base, row):
    """A good ticket, of somebody else. mpop does not say whom it wants to be, so it gets what is the
    ticket's; the others are refused."""
    since = house.mark()
    status, got = run(house, base, row, "berta", realm.ticket("anna"))
    assert "for berta" not in got, got
    if row[0] == "mpop":
        assert status == 0 and "for anna" in got, got
    else:
        assert status != 0 and MARK not in got, got
        house.wait_for_log("event=login_failed .*mechanism=GSSAPI ", since=since)
    assert not [x for x in house.lines[since:] if "event=login user=berta " in x]


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_none(house, realm, base, row):
    none = {"KRB5_CONFIG": realm.env["KRB5_CONFIG"], "KRB5CCNAME": f"FILE:{base}/none"}
    status, got = run(house, base, row, "anna", none)
    assert status != 0 and MARK not in got, got
