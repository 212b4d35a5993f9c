"""restante passwd, as an administrator uses it."""
import base64
import ctypes
import hashlib
import hmac
import os
import pty
import select
import subprocess
import time

import pytest

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-passwd")


def crypt_says(password, stored):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), stored.encode()).decode() == stored


def run(*args, password="secret", text=None):
    given = (password + "\n").encode() if text is None else text
    return subprocess.run([PROGRAM, *map(str, args)], input=given, capture_output=True,
                          timeout=60, start_new_session=True)


def set_password(path, user, *args, password="secret"):
    r = run("--users", path, "--stdin", *args, user, password=password)
    assert r.returncode == 0, r.stderr
    assert r.stdout == b"" and r.stderr == b""


@pytest.mark.parametrize("scheme,prefix", [
    ("yescrypt", "$y$"), ("sha512-crypt", "$6$"), ("sha256-crypt", "$5$"), ("bcrypt", "$2b$"),
    ("gost-yescrypt", "$gy$"), ("scrypt", "$7$")])
def test_each_scheme(scheme, prefix):
    r = run("--hash", "--stdin", "--scheme", scheme, password="pass word:ü")
    assert r.returncode == 0
    line = r.stdout.decode().rstrip("\n")
    assert line.startswith("{CRYPT}" + prefix)
    assert crypt_says("pass word:ü", line[len("{CRYPT}"):])
    assert not crypt_says("pass word:u", line[len("{CRYPT}"):])


def scram_says(password, stored, name, digest):
    """RFC 5802 s.3, with Python's own arithmetic."""
    prefix = "{%s}" % name
    assert stored.startswith(prefix)
    rounds, salt, stored_key, server_key = stored[len(prefix):].split(",")
    assert len(base64.b64decode(salt, validate=True)) == 16
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(salt), int(rounds))
    client = hmac.new(salted, b"Client Key", digest).digest()
    return (hashlib.new(digest, client).digest() == base64.b64decode(stored_key)
            and hmac.new(salted, b"Server Key", digest).digest() == base64.b64decode(server_key))


@pytest.mark.parametrize("args,name,digest,rounds", [
    (["--scram"], "SCRAM-SHA-256", "sha256", 10000),
    (["--scheme", "scram-sha-256"], "SCRAM-SHA-256", "sha256", 10000),
    (["--scram", "--rounds", 4096], "SCRAM-SHA-256", "sha256", 4096),
    (["--scheme", "scram-sha-1", "--rounds", 5000], "SCRAM-SHA-1", "sha1", 5000)])
def test_keys_of_scram(tmp_path, args, name, digest, rounds):
    users = tmp_path / "users"
    set_password(users, "bob", *args, password="pass word:\u00fc")
    first = users.read_text().rstrip("\n")[len("bob:"):]
    assert first.startswith("{%s}%d," % (name, rounds))
    assert scram_says("pass word:\u00fc", first, name, digest)
    assert not scram_says("pass word:u", first, name, digest)
    r = run("--hash", "--stdin", *args, password="pass word:\u00fc")
    assert r.returncode == 0 and r.stdout.decode().split(",")[1] != first.split(",")[1], "a salt of its own"


def test_keys_of_scram_are_of_the_prepared_password():
    """A soft hyphen is nothing, a fullwidth letter is a letter (RFC 4013); what cannot be stays."""
    for typed, meant in [("I\u00adX", "IX"), ("\uff21", "A"), ("\u00a0", " "), ("\U0001f600", "\U0001f600")]:
        r = run("--hash", "--stdin", "--scram", password=typed)
        assert scram_says(meant, r.stdout.decode().strip(), "SCRAM-SHA-256", "sha256"), typed


def test_a_file_is_made_and_extended(tmp_path):
    users = tmp_path / "users"
    set_password(users, "bob", "--uid", 1001, "--gid", 1002, "--home", "/home/bob",
                 "--mail", "maildir:~/Maildir")
    assert users.stat().st_mode & 0o7777 == 0o600
    set_password(users, "ann@example.org")
    bob, ann = users.read_text().splitlines()
    assert bob.startswith("bob:{CRYPT}$y$")
    assert bob.split(":", 2)[2] == "1001:1002::/home/bob::userdb_mail=maildir:~/Maildir"
    assert ann.startswith("ann@example.org:{CRYPT}$y$") and ann.count(":") == 1


def test_the_rest_stays_as_it_is(tmp_path):
    users = tmp_path / "users"
    users.write_text("# the office\n\nann:{PLAIN}x:1:2:Ann:/home/ann:/bin/sh:allow_nets=10.0.0.0/8 a=b\n"
                     "bob:{PLAIN}secret:5000:5000::/srv/mail/bob::\n  # odd\nbobby:{PLAIN}y")
    users.chmod(0o640)
    before = users.read_text().splitlines()
    set_password(users, "bob", password="neu")
    after = users.read_text().splitlines()
    assert after[:3] == before[:3] and after[4:] == before[4:]
    name, password, rest = after[3].split(":", 2)
    assert name == "bob" and rest == "5000:5000::/srv/mail/bob::"
    assert crypt_says("neu", password[len("{CRYPT}"):])
    assert users.stat().st_mode & 0o7777 == 0o640
    set_password(users, "ann", "--mail", "maildir:/m/ann")
    line = users.read_text().splitlines()[2]
    assert line.endswith(":1:2:Ann:/home/ann:/bin/sh:allow_nets=10.0.0.0/8 a=b userdb_mail=maildir:/m/ann")
    set_password(users, "new")
    assert users.read_text().splitlines()[5] == "bobby:{PLAIN}y", "the last line gets its end"
    assert sorted(os.listdir(tmp_path)) == ["users"]


def test_mail_is_replaced_in_its_place(tmp_path):
    users = tmp_path / "users"
    users.write_text("bob:x::::::a=1 userdb_mail=maildir:/old b=2\n")
    set_password(users, "bob", "--mail", "maildir:/new")
    assert users.read_text().rstrip("\n").endswith("::::::a=1 userdb_mail=maildir:/new b=2")


def test_delete_takes_all_lines_of_the_user(tmp_path):
    users = tmp_path / "users"
    users.write_text("a:1\nbob:1\nb:2\nbob:2\nbobby:3\n")
    r = run("--users", users, "--delete", "bob", text=b"")
    assert r.returncode == 0, r.stderr
    assert users.read_text() == "a:1\nb:2\nbobby:3\n"
    r = run("--users", users, "--delete", "bob", text=b"")
    assert r.returncode == 67 and b"no such user" in r.stderr
    assert run("--users", tmp_path / "none", "--delete", "bob", text=b"").returncode == 67
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("args,code", [
    (["--stdin"], 64), (["--stdin", "a:b"], 64), (["--stdin", "a\nb"], 64), (["--stdin", ""], 64),
    (["--stdin", "#a"], 64), (["--stdin", "a" * 256], 64), (["--stdin", "bob", "secret"], 64),
    (["--stdin", "--uid", "0", "bob"], 64), (["--stdin", "--uid", "root", "bob"], 64),
    (["--stdin", "--home", "rel", "bob"], 64), (["--stdin", "--mail", "mbox:/x", "bob"], 64),
    (["--stdin", "--mail", "maildir:/x y", "bob"], 64), (["--stdin", "--scheme", "rot13", "bob"], 64),
    (["--stdin", "--rounds", "5000", "bob"], 64), (["--stdin", "--scram", "--rounds", "4095", "bob"], 64),
    (["--stdin", "--scram", "--rounds", "10000001", "bob"], 64),
    (["--stdin", "--scram", "--rounds", "many", "bob"], 64),
    (["--nonsense"], 64), (["--delete", "--uid", "5", "bob"], 64), (["--hash", "--stdin", "bob"], 64),
    (["bob"], 64)])
def test_wrong_usage(tmp_path, args, code):
    r = run("--users", tmp_path / "users", *args)
    assert r.returncode == code and r.stdout == b"" and r.stderr
    assert b"secret" not in r.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", [b"", b"\n", b"a\0b\n", b"x" * 512 + b"\n"])
def test_passwords_that_cannot_be(tmp_path, text):
    r = run("--users", tmp_path / "users", "--stdin", "bob", text=text)
    assert r.returncode == 65 and r.stderr
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_changed(tmp_path):
    assert run("--users", tmp_path / "no/users", "--stdin", "bob").returncode == 73
    os.mkfifo(tmp_path / "pipe")
    r = run("--users", tmp_path / "pipe", "--stdin", "bob")
    assert r.returncode == 73 and b"not a plain file" in r.stderr
    long = "bob:x::::::" + "a" * 8100
    (tmp_path / "users").write_text(long + "\n")
    r = run("--users", tmp_path / "users", "--stdin", "--home", "/" + "h" * 99, "bob")
    assert r.returncode == 65 and (tmp_path / "users").read_text() == long + "\n"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/users").write_text("bob:x\n")
    (tmp_path / "users").symlink_to("real/users")
    set_password(tmp_path / "users", "bob")
    assert (tmp_path / "users").is_symlink()
    assert "{CRYPT}" in (tmp_path / "real/users").read_text()


def test_many_at_once_lose_nothing(tmp_path):
    users = tmp_path / "users"
    running = []
    for i in range(12):
        p = subprocess.Popen([PROGRAM, "--users", users, "--stdin", "--scheme", "sha256-crypt",
                              "u%d" % i], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write(b"secret\n")
        p.stdin.close()
        running.append(p)
    for p in running:
        assert p.wait(60) == 0, p.stderr.read()
        p.stderr.close()
    assert sorted(line.split(":")[0] for line in users.read_text().splitlines()) == sorted(
        "u%d" % i for i in range(12))


def on_terminal(path, *answers):
    pid, master = pty.fork()
    if pid == 0:
        os.execv(PROGRAM, [PROGRAM, "--users", str(path), "--scheme", "sha256-crypt", "bob"])
    seen = b""
    deadline = time.monotonic() + 60
    for number, answer in enumerate(answers, start=1):
        while seen.count(b": ") < number:
            assert time.monotonic() < deadline, seen
            if select.select([master], [], [], 1)[0]:
                seen += os.read(master, 1024)
        os.write(master, answer)
    while True:
        assert select.select([master], [], [], deadline - time.monotonic())[0], seen
        try:
            piece = os.read(master, 1024)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def test_on_a_terminal_it_asks_twice_without_echo(tmp_path):
    users = tmp_path / "users"
    code, seen = on_terminal(users, b"hunter2\n", b"hunter2\n")
    assert code == 0, seen
    assert b"hunter2" not in seen
    assert crypt_says("hunter2", users.read_text().strip()[len("bob:{CRYPT}"):])
    code, seen = on_terminal(users, b"hunter2\n", b"hunter3\n")
    assert code == 65 and b"differ" in seen
    code, seen = on_terminal(users, b"\x03")
    assert code == 75


def test_help():
    r = run("--help", text=b"")
    assert r.returncode == 0 and b"--users FILE" in r.stdout and r.stderr == b""
