"""restante fetch --configure, --import and --reconcile, against the sandbox: servers are
found by a DNS server of the test, passwords typed on a terminal, states taken over from
files that fetchmail, mpop and getmail6 wrote themselves."""
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import time

import pytest
from collectors import Fetchmail, Getmail, Mpop
from fetch_dns import Dns
from fetch_dovecot import PASSWORD, Dovecot
from postoffice import BUILD, make_maildir, until

PROGRAM = BUILD / "restante-fetch"
DOMAIN = "example.test"
MAILS = [b"Received: from a by b; %d\nMessage-ID: <%d@example.test>\nFrom: eva@example.test\n"
         b"Subject: number %d\n\nbody %d\n.dot\n" % (i, i, i, i) for i in range(6)]


@pytest.fixture(scope="module")
def house(module_office, module_base):
    users = []
    for name in ("anna", f"anna@{DOMAIN}", "fetchmail", "mpop", "getmail", "tb", "rec", "top",
                 "two", "weak"):
        mails = MAILS if name != "weak" else [b"Subject: a\n\nx\n", b"Subject: a\n\nlonger\n"]
        box = make_maildir(module_base / "mail" / name, mails)
        users.append(f"{name}:secret:{box}")
    o = module_office(users=users)
    o.base = module_base
    return o


@pytest.fixture
def dns():
    started = []

    def start(table, twist=None):
        started.append(Dns(table, twist))
        return started[-1]
    yield start
    for d in started:
        d.stop()


def environment(home):
    return {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}


def fetch(home, *args, code=0):
    got = subprocess.run([PROGRAM, *map(str, args)], env=environment(home), cwd=home,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                         start_new_session=True)
    assert got.returncode == code, (got.returncode, got.stdout, got.stderr)
    return got


def events(got):
    return [json.loads(line) for line in got.stdout.splitlines()]


def on_terminal(home, answers, *args):
    """Runs it on a terminal of its own; answers: (what must be shown, what is typed)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execve(PROGRAM, [str(PROGRAM), *map(str, args)], environment(home))
    shown, answers, end = b"", list(answers), time.monotonic() + 60
    while True:
        assert time.monotonic() < end, shown
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            octets = os.read(fd, 65536)
        except OSError:
            break
        if not octets:
            break
        shown += octets
        if answers and answers[0][0] in shown:
            os.write(fd, answers.pop(0)[1])
    os.close(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert not answers, shown
    return code, shown.decode()


def conf(home):
    return home / ".config/restante/fetch.conf"


def account(home, house, user, host=None, **more):
    path = home / "fetch.conf"
    rows = {"server": f"{host or house.host}:{house.pop3s}", "user": user, "ca": house.ca,
            "password_file": home / "secret", "deliver": f"maildir:{home}/Maildir",
            "keep": "yes", **more}
    (home / "secret").write_text("secret\n")
    (home / "secret").chmod(0o600)
    path.write_text(f"[account {user}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()))
    return ("--config", path, "--state", home / "state", "--json")


def here(home):
    return sum(len(os.listdir(home / "Maildir" / part)) for part in ("new", "cur")
               if (home / "Maildir" / part).is_dir())


# ---- --configure

def services(house, target="localhost"):
    return {f"_pop3s._tcp.{DOMAIN}": [(5, 0, house.pop3s, target)],
            f"_pop3._tcp.{DOMAIN}": [(5, 0, house.pop3, target)]}


def test_server_by_dns_password_typed(house, dns, tmp_path):
    d = dns(services(house))
    code, shown = on_terminal(
        tmp_path, [(b"[y/N]", b"y\n"), (b"Password of", b"secret\n")],
        "--configure", f"anna@{DOMAIN}", "--dns", d.at, "--ca", house.ca)
    assert code == 0, shown
    assert "TLSv1.3" in shown and re.search(r"Key +[0-9a-f]{64}", shown)
    assert "PLAIN" in shown and "6 messages are there" in shown
    assert "secret\r" not in shown
    text = conf(tmp_path).read_text()
    assert f"[account anna@{DOMAIN}]" in text and f"user = anna@{DOMAIN}\n" in text
    assert f"server = localhost:{house.pop3s}\n" in text and "secret\n" not in text
    assert conf(tmp_path).stat().st_mode & 0o777 == 0o600
    assert conf(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    # What was written is understood, and leads to the mail.
    (tmp_path / "pw").write_text("secret\n")
    got = fetch(tmp_path, "--list", "--json", "--password-file", tmp_path / "pw")
    assert '"number 3"' not in got.stdout and f"anna@{DOMAIN}" in got.stdout


def test_what_dns_alone_names_gets_no_password(house, dns, tmp_path):
    d = dns(services(house))
    args = ("--configure", f"anna@{DOMAIN}", "--dns", d.at, "--ca", house.ca)
    code, shown = on_terminal(tmp_path, [(b"[y/N]", b"n\n")], *args)
    assert code == 64 and "lies outside" in shown and "Password" not in shown
    got = fetch(tmp_path, *args, "--json", code=64)
    found = [e for e in events(got) if e["event"] == "found"]
    assert found[0]["foreign"] is True and found[0]["port"] == house.pop3s
    assert not conf(tmp_path).exists()


def test_local_part_is_the_second_name(house, tmp_path):
    (tmp_path / "pw").write_text("secret\n")
    got = fetch(tmp_path, "--configure", "top@elsewhere.test", "--server",
                f"localhost:{house.pop3}", "--tls", "stls", "--ca", house.ca,
                "--password-file", tmp_path / "pw", "--json")
    logins = [e for e in events(got) if e["event"] == "login"]
    assert [(e["user"], e["ok"]) for e in logins] == [("top@elsewhere.test", False), ("top", True)]
    text = conf(tmp_path).read_text()
    assert "user = top\n" in text and "tls = stls\n" in text
    assert f"password_file = {tmp_path}/pw\n" in text


def test_wrong_password_writes_nothing(house, tmp_path):
    (tmp_path / "pw").write_text("wrong\n")
    got = fetch(tmp_path, "--configure", f"anna@{DOMAIN}", "--server",
                f"localhost:{house.pop3s}", "--ca", house.ca, "--password-file",
                tmp_path / "pw", code=77)
    assert "nothing was written" in got.stderr and not conf(tmp_path).exists()


def test_best_mechanism_of_dovecot(base, tmp_path):
    d = Dovecot(base)
    try:
        d.put("1700000000.M1.x", MAILS[0])
        (tmp_path / "pw").write_text(PASSWORD + "\n")
        for port, tls in ((d.pop3s, "tls"), (d.pop3, "stls")):
            got = fetch(tmp_path, "--configure", "anna@elsewhere.test", "--user", "anna",
                        "--server", f"localhost:{port}", "--tls", tls, "--ca", d.ca,
                        "--password-file", tmp_path / "pw", "--json")
            login, = [e for e in events(got) if e["event"] == "login"]
            assert login["ok"] and login["messages"] == 1
            assert login["mechanism"].startswith("SCRAM-SHA-256")
            conf(tmp_path).unlink()
        until(lambda: len(d.logins()) == 2, why=d.log)
    finally:
        d.stop()


def test_unknown_certificate(house, dns, tmp_path):
    d = dns(services(house))
    got = fetch(tmp_path, "--configure", f"anna@{DOMAIN}", "--dns", d.at, "--timeout", "2s",
                "--json", code=76)
    tried = [e for e in events(got) if e["event"] == "tried"]
    assert [e["source"] for e in tried[:2]] == ["_pop3s._tcp", "_pop3._tcp"]
    assert re.search(r"[0-9a-f]{64}", tried[0]["why"]) and not conf(tmp_path).exists()


def test_service_not_offered(dns, tmp_path):
    d = dns({f"_pop3s._tcp.{DOMAIN}": [(0, 0, 0, ".")], f"_pop3._tcp.{DOMAIN}": [(0, 0, 0, ".")]})
    got = fetch(tmp_path, "--configure", f"anna@{DOMAIN}", "--dns", d.at, code=69)
    assert "there is no POP3 server" in got.stderr
    assert len(d.asked) == 2


def truncated(query, reply):
    return [reply[:2] + struct.pack("!5H", 0x8380, 1, 0, 0, 0) + query[12:]]


def forged_first(query, reply):
    """Another id, another question, no answer at all, then the truth."""
    wrong_id = bytes([reply[0] ^ 1]) + reply[1:]
    wrong_name = reply[:14] + bytes([reply[14] ^ 2]) + reply[15:]
    return [wrong_id, wrong_name, query, b"", reply]


@pytest.mark.parametrize("twist,tcp", [(truncated, True), (forged_first, False)])
def test_dns_answers_that_are_cut_or_forged(house, dns, tmp_path, twist, tcp):
    d = dns(services(house), twist)
    got = fetch(tmp_path, "--configure", f"anna@{DOMAIN}", "--dns", d.at, "--ca", house.ca,
                "--json", code=64)
    assert events(got)[0]["servers"] == 2
    assert (("tcp", f"_pop3s._tcp.{DOMAIN}") in d.asked) is tcp


def test_file_grows_behind_a_link(house, tmp_path):
    real = tmp_path / "real.conf"
    real.write_text("parallel = 3\n[account other]\nserver = h\nuser = u\ndeliver = maildir:~/M")
    real.chmod(0o640)
    conf(tmp_path).parent.mkdir(parents=True)
    conf(tmp_path).symlink_to(real)
    args = ("--configure", f"anna@{DOMAIN}", "--server", f"localhost:{house.pop3s}", "--ca",
            house.ca)
    got = fetch(tmp_path, *args)
    assert "not tried" in got.stdout
    text = real.read_text()
    assert text.startswith("parallel = 3\n[account other]\n") and "\n\n[account anna@" in text
    assert conf(tmp_path).is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == [".config", "real.conf"]
    assert fetch(tmp_path, *args, code=64).stderr and real.read_text() == text


# ---- --import

@pytest.mark.parametrize("client,kind,file", [
    (Fetchmail, "fetchids", "ids"), (Mpop, "mpop", "uidls"), (Getmail, "getmail", "state/oldmail-*")])
def test_states_of_other_programs(house, base, tmp_path, client, kind, file):
    c = client(base, house, client.name)
    assert c.run() == 0, c.output
    assert len(c.got()) == len(MAILS)
    path, = c.base.glob(file)
    host = "localhost" if client is Fetchmail else house.host
    args = account(tmp_path, house, client.name, host)
    first, last = events(fetch(tmp_path, *args, "--import", f"{kind}:{path}"))
    assert first == {"event": "imported", "account": client.name, "matched": 6, "new": 6}
    assert last["unreadable"] == last["others"] == 0
    fetch(tmp_path, *args)
    assert here(tmp_path) == 0, "all of it was collected before"
    again = events(fetch(tmp_path, *args, "--import", f"{kind}:{path}"))[0]
    assert again["matched"] == 6 and again["new"] == 0
    late = house.base / "mail" / client.name / "new" / "1800000000.M1P1.test"
    late.write_bytes(b"Subject: late\n\nx\n")
    late.chmod(0o644)
    fetch(tmp_path, *args)
    assert here(tmp_path) == 1


def test_popstate(house, tmp_path):
    args = account(tmp_path, house, "tb")
    uids = listed(tmp_path, args)
    rows = [f"k {uids[0]} 1700000000", f"d {uids[1]} 1700000000", f"b {uids[2]} 1700000000",
            f"f {uids[3]} 1700000000", f"q {uids[4]} 1", "nonsense"]
    file = tmp_path / "popstate.dat"
    file.write_text("# POP3 State File\n# This is a generated file!  Do not edit.\n\n"
                    f"*{house.host} tb\n" + "\n".join(rows) + "\n*elsewhere.test tb\nk x 1\n")
    got = fetch(tmp_path, *args, "--import", f"popstate:{file}", code=65)
    assert "popstate.dat:9: left out" in got.stderr and "popstate.dat:10:" in got.stderr
    first, last = events(got)
    assert (first["matched"], last["others"], last["not_collected"], last["unreadable"]) == (2, 1, 2, 2)
    fetch(tmp_path, *args)
    assert here(tmp_path) == len(MAILS) - 2


def listed(home, args):
    found = events(fetch(home, *args, "--list"))
    return [e["uid"] for e in found if "uid" in e]


def test_import_of_what_is_none(house, tmp_path):
    args = account(tmp_path, house, "tb")
    (tmp_path / "x").write_bytes(b"\x7fELF\0\0\1\n")
    got = fetch(tmp_path, *args, "--import", f"fetchids:{tmp_path}/x", code=65)
    assert "x:1: left out" in got.stderr and not (tmp_path / "state").exists()
    got = fetch(tmp_path, *args, "--import", f"mpop:{tmp_path}/none", code=66)
    assert "No such file" in got.stderr


# ---- --reconcile

def test_reconcile_after_the_state_is_lost(house, tmp_path):
    args = account(tmp_path, house, "rec")
    fetch(tmp_path, *args)
    assert here(tmp_path) == len(MAILS)
    shutil.rmtree(tmp_path / "state")
    # One of them has been read, one was thrown away, one stands there as another program
    # delivered it.
    new = sorted((tmp_path / "Maildir/new").iterdir(), key=lambda p: p.read_bytes())
    new[0].rename(tmp_path / "Maildir/cur" / (new[0].name + ":2,S"))
    thrown = new[1].read_bytes()
    new[1].unlink()
    new[2].write_bytes(b"Return-Path: <eva@example.test>\nDelivered-To: rec@example.test\n"
                       b"Received: from x\n\tby y; now\n" + new[2].read_bytes())
    got = events(fetch(tmp_path, *args, "--reconcile", tmp_path / "Maildir"))[0]
    assert (got["messages"], got["weak"], got["unreadable"]) == (5, 0, 0)
    fetch(tmp_path, *args)
    assert here(tmp_path) == len(MAILS)
    assert sum(p.read_bytes() == thrown for p in (tmp_path / "Maildir/new").iterdir()) == 1
    fetch(tmp_path, *args)
    assert here(tmp_path) == len(MAILS)


def test_reconcile_matches_few_among_many_known(house, tmp_path):
    """Where most is known the headers of the few that are not are asked for all the same."""
    args = account(tmp_path, house, "two")
    fetch(tmp_path, *args)
    lost = MAILS[0].replace(b"<0@", b"<late@")
    late = house.base / "mail/two/new/1800000000.M1P1.test"
    late.write_bytes(lost)
    late.chmod(0o644)
    (tmp_path / "Maildir/cur/by-hand").write_bytes(lost)
    fetch(tmp_path, *args, "--reconcile", tmp_path / "Maildir")
    fetch(tmp_path, *args)
    assert here(tmp_path) == len(MAILS) + 1


def test_weak_headers_need_the_size(house, tmp_path):
    args = account(tmp_path, house, "weak")
    make_maildir(tmp_path / "old", [b"Subject: a\n\nx\n", b"\nno header at all\n"])
    got = events(fetch(tmp_path, *args, "--reconcile", tmp_path / "old"))[0]
    assert (got["messages"], got["weak"]) == (1, 1)
    fetch(tmp_path, *args)
    assert here(tmp_path) == 1, "the longer one has another size"


def test_reconcile_of_what_is_no_maildir(house, tmp_path):
    args = account(tmp_path, house, "rec")
    got = fetch(tmp_path, *args, "--reconcile", tmp_path / "none", code=66)
    assert "it is no Maildir" in got.stderr and not (tmp_path / "state").exists()
