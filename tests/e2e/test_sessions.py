"""Sessions side by side on one maildrop, mail that comes and goes, and sizes beyond 4 GiB."""
import os
import re
import time

import pytest
from fetch_trial import is_sanitized
from postoffice import NOBODY, make_maildir, until
from nasty import wire
from pop import Pop

pytestmark = pytest.mark.anyone

GIB = 1 << 30
# A sanitizer looks at the same steps many times over: fewer will do, but in the long form.
SPARSE = (GIB // 4 if is_sanitized() and not os.environ.get("RESTANTE_LONG") else 5 * GIB) + 12345


def connect(o, name, secure=False, timeout=60):
    p = Pop(o.host, o.pop3s if secure else o.pop3, o.ca if secure else None, timeout)
    return p, p.login(name, "secret")


@pytest.fixture(scope="module")
def house(module_office, module_base):
    mail = [b"Subject: %d\n\nx\n" % i for i in range(5)]
    names = ("inuse", "inuse2", "drop", "both", "seen", "gone", "late", "uidl", "unread")
    for name in names:
        make_maildir(module_base / name, mail)
    o = module_office(users=[f"{n}:secret:{module_base / n}" for n in names])
    o.base = module_base
    return o


def test_second_session_is_told_who_and_since_when(house):
    before = int(time.time())
    first, answer = connect(house, "inuse")
    assert answer.startswith(b"+OK")
    second, answer = connect(house, "inuse", secure=True)
    assert answer.startswith(b"-ERR [IN-USE] ") and b"127.0.0.1" in answer, answer
    # The time it names is that of the first login, in whatever form.
    text = answer.decode()
    stamp = re.search(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", text)
    if stamp:
        since = time.mktime(tuple(map(int, stamp.groups())) + (0, 0, 0)) - time.timezone
        assert before - 2 <= since <= time.time() + 2, text
    else:
        assert re.search(r"since|for", text), text
    # The refused one may try again on the same connection once the first has gone.
    assert first.say("QUIT").startswith(b"+OK")
    assert first.rest() == b""
    assert until(lambda: second.login("inuse", "secret").startswith(b"+OK"), 60)
    second.close()
    first.close()


def test_a_wrong_password_never_learns_of_the_session(house):
    first, answer = connect(house, "inuse2")
    assert answer.startswith(b"+OK")
    with Pop(house.host, house.pop3) as p:
        assert p.login("inuse2", "wrong").startswith(b"-ERR [AUTH]")
    first.close()


def test_a_dropped_connection_deletes_nothing_and_frees_the_lock(house):
    p, _ = connect(house, "drop")
    for n in range(1, 6):
        assert p.say(f"DELE {n}").startswith(b"+OK")
    p.close()

    def again():
        q, answer = connect(house, "drop")
        with q:
            return answer.startswith(b"+OK") and q.say("STAT").split()[1] == b"5"
    until(again, 60, "the lock stayed")


def test_deletions_are_one_decision(house):
    box = house.base / "both" / "new"
    p, _ = connect(house, "both")
    with p:
        for n in (1, 3, 5):
            assert p.say(f"DELE {n}").startswith(b"+OK")
        assert len(list(box.iterdir())) == 5, "before QUIT all is there"
        assert p.say("QUIT").startswith(b"+OK")
        left = [f.read_bytes() for part in ("new", "cur") for f in (box.parent / part).iterdir()]
        assert sorted(left) == [b"Subject: 1\n\nx\n", b"Subject: 3\n\nx\n"], "with +OK it is gone"


def test_mail_that_comes_during_a_session(house):
    box = house.base / "late"
    p, _ = connect(house, "late")
    with p:
        (box / "new" / "1900000000.M1P1.test").write_bytes(b"Subject: late\n\ny\n")
        os.chown(box / "new" / "1900000000.M1P1.test", *([NOBODY] * 2 if os.geteuid() == 0
                                                         else [-1, -1]))
        assert p.say("STAT").split()[1] == b"5"
        assert p.say("QUIT").startswith(b"+OK")
    p, _ = connect(house, "late")
    with p:
        assert p.say("STAT").split()[1] == b"6"
        assert p.say("RETR 6").startswith(b"+OK 20 octets")
        assert p.body() == wire(b"Subject: late\n\ny\n") + b".\r\n"


def test_uidls_are_file_names_and_stay(house):
    box = house.base / "uidl"
    for i, f in enumerate(sorted((box / "new").iterdir())):
        if i % 2:
            f.rename(box / "cur" / f"{f.name},S={f.stat().st_size}:2,S")
    first = None
    for _ in range(2):
        p, answer = connect(house, "uidl")
        with p:
            assert answer.startswith(b"+OK")
            rows = p.multi("UIDL")
            assert p.say("QUIT").startswith(b"+OK")
        assert rows == [b"%d %d.M%06dP1.test" % (i + 1, 1700000000 + i, i) for i in range(5)]
        assert first in (None, rows)
        first = rows


def test_a_message_that_cannot_be_read_is_told_and_comes_back(house):
    """Not at each login, but again when it is another one."""
    files = sorted((house.base / "unread" / "new").iterdir())

    def shown(modes):
        for f, mode in zip(files, modes):
            f.chmod(mode)
        p, _ = connect(house, "unread")
        with p:
            uidls = [row.split()[1].decode() for row in p.multi("UIDL")]
            assert p.say("QUIT").startswith(b"+OK")
        assert uidls == [f.name for f, mode in zip(files, modes) if mode]

    def told(what):
        house.wait_for_log(rf"event=maildrop_notice user=unread .*{what}")

    read = 0o600
    for _ in range(3):
        shown([read, 0, read, 0, read])
    # Which of the two was looked at first is the file system's affair.
    either = "|".join(re.escape(files[i].name) for i in (1, 3))
    told(f"new/({either}): Permission denied, and 1 more like it")
    shown([read, read, read, 0, read])
    told(f"new/{re.escape(files[3].name)}: Permission denied; ")
    shown([read] * 5)
    assert house.log().count("event=maildrop_notice user=unread ") == 2


@pytest.fixture(scope="module")
def sparse(module_office, module_base):
    box = make_maildir(module_base / "sparse", [b"Subject: small\n\nx\n"])
    path = box / "new" / "1700000009.M1P1.test"
    with open(path, "wb") as f:
        f.write(b"Subject: sparse\r\n\r\nbody\r\n")
        f.truncate(SPARSE - 2)
        f.seek(SPARSE - 2)
        f.write(b"\r\n")
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return module_office(users=[f"sparse:secret:{box}"])


def test_five_gib_are_listed_and_read(sparse):
    """Exact to the octet; a TOP of it is quick; its end comes where it must."""
    p, answer = connect(sparse, "sparse", timeout=180)  # its octets are counted first
    with p:
        assert answer.startswith(b"+OK"), answer
        assert p.say("STAT") == b"+OK 2 %d\r\n" % (SPARSE + 21)
        assert p.multi("LIST")[1] == b"2 %d" % SPARSE
        assert p.say("TOP 2 0").startswith(b"+OK")
        assert p.body() == b"Subject: sparse\r\n\r\n.\r\n"
        assert p.say("RETR 2").startswith(b"+OK %d octets" % SPARSE)
        n, tail, room = len(p.buffer), p.buffer[-64:], bytearray(1 << 22)
        view = memoryview(room)
        while n < SPARSE + 3:
            got = p.s.recv_into(view)
            assert got > 0, f"closed after {n}"
            n += got
            tail = (tail + bytes(view[max(0, got - 64):got]))[-64:]
        assert n == SPARSE + 3 and tail.endswith(b"\0\r\n.\r\n")
        p.buffer = b""
        assert p.say("NOOP").startswith(b"+OK")
        assert p.say("QUIT").startswith(b"+OK")


def test_counters(house):
    """What the sessions of this file came to shows in `restante stat`."""
    with Pop(house.host, house.pop3) as p:
        assert p.login("seen", "secret").startswith(b"+OK")
        before = house.stat()
        assert p.say("RETR 1").startswith(b"+OK")
        p.body()
        assert p.say("QUIT").startswith(b"+OK")
    house.wait_for_counter("messages_retrieved_total",
                           lambda n: n == before["messages_retrieved_total"] + 1)
    assert before["sessions"] >= 1 and before["logins_total"] >= 1
    house.wait_for_counter("sessions", lambda n: n == 0)
