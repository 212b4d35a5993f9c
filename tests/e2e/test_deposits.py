"""Keepers and mail that comes in by LMTP, while they are killed and while users collect."""
import collections
import os
import signal
import smtplib
import threading

import pytest

from pop import Pop
from postoffice import start_offices, tree_of, until

SENDERS, LETTERS = 8, 25


@pytest.fixture
def offices():
    yield from start_offices()


def text(tag):
    return f"Subject: {tag}\r\n\r\n" + f"a line of {tag}\r\n" * 40 + ".end\r\n"


class Senders:
    """Each letter is sent until it is accepted, as an MTA does."""

    def __init__(self, office, recipients):
        host, port = office.lmtp_at.rsplit(":", 1)
        self.host, self.port, self.recipients = host, int(port), recipients
        self.accepted, self.tries = [], collections.Counter()
        self.threads = [threading.Thread(target=self.send_all, args=(k,), daemon=True)
                        for k in range(SENDERS)]
        for t in self.threads:
            t.start()

    def send_all(self, k):
        server = smtplib.LMTP(self.host, self.port, timeout=60)
        for i in range(LETTERS):
            tag, to = f"letter-{k}-{i}", self.recipients[(k + i) % len(self.recipients)]
            while not self.send(server, tag, to):
                server.close()
                server = smtplib.LMTP(self.host, self.port, timeout=60)
            self.accepted.append((to, tag))
        server.quit()

    def send(self, server, tag, to):
        self.tries[tag] += 1
        assert self.tries[tag] < 500
        try:
            return server.sendmail("s@example.org", [to], text(tag)) == {}
        except smtplib.SMTPResponseException as e:
            assert 400 <= e.smtp_code < 500, e
        except smtplib.SMTPRecipientsRefused as e:
            assert all(400 <= code < 500 for code, _ in e.recipients.values()), e
        return False

    def running(self):
        return any(t.is_alive() for t in self.threads)

    def finish(self):
        for t in self.threads:
            t.join(60)
        assert not self.running()
        assert len(self.accepted) == SENDERS * LETTERS


def check_letter(lines):
    """A letter as RETR gives it is whole; its recipient and tag."""
    octets = b"\r\n".join([*lines, b""])
    head, body = octets.split(b"\r\n\r\n", 1)
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
    tag = fields[b"Subject"].decode()
    assert fields[b"Return-Path"] == b"<s@example.org>"
    assert body == text(tag).split("\r\n\r\n", 1)[1].encode()
    return fields[b"Delivered-To"].decode(), tag


def collect(office, user):
    """Everything that is there, deleted by a QUIT that said +OK."""
    def session():
        p = Pop(office.host, office.pop3)
        # A keeper that was just killed may cost a login, never a letter.
        if p.login(user, "secret").startswith(b"+OK"):
            return p
        p.close()
        return None
    with until(session, 60) as p:
        count = int(p.say("STAT").split()[1])
        got = [check_letter(p.multi(f"RETR {i}")) for i in range(1, count + 1)]
        for i in range(1, count + 1):
            assert p.say(f"DELE {i}").startswith(b"+OK")
        assert p.say("QUIT").startswith(b"+OK")
        return got


def test_users_collect_while_mail_comes_in(offices):
    office = offices("--lmtp", "127.0.0.1:0", users=["anna:secret", "bob:secret"])
    senders = Senders(office, ["anna", "bob"])
    got = []
    while senders.running():
        for user in ("anna", "bob"):
            got += collect(office, user)
    senders.finish()
    for user in ("anna", "bob"):
        got += collect(office, user)
    assert sorted(got) == sorted(senders.accepted)
    stat = office.stat()
    assert stat["deposits_total"] == SENDERS * LETTERS
    assert stat["deposit_groups_total"] <= SENDERS * LETTERS
    assert stat.get("protocol_faults_total", 0) == 0


def keepers(office):
    return [pid for pid, name in tree_of(office.pid).items() if name.startswith("restante-keepe")]


def test_nothing_accepted_is_lost_when_keepers_are_killed(offices):
    office = offices("--lmtp", "127.0.0.1:0", users=["anna:secret", "bob:secret"])
    senders = Senders(office, ["anna", "bob"])
    killed = 0
    while senders.running():
        # Somewhere within the next few letters.
        enough = len(senders.accepted) + 10
        until(lambda: len(senders.accepted) >= enough or not senders.running(), 60)
        for pid in keepers(office):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    senders.finish()
    assert killed > 0
    got = [letter for user in ("anna", "bob") for letter in collect(office, user)]
    assert set(got) == set(senders.accepted)
    # Twice only what was tried more than once.
    for (_, tag), n in collections.Counter(got).items():
        assert n <= senders.tries[tag]
