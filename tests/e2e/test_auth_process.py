"""restante-auth alone, in its cage, with this test as monitor, fronts and log."""
import array
import base64
import ctypes
import hashlib
import hmac
import os
import select
import socket
import struct
import subprocess
import time

import pytest

from fetch_trial import is_sanitized
from postoffice import until

BUILD = os.environ.get("RESTANTE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "restante-auth")
READY, AUTH_SETUP, AUTH_USERS, USERS_ASK, AUTH_FRONT = 0x01, 0x20, 0x21, 0x22, 0x23
LOGIN, LOGIN_FAILED, GRANT, LOG_RECORD = 0x24, 0x25, 0x26, 0x52
LOOKUP, LOOKUP_FAILED, CHALLENGE, RESPONSE, LOGIN_LOST = 0x27, 0x28, 0x29, 0x2A, 0x2B
AUTH_OFFER, STAMP_ASK, STAMP, AUTH_HELPER = 0x2C, 0x2D, 0x2E, 0x2F
AUTH_CONTROL, WHY_ASK, WHY_ANSWER, ASK, ANSWER = 0x59, 0x5A, 0x5B, 0x81, 0x82
DELIVER, NO_USER = 4, 8
(PASS, PLAIN, LOGIN_MECHANISM, CRAM_MD5, SCRAM_SHA_1, SCRAM_SHA_1_PLUS, SCRAM_SHA_256,
 SCRAM_SHA_256_PLUS, EXTERNAL, GSSAPI, OAUTHBEARER, XOAUTH2, APOP, KPOP) = range(1, 15)
CREDENTIALS, TEMPORARY, BUSY, POLICY, TOO_MANY = 1, 2, 6, 9, 10
FILE, SYSTEM, SQL, LDAP, COMMAND, OAUTH, KRB5 = range(1, 8)
ASK_LOOKUP, ASK_VERIFY, ASK_TOKEN, ASK_STEP, ASK_END = range(1, 6)
FOUND, ANSWER_NO_USER, WRONG, ANSWER_TEMPORARY, ANSWER_CHALLENGE, NAME = range(1, 7)
NEVER = 0xFFFFFFFF
ADDRESS = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
STAT_PAGE = 4096
COUNT_BIT = 24  # SESSION_COUNT_BIT of ipc/permit.h


def crypt_hash(password, setting):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), setting.encode()).decode()


def octets(b):
    return struct.pack("<H", len(b)) + b


def pairs_of(b):
    pairs, at = {}, 0
    while at < len(b):
        k = b[at]
        key = b[at + 1:at + 1 + k].decode()
        v, = struct.unpack_from("<H", b, at + 1 + k)
        pairs.setdefault(key, b[at + 3 + k:at + 3 + k + v])
        at += 3 + k + v
    return pairs


class Question:
    def __init__(self, message):
        number, self.question, self.kind, self.mechanism, self.talk = struct.unpack_from(
            "<HQBBQ", message)
        assert number == ASK
        at, fields = struct.calcsize("<HQBBQ"), []
        while at < len(message):
            n, = struct.unpack_from("<H", message, at)
            fields.append(message[at + 2:at + 2 + n])
            at += 2 + n
        self.name, self.secret, self.address = fields


class Helper:
    """This test as a helper of auth."""
    def __init__(self, auth, sock):
        self.auth, self.sock = auth, sock

    def asked(self):
        return Question(self.auth.receive(self.sock))

    def quiet(self):
        return not select.select([self.sock], [], [], 0)[0]

    def answer(self, q, outcome, line=b"", valid_s=0, name=b"", octets_=b"", reason=b""):
        self.sock.send(struct.pack("<HQBI", ANSWER, q.question, outcome, valid_s) +
                       octets(name) + octets(line) + octets(octets_) + octets(reason))


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
            env=os.environ | ({"LD_PRELOAD": options["preload"]} if "preload" in options else {}),
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
        rest = struct.pack("<IIIBIIIIIH", options.get("helper_timeout_ms", 5000),
                           options.get("unseen_cache_s", 60), options.get("failure_delay_ms", 0),
                           options.get("growing", 1), options.get("logins_per_minute", 0),
                           options.get("logins_burst", 20), options.get("login_delay_s", 0),
                           options.get("expire_days", NEVER), options.get("connections", 10), 0)
        self.send(setup + octets(b"maildir:/srv/mail/%u") + octets(str(self.path).encode()) +
                  octets(options.get("delimiter", b"+")) +
                  octets(bytes(options.get("databases", [FILE]))) + octets(b"pop.example.org") +
                  octets(b"") + rest + bytes([options.get("fail2ban", 0)]) +
                  struct.pack("<I", options.get("talk_s", 120)) +
                  octets(bytes(options.get("stores", [0] * len(options.get("databases", [FILE]))))) +
                  octets(options.get("key", bytes(range(32)))),
                  os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY))
        self.lines, self.offers, self.ids = [], {}, 0
        self.grants = []
        self.number, self.cage = struct.unpack("<HI", self.receive(self.monitor))
        assert self.number == READY
        if options.get("give_users", True):
            self.give_users()
        self.fronts = {}
        self.front(1)

    def helper(self, backend, number=100, instance=0):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(struct.pack("<HBIQB", AUTH_HELPER, backend, instance, number, 0),
                  os.dup(theirs.fileno()))
        theirs.close()
        self.fronts["helper%d" % number] = mine
        # The monitor's words are heard in their order: a front behind it says that it is there.
        self.front(1000 + number)
        self.offer(lambda o: True, front=1000 + number)
        return Helper(self, mine)

    def control(self):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(struct.pack("<H", AUTH_CONTROL), os.dup(theirs.fileno()))
        theirs.close()
        self.fronts["control"] = mine

    def why(self, name=b"", id=0, address=ADDRESS, tls=1, mechanism=0):
        """The pairs of the answer, in their order; None: nothing was found."""
        self.fronts["control"].send(struct.pack("<HII", WHY_ASK, 5, id) + octets(name) +
                                    octets(address) + bytes([tls, mechanism]))
        message = self.receive(self.fronts["control"])
        number, question, found = struct.unpack_from("<HIB", message)
        assert (number, question) == (WHY_ANSWER, 5)
        return pairs_of(message[9:]) if found else None

    def send(self, message, fd=-1):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        self.monitor.sendmsg([message], ancillary)
        if fd >= 0:
            os.close(fd)

    def give_users(self, error=0):
        if error:
            self.send(struct.pack("<HI", AUTH_USERS, error))
        else:
            # A file read within a tick of its change is asked for again (WATCH_TICK_NS), and
            # only answer() serves that.
            changed = os.stat(self.path).st_ctime
            until(lambda: not 0 <= time.time() - changed < 0.05, 60)
            self.send(struct.pack("<HI", AUTH_USERS, 0), os.open(self.path, os.O_RDONLY))

    def front(self, incarnation, delivers=0, asserts=0):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send(struct.pack("<HQBBB", AUTH_FRONT, incarnation, 0, delivers, asserts),
                  os.dup(theirs.fileno()))
        theirs.close()
        self.fronts[incarnation] = mine

    def gone(self, incarnation):
        self.send(struct.pack("<HQBBB", AUTH_FRONT, incarnation, 1, 0, 0))

    def receive(self, sock, seconds=60):
        ready, _, _ = select.select([sock], [], [], seconds)
        assert ready, "nothing came in time"
        return sock.recv(65536)

    def login(self, session, name, response, mechanism=PASS, front=1, tls=1, address=ADDRESS,
              connection=0, id=0, certificate=b"", binding=b"", utf8=0):
        """response None: there was no initial one."""
        self.fronts[front].send(
            struct.pack("<HQBB", LOGIN, session << COUNT_BIT | 1, mechanism, tls) +
            octets(address) + struct.pack("<H", 4711) + octets(name) + octets(response or b"") +
            struct.pack("<BIIQBB", response is not None, id, 0, connection, utf8, bool(binding)) +
            octets(binding) + octets(certificate))

    def respond(self, session, response=b"", cancelled=0, front=1):
        self.fronts[front].send(struct.pack("<HQB", RESPONSE, session << COUNT_BIT | 1, cancelled) +
                                octets(response))

    def lookup(self, session, name, front=9):
        self.fronts[front].send(
            struct.pack("<HQ", LOOKUP, session << COUNT_BIT | 1) + octets(name))

    def from_front(self, front):
        """What auth said to this front; None: an offer, which is kept."""
        try:
            message = self.fronts[front].recv(65536)
        except ConnectionResetError:
            message = b""
        if not message:
            return ("closed",)
        number, = struct.unpack_from("<H", message)
        if number == AUTH_OFFER:
            self.offers[front] = struct.unpack("<IIBIB", message[2:])
            return None
        if number == STAMP:
            return ("stamp", message[12:])
        session, = struct.unpack_from("<Q", message, 2)
        if number == CHALLENGE:
            return ("challenge", session >> COUNT_BIT, message[12:])
        assert number == (LOOKUP_FAILED if front == 9 else LOGIN_FAILED)
        if number == LOGIN_FAILED:
            self.delay_ms, = struct.unpack_from("<I", message, 11)
        return ("failed", session >> COUNT_BIT, message[10])

    def answer(self, front=1, seconds=60):
        """("failed", session, code), ("challenge", session, octets) or ("grant", session, {...});
        serves USERS_ASK meanwhile."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.monitor, self.fronts[front]], [], [], 1)
            if self.fronts[front] in ready:
                got = self.from_front(front)
                if got:
                    return got
            if self.monitor in ready:
                got = self.from_monitor(self.monitor.recv(65536))
                if got:
                    return got
        raise AssertionError("no answer in time")

    def offer(self, wanted, front=1, seconds=60):
        """Waits until the front was offered something of which `wanted` is true."""
        deadline = time.monotonic() + seconds
        while not (front in self.offers and wanted(self.offers[front])):
            assert time.monotonic() < deadline, self.offers.get(front)
            if select.select([self.fronts[front]], [], [], 1)[0]:
                assert self.from_front(front) is None
        return self.offers[front]

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
        self.grants.append(struct.unpack_from("<III", message, at))
        assert at + 12 == len(message)
        return ("grant", session >> COUNT_BIT, {
            "front": front, "uid": uid, "gid": gid, "rights": rights, "store": store, "tls": tls,
            "address": fields[0], "port": fields[1], "user": fields[2], "maildrop": fields[3]})

    def log_line(self, event, seconds=60):
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
        code = self.process.wait(60)
        for s in self.fronts.values():
            s.close()
        self.log.close()
        os.close(self.page)
        return code


@pytest.fixture
def auth(tmp_path):
    running = []

    def start(users, **options):
        running.append(Auth(options.pop("place", tmp_path), users, **options))
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
    assert a.grants == [(10, 0, NEVER)]
    a.offer(lambda o: True)
    assert not select.select([a.fronts[1]], [], [], 0)[0], "nothing else goes to the front"


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
    assert a.answer() == ("failed", 1, TEMPORARY)
    assert 1.5 < time.monotonic() - begin < 30


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
    assert time.monotonic() - begin < 120


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
    assert a.from_front(1)[2] == BUSY
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
    a.fronts[1].settimeout(60)
    seen = [a.answer()[1] for _ in range(sent)]
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


# ---- conversations ------------------------------------------------------------------

def test_a_conversation_goes_to_and_fro(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(1, b"", None, LOGIN_MECHANISM)
    assert a.answer()[:2] == ("challenge", 1)
    a.respond(1, b"bob")
    assert a.answer()[:2] == ("challenge", 1)
    a.respond(1, b"secret")
    assert a.answer()[:2] == ("grant", 1)
    # What comes after its end is not heard.
    a.respond(1, b"secret")
    a.login(2, b"", None, CRAM_MD5)
    kind, _, challenge = a.answer()
    assert kind == "challenge" and challenge.startswith(b"<")
    a.respond(2, b"bob " + hmac.new(b"secret", challenge, "md5").hexdigest().encode())
    assert a.answer()[:2] == ("grant", 2)
    a.login(3, b"", None, CRAM_MD5)
    a.answer()
    a.respond(3, b"bob " + b"0" * 32)
    assert a.answer() == ("failed", 3, CREDENTIALS)


def scram(a, session, user, password, digest="sha256", front=1):
    """SCRAM by hand (RFC 5802); what auth answers at the end."""
    mechanism = SCRAM_SHA_256 if digest == "sha256" else SCRAM_SHA_1
    bare = b"n=" + user + b",r=abcdefghijklmnop"
    a.login(session, b"", b"n,," + bare, mechanism, front=front)
    got = a.answer(front)
    if got[0] != "challenge":
        return got
    first = got[2]
    fields = dict(f.split(b"=", 1) for f in first.split(b","))
    salted = hashlib.pbkdf2_hmac(digest, password, base64.b64decode(fields[b"s"]),
                                 int(fields[b"i"]))
    key = hmac.new(salted, b"Client Key", digest).digest()
    final = b"c=biws,r=" + fields[b"r"]
    signature = hmac.new(hashlib.new(digest, key).digest(), bare + b"," + first + b"," + final,
                         digest).digest()
    proof = bytes(x ^ y for x, y in zip(key, signature))
    a.respond(session, final + b",p=" + base64.b64encode(proof), front=front)
    got = a.answer(front)
    if got[0] == "challenge":
        assert got[2].startswith(b"v=")
        a.respond(session, b"", front=front)
        got = a.answer(front)
    return got


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_scram(auth, digest):
    a = auth("bob:{PLAIN}secret\nslow:%s\n" % crypt_hash("secret", "$5$rounds=1000$saltsalt$"))
    assert scram(a, 1, b"bob", b"secret", digest)[:2] == ("grant", 1)
    for session, (name, password) in enumerate([
            (b"bob", b"secre"), (b"nobody", b"secret"), (b"slow", b"secret")], start=2):
        assert scram(a, session, name, password, digest) == ("failed", session, CREDENTIALS)


def salt(a, session, name):
    """What is shown of the stored keys of this name: salt and rounds."""
    a.login(session, b"", b"n,,n=" + name + b",r=abcdefghijklmnop", SCRAM_SHA_256)
    kind, _, first = a.answer()
    assert kind == "challenge"
    a.respond(session, cancelled=1)
    fields = dict(f.split(b"=", 1) for f in first.split(b","))
    return fields[b"s"], fields[b"i"]


def test_salts_hang_on_the_key_and_the_name(auth, tmp_path):
    """As a stored one they stay when auth is started anew, if the key does."""
    made = []
    names = [b"nobody%d" % (i % 15) for i in range(30)] + [b"bob"]
    for i, key in enumerate((bytes(32), bytes(32), bytes(31) + b"1")):
        place = tmp_path / str(i)
        place.mkdir()
        # Salts of several lengths, and rounds.
        a = auth("bob:{PLAIN}secret\n" + "".join(
            "ann%d:{SCRAM-SHA-256}%d,%s,%s,%s\n" % ((n, 4096 * n) + tuple(
                base64.b64encode(bytes(size)).decode() for size in (8 * n, 32, 32)))
            for n in (1, 3)), place=place, key=key)
        made.append([salt(a, session, name) for session, name in enumerate(names, start=1)])
    assert made[0] == made[1]
    assert not {s for s, _ in made[0]} & {s for s, _ in made[2]}
    assert made[0][:15] == made[0][15:30] and len(set(made[0])) == 16
    assert {rounds for _, rounds in made[0]} == {b"4096", b"12288"}


def test_a_cancelled_conversation_ends_and_the_next_login_ends_the_last(auth):
    a = auth("bob:{PLAIN}secret\n")
    a.login(1, b"", None, LOGIN_MECHANISM)
    assert a.answer()[0] == "challenge"
    a.respond(1, cancelled=1)
    a.respond(1, b"bob")
    a.login(1, b"bob", b"secret")
    assert a.answer()[:2] == ("grant", 1), "the cancelled one is free to ask again"
    a.login(2, b"", None, LOGIN_MECHANISM, connection=77)
    assert a.answer()[0] == "challenge"
    a.login(3, b"bob", b"secret", connection=77)
    assert a.answer()[:2] == ("grant", 3)
    a.respond(2, b"bob")
    a.login(4, b"", None, LOGIN_MECHANISM)
    assert a.answer()[:2] == ("challenge", 4), "2 is no more"


def test_keys_that_were_derived_for_nothing_count_against_the_network(auth):
    a = auth("bob:{PLAIN}secret\nann:{SCRAM-SHA-256}4096,%s,%s,%s\n" % tuple(
        base64.b64encode(bytes(n)).decode() for n in (16, 32, 32)))
    a.control()

    def begin(session, name=b"bob", connection=0):
        a.login(session, b"", b"n,,n=" + name + b",r=abcdefgh", SCRAM_SHA_256, connection=connection)
        assert a.answer()[0] == "challenge"

    for session, name in enumerate((b"bob", b"bob", b"ann"), start=1):
        begin(session, name)
        a.respond(session, cancelled=1)  # ann's keys are stored: they cost nothing
    begin(4, connection=77)
    begin(5, connection=77)  # and 4 is over
    why = a.why(b"bob")
    assert (why["failures_of_network"], why["failures_of_account"]) == (b"3", b"0"), why
    a.login(6, b"bob", b"secret")
    assert a.answer()[:2] == ("grant", 6)


def test_open_conversations_are_bounded_and_the_oldest_goes(auth):
    a = auth("bob:{PLAIN}secret\n")
    for session in range(1, 2049):
        a.login(session, b"", None, LOGIN_MECHANISM)
        assert a.answer()[0] == "challenge"
    a.login(3000, b"", None, LOGIN_MECHANISM)
    assert {a.answer(), a.answer()[:2]} == {("failed", 1, TEMPORARY), ("challenge", 3000)}
    a.respond(2, b"bob")
    assert a.answer()[:2] == ("challenge", 2)
    a.gone(1)
    assert a.answer() == ("closed",)


def test_a_client_that_does_not_answer_is_given_up(auth):
    """Each answer has its own time (login_timeout), so a slow one is no fault."""
    a = auth("bob:{PLAIN}secret\n", talk_s=2)
    a.login(1, b"", None, LOGIN_MECHANISM)
    assert a.answer()[0] == "challenge"
    began = time.monotonic()
    a.login(2, b"", None, LOGIN_MECHANISM)
    assert a.answer()[0] == "challenge"
    assert a.answer() == ("failed", 1, TEMPORARY)
    assert 1 < time.monotonic() - began < 40
    assert a.answer() == ("failed", 2, TEMPORARY)
    # What comes too late is not heard, and the session is free to ask again.
    a.respond(1, b"bob")
    a.login(3, b"", None, LOGIN_MECHANISM)
    assert a.answer()[:2] == ("challenge", 3)
    a.respond(3, b"bob")
    assert a.answer()[:2] == ("challenge", 3)
    a.respond(3, b"secret")
    assert a.answer()[:2] == ("grant", 3)


def resident(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_flood_of_conversations_takes_bounded_memory(auth):
    """8192 in all, whoever brings them; beyond that each new one ends an old one."""
    a = auth("bob:{PLAIN}secret\n")
    sizes, opened, ended = [], 0, 0
    for front in range(11, 19):
        a.front(front)
        a.offer(lambda o: True, front=front)
        for session in range(1, 1501):
            a.login(session, b"", None, CRAM_MD5 if session % 2 else LOGIN_MECHANISM, front=front)
            while a.answer(front)[0] != "challenge":
                ended += 1
            opened += 1
        # More than a channel holds: auth sends the rest when there is room again.
        others = range(11, front)
        while True:
            wait = 60 if ended < opened - 8192 else 0  # then: whether there are too many
            ready = select.select([a.fronts[o] for o in others], [], [], wait)[0]
            if not ready:
                break
            for o in others:
                if a.fronts[o] in ready:
                    ended += (a.from_front(o) or ("offer",))[0] == "failed"
        sizes.append(resident(a.process.pid))
    assert opened == 12000 and ended == opened - 8192
    if not is_sanitized():  # whose shadow grows with what was freed, too
        assert sizes[-1] - sizes[5] < 4 << 20, sizes  # 9000 and 12000 were there by then
        assert sizes[-1] < 160 << 20, sizes
    a.login(9000, b"bob", b"secret", front=11)
    assert a.answer(11)[:2] == ("grant", 9000)


def test_apop_uses_a_stamp_once(auth):
    a = auth("bob:{PLAIN}secret::::::apop=yes\nann:{PLAIN}secret\n")

    def stamp(connection):
        a.fronts[1].send(struct.pack("<HQ", STAMP_ASK, connection))
        kind, text = a.answer()
        assert kind == "stamp" and text[:1] == b"<" and text.endswith(b"@pop.example.org>")
        return text

    def digest(s, password=b"secret"):
        return hashlib.md5(s + password).hexdigest().encode()
    s = stamp(5)
    a.login(1, b"bob", digest(s), APOP, connection=6)
    assert a.answer() == ("failed", 1, CREDENTIALS), "it is another connection's"
    a.login(2, b"bob", digest(s), APOP, connection=5)
    assert a.answer()[:2] == ("grant", 2)
    a.login(3, b"bob", digest(s), APOP, connection=5)
    assert a.answer() == ("failed", 3, CREDENTIALS), "once"
    a.login(4, b"ann", digest(stamp(8)), APOP, connection=8)
    assert a.answer()[0] == "failed", "who has no apop=yes has a password"
    a.login(5, b"bob", b"secret")
    assert a.answer() == ("failed", 5, POLICY), "RFC 1939 s.13"


def test_a_certificate_lets_in_whose_record_holds_it(auth):
    own = bytes(range(32))
    a = auth("bob:{PLAIN}secret::::::certificate=%s\nann:::::::certificate=%s\n" %
             (own.hex(), ("f" * 64)))
    a.front(2, asserts=2)
    a.login(1, b"", b"bob", EXTERNAL, front=2, certificate=own)
    assert a.answer(2)[:2] == ("grant", 1)
    a.login(2, b"", b"ann", EXTERNAL, front=2, certificate=b"\xff" * 32)
    assert a.answer(2)[:2] == ("grant", 2), "no password is needed for it"
    for session, (name, certificate) in enumerate([(b"ann", own), (b"bob", b"\xff" * 32),
                                                   (b"bob", b""), (b"nobody", own)], start=3):
        a.login(session, b"", name, EXTERNAL, front=2, certificate=certificate)
        assert a.answer(2) == ("failed", session, CREDENTIALS)
    # Where the monitor does not let a front assert it, it is none.
    a.login(1, b"", b"bob", EXTERNAL, certificate=own)
    assert a.answer() == ("failed", 1, CREDENTIALS)
    assert a.counter("PROTOCOL_FAULTS") == 1
    assert a.offer(lambda o: True, front=2)[0] >> EXTERNAL & 1
    assert not a.offer(lambda o: True)[0] >> EXTERNAL & 1


# ---- policy, defence, offers, why ------------------------------------------------------

def test_policy_shows_after_the_right_password_only(auth):
    a = auth("bob:{PLAIN}secret::::::allow_nets=10.0.0.0/8 tls=yes\n")
    a.login(1, b"bob", b"wrong")
    assert a.answer() == ("failed", 1, CREDENTIALS)
    a.login(2, b"bob", b"secret", id=0x12345678)
    assert a.answer() == ("failed", 2, POLICY) and a.delay_ms == 0
    line = a.log_line("login_refused")
    assert line["reason"] == b"allow_nets: not from this network"
    a.control()
    why = a.why(id=0x12345678)
    assert why["reason"] == line["reason"] and why["user"] == b"bob" and why["id"] == line["id"]
    assert a.why(id=1) is None
    inside = bytes(10) + b"\xff\xff" + bytes([10, 1, 2, 3])
    a.login(3, b"bob", b"secret", address=inside)
    assert a.answer()[:2] == ("grant", 3)


def test_why_walks_as_a_login_would(auth):
    a = auth("bob:{PLAIN}secret::::::tls=yes\nslow:%s\nbad:{NOPE}x\n" %
             crypt_hash("x", "$5$rounds=1000$saltsalt$"))
    a.control()
    a.log_line("users_loaded")
    why = a.why(b"bob")
    assert why["refused"] == b"no" and why["policy_tls"] == b"allows"
    assert why["database"] == b"file" and why["maildrop"] == b"/srv/mail/bob"
    a.login(1, b"bob", b"x", id=7)
    a.answer()
    why = a.why(b"bob", tls=0)
    assert why["reason"] == b"tls=yes: the user needs TLS" and why["policy_tls"] == b"forbids"
    assert why["failures_of_network"] == b"1" and b"password" in why["last_refusal"]
    assert a.why(b"nobody")["reason"] == b"no database knows this user"
    assert a.why(b"bad")["reason"] == b"unknown password scheme"
    assert b"cannot serve" in a.why(b"slow", mechanism=SCRAM_SHA_256)["reason"]
    os.unlink(a.path)
    a.fronts["control"].send(struct.pack("<HII", WHY_ASK, 5, 0) + octets(b"bob") +
                             octets(ADDRESS) + bytes([1, 1]))
    assert struct.unpack("<H", a.receive(a.monitor)) == (USERS_ASK,)
    a.give_users(error=2)
    assert pairs_of(a.receive(a.fronts["control"])[9:])["reason"] == b"no_users_file"


def test_failures_wait_and_the_right_password_does_not(auth):
    a = auth("bob:{PLAIN}secret\n", failure_delay_ms=1000)
    delays = []
    for session in range(1, 5):
        a.login(session, b"bob", b"wrong")
        assert a.answer() == ("failed", session, CREDENTIALS)
        delays.append(a.delay_ms)
    assert delays == [1000, 2000, 4000, 8000]
    a.login(5, b"bob", b"secret")
    assert a.answer()[:2] == ("grant", 5)
    line = a.log_line("login_failed")
    assert line["delay_ms"] == b"1000" and line["mechanism"] == b"USER" and len(line["id"]) == 8
    assert line["database"] == b"file"


def test_a_poller_meets_the_bucket(auth):
    a = auth("bob:{PLAIN}secret\nann:{PLAIN}secret::::::logins_per_minute=0\n",
             logins_per_minute=1, logins_burst=2)
    got = []
    for session in range(1, 4):
        a.login(session, b"bob", b"secret")
        got.append(a.answer())
    assert [g[0] for g in got] == ["grant", "grant", "failed"] and got[2][2] == TOO_MANY
    for session in range(11, 16):
        a.login(session, b"ann", b"secret")
        assert a.answer()[0] == "grant"


def test_what_is_offered_follows_the_users(auth):
    a = auth("bob:%s::::::expire=30\n" % crypt_hash("x", "$5$rounds=1000$saltsalt$"))
    o = a.offer(lambda o: True)
    assert o == (1 << PASS | 1 << PLAIN | 1 << LOGIN_MECHANISM, 30, 0, 0, 0)
    a.path.write_text("bob:{PLAIN}x::::::login_delay=60\nann:{PLAIN}x\n")
    a.login(1, b"bob", b"x")
    assert a.answer()[0] == "grant" and a.grants[-1] == (10, 60, NEVER)
    o = a.offer(lambda o: o[0] >> SCRAM_SHA_256 & 1)
    assert o[1:] == (NEVER, 0, 60, 1) and o[0] >> CRAM_MD5 & 1
    assert not o[0] >> GSSAPI & 1 and not o[0] >> OAUTHBEARER & 1
    krb5 = a.helper(KRB5)
    a.offer(lambda o: o[0] >> GSSAPI & 1)
    krb5.sock.close()
    a.offer(lambda o: not o[0] >> GSSAPI & 1)


def test_lines_for_fail2ban(auth):
    a = auth("bob:{PLAIN}secret\n", fail2ban=1)
    a.login(1, b"bob", b"wrong")
    a.answer()
    assert a.log_line("fail2ban") == {"user": b"bob", "method": b"USER", "address": b"192.0.2.7"}
    a.login(2, b"hunter2", b"wrong")
    a.answer()
    assert a.log_line("fail2ban")["user"] == b""


# ---- databases that a helper asks ------------------------------------------------------

def test_a_database_is_asked_and_its_hash_is_checked_here(auth):
    a = auth("", databases=[SQL])
    h = a.helper(SQL)
    for session, (password, kind) in enumerate([(b"secret", "grant"), (b"wrong", "failed"),
                                                (b"secret", "grant")], start=1):
        a.login(session, b"bob", password)
        q = h.asked()
        assert (q.kind, q.name, q.address) == (ASK_VERIFY, b"bob", ADDRESS)
        h.answer(q, FOUND, b"bob:{PLAIN}secret:1001:1002", valid_s=60)
        got = a.answer()
        assert got[:2] == (kind, session)
        if kind == "grant":
            assert got[2]["uid"] == 1001 and got[2]["maildrop"] == b"/srv/mail/bob"
    a.offer(lambda o: o[0] >> SCRAM_SHA_256 & 1)


def test_what_only_the_helper_can_check_is_remembered_under_every_input(auth):
    a = auth("", databases=[SYSTEM])
    h = a.helper(SYSTEM)
    elsewhere = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 8])
    a.login(1, b"bob", b"secret")
    q = h.asked()
    assert q.secret == b"secret"
    h.answer(q, FOUND, b"bob:::", valid_s=60)
    assert a.answer()[:2] == ("grant", 1)
    a.login(2, b"bob", b"secret")
    assert a.answer()[:2] == ("grant", 2) and h.quiet()
    for session, options in enumerate([
            {"name": b"ann"}, {"response": b"Secret"}, {"address": elsewhere},
            {"mechanism": PLAIN, "name": b"", "response": b"\0bob\0secret"}], start=3):
        a.login(session, **{"name": b"bob", "response": b"secret", **options})
        h.answer(h.asked(), WRONG)
        assert a.answer() == ("failed", session, CREDENTIALS)
    # A refusal is not kept.
    a.login(20, b"ann", b"secret")
    h.answer(h.asked(), FOUND, b"ann:::", valid_s=0)
    assert a.answer()[:2] == ("grant", 20)
    a.login(21, b"ann", b"secret")
    h.answer(h.asked(), FOUND, b"ann:::")
    assert a.answer()[:2] == ("grant", 21), "valid_s 0: not remembered"
    # Another process of the helper may have other settings.
    h2 = a.helper(SYSTEM, 101, 1)
    h.sock.close()
    a.login(22, b"bob", b"secret")
    h2.answer(h2.asked(), WRONG)
    assert a.answer() == ("failed", 22, CREDENTIALS)


def test_one_name_in_two_databases_has_two_entries(auth):
    a = auth("", databases=[LDAP, COMMAND])
    ldap, command = a.helper(LDAP), a.helper(COMMAND, 101)

    def drop(session):
        kind, got, grant = a.answer()
        assert (kind, got) == ("grant", session)
        return grant["maildrop"]
    a.login(1, b"bob", b"secret")
    ldap.answer(ldap.asked(), ANSWER_NO_USER)
    command.answer(command.asked(), FOUND, b"bob:::::::userdb_mail=maildir:/srv/two", valid_s=60)
    assert drop(1) == b"/srv/two"
    # What is remembered of one says nothing of the other, which is asked first.
    a.login(2, b"bob", b"secret")
    ldap.answer(ldap.asked(), FOUND, b"bob:::::::userdb_mail=maildir:/srv/one", valid_s=60)
    assert drop(2) == b"/srv/one"
    a.login(3, b"bob", b"secret")
    assert drop(3) == b"/srv/one"
    assert ldap.quiet() and command.quiet()


@pytest.mark.parametrize("backend", [SYSTEM, SQL, LDAP, COMMAND])
def test_two_users_with_one_password_never_meet(auth, backend):
    a = auth("", databases=[backend])
    h = a.helper(backend)
    stored = crypt_hash("secret", "$5$rounds=1000$saltsalt$").encode()
    for round_ in range(2):
        for i, name in enumerate([b"bob", b"ann"]):
            session = 1 + 10 * round_ + i
            a.login(session, name, b"secret")
            if backend in (SQL, LDAP) or round_ == 0:
                q = h.asked()
                assert q.name == name
                h.answer(q, FOUND, name + b":" + (stored if backend in (SQL, LDAP) else b""),
                         valid_s=60)
            got = a.answer()
            assert got[:2] == ("grant", session)
            assert (got[2]["user"], got[2]["maildrop"]) == (name, b"/srv/mail/" + name)


def test_the_first_that_knows_the_name_decides(auth):
    a = auth("bob:{PLAIN}file\n", databases=[FILE, SQL])
    h = a.helper(SQL)
    a.login(1, b"bob", b"sql")
    assert a.answer() == ("failed", 1, CREDENTIALS) and h.quiet()
    a.login(2, b"ann", b"sql")
    h.answer(h.asked(), FOUND, b"ann:{PLAIN}sql")
    assert a.answer()[:2] == ("grant", 2)
    a.login(3, b"eve", b"sql")
    h.answer(h.asked(), ANSWER_NO_USER)
    assert a.answer() == ("failed", 3, CREDENTIALS)


def test_a_database_that_is_not_there_lets_nobody_in(auth):
    a = auth("bob:{PLAIN}file\n", databases=[SQL, FILE])
    a.login(1, b"bob", b"file")
    assert a.answer() == ("failed", 1, TEMPORARY), "no later database is asked"
    h = a.helper(SQL)
    a.login(2, b"bob", b"file")
    h.answer(h.asked(), ANSWER_TEMPORARY, reason=b"no connection")
    assert a.answer() == ("failed", 2, TEMPORARY)
    line = a.log_line("database_fault")
    assert line["database"] == b"sql" and line["reason"] == b"no connection"
    a.login(3, b"bob", b"file")
    h.asked()
    h.sock.close()
    assert a.answer() == ("failed", 3, TEMPORARY), "killed in the middle"
    h = a.helper(SQL, 101)
    a.login(4, b"bob", b"file")
    h.answer(h.asked(), ANSWER_NO_USER)
    assert a.answer()[:2] == ("grant", 4), "it recovers by itself"


def test_a_helper_that_is_late_is_asked_no_more_until_it_answers(auth):
    a = auth("", databases=[SQL], helper_timeout_ms=2000)
    h = a.helper(SQL)
    a.login(1, b"bob", b"x")
    late = h.asked()
    assert a.answer() == ("failed", 1, TEMPORARY)
    a.log_line("helper_late")
    a.login(2, b"bob", b"x")
    assert a.answer() == ("failed", 2, TEMPORARY) and h.quiet()
    h.answer(late, FOUND, b"bob:{PLAIN}x")
    second = a.helper(SQL, 101, 1)
    a.login(3, b"bob", b"x")
    ready, _, _ = select.select([h.sock, second.sock], [], [], 10)
    one = h if h.sock in ready else second
    one.answer(one.asked(), FOUND, b"bob:{PLAIN}x")
    assert a.answer()[:2] == ("grant", 3)


@pytest.mark.parametrize("lie", ["other name", "case", "unknown question", "outcome", "kind",
                                 "nonsense", "empty"])
def test_a_helper_that_lies_gains_nothing(auth, lie):
    a = auth("", databases=[SQL])
    h = a.helper(SQL)
    a.login(1, b"bob", b"x")
    q = h.asked()
    if lie in ("other name", "case", "empty"):
        h.answer(q, FOUND, {"other name": b"ann:{PLAIN}x", "case": b"Bob:{PLAIN}x",
                            "empty": b""}[lie])
    elif lie == "unknown question":
        q.question += 1
        h.answer(q, FOUND, b"bob:{PLAIN}x")
    elif lie == "outcome":
        h.answer(q, 77, b"bob:{PLAIN}x")
    elif lie == "kind":
        h.answer(q, NAME, name=b"bob")
    else:
        h.sock.send(b"\x82\x00nonsense")
    assert a.answer() == ("failed", 1, TEMPORARY)
    if lie in ("other name", "case", "empty"):
        assert b"another name" in a.log_line("database_fault")["what"]
    else:
        assert a.receive(h.sock) == b"", "its channel is closed"
        assert a.counter("PROTOCOL_FAULTS") == 1


def test_questions_are_spread_and_bounded(auth):
    a = auth("", databases=[SQL], queue_max=64)
    helpers = [a.helper(SQL, 100 + i, i) for i in range(2)]
    a.front(2)
    for session in range(1, 13):
        a.login(session, b"u%d" % session, b"x")
    a.login(50, b"u50", b"x", front=2)
    asked = [[h.asked() for _ in range(4)] for h in helpers]
    assert all(h.quiet() for h in helpers), "the rest waits"
    for h, questions in zip(helpers, asked):
        for q in questions:
            h.answer(q, FOUND, q.name + b":{PLAIN}x")
    names = [q.name for questions in asked for q in questions]
    for h in helpers * 3:
        while not h.quiet() or (len(names) < 13 and select.select([h.sock], [], [], 1.5)[0]):
            q = h.asked()
            names.append(q.name)
            h.answer(q, FOUND, q.name + b":{PLAIN}x")
    # It may have been asked before: auth takes few messages from a front in one turn.
    assert b"u50" in names[:10], "another front is served in turn"
    granted = {a.answer()[2]["user"] for _ in range(13)}
    assert granted == {b"u%d" % i for i in [*range(1, 13), 50]}


def test_a_token_says_who_it_is_and_the_databases_whose_mail(auth):
    a = auth("bob:{PLAIN}x\n")
    bearer = b"n,a=bob,\x01auth=Bearer tok\x01\x01"
    a.login(1, b"", bearer, OAUTHBEARER)
    assert a.answer() == ("failed", 1, TEMPORARY), "nobody can check it"
    h = a.helper(OAUTH)
    a.login(2, b"", bearer, OAUTHBEARER)
    q = h.asked()
    assert (q.kind, q.name, q.secret) == (ASK_TOKEN, b"bob", b"tok")
    h.answer(q, NAME, name=b"bob", valid_s=30)
    assert a.answer()[:2] == ("grant", 2)
    a.login(3, b"", bearer, OAUTHBEARER)
    assert a.answer()[:2] == ("grant", 3) and h.quiet(), "remembered while it is valid"
    a.login(4, b"", b"n,a=ann,\x01auth=Bearer tok\x01\x01", OAUTHBEARER)
    h.answer(h.asked(), WRONG)
    kind, _, challenge = a.answer()
    assert kind == "challenge" and challenge.startswith(b"{")
    a.respond(4, b"\x01")
    assert a.answer() == ("failed", 4, CREDENTIALS)
    # Who goes away with the error unanswered has failed too.
    a.login(6, b"", b"n,a=ann,\x01auth=Bearer tok\x01\x01", OAUTHBEARER)
    h.answer(h.asked(), WRONG)
    assert a.answer()[0] == "challenge"
    a.respond(6, cancelled=1)
    assert a.answer() == ("failed", 6, CREDENTIALS)
    a.login(5, b"", b"n,,\x01auth=Bearer other\x01\x01", OAUTHBEARER)
    h.answer(h.asked(), NAME, name=b"nobody", valid_s=30)
    assert a.answer() == ("failed", 5, CREDENTIALS), "no database knows him"


def test_a_ticket_is_a_conversation_with_one_helper(auth):
    a = auth("bob:{PLAIN}x\n")
    h = a.helper(KRB5)
    a.login(1, b"", b"one", GSSAPI)
    q = h.asked()
    assert (q.kind, q.secret) == (ASK_STEP, b"one") and q.talk != 0
    other = a.helper(KRB5, 101, 1)
    h.answer(q, ANSWER_CHALLENGE, octets_=b"two")
    assert a.answer() == ("challenge", 1, b"two")
    a.respond(1, b"three")
    again = h.asked()
    assert (again.talk, again.secret) == (q.talk, b"three") and other.quiet()
    h.answer(again, NAME, name=b"bob")
    assert a.answer()[:2] == ("grant", 1)
    a.login(2, b"", b"one", GSSAPI)
    ready, _, _ = select.select([h.sock, other.sock], [], [], 10)
    one = h if h.sock in ready else other
    one.answer(one.asked(), ANSWER_CHALLENGE, octets_=b"two")
    assert a.answer()[0] == "challenge"
    a.respond(2, cancelled=1)
    assert one.asked().kind == ASK_END


def test_more_steps_than_a_helper_takes_at_once(auth):
    """It is there, and slow: nothing else is said of it."""
    a = auth("bob:{PLAIN}x\n")
    h = a.helper(KRB5)
    for session in range(1, 18):
        a.login(session, b"", b"one", GSSAPI)
        h.answer(h.asked(), ANSWER_CHALLENGE, octets_=b"two")
        assert a.answer() == ("challenge", session, b"two")
    for session in range(1, 18):
        a.respond(session, b"three")
    assert a.answer() == ("failed", 17, TEMPORARY)
    assert a.log_line("login_not_possible")["reason"] == b"too_many_questions_of_helper_open"
    asked = [h.asked() for _ in range(16)]
    ended = h.asked()
    assert {q.kind for q in asked} == {ASK_STEP} and ended.kind == ASK_END
    assert ended.talk not in {q.talk for q in asked}
    # All others go on, and so does who comes again.
    for q in asked:
        h.answer(q, NAME, name=b"bob")
    assert {a.answer()[:2] for _ in asked} == {("grant", session) for session in range(1, 17)}
    a.login(18, b"", b"one", GSSAPI)
    h.answer(h.asked(), NAME, name=b"bob")
    assert a.answer()[:2] == ("grant", 18)


def test_a_question_that_its_helper_did_not_come_to_goes_to_another_once(auth):
    a = auth("", databases=[SQL])
    first, second = a.helper(SQL, 100), a.helper(SQL, 101, 1)
    a.login(1, b"bob", b"secret")
    asked, other = (first, second)
    if asked.quiet() and select.select([second.sock], [], [], 1)[0]:
        asked, other = (second, first)
    assert asked.asked().name == b"bob"
    asked.sock.close()
    q = other.asked()
    assert (q.name, q.secret) == (b"bob", b"secret")
    other.answer(q, FOUND, b"bob:{PLAIN}secret:5000:5000::/h")
    assert a.answer()[:2] == ("grant", 1)
    # A question that ends whoever is asked does not end them all.
    third = a.helper(SQL, 102, 2)
    a.login(2, b"ann", b"secret")
    asked, left = (other, third)
    if asked.quiet() and select.select([third.sock], [], [], 1)[0]:
        asked, left = (third, other)
    asked.asked()
    fourth = a.helper(SQL, 103, 3)
    asked.sock.close()
    again = left if select.select([left.sock, fourth.sock], [], [], 10)[0][0] is left.sock else fourth
    again.asked()
    again.sock.close()
    assert a.answer() == ("failed", 2, TEMPORARY)


def test_deliveries_use_the_same_databases(auth):
    a = deliverer(auth, "", databases=[SQL])
    a.lookup(1, b"ann@example.org")
    assert a.answer(9) == ("failed", 1, TEMPORARY)
    h = a.helper(SQL)
    a.lookup(2, b"ann+x@example.org")
    names = []
    while True:
        q = h.asked()
        assert q.kind == ASK_LOOKUP and q.secret == b""
        names.append(q.name)
        if q.name == b"ann":
            break
        h.answer(q, ANSWER_NO_USER)
    assert names == [b"ann+x@example.org", b"ann@example.org", b"ann+x", b"ann"]
    h.answer(q, FOUND, b"ann:!:7:8")
    kind, _, grant = a.answer(9)
    assert kind == "grant" and grant["rights"] == DELIVER and grant["uid"] == 7
    assert grant["user"] == b"ann"
    a.lookup(3, b"eve")
    h.answer(h.asked(), ANSWER_NO_USER)
    assert a.answer(9) == ("failed", 3, NO_USER)


# ---- time and instructions ---------------------------------------------------------------

def seconds_of(a, session, name, password):
    begin = time.perf_counter()
    a.login(session, name, password)
    assert a.answer() == ("failed", session, CREDENTIALS)
    return time.perf_counter() - begin


def take_as_long(known, unknown):
    """Seconds, measured in pairs: whether they are the same, but for a twentieth, 0.3 ms, and
    what chance explains (five standard errors of the median), which is much where the machine
    is busy and next to nothing where it is not."""
    apart = sorted(a - b for a, b in zip(known, unknown))
    n = len(apart)
    chance = 5 * 1.25 * (apart[3 * n // 4] - apart[n // 4]) / 1.35 / n ** 0.5
    middle = max(sorted(x)[n // 2] for x in (known, unknown))
    return abs(apart[n // 2]) < max(0.05 * middle, 0.0003, chance)


@pytest.mark.parametrize("stored", ["{PLAIN}secret", "$y$j75$"])
def test_an_unknown_name_takes_as_long_as_a_wrong_password(auth, stored):
    if stored.startswith("$"):
        stored = crypt_hash("secret", stored + "saltsaltsaltsalt")
        assert stored.startswith("$y$")
    # Every name once: what a network or an account has behind it plays no part.
    a = auth("".join("user%d:%s\n" % (i, stored) for i in range(400)))
    a.login(1, b"user0", b"x")
    a.answer()
    known, unknown = [], []
    for i in range(400):
        first = (known, b"user%d" % i), (unknown, b"none%d" % i)
        for times, name in first if i % 2 else first[::-1]:
            times.append(seconds_of(a, 2 + 2 * i + (times is known), name, b"wrong"))
    assert take_as_long(known, unknown), (sorted(known)[200], sorted(unknown)[200])


def test_a_remembered_hash_costs_as_much_as_a_plain_password(auth):
    """CPU time of the process itself (its cage is no place for callgrind), the least of many
    rounds in turn: what else the machine does adds to some of them only."""
    a = auth("slow:%s\nfast:{PLAIN}secret\n" % crypt_hash("secret", "$y$j9T$saltsaltsaltsalt"))
    clock, sessions = (~a.process.pid << 3) | 2, iter(range(1, 1 << 20))

    def cpu_of(name, n=100):
        before = time.clock_gettime(clock)
        for session in (next(sessions) for _ in range(n)):
            a.login(session, name, b"secret")
            assert a.answer()[0] == "grant"
        return (time.clock_gettime(clock) - before) / n
    for name in (b"slow", b"fast"):
        cpu_of(name, 20)
    hashes = a.counter("HASHES")
    rounds = [(cpu_of(b"slow"), cpu_of(b"fast")) for _ in range(25)]
    assert a.counter("HASHES") == hashes
    slow, fast = (min(r[i] for r in rounds) for i in (0, 1))
    print(f"remembered {1e6 * slow:.1f} us, plain {1e6 * fast:.1f} us")
    assert is_sanitized() or slow < 1.05 * fast + 1e-6, (slow, fast)
