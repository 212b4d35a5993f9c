"""Fixtures for tests that run the real programs.

office(...)   a factory: starts `restante sandbox` with any options and stops it again;
              every office must leave nothing behind. module_office: one for a whole file.
base          a directory that everybody may enter; module_base: one for a whole file.

The programs are those of $RESTANTE_BUILD (default: build/). Tests start servers as root
and look into processes that nobody else may look into; without root only those marked
`anyone` run (and of those, not the ones marked `root`).
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "e2e"))

from postoffice import make_base, start_offices  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "anyone: runs without root too")
    config.addinivalue_line("markers", "root: needs root, among tests that do not")
    config.addinivalue_line("markers", "long: only in ./check --long")


def pytest_collection_modifyitems(config, items):
    # What is for the long form is not skipped in the short one: it is no part of it.
    later = [] if os.environ.get("RESTANTE_LONG") else [
        item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in later]
    config.hook.pytest_deselected(items=later)
    for item in items:
        anyone = item.get_closest_marker("anyone") and not item.get_closest_marker("root")
        if os.geteuid() != 0 and not anyone:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def office():
    yield from start_offices()


@pytest.fixture(scope="module")
def module_office():
    yield from start_offices()


@pytest.fixture
def base():
    """A directory that everybody may enter (pytest's own is closed to other users)."""
    yield from make_base()


@pytest.fixture(scope="module")
def module_base():
    yield from make_base()
