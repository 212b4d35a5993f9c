"""The house of tests/privs serves here too."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "privs"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


@pytest.fixture(scope="module")
def house_dir():
    """house_dir(name): a directory that every user may enter, gone at the end."""
    made = []

    def make(name):
        made.append(tempfile.mkdtemp(prefix=f"restante-{name}."))
        return made[-1]
    yield make
    for path in made:
        shutil.rmtree(path, ignore_errors=True)
