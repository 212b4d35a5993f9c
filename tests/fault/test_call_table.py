"""No call escapes test_calls.py and test_fetch_nth.py: what a program imports from the C
library is failed by call_shim, or stands here as making no system call, or none that can fail
where it is used. Who brings a new call adds it to call_shim.c with the errors it may have."""
import re
import subprocess

import pytest

from call_house import BUILD, SANITIZED, SHIM

PROGRAMS = ["restanted", "restante-front", "restante-auth", "restante-keeper", "restante-lmtpd",
            "restante-log", "restante-control", "restante-keys", "restante-fetch"]
# Texts, memory, sets of signals, locks of threads, what a process knows of itself.
SURE = re.compile(
    r"_*(mem|str|pthread_(mutex|cond|attr|sigmask|join|tryjoin|once)|inet_|"
    r"sig(add|empty|fill|abbrev)|"
    r"posix_spawn|get(e?[ug]id|p?pid|env|pgrp|resuid|rlimit64|hostname|cwd|opt)|tc[gs]et).*|"
    r"__cxa_finalize|__errno_location|__libc_start_main|__stack_chk_fail|__sched_cpucount|"
    r"_*v?(as|d|f|s|sn)?printf(_chk)?|__explicit_bzero_chk|_exit|clearenv|setenv|secure_getenv|"
    r"clock_gettime|time|timegm|tzset|gmtime_r|free|qsort(_r)?|mallopt|sysconf|umask|isatty|"
    r"f?put[cs]|putchar|fwrite|fflush|__realpath_chk|snprintf|__strcat_chk|tolower|"
    # Closed, let go of, ended; children that are there; a signal to one of them.
    r"closedir|freeaddrinfo|munmap|munlock|kill|waitid|waitpid|setsid|sigaction|sigprocmask|"
    r"sigtimedwait|sched_getaffinity|lseek64|epoll_pwait2?|"
    # Fails closed: what cannot become another user, or another program, ends.
    r"setuid|fexecve|"
    # The library's own calls below these are not seen; their results are used in fetch alone.
    r"fdopendir|readdir64|getaddrinfo|getnameinfo|getpwuid_r|ioctl|mlock")


def names(which, path):
    out = subprocess.run(["nm", "-D", which, path], check=True, capture_output=True, text=True)
    return [line.split() for line in out.stdout.splitlines()]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer imports what it likes")
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_import_is_known(program):
    failed = {words[2] for words in names("--defined-only", SHIM) if words[1] == "T"}
    imported = {words[-1].split("@")[0] for words in names("--undefined-only", BUILD / program)
                if "@GLIBC" in words[-1]}
    assert len(imported) > 50 and len(failed) > 80
    unknown = {x for x in imported - failed if not SURE.fullmatch(x)}
    assert not unknown, f"{program} calls what no test lets fail: {sorted(unknown)}"
