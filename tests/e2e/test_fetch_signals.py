"""`restante fetch` and signals: whenever SIGTERM comes, it ends within seconds, and nothing is
lost, doubled or left in tmp/; what it started gets no descriptor of its, and ends with it."""
import os
import pty
import random
import signal
import subprocess
import termios
import threading
import time

import pytest

from fetch_faulty import Session, plain_mails
from fetch_trial import Run, Trial

DONE, LATER = 0, 75
END_S = 30  # five for what is under way, and many for a slow machine; the server has 60
MOMENTS = 50


def start(t, secret=True, **how):
    """secret: from the usual file; else from what `how` says, or a person."""
    command = t.command(**how)
    if not secret:
        at = command.index("--password-file")
        del command[at:at + 2]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=t.base, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={"PATH": os.environ["PATH"], "HOME": str(t.base)})


def finish(t, p, since, codes=(DONE, LATER), within=END_S):
    """It ends in time, and all that must hold after a run holds."""
    try:
        out, err = p.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        raise AssertionError(f"does not end in {within} s\n{t.story(out, err)}") from None
    got = Run(p.returncode, out, err, time.monotonic() - since, 0, range(0))
    t.runs.append(got)
    t.must_hold(got, 0)
    assert got.code in codes, f"exit {got.code}\n{t.story(out, err)}"
    return got


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.005)


class _Counts(Session):
    """Calls memory["at"](n) at its n-th moment: a command that came, or a part of what is
    sent."""

    def moment(self):
        with self.house.lock:
            n = self.house.memory["moments"] = self.house.memory.get("moments", 0) + 1
        self.house.memory.get("at", lambda n: None)(n)

    def before(self, name, arg):
        self.moment()

    def retrieve(self, n):
        self.ok(b"%d octets" % self.size(n))
        octets = self.body(n)
        half = random.randrange(len(octets))
        self.wire.send(octets[:half])
        self.moment()
        self.wire.send(octets[half:])

    def opening(self):
        self.moment()
        super().opening()


@pytest.mark.parametrize("keep", [False, True], ids=["deleting", "keeping"])
def test_sigterm_at_any_moment(keep, tmp_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    serial = 100
    with Trial(tmp_path, plain_mails(40), _Counts) as t:
        for _ in range(MOMENTS // 2):
            t.drop.add(*plain_mails(12, start=serial))
            serial += 12
            moment, told, ready = random.randrange(1, 30), [], threading.Event()

            def at(n, moment=moment, told=told, ready=ready):
                if n == moment:
                    ready.wait(60)
                    told.append(time.monotonic())
                    p.send_signal(signal.SIGTERM)
            t.house.memory.update(moments=0, at=at)
            p = start(t, keep=keep)
            ready.set()
            finish(t, p, time.monotonic(), within=60)
            t.house.memory["at"] = lambda n: None
            assert not told or time.monotonic() - told[0] < END_S
        t.house.memory.clear()
        if keep:
            t.run(keep=True, codes=(DONE,))
            t.complete()
        t.honest()


class _HangsInAMessage(Session):
    hanging = True

    def retrieve(self, n):
        if not self.hanging or n != 3:
            return super().retrieve(n)
        self.ok()
        self.wire.send(self.body(n)[:40])
        self.house.memory["hangs"] = True
        self.hang()


def test_sigterm_while_the_server_hangs(tmp_path):
    """What is under way gets some time, and is given up then."""
    with Trial(tmp_path, plain_mails(6), _HangsInAMessage) as t:
        p = start(t, timeout=60)
        wait_for(lambda: t.house.memory.get("hangs"))
        p.send_signal(signal.SIGTERM)
        finish(t, p, time.monotonic(), codes=(LATER,))
        assert t.said("RETR") and not t.quarantined()
        t.honest()


def test_a_second_signal_ends_at_once(tmp_path):
    """What lies in tmp/ then is removed by the next run."""
    with Trial(tmp_path, plain_mails(6), _HangsInAMessage) as t:
        p = start(t, timeout=60)
        wait_for(lambda: t.house.memory.get("hangs"))
        since = time.monotonic()
        while p.poll() is None:
            p.send_signal(signal.SIGTERM)
            assert time.monotonic() - since < 4.5, "the second signal does not end it"
            time.sleep(0.02)
        p.communicate()
        assert p.returncode == LATER
        t.honest()


@pytest.mark.parametrize("what", ["password-command", "filter", "token-command"])
def test_a_command_that_hangs_does_not_hold_us_up(what, tmp_path):
    begun = tmp_path / "begun"
    with Trial(tmp_path, plain_mails(3)) as t:
        more = [f"--{what}", f"echo $$ >{begun}.new; mv {begun}.new {begun}; sleep 1000"]
        p = start(t, secret=what == "filter", timeout=60, more=more)
        wait_for(begun.exists)
        child = int(begun.read_text())
        p.send_signal(signal.SIGTERM)
        finish(t, p, time.monotonic(), codes=(LATER,))
        wait_for(lambda: not os.path.exists(f"/proc/{child}"))
        t.honest()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP],
                         ids=lambda n: n.name)
def test_the_terminal_echoes_again(number, tmp_path):
    """A signal while the password is asked for."""
    with Trial(tmp_path, plain_mails(1)) as t:
        command = t.command()
        at = command.index("--password-file")
        del command[at:at + 2]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(command[0], command, {"PATH": os.environ["PATH"], "HOME": str(t.base),
                                             "TERM": "dumb"})
        echoes = lambda: bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
        said = b""
        while b"password of " not in said:
            said += os.read(terminal, 1000)
        wait_for(lambda: not echoes())
        os.kill(pid, number)
        end = time.monotonic() + 60
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.01)
        assert echoes(), "the terminal is left without echo"
        os.close(terminal)
        assert not t.house.sessions


@pytest.mark.parametrize("what", ["password-command", "filter", "program", "token-command"])
def test_commands_get_nothing_of_ours(what, tmp_path):
    """Three files, no more; nothing blocked or ignored; no password."""
    seen = tmp_path / "seen"
    words = {"password-command": "cat password", "filter": "exit 0", "program": "cat >/dev/null",
             "token-command": "echo a-token"}
    look = (f"(ls -l /proc/self/fd; grep '^Sig[BI]' /proc/self/status; env) >{seen}; "
            f"{words[what]}")
    with Trial(tmp_path, plain_mails(2)) as t:
        t.run(codes=(DONE,), keep=True)  # there is a state, and what is remembered of the server
        t.drop.add(*plain_mails(1, start=30))
        p = start(t, secret=what in ("filter", "program"), keep=True, more=[f"--{what}", look])
        finish(t, p, time.monotonic(), codes=(DONE, LATER, 77), within=60)
        text = seen.read_text()
        links = [x for x in text.splitlines() if "->" in x]
        # 3: the directory that ls itself reads
        assert [x.split(" -> ")[0].split()[-1] for x in links] == ["0", "1", "2", "3"], text
        assert "/proc/" in links[3], text
        blocked, ignored = (int(text.split(f"{x}:\t")[1].split()[0], 16) for x in ("SigBlk", "SigIgn"))
        # 32 and 33 are the C library's own, which posix_spawn leaves ignored.
        assert blocked == 0 and ignored & ~(3 << 31) == 0, text
        assert "s3cret" not in text


def test_the_reader_of_our_words_goes_away(tmp_path):
    """`restante fetch --verbose | head -1`: EPIPE is no reason to lose or double anything."""
    with Trial(tmp_path, plain_mails(30)) as t:
        p = start(t, more=["--verbose"])
        p.stdout.close()
        p.stderr.close()
        assert p.wait(60) == DONE
        t.honest()
