"""A house of which one program's calls fail when they are told to (call_shim), a script that
makes each program work, and a ledger of what was promised: what the mail must be then."""
import collections
import contextlib
import mmap
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import threading
import time

from house import BUILD, SANITIZED, House, free_port, until

SEED = int(os.environ.get("RESTANTE_SEED") or random.SystemRandom().randrange(1 << 32))
LONG = bool(os.environ.get("RESTANTE_LONG"))
SHIM = BUILD / "tests" / "fault" / "libcall_shim.so"
SHIMMED = BUILD / "tests" / "fault" / "call_shimmed"
ANSWER_S = 20    # who takes longer hangs
RECOVERY_S = 20  # after this the next session is to be served
UID = 5700
CALLS, ALLOCATIONS = 1, 2
KINDS = {"calls": CALLS, "allocations": ALLOCATIONS}
CRASH = re.compile(r"event=process_ended .*signal=(?!KILL|TERM)\w+")
ENDED = re.compile(r"event=process_(?:ended|fault|starved) .*")
WHY = re.compile(r"\b(reason|error|what|status|signal)=|level=(warning|error)")
# How sessions end that nobody refused, the word that a client sees too, and keepers that a
# test ended: they say nothing of why.
NO_WHY = re.compile(r"reason=(quit|closed-by-client)\b|event=process_ended .*signal=KILL")
LINE_S = 30  # restante-log gathers lines for a few milliseconds before it writes them
ID = re.compile(rb"X-Id: (\S+)\r?\n")


class Page:
    """The page of call_shim.h."""
    FORM = "<IIIIIi40sQ"

    def __init__(self, path):
        with open(path, "wb+") as f:
            f.truncate(4096)
            os.fchmod(f.fileno(), 0o666)
            self.m = mmap.mmap(f.fileno(), 4096)

    def _put(self, at, n):
        struct.pack_into("<I", self.m, at, n)

    def arm(self, kind, n, pick=0, wraps=True):
        self._put(0, 0)
        struct.pack_into(self.FORM, self.m, 0, 0, n, pick, wraps, 0, 0, b"", 0)
        self._put(0, kind)

    def failed(self):
        """The name of the call, once it has failed."""
        *_, hit, name, _ = struct.unpack_from(self.FORM, self.m, 0)
        return name.rstrip(b"\0").decode() if hit else ""

    def disarm(self):
        """(errno, name of the call, how many there were)."""
        self._put(0, 0)
        *_, count, hit, name, caller = struct.unpack_from(self.FORM, self.m, 0)
        name = name.rstrip(b"\0").decode()
        return hit, f"{name} at {caller:x}" if 0 < caller < 1 << 32 else name, count

    def close(self):
        self.m.close()


# ---- what is said, and what was promised ----

class Cut(Exception):
    """The connection is gone, or an answer says that it cannot be now."""


class Talk:
    """A line for a line, over TLS or not; each answer within ANSWER_S."""

    def __init__(self, port, tls=False):
        try:
            self.s = socket.create_connection(("127.0.0.1", port), ANSWER_S)
        except OSError as e:
            raise Cut(f"connect: {e}") from None
        self.f = self.s.makefile("rb")
        try:
            self.expect(b"+OK")
            if tls:
                self.say("STLS")
                self.start_tls()
        except BaseException:
            self.close()
            raise

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            self.s = context.wrap_socket(self.s)
        except TimeoutError:
            raise AssertionError("hangs in the handshake") from None
        except OSError as e:
            raise Cut(f"handshake: {e}") from None
        self.f = self.s.makefile("rb")

    def line(self):
        try:
            got = self.f.readline()
        except TimeoutError:
            raise AssertionError(f"no answer within {ANSWER_S} s") from None
        except OSError as e:
            raise Cut(str(e)) from None
        if not got.endswith(b"\r\n"):
            raise Cut("end")
        return got

    def expect(self, word):
        got = self.line()
        if not got.startswith(word):
            assert got.startswith(b"-ERR"), got
            raise Cut(got.decode().strip())
        return got

    def say(self, line):
        try:
            self.s.sendall(line.encode() + b"\r\n")
        except OSError as e:
            raise Cut(str(e)) from None
        return self.expect(b"+OK")

    def multi(self, line):
        self.say(line)
        out = []
        while (got := self.line()) != b".\r\n":
            out.append(got[1:] if got.startswith(b".") else got)
        return out

    def close(self):
        self.f.close()
        self.s.close()


class Mta:
    """One message over LMTP: whether it was promised to be kept (250), refused, or neither."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(ANSWER_S)
        try:
            self.s.connect(str(path))
        except OSError as e:
            self.s.close()
            raise Cut(f"connect: {e}") from None
        self.f = self.s.makefile("rb")

    def answer(self, word):
        while True:
            try:
                got = self.f.readline()
            except TimeoutError:
                raise AssertionError(f"no answer within {ANSWER_S} s") from None
            except OSError as e:
                raise Cut(str(e)) from None
            if not got.endswith(b"\r\n"):
                raise Cut("end")
            if got[3:4] != b"-":
                break
        if not got.startswith(word):
            assert got[:1] == b"4" or got.startswith((b"550 5.5", b"503")), got
            raise Cut(got.decode().strip())

    def deliver(self, octets, to):
        """True: 250. False: refused. Raises Cut with `whole` set when nothing was said."""
        self.answer(b"220")
        for line, word in ((f"LHLO a.example", b"250"), ("MAIL FROM:<a@b.example>", b"250"),
                           (f"RCPT TO:<{to}>", b"250"), ("DATA", b"354")):
            try:
                self.s.sendall(line.encode() + b"\r\n")
            except OSError as e:
                raise Cut(str(e)) from None
            self.answer(word)
        try:
            self.s.sendall(re.sub(rb"(?m)^\.", b"..", octets).replace(b"\n", b"\r\n") + b".\r\n")
        except OSError as e:
            raise Cut(str(e)) from None
        self.answer(b"250")

    def close(self):
        self.f.close()
        self.s.close()


class Box:
    """A Maildir, and what must be in it."""

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.sure, self.maybe, self.gone = {}, {}, set()  # id: octets
        self.uidls = {}  # id: uidl as a client saw it
        self.made = 0
        self.wrong = []

    def letter(self):
        self.made += 1
        name = b"%s-%d" % (self.name.encode(), self.made)
        body = b"".join(b"%s line %d of %s\n" % (b"." * (i % 3), i, name) for i in range(40))
        return name, b"Subject: s\nX-Id: %s\n\n%s" % (name, body)

    def on_disk(self):
        out = collections.defaultdict(list)
        for d in ("new", "cur"):
            for p in (self.path / d).iterdir():
                octets = p.read_bytes()
                m = ID.search(octets)
                out[m[1] if m else p.name.encode()].append(octets)
        return out

    def check(self):
        """Looks at the disk, when nothing is under way; what was open is known then."""
        have = self.on_disk()
        for name, octets in self.sure.items():
            if name not in have:
                self.wrong.append(f"lost: {name}")
        for name, copies in have.items():
            known = self.sure.get(name) or self.maybe.get(name)
            if len(copies) > 1:
                self.wrong.append(f"{len(copies)} times: {name}")
            elif known is None:
                self.wrong.append(f"{'there again' if name in self.gone else 'strange'}: {name}")
            elif not copies[0].endswith(known):
                self.wrong.append(f"not as it was sent: {name}")
        for name, octets in self.maybe.items():
            if name in have:
                self.sure[name] = octets
            else:
                self.gone.add(name)
        self.maybe = {}
        wrong, self.wrong = self.wrong, []
        return wrong


class CallHouse(House):
    """shimmed: the program whose calls fail, or None."""

    def __init__(self, base, shimmed=None, options=None, tls=False):
        program = f"restante-{shimmed}" if shimmed not in (None, "restanted") else shimmed
        users = {"anna": ("secret", UID, []), "bert": ("secret", UID + 1, [])}
        evil = {program: SHIMMED} if shimmed not in (None, "restanted") else None
        options = {"fronts": 1, "keeper_idle": "60s", "log_level": "info",
                   "metrics": f"127.0.0.1:{free_port()}", **(options or {})}
        wrap = ()
        super_base = pathlib.Path(base)
        if shimmed == "restanted":
            wrap = ["/usr/bin/env", f"LD_PRELOAD={super_base}/bin/libcall_shim.so",
                    f"CALL_SHIM_PAGE={super_base}/bin/restanted.page"]
        super().__init__(base, users, options, evil=evil, lmtp=True, tls=tls, wrap=wrap,
                         listeners={"pop3": "", "lmtp": ""})
        self.listeners["pop3"] = f"address = 127.0.0.1:{self.port}"
        self.configure()
        if program:
            shutil.copy2(SHIM, self.bin)
        self.tls, self.shimmed = tls, program
        self.page = Page(self.bin / f"{program}.page") if program else None
        self.boxes = [Box(self.mail / "anna", "anna"), Box(self.mail / "bert", "bert")]
        self.mark = 0

    def __exit__(self, *exc):
        if self.page:
            self.page.disarm()
        super().__exit__(*exc)

    def pids(self, program):
        return {p for p, n in self.children().items() if n.removesuffix(".real") == program}

    # ---- the script ----
    def deliver(self, box):
        name, octets = box.letter()
        mta = None
        box.maybe[name] = octets
        try:
            mta = Mta(self.lmtp)
            mta.deliver(octets, box.name)
            box.sure[name] = octets
            del box.maybe[name]
        finally:
            if mta:
                mta.close()

    def collect(self, box):
        """LIST, UIDL, RETR of all, DELE of the first, QUIT."""
        pop = Talk(self.port, self.tls)
        try:
            pop.say(f"USER {box.name}")
            pop.say("PASS secret")
            rows = pop.multi("LIST")
            uidls = [x.split()[1] for x in pop.multi("UIDL")]
            assert len(rows) == len(uidls), (rows, uidls)
            marked = []
            for i, uidl in enumerate(uidls, 1):
                got = b"".join(pop.multi(f"RETR {i}"))
                self.look_at(box, got, rows[i - 1], uidl)
                marked.append(ID.search(got)[1])
            assert len(set(marked)) == len(marked), marked
            # One that nobody saw, and that cannot be looked at now, is shown later.
            known = {name for name in box.sure if name in box.uidls}
            assert known <= set(marked), f"missing: {known - set(marked)}"
            for name in marked:  # seen, so it is there
                if name in box.maybe:
                    box.sure[name] = box.maybe.pop(name)
            if marked:
                pop.say("DELE 1")
            self.quit(box, pop, marked[:1])
        finally:
            pop.close()

    def quit(self, box, pop, marked):
        for name in marked:
            box.maybe[name] = box.sure.pop(name)
        pop.say("QUIT")
        for name in marked:
            box.gone.add(name)
            del box.maybe[name]

    @staticmethod
    def look_at(box, got, row, uidl):
        name = ID.search(got)
        assert name, got
        octets = box.sure.get(name[1]) or box.maybe.get(name[1])
        assert octets, f"a message that nobody sent, or that is gone: {name[1]}"
        assert got.endswith(octets.replace(b"\n", b"\r\n")), name[1]
        assert int(row.split()[1]) == len(got), (row, len(got))
        assert box.uidls.setdefault(name[1], uidl) == uidl, (name[1], uidl)

    def reload(self):
        """Somebody is told, whatever comes of it."""
        self.configure(login_failure_delay=f"{100 + self.reloads % 7}ms")
        self.reloads += 1
        mark = len(self.lines)
        self.p.send_signal(signal.SIGHUP)
        until(lambda: any("the configuration" in x for x in self.lines[mark:]), ANSWER_S, "reloaded")
    reloads = 0

    def round(self, box, reload=False, cold=False):
        """One of each; what was refused or cut, in words."""
        refused = []
        if cold:
            self.end_keepers()
        for step in (self.deliver, self.collect):
            try:
                step(box)
            except Cut as e:
                refused.append(f"{step.__name__}: {e}")
        if reload:
            self.reload()
        return refused

    def end_keepers(self):
        """And until the monitor knows: it has waited for each."""
        for pid in self.pids("restante-keeper"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not os.path.exists(f"/proc/{pid}"), ANSWER_S, "waited for")

    def recover(self, box):
        """A round in which nothing is refused; how long it took to come to that."""
        start = time.monotonic()
        while True:
            refused = self.round(box)
            if not refused:
                return time.monotonic() - start
            assert time.monotonic() < start + RECOVERY_S, f"never well again: {refused}"
            threading.Event().wait(0.02)

    def is_untold(self, refused, mark):
        """Something was answered so that the log must say why, and does not in time. Of logins
        that cannot be now there is a line a second, and those that are too many are
        counted."""
        answers = [x for x in refused if re.search(r": (-ERR|4\d\d |5\d\d )", x) and
                   "too many logins" not in x]
        if not answers or self.shimmed == "restante-log":
            return False
        often = any("are not possible now" in x for x in answers)

        def is_told():
            return any(WHY.search(x) and not NO_WHY.search(x) for x in self.lines[mark:]) or \
                often and any("event=login_not_possible" in x for x in self.lines)
        try:
            until(is_told, LINE_S)
        except AssertionError:
            return True
        return False

    def crashes(self):
        """Those that were not told yet; a line may come after the round that it is of."""
        lines = self.lines[self.mark:]
        self.mark += len(lines)
        return [x for x in lines if CRASH.search(x)]

    # ---- one failure ----
    def fail(self, kind, n, pick=0, wraps=True, **how):
        """(what failed or None, what is wrong, what was refused): the n-th call of a round
        fails, and one without a failure follows."""
        box = self.boxes[n % 2]
        mark = len(self.lines)
        self.page.arm(kind, n, pick, wraps)
        wrong = []
        try:
            refused = self.round(box, **how)
        except AssertionError as e:
            refused = [f"wrong: {e}"]
            wrong.append(str(e))
        hit, name, count = self.page.disarm()
        what = f"{name} ({'short' if hit < 0 else os.strerror(hit)})" if hit else None
        try:
            took = self.recover(box)
            if took > 10:
                wrong.append(f"well again only after {took:.1f} s")
        except AssertionError as e:
            wrong.append(str(e))
        wrong += box.check()
        if what and self.is_untold(refused, mark):
            wrong.append("refused without a line in the log")
        wrong += self.crashes()
        return what, count, wrong, refused
