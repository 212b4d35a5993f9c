"""Ports of 127.0.0.1 that no other test takes between the question and the answer.

They lie beside those that the kernel gives out by itself, to clients and to whoever asks for
port 0: from there a connection could sit on the port before its server does, or while that is
started anew, even one to that very port, which then talks with itself. Each process that runs
tests holds a block of them, by an abstract socket that goes with the process.
"""
import errno
import functools
import itertools
import os
import pathlib
import socket

FIRST, LAST, BLOCK = 10000, 65535, 200


def blocks():
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    beside = [*range(FIRST, low - BLOCK, BLOCK), *range(high + 1, LAST - BLOCK, BLOCK)]
    return beside or range(FIRST, LAST - BLOCK, BLOCK)


@functools.cache
def block(pid):
    """The numbers of the block of this process, for ever in turn; the socket that holds it."""
    for first in blocks():
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0restante-test-ports-{first}")
        except OSError as e:
            holder.close()
            assert e.errno == errno.EADDRINUSE, e
            continue
        return itertools.cycle(range(first, first + BLOCK)), holder
    raise AssertionError(f"process {pid}: all blocks of ports are held")


def is_free(port):
    """As for a server: connections of the last one that are in TIME-WAIT do not hold it. After
    thousands of starts a minute there might be no other."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
        except OSError as e:
            assert e.errno == errno.EADDRINUSE, e
            return False
    return True


def free_port():
    numbers, _ = block(os.getpid())
    for port in itertools.islice(numbers, BLOCK):
        if is_free(port):
            return port
    raise AssertionError(f"all {BLOCK} ports of process {os.getpid()} are taken")
