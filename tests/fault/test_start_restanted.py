"""Every system call and allocation of the monitor's start fails in turn."""
from start_house import MARKS, each_fails

pytestmark = MARKS


def test_each_call_fails(house_dir):
    each_fails(house_dir, "restanted")
