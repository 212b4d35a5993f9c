"""What the hot paths cost in instructions, which do not depend on the machine's load: unit
programs in their cost mode under callgrind, with two numbers of repetitions, so that start
and end fall out. A bound is what was reached plus 10 %; doc/performance.md says what the
instructions are. Whoever needs more has a reason and moves the bound."""
import os
import pathlib
import platform
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", "build")).absolute()
NO_SUCH_KERNEL = 77
# Of one login, all of it but the system calls (tests/unit/auth_cost.c).
PLAIN_LOGIN_MAX = 30100
CACHED_TO_PLAIN = 1.05
# Of one session in the pure core (tests/unit/front_cost.c).
LOGIN_SESSION_MAX, POLL_SESSION_MAX = 12960, 42200
# Of one KiB of a message that is retrieved.
RETR_KIB_MAX = {"avx2": 1330, "byte": 20400}

pytestmark = pytest.mark.anyone


def is_sanitized(program):
    return b"__asan_init" in program.read_bytes()


def total(tmp_path, program, *args):
    """Instructions of a whole run; None: this processor lacks what is measured."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp_path}/callgrind", program, *args],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode == NO_SUCH_KERNEL:
        return None
    assert run.returncode == 0, run.stderr
    return int(re.search(r"Collected : (\d+)", run.stderr).group(1))


def each(tmp_path, name, mode, few, many, *more):
    program = BUILD / "tests" / "unit" / f"unit_{name}"
    if is_sanitized(program):
        pytest.skip("instructions of a sanitized build are not the product's")
    low = total(tmp_path, program, mode, str(few), *more)
    if low is None:
        pytest.skip(f"this processor has no kernel {more[0]}")
    return (total(tmp_path, program, mode, str(many), *more) - low) / (many - few)


def test_a_remembered_hash_costs_no_more_than_a_plain_password(tmp_path):
    plain = each(tmp_path, "auth_cost", "plain", 50, 350)
    cached = each(tmp_path, "auth_cost", "cached", 50, 350)
    assert cached <= CACHED_TO_PLAIN * plain, f"cached {cached:.0f}, plain {plain:.0f}"
    assert plain <= PLAIN_LOGIN_MAX, f"{plain:.0f} instructions a login"


@pytest.mark.parametrize("mode,most", [("login", LOGIN_SESSION_MAX), ("poll", POLL_SESSION_MAX)],
                         ids=["login", "poll"])
def test_a_session_in_the_core(tmp_path, mode, most):
    got = each(tmp_path, "front_cost", mode, 50, 350)
    assert got <= most, f"{got:.0f} instructions a session"


@pytest.mark.parametrize("kernel", ["avx2", "byte"])
def test_a_kib_of_a_message(tmp_path, kernel):
    if kernel == "avx2" and platform.machine() != "x86_64":
        pytest.skip("this processor has no kernel avx2")
    got = each(tmp_path, "front_cost", "retr", 10, 60, kernel) / 32
    assert got <= RETR_KIB_MAX[kernel], f"{got:.0f} instructions for a KiB"
