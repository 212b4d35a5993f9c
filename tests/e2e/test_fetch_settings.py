"""The command line and the file of restante fetch: what is refused, and with which words."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", ROOT / "build"))
PROGRAM = BUILD / "restante-fetch"
GOOD = "[defaults]\nserver = 127.0.0.1:1\ndeliver = maildir:~/M\n[account work]\nuser = anna\n"


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".config" / "restante").mkdir(parents=True)
    return tmp_path


def fetch(home, *args, conf=None, mode=0o600):
    if conf is not None:
        path = home / ".config" / "restante" / "fetch.conf"
        path.write_text(conf)
        path.chmod(mode)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}
    return subprocess.run([PROGRAM, *map(str, args)], env=env, cwd=home, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True)


def options():
    """The rows of the table as (section, name), from its source."""
    text = (ROOT / "src" / "fetch" / "fetch_options.def").read_text()
    return re.findall(r"^OPTION\((\w+), \w+, (\w+),", text, re.M)


def test_help_names_every_option(home):
    r = fetch(home, "--help")
    assert r.returncode == 0 and r.stderr == ""
    assert len(options()) > 50
    for section, name in options():
        option = r"^  --%s( |$)" % name.replace("_", "-")
        found = re.search(option, r.stdout, re.M) is not None
        assert found == (section != "ACCOUNT_FILE"), name
    assert all(len(line) <= 80 for line in r.stdout.splitlines())
    assert fetch(home, "-h").stdout == r.stdout


def test_version(home):
    r = fetch(home, "--version")
    assert r.returncode == 0 and re.fullmatch(r"restante fetch \d+\.\d+\.\d+\n", r.stdout)


@pytest.mark.parametrize("page,sections", [
    ("restante-fetch.1", {"COMMAND", "RUN", "ACCOUNT", "ACCOUNT_LINE"}),
    ("restante-fetch.conf.5", {"RUN", "ACCOUNT", "ACCOUNT_FILE"})])
def test_manuals_name_every_option(page, sections):
    path = BUILD / page
    text = path.read_text()
    for section, name in options():
        item = (r"^\.It Fl -%s( |$)" % name.replace("_", "-") if page.endswith(".1")
                else r"^\.It Cm %s$" % name)
        assert (re.search(item, text, re.M) is not None) == (section in sections), name
    r = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True)
    assert r.stdout == "" and r.returncode == 0


@pytest.mark.parametrize("args", [
    ["--password", "hunter2"], ["--password=hunter2"], ["--passwd", "hunter2"],
    ["--smtp-password", "hunter2"], ["--token=hunter2"]])
def test_no_password_on_the_command_line(home, args):
    r = fetch(home, "--server", "127.0.0.1:1", "--user", "anna", "--maildir", "M", *args)
    assert r.returncode == 64
    assert "everybody on this machine can read a command line" in r.stderr
    assert "--password-command" in r.stderr and "--password-file" in r.stderr
    assert "hunter2" not in r.stderr + r.stdout
    assert not (home / "M").exists()


@pytest.mark.parametrize("args,words", [
    (["--servr", "h"], "--servr: no such option, did you mean --server?"),
    (["--server"], "--server needs HOST[:PORT] behind it"),
    (["--server", "h", "--user", "u"], "no target: say --maildir DIR"),
    (["--server", "h", "--user", "u", "--maildir", "M", "--delete-after", "30d"],
     "--delete-after needs keep"),
    (["--server", "h", "--user", "u", "--maildir", "M", "work"], "so name no other"),
    (["wrok"], "wrok: there is no such account in"),
    (["wrok"], "did you mean work?"),
    (["--list", "--status"], "only one of"),
    (["work", "--user", "bert"], "--user needs --server"),
    (["work", "--sender", "a\nb"], "--sender: its value holds a control character")])
def test_wrong_use(home, args, words):
    r = fetch(home, *args, conf=GOOD)
    assert r.returncode == 64 and r.stdout == ""
    assert words in r.stderr
    assert all(line.startswith("restante fetch: ") for line in r.stderr.splitlines())


def test_a_wrong_file_is_told_whole(home):
    r = fetch(home, conf=GOOD + "tls = maybe\n[account b]\nusr = x\n\nkepe = yes\n")
    assert r.returncode == 78 and r.stdout == ""
    path = str(home / ".config" / "restante" / "fetch.conf")
    lines = r.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [path + ":6", path + ":8", path + ":10"]
    assert "did you mean user?" in lines[1] and "did you mean keep?" in lines[2]
    assert not (home / ".local").exists()


def test_no_file(home):
    r = fetch(home)
    assert r.returncode == 78 and "fetch.conf: cannot be read" in r.stderr
    assert "--server" in r.stderr
    assert fetch(home, "-c", home / "none").returncode == 78


def test_a_file_with_a_password_is_private(home):
    conf = GOOD + "password = hunter2\n"
    for mode in (0o640, 0o604, 0o644, 0o660):
        r = fetch(home, conf=conf, mode=mode)
        assert r.returncode == 78 and "chmod 600" in r.stderr and "hunter2" not in r.stderr
    # Nobody listens there: it got as far as that.
    assert fetch(home, conf=conf).returncode in (69, 75)
    assert fetch(home, "--status", conf=GOOD, mode=0o644).returncode == 0


def test_status_of_what_was_never_collected(home):
    r = fetch(home, "--status", conf=GOOD)
    assert r.returncode == 0 and r.stderr == ""
    head, row = r.stdout.splitlines()
    assert head.split()[:3] == ["ACCOUNT", "SUCCESS", "NEXT"] and row.split() == ["work", "never"]
    r = fetch(home, "--status", "--json", conf=GOOD)
    assert [json.loads(line) for line in r.stdout.splitlines()] == [{"account": "work"}]


def test_status_after_a_failure(home):
    r = fetch(home, "work", conf=GOOD + "password = x\n")
    assert r.returncode in (69, 75)
    assert r.stderr.startswith("work: ") and r.stdout == ""
    r = fetch(home, "work", "--json")
    events = [json.loads(line) for line in r.stdout.splitlines()]
    assert r.stderr == "" and events[-1]["event"] == "summary"
    assert any(e.get("account") == "work" and "why" in e for e in events)
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", e["time"]) for e in events)
    r = fetch(home, "--status", "--json")
    row, = map(json.loads, r.stdout.splitlines())
    assert row["account"] == "work" and row["failures"] == 2 and row["last_error"]
    assert "last_success" not in row and row["collected"] == 0


def test_units_of_the_user_manager():
    service = (BUILD / "restante-fetch.service").read_text()
    program = re.search(r"^ExecStart=(\S+) fetch$", service, re.M)
    assert program and program[1].endswith("/bin/restante")
    assert "NoNewPrivileges=yes" in service
    assert "WantedBy=timers.target" in (BUILD / "restante-fetch.timer").read_text()


def test_status_of_what_cannot_be_used(home):
    """What passes by itself, or with other mail, is 75; a file that is named wrongly is not, and
    the timer says so; nor is a state that cannot be made."""
    (home / "file").write_text("x\n")
    (home / "M").mkdir()
    password = ("--password-command", "echo x")
    base = ("--server", "127.0.0.1:1", "--user", "anna", *password)
    told = f"anna@127.0.0.1: local error: --ca {home}/%s %s"
    for status, words, args in (
            (66, told % ("none.pem", "cannot be read: No such file"), ("--ca", "none.pem")),
            (66, told % ("M", "cannot be read: Is a directory"), ("--ca", "M")),
            (66, told % ("file", "is no list of certificates in PEM form"), ("--ca", "file")),
            (66, f"--certificate {home}/none.pem cannot be read: No such file",
             ("--certificate", "none.pem", "--key", "file")),
            (75, f"{home}/file: cannot be made ready for mail: ", ("--maildir", "file")),
            (75, f"{home}/file/M: cannot be made ready for mail: ", ("--maildir", "file/M")),
            (73, f"{home}/file: opening it: ", ("--state", "file")),
            (73, f"{home}/file/S: opening it: ", ("--state", "file/S")),
            (69, "cannot be reached", ())):
        more = args if "--maildir" in args else (*args, "--maildir", "M")
        r = fetch(home, *base, *more)
        assert r.returncode == status and words in r.stderr, (args, r)
    # The gravest of several accounts counts, and one does not keep the others from their turn.
    r = fetch(home, conf=GOOD + "password_command = echo x\n[account other]\nuser = eva\n"
              f"password_command = echo x\nca = {home}/none.pem\n")
    assert r.returncode == 66 and "work: cannot be reached" in r.stderr, r
    assert fetch(home, *base, "--list", "--ca", "none.pem").returncode == 66
