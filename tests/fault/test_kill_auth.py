"""200 kills of auth (50 in the quick form) under load: logins wait for the next one, sessions notice nothing."""
import os

import pytest

from kill_load import LONG, series

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 200 if LONG else 50
# Some die while they start. Where the mean life is short, the monitor waits ever longer.
PAUSES = [(0, 0.03)] + 7 * [(0.12, 0.2)]


def test_kills(house_dir):
    h, seen = series(house_dir, "auth", KILLS, lambda rng: rng.uniform(*rng.choice(PAUSES)))
    assert h.ended("restante-auth") == KILLS
    assert seen["-ERR [SYS/TEMP]"] > KILLS / 20 and seen["confirmed"] > KILLS / 2, seen
    assert seen["cut"] == seen["login cut"] == seen["QUIT without +OK"] == 0, seen
