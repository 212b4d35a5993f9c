"""200 kills of fronts (50 in the quick form) under load: sessions are cut, and that is all."""
import os

import pytest

from kill_load import LONG, series

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 200 if LONG else 50


def test_kills(house_dir):
    h, seen = series(house_dir, "front", KILLS, lambda rng: rng.uniform(0, 0.25))
    assert h.ended("restante-front") == KILLS
    assert seen["cut"] > KILLS / 20 and seen["confirmed"] > KILLS / 2 and \
        seen["deleted"] > KILLS / 2, seen
