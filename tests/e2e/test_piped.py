"""Exim and OpenSMTPD run `restante deliver` for users of the machine, with the lines of
restante-deliver(1)."""
import os
import re
import shutil
import types

import pytest

from mail_ledger import check_octets
from mtas import Exim, OpenSmtpd, blocks, make_roots, replaced
from postoffice import BUILD, ROOT, make_base
from smtp_sender import DOMAIN, SENDER, Letter, head, send

PAGE = ROOT / "man/restante-deliver.1"
USER, UID = "anna", 5200


class PipingExim(Exim):
    def settings(self):
        """The page's transport in the other page's configuration."""
        text = re.sub(r"(?s)begin routers\n.*?\n\n", "begin routers\nlocal:\n  driver = accept\n"
                      "  check_local_user\n  transport = restante_deliver\n\n",
                      self.text["exim tcp"])
        transport = replaced(blocks(PAGE)["exim pipe"], restante=self.house.restante)
        return re.sub(r"(?s)begin transports\n.*?\n\n",
                      lambda _: f"begin transports\n{transport}\n", text)


class PipingOpenSmtpd(OpenSmtpd):
    def settings(self):
        text = replaced(blocks(PAGE)["opensmtpd mda"], restante=self.house.restante)
        return f"listen on 127.0.0.1 port {self.port}\n" + text.replace(
            "match for local", f'match from any for domain "{DOMAIN}"')


@pytest.fixture
def base():
    yield from make_base()


@pytest.mark.parametrize("kind", [PipingExim, PipingOpenSmtpd])
def test_piped(base, kind):
    home = base / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    for program in ("restante", "restante-deliver"):
        shutil.copy2(BUILD / program, base / program)
    kind.users = [f"{USER}:x:{UID}:{UID}::{home}:/bin/sh"]
    mta = kind(types.SimpleNamespace(base=base, roots=make_roots(), lmtp_port=0,
                                     restante=base / "restante"), "unix")
    try:
        octets = head("piped", "piped") + b"one\r\n.\r\nFrom here\r\n\r\n"
        letters = [Letter("piped", [f"{USER}@{DOMAIN}"], octets),
                   Letter("unknown", [f"nemo@{DOMAIN}"], octets)]
        send(mta.port, letters)
        assert letters[1].refused or not letters[1].taken
        fates = mta.settle(letters[:1])
        assert fates[letters[0].queue_id, f"{USER}@{DOMAIN}"] == ["sent"], mta.log()
    finally:
        mta.stop()
    stored, = (home / "Maildir/new").iterdir()
    assert stored.stat().st_uid == UID and stored.stat().st_mode & 0o077 == 0
    got = stored.read_bytes().replace(b"\n", b"\r\n")
    check_octets(got, letters[0], SENDER, f"{USER}@{DOMAIN}")
