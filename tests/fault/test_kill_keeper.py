"""200 kills of keepers (50 in the quick form) under load: an owner's sessions are cut, no lock is left."""
import os

import pytest

from kill_load import LONG, series

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 200 if LONG else 50
ALONE = 50 if LONG else 30


def cuts(seen):
    """What the kills cost: where a session is only being opened, the front says so."""
    return sum(n for what, n in seen.items()
               if what.startswith(("cut:", "login cut", "-ERR [SYS/TEMP]")))


def test_kills(house_dir):
    h, seen = series(house_dir, "keeper", KILLS, lambda rng: rng.uniform(0, 0.2))
    assert h.ended("restante-keeper") == KILLS
    assert cuts(seen) > KILLS / 20 and seen["confirmed"] > KILLS / 2 and \
        seen["deleted"] > KILLS / 2, seen


def test_one_keeper_for_each_session(house_dir):
    """The next session of that user is another process, which finds the lock free."""
    h, seen = series(house_dir, "keeper", ALONE, lambda rng: rng.uniform(0, 0.1),
                     keeper_sessions=1)
    assert h.ended("restante-keeper") == ALONE
    assert cuts(seen) > 0 and seen["confirmed"] > KILLS / 4, seen
