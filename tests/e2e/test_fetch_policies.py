"""What `restante fetch` does with which message, and why: keep, delete, skip, adopt, filters,
order, sessions in pieces, several targets. Against an honest server that writes down all."""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from fetch_faulty import Cut, Mail, Session, plain_mails
from fetch_trial import PROGRAM, Trial
from postoffice import make_maildir

DAY = 86400


@pytest.fixture
def trial(tmp_path):
    made = []

    def make(mails=None, script=Session):
        t = Trial(tmp_path, plain_mails(6) if mails is None else mails, script)
        made.append(t)
        return t
    yield make
    for t in made:
        t.house.stop()


def sized(i, octets):
    """A message that is as large as that, about."""
    return plain_mails(1, b"x" * 60 + b"\r\n", i)[0] if octets < 200 else plain_mails(
        1, (b"y" * 70 + b"\r\n") * (octets // 72), i)[0]


def numbers(t, run=-1):
    """The messages that were retrieved in a run, in order."""
    return [n for visit, n, _ in t.house.retrieved if visit in t.runs[run].visits]


def left(t):
    return [m.uid for m in t.drop.mails]


def uids(mails):
    return [m.uid for m in mails]


def later(t, seconds):
    """What was collected was collected so much earlier, for all that the state knows."""
    with sqlite3.connect(t.state / "state.db") as db:
        db.execute("UPDATE message SET delivered = delivered - ? WHERE delivered > 0", (seconds,))
        db.execute("UPDATE message SET gone = gone - ? WHERE gone > 0", (seconds,))
        db.execute("UPDATE account SET next_delete_s = next_delete_s - ? WHERE next_delete_s > 0",
                   (seconds,))
    db.close()


def rows(t, sql):
    with sqlite3.connect(f"file:{t.state}/state.db?mode=ro", uri=True) as db:
        got = db.execute(sql).fetchall()
    db.close()
    return got


def events(run):
    """The JSON lines of a run with --json."""
    return [json.loads(line) for line in run.out.decode().splitlines()]


def said(run, event):
    return [e for e in events(run) if e["event"] == event]


def script_file(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# ---- what stays on the server ----------------------------------------------------------

def test_keep_and_then_not(trial):
    t = trial()
    t.run(keep=True, codes=[0])
    t.complete()
    assert len(left(t)) == 6 and not t.house.marked
    t.drop.add(*plain_mails(2, start=7))
    t.run(keep=True, codes=[0])
    assert numbers(t) == [7, 8]
    t.run(codes=[0])
    assert left(t) == [] and numbers(t) == []
    t.complete()


def test_delete_after(trial):
    t = trial()
    more = ["--delete-after", "30d"]
    t.run(keep=True, more=more, codes=[0])
    t.run(keep=True, more=more, codes=[0])
    later(t, 29 * DAY)
    t.run(keep=True, more=more, codes=[0])
    assert len(left(t)) == 6 and not t.house.marked
    t.drop.add(*plain_mails(1, start=7))
    t.run(keep=True, more=more, codes=[0])
    later(t, DAY + 1)
    t.run(keep=True, more=more, codes=[0])
    assert left(t) == uids(plain_mails(1, start=7))
    later(t, 29 * DAY)
    t.run(keep=True, more=more, codes=[0])
    assert left(t) == []
    t.complete()


def test_delete_larger(trial):
    t = trial([sized(1, 100), sized(2, 5000), sized(3, 100), sized(4, 9000)])
    t.run(keep=True, more=["--delete-larger", "4k"], codes=[0])
    assert left(t) == uids([t.drop.ever[0], t.drop.ever[2]])
    # What was kept before falls under it as well.
    t.run(keep=True, more=["--delete-larger", "10"], codes=[0])
    assert left(t) == []
    t.complete()


def test_skip_larger(trial):
    t = trial([sized(1, 100), sized(2, 5000), sized(3, 100)])
    big = t.drop.ever[1]
    for _ in range(2):
        t.run(more=["--skip-larger", "4k"], codes=[0])
    assert left(t) == [big.uid] and t.delivered(big) == 0
    assert len(t.said("RETR")) == 2
    t.run(codes=[0])
    assert left(t) == []
    t.complete()


def test_keep_newest(trial):
    t = trial(plain_mails(8))
    more = ["--keep-newest", "3"]
    t.run(keep=True, more=more, codes=[0])
    assert left(t) == uids(t.drop.ever[5:])
    t.drop.add(*plain_mails(2, start=9))
    t.run(keep=True, more=more, codes=[0])
    t.run(keep=True, more=more, codes=[0])
    assert left(t) == uids(t.drop.ever[7:])
    t.complete()


def test_keep_newest_of_many(trial):
    """Also where a look at the last few messages shows all that is new."""
    t = trial(plain_mails(60))
    more = ["--keep-newest", "50"]
    t.run(keep=True, more=more, codes=[0])
    assert left(t) == uids(t.drop.ever[10:])
    for i in (61, 62):
        t.drop.add(*plain_mails(1, start=i))
        t.run(keep=True, more=more, codes=[0])
    assert t.house.said("LIST", 2) == [b"LIST 51", b"LIST"], "a quick look does not do here"
    assert left(t) == uids(t.drop.ever[12:])
    t.complete()


def test_adopt(trial):
    t = trial()
    old = list(t.drop.mails)
    t.run(keep=True, more=["--adopt"], codes=[0])
    assert t.files() == [] and not t.house.retrieved and len(left(t)) == 6
    t.drop.add(*plain_mails(1, start=7))
    t.run(codes=[0])
    assert numbers(t) == [7]
    assert left(t) == uids(old), "what was only marked as seen was never ours: it stays"
    t.complete(leaves=old)


def test_tombstones(trial):
    """A server hides messages for a while: they are no news when they are back."""
    t = trial()
    t.run(keep=True, codes=[0])
    hidden, t.drop.mails = t.drop.mails[:4], t.drop.mails[4:]
    t.run(keep=True, codes=[0])
    assert rows(t, "SELECT count(*) FROM message WHERE gone > 0") == [(4,)]
    t.drop.mails = hidden + t.drop.mails
    t.run(keep=True, codes=[0])
    assert numbers(t) == []
    assert rows(t, "SELECT count(*) FROM message WHERE gone > 0") == [(0,)]
    t.complete()
    # After their time they are forgotten.
    t.drop.mails = t.drop.mails[4:]
    t.run(keep=True, codes=[0])
    later(t, 91 * DAY)
    t.drop.add(*plain_mails(1, start=7))
    t.drop.mails.pop(0)
    t.run(keep=True, codes=[0])
    t.run(keep=True, more=["--order", "newest"], codes=[0])
    left_rows = rows(t, "SELECT count(*) FROM message WHERE gone > 0")
    assert left_rows == [(1,)], "those that went today"


# ---- before anything moves --------------------------------------------------------------

def tree(t):
    return sorted((str(p.relative_to(t.base)), p.stat().st_size if p.is_file() else 0)
                  for p in t.base.rglob("*")
                  if not re.search(r"state\.db-(wal|shm)$|/lock$", str(p)))


def dump(t):
    db = sqlite3.connect(f"file:{t.state}/state.db?mode=ro", uri=True)
    try:
        return list(db.iterdump())
    finally:
        db.close()


@pytest.mark.parametrize("way", ["words", "json"])
def test_dry_run(trial, way):
    t = trial([sized(1, 100), sized(2, 5000), sized(3, 100)])
    policy = ["--delete-larger", "4k", "--skip-larger", "8k"]
    t.run(keep=True, codes=[0])
    t.drop.add(sized(4, 100), sized(5, 6000), sized(6, 9000))
    before, state, mails = tree(t), dump(t), left(t)
    got = t.run(keep=True, codes=[0], more=[*policy, "--dry-run",
                                            *(["--json"] if way == "json" else [])])
    assert tree(t) == before and dump(t) == state and left(t) == mails
    assert not t.house.marked and numbers(t) == []
    if way == "json":
        would = {e["message"]: (e["target"], e["why"]) for e in said(got, "would")}
    else:
        found = re.findall(r"^anna@127\.0\.0\.1: message (\d+) \(UIDL \w+\), [\d.]+ k?B: "
                           r"would ([a-z ]+): (.*)$", got.out.decode(), re.M)
        would = {int(n): (what, why) for n, what, why in found}
    assert would == {2: ("delete", "larger than delete_larger"), 4: ("fetch", "new"),
                     5: ("fetch and delete", "new")}, got.out.decode()
    # And then it does what it said.
    t.run(keep=True, more=policy, codes=[0])
    assert numbers(t) == [4, 5]
    assert left(t) == [m.uid for i, m in enumerate(t.drop.ever, 1) if i not in (2, 5)]


def test_dry_run_of_a_new_account(trial):
    t = trial()
    got = t.run(more=["--dry-run", "--json"], codes=[0])
    assert len(said(got, "would")) == 6
    assert {e["target"] for e in said(got, "would")} == {"fetch and delete"}
    assert not t.maildir.exists() and len(left(t)) == 6


def test_list(trial):
    t = trial([sized(1, 100), sized(2, 5000)])
    t.run(keep=True, codes=[0])
    t.drop.add(sized(3, 200))
    state = dump(t)
    got = t.run(keep=True, more=["--list", "--json"], codes=[0])
    listed = [(e["message"], e["octets"], e["uid"].encode(), e["plan"], e["why"])
              for e in events(got) if "plan" in e]
    assert listed == [(i, len(m.octets), m.uid, *plan) for i, (m, plan) in enumerate(zip(
        t.drop.ever, [("leave", "delivered before")] * 2 + [("fetch", "new")]), 1)]
    words = t.run(keep=True, more=["--list"], codes=[0]).out.decode()
    assert re.search(r"^anna@127\.0\.0\.1.*: 3 mails$", words, re.M), words
    assert re.search(rf"^ +3 +{len(t.drop.ever[2].octets)}  {t.drop.ever[2].uid.decode()} +fetch: new$",
                     words, re.M), words
    assert dump(t) == state and numbers(t) == []


# ---- filters ----------------------------------------------------------------------------

class SeenTop(Session):
    """Writes down what TOP gave."""

    def on_TOP(self, arg):
        start = len(self.sent_now)
        super().on_TOP(arg)
        self.house.memory.setdefault("top", {})[arg] = bytes(self.sent_now[start:])

    def __init__(self, *args):
        super().__init__(*args)
        self.sent_now = bytearray()
        send = self.wire.send

        def record(octets):
            self.sent_now.extend(octets)
            send(octets)
        self.wire.send = record


def letter(i, subject, body=b"body\r\n"):
    return Mail(b"uid-%d" % i, b"From: x@example.com\r\nSubject: %s\r\nX-Odd: \xff\x00\x01;$(id)\r\n"
                b"\r\n%s" % (subject, body))


def test_filter(trial):
    """0 fetches, 100 skips for ever, 101 deletes unseen, all else leaves it for later."""
    t = trial([letter(1, b"good"), letter(2, b"never"), letter(3, b"spam"), letter(4, b"wait"),
               letter(5, b"killed"), letter(6, b"good", b".\r\nstuffed\r\n")], SeenTop)
    t.house.witness = lambda m: t.is_delivered(m) or b"spam" in m.octets
    seen = t.base / "seen"
    seen.mkdir()
    program = script_file(t.base / "filter", f"""
f=$(mktemp {seen}/XXXXXX); cat > $f
case $(sed -n 's/^Subject: //p' $f | tr -d '\\r') in
good) exit 0;; never) exit 100;; spam) exit 101;; wait) exit 7;; killed) kill -9 $$;; *) exit 0;;
esac
""")
    t.run(more=["--filter", program], codes=[0])
    assert numbers(t) == [1, 6]
    assert left(t) == [b"uid-2", b"uid-4", b"uid-5"]
    assert t.said("TOP") == [b"TOP %d 0" % n for n in range(1, 7)]
    # The very octets of the header, and the blank line.
    want = sorted(m.octets.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for m in t.drop.ever)
    assert sorted(p.read_bytes() for p in seen.iterdir()) == want
    for p in seen.iterdir():
        p.unlink()
    # Only those for which the answer was "later" are asked for again.
    t.run(more=["--filter", script_file(t.base / "yes", f"cat > {seen}/$$\nexit 0\n")])
    assert sorted(p.read_bytes() for p in seen.iterdir()) == sorted(want[i] for i, m in enumerate(
        sorted(t.drop.ever, key=lambda m: m.octets)) if b": wait" in m.octets or b": killed" in m.octets)
    assert left(t) == [b"uid-2"]
    t.run(codes=[0])
    assert left(t) == [b"uid-2"], "skipped for ever"


def test_filter_with_keep(trial):
    """A filter's `delete` deletes though mail is kept; a dry run says it."""
    t = trial([letter(1, b"good"), letter(2, b"spam")])
    t.house.witness = lambda m: t.is_delivered(m) or b"spam" in m.octets
    program = script_file(t.base / "filter", "grep -q spam && exit 101\nexit 0\n")
    got = t.run(keep=True, more=["--filter", program, "--dry-run", "--json"], codes=[0])
    assert {e["message"]: (e["target"], e["why"]) for e in said(got, "would")} == {
        1: ("fetch", "new"), 2: ("delete", "the filter deletes it")}
    assert len(left(t)) == 2 and t.files() == []
    t.run(keep=True, more=["--filter", program], codes=[0])
    assert left(t) == [b"uid-1"] and numbers(t) == [1]


def test_filter_that_hangs(trial):
    t = trial([letter(1, b"good")])
    start = time.monotonic()
    ours = f"sleep 60.{os.getpid()}"
    t.run(more=["--filter", ours], timeout=1)
    assert time.monotonic() - start < 40
    assert left(t) == [b"uid-1"] and t.files() == []
    assert not subprocess.run(["pgrep", "-f", f"^{ours}$"], capture_output=True).stdout


def test_few_headers_are_kept_for_a_filter(trial):
    """However many new messages there are, and however long their headers (the trial looks at
    the memory)."""
    long = b"".join(b"X-Long-%d: %s\r\n" % (i, b"y" * 900) for i in range(40))
    t = trial([Mail(b"%d" % i, b"Subject: %d\r\n%s\r\nbody\r\n" % (i, long))
               for i in range(800)])
    t.run(more=["--filter", "exit 100"], timeout=60, codes=[0])
    assert len(t.said("TOP")) == 800 and len(left(t)) == 800 and t.files() == []


# ---- order, sessions in pieces ----------------------------------------------------------

@pytest.mark.parametrize("order, want", [("number", [1, 2, 3, 4]), ("newest", [4, 3, 2, 1]),
                                         ("biggest-last", [3, 1, 4, 2])])
def test_order(trial, order, want):
    t = trial([sized(1, 1000), sized(2, 9000), sized(3, 300), sized(4, 5000)])
    t.run(more=["--order", order], codes=[0])
    assert numbers(t) == want
    assert left(t) == []
    t.complete()


@pytest.mark.parametrize("keep", [False, True])
def test_commit_messages(trial, keep):
    t = trial(plain_mails(10))
    got = t.run(keep=keep, more=["--commit-messages", "3"], codes=[0])
    of = {v: [n for visit, n, _ in t.house.retrieved if visit == v] for v in got.visits}
    assert [len(x) for x in of.values() if x] == [3, 3, 3, 1]
    assert len(t.said("QUIT")) == len(got.visits)
    if not keep:
        assert left(t) == []
        assert [v for v, _ in t.house.deleted] == [1] * 3 + [2] * 3 + [3] * 3 + [4]
    t.complete()


class Slow(Session):
    """A tenth of a second for each message; one at a time."""
    capabilities = tuple(c for c in Session.capabilities if c != b"PIPELINING")

    def retrieve(self, n):
        threading.Event().wait(0.1)
        super().retrieve(n)


def test_commit_after(trial):
    t = trial(plain_mails(16), Slow)
    got = t.run(more=["--commit-after", "1s"], codes=[0])
    assert len(got.visits) >= 2
    first = [n for visit, n, _ in t.house.retrieved if visit == 1]
    assert 1 <= len(first) <= 11  # fewer where the machine is busy
    assert {v for v, _ in t.house.deleted} >= {1, 2}
    assert left(t) == []
    t.complete()


def test_messages_max(trial):
    t = trial(plain_mails(7))
    got = t.run(more=["--messages-max", "6"], codes=[76])
    assert b"messages_max" in got.err or b"messages-max" in got.err, t.last()
    assert len(left(t)) == 7 and t.files() == []
    t.run(more=["--messages-max", "7"], codes=[0])
    assert left(t) == []


class Recent(Session):
    def right(self, user, password):
        return user == b"recent:anna" and super().right(b"anna", password)


@pytest.mark.parametrize("how", ["PLAIN", "USER"])
def test_recent(trial, how):
    t = trial(script=type("Script", (Recent,), {"capabilities": tuple(
        c for c in Session.capabilities if how == "PLAIN" or not c.startswith(b"SASL"))}))
    t.run(keep=True, more=["--recent"], codes=[0])
    t.complete()
    assert t.said("USER" if how == "USER" else "AUTH")
    t.run(keep=True, codes=[77])


# ---- targets ----------------------------------------------------------------------------

class Deaf(threading.Thread):
    """An LMTP server that takes messages, or, as long as `ill`, says 451 to them."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ill, self.taken, self.ended = True, [], False
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with s, s.makefile("rwb") as f:
                try:
                    self.talk(f)
                except (OSError, ValueError):
                    pass

    def talk(self, f):
        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        say("220 here")
        while line := f.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"LHLO":
                say("250-here\r\n250 PIPELINING")
            elif verb == b"QUIT":
                say("221 bye")
                return
            elif verb == b"DATA":
                say("354 go on")
                octets = b""
                while (row := f.readline()) and row != b".\r\n":
                    octets += row[1:] if row.startswith(b"..") else row
                if not self.ill:
                    self.taken.append(octets)
                say("451 4.2.0 not now" if self.ill else "250 2.0.0 taken")
            else:
                say("250 ok")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(60)


def test_two_targets_of_which_one_is_ill(trial):
    """Nothing is deleted before both have it, and the one that has it gets it once."""
    t = trial()
    other = Deaf()
    t.house.witness = lambda m: t.is_delivered(m) and not other.ill
    try:
        more = ["--lmtp", f"127.0.0.1:{other.port}"]
        for _ in range(2):
            t.run(more=more, codes=[75])
            assert len(left(t)) == 6 and len(t.files()) == 6 and other.taken == []
        other.ill = False
        t.run(more=more, codes=[0])
        assert left(t) == []
        t.complete()
        assert len(other.taken) == 6
        bodies = [re.sub(rb"(?m)^X-Restante-Trace: .*\r\n", b"", o) for o in other.taken]
        assert sorted(bodies) == sorted(m.octets for m in t.drop.ever)
        t.run(more=more, codes=[0])
        assert len(t.files()) == 6 and len(other.taken) == 6
    finally:
        other.stop()


class CutsOne(Session):
    """Message 3 never comes whole."""

    def body(self, n):
        octets = super().body(n)
        if self.mails[n - 1] is self.drop.ever[2]:
            self.wire.send(octets[:40])
            raise Cut
        return octets


def test_quarantine_is_counted(trial):
    t = trial(script=CutsOne)
    for _ in range(4):
        if t.run(more=["--tries", "2"]).code == 65:
            break
    assert t.runs[-1].code == 65, t.last()
    assert left(t) == [t.drop.ever[2].uid] and len(t.files()) == 5
    [kept] = t.quarantined()
    bad = t.drop.ever[2].octets
    assert kept.read_bytes() and bad.replace(b"\r\n", b"\n").startswith(kept.read_bytes())
    assert oct(kept.stat().st_mode & 0o777) == oct(0o600)
    [text] = [p for p in (t.state / "quarantine").iterdir() if p.suffix == ".txt"]
    assert t.drop.ever[2].uid in text.read_bytes()
    status = t.run(more=["--status", "--json"], codes=[0])
    [row] = events(status)
    assert row["quarantined"] == 1 and row["collected"] == 5, row
    words = t.run(more=["--status"], codes=[0]).out.decode().splitlines()
    assert words[0].split()[6] == "ASIDE" and re.split(r"\s{2,}|(?<=ago)\s", words[1]), words
    # From then on it is left alone, and that is no failure.
    before = len(t.retrieved())
    t.run(codes=[0])
    assert len(t.retrieved()) == before


AGAIN = ["--retry-aside"]


def put_aside(t, **how):
    """Message 3 is put aside, all others are here."""
    for _ in range(4):
        said = t.run(**how)
        if said.code == 65:
            break
    assert said.code == 65 and len(t.files()) == 5, t.last()
    assert b"--retry-aside" in said.err, said.err
    t.run(**{**how, "codes": [0]})
    assert t.retrieved(-1) == []


@pytest.mark.parametrize("keep", [False, True])
def test_what_was_put_aside_is_tried_again(trial, keep):
    t = trial(script=CutsOne)
    put_aside(t, keep=keep)
    bad = t.drop.ever[2]
    # The server is as bad as before.
    for _ in range(4):
        said = t.run(keep=keep, more=AGAIN if t.runs[-1].code == 0 else [], codes=[65, 75])
        if said.code == 65:
            break
    assert said.code == 65 and len(t.quarantined()) == 2, t.last()
    # It is well again: nothing but the option asks for it.
    t.house.script = Session
    t.run(keep=keep, codes=[0])
    assert t.retrieved(-1) == []
    [row] = [x for x in events(t.run(keep=keep, more=["--list", "--json"], codes=[0]))
             if x.get("uid") == bad.uid.decode()]
    assert row["plan"] == "leave" and "--retry-aside" in row["why"], row
    [row] = [x for x in events(t.run(keep=keep, more=["--list", "--json", *AGAIN], codes=[0]))
             if x.get("uid") == bad.uid.decode()]
    assert row["plan"].startswith("fetch"), row
    t.run(keep=keep, more=["--dry-run", *AGAIN], codes=[0])
    assert t.retrieved(-1) == []
    t.run(keep=keep, more=AGAIN, codes=[0])
    assert len(t.retrieved(-1)) == 1
    t.complete()
    assert left(t) == (uids(t.drop.ever) if keep else [])
    [row] = events(t.run(more=["--status", "--json"], codes=[0]))
    assert row["quarantined"] == 0, row
    t.run(keep=keep, more=AGAIN, codes=[0])
    assert t.retrieved(-1) == []


def test_what_is_to_be_tried_again_survives_the_run(trial):
    """Taken back and then nothing came of it: the next run knows, also one that would
    only have looked at the end of the listing."""
    t = trial(script=CutsOne)
    put_aside(t, keep=True)
    t.house.script = Session
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))
    away = ["--socks5", "127.0.0.1:%d" % nobody.getsockname()[1]]
    t.run(keep=True, more=[*AGAIN, *away], codes=[69])
    nobody.close()
    t.run(keep=True, codes=[0])
    assert len(t.retrieved(-1)) == 1
    t.complete()


class KillsAt(Session):
    """The retriever dies when it has said a certain word."""

    def kill(self, verb):
        self.house.started.wait(30)
        if verb == self.house.verb and self.house.pid:
            os.kill(self.house.pid, signal.SIGKILL)
            raise Cut

    def retrieve(self, n):
        self.kill("RETR")
        super().retrieve(n)

    def on_DELE(self, arg):
        self.kill("DELE")
        return super().on_DELE(arg)

    def on_QUIT(self, arg):
        self.kill("QUIT")
        return super().on_QUIT(arg)


@pytest.mark.parametrize("verb", ["RETR", "DELE", "QUIT"])
def test_a_second_try_is_killed(trial, verb):
    t = trial(script=CutsOne)
    put_aside(t)
    t.house.script, t.house.verb, t.house.started = KillsAt, verb, threading.Event()
    p = subprocess.Popen(t.command(more=AGAIN), stdin=subprocess.DEVNULL, cwd=t.base,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         env={"PATH": os.environ["PATH"], "HOME": str(t.base)})
    t.house.pid = p.pid
    t.house.started.set()
    assert p.wait(60) == -signal.SIGKILL
    t.house.pid = None
    t.run(codes=[0])
    t.complete()
    assert left(t) == []


def test_only_the_target_that_refused_is_asked_again(trial):
    t = trial()
    got, bad = t.base / "got", t.drop.ever[2]
    got.mkdir()
    (t.base / "refuses").touch()
    command = (f"cat >{got}/$$.part && if test -e {t.base}/refuses &&"
               f" cmp -s {got}/$$.part {t.base}/bad; then rm {got}/$$.part; exit 65; fi;"
               f" mv {got}/$$.part {got}/$$")
    more = ["--deliver", f"program:{command}", "--trace", "no"]
    (t.base / "bad").write_bytes(bad.octets.replace(b"\r\n", b"\n"))
    said = t.run(more=more, codes=[65])
    assert b"--retry-aside" in said.err, said.err
    assert left(t) == [bad.uid] and len(list(got.iterdir())) == 5
    (t.base / "refuses").unlink()
    t.run(more=more, codes=[0])
    assert left(t) == [bad.uid]
    t.run(more=[*more, *AGAIN], codes=[0])
    assert left(t) == [] and len(list(got.iterdir())) == 6
    t.complete()


def test_a_target_that_cannot_be_written(trial):
    """It may be mended, or its server be back, at the next run."""
    t = trial(plain_mails(2))
    for more in (["--mbox", t.base], ["--lmtp", t.base / "none"], ["--program", "/none"]):
        t.run(more=more, codes=[75])
        assert t.runs[-1].err.count(b"message not collected") == 2, t.last()
    assert len(t.drop.mails) == len(t.files()) == 2


class RefusesOne(Session):
    """Message 3 cannot be had."""

    def retrieve(self, n):
        if self.mails[n - 1] is self.drop.ever[2]:
            return self.err("cannot read it")
        return super().retrieve(n)


def test_what_is_put_aside_is_told(trial):
    """Also that of which nothing came."""
    t = trial(script=RefusesOne)
    put_aside(t)
    assert [b"put aside" in r.err for r in t.runs] == [r.code == 65 for r in t.runs], t.last()
    assert not t.quarantined()


class CutsSome(Session):
    """Some never come whole."""

    def body(self, n):
        octets = super().body(n)
        if self.mails[n - 1] in self.house.bad:
            self.wire.send(octets[:40])
            raise Cut
        return octets


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_cuts_of_a_run_count_once(trial, tries):
    """A line that is bad for a minute puts nothing aside: a message is tried twice in a run,
    and left for the next one, while all others are collected in the same."""
    t = trial(plain_mails(9), script=CutsSome)
    t.house.bad = bad = [t.drop.ever[i] for i in (1, 4, 5, 8)]
    more = ["--tries", str(tries)]
    for i in range(1, tries + 1):
        t.run(more=more, codes=[75 if i < tries else 65])
        assert left(t) == uids(bad), t.last()
        assert len(t.quarantined()) == (len(bad) if i == tries else 0)
        asked = [m for visit, _, m in t.house.retrieved if visit in t.runs[-1].visits]
        assert [asked.count(m) for m in bad] == [2 if i < tries else 1] * len(bad)
    t.run(more=more, codes=[0])
    assert t.retrieved(-1) == []


def test_what_was_cut_comes_with_the_next_run(trial):
    """Also where no more than a look at the end of the listing would be due."""
    t = trial(script=CutsSome)
    t.house.bad = [t.drop.ever[2]]
    for _ in range(2):
        t.run(keep=True, codes=[75])
    t.house.bad = []
    t.run(keep=True, codes=[0])
    t.complete()
    t.run(keep=True, codes=[0])
    assert t.retrieved(-1) == []


class CutsOneOnce(CutsOne):
    """Message 3 does not come whole the first time that it is asked for."""

    def body(self, n):
        if self.house.cuts:
            return Session.body(self, n)
        self.house.cuts = self.mails[n - 1] is self.drop.ever[2]
        return super().body(n)


def test_a_target_that_fails_is_no_message_s_fault(trial):
    """Neither does one that fails for long make a session of each message."""
    t = trial(plain_mails(30))
    got = t.base / "got"
    got.mkdir()
    command = f"cat >{got}/$$.part && test -e {t.base}/works && mv {got}/$$.part {got}/$$ || exit 75"
    more = ["--deliver", f"program:{command}", "--tries", "2"]
    for _ in range(3):
        t.run(more=more, codes=[75])
        assert len(left(t)) == 30
    (t.base / "works").touch()
    t.house.script, t.house.cuts = CutsOneOnce, False
    sessions = len(t.run(more=more).visits)
    assert t.house.cuts
    sessions += len(t.run(more=more, codes=[0]).visits)
    assert not left(t) and not t.quarantined()
    assert len(list(got.glob("*[0-9]"))) == 30
    assert sessions <= 6


def test_status_says_what_is_due(trial):
    t = trial()
    more = ["--delete-after", "10d"]
    t.run(keep=True, more=more, codes=[0])
    later(t, 11 * DAY)
    t.drop.add(*plain_mails(2, start=7))
    t.run(keep=True, more=["--delete-after", "20d"], codes=[0])
    [row] = events(t.run(keep=True, more=["--status", "--json"], codes=[0]))
    assert (row["kept"], row["due"], row["new"], row["collected"]) == (8, 0, 0, 8), row
    later(t, 9 * DAY)
    [row] = events(t.run(keep=True, more=["--status", "--json"], codes=[0]))
    assert (row["kept"], row["due"]) == (8, 6), row
    assert row["on_server"] == 8 and row["failures"] == 0
    assert row["collected_octets"] == sum(len(m.octets) for m in t.drop.ever)


# ---- what is written --------------------------------------------------------------------

def contents(t):
    return sorted(p.read_bytes() for p in t.files())


def test_drop_from_line(trial):
    t = trial([Mail("a", b"From anna Mon Jan  1 00:00:00 2026\r\nSubject: 1\r\n\r\nFrom here\r\n"),
               Mail("b", b"Subject: 2\r\n\r\nFrom there\r\n"), Mail("c", b"From: c@example.com\r\n\r\nc\r\n")])
    t.house.witness = None
    t.run(keep=True, codes=[0])
    assert b"From anna Mon Jan  1 00:00:00 2026\nSubject: 1\n\nFrom here\n" in contents(t)
    for p in t.files():
        p.unlink()
    t.state.rename(t.base / "before")
    t.run(more=["--drop-from-line"], codes=[0])
    assert contents(t) == sorted([b"Subject: 1\n\nFrom here\n", b"Subject: 2\n\nFrom there\n",
                                  b"From: c@example.com\n\nc\n"])


def test_line_ends(trial):
    t = trial()
    t.house.witness = None
    t.run(more=["--line-ends", "crlf"], codes=[0])
    assert contents(t) == sorted(m.octets for m in t.drop.ever)
    for p in t.files():
        found = re.search(r",S=(\d+),W=(\d+)", p.name)
        assert found and {int(x) for x in found.groups()} == {p.stat().st_size}, p.name


def test_trace(trial):
    t = trial(plain_mails(1))
    t.house.witness = None
    program = t.base / "got"
    more = ["--program", f"cat >> {program}"]
    t.run(keep=True, more=[*more, "--trace", "yes"], codes=[0])
    text = contents(t)[0]
    found = re.match(rb"(Received: from 127\.0\.0\.1[^\n]*\n(?:[ \t][^\n]*\n)*)", text)
    assert found and b"POP3" in found[1] and b"restante" in found[1].lower(), text
    assert text[found.end():] == t.drop.ever[0].octets.replace(b"\r\n", b"\n")
    for trace, there in (("auto", True), ("no", False)):
        for p in t.files():
            p.unlink()
        program.unlink()
        t.state.rename(t.base / f"before-{trace}")
        t.run(keep=True, more=[*more, "--trace", trace], codes=[0])
        assert contents(t) == [t.drop.ever[0].octets.replace(b"\r\n", b"\n")]
        assert (b"X-Restante-Trace: " in program.read_bytes()) == there


# ---- for programs -----------------------------------------------------------------------

def test_events_of_a_run(trial):
    t = trial([*plain_mails(4), letter(9, b"\x1b[31m \xe2\x80\xae \xff")])
    got = t.run(more=["--json"], codes=[0])
    assert got.err == b""
    all_of = events(got)
    assert all(set(e) >= {"event", "time"} for e in all_of)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", e["time"]) for e in all_of)
    names = [e["event"] for e in all_of]
    assert names.count("retrieved") == names.count("delivered") == 5
    assert names[-1] == "summary" and "finished" in names
    assert {e["account"] for e in all_of if "account" in e} == {all_of[0].get("account", "anna@127.0.0.1")}
    assert {e["uid"].encode() for e in all_of if e["event"] == "delivered"} == set(uids(t.drop.ever))
    end = all_of[-1]
    assert (end["messages"], end["deleted"], end["quarantined"], end["failed"]) == (5, 5, 0, 0), end
    assert end["octets"] == sum(len(m.octets) for m in t.drop.ever)


# ---- our own server ---------------------------------------------------------------------

def test_against_the_sandbox(office, base, tmp_path):
    """The policies that need more than a listing, over TLS, in one maildrop."""
    letters = [letter(i, w).octets.replace(b"\r\n", b"\n") for i, w in enumerate(
        (b"good", b"spam", b"good", b"never"))]
    letters.append(sized(9, 9000).octets.replace(b"\r\n", b"\n"))
    box = make_maildir(base / "anna", letters)
    o = office(users=[f"anna:secret:{box}"])
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "secret").chmod(0o600)
    program = script_file(tmp_path / "filter", "cat > $$.t; grep -q spam $$.t && exit 101\n"
                          "grep -q never $$.t && exit 100\nexit 0\n")

    def run(*more):
        got = subprocess.run(
            [str(x) for x in (PROGRAM, "--server", o.pop3s_at, "--user", "anna", "--ca", o.ca,
                              "--password-file", tmp_path / "secret", "--state", tmp_path / "state",
                              "--maildir", tmp_path / "Maildir", "--keep", "--filter", program,
                              "--order", "newest", "--delete-larger", "8k", *more)],
            capture_output=True, stdin=subprocess.DEVNULL, cwd=tmp_path, timeout=60)
        assert got.returncode == 0, got.stderr
        return [json.loads(line) for line in got.stdout.splitlines()]
    would = {e["message"]: e["target"] for e in run("--dry-run", "--json") if e["event"] == "would"}
    assert would == {1: "fetch", 2: "delete", 3: "fetch", 5: "fetch and delete"}
    told = run("--json")
    assert [e["message"] for e in told if e["event"] == "retrieved"] == [5, 3, 1]
    assert sorted(e["message"] for e in told if e["event"] == "deleted") == [2, 5]
    assert sorted(p.read_bytes() for p in (tmp_path / "Maildir/new").iterdir()) == sorted(
        letters[i] for i in (0, 2, 4))
    left = sorted(p.read_bytes() for d in ("new", "cur") for p in (box / d).iterdir())
    assert left == sorted(letters[i] for i in (0, 2, 3))
    assert [e["event"] for e in run("--json")][-1] == "summary"
    assert len(list((tmp_path / "Maildir/new").iterdir())) == 3
