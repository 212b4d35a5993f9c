"""`restante fetch --daemon` as a process whose JSON lines are read, and servers for it.

Daemon(base, accounts)  the running program; wait_for(event, ...) gives the event
Houses                  one server with a maildrop for each user
Socks                   a SOCKS5 server of its own
"""
import json
import os
import signal
import socket
import struct
import subprocess
import threading

from fetch_faulty import PASSWORD, Drop, House, Session
from fetch_trial import PROGRAM, REPORT
from postoffice import alive, until

ENDS_S = 60


class OfMany(Session):
    """Every user has the maildrop of that name."""

    def right(self, user, password):
        self.drop = self.house.drops.get(user.decode())
        self.name = user.decode()
        return self.drop is not None and password == PASSWORD


class Houses(House):
    def __init__(self, drops, script=OfMany, **more):
        super().__init__(Drop([]), script, **more)
        self.drops = {name: Drop(mails) for name, mails in drops.items()}

    def delete(self, session, mails):
        with self.lock:
            for m in mails:
                session.drop.mails.remove(m)
                self.deleted.append((session.visit, m))

    def visits(self, name):
        return [s for s in list(self.sessions) if getattr(s, "name", None) == name]


def settings(house, user="anna", **more):
    """An account's section."""
    rows = {"server": f"127.0.0.1:{house.port}", "user": user, "password": PASSWORD.decode(),
            "tls": house.tls, "plaintext": "yes", "poll": "1s", "timeout": "60s", **more}
    return {k: v for k, v in rows.items() if v is not None}


class Base:
    """A directory with a configuration in it."""

    def __init__(self, base):
        self.base, self.state, self.config = base, base / "state", base / "fetch.conf"

    def write(self, accounts, **run):
        text = "".join(f"{k} = {v}\n" for k, v in run.items())
        for name, rows in accounts.items():
            rows = {"deliver": f"maildir:{self.maildir(name)}", **rows}
            text += f"[account {name}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items())
        self.config.write_text(text)
        self.config.chmod(0o600)

    def maildir(self, name):
        return self.base / "mail" / name

    def mails(self, name):
        new = self.maildir(name) / "new"
        return sorted(p.read_bytes() for p in new.iterdir()) if new.is_dir() else []

    def command(self, *args):
        return [str(x) for x in (PROGRAM, "--config", self.config, "--state", self.state, *args)]

    def environment(self, env=None):
        return {"PATH": os.environ["PATH"], "HOME": str(self.base), **(env or {})}

    def run(self, *args, code=0, timeout=60):
        (self.base / "mail").mkdir(exist_ok=True)
        got = subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=timeout, env=self.environment())
        out, err = got.stdout.decode(), got.stderr.decode()
        assert got.returncode == code, f"{got.returncode}, not {code}\n{out}\n{err}"
        assert not REPORT.search(err), err
        assert PASSWORD.decode() not in out + err
        return out, err


class Daemon:
    def __init__(self, place, *args, env=None, fds=()):
        (place.base / "mail").mkdir(exist_ok=True)
        self.place, self.events, self.bad, self.err = place, [], [], []
        self.process = subprocess.Popen(
            place.command("--daemon", "--json", *args), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment(env),
            pass_fds=fds)
        self.pid = self.process.pid
        self.readers = [threading.Thread(target=f, daemon=True) for f in (self._out, self._err)]
        for r in self.readers:
            r.start()

    def _out(self):
        for line in self.process.stdout:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.bad.append(line)

    def _err(self):
        for line in self.process.stderr:
            self.err.append(line.decode("utf-8", "replace"))

    def story(self):
        return "\n".join(map(str, self.events[-30:])) + "\n" + "".join(self.err)

    def mark(self):
        return len(self.events)

    def all_of(self, event, account=None, since=0):
        return [e for e in self.events[since:] if e["event"] == event
                and account in (None, e.get("account"))]

    def wait_for(self, event, account=None, since=0, n=1, deadline=60):
        """The n-th event of that kind."""
        return until(lambda: (self.all_of(event, account, since)[n - 1:n] or [None])[0], deadline,
                     lambda: f"no {event} of {account}\n{self.story()}")

    def send(self, number):
        self.process.send_signal(number)

    def reload(self):
        """SIGHUP; the event that follows."""
        since = self.mark()
        self.send(signal.SIGHUP)
        return until(lambda: next((e for e in self.events[since:]
                                   if e["event"] in ("reloaded", "not_reloaded")), None), 60,
                     lambda: f"not reloaded\n{self.story()}")

    def stop(self, code=0, how=signal.SIGTERM):
        if how and self.process.returncode is None and alive(self.pid):
            self.send(how)
        try:
            got = self.process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it does not end\n{self.story()}") from None
        for r in self.readers:
            r.join(60)
        said = "".join(self.err)
        assert not REPORT.search(said), said
        assert PASSWORD.decode() not in said + str(self.events)
        assert not self.bad, f"no JSON: {self.bad}"
        assert code is None or got == code, f"status {got}, not {code}\n{self.story()}"
        return said

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.returncode is None:
            self.stop(None if kind else 0)


class Socks(threading.Thread):
    """SOCKS5 (RFC 1928, 1929): leads every name to one port of 127.0.0.1."""

    def __init__(self, port, secret=None):
        super().__init__(daemon=True)
        self.target, self.secret, self.asked, self.secrets = port, secret, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self.serve, args=(s,), daemon=True)
            self.threads.append(t)
            t.start()

    def serve(self, s):
        with s:
            try:
                server = self.greet(s, s.makefile("rb", 0))
                if server:
                    self.pass_on(s, server)
            except (OSError, struct.error, IndexError):
                pass

    def greet(self, s, f):
        version, n = struct.unpack("BB", f.read(2))
        methods = f.read(n)
        want = 2 if self.secret else 0
        if version != 5 or want not in methods:
            return s.sendall(b"\5\xff")
        s.sendall(bytes((5, want)))
        if self.secret:
            _, n = struct.unpack("BB", f.read(2))
            user = f.read(n)
            password = f.read(f.read(1)[0])
            self.secrets.append((user, password))
            good = (user, password) == self.secret
            s.sendall(b"\1\0" if good else b"\1\1")
            if not good:
                return None
        _, command, _, kind = struct.unpack("BBBB", f.read(4))
        name = f.read(f.read(1)[0]) if kind == 3 else f.read(4 if kind == 1 else 16)
        port = struct.unpack(">H", f.read(2))[0]
        self.asked.append((command, kind, name, port))
        server = socket.create_connection(("127.0.0.1", self.target), 60)
        s.sendall(b"\5\0\0\1\x7f\0\0\1\0\0")
        return server

    @staticmethod
    def pass_on(a, b):
        def copy(source, sink):
            try:
                while octets := source.recv(65536):
                    sink.sendall(octets)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        with b:
            back = threading.Thread(target=copy, args=(b, a), daemon=True)
            back.start()
            copy(a, b)
            back.join(60)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
