"""20 kills of the monitor under load or more: all end within two seconds, nothing stays
behind, and a new one serves the same mail."""
import os
import pathlib
import signal
import socket

import pytest

from kill_load import LONG, KillHouse, Pop, seeded, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start as in production")
KILLS = 20 if LONG else 8  # at least; as many more as it takes until enough of them met a session
CUTS, KILLS_MAX = 5 if LONG else 2, 60
END_S = 2
PATIENCE_S = 60  # with the machine


def alive(h):
    """pid: program, of all that run from the house's own directory; also of who was made just
    now, and is the monitor's copy as yet."""
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            exe = pathlib.Path(os.readlink(f"/proc/{pid}/exe"))
        except OSError:  # gone, or a zombie
            continue
        if exe.parent == h.bin:
            out[int(pid)] = exe.name
    return out


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            s.listen()
        except OSError:
            return False
    return True


def kill_monitor(h):
    """The programs of its processes, all dead in time."""
    names = alive(h)
    os.kill(h.p.pid, signal.SIGKILL)
    h.p.wait()
    until(lambda: not alive(h), END_S, f"ended within {END_S} s: {alive(h)}")
    # The kernel closes what they had a moment after it says that they are gone.
    until(lambda: port_is_free(h.port), PATIENCE_S, f"free: port {h.port}")
    # Who held the other end of its output has closed it.
    h.reader.join(PATIENCE_S)
    assert not h.reader.is_alive(), "somebody still holds its stderr"
    return names.values()


def cuts(h):
    return sum(b.seen["cut"] for b in h.boxes)


def test_kills(house_dir):
    rng = seeded("monitor")
    h = KillHouse(house_dir("kill-monitor"), rng)
    for kills in range(KILLS_MAX):
        if kills >= KILLS and cuts(h) >= CUTS:
            break
        with h:
            h.begin()
            try:
                h.stop.wait(rng.uniform(0, 0.8))
                # The clients are to end with this session, not to wait for a server.
                h.is_gone = True
                h.stop.set()
                names = set(kill_monitor(h))
            finally:
                h.stop.set()
                h.join(server_is_gone=True)
            assert {"restante-front", "restante-auth", "restante-log"} <= names
            h.check_lines()
        with h:  # the same port, the same mail, no lock
            for box in h.boxes:
                assert box.session(everything=True), h.log()
    assert cuts(h) >= CUTS, [b.seen for b in h.boxes]


def test_one_that_waits_at_every_place(house_dir):
    """Connections that greeted, that asked for a login, that hold the lock, that are in the
    middle of a message, and a keeper that waits for a lock: none keeps a process alive."""
    rng = seeded("monitor places")
    with KillHouse(house_dir("kill-places"), rng) as h:
        for box in h.boxes:
            while not any(len(m) > 300000 for m in box.known.values()):
                box.deliver()
        greeted = Pop(h.port)
        greeted.line()
        halfway = h.boxes[0].log_in()
        for n in range(1, len(h.boxes[0].known) + 1):
            halfway.send(f"RETR {n}")
        assert halfway.line().startswith(b"+OK")
        holder = h.boxes[1].log_in()
        holder.ok("DELE 1")
        waiter = Pop(h.port)
        waiter.line()
        waiter.ok(f"USER {h.boxes[1].name}")
        waiter.send("PASS secret")
        assert {"restante-keeper"} <= set(kill_monitor(h))
        for pop in (greeted, halfway, holder, waiter):
            pop.close()
        for box in h.boxes:
            assert len(box.check()) == len(box.known)
    with h:
        for box in h.boxes:
            assert box.session(everything=True), h.log()
