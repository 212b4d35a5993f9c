"""Mail comes in while the keepers, lmtpd and the monitor are killed at random moments.

None is lost; no 250 without the message on the disk; a message is there twice only where its
sender never saw an answer, or was told to try again because a keeper was killed just then.
"""
import collections
import concurrent.futures
import os
import random
import signal
import threading
import time

import pytest

from kill_load import seeded
from mail_ledger import Callers, check_octets
from mtas import MailHouse, make_roots, start_all
from postoffice import alive, tree_of, until
from smtp_sender import DOMAIN, SENDER, Letter, Smtp, body, letters, send_all

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
LONG = bool(os.environ.get("RESTANTE_LONG"))
MESSAGES = 3400 if LONG else 60  # to each MTA
KILLS = 400 if LONG else 40       # at least
SETTLE_S = 1800 if LONG else 60
DEFERRED, ROUNDS_MAX = 5, 30
SENDERS = 6
# Whatever is killed, whoever waits is told so, and not only when somebody gives up waiting.
ANSWER_S, LOGIN_S = 20, 14
USERS = [f"u{i:02}" for i in range(12)]
STAY = ["stay0", "stay1"]  # nobody collects them
TARGETS = ["restante-keeper", "restante-lmtpd"]
MONITOR_EACH = 10  # every so many kills it is the monitor


class Killer:
    """Kills one after the other; a monitor is started again at the same places."""

    def __init__(self, house, rng):
        self.house, self.rng = house, rng
        self.kills = []  # (program, not before, not after)
        self.count, self.errors = collections.Counter(), []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            while not self.ended.wait(self.rng.uniform(0.02, 0.3)):
                is_monitor = len(self.kills) % MONITOR_EACH == MONITOR_EACH - 1
                self.kill("restanted" if is_monitor else self.rng.choice(TARGETS))
        except BaseException as e:
            self.errors.append(e)

    def kill(self, program):
        if program == "restanted":
            self.kill_monitor()
        else:
            pids = sorted(self.house.children(program))
            if not pids:
                return
            pid = self.rng.choice(pids)
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            self.kills.append((program, begun, time.monotonic()))
        self.count[program] += 1

    def kill_monitor(self):
        house = self.house
        processes = tree_of(house.p.pid)
        begun = time.monotonic()
        house.p.kill()
        house.p.wait()
        until(lambda: not any(map(alive, processes)), 60, "all have ended with the monitor")
        house.reader.join(60)
        house.p.stderr.close()
        self.kills.append(("restanted", begun, time.monotonic()))
        mark = len(house.lines)
        house.start()
        house.wait_for_line("event=serving", since=mark)

    def stop(self):
        self.ended.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.errors:
            raise self.errors[0]

    def between(self, start, end):
        return [p for p, first, last in self.kills if start - 0.5 <= last and first <= end]


class Try:
    """One message handed over once: what each recipient was answered; None: nothing."""

    def __init__(self, letter):
        self.letter, self.start, self.end = letter, time.monotonic(), None
        self.answers = {}
        self.whole = False  # its final dot was handed to the connection


class Direct:
    """Senders that speak LMTP themselves and write down every answer."""

    def __init__(self, house, rng):
        self.house, self.tries, self.errors = house, [], []
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.stored = collections.Counter()  # for the users of STAY
        self.threads = [threading.Thread(target=self._run, args=(i, random.Random(rng.random())))
                        for i in range(SENDERS)]
        for t in self.threads:
            t.start()

    def _run(self, number, rng):
        made = 0
        try:
            while not self.ended.is_set():
                made = self.connection(f"d{number}", made, rng)
                self.ended.wait(0.02)
        except BaseException as e:
            self.errors.append(e)

    def connection(self, name, made, rng):
        at = rng.choice([self.house.lmtp_port, self.house.socket("postfix")])
        smtp = None
        try:
            smtp = Smtp(at, "LHLO", ANSWER_S)
            for _ in range(rng.randrange(1, 12)):
                if self.ended.is_set():
                    break
                made += 1
                to = [f"{u}@{DOMAIN}" for u in rng.sample(USERS + STAY, rng.choice([1, 1, 2, 3]))]
                octets = f"X-Id: {name}-{made}\r\n\r\n".encode() + body(rng)
                self.transaction(smtp, Letter(f"{name}-{made}", to, octets))
        except TimeoutError:
            raise AssertionError(f"no answer at {at}, connected: {smtp is not None}\n" +
                                 "\n".join(self.house.lines[-60:])) from None
        except (OSError, AssertionError) as e:
            # Refused, cut, or greeted with 421.
            assert isinstance(e, OSError) or "421" in str(e), e
        finally:
            if smtp:
                smtp.close()
        return made

    def transaction(self, smtp, letter):
        t = Try(letter)
        t.answers = dict.fromkeys(letter.recipients)
        with self.lock:
            self.tries.append(t)
        try:
            mail, *rcpts, data = smtp.begin(SENDER, letter.recipients)
            good = [r for r, said in zip(letter.recipients, rcpts) if said.startswith("250")]
            for r, said in zip(letter.recipients, rcpts):
                if r not in good:
                    t.answers[r] = "RCPT " + said
            if not data.startswith("354"):
                assert not good, (mail, rcpts, data)
                smtp.say("RSET")
                return
            smtp.finish(letter.octets)
            t.whole = True
            for r in good:
                t.answers[r] = smtp.reply()
                self.is_there(r, t.answers[r])
        finally:
            t.end = time.monotonic()

    def is_there(self, recipient, said):
        """As many files as were answered with 250, at this very moment."""
        user = recipient.split("@")[0]
        if user not in STAY or not said.startswith("250"):
            return
        with self.lock:
            self.stored[user] += 1
            count = self.stored[user]
        box = self.house.mail / user
        files = sum(len(os.listdir(box / d)) for d in ("cur", "new"))
        assert files >= count, f"{user}: {count} answered with 250, {files} are there"

    def stop(self):
        self.ended.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()
        if self.errors:
            raise self.errors[0]


def judge(t, recipient, copies, killer):
    """What became of one recipient; a word for it."""
    said = t.answers[recipient]
    if said is None:
        assert copies <= (1 if t.whole else 0), (t.letter.id, recipient, copies, t.whole)
        return f"no answer, {copies} there"
    if said.startswith("250"):
        assert copies == 1, f"{t.letter.id} {recipient}: 250, and {copies} are there"
        return "250"
    assert said.split()[-1] and not said.startswith("5"), (t.letter.id, recipient, said)
    if copies:
        # The keeper had stored it when it was killed, and nobody can know.
        assert copies == 1 and not said.startswith("RCPT"), (t.letter.id, recipient, said)
        assert killer.between(t.start, t.end), (t.letter.id, said)
    return f"{said[:9]}, {copies} there"


def check_lines(house):
    """Nobody ended by himself, and no kill was taken for a fault of somebody else."""
    wrong = [x for x in house.lines if "_fault" in x or (
        "event=process_ended" in x and "signal=KILL" not in x)]
    assert not wrong, wrong[:5]


def test_every_answer_is_kept(house_dir, roots):
    rng = seeded("delivery, direct")
    house = MailHouse(house_dir("kill-delivery"), USERS + STAY, roots, {"keepers_per_owner": 2})
    with house:
        start = time.monotonic()
        direct, callers = Direct(house, rng), Callers(house, USERS, 4)
        killer = Killer(house, rng)
        try:
            until(lambda: direct.errors or callers.errors or killer.errors or (
                len(killer.kills) >= KILLS and len(direct.tries) >= 5 * KILLS), 600, tick=0.1)
            took = time.monotonic() - start
        finally:
            killer.stop()
            direct.stop()
            callers.stop()
        callers.users += STAY
        got = callers.finish()
        check_lines(house)
        ending = time.monotonic()
    ended = time.monotonic() - ending
    words = collections.Counter()
    for t in direct.tries:
        for r in t.answers:
            copies = got.pop((t.letter.id, r), [])
            words[judge(t, r, len(copies), killer)] += 1
            for octets in copies:
                check_octets(octets, t.letter, SENDER, r)
    assert not got, list(got)[:5]
    slow = [(t.letter.id, t.answers, round(t.end - t.start, 1), killer.between(t.start, t.end))
            for t in direct.tries if t.end - t.start > ANSWER_S]
    print(dict(words), dict(killer.count), dict(callers.seen), f"{took:.0f} s, {ended:.0f} s")
    assert house.p.returncode == 0 and ended < ANSWER_S, house.log()[-3000:]
    assert took < 5 * KILLS, "something stood still"
    assert not slow, slow
    assert callers.longest < LOGIN_S, callers.longest
    assert words["250"] > 2 * KILLS and callers.seen["messages"] > KILLS
    # The kills met deliveries, or this test shows nothing.
    assert sum(n for w, n in words.items() if w.startswith(("no answer", "4"))) > 5, words
    assert all(killer.count[p] for p in [*TARGETS, "restanted"])


@pytest.fixture(scope="module")
def roots():
    return make_roots()


def test_mail_servers(house_dir, roots):
    rng = seeded("delivery, mail servers")
    house = MailHouse(house_dir("kill-mtas"), USERS, roots)
    with house:
        mtas = start_all(house, rng.choice(["unix", "tcp"]))
        try:
            sent, fates, killer, got = run_load(house, mtas, rng)
            check_lines(house)
        finally:
            for mta in mtas:
                mta.stop()
    again = collections.Counter()
    for mta in mtas:
        for letter in sent[mta]:
            for r in letter.taken:
                copies = got.pop((letter.id, r), [])
                events = fates[mta][letter.queue_id, r]
                assert copies, f"{mta.name}: {letter.id} {r} is lost: " + "\n".join(
                    x for x in mta.log().splitlines() if letter.queue_id in x)
                assert "bounced" not in events, (mta.name, letter.id, r)
                assert len(copies) - 1 <= events.count("deferred"), (mta.name, letter.id, r, events)
                again[mta.name, len(copies)] += 1
                for octets in copies:
                    check_octets(octets, letter, SENDER, r)
    assert not got, list(got)[:5]
    deferred = sum(f.count("deferred") for m in mtas for f in fates[m].values())
    print(dict(again), dict(killer.count), "deferred:", deferred)
    assert deferred > DEFERRED
    assert sum(again.values()) > 3 * MESSAGES


def run_load(house, mtas, rng):
    sent = {m: [] for m in mtas}
    callers, killer = Callers(house, USERS, 4), Killer(house, rng)
    try:
        # Once more, until the kills have met deliveries.
        for i in range(ROUNDS_MAX):
            lists = {m: letters(rng, f"{m.name}-{i}", MESSAGES, USERS, unknown=False)
                     for m in mtas}
            with concurrent.futures.ThreadPoolExecutor(len(mtas)) as pool:
                jobs = {m: pool.submit(send_all, m, lists[m], 8, SETTLE_S) for m in mtas}
                for m, job in jobs.items():
                    sent[m] += job.result()
            if sum(f.count("deferred") for m in mtas for f in m.fates().values()) > DEFERRED:
                break
        refused = [x.refused for m in mtas for x in sent[m] if x.refused]
        assert not refused, refused[:3]
    finally:
        killer.stop()
        callers.stop()
    with concurrent.futures.ThreadPoolExecutor(len(mtas)) as pool:
        jobs = {m: pool.submit(m.settle, sent[m], SETTLE_S) for m in mtas}
        fates = {m: job.result() for m, job in jobs.items()}
    return sent, fates, killer, callers.finish()
