"""How costs grow with the number of sessions, of messages, and with size: series of points
[x, figure] for bench/plot."""
import statistics
import time

import peers
from common import GIB, KIB, MIB, Failed, Set, say
from rows import LOGIN, RETR, Scale, held, list_set, many_set

SESSIONS = (1, 10, 100, 1000, 10000)
MESSAGES = (10, 100, 1000, 10000, 100000, 1000000)
SIZES = (1, 32, KIB, 32 * KIB, MIB, 32 * MIB, GIB)
MOST = {"dovecot": 1000, "floor": 10000, "restante": 10000}  # sessions that each is asked for
SERVERS = ("floor", "restante", "dovecot")


class Series:
    """{figure: {server: [[x, y], ...]}}; a server that fails has fewer points, and a note."""

    def __init__(self):
        self.found, self.notes = {}, []

    def add(self, figure, server, x, y):
        self.found.setdefault(figure, {}).setdefault(server, []).append([x, y])

    def failed(self, server, x, why):
        self.notes.append(f"without {server} at {x}")
        say(f"{self.notes[-1]}: {why}")


def servers_of(bench):
    return [s for s in SERVERS if s in ("floor", "restante") or s in bench.peers]


def sessions(bench, out):
    """Idle sessions: what one takes of memory, and its login of CPU."""
    mail = many_set()
    for name in servers_of(bench):
        for over in ("plain", "tls"):
            for n in SESSIONS[:2] if Scale.small else SESSIONS:
                if n <= MOST[name]:
                    sessions_point(bench, out, mail, name, over, n)


def sessions_point(bench, out, mail, name, over, n):
    sets = {"front_sessions": 19000, "fronts": 2} if name == "restante" else {}
    try:
        with peers.start(name, bench.place, mail, **sets) as server:
            bench.drive.run(server, over, mail, LOGIN, sessions=64, at_once=1)
            got = [held(bench, server, over, mail, n) for _ in range(max(1, min(9, 200 // n)))]
    except Failed as e:
        out.failed(f"{name}, {over}", n, e)
        return
    out.add("login_cpu_ms", f"{name}, {over}", n, statistics.median(g["cpu_ms"] for g in got))
    if n >= (10 if Scale.small else 100):  # fewer drown in what a process takes anyhow
        out.add("session_kib", f"{name}, {over}", n, statistics.median(g["kib"] for g in got))


def listed(bench, server, mail, n):
    got = bench.drive.run(server, "plain", mail, "U,PL,Q", user=f"n{n}", deadline=300)
    return got["first_us"]["p50"] / 1000, got["cpu_ms"]


def messages(bench, out):
    """LIST, cold and warm."""
    for n in MESSAGES[:2] if Scale.small else MESSAGES:
        mail = Set("million", [("n0", 0, KIB), (f"n{n}", n, KIB)], digests=False).make() \
            if n > 100000 else list_set()
        for name in servers_of(bench):
            if name != "restante" and n > 100000:
                continue  # the floor would hold them all in memory, others take minutes
            try:
                messages_point(bench, out, mail, name, n)
            except Failed as e:
                out.failed(name, n, e)


def messages_point(bench, out, mail, name, n):
    server = peers.SERVERS[name](bench.place, mail)
    try:
        server.forget(f"n{n}")
        server.start()
        for _ in range(3):
            bench.drive.run(server, "plain", mail, "U,PL,Q", user="n0")
        first, cpu = listed(bench, server, mail, n)
        if name != "floor":
            out.add("list_first_ms", f"{name}, cold", n, first)
            out.add("list_cpu_ms", f"{name}, cold", n, cpu)
        time.sleep(0.1)  # a directory that changed a moment ago is not trusted by anybody
        listed(bench, server, mail, n)
        got = [listed(bench, server, mail, n) for _ in range(9 if n <= 10000 else 3)]
    finally:
        server.stop()
    warm = "floor" if name == "floor" else f"{name}, warm"
    out.add("list_first_ms", warm, n, statistics.median(g[0] for g in got))
    out.add("list_cpu_ms", warm, n, statistics.median(g[1] for g in got))


def size(bench, out):
    """A session that fetches one message."""
    sizes = SIZES[:3] if Scale.small else SIZES
    mail = Set("size", [(f"s{n}", 1, n) for n in sizes]).make()
    for name in servers_of(bench):
        with peers.start(name, bench.place, mail) as server:
            for over in ("plain", "tls"):
                for n in sizes:
                    try:
                        size_point(bench, out, server, over, mail, n)
                    except Failed as e:
                        out.failed(f"{name}, {over}", n, e)


def size_point(bench, out, server, over, mail, n):
    def once(sessions):
        return bench.drive.run(server, over, mail, RETR, user=f"s{n}", sessions=sessions)[
            "cpu_ms"] / sessions
    once(1)
    many = 20 if n < MIB else 3 if n < GIB else 1
    y = statistics.median(once(many) for _ in range(3 if n < GIB else 1))
    out.add("retr_cpu_ms", f"{server.name}, {over}", n, y)


def measure(bench, what):
    out = Series()
    for name in what:
        say(f"growth: {name}")
        {"sessions": sessions, "messages": messages, "size": size}[name](bench, out)
    return {**out.found, "notes": out.notes}
