"""A file system of which a crash leaves only what is sure, fed from a trace of file_shim.

Sure is what a file held when it was synced, and what a directory named when that was.
Anything else may be there or not, each change on its own: of a rename the new name, the
old one's end, both or neither; of a write nothing, some sectors of 512 or pages of 4096
octets, or the length without the octets (zeros). A sync that failed makes nothing sure,
and what it was asked for never becomes so, whatever a later sync of the same file says.
"""
import collections
import itertools
import os
import pathlib

PENDING, SURE, TAINTED = "pending", "sure", "tainted"
TEARS = (512, 4096)

Line = collections.namedtuple("Line", "kind words")


def read_trace(path):
    """Lines whole and in order; a killed run's last one may be cut."""
    out = []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.endswith("\n"):
                kind, *words = line[:-1].split("\t")
                out.append(Line(kind, words))
    return out


class Change:
    """One that can be dropped: of an entry (name to file or None) or of octets. other: the
    end of the old name, where a rename is one change."""
    __slots__ = ("where", "what", "state", "number", "other", "is_second")

    def __init__(self, number, where, what):
        self.number, self.where, self.what, self.state = number, where, what, PENDING
        self.other, self.is_second = None, False

    def variants(self):
        """How it may be there otherwise than whole; None: not at all."""
        out = [None]
        if self.what[0] != "write":
            return out
        _, at, data = self.what
        if len(data) > 1:
            out.append("zeros")
        for unit in TEARS:
            first = (at // unit + 1) * unit - at  # octets up to the first border
            if first < len(data):
                last = (at + len(data) - 1) // unit * unit - at
                out += [("head", first), ("tail", first), ("head", last)]
        return list(dict.fromkeys(out))

    def said(self, variant):
        name, *more = self.what
        what = (f"{self.where.path}/{name}" + ("" if more[0] else " gone") if self.where.is_dir
                else f"{name} {self.where.path} at {more[0]}" +
                (f", {len(more[1])} octets" if len(more) > 1 else ""))
        return f"{what}: {'not there' if variant is None else variant}"

    def done(self, variant):
        """What is to be applied, or None."""
        if variant == "whole":
            return self.what
        if variant is None:
            return None
        _, at, data = self.what
        if variant == "zeros":
            return ("write", at, bytes(len(data)))
        side, n = variant
        if side == "head":
            return ("write", at, data[:n])
        return ("write", at + n, data[n:])


class Node:
    """A file or a directory: what is sure at its beginning, and changes since."""

    def __init__(self, is_dir, path):
        self.is_dir, self.path = is_dir, path
        self.base = {} if is_dir else b""
        self.changes = []

    def sync(self, good):
        for c in self.changes:
            if c.state == PENDING:
                c.state = SURE if good else TAINTED
                if c.other:
                    c.other.state = c.state
        done = 0
        while done < len(self.changes) and self.changes[done].state == SURE:
            done += 1
        self.base = self.applied([c.what for c in self.changes[:done]])
        del self.changes[:done]

    def applied(self, whats):
        if not whats:
            return self.base
        if self.is_dir:
            out = dict(self.base)
            for name, node in whats:
                out.pop(name, None)
                if node is not None:
                    out[name] = node
            return out
        out = bytearray(self.base)
        for what in whats:
            if what[0] == "truncate":
                del out[what[1]:]
                out.extend(bytes(what[1] - len(out)))
            else:
                _, at, data = what
                out.extend(bytes(max(0, at - len(out))))
                out[at:at + len(data)] = data
        return bytes(out)

    def as_left(self, otherwise):
        """With all changes whole but those in `otherwise`: {change: variant}."""
        whats = [c.done(otherwise[c]) if c in otherwise else c.what for c in self.changes]
        return self.applied([w for w in whats if w is not None])

    def sure(self):
        return self.applied([c.what for c in self.changes if c.state == SURE])

    def unsure(self):
        return [c for c in self.changes if c.state != SURE and not c.is_second]


class Model:
    def __init__(self, root, forgotten=(), is_whole=None):
        """forgotten: names that only living processes need. is_whole(from, to): whether a
        rename between these paths is one change, as journals have it; else it is two."""
        self.root = str(root)
        self.is_whole = is_whole
        self.forgotten = forgotten
        self.top = Node(True, "")
        self.inodes = {}  # number: the file that has it now
        self.number = 0
        self.links = []  # of the tree asked for last

    def load(self, root, inodes):
        """What was there before the trace began, all of it sure. inodes: {path: number}."""
        root = pathlib.Path(root)

        def walk(node, path):
            for p in sorted(path.iterdir()):
                child = Node(p.is_dir(), p.name)
                node.base[p.name] = child
                if p.is_dir():
                    walk(child, p)
                else:
                    child.base = p.read_bytes()
                    self.inodes[str(inodes[str(p.relative_to(root))])] = child
        walk(self.top, root)

    # ---- the trace ----
    def directory(self, path):
        node = self.top
        for part in os.path.relpath(path, self.root).split("/"):
            if part != ".":
                node = node.as_left({})[part]
        return node

    def change(self, node, what):
        self.number += 1
        node.changes.append(Change(self.number, node, what))
        return node.changes[-1]

    def feed(self, line):
        getattr(self, "on_" + line.kind)(*line.words)

    def on_create(self, path, name, inode):
        self.inodes[inode] = Node(False, name)
        if name not in self.forgotten:
            self.change(self.directory(path), (name, self.inodes[inode]))

    def on_nameless(self, inode):
        self.inodes[inode] = Node(False, "nameless")

    def on_link(self, path, name, inode):
        self.change(self.directory(path), (name, self.inodes[inode]))

    def on_mkdir(self, path, name):
        self.change(self.directory(path), (name, Node(True, name)))

    def on_unlink(self, path, name):
        if name not in self.forgotten:
            self.change(self.directory(path), (name, None))

    def on_rename(self, old_path, old, path, name):
        node = self.directory(old_path).as_left({})[old]
        new = self.change(self.directory(path), (name, node))
        end = self.change(self.directory(old_path), (old, None))
        if self.is_whole and self.is_whole(f"{old_path}/{old}", f"{path}/{name}"):
            new.other, end.other, end.is_second = end, new, True

    def on_write(self, inode, at, octets):
        if inode in self.inodes:
            self.change(self.inodes[inode], ("write", int(at), bytes.fromhex(octets)))

    def on_truncate(self, inode, size):
        if inode in self.inodes:
            self.change(self.inodes[inode], ("truncate", int(size)))

    def on_sync(self, inode):
        if inode in self.inodes:
            self.inodes[inode].sync(True)

    def on_unsynced(self, inode):
        if inode in self.inodes:
            self.inodes[inode].sync(False)

    def on_sync_dir(self, path):
        self.directory(path).sync(True)

    def on_unsynced_dir(self, path):
        self.directory(path).sync(False)

    # ---- what a crash leaves ----
    def nodes(self):
        """All that any name may lead to."""
        seen, todo = {}, [self.top]
        while todo:
            node = todo.pop()
            if id(node) in seen:
                continue
            seen[id(node)] = node
            if node.is_dir:
                todo += [n for n in node.base.values()]
                todo += [c.what[1] for c in node.changes if c.what[1] is not None]
        return list(seen.values())

    def unsure(self):
        out = [c for node in self.nodes() for c in node.unsure()]
        return sorted(out, key=lambda c: c.number)

    def tree(self, otherwise=None, only_sure=False):
        """{path: octets, or None for a directory}; the names of one file stay in links."""
        dropped = {}
        for c, variant in (otherwise or {}).items():
            dropped.setdefault(id(c.where), {})[c] = variant
            if c.other:
                dropped.setdefault(id(c.other.where), {})[c.other] = variant
        out, names = {}, {}

        def walk(node, path):
            for name, child in (node.sure() if only_sure else
                                node.as_left(dropped.get(id(node), {}))).items():
                below = f"{path}{name}"
                if child.is_dir:
                    out[below] = None
                    walk(child, below + "/")
                else:
                    names.setdefault(id(child), []).append(below)
                    out[below] = (child.sure() if only_sure
                                  else child.as_left(dropped.get(id(child), {})))
        walk(self.top, "")
        self.links = [sorted(paths) for paths in names.values() if len(paths) > 1]
        return out

    def crash_count(self, at_most=2):
        """How many crashes() gives."""
        sums = [1] + [0] * at_most
        for c in self.unsure():
            n = len(c.variants())
            for k in range(at_most, 0, -1):
                sums[k] += n * sums[k - 1]
        return 1 + sum(sums)

    def crashes(self, at_most=2):
        """{change: variant} for each set of at most so many changes that are not whole, and
        one where nothing unsure is there."""
        unsure = self.unsure()
        yield {c: None for c in unsure}
        for n in range(at_most + 1):
            for chosen in itertools.combinations(unsure, n):
                for variants in itertools.product(*(c.variants() for c in chosen)):
                    yield dict(zip(chosen, variants))


def write_tree(root, tree, links=()):
    root = pathlib.Path(root)
    first = {path: paths[0] for paths in links for path in paths[1:]}
    for path in sorted(tree):
        octets = tree[path]
        if octets is None:
            (root / path).mkdir(mode=0o700)
        elif path not in first:
            (root / path).write_bytes(octets)
            (root / path).chmod(0o600)
    for path, other in first.items():
        os.link(root / other, root / path)
