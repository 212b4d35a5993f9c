"""`restante fetch` against servers, and people between, that mean harm. Scenarios as in
test_fetch_faulty.py, and the figures that a poll may cost."""
import os
import pty
import re
import socket
import ssl
import subprocess
import threading
import warnings

import pytest

from fetch_faulty import Cut, Drop, House, Mail, Session, nasty_mails, plain_mails
from fetch_trial import MEMORY, MIB, Sin, Trial, make_pki, play
from nasty import stuffed
from postoffice import until

NOTHING, GIVEN_UP, UNREACHABLE, LATER, PROTOCOL, REFUSED = 0, 65, 69, 75, 76, 77
GIB = 1 << 30
LONG = bool(os.environ.get("RESTANTE_LONG"))
ESCAPES = (b"\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\x90\xc2\x9b5m\x0e\x08\x08\x7f\r\v\f\t"
           b"\xe2\x80\xae\xff\xfe")
SINS = []


def sin(cls):
    SINS.append(cls)
    return cls


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("scenario", SINS, ids=lambda c: c.__name__)
def test_sin(scenario, tmp_path, pki):
    play(tmp_path, scenario, pki)


class _Refused(Sin):
    """Nothing comes of it, and no login is tried."""
    codes = ((PROTOCOL,),)

    @classmethod
    def check(cls, t):
        assert not t.files()
        assert not [x for v in ("USER", "PASS", "AUTH", "APOP") for x in t.said(v)], t.last()


# ---- more than anybody wants --------------------------------------------------------

class _Flood:
    """Pieces for ever, until the other side has enough; `flooded` says how much it took."""
    flood_max = 4 * GIB

    def flood(self, piece):
        sent = 0
        try:
            while sent < self.flood_max:
                self.wire.send(piece)
                sent += len(piece)
        finally:
            self.house.memory["flooded"] = sent

    @classmethod
    def check(cls, t):
        super().check(t)
        # The server may hear of the end a moment later.
        until(lambda: "flooded" in t.house.memory, 60, "the server still sends")
        assert t.house.memory["flooded"] < 64 * MIB, "it listened for too long"


@sin
class GreetingHasNoEnd(_Flood, _Refused):
    def opening(self):
        self.wire.send(b"+OK ")
        self.flood(b"x" * MIB)


@sin
class GreetingHasNoEndInTls(GreetingHasNoEnd):
    tls = "tls"


@sin
class GreetingIsNoise(_Flood, _Refused):
    def opening(self):
        self.flood(os.urandom(MIB).replace(b"\n", b"."))


@sin
class GreetingIsLinesForEver(_Flood, _Refused):
    def opening(self):
        self.flood(b"220 welcome\r\n" * 50000)


@sin
class StatusLineOf1Gib(_Flood, Sin):
    codes = ((PROTOCOL,),)

    def welcome(self):
        self.wire.send(b"+OK ")
        self.flood(b"x" * MIB)


@sin
class CapaHasNoEnd(_Flood, _Refused):
    codes = ((PROTOCOL, NOTHING),)

    def on_CAPA(self, _):
        self.ok()
        self.flood(b"X-MORE words\r\n" * 50000)


@sin
class CapaRowHasNoEnd(_Flood, _Refused):
    def on_CAPA(self, _):
        self.ok()
        self.flood(b"X" * MIB)


@sin
class RetrStatusHasNoEnd(_Flood, Sin):
    codes = ((PROTOCOL, GIVEN_UP),)

    def retrieve(self, n):
        self.wire.send(b"+OK ")
        self.flood(b"x" * MIB)


@sin
class UidlRowHasNoEnd(_Flood, Sin):
    codes = ((PROTOCOL,),)

    def on_UIDL(self, _):
        self.ok()
        self.wire.send(b"1 ")
        self.flood(b"x" * MIB)


@sin
class TopHasNoEnd(_Flood, Sin):
    """No UIDL, so headers are asked for; the answer is a body for ever."""
    capabilities = tuple(c for c in Session.capabilities if c != b"UIDL")
    keep, runs, whole, codes = True, 2, False, ((NOTHING, LATER, PROTOCOL),)
    sane, deadline = None, 60

    def on_UIDL(self, _):
        self.err("unknown command")

    def on_TOP(self, arg):
        if self.house.script is not type(self) or self.house.memory.get("flooded"):
            return super().on_TOP(arg)
        self.ok()
        return self.flood(b"Subject: x\r\n\r\n" + b"more of it\r\n" * 50000)


TEN_MILLION = 10_000_000
_rows = []


def many_rows():
    """"N N" for each of ten million; made once."""
    if not _rows:
        for i in range(1, TEN_MILLION + 1, 100_000):
            _rows.append(b"".join(b"%d %d\r\n" % (n, n) for n in range(i, i + 100_000)))
    return _rows


class _TenMillion(Sin):
    # The listing ends at a million rows (messages-max); that many may need so much.
    codes, deadline, memory = ((PROTOCOL,),), 90, 96 * MIB

    @classmethod
    def mails(cls):
        many_rows()  # now: their making would look like a server that hangs
        return nasty_mails()

    def on_STAT(self, _):
        self.ok(b"%d %d" % (self.count, self.count * 100))

    def many(self):
        self.ok()
        for piece in many_rows():
            self.wire.send(piece)
        self.wire.send(b".\r\n")

    def on_LIST(self, _):
        self.many()

    def on_UIDL(self, arg):
        return self.err() if arg else self.many()

    @classmethod
    def check(cls, t):
        assert not t.files() and not t.said("RETR") and not t.said("DELE")


@sin
class TenMillionRows(_TenMillion):
    count = TEN_MILLION


@sin
class TenMillionRowsAndStatSaysThree(_TenMillion):
    count = 3


@sin
class TenMillionRowsOfOneNumber(Sin):
    codes, deadline = ((NOTHING, PROTOCOL),), 90

    def on_LIST(self, _):
        self.ok()
        for _ in range(100):
            self.wire.send(b"1 1\r\n" * 100_000)
        self.rows(self.list_row(n) for n in self.numbers())


def test_a_long_line(tmp_path):
    """A message that is one line: 128 MiB, in the long run 1 GiB; in memory it is little."""
    size = GIB if LONG else 128 * MIB

    class OneLine(Session):
        def size(self, n):
            return size + 2 if n == 2 else super().size(n)

        def body(self, n):
            return super().body(n) if n != 2 else b""

        def retrieve(self, n):
            if n != 2:
                return super().retrieve(n)
            self.ok()
            for _ in range(size // MIB):
                self.wire.send(b"x" * MIB)
            return self.wire.send(b"\r\n.\r\n")
    with Trial(tmp_path, plain_mails(3), OneLine) as t:
        t.house.witness = None
        t.run(codes=(NOTHING,), deadline=300)
        assert sorted(p.stat().st_size for p in t.files())[-1] == size + 1
        assert len(t.files()) == 3 and not t.drop.mails


# ---- answers to nothing, and nothing to answers --------------------------------------------

class _Genuine(Sin):
    """Whatever it is told, it delivers nothing that is not there, and deletes nothing else."""
    codes = ((NOTHING, LATER, PROTOCOL, GIVEN_UP),)

    @classmethod
    def check(cls, t):
        genuine = {m.digest for m in t.drop.ever}
        assert set(t.digests()) <= genuine, "something was made up"


@sin
class MoreThanAskedAfterLogin(_Genuine):
    def welcome(self):
        self.wire.send(b"+OK welcome\r\n+OK and more\r\n-ERR and more\r\nwhat?\r\n")


@sin
class MoreThanAskedAfterQuit(_Genuine):
    codes = ((NOTHING,),)

    def closing(self):
        self.wire.send(b"+OK\r\n" * 1000 + b"\0" * 5000)


@sin
class MoreThanAskedAfterRetr(_Genuine):
    """Answers slip against commands; that is the server's doing, but nothing may get lost."""
    doubles = True

    def retrieve(self, n):
        super().retrieve(n)
        self.wire.send(b"-ERR what?\r\n")


@sin
class MoreThanAskedAfterGreeting(_Genuine):
    """Answers to what was not said yet, so that the password is thought to be taken."""
    def opening(self):
        self.wire.send(b"+OK ready\r\n+OK\r\nUSER\r\n.\r\n+OK\r\n+OK\r\n+OK 3 300\r\n")


@sin
class NothingIsUnderstood(_Refused):
    codes = ((PROTOCOL, REFUSED),)

    def command(self, line):
        self.wire.send(b"500 what?\r\n")

    @classmethod
    def check(cls, t):
        assert not t.files()


@sin
class SpeaksHttp(_Refused):
    def opening(self):
        self.wire.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>\r\n")


@sin
class ClosesAtOnce(_Refused):
    codes = ((UNREACHABLE, LATER),)

    def opening(self):
        raise Cut


@sin
class NeverSaysAnything(_Refused):
    codes, timeout = ((UNREACHABLE, LATER),), 1

    def opening(self):
        self.hang()


@sin
class NeverReads(Sin):
    codes, timeout = ((UNREACHABLE, LATER),), 1

    def opening(self):
        self.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        super().opening()
        self.hang()


class _Drip(Sin):
    timeout, codes = 1, ((LATER, PROTOCOL, UNREACHABLE, GIVEN_UP),)
    deadline = 60

    def drip(self, octets=b"x"):
        while not self.house.ended.wait(0.3):
            self.wire.send(octets)
        raise Cut


@sin
class GreetingDrips(_Drip):
    def opening(self):
        self.wire.send(b"+OK ")
        self.drip()


@sin
class ListDrips(_Drip):
    def on_LIST(self, _):
        self.ok()
        self.drip(b"1")


@sin
class MessageDrips(_Drip):
    def retrieve(self, n):
        self.ok()
        self.drip()

    @classmethod
    def leaves(cls, t):
        return [m.uid for m in t.drop.mails if t.quarantined()][:len(t.quarantined())]


@sin
class DripsAndEnds(Sin):
    """Slow, but there is always something: all of it is fetched."""
    timeout = 2

    @classmethod
    def mails(cls):
        return [Mail(b"slow", b"Subject: slow\r\n\r\nbody\r\n")]

    def opening(self):
        for c in b"+OK slow\r\n":
            self.wire.send(bytes([c]))
            self.house.ended.wait(0.05)

    def retrieve(self, n):
        self.ok()
        for c in self.body(n):
            self.wire.send(bytes([c]))
            self.house.ended.wait(0.05)


# ---- numbers ------------------------------------------------------------------------------

BAD_NUMBERS = (b"0 10", b"-1 10", b"4294967296 10", b"4294967297 10", b"18446744073709551617 10",
               b"99999999999999999999999999 10", b"1e3 10", b"+2 10", b"0x2 10", b"2", b"", b" ",
               b"two 10", b"2,3 10", b"3 -100", b"4 18446744073709551616", b"5 ", b"1 1", b"2 2",
               b"900 10", b"14 99999999999999999999999", b"\xb2 10", b"2\0 10", b"\0")


class _Rows(_Genuine):
    keep, runs, whole = True, 2, False
    codes = ((NOTHING, PROTOCOL, LATER, GIVEN_UP),)  # number 900 is listed, and never comes

    @classmethod
    def check(cls, t):
        super().check(t)
        asked = [x for v in ("RETR", "DELE", "TOP") for x in t.said(v)]
        numbers = {int(x.split()[1]) for x in asked}  # 15: would be the next new one
        assert numbers <= {*range(1, 16), 900}, f"asked for what is not there: {sorted(numbers)}"
        got = t.digests()
        assert len(got) == len(set(got)), f"delivered twice\n{t.last()}"


@sin
class ListNumbersAreOdd(_Rows):
    def on_LIST(self, arg):
        if arg:
            return super().on_LIST(arg)
        self.ok()
        return self.rows([*BAD_NUMBERS, *(self.list_row(n) for n in self.numbers()), *BAD_NUMBERS])


@sin
class UidlNumbersAreOdd(_Rows):
    doubles = True  # two of them get another UIDL afterwards

    def on_UIDL(self, arg):
        if arg:
            return super().on_UIDL(arg)
        self.ok()
        bad = [x.replace(b" 10", b" zzz") for x in BAD_NUMBERS]
        return self.rows([*bad[:-8], *(self.uidl_row(n) for n in self.numbers()), *bad])


@sin
class ListIsTwice(_Rows):
    codes = ((NOTHING, PROTOCOL),)

    def numbers(self):
        return super().numbers() * 2

    def stat(self):
        return b"14 1000"


@sin
class ListAndUidlDisagree(_Rows):
    """LIST knows the even ones, UIDL the odd ones; later both know all."""
    codes = ((NOTHING, PROTOCOL),)

    def on_LIST(self, arg):
        if arg:
            return super().on_LIST(arg)
        self.ok()
        return self.rows(self.list_row(n) for n in self.numbers() if n % 2 == 0)

    def on_UIDL(self, arg):
        if arg:
            return super().on_UIDL(arg)
        self.ok()
        return self.rows(self.uidl_row(n) for n in self.numbers() if n % 2)


@pytest.mark.parametrize("stat", [
    b"", b"0 0", b"3 30", b"15 4000", b"4294967310 1", b"14", b"-14 -1", b"14 -5", b"fourteen", b"14 4"
    + b"0" * 30, b"99999999999999999999 5", b"\x00\x00", b"14\0 10", b"4294967295 9"])
def test_stat_lies(stat, tmp_path):
    class StatLies(Sin):
        keep, runs, whole, codes = True, 3, False, ((NOTHING, PROTOCOL),)

        def on_STAT(self, _):
            self.ok(stat)

        @classmethod
        def check(cls, t):
            got = t.digests()
            assert len(got) == len(set(got)), f"delivered twice\n{t.last()}"
    play(tmp_path, StatLies)


class _Probes(_Genuine):
    """After two polls in order, what `UIDL n` says is a lie. The listing is as long as ever."""
    keep, runs, codes = True, 4, ((NOTHING,), (NOTHING,), (NOTHING, PROTOCOL, LATER))

    def on_UIDL(self, arg):
        if arg and self.visit > 2:
            return self.lie(arg)
        return super().on_UIDL(arg)

    @classmethod
    def check(cls, t):
        super().check(t)
        t.complete()


@sin
class ProbeSaysAnotherUidl(_Probes):
    def lie(self, arg):
        self.ok(arg + b" another")


@sin
class ProbeSaysAnotherNumber(_Probes):
    def lie(self, arg):
        n = self.number(arg)
        return n and self.ok(b"%d %s" % (n + 1, self.uid(n)))


@sin
class ProbeIsAList(_Probes):
    def lie(self, arg):
        self.ok()
        self.rows(self.uidl_row(n) for n in self.numbers())


@sin
class ProbeIsRefused(_Probes):
    def lie(self, arg):
        self.err("[SYS/PERM] no")


@sin
class ProbeIsEscapes(_Probes):
    def lie(self, arg):
        self.ok(arg + b" " + ESCAPES.replace(b"\r", b""))


@sin
class ProbeCuts(_Probes):
    def lie(self, arg):
        raise Cut


@sin
class ProbesAgreeAndAllElseIsNew(_Probes):
    """Same number, same octets, and all but the last has another UIDL. Nothing is lost."""
    whole = False

    @classmethod
    def mails(cls):
        return plain_mails(9)

    def uid(self, n):
        return super().uid(n) if n == 9 or self.visit <= 2 else b"new-" + super().uid(n)

    def lie(self, arg):
        Session.on_UIDL(self, arg)


def test_retr_gives_another(tmp_path):
    """RETR 2 sends what RETR 1 sent. Number 2 itself is not deleted unseen: the honest server
    shows that it has another header, and it is fetched."""
    class RetrGivesAnother(Session):
        def body(self, n):
            return stuffed(self.mails[0 if n == 2 else n - 1].octets)
    with Trial(tmp_path, plain_mails(6), RetrGivesAnother) as t:
        t.run(keep=True, codes=(NOTHING,))
        assert t.delivered(t.drop.ever[0]) == 2 and len(t.files()) == 6
        t.honest(doubles=True)
        assert len(t.files()) == 7, t.last()


# ---- what a terminal would obey --------------------------------------------------------------

@sin
class UidlsAreNasty(Sin):
    """Slashes, control characters, blanks within, escapes."""
    keep, runs = True, 2
    codes = ((NOTHING,),)

    @classmethod
    def mails(cls):
        odd = [b"/etc/passwd", b"../" * 40 + b"tmp/x", b"a\0b", ESCAPES.replace(b"\r", b""), b"\x01" * 70,
               b"\x1b[31mred", b"a b c", b"x\ty", b"a\rb", b"\x7f", b"new/../../cur", b"%s%s%n",
               b"{\"a\":1}", b"\\", b"'", b"\xc2\x9b31m", b"y" * 4000]
        mails = plain_mails(len(odd))
        for m, uid in zip(mails, odd):
            m.uid = uid
        return mails

    @classmethod
    def check(cls, t):
        assert not t.retrieved(1), f"fetched again\n{t.last()}"
        assert all(re.fullmatch(r"[\w.,=+:-]+", p.name) for p in t.files())


class _Escapes(Sin):
    codes = ((NOTHING, LATER, PROTOCOL, REFUSED, GIVEN_UP),)
    more = ("--verbose",)

    def ok(self, text=b""):
        self.say(b"+OK " + (text if isinstance(text, bytes) else text.encode()) + b" " +
                 ESCAPES.replace(b"\r", b""))


@sin
class EscapesInAnswers(_Escapes):
    pass


@sin
class EscapesInJson(_Escapes):
    more = ("--json",)


@sin
class EscapesInGreetingRefused(_Escapes):
    def opening(self):
        self.wire.send(b"-ERR " + ESCAPES + b"\r\n")
        raise Cut


@sin
class EscapesInLoginRefused(_Escapes):
    codes = ((REFUSED,),)

    def login(self, good):
        self.err(b"[AUTH] " + ESCAPES)


@sin
class EscapesInCodes(_Escapes):
    def login(self, good):
        self.err(b"[SYS/TEMP" + ESCAPES + b"] \0\0")


@sin
class EscapesInRetrRefused(_Escapes):
    runs = 4

    def retrieve(self, n):
        if n == 4:
            return self.err(ESCAPES)
        return super().retrieve(n)

    @classmethod
    def leaves(cls, t):
        return [t.drop.ever[3].uid]


@sin
class EscapesInHeaders(_Escapes):
    codes, more = ((NOTHING,),), ("--verbose", "--json")

    @classmethod
    def mails(cls):
        e = ESCAPES.replace(b"\r", b"")
        return [Mail(e, b"Subject: " + e + b"\r\nFrom: " + e + b"\r\nMessage-ID: " + e + b"\r\n\r\n"
                     + e + b"\r\n")]


@sin
class EscapesInCapa(_Escapes):
    capabilities = (*Session.capabilities, ESCAPES.replace(b"\r", b""), b"SASL PLAIN " + b"\x1b[2J")


@sin
class NulEverywhere(Sin):
    codes = ((NOTHING, PROTOCOL),)

    def say(self, line):
        self.wire.send(line + b"\0 \0" + self.eol)

    def rows(self, rows):
        super().rows(r + b" \0" for r in rows)


@sin
class NulInFront(_Genuine):
    def say(self, line):
        self.wire.send(b"\0" + line + self.eol)


def test_a_terminal_is_not_obeyed(tmp_path):
    """With a live line on a terminal: what the server says of it is never an escape."""
    class Sinner(_Escapes):
        def retrieve(self, n):
            return self.err(ESCAPES) if n == 2 else super().retrieve(n)
    with Trial(tmp_path, nasty_mails(), Sinner) as t:
        ours, theirs = pty.openpty()
        p = subprocess.Popen(t.command(), stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path,
                             env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm"})
        os.close(theirs)
        shown = bytearray()

        def read():
            try:
                while more := os.read(ours, 4096):
                    shown.extend(more)
            except OSError:
                pass
        reader = threading.Thread(target=read)
        reader.start()
        try:
            p.wait(60)
        finally:
            p.kill()
            reader.join(60)
            os.close(ours)
        for bad in (b"\x1b]", b"\x07", b"\x1b[2J", b"\x1b[31m", b"\x9b31", b"\x0e", b"\x08", b"\x7f",
                    b"\xe2\x80\xae", b"\v"):
            assert bad not in shown, (bad, bytes(shown))


# ---- TLS -------------------------------------------------------------------------------------

@pytest.mark.parametrize("tls", ["tls", "stls"])
@pytest.mark.parametrize("which", ["wrong-name", "expired", "not-yet", "for-clients", "foreign",
                                   "self-signed"])
def test_certificate(which, tls, tmp_path, pki):
    """Not a word is said behind such a certificate; with the right one all is well."""
    class Bad(_Refused):
        certificate = which
    Bad.tls = tls

    def check(cls, t):
        assert not [x for x in t.house.lines if x.secured], t.last()
        assert not t.files()
        told = t.runs[0].err.decode()
        assert "127.0.0.1" in told, f"it is not said whose certificate: {told}"
    Bad.check = classmethod(check)
    play(tmp_path, Bad, pki)


class _Stls(_Refused):
    tls = "stls"


@sin
class StlsIsRefused(_Stls):
    def on_STLS(self, _):
        self.err("[SYS/TEMP] no TLS today")


@sin
class StlsIsNotOffered(_Stls):
    """Stripped: CAPA does not have it, and the command is unknown."""
    def on_CAPA(self, _):
        self.ok()
        self.rows(self.capabilities)

    def on_STLS(self, _):
        self.err("unknown command")


@sin
class CapaIsTamperedBeforeStls(Sin):
    """What was said before TLS does not count after it (RFC 2595 s.4)."""
    tls = "stls"

    def on_CAPA(self, _):
        if self.wire.secured:
            return super().on_CAPA(_)
        self.ok()
        return self.rows([b"STLS", b"SASL LOGIN X-EVIL", b"PIPELINING", b"LOGIN-DELAY 999999"])

    def on_AUTH(self, arg):
        assert arg.upper().startswith(b"PLAIN"), arg
        super().on_AUTH(arg)


@sin
class StampIsTamperedBeforeStls(Sin):
    """A stamp that was sent in the clear is not answered behind TLS, even where asked for."""
    tls, more, codes = "stls", ("--apop",), ((NOTHING, PROTOCOL, REFUSED),)
    stamp = b"<1896.697170952@dbc.mtview.ca.us>"

    @classmethod
    def check(cls, t):
        assert not t.said("APOP"), t.last()


@sin
class PlainTextBehindStls(_Stls):
    """Answers in the packet of STLS's +OK: they would be taken for answers through TLS."""
    def on_STLS(self, _):
        self.wire.send(b"+OK begin\r\n+OK injected\r\n+OK injected\r\n+OK 0 0\r\n")
        self.handshake(self.buffer)


@sin
class PlainTextBehindStlsLooksLikeTls(_Stls):
    def on_STLS(self, _):
        self.wire.send(b"+OK begin\r\n\x15\x03\x03\x00\x02\x01\x00")
        self.handshake(self.buffer)


@sin
class PlainTextBeforeTheHandshake(_Refused):
    """Behind the client's first octets, a plain answer."""
    tls = "tls"

    def handshake(self, ahead=b""):
        self.wire.sock.recv(4096)
        self.wire.send(b"+OK ready\r\n")
        raise Cut


@sin
class PlainTextInPlaceOfTls(PlainTextBeforeTheHandshake):
    """The port does no TLS at all, and goes on in plain text."""
    def handshake(self, ahead=b""):
        self.house.memory["clear"] = True


@sin
class TlsOfOldVersion(_Refused):
    tls = "tls"

    def handshake(self, ahead=b""):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            c = self.house.certificate.context_of(ssl.TLSVersion.TLSv1_1)
            c.minimum_version = ssl.TLSVersion.TLSv1
        c.set_ciphers("ALL:@SECLEVEL=0")
        self.wire.start_tls(c, ahead)


@sin
class HandshakeHangs(_Refused):
    tls, timeout, codes = "tls", 1, ((UNREACHABLE, LATER),)

    def handshake(self, ahead=b""):
        self.hang()


@sin
class HandshakeIsCut(_Refused):
    tls, codes = "tls", ((UNREACHABLE, LATER, PROTOCOL),)

    def handshake(self, ahead=b""):
        self.wire.sock.recv(4096)
        raise Cut


@sin
class HandshakeIsNoise(_Refused):
    tls = "tls"

    def handshake(self, ahead=b""):
        self.wire.send(os.urandom(20000).replace(b"\x16", b"\0"))
        self.hang()


class _TlsCut(Sin):
    """The end of the connection without close_notify is no end of a message."""
    tls, runs, codes = "tls", 4, ((NOTHING, LATER, GIVEN_UP),)

    @classmethod
    def check(cls, t):
        assert not t.delivered(t.drop.ever[3]), "half a message was delivered"
        assert t.drop.mails == [t.drop.ever[3]], f"{[m.uid for m in t.drop.mails]}\n{t.last()}"

    @classmethod
    def leaves(cls, t):
        return [t.drop.ever[3].uid]


@sin
class TlsCutInAMessage(_TlsCut):
    def retrieve(self, n):
        if self.mails[n - 1] is not self.drop.ever[3]:
            return super().retrieve(n)
        self.ok()
        self.wire.send(self.body(n)[:-3])
        raise Cut


@sin
class TlsClosedInAMessage(TlsCutInAMessage):
    """With close_notify."""
    def retrieve(self, n):
        try:
            super().retrieve(n)
        except Cut:
            self.wire.farewell()
            raise


@sin
class TlsBrokenInAMessage(_TlsCut):
    """Octets that are not of this TLS session."""
    def retrieve(self, n):
        if self.mails[n - 1] is not self.drop.ever[3]:
            return super().retrieve(n)
        self.ok()
        self.wire.send(self.body(n)[:-3])
        self.wire.put(b"\x17\x03\x03\x00\x20" + b"." * 32)
        raise Cut
    codes = ((NOTHING, LATER, GIVEN_UP, PROTOCOL),)


@sin
class TlsCutBetweenMessages(Sin):
    tls, codes = "tls", ((NOTHING, LATER),)

    def before(self, name, arg):
        if name == "RETR" and self.visit == 1 and arg == b"5":
            raise Cut

    @classmethod
    def check(cls, t):
        t.complete()


@sin
class TlsOneTwo(Sin):
    tls = "tls"

    def handshake(self, ahead=b""):
        self.wire.start_tls(self.house.certificate.context_of(ssl.TLSVersion.TLSv1_2), ahead)


def test_tls_is_remembered(tmp_path, pki):
    """An account that had TLS once does not go back to plain text without being told."""
    with Trial(tmp_path, plain_mails(2), tls="stls", pki=pki) as t:
        t.run(codes=(NOTHING,), keep=True)
        got = t.run(tls="none", keep=True, codes=(PROTOCOL, REFUSED))
        assert b"forget-tls" in got.err, got.err
        # The server is asked for nothing that matters: must_hold saw that no login came.
        t.run(codes=(NOTHING,))
        t.complete()


def test_tls_is_forgotten_once(tmp_path, pki):
    """--forget-tls is said once: from then on there is no TLS to lose, until it comes back."""
    with Trial(tmp_path, plain_mails(2), tls="stls", pki=pki) as t:
        t.run(codes=(NOTHING,), keep=True)
        t.tls = "none"
        t.run(keep=True, codes=(NOTHING,), more=["--forget-tls"])
        t.run(keep=True, codes=(NOTHING,))
        t.run(tls="stls", keep=True, codes=(NOTHING,))
        got = t.run(keep=True, codes=(PROTOCOL,))
        assert b"forget-tls" in got.err, got.err


def test_nobody_listens(tmp_path):
    with Trial(tmp_path, plain_mails(1)) as t:
        t.house.listener.close()
        t.run(codes=(UNREACHABLE,))


def test_secrets_are_not_seen(tmp_path, pki):
    """Neither in the command line nor in the environment of the process."""
    seen = []

    class Looks(Session):
        def on_STAT(self, _):
            for p in filter(str.isdigit, os.listdir("/proc")):
                try:
                    words = open(f"/proc/{p}/cmdline", "rb").read()
                    if os.readlink(f"/proc/{p}/exe").endswith("restante-fetch") and \
                            str(tmp_path).encode() in words:  # others run it too
                        seen.extend((words, open(f"/proc/{p}/environ", "rb").read()))
                except OSError:
                    continue
            super().on_STAT(_)
    with Trial(tmp_path, plain_mails(1), Looks, tls="tls", pki=pki) as t:
        t.run(codes=(NOTHING,))
        assert seen and not any(b"s3cret" in x for x in seen)


# ---- what a poll costs -------------------------------------------------------------------------

def test_nothing_new_takes_three_turns(tmp_path, pki):
    """TLS 1.3: hello; login with all that is asked, before the greeting; QUIT."""
    with Trial(tmp_path, plain_mails(20), tls="tls", pki=pki, quiet=0.2) as t:
        for _ in range(3):
            t.run(keep=True, codes=(NOTHING,))
        turns = [s.wire.turns for s in t.house.sessions]
        assert turns[1] <= 3 and turns[2] <= 3, f"turns: {turns}\n{t.last()}"
        assert not t.retrieved(1) and not t.said("CAPA", 2)


def test_nothing_new_takes_two_turns_in_plain_text(tmp_path):
    with Trial(tmp_path, plain_mails(20), quiet=0.2) as t:
        for _ in range(2):
            t.run(keep=True, codes=(NOTHING,))
        assert t.house.sessions[1].wire.turns <= 2, t.last()


@pytest.mark.parametrize("tls", ["none", "tls"])
def test_one_new_among_twenty_thousand(tls, tmp_path, pki):
    """Under 5 kB come from the server, the message among them; no listing is asked for."""
    with Trial(tmp_path, plain_mails(20_000), tls=tls, pki=pki, quiet=0.2) as t:
        t.house.witness = None
        t.run(keep=True, more=("--adopt",), codes=(NOTHING,), memory=2 * MEMORY)
        assert not t.files()
        t.run(keep=True, codes=(NOTHING,), memory=2 * MEMORY)
        t.drop.add(*plain_mails(1, start=30_000))
        t.run(keep=True, codes=(NOTHING,), memory=2 * MEMORY)
        wire = t.house.sessions[-1].wire
        assert len(t.files()) == 1 and t.delivered(t.drop.ever[-1]), t.last()
        assert wire.sent < 5000, f"{wire.sent} octets from the server\n{t.last()}"
        assert wire.turns <= (3 if tls == "tls" else 2), wire.turns


def test_the_server_of_these_tests_counts(tmp_path):
    """House: octets and turns are those of the line."""
    with House(Drop(plain_mails(1))) as house:
        with socket.create_connection(("127.0.0.1", house.port)) as s, s.makefile("rb") as lines:
            got = lines.readline()
            for line in (b"NOOP\r\n", b"QUIT\r\n"):
                s.sendall(line)
                got += lines.readline()
            assert lines.read() == b""
        assert house.sessions[0].wire.sent == len(got) and house.sessions[0].wire.turns == 2
        assert [x.octets for x in house.lines] == [b"NOOP", b"QUIT"]
