"""The real programs, nothing preloaded: strace makes system calls of a running process fail,
one at a time, as the kernel would. Whatever fails in front, keeper, auth, the monitor,
lmtpd, log, control or keys: what test_calls.py holds of the mail, of answers and of the next
session holds here too.

The quick form takes a sample by RESTANTE_SEED, RESTANTE_LONG=1 each call with each error.
"""
import collections
import os
import random
import re
import shutil

import pytest

from call_house import CRASH, LONG, SANITIZED, SEED, CallHouse
from house import status, until
from test_kill_steps import Trace

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production"),
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")]
SAMPLE = 6
# By the name of the call as strace has it.
NO_ROOM = ("ENOMEM", "EMFILE", "ENFILE")
ERRORS = {
    "accept4": ("EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED", "EAGAIN"),
    "bind": ("EADDRINUSE",), "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM"), "connect": ("ECONNREFUSED",),
    "copy_file_range": ("ENOSPC", "EIO"), "dup": ("EMFILE",), "dup2": ("EMFILE",),
    "epoll_create1": ("EMFILE",), "epoll_ctl": ("ENOMEM", "ENOSPC"), "eventfd2": ("EMFILE",),
    "fallocate": ("ENOSPC",), "fcntl": ("ENOLCK", "EINTR"), "fdatasync": ("EIO", "ENOSPC"),
    "flock": ("ENOLCK",), "fsync": ("EIO", "ENOSPC"), "ftruncate": ("EIO",),
    "getdents64": ("EIO",), "getsockname": ("ENOBUFS",), "getsockopt": ("ENOMEM",),
    "getrandom": ("EINTR",), "linkat": ("ENOSPC", "EIO"), "listen": ("EADDRINUSE",),
    "madvise": ("EAGAIN",), "memfd_create": NO_ROOM, "mkdirat": ("ENOSPC", "EIO"),
    "mmap": ("ENOMEM",), "mprotect": ("ENOMEM",), "mremap": ("ENOMEM",),
    "newfstatat": ("EIO", "ENOMEM"), "fstat": ("EIO",), "fstatfs": ("EIO",), "open": (*NO_ROOM, "EIO"),
    "openat": (*NO_ROOM, "EIO"), "openat2": (*NO_ROOM, "EIO", "EAGAIN"), "poll": ("EINTR",),
    "pread64": ("EIO", "EINTR"), "preadv2": ("EIO", "EAGAIN"), "pwrite64": ("ENOSPC", "EIO"),
    "read": ("EIO", "EINTR"), "recvfrom": ("ENOMEM", "EINTR", "EAGAIN"),
    "recvmsg": ("ENOMEM", "EINTR", "EAGAIN"), "renameat2": ("ENOSPC", "EIO"),
    "renameat": ("ENOSPC", "EIO"), "sendfile": ("EIO", "EAGAIN"),
    "sendmsg": ("ENOBUFS", "EINTR", "EAGAIN"), "sendto": ("ENOBUFS", "EINTR", "EAGAIN"),
    "setsockopt": ("ENOMEM",), "shutdown": ("ENOTCONN",), "signalfd4": ("EMFILE",),
    "socket": NO_ROOM, "socketpair": NO_ROOM, "splice": ("ENOMEM",), "stat": ("EIO",),
    "statx": ("EIO", "ENOMEM"), "sync_file_range": ("EIO", "ENOSPC"),
    "unlink": ("EIO",), "unlinkat": ("EIO",), "write": ("ENOSPC", "EIO", "EINTR"),
    "writev": ("EIO",), "close_range": ("ENOMEM",), "mlock": ("ENOMEM",),
    "seccomp": ("ENOMEM", "EPERM"), "landlock_create_ruleset": ("ENOMEM", "ENOSYS"),
    "landlock_add_rule": ("ENOMEM",), "landlock_restrict_self": ("EPERM",),
    "getcwd": ("ENOENT",), "readlink": ("EIO",), "access": ("EIO",), "lseek": ("EIO",),
}
# They cannot fail, or only the program's own mistake makes them; waitid and kill are about
# children that are there; brk has no errno; and close closes, whatever it says (test_calls.py).
SANITIZERS = {"sigaltstack"} if SANITIZED else set()  # calls of their own
# Where a sanitizer gets no memory of its own it ends the program itself, before main or after.
OF_SANITIZERS = {"mmap", "mprotect", "mremap", "madvise"} if SANITIZED else set()
SURE = {"brk", "close", "rt_sigprocmask", "rt_sigaction", "rt_sigreturn", "munmap", "getpid", "gettid", "umask",
        "clock_gettime", "sched_yield", "kill", "tgkill", "waitid", "wait4", "geteuid", "getuid",
        "getegid", "getgid", "getresuid", "sysinfo", "set_robust_list", "rseq", "rt_sigtimedwait", "getppid",
        "sched_getaffinity", "set_tid_address", "arch_prctl", "execve", "execveat", "prctl",
        "setsid", "setgroups", "setresuid", "setresgid", "setuid", "prlimit64", "capset",
        "capget", "setpgid", "epoll_pwait", "gettimeofday", "uname"}
PROGRAMS = {
    "restante-front": {}, "restante-keeper": {}, "restante-auth": {}, "restante-lmtpd": {},
    "restante-log": {}, "restante-keys": {"tls": True}, "restante-control": {"reload": True},
    "restanted": {"cold": True, "reload": True},
}


def pid_of(house, program):
    if program == "restanted":
        return house.p.pid

    def found():
        pids = house.pids(program)
        if program == "restante-keeper":
            pids = {p for p in pids if status(p)["Uid"].split()[0] == "5700"}
        return sorted(pids)
    return until(found, 15, f"a {program}")[0]


def steps_of(house, program, path, how):
    house.recover(house.boxes[0])
    with Trace(pid_of(house, program), path) as t:
        house.round(house.boxes[0], **how)
        if program == "restante-control":
            house.restante("stat")
        # On a busy machine the log may come to its lines only after the round.
        until(lambda: any(call in ERRORS for call, _ in t.steps()), 20, f"a call of {program}")
    steps = t.steps()
    house.recover(house.boxes[0])
    unknown = {call for call, _ in steps} - SURE - set(ERRORS) - SANITIZERS
    assert not unknown, f"{program} makes these calls: which errors may they have? {unknown}"
    return [(call, n) for call, n in steps if call in ERRORS and call not in OF_SANITIZERS]


def fail(house, program, path, call, n, error, how):
    """What is wrong. In the call's place one is made that every cage allows: strace's own, a
    number that is none, would be the end of the process."""
    box, mark, wrong = house.boxes[0], len(house.lines), []
    with Trace(pid_of(house, program), path, f"{call}:error={error}:syscall=getpid:when={n}"):
        try:
            refused = house.round(box, **how)
            if program == "restante-control":
                house.restante("stat")
        except AssertionError as e:
            # restante stat says so itself, with its own status, where control could not
            # answer.
            refused = [str(e)]
            # And a message whose file the disk does not give is left out, while that lasts.
            unread = error == "EIO" and str(e).startswith("missing: ")
            if program != "restante-control" and not unread:
                wrong.append(str(e))
        if n == 1:
            until(lambda: is_hit(path), 20, f"{call} of {program}, once")
    hit = is_hit(path)
    try:
        house.recover(box)
        if program == "restante-control":
            until(lambda: pid_of(house, program) and answers(house), 20, "answering again")
    except AssertionError as e:
        wrong.append(str(e))
    wrong += box.check()
    wrong += [x for x in house.lines[mark:] if CRASH.search(x) and not in_loader(path, x)]
    return hit, refused, wrong


def in_loader(path, line):
    """A program that the monitor started under the trace, and that died before its main, of
    which the first call is this one: so does the loader of shared libraries where it gets no
    memory at first, for whatever program."""
    pid = re.search(r"child_pid=(\d+)", line)
    rows = [x for x in path.read_text(errors="replace").splitlines()
            if pid and x.split(" ", 1)[0] == pid[1]]
    began = [i for i, x in enumerate(rows) if "execve" in x]
    return bool(began) and "(INJECTED)" in "".join(rows[began[-1]:]) and \
        not any("PR_SET_DUMPABLE" in x for x in rows[began[-1]:])


def is_hit(path):
    return "(INJECTED)" in path.read_text(errors="replace")


def sample(rng, faults):
    """One that each round meets, and others that it may."""
    first = [f for f in faults if f[1] == 1]
    return [rng.choice(first), *rng.sample(faults, min(SAMPLE - 1, len(faults)))]


def answers(house):
    try:
        return house.restante("stat")
    except AssertionError:
        return False


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_call_fails(house_dir, program):
    print(f"RESTANTE_SEED={SEED}")
    rng = random.Random(f"{SEED} {program} inject")
    how = dict(PROGRAMS[program])
    tls = how.pop("tls", False)
    base = house_dir("inject")
    wrong, told, hits = [], 0, collections.Counter()
    with CallHouse(base, tls=tls) as house:
        path = house.base / "trace"
        steps = steps_of(house, program, path, how)
        faults = [(call, n, e) for call, n in steps for e in ERRORS[call]]
        for call, n, error in faults if LONG else sample(rng, faults):
            hit, refused, found = fail(house, program, path, call, n, error, how)
            hits[call] += hit
            told += bool(refused)
            if found:
                wrong.append(f"{call}:{n} {error}: {found}; refused: {refused}\n"
                             + house.log()[-1500:])
    print(f"{program}: {len(steps)} calls a round; failed: {dict(hits)}; {told} rounds told of it")
    assert not wrong, "\n".join(wrong)
    assert sum(hits.values()) > 0, "nothing was injected"
