"""`restante fetch` against the faults of servers in use. A class is a scenario: it overrides
a hook of an honest server; `play` (fetch_trial.py) runs it and says what must hold."""
import hashlib
import random
import re

import pytest

from fetch_faulty import (STAMP, Cut, Mail, Reset, Session, nasty_mails, plain_mails,
                          received_mails, stuffed)
from fetch_trial import MIB, Sin, Trial, make_pki, never, play
from nasty import wire
from postoffice import until

NOTHING, GIVEN_UP, UNREACHABLE, LATER, PROTOCOL, REFUSED = 0, 65, 69, 75, 76, 77
EACH = ((NOTHING, LATER, GIVEN_UP),)
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


def no_retr_after_the_first_run(cls, t):
    for i in range(1, len(t.runs)):
        assert not t.retrieved(i), f"run {i + 1} fetched again\n{t.last()}"


class HeadersTell(Sin):
    """Where UIDLs do not tell, a header does that no other message has. One that may be another's
    says nothing: that message is fetched, and is not delivered again."""

    @classmethod
    def mails(cls):
        return nasty_mails() + received_mails()


def no_retr_where_headers_tell(cls, t):
    for i in range(1, len(t.runs)):
        again = [m.uid for visit, _, m in t.house.retrieved
                 if visit in t.runs[i].visits and m.octets.startswith(b"Received:")]
        assert not again, f"run {i + 1} fetched again\n{t.last()}"


# ---- capabilities --------------------------------------------------------------------

@sin
class NoCapa(Sin):
    keep, runs = True, 2

    def on_CAPA(self, _):
        self.err("unknown command")

    def on_AUTH(self, _):
        self.err("unknown command")

    @classmethod
    def check(cls, t):
        no_retr_after_the_first_run(cls, t)
        assert not any(s.piled for s in t.house.sessions), "two commands at a time without PIPELINING"
        assert not t.said("CAPA", 1), "it is not remembered that CAPA is unknown"


@sin
class NoPipelining(Sin):
    capabilities = (b"TOP", b"UIDL", b"USER")

    @classmethod
    def check(cls, t):
        assert not any(s.piled for s in t.house.sessions), "two commands at a time without PIPELINING"


@sin
class CapaOmitsUidl(Sin):
    """It is there all the same."""
    keep, runs = True, 2
    capabilities = (b"USER", b"PIPELINING")
    check = classmethod(no_retr_after_the_first_run)


@sin
class CapaListsUidlAfterLogin(Sin):
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)

    @property
    def capabilities(self):
        return Session.capabilities if self.logged_in else (b"USER",)


@sin
class CapaIsOdd(Sin):
    capabilities = (b"top", b"uIdL", b"user", b"sasl  plain", b"X-" + b"y" * 480, b"", b" ",
                    b"EXPIRE", b"LOGIN-DELAY soon", b"LOGIN-DELAY 0", b"SASL",
                    b"EXPIRE 99999999999999999999 USER", b"IMPLEMENTATION \xff\x80", b"pipelining")


# ---- UIDL and TOP --------------------------------------------------------------------

class _NoUidl(Sin):
    keep, runs, sane = True, 3, None
    capabilities = tuple(c for c in Session.capabilities if c != b"UIDL")

    def on_UIDL(self, _):
        self.err("unknown command")


@sin
class NoUidl(_NoUidl):
    check = classmethod(no_retr_after_the_first_run)


@sin
class NoUidlAndNoTop(_NoUidl):
    """What is there can be known only by fetching it; it must not be delivered twice."""
    capabilities = tuple(c for c in _NoUidl.capabilities if c != b"TOP")

    def on_TOP(self, _):
        self.err("unknown command")


@sin
class NoUidlDelete(_NoUidl):
    keep = False


def like_letters(n):
    """Different letters with the same header, two of them of the same size."""
    head = b"From: a@example.com\r\nSubject: report\r\n\r\n"
    return [Mail(b"like-%d" % i, head + b"body %d\r\n" % (i % 10) * (1 + i // 2))
            for i in range(n)]


@sin
class NoUidlAndLikeHeaders(_NoUidl):
    """Nothing tells these apart before they are fetched; none is lost."""
    mails = classmethod(lambda cls: like_letters(6))

    @classmethod
    def check(cls, t):
        t.complete(doubles=True)


@sin
class NoUidlAndLikeHeadersDelete(NoUidlAndLikeHeaders):
    keep = False


@sin
class NoUidlAndLikeHeadersLater(NoUidlAndLikeHeaders):
    """One with the header of a message that is known comes later, of another size."""
    mails = classmethod(lambda cls: like_letters(2)[:1])

    @classmethod
    def between(cls, t, i):
        t.drop.add(like_letters(8)[2 + 2 * i])


class _ManyOfOneHeader(Sin):
    """Some come and are deleted in the middle of others, and more come in a later poll."""
    runs, sane = 3, None

    @classmethod
    def mails(cls):
        return cls.some(0, 200)

    @classmethod
    def some(cls, start, n):
        head = b"From: a@example.com\r\nSubject: report\r\n\r\n"
        return [Mail(b"one-%d" % i, head + b"body %03d\r\n" % i * (1 + i))
                for i in range(start, start + n)]

    @classmethod
    def between(cls, t, i):
        t.complete()
        t.drop.add(*cls.some(200 + 3 * i, 3))


@sin
class NoUidlAndManyOfOneHeader(_ManyOfOneHeader):
    capabilities = _NoUidl.capabilities
    on_UIDL = _NoUidl.on_UIDL


@sin
class NoUidlAndManyOfOneHeaderStay(NoUidlAndManyOfOneHeader):
    keep = True


@sin
class NoUidlAndManyOfOneHeaderAndSizesLie(NoUidlAndManyOfOneHeader):
    def size(self, n):
        return super().size(n) + 3


@sin
class UidlIsOfTheHeader(_ManyOfOneHeader):
    def uid(self, n):
        return hashlib.md5(self.mails[n - 1].octets.partition(b"\r\n\r\n")[0]).hexdigest().encode()


@sin
class UidlIsOfTheHeaderOneByOne(UidlIsOfTheHeader):
    """No two at a time."""
    runs = 5
    mails = classmethod(lambda cls: cls.some(0, 1))

    @classmethod
    def between(cls, t, i):
        t.complete()
        t.drop.add(*cls.some(1 + i, 1))


@sin
class UidlAppears(_NoUidl):
    """The server learns UIDL: messages are known again by their headers."""
    sane = Session

    @classmethod
    def mails(cls):
        return plain_mails(12)

    @classmethod
    def afterwards(cls, t):
        no_retr_after_the_first_run(cls, t)


@sin
class NoTop(Sin):
    keep, runs = True, 2
    capabilities = tuple(c for c in Session.capabilities if c != b"TOP")
    check = classmethod(no_retr_after_the_first_run)

    def on_TOP(self, _):
        self.err("unknown command")


@sin
class TopAnnouncedAndRefused(NoTop):
    capabilities = Session.capabilities


@sin
class UidlIsTwice(Sin):
    """Two messages have the same UIDL, and another three."""
    keep, runs, sane = True, 3, None
    check = classmethod(no_retr_after_the_first_run)

    def uid(self, n):
        return b"same" if n in (2, 5) else b"also" if n in (7, 8, 9) else super().uid(n)


@sin
class UidlIsTwiceDelete(UidlIsTwice):
    keep, runs = False, 1


@sin
class UidlIsAlwaysTheSame(UidlIsTwice):
    def uid(self, n):
        return b"1"


class _NothingTells(_NoUidl):
    """One UIDL for all and no TOP: each session begins anew, so none is worth while that
    brings nothing more than the one before."""
    keep, runs = True, 2
    capabilities = tuple(c for c in Session.capabilities if c != b"TOP")
    mails = classmethod(lambda cls: plain_mails(3))
    on_UIDL = Session.on_UIDL

    def on_TOP(self, _):
        self.err("unknown command")

    def uid(self, n):
        return b"same"

    @classmethod
    def check(cls, t):
        assert all(len(r.visits) <= 6 for r in t.runs), [r.visits for r in t.runs]


@sin
class NothingTellsAndCommits(_NothingTells):
    more = ("--commit-messages", "1")


@sin
class NothingTellsAndCuts(_NothingTells):
    codes, whole, sane, doubles = ((LATER,),), False, Session, True

    def retrieve(self, n):
        if n == 2:
            raise Cut
        super().retrieve(n)


@sin
class UidlIsOdd(Sin):
    """Long, with every octet that can stand in it."""
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)

    @classmethod
    def mails(cls):
        odd = [b"x" * 120, b"../../../etc/passwd", b"a/b", b"..", b".", b"%s%n", b"\xff\xfe\x80",
               b"'; DROP TABLE messages; --", b"a,b:2,S", b"\xc3\xa4", b'"', b"<>|&$(id)`id`",
               b"~", b"x" * 1000, b"-1", b"0"]
        mails = plain_mails(len(odd))
        for m, uid in zip(mails, odd):
            m.uid = uid
        return mails


@sin
class UidlIsNewEachSession(HeadersTell):
    keep, runs, codes = True, 3, ((NOTHING,), (NOTHING, LATER))
    check = classmethod(no_retr_where_headers_tell)

    def uid(self, n):
        return b"%d-%d" % (self.visit * 7919, n)


@sin
class UidlIsReused(Sin):
    """Another message has taken the place and the UIDL of one that was collected."""
    keep, runs = True, 2

    def visible(self):
        mails = self.drop.mails
        if self.house.memory.setdefault("first", self.visit) != self.visit and len(self.drop.ever) == 14:
            gone = mails.pop(5)
            new = Mail(gone.uid, plain_mails(1, b"of another\r\n" * 9, 77)[0].octets)
            mails.insert(5, new)
            self.drop.ever.append(new)
        return list(mails)

    @classmethod
    def check(cls, t):
        assert len(t.retrieved(1)) == 1


@sin
class UidlIsReusedAndSizesLie(UidlIsReused):
    def size(self, n):
        return super().size(n) // 2


def without_message_id(n, text):
    """Of one header and one size."""
    return Mail(b"w%d" % n, b"From: ups@example.org\r\nSubject: alarm\r\n\r\nbattery at %d\r\n" % text)


def test_a_header_without_a_message_id_is_no_name(tmp_path):
    """Somebody else deletes what was collected, and the next one looks the same."""
    with Trial(tmp_path, [without_message_id(0, 10)], Sin) as t:
        for i in range(1, 5):
            t.run(keep=True, codes=(NOTHING,))
            t.complete()
            t.drop.add(without_message_id(i, 10 + i))
            t.drop.mails.pop(0)


@pytest.mark.parametrize("uidl", [b"1", b"other"])
def test_what_looks_the_same_is_not_deleted_unseen(uidl, tmp_path):
    """QUIT had no answer, and what is there now is another message."""
    class NoAnswer(Sin):
        def on_QUIT(self, _):
            if self.visit > 1:
                return super().on_QUIT(_)
            self.commit()
            raise Cut

    first, second = without_message_id(0, 10), without_message_id(1, 11)
    first.uid, second.uid = b"1", uidl
    with Trial(tmp_path, [first], NoAnswer) as t:
        t.run(codes=(NOTHING,))
        t.drop.add(second)
        t.run(codes=(NOTHING,))
        t.complete()


@pytest.mark.parametrize("policy", ["delete", "delete-after"])
def test_top_differs_from_retr(policy, tmp_path):
    """As behind a proxy that marks what goes through it: what was delivered is known by its
    octets, and is not delivered again."""
    class Marks(Sin):
        def on_TOP(self, arg):
            n = self.number(arg.partition(b" ")[0])
            self.ok("top")
            self.wire.send(stuffed(b"X-Scan: pending\r\n" + self.mails[n - 1].octets))

        def on_DELE(self, arg):
            if self.visit == 1:
                raise Cut
            super().on_DELE(arg)

    with Trial(tmp_path, plain_mails(5), Marks) as t:
        mbox = tmp_path / "mbox"
        keep = policy == "delete-after"
        more = ("--mbox", str(mbox)) + (("--delete-after", "1s") if keep else ())

        def collected():
            t.run(keep=keep, more=more, codes=(NOTHING, LATER))
            return not t.drop.mails
        until(collected, 60, lambda: mbox.read_bytes().decode("latin-1"))
        assert mbox.read_bytes().count(b"\nFrom ") + 1 == 5, mbox.read_bytes().decode("latin-1")


def differing_mails(n, start=0):
    """Of many sizes."""
    return [plain_mails(1, b"x" * (i % 400) + b"\r\n", i)[0] for i in range(start, start + n)]


class _UidlIsThePlace(Sin):
    def uid(self, n):
        return b"%d" % n


@sin
class UidlIsThePlace(_UidlIsThePlace):
    """One is deleted by somebody else: all those behind it have the UIDL of another."""
    keep, runs, whole, sane = True, 3, False, _UidlIsThePlace
    check = classmethod(no_retr_after_the_first_run)

    @classmethod
    def mails(cls):
        return differing_mails(8)

    @classmethod
    def between(cls, t, i):
        t.complete()
        t.drop.mails.pop(i)


def takes_a_place(t):
    t.drop.add(*differing_mails(1, 5000))
    t.drop.mails.insert(0, t.drop.mails.pop())
    return [5001, 1]  # what is fetched ahead, and dropped, was no new one


def leaves_a_place(t):
    t.drop.mails.pop(0)
    return []


@pytest.mark.parametrize("change", [takes_a_place, leaves_a_place])
def test_the_uidl_is_the_place_of_many(change, tmp_path):
    """More of them move than are marked at a time otherwise, up or down."""
    with Trial(tmp_path, differing_mails(5000), _UidlIsThePlace) as t:
        t.run(keep=True, codes=(NOTHING,))
        new = change(t)
        for i, want in (1, new), (2, []):
            t.run(keep=True, codes=(NOTHING,))
            assert t.retrieved(i) == want, t.last()
        t.complete()


@sin
class UidlIsThePlaceAndOnlyTheNewestStay(_UidlIsThePlace):
    """What is deleted is our own doing."""
    keep, runs, whole, sane, more = True, 4, False, _UidlIsThePlace, ("--keep-newest", "8")
    mails = classmethod(lambda cls: differing_mails(8))

    @classmethod
    def between(cls, t, i):
        if i < 2:
            t.drop.add(*differing_mails(1, 8 + i))

    @classmethod
    def check(cls, t):
        t.complete()
        assert [len(t.retrieved(i)) for i in (1, 2, 3)] == [1, 1, 0], t.last()


@sin
class UidlOneIsWithoutNumber(Sin):
    """`UIDL n` is answered with the UIDL alone."""
    keep, runs = True, 3
    check = classmethod(no_retr_after_the_first_run)

    def on_UIDL(self, arg):
        if not arg:
            return super().on_UIDL(arg)
        n = self.number(arg)
        return n and self.ok(self.uid(n))


@sin
class UidlOneIsRefused(UidlOneIsWithoutNumber):
    def on_UIDL(self, arg):
        return self.err("no argument here") if arg else super().on_UIDL(arg)


@sin
class UidlIsRefusedAtFirst(Sin):
    """CAPA has it; nothing is fetched under names that will not hold, as TOP is no help."""
    runs, codes = 2, EACH

    def on_UIDL(self, arg):
        if self.visit > 1:
            return super().on_UIDL(arg)
        self.err("not now")

    def on_TOP(self, _):
        self.err("never")

    def on_QUIT(self, _):
        if self.visit > 1:
            return super().on_QUIT(_)
        raise Cut


@sin
class UidlAndTopAreRefusedLater(Sin):
    """What is fetched again because nothing tells it from others is known by its octets."""
    keep, runs, codes = True, 7, EACH
    refusal = b"no"

    def on_UIDL(self, arg):
        return self.err(self.refusal) if 1 < self.visit < 7 else super().on_UIDL(arg)

    def on_TOP(self, arg):
        return self.err("no") if self.visit < 7 and arg[0] % 2 else super().on_TOP(arg)

    @classmethod
    def check(cls, t):
        assert any(t.retrieved(i) for i in range(1, len(t.runs))), "it was put to no test"


@sin
class UidlIsRefusedForNow(UidlAndTopAreRefusedLater):
    """However often: a server that says so has it."""
    refusal = b"[SYS/TEMP] later"
    check = classmethod(no_retr_after_the_first_run)


@sin
class TopIsCutInItsMiddle(_NoUidl):
    """Half a header is not the beginning of the next session's first one."""
    runs, codes = 4, EACH
    check = classmethod(no_retr_after_the_first_run)

    def on_TOP(self, arg):
        if self.visit < 2 or self.house.memory.setdefault("cuts", 0) >= 2:
            return super().on_TOP(arg)
        self.house.memory["cuts"] += 1
        self.ok("top")
        self.wire.send(b"From: somebody else\r\nSubject: ")
        raise Cut


@sin
class ClosesBehindTheListing(Sin):
    """While the state is read still; what is known is not gone for that."""
    keep, runs, codes = True, 3, EACH
    capabilities = (b"UIDL", b"USER", b"TOP")
    check = classmethod(no_retr_after_the_first_run)

    def on_STAT(self, _):
        self.ok(b"0 0" if self.visit > 1 else self.stat())

    def on_UIDL(self, arg):
        super().on_UIDL(arg)
        if not arg and 1 < self.visit < 8:
            raise Cut


# ---- what is there comes and goes ----------------------------------------------------------

class _Flaps(HeadersTell):
    keep, runs = True, 4
    check = classmethod(no_retr_where_headers_tell)

    def part(self):
        return self.drop.mails[::2]

    def visible(self):
        return self.part() if self.visit % 2 == 0 else list(self.drop.mails)


@sin
class HalfIsGoneForOneSession(_Flaps):
    pass


@sin
class AllIsGoneForOneSession(_Flaps):
    def part(self):
        return []


@sin
class RetrievedIsHidden(Sin):
    """As at Gmail: what any client has retrieved is not listed to the next."""
    keep, runs = True, 3
    check = classmethod(no_retr_after_the_first_run)

    def visible(self):
        fetched = [m for _, _, m in self.house.retrieved]
        return [m for m in self.drop.mails if m not in fetched]


@sin
class OnlyAWindowIsListed(Sin):
    """The newest four, until those were deleted."""
    runs = 4

    def visible(self):
        return self.drop.mails[-4:]

    @classmethod
    def check(cls, t):
        assert not t.drop.mails


# ---- LIST ------------------------------------------------------------------------------------

class _Sizes(Sin):
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)


@sin
class SizesAreDouble(_Sizes):
    def size(self, n):
        return 2 * super().size(n)


@sin
class SizesAreHalf(_Sizes):
    def size(self, n):
        return super().size(n) // 2


@sin
class SizesAreZero(_Sizes):
    def size(self, n):
        return 0


@sin
class SizesAreWithLineEndsOfOne(_Sizes):
    def size(self, n):
        return super().size(n) - self.mails[n - 1].octets.count(b"\r\n")


@sin
class SizesAreWithDots(_Sizes):
    def size(self, n):
        return len(self.body(n)) - 3


@sin
class ListHasBlanksAndMore(Sin):
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)

    def list_row(self, n):
        return b"%d   %d  octets (%s)" % (n, self.size(n), b"seen")

    def uidl_row(self, n):
        return b"%d  %s  " % (n, self.uid(n))

    def stat(self):
        return super().stat().replace(b" ", b"   ") + b" and more"

    def before(self, name, arg):
        if arg != arg.strip() or name in ("LIST", "UIDL", "STAT", "QUIT") and \
                self.house.lines[-1].octets.endswith(b" "):
            raise Cut


@sin
class ListIsDescending(Sin):
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)

    def numbers(self):
        return super().numbers()[::-1]


@sin
class StatusIsOkAlone(Sin):
    def ok(self, text=b""):
        self.say(b"+OK " + text if text[:1].isdigit() and b"octets" not in text else b"+OK")


@sin
class StatusIsLowerCase(Sin):
    def ok(self, text=b""):
        self.say(b"+ok " + text.encode() if isinstance(text, str) else b"+Ok " + text)

    def opening(self):
        self.say(b"+ok ready")


@sin
class MessageStatusIsLong(Sin):
    def retrieve(self, n):
        self.ok(b"z" * 20000)
        self.wire.send(self.body(n))


# ---- messages --------------------------------------------------------------------------------

@sin
class DotsAreNotStuffed(Sin):
    """LIST is exact, as it is on such servers."""
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)

    @classmethod
    def mails(cls):
        return plain_mails(2) + plain_mails(3, b".x\r\n..\r\n...\r\n.signature\r\n", 10) + \
            plain_mails(2, b".htaccess\r\n" * 3000, 20)

    def body(self, n):
        return self.mails[n - 1].octets + b".\r\n"


@sin
class DotsAreNotStuffedDelete(DotsAreNotStuffed):
    keep, runs = False, 1


class _LoneDot(DotsAreNotStuffedDelete):
    """A line of one dot is the end to whoever reads the standard: what came before it is no
    message, and the whole one stays on the server."""
    runs, codes = 5, ((NOTHING, PROTOCOL, GIVEN_UP),)
    leaves = classmethod(lambda cls, t: [b"lone"])
    rest = b"the other half\r\n"

    @classmethod
    def mails(cls):
        head = b"From: a@example.com\r\nMessage-ID: <lone@example.com>\r\n\r\n"
        mails = DotsAreNotStuffed.mails()
        return [*mails[:4], Mail(b"lone", head + b"one half\r\n.\r\n" + cls.rest), *mails[4:]]

    @classmethod
    def check(cls, t):
        assert [m.uid for m in t.drop.mails] == [b"lone"], t.last()
        assert len(t.files()) == len(cls.mails()) - 1, t.last()
        assert len(t.quarantined()) == 1, t.last()


@sin
class DotAloneIsNotStuffed(_LoneDot):
    pass


@sin
class DotAloneIsNotStuffedOneByOne(_LoneDot):
    capabilities = tuple(c for c in Session.capabilities if c != b"PIPELINING")


@sin
class DotAloneIsNotStuffedLast(_LoneDot):
    """Behind a dot in the last line there is only the end, again."""
    rest = b""


@sin
class DotAloneIsNotStuffedBeforeABlank(_LoneDot):
    rest = b"\r\n\r\nmore\r\n"


@sin
class BodiesHaveBareLf(Sin):
    """A bare LF is an octet of its line: a dot between two of them ends nothing."""
    @classmethod
    def mails(cls):
        return plain_mails(3) + [Mail(b"lf%d" % i, b"Subject: lf %d\r\n\r\n" % i + body)
                                 for i, body in enumerate((b"one\ntwo\r\n", b"a\n.\nb\r\n",
                                                           b"a\n..x\n.\n\r\n", b"\n\n\n\r\n"))]

    def body(self, n):
        octets = re.sub(rb"(\A|\r\n)\.", rb"\1..", self.mails[n - 1].octets)
        return octets + b".\r\n"


@sin
class AllIsLf(Sin):
    """No CR anywhere, dots are stuffed at the line ends there are."""
    eol = b"\n"

    @classmethod
    def mails(cls):
        return [Mail(m.uid, m.octets.replace(b"\r\n", b"\n")) for m in
                plain_mails(4) + plain_mails(3, b".\r\n.x\r\n..\r\n", 20)]

    def body(self, n):
        return re.sub(rb"(?m)^\.", b"..", self.mails[n - 1].octets) + b".\n"


class _Contents(Sin):
    keep, runs = True, 2
    check = classmethod(no_retr_after_the_first_run)
    contents = ()

    @classmethod
    def mails(cls):
        odd = [Mail(b"odd%d" % i, wire(octets)) for i, octets in enumerate(cls.contents)]
        return plain_mails(2) + odd + plain_mails(2, start=10)


HEAD = b"From: a@example.com\nSubject: odd\n"


@sin
class BareCr(_Contents):
    contents = (HEAD + b"\na\rb\r\r\r\nc\r.\r\n.\rd\n", HEAD + b"X: a\rb\n\n\r\n", HEAD + b"\n\r" * 50)


@sin
class NulAndEightBit(_Contents):
    contents = (HEAD + b"X-\0: \0\nX: \xff\xfe\x80\n\n\0\n\0\0.\0\n", b"\0", HEAD + bytes(range(256)) * 9)


@sin
class LineOf4Mib(_Contents):
    contents = (HEAD + b"\n" + b"x" * (4 * MIB) + b"\nend\n", HEAD + b"\n" + b"." * (4 * MIB + 1))


@sin
class HeaderLineOf100Kb(_Contents):
    contents = (HEAD + b"X: " + b"y" * 100_000 + b"\n\nbody\n", b"z" * 100_000 + b"\n\n",
                b"Subject: " + b"s" * 2_000_000)


@sin
class NoHeader(_Contents):
    contents = (b"\nonly a body\n", b"no header, no blank line\n", b": : :\n\n")


@sin
class Empty(_Contents):
    contents = (b"",)


@sin
class FromLine(_Contents):
    contents = (b"From a@example.com Mon Jan  1 00:00:00 2001\n" + HEAD + b"\nFrom b\n>From c\n>>From\n",
                b">From a@example.com\n" + HEAD + b"\n\nFrom \n")


@sin
class TenThousandHeaderLines(_Contents):
    contents = (b"".join(b"X-%d: %d\n" % (i, i) for i in range(10_000)) + b"\nbody\n",)


# ---- messages that do not come ------------------------------------------------------------

class _Poison(Sin):
    """Message 4 never comes whole. All others do, in the end; it is put aside and stays."""
    runs, codes, timeout = 4, EACH, 1
    only_once, half = False, True

    def is_poison(self, n):
        return self.mails[n - 1] is self.drop.ever[3] and \
            not (self.only_once and self.house.memory.get("poisoned"))

    def retrieve(self, n):
        if self.is_poison(n):
            self.house.memory["poisoned"] = True
            self.fail(n)
        else:
            super().retrieve(n)

    def start(self, n):
        octets = self.body(n)[:-3]
        self.ok("%d octets" % len(octets))
        self.wire.send(octets[:len(octets) // 2 if self.half else len(octets)])

    @classmethod
    def check(cls, t):
        poison = t.drop.ever[3]
        assert not t.delivered(poison), "half a message was delivered"
        assert [m for m in t.drop.mails] == [poison], \
            f"the others: {[m.uid for m in t.drop.mails]}\n{t.last()}"
        assert GIVEN_UP in {r.code for r in t.runs}, [r.code for r in t.runs]

    @classmethod
    def leaves(cls, t):
        return [t.drop.ever[3].uid]


@sin
class NoTerminator(_Poison):
    half = False

    def fail(self, n):
        self.start(n)
        raise Cut


@sin
class ClosesInTheMiddle(_Poison):
    def fail(self, n):
        self.start(n)
        raise Cut


@sin
class ResetsInTheMiddle(ClosesInTheMiddle):
    def fail(self, n):
        self.start(n)
        raise Reset


@sin
class HangsInTheMiddle(_Poison):
    deadline = 60

    def fail(self, n):
        self.start(n)
        self.hang()


@sin
class RetrIsRefused(_Poison):
    def fail(self, n):
        self.err("cannot read it")


@sin
class RetrIsRefusedForGood(RetrIsRefused):
    def fail(self, n):
        self.err("[SYS/PERM] damaged")


class _Once(_Poison):
    """The same, but only at the first time: the run itself tries again."""
    only_once, runs, codes = True, 1, ((NOTHING,),)

    @classmethod
    def check(cls, t):
        t.complete()
        assert not t.drop.mails

    @classmethod
    def leaves(cls, t):
        return ()


@sin
class NoTerminatorOnce(NoTerminator, _Once):
    pass


@sin
class ClosesInTheMiddleOnce(ClosesInTheMiddle, _Once):
    pass


@sin
class HangsInTheMiddleOnce(HangsInTheMiddle, _Once):
    pass


@sin
class RetrTemporaryOnce(_Once):
    def fail(self, n):
        self.err("[SYS/TEMP] later")

    @classmethod
    def check(cls, t):
        super().check(t)
        assert len(t.runs[0].visits) == 1, "again in the same session"


@sin
class QuotaOfDownloads(Sin):
    """-ERR Download exceed, after five messages of a session."""
    runs, codes = 4, EACH

    def retrieve(self, n):
        if sum(1 for v, _, _ in self.house.retrieved if v == self.visit) > 5:
            self.err("Download exceed")
        else:
            super().retrieve(n)


@sin
class ClosesAfterEachMessage(Sin):
    """One message a session: each session wins something, so it goes on."""
    runs, codes = 16, ((NOTHING, LATER),)

    @classmethod
    def mails(cls):
        return plain_mails(5)

    def retrieve(self, n):
        super().retrieve(n)
        raise Cut

    def mark(self, n):
        super().mark(n)
        self.commit()  # such servers often delete what was marked

    @classmethod
    def check(cls, t):
        t.complete()


# ---- deleting, ending --------------------------------------------------------------------

def fetched_once(cls, t):
    """A message that was delivered is not fetched again, only deleted."""
    told = t.drop.ever if not issubclass(cls, HeadersTell) else \
        [m for m in t.drop.ever if m.octets.startswith(b"Received:")]
    again = [m.uid for m in told if sum(1 for _, _, x in t.house.retrieved if x is m) > 1]
    assert not again, f"fetched again: {again}\n{t.last()}"


@sin
class DeleIsRefused(HeadersTell):
    codes = ((NOTHING, LATER),)
    afterwards = classmethod(fetched_once)

    def on_DELE(self, arg):
        if self.mails[int(arg) - 1] is self.drop.ever[3]:
            return self.err("not now")
        return super().on_DELE(arg)

    @classmethod
    def check(cls, t):
        t.complete()
        assert [m.uid for m in t.drop.mails] == [t.drop.ever[3].uid]
        assert b'not deleted on the server: 1 mail, ' in t.runs[0].err, t.last()
        assert b'server said "not now"' in t.runs[0].err, t.last()


class _NothingIsDeleted(Sin):
    """Not a word is said of a session; one line says at the end what the run came to."""
    codes = ((NOTHING,),)
    left, why = 6, b"delivered before, and tried again next time"
    afterwards = classmethod(fetched_once)

    @classmethod
    def mails(cls):
        return plain_mails(6)

    def on_DELE(self, arg):
        self.err("read only")

    @classmethod
    def check(cls, t):
        told = [x for x in t.runs[0].err.split(b"\n") if b"not deleted" in x]
        assert len(t.drop.mails) == 6
        assert len(told) == 1, t.last()
        assert told[0].endswith(b'not deleted on the server: %d mails, %s, server said "read only"'
                                % (cls.left, cls.why)), told


@sin
class NothingIsDeletedAndCommits(_NothingIsDeleted):
    """Each session tries all of them again."""
    more = ("--commit-messages", "2")


@sin
class NothingIsDeletedAndCuts(_NothingIsDeleted):
    """The last sessions break off before they have tried any."""
    codes, left, afterwards = ((LATER,),), 5, Sin.afterwards

    def retrieve(self, n):
        if self.mails[n - 1] is self.drop.ever[2]:
            raise Cut
        super().retrieve(n)

    def on_DELE(self, arg):
        if self.visit > 2:
            raise Cut
        super().on_DELE(arg)


@sin
class NothingUnwantedIsDeleted(_NothingIsDeleted):
    """What a filter deletes was never delivered."""
    more = ("--filter", "grep -q 'Subject: letter [12]' && exit 101; exit 0")
    why = b"delivered before or unwanted by the filter, and tried again next time"


@sin
class DeleIsAnsweredWithAnEmptyLine(Sin):
    """As Exchange now and then."""
    codes = ((NOTHING, LATER, PROTOCOL),)
    afterwards = classmethod(fetched_once)

    def on_DELE(self, arg):
        self.mark(int(arg))
        self.say(b"") if arg == b"3" else self.ok()


class _BadQuit(HeadersTell):
    codes = ((NOTHING, LATER),)
    afterwards = classmethod(fetched_once)

    @classmethod
    def check(cls, t):
        t.complete()


@sin
class QuitIsRefused(_BadQuit):
    def on_QUIT(self, _):
        self.err("[SYS/TEMP] nothing was deleted")
        raise Cut


@sin
class QuitIsRefusedHalfIsDeleted(_BadQuit):
    def on_QUIT(self, _):
        self.deleted = set(list(self.deleted)[::2])
        self.commit()
        self.err("some messages were not deleted")
        raise Cut


@sin
class QuitHasNoAnswer(_BadQuit):
    codes = ((NOTHING,),)

    def on_QUIT(self, _):
        self.commit()
        raise Cut


@sin
class QuitHasNoAnswerNothingIsDeleted(_BadQuit):
    def on_QUIT(self, _):
        raise Cut


@sin
class QuitHangs(_BadQuit):
    timeout = 1

    def on_QUIT(self, _):
        self.commit()
        self.hang()


@sin
class DeletesOnlyAtTheNextSession(_BadQuit):
    """What was deleted is listed once more."""
    runs = 3

    def visible(self):
        late = self.house.memory.pop("late", ())
        seen = list(self.drop.mails)
        self.house.delete(self, late)
        return seen

    def commit(self):
        self.house.memory["late"] = [self.mails[n - 1] for n in self.deleted]


@sin
class ClosesWithoutFarewell(Sin):
    """No close_notify after QUIT."""
    tls = "tls"

    def closing(self):
        raise Cut


# ---- the login -----------------------------------------------------------------------------

class _Login(Sin):
    @classmethod
    def check(cls, t):
        assert not t.files() and not t.said("RETR")


def one_login(cls, t):
    assert len(t.house.logins) == 1, f"{len(t.house.logins)} logins; accounts get locked\n{t.last()}"


@sin
class PasswordIsWrong(_Login):
    codes = ((REFUSED,),)
    check = classmethod(one_login)

    def right(self, user, password):
        return False


@sin
class PasswordIsWrongWithoutCode(PasswordIsWrong):
    capabilities = (b"TOP", b"UIDL", b"USER")

    def login(self, good):
        self.house.logins.append((self.visit, False))
        self.err("Authentication failed")


class _LoginSays(_Login):
    says = b""

    def login(self, good):
        self.house.logins.append((self.visit, good))
        self.err(self.says)


@sin
class LoginTemporary(_LoginSays):
    says, codes = b"[SYS/TEMP] the database is away", ((LATER,),)


@sin
class LoginPermanent(_LoginSays):
    says, codes = b"[SYS/PERM] the mailbox is damaged", ((REFUSED, PROTOCOL),)


class _FirstLogin(_Login):
    runs, codes = 2, ((LATER,), (NOTHING,))

    def login(self, good):
        if self.house.memory.setdefault("first", self.visit) == self.visit:
            return self.err(self.says)
        return super().login(good)

    @classmethod
    def check(cls, t):
        assert len(t.runs[0].visits) == 1, "another login in the same run"
        t.complete()


@sin
class InUse(_FirstLogin):
    says = b"[IN-USE] somebody else is here"


@sin
class LoginDelay(_FirstLogin):
    says = b"[LOGIN-DELAY] not more than once a minute"
    capabilities = (*Session.capabilities, b"LOGIN-DELAY 60")


@sin
class GreetingIsLate(Sin):
    timeout = 6

    def opening(self):
        self.house.ended.wait(2.5)
        super().opening()


@sin
class GreetingIsLong(Sin):
    def opening(self):
        self.say(b"+OK " + b"welcome " * 375)


@sin
class GreetingTemporary(_Login):
    codes = ((LATER,),)

    def opening(self):
        self.err("[SYS/TEMP] too many sessions")
        raise Cut


@sin
class GreetingIsRefusal(_Login):
    codes = ((UNREACHABLE, LATER, PROTOCOL, REFUSED),)

    def opening(self):
        self.err("go away")
        raise Cut


@sin
class StampIsNone(Sin):
    """<...> in the greeting which is no stamp, and nobody asked for APOP."""
    check = never("APOP")

    def opening(self):
        self.say(b"+OK <b>welcome</b> to <mail> server <>")


@sin
class StampIsGoodAndNobodyAsked(Sin):
    check, stamp = never("APOP"), STAMP


@sin
class Apop(Sin):
    stamp, more = STAMP, ("--apop",)

    @classmethod
    def check(cls, t):
        assert t.said("APOP") and not t.said("PASS") and not t.said("AUTH")


@sin
class ApopWithoutStamp(_Login):
    """It was demanded: no other login is tried."""
    more, codes = ("--apop",), ((REFUSED, PROTOCOL),)

    def opening(self):
        self.say(b"+OK <b>welcome</b>")

    @classmethod
    def check(cls, t):
        super().check(t)
        assert not t.said("PASS") and not t.said("AUTH") and not t.said("APOP")


@sin
class LoginOnlyByUser(Sin):
    capabilities = (b"TOP", b"UIDL", b"PIPELINING", b"USER")
    check = never("AUTH")


# ---- everything at once -------------------------------------------------------------------

@pytest.mark.parametrize("seed", range(4))
def test_cut_anywhere(seed, tmp_path):
    """Each session is cut at a random octet, until one is not; the drop is large enough for
    several windows."""
    rng = random.Random(seed)

    class CutAnywhere(Sin):
        runs, codes = 12, ((NOTHING, LATER, UNREACHABLE, PROTOCOL, GIVEN_UP),)

        @classmethod
        def mails(cls):
            return nasty_mails() + plain_mails(120)

        def __init__(self, *args):
            super().__init__(*args)
            put, left = self.wire.put, [rng.choice((300, 3000, 30000, 300000))]
            left[0] = rng.randrange(left[0])

            def some(octets):
                put(octets[:left[0]])
                left[0] -= len(octets)
                if left[0] < 0:
                    raise Reset if rng.random() < 0.3 else Cut
            self.wire.put = some

        @classmethod
        def leaves(cls, t):
            return [m.uid for m in t.drop.mails if t.quarantined()]
    play(tmp_path, CutAnywhere)


@pytest.mark.parametrize("pipelines", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_dots_are_stuffed_again(keep, pipelines, tmp_path):
    """The server is mended: what was learnt of it is taken back with the first message that
    shows it, and those that were asked for with it are read anew."""
    said = tuple(c for c in Session.capabilities if pipelines or c != b"PIPELINING")
    mended = type("Mended", (Session,), {"capabilities": said})
    sinner = type("Sinner", (DotsAreNotStuffed,), {"capabilities": said})
    with Trial(tmp_path, DotsAreNotStuffed.mails(), sinner) as t:
        t.run(codes=(NOTHING,), keep=keep)
        t.complete()
        t.house.script = mended
        new = plain_mails(4, b".x\r\n...\r\n.signature\r\n", 50) + plain_mails(2, start=60)
        t.drop.add(*new)
        t.run(codes=(NOTHING,), keep=keep)
        t.complete()
        before = len(t.house.retrieved)
        t.drop.add(*plain_mails(4, b".y\r\n", 70))
        t.run(codes=(NOTHING,), keep=keep)
        t.complete()
        assert len(t.house.retrieved) == before + 4, "it was not remembered"


def test_stuffing_is_as_the_standard_says():
    """The test's own server."""
    assert stuffed(b".a\r\nb\r\n") == b"..a\r\nb\r\n.\r\n"
