"""Who was promised which mail, and who has got it.

Callers(house, users)  clients that collect and delete by POP3, several at a time, also two of
                       one user, until stop(); what came stands in its `copies`
"""
import collections
import random
import re
import threading
import time

from pop import Pop

ID = re.compile(rb"^X-Id: (\S+)\r\n", re.M)
FIELD = re.compile(rb"([A-Za-z-]+):")
ADDED = {b"return-path", b"delivered-to", b"received"}  # on top, by the MTA and by delivery
ANSWER_S = 20


class Cut(Exception):
    """The connection ended, or the server cannot just now."""


class Call(Pop):
    """A client for whom a connection that ends is no fault of the test."""

    def __init__(self, port):
        try:
            super().__init__("127.0.0.1", port, timeout=ANSWER_S)
        except TimeoutError:
            raise
        except OSError as e:
            raise Cut(str(e)) from None
        if not self.greeting.startswith(b"+OK"):
            self.close()
            raise Cut("greeting")

    def line(self):
        try:
            got = super().line()
        except TimeoutError:
            raise
        except OSError as e:
            raise Cut(str(e)) from None
        if not got:
            raise Cut("end")
        return got

    def send(self, octets):
        try:
            super().send(octets)
        except TimeoutError:
            raise
        except OSError as e:
            raise Cut(str(e)) from None

    def body(self):
        got, looked = bytearray(self.buffer), 0
        while True:
            at = got.find(b"\r\n.\r\n", looked)
            end = 3 if got.startswith(b".\r\n") else at + 5 if at >= 0 else 0
            if end:
                self.buffer = bytes(got[end:])
                return bytes(got[:end])
            looked = max(0, len(got) - 4)
            got += self.more()

    def more(self):
        try:
            got = self.s.recv(1 << 18)
        except TimeoutError:
            raise
        except OSError as e:
            raise Cut(str(e)) from None
        if not got:
            raise Cut("end")
        return got

    def ok(self, command):
        got = self.say(command)
        if not got.startswith(b"+OK"):
            raise Cut(got.decode().strip())
        return got

    def list(self, command):
        self.ok(command)
        return [x.split() for x in self.body().split(b"\r\n")[:-2]]

    def retrieve(self, number):
        """As it was before dots were put before dots."""
        self.ok(b"RETR " + number)
        return (b"\r\n" + self.body()[:-3]).replace(b"\r\n.", b"\r\n")[2:]


class Callers:
    def __init__(self, house, users, threads=8, seed=0):
        self.house, self.users = house, list(users)
        self.copies = collections.defaultdict(dict)  # (user, UIDL): (id, recipient, octets)
        self.gone = collections.Counter()  # (user, UIDL): confirmed by +OK to QUIT
        self.seen, self.errors, self.longest = collections.Counter(), [], 0  # login, in seconds
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(f"{seed}{i}"),))
                        for i in range(threads)]
        for t in self.threads:
            t.start()

    def _run(self, rng):
        try:
            while not self.ended.is_set():
                self.collect(rng.choice(self.users))
                self.ended.wait(0.01)
        except BaseException as e:
            self.errors.append(e)

    def collect(self, user):
        """One session: everything that is there. True: confirmed."""
        call = None
        try:
            call = Call(self.house.port)
            call.ok(f"USER {user}")
            self._log_in(call)
            return self._session(call, user)
        except Cut as e:
            self.seen[str(e).split("]")[0][:24]] += 1
            return False
        finally:
            if call:
                call.close()

    def _log_in(self, call):
        start = time.monotonic()
        try:
            call.ok("PASS secret")
        finally:
            with self.lock:
                self.longest = max(self.longest, time.monotonic() - start)

    def _session(self, call, user):
        marked = []
        for number, uidl in call.list("UIDL"):
            octets = call.retrieve(number)
            at = ID.search(octets)
            recipient = re.search(rb"^Delivered-To: (\S+)\r\n", octets, re.M)
            row = (at and at[1].decode(), recipient and recipient[1].decode(), octets)
            with self.lock:
                assert not self.gone[user, uidl], f"{user} {uidl}: was deleted, is there again"
                before = self.copies.setdefault((user, uidl), row)
            assert before == row, f"{user} {uidl}: other octets than before"
            call.ok(b"DELE " + number)
            marked.append((user, uidl))
        got = call.say("QUIT")
        if not got.startswith(b"+OK"):
            self.seen[f"QUIT {got[:20]}"] += 1
            return False
        with self.lock:
            self.gone.update(marked)
        self.seen["sessions"] += 1
        self.seen["messages"] += len(marked)
        return True

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()
        if self.errors:
            raise self.errors[0]

    def finish(self, deadline=30):
        """Everybody's mailbox is collected once more, and is then empty."""
        self.stop()
        for user in self.users:
            end = time.monotonic() + deadline
            while not self.collect(user):
                assert time.monotonic() < end, f"{user}: no session: {self.seen}"
                threading.Event().wait(0.05)
        return self.by_letter()

    def by_letter(self):
        """{(id, recipient): its copies}."""
        out = collections.defaultdict(list)
        for ident, recipient, octets in self.copies.values():
            out[ident, recipient].append(octets)
        return out


def check_octets(octets, letter, sender, recipient):
    """A letter as it was sent, below what was put on top of it."""
    assert octets.endswith(letter.octets), (letter.id, octets[:2000])
    top = octets[:-len(letter.octets)].split(b"\r\n")[:-1]
    names = [FIELD.match(x)[1].lower() for x in top if x[:1] not in b" \t"]
    assert set(names) <= ADDED, (letter.id, top)
    assert names[:2] == [b"return-path", b"delivered-to"], (letter.id, top)
    assert top[0] == f"Return-Path: <{sender}>".encode(), top[0]
    assert top[1] == f"Delivered-To: {recipient}".encode(), top[1]
