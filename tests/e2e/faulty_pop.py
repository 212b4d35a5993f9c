"""A POP3 server of the tests that is honest, or has one planted fault.

Without a fault `restante torture` must find nothing wrong in it; with one, the case that
is for that fault must find it. FAULTS says which cases those are. It is written apart from
the server's code and from the tool's, by the RFCs.
"""
import base64
import binascii
import contextlib
import pathlib
import re
import select
import socket
import ssl
import subprocess
import threading
import warnings

from postoffice import ahead

USER, PASSWORD = b"anna", b"s3cret"
MECHANISM = b"PLAIN"
LINE_MAX, AUTH_MAX = 1024, 20000

# fault: the cases that must find it.
FAULTS = {
    # answers
    "greeting-bare-lf": ["greeting"],
    "greeting-long": ["greeting"],
    "err-bare-lf": ["unknown", "before-stat", "after-unknown"],
    "ok-bare-lf": ["after-noop", "rset"],
    "no-blank": ["unknown"],
    "quit-silent": ["quit"],
    "quit-stays": ["quit"],
    "quit-goes-on": ["quit-then-more", "after-quit-then-more"],
    "echo": ["control", "after-control"],
    "echo-all": ["line-1024"],
    "silent-at-empty": ["empty-line"],
    "two-answers": ["unknown", "after-unknown"],
    # commands
    "case-counts": ["quit-lower-case", "login-lower-case", "after-noop-lower-case"],
    "unknown-ok": ["unknown", "unknown-smtp", "after-unknown"],
    "four-letters": ["unknown-longer", "after-longer"],
    "prefixes": ["unknown-prefix", "after-prefix"],
    "cr-ends": ["cr-alone", "after-cr-alone"],
    "nul-ends": ["nul", "retr-nul", "list-nul"],
    "nul-ends-secrets": ["login-nul"],
    "long-lines-fall-apart": ["line-words", "after-line-words"],
    "long-line-crash": ["line-255", "user-248"],
    "eight-bit-cut": ["eight-bit-blank"],
    # states
    "stat-before-login": ["before-stat", "user-then-stat"],
    "noop-before-login": ["before-noop"],
    "retr-after-user": ["user-then-retr"],
    "user-after-login": ["after-user"],
    "auth-after-login": ["after-auth-again"],
    "stls-after-login": ["after-stls"],
    "surplus-ignored": ["surplus-noop", "surplus-stat", "surplus-retr-two"],
    "missing-ignored": ["missing-user", "missing-retr", "missing-dele"],
    # numbers
    "atoi": ["retr-tail", "dele-tail", "list-point"],
    "zero-is-last": ["retr-zero", "dele-zero", "uidl-zero"],
    "minus-counts-back": ["retr-minus", "top-minus"],
    "wraps-32": ["retr-2-32-1", "dele-2-32-1", "list-2-32-1"],
    "wraps-64": ["retr-2-64-1", "dele-2-64-1", "uidl-2-64-1"],
    "beyond-ok": ["dele-beyond", "retr-beyond"],
    "lines-atoi": ["top-lines-word"],
    # lists
    "list-one-dot": ["list-one-line"],
    "list-lf-sizes": ["retr-size"],
    "list-sum": ["list-agrees"],
    "list-one-differs": ["list-one"],
    "list-says-more": ["list-first-line"],
    "list-two-blanks": ["list-form"],
    "uidl-blank": ["uidl-form"],
    "uidl-long": ["uidl-form"],
    "uidl-empty": ["uidl-form"],
    "uidl-control": ["uidl-form"],
    "uidl-twice": ["uidl-unique"],
    "uidl-changes": ["uidl-stays"],
    "uidl-one-differs": ["uidl-one"],
    "stat-changes": ["stat-again"],
    # messages
    "no-stuffing": ["retr-dots", "top-dots"],
    "body-bare-lf": ["retr-line-ends"],
    "dot-bare-lf": ["retr-size"],
    "dot-in-body-ends": ["retr-size"],
    "retr-loses": ["retr-size"],
    "retr-announces-wrong": ["retr-first-line"],
    "retr-varies": ["retr-twice"],
    "retr-marks": ["retr-marks-nothing"],
    "top-one-more": ["top-none", "top-one"],
    "top-no-blank-line": ["top-none"],
    "top-is-retr": ["top-none", "top-five"],
    "top-wraps": ["top-all"],
    "top-marks": ["top-marks-nothing"],
    # marks
    "dele-counted": ["dele-stat"],
    "dele-listed": ["dele-list"],
    "dele-in-uidl": ["dele-uidl"],
    "dele-served": ["dele-then-retr", "dele-then-top"],
    "dele-again": ["dele-twice"],
    "dele-renumbers": ["dele-numbers"],
    "dele-listed-one": ["dele-then-list-one"],
    "rset-nothing": ["dele-rset", "rset-restores"],
    # CAPA
    "capa-tag": ["capa-tags"],
    "capa-twice": ["capa-once"],
    "capa-forgets": ["capa-both-states"],
    "capa-expire": ["capa-expire"],
    "capa-delay": ["capa-login-delay"],
    "capa-sasl": ["capa-sasl"],
    "capa-long": ["capa-lengths"],
    "capa-top": ["capa-top"],
    "capa-no-uidl": ["capa-uidl"],
    "capa-not-after": ["capa-after-login"],
    "code-open": ["login-wrong", "capa-auth-code"],
    "no-auth-code": ["capa-auth-code"],
    # logins
    "password-start": ["login-longer"],
    "password-trimmed": ["login-blank-before"],
    "password-any": ["login-wrong"],
    "pass-again": ["login-pass-again"],
    "user-first": ["login-user-replaced"],
    "names-told": ["login-same-words"],
    "lock-leaks": ["login-lock-goes"],
    "in-use-plain": ["login-in-use"],
    "pass-alone": ["login-no-user"],
    "auth-no-cancel": ["auth-cancel"],
    "auth-challenge": ["auth-challenge"],
    "auth-loose": ["auth-blank-within", "auth-url-alphabet"],
    "auth-obeys": ["auth-command-within"],
    "auth-empty-hangs": ["auth-empty-line"],
    "auth-any-nul": ["auth-many-nul"],
    "auth-mechanism-any": ["auth-unknown"],
    # packets
    "packet-is-line": ["split-octets", "split-everywhere"],
    "packet-first-line": ["pipe-2", "pipe-10"],
    "order": ["pipe-order"],
    "quit-cuts": ["pipe-quit-retr"],
    "enough-at-1000": ["pipe-5000-stat"],
    "half-obeyed": ["half-command"],
    "fin-ignored": ["half-close"],
    "fin-drops-answers": ["half-close-quit"],
    "one-at-a-time": ["connections-silent"],
    "dies-of-reset": ["resets"],
    # TLS
    "stls-keeps-buffer": ["stls-inject-capa", "stls-inject-part"],
    "stls-keeps-user": ["stls-forgets-user"],
    "stls-announced": ["capa-stls-gone"],
    "stls-twice": ["stls-twice"],
    "stls-greets": ["stls-no-greeting"],
    "stls-falls-back": ["stls-then-plain"],
    "tls-no-notify": ["tls-end"],
    "tls-old": ["tls-version-old"],
    "tls-no-13": ["tls-version-new"],
    "tls-alpn": ["tls-alpn-other"],
    "tls-resumed": ["tls-resumption"],
    # UTF8, LANG
    "utf8-refused": ["utf8"],
    "lang-rows": ["lang-rows"],
    "lang-no-tag": ["lang-answer", "lang-any"],
    "lang-unknown": ["lang-unknown"],
    # deleting
    "deletes-at-close": ["delete-not-by-close", "delete-not-by-fin"],
    "deletes-at-once": ["delete-not-by-close", "delete-not-after-rset"],
    "deletes-never": ["delete-by-quit"],
    "deletes-other": ["delete-by-quit"],
    "deletes-uidls": ["delete-others-stay"],
    "loses": ["nothing-lost"],
}
# Found at a port of POP3S.
AT_POP3S = {"pop3s-plain": ["pop3s-plain"]}

MAILS = [
    b"Subject: one\r\nFrom: a@example\r\n\r\nline 1\r\n.\r\n..\r\n.dot\r\nline 5\r\nline 6\r\nline 7\r\n",
    b"Subject: two\r\n\r\n" + b"".join(b"body %d\r\n" % i for i in range(60)),
    b"Subject: three\r\n\r\n",
    b"Subject: four\r\n\r\n\r\n\r\n.\r\n",
    b"Subject: five\r\n\r\n" + b"x" * 500 + b"\r\n",
]


class End(Exception):
    """The session is over."""


class Mail:
    def __init__(self, i, octets):
        self.octets, self.uidl = octets, b"uid-%d" % i


class Session:
    def __init__(self, server, sock):
        self.server, self.s, self.faults = server, sock, server.faults
        self.buffer, self.out = b"", b""
        self.user, self.mails, self.marks, self.secured = None, None, set(), False
        self.stats, self.retrs, self.commands, self.committed = 0, 0, 0, False

    def has(self, *names):
        return bool(self.faults.intersection(names))

    # ---- octets ----

    def put(self, octets):
        self.out += octets

    def flush(self):
        out, self.out = self.out, b""
        if self.has("fin-drops-answers") and self.committed and \
                select.select([self.s], [], [], 0.5)[0]:
            if not self.s.recv(1, socket.MSG_PEEK):
                raise End
        self.s.sendall(out)

    def answer(self, sign, text=b"", code=b""):
        text = b" " + code + text if text or code else b""
        bare = self.has("err-bare-lf") if sign == b"-ERR" else self.has("ok-bare-lf")
        if self.has("no-blank") and sign == b"-ERR":
            text = text.lstrip()
        self.put(sign + text + (b"\n" if bare else b"\r\n"))

    def ok(self, text=b"ok"):
        self.answer(b"+OK", text)

    def err(self, text=b"no", code=b""):
        self.answer(b"-ERR", text, code)

    def more(self):
        """Octets of the client; what waits goes out first."""
        self.flush()
        got = self.s.recv(65536)
        if not got:
            if self.has("half-obeyed") and self.buffer:
                self.command(self.buffer)
                self.flush()
            if self.has("fin-ignored"):
                threading.Event().wait(4)
            raise End
        if self.has("packet-is-line"):
            got = got.rstrip(b"\r\n") + b"\r\n"
        if self.has("packet-first-line"):
            got = got.split(b"\n", 1)[0] + b"\n"
        self.buffer += got

    def line(self, longest=LINE_MAX):
        """A line without its end; None where it was too long, and is read over."""
        seen = 0
        while True:
            ends = rb"[\r\n]" if self.has("cr-ends") else b"\n"
            if self.has("long-lines-fall-apart") and b"\n" not in self.buffer[:longest] and \
                    len(self.buffer) > longest:
                line, self.buffer = self.buffer[:20], self.buffer[20:]
                return line.strip()
            if found := re.search(ends, self.buffer):
                at = found.start()
                line, self.buffer = self.buffer[:at], self.buffer[at + 1:]
                if self.has("cr-ends") and self.buffer.startswith(b"\n"):
                    self.buffer = self.buffer[1:]
                if self.has("cr-ends") and not line and found.group() == b"\n":
                    continue
                if seen + len(line) > longest:
                    return None
                return line[:-1] if line.endswith(b"\r") else line
            if len(self.buffer) > longest:
                seen += len(self.buffer)
                self.buffer = b""
            self.more()

    def secure(self):
        self.flush()
        if self.has("stls-falls-back") and self.s.recv(1, socket.MSG_PEEK) != b"\x16":
            return
        kept = self.buffer
        self.s = self.server.context.wrap_socket(self.s, server_side=True)
        if self.has("tls-resumed") and self.s.session_reused:
            raise ConnectionResetError("a session that was there before")
        self.secured, self.buffer = True, kept if self.has("stls-keeps-buffer") else b""
        self.user = self.user if self.has("stls-keeps-user") else None
        if self.has("stls-greets"):
            self.ok(b"hello again")

    # ---- the session ----

    def run(self, tls_first):
        if tls_first:
            if self.has("pop3s-plain") and self.s.recv(1, socket.MSG_PEEK) != b"\x16":
                self.put(b"+OK ready\r\n")
                self.flush()
                raise End
            self.secure()
        text = b"ready" + (b" " + b"x" * 600 if self.has("greeting-long") else b"")
        self.put(b"+OK " + text + (b"\n" if self.has("greeting-bare-lf") else b"\r\n"))
        while True:
            line = self.line()
            self.commands += 1
            if self.has("enough-at-1000") and self.commands > 4000:
                raise End
            if line is None:
                self.err(b"too long" + (b" " + b"x" * 600 if self.has("echo-all") else b""))
            else:
                self.command(line)
            if len(self.out) > 1 << 16:
                self.flush()

    def command(self, line):
        if self.has("long-line-crash") and len(line) > 200:
            raise End
        if self.has("nul-ends"):
            line = line.split(b"\0")[0]
        if self.has("eight-bit-cut"):
            line = bytes(c for c in line if c < 0x80)
        if not line and self.has("silent-at-empty"):
            return
        word, blank, rest = line.partition(b" ")
        name = word if self.has("case-counts") else word.upper()
        if self.has("four-letters"):
            name = name[:4]
        if self.has("prefixes") and len(name) == 3:
            name = {b"QUI": b"QUIT", b"STA": b"STAT"}.get(name, name)
        function = getattr(self, "do_" + name.decode("latin-1"), None) \
            if re.fullmatch(rb"[A-Z0-9]+", name) else None
        if function is None:
            return self.unknown(line)
        return function(rest, bool(blank))

    def unknown(self, line):
        if self.has("unknown-ok"):
            return self.ok()
        if self.has("two-answers"):
            self.err()
        if self.has("echo"):
            return self.err(b"unknown: " + line[:80])
        if self.has("echo-all"):
            return self.err(b"unknown: " + line)
        return self.err(b"unknown command")

    def in_authorization(self):
        if self.mails is None:
            return True
        self.err(b"you are logged in")
        return False

    def in_transaction(self, name=""):
        if self.mails is not None:
            return True
        if self.has(f"{name}-before-login") or (self.has("retr-after-user") and self.user and name == "retr"):
            self.ok()
            if name == "retr":
                self.put(b".\r\n")
        else:
            self.err(b"log in first")
        return False

    def bare(self, rest):
        """No argument is allowed; blanks are forgiven."""
        if rest.strip() and not self.has("surplus-ignored"):
            self.err(b"no argument")
            return False
        return True

    def do_QUIT(self, rest, _):
        if not self.bare(rest):
            return
        if self.mails is not None and not self.has("deletes-never"):
            self.commit()
        if self.has("quit-cuts"):
            self.out = self.out[-200:-50]
        if not self.has("quit-silent"):
            self.ok(b"bye")
        self.committed = True
        self.flush()
        if self.has("quit-stays"):
            threading.Event().wait(4)
        if not self.has("quit-goes-on"):
            raise End

    def commit(self):
        box = self.server.box
        gone = [self.mails[i - 1] for i in self.marks]
        if gone and self.has("deletes-other"):
            gone = [self.mails[-1]]
        box[:] = [m for m in box if m not in gone]
        if gone and self.has("deletes-uidls"):
            for m in box:
                m.uidl += b"x"
        if self.has("loses") and len(box) == len(MAILS):
            box.pop()

    def do_CAPA(self, _, __):
        if self.mails is not None and self.has("capa-not-after"):
            self.err()
            return
        lines = [b"USER", b"UIDL", b"TOP", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE",
                 b"SASL " + (b"plain!" if self.has("capa-sasl") else MECHANISM), b"UTF8 USER", b"LANG",
                 b"EXPIRE " + (b"soon" if self.has("capa-expire") else b"NEVER"),
                 b"LOGIN-DELAY " + (b"-5" if self.has("capa-delay") else b"0"), b"IMPLEMENTATION test"]
        if self.mails is None and (not self.secured or self.has("stls-announced")):
            lines.append(b"STLS")
        if self.has("capa-tag"):
            lines.append(b"?ODD")
        if self.has("capa-twice"):
            lines.append(b"TOP")
        if self.has("capa-long"):
            lines.append(b"X-LONG " + b"y" * 600)
        if self.has("capa-no-uidl"):
            lines.remove(b"UIDL")
        if self.has("capa-forgets") and self.mails is not None:
            lines = [x for x in lines if x not in (b"TOP", b"PIPELINING")]
        self.many(lines)

    def many(self, lines, text=b"lines"):
        self.ok(text)
        for x in lines:
            self.put((b"." if x.startswith(b".") else b"") + x + b"\r\n")
        self.put(b".\r\n")

    def do_STLS(self, rest, _):
        if self.mails is not None and self.has("stls-after-login"):
            self.ok()
        elif self.secured and self.has("stls-twice"):
            self.ok()
        elif self.secured or self.mails is not None or rest:
            self.err(b"not now")
        else:
            self.ok(b"begin")
            self.secure()

    # ---- logins ----

    def do_USER(self, rest, _):
        if self.mails is not None and self.has("user-after-login"):
            return self.ok()
        if not self.in_authorization():
            return None
        if not rest and not self.has("missing-ignored"):
            return self.err(b"a name, please")
        if not (self.user and self.has("user-first")):
            self.user = rest
        return self.ok()

    def do_PASS(self, rest, _):
        if not self.in_authorization():
            return
        user, self.user = self.user, self.user if self.has("pass-again") else None
        if self.has("pass-alone"):
            user = user or USER
        if user is None:
            self.err(b"USER first")
        elif not rest:
            self.err(b"a password, please")
        else:
            self.log_in(user, rest)

    def is_right(self, user, password):
        if self.has("nul-ends-secrets"):
            password = password.split(b"\0")[0]
        if self.has("password-trimmed"):
            password = password.strip()
        if self.has("password-start"):
            password = password[:len(PASSWORD)]
        return user == USER and (password == PASSWORD or self.has("password-any"))

    def log_in(self, user, password):
        code = b"" if self.has("no-auth-code") else b"[AUTH] "
        if self.has("code-open"):
            code = b"[AUTH "
        if not self.is_right(user, password):
            known = user == USER or not self.has("names-told")
            self.err(b"wrong name or password" if known else b"there is nobody of that name, sorry", code)
        elif not self.server.lock(self):
            self.err(b"in use", b"" if self.has("in-use-plain") else b"[IN-USE] ")
        else:
            self.mails = list(self.server.box)
            self.server.logins += 1
            self.ok(b"welcome")

    def do_APOP(self, *_):
        self.err(b"no APOP")

    def do_AUTH(self, rest, _):
        if self.mails is not None and self.has("auth-after-login"):
            return self.ok()
        if not self.in_authorization():
            return None
        name, blank, first = rest.partition(b" ")
        if not name:
            return self.many([MECHANISM])
        if name.upper() != MECHANISM and not self.has("auth-mechanism-any"):
            return self.err(b"no such mechanism")
        if not blank:
            self.put(b"+\r\n" if self.has("auth-challenge") else b"+ \r\n")
            first = self.line(AUTH_MAX)
            if first == b"*" and not self.has("auth-no-cancel"):
                return self.err(b"cancelled")
            if first == b"*":
                return self.put(b"+ \r\n")
            if first == b"QUIT" and self.has("auth-obeys"):
                return self.do_QUIT(b"", False)
            if first == b"" and self.has("auth-empty-hangs"):
                return None
        return self.plain(first)

    def plain(self, response):
        try:
            if response is None:
                raise binascii.Error
            if self.has("auth-loose"):
                base64.b64decode(response)
                return self.ok()
            octets = b"" if response == b"=" else base64.b64decode(response, validate=True)
        except (binascii.Error, ValueError):
            return self.err(b"no base64")
        parts = octets.split(b"\0")
        if len(parts) > 3 and self.has("auth-any-nul"):
            return self.ok()
        if len(parts) != 3 or not parts[1] or not parts[2] or parts[0] not in (b"", parts[1]):
            return self.err(b"no PLAIN", b"[AUTH] ")
        return self.log_in(parts[1], parts[2])

    # ---- mail ----

    def number(self, text):
        """A message's index, or None. Faults read numbers as careless servers do."""
        if self.has("atoi"):
            text = (re.match(rb"\d*", text).group() or b"0")
        if self.has("minus-counts-back") and re.fullmatch(rb"-\d{1,9}", text):
            return len(self.mails) + int(text)
        if not re.fullmatch(rb"\d{1,400}", text):
            return None
        n = int(text)
        n &= 0xffffffff if self.has("wraps-32") else (1 << 64) - 1 if self.has("wraps-64") else n
        if n == 0 and self.has("zero-is-last"):
            return len(self.mails) - 1
        if n == len(self.mails) + 1 and self.has("beyond-ok"):
            return n - 2
        return n - 1 if 1 <= n <= len(self.mails) else None

    def find(self, text, marked_too=False):
        i = self.number(text)
        if i is not None and self.has("dele-renumbers"):
            alive = [k for k in range(len(self.mails)) if k + 1 not in self.marks]
            i = alive[i] if i < len(alive) else None
        if i is None or (i + 1 in self.marks and not marked_too):
            self.err(b"no message " + text if self.has("echo") else b"no such message")
            return None
        return i

    def size(self, i):
        octets = self.mails[i].octets
        return len(octets.replace(b"\r\n", b"\n")) if self.has("list-lf-sizes") else len(octets)

    def listed(self, *faults):
        return [i for i in range(len(self.mails)) if i + 1 not in self.marks or self.has(*faults)]

    def do_STAT(self, rest, _):
        if self.in_transaction("stat") and self.bare(rest):
            rows = self.listed("dele-counted")
            self.stats += 1
            octets = sum(map(self.size, rows)) + (self.has("list-sum") and 7)
            octets += self.stats if self.has("stat-changes") else 0
            self.ok(b"%d %d" % (len(rows), octets))

    def do_LIST(self, rest, _):
        if not self.in_transaction("list"):
            return
        if rest.strip():
            i = self.find(rest, self.has("dele-listed-one"))
            if i is not None:
                self.ok(b"%d %d" % (i + 1, self.size(i) + self.has("list-one-differs")))
                self.put(b".\r\n" if self.has("list-one-dot") else b"")
            return
        gap = b"  " if self.has("list-two-blanks") else b" "
        rows = self.listed("dele-listed")
        self.many([b"%d%s%d" % (i + 1, gap, self.size(i)) for i in rows],
                  b"%d messages" % (len(rows) + self.has("list-says-more")))

    def uidl(self, i):
        uidl = self.mails[i].uidl
        if self.has("uidl-blank"):
            uidl += b" x"
        if self.has("uidl-long"):
            uidl += b"x" * 80
        if self.has("uidl-control"):
            uidl += b"\x7f"
        if self.has("uidl-empty") and i == 1:
            uidl = b""
        if self.has("uidl-twice"):
            uidl = b"the-same"
        if self.has("uidl-changes"):
            uidl += b"-%d" % self.server.logins
        return uidl

    def do_UIDL(self, rest, _):
        if not self.in_transaction("uidl"):
            return
        if rest.strip():
            i = self.find(rest)
            if i is not None:
                self.ok(b"%d %s" % (i + 1, self.uidl(i) + (b"y" if self.has("uidl-one-differs") else b"")))
            return
        self.many([b"%d %s" % (i + 1, self.uidl(i)) for i in self.listed("dele-in-uidl")])

    def body(self, octets):
        if self.has("body-bare-lf"):
            octets = octets.replace(b"\r\n", b"\n", 1)
        if self.has("dot-in-body-ends"):
            octets = re.sub(rb"(?m)^(\.\r\n)", rb"\1", octets)
        else:
            octets = octets if self.has("no-stuffing") else re.sub(rb"(?m)^\.", b"..", octets)
        if self.has("no-stuffing"):
            octets = re.sub(rb"(?m)^\.\r\n", b"..\r\n", octets)  # else all would be out of step
        self.put(octets + (b".\n" if self.has("dot-bare-lf") else b".\r\n"))

    def do_RETR(self, rest, _):
        if not self.in_transaction("retr"):
            return
        i = self.find(b"1" if not rest and self.has("missing-ignored") else rest.split(b" ")[0]
                      if self.has("surplus-ignored") else rest, self.has("dele-served"))
        if i is None:
            return
        octets = self.mails[i].octets
        self.retrs += 1
        if self.has("retr-loses"):
            octets = octets[:octets.rindex(b"\r\n", 0, -2) + 2]
        if self.has("retr-varies"):
            octets = b"X-Count: %d\r\n" % (self.retrs % 10) + octets
        if self.has("retr-marks"):
            self.marks.add(i + 1)
        self.ok(b"%d octets" % (len(octets) + self.has("retr-announces-wrong")))
        self.body(octets)

    def do_TOP(self, rest, _):
        if not self.in_transaction("top"):
            return
        if self.has("capa-top"):
            self.err(b"unknown command")
            return
        words = rest.split(b" ")
        if self.has("lines-atoi"):
            words[1:] = [b"0" if not x.isdigit() else x for x in words[1:]]
        if len(words) != 2 or not re.fullmatch(rb"\d{1,400}", words[1]):
            self.err(b"TOP message lines")
            return
        i = self.find(words[0], self.has("dele-served"))
        if i is None:
            return
        lines = int(words[1]) % 100000 if self.has("top-wraps") else int(words[1])
        head, blank, body = self.mails[i].octets.partition(b"\r\n\r\n")
        part = body.split(b"\r\n")[:-1][:min(lines, 1 << 30) + self.has("top-one-more")]
        octets = head + (b"\r\n" if self.has("top-no-blank-line") else blank) + b"".join(x + b"\r\n" for x in part)
        if self.has("top-wraps") and int(words[1]) > 9999:
            octets = head + blank
        if self.has("top-is-retr"):
            octets = self.mails[i].octets
        if self.has("top-marks"):
            self.marks.add(i + 1)
        self.ok()
        self.body(octets)

    def do_DELE(self, rest, _):
        if not self.in_transaction("dele"):
            return
        if not rest and self.has("missing-ignored"):
            self.ok()
            return
        i = self.find(rest, self.has("dele-again"))
        if i is None:
            return
        self.marks.add(i + 1)
        if self.has("deletes-at-once"):
            self.server.box[:] = [m for m in self.server.box if m is not self.mails[i]]
        self.ok(b"marked")

    def do_NOOP(self, rest, _):
        if self.in_transaction("noop") and self.bare(rest):
            self.ok(b"")

    def do_RSET(self, rest, _):
        if self.in_transaction("rset") and self.bare(rest):
            if not self.has("rset-nothing"):
                self.marks.clear()
            self.ok()

    # ---- UTF8, LANG ----

    def do_UTF8(self, rest, _):
        if rest.strip() or self.has("utf8-refused"):
            self.err()
        else:
            self.ok()

    def do_LANG(self, rest, _):
        if not rest.strip():
            self.many([b" English" if self.has("lang-rows") else b"en English", b"de Deutsch"])
        elif rest.lower() in (b"en", b"de", b"*") or self.has("lang-unknown"):
            tag = b"de" if rest.lower() == b"de" else b"en"
            self.ok(b"fine" if self.has("lang-no-tag") else tag + b" fine")
        else:
            self.err(b"no such language")

    def end(self):
        self.server.unlock(self)
        if self.mails is not None and self.has("deletes-at-close"):
            self.commit()


class Ordered(Session):
    """Fault "order": STAT goes before what was asked for earlier."""

    def do_STAT(self, rest, blank):
        waiting, self.out = self.out, b""
        super().do_STAT(rest, blank)
        self.out += waiting


class FaultyServer:
    def __init__(self, place, faults=()):
        self.faults = frozenset(faults)
        unknown = self.faults - set(FAULTS) - set(AT_POP3S)
        assert not unknown, unknown
        self.box = [Mail(i, octets) for i, octets in enumerate(MAILS)]
        self.holder, self.guard, self.logins = None, threading.Lock(), 0
        self.ca = make_certificate(pathlib.Path(place))
        self.context = self.make_context(pathlib.Path(place))
        self.stopping = threading.Event()
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=256) for _ in range(2)]
        self.port, self.tls_port = (s.getsockname()[1] for s in self.listeners)
        self.threads = [threading.Thread(target=self.accept, args=(s, i == 1), daemon=True)
                        for i, s in enumerate(self.listeners)]
        for t in self.threads:
            t.start()

    def make_context(self, place):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(place / "cert.pem", place / "key.pem")
        if "tls-old" in self.faults:
            c.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                c.minimum_version = ssl.TLSVersion.TLSv1
        else:
            c.minimum_version = ssl.TLSVersion.TLSv1_2
        if "tls-no-13" in self.faults:
            c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.set_alpn_protocols(["http/1.1"] if "tls-alpn" in self.faults else ["pop3"])
        return c

    def lock(self, session):
        with self.guard:
            if self.holder not in (None, session):
                return False
            self.holder = session
            return True

    def unlock(self, session):
        with self.guard:
            if self.holder is session and ("lock-leaks" not in self.faults or session.committed):
                self.holder = None

    def accept(self, listener, tls_first):
        while not self.stopping.is_set():
            if not select.select([listener], [], [], 0.1)[0]:
                continue
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if "dies-of-reset" in self.faults and self.is_reset(sock):
                listener.close()
                return
            if "one-at-a-time" in self.faults:
                self.serve(sock, tls_first)
            else:
                threading.Thread(target=self.serve, args=(sock, tls_first), daemon=True).start()

    @staticmethod
    def is_reset(sock):
        sock.settimeout(0.05)
        try:
            return sock.recv(1, socket.MSG_PEEK) is None
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(None)

    def serve(self, sock, tls_first):
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = (Ordered if "order" in self.faults else Session)(self, sock)
        # Octets that come a millisecond apart are to be met one by one.
        turns = ahead() if "packet-is-line" in self.faults else contextlib.nullcontext()
        try:
            with turns:
                session.run(tls_first)
        except (End, OSError, ValueError):
            pass
        finally:
            session.end()
            self.close(session)

    def close(self, session):
        try:
            if session.secured and "tls-no-notify" not in self.faults:
                session.s.setblocking(False)
                session.s.unwrap()
        except (OSError, ValueError):
            pass  # close_notify has gone; that of the client is not waited for
        session.s.close()

    def stop(self):
        self.stopping.set()
        for s in self.listeners:
            s.close()
        for t in self.threads:
            t.join(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def make_certificate(place):
    if not (place / "cert.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
             "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
             str(place / "key.pem"), "-out", str(place / "cert.pem")],
            check=True, capture_output=True, timeout=60)
    return place / "cert.pem"
