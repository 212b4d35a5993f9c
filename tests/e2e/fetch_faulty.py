"""A POP3 server that is told how to sin.

Session is an honest one (RFC 1939, 2449, 2595, 5034); a scenario is a subclass of it that
overrides a hook: a command (on_RETR), what is listed (size, uid, visible), what a message
looks like on the wire (body), or the connection (opening, closing). House listens, runs
sessions in threads, and writes down all that it received, deleted and sent.
"""
import base64
import collections
import hashlib
import hmac
import random
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

from nasty import NASTY, stuffed, wire

USER, PASSWORD = b"anna", b"s3cret-Pa55"
STAMP = b"<1896.697170952@dbc.mtview.ca.us>"
PATIENCE_S = 60  # a client that says nothing for so long is left
PIECE = 1 << 18

Line = collections.namedtuple("Line", "at session secured octets")


class Cut(Exception):
    """The session ends here: no close_notify, no farewell."""


class Reset(Exception):
    """The same, with a RST."""


class Mail:
    """octets: as RETR sends them, dots not stuffed; each line ends in CRLF."""

    def __init__(self, uid, octets):
        self.uid, self.octets = uid if isinstance(uid, bytes) else uid.encode(), octets

    @property
    def digest(self):
        return hashlib.sha256(as_stored(self.octets)).hexdigest()


def as_stored(octets):
    """What a Maildir is to hold of it: CRLF as LF, nothing else touched."""
    return octets.replace(b"\r\n", b"\n")


SMALL_NASTY = ("empty", "header-only", "header-without-newline", "no-final-newline", "lone-dots",
               "dot-at-once", "dot-at-end", "long-lines", "nul", "eight-bit", "from-lines",
               "bare-cr", "only-cr", "only-crlf")


def nasty_mails(names=SMALL_NASTY):
    return [Mail(f"uid-{i}-{name}", wire(NASTY[name])) for i, name in enumerate(names, 1)]


def received_mails():
    """The same as they come from a mail server: no two headers are alike."""
    return [Mail(b"r-" + m.uid, b"Received: from a by b id %d; 1 Jan 2026 00:00:00 +0000\r\n" % i
                 + m.octets) for i, m in enumerate(nasty_mails())]


def plain_mails(n, body=b"", start=1):
    """Letters as most are; no two alike."""
    return [Mail(b"%08x" % (0x5a000000 + i),
                 b"From: a%d@example.com\r\nMessage-ID: <%d@example.com>\r\nSubject: letter %d\r\n"
                 b"\r\nbody of %d\r\n" % (i, i, i, i) + body) for i in range(start, start + n)]


class Wire:
    """The server's end of a connection; TLS through memory, so that every octet on the line
    is seen. A turn is a flight of the client's that got an answer: with `quiet` (seconds) a
    flight is all that comes until nothing comes for so long."""

    def __init__(self, sock, quiet=0.0):
        self.sock, self.quiet = sock, quiet
        self.tls = self.into = self.out = None
        self.sent = self.received = self.turns = 0
        self.asked = False
        self.clear = bytearray()  # what came without TLS
        sock.settimeout(PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def secured(self):
        return self.tls is not None

    def is_left(self):
        """Whether the client has closed its end."""
        if self.sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def _take(self):
        """A flight from the line; b'' at its end."""
        got = bytearray()
        while True:
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                more = b""
            got += more
            if not more or not self.quiet or not select.select([self.sock], [], [], self.quiet)[0]:
                break
        if got:
            self.asked, self.received = True, self.received + len(got)
        return bytes(got)

    def put(self, octets):
        """Straight onto the line."""
        if self.asked:
            self.asked, self.turns = False, self.turns + 1
        try:
            self.sock.sendall(octets)
        except OSError as e:
            raise Cut from e
        self.sent += len(octets)

    def _flush(self):
        if self.out.pending:
            self.put(self.out.read())

    def recv(self):
        while self.tls:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._flush()
                more = self._take()
                if not more:
                    return b""
                self.into.write(more)
            except ssl.SSLError:
                return b""
        got = self._take()
        self.clear += got
        return got

    def send(self, octets):
        if not self.tls:
            return self.put(octets)
        for i in range(0, len(octets), PIECE):
            self.tls.write(octets[i:i + PIECE])
            self._flush()

    def start_tls(self, context, ahead=b""):
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.into, self.out, server_side=True)
        self.into.write(ahead)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                more = self._take()
                if not more:
                    raise Cut from None
                self.into.write(more)
            except (ssl.SSLError, OSError):
                self._flush()
                raise Cut from None
        self.tls = tls
        if tls.version() != "TLSv1.3":  # whose tickets leave with the greeting, as one flight
            self._flush()

    def farewell(self):
        if self.tls:
            try:
                self.tls.unwrap()
            except (ssl.SSLError, OSError, ValueError):
                pass
            try:
                self._flush()
            except Cut:
                pass

    def until_gone(self, ended):
        """Waits, without reading, until the client closed its end."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        end = time.monotonic() + PATIENCE_S
        while not ended.is_set() and time.monotonic() < end:
            if poll.poll(50):
                return

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.end()
        self.sock.close()


class Session:
    """An honest server; hooks are all that has no underscore in front."""
    eol = b"\r\n"
    # What CAPA says; STLS is added where it may be given.
    capabilities = (b"TOP", b"UIDL", b"USER", b"SASL PLAIN", b"PIPELINING", b"RESP-CODES",
                    b"AUTH-RESP-CODE", b"EXPIRE NEVER", b"IMPLEMENTATION honest")
    stamp = b""

    def __init__(self, house, visit, wire):
        self.house, self.visit, self.wire = house, visit, wire
        self.drop = house.drop
        self.buffer = b""
        self.user = None
        self.logged_in = False
        self.mails, self.deleted = [], set()
        self.piled = False  # commands came before the last one was answered
        self.quit_seen = False

    # ---- the connection ----
    def run(self):
        if self.house.tls == "tls":
            self.handshake()
        self.opening()
        while True:
            line = self.readline()
            if line is None:
                return
            if line.endswith(b"\r\n") is False:
                self.err("commands end in CRLF")
                continue
            self.command(line[:-2])

    def handshake(self, ahead=b""):
        self.wire.start_tls(self.house.context, ahead)
        self.buffer = b""

    def opening(self):
        self.say(b"+OK ready " + self.stamp if self.stamp else b"+OK ready")

    def command(self, line):
        verb, _, arg = line.partition(b" ")
        name = verb.upper().decode("latin-1")
        self.house.note(self, line)
        self.before(name, arg)
        hook = getattr(self, f"on_{name}", None)
        if not hook:
            self.err("unknown command")
        elif not self.logged_in and name in ("STAT", "LIST", "UIDL", "RETR", "TOP", "DELE",
                                             "NOOP", "RSET", "LAST"):
            self.err("log in first")
        else:
            hook(arg)

    def before(self, name, arg):
        """Called ahead of every command."""

    def readline(self):
        while b"\n" not in self.buffer:
            more = self.wire.recv()
            if not more:
                return None
            self.buffer += more
        line, nl, self.buffer = self.buffer.partition(b"\n")
        if b"\n" in self.buffer:
            self.piled = True
        return line + nl

    def say(self, line):
        self.wire.send(line + self.eol)

    def ok(self, text=b""):
        self.say(b"+OK " + (text if isinstance(text, bytes) else text.encode()))

    def err(self, text=b""):
        self.say(b"-ERR " + (text if isinstance(text, bytes) else text.encode()))

    def rows(self, rows):
        self.wire.send(b"".join(r + self.eol for r in rows) + b"." + self.eol)

    def hang(self):
        """Says nothing more, until the client is gone."""
        self.wire.until_gone(self.house.ended)
        raise Cut

    def closing(self):
        """After QUIT was answered."""
        self.wire.farewell()

    # ---- what is listed ----
    def visible(self):
        return list(self.drop.mails)

    def size(self, n):
        return len(self.mails[n - 1].octets)

    def uid(self, n):
        return self.mails[n - 1].uid

    def body(self, n):
        """RETR's octets after the status line, with the end."""
        return stuffed(self.mails[n - 1].octets)

    def numbers(self):
        return [n for n in range(1, len(self.mails) + 1) if n not in self.deleted]

    def stat(self):
        numbers = self.numbers()
        return b"%d %d" % (len(numbers), sum(self.size(n) for n in numbers))

    def list_row(self, n):
        return b"%d %d" % (n, self.size(n))

    def uidl_row(self, n):
        return b"%d %s" % (n, self.uid(n))

    def number(self, arg):
        """Of a message that is there, or None after -ERR."""
        n = int(arg) if arg.isdigit() and len(arg) < 12 else 0
        if n in range(1, len(self.mails) + 1) and n not in self.deleted:
            return n
        self.err("no such message")
        return None

    # ---- before login ----
    def on_CAPA(self, _):
        self.ok("what I can")
        words = list(self.capabilities)
        if self.house.tls == "stls" and not self.wire.secured and not self.logged_in:
            words.append(b"STLS")
        self.rows(words)

    def on_STLS(self, _):
        if self.house.tls != "stls" or self.wire.secured:
            return self.err("no TLS here")
        self.ok("begin")
        self.user = None
        self.handshake(self.buffer)

    def right(self, user, password):
        return user == USER and password == PASSWORD

    def login(self, good):
        self.house.logins.append((self.visit, good))
        if not good:
            return self.err("[AUTH] no")
        self.logged_in = True
        self.mails = self.visible()
        self.welcome()

    def welcome(self):
        self.ok("welcome")

    def on_USER(self, arg):
        self.user = arg
        self.ok("and the password?")

    def on_PASS(self, arg):
        self.login(self.right(self.user, arg))

    def on_APOP(self, arg):
        user, _, digest = arg.partition(b" ")
        want = hashlib.md5(self.stamp + PASSWORD).hexdigest().encode()
        self.login(bool(self.stamp) and user == USER and hmac.compare_digest(digest, want))

    def on_AUTH(self, arg):
        mechanism, _, initial = arg.partition(b" ")
        if mechanism.upper() != b"PLAIN":
            return self.err("no such mechanism")
        if not initial:
            self.say(b"+ ")
            initial = (self.readline() or b"").strip()
            self.house.note(self, initial)
        if initial == b"*":
            return self.err("as you like")
        try:
            _, user, password = base64.b64decode(initial).split(b"\0")
        except ValueError:
            return self.err("no base64")
        self.login(self.right(user, password))

    # ---- after login ----
    def on_STAT(self, _):
        self.ok(self.stat())

    def _listing(self, arg, row):
        if arg:
            n = self.number(arg)
            return n and self.ok(row(n))
        self.ok("listing")
        self.rows(row(n) for n in self.numbers())

    def on_LIST(self, arg):
        self._listing(arg, self.list_row)

    def on_UIDL(self, arg):
        self._listing(arg, self.uidl_row)

    def on_RETR(self, arg):
        n = self.number(arg)
        if n:
            self.house.retrieved.append((self.visit, n, self.mails[n - 1]))
            self.retrieve(n)

    def retrieve(self, n):
        self.ok(b"%d octets" % self.size(n))
        self.wire.send(self.body(n))

    def on_TOP(self, arg):
        first, _, lines = arg.partition(b" ")
        n = self.number(first)
        if not n:
            return
        head, blank, rest = self.mails[n - 1].octets.partition(b"\r\n\r\n")
        if self.mails[n - 1].octets.startswith(b"\r\n"):
            head, blank, rest = b"", b"\r\n", self.mails[n - 1].octets[2:]
        shown = rest.split(b"\r\n")[:int(lines)] if lines.isdigit() else []
        self.ok("top")
        octets = head + blank + b"".join(x + b"\r\n" for x in shown)
        self.wire.send(stuffed(octets))

    def on_DELE(self, arg):
        n = self.number(arg)
        if n:
            self.mark(n)
            self.ok("marked")

    def mark(self, n):
        self.house.asked_to_delete(self, n)
        self.deleted.add(n)

    def on_NOOP(self, _):
        self.ok()

    def on_RSET(self, _):
        self.deleted.clear()
        self.ok()

    def commit(self):
        if self.logged_in:
            self.house.delete(self, [self.mails[n - 1] for n in sorted(self.deleted)])

    def on_QUIT(self, _):
        self.quit_seen = True
        self.commit()
        self.ok("bye")
        self.closing()
        raise Cut


class House:
    """Listens on a port that stays the same; `script` (a class of sessions), `certificate`
    and `tls` may be changed between runs. Counted and written down, for all sessions:
    lines (what came), logins, retrieved, marked, deleted (by QUIT), wrongly (DELE for what
    `witness` does not find delivered), sessions with their wires."""

    def __init__(self, drop, script=Session, tls="none", certificate=None, quiet=0.0):
        self.drop, self.script, self.tls, self.quiet = drop, script, tls, quiet
        self.certificate = certificate
        self.witness = None
        self.lines, self.logins, self.retrieved, self.marked = [], [], [], []
        self.deleted, self.wrongly, self.sessions, self.faults = [], [], [], []
        self.memory = {}  # for scenarios: what lasts longer than a session
        self.ended = threading.Event()
        self.lock = threading.RLock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def context(self):
        return self.certificate.context

    def _accept(self):
        while not self.ended.is_set():
            try:
                if not select.select([self.listener], [], [], 0.05)[0]:
                    continue
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        line = Wire(sock, self.quiet)
        with self.lock:
            session = self.script(self, len(self.sessions) + 1, line)
            self.sessions.append(session)
        reset = False
        try:
            session.run()
        except (Cut, OSError):
            pass
        except Reset:
            reset = True
        except Exception as e:  # of a scenario: told by Trial, or nobody would see it
            self.faults.append(e)
            raise
        finally:
            line.close(reset)

    def note(self, session, octets):
        self.lines.append(Line(time.monotonic(), session.visit, session.wire.secured, octets))

    def asked_to_delete(self, session, n):
        mail = session.mails[n - 1]
        self.marked.append((session.visit, mail))
        if self.witness and not self.witness(mail):
            self.wrongly.append((session.visit, n, mail.uid))

    def delete(self, session, mails):
        with self.lock:
            for m in mails:
                if m in self.drop.mails:
                    self.drop.mails.remove(m)
                    self.deleted.append((session.visit, m))

    def said(self, verb, visit=None):
        """The lines that came with that command."""
        return [x.octets for x in self.lines if x.octets.upper().split(b" ")[0] == verb.encode()
                and visit in (None, x.session)]

    def stop(self):
        self.ended.set()
        self.threads[0].join(60)
        self.listener.close()
        for s in self.sessions:  # its thread closes it: it may be at it just now
            s.wire.end()
        for t in self.threads:
            t.join(60)
        assert not any(t.is_alive() for t in self.threads), "a session does not end"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Drop:
    """What lies on the server, whichever server it is."""

    def __init__(self, mails):
        self.mails = list(mails)
        self.ever = list(mails)

    def add(self, *mails):
        self.mails += mails
        self.ever += mails


# ---- certificates ---------------------------------------------------------------------

class Certificate:
    def __init__(self, chain, key):
        self.chain, self.key = chain, key
        self.context = self.context_of()

    def context_of(self, highest=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.chain, self.key)
        if highest:
            c.maximum_version = highest
        return c


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Authority:
    """A certification authority in a directory: good, and what it should never have made."""
    P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def __init__(self, directory):
        self.dir = directory
        directory.mkdir()
        self.ca, self.serial = directory / "ca.pem", random.getrandbits(60)
        _openssl("req", "-x509", *self.P256, "-days", "30", "-subj", f"/CN=CA of {directory.name}",
                 "-keyout", directory / "ca.key", "-out", self.ca)

    def make(self, name, alt="IP:127.0.0.1,DNS:localhost", start="20200101", end="20991231",
             extra=""):
        """A certificate between two days."""
        d = self.dir
        conf, chain, key = d / f"{name}.conf", d / f"{name}.pem", d / f"{name}.key"
        self.serial += 1
        (d / "index").write_text("")
        (d / "serial").write_text(f"{self.serial:016x}\n")
        conf.write_text(f"""[ca]
default_ca = d
[d]
database = {d}/index
new_certs_dir = {d}
serial = {d}/serial
default_md = sha256
policy = p
unique_subject = no
x509_extensions = x
[p]
commonName = supplied
[x]
basicConstraints = CA:FALSE
subjectAltName = {alt}
{extra}
""")
        _openssl("req", "-new", *self.P256, "-subj", f"/CN={name}", "-keyout", key,
                 "-out", d / f"{name}.csr")
        _openssl("ca", "-batch", "-notext", "-config", conf, "-cert", self.ca, "-keyfile",
                 d / "ca.key", "-in", d / f"{name}.csr", "-out", chain,
                 "-startdate", f"{start}000000Z", "-enddate", f"{end}000000Z")
        return Certificate(chain, key)

    def make_self_signed(self):
        chain, key = self.dir / "self.pem", self.dir / "self.key"
        _openssl("req", "-x509", *self.P256, "-days", "30", "-subj", "/CN=127.0.0.1", "-addext",
                 "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", chain)
        return Certificate(chain, key)
