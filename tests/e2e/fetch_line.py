"""A line between a client and a server on loopback that takes its time and counts.

Line(port, delay_s)  a listener (its .port) that passes everything on to that port, each
                     octet delay_s later; .connections, .turns, .received, .sent

A turn is a wait: the client sent something when nothing was on its way to it, and then the
server answered. Commands that are sent while answers still come cost no turn.
"""
import collections
import mmap
import os
import select
import signal
import socket
import struct
import threading
import time

QUEUE_MAX = 32 << 20  # octets on their way in one direction
BLOCK = 1 << 18


buffer = memoryview(bytearray(BLOCK))  # for octets that do not wait: no memory is asked for


class Way:
    """One direction of a connection: what was read and is to be sent when it is due."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.queue, self.octets = collections.deque(), 0
        self.open, self.done = True, False

    def read(self, due, waits):
        """How many octets came; 0 at the end, None where there are none yet."""
        try:
            n = self.source.recv_into(buffer)
        except BlockingIOError:
            return None
        except OSError:
            n = 0
        self.open = n > 0
        passed = 0 if waits or self.queue or n == 0 else self.pass_on(n)
        if passed < n or n == 0:
            self.octets += n - passed
            self.queue.append((due, memoryview(bytes(buffer[passed:n]))))
        return n

    def pass_on(self, n):
        try:
            return self.sink.send(buffer[:n])
        except OSError:  # write() meets it too
            return 0

    def due(self, now):
        return bool(self.queue) and self.queue[0][0] <= now

    def write(self, now):
        """False when the socket takes no more."""
        while self.due(now):
            at, data = self.queue[0]
            try:
                if data:
                    sent = self.sink.send(data)
                    self.octets -= sent
                    if sent < len(data):
                        self.queue[0] = (at, data[sent:])
                        return False
                else:
                    self.done = True
                    self.sink.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                return False
            except OSError:
                self.queue.clear()
                self.octets, self.done, self.open = 0, True, False
                return True
            self.queue.popleft()
        return True


class Pair:
    def __init__(self, client, server):
        self.client, self.server = client, server
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setblocking(False)
        self.up, self.down = Way(client, server), Way(server, client)
        self.asked = False

    def close(self):
        self.client.close()
        self.server.close()


class Line:
    FIGURES = ("connections", "turns", "received", "sent")  # by the client, of the server

    def __init__(self, port, delay_s=0.0, own_process=False):
        self.target, self.delay = port, delay_s
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.shared = mmap.mmap(-1, 4096)
        self.wake, self.ending = os.pipe()
        self.pid = os.fork() if own_process else None
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                self._run()
            finally:
                os._exit(0)
        if not own_process:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()

    def _at(self, name):
        return 8 * self.FIGURES.index(name)

    def _add(self, name, n):
        at = self._at(name)
        struct.pack_into("=Q", self.shared, at, struct.unpack_from("=Q", self.shared, at)[0] + n)

    def __getattr__(self, name):
        if name in Line.FIGURES:
            return struct.unpack_from("=Q", self.shared, self._at(name))[0]
        raise AttributeError(name)

    def clear(self):
        self.shared[:] = bytes(len(self.shared))

    def _accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 60)
        except OSError:
            client.close()
            return None
        self._add("connections", 1)
        return Pair(client, server)

    def _read(self, p, way, now):
        nothing_comes = not p.down.queue
        n = way.read(now + self.delay, self.delay > 0)
        if not n:
            return
        if way is p.up:
            self._add("sent", n)
            p.asked = p.asked or nothing_comes
        else:
            self._add("received", n)
            if p.asked:
                self._add("turns", 1)
            p.asked = False

    def _run(self):
        pairs, blocked = [], set()
        while True:
            now = time.monotonic()
            for p in pairs:
                for w in (p.up, p.down):
                    if w not in blocked and not w.write(now):
                        blocked.add(w)
            for p in [p for p in pairs if p.up.done and p.down.done]:
                p.close()
                pairs.remove(p)
            ways = [w for p in pairs for w in (p.up, p.down)]
            blocked &= set(ways)
            next_due = min((w.queue[0][0] for w in ways if w.queue and w not in blocked),
                           default=None)
            wait = None if next_due is None else max(0.0, next_due - time.monotonic())
            readers = {w.source: (p, w) for p in pairs for w in (p.up, p.down)
                       if w.open and w.octets < QUEUE_MAX}
            writers = {w.sink: w for w in blocked}
            can_read, can_write, _ = select.select(
                [self.listener, self.wake, *readers], writers, [], wait)
            if self.wake in can_read:
                break
            blocked -= {writers[s] for s in can_write}
            now = time.monotonic()
            for s in can_read:
                if s is self.listener:
                    pairs += filter(None, [self._accept()])
                elif s is not self.wake:
                    self._read(*readers[s], now)
        for p in pairs:
            p.close()

    def stop(self):
        # Not by closing it: a process that was forked later may hold it open too.
        os.write(self.ending, b".")
        if self.pid:
            os.waitpid(self.pid, 0)
        else:
            self.thread.join(60)
        os.close(self.ending)
        os.close(self.wake)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
