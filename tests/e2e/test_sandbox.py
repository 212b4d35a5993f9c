"""`restante sandbox` as DESIGN says it behaves: the ready line, what it keeps, what it
removes, whom mail is served as, and its errors."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest
from postoffice import BUILD, alive, make_maildir, port_is_free, until
from pop import Pop
from ports import free_port

pytestmark = pytest.mark.anyone

NOBODY = 65534


def login(o, name, password, port=None):
    p = Pop(o.host, port or o.pop3)
    return p, p.login(name, password)


def count(o, name, password):
    p, answer = login(o, name, password)
    with p:
        assert answer.startswith(b"+OK"), (answer, o.log())
        ok, messages, octets = p.say("STAT").split()
        assert ok == b"+OK" and p.say("QUIT").startswith(b"+OK")
        return int(messages), int(octets)


def refused(*args, **env):
    got = subprocess.run([BUILD / "restante", "sandbox", *map(str, args)],
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                         env=dict(os.environ, **env))
    assert got.returncode not in (0, -11, -6), got
    assert got.stdout == b"", got.stdout
    return got.returncode, got.stderr.decode()


def test_ready_line_and_demo(office):
    o = office()
    assert re.fullmatch(r"ready pop3=127\.0\.0\.1:\d+ pop3s=127\.0\.0\.1:\d+ ca=/\S+/ca\.pem "
                        r"pid=\d+\n", o.ready)
    assert pathlib.Path(f"/proc/{o.pid}/comm").read_text() == "restanted\n"
    messages, octets = count(o, "demo", "demo")
    assert messages >= 4 and octets > 1000
    with Pop(o.host, o.pop3s, o.ca) as p:
        assert p.tls in ("TLSv1.2", "TLSv1.3")
    o.stop()
    assert not o.dir.exists(), "a temporary directory is removed whole"


def test_stdout_is_one_line():
    got = subprocess.run([BUILD / "restante", "sandbox", "--for", "1"], stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=60)
    assert got.returncode == 0, got.stderr
    assert got.stdout.count(b"\n") == 1 and got.stdout.startswith(b"ready ")


def test_json():
    got = subprocess.run([BUILD / "restante", "sandbox", "--json", "--for", "1"],
                         stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    ready = json.loads(got.stdout)
    assert set(ready) == {"pop3", "pop3s", "ca", "pid"} and ready["pid"] > 1


def test_for_ends_it(office):
    start = time.monotonic()
    o = office("--for", 3)
    assert not port_is_free(o.host, o.pop3)
    o.wait()
    assert 2.9 < time.monotonic() - start < 60
    assert not o.dir.exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(office, how):
    o = office()
    with Pop(o.host, o.pop3):
        o.stop(how)
    assert not o.dir.exists()


def test_the_monitor_is_heard_up_to_the_end(office):
    o = office()
    os.kill(o.pid, signal.SIGHUP)
    o.wait_for_log("the configuration was read again")
    with Pop(o.host, o.pop3):
        o.stop()
    assert "cannot be told" not in o.log()


def test_monitor_asked_to_end(office):
    o = office()
    os.kill(o.pid, signal.SIGTERM)
    o.wait()


def test_monitor_killed(office):
    o = office()
    processes = o.tree()
    os.kill(o.pid, signal.SIGKILL)
    o.stopped = True
    assert o.process.wait(60) not in (0, None)
    o.finish(processes, None)
    assert "signal 9" in o.log()
    assert not o.dir.exists()


def test_killed_sandbox_takes_the_monitor_along(office):
    o = office()
    processes = o.tree()
    assert len(processes) > 3
    start = time.monotonic()
    o.process.kill()
    o.stopped = True
    o.process.wait()
    until(lambda: not any(map(alive, processes)), 60, lambda: f"left: {processes}")
    assert time.monotonic() - start < 30
    until(lambda: port_is_free(o.host, o.pop3), 60, "the port is taken")
    o.process.stdout.close()
    o._reader.join(60)
    o.process.stderr.close()
    shutil.rmtree(o.dir)


def listeners():
    """At ports that nobody else takes while the office is closed."""
    return [f"--{name}=127.0.0.1:{free_port()}" for name in ("pop3", "pop3s")]


def test_killed_office_opens_again(office, base):
    """Same ports, same certificate, same users, same mail; nothing is given again."""
    box = make_maildir(base / "m" / "Maildir", [b"Subject: 1\n\nx\n"])
    d = base / "office"
    d.mkdir()
    o = office("--dir", d, *listeners(), users=[f"anna:secret:{box}", "bert:pw"])
    assert count(o, "anna", "secret") == (1, 17)
    ca = (d / "ca.pem").read_bytes()
    at, processes = (o.pop3_at, o.pop3s_at), o.tree()
    o.process.kill()
    o.process.wait()
    o.stopped = True
    until(lambda: not any(map(alive, processes)), 60)
    o.process.stdout.close()
    o._reader.join(60)
    o.process.stderr.close()
    again = office("--dir", d)
    assert (again.pop3_at, again.pop3s_at) == at
    assert (d / "ca.pem").read_bytes() == ca
    assert count(again, "anna", "secret") == (1, 17)
    assert count(again, "bert", "pw") == (0, 0)
    with Pop(again.host, again.pop3s, again.ca) as p:
        assert p.greeting.startswith(b"+OK")
    again.stop()
    names = {p.name for p in d.iterdir()}
    assert names >= {"ca.pem", "cert.pem", "key.pem", "users", "restante.conf", "mail"}
    assert not names & {"run", "sandbox.lock"}
    assert box.is_dir() and len(list((box / "new").iterdir()) + list((box / "cur").iterdir())) == 1


def test_only_what_this_run_made_is_removed(office, base):
    """A directory that was there stays with all in it; one made by the run goes, but never
    a Maildir that was given, even below it."""
    d = base / "there"
    d.mkdir()
    (d / "mine.txt").write_text("mine")
    o = office("--dir", d)
    o.stop()
    assert (d / "mine.txt").read_text() == "mine" and (d / "ca.pem").exists()
    fresh = base / "fresh"
    inside = fresh / "given" / "box"
    o = office("--dir", fresh, users=[f"anna:secret:{inside}", "bert:pw"])
    assert count(o, "anna", "secret") == (0, 0)
    o.stop()
    assert inside.is_dir() and (inside / "new").is_dir()
    assert sorted(p.name for p in fresh.iterdir()) == ["given"]
    gone = base / "gone"
    office("--dir", gone).stop()
    assert not gone.exists()


@pytest.mark.parametrize("name", ["run/thesis", "restante.conf", "key.pem"])
def test_what_no_sandbox_made_is_never_taken(base, name):
    """Neither removed at the end, as all of run/ was, nor written anew."""
    mine = base / "there" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    code, said = refused("--dir", base / "there")
    assert code == 64 and "a directory of its own" in said, said
    assert mine.read_text() == "mine"
    assert sorted(p.name for p in (base / "there").iterdir()) == [name.split("/")[0]]


def test_missing_maildir_is_made_and_kept(office, base):
    box = base / "a" / "b" / "Maildir"
    o = office(users=[f"anna:secret:{box}"])
    for part in ("new", "cur", "tmp"):
        assert (box / part).is_dir()
    assert count(o, "anna", "secret") == (0, 0)
    o.stop()
    assert box.is_dir()


def test_login_before_the_first_mail(office, base):
    """The Maildir vanished, or was never there: an empty maildrop; it is served when it comes."""
    box = base / "Maildir"
    o = office(users=[f"anna:secret:{box}"])
    shutil.rmtree(box)
    assert count(o, "anna", "secret") == (0, 0)
    make_maildir(box, [b"x\n"], uid=NOBODY)
    assert count(o, "anna", "secret") == (1, 3)


def test_second_office_in_one_directory(office, base):
    o = office("--dir", base / "d")
    # Where the kernel chose the ports, too, they are written down for the next run.
    conf = (base / "d" / "restante.conf").read_text()
    assert f"address = {o.pop3_at}\n" in conf and f"address = {o.pop3s_at}\n" in conf
    code, said = refused("--dir", base / "d")
    assert code == 75 and "another sandbox" in said
    assert count(o, "demo", "demo")[0] > 0


def test_fixed_addresses(office, base):
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        code, said = refused("--pop3", f"127.0.0.1:{port}")
        assert code == 64 or "in use" in said
    o = office("--pop3", f"127.0.0.1:{port}", "--pop3s", "[::1]:0")
    assert o.pop3 == port and o.pop3s_at.startswith("[::1]:")
    with Pop("::1", o.pop3s, o.ca) as p:
        assert p.greeting.startswith(b"+OK")


def test_taken_port(base):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        code, said = refused("--pop3", f"127.0.0.1:{s.getsockname()[1]}")
    assert code == 69 and "in use" in said


def test_plain_login_on_loopback_and_delay(office):
    o = office("--set", "max_login_failures=2")
    p, answer = login(o, "demo", "demo")
    p.close()
    assert answer.startswith(b"+OK")
    start = time.monotonic()
    p, answer = login(o, "demo", "wrong")
    took = time.monotonic() - start
    assert answer.startswith(b"-ERR [AUTH]") and 0.45 < took < 20
    # But for the id of the refusal, which is of the same form.
    form = r" \(id [0-9A-Z]{4}-[0-9A-Z]{3}\)"
    texts = [re.sub(form, "", a.decode()) for a in (answer, p.login("nobody-knows", "wrong"))]
    assert texts[0] == texts[1] != answer.decode(), "an unknown name answers the same"
    assert p.rest() == b"", "and the connection ends"
    p.close()


def test_set(office):
    o = office(sets={"plaintext": "never", "fronts": 3, "log_level": "debug"})
    with Pop(o.host, o.pop3) as p:
        assert p.say("USER demo").startswith(b"-ERR")
    assert len(o.pids("restante-front")) == 3


ERRORS = [
    (["--set", "fronst=3"], 64, "did you mean fronts?"),
    (["--set", "fronts"], 64, "OPTION=VALUE"),
    (["--set", "fronts=many"], 64, "fronts"),
    (["--set", "address=127.0.0.1:1"], 64, "pop3:address="),
    (["--set", "mail_uid=0"], 64, "mail_uid"),
    (["--lmtp", "nonsense"], 64, "ADDRESS:PORT"),
    (["--lmtp", "*:0"], 64, "lmtp_networks"),
    (["--lmtp", "unix:relative"], 64, "absolute path"),
    (["--lmtp", "unix:/nonexistent/lmtp"], 1, "its directory does not exist, make it"),
    (["--user", "anna:secret:mbox:/dev/null"], 66, "is not a file"),
    (["--pop3", "nonsense"], 64, "ADDRESS:PORT"),
    (["--pop3", "127.0.0.1:99999"], 64, "ADDRESS:PORT"),
    (["--pop3s", "192.0.2.1:0"], 69, "192.0.2.1"),
    (["--user", "anna"], 64, "NAME:PASSWORD"),
    (["--user", ":secret"], 64, "name is empty"),
    (["--user", "#a:secret"], 64, "begins with #"),
    (["--user", "anna:se\tcret"], 64, "control character"),
    (["--user", "anna:secret:/dev/null"], 66, "not a directory"),
    (["--users", "/nonexistent/users"], 66, "/nonexistent/users"),
    (["--users", "/dev/null"], 65, "no line of it is a user"),
    (["--for", "0"], 64, "seconds"),
    (["--for", "soon"], 64, "seconds"),
    (["--dir", "/"], 64, "directory of its own"),
    (["--dir", "/nonexistent/a/b"], 73, "cannot be made"),
    (["--nonsense"], 64, "--help"),
    (["extra"], 64, "extra"),
]


@pytest.mark.parametrize("args,code,text", ERRORS, ids=lambda x: "_".join(x)
                         if isinstance(x, list) else None)
def test_errors(base, args, code, text):
    got, said = refused(*args, TMPDIR=str(base))
    assert got == code and text in said, (got, said)
    assert len(said.splitlines()) <= 3, said
    assert not any(base.iterdir()), "and nothing is left"


def test_help():
    got = subprocess.run([BUILD / "restante", "sandbox", "--help"], capture_output=True,
                         timeout=60, stdin=subprocess.DEVNULL)
    assert got.returncode == 0 and got.stderr == b""
    for option in ("--dir", "--pop3", "--pop3s", "--lmtp", "--user", "--users", "--set", "--for", "--json"):
        assert option in got.stdout.decode()


def test_odd_names(office, base):
    """Names and paths that need care: none leads out of where it belongs."""
    box = base / "a b" / "50%u ~x"
    make_maildir(box, [b"x\n"])
    o = office(users=["anna b@example.com:p w", "../../etc:secret", ".hidden:x", "ünï:ö",
                      f"odd:secret:{box}"])
    for name, password in (("anna b@example.com", "p w"), ("../../etc", "secret"),
                           (".hidden", "x")):
        assert count(o, name, password) == (0, 0)
    assert count(o, "odd", "secret") == (1, 3)
    mail = o.dir / "mail"
    assert sorted(p.name for p in mail.iterdir()) == sorted(
        ["anna=20b@example.com", "=2E.=2F..=2Fetc", "=2Ehidden", "=C3=BCn=C3=AF"])


# ---- mail comes in ----

def lmtp(at):
    """Octets said, and the end of what was answered."""
    if at.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(at[5:])
    else:
        host, port = at.rsplit(":", 1)
        s = socket.create_connection((host.strip("[]"), int(port)), 60)
    return s, s.makefile("rb")


def deliver(at, recipient, message=b"Subject: in\r\n\r\nx\r\n"):
    s, f = lmtp(at)
    with s, f:
        s.sendall(b"LHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
                  % recipient.encode())
        answers = []
        for line in iter(f.readline, b""):
            if line[3:4] == b" ":
                answers.append(line)
            if len(answers) == 5 or answers and answers[-1][:1] == b"5":
                break
        if answers[-1].startswith(b"354"):
            s.sendall(message + b".\r\n")
            answers.append(f.readline())
        return answers[-1].decode()


@pytest.mark.parametrize("at", ["127.0.0.1:0", "localhost:0", "unix"])
def test_mail_comes_in(office, base, at):
    if at == "unix":
        at = f"unix:{base}/lmtp"
    o = office("--lmtp", at, users=["anna:secret", f"bert:secret:mbox:{base}/m/bert"])
    assert re.fullmatch(r"ready pop3=\S+ pop3s=\S+ ca=\S+ pid=\d+ lmtp=\S+\n", o.ready), o.ready
    assert o.lmtp_at == at or re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", o.lmtp_at)
    for to in ("anna", "anna@anywhere.example", "anna+x@b", "bert@example.org"):
        assert deliver(o.lmtp_at, to).startswith("250"), o.log()
    assert deliver(o.lmtp_at, "nobody@example.org").startswith("550")
    assert count(o, "anna", "secret")[0] == 3
    assert count(o, "bert", "secret")[0] == 1
    o.stop()
    assert (base / "m" / "bert").is_file()
    assert not (base / "lmtp").exists()


def test_without_lmtp_nobody_listens_for_it(office):
    o = office()
    assert o.lmtp_at is None and not o.pids("restante-lmtpd")


def test_large_messages_wait_in_the_directory(office, base):
    d = base / "office"
    d.mkdir()
    o = office("--dir", d, "--lmtp", f"127.0.0.1:{free_port()}", users=["anna:secret"],
               sets={"spool_memory": 1000})
    large = b"Subject: in\r\n\r\n" + b"x" * 70 + b"\r\n" * 100000
    assert deliver(o.lmtp_at, "anna", large).startswith("250")
    o.wait_for_log("event=delivered .*spool=file")
    at = o.lmtp_at
    o.stop()
    assert not (d / "spool").exists()
    # Opened again it listens where it did.
    o = office("--dir", d)
    assert o.lmtp_at == at
    assert deliver(at, "anna").startswith("250")
    assert count(o, "anna", "secret")[0] == 2


def test_lmtp_in_json(base):
    got = subprocess.run([BUILD / "restante", "sandbox", "--json", "--for", "1", "--lmtp",
                          "127.0.0.1:0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    ready = json.loads(got.stdout)
    assert set(ready) == {"pop3", "pop3s", "ca", "pid", "lmtp"}
    assert ready["lmtp"].startswith("127.0.0.1:")


def test_an_mbox_that_is_there_is_served_and_kept(office, base):
    box = base / "m" / "box"
    box.parent.mkdir()
    box.write_bytes(b"From a@b Sun Nov 22 10:00:00 2026\nSubject: 1\n\nx\n\n")
    if os.geteuid() == 0:
        for p in (box.parent, box):
            os.chown(p, 4711, 4711)
    o = office("--lmtp", "127.0.0.1:0", users=[f"anna:secret:mbox:{box}"])
    assert deliver(o.lmtp_at, "anna").startswith("250")
    assert count(o, "anna", "secret")[0] == 2
    o.stop()
    assert box.read_bytes().count(b"\nFrom ") == 1


@pytest.mark.root
def test_an_mbox_that_its_owner_cannot_lock(base):
    box = base / "m" / "box"
    box.parent.mkdir(mode=0o755)
    box.write_bytes(b"")
    os.chown(box, 4711, 4711)
    code, said = refused("--user", f"anna:secret:mbox:{box}")
    assert code == 77 and "lock of an mbox" in said


# ---- whom mail is served as, with root ----


def keeper_uids(o):
    out = set()
    for p in o.pids("restante-keeper"):
        for line in pathlib.Path(f"/proc/{p}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                out |= set(map(int, line.split()[1:]))
    return out


@pytest.mark.root
def test_served_as_the_owner(office, base):
    box = make_maildir(base / "h" / "Maildir", [b"x\n"], uid=4711)
    o = office(users=[f"anna:secret:{box}"])
    assert count(o, "anna", "secret") == (1, 3)
    assert keeper_uids(o) == {4711}
    assert "anna:{PLAIN}secret:4711:4711:" in (o.dir / "users").read_text()


@pytest.mark.root
def test_low_uid(office, base):
    box = make_maildir(base / "h" / "Maildir", [b"x\n"], uid=33)
    o = office(users=[f"www:secret:{box}"])
    assert count(o, "www", "secret") == (1, 3)
    assert keeper_uids(o) == {33}


@pytest.mark.root
def test_maildir_of_root(office, base):
    box = make_maildir(base / "h" / "Maildir", [b"x\n"])
    for p in [box, *box.rglob("*")]:
        os.chown(p, 0, 0)
        p.chmod(0o755 if p.is_dir() else 0o644)
    o = office(users=[f"anna:secret:{box}"])
    assert count(o, "anna", "secret") == (1, 3)
    assert keeper_uids(o) == {NOBODY}
    o.stop()
    box.chmod(0o700)
    code, said = refused("--user", f"anna:secret:{box}")
    assert code == 77 and "belongs to root" in said and str(box) in said


@pytest.mark.root
def test_below_a_closed_directory(office):
    """DIR and the Maildir lie below a 0700 directory of root's."""
    with tempfile.TemporaryDirectory() as closed:
        assert stat.S_IMODE(os.stat(closed).st_mode) == 0o700
        box = make_maildir(pathlib.Path(closed, "x", "Maildir"), [b"x\n"], uid=4711)
        direct = make_maildir(pathlib.Path(closed, "direct"), [b"x\n", b"y\n"], uid=4712)
        o = office("--dir", pathlib.Path(closed, "d"), users=[
            f"anna:secret:{box}", f"bert:secret:{direct}", "carl:secret"])
        assert count(o, "anna", "secret") == (1, 3)
        assert count(o, "bert", "secret") == (2, 6)
        assert count(o, "carl", "secret") == (0, 0)
        o.stop()


USERS = """# a comment

full:{PLAIN}secret:%(uid)d:%(uid)d::%(base)s/full::
short:{PLAIN}secret
empty:{PLAIN}secret:::gecos:%(base)s/empty:/bin/sh:
mail:{PLAIN}secret:::::/bin/sh:userdb_mail=maildir:%(base)s/%%n/box
"""


@pytest.mark.root
def test_users_file(office, base):
    text = USERS % {"uid": 5000, "base": base}
    (base / "in").write_text(text)
    make_maildir(base / "full" / "Maildir", [b"x\n"], uid=5000)
    make_maildir(base / "empty" / "Maildir", [b"x\n", b"y\n"], uid=5001)
    make_maildir(base / "mail" / "box", [b"x\n"] * 3, uid=5002)
    o = office("--users", base / "in")
    assert count(o, "full", "secret") == (1, 3)
    assert count(o, "empty", "secret") == (2, 6)
    assert count(o, "mail", "secret") == (3, 9)
    want = text.replace("empty:{PLAIN}secret:::", "empty:{PLAIN}secret:5001:5001:").replace(
        "mail:{PLAIN}secret:::", "mail:{PLAIN}secret:5002:5002:")
    assert (o.dir / "users").read_text() == want, "all else stays octet for octet"
    p, answer = login(o, "short", "secret")
    p.close()
    assert answer.startswith(b"-ERR")
    # The copy is what counts; a file that changes is read at once.
    with open(o.dir / "users", "a") as f:
        f.write(f"late:{{PLAIN}}secret:5000:5000::{base}/full::\n")
    assert count(o, "late", "secret") == (1, 3)


@pytest.mark.root
def test_maildrop_option(office, base):
    make_maildir(base / "example.com" / "anna", [b"x\n"], uid=5000)
    (base / "in").write_text("anna@example.com:{PLAIN}secret:::::\n")
    o = office("--users", base / "in", sets={"maildrop": f"maildir:{base}/%d/%n"})
    assert count(o, "anna@example.com", "secret") == (1, 3)
    assert keeper_uids(o) == {5000}


@pytest.mark.root
def test_ten_thousand_users(office, base):
    """Each with a home of its own and in it a Maildir: more roots than there are places."""
    lines = []
    for i in range(10000):
        lines.append(f"u{i:04d}:{{PLAIN}}secret:{5000 + i % 7}:5000::{base}/mail/u{i:04d}::\n")
    (base / "in").write_text("".join(lines))
    start = time.monotonic()
    o = office("--users", base / "in")
    assert time.monotonic() - start < 60
    assert f"mail_roots = {base}/mail\n" in (o.dir / "restante.conf").read_text()
    for i in (0, 4999, 9999):
        assert count(o, f"u{i:04d}", "secret") == (0, 0)


@pytest.mark.root
def test_more_places_than_roots(office, base):
    """20 closed homes of different owners, each reachable only from within itself."""
    users = []
    for i in range(14):
        box = make_maildir(base / f"p{i}" / "Maildir", [b"x\n"], uid=6000 + i)
        os.chown(base / f"p{i}", 0, 0)
        (base / f"p{i}").chmod(0o700)
        users.append(f"u{i}:secret:{box}")
    for i in range(20):
        box = make_maildir(base / "open" / f"h{i}" / "Maildir", [b"x\n"], uid=7000 + i)
        os.chown(base / "open" / f"h{i}", 7000 + i, 7000 + i)
        (base / "open" / f"h{i}").chmod(0o700)
        users.append(f"v{i}:secret:{box}")
    o = office(users=users)
    for name in ("u0", "u13", "v0", "v19"):
        assert count(o, name, "secret") == (1, 3), name


# ---- without root ----

@pytest.fixture
def open_build(base):
    """The programs where another user may run them: the tree may be closed to it."""
    d = base / "bin"
    d.mkdir(mode=0o755)
    for p in BUILD.iterdir():
        if p.name.startswith("restante") and p.is_file() and os.access(p, os.X_OK):
            shutil.copy2(p, d / p.name)
    return d


@pytest.mark.root
def test_as_an_ordinary_user(office, base, open_build):
    home = base / "home"
    home.mkdir()
    os.chown(home, 4711, 4711)
    box = make_maildir(home / "Maildir", [b"x\n"], uid=4711)
    (base / "in").write_text(f"file:{{PLAIN}}secret:5000:5000::{home}::\n")
    o = office("--dir", home / "d", "--lmtp", "127.0.0.1:0", "--users", base / "in", users=[
        f"anna:secret:{box}", "bert:pw", f"carl:pw:mbox:{home}/m/carl"], build=open_build, user=4711,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(home)})
    assert count(o, "anna", "secret") == (1, 3)
    assert count(o, "file", "secret") == (1, 3)
    assert count(o, "bert", "pw") == (0, 0)
    for name in ("bert", "carl"):
        assert deliver(o.lmtp_at, name).startswith("250"), o.log()
        assert count(o, name, "pw")[0] == 1
    for pid in o.tree():
        assert os.stat(f"/proc/{pid}").st_uid in (4711, 0)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:(\s+4711){4}$", status, re.M), status
    o.wait_for_log(r"cage|seccomp|landlock|userns")
    o.stop()
    assert not (home / "d").exists() and box.is_dir()
