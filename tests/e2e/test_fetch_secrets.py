"""`restante fetch` and what must not get out: passwords in memory, what was learnt without
TLS, files of others."""
import base64
import os
import signal
import stat
import subprocess

import pytest

from fetch_faulty import PASSWORD, USER, Cut, Session, plain_mails
from fetch_trial import Trial, is_sanitized, make_pki

DONE, LATER, REFUSED = 0, 75, 77


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki"))


def found_in_memory(pid, what):
    """Where it lies in what the process may read."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for row in maps:
            span, rights, *rest = row.split()
            start, end = (int(x, 16) for x in span.split("-"))
            if "r" not in rights or (rest and rest[-1].startswith("[v")):
                continue
            try:
                memory.seek(start)
                octets = memory.read(end - start)
            except OSError:
                continue
            at = octets.find(what)
            while at >= 0:
                out.append(start + at)
                at = octets.find(what, at + 1)
    return out


@pytest.mark.root
@pytest.mark.skipif(is_sanitized(), reason="sanitizers keep freed memory")
@pytest.mark.parametrize("capabilities", [Session.capabilities, (b"USER", b"PIPELINING")],
                         ids=["PLAIN", "USER"])
@pytest.mark.parametrize("tls", ["tls", "none"])
def test_the_password_lies_in_one_place(tls, capabilities, tmp_path, pki):
    """Once it was sent only the page that is locked and not dumped has it."""
    seen = []

    class Looks(Session):
        # STAT may come with the login, when nobody has had the time to wipe anything.
        def on_RETR(self, _):
            pid = self.house.memory["pid"]()
            with open(f"/proc/{pid}/status") as f:
                locked = f.read().split("VmLck:")[1].split()[0]
            seen.append((found_in_memory(pid, PASSWORD), locked, found_in_memory(
                pid, base64.b64encode(b"\0" + USER + b"\0" + PASSWORD)[4:])))
            super().on_RETR(_)
    Looks.capabilities = capabilities
    with Trial(tmp_path, plain_mails(2), Looks, tls=tls, pki=pki) as t:
        p = subprocess.Popen(t.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        t.house.memory["pid"] = lambda: p.pid
        out, err = p.communicate(timeout=60)
        assert p.returncode == DONE, t.story(out, err)
        plain, locked, coded = seen[0]
        assert len(plain) == 1 and int(locked) > 0 and not coded, seen


class Tokens(Session):
    """Each is good for one login; what `revoked` names is good for none."""
    capabilities = tuple(c for c in Session.capabilities if not c.startswith(b"SASL")) + (
        b"SASL XOAUTH2",)
    revoked, cut = (), ()

    def on_AUTH(self, arg):
        _, _, initial = arg.partition(b" ")
        if not initial:
            self.say(b"+ ")
            initial = (self.readline() or b"").strip()
        came = base64.b64decode(initial)
        used = self.house.memory.setdefault("tokens", [])
        used.append(came)
        self.login(used.count(came) == 1 and len(used) not in self.revoked)

    def retrieve(self, n):
        if self.visit in self.cut and n == 3:
            raise Cut
        super().retrieve(n)


class TokenTrial(Trial):
    def command(self, **how):
        out = super().command(**how)
        at = out.index("--password-file")
        script = self.base / "token"
        script.write_text(f"#!/bin/sh\necho x >>{self.base}/asked\n"
                          f"echo token-$(wc -l <{self.base}/asked)\n")
        script.chmod(0o755)
        return [*out[:at], "--token-command", str(script), *out[at + 2:]]


@pytest.mark.parametrize("revoked, cut, more, sessions, code", [
    ((), (), ["--commit-messages", "2"], 3, DONE),
    ((), (1,), [], 3, DONE),             # the message that was cut has one to itself
    ((2,), (1,), [], 4, DONE),           # good no more, and asked for once more
    ((2, 3), (1,), [], 3, REFUSED),
    ((1,), (), [], 1, REFUSED)])         # that one was new
def test_each_session_has_its_own_token(revoked, cut, more, sessions, code, tmp_path):
    script = type("Script", (Tokens,), {"revoked": revoked, "cut": cut})
    with TokenTrial(tmp_path, plain_mails(6), script) as t:
        t.run(codes=(code,), more=more)
        tokens = t.house.memory["tokens"]
        assert len(t.house.sessions) == len(tokens) == len(set(tokens)) == sessions, t.last()
        if code == DONE:
            t.complete()
            assert not t.drop.mails


def test_what_was_said_without_tls_decides_nothing_behind_it(tmp_path, pki):
    """A false server, before the account had TLS: it names poor mechanisms, says that it
    stuffs no dots. Behind TLS all is asked anew."""
    class False_(Session):
        capabilities = (b"USER", b"SASL LOGIN X-EVIL", b"UIDL", b"TOP")

        def body(self, n):  # as from a server that does not stuff
            return self.mails[n - 1].octets + b".\r\n"

        def on_CAPA(self, _):
            super().on_CAPA(_)
    dots = plain_mails(1, body=b".a dot\r\n..two\r\n")
    with Trial(tmp_path, dots + plain_mails(1, start=5), False_) as t:
        t.run(codes=(DONE,), keep=True)
    with Trial(tmp_path, plain_mails(2, body=b".a dot\r\n..two\r\n", start=20), tls="tls",
               pki=pki) as t:
        t.run(codes=(DONE,))
        assert t.said("CAPA")[0:1], "what the server offers was not asked anew"
        assert t.said("AUTH") and not t.said("USER"), t.last()
        for m in t.drop.ever:
            assert t.delivered(m) == 1, t.last()
        t.run(codes=(DONE,))
        assert not t.said("CAPA", 1), "what was learnt behind TLS is remembered there"


def test_what_is_written_is_ours_alone(tmp_path, pki):
    """Whatever the umask: state, locks, spool, mail."""
    with Trial(tmp_path, plain_mails(3), tls="tls", pki=pki) as t:
        before = os.umask(0)
        try:
            t.run(codes=(DONE,), keep=True, more=["--mbox", tmp_path / "mbox"])
        finally:
            os.umask(before)
        for top in (t.state, t.maildir, tmp_path / "mbox"):
            for p in [top, *top.rglob("*")]:
                mode = stat.S_IMODE(p.lstat().st_mode)
                assert mode & 0o077 == 0, f"{p}: {mode:o}"


def test_a_state_that_all_may_write_is_refused(tmp_path):
    with Trial(tmp_path, plain_mails(1)) as t:
        t.state.mkdir()
        t.state.chmod(0o1777)
        got = t.run()
        assert got.code not in (DONE, LATER) and not t.house.sessions
        assert b"chmod" in got.err


@pytest.mark.parametrize("name", ["lock", "state.db", "id", "spool"])
def test_links_in_the_state_are_not_followed(name, tmp_path):
    """What somebody laid there does not make us write elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    with Trial(tmp_path, plain_mails(1)) as t:
        t.state.mkdir(mode=0o700)
        (t.state / name).symlink_to(elsewhere)
        t.run(codes=None)
        assert not elsewhere.exists(), "something was written through the link"
        (t.state / name).unlink()
        t.honest()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT], ids=lambda n: n.name)
def test_no_core_is_dumped(number, tmp_path):
    """A core would hold the password."""
    class Kills(Session):
        def on_STAT(self, _):
            os.kill(self.house.memory["pid"](), number)
            self.hang()
    with Trial(tmp_path, plain_mails(1), Kills) as t:
        p = subprocess.Popen(["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *t.command()],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, cwd=tmp_path)
        t.house.memory["pid"] = lambda: p.pid
        _, status = os.waitpid(p.pid, 0)
        p.communicate()
        if not is_sanitized():
            assert os.WTERMSIG(status) == number and not os.WCOREDUMP(status)
        t.honest()


@pytest.mark.parametrize("mode, followed", [(0o755, True), (0o1777, False), (0o2775, False)])
def test_a_link_that_others_may_have_laid_is_not_followed(mode, followed, tmp_path):
    """An mbox in a directory like /var/mail."""
    box, elsewhere = tmp_path / "mail" / "anna", tmp_path / "elsewhere"
    box.parent.mkdir()
    box.parent.chmod(mode)
    elsewhere.write_bytes(b"")
    box.symlink_to(elsewhere)
    with Trial(tmp_path, plain_mails(1)) as t:
        t.run(codes=(DONE,) if followed else (LATER,), more=["--mbox", box])
        assert bool(elsewhere.read_bytes()) == followed
        assert bool(t.drop.mails) != followed, t.last()
        box.unlink()
        t.run(codes=(DONE,), more=["--mbox", box])
        assert followed or b"letter 1" in box.read_bytes()
