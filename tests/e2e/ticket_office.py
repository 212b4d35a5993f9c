"""A whole office for logins that a helper decides: mail of each user, and POP3 to it."""
import base64
import os
import pathlib

from pop import Pop


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
