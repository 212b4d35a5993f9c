"""The simulation of the whole office (README.md): seeds, that they replay, and that it
finds what is wrong. Long: RESTANTE_LONG=1."""

import concurrent.futures
import os
import pathlib
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", "build"))
SIM = BUILD / "tests" / "sim" / "sim"
LONG = os.environ.get("RESTANTE_LONG") == "1"
SEEDS = 100000 if LONG else 1000
PLANTS_SEEDS = 1000
PARTS, SIDE_BY_SIDE = 4, 2
# Leaks are what processes leave that were killed.
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0")

# A fault that the simulation makes itself, and what it then must say.
PLANTS = {
    "lost-verdict": r"is there after \+OK to QUIT|was not collected",
    "extra-delete": r"which nobody who said QUIT has marked|copy is not safe",
    "double-answer": r"nobody asked for|that is none|after QUIT|a listing says",
    "wrong-octet": r"other octets|that is none|nobody wrote|a listing says|has \d+ octets",
    "two-sessions": r"two sessions hold",
    "unsynced-file": r"copy is not safe|nobody wrote|is lost|other octets|not listed|for sure",
    "unsynced-directory": r"copy is not safe|if the power failed now|is lost|not listed|for sure",
    "forged-deposit": r"are there for sure|is lost|not listed",
}


def is_sanitized():
    return b"__asan_init" in SIM.read_bytes()


def sim(*arguments):
    return subprocess.run([SIM, *map(str, arguments)], capture_output=True, text=True,
                          errors="replace", env=ENVIRONMENT, check=False)


@pytest.mark.parametrize("part", range(PARTS))
def test_seeds(part):
    """Nothing is lost or doubled, whatever happens. A seed that fails says how to see it."""
    n = (200 if is_sanitized() else SEEDS) // PARTS // SIDE_BY_SIDE
    starts = [(part * SIDE_BY_SIDE + i) * n for i in range(SIDE_BY_SIDE)]
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for start, done in zip(starts, pool.map(lambda start: sim(start, n), starts)):
            assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
            said = f"{n} seeds from {start} on: nothing lost, nothing doubled"
            assert said in done.stdout


def test_a_seed_replays():
    """The same seed gives the same events, each of them, and another seed others."""
    first = sim(7, 12, "--hash")
    assert first.returncode == 0, first.stdout[-20000:]
    assert sim(7, 12, "--hash").stdout == first.stdout
    hashes = re.findall(r"seed \d+: ([0-9a-f]{16})", first.stdout)
    assert len(set(hashes)) == 12
    # With the trace, alone, and not as one of several.
    alone = sim(9, "--trace", "--hash").stdout
    assert f"seed 9: {hashes[2]}," in alone
    assert sim(9, "--trace", "--hash").stdout == alone


def test_seeds_are_worth_it():
    """Messages come and go, processes are killed, the power fails."""
    out = sim(0, 40, "--hash").stdout
    numbers = re.findall(r"(\d+) events, (\d+) letters, (\d+) sure, (\d+) gone, (\d+) kills, "
                         r"(\d+) crashes", out)
    events, letters, sure, gone, kills, crashes = map(sum, zip(*(map(int, n) for n in numbers)))
    assert len(numbers) == 40
    assert events > 40 * 500 and letters > 400 and sure > 400 and gone > 400
    assert kills > 40 and crashes > 10


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_wrong_is_found(plant):
    """A fault of the simulation's own making is found, said, and seen again."""
    done = sim(0, PLANTS_SEEDS, "--plant", plant)
    assert done.returncode == 1
    found = re.findall(r"^seed (\d+): (.*)$", done.stdout, re.MULTILINE)
    assert len(found) == 1
    assert re.search(PLANTS[plant], found[0][1]), found
    again = sim(found[0][0], "--plant", plant)
    assert again.stdout == done.stdout


def test_usage():
    assert sim().returncode == 64
    assert sim("x").returncode == 64
    assert sim(1, 2, 3).returncode == 64
