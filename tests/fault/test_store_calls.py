"""Every call of a store's script fails in turn: those that change files, and those that only
look. What was answered is true: a message whose deposit was answered is there, and one whose
deposit failed is not; what was said to be removed is gone, and nothing else; no client is
shown less than there is, or another message under a UIDL that it knows. Then a second
attempt without faults sets all right.

In the quick form each call fails with one of its errors, and a sample of the calls is taken;
RESTANTE_LONG=1 takes all.
"""
import random

import pytest

from crash_house import fixtures
from store_scripts import BY_NAME, LONG, SANITIZED, SCRIPTS, SEED, House, Ledger

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer comes between the same calls")
SAMPLE = 50
WRONG_MAX = 40
ERRORS = {
    "write": ("ENOSPC", "SHORT", "EIO", "EINTR", "EDQUOT"),
    "pwrite": ("ENOSPC", "SHORT", "EIO", "EINTR", "EDQUOT"),
    "copy": ("ENOSPC", "SHORT", "EIO"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "sync_range": ("EIO", "ENOSPC"),
    "create": ("ENOSPC", "EMFILE", "EIO", "EDQUOT", "EINTR"),
    "rename": ("EIO", "ENOSPC", "EDQUOT"),
    "link": ("EIO", "ENOSPC", "EDQUOT"),
    "unlink": ("EIO",),
    "mkdir": ("ENOSPC", "EDQUOT", "EIO"),
    "truncate": ("EIO", "EINTR", "ENOSPC"),
    "open": ("EMFILE", "EIO", "EINTR"),
    "stat": ("EIO",),
    "read": ("EIO", "EINTR", "SHORT"),
    "directory_read": ("EIO",),
    "lock": ("ENOLCK", "EINTR", "EIO"),
}
LOOKS = ("open", "stat", "read", "directory_read", "lock")
# Of two messages with one name (but for flags) each has a UIDL by what it holds, and the log
# tells which is used up. Where one of them cannot be looked at, or nothing can be written
# ever, the UIDL of one may be shown for the other: here only what changes files fails, once.
CHANGES_ONLY = ("maildir-twins",)
# From a call on to the end: a full disk, a full quota, a broken one.
LASTING = {"pwrite": ("ENOSPC", "EIO"), "write": ("ENOSPC", "EIO"), "create": ("ENOSPC",),
           "fsync": ("EIO",), "fdatasync": ("EIO",), "link": ("ENOSPC",), "rename": ("ENOSPC",)}


base, driver = fixtures("store-calls")


def count_calls(house):
    path = house.root.parent / "counts"
    house.fresh()
    house.run(counts=path)
    return {k: int(n) for k, n in (x.split() for x in path.read_text().splitlines()) if n != "0"}


def faults_of(calls, rng, changes_only):
    """All in the long form; else each call once, and of those a sample."""
    if changes_only:
        return [f"{kind}:{n}:{e}" for kind, most in calls.items() if kind not in LOOKS
                for n in range(1, most + 1) for e in ERRORS[kind]]
    assert set(calls) <= set(ERRORS), calls
    if LONG:
        out = [f"{kind}:{n}:{e}" for kind, most in calls.items() for n in range(1, most + 1)
               for e in ERRORS[kind]]
    else:
        out = [f"{kind}:{n}:{rng.choice(ERRORS[kind])}" for kind, most in calls.items()
               for n in range(1, most + 1)]
    lasting = [f"{kind}:{n}+:{e}" for kind, errors in LASTING.items()
               for n in range(1, calls.get(kind, 0) + 1) for e in errors]
    if LONG:
        return out + lasting
    # What only looks is the larger part and fails in fewer ways.
    changes = [x for x in out if x.split(":")[0] not in ("stat", "read", "open")]
    looks = [x for x in out if x not in changes]
    return (rng.sample(changes, min(len(changes), SAMPLE * 5 // 10)) +
            rng.sample(looks, min(len(looks), SAMPLE * 3 // 10)) +
            rng.sample(lasting, min(len(lasting), SAMPLE * 2 // 10)))


def what_is_wrong(house, fault):
    """Faults in words, and whether anything was answered with an error."""
    house.fresh()
    said = house.run(fault=fault)
    ledger = Ledger(house.letters, house.script)
    ledger.is_hiding = ledger.is_faulty = True
    for x in said:
        ledger.say(x)
    wrong = ledger.wrong
    refused = any(x.split(" ")[0] in ("locked", "refreshed", "imported", "removed") and
                  x.split(" ")[1] != "0" or
                  x.startswith("deposited") and x.split(" ")[2] != "0" for x in said)
    if not wrong:
        wrong = house.look(ledger)
    return wrong, refused


@pytest.mark.parametrize("name", [s.name for s in SCRIPTS])
def test_each_call_fails(base, driver, name):
    house = House(base, BY_NAME[name], driver)
    rng = random.Random(f"{SEED} {name} calls")
    calls = count_calls(house)
    assert calls["fsync"] and calls["create"] and calls["stat"] and calls["read"]
    wrong, refused, tried = [], 0, 0
    for fault in faults_of(calls, rng, name in CHANGES_ONLY):
        found, was_refused = what_is_wrong(house, fault)
        tried += 1
        refused += was_refused
        if found:
            wrong.append(f"{fault}: {found}")
            if len(wrong) == WRONG_MAX:
                break
    print(f"{name}: {sum(calls.values())} calls {calls}; {tried} faults, {refused} refused")
    assert not wrong, "\n".join(wrong)
    assert refused > 2, "hardly any fault was told"
