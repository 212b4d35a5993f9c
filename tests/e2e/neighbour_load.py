"""Clients of both servers over one Maildir, all at once, and the ledger of what must be true.

A message is gone only if an IMAP client expunged it or a POP3 session that deleted it said
QUIT; whoever is about to do so writes it down first.
"""
import collections
import contextlib
import imaplib
import random
import re
import smtplib
import socket
import threading
import time

from lmtpd_alone import Mta
from neighbour import Imap
from pop import Pop

ID = re.compile(rb"^Message-ID: <([^>\r\n]+)>\r?\n", re.M | re.I)
KEYWORDS = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "work", "later", "$Label1"]
CUT = (OSError, imaplib.IMAP4.error, smtplib.SMTPException)


def message(rng, ident, ends=True):
    """Lines of all lengths, some with a dot; the last one may lack its end."""
    lines = [b"Message-ID: <%s>" % ident.encode(), b"Subject: %s" % ident.encode(), b""]
    lines += [rng.choice((b"", b".", b"..", b"line ", b".x")) * rng.randrange(1, 30)
              for _ in range(rng.randrange(60))]
    return b"\r\n".join(lines) + (b"\r\n" if ends else b"\r\nlast")


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.sent, self.sure, self.doomed, self.gone = set(), set(), set(), set()
        self.name, self.owner = {}, {}  # UIDL by Message-ID, and the other way
        self.seen = collections.Counter()

    def doom(self, ident):
        with self.lock:
            self.doomed.add(ident)

    def count(self, what, n=1):
        with self.lock:
            self.seen[what] += n

    def named(self, uidl, ident):
        """A UIDL is one message's for ever; and a message's is one, unless it was moved."""
        with self.lock:
            assert self.owner.setdefault(uidl, ident) == ident, (uidl, ident, self.owner[uidl])
            if not ident.startswith("move"):
                assert self.name.setdefault(ident, uidl) == uidl, (ident, uidl, self.name[ident])

    def staying(self):
        """UIDLs of messages that nobody has moved or wanted to remove."""
        with self.lock:
            return {u for i, u in self.name.items() if i not in self.doomed}

    def check(self, listed):
        """What is there at the end, in all folders, each as many times as it is there."""
        twice = [i for i, n in collections.Counter(listed).items() if n > 1]
        assert not twice, f"doubled: {twice}"
        there = set(listed)
        assert not there - self.sent, f"never sent: {there - self.sent}"
        lost = self.sure - self.doomed - there
        assert not lost, f"lost: {sorted(lost)}"
        assert not there & self.gone, f"back again: {sorted(there & self.gone)}"


class Load:
    """start() and stop(); whoever fails says so in stop()."""

    def __init__(self, neighbour, office, ledger, seed, users, letters):
        self.n, self.office, self.ledger, self.seed = neighbour, office, ledger, seed
        self.users, self.letters = users, letters
        self.ended, self.faults = threading.Event(), []
        self.lmtp = int(office.lmtp_at.rsplit(":", 1)[1])
        senders = [(self.by_lmtp, "ours", self.lmtp), (self.by_lmtp, "theirs", neighbour.lmtp),
                   (self.by_lmtp, "move", self.lmtp), (self.by_append, "append", None)]
        others = [self.flags, self.storm, self.expunge, self.move_even, self.move_odd, self.idle]
        others += [self.collect] * 3
        self.senders = [self.thread(f, name, at) for f, name, at in senders]
        self.others = [self.thread(self.again, f.__name__ + str(i), f)
                       for i, f in enumerate(others)]

    def thread(self, f, name, more):
        rng = random.Random(f"{self.seed} {name}")
        return threading.Thread(target=self.guard, args=(f, name, rng, more), daemon=True)

    def guard(self, f, name, rng, more):
        try:
            f(name, rng, more)
        except BaseException as e:
            self.faults.append(f"{name}: {e!r}")
            self.ended.set()

    def start(self):
        for t in self.senders + self.others:
            t.start()

    def sending(self):
        return any(t.is_alive() for t in self.senders) and not self.faults

    def stop(self):
        self.ended.set()
        for t in self.senders + self.others:
            t.join(60)
            assert not t.is_alive()
        assert not self.faults, self.faults

    # ---- who puts mail in ----

    def by_lmtp(self, name, rng, port):
        mta = Mta(port)
        for i in range(self.letters):
            ident = f"{name}-{i}@load"
            # Dovecot's LMTP knows no CHUNKING.
            octets = message(rng, ident, ends=port != self.lmtp or i % 4 != 0)
            self.ledger.sent.add(ident)
            try:
                self.deliver(mta, octets)
                self.ledger.sure.add(ident)
            except (OSError, AssertionError):
                if port == self.lmtp:
                    raise
                self.ledger.count("Dovecot's LMTP ended")
                mta = Mta(port)
            self.ended.wait(rng.random() / 20)
        mta.close()

    def deliver(self, mta, octets):
        mta.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<anna>\r\n")
        mta.expect(b"250", b"250")
        if octets.endswith(b"\n"):
            mta.ask(b"DATA", b"354")
            mta.send(re.sub(rb"^\.", b"..", octets, flags=re.M) + b".\r\n")
        else:
            mta.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
        mta.expect(b"250")

    def by_append(self, name, rng, _):
        imap = Imap(self.n.imap)
        for i in range(self.letters):
            ident = f"{name}-{i}@load"
            self.ledger.sent.add(ident)
            flags = " ".join(rng.sample(KEYWORDS, rng.randrange(3)))
            try:
                kind, said = imap.append("INBOX", f"({flags})", None,
                                         message(rng, ident, ends=i % 4 != 0))
                assert kind == "OK", said
                self.ledger.sure.add(ident)
            except CUT:
                self.ledger.count("Dovecot's IMAP ended")
                imap = Imap(self.n.imap)
            self.ended.wait(rng.random() / 20)
        imap.end()

    # ---- who works on it by IMAP ----

    def again(self, name, rng, f):
        """Rounds, each with a connection of its own: an IMAP server may end one where a
        message went away under it."""
        while not self.ended.is_set():
            try:
                f(rng)
                self.ledger.count(name.rstrip("0123456789"))
            except CUT as e:
                self.ledger.count(f"cut {f.__name__} {type(e).__name__} {str(e)[:60]}")
            self.ended.wait(rng.random() / 5)

    @contextlib.contextmanager
    def imap(self, box="INBOX"):
        imap = Imap(self.n.imap)
        try:
            assert imap.select(box)[0] == "OK"
            yield imap
        finally:
            imap.end()

    def some(self, imap, rng, most):
        """[(uid, Message-ID)] of some messages."""
        uids = imap.uid("SEARCH", "ALL")[1][0].split()
        out = []
        for uid in rng.sample(uids, min(len(uids), most)):
            rows = imap.uid("FETCH", uid.decode(), "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
            at = next((ID.search(r[1]) for r in rows if isinstance(r, tuple)), None)
            if at:
                out.append((uid.decode(), at[1].decode()))
        return out

    def flags(self, rng):
        with self.imap() as imap:
            for uid, ident in self.some(imap, rng, 8):
                flag = rng.choice(KEYWORDS)
                if rng.random() < 0.03:
                    self.ledger.doom(ident)
                    flag = "\\Deleted"
                imap.uid("STORE", uid, rng.choice(("+FLAGS", "-FLAGS")), f"({flag})")
                self.ledger.count("stores")

    def storm(self, rng):
        """Every message gets another name, again and again."""
        with self.imap() as imap:
            for way in "+-+-":
                imap.store("1:*", f"{way}FLAGS", f"({rng.choice(KEYWORDS)})")
                self.ledger.count("storms")

    def expunge(self, rng):
        with self.imap() as imap:
            for uid, ident in self.some(imap, rng, 1):
                self.ledger.doom(ident)
                imap.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
                if rng.random() < 0.5:
                    imap.uid("EXPUNGE", uid)
                else:
                    imap.expunge()
                self.ledger.count("expunged")

    def move_even(self, rng):
        self.move(rng, "02468")

    def move_odd(self, rng):
        self.move(rng, "13579")

    def move(self, rng, digits):
        """There and back; only messages that nobody expects to keep their file's name, and
        each by one client: two that move one at once copy it twice."""
        for there, back in (("INBOX", "Junk"), ("Junk", "INBOX")):
            with self.imap(there) as imap:
                for uid, ident in self.some(imap, rng, 12):
                    mine = re.fullmatch(f"move-\\d*[{digits}]@load", ident)
                    if mine and imap.uid("MOVE", uid, back)[0] == "OK":
                        self.ledger.count("moved")

    def idle(self, rng):
        with self.imap() as imap:
            imap.send(b"X1 IDLE\r\n")
            said = imap.readline()
            if not said.startswith(b"+"):
                raise imap.abort(said)  # BYE, or its end
            with contextlib.suppress(TimeoutError):
                imap.sock.settimeout(0.3)
                imap.sock.recv(1, socket.MSG_PEEK)
            imap.sock.settimeout(60)
            imap.send(b"DONE\r\n")
            while not (said := imap.readline()).startswith(b"X1 OK"):
                if not said:
                    raise imap.abort("it ended")

    # ---- who collects by POP3 ----

    def collect(self, rng):
        with Pop(self.office.host, self.office.pop3) as pop:
            before = self.ledger.staying()
            said = pop.login(rng.choice(self.users), "secret")
            if not said.startswith(b"+OK"):
                assert b"[IN-USE]" in said, said
                self.ledger.count("in use")
                return
            self.session(pop, rng, before)
            self.ledger.count("sessions")

    def session(self, pop, rng, before):
        uidls = [x.split(b" ", 1)[1] for x in pop.multi("UIDL")]
        sizes = [int(x.split(b" ")[1]) for x in pop.multi("LIST")]
        assert len(set(uidls)) == len(uidls)
        missing = (before - set(uidls)) & self.ledger.staying()
        assert not missing, f"not listed: {missing}"
        marked, met = [], set()
        for k in rng.sample(range(len(uidls)), min(len(uidls), 15)):
            ident = self.retrieve(pop, k + 1, sizes[k])
            if not ident:
                assert uidls[k] not in self.ledger.staying(), f"not given out: {uidls[k]}"
                continue
            self.ledger.named(uidls[k], ident)
            assert ident not in met, f"{ident} is there twice"
            met.add(ident)
            with self.ledger.lock:
                assert ident not in self.ledger.gone, f"{ident} was deleted"
            if rng.random() < 0.04:
                assert pop.say(f"DELE {k + 1}").startswith(b"+OK")
                marked.append(ident)
        self.finish(pop, rng, marked)

    def retrieve(self, pop, number, size):
        said = pop.say(f"RETR {number}")
        if not said.startswith(b"+OK"):
            self.ledger.count("gone while collecting")
            return None
        lines = pop.body().split(b"\r\n")[:-2]
        octets = b"".join((x[1:] if x.startswith(b".") else x) + b"\r\n" for x in lines)
        assert len(octets) == size, (number, len(octets), size, octets[:300])
        self.ledger.count("retrieved")
        return ID.search(octets)[1].decode()

    def finish(self, pop, rng, marked):
        if rng.random() < 0.3:
            self.ledger.count("dropped")
            return
        for ident in marked:
            self.ledger.doom(ident)
        if not pop.say("QUIT").startswith(b"+OK"):
            self.ledger.count("QUIT refused")
            return
        with self.ledger.lock:
            # One that is on its way to another folder may get there.
            self.ledger.gone.update(i for i in marked if not i.startswith("move"))
        self.ledger.count("deleted", len(marked))


def wait_for(load, ledger, least, deadline):
    """Until the mail is in and each of these was done so often."""
    end = time.monotonic() + deadline
    while load.sending() or any(ledger.seen[k] < n for k, n in least.items()):
        assert not load.faults, load.faults
        assert time.monotonic() < end, (dict(ledger.seen), least)
        threading.Event().wait(0.05)
