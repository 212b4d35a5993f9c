"""The house of tests/privs with TLS, options that can be changed, and a look at costs."""
import concurrent.futures
import os
import pathlib
import re
import resource
import selectors
import shutil
import socket
import ssl
import subprocess
import threading
import time

import house as privs_house
from house import BUILD, PATIENCE_S, Client, House, free_port, status, until

__all__ = ["BUILD", "Client", "FaultHouse", "TlsClient", "cpu_seconds", "cut_after", "make_certificate",
           "mounted", "open_many", "pss_kib", "rests", "status", "timed_session", "until"]
TICKS = os.sysconf("SC_CLK_TCK")


def make_certificate(directory, name="localhost"):
    """cert.pem and key.pem there, in place of older ones."""
    directory = pathlib.Path(directory)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", directory / "key.new", "-out", directory / "cert.new"],
                   check=True, capture_output=True)
    for part in ("key", "cert"):
        os.rename(directory / f"{part}.new", directory / f"{part}.pem")


class FaultHouse(House):
    def __init__(self, base, users, options=None, tls=False, prefix=()):
        super().__init__(base, users, options)
        self.prefix, self.tls_port = list(prefix), None
        if tls:
            make_certificate(self.base)
            self.tls_port = free_port()
            self.set(tls_certificate=self.base / "cert.pem", tls_key=self.base / "key.pem")
            with self.conf.open("a") as f:
                f.write(f"\n[listener pop3s]\naddress = 127.0.0.1:{self.tls_port}\n"
                        "tls = implicit\n")

    def __enter__(self):
        """As the house does, but with something before the command."""
        popen = subprocess.Popen
        try:
            privs_house.subprocess.Popen = lambda c, **k: popen(self.prefix + c, **k)
            return super().__enter__()
        finally:
            privs_house.subprocess.Popen = popen

    def set(self, **options):
        text = self.conf.read_text()
        for name, value in options.items():
            text = re.sub(rf"(?m)^{name} = .*\n", "", text)
            text = f"{name} = {value}\n" + text
        self.conf.write_text(text)

    def box(self, name):
        return self.mail / name

    def client(self, address="127.0.0.1"):
        return Client(self.port, address)

    def login(self, name, password="secret"):
        """A session in TRANSACTION."""
        end = time.monotonic() + PATIENCE_S
        while True:
            c = Client(self.port)
            said = c.login(name, password)
            # One that was cut off a moment ago may still have the maildrop.
            if b"[IN-USE]" not in said or time.monotonic() > end:
                break
            c.close()
        assert said.startswith(b"+OK"), (name, said, self.log()[-3000:])
        return c

    def fronts(self):
        return sorted(self.children("restante-front"))

    def keepers(self, uid=None):
        return [p for p in self.children("restante-keeper")
                if uid is None or int(status(p)["Uid"].split()[0]) == uid]


class TlsClient(Client):
    def __init__(self, port, address="127.0.0.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection((address, port), 60)
        self.s = context.wrap_socket(raw)
        self.f = self.s.makefile("rb")
        self.greeting = self.f.readline()

    def certificate(self):
        return self.s.getpeercert(True)


def pss_kib(pids):
    """Memory that these processes have to themselves, and their share of the rest."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1])
    return total


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rests(pids, most, seconds=1.0):
    """When what was asked of them is done, they take no more than that of a processor."""
    def does():
        start = cpu_seconds(pids)
        threading.Event().wait(seconds)
        return cpu_seconds(pids) - start < most
    until(does, message="at rest")


def timed_session(port, name, password="secret", retr=True):
    """Login, RETR 1, QUIT; seconds from the connect to the last answer."""
    start = time.monotonic()
    c = Client(port)
    try:
        said = c.login(name, password)
        assert said.startswith(b"+OK"), (name, said)
        if retr:
            assert c.multi("RETR 1")
        assert c.say("QUIT").startswith(b"+OK")
    finally:
        c.close()
    return time.monotonic() - start


def sessions_meanwhile(port, names, threads=8):
    """Each name's timed_session, several at a time; the slowest in seconds."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return max(pool.map(lambda n: timed_session(port, n), names))


def open_many(targets):
    """A socket to each (from address, port) that says nothing; connected, all of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = len(targets) + 256
    if soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
    made, waiting = [], selectors.DefaultSelector()
    for source, port in targets:
        s = socket.socket()
        s.setblocking(False)
        s.bind((source, 0))
        s.connect_ex(("127.0.0.1", port))
        waiting.register(s, selectors.EVENT_WRITE)
        made.append(s)
    end = time.monotonic() + PATIENCE_S
    while waiting.get_map():
        assert time.monotonic() < end, "the connections do not come about"
        for key, _ in waiting.select(0.1):
            e = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert e == 0, os.strerror(e)
            waiting.unregister(key.fileobj)
    waiting.close()
    return made


def cut_after(s, seconds):
    """Reads until the other side closes; how long that took."""
    start = time.monotonic()
    s.settimeout(seconds + 10)
    try:
        while s.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - start


class mounted:
    """Something mounted there for as long as the block lasts; skips where that cannot be."""

    def __init__(self, *mount, at, unmount=("umount", "-l")):
        self.mount, self.at, self.unmount = list(map(str, mount)), str(at), list(unmount)

    def __enter__(self):
        import pytest
        p = subprocess.run(["mount", *self.mount, self.at], capture_output=True, text=True)
        if p.returncode != 0:
            pytest.skip(f"mount {' '.join(self.mount)}: {p.stderr.strip()}")
        return pathlib.Path(self.at)

    def __exit__(self, *exc):
        subprocess.run([*self.unmount, self.at], check=True, capture_output=True)


def in_background(*calls):
    """Starts each call on a thread; the futures."""
    pool = concurrent.futures.ThreadPoolExecutor(len(calls))
    futures = [pool.submit(c) for c in calls]
    pool.shutdown(wait=False)
    return futures


def busily(step):
    """Calls step() again and again on a thread until the event that it gives is set."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            step()
    t = threading.Thread(target=run)
    t.start()
    return stop, t


def has(program):
    return shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is not None
