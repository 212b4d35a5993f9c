"""What an operator has in hand: restante stat, reload, drain and conf, signals, the service
manager, syslog. With a server of root and with one of a user."""
import errno
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "privs"))

from house import CALLER, PATIENCE_S, Client, House, Mta, free_port, until  # noqa: E402

MAIL = [b"Subject: %d\n\nbody %d\n" % (i, i) for i in range(3)]


def users(uid=CALLER):
    return {name: ("secret", uid, list(MAIL)) for name in ("anna", "bert", "carl")}


@pytest.fixture(scope="module", params=["root", "user"])
def house(request, module_base):
    port = free_port()
    as_uid = CALLER if request.param == "user" else 0
    base = module_base / request.param
    base.mkdir()
    with House(base, users(), {"metrics": f"127.0.0.1:{port}"}, as_uid=as_uid) as h:
        h.metrics = port
        yield h
    assert h.p.returncode == 0, h.log()


def session(h, name="anna"):
    c = h.connect()
    assert c.login(name, "secret").startswith(b"+OK")
    return c


def served(h):
    c = session(h, "bert")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()


# ---- counters ---------------------------------------------------------------------

def test_counters_move_with_a_session(house):
    until(lambda: house.stat()["sessions"] == 0)  # those of other tests have ended
    before = house.stat()
    c = session(house)
    assert house.stat()["sessions"] == before["sessions"] + 1
    body = b"".join(c.multi("RETR 1"))
    assert c.multi("TOP 2 0")
    assert c.say("DELE 3").startswith(b"+OK")
    assert c.say("NONSENSE").startswith(b"-ERR")
    assert c.say("QUIT").startswith(b"+OK")
    c.close()
    bad = house.connect()
    assert bad.login("anna", "wrong").startswith(b"-ERR")
    bad.close()
    moved = {"connections_total": 2, "logins_total": 1, "logins_failed_total": 1,
             "messages_retrieved_total": 1, "messages_topped_total": 1,
             "messages_deleted_total": 1, "commands_bad_total": 1, "sessions": 0,
             "grants_total": 1}

    def look():
        now = house.stat()
        return all(now[k] == before[k] + n for k, n in moved.items())
    until(look, 60, lambda: f"{moved}: {before} {house.stat()}")
    assert house.stat()["octets_out_total"] >= before["octets_out_total"] + len(body)
    assert house.stat()["keepers"] >= 1


def series(text):
    """(name, program, index) -> value; each metric must have its HELP and TYPE before it."""
    told, out = set(), {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            told.add(line.split()[2])
        elif not line.startswith("#"):
            m = re.fullmatch(r'(\w+)\{program="([\w-]+)",index="(\d+\+?)"\} (\d+)', line)
            assert m and m[1] in told, line
            out[m[1], m[2], m[3]] = int(m[4])
    return out


def test_indexes_begin_with_0_in_each_program(house):
    session(house).close()
    found = {}
    for name, program, index in series(house.restante("stat", "--prometheus")):
        if name == "restante_connections_total":
            found.setdefault(program, set()).add(index)
    assert found["restante-front"] == {"0", "1"}
    for program in ("restanted", "restante-auth", "restante-log", "restante-control"):
        assert found[program] == {"0"}
    assert "restante-lmtpd" not in found
    assert "0" in found["restante-keeper"]


def http(port, request):
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(request)
        got = b""
        while more := s.recv(65536):
            got += more
    head, body = got.split(b"\r\n\r\n", 1)
    return head.decode(), body.decode()


def test_the_metrics_port_serves_prometheus(house):
    served(house)
    head, body = http(house.metrics, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.0 200 ") and "text/plain; version=0.0.4" in head
    got = series(body)
    assert set(got) == set(series(house.restante("stat", "--prometheus")))
    ours = [v for (name, *_), v in got.items() if name == "restante_connections_total"]
    assert sum(ours) >= 1
    assert http(house.metrics, b"GET / HTTP/1.0\r\n\r\n")[0].startswith("HTTP/1.0 404 ")


def test_json_adds_up(house):
    got = json.loads(house.restante("stat", "--json"))
    for name, total in got["total"].items():
        assert total == sum(p["counters"][name] for p in got["programs"]), name


def test_processes(house):
    rows = [line.split() for line in house.restante("stat", "--processes").splitlines()]
    listed = {int(pid): program for pid, program, _ in rows}
    assert listed == {**house.children(), house.p.pid: "restanted"}
    fronts = sorted(index for _, program, index in rows if program == "restante-front")
    assert fronts == ["0", "1"]


def test_who_may_ask(house):
    assert house.restante("stat", uid=0)
    said = house.restante("stat", uid=65534, status=77)
    assert "ask as root or as the user who started restanted" in said
    assert house.stat()


def test_conf(house):
    assert house.restante("conf", "get", "fronts") == "2\n"
    assert house.restante("conf", "get", "front_sessions") == "8000\n"
    assert house.restante("conf", "get", "pop3.address") == f"127.0.0.1:{house.port}\n"
    assert "drain_timeout = 200ms" in house.restante("conf", "list").splitlines()
    house.restante("conf", "get", "no_such_option", status=64)


# ---- reload -----------------------------------------------------------------------

def answers(h, command):
    c = session(h, "carl")
    said = c.say(command)
    c.say("QUIT")
    c.close()
    return said.startswith(b"+OK")


@pytest.mark.parametrize("how", ["restante reload", "SIGHUP"])
def test_reload(house, how):
    def reload(line):
        since = len(house.lines)
        if how == "SIGHUP":
            house.p.send_signal(signal.SIGHUP)
        else:
            # With a file that has errors the command itself says so, unless told where.
            house.restante("reload", "--socket", house.base / "run" / "control")
        house.wait_for_line(line, since=since)
    assert not answers(house, "LAST")
    before = house.stat()["reloads_total"]
    held = session(house)
    house.configure(last="yes")
    reload("the configuration was read again and is in force")
    assert answers(house, "LAST")
    # Who was there keeps what was announced to him.
    assert held.say("LAST").startswith(b"-ERR")
    held.say("QUIT")
    held.close()
    house.configure(last="perhaps")
    assert "last = perhaps: must be yes or no" in house.restante("reload", status=78)
    reload("the configuration has errors; the one before stays in force")
    assert answers(house, "LAST")
    house.configure(last="no")
    reload("the configuration was read again and is in force")
    assert not answers(house, "LAST")
    assert house.stat()["reloads_total"] == before + 2


def greeting(h):
    c = h.connect()
    c.close()
    return c.greeting


def test_another_hostname_greets_after_a_reload(base):
    with House(base, users(), {"hostname": "a-long-name.before.example"}) as h:
        held = session(h)
        assert b" a-long-name.before.example " in greeting(h)
        h.configure(hostname="after.example")
        reloaded(h)
        until(lambda: b" after.example " in greeting(h), 60, h.log)
        assert held.say("NOOP").startswith(b"+OK")
        held.close()


# The signal is there before the program is.
HUNG_UP = ["/usr/bin/python3", "-c", "import os, signal, sys\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n"
           "os.kill(os.getpid(), signal.SIGHUP)\n"
           "os.execv(sys.argv[1], sys.argv[1:])"]


def test_sighup_during_the_start_is_done_after_it(base):
    with House(base, users(), wrap=HUNG_UP) as h:
        h.wait_for_line("the configuration was read again and is in force")
        served(h)


# ---- listeners for delivery -------------------------------------------------------

LETTER = b"Subject: in\n\nx\n"


def reloaded(h, line="the configuration was read again and is in force"):
    since = len(h.lines)
    h.p.send_signal(signal.SIGHUP)
    h.wait_for_line(line, since=since)


def test_keepers_of_before_a_reload_end_with_their_sessions(base):
    """keeper_idle is an hour: they are told."""
    with House(base, users() | {"dora": ("secret", CALLER + 1, list(MAIL))},
               {"keeper_idle": "1h"}) as h:
        held = session(h)
        served_by = set(h.children("restante-keeper"))
        idle = session(h, "dora")
        ends = set(h.children("restante-keeper")) - served_by
        assert idle.say("QUIT").startswith(b"+OK") and len(ends) == 1
        idle.close()
        reloaded(h)
        until(lambda: not ends & set(h.children("restante-keeper")), message="ended")
        assert served_by <= set(h.children("restante-keeper"))
        assert b"".join(held.multi("RETR 1")) and held.say("DELE 2").startswith(b"+OK")
        held.say("QUIT")
        held.close()
        until(lambda: not served_by & set(h.children("restante-keeper")), message="ended")
        c = session(h)
        assert c.say("STAT").startswith(b"+OK 2 ")
        c.say("QUIT")
        c.close()


def lmtpd(h):
    return list(h.children("restante-lmtpd"))


def delivered(h, at, name="bert"):
    c = Mta(at, hello=True)
    assert c.send(LETTER, f"{name}@example.org")[0].startswith("250"), h.log()
    c.close()


@pytest.mark.parametrize("as_uid", [0, CALLER], ids=["root", "user"])
def test_listeners_for_delivery_come_and_go(base, as_uid):
    port, more = free_port(), free_port()
    with House(base, users(), as_uid=as_uid) as h:
        assert lmtpd(h) == []
        held = session(h)
        h.listeners["lmtp"] = f"protocol = lmtp\naddress = 127.0.0.1:{port}"
        h.configure()
        reloaded(h)
        first, = until(lambda: lmtpd(h), 60, "lmtpd runs")
        delivered(h, port)
        # Another one beside it, a unix socket, which only the same process gets.
        mta = Mta(port, hello=True)
        h.listeners["local"] = f"protocol = lmtp\naddress = unix:{h.lmtp}"
        h.configure()
        reloaded(h)
        delivered(h, h.lmtp)
        assert lmtpd(h) == [first]
        # Its place is taken by POP3, and it goes elsewhere: what is connected finishes.
        h.listeners["lmtp"] = f"protocol = lmtp\naddress = 127.0.0.1:{more}"
        h.listeners["swapped"] = f"address = 127.0.0.1:{port}"
        h.configure()
        reloaded(h)
        assert Client(port).greeting.startswith(b"+OK")
        delivered(h, more)
        assert mta.send(LETTER, "bert")[0].startswith("250")
        mta.close()
        for name in ("lmtp", "local", "swapped"):
            del h.listeners[name]
        h.configure()
        reloaded(h)
        until(lambda: lmtpd(h) == [], 60, "lmtpd ended")
        assert not h.lmtp.exists()
        with pytest.raises(ConnectionError):
            Mta(more)
        assert held.say("NOOP").startswith(b"+OK")
        held.close()
        assert not [x for x in h.lines if "level=error" in x], h.log()
    assert len(list((h.mail / "bert" / "new").iterdir())) == len(MAIL) + 4


def test_options_of_delivery_take_effect_at_a_reload(base):
    with House(base, users(), {"drain_timeout": "30s"}, lmtp=True) as h:
        before, = lmtpd(h)
        mta = Mta(h.lmtp, hello=True)
        mta.envelope("bert")
        assert mta.say("DATA")[-1].startswith("354")
        h.configure(lmtp_recipients=1)
        reloaded(h)
        # In the middle of a message it is not cut off, and those who come wait a moment.
        mta.s.sendall(LETTER.replace(b"\n", b"\r\n") + b".\r\n")
        assert mta.answer()[-1].startswith("250")
        mta.close()
        after = Mta(h.lmtp, hello=True)
        said = after.envelope("anna", "bert")
        assert [x[:3] for x in said] == ["250", "250", "452"], said
        after.close()
        # One that changes nothing for it leaves it alone.
        same = until(lambda: before not in (now := lmtpd(h)) and now, 60, "the old one ended")
        h.configure(last="yes")
        reloaded(h)
        assert lmtpd(h) == same
        h.configure(recipient_delimiter="none")
        reloaded(h)

        def answer():
            c = Mta(h.lmtp, hello=True)
            said = c.envelope("anna+x")[-1]
            c.close()
            return said.startswith("550")
        until(answer, 60, "without a delimiter")


def test_lmtpd_is_started_again(base):
    with House(base, users(), lmtp=True) as h:
        pid, = lmtpd(h)
        os.kill(pid, signal.SIGKILL)
        # The socket is the monitor's: who comes meanwhile waits.
        delivered(h, h.lmtp)
        assert lmtpd(h) != [pid]


def test_a_drain_lets_mail_in_that_has_begun(base):
    with House(base, users(), {"drain_timeout": "30s"}, lmtp=True) as h:
        mta = Mta(h.lmtp, hello=True)
        mta.envelope("bert")
        assert mta.say("DATA")[-1].startswith("354")
        h.p.send_signal(signal.SIGTERM)
        h.wait_for_line("draining: no new connections")
        assert not h.lmtp.exists()
        mta.s.sendall(LETTER.replace(b"\n", b"\r\n") + b".\r\n")
        assert mta.answer()[-1].startswith("250")
        mta.close()
        assert h.p.wait(60) == 0
    assert len(list((h.mail / "bert" / "new").iterdir())) == len(MAIL) + 1


# ---- who may deliver over TCP -------------------------------------------------------

IN_A_NET = ("ip link set lo up && ip addr add 192.0.2.1/32 dev lo && "
            "ip addr add 192.0.2.2/32 dev lo && ip addr add 2001:db8::1/128 dev lo && "
            'exec "$@"')
SAYS = ("import socket, sys\n"
        "s = socket.create_connection((sys.argv[2], int(sys.argv[3])), 60, (sys.argv[1], 0))\n"
        "sys.stdout.write(s.makefile().readline())\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network of its own")
def test_networks_that_may_deliver(base):
    """In a network of its own, where this machine has addresses that are not loopback."""
    port = free_port()
    h = House(base, users(), {"lmtp_networks": "192.0.2.2 2001:db8::/32"},
              wrap=["unshare", "-n", "/bin/sh", "-c", IN_A_NET, "sh"])
    h.listeners["lmtp"] = f"protocol = lmtp\naddress = *:{port}"
    h.configure()

    def greeting(source, to):
        got = subprocess.run(
            ["nsenter", f"--net=/proc/{h.p.pid}/ns/net", "/usr/bin/python3", "-c", SAYS,
             source, to, str(port)], capture_output=True, text=True, timeout=60)
        # One that is turned away may find the connection reset.
        assert got.returncode == 0 or "ConnectionReset" in got.stderr, got
        return got.stdout
    with h:
        for source, to in (("192.0.2.2", "192.0.2.1"), ("127.0.0.1", "127.0.0.1"),
                           ("2001:db8::1", "2001:db8::1"), ("::1", "::1")):
            assert greeting(source, to).startswith("220"), (source, h.log())
        assert not greeting("192.0.2.1", "192.0.2.1").startswith("2")
        h.configure(lmtp_networks="192.0.2.0/31")
        reloaded(h)
        until(lambda: greeting("192.0.2.1", "192.0.2.1").startswith("220"), 60, "let in")
        assert not greeting("192.0.2.2", "192.0.2.1").startswith("2")


# ---- unix sockets -----------------------------------------------------------------

def mode_of(path):
    st = path.stat()
    return st.st_mode & 0o777, st.st_gid


def test_mode_and_group_of_a_unix_socket(base):
    h = House(base, users(), lmtp=True)
    plain = h.listeners["lmtp"]
    h.listeners["lmtp"] += "\nsocket_mode = 0660\nsocket_group = 8"
    h.configure()
    with h:
        assert mode_of(h.lmtp) == (0o660, 8)
        inode = h.lmtp.stat().st_ino
        h.listeners["lmtp"] = plain + "\nsocket_mode = 0666\nsocket_group = 8"
        h.configure()
        reloaded(h)
        assert mode_of(h.lmtp) == (0o666, 8)
        # The same socket all the time, so that nobody is turned away.
        assert h.lmtp.stat().st_ino == inode
        h.listeners["lmtp"] = plain + "\nsocket_mode = 0666\nsocket_group = 12"
        h.configure()
        reloaded(h)
        h.wait_for_line("its mode and group could not be set")
        # A reload that fails changes nothing, not the mode either.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            h.listeners["lmtp"] = plain
            h.listeners["other"] = f"address = 127.0.0.1:{taken.getsockname()[1]}"
            h.configure()
            reloaded(h, "the configuration has errors; the one before stays in force")
        assert mode_of(h.lmtp) == (0o666, 8)
        del h.listeners["other"]
        # Somebody removed it: a reload makes it again.
        h.listeners["lmtp"] = plain
        h.configure()
        h.lmtp.unlink()
        reloaded(h)
        assert mode_of(h.lmtp)[0] == 0o600
        delivered(h, h.lmtp)
    assert not h.lmtp.exists()


def test_a_socket_that_was_left_behind_is_replaced(base):
    h = House(base, users(), lmtp=True)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(h.lmtp))
    with h:
        delivered(h, h.lmtp)
        # Somebody else's in its place is not ours to remove.
        h.lmtp.unlink()
        h.lmtp.write_text("mine")
    assert h.lmtp.read_text() == "mine"


@pytest.mark.parametrize("how", ["second", "file", "reload"])
def test_only_its_own_control_socket_is_removed(base, how):
    """A second start by mistake leaves the first one its socket; a file that is none, or that
    only the configuration of now names, is nobody's to remove."""
    h = House(base, users())
    mine = h.base / "mine"
    mine.write_text("mine")
    if how == "file":
        h.configure(control_socket=mine)
        h.start()
        assert h.p.wait(60) == 1
        h.__exit__()
        assert mine.read_text() == "mine"
        return
    with h:
        if how == "second":
            again = subprocess.run(h.command, stdin=subprocess.DEVNULL, capture_output=True,
                                   timeout=60)
            assert again.returncode == 1 and b"another restanted runs there" in again.stderr
            assert h.stat()
        else:
            h.configure(control_socket=mine)
            since = len(h.lines)
            h.p.send_signal(signal.SIGHUP)
            h.wait_for_line("control_socket takes effect when", since=since)
    assert mine.read_text() == "mine" and not (h.base / "run" / "control").exists()


def test_another_servers_control_socket_stays(base):
    """Where only run_dir differs, its lock says nothing of the other server."""
    control = base / "control"
    (base / "other").mkdir()
    with House(base / "other", users(), {"control_socket": control}) as first:
        (base / "second").mkdir()
        second = House(base / "second", users(), {"control_socket": control})
        again = subprocess.run(second.command, stdin=subprocess.DEVNULL, capture_output=True,
                               timeout=60)
        assert again.returncode == 1 and b"control: Address already in use" in again.stderr
        assert first.stat()
        # One that nobody listens at is in nobody's way.
        first.p.send_signal(signal.SIGKILL)
        first.p.wait()
        until(lambda: refuses(control), 60, "the process of the killed server ended")
        with second:
            assert second.stat()


def refuses(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == errno.ECONNREFUSED


@pytest.mark.parametrize("what,said", [
    ("listener", "another program listens there"), ("file", "something that is no socket"),
    ("no directory", "its directory does not exist, make it")])
def test_what_stands_in_the_way_of_a_unix_socket_is_told(base, what, said):
    h = House(base, users(), lmtp=True)
    with socket.socket(socket.AF_UNIX) as s:
        if what == "listener":
            s.bind(str(h.lmtp))
            s.listen()
        elif what == "file":
            h.lmtp.write_text("x")
        else:
            h.listeners["lmtp"] = f"protocol = lmtp\naddress = unix:{h.base}/no/lmtp"
            h.configure()
        h.start()
        assert h.p.wait(60) == 1
        h.__exit__()
    assert f"listener lmtp: unix:{h.base}" in h.log() and said in h.log(), h.log()
    assert h.lmtp.exists() == (what != "no directory")


@pytest.mark.parametrize("spool,said", [
    ("/nonexistent", "spool_dir: /nonexistent: No such file"),
    ("/proc", "no file without a name can be made there")])
def test_a_spool_directory_that_cannot_be_used_is_told(base, spool, said):
    h = House(base, users(), {"spool_dir": spool}, lmtp=True)
    h.start()
    assert h.p.wait(60) == 1
    h.__exit__()
    assert said in h.log(), h.log()


# ---- the end ----------------------------------------------------------------------

@pytest.mark.parametrize("how", ["restante drain", "SIGTERM"])
@pytest.mark.parametrize("as_uid", [0, CALLER], ids=["root", "user"])
def test_drain_lets_sessions_finish(base, how, as_uid):
    with House(base, users(), {"drain_timeout": "60s"}, as_uid=as_uid) as h:
        c = session(h)
        if how == "SIGTERM":
            h.p.send_signal(signal.SIGTERM)
        else:
            h.restante("drain")
        h.wait_for_line("draining: no new connections")

        def closed():
            try:
                Client(h.port).close()
            except ConnectionError:
                return True
            return False
        until(closed, 60, "closed to new connections")
        assert h.p.poll() is None
        assert c.multi("RETR 1")
        assert c.say("DELE 1").startswith(b"+OK")
        assert c.say("QUIT").startswith(b"+OK")
        c.close()
        assert h.p.wait(60) == 0
    assert len(list((h.mail / "anna" / "new").iterdir())) == len(MAIL) - 1


def test_a_second_sigterm_ends_at_once(base):
    with House(base, users(), {"drain_timeout": "1h"}) as h:
        c = session(h)
        h.p.send_signal(signal.SIGTERM)
        h.wait_for_line("draining: no new connections")
        h.p.send_signal(signal.SIGTERM)
        assert h.p.wait(60) == 0
        c.close()


# ---- a limit of files --------------------------------------------------------------

def with_files(n):
    return ["/bin/sh", "-c", f'ulimit -n {n}; exec "$@"', "sh"]


def test_few_files_are_told_only_to_who_asked_for_more(base):
    # As a user, so that nobody raises the limit.
    (base / "a").mkdir()
    with House(base / "a", users(), as_uid=CALLER, wrap=with_files(1000)) as h:
        served(h)
        assert not [line for line in h.lines if "front_sessions" in line], h.log()
    (base / "b").mkdir()
    with House(base / "b", users(), {"front_sessions": 500, "log_level": "debug"},
               as_uid=CALLER, wrap=with_files(1000)) as h:
        line = h.wait_for_line("front_sessions = 500")
        assert "1000 open files has room for 353 in a front; raise it to 1336" in line
        assert "sessions=353" in h.wait_for_line(r"event=start front=0")
        served(h)


# ---- the service manager -----------------------------------------------------------

def notified(s, wanted):
    """Reads messages until one has that line; those of the watchdog come for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        lines = s.recv(4096).decode().splitlines()
        if wanted in lines:
            return lines
    raise AssertionError(f"{wanted} was not said")


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(base, abstract):
    path = base / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(60)
        s.bind("\0" + str(path) if abstract else str(path))
        env = {"NOTIFY_SOCKET": f"@{path}" if abstract else str(path), "WATCHDOG_USEC": "200000"}
        with House(base, users(), env=env) as h:
            assert "STATUS=serving" in notified(s, "READY=1")
            notified(s, "WATCHDOG=1")
            h.p.send_signal(signal.SIGHUP)
            lines = notified(s, "RELOADING=1")
            assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", x) for x in lines)
            notified(s, "READY=1")
            h.p.send_signal(signal.SIGTERM)
            notified(s, "STOPPING=1")
            assert h.p.wait(60) == 0


ACTIVATE = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]


def place_at_3(s):
    """The socket as descriptor 3 of a child, where the protocol has it."""
    code = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.set_inheritable(3, True)\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    return ["/usr/bin/python3", "-c", code, str(s.fileno())]


def test_socket_activation(base):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        h = House(base, users(), listeners={"pop3": f"address = 127.0.0.1:{port}"},
                  env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "pop3"},
                  wrap=[*place_at_3(s), *ACTIVATE], pass_fds=(s.fileno(),))
        h.port = port
        # Said before the server runs: the kernel keeps it.
        early = socket.create_connection(("127.0.0.1", port), 60)
        with h:
            early.settimeout(60)
            assert early.recv(4) == b"+OK "
            early.close()
            served(h)
            h.p.send_signal(signal.SIGHUP)
            h.wait_for_line("the configuration was read again and is in force")
            served(h)
        assert h.p.returncode == 0
        # It was the service manager's, and is still open.
        socket.create_connection(("127.0.0.1", port), 60).close()


def test_socket_activation_of_a_unix_socket(base):
    path = base / "given"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        h = House(base, users(), lmtp=True,
                  env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "lmtp"},
                  wrap=[*place_at_3(s), *ACTIVATE], pass_fds=(s.fileno(),))
        with h:
            delivered(h, path)
            assert not h.lmtp.exists()
        # It is not ours.
        assert path.exists()
    path.unlink()


def test_a_socket_that_fits_no_listener_is_an_error(base):
    with socket.create_server(("127.0.0.1", 0)) as s:
        h = House(base, users(), env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "imap"},
                  wrap=[*place_at_3(s), *ACTIVATE], pass_fds=(s.fileno(),))
        h.start()
        assert h.p.wait(60) == 1
        h.__exit__()
        assert "the service manager's socket imap fits no listener" in h.log()


def test_a_given_socket_that_does_not_listen_is_an_error(base):
    """As of Accept=yes: fronts would be woken by it for ever, and get nothing."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        h = House(base, users(), listeners={"pop3": f"address = 127.0.0.1:{port}"},
                  env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "pop3"},
                  wrap=[*place_at_3(s), *ACTIVATE], pass_fds=(s.fileno(),))
        h.start()
        try:
            until(lambda: h.p.poll() is not None or "serving" in h.log())
            assert h.p.poll() == 1, h.log()
        finally:
            h.__exit__()
        assert "the service manager's socket pop3 cannot be listened at" in h.log()


# ---- syslog ------------------------------------------------------------------------

# Nothing that is mounted here may reach the machine; in a chroot / is no mount, /dev is.
IN_OWN_DEV = ('{ mount --make-rprivate / 2>/dev/null || mount --make-rprivate /dev; } && '
              ': > "$1/null" && '
              'mount --bind /dev/null "$1/null" && mount --rbind "$1" /dev && '
              'shift && exec "$@"')


class Syslog:
    """A daemon behind /dev/log of a server with a /dev of its own."""

    def __init__(self, path):
        self.path = path
        self.open()

    def open(self):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.settimeout(60)
        self.s.bind(str(self.path))

    def close(self):
        self.s.close()
        self.path.unlink()

    def wait_for(self, pattern):
        while True:
            line = self.s.recv(8192).decode()
            if re.search(pattern, line):
                return line


def mounts_are_allowed():
    with tempfile.TemporaryDirectory() as d:
        return subprocess.run(["unshare", "-m", "--propagation", "unchanged", "sh", "-c", IN_OWN_DEV, "sh", d, "true"],
                              capture_output=True).returncode == 0


@pytest.fixture
def dev(base):
    assert mounts_are_allowed(), "this needs a mount namespace"
    (base / "dev").mkdir()
    (base / "house").mkdir()
    return base / "dev"


def refused_login(h):
    c = h.connect()
    assert c.login("anna", "wrong").startswith(b"-ERR")
    c.close()


def test_syslog_and_its_restart(dev):
    syslog = Syslog(dev / "log")
    h = House(dev.parent / "house", users(), {"log": "syslog"},
              wrap=["unshare", "-m", "--propagation", "unchanged", "sh", "-c", IN_OWN_DEV, "sh", str(dev)])
    h.start()
    line = syslog.wait_for("event=serving")
    assert re.match(r"<\d+>", line) and "restanted" in line
    refused_login(h)
    assert "user=anna" in syslog.wait_for("event=login_failed")
    # A new daemon at the same place: lines reach it after the first that was lost.
    syslog.close()
    syslog.open()
    refused_login(h)
    syslog.wait_for(r"event=dropped .*lines=\d+")
    refused_login(h)
    syslog.wait_for("event=login_failed")
    # No daemon for a while: stderr, rather than nowhere; then back.
    syslog.close()
    until(lambda: refused_login(h) or any("event=login_failed" in x for x in h.lines), 60,
          "a line on stderr")
    syslog.open()
    h.restante("stat")
    until(lambda: refused_login(h) or heard(syslog), 60, "a line for the new daemon")
    h.__exit__()
    assert h.p.returncode == 0
    syslog.close()


def heard(syslog):
    syslog.s.settimeout(0.01)
    try:
        return b"login_failed" in syslog.s.recv(8192)
    except TimeoutError:
        return False
    finally:
        syslog.s.settimeout(60)


def test_without_a_syslog_daemon_it_does_not_start(dev):
    h = House(dev.parent / "house", users(), {"log": "syslog"},
              wrap=["unshare", "-m", "--propagation", "unchanged", "sh", "-c", IN_OWN_DEV, "sh", str(dev)])
    h.start()
    assert h.p.wait(60) == 1
    h.__exit__()
    assert "/dev/log: No such file or directory" in h.log()
