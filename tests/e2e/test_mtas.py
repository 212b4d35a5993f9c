"""Mail comes in from real mail servers, configured as restante-mta(7) says, while people
collect it: every message that was taken is there once, octet for octet."""
import collections
import concurrent.futures
import os
import random
import re
import subprocess

import pytest

from mail_ledger import Callers, check_octets
from mtas import PAGE, MailHouse, blocks, make_roots, start_all
from postoffice import make_base, until
from smtp_sender import DOMAIN, SENDER, SENDER_NAME, UNKNOWN, Letter, head, letters, send_all

MESSAGES = 3400 if os.environ.get("RESTANTE_LONG") else 300  # to each of the three
SETTLE_S = 1200 if os.environ.get("RESTANTE_LONG") else 240
USERS = [f"u{i:02}" for i in range(50)]
FAR = "J\u00f3zef\u4e2d"
SIZE_MAX = 1 << 20
CONNECTIONS = {"postfix": 16, "exim": 6, "opensmtpd": 6}


@pytest.fixture(scope="module")
def roots():
    return make_roots()


@pytest.fixture(scope="module", params=["unix", "tcp"])
def place(request, roots):
    """The house and the three mail servers."""
    for base in make_base():
        with MailHouse(base, [*USERS, FAR], roots, {"message_size_max": SIZE_MAX}) as house:
            mtas = start_all(house, request.param)
            try:
                yield house, mtas
            finally:
                for mta in mtas:
                    mta.stop()


def deliver(mta, list_):
    """What was sent, and what became of it."""
    list_ = send_all(mta, list_, CONNECTIONS[mta.name], SETTLE_S)
    return list_, mta.settle(list_, SETTLE_S)


def check_unknown(mta, letter, fates):
    """Refused, or taken and then sent back with the reason."""
    who = f"{UNKNOWN}@{DOMAIN}"
    if mta.unknown_at_rcpt:
        assert letter.refused[who].startswith("5"), letter.refused
    else:
        assert not letter.refused
        assert fates[letter.queue_id, who] == ["bounced"]


def bounces(house, mtas, count):
    """What the mail servers sent back, which says why, has arrived in the sender's mailbox."""
    callers = Callers(house, [SENDER_NAME], threads=0)
    until(lambda: callers.collect(SENDER_NAME) and len(callers.copies) >= count, 60,
          lambda: f"{len(callers.copies)} of {count} bounces", 0.2)
    texts = [row[2] for row in callers.copies.values()]
    assert len(texts) == count
    for text in texts:
        assert text.startswith(b"Return-Path: <>\r\nDelivered-To: " + SENDER.encode()), text[:300]
    return [re.sub(rb"\s+", b" ", text) for text in texts]


def test_load(place):
    house, mtas = place
    rng = random.Random(4)
    lists = {m: letters(rng, m.name, MESSAGES, USERS) for m in mtas}
    callers = Callers(house, USERS)
    try:
        with concurrent.futures.ThreadPoolExecutor(len(mtas)) as pool:
            jobs = {m: pool.submit(deliver, m, lists[m]) for m in mtas}
            sent = {m: job.result() for m, job in jobs.items()}
    finally:
        callers.stop()
    during = callers.seen["messages"]
    got, want = callers.finish(), collections.Counter()
    bounced = 0
    for mta, (list_, fates) in sent.items():
        for letter in list_:
            for r in letter.taken:
                if r.startswith(UNKNOWN):
                    bounced += 1
                    continue
                want[letter.id, r] = 1
                assert len(got[letter.id, r]) == 1, (letter.id, r, len(got[letter.id, r]))
                check_octets(got[letter.id, r][0], letter, SENDER, r)
            if f"{UNKNOWN}@{DOMAIN}" in letter.recipients:
                check_unknown(mta, letter, fates)
            else:
                assert not letter.refused, (letter.id, letter.refused)
    assert sum(map(len, got.values())) == len(want)
    assert all(n == 1 for n in callers.gone.values())
    assert set(callers.gone) == set(callers.copies)
    # It did happen at the same time.
    assert during > len(want) / 4, callers.seen
    assert len([x for x in want if "+" in x[1]]) > MESSAGES / 20
    for text in bounces(house, mtas, bounced):
        assert b"550 5.1.1 there is no such user" in text, text
    faults = [x for x in house.lines if "_fault" in x or "process_ended" in x]
    assert not faults, faults[:5]
    print(dict(callers.seen))


def test_too_large(place):
    """A mail server with a larger limit of its own sends the message back at once."""
    house, mtas = place
    large = {}
    for mta in mtas:
        if mta.name == "opensmtpd":
            continue  # which would try for days: its limit must be the smaller one
        octets = f"X-Id: {mta.name}-large\r\n\r\n".encode() + b"x" * 70 + b"\r\n"
        octets += (b"y" * 70 + b"\r\n") * (SIZE_MAX // 72)
        letter = Letter(f"{mta.name}-large", [f"u00@{DOMAIN}", f"u01@{DOMAIN}"], octets)
        (*_, letter), fates = deliver(mta, [letter])
        assert [fates[letter.queue_id, r] for r in letter.taken] == [["bounced"]] * 2
        large[mta] = letter
    for text in bounces(house, mtas, len(large)):
        assert re.search(rb"size|large|too big|5\.3\.4", text), text[:3000]
    with_mail = [u for u in USERS if Callers(house, [u], threads=0).finish()]
    assert not with_mail


def test_beyond_ascii(place):
    house, mtas = place
    for mta in mtas:
        if mta.name == "opensmtpd" or (mta.name == "exim" and mta.way == "unix"):
            continue  # these do not hand it on
        letter = Letter(f"{mta.name}-far", [f"{FAR}+caf\u00e9@{DOMAIN}"],
                        head(f"{mta.name}-far", FAR) + FAR.encode() + b"\r\n")
        (*_, letter), fates = deliver(mta, [letter])
        assert letter.taken, letter.refused
        assert "sent" in sum(fates.values(), []), fates
        got = Callers(house, [FAR], threads=0).finish()
        assert list(got) == [(letter.id, letter.taken[0])], got
        check_octets(got[letter.id, letter.taken[0]][0], letter, SENDER, letter.taken[0])


def test_the_page():
    """It is well formed, and every block that it marks is one that is used here."""
    said = subprocess.run(["mandoc", "-Tlint", "-Wwarning", PAGE], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    assert len(blocks()) == PAGE.read_text().count('.\\" block: ')
