"""Mail comes in by LMTP and is collected by POP3: octet for octet, and no 250 without a message."""
import os
import re
import signal
import smtplib
import threading

import pytest

from lmtpd_alone import Mta
from nasty import NASTY, stuffed, wire
from pop import Pop
from postoffice import alive, make_maildir, until

SENDER = b"from@example.org"
HEAD = b"Return-Path: <%s>\nDelivered-To: %s\n"


def lmtp_at(office):
    return dict(w.split("=", 1) for w in office.ready.split()[1:])["lmtp"]


def lmtp_port(office):
    return int(lmtp_at(office).rsplit(":", 1)[1])


def collected(message, recipient, sender=SENDER):
    """What RETR sends of a message that came in."""
    return wire(HEAD % (sender, recipient) + message.replace(b"\r\n", b"\n"))


def transaction(mta, *recipients, parameters=b""):
    mta.send(b"MAIL FROM:<%s>%s\r\n" % (SENDER, parameters) +
             b"".join(b"RCPT TO:<%s>\r\n" % r for r in recipients))
    mta.expect(b"250", *[b"250"] * len(recipients))


def deliver(mta, message, *recipients):
    """By DATA; every recipient must take it."""
    transaction(mta, *recipients)
    mta.ask(b"DATA", b"354")
    mta.send(stuffed(wire(message)))
    mta.expect(*[b"250 2.0.0"] * len(recipients))


def messages(office, user, password="secret"):
    """All that the user has, as RETR sends it, and deleted."""
    pop = Pop(office.host, office.pop3)
    assert pop.login(user, password).startswith(b"+OK")
    count = int(pop.say("STAT").split()[1])
    out = []
    for i in range(1, count + 1):
        assert pop.say(f"RETR {i}").startswith(b"+OK")
        body = pop.body()
        out.append(b"".join((x[1:] if x.startswith(b".") else x) + b"\r\n"
                            for x in body.split(b"\r\n")[:-2]))
        assert pop.say(f"DELE {i}").startswith(b"+OK")
    assert pop.say("QUIT").startswith(b"+OK")
    pop.close()
    return out


@pytest.fixture(scope="module", name="house")
def fixture_house(module_office):
    users = ["anna:secret", "bob:secret", "carl:secret", "jürgen:secret"]
    return module_office("--lmtp", "127.0.0.1:0", users=users + [f"u{i}:secret" for i in range(100)],
                         sets={"lmtp_bare_line_ends": "keep"})


# ---- octets ----------------------------------------------------------------------------

def test_bare_line_ends_are_refused(office):
    """RFC 5321 s.2.3.8; for each recipient, and nothing behind it was said by the client."""
    o = office("--lmtp", "127.0.0.1:0", users=["anna:secret", "bert:secret"])
    mta = Mta(lmtp_port(o))
    bare = (b"554 5.6.0", b"554 5.6.0")
    for end in (b"\n", b"\r", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\r\n.\r\r\n",
                b"\r\n.\r\r\n"):
        transaction(mta, b"anna", b"bert")
        mta.ask(b"DATA", b"354")
        mta.send(b"Subject: x\r\n\r\nx" + end + b"RSET\r\n.\r\n")
        mta.expect(*bare)
        transaction(mta, b"anna", b"bert")
        mta.send(b"BDAT %d\r\n" % len(end) + end + b"BDAT 1 LAST\r\n.")
        if end.endswith(b"\r"):
            mta.expect(b"250 2.0.0 chunk", *bare)
        else:
            mta.expect(b"554 5.6.0", *bare)
    deliver(mta, b"Subject: y\n\ny\n", b"anna")
    assert [b.count(b"Subject: ") for b in messages(o, "anna")] == [1]
    assert messages(o, "bert") == []
    mta.close()


@pytest.mark.parametrize("way", ["DATA", "BDAT", "BDAT in pieces"])
def test_nasty_messages_come_out_as_they_came_in(house, way):
    mta = Mta(lmtp_port(house))
    for message in NASTY.values():
        if way == "DATA":
            deliver(mta, message, b"anna")
            continue
        transaction(mta, b"anna")
        if way == "BDAT":
            mta.send(b"BDAT %d LAST\r\n" % len(message) + message)
        else:
            half = len(message) // 2
            mta.send(b"BDAT %d\r\n" % half + message[:half])
            mta.send(b"BDAT %d\r\n" % (len(message) - half) + message[half:] + b"BDAT 0 LAST\r\n")
            mta.expect(b"250", b"250")
        mta.expect(b"250 2.0.0")
    mta.ask(b"QUIT", b"221")
    mta.close()
    came = messages(house, "anna")
    sent = [wire(m) if way == "DATA" else m for m in NASTY.values()]
    assert sorted(came) == sorted(collected(m, b"anna") for m in sent)


def test_smtplib(house):
    host, port = lmtp_at(house).rsplit(":", 1)
    with smtplib.LMTP(host, int(port), timeout=60) as lmtp:
        # It reads one answer after the message, so it may have one recipient only.
        for taker in ("bob", "carl@example.org"):
            refused = lmtp.sendmail("from@example.org", [taker, "nobody@example.org"],
                                    "Subject: x\r\n\r\nhello\r\n.dot\r\n")
            assert set(refused) == {"nobody@example.org"}
            assert refused["nobody@example.org"][0] == 550
            assert refused["nobody@example.org"][1].startswith(b"5.1.1")
        for word in ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"):
            assert lmtp.has_extn(word.lower()), word
        assert int(lmtp.esmtp_features["size"]) > 1 << 20
    body = b"Subject: x\r\n\r\nhello\r\n.dot\r\n"
    assert messages(house, "bob") == [collected(body, b"bob")]
    assert messages(house, "carl") == [collected(body, b"carl@example.org")]


def test_a_detail_behind_the_name_is_the_same_mailbox(house):
    mta = Mta(lmtp_port(house))
    body = b"Subject: detail\r\n\r\nx\r\n"
    deliver(mta, body, b"bob+lists@example.org", b"bob+", b"bob")
    mta.close()
    assert sorted(messages(house, "bob")) == sorted(
        collected(body, r) for r in (b"bob+lists@example.org", b"bob+", b"bob"))


def test_eight_bits_and_utf8_addresses(house):
    mta = Mta(lmtp_port(house))
    body = "Subject: Grüße\r\n\r\näöü ☀\r\n".encode()
    transaction(mta, b"carl", parameters=b" BODY=8BITMIME SIZE=%d" % len(body))
    mta.ask(b"DATA", b"354")
    mta.send(body + b".\r\n")
    mta.expect(b"250 2.0.0")
    transaction(mta, "jürgen@example.org".encode(), parameters=b" SMTPUTF8")
    mta.ask(b"DATA", b"354")
    mta.send(body + b".\r\n")
    mta.expect(b"250 2.0.0")
    mta.close()
    assert messages(house, "carl") == [collected(body, b"carl")]
    assert messages(house, "jürgen") == [collected(body, "jürgen@example.org".encode())]


def test_a_message_of_30_mib(house):
    body = b"Subject: large\r\n\r\n" + b"".join(b"%09d %s\r\n" % (i, b"x" * 988) for i in range(31500))
    assert len(body) > 30 << 20
    mta = Mta(lmtp_port(house))
    transaction(mta, b"bob", b"carl", parameters=b" SIZE=%d" % len(body))
    mta.ask(b"DATA", b"354")
    mta.send(body + b".\r\n")
    mta.expect(b"250 2.0.0", b"250 2.0.0")
    mta.close()
    for user in ("bob", "carl"):
        assert messages(house, user) == [collected(body, user.encode())]
    assert house.stat()["lmtp_spool_files_total"] >= 1
    house.wait_for_counter("lmtp_spool_octets", lambda n: n == 0)


def test_a_hundred_recipients(house):
    mta = Mta(lmtp_port(house))
    body = b"Subject: to all\r\n\r\nhello\r\n"
    names = [b"u%d@example.org" % i for i in range(100)]
    transaction(mta, *names)
    mta.ask(b"DATA", b"354")
    mta.send(body + b".\r\n")
    for name in names:
        mta.expect(b"250 2.0.0 <%s>" % name)
    mta.close()
    for i in range(0, 100, 9):
        assert messages(house, f"u{i}") == [collected(body, names[i])]


def test_many_mtas_at_once(house):
    """Each says its transactions in one go; each recipient gets each message once."""
    users, rounds = 10, 15
    faults = []

    def run(k):
        try:
            mta = Mta(lmtp_port(house))
            for i in range(rounds):
                body = b"Subject: %d-%d\r\n\r\n%s\r\n" % (k, i, b"x" * (i * 700))
                mta.send(b"MAIL FROM:<%s>\r\n" % SENDER +
                         b"".join(b"RCPT TO:<u%d>\r\n" % ((k + j) % users) for j in range(3)) +
                         b"BDAT %d LAST\r\n" % len(body) + body)
            for i in range(rounds):
                mta.expect(*[b"250 2.1"] * 4, *[b"250 2.0.0"] * 3)
            mta.close()
        except (AssertionError, OSError) as e:
            faults.append(repr(e))

    for i in range(users):
        messages(house, f"u{i}")
    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults, faults
    for i in range(users):
        subjects = sorted(re.search(rb"Subject: (\S+)", m).group(1) for m in messages(house, f"u{i}"))
        assert subjects == sorted(b"%d-%d" % (k, n) for k in range(8) for j in range(3)
                                  if (k + j) % users == i for n in range(rounds))


# ---- limits that the whole office keeps ------------------------------------------------

def test_limits(office):
    o = office("--lmtp", "127.0.0.1:0", users=["anna:secret"],
               sets={"message_size_max": "64k", "lmtp_recipients": 3, "lmtp_connections": 2,
                     "lmtp_timeout": "5s"})
    first, second = Mta(lmtp_port(o)), Mta(lmtp_port(o))
    third = Mta(lmtp_port(o), greet=False)
    third.expect(b"421 4.3.2")
    second.close()
    first.ask(b"MAIL FROM:<> SIZE=70000", b"552 5.3.4")
    first.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<anna+%d>\r\n" % i for i in range(4)))
    first.expect(*[b"250"] * 4, b"452 4.5.3")
    first.ask(b"DATA", b"354")
    first.send(b"x" * 998 + b"\r\n")
    first.send((b"x" * 998 + b"\r\n") * 70 + b".\r\n")
    first.expect(*[b"552 5.3.4"] * 3)
    assert messages(o, "anna") == []
    first.expect(b"421 4.4.2")
    first.close()
    third.close()


def test_a_message_that_waits_in_a_file(office):
    """Nothing may wait in memory; and the file has no name."""
    o = office("--lmtp", "127.0.0.1:0", users=["anna:secret"], sets={"spool_memory": 0})
    mta = Mta(lmtp_port(o))
    transaction(mta, b"anna")
    mta.ask(b"DATA", b"354")
    body = b"Subject: y\r\n\r\n" + b"y" * 998 + b"\r\n"
    mta.send(body)
    o.wait_for_counter("lmtp_spool_files_total", 1)
    assert os.listdir(o.dir / "spool") == []
    mta.send(b".\r\n")
    mta.expect(b"250 2.0.0")
    mta.close()
    assert messages(o, "anna") == [collected(body, b"anna")]


# ---- deaths ----------------------------------------------------------------------------

class Senders:
    """Threads that deliver numbered messages until told to stop; `sure` are those that were answered 250."""

    def __init__(self, office, users, threads=4):
        self.office, self.users, self.stop = office, users, threading.Event()
        self.sure, self.sent, self.lock = set(), set(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, k):
        n = 0
        while not self.stop.is_set():
            try:
                mta = Mta(lmtp_port(self.office))
                while not self.stop.is_set():
                    n += 1
                    self.one(mta, f"{k}-{n}")
            except (AssertionError, OSError):
                self.stop.wait(0.02)  # it was killed under us
            finally:
                try:
                    mta.close()
                except UnboundLocalError:
                    pass

    def one(self, mta, name):
        mta.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % u.encode() for u in self.users) +
                 b"DATA\r\n")
        assert mta.line().startswith(b"250")
        takers = [u for u in self.users if mta.line().startswith(b"250")]
        if not mta.line().startswith(b"354"):
            mta.ask(b"RSET", b"250")
            return
        with self.lock:
            self.sent.update((name, u) for u in takers)
        mta.send(f"Subject: {name}\r\n\r\n".encode() + b"x" * 3000 + b"\r\nend\r\n.\r\n")
        for u in takers:
            if mta.line().startswith(b"250 "):
                with self.lock:
                    self.sure.add((name, u))

    def count(self):
        with self.lock:
            return len(self.sure)

    def more(self, n=20):
        want = self.count() + n
        until(lambda: self.count() >= want, 60, lambda: f"{self.count()} of {want}\n{self.office.log()}")

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()


@pytest.mark.parametrize("program", ["restante-keeper", "restante-lmtpd", "restante-auth"])
def test_no_250_without_a_message(office, program):
    users = ["anna", "bob"]
    o = office("--lmtp", "127.0.0.1:0", users=[u + ":secret" for u in users])
    senders, killed = Senders(o, users), 0
    try:
        for _ in range(5):
            senders.more()
            for pid in o.pids(program):
                os.kill(pid, signal.SIGKILL)
                killed += 1
                until(lambda p=pid: not alive(p), 60)
        senders.more()
    finally:
        senders.end()
    assert killed >= 5
    check(o, senders)


def check(office, senders):
    """What was answered 250 is there, once and whole; nothing is that was not sent."""
    came = {}
    for user in senders.users:
        for message in messages(office, user):
            name = re.search(rb"Subject: (\S+)", message).group(1).decode()
            assert message.endswith(b"x\r\nend\r\n"), "half a message"
            came[(name, user)] = came.get((name, user), 0) + 1
    assert senders.sure <= set(came), "answered 250, and lost"
    assert set(came) <= senders.sent
    # No MTA here tries again, so nothing may be there twice.
    assert max(came.values()) == 1


def test_no_250_without_a_message_when_the_monitor_is_killed(office, base):
    """And with it all others; the next office serves the same mail."""
    users = ["anna", "bob"]
    start = {"users": [(u, "secret", make_maildir(base / u)) for u in users]}
    o = office("--lmtp", "127.0.0.1:0", **start)
    senders = Senders(o, users)
    try:
        senders.more(50)
        processes = o.tree()  # below a monitor that is gone nobody is found
        os.kill(o.pid, signal.SIGKILL)
        until(lambda: not any(map(alive, processes)), 60)
    finally:
        senders.end()
    o.wait(status=None)
    check(office(**start), senders)


def test_a_drain_lets_a_transaction_finish(office):
    o = office("--lmtp", "127.0.0.1:0", users=["anna:secret"], sets={"drain_timeout": "20s"})
    port = lmtp_port(o)
    busy, idle = Mta(port), Mta(port)
    transaction(busy, b"anna")
    busy.ask(b"DATA", b"354")
    os.kill(o.pid, signal.SIGTERM)
    idle.expect(b"421 4.3.2")
    idle.close()
    busy.send(b"Subject: last\r\n\r\nx\r\n.\r\n")
    busy.expect(b"250 2.0.0", b"421 4.3.2")
    busy.close()
    o.wait()
