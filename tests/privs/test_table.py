"""Every process against the table in SECURITY.md."""
import contextlib
import os
import pathlib
import re
import sqlite3
import subprocess

import pytest

from house import (ROOT, SANITIZED, SERVICE_UIDS, Client, House, Mta, free_port, status,
                   unused_block)
from system_account import service

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
CAPS = ["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid",
        "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast",
        "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
        "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
        "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write"]
USERS = {"anna": ("secret", 5000, [b"Subject: 1\n\nhello\n"]),
         "bert": ("secret", 5001, [b"Subject: 2\n\nhello\n"])}


def make_keytab(base):
    """A key of the service pop/localhost, and a configuration that asks no KDC."""
    config, keytab = base / "krb5.conf", base / "keytab"
    config.write_text("[libdefaults]\ndefault_realm = EXAMPLE.TEST\ndns_lookup_kdc = no\n")
    subprocess.run(["ktutil"], check=True, capture_output=True, text=True,
                   env=os.environ | {"KRB5_CONFIG": str(config)}, input="add_entry -password -p "
                   "pop/localhost@EXAMPLE.TEST -k 1 -e aes256-cts-hmac-sha1-96\nword\n"
                   f"write_kt {keytab}\nquit\n")
    return {"krb5_keytab": keytab, "krb5_config": config, "krb5_realm": "EXAMPLE.TEST",
            "krb5_hostname": "localhost"}


def every_helper(base, pam_service):
    """Options that start a helper of each kind. The directory is not there: none needs its own."""
    base = pathlib.Path(base)
    base.chmod(0o755)
    with contextlib.closing(sqlite3.connect(base / "users.db")) as db:
        db.execute("CREATE TABLE users (name, password, uid, gid, home, maildrop)")
    os.chmod(base / "users.db", 0o644)
    keys = base / "jwks"
    keys.write_text('{"keys": []}')
    check = base / "check"
    check.write_text("#!/bin/sh\nexit 1\n")
    check.chmod(0o755)
    return {"databases": "file system sql ldap command", "pam_service": pam_service,
            "sql_database": f"sqlite:{base}/users.db", "command_path": check,
            "ldap_uri": f"ldap://127.0.0.1:{free_port()}", "ldap_base": "dc=example,dc=test",
            "oauth_jwks": keys, "oauth_issuer": "https://id.example", "oauth_audience": "mail",
            "hostname": "localhost", **make_keytab(base)}


@pytest.fixture(scope="module")
def house(house_dir):
    with service("auth required pam_unix.so", "account required pam_unix.so") as pam:
        options = every_helper(house_dir("helpers"), pam)
        with House(house_dir("table"), USERS, options, lmtp=True, tls=True) as h:
            yield h


@pytest.fixture(scope="module")
def sessions(house):
    """A session in TRANSACTION of each user, so that keepers and fronts hold what they hold."""
    open_ = []
    for name in USERS:
        c = Client(house.port)
        assert c.login(name, "secret").startswith(b"+OK")
        assert c.multi("RETR 1")
        open_.append(c)
    # Each database is asked once, the last of them in vain.
    c = Client(house.port)
    assert c.login("nobody-of-this-name", "secret").startswith(b"-ERR [SYS/TEMP]")
    c.close()
    # And one that delivers, in the middle of it.
    mta = Mta(house.lmtp, hello=True)
    assert mta.envelope("anna")[-1].startswith("250")
    open_.append(mta)
    yield open_
    for c in open_:
        c.close()


def table():
    """SECURITY.md's rows: program -> {column: text}."""
    rows, head = {}, None
    for line in (ROOT / "SECURITY.md").read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("| program | user"):
            head = cells
        elif head and line.startswith("| `"):
            rows[cells[0].strip("`")] = dict(zip(head, cells))
        elif head and not line.startswith("|"):
            break
    return rows


def capabilities(mask):
    return " ".join(sorted(CAPS[i] if i < len(CAPS) else str(i)
                           for i in range(64) if mask >> i & 1)) or "none"


def test_the_table_names_every_program(house, sessions):
    running = set(house.children().values()) | {"restanted"}
    assert running == set(table())


def expected_uid(row):
    """The processes of one kind have one user; fronts are looked at by themselves."""
    m = re.match(r"service_uids \+ (\d+)", row["user"])
    return SERVICE_UIDS + int(m[1]) if m else None


@pytest.mark.parametrize("program", sorted(table()))
def test_user_groups_capabilities(house, sessions, program):
    assert unused_block(), "the block of service uids is used by an account of this machine"
    row = table()[program]
    pids = sorted(house.children(program)) if program != "restanted" else [house.p.pid]
    assert pids
    for pid in pids:
        s = status(pid)
        uids, gids = s["Uid"].split(), s["Gid"].split()
        assert len(set(uids)) == 1 and len(set(gids)) == 1
        if program in ("restanted", "restante-auth-pam"):
            assert uids[0] == row["user"].replace("root", "0")
        elif program == "restante-keeper":
            assert int(uids[0]) in (5000, 5001) and gids[0] == uids[0]
        elif program == "restante-front":
            assert SERVICE_UIDS + 16 <= int(uids[0]) < SERVICE_UIDS + 16 + len(pids)
        else:
            assert int(uids[0]) == expected_uid(row)
        assert s["Groups"].split() in ([], [gids[0]])
        for kind in ("CapEff", "CapPrm"):
            assert capabilities(int(s[kind], 16)) == row["capabilities"], (program, kind)
        for kind in ("CapInh", "CapAmb"):
            assert int(s[kind], 16) == 0
        assert s["NoNewPrivs"] == {"yes": "1", "no": "0"}[row["no new privileges"]]
        # A sanitizer build filters too, if less narrowly.
        assert s["Seccomp"] == {"off": "0", "filter": "2"}[row["seccomp"]]
    if program == "restante-front":
        assert len({status(p)["Uid"] for p in pids}) == len(pids), "one user for each front"


@pytest.mark.parametrize("program", sorted(set(table()) - {"restanted"}))
def test_root_directory(house, sessions, program):
    for pid in house.children(program):
        inside = os.listdir(f"/proc/{pid}/root")
        if table()[program]["root directory"] == "empty":
            assert inside == []
        else:
            assert "etc" in inside


def kinds(pid):
    """What each descriptor of a process is, in words of SECURITY.md."""
    out = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            target, info = os.readlink(path), pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
        except OSError:
            continue
        flags = int(re.search(r"flags:\s+([0-7]+)", info)[1], 8)
        out[int(fd)] = (target, flags)
    return out


@pytest.mark.parametrize("program", sorted(set(table()) - {"restanted"}))
def test_descriptors(house, sessions, program):
    allowed = {
        "restante-front": r"socket:|anon_inode:\[eventpoll\]|/memfd:|.*/mail/.*",
        "restante-auth": r"socket:|anon_inode:\[event(poll|fd)\]|.*/users|/memfd:",
        "restante-keys": r"socket:|anon_inode:\[eventpoll\]|/memfd:",
        "restante-auth-pam": r"socket:|/memfd:",
        "restante-auth-sql": r"socket:|/memfd:|.*/users.db",
        "restante-auth-ldap": r"socket:|/memfd:",
        "restante-auth-command": r"socket:|/memfd:|.*/restante-auth-command",
        "restante-auth-oauth": r"socket:|/memfd:|anon_inode:\[event(poll|fd)\]",
        "restante-auth-krb5": r"socket:|/memfd:",
        "restante-lmtpd": r"socket:|anon_inode:\[eventpoll\]|/memfd:",
        "restante-control": r"socket:|anon_inode:\[eventpoll\]|/memfd:",
        "restante-log": r"socket:|anon_inode:\[eventpoll\]|pipe:|/memfd:",
        "restante-keeper": r"socket:|anon_inode:\[(eventpoll|eventfd|timerfd)\]|/memfd:|.*/mail(/.*)?",
    }[program]
    for pid in house.children(program):
        for fd, (target, flags) in kinds(pid).items():
            if fd == 2 and SANITIZED:
                assert target == os.readlink(f"/proc/{house.p.pid}/fd/2"), (pid, target)
                continue
            if fd <= 2:
                assert target == "/dev/null", (pid, fd, target)
                continue
            assert re.match(allowed, target), (program, fd, target)
            if program == "restante-front" and "/mail/" in target:
                assert flags & os.O_ACCMODE == os.O_RDONLY
            if program == "restante-auth" and target.endswith("/users"):
                assert flags & os.O_ACCMODE == os.O_RDONLY
            # No keeper sees another owner's mail.
            if program == "restante-keeper" and "/mail/" in target:
                uid = status(pid)["Uid"].split()[0]
                assert {"5000": "anna", "5001": "bert"}[uid] in target


def test_nothing_is_dumpable_or_has_arguments(house, sessions):
    for pid, name in {**house.children(), house.p.pid: "restanted"}.items():
        # What is not dumpable belongs to root in /proc, whoever runs it.
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, name
        if name != "restanted":
            environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            assert b"PATH=" not in environ, name
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert len([w for w in words if w]) == 1, name


def test_the_release_filter_is_the_narrow_one(house, sessions):
    """READY says which parts of enum sandbox_part are in force; `wide` only in sanitizer
    builds. What the narrow one forbids is shown in test_taken_over.py, call by call."""
    chroot, user, no_new_privs, landlock, seccomp, wide = 1, 2, 4, 8, 16, 64
    ready = [re.search(r"event=process_ready child=(\S+) child_pid=\d+ cage=(\d+)", line)
             for line in house.lines]
    cages = {m[1]: int(m[2]) for m in ready if m}
    assert set(table()) - {"restanted", "restante-keeper"} <= set(cages)
    for program, cage in cages.items():
        row = table()[program]
        # A keeper has been the owner since it was started.
        parts = {chroot: row["root directory"] == "empty", no_new_privs: True,
                 user: row["user"] != "root", seccomp: row["seccomp"] == "filter",
                 landlock: row["root directory"] == "empty" or "Landlock" in row["root directory"],
                 wide: SANITIZED and row["seccomp"] == "filter"}
        for part, wanted in parts.items():
            if program == "restante-keeper" and part in (chroot, user):
                continue
            assert bool(cage & part) == wanted, (program, part, cage)


TRACER = """
import ctypes, os, time
libc, mine = ctypes.CDLL(None), os.getpid()
print("on", flush=True)
until = time.monotonic() + 60
while time.monotonic() < until:
    with open("/proc/loadavg") as f:
        last = int(f.read().split()[-1])
    for pid in range(last, last - 4, -1):
        if pid > 1 and pid != mine and libc.ptrace(0x4206, pid, None, None) == 0:  # SEIZE
            print("caught", open(f"/proc/{pid}/status").read(), flush=True)
            raise SystemExit
"""


def test_owners_cannot_trace_their_keepers(house_dir):
    """Nor between its exec and its first line: it has the groups of mail_groups, which he
    has not, and no cage yet."""
    with House(house_dir("traced"), {"anna": ("secret", 5000, [])},
               {"mail_groups": "8", "keeper_sessions": 1}) as h:
        with subprocess.Popen(["/usr/bin/python3", "-c", TRACER], user=5000, group=5000,
                              extra_groups=[], stdout=subprocess.PIPE, text=True) as tracer:
            assert tracer.stdout.readline() == "on\n"
            for _ in range(500):
                c = h.connect()
                c.login("anna", "secret")
                c.close()
            tracer.kill()
            assert tracer.stdout.read() == ""
