"""200 kills of fronts under load: sessions are cut, and that is all."""
import os

import pytest

from kill_load import series

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 200


def test_kills(house_dir):
    h, seen = series(house_dir, "front", KILLS, lambda rng: rng.uniform(0, 0.25))
    assert h.ended("restante-front") == KILLS
    assert seen["cut"] > 10 and seen["confirmed"] > 100 and seen["deleted"] > 100, seen
