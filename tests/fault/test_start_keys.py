"""Every system call and allocation of keys's start fails in turn."""
from start_house import MARKS, each_fails

pytestmark = MARKS


def test_each_call_fails(house_dir):
    each_fails(house_dir, "keys")
