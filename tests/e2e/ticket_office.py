"""A whole office for logins that a helper decides: mail of each user, and POP3 to it."""
import base64
import os
import pathlib
import time

from pop import Pop
from postoffice import until


def put_mail(place, name, subject, uid=5000, gid=5000):
    """A Maildir with one message; its path."""
    mail = pathlib.Path(place) / "mail" / name
    for part in ("cur", "new", "tmp"):
        (mail / part).mkdir(parents=True)
    (mail / "new" / "1.one").write_bytes(f"Subject: {subject}\n\nhello\n".encode())
    for path in (mail, *mail.rglob("*")):
        os.chown(path, uid, gid)
    return mail


def reads_own(p, subject):
    """Logged in, and the mail is that user's."""
    assert p.say("STAT").startswith(b"+OK 1 ")
    assert f"Subject: {subject}".encode() in p.multi("RETR 1")
    assert p.say("QUIT").startswith(b"+OK")


def password(office, name, word):
    """The answer to PASS, and the connection."""
    p = Pop(office.host, office.pop3)
    assert p.say(b"USER " + name.encode()).startswith(b"+OK")
    return p.say(b"PASS " + word.encode()), p


def conversation(office, mechanism, steps):
    """AUTH over TLS; steps: an iterator of octets to send that is given each challenge."""
    p = Pop("localhost", office.pop3s, office.ca)
    answer = p.say(f"AUTH {mechanism} " + base64.b64encode(next(steps)).decode())
    while answer.startswith(b"+ "):
        answer = p.say(base64.b64encode(steps.send(base64.b64decode(answer[2:]))))
    return answer, p


def logs_in(office, name, word):
    """The answer to PASS; of a login, the mail is that user's."""
    answer, p = password(office, name, word)
    if answer.startswith(b"+OK"):
        reads_own(p, f"for {name}")
    p.close()
    return answer


def is_asked_no_more(start, sets, names, change, asked):
    """What auth_cache_unseen promises. Two users have the password "secret"; change(name, word);
    asked(): how often the database was, or None where nobody counts."""
    anna, berta = names
    sets = {**sets, "login_failure_delay": "0"}
    o = start(sets=sets)
    for name in names:
        assert logs_in(o, name, "secret").startswith(b"+OK"), o.log()
    before, hits = asked(), o.stat().get("credential_cache_hits_total", 0)
    for name in (anna, berta, anna, berta):
        assert logs_in(o, name, "secret").startswith(b"+OK"), o.log()
    assert asked() == before
    o.wait_for_counter("credential_cache_hits_total", hits + 4)
    # A wrong one, and who is not there, it is asked for.
    for name, word in ((anna, "wrong"), (berta, "wrong"), ("carla", "secret")):
        assert logs_in(o, name, word).startswith(b"-ERR [AUTH]")
    assert before is None or asked() >= before + 2
    change(anna, "other")
    for word in ("secret", "other", "secret"):
        assert logs_in(o, anna, word).startswith(b"+OK"), word
    # It was anna's that changed.
    assert logs_in(o, berta, "other").startswith(b"-ERR [AUTH]")
    # Another process of the helper may have other settings: nothing of the old one counts.
    old = [p for name in ("pam", "ldap", "command") for p in o.pids(f"restante-auth-{name}")]
    os.kill(old[0], 9)
    until(lambda: logs_in(o, anna, "secret").startswith(b"-ERR [AUTH]"), 60, o.log)
    assert logs_in(o, anna, "other").startswith(b"+OK")
    o.stop()
    o = start(sets={**sets, "auth_cache_unseen": "1s"})
    assert logs_in(o, anna, "other").startswith(b"+OK")
    known = time.monotonic()
    change(anna, "third")
    while True:
        begun = time.monotonic()
        if not logs_in(o, anna, "other").startswith(b"+OK"):
            break
        assert begun < known + 1.05, "it is remembered for too long"
    assert logs_in(o, anna, "other").startswith(b"-ERR [AUTH]")
    assert logs_in(o, anna, "third").startswith(b"+OK")
    o.stop()
