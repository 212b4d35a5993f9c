"""Every process against the table in SECURITY.md."""
import os
import pathlib
import re

import pytest

from house import ROOT, SANITIZED, SERVICE_UIDS, Client, House, Mta, status, unused_block

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
CAPS = ["chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid",
        "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast",
        "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
        "sys_chroot", "sys_ptrace"]
USERS = {"anna": ("secret", 5000, [b"Subject: 1\n\nhello\n"]),
         "bert": ("secret", 5001, [b"Subject: 2\n\nhello\n"])}


@pytest.fixture(scope="module")
def house(house_dir):
    with House(house_dir("table"), USERS, lmtp=True) as h:
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


def expected_uid(row, index):
    m = re.match(r"service_uids \+ (\d+)", row["user"])
    return SERVICE_UIDS + int(m[1]) + index if m else None


@pytest.mark.parametrize("program", sorted(table()))
def test_user_groups_capabilities(house, sessions, program):
    assert unused_block(), "the block of service uids is used by an account of this machine"
    row = table()[program]
    pids = sorted(house.children(program)) if program != "restanted" else [house.p.pid]
    assert pids
    for index, pid in enumerate(pids):
        s = status(pid)
        uids, gids = s["Uid"].split(), s["Gid"].split()
        assert len(set(uids)) == 1 and len(set(gids)) == 1
        if program == "restanted":
            assert uids[0] == "0"
        elif program == "restante-keeper":
            assert int(uids[0]) in (5000, 5001) and gids[0] == uids[0]
        elif program == "restante-front":
            assert SERVICE_UIDS + 8 <= int(uids[0]) < SERVICE_UIDS + 8 + len(pids)
        else:
            assert int(uids[0]) == expected_uid(row, index)
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
    assert {"restante-front", "restante-auth", "restante-log", "restante-control",
            "restante-lmtpd"} <= set(cages)
    for program, cage in cages.items():
        assert bool(cage & wide) == SANITIZED, (program, cage)
        for part in (user, no_new_privs, landlock, seccomp):
            assert cage & part or program == "restante-keeper", (program, cage)
        assert cage & chroot or program == "restante-keeper", (program, cage)
