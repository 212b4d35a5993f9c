"""Letters for people of example.org, and who sends them by SMTP or LMTP, fast.

letters(rng, name, count, users)   for one user or several, with an X-Id that says which it is
send(port, letters)                by SMTP; each then says what was taken, as what, and what not
send_all(mta, letters, ...)        until nothing is refused for now; what was sent
"""
import concurrent.futures
import re
import socket
import threading
import time

DOMAIN, SENDER_NAME, UNKNOWN = "example.org", "postbox", "nemo"
SENDER = f"{SENDER_NAME}@{DOMAIN}"
PER_CONNECTION = 8
SEND_S = 60


class Letter:
    def __init__(self, ident, recipients, octets):
        self.id, self.recipients, self.octets = ident, list(recipients), octets
        self.queue_id, self.taken, self.refused = None, [], {}


def body(rng):
    """Lines that have made trouble somewhere, and as many others as it takes."""
    word = rng.randbytes(24).hex()
    lines = ["", ".", "..", ". ", "From here", ">From there", "trailing \t ", f"a {word}",
             "caf\u00e9 \u4e2d", "=20", "x" * 900, "", "."]
    rng.shuffle(lines)
    for i in range(rng.choice([0, 0, 20, 200, 1500])):
        lines.append(f"{'.' * (i % 3)}{i} {word}")
    return "\r\n".join(lines + ["last", ""]).encode()


def head(ident, subject):
    """With all fields that a mail server would add, had they been left out."""
    return (f"X-Id: {ident}\r\nFrom: <{SENDER}>\r\nTo: <list@{DOMAIN}>\r\n"
            f"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-Id: <{ident}@{DOMAIN}>\r\n"
            f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
            "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n").encode()


def letters(rng, name, count, users, unknown=True):
    """For one user or several, some at a sub-address; now and then one whom nobody knows."""
    out = []
    for i in range(count):
        to = [f"{u}+{rng.choice(['list', 'a+b'])}@{DOMAIN}" if rng.random() < 0.1
              else f"{u}@{DOMAIN}"
              for u in rng.sample(users, rng.choice([1, 1, 1, 2, 4]))]
        if unknown and i % 25 == 7:
            to[rng.randrange(len(to))] = f"{UNKNOWN}@{DOMAIN}"
        ident = f"{name}-{i}"
        out.append(Letter(ident, to, head(ident, ident) + body(rng)))
    return out


class Smtp:
    """Speaks SMTP and LMTP. Replies are whole, as text."""

    def __init__(self, at, hello="EHLO", timeout=SEND_S):
        if isinstance(at, int):
            self.s = socket.create_connection(("127.0.0.1", at), timeout)
        else:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(timeout)
            self.s.connect(str(at))
        self.f = self.s.makefile("rb")
        try:
            greeting = self.reply()
            assert greeting.startswith("220"), greeting
            self.extensions = self.say(f"{hello} client.example.org")
        except BaseException:
            self.close()
            raise

    def reply(self):
        out = []
        while not out or out[-1][3:4] == "-":
            line = self.f.readline().decode("utf-8", "replace")
            if not line.endswith("\n"):
                raise ConnectionError("the connection ended")
            out.append(line.rstrip("\r\n"))
        return "\n".join(out)

    def say(self, line):
        self.s.sendall(line.encode() + b"\r\n")
        return self.reply()

    def begin(self, sender, recipients):
        """Replies to MAIL, each RCPT, and DATA."""
        words = " BODY=8BITMIME" if "8BITMIME" in self.extensions else ""
        words += "" if "".join(recipients).isascii() else " SMTPUTF8"
        lines = [f"MAIL FROM:<{sender}>{words}", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]
        if "PIPELINING" not in self.extensions:
            return [self.say(x) for x in lines]
        self.s.sendall("".join(f"{x}\r\n" for x in lines).encode())
        return [self.reply() for _ in lines]

    def finish(self, octets):
        stuffed = re.sub(rb"^\.", b"..", octets, flags=re.M)
        self.s.sendall(stuffed + b".\r\n")

    def send(self, letter):
        mail, *rcpts, data = self.begin(SENDER, letter.recipients)
        assert mail.startswith("250"), mail
        taken = []
        for r, said in zip(letter.recipients, rcpts):
            if said.startswith("250"):
                taken.append(r)
            else:
                letter.refused[r] = said
        if not data.startswith("354"):
            assert not taken, data
            self.say("RSET")
            return
        self.finish(letter.octets if taken else b"")
        said = self.reply()
        if taken:
            assert said.startswith("250"), said
            letter.queue_id, letter.taken = self.queue_id(said), taken

    @staticmethod
    def queue_id(said):
        m = re.search(r"queued as (\S+)|id=(\S+)|2\.0\.0 ([0-9a-f]{8})\b", said)
        assert m, said
        return next(filter(None, m.groups()))

    def close(self):
        self.f.close()
        self.s.close()


def send(port, list_, connections=6):
    """All of them, from several connections that carry a few each."""
    def some(part):
        smtp = Smtp(port)
        try:
            for letter in part:
                smtp.send(letter)
            smtp.say("QUIT")
        finally:
            smtp.close()
    parts = [list_[i:i + PER_CONNECTION] for i in range(0, len(list_), PER_CONNECTION)]
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(some, p) for p in parts]:
            done.result()


def send_all(mta, list_, connections, deadline):
    """Sends, and sends again what it is asked to try later, as new letters; all letters."""
    done, again, said = [], list_, None
    end = time.monotonic() + deadline
    while again:
        assert time.monotonic() < end, (mta.name, said)
        send(mta.port, again, connections)
        done, todo, again = done + again, again, []
        for letter in todo:
            for r, said in list(letter.refused.items()):
                if said.startswith("4"):
                    del letter.refused[r]
                    letter.recipients.remove(r)
                    ident = f"{letter.id}-{len(done) + len(again)}"
                    octets = letter.octets.replace(letter.id.encode(), ident.encode(), 1)
                    again.append(Letter(ident, [r], octets))
        if again:
            mta.flush()
            threading.Event().wait(0.5)  # as a sender does, if not for so short
    return done
