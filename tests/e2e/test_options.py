"""Each option that others script against, with a server that shows what it changes."""
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "privs"))

from house import PATIENCE_S, ROOT, Client, House, Mta, status, until  # noqa: E402

MAIL = [b"Subject: %d\n\nbody %d\n" % (i, i) for i in range(3)]
USERS = {"anna": ("secret", 5000, MAIL), "bert": ("secret", 5000, MAIL),
         "carl@example.org": ("secret", None, MAIL)}


def session(h, name="anna"):
    c = h.connect()
    assert c.login(name, "secret").startswith(b"+OK"), h.log()
    return c


def quits(*clients):
    for c in clients:
        assert c.say("QUIT").startswith(b"+OK")
        c.close()


def capa(h):
    c = h.connect()
    out = [line.strip().decode() for line in c.multi("CAPA")]
    quits(c)
    return out


def is_closed(c, seconds=60):
    c.s.settimeout(seconds)
    return c.f.read() == b""


# ---- a row: option, its value, and what must be seen then --------------------------

def maildrop(h):
    box = h.mail / "by" / "example.org" / "carl"
    for d in ("tmp", "new", "cur"):
        (box / d).mkdir(parents=True)
    (box / "new" / "1.one").write_bytes(b"Subject: elsewhere\n\nx\n")
    for p in [h.mail / "by", *(h.mail / "by").rglob("*")]:
        os.chown(p, 5000, 5000)
    c = session(h, "carl@example.org")
    assert c.say("STAT").startswith(b"+OK 1 ")
    quits(c)


def mail_owner(h):
    c = session(h, "carl@example.org")
    ids = {(s["Uid"].split()[0], s["Gid"].split()[0])
           for s in map(status, h.children("restante-keeper"))}
    # The maildrop is carl's own number, as are its processes.
    assert ids == {("5000", "5000")}
    quits(c)


def other_owner(number):
    def look(h):
        os.chown(h.mail / "carl@example.org", *number)
        for p in (h.mail / "carl@example.org").rglob("*"):
            os.chown(p, *number)
        c = session(h, "carl@example.org")
        ids = {(s["Uid"].split()[0], s["Gid"].split()[0])
               for s in map(status, h.children("restante-keeper"))}
        assert ids == {tuple(map(str, number))}
        quits(c)
    return look


def fronts(n):
    return lambda h: until(lambda: len(h.children("restante-front")) == n, 60, f"{n} fronts")


def front_sessions(h):
    held = [h.connect() for _ in range(2)]
    said = Client(h.port).greeting
    assert said.startswith(b"-ERR [SYS/TEMP] too many connections, try again"), said
    quits(*held)
    h.connect().close()


def keepers(n):
    def look(h):
        held = [session(h, "anna"), session(h, "bert")]
        assert len(h.children("restante-keeper")) == n
        quits(*held)
    return look


def closes_after(least, login):
    """And not only when a client here has lost its patience, which is before the defaults."""
    def look(h):
        start = time.monotonic()
        c = session(h) if login else h.connect()
        # Silent after login (RFC 1939 s.3); the time-out deletes nothing.
        if login:
            assert c.say("DELE 1").startswith(b"+OK")
            assert is_closed(c)
        else:
            c.rest()
        assert least <= time.monotonic() - start < PATIENCE_S
        c.close()
        assert len(list((h.mail / "anna" / "new").iterdir())) == len(MAIL)
    return look


def stays_open(seconds, login):
    """What others close earlier is there still."""
    def look(h):
        c = session(h) if login else h.connect()
        c.s.settimeout(seconds)
        with pytest.raises(TimeoutError):
            c.s.recv(1)
        c.s.settimeout(60)
        c.s.sendall(b"CAPA\r\n")
        assert c.s.recv(3) == b"+OK"
        c.close()
    return look


def bad_commands(n):
    def look(h):
        c = h.connect()
        said = [c.say("NONSENSE") for _ in range(n)]
        assert all(x.startswith(b"-ERR") for x in said)
        c.s.sendall(b"NONSENSE\r\n")
        rest = c.rest()
        assert rest == b"" or rest.startswith(b"-ERR"), rest
        assert rest.count(b"\n") <= 1
        c.close()
    return look


def login_failures(n):
    def look(h):
        c = h.connect()
        for _ in range(n):
            assert c.login("anna", "wrong").startswith(b"-ERR [AUTH]")
        assert is_closed(c)
        c.close()
    return look


def failure_takes(least, most):
    def look(h):
        took = []
        # The machine is busy now and then.
        while len(took) < 6 and min(took, default=most) >= most:
            c = h.connect()
            c.say("USER anna")
            start = time.monotonic()
            assert c.say("PASS wrong").startswith(b"-ERR [AUTH]")
            took.append(time.monotonic() - start)
            c.close()
        assert least <= min(took) < most, took
    return look


def login_delay(h):
    assert "LOGIN-DELAY 3600" in capa(h)
    quits(session(h))
    c = h.connect()
    assert c.login("anna", "secret").startswith(b"-ERR [LOGIN-DELAY]")
    assert c.login("bert", "secret").startswith(b"+OK")
    quits(c)


def no_login_delay(h):
    assert not [x for x in capa(h) if x.startswith("LOGIN-DELAY")]
    for _ in range(3):
        quits(session(h))


def per_address(h):
    held = [h.connect(), h.connect()]
    said = Client(h.port).greeting
    assert said.startswith(b"-ERR [SYS/TEMP] too many connections from your address"), said
    quits(held.pop())
    until(lambda: Client(h.port).greeting.startswith(b"+OK"), 60, "room again")
    quits(*held)


def second_login(h):
    c = h.connect()
    said = c.login("anna", "secret")
    c.close()
    return said


def per_user(many):
    """The holder of the maildrop does not count: who comes second waits a while for him to
    go, and who comes third is one too many."""
    def look(h):
        held = session(h)
        others = [h.connect(), h.connect()]
        for c in others:
            c.say("USER anna")
        for c in others:
            c.s.sendall(b"PASS secret\r\n")
        said = [c.f.readline() for c in others]
        assert all(x.startswith(b"-ERR [IN-USE]") for x in said), said
        assert sum(b"too many" in x for x in said) == (1 if many else 0), said
        quits(held, *others)
        quits(session(h))
    return look


def locked(h):
    c = session(h)
    said = second_login(h)
    assert said.startswith(b"-ERR [IN-USE]") and b"too many" not in said, said
    assert c.say("NOOP").startswith(b"+OK")
    quits(c)


def takeover(h):
    c = session(h)
    assert c.say("DELE 1").startswith(b"+OK")
    # Who waits long enough gets it: until then it is in use.
    until(lambda: second_login(h).startswith(b"+OK"), 60, "taken over")
    assert is_closed(c)
    c.close()
    assert len(list((h.mail / "anna" / "new").iterdir())) == len(MAIL)


def seen(wanted):
    def look(h):
        c = session(h)
        c.multi("RETR 2")
        c.multi("TOP 1 0")
        quits(c)

        def flags():
            names = [p.name for p in (h.mail / "anna").glob("*/*.test*")]
            return sorted(n for n in names if re.search(r":2,\w*S", n))
        if wanted:
            until(lambda: len(flags()) == 1, 60, "marked as seen")
            assert flags()[0].startswith("1700000001.")
        else:
            quits(session(h))  # by then the keeper has done all that the one before left to it
            assert flags() == []
    return look


def plaintext(allowed):
    def look(h):
        c = h.connect()
        said = c.login("anna", "secret")
        assert said.startswith(b"+OK") == allowed, said
        assert ("USER" in capa(h)) == allowed
        c.close()
    return look


def last(there):
    def look(h):
        c = session(h)
        c.multi("RETR 2")
        said = c.say("LAST")
        assert said == b"+OK 2\r\n" if there else said.startswith(b"-ERR"), said
        quits(c)
    return look


def announces(line):
    return lambda h: line in capa(h) or pytest.fail(f"{line}: {capa(h)}")


# ---- delivery ----------------------------------------------------------------------

LETTER = b"Subject: in\n\n%s\n"
LARGE = LETTER % b"\n".join([b"x" * 70] * 3000)


def mta(h):
    return Mta(h.lmtp, hello=True)


def boxes(h, name):
    return len(list((h.mail / name / "new").iterdir()))


def delivers(*pairs):
    """Recipients, and the beginning of the answer to each."""
    def look(h):
        c = mta(h)
        for recipient, wanted in pairs:
            before = boxes(h, "anna")
            said = c.send(LETTER % b"x", recipient)
            assert said[0].startswith(wanted), said
            assert boxes(h, "anna") == before + (wanted == "250")
            c.say("RSET")
        c.close()
    return look


def lmtp_connections(n):
    def look(h):
        held = [mta(h) for _ in range(n)]
        one_more = Mta(h.lmtp)
        assert one_more.greeting.startswith(b"421") == (n == 1), one_more.greeting
        for c in (*held, one_more):
            c.close()
        until(lambda: Mta(h.lmtp).greeting.startswith(b"220"), 60, "room again")
    return look


def lmtp_recipients(h):
    c = mta(h)
    said = c.envelope("anna", "bert", "carl@example.org")
    assert [x[:3] for x in said] == ["250", "250", "250", "452"], said
    c.close()


def lmtp_timeout(h):
    start = time.monotonic()
    c = mta(h)
    rest = c.rest()
    assert rest == b"" or rest.startswith(b"421"), rest
    assert 0.9 <= time.monotonic() - start < PATIENCE_S
    c.close()


def size_max(h):
    c = mta(h)
    assert "250 SIZE 65536" in [x.replace("-", " ") for x in c.extensions], c.extensions
    assert c.envelope(size=65536)[0].startswith("250")
    c.say("RSET")
    assert c.envelope(size=65537)[0].startswith("552")
    # One that does not say how large it is does not get through, either.
    assert c.send(LARGE, "anna")[0].startswith("552")
    assert boxes(h, "anna") == len(MAIL)
    c.close()


def spooled(h):
    """What lmtpd holds of a message that is coming in: paths of descriptors."""
    pid, = h.children("restante-lmtpd")
    out = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            out.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
    return out


def in_the_middle(h, look):
    c = mta(h)
    assert c.envelope("anna")[-1].startswith("250")
    assert c.say("DATA")[-1].startswith("354")
    c.s.sendall(LARGE.replace(b"\n", b"\r\n"))
    until(look, 60, f"as wanted: {spooled(h)}")
    c.s.sendall(b".\r\n")
    assert c.answer()[-1].startswith("250")
    c.close()
    assert boxes(h, "anna") == len(MAIL) + 1


def spool_dir(h):
    place = str(h.options["spool_dir"])
    in_the_middle(h, lambda: [x for x in spooled(h) if x.startswith(place + "/#")])
    # It has no name, and is gone.
    assert os.listdir(place) == []
    assert not [x for x in spooled(h) if x.startswith(place)]


def spool_memory(h):
    # Only while it comes in are there memfds besides the counters.
    before = sum("memfd" in x for x in spooled(h))
    in_the_middle(h, lambda: sum("memfd" in x for x in spooled(h)) > before)
    assert "spool=memory" in h.wait_for_line("event=delivered ")


def bare_ends(code):
    def look(h):
        c = mta(h)
        assert c.envelope("anna")[-1].startswith("250")
        assert c.say("DATA")[-1].startswith("354")
        c.s.sendall(b"Subject: x\r\n\r\na\nb\rc\r\n.\r\n")
        assert c.answer()[-1].startswith(code)
        c.close()
        assert boxes(h, "anna") == len(MAIL) + (code == "250")
    return look


def spool_total(h):
    """Two messages that each fit, and do not fit together."""
    first, second = mta(h), mta(h)
    for c in (first, second):
        assert c.envelope("anna")[-1].startswith("250")
        assert c.say("DATA")[-1].startswith("354")
    half = (LETTER % b"\n".join([b"x" * 70] * 600)).replace(b"\n", b"\r\n")
    first.s.sendall(half)
    until(lambda: h.stat()["lmtp_spool_octets"] >= len(half), 60, "spooled")
    second.s.sendall(half + b".\r\n")
    said = second.answer()[-1]
    assert said.startswith("452"), said
    first.s.sendall(b".\r\n")
    assert first.answer()[-1].startswith("250")
    for c in (first, second):
        c.close()
    assert boxes(h, "anna") == len(MAIL) + 1


def folders(count):
    def look(h):
        for folder in ("Junk", "Work.Old", "Other"):
            for d in ("tmp", "new", "cur"):
                (h.mail / "anna" / f".{folder}" / d).mkdir(parents=True)
            (h.mail / "anna" / f".{folder}" / "new" / "1.one").write_bytes(MAIL[0])
        for p in (h.mail / "anna").rglob("*"):
            os.chown(p, 5000, 5000)
        c = session(h)
        assert c.say("STAT").startswith(b"+OK %d " % count)
        quits(c)
    return look


FROM = (b"From a@b Sun Nov 22 10:00:00 2026\nSubject: 1\n\n>From here\n\n"
        b"From a@b Sun Nov 22 10:00:01 2026\nSubject: 2\n\ntwo\n\n")


def mbox_of(h):
    """carl's mbox, with two messages."""
    box = h.mail / "box"
    box.mkdir()
    (box / "carl@example.org").write_bytes(FROM)
    (box / "carl@example.org").chmod(0o600)
    for p in (box, box / "carl@example.org"):
        os.chown(p, 5000, 5000)
    return box / "carl@example.org"


def unquote(wanted):
    def look(h):
        mbox_of(h)
        c = session(h, "carl@example.org")
        assert wanted in c.multi("RETR 1")
        quits(c)
    return look


def lengths(wanted):
    """A message that says it ends with the file, over another one."""
    def look(h):
        box = mbox_of(h)
        inner = b"abc\n\nFrom x@y Sat Jan  3 01:05:34 1996\nB: 2\n\ny\n"
        box.write_bytes(b"From x@y Sat Jan  3 01:05:34 1996\nContent-Length: %d\n\n"
                        % len(inner) + inner)
        c = session(h, "carl@example.org")
        assert c.say("STAT").split()[1] == wanted
        quits(c)
    return look


def renamed(wanted):
    def look(h):
        box = mbox_of(h)
        before = box.stat().st_ino
        c = session(h, "carl@example.org")
        assert c.say("DELE 1").startswith(b"+OK")
        quits(c)
        assert box.read_bytes().count(b"From a@b") == 1
        assert (box.stat().st_ino != before) == wanted
    return look


def groups(h):
    """As /var/mail is on many systems: a keeper makes the lock by the right of a group."""
    box = mbox_of(h)
    os.chown(box.parent, 0, 8)
    box.parent.chmod(0o775)
    os.chown(box, 5000, 8)
    box.chmod(0o660)
    c = mta(h)
    assert c.send(LETTER % b"x", "carl@example.org")[0].startswith("250")
    c.close()
    assert box.read_bytes().count(b"\nFrom ") == 2
    assert [p.name for p in box.parent.glob("*.lock")] == []
    assert {status(p)["Groups"].strip() for p in h.children("restante-keeper")} == {"8"}


MBOX = {"maildrop": "mbox:{mail}/box/%u"}

ROWS = [
    ("maildrop", {"maildrop": "maildir:{mail}/by/%d/%n"}, maildrop),
    ("mail_uid", {}, mail_owner),
    ("mail_uid", {"mail_uid": 6000}, other_owner((6000, 5000))),
    ("mail_gid", {"mail_gid": 6000}, other_owner((5000, 6000))),
    ("fronts", {"fronts": 1}, fronts(1)),
    ("fronts", {"fronts": 3}, fronts(3)),
    ("front_sessions", {"fronts": 1, "front_sessions": 2}, front_sessions),
    ("keeper_sessions", {"keeper_sessions": 0, "keepers_per_owner": 1}, keepers(1)),
    ("keeper_sessions", {"keeper_sessions": 1, "keepers_per_owner": 1}, keepers(2)),
    ("idle_timeout", {"idle_timeout": "3s"}, closes_after(2.9, True)),
    ("idle_timeout", {"login_timeout": "3s"}, stays_open(4, True)),
    ("login_timeout", {"login_timeout": "1s"}, closes_after(0.9, False)),
    ("login_timeout", {"idle_timeout": "1s"}, stays_open(2, False)),
    ("max_bad_commands", {"max_bad_commands": 1}, bad_commands(1)),
    ("max_bad_commands", {"max_bad_commands": 4}, bad_commands(4)),
    ("max_login_failures", {"max_login_failures": 1}, login_failures(1)),
    ("max_login_failures", {"max_login_failures": 3}, login_failures(3)),
    ("login_failure_delay", {"login_failure_delay": "700ms"}, failure_takes(0.69, 5)),
    ("login_failure_delay", {"login_failure_delay": "0"}, failure_takes(0, 0.5)),
    ("login_delay", {"login_delay": "1h"}, login_delay),
    ("login_delay", {}, no_login_delay),
    ("connections_per_address", {"connections_per_address": 2}, per_address),
    ("connections_per_user", {"connections_per_user": 1, "lock_takeover": "1h"}, per_user(True)),
    ("connections_per_user", {"connections_per_user": 2, "lock_takeover": "1h"}, per_user(False)),
    ("mark_seen", {"mark_seen": "yes"}, seen(True)),
    ("mark_seen", {"mark_seen": "no"}, seen(False)),
    ("lock_takeover", {"lock_takeover": "1s"}, takeover),
    ("lock_takeover", {"lock_takeover": "1h"}, locked),
    ("plaintext", {"plaintext": "never", "tls": True}, plaintext(False)),
    ("plaintext", {"plaintext": "loopback", "tls": True}, plaintext(True)),
    ("plaintext", {"plaintext": "always"}, plaintext(True)),
    ("last", {"last": "yes"}, last(True)),
    ("last", {"last": "no"}, last(False)),
    ("expire", {"expire": 7}, announces("EXPIRE 7")),
    ("expire", {"expire": 0}, announces("EXPIRE 0")),
    ("expire", {"expire": "never"}, announces("EXPIRE NEVER")),
    ("recipient_delimiter", {}, delivers(
        ("anna", "250"), ("anna+x@example.org", "250"), ("anna-x", "550"))),
    ("recipient_delimiter", {"recipient_delimiter": "-"}, delivers(
        ("anna-x@example.org", "250"), ("anna+x", "550"))),
    ("recipient_delimiter", {"recipient_delimiter": "none"}, delivers(
        ("anna@example.org", "250"), ("anna+x", "550"), ("anna-x", "550"))),
    ("lmtp_connections", {"lmtp_connections": 1}, lmtp_connections(1)),
    ("lmtp_connections", {"lmtp_connections": 3}, lmtp_connections(2)),
    ("lmtp_recipients", {"lmtp_recipients": 2}, lmtp_recipients),
    ("lmtp_timeout", {"lmtp_timeout": "1s"}, lmtp_timeout),
    ("lmtp_bare_line_ends", {}, bare_ends("554 5.6.0")),
    ("lmtp_bare_line_ends", {"lmtp_bare_line_ends": "keep"}, bare_ends("250")),
    ("message_size_max", {"message_size_max": "64k"}, size_max),
    ("spool_dir", {"spool_dir": "(its own)", "spool_memory": 0}, spool_dir),
    ("spool_memory", {"spool_memory": "10M"}, spool_memory),
    ("spool_total", {"spool_total": "64k", "message_size_max": "64k"}, spool_total),
    ("maildir_folders", {}, folders(3)),
    ("maildir_folders", {"maildir_folders": "Junk, Work.Old"}, folders(5)),
    ("mbox_unquote", MBOX, unquote(b">From here\r\n")),
    ("mbox_unquote", MBOX | {"mbox_unquote": "yes"}, unquote(b"From here\r\n")),
    ("mbox_lengths", MBOX, lengths(b"2")),
    ("mbox_lengths", MBOX | {"mbox_lengths": "yes"}, lengths(b"1")),
    ("mail_groups", MBOX | {"mail_groups": 8}, groups),
    ("mbox_rename", MBOX, renamed(False)),
    ("mbox_rename", MBOX | {"mbox_rename": "yes"}, renamed(True)),
]

# Those that are seen where mail comes in.
AT_DELIVERY = ("recipient_delimiter", "lmtp_connections", "lmtp_recipients", "lmtp_timeout",
               "lmtp_bare_line_ends",
               "message_size_max", "spool_dir", "spool_memory", "spool_total", "mail_groups")


def certificate(base):
    key, cert = base / "key.pem", base / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "2", "-subj", "/CN=localhost"], capture_output=True, check=True)
    return {"tls_certificate": cert, "tls_key": key}


@pytest.mark.parametrize("name,options,look", ROWS, ids=[
    f"{name}-{'-'.join(map(str, options.values())) or 'default'}" for name, options, _ in ROWS])
def test_option(base, name, options, look):
    options = {k: v.format(mail=base / "house" / "mail") if "{mail}" in str(v) else v
               for k, v in options.items()}
    if "spool_dir" in options:
        options["spool_dir"] = base / "spool"
        options["spool_dir"].mkdir(mode=0o700)
    if options.pop("tls", False):
        options |= certificate(base)
    (base / "house").mkdir()
    with House(base / "house", USERS, options, lmtp=name in AT_DELIVERY) as h:
        look(h)
    assert h.p.returncode == 0, h.log()


def test_every_option_that_others_script_against_has_a_row():
    wanted = ("maildrop mail_uid mail_gid fronts front_sessions keeper_sessions idle_timeout "
              "login_timeout max_bad_commands max_login_failures login_failure_delay login_delay "
              "connections_per_address connections_per_user mark_seen lock_takeover plaintext "
              "last expire recipient_delimiter lmtp_connections lmtp_recipients lmtp_timeout "
              "lmtp_bare_line_ends "
              "message_size_max spool_dir spool_memory spool_total maildir_folders mail_groups mbox_unquote "
              "mbox_lengths mbox_rename").split()
    assert set(wanted) == {name for name, *_ in ROWS}
    table = (ROOT / "src" / "conf" / "options.def").read_text()
    for name in wanted:
        assert re.search(rf"^OPTION\(GLOBAL, \w+, {name},", table, re.M), name
