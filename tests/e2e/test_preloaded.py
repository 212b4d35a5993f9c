"""A process alone to which a library, loaded first, shows what a test cannot make: no memory, a
file system of whole seconds. Sanitizers come between the same calls."""
import errno
import itertools
import os
import time

import pytest

from front_alone import BUILD, SECONDS, Front, readable
from lmtpd_alone import Lmtpd
from postoffice import until
from test_auth_process import Auth
from test_front_alone import MAIL

STAMP_SHIM = os.path.abspath(os.path.join(BUILD, "tests/fault/libstamp_shim.so"))


def test_no_memory_for_what_auth_offers_is_told_as_that(tmp_path):
    front = Front(tmp_path, fail="calloc:%d:1" % errno.ENOMEM)
    assert readable(front.auth, SECONDS) and front.auth.recv(10) == b""
    # What is offered is known with the next channel.
    front.new_auth()
    front.session(MAIL)
    assert front.count("PROTOCOL_FAULTS") == 0
    assert any(b"auth_lost" in r and b"no memory for what it offers" in r for r in front.logged())
    front.close()


def test_no_memory_for_a_listener_is_told_as_that(tmp_path):
    lmtpd = Lmtpd(tmp_path, fail="calloc:%d:1" % errno.ENOMEM)
    lmtpd.listen()
    assert lmtpd.record("listener_lost")["error"]
    assert lmtpd.ends(71)
    assert lmtpd.count("PROTOCOL_FAULTS") == 0
    with pytest.raises(AssertionError):
        lmtpd.close()


def test_a_change_of_the_same_length_and_stamp_counts_at_once(tmp_path):
    """As two within a second have, where a file system knows no less than seconds."""
    a = Auth(tmp_path, "bob:{PLAIN}old\n", preload=STAMP_SHIM)
    sessions = itertools.count(1)

    def comes(word):
        a.login(next(sessions), b"bob", word)
        return a.answer()[0]

    second, words, seen = int(time.time()), (b"old", b"new"), 0
    while seen < 4:
        words = words[::-1]
        a.path.write_bytes(b"bob:{PLAIN}%s\n" % words[0])
        os.utime(a.path, (second, second))
        got = [comes(word) for word in words]
        if time.time() < second + 2:
            assert got == ["grant", "failed"]
            seen += 1
        else:  # the machine slept, and it proves nothing
            second = int(time.time())
    # When that time is over it is read once more, and then stays.
    until(lambda: time.time() > second + 3 and comes(words[0]) == "grant", 60)
    asked = a.asked
    for _ in range(20):
        assert comes(words[0]) == "grant"
    assert a.asked == asked
    assert a.done() == 0
