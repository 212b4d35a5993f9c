"""`restante fetch` where few files may be open: what is asked for, what waits for its delivery and
what is made ahead stay within the limit, so that a run is slower there and no less whole."""
import os
import resource
import subprocess

import pytest

from fetch_daemon import Base, Houses, settings
from fetch_faulty import plain_mails
from fetch_trial import REPORT

OSERR = 71


def run(place, limit, code=0):
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    (place.base / "mail").mkdir(exist_ok=True)
    got = subprocess.run(place.command(), stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=300, env=place.environment(), preexec_fn=limited)
    said = (got.stdout + got.stderr).decode()
    assert not REPORT.search(said), said
    assert got.returncode == code, f"{got.returncode}, not {code}: {said[-2000:]}"
    assert "Too many open files" not in said
    return said


def is_whole(place, house, account, user):
    drop = house.drops[user]
    assert drop.mails == []
    assert place.mails(account) == sorted(m.octets.replace(b"\r\n", b"\n") for m in drop.ever)
    assert not os.listdir(place.maildir(account) / "tmp")
    assert len(house.visits(user)) == 1


@pytest.mark.parametrize("limit", [512, 256])
def test_one_account(tmp_path, limit):
    place = Base(tmp_path)
    with Houses({"anna": plain_mails(3000)}) as house:
        place.write({"a": settings(house)})
        run(place, limit)
        is_whole(place, house, "a", "anna")


@pytest.mark.parametrize("limit", [512, 256])
def test_six_accounts(tmp_path, limit):
    place = Base(tmp_path)
    names = [f"u{i}" for i in range(6)]
    with Houses({n: plain_mails(500, start=1000 * i) for i, n in enumerate(names)}) as house:
        place.write({n: settings(house, n) for n in names})
        run(place, limit)
        for n in names:
            is_whole(place, house, n, n)


def test_more_accounts_than_files(tmp_path):
    """Fewer than `parallel` run side by side, and who is done closes what it had open."""
    place = Base(tmp_path)
    names = [f"u{i}" for i in range(40)]
    with Houses({n: plain_mails(20, start=1000 * i) for i, n in enumerate(names)}) as house:
        place.write({n: settings(house, n) for n in names})
        run(place, 128)
        for n in names:
            is_whole(place, house, n, n)


def test_too_few(tmp_path):
    """It is said at the start, with what is needed; nobody is connected to."""
    place = Base(tmp_path)
    with Houses({"anna": plain_mails(3)}) as house:
        place.write({"a": settings(house)})
        said = run(place, 48, OSERR)
        assert "the limit of open files (ulimit -n) is 48; raise it to " in said
        assert not house.sessions
        run(place, int(said.split("raise it to ")[1].split()[0]))
        is_whole(place, house, "a", "anna")
