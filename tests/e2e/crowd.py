"""Many POP3 connections at once out of one process of its own, so that what they cost does
not show in the times of the others: people who poll, and a dictionary attack.

    crowd.py poll|attack      JSON on standard input, JSON lines on standard output

poll    host, port, people [[name, password, address]...], every (seconds between two logins
        of one of them), spread (their first ones over so many), until standard input ends.
        One line {"logins": [[when, seconds, error or null]...]}; `when` is the monotonic clock at the start.
attack  host, port, addresses, connections (of each), names, guesses, seconds, until either
        is reached or standard input ends. A line {"tried": N} now and then, and at the
        end how each was answered.
"""
import heapq
import itertools
import json
import os
import selectors
import socket
import subprocess
import sys
import time

STEP_S = 0.05
REPORT_S = 0.25


class Line:
    """One connection; `on_line(line, octets)` is called for each answer, with b'' at its end."""

    def __init__(self, crowd, source, on_line):
        self.crowd, self.on_line, self.buffer, self.dead = crowd, on_line, b"", False
        self.s = socket.socket()
        self.s.setblocking(False)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The port is chosen with the peer's: an address is not used up by those in TIME_WAIT.
        self.s.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        self.s.bind((source, 0))
        self.s.connect_ex((crowd.host, crowd.port))
        crowd.selector.register(self.s, selectors.EVENT_READ, self)

    def send(self, octets):
        try:
            self.s.send(octets)
        except OSError:
            pass  # reading tells

    def readable(self):
        try:
            more = self.s.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        if not more:
            self.close()
            self.on_line(self, b"")
            return
        self.buffer += more
        while b"\n" in self.buffer and not self.dead:
            line, self.buffer = self.buffer.split(b"\n", 1)
            self.on_line(self, line)

    def close(self):
        if not self.dead:
            self.dead = True
            self.crowd.selector.unregister(self.s)
            self.s.close()


class Crowd:
    def __init__(self, host, port):
        self.host, self.port, self.stopped = host, port, False
        self.selector, self.agenda, self.count = selectors.EpollSelector(), [], itertools.count()
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, None)

    def at(self, when, what):
        heapq.heappush(self.agenda, (when, next(self.count), what))

    def run(self):
        while not self.stopped:
            now = time.monotonic()
            while self.agenda and self.agenda[0][0] <= now:
                heapq.heappop(self.agenda)[2]()
            wait = self.agenda[0][0] - time.monotonic() if self.agenda else STEP_S
            for key, _ in self.selector.select(max(0, min(wait, STEP_S))):
                if key.data is not None:
                    key.data.readable()
                elif os.read(0, 4096) == b"":
                    self.stopped = True


class Person:
    def __init__(self, crowd, name, password, address, every, first, logins):
        self.crowd, self.every, self.address, self.logins = crowd, every, address, logins
        self.says = [b"USER %s\r\n" % name.encode(), b"PASS %s\r\n" % password.encode(),
                     b"STAT\r\n", b"QUIT\r\n"]
        self.next = first
        crowd.at(first, self.begin)

    def begin(self):
        self.begun, self.step = time.monotonic(), 0
        self.line = Line(self.crowd, self.address, self.heard)

    def over(self):
        self.line.close()
        now = time.monotonic()
        while self.next <= now:
            self.next += self.every
        self.crowd.at(self.next, self.begin)

    def heard(self, line, said):
        if not said.startswith(b"+OK"):
            if self.step <= 2:  # after that he was in
                self.logins.append([self.begun, time.monotonic() - self.begun,
                                    said.decode() or "closed"])
            self.over()
            return
        if self.step == 2:
            self.logins.append([self.begun, time.monotonic() - self.begun, None])
        if self.step == len(self.says):
            self.over()
            return
        line.send(self.says[self.step])
        self.step += 1


def poll(o):
    crowd, logins, start = Crowd(o["host"], o["port"]), [], time.monotonic()
    for i, (name, password, address) in enumerate(o["people"]):
        Person(crowd, name, password, address, o["every"],
               start + o.get("spread", o["every"]) * i / len(o["people"]), logins)
    crowd.run()
    print(json.dumps({"logins": logins}), flush=True)


class Attack:
    def __init__(self, o):
        self.o, self.crowd = o, Crowd(o["host"], o["port"])
        self.words = (f"pass{i}" for i in itertools.count())
        self.names = itertools.cycle(o["names"])
        self.answers = {"guesses": 0, "busy": 0, "let_in": 0, "connections": 0, "refused": 0,
                        "open": 0, "open_max": 0}
        self.other = {}
        self.end = time.monotonic() + o["seconds"]

    def open(self, source):
        self.answers["connections"] += 1
        self.answers["open"] += 1
        self.answers["open_max"] = max(self.answers["open_max"], self.answers["open"])
        steps = {"greeted": False}

        def heard(line, said):
            a = self.answers
            if said == b"":
                self.gone(source)
                if not steps["greeted"]:
                    a["refused"] += 1
            elif not steps["greeted"]:
                steps["greeted"] = said.startswith(b"+OK")
                if steps["greeted"]:
                    self.guess(line)
            elif said.startswith(b"+OK") and steps.get("user"):
                steps["user"] = False
                a["let_in"] += 1
            elif said.startswith(b"+OK"):
                steps["user"] = True
            else:
                steps["user"] = False
                if said.startswith(b"-ERR [AUTH]"):
                    a["guesses"] += 1
                elif said.startswith(b"-ERR [SYS/TEMP]"):
                    a["busy"] += 1
                else:
                    self.other[said.decode()] = self.other.get(said.decode(), 0) + 1
                self.guess(line)
        try:
            Line(self.crowd, source, heard)
        except OSError:
            self.gone(source)

    def gone(self, source):
        self.answers["open"] -= 1
        self.crowd.at(time.monotonic() + STEP_S, lambda: self.open(source))

    def guess(self, line):
        line.send(f"USER {next(self.names)}\r\nPASS {next(self.words)}\r\n".encode())

    def report(self):
        now = time.monotonic()
        tried = self.answers["guesses"] + self.answers["busy"]
        if tried >= self.o["guesses"] or now >= self.end:
            self.crowd.stopped = True
        print(json.dumps({"tried": tried}), flush=True)
        self.crowd.at(now + REPORT_S, self.report)

    def run(self):
        sources = [f"127.0.1.{i + 1}" for i in range(self.o["addresses"])]
        self.crowd.at(0, self.report)
        for _ in range(self.o["connections"]):
            for source in sources:
                self.open(source)
        begun = time.monotonic()
        self.crowd.run()
        print(json.dumps({**self.answers, "other": self.other, "begun": begun,
                          "ended": time.monotonic()}), flush=True)


class Running:
    """Such a process, from a test. `said` is its last line."""

    def __init__(self, what, nice=0, **options):
        self.said = {}
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, what, str(nice)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(options) + "\n")
        self.process.stdin.flush()

    def next(self):
        """Its next line, or None at its end."""
        line = self.process.stdout.readline()
        if line:
            self.said = json.loads(line)
        return self.said if line else None

    def end(self):
        """Stops it; its last line."""
        self.process.stdin.close()
        while self.next():
            pass
        self.process.stdout.close()
        assert self.process.wait(60) == 0
        return self.said


if __name__ == "__main__":
    os.nice(int(sys.argv[2]))
    options = json.loads(sys.stdin.readline())
    if sys.argv[1] == "poll":
        poll(options)
    else:
        Attack(options).run()
