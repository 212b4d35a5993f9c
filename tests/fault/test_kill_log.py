"""200 kills of log (50 in the quick form) under load: nobody notices, and the log goes on."""
import os

import pytest

from kill_load import LONG, series

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 200 if LONG else 50
# Some die while they start. Where the mean life is short, the monitor waits ever longer.
PAUSES = [(0, 0.03)] + 7 * [(0.12, 0.2)]


def test_kills(house_dir):
    h, seen = series(house_dir, "log", KILLS, lambda rng: rng.uniform(*rng.choice(PAUSES)))
    assert seen["cut"] == seen["login cut"] == seen["QUIT without +OK"] == 0, seen
    assert seen["confirmed"] > KILLS / 2, seen
    # What a killed one had taken and not written is lost with it, and no more.
    assert h.ended("restante-log") > KILLS / 2
    assert h.told("event=logout .*reason=quit") > seen["confirmed"] / 2
