"""Transcripts (tests/transcripts/README.md) over a socket and TLS against a real server.

    t = parse(path)
    if t.bare_only: ...                # the reason why it cannot run here
    materialise(t, directory)          # writes the Maildir of its first user
    play(t, connect, directory)        # raises Mismatch where the server says something else

connect(tls) gives a connected socket to a server that has t.users, t.options and t.link and
whose first user's maildrop is `directory`; with tls, its handshake is done. The file format
is read here again, on purpose by other code than the C runner's.
"""

import dataclasses
import os
import pathlib
import re
import socket
import ssl


class Mismatch(AssertionError):
    pass


class FormatError(Exception):
    pass


@dataclasses.dataclass
class Message:
    number: int
    name: bytes
    octets: bytes = b""
    seen: bool = False
    claims: int = 0


@dataclasses.dataclass
class Step:
    kind: str  # send line glob body close tls again event left uidls
    line: int
    octets: bytes = b""
    arg: int = 0
    lines: int | None = None
    numbers: tuple = ()


@dataclasses.dataclass
class Transcript:
    path: pathlib.Path
    options: dict = dataclasses.field(default_factory=dict)
    link: str = "plain"
    users: list = dataclasses.field(default_factory=list)  # (name, password), octets
    messages: list = dataclasses.field(default_factory=list)
    odd: list = dataclasses.field(default_factory=list)  # (kind, file name)
    steps: list = dataclasses.field(default_factory=list)
    bare_only: str | None = None
    socket_only: str | None = None

    @property
    def name(self):
        return self.path.stem


ESCAPE = re.compile(
    rb"\\(?:\*(?P<times>\d+)\{(?P<what>[^}]*)\}|x(?P<hex>[0-9a-f]{2})|(?P<one>[rnt0s\\]))"
)
ONE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"s": b" ", b"\\": b"\\"}


def unescape(raw):
    out = bytearray()
    at = 0
    while at < len(raw):
        if raw[at : at + 1] != b"\\":
            out += raw[at : at + 1]
            at += 1
            continue
        m = ESCAPE.match(raw, at)
        if not m:
            raise FormatError(f"unknown escape: {raw[at:]!r}")
        if m["times"] is not None:
            out += m["what"] * int(m["times"])
        elif m["hex"]:
            out.append(int(m["hex"], 16))
        else:
            out += ONE[m["one"]]
        at = m.end()
    return bytes(out)


def filled(size, number):
    """size=N of a message: lines of x that end in CRLF, N octets in all."""
    out = bytearray(b"Subject: message %d\r\n\r\n" % number)
    while len(out) < size:
        k = min(62, size - len(out))
        if size - len(out) - k == 1:
            k -= 1
        out += b"x" * (k - 2) + b"\r\n"
    if len(out) != size:
        raise FormatError(f"size={size} cannot be filled")
    return bytes(out)


class Parser:
    def __init__(self, path):
        self.t = Transcript(pathlib.Path(path))
        self.lines = self.t.path.read_bytes().split(b"\n")
        self.at = 0

    def parse(self):
        while self.at < len(self.lines):
            raw = self.lines[self.at]
            self.at += 1
            if not raw or raw.startswith(b"#"):
                continue
            try:
                self.one(raw)
            except (FormatError, ValueError) as e:
                raise FormatError(f"{self.t.path}:{self.at}: {e}") from e
        if not self.t.steps:
            raise FormatError(f"{self.t.path}: no steps")
        return self.t

    def add(self, kind, octets=b"", **more):
        self.t.steps.append(Step(kind, self.at, octets, **more))

    def send(self, octets):
        """C lines that follow one another are one write."""
        last = self.t.steps[-1] if self.t.steps else None
        if last and last.kind == "send":
            last.octets += octets
        else:
            self.add("send", octets)

    def one(self, raw):
        if raw[:2] in (b"C:", b"S:") and raw[2:3] in (b"", b" "):
            octets = unescape(raw[3:])
            self.send(octets + b"\r\n") if raw[:1] == b"C" else self.add("line", octets)
        elif raw.startswith(b"C- "):
            self.send(unescape(raw[3:]))
        elif raw.startswith(b"S~ "):
            self.add("glob", unescape(raw[3:]))
        elif raw.startswith(b"S= "):
            words = raw.split()
            lines = int(words[3]) if len(words) == 4 and words[2] == b"top" else None
            self.add("body", arg=int(words[1]), lines=lines)
        elif raw.startswith(b"@"):
            words = raw[1:].split()
            self.add("event", words[0], arg=int(words[1]) if len(words) > 1 else 0)
        elif raw.startswith(b"left:"):
            self.add("left", numbers=tuple(int(n) for n in raw[5:].split()))
        else:
            self.word(raw.decode("ascii"), raw)

    def word(self, text, raw):
        t = self.t
        first, _, rest = text.partition(" ")
        if text in ("close", "again"):
            self.add(text)
        elif text == "greeting":
            self.add("glob", b"+OK*")
        elif text == "login":
            name, password = t.users[0]
            self.add("glob", b"+OK*")
            self.send(b"USER " + name + b"\r\n")
            self.add("glob", b"+OK*")
            self.send(b"PASS " + password + b"\r\n")
            self.add("glob", b"+OK*")
        elif text.startswith("tls brings ") or first == "auth":
            pass  # of the bare core
        elif first == "tls":
            self.add("tls", arg=int(rest == "garbage"))
        elif text == "check uidls":
            self.add("uidls")
        elif first == "set":
            name, _, value = rest.partition("=")
            t.options[name] = value
        elif first == "link":
            t.link = rest
        elif first == "user":
            name, _, password = raw[5:].partition(b" ")
            # A repetition may hold no blank here, so the first one ends the name.
            t.users.append((unescape(name), unescape(password)))
        elif first == "message":
            self.message(rest)
        elif first == "odd":
            t.odd.append(tuple(rest.split(" ", 1)))
        elif first == "bare-only:":
            t.bare_only = rest
        elif first == "socket-only:":
            t.socket_only = rest
        else:
            raise FormatError(f"what is this? {text}")

    def message(self, rest):
        number = len(self.t.messages) + 1
        m = Message(number, b"17000000%02d.M%dP1.transcript" % (number, number))
        sized = False
        for word in rest.split():
            key, _, value = word.partition("=")
            if key == "name":
                m.name = unescape(value.encode())
            elif key == "flags":
                m.seen = value == "S"
            elif key == "size":
                m.octets, sized = filled(int(value), number), True
            elif key == "utf8":
                pass  # of the bare core
            elif key == "claims":
                m.claims, sized = int(value), True
            else:
                raise FormatError(f"message {word}")
        if not sized:
            m.octets = self.text()
        self.t.messages.append(m)

    def text(self):
        out = b""
        while True:
            raw = self.lines[self.at].lstrip(b" ")
            self.at += 1
            if raw == b"end":
                return out
            if raw.startswith(b"text "):
                out += unescape(raw[5:])
            elif raw.startswith(b"repeat "):
                times, _, what = raw[7:].partition(b" ")
                out += unescape(what) * int(times)
            else:
                raise FormatError(f"text, repeat or end, not {raw!r}")


def parse(path):
    return Parser(path).parse()


def travels(octets, lines=None):
    """A stored message as RETR, or TOP with `lines`, sends it; without the terminator."""
    whole = re.sub(rb"(?<!\r)\n", b"\r\n", octets)
    if whole and not whole.endswith(b"\r\n"):
        whole += b"\r\n"
    if lines is not None:
        head, blank, body = (b"\r\n" + whole).partition(b"\r\n\r\n")
        rows = body.split(b"\r\n")
        kept = b"".join(r + b"\r\n" for r in rows[:-1][:lines])
        if not blank and head.endswith(b"\r\n"):
            head = head[:-2]
        whole = (head + b"\r\n\r\n")[2:] + kept
    return re.sub(rb"(?m)^\.", b"..", whole)


# ---- the maildrop ------------------------------------------------------------------


def materialise(t, directory):
    """Writes the Maildir. Messages with flags lie in cur, the others in new."""
    root = os.fsencode(directory)
    for sub in (b"tmp", b"new", b"cur"):
        os.makedirs(os.path.join(root, sub), exist_ok=True)
    for m in t.messages:
        name = os.path.join(root, *((b"cur", m.name + b":2,S") if m.seen else (b"new", m.name)))
        with open(name, "xb") as f:
            f.write(m.octets)
    for kind, file in t.odd:
        name = os.path.join(root, b"new", os.fsencode(file))
        if kind == "fifo":
            os.mkfifo(name)
        elif kind == "dir":
            os.mkdir(name)
        elif kind == "link":
            os.symlink(b"/etc/passwd", name)
        else:
            raise FormatError(f"odd {kind}")


def _find(directory, m):
    root = os.fsencode(directory)
    for sub in (b"new", b"cur"):
        for name in os.listdir(os.path.join(root, sub)):
            in_place = name == m.name + b":2,S" if m.seen else name.split(b":")[0] == m.name
            if in_place:
                return os.path.join(root, sub, name)
    return None


def left(t, directory):
    """The numbers of the transcript's messages that are still in the maildrop."""
    return tuple(m.number for m in t.messages if _find(directory, m))


# ---- the client --------------------------------------------------------------------


class Player:
    def __init__(self, t, connect, directory, timeout, split):
        self.t, self.connect, self.directory = t, connect, directory
        self.timeout, self.split = timeout, split
        self.sock = self.holder = None
        self.got = b""
        self.reply = []  # lines since the last write
        self.open()

    def open(self):
        self.sock = self.connect(self.t.link == "tls")
        self.sock.settimeout(self.timeout)
        self.got, self.reply = b"", []

    def hang_up(self):
        for s in (self.sock, self.holder):
            if s:
                s.close()
        self.sock = self.holder = None

    def fail(self, step, what, got):
        raise Mismatch(
            f"{self.t.path}:{step.line}: {what}\n  wanted: {step.octets!r}\n  got:    {got!r}"
        )

    def more(self, step):
        try:
            octets = self.sock.recv(65536)
        except TimeoutError:
            self.fail(step, f"nothing came within {self.timeout} s", self.got)
        except (ConnectionError, ssl.SSLError):
            octets = b""
        self.got += octets
        return bool(octets)

    def take_line(self, step):
        while b"\r\n" not in self.got:
            if not self.more(step):
                self.fail(step, "the connection was closed", self.got)
        line, _, self.got = self.got.partition(b"\r\n")
        self.reply.append(line)
        return line

    def send(self, step):
        if self.got:
            self.fail(step, "more came than was wanted", self.got)
        self.reply = []
        piece = self.split or len(step.octets)
        try:
            for at in range(0, len(step.octets), piece):
                self.sock.sendall(step.octets[at : at + piece])
        except (ConnectionError, ssl.SSLError):
            pass  # closed in the middle: the steps that follow say whether that is right

    def line(self, step):
        line = self.take_line(step)
        if line != step.octets:
            self.fail(step, "another line came", line)

    def glob(self, step):
        line = self.take_line(step)
        pattern = b".*".join(re.escape(p) for p in step.octets.split(b"*"))
        if not re.fullmatch(pattern, line, re.DOTALL):
            self.fail(step, "another line came", line)

    def body(self, step):
        want = travels(self.t.messages[step.arg - 1].octets, step.lines)
        while len(self.got) < len(want):
            if not self.more(step):
                self.fail(step, "the connection was closed", self.got)
        if self.got[: len(want)] != want:
            self.fail(step, "not the message", self.got[: len(want)])
        self.got = self.got[len(want) :]

    def close(self, step):
        while self.more(step):
            pass
        if self.got:
            self.fail(step, "more came than was wanted", self.got)
        self.sock.close()

    def tls(self, step):
        if step.arg:
            self.sock.sendall(b"this is no ClientHello, and long enough to be one\r\n" * 4)
            # What TLS says of it (an alert) is not of the transcript.
            while self.more(step):
                pass
            self.got = b""
            return
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)

    def again(self, step):
        if self.got:
            self.fail(step, "more came than was wanted", self.got)
        self.sock.close()
        self.open()

    def left(self, step):
        found = left(self.t, self.directory)
        if found != step.numbers:
            raise Mismatch(
                f"{self.t.path}:{step.line}: other messages are left\n"
                f"  wanted: {step.numbers}\n  got:    {found}"
            )

    def uidls(self, step):
        rows = [r.split(b" ", 1) for r in self.reply[1:-1]]
        ids = [r[1] for r in rows]
        good = all(re.fullmatch(rb"[\x21-\x7e]{1,70}", i) for i in ids)
        if not rows or not good or len(set(ids)) != len(ids):
            self.fail(step, "not good unique-ids", self.reply)

    def event(self, step):
        getattr(self, "on_" + step.octets.decode().replace("-", "_"))(step)

    def on_gone(self, step):
        os.unlink(_find(self.directory, self.t.messages[step.arg - 1]))

    def on_rename(self, step):
        m = self.t.messages[step.arg - 1]
        os.rename(
            _find(self.directory, m),
            os.path.join(os.fsencode(self.directory), b"cur", m.name + b":2,FS"),
        )

    def on_in_use(self, step):
        """Another client holds the maildrop, until on_release."""
        self.holder = self.connect(self.t.link == "tls")
        self.holder.settimeout(self.timeout)
        name, password = self.t.users[0]
        with self.holder.makefile("rwb") as f:
            for said in (b"", b"USER " + name + b"\r\n", b"PASS " + password + b"\r\n"):
                f.write(said)
                f.flush()
                if not f.readline().startswith(b"+OK"):
                    self.fail(step, "the other client was refused", said)

    def on_release(self, step):
        with self.holder.makefile("rwb") as f:
            f.write(b"QUIT\r\n")
            f.flush()
            f.readline()
        self.holder.close()
        self.holder = None


def play(t, connect, directory=None, timeout=20.0, split=None):
    """Plays it; split: the client's octets go out in pieces of this size."""
    if t.bare_only:
        raise ValueError(f"{t.path} is for the bare core: {t.bare_only}")
    p = Player(t, connect, directory, timeout, split)
    try:
        for step in t.steps:
            getattr(p, step.kind)(step)
        ended = False
        for step in t.steps:
            ended = step.kind == "close" or (ended and step.kind != "again")
        if not ended:
            p.fail(t.steps[-1], "a transcript ends with close", b"")
    finally:
        p.hang_up()


def all_transcripts():
    """Those that can run over a socket."""
    here = pathlib.Path(__file__).resolve().parent.parent / "transcripts"
    found = [parse(p) for p in sorted(here.glob("*.t"))]
    return [t for t in found if not t.bare_only]
