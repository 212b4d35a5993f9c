"""Start and end of a house of which the calls fail, or the power: what the tests of stores, of
the tools that write into maildrops or files, and of the retriever's tasks have in common.

    base, driver = fixtures("store-crash")
"""
import shutil

import pytest

from store_scripts import DRIVE, SEED, SHIM, Driver, make_base


def base_fixture(name, mode=None):
    """A directory for a whole file of tests, in memory where that can be."""
    @pytest.fixture(scope="module")
    def base():
        assert DRIVE.exists() and SHIM.exists(), DRIVE
        print(f"RESTANTE_SEED={SEED}")
        path = make_base(name)
        if mode is not None:
            path.chmod(mode)
        yield path
        shutil.rmtree(path)
    return base


def fixtures(name, mode=None):
    """The directory, and the program that plays scripts of a store."""
    @pytest.fixture(scope="module")
    def driver():
        d = Driver()
        yield d
        d.close()
    return base_fixture(name, mode), driver
