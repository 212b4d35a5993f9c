"""`restante fetch --daemon`: many accounts in one process, when each is polled, signals, a
configuration that changes, proxies, TLS that is resumed, and what people and service managers
are told."""
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from fetch_daemon import Base, Daemon, Houses, OfMany, Socks, settings
from fetch_faulty import PASSWORD, Cut, plain_mails
from fetch_trial import MIB, is_sanitized, make_pki, printable, rss_anon
from postoffice import NOBODY, make_maildir, until


@pytest.fixture
def place(tmp_path):
    return Base(tmp_path)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki"))


def stored(mails):
    return sorted(m.octets.replace(b"\r\n", b"\n") for m in mails)


def remembered(place, columns, name=None):
    db = sqlite3.connect(f"file:{place.state}/state.db?mode=ro", uri=True)
    try:
        where = " WHERE name = ?" if name else ""
        return db.execute(f"SELECT {columns} FROM account{where}", (name,) if name else ()).fetchall()
    finally:
        db.close()


def lines(octets):
    return [json.loads(x) for x in octets.splitlines()]


# ---- again and again ----------------------------------------------------------------------

def test_two_accounts(place):
    with Houses({"anna": plain_mails(2), "ben": plain_mails(3, start=20)}) as house:
        place.write({"a": settings(house), "b": settings(house, "ben", keep="yes")})
        with Daemon(place) as d:
            d.wait_for("delivered", "a", n=2)
            d.wait_for("delivered", "b", n=3)
            d.wait_for("next_poll", "a")
            house.drops["anna"].add(*plain_mails(1, start=9))
            house.drops["ben"].add(*plain_mails(1, start=29))
            d.wait_for("delivered", "a", n=3)
            d.wait_for("delivered", "b", n=4)
            d.wait_for("finished", "b", since=d.mark())
            # Others may look, but not collect.
            out, _ = place.run("--status", "--json")
            assert {e["account"] for e in lines(out)} == {"a", "b"}
            out, _ = place.run("--list", "--json", "b")
            assert len([e for e in lines(out) if "plan" in e]) == 4
            _, err = place.run(code=75)
            assert str(d.pid) in err, err
        assert not d.err
        assert place.mails("a") == stored(house.drops["anna"].ever)
        assert place.mails("b") == stored(house.drops["ben"].ever)
        assert house.drops["anna"].mails == []
        assert d.events[-1]["event"] == "summary" and d.events[-1]["messages"] == 7
        # The last one may have been stopped before it came to mail; and a QUIT that was sent may
        # still have to be read here.
        took = [house.sessions[visit - 1] for visit, *_ in house.retrieved]
        until(lambda: all(s.quit_seen for s in took))


class Gate(OfMany):
    """The second message stops in the middle until the gate opens."""

    def body(self, n):
        octets = super().body(n)
        if n == 2 and self.visit == 1:
            self.wire.send(octets[:30])
            self.house.memory["stopped"].set()
            assert self.house.memory["gate"].wait(60)
            return octets[30:]
        return octets


def gated(drops):
    house = Houses(drops, Gate)
    house.memory.update(stopped=threading.Event(), gate=threading.Event())
    return house


def test_sigterm_in_the_middle(place):
    """What was asked for is taken, delivered and deleted; then QUIT."""
    with gated({"anna": plain_mails(4)}) as house:
        place.write({"a": settings(house, window="1")})
        with Daemon(place) as d:
            assert house.memory["stopped"].wait(60)
            d.send(signal.SIGTERM)
            until(lambda: signal_taken(d.pid), 60)
            house.memory["gate"].set()
            d.stop(how=None)
        assert not d.err, d.err
        taken = place.mails("a")
        assert taken and taken == stored(m for m in house.drops["anna"].ever
                                         if m not in house.drops["anna"].mails)
        assert house.drops["anna"].mails
        until(lambda: house.sessions[0].quit_seen)
        assert len(house.sessions) == 1


def signal_taken(pid):
    """Whether no signal waits for the process."""
    status = open(f"/proc/{pid}/status").read()
    return not int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16)


class Silent(OfMany):
    def on_STAT(self, _):
        self.house.memory["silent"] = True
        self.hang()


def test_sigterm_before_any_mail(place):
    """A server that says nothing holds nobody up, and it is no failure of the account."""
    with Houses({"anna": plain_mails(1)}, Silent) as house:
        place.write({"a": settings(house, timeout="60s")})
        with Daemon(place) as d:
            until(lambda: house.memory.get("silent"))
            start = time.monotonic()
            d.stop()
            assert time.monotonic() - start < 30
        assert not d.err, d.err
        assert remembered(place, "failures, last_error") == [(0, "")]


def test_once_is_cut_short(place):
    """Without --daemon a signal leaves something to be done: 75."""
    with gated({"anna": plain_mails(4)}) as house:
        place.write({"a": settings(house, window="1")})
        (place.base / "mail").mkdir()
        p = subprocess.Popen(place.command(), stdin=subprocess.DEVNULL, env=place.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert house.memory["stopped"].wait(60)
        p.send_signal(signal.SIGHUP)
        until(lambda: signal_taken(p.pid), 60)
        house.memory["gate"].set()
        p.communicate(timeout=60)
        assert p.returncode == 75
        until(lambda: house.sessions[0].quit_seen)
        place.run()
        assert place.mails("a") == stored(house.drops["anna"].ever)


@pytest.mark.parametrize("made", [False, True])
def test_a_maildir_is_moved_away(place, made):
    """Mail goes to where the path leads now, not into what was open."""
    with Houses({"anna": plain_mails(2)}) as house:
        drop, inbox = house.drops["anna"], place.maildir("a")
        old, new = inbox.with_name("old"), inbox.with_name("new")
        place.write({"a": settings(house)})
        with Daemon(place) as d:
            d.wait_for("delivered", n=2)
            for away, back, letter in (old, None, 3), (new, old, 4):
                since = d.mark()
                inbox.rename(away)
                if back:
                    back.rename(inbox)
                elif made:
                    make_maildir(inbox, [])
                # The poll in the middle of which that was is not meant.
                d.wait_for("next_poll", since=since, n=2)
                drop.add(*plain_mails(1, start=letter))
                d.wait_for("delivered", n=letter)
        assert not d.err
        assert place.mails("a") == stored([m for i, m in enumerate(drop.ever) if i != 2])
        assert place.mails("new") == stored(drop.ever[2:3])


def test_our_own_server(office, base, place):
    """New mail in its maildrop comes at the next poll, over a session that is resumed."""
    letters = [b"Subject: %d\n\nbody\n" % i for i in range(3)]
    box = make_maildir(base / "anna", letters[:2])
    o = office(users=[f"anna:secret:{box}"])
    place.write({"a": {"server": o.pop3s_at, "user": "anna", "password": "secret", "ca": o.ca,
                       "poll": "1s", "keep": "yes"}})
    with Daemon(place) as d:
        d.wait_for("delivered", "a", n=2)
        d.wait_for("finished", "a")
        fresh = box / "tmp/1800000000.M1P1.test"
        fresh.write_bytes(letters[2])
        shutil.chown(fresh, NOBODY, NOBODY)
        fresh.rename(box / "new" / fresh.name)
        d.wait_for("delivered", "a", n=3)
        o.wait_for_counter("tls_resumed_total", 1)
    assert place.mails("a") == letters and not d.err


# ---- a configuration that changes -----------------------------------------------------------

def test_reload(place):
    drops = {n: plain_mails(1, start=10 * i) for i, n in enumerate(("anna", "ben", "cleo"), 1)}
    with Houses(drops) as house:
        slow = settings(house, "anna", poll="1h")
        place.write({"a": slow, "b": settings(house, "ben")})
        with Daemon(place) as d:
            d.wait_for("next_poll", "a")
            d.wait_for("next_poll", "b")
            # One goes, one comes; what did not change keeps its time.
            place.write({"a": slow, "c": settings(house, "cleo")})
            since = d.mark()
            assert d.reload()["event"] == "reloaded"
            assert d.wait_for("next_poll", "a", since)["seconds"] > 3000
            d.wait_for("delivered", "c", since)
            # A poll of b that was under way at the reload is over by then.
            d.wait_for("next_poll", "c", since)
            later = d.mark()
            d.wait_for("next_poll", "c", later, n=2)
            assert d.all_of("finished", "b", later) == []
            assert len(house.visits("anna")) == 1
            # A changed one is polled at once, as it now is.
            house.drops["anna"].add(*plain_mails(1, start=50))
            place.write({"a": {**slow, "deliver": f"maildir:{place.maildir('other')}"}})
            since = d.mark()
            d.reload()
            d.wait_for("delivered", "a", since)
            assert place.mails("other") == stored(plain_mails(1, start=50))
            # A file with errors changes nothing.
            place.config.write_text(place.config.read_text() + "[account c]\nserver=x\npol=1\n")
            since = d.mark()
            assert d.reload()["event"] == "not_reloaded"
            until(lambda: "pol" in "".join(d.err), why=d.story)
            assert re.search(r"fetch\.conf:\d+: ", "".join(d.err))
            # What needs a restart says so.
            place.write({"a": slow}, delivery_threads=9)
            assert "restart" in d.reload()["why"]
            # All may go, and come back.
            place.write({"c": settings(house, "cleo")})
            since = d.mark()
            d.reload()
            d.wait_for("finished", "c", since)


def test_a_password_from_a_descriptor_stays(place):
    """Over a new reading of the configuration, over a refusal, and for all accounts."""
    ours, theirs = os.pipe()
    os.write(theirs, PASSWORD + b"\n")
    os.close(theirs)
    with Houses({"anna": plain_mails(1), "ben": []}) as house:
        rows = {n: settings(house, n, password=None, poll="1h") for n in ("anna", "ben")}
        place.write(rows)
        with Daemon(place, "--password-fd", str(ours), fds=[ours]) as d:
            os.close(ours)
            for i, script in enumerate((OfMany, Refusing, OfMany), 1):
                for n in rows:
                    d.wait_for("next_poll", n, n=i)
                house.script = script
                # Changed ones are polled at once.
                rows = {n: {**rows[n], "timeout": f"{10 + i}s"} for n in rows}
                place.write(rows)
                assert d.reload()["event"] == "reloaded"
            for n in rows:
                d.wait_for("next_poll", n, n=4)
            assert d.all_of("local") == [] and len(d.all_of("temporary")) == 2, d.story()
        assert [good for _, good in house.logins] == [True] * 6
        assert len(place.mails("anna")) == 1


def test_reload_while_a_session_runs(place):
    """It ends as it began; its heir comes after it, never beside it."""
    with gated({"anna": plain_mails(3)}) as house:
        place.write({"a": settings(house, poll="1h")})
        with Daemon(place) as d:
            assert house.memory["stopped"].wait(60)
            for target in ("b", "c"):
                place.write({"a": {**settings(house, poll="1h"),
                                   "deliver": f"maildir:{place.maildir(target)}"}})
                assert d.reload()["event"] == "reloaded"
            assert len(house.sessions) == 1
            house.memory["gate"].set()
            d.wait_for("finished", "a")
            d.wait_for("next_poll", "a")
            house.drops["anna"].add(*plain_mails(1, start=9))
            d.reload()
            assert len(house.sessions) == 2
        assert place.mails("a") == stored(plain_mails(3)) and place.mails("b") == []


def test_sigterm_after_a_reload(place):
    """An account that the new file does not name is ended in order too."""
    with gated({"anna": plain_mails(3), "ben": []}) as house:
        place.write({"a": settings(house)})
        with Daemon(place) as d:
            assert house.memory["stopped"].wait(60)
            place.write({"b": settings(house, "ben", poll="1h")})
            since = d.mark()
            d.reload()
            d.wait_for("next_poll", "b", since)
            d.send(signal.SIGTERM)
            until(lambda: signal_taken(d.pid), 60)
            house.memory["gate"].set()
            d.stop(how=None)
        assert place.mails("a") == stored(m for m in house.drops["anna"].ever
                                          if m not in house.drops["anna"].mails)


def test_an_account_with_a_new_name(place):
    """What is known under the old name is not taken for the new one's: another section may
    speak of the same mail by intent. So it is told, and a Maildir can be marked before."""
    with Houses({"anna": plain_mails(5)}) as house:
        rows = settings(house, keep="yes", deliver=f"maildir:{place.maildir('box')}",
                        server=f"localhost:{house.port}")
        place.write({"work": rows})
        place.run()
        place.write({"work": rows | {"server": f"LocalHost:{house.port}"}})
        out, err = place.run()
        assert not out + err and len(place.mails("box")) == 5
        place.write({"job": rows})
        out, err = place.run("--dry-run")
        assert "of work" in err and "--reconcile" in err, err
        place.run("--reconcile", place.maildir("box"))
        out, err = place.run()
        assert "work" not in out + err and len(place.mails("box")) == 5
        place.write({"play": rows})
        out, err = place.run()
        assert re.search("of (work|job)", err) and "--reconcile" in err, err
        assert len(place.mails("box")) == 10
        out, err = place.run()
        assert not out + err and len(place.mails("box")) == 10


# ---- when the next poll is -------------------------------------------------------------------

class Refusing(OfMany):
    answer = b"-ERR [IN-USE] locked"

    def login(self, good):
        self.say(self.answer)


def refusing(text, capability=None):
    more = (capability,) if capability else ()
    return type("Script", (Refusing,), {
        "answer": text, "capabilities": OfMany.capabilities + more})


@pytest.mark.parametrize("text, first, second", [
    (b"-ERR [IN-USE] locked", (54, 66), (108, 132)),
    (b"-ERR [SYS/TEMP] ill", (54, 66), (108, 132)),
    (b"-ERR [LOGIN-DELAY] wait", (300, 300), (300, 300)),
    (b"-ERR what a day", (54, 66), (108, 132))])
def test_back_off(place, text, first, second):
    with Houses({"anna": plain_mails(1)}, refusing(text)) as house:
        place.write({"a": settings(house)})
        for low, high in (first, second):
            with Daemon(place) as d:
                seconds = d.wait_for("next_poll", "a")["seconds"]
                assert low - 1 <= seconds <= high, d.story()
                assert d.all_of("temporary" if b"day" not in text else "login_refused", "a")
        assert remembered(place, "failures") == [(2,)]
        out, _ = place.run("--status", "--json")
        [row] = lines(out)
        assert row["failures"] == 2 and row["next_poll"] and "last_error" in row
        house.script = OfMany
        with Daemon(place) as d:
            d.wait_for("delivered", "a")
            assert d.wait_for("next_poll", "a")["seconds"] <= 1
        assert remembered(place, "failures, last_error") == [(0, "")]


@pytest.mark.parametrize("what", ["secret", "target"])
def test_what_is_wrong_here(place, what):
    """It is told, remembered, tried again later and later, and mended without a restart."""
    with Houses({"anna": plain_mails(1)}) as house:
        wrong = {**settings(house), "password": "", "password_command": "exit 3"}
        del wrong["password"]
        place.write({"a": wrong if what == "secret" else
                     {**settings(house), "deliver": f"maildir:{place.config}/Maildir"}})
        for low, high in ((54, 66), (108, 132)):
            with Daemon(place) as d:
                assert low - 1 <= d.wait_for("next_poll", "a")["seconds"] <= high, d.story()
                [e] = d.all_of("local", "a")
                assert ("status 3" if what == "secret" else str(place.config)) in e["why"], e
        [row] = lines(place.run("--status", "--json")[0])
        assert row["failures"] == 2 and row["last_error"] == e["why"]
        assert house.sessions == []
        with Daemon(place) as d:
            d.wait_for("next_poll", "a")
            place.write({"a": settings(house)})
            d.reload()
            d.wait_for("delivered", "a")
        assert place.mails("a") == stored(plain_mails(1))


def test_login_delay(place):
    """What CAPA says counts after a session that went well, and over a restart."""
    script = type("Script", (OfMany,), {
        "capabilities": OfMany.capabilities + (b"LOGIN-DELAY 900",)})
    with Houses({"anna": plain_mails(1)}, script) as house:
        place.write({"a": settings(house)})
        for _ in range(2):
            with Daemon(place) as d:
                assert 880 <= d.wait_for("next_poll", "a")["seconds"] <= 900
        assert len(house.sessions) == 1
        # Who asks for it by hand gets it.
        place.run()
        assert len(house.sessions) == 2


def test_the_clock_was_ahead(place):
    """No day in the far future is waited for: the server's delay is, and no more."""
    script = type("Script", (OfMany,), {
        "capabilities": OfMany.capabilities + (b"LOGIN-DELAY 1",)})
    with Houses({"anna": plain_mails(1)}, script) as house:
        place.write({"a": settings(house)})
        place.run()
        db = sqlite3.connect(place.state / "state.db")
        db.execute("UPDATE account SET last_try_s = last_try_s + 315360000")
        db.commit()
        db.close()
        house.drops["anna"].add(*plain_mails(1, start=2))
        with Daemon(place) as d:
            assert d.wait_for("next_poll", "a")["seconds"] <= 1
            d.wait_for("delivered", "a")
        assert len(place.mails("a")) == 2


def test_jitter(place):
    names = [f"u{i}" for i in range(24)]
    with Houses({n: [] for n in names}) as house:
        place.write({n: settings(house, n, poll="1000s") for n in names})
        with Daemon(place) as d:
            seconds = [d.wait_for("next_poll", n)["seconds"] for n in names]
        assert all(899 <= s <= 1100 for s in seconds) and len(set(seconds)) > 5, seconds


def test_a_refused_login_is_not_tried_again(place):
    with Houses({"anna": plain_mails(1), "ben": []}, OfMany) as house:
        place.write({"a": settings(house, password="wrong"), "b": settings(house, "ben")})
        with Daemon(place) as d:
            d.wait_for("login_refused", "a")
            d.wait_for("finished", "b", n=2)
            assert d.all_of("next_poll", "a") == [] and len(house.visits("anna")) == 1
            [e] = d.all_of("login_refused")
            assert "SIGHUP" in e["why"] and "no" in e["why"]
            # The password is mended.
            place.write({"a": settings(house), "b": settings(house, "ben")})
            d.reload()
            d.wait_for("delivered", "a")


def test_the_first_refusal_after_other_failures(place):
    """What went wrong before says nothing of the password."""
    with Houses({"anna": plain_mails(1)}, refusing(b"-ERR Authentication failed")) as house, \
            socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place.write({"a": settings(house, server="127.0.0.1:%d" % closed.getsockname()[1])})
        for _ in range(3):
            place.run(code=69)
        place.write({"a": settings(house)})
        for last in (False, False, True):
            with Daemon(place) as d:
                d.wait_for("finished", "a")
                [e] = d.all_of("login_refused")
                assert ("not polled any more" in e["why"]) == last, d.story()
                if last:
                    assert not d.all_of("next_poll")
                else:
                    d.wait_for("next_poll", "a")
        assert remembered(place, "failures, refusals") == [(6, 3)]


def test_adaptive(place):
    """Shorter while mail comes, longer while none does, within its limits."""
    with Houses({"anna": []}) as house:
        def once(new=0, **more):
            if new:
                house.drops["anna"].add(*plain_mails(new, start=10 * len(house.sessions) + 1))
            place.write({"a": settings(house, **{"poll": "0", "poll_max": "1h", **more})})
            with Daemon(place) as d:
                seconds = d.wait_for("next_poll", "a")["seconds"]
            [(ms,)] = remembered(place, "interval_ms")
            assert 0.9 * ms - 1000 <= 1000 * seconds <= 1.1 * ms + 1000
            return ms
        assert [once(), once(), once(1)] == [375000, 468750, 234375]
        # A poll in several sessions counts as one.
        assert once(6, commit_messages="2") == 117187
        assert once() == 146483
        assert once(poll_max="100s") == 100000
        assert once(1, poll_min="80s", poll_max="100s") == 80000
        assert len(place.mails("a")) == 8


# ---- many ------------------------------------------------------------------------------------

class Counting(OfMany):
    """Keeps the session open for a moment, and counts how many are: who has closed its end is
    gone, though its QUIT may still have to be read here."""

    def on_STAT(self, arg):
        memory = self.house.memory
        with self.house.lock:
            there = [s for s in memory.get("there", ()) if not s.wire.is_left()]
            memory["there"] = [*there, self]
            memory["most"] = max(memory.get("most", 0), len(memory["there"]))
        threading.Event().wait(0.05)
        super().on_STAT(arg)


@pytest.mark.parametrize("parallel, polls", [(1, 1), (3, 2)])
def test_parallel(place, parallel, polls):
    """Also where all polls fall due at once."""
    names = [f"u{i}" for i in range(7)]
    with Houses({n: plain_mails(1, start=i) for i, n in enumerate(names)}, Counting) as house:
        place.write({n: settings(house, n) for n in names}, parallel=parallel)
        with Daemon(place) as d:
            for n in names:
                d.wait_for("finished", n, n=polls)
        assert house.memory["most"] == parallel
        assert [place.mails(n) for n in names] == [stored(house.drops[n].ever) for n in names]


class Together(OfMany):
    """Nobody's mail comes before all are there."""

    def on_STAT(self, arg):
        try:
            self.house.memory["barrier"].wait(60)
        except threading.BrokenBarrierError:
            raise Cut from None
        super().on_STAT(arg)


def test_fifty_accounts(place, pki):
    names = [f"u{i}" for i in range(50)]
    drops = {n: plain_mails(4, b"z" * 70 + b"\r\n" * 500, start=10 * i) for i, n in enumerate(names)}
    with Houses(drops, Together, tls="tls", certificate=pki["good"]) as house:
        peaks = []
        house.memory["barrier"] = threading.Barrier(50, action=lambda: peaks.append(rss_anon(d.pid)))
        place.write({n: settings(house, n, ca=pki["ca"], poll="1h") for n in names}, parallel=50)
        with Daemon(place) as d:
            def over():
                peaks.append(rss_anon(d.pid))
                return len(d.all_of("next_poll")) == 50
            until(over, 60, d.story)
            tasks = os.listdir(f"/proc/{d.pid}/task")
        # The loop, its four, and those that sync files together (16 at the most).
        assert 1 + 4 <= len(tasks) <= 1 + 4 + 16, "a thread for each account"
        assert is_sanitized() or max(peaks) < 16 * MIB, f"{max(peaks) / MIB:.1f} MiB"
        assert [place.mails(n) for n in names] == [stored(house.drops[n].ever) for n in names]


# ---- proxies, TLS -------------------------------------------------------------------------------

@pytest.mark.parametrize("secret", [None, (b"joe", b"pr0xy-word")])
def test_socks5(place, pki, secret):
    with Houses({"anna": plain_mails(3)}, tls="tls", certificate=pki["good"]) as house, \
            Socks(house.port, secret) as socks:
        proxy = f"127.0.0.1:{socks.port}"
        if secret:
            proxy = f"{secret[0].decode()}:{secret[1].decode()}@{proxy}"
        rows = settings(house, server="localhost:4711", ca=pki["ca"], socks5=proxy)
        place.write({"a": rows})
        place.run()
        assert place.mails("a") == stored(house.drops["anna"].ever)
        # The proxy resolves the name.
        assert socks.asked == [(1, 3, b"localhost", 4711)]
        assert socks.secrets == ([secret] if secret else [])
        if secret:
            place.write({"a": {**rows, "socks5": f"joe:wrong@127.0.0.1:{socks.port}"}})
            _, err = place.run(code=69)
            assert "wrong" not in err and "pr0xy" not in err and "proxy" in err.lower()
        assert len(house.sessions) == 1


@pytest.mark.parametrize("tls", ["tls", "stls"])
def test_tls_is_resumed(place, pki, tls):
    """Between polls, and over a restart."""
    with Houses({"anna": plain_mails(1)}, tls=tls, certificate=pki["good"]) as house:
        place.write({"a": settings(house, ca=pki["ca"])})
        with Daemon(place) as d:
            d.wait_for("finished", "a", n=2)
        seen = len(house.sessions)
        with Daemon(place) as d:
            d.wait_for("finished", "a")
        # Another authority: what was resumed under the other is not trusted for that.
        place.write({"a": settings(house, ca=pki["foreign"].chain)})
        place.run(code=76)
        resumed = [s.wire.tls.session_reused for s in house.sessions if s.wire.tls]
        assert len(house.sessions) > seen >= 2
        assert resumed == [False] + [True] * (len(resumed) - 1)
        db = place.state / "state.db"
        assert db.stat().st_mode & 0o077 == 0, "a session's secret lies in it"


# ---- what people are told -------------------------------------------------------------------------

class Slow(OfMany):
    capabilities = tuple(c for c in OfMany.capabilities if c != b"PIPELINING")

    def retrieve(self, n):
        threading.Event().wait(0.12)
        super().retrieve(n)


def on_a_terminal(place, *args, term="xterm"):
    """Runs with a terminal as stderr: status, stdout, what the terminal got."""
    (place.base / "mail").mkdir(exist_ok=True)
    ours, theirs = pty.openpty()
    p = subprocess.Popen(place.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=theirs, env=place.environment({"TERM": term, "LANG": "C.UTF-8"}))
    os.close(theirs)
    got, end = b"", time.monotonic() + 60
    while time.monotonic() < end and select.select([ours], [], [], 20)[0]:
        try:
            octets = os.read(ours, 65536)
        except OSError:
            break
        got += octets
    out, _ = p.communicate(timeout=60)
    os.close(ours)
    return p.returncode, out.decode(), got.decode()


PROGRESS = re.compile(r"^(\d+)/(\d+) mails, (\d+\.\d)/(\d+\.\d) [kM]B, (\d+) accounts?"
                      r"(, ETA \d+:\d\d)?$")


def test_live_progress(place):
    drops = {n: plain_mails(10, b"x" * 3000 + b"\r\n", start=20 * i)
             for i, n in enumerate(("anna", "ben"))}
    with Houses(drops, Slow) as house:
        place.write({n: settings(house, n) for n in drops})
        status, out, seen = on_a_terminal(place)
        assert status == 0
        drawn = [x.removesuffix("\x1b[K") for x in seen.split("\r") if x not in ("", "\x1b[K")]
        found = [PROGRESS.match(x) for x in drawn]
        assert len(found) >= 4 and all(found), drawn
        assert [int(m[1]) for m in found] == sorted(int(m[1]) for m in found)
        assert {m[2] for m in found} >= {"20"} and {m[5] for m in found} >= {"2"}
        assert any(m[6] for m in found), drawn
        assert seen.endswith("\r\x1b[K"), "the line is wiped at the end"
        assert out == "20 mails, 63.1 kB, 20 deleted on the server\n" or re.fullmatch(
            r"20 mails, 6\d\.\d kB, 20 deleted on the server\n", out), out


@pytest.mark.parametrize("args, term", [(["--quiet"], "xterm"), ([], "dumb"), (["--json"], "xterm")])
def test_no_live_progress(place, args, term):
    with Houses({"anna": plain_mails(3)}, Slow) as house:
        place.write({"a": settings(house)})
        status, _, seen = on_a_terminal(place, *args, term=term)
        assert (status, seen) == (0, "")


def test_quiet_without_a_terminal(place):
    """Nothing new, or only mail: cron has nothing to send."""
    with Houses({"anna": plain_mails(5)}) as house:
        place.write({"a": settings(house)})
        assert place.run() == ("", "") and place.run() == ("", "")
        out, err = place.run("--verbose")
        assert err == "" and "a: logged in" in out and printable(out.encode())


class LaterPlease(Refusing):
    answer = b"-ERR [SYS/TEMP] ill"


@pytest.mark.parametrize("accounts, code", [
    ("good", 0), ("good later", 75), ("good later away", 69), ("good refused later away", 77),
    ("good away plain", 76), ("plain refused", 77)])
def test_the_worst_exit_code(place, accounts, code):
    class Each(OfMany):
        def login(self, good):
            if self.name == "later":
                return self.say(b"-ERR [SYS/TEMP] ill")
            return super().login(good)
    with Houses({"good": plain_mails(2), "later": [], "refused": [], "plain": []}, Each) as house, \
            socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        rows = {
            "good": settings(house, "good"),
            "later": settings(house, "later"),
            "refused": settings(house, "refused", password="wrong"),
            "away": settings(house, server="127.0.0.1:%d" % closed.getsockname()[1]),
            # No TLS here, and the password is not to go in the clear.
            "plain": settings(house, "plain", plaintext="no", tls="stls")}
        place.write({n: rows[n] for n in accounts.split()})
        place.run(code=code)
        if "good" in accounts:
            assert place.mails("good") == stored(house.drops["good"].ever)
            place.run("good")


def test_status_of_several(place):
    with Houses({"anna": plain_mails(3), "ben": []}) as house:
        rows = {"a": settings(house, keep="yes"), "b": settings(house, "ben", password="wrong"),
                "c": settings(house)}
        place.write(rows)
        place.run("a", "b", code=77)
        head, *table = place.run("--status")[0].splitlines()
        assert head.split() == ["ACCOUNT", "SUCCESS", "NEXT", "NEW", "KEPT", "DUE", "ASIDE",
                                "COLLECTED", "OLDEST", "NEW"]
        assert re.fullmatch(r"a +\d+s ago +\S.* +0 +3 +0 +0 +3 +-", table[0]), table
        assert re.fullmatch(r"b +- +\S.* +0 +0 +0 +0 +0 +-", table[1]), table
        assert re.fullmatch(r" +1 failure, the last \d+s ago: .*no", table[2]), table
        assert re.fullmatch(r"c +never", table[3]), table
        found = {e["account"]: e for e in lines(place.run("--status", "--json")[0])}
        assert found["a"]["kept"] == 3 and found["a"]["collected"] == 3 and found["c"] == {"account": "c"}
        assert "last_success" not in found["b"] and found["b"]["failures"] == 1
        assert [e["account"] for e in lines(place.run("--status", "--json", "b")[0])] == ["b"]


# ---- the service manager --------------------------------------------------------------------------

@pytest.mark.parametrize("abstract", [False, True])
def test_notify(place, abstract):
    name = f"{place.base}/notify"
    with Houses({"anna": []}) as house, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(60)
        place.write({"a": settings(house, poll="1h")})
        env = {"NOTIFY_SOCKET": "@" + name if abstract else name, "WATCHDOG_USEC": "60000"}

        def told():
            return manager.recv(4096).decode().splitlines()
        with Daemon(place, env=env) as d:
            assert told() == ["READY=1"]
            for _ in range(3):
                assert told() == ["WATCHDOG=1"]
            d.reload()
            words = [told() for _ in range(20)]
            words = [w for w in words if w != ["WATCHDOG=1"]]
            assert words[0][0] == "RELOADING=1" and words[1] == ["READY=1"]
            assert abs(int(words[0][1].split("=")[1]) / 1e6 - time.monotonic()) < 10
            d.stop()
        rest = [["STOPPING=1"]]
        manager.setblocking(False)
        try:
            while True:
                rest.append(told())
        except BlockingIOError:
            pass
        assert ["STOPPING=1"] in rest[1:], rest


def test_a_watchdog_of_another_process(place):
    with Houses({"anna": []}) as house, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{place.base}/notify")
        place.write({"a": settings(house, poll="1s")})
        env = {"NOTIFY_SOCKET": f"{place.base}/notify", "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}
        with Daemon(place, env=env) as d:
            d.wait_for("finished", "a", n=2)
        manager.setblocking(False)
        got = []
        try:
            while True:
                got.append(manager.recv(4096))
        except BlockingIOError:
            pass
        assert got == [b"READY=1", b"STOPPING=1"]
