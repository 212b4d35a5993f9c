"""A plain POP3 connection, octet for octet."""
import socket
import ssl
import time

LEAVE_S = 2  # a server that is stopped, or has much to send, is not waited for
INSIDE = b"+OK maildrop has "  # how each login is answered


def leave(s):
    """Our half of the end, and the server's: then the maildrop is free for who comes next, also
    where nobody said QUIT."""
    end = time.monotonic() + LEAVE_S
    try:
        s.settimeout(LEAVE_S)
        s.shutdown(socket.SHUT_WR)
        while s.recv(1 << 18) and time.monotonic() < end:
            pass
    except (OSError, ValueError):
        pass


class Pop:
    inside = False

    def __init__(self, host, port, tls_ca=None, timeout=60, source=None):
        self.s = socket.create_connection((host, port), timeout, source and (source, 0))
        self.tls = None
        if tls_ca:
            self._wrap(tls_ca, host)
        self.buffer = b""
        self.greeting = self.line()

    def _wrap(self, ca, host):
        context = ssl.create_default_context(cafile=str(ca))
        self.s = context.wrap_socket(self.s, server_hostname=host)
        self.tls = self.s.version()

    def stls(self, ca, host):
        assert self.say("STLS").startswith(b"+OK")
        assert self.buffer == b""
        self._wrap(ca, host)

    def line(self):
        """Up to and with the next CRLF; b'' at the end of the connection."""
        while b"\n" not in self.buffer:
            more = self.s.recv(65536)
            if not more:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += more
        at = self.buffer.index(b"\n") + 1
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        assert out.endswith(b"\r\n"), out[-80:]
        self.inside = self.inside or out.startswith(INSIDE)
        return out

    def send(self, octets):
        self.s.sendall(octets)

    def say(self, command):
        if isinstance(command, str):
            command = command.encode()
        self.send(command + b"\r\n")
        return self.line()

    def body(self):
        """A multi-line answer after its first line, as sent, with its terminator."""
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            more = self.s.recv(1 << 18)
            assert more, "closed in the middle of a message"
            self.buffer += more
        at = 3 if self.buffer.startswith(b".\r\n") else self.buffer.index(b"\r\n.\r\n") + 5
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def multi(self, command):
        """The lines of a multi-line answer, unstuffed, without their CRLF."""
        first = self.say(command)
        assert first.startswith(b"+OK"), first
        lines = self.body().split(b"\r\n")[:-2]
        return [x[1:] if x.startswith(b".") else x for x in lines]

    def login(self, name, password):
        answer = self.say(f"USER {name}")
        return self.say(f"PASS {password}") if answer.startswith(b"+OK") else answer

    def rest(self):
        out = self.buffer
        while True:
            try:
                more = self.s.recv(65536)
            except ConnectionResetError:
                return out
            if not more:
                return out
            out += more

    def close(self):
        if self.inside:
            leave(self.s)
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
