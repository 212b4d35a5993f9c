"""Processes of the office that come and go: the one that signs, auth, control, the fronts of
listeners that assert something; and what a running office takes in: certificates, a list of
those who are denied."""
import json
import os
import poplib
import signal
import socket
import ssl
import subprocess

import pytest

from postoffice import alive, few_descriptors, until

BERT = ("bert", "secret")


def login(office, tls=True, user=BERT, context=None):
    if tls:
        context = context or ssl.create_default_context(cafile=office.ca)
        p = poplib.POP3_SSL("localhost", office.pop3s, context=context, timeout=60)
    else:
        p = poplib.POP3(office.host, office.pop3, timeout=60)
    p.user(user[0])
    p.pass_(user[1])
    return p


def restante(office, *args, status=0):
    r = subprocess.run(
        [office.build / "restante", args[0], "--socket", office.dir / "run" / "control", *args[1:]],
        capture_output=True, text=True, timeout=60)
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    return r.stdout


def who(office):
    return json.loads(restante(office, "who", "--json"))


def self_signed(base, name, kind="ec"):
    key, cert = base / f"{name}.key", base / f"{name}.pem"
    how = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}[kind]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *how, "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key,
                    "-out", cert], check=True, capture_output=True)
    return cert, key


def certificate_of(office, name="localhost"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((office.host, office.pop3s), 60) as s, \
            context.wrap_socket(s, server_hostname=name) as t:
        assert t.recv(512).startswith(b"+OK")
        return t.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize("program", ["restante-keys", "restante-auth", "restante-control"])
def test_a_killed_process_is_back_and_sessions_live(office, program):
    o = office(users=[BERT], sets={"fronts": 1})
    p = login(o)
    old, since = o.pids(program), o.mark()
    assert len(old) == 1
    os.kill(old[0], signal.SIGKILL)
    o.wait_for_log(rf"event=process_ready child={program} ", since=since)
    assert not alive(old[0])
    assert p.noop().startswith(b"+OK")
    p.quit()
    again = login(o)
    rows = until(lambda: who(o), why="the new session is not shown")
    assert rows[0]["user"] == "bert" and rows[0]["tls"] is True
    assert restante(o, "why", "bert", "from", "127.0.0.1").count("refused: no\n") == 1
    again.quit()


def ended(session):
    try:
        session.noop()
    except (poplib.error_proto, OSError):
        return True
    return False


def test_who_kick_and_why(office):
    o = office(users=[BERT, ("anna", "secret")], sets={"login_failure_delay": "0"})
    bert, anna = login(o, tls=False), login(o, user=("anna", "secret"))
    rows = {r["user"]: r for r in who(o)}
    assert set(rows) == {"bert", "anna"}
    assert rows["bert"]["tls"] is False and rows["bert"]["address"] == "127.0.0.1"
    assert 'user="anna"' in restante(o, "who")
    assert restante(o, "kick", "nobody") == "kicked 0\n"
    one = rows["bert"]
    assert restante(o, "kick", "--session", f"{one['front']}/{one['session']}") == "kicked 1\n"
    # Told first, done then: the word goes on through the monitor to the session's process.
    until(lambda: ended(bert), why="a kicked session is still served")
    until(lambda: [r["user"] for r in who(o)] == ["anna"], why="a kicked session is still shown")
    assert anna.noop().startswith(b"+OK")
    assert restante(o, "kick", "--address", "127.0.0.0/8") == "kicked 1\n"
    until(lambda: not who(o), why="a kicked session is still shown")
    with pytest.raises(poplib.error_proto) as refused:
        login(o, tls=False, user=("bert", "wrong"))
    ticket = str(refused.value).rsplit("(id ", 1)[1][:8]
    text = restante(o, "why", ticket, status=1)
    assert "user: bert\n" in text and "reason: password\n" in text
    assert "refused: yes\n" in restante(o, "why", "nobody", "from", "::1", status=1)
    restante(o, "why", "0000-001", status=75)
    for wrong in (["kick"], ["kick", "a", "b"], ["kick", "--address", "10.0.0.1/8"],
                  ["why", "bert"], ["why", "bert", "from", "nowhere"],
                  ["why", "bert", "from", "::1", "--mechanism", "magic"], ["who", "--processes"]):
        restante(o, *wrong, status=64)


def test_listeners_that_assert_have_fronts_of_their_own(office):
    anna = ("anna", "secret")
    o = office(users=[BERT, anna], sets={"fronts": 1, "pop3:xclient_networks": "127.0.0.0/8"})
    assert len(o.pids("restante-front")) == 2
    plain, secure = login(o, tls=False, user=anna), login(o)
    rows = {r["tls"]: r["front"] for r in who(o)}
    assert rows[True] != rows[False], "one front serves both kinds of listeners"
    plain.quit()
    # Taken away, those fronts go, and the others serve that listener too.
    conf = o.dir / "restante.conf"
    conf.write_text(conf.read_text().replace("xclient_networks = 127.0.0.0/8\n", ""))
    restante(o, "reload")
    until(lambda: len(o.pids("restante-front")) == 1, why="the fronts are still there")
    assert secure.noop().startswith(b"+OK")
    login(o, tls=False, user=anna).quit()
    secure.quit()


@pytest.mark.parametrize("key_process", ["yes", "no"])
def test_a_reload_changes_certificates_and_no_session(office, base, key_process):
    cert, key = self_signed(base, "one.example")
    rsa, rsa_key = self_signed(base, "two.example", "rsa")
    o = office(users=[BERT], sets={"fronts": 2, "key_process": key_process})
    assert len(o.pids("restante-keys")) == (key_process == "yes")
    p = login(o)
    before = certificate_of(o)
    (o.dir / "key.pem").write_bytes(key.read_bytes())
    (o.dir / "cert.pem").write_bytes(cert.read_bytes())
    with open(o.dir / "restante.conf", "a") as f:
        f.write(f"\n[certificate two]\ncertificate = {rsa}\nkey = {rsa_key}\n")
    since = o.mark()
    os.kill(o.pid, signal.SIGHUP)
    o.wait_for_log("was read again and is in force", since=since)
    until(lambda: certificate_of(o) == der(cert), why="the old certificate is still served")
    assert before != der(cert)
    # The other front may answer now, which takes them in turns of its own.
    until(lambda: certificate_of(o, "two.example") == der(rsa), why="a front lacks the new one")
    until(lambda: certificate_of(o, "none.example") == der(cert), why="a front has the old one")
    assert p.noop().startswith(b"+OK")
    p.quit()


def test_the_deny_list_counts_anew_when_it_changes(office, base):
    deny = base / "deny"
    deny.write_text("# nobody yet\nrubbish\n192.0.2.0/24\n")
    o = office(users=[BERT], sets={"deny_file": deny})
    o.wait_for_log(r"deny:2: rubbish: must be an address")
    o.wait_for_log(r"deny_file: 1 networks are not served")
    login(o).quit()
    since = o.mark()
    deny.write_text("127.0.0.0/8\n")
    o.wait_for_log(r"deny_file: 1 networks are not served", since=since)

    def is_denied():
        with socket.create_connection((o.host, o.pop3), 60) as s:
            try:
                return s.recv(512) == b""
            except ConnectionResetError:
                return True
    until(is_denied, why="a denied address is served")
    # Without the option, and a reload, nobody is denied.
    conf = o.dir / "restante.conf"
    conf.write_text("".join(x for x in conf.read_text().splitlines(True)
                            if not x.startswith("deny_file")))
    restante(o, "reload")
    until(lambda: not is_denied(), why="the list is still in force")


def test_a_deny_list_that_cannot_be_put_in_force_is_told_once(office, base):
    deny = base / "deny"
    deny.write_text("192.0.2.0/24\n")
    o = office(users=[BERT], sets={"deny_file": deny})
    o.wait_for_log("deny_file: 1 networks are not served")
    since = o.mark()
    with few_descriptors(o.pid, 1):  # for the file, and none for what comes of it
        deny.write_text("192.0.2.0/24\nrubbish\n198.51.100.0/24\n")
        o.wait_for_log("Too many open files; what was denied before is denied still")
        assert not [x for x in o.lines[since:] if "rubbish" in x]
    o.wait_for_log("deny_file: 2 networks are not served", since=since)
    said = "\n".join(o.lines[since:])
    assert said.count("deny:2: rubbish") == 1
    assert said.count("is denied still") == 1


def test_a_helper_that_does_not_start_is_said(office, tmp_path):
    o = office(users=[BERT], sets={
        "databases": "sql file", "sql_database": f"sqlite:{tmp_path}/none", "sql_query": "SELECT 1"}, wait=False)
    assert o.process.wait(60) != 0
    o.stopped = True
    o.wait_for_log("restante-auth-sql did not get ready")


def test_a_killed_helper_is_back(office, base):
    program = base / "check"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    o = office(users=[BERT], sets={"databases": "file command", "command_path": program})
    old = o.pids("restante-auth-command")
    assert len(old) == 2
    p, since = login(o), o.mark()
    os.kill(old[0], signal.SIGKILL)
    o.wait_for_log("event=process_ready child=restante-auth-command ", since=since)
    assert len(o.pids("restante-auth-command")) == 2
    assert p.noop().startswith(b"+OK")
    p.quit()
    login(o).quit()
