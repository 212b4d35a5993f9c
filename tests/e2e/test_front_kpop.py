"""fetchmail with a ticket at a front's KPOP: a real KDC, and the helper that knows its key."""
import itertools
import os
import subprocess

import pytest

import helper_alone
from fetch_dovecot import Realm
from front_alone import KPOP, Front, Keeper
from helper_alone import NAME, Helper

MAIL = [b"From: a@example.test\nSubject: one\n\nfirst\n", b"From: b@example.test\nSubject: two\n\nsecond\n"]
talks = itertools.count(1)


@pytest.fixture(name="realm", scope="module")
def fixture_realm(module_base):
    realm = Realm(module_base)
    realm.keytab.chmod(0o600)
    yield realm
    realm.stop()


def helper_for(realm):
    return Helper("krb5", {"krb5_keytab": realm.keytab, "krb5_realm": "EXAMPLE.TEST", "krb5_hostname": "localhost",
                           "krb5_config": realm.env["KRB5_CONFIG"]})


@pytest.fixture(name="front")
def fixture_front(tmp_path):
    front = Front(tmp_path, listen=False)
    front.listen(kpop=1, plaintext=0)
    yield front
    front.close()


RELAY = """import os, select, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while True:
    for fd in select.select([0, s.fileno()], [], [])[0]:
        data = os.read(fd, 65536)
        if not data:
            sys.exit()
        s.sendall(data) if fd == 0 else os.write(1, data)
"""


def fetchmail(realm, tmp_path, port):
    """It takes a connection for KPOP at port 1109 only; a program brings it to a free one."""
    (tmp_path / "relay").write_text(RELAY)
    rc = tmp_path / "fetchmailrc"
    rc.write_text(f"poll localhost protocol KPOP auth kerberos_v5 timeout 20 "
                  f"plugin \"/usr/bin/python3 {tmp_path}/relay {port}\" "
                  f"user anna there password none sslproto '' fetchall no rewrite "
                  f"mda \"cat >> {tmp_path}/box\"\n")
    rc.chmod(0o600)
    env = dict(os.environ, **realm.ticket(), HOME=str(tmp_path), FETCHMAILHOME=str(tmp_path))
    return subprocess.Popen(["fetchmail", "--nosyslog", "-v", "-f", str(rc), "--pidfile", str(tmp_path / "pid")],
                            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_fetchmail_brings_a_ticket(realm, front, tmp_path):
    helper = helper_for(realm)
    client = fetchmail(realm, tmp_path, front.ports[0])
    try:
        asked = front.asked()
        assert asked.mechanism == KPOP
        answer = helper.step(next(talks), asked.response, mechanism=helper_alone.KPOP)
        assert (answer.outcome, answer.name) == (NAME, b"anna") and answer.octets
        front.challenge(asked.session, answer.octets)
        session, cancelled, name = front.response()
        assert (session, cancelled, name) == (asked.session, 0, b"anna")
        keeper = Keeper(front.attach(session, b"anna"), MAIL, tmp_path)
        keeper.open()
        seen = []
        while len(seen) < len(MAIL):
            seen += keeper.serve_want()
        assert keeper.verdict() == [1, 2]
        keeper.done(1, 2, 0)
        said = client.communicate(timeout=60)[0].decode()
        assert client.returncode == 0, said
    finally:
        client.kill()
        client.wait()
    box = (tmp_path / "box").read_bytes()
    assert b"first" in box and b"second" in box
    assert helper.done() == 0


def test_fetchmail_reads_the_refusal(realm, front, tmp_path):
    client = fetchmail(realm, tmp_path, front.ports[0])
    try:
        front.fail(front.asked().session, delay_ms=100)
        said = client.communicate(timeout=60)[0].decode()
        assert client.returncode != 0 and "login refused" in said, said
    finally:
        client.kill()
        client.wait()
