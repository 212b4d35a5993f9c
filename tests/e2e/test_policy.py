"""What a user's line allows (restante-users(5)), through a whole office: each extra field lets
its user in or not, the client learns no more than an id, and `restante why` names the row."""
import base64
import hashlib
import hmac
import os
import re
import smtplib
import ssl
import subprocess

import pytest

from pop import Pop
from postoffice import NOBODY, make_maildir, until

ID = re.compile(rb" \(id ([0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{3})\)\r\n$")
FORBIDDEN = b"-ERR [AUTH] this login is not permitted"
WRONG = b"-ERR [AUTH] name or password is wrong"
# The line's extra fields, and the row of policy that forbids a login by USER, without TLS,
# from 127.0.0.1, or None.
USERS = {
    "plain": ("", None),
    "near": ("allow_nets=127.0.0.0/8,2001:db8::/32", None),
    "far": ("allow_nets=192.0.2.0/24,2001:db8::/32", "allow_nets"),
    "off": ("nologin=yes", "nologin"),
    "imap": ("pop3=no", "pop3"),
    "secure": ("tls=yes", "tls"),
    "scram": ("mechanisms=SCRAM-SHA-256,CRAM-MD5", "mechanisms"),
    "stamp": ("apop=yes", "apop"),
    "both": ("allow_nets=192.0.2.1 nologin=yes", "nologin"),  # the first row counts
    "reader": ("userdb_read_only=yes", None),
    "old": ("expire=7 login_delay=3", None),
    "one": ("connections=1", None),
    "slow": ("logins_per_minute=1", None),
    "typo": ("allow_net=127.0.0.1", "fault"),
    "empty": ("userdb_read_only=", "fault"),
}


def line(name, extra, where):
    return f"{name}:{{PLAIN}}word:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{where / name} {extra}\n"


@pytest.fixture(scope="module")
def users(module_base):
    where = module_base / "mail"
    where.mkdir()
    for name in USERS:
        make_maildir(where / name, [b"Subject: one\n\nhello\n"])
    os.chown(where, NOBODY, NOBODY)
    path = module_base / "users"
    path.write_text("".join(line(name, extra, where) for name, (extra, _) in USERS.items()))
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def office(module_office, users):
    return module_office("--users", users, "--lmtp", "127.0.0.1:0", sets={
        "login_failure_delay": "0", "logins_burst": "2", "expire": "30", "pop3:apop": "yes",
        "lock_takeover": "1h"})


def connect(o, tls=False):
    return Pop("localhost" if tls else o.host, o.pop3s if tls else o.pop3,
               tls_ca=o.ca if tls else None)


def restante(o, *args):
    r = subprocess.run([o.build / "restante", args[0], "--socket", o.dir / "run" / "control",
                        *args[1:]], capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout


def why(o, name, *more):
    status, text = restante(o, "why", name, "from", *(more or ("127.0.0.1", "--no-tls")))
    return status, dict(x.split(": ", 1) for x in text.splitlines())


def apop(p, name, word="word"):
    stamp = re.search(rb"<[^>]+>", p.greeting).group(0)
    return p.say(f"APOP {name} {hashlib.md5(stamp + word.encode()).hexdigest()}")


@pytest.mark.parametrize("name", USERS)
def test_who_is_let_in(office, name):
    extra, row = USERS[name]
    with connect(office) as p:
        said = p.login(name, "word")
    if row is None:
        assert said.startswith(b"+OK"), said
        assert why(office, name)[0] == 0
        return
    # The refusal holds its text and an id: nothing that depends on the row.
    text = WRONG if row == "fault" else FORBIDDEN
    refused = ID.search(said).group(1).decode()
    assert said == text + f" (id {refused})\r\n".encode()
    status, told = why(office, name)
    assert status == 1 and told["refused"] == "yes"
    assert restante(office, "why", refused)[0] == 1
    _, by_id = restante(office, "why", refused)
    assert f"user: {name}\n" in by_id and "address: 127.0.0.1\n" in by_id
    if row == "fault":
        return
    assert told["reason"].startswith(row), told
    assert told[f"policy_{row}"] == "forbids"
    first = [k for k, v in told.items() if v == "forbids"][0]
    assert first == f"policy_{row}"
    assert f"reason: {told['reason']}\n" in by_id


@pytest.mark.parametrize("name", [n for n, (_, row) in USERS.items() if row])
def test_with_the_wrong_password_all_are_alike(office, name):
    with connect(office) as p:
        said = p.login(name, "wrong")
    assert ID.sub(b"", said) == WRONG


def test_why_knows_other_connections(office):
    assert why(office, "secure", "127.0.0.1", "--tls")[0] == 0
    assert why(office, "far", "192.0.2.9", "--no-tls")[0] == 0
    assert why(office, "near", "192.0.2.9", "--no-tls")[1]["policy_allow_nets"] == "forbids"
    assert why(office, "scram", "127.0.0.1", "--mechanism", "CRAM-MD5")[0] == 0
    assert why(office, "stamp", "127.0.0.1", "--mechanism", "APOP")[0] == 0
    assert why(office, "plain", "127.0.0.1", "--mechanism", "APOP")[1]["policy_apop"] == "forbids"


def test_an_unknown_field_is_said_with_its_place(office, users):
    number = list(USERS).index("typo") + 1
    told = office.wait_for_log(rf"event=users_fault file=\S+/users line={number} user=typo ")
    assert 'fault="unknown extra field' in told and "about=allow_net" in told


def test_tls_alone_lets_in(office):
    with connect(office, tls=True) as p:
        assert p.login("secure", "word").startswith(b"+OK")


def test_named_mechanisms_alone_let_in(office):
    with connect(office, tls=True) as p:
        challenge = base64.b64decode(p.say("AUTH CRAM-MD5")[2:])
        digest = hmac.new(b"word", challenge, "md5").hexdigest()
        assert p.say(base64.b64encode(f"scram {digest}".encode())).startswith(b"+OK")
    with connect(office, tls=True) as p:
        assert p.say("AUTH PLAIN " + base64.b64encode(b"\0scram\0word").decode()).startswith(FORBIDDEN)


def test_apop_and_then_no_password(office):
    """RFC 1939 s.13: one or the other, so that who has heard one does not have the other."""
    with connect(office) as p:
        assert apop(p, "stamp").startswith(b"+OK")
    with connect(office) as p:
        assert apop(p, "plain").startswith(b"-ERR [AUTH]")
    with connect(office) as p:
        assert ID.sub(b"", apop(p, "stamp", "wrong")) == WRONG


def test_read_only(office):
    with connect(office) as p:
        assert p.login("reader", "word").startswith(b"+OK")
        assert p.say("RETR 1").startswith(b"+OK")
        p.body()
        assert p.say("DELE 1").startswith(b"-ERR")
        assert p.say("QUIT").startswith(b"+OK")


def capa(p):
    return {x.split(b" ", 1)[0]: x.split(b" ")[1:] for x in p.multi("CAPA")}


def test_expire_and_login_delay_are_announced(office):
    """RFC 2449 s.6.5, s.6.7: before the login the strictest, with USER; then the user's own."""
    with connect(office) as p:
        before = capa(p)
        assert before[b"EXPIRE"] == [b"7", b"USER"]
        assert before[b"LOGIN-DELAY"] == [b"3", b"USER"]
        until(lambda: p.login("old", "word").startswith(b"+OK"), tick=0.2)
        after = capa(p)
        assert after[b"EXPIRE"] == [b"7"] and after[b"LOGIN-DELAY"] == [b"3"]
        p.say("QUIT")
    with connect(office) as p:
        assert p.login("old", "word").startswith(b"-ERR [LOGIN-DELAY]")
    with connect(office) as p:
        assert p.login("near", "word").startswith(b"+OK")
        assert capa(p)[b"EXPIRE"] == [b"30"]
        assert capa(p).get(b"LOGIN-DELAY", [b"0"]) == [b"0"]


def test_connections(office):
    """Who holds the maildrop does not count; who waits for it does (option lock_takeover)."""
    with connect(office) as p, connect(office) as second, connect(office) as third:
        assert p.login("one", "word").startswith(b"+OK")
        for other in (second, third):
            assert other.say("USER one").startswith(b"+OK")
        for other in (second, third):  # the first one waits for two seconds at most
            other.send(b"PASS word\r\n")
        said = [other.line() for other in (second, third)]
        assert all(x.startswith(b"-ERR [IN-USE]") for x in said), said
        assert sum(x.startswith(b"-ERR [IN-USE] too many sessions") for x in said) == 1, said
        p.say("QUIT")
    with connect(office) as p:
        assert p.login("one", "word").startswith(b"+OK")


def test_logins_per_minute(office):
    """The burst is served; what comes beyond it is not, though the password is right."""
    said = []
    for _ in range(4):
        with connect(office) as p:
            said.append(p.login("slow", "word"))
            p.say("QUIT")
    assert any(x.startswith(b"-ERR [SYS/TEMP] too many logins of this user") for x in said), said
    refused = ID.search(said[-1]).group(1).decode()
    assert "reason: logins_per_minute\n" in restante(office, "why", refused)[1]


@pytest.mark.parametrize("name", ["off", "imap", "far"])
def test_mail_comes_in_for_those_who_cannot_log_in(office, users, name):
    host, port = office.lmtp_at.rsplit(":", 1)
    new = users.parent / "mail" / name / "new"
    before = len(list(new.iterdir()))
    with smtplib.LMTP(host, int(port)) as m:
        m.sendmail("a@example.org", [name], "Subject: two\r\n\r\nhello\r\n")
    assert len(list(new.iterdir())) == before + 1


def make_certificate(base, name):
    pem = base / f"{name}.client.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", pem, "-out", f"{pem}.crt"], check=True, capture_output=True)
    with open(pem, "a") as f:
        f.write(open(f"{pem}.crt").read())
    der = ssl.PEM_cert_to_DER_cert(open(f"{pem}.crt").read())
    return pem, hashlib.sha256(der).hexdigest()


def external(o, pem, name):
    context = ssl.create_default_context(cafile=o.ca)
    if pem:
        context.load_cert_chain(pem)
    p = Pop(o.host, o.pop3)
    assert p.say("STLS").startswith(b"+OK")
    p.s = context.wrap_socket(p.s, server_hostname="localhost")
    said = p.say("AUTH EXTERNAL " + base64.b64encode(name.encode()).decode())
    p.close()
    return said


def test_certificate(module_office, module_base):
    """EXTERNAL: the fingerprint in the user's own line, and nobody else's."""
    pem, digest = make_certificate(module_base, "anna")
    other, _ = make_certificate(module_base, "other")
    where = module_base / "certified"
    where.mkdir()
    for name in ("anna", "bert"):
        make_maildir(where / name)
    os.chown(where, NOBODY, NOBODY)
    path = module_base / "certified-users"
    path.write_text(line("anna", f"certificate={digest}", where) + line("bert", "", where))
    o = module_office("--users", path, sets={"login_failure_delay": "0",
                                             "pop3:client_certificates": "ask"})
    assert external(o, pem, "anna").startswith(b"+OK")
    assert ID.sub(b"", external(o, pem, "bert")) == WRONG
    assert ID.sub(b"", external(o, other, "anna")) == WRONG
    assert external(o, None, "anna").startswith(b"-ERR")
    assert why(o, "bert", "127.0.0.1", "--mechanism", "EXTERNAL")[1]["reason"].startswith("certificate")
