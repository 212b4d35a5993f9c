"""restante-auth alone, in its cage, with this test as monitor, fronts and log."""
import array
import ctypes
import os
import select
import socket
import struct
import subprocess
import time

import pytest

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-auth")
READY, AUTH_SETUP, AUTH_USERS, USERS_ASK, AUTH_FRONT = 0x01, 0x20, 0x21, 0x22, 0x23
LOGIN, LOGIN_FAILED, GRANT, LOG_RECORD = 0x24, 0x25, 0x26, 0x52
LOOKUP, LOOKUP_FAILED = 0x27, 0x28
DELIVER, NO_USER = 4, 8
PASS, PLAIN = 1, 2
CREDENTIALS, TEMPORARY, BUSY = 1, 2, 6
ADDRESS = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
STAT_PAGE = 4096
COUNT_BIT = 24  # SESSION_COUNT_BIT of ipc/permit.h


def crypt_hash(password, setting):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), setting.encode()).decode()


def octets(b):
    return struct.pack("<H", len(b)) + b


class Auth:
    def __init__(self, tmp_path, users, threads=1, queue_max=64, cache_s=600, **options):
        self.path = tmp_path / "users"
        self.path.write_text(users)
        self.dir = tmp_path / "empty"
        self.dir.mkdir()
        kind = socket.SOCK_SEQPACKET
        self.monitor, monitor = socket.socketpair(socket.AF_UNIX, kind)
        self.log, log = socket.socketpair(socket.AF_UNIX, kind)
        self.page = os.memfd_create("stat")
        os.ftruncate(self.page, STAT_PAGE)
        # High numbers first, so that the three fixed ones do not meet them.
        high = [os.dup2(fd, 200 + i) for i, fd in
                enumerate((monitor.fileno(), log.fileno(), self.page))]
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False,
            preexec_fn=lambda: ([os.dup2(fd, 3 + i) for i, fd in enumerate(high)],
                                os.closerange(6, 256)))
        for fd in high:
            os.close(fd)
        monitor.close()
        log.close()
        uid = 65533 if os.geteuid() == 0 else 0
        setup = struct.pack("<HIIIIIIB", AUTH_SETUP, uid, threads, queue_max, cache_s,
                            options.get("mail_uid", 5000), options.get("mail_gid", 5000),
                            options.get("log_unknown_names", 0))
        self.send(setup + octets(b"maildir:/srv/mail/%u") + octets(str(self.path).encode()) +
                  octets(options.get("delimiter", b"+")),
                  os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY))
        self.lines = []
        self.grants = []
        self.number, self.cage = struct.unpack("<HI", self.receive(self.monitor))
        assert self.number == READY
        if options.get("give_users", True):
            self.give_users()
        self.fronts = {}
        self.front(1)

    def send(self, message, fd=-1):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        self.monitor.sendmsg([message], ancillary)
        if fd >= 0:
            os.close(fd)

    def give_users(self, error=0):
        if error:
            self.send(struct.pack("<HI", AUTH_USERS, error))
        else:
            self.send(struct.pack("<HI", AUTH_USERS, 0), os.open(self.path, os.O_RDONLY))

    def front(self, incarnation, delivers=0):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(struct.pack("<HQBB", AUTH_FRONT, incarnation, 0, delivers),
                  os.dup(theirs.fileno()))
        theirs.close()
        self.fronts[incarnation] = mine

    def gone(self, incarnation):
        self.send(struct.pack("<HQBB", AUTH_FRONT, incarnation, 1, 0))

    def receive(self, sock, seconds=10):
        ready, _, _ = select.select([sock], [], [], seconds)
        assert ready, "nothing came in time"
        return sock.recv(65536)

    def login(self, session, name, password, mechanism=PASS, front=1):
        self.fronts[front].send(
            struct.pack("<HQBB", LOGIN, session << COUNT_BIT | 1, mechanism, 1) + octets(ADDRESS) +
            struct.pack("<H", 4711) + octets(name) + octets(password))

    def lookup(self, session, name, front=9):
        self.fronts[front].send(
            struct.pack("<HQ", LOOKUP, session << COUNT_BIT | 1) + octets(name))

    def answer(self, front=1, seconds=20):
        """("failed", session, code) or ("grant", session, {...}); serves USERS_ASK meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.monitor, self.fronts[front]], [], [], 1)
            if self.fronts[front] in ready:
                try:
                    message = self.fronts[front].recv(65536)
                except ConnectionResetError:
                    message = b""
                if not message:
                    return ("closed",)
                number, session, code = struct.unpack("<HQB", message)
                assert number == (LOOKUP_FAILED if front == 9 else LOGIN_FAILED)
                return ("failed", session >> COUNT_BIT, code)
            if self.monitor in ready:
                got = self.from_monitor(self.monitor.recv(65536))
                if got:
                    return got
        raise AssertionError("no answer in time")

    def from_monitor(self, message):
        number, = struct.unpack_from("<H", message)
        if number == USERS_ASK:
            self.asked = getattr(self, "asked", 0) + 1
            self.give_users()
            return None
        assert number == GRANT
        _, front, session, uid, gid, rights, store, tls = struct.unpack_from("<HQQIIBBB", message)
        at = struct.calcsize("<HQQIIBBB")
        fields = []
        for _ in range(4):
            if len(fields) == 1:
                fields.append(struct.unpack_from("<H", message, at)[0])
                at += 2
                continue
            n, = struct.unpack_from("<H", message, at)
            fields.append(message[at + 2:at + 2 + n])
            at += 2 + n
        assert at == len(message)
        return ("grant", session >> COUNT_BIT, {
            "front": front, "uid": uid, "gid": gid, "rights": rights, "store": store, "tls": tls,
            "address": fields[0], "port": fields[1], "user": fields[2], "maildrop": fields[3]})

    def log_line(self, event, seconds=10):
        """The pairs of the next record of this event."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            record = self.receive(self.log, seconds)
            number, level, n = struct.unpack_from("<HBH", record)
            assert number == LOG_RECORD
            name = record[5:5 + n]
            pairs, at = {}, 5 + n + 2
            while at < len(record):
                k = record[at]
                key = record[at + 1:at + 1 + k].decode()
                v, = struct.unpack_from("<H", record, at + 1 + k)
                pairs[key] = record[at + 3 + k:at + 3 + k + v]
                at += 3 + k + v
            self.lines.append((name.decode(), pairs))
            if name.decode() == event:
                return pairs
        raise AssertionError("no such log line")

    def counter(self, name):
        text = open(os.path.join(os.path.dirname(__file__), "../../src/stat/counters.def")).read()
        names = [line.split("(")[1].split(",")[0] for line in text.splitlines()
                 if line.startswith("COUNTER(")]
        return struct.unpack_from("<Q", os.pread(self.page, STAT_PAGE, 0), 8 * names.index(name))[0]

    def done(self):
        self.monitor.close()
        code = self.process.wait(10)
        for s in self.fronts.values():
            s.close()
        self.log.close()
        os.close(self.page)
        return code


@pytest.fixture
def auth(tmp_path):
    running = []

    def start(users, **options):
        running.append(Auth(tmp_path, users, **options))
        return running[-1]
    yield start
    for a in running:
        assert a.done() == 0, "it ends in order when the monitor is gone"


def test_a_right_password_goes_to_the_monitor_alone(auth):
    a = auth("bob@example.org:{PLAIN}secret word:1001:1002::/home/bob::userdb_mail=maildir:~/M\n")
    a.login(7, b"bob@example.org", b"secret word")
    kind, session, grant = a.answer()
    assert (kind, session) == ("grant", 7)
    assert grant == {"front": 1, "uid": 1001, "gid": 1002, "rights": 3, "store": 1, "tls": 1,
                     "address": ADDRESS, "port": 4711, "user": b"bob@example.org",
                     "maildrop": b"/home/bob/M"}
    assert not select.select([a.fronts[1]], [], [], 0)[0], "nothing goes to the front"


def test_wrong_passwords_look_like_unknown_users(auth):
    a = auth("bob:{PLAIN}secret\nbad:{NOPE}x\n")
    for session, (name, password) in enumerate([
            (b"bob", b"secret "), (b"bob", b"secre"), (b"bob", b""), (b"bob", b"secret\0"),
            (b"Bob", b"secret"), (b"nobody", b"secret"), (b"", b""), (b"bad", b"x"),
            (b"bob\0", b"secret"), (b"bob:", b"secret")], start=1):
        a.login(session, name, password)
        assert a.answer() == ("failed", session, CREDENTIALS), (name, password)


def test_plain(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(1, b"", b"\0bob\0secret", PLAIN)
    assert a.answer()[0] == "grant"
    for session, response in enumerate([b"", b"bob\0secret", b"\0bob\0secret\0", b"x\0bob\0secret",
                                        b"\0bob\0", b"\0\0secret"], start=2):
        a.login(session, b"bob", response, PLAIN)
        assert a.answer() == ("failed", session, CREDENTIALS), response


def test_the_log_shows_no_name_that_is_not_in_the_file(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(1, b"bob", b"hunter2")
    assert a.answer()[0] == "failed"
    line = a.log_line("login_failed")
    assert line["user"] == b"bob" and line["address"] == b"192.0.2.7"
    a.login(2, b"hunter2", b"hunter2")
    assert a.answer()[0] == "failed"
    assert "user" not in a.log_line("login_failed")
    assert not any(b"hunter2" in v for _, pairs in a.lines for v in pairs.values())


def test_a_slow_hash_is_computed_once_while_the_cache_holds_it(auth):
    a = auth("bob:%s\n" % crypt_hash("secret", "$6$saltsalt$"))
    for session in range(1, 6):
        a.login(session, b"bob", b"secret")
        assert a.answer()[0] == "grant"
    assert a.counter("HASHES") == 1
    assert a.counter("CACHE_HITS") == 4
    a.login(6, b"bob", b"secrets")
    assert a.answer()[0] == "failed"
    a.login(7, b"bob", b"secrets")
    assert a.answer()[0] == "failed"
    assert a.counter("HASHES") == 3, "a refusal is not kept"


def test_unknown_and_wrong_cost_the_same_number_of_hashes(auth):
    a = auth("bob:%s\nlocked:!\n" % crypt_hash("secret", "$6$saltsalt$"))
    for session, name in enumerate([b"bob", b"nobody", b"locked", b"x/../y"], start=1):
        a.login(session, name, b"wrong")
        assert a.answer() == ("failed", session, CREDENTIALS)
        assert a.counter("HASHES") == session


def test_a_changed_file_counts_at_once(auth):
    a = auth("bob:%s\n" % crypt_hash("old", "$6$saltsalt$"))
    a.login(1, b"bob", b"old")
    assert a.answer()[0] == "grant"
    new = a.path.with_name("users.new")
    new.write_text("bob:%s\n" % crypt_hash("new", "$6$saltsalt$"))
    os.rename(new, a.path)
    a.login(2, b"bob", b"old")
    assert a.answer() == ("failed", 2, CREDENTIALS)
    a.login(3, b"bob", b"new")
    assert a.answer()[0] == "grant"
    with open(a.path, "r+") as f:
        f.write("bog")
    a.login(4, b"bob", b"new")
    assert a.answer() == ("failed", 4, CREDENTIALS)
    a.login(5, b"bog", b"new")
    assert a.answer()[0] == "grant"


def test_a_file_that_cannot_be_opened_is_a_temporary_refusal(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(1, b"bob", b"secret")
    assert a.answer()[0] == "grant"
    os.unlink(a.path)
    a.login(2, b"bob", b"secret")
    number, = struct.unpack("<H", a.receive(a.monitor))
    assert number == USERS_ASK
    a.give_users(error=2)
    assert a.answer() == ("failed", 2, TEMPORARY)
    assert a.log_line("users_unreadable")["file"] == str(a.path).encode()


def test_a_monitor_that_does_not_answer_is_a_temporary_refusal(auth):
    a = auth("bob:{PLAIN}secret\n", give_users=False)
    a.login(1, b"bob", b"secret")
    assert struct.unpack("<H", a.receive(a.monitor)) == (USERS_ASK,)
    begin = time.monotonic()
    message = a.receive(a.fronts[1])
    assert struct.unpack("<HQB", message) == (LOGIN_FAILED, 1 << COUNT_BIT | 1, TEMPORARY)
    assert 1.5 < time.monotonic() - begin < 6


def test_faults_of_the_file_are_told_with_line_and_name(auth):
    a = auth("# comment\nbob:{PLAIN}secret\neve:{ROT13}frperg\nbob:{PLAIN}other\n"
             "max:{PLAIN}x::::::nopassword\n")
    assert a.log_line("users_loaded")["faults"] == b"3"
    got = [a.log_line("users_fault") for _ in range(3)]
    assert [(g["line"], g["user"]) for g in got] == [(b"3", b"eve"), (b"4", b"bob"), (b"5", b"max")]
    assert got[0]["about"] == b"ROT13" and got[2]["about"] == b"nopassword"


def test_a_full_queue_is_busy_and_no_front_takes_it_all(auth):
    slow = crypt_hash("secret", "$6$rounds=400000$saltsalt$")
    a = auth("bob:%s\n" % slow, queue_max=8, threads=1)
    a.front(2)
    for session in range(1, 21):
        a.login(session, b"bob", b"wrong")
    codes = [a.answer() for _ in range(10)]
    assert all(c[0] == "failed" and c[2] == BUSY for c in codes), "over half of the queue"
    assert a.counter("QUEUE_FULL") >= 10
    a.login(1, b"bob", b"secret", front=2)
    begin = time.monotonic()
    assert a.answer(front=2)[0] == "grant", "another front is served in turn"
    rest = [a.answer() for _ in range(20 - 10)]
    assert {c[2] for c in rest} <= {CREDENTIALS, BUSY}
    assert time.monotonic() - begin < 20


def test_one_front_has_at_most_half_of_the_unsent_permits(auth):
    a = auth("bob:%s\n" % crypt_hash("secret", "$6$rounds=5000$saltsalt$"))
    a.front(2)
    # Until the cache knows the password, and the file is no longer suspected of a change.
    sent, settled = 0, a.path.stat().st_ctime + 0.1
    while sent < 2 or time.time() < settled:
        sent += 1
        a.login(sent, b"bob", b"secret")
        assert a.answer()[:2] == ("grant", sent)
    first = sent
    # The monitor reads nothing more, until this front is told that it is busy.
    while not select.select([a.fronts[1]], [], [], 0)[0]:
        sent += 1
        assert sent < first + 6000
        a.login(sent, b"bob", b"secret")
    assert struct.unpack("<HQB", a.receive(a.fronts[1]))[2] == BUSY
    assert a.log_line("login_not_possible")["reason"] == b"grants_of_front_unsent"
    a.login(1, b"bob", b"secret", front=2)
    granted = {1: 0, 2: 0}
    while granted[2] == 0:
        answer = a.answer(front=2)
        assert answer[0] == "grant", "the other half is for others"
        granted[answer[2]["front"]] += 1
    assert granted[1] > 2048
    # What was taken makes room again.
    a.login(70000, b"bob", b"secret")
    while True:
        got = a.from_monitor(a.receive(a.monitor))
        if got and got[1] == 70000:
            break


def test_one_session_has_one_question_and_one_permit(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(5, b"bob", b"secret")
    assert a.answer()[0] == "grant"
    a.login(5, b"bob", b"secret")
    a.login(6, b"bob", b"wrong")
    assert a.answer() == ("failed", 6, CREDENTIALS), "the second of 5 is not answered"
    a.login(6, b"bob", b"secret")
    assert a.answer()[:2] == ("grant", 6), "after a failure it may try again"
    assert a.counter("PROTOCOL_FAULTS") == 1


def test_a_malformed_message_ends_that_front_only(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.front(2)
    a.fronts[2].send(b"\x24\x00nonsense")
    assert a.answer(front=2) == ("closed",)
    a.login(1, b"bob", b"secret")
    assert a.answer()[0] == "grant"
    assert a.counter("PROTOCOL_FAULTS") == 1


def test_answers_for_a_front_that_is_gone_are_dropped(auth):
    slow = crypt_hash("secret", "$6$rounds=300000$saltsalt$")
    a = auth("bob:%s\nann:{PLAIN}x\n" % slow)
    a.front(2)
    for session in range(1, 5):
        a.login(session, b"bob", b"secret", front=2)
    a.gone(2)
    assert a.answer(front=2) == ("closed",)
    a.login(1, b"bob", b"secret")
    kind, session, grant = a.answer()
    assert kind == "grant" and grant["front"] == 1


def test_the_cage_is_shut(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.log_line("users_loaded")
    status = open("/proc/%d/status" % a.process.pid).read()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    if os.geteuid() == 0:
        assert "Uid:\t65533\t65533\t65533\t65533" in status
        assert "CapPrm:\t0000000000000000" in status
        assert os.listdir("/proc/%d/root" % a.process.pid) == []
    names = {os.readlink("/proc/%d/fd/%s" % (a.process.pid, fd)).split(":")[0]
             for fd in os.listdir("/proc/%d/fd" % a.process.pid)}
    assert not any(n.startswith("/") and n not in ("/dev/null", "/memfd", str(a.path)) for n in names)


def test_while_a_large_file_is_read_logins_wait_and_are_answered_right(auth):
    many = "".join("u%d:{PLAIN}x:5:5\n" % i for i in range(200000))
    a = auth("bob:{PLAIN}old\n")
    a.login(1, b"bob", b"old")
    assert a.answer()[0] == "grant"
    a.path.with_name("new").write_text(many + "bob:{PLAIN}new\n")
    os.rename(a.path.with_name("new"), a.path)
    for session in range(2, 12):
        a.login(session, b"bob", b"new" if session % 2 else b"old")
    got = sorted((a.answer() for _ in range(10)), key=lambda g: g[1])
    assert [g[0] for g in got] == ["failed", "grant"] * 5
    assert a.counter("USERS") == 200001


def test_names_of_unknown_users_are_logged_where_that_is_wanted(auth):
    a = auth("bob:{PLAIN}secret\n", log_unknown_names=1)
    a.login(1, b"mallory", b"x")
    assert a.answer()[0] == "failed"
    assert a.log_line("login_failed")["user"] == b"mallory"


def test_a_front_that_reads_no_answers_gets_them_later(auth):
    a = auth("bob:{PLAIN}secret\n")
    sent = 0
    # More answers than the channel holds: auth stops reading, so that sending blocks.
    try:
        a.fronts[1].settimeout(0.5)
        while sent < 5000:
            a.login(sent + 1, b"bob", b"wrong")
            sent += 1
    except (TimeoutError, BlockingIOError):
        pass
    a.fronts[1].settimeout(20)
    seen = [struct.unpack("<HQB", a.receive(a.fronts[1]))[1] >> COUNT_BIT for _ in range(sent)]
    assert sorted(seen) == list(range(1, sent + 1))


# ---- lmtpd ------------------------------------------------------------------------

def deliverer(auth, users, **options):
    a = auth(users, **options)
    a.front(9, delivers=1)
    return a


def test_a_recipient_goes_to_the_monitor_as_a_permit_to_deliver(auth):
    a = deliverer(auth, "ann:*:1001:1002::::userdb_mail=mbox:/m/%u userdb_read_only=yes\n")
    a.lookup(1, b"ann+lists@example.org")
    kind, session, grant = a.answer(9)
    assert (kind, session) == ("grant", 1)
    assert grant == {"front": 9, "uid": 1001, "gid": 1002, "rights": DELIVER, "store": 2,
                     "tls": 0, "address": bytes(16), "port": 0, "user": b"ann",
                     "maildrop": b"/m/ann"}
    a.lookup(2, b"bob@example.org")
    assert a.answer(9) == ("failed", 2, NO_USER)
    # One permit a session, and no second question after it.
    a.lookup(1, b"ann")
    a.lookup(3, b"bob")
    assert a.answer(9) == ("failed", 3, NO_USER)
    assert a.counter("PROTOCOL_FAULTS") == 1


def test_a_line_that_is_broken_is_a_temporary_answer(auth):
    a = deliverer(auth, "ann:{PLAIN}x:0\nbob:{PLAIN}x::::::userdb_mial=maildir:/x\n")
    for session, name in enumerate((b"ann", b"bob"), 1):
        a.lookup(session, name)
        assert a.answer(9) == ("failed", session, TEMPORARY)
    assert a.log_line("lookup_not_possible")["user"] == b"ann"


def test_look_ups_see_a_changed_file_at_once_and_wait_for_it(auth):
    a = deliverer(auth, "ann:{PLAIN}x\n")
    a.lookup(1, b"ann")
    assert a.answer(9)[0] == "grant"
    a.path.write_text("bob:{PLAIN}x\n")
    a.lookup(2, b"ann")
    assert a.answer(9) == ("failed", 2, NO_USER)
    a.lookup(3, b"bob")
    assert a.answer(9)[0] == "grant"
    # Away: nobody knows whether bob is still there, so mail waits.
    os.unlink(a.path)
    a.lookup(4, b"bob")
    assert struct.unpack("<H", a.receive(a.monitor)) == (USERS_ASK,)
    a.give_users(error=2)
    assert a.answer(9) == ("failed", 4, TEMPORARY)


def test_the_delimiter_is_an_option(auth):
    a = deliverer(auth, "ann:{PLAIN}x\n", delimiter=b"")
    a.lookup(1, b"ann+x")
    assert a.answer(9) == ("failed", 1, NO_USER)


def test_each_says_only_its_own_words(auth):
    a = deliverer(auth, "ann:{PLAIN}secret\n")
    a.front(2)
    a.lookup(1, b"ann", front=2)
    assert a.answer(2) == ("closed",)
    a.login(2, b"ann", b"secret", front=9)
    assert a.answer(9) == ("closed",)
    a.login(1, b"ann", b"secret")
    assert a.answer()[0] == "grant"
    assert a.counter("PROTOCOL_FAULTS") == 2


def test_a_flood_of_look_ups_leaves_logins_alone(auth):
    a = deliverer(auth, "ann:{PLAIN}secret\n")
    for session in range(1, 2001):
        a.lookup(session, b"nobody")
        if session % 100 == 0:
            a.login(session, b"ann", b"secret")
            assert a.answer()[0] == "grant"
            for _ in range(100):
                assert a.answer(9)[0] == "failed"
