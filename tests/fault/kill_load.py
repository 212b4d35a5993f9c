"""A small load that writes down what it was promised, and kills that fall into it.

Each user has one Mailbox here, which knows what must be on the disk: a message is gone
once a QUIT that marked it was answered +OK, may be either while a QUIT was sent and not
answered so, and is there in all other cases, with the same octets and the same UIDL.
"""
import collections
import os
import pathlib
import random
import re
import signal
import socket
import threading
import time

from house import House, until

SEED = int(os.environ.get("RESTANTE_SEED") or random.SystemRandom().randrange(1 << 32))
LONG = bool(os.environ.get("RESTANTE_LONG"))
LOGIN_S = 10  # a login succeeds again within so many seconds, whatever was killed
ANSWER_S = 10
ID = re.compile(rb"X-Id: (\S+)\n")
LINE = re.compile(r"time=\S+ level=\w+ program=\S+ pid=\d+ event=\S+|restanted: event=\S+")


def seeded(what):
    """A generator for this part, told of in the output of a test that fails."""
    print(f"RESTANTE_SEED={SEED} ({what})")
    return random.Random(f"{SEED} {what}")


class Cut(Exception):
    """The connection ended, or the server said that it cannot just now."""


class Pop:
    """A client that tells a cut connection from a wrong answer and from a hanging one."""

    def __init__(self, port):
        try:
            self.s = socket.create_connection(("127.0.0.1", port), ANSWER_S)
        except TimeoutError:
            raise AssertionError("no connection") from None
        except OSError as e:
            raise Cut(f"connect: {e}") from None
        self.f = self.s.makefile("rb", 65536)

    def line(self):
        try:
            got = self.f.readline()
        except TimeoutError:
            raise AssertionError(f"no answer within {ANSWER_S} s") from None
        except OSError as e:
            raise Cut(str(e)) from None
        if not got.endswith(b"\n"):
            raise Cut("end")
        assert got.endswith(b"\r\n"), got
        return got

    def send(self, line):
        try:
            self.s.sendall(line.encode() + b"\r\n")
        except OSError as e:
            raise Cut(str(e)) from None

    def say(self, line):
        self.send(line)
        got = self.line()
        assert got.startswith((b"+OK", b"-ERR")), got
        return got

    def ok(self, line):
        got = self.say(line)
        if not got.startswith(b"+OK"):
            raise Cut(f"{line.split()[0]}: {got.decode('latin-1').strip()}")
        return got

    def rows(self, line):
        """A list of numbers and words: {number: word}."""
        self.ok(line)
        out = {}
        while (got := self.line()) != b".\r\n":
            number, word = got.split()
            assert int(number) not in out
            out[int(number)] = word
        return out

    def retrieve(self, number):
        """What came, as it was sent, and whether it is complete."""
        self.ok(f"RETR {number}")
        out = []
        while not out or out[-1] != b".\r\n":
            try:
                out.append(self.line())
            except Cut:
                return b"".join(out), False
        return b"".join(out), True

    def close(self):
        self.f.close()
        self.s.close()


def as_sent(octets):
    """A message with lines that end in LF, as RETR sends it with its terminator."""
    lines = octets.split(b"\n")[:-1]
    return b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in lines) + b".\r\n"


class Mailbox:
    def __init__(self, house, name, uid, rng):
        self.house, self.name, self.uid, self.rng = house, name, uid, rng
        self.dir = house.mail / name
        self.known, self.maybe, self.made = {}, set(), 0
        self.uidls, self.names_of = {}, {}
        self.seen = collections.Counter()

    def deliver(self):
        self.made += 1
        name = f"{1700000000 + self.made}.K{self.made:06d}.test"
        size = self.rng.choice([60, 900, 4000, 4000, 90000, 400000])
        text = [f"X-Id: {name}\nSubject: {self.name}\n\n.\n..two\n".encode()]
        word = self.rng.randbytes(30).hex().encode()
        text += [b"%s %d %s\n" % (b"." * (i % 3), i, word) for i in range(size // 64)]
        octets = b"".join(text)
        path = self.dir / "tmp" / name
        path.write_bytes(octets)
        os.chown(path, self.uid, self.uid)
        self.known[name] = octets
        os.rename(path, self.dir / "new" / name)

    def on_disk(self):
        """Names without flags. First new/, then cur/: that is the way on which they move."""
        found = {}
        for part in ("new", "cur"):
            for p in (self.dir / part).iterdir():
                found[p.name.split(":")[0]] = p
        return found

    def check(self):
        """Nothing was deleted but by a verdict; all else is as it was delivered."""
        found = self.on_disk()
        lost = set(self.known) - set(found) - self.maybe
        assert not lost, f"{self.name}: lost without a verdict: {sorted(lost)}"
        more = set(found) - set(self.known)
        assert not more, f"{self.name}: there again: {sorted(more)}"
        for name in sorted(found)[-3:]:
            try:
                octets = found[name].read_bytes()
            except FileNotFoundError:
                continue  # renamed or removed meanwhile: the next check sees it
            assert octets == self.known[name], f"{self.name}: {name} was changed"
        return found

    def settle(self):
        """Under the lock of a session it is known what became of an unanswered QUIT."""
        found = self.check()
        for name in self.maybe - set(found):
            del self.known[name]
        self.seen["removed by a QUIT without +OK"] += len(self.maybe - set(found))
        self.seen["kept by a QUIT without +OK"] += len(self.maybe & set(found))
        self.maybe = set()
        return found

    # ---- a session ----

    def log_in(self, deadline=LOGIN_S):
        """Tries until a login succeeds."""
        end, last = time.monotonic() + deadline, None
        while time.monotonic() < end and not self.house.is_gone:
            pop = None
            try:
                pop = Pop(self.house.port)
                if not pop.line().startswith(b"+OK"):
                    raise Cut("greeting")
                pop.ok(f"USER {self.name}")
                got = pop.say("PASS secret")
                assert not got.startswith(b"-ERR [AUTH]"), "the password was right"
                if got.startswith(b"+OK"):
                    return pop
                last = got
                self.seen[got.decode("latin-1").split("]")[0] + "]"] += 1
            except Cut as e:
                last = e
                self.seen["login cut"] += 1
            if pop:
                pop.close()
            threading.Event().wait(0.01)
        if self.house.is_gone:
            raise Cut("no server")
        raise AssertionError(f"{self.name}: no login for {deadline} s: {last}")

    def read(self, pop, number, uidl):
        got, complete = pop.retrieve(number)
        name = self.uidls.get(uidl)
        if name is None:
            m = ID.match(got.replace(b"\r\n", b"\n"))
            name = m[1].decode() if m else None
        if name is None:
            assert not complete, f"message {number} has no id"
            raise Cut("RETR")
        want = as_sent(self.known[name])
        assert got == want if complete else want.startswith(got), \
            f"{self.name}: {name}: wrong octets, complete={complete}"
        if not complete:
            raise Cut("RETR")
        if uidl not in self.uidls:
            assert name not in self.names_of, \
                f"{self.name}: {name} had UIDL {self.names_of[name]}, now {uidl}"
            self.uidls[uidl], self.names_of[name] = name, uidl
        self.seen["retrieved"] += 1
        return name

    def talk(self, pop, everything=False, marks=None):
        """From the login to what is to be deleted, `marks` of them: {number: name}."""
        found = self.settle()
        listed, sizes = pop.rows("UIDL"), pop.rows("LIST")
        assert sorted(listed) == sorted(sizes) == list(range(1, len(found) + 1))
        assert len(set(listed.values())) == len(found)
        numbers = {}
        for number, uidl in listed.items():
            if everything or uidl not in self.uidls or self.rng.random() < 0.15:
                numbers[number] = self.read(pop, number, uidl)
            else:
                numbers[number] = self.uidls[uidl]
            octets = self.known[numbers[number]]
            assert int(sizes[number]) == len(octets) + octets.count(b"\n")
        assert set(numbers.values()) == set(found)
        marks = self.rng.randrange(5) if marks is None else marks
        marked = self.rng.sample(sorted(numbers), min(len(numbers), marks))
        for number in marked:
            pop.ok(f"DELE {number}")
        return {number: numbers[number] for number in marked}

    def quit(self, pop, marked):
        """True: +OK, and what was marked is gone."""
        self.maybe = set(marked.values())
        got = pop.say("QUIT")
        if not got.startswith(b"+OK"):
            self.seen["QUIT without +OK"] += 1
            return False
        stays = self.maybe & set(self.on_disk())
        assert not stays, f"{self.name}: +OK, but there: {sorted(stays)}"
        for name in self.maybe:
            del self.known[name]
        self.seen["deleted"] += len(self.maybe)
        self.seen["confirmed"] += 1
        self.maybe = set()
        return True

    def session(self, everything=False):
        """One session as it may come, cut or not. True: confirmed."""
        while len(self.known) - len(self.maybe) < 6:
            self.deliver()
        pop = None
        try:
            pop = self.log_in()
            marked = self.talk(pop, everything)
            if self.rng.random() < 0.1 and not everything:
                self.seen["left without QUIT"] += 1
                return False
            return self.quit(pop, marked)
        except Cut as e:
            self.seen[f"cut: {str(e).split('(')[0][:40]}"] += 1
            self.seen["cut"] += 1
            return False
        finally:
            if pop:
                pop.close()
            self.check()


class KillHouse(House):
    """A house with a load: one client for each user, until told to stop."""

    def __init__(self, base, rng, users=4, **options):
        uids = {f"user{i}": 5100 + i for i in range(users)}
        super().__init__(base, {n: ("secret", u, []) for n, u in uids.items()},
                         {"fronts": 4, "connections_per_address": 20, **options})
        self.boxes = [Mailbox(self, n, u, random.Random(rng.random())) for n, u in uids.items()]
        self.stop, self.clients, self.errors = threading.Event(), [], []

    def __enter__(self):
        self.lines, self.is_gone = [], False
        return super().__enter__()

    def __exit__(self, kind, *exc):
        if kind:  # pytest shows it with the failure
            print(*[x for x in self.lines if "event=log" not in x][-60:], sep="\n")
        super().__exit__(kind, *exc)

    def begin(self):
        self.stop.clear()
        self.clients = [threading.Thread(target=self._client, args=(b,)) for b in self.boxes]
        for t in self.clients:
            t.start()

    def _client(self, box):
        try:
            while not self.stop.is_set():
                box.session()
                self.stop.wait(box.rng.uniform(0, 0.05))
        except BaseException as e:
            self.errors.append(e)

    def end(self):
        """The load ends, and everything that it knows holds; what was seen."""
        self.join()
        for box in self.boxes:
            for _ in range(2):  # the second one finds what the first one left
                assert box.session(everything=True), f"no +OK: {box.seen}\n{self.log()}"
            assert len(box.on_disk()) == len(box.known)
        seen = sum((box.seen for box in self.boxes), collections.Counter())
        print(dict(seen))
        return seen

    def join(self, server_is_gone=False):
        self.is_gone = server_is_gone
        self.stop.set()
        for t in self.clients:
            t.join(LOGIN_S + 3 * ANSWER_S)
        if self.errors:
            raise self.errors[0]

    def children(self, program=None):
        """As House's, without a look at every process of the machine."""
        out = {}
        pids = pathlib.Path(f"/proc/{self.p.pid}/task/{self.p.pid}/children").read_text()
        for p in pids.split():
            try:
                name = os.path.basename(os.readlink(f"/proc/{p}/exe"))
            except OSError:
                continue  # a zombie has none
            if program in (None, name):
                out[int(p)] = name
        return out

    def one_of(self, program, rng):
        pids = until(lambda: sorted(self.children(program)), 60, f"a {program} there")
        return rng.choice(pids[-len(self.boxes):])  # the latest: the others may be idle

    def kill_series(self, program, count, pause, rng):
        """Kills one of them `count` times, with pause() seconds in between. After every
        few, each mailbox must come to a confirmed session before it goes on: on a slow
        machine nobody starves behind kills that come faster than a login takes."""
        for i in range(count):
            threading.Event().wait(pause())
            if i % 8 == 7:
                before = [box.seen["confirmed"] for box in self.boxes]
                until(lambda: self.errors or all(
                    box.seen["confirmed"] > n for box, n in zip(self.boxes, before)),
                      20, "a confirmed session of every mailbox")
            if self.errors:
                return
            pid = self.one_of(program, rng)
            os.kill(pid, signal.SIGKILL)
            until(lambda: pid not in self.children(program), 60, "dead")
        assert self.p.poll() is None, self.log()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))

    def told(self, pattern):
        """How many log lines are like that."""
        return sum(bool(re.search(pattern, x)) for x in self.lines)

    def ended(self, program):
        return self.told(f"event=process_ended child={program} .*signal=KILL")

    def check_lines(self):
        torn = [x for x in self.lines if not LINE.match(x)]
        assert not torn, f"not whole lines: {torn[:5]}"
        wrong = [x for x in self.lines if re.search(
            r"event=(protocol_fault|process_fault|front_fault|monitor_fault)", x)]
        assert not wrong, f"a kill was taken for a fault: {wrong[:5]}"
        ends = [x for x in self.lines if "event=process_ended" in x and "signal=KILL" not in x]
        assert not ends, f"ended by itself: {ends[:5]}"


def series(house_dir, program, count, pause, **options):
    """Kills of one program under load, seeded. The house afterwards, and what was seen.

    The load itself holds that no mail is lost or changed; here, that nothing stays behind:
    no lock, no place of a connection (each address has few), no descriptor, no half line.
    """
    rng = seeded(program)
    with KillHouse(house_dir("kill"), rng, **options) as h:
        for box in h.boxes:
            assert box.session(everything=True), h.log()
        before = h.descriptors()
        h.begin()
        try:
            h.kill_series(f"restante-{program}", count, lambda: pause(rng), rng)
        finally:
            h.stop.set()
        seen = h.end()
        h.check_lines()
        until(lambda: h.descriptors() <= before + 1, 60,
              f"only as many descriptors as before: {before}, now {h.descriptors()}")
    assert h.p.returncode == 0
    return h, seen
