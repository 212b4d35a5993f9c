"""The rows of bench/run: what is done, over which mail, and what is asked of it.

Each row's measure(bench) gives {server: figure}, and what else is worth knowing as notes.
Servers take turns; what counts is the median of the rounds.
"""
import contextlib
import os
import shutil
import statistics
import subprocess
import time

import common
import peers
from common import CACHE, GIB, KIB, MIB, Failed, Set, drops, memory_kib, program, say

LOGIN, POLL, RETR = "U,P,S,Q", "C,U,P,S,I,Q", "U,P,S,R,Q"
SEGMENTS = (None, 536, 1460, 8192)
STALL_MS = 30.0  # what an acknowledgement that is put off costs is 40


class Scale:
    """How much mail there is; --small makes it a matter of seconds, for tests."""
    small = False


def mail_set():
    return Set("mail", drops(8, 4, 26000) if Scale.small else drops(48, 50, 26000)).make()


def large_set(crlf=False):
    size = MIB if Scale.small else 25 * MIB
    return Set("crlf" if crlf else "large", drops(2, 4, size), crlf).make()


def many_set():
    return Set("many", drops(64 if Scale.small else 10000, 1, KIB)).make()


def most():
    """Messages of the largest maildrop that is listed."""
    return 1000 if Scale.small else 100000


def list_set():
    """Without digests: they are listed only."""
    steps = (0, 10, 100, 1000, 10000, 100000)
    return Set("list", [(f"n{n}", n, KIB) for n in steps if n <= most()],
               digests=False).make()


class Row:
    """bounds: {"peer": ratio, "floor": ratio, ...}, which bind. inform: a figure in `unit`
    that was named as a goal and only informs."""
    floor_args = {}
    pick = staticmethod(statistics.median)  # of the rounds

    def __init__(self, key, work, unit, bounds, inform=None, over="plain"):
        self.key, self.work, self.unit, self.bounds = key, work, unit, bounds
        self.inform, self.over, self.notes, self.without = inform, over, [], []

    def names(self, bench):
        """The servers that can."""
        known = ["floor", "restante", *bench.peers]
        return [n for n in known if self.over != "tls" or n != "popa3d"]

    @contextlib.contextmanager
    def running(self, bench, mail, names, **sets):
        """Those of the servers that start. A peer that does not is left out of the row."""
        with contextlib.ExitStack() as stack:
            up = {}
            for name in names:
                more = {"restante": sets, "floor": self.floor_args}.get(name, {})
                try:
                    up[name] = stack.enter_context(
                        peers.start(name, bench.place, mail, **more))
                except Failed as e:
                    self.failed(name, e)
            yield up

    def failed(self, name, why):
        if name in ("floor", "restante"):
            raise why
        self.leave_out(name, why)

    def leave_out(self, name, why):
        """The record says that a peer was not measured; why is for who runs this."""
        self.without += [name] if name not in self.without else []
        say(f"{self.key}: without {name}: {why}")

    def in_turn(self, up, rounds, what):
        """{server: [what(server) of each round]}; who fails is out."""
        got = {name: [] for name in up}
        for i in range(rounds):
            for name in list(got):
                try:
                    got[name].append(what(up[name], i))
                except Failed as e:
                    self.failed(name, e)
                    del got[name]
        return got


def middle(got, pick=statistics.median):
    return {name: pick(v) for name, v in got.items() if v}


class Cost(Row):
    """CPU of sessions, for a session, a GiB or a message."""

    def __init__(self, key, work, over, mail, script, unit, bounds, inform=None, at_once=4):
        super().__init__(key, work, unit, bounds, inform, over)
        self.mail, self.script, self.at_once = mail, script, at_once
        if key == "as-stored":
            self.floor_args = {"sendfile": True}

    def share(self, got, sessions):
        if self.unit.startswith("s/GiB"):
            return got["cpu_ms"] / 1000 / (got["octets"] / GIB)
        return got["cpu_ms"] / sessions

    def measure(self, bench):
        mail = self.mail()
        least = len(mail.users)
        at_once = min(self.at_once, least)
        with self.running(bench, mail, self.names(bench)) as up:
            def once(server, sessions):
                return bench.drive.run(server, self.over, mail, self.script,
                                       sessions=sessions, at_once=at_once)
            # The first warms all caches, the second tells how many make a round.
            cost = middle(self.in_turn(up, 1, lambda s, _: once(s, least)["cpu_ms"]))
            light = {n: up[n] for n, ms in cost.items() if ms < bench.round_ms}
            cost |= middle(self.in_turn(light, 1, lambda s, _: once(s, least)["cpu_ms"]))
            per = {n: ms / least for n, ms in cost.items()}
            many = {n: int(min(max(bench.round_ms / max(ms, 0.01), least), 4000))
                    for n, ms in per.items()}
            return self.in_turn({n: up[n] for n in per}, bench.rounds,
                                lambda s, _: self.share(once(s, many[s.name]), many[s.name]))


class Delete(Row):
    """Every round has maildrops of its own, laid out before anything is removed."""
    USERS, MESSAGES = 8, 50

    def names(self, bench):
        return ["restante", *bench.peers]

    def measure(self, bench):
        names = self.names(bench)
        users = drops(self.USERS * (bench.rounds + 1), 4 if Scale.small else self.MESSAGES,
                      26000)
        base = CACHE / f"delete-{os.getpid()}"
        bench.later.append(lambda: shutil.rmtree(base, ignore_errors=True))
        sets = {n: Set(f"delete-{n}", users, where=base).make() for n in names}
        if "popa3d" in sets:
            sets["popa3d"].mbox()
        os.sync()
        rows = {}
        for name in names:  # one at a time: they share a disk
            with self.running(bench, sets[name], [name]) as up:
                def round_of(server, i):
                    mail = sets[server.name].part(
                        [u[0] for u in users[i * self.USERS:(i + 1) * self.USERS]])
                    got = bench.drive.run(server, "plain", mail, "U,P,S,D,Q",
                                          sessions=self.USERS, at_once=4)
                    return got["cpu_ms"] / got["messages"]
                got = self.in_turn(up, bench.rounds + 1, round_of)
                rows |= {n: v[1:] for n, v in got.items()}
        return rows


class Listing(Row):
    """LIST of one maildrop: cold without any index, or warm. A login to an empty maildrop of
    the same owner goes before, so that no start is measured."""

    def __init__(self, key, work, unit, bounds, inform, cold, figure):
        super().__init__(key, work, unit, bounds, inform)
        self.cold, self.figure = cold, figure
        if figure == "first":
            self.pick = min  # of times, the quietest round

    def names(self, bench):
        return [*([] if self.cold else ["floor"]), "restante",
                *(p for p in bench.peers if p != "popa3d")]

    def once(self, bench, server, mail, user=None):
        got = bench.drive.run(server, "plain", mail, "U,PL,Q", user=user or f"n{most()}",
                              deadline=20)
        return {"first": got.get("first_us", {}).get("p50", 0) / 1000,
                "cpu": got["cpu_ms"] / 1000}

    def measure(self, bench):
        key = "list-cold" if self.cold else "list-warm"
        if key not in bench.kept:
            bench.kept[key] = self.measure_cold(bench) if self.cold else self.measure_warm(bench)
        return {name: [r[self.figure] for r in rows] for name, rows in bench.kept[key].items()}

    def measure_warm(self, bench):
        mail = list_set()
        with self.running(bench, mail, self.names(bench)) as up:
            warm = self.in_turn(up, 3, lambda s, _: self.once(bench, s, mail))
            return self.in_turn({n: up[n] for n in warm}, bench.rounds + 2,
                                lambda s, _: self.once(bench, s, mail))

    def measure_cold(self, bench):
        mail, rows = list_set(), {"bare": []}
        box = mail.base / f"n{most()}"
        names = self.names(bench)
        for _ in range(bench.rounds):
            for name in list(names):
                server = peers.SERVERS[name](bench.place, mail)
                try:
                    server.forget(f"n{most()}")
                    server.start()
                    self.once(bench, server, mail, "n0")
                    rows["bare"].append(bare(bench, box))
                    rows.setdefault(name, []).append(self.once(bench, server, mail))
                except Failed as e:
                    names.remove(name)
                    self.failed(name, e)
                finally:
                    server.stop()
        return rows


def bare(bench, box):
    out = subprocess.run([program(bench.build, "bare"), "files", box / "new", box / "cur"],
                         capture_output=True, text=True, check=True).stdout
    said = dict(x.split("=") for x in out.split())
    return {"cpu": int(said["cpu_us"]) / 1e6, "first": int(said["wall_us"]) / 1e3}


class Idle(Row):
    """What a session that says nothing costs: the server's memory with so many of them, less
    that of the server after 64 (or a tenth) came and went."""

    def measure(self, bench):
        return {name: [got] for name in self.names(bench)
                if (got := self.of_one(bench, name)) is not None}

    def of_one(self, bench, name):
        mail = many_set()
        with self.running(bench, mail, [name], front_sessions=19000, fronts=2) as up:
            if name not in up:
                return None
            n = min(bench.idle, up[name].sessions_max, len(mail.users))
            try:
                return held(bench, up[name], self.over, mail, n)["kib"]
            except Failed as e:
                self.failed(name, e)
        return None


def held(bench, server, over, mail, n):
    """KiB of one of n sessions, and CPU ms of its login."""
    with bench.drive.holding(server, over, mail, "U,P,H,Q", sessions=min(64, n), opening=8,
                             at_once=min(64, n)):
        pass
    before, cpu = sum(memory_kib(server.account.pids())), server.account.ms()
    with bench.drive.holding(server, over, mail, "U,P,H,Q", sessions=n, at_once=n,
                             opening=min(64, n)):
        cpu = server.account.ms() - cpu
        after = sum(memory_kib(server.account.pids()))
    return {"kib": (after - before) / n, "cpu_ms": cpu / n}


class Unpipelined(Row):
    """ms a message where each RETR waits for the answer to the one before: the worst of
    several sizes of a segment, of each the quietest round, for a neighbour only adds time.
    The client's socket is an ordinary one."""

    def measure(self, bench):
        mail = mail_set()
        with self.running(bench, mail, self.names(bench)) as up:
            def once(server, _):
                return {mss: bench.drive.run(server, "plain", mail, RETR, sessions=1, window=1,
                                             **({"mss": mss} if mss else {}))["answer_us"]
                        for mss in SEGMENTS}
            got = self.in_turn(up, 2, once)
            quick = {n: up[n] for n in got
                     if max(t["p50"] for t in got[n][-1].values()) < 5000}
            for name, more in self.in_turn(quick, bench.rounds + 2, once).items():
                got[name] += more
        for mss in SEGMENTS:
            if (tenth := min(r[mss]["p90"] for r in got["restante"]) / 1000) > STALL_MS:
                self.notes.append(f"restante stalls at MSS {mss}: a tenth take {tenth:.0f} ms")
        return {name: [max(min(r[mss]["p50"] for r in rounds) / 1000 for mss in SEGMENTS)]
                for name, rounds in got.items()}


class Storm(Row):
    """Connections all at once: ms to the greeting, the 99th of a hundred. Who can have so
    many keeps them all until the last is greeted. The quietest round counts."""
    pick = min

    def measure(self, bench):
        mail = many_set()
        rows, self.errors = {}, {}
        for name in self.names(bench):
            with self.running(bench, mail, [name], front_sessions=19000, fronts=2) as up:
                def once(server, _):
                    n = min(bench.storm, len(mail.users))
                    can = server.sessions_max >= n
                    bench.drive.run(server, "plain", mail, LOGIN, sessions=8, at_once=4)
                    got = bench.drive.run(
                        server, "plain", mail, "H,Q" if can else "Q", sessions=n,
                        at_once=n, tolerate=True, deadline=20)
                    self.errors[server.name] = self.errors.get(server.name, 0) + got["errors"]
                    return got.get("greeting_us", {"p99": 2e7})["p99"] / 1000
                mine = name in ("floor", "restante")
                rows |= self.in_turn(up, bench.rounds if mine else min(2, bench.rounds), once)
        for name, n in self.errors.items():
            if n and name == "restante":
                self.notes.append(f"{name}: {n} connections were not greeted")
            elif n:  # who greets only some is no measure
                rows.pop(name, None)
                self.leave_out(name, f"{n} connections were not greeted")
        return rows


QUARTER, TLS = {"peer": 0.25}, {"peer": 0.4, "floor": 1.4}
ROWS = [
    Cost("login", "login session, plain", "plain", mail_set, LOGIN, "ms", QUARTER, 0.18),
    Cost("login-tls", "login session, TLS 1.3, full handshake", "tls", mail_set, LOGIN, "ms",
         TLS, 0.90),
    Cost("poll", "poll session of 50 messages, plain", "plain", mail_set, POLL, "ms", QUARTER,
         0.22),
    Cost("retr", "RETR of 26 KB, plain", "plain", mail_set, RETR, "s/GiB", QUARTER, 0.9),
    Cost("retr-tls", "RETR of 26 KB, TLS", "tls", mail_set, RETR, "s/GiB", TLS, 2.5),
    Cost("large", "RETR of 25 MiB, plain", "plain", large_set, RETR, "s/GiB", QUARTER, 0.5, 2),
    Cost("large-tls", "RETR of 25 MiB, TLS", "tls", large_set, RETR, "s/GiB", TLS, 1.9, 2),
    Cost("as-stored", "RETR of 25 MiB stored as it travels, plain", "plain",
         lambda: large_set(True), RETR, "s/GiB", QUARTER, 0.15, 2),
    Delete("dele", "RETR, DELE, QUIT of 50 messages, durable", "ms a message", {"peer": 0.37},
           0.07),
    Listing("list-cold", "LIST of 100,000, nothing cached: CPU", "s", {"bare": 1.3}, 0.45,
            True, "cpu"),
    Listing("list-first", "the same, warm: to the first octet", "ms", {}, 5.0, False, "first"),
    Listing("list-warm", "the same, warm: CPU", "s", {}, 0.01, False, "cpu"),
    Idle("idle", "idle session after login, plain: memory", "KiB", {}, 10.0),
    Idle("idle-tls", "idle session after login, TLS: memory", "KiB", {"floor": 1.3}, 32.0,
         "tls"),
    Unpipelined("unpipelined", "unpipelined RETR of 26 KB, worst MSS", "ms a message",
                {"floor": 1.3}, 0.2),
    Storm("storm", "2,000 connections at once: greeting, p99", "ms", {"peer": 1.0}),
]
QUICK = ("login", "login-tls", "poll", "retr", "retr-tls")


def judge(row, got):
    """The record of one row: figures, ratios, and what binds and does not hold."""
    figures = middle(got, row.pick)
    floor = figures.pop("bare", None) if "bare" in figures else figures.get("floor")
    others = {n: v for n, v in figures.items() if n in peers.PEERS}
    best = min(others, key=others.get, default=None)
    mine = figures.get("restante")
    ratios = {"floor": mine / floor if floor else None,
              "peer": mine / others[best] if best else None}
    ratios["bare"] = ratios["floor"] if "bare" in row.bounds else None
    missed = {k: ratios[k] for k, limit in row.bounds.items()
              if ratios[k] is not None and ratios[k] > limit}
    unknown = [k for k in row.bounds if ratios[k] is None]
    failures = [n for n in row.notes if n.startswith("restante")]
    return {"key": row.key, "work": row.work, "unit": row.unit, "floor": floor, "best": best,
            "restante": mine, "peers": others, "to_floor": ratios["floor"],
            "to_peer": ratios["peer"], "bounds": row.bounds, "inform": row.inform,
            "missed": missed, "unknown": unknown, "notes": row.notes, "without": row.without,
            "spread": {n: [min(v), max(v)] for n, v in got.items() if v},
            "met": not missed and not failures}


def busy_s():
    """Processor seconds of the whole machine."""
    with open("/proc/stat") as f:
        field = [int(x) for x in f.readline().split()[1:9]]
    return (sum(field) - field[3] - field[4]) / common.TICK


def measured(row, bench):
    """judge() of a row, and how much of the machine others had meanwhile."""
    row.notes, row.without = [], []
    wall, busy, mine = time.monotonic(), busy_s(), bench.own_s()
    got = row.measure(bench)
    wall, busy, mine = time.monotonic() - wall, busy_s() - busy, bench.own_s() - mine
    out = judge(row, got)
    out["took_s"] = wall
    out["others"] = max(0.0, busy - mine) / wall / os.cpu_count()
    return out
