"""Every write, sync, name and SQLite call of a run fails in turn. The run ends with a good
status, deletes nothing on the server that is not sure on the disk, and runs without faults
set all right."""
import itertools
import random
import shutil

import pytest

from fetch_drop import LONG, SANITIZED, SEED, SHIM, Drop, Place, make_base, make_mails
from fetch_model import Line, Model, read_trace

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
FILE_ERRORS, SQL_ERRORS = ("ENOSPC", "EIO", "EDQUOT"), ("FULL", "IOERR", "BUSY")
# EX_SOFTWARE and the like would be a run that did not know what to say.
SAMPLE = 4  # calls of a kind
CODES = {0: "all else was collected", 75: "later"}


@pytest.fixture(scope="module")
def base():
    path = make_base("fetch-calls")
    yield path
    shutil.rmtree(path)


def sure_at_quit(place, mails):
    """Of the trace of a run: what QUIT deleted and was not sure by then."""
    model, wrong = Model(place.root), []

    def look(gone):
        copies = place.copies_in({p: x for p, x in model.tree(only_sure=True).items()
                                  if x is not None})
        wrong.extend(f"deleted, not sure in {where}: {m.uid.decode()}"
                     for m in gone for where, c in copies.items() if not c[m.digest])
    model.at_quit = look
    model.feed(Line("arrive", mails))
    for line in read_trace(place.root.parent / "trace"):
        model.feed(line)
    return wrong


def counts(place, drop):
    path = place.root.parent / "counts"
    assert place.run(drop.port, place.shim(counts=path)).code == 0
    return {k: int(n) for k, n in (x.split() for x in path.read_text().splitlines())}


@pytest.mark.parametrize("targets,keep", [
    ("maildir", False), ("mbox", False), ("both", False), ("two", False),
    pytest.param("both", True, marks=pytest.mark.long)])
def test_each_call_fails(base, targets, keep):
    assert SHIM.exists(), SHIM
    rng = random.Random(f"{SEED} calls")
    print(f"RESTANTE_SEED={SEED}")
    mails = make_mails(3, rng)
    drop = Drop(mails)
    trace = base / "trace"
    place = Place(base / f"{targets}-{keep}", targets, keep, ["--commit-messages", "2"])
    wrong, codes = [], {}
    try:
        calls = counts(place, drop)
        assert calls["write"] and calls["fsync"] and calls["fdatasync"] and calls["sql_step"]
        for kind, most in calls.items():
            errors = SQL_ERRORS if kind.startswith("sql_") else FILE_ERRORS
            # In the quick form a call fails with one of the errors.
            which = itertools.cycle(errors)
            # In the quick form a sample of the calls.
            ns = range(1, most + 1)
            for n in ns if LONG else sorted(rng.sample(ns, min(most, SAMPLE))):
                for error in errors if LONG else [next(which)]:
                    place.fresh()
                    drop.mails, drop.faults = list(mails), []
                    fault = f"{kind}:{n}:{error}"
                    ran = place.run(drop.port, place.shim(fault=fault, trace=trace))
                    codes[ran.code] = codes.get(ran.code, 0) + 1
                    found = sure_at_quit(place, mails)
                    if ran.code not in CODES:
                        found += [f"exit status {ran.code}: {ran.err!r}"]
                    if ran.code and not ran.err:
                        found += [f"exit status {ran.code} without a word"]
                    found += place.what_is_wrong(drop, mails)
                    if found:
                        wrong.append(f"{fault}: {found}")
    finally:
        drop.close()
    print(f"{targets} keep={keep}: calls {calls}, exit statuses {codes}")
    assert codes.get(75), "no call that failed stopped a run"
    assert not wrong, f"{len(wrong)} of {sum(codes.values())}:\n" + "\n".join(wrong[:40])
