"""The crash model as restante-fetch needs it: with the mail that its server has, and states
that differ only in what nobody reads taken as one.

What only living processes need (the lock's text, SQLite's shared memory) is left out.
"""
import hashlib

import crash_model
from crash_model import Line, read_trace, write_tree  # noqa: F401

WAL_HEAD, WAL_FRAME = 32, 24 + 4096
FORGOTTEN = ("state.db-shm", "state.db.new-shm", "lock")


class Model(crash_model.Model):
    def __init__(self, root):
        super().__init__(root, FORGOTTEN)
        self.marked, self.sent, self.session = [], b"", []
        self.left = []     # what the server still has
        self.arrived = []  # what it ever had
        self.at_quit = None

    def on_arrive(self, *mails):
        self.left = self.left + list(mails)
        self.arrived = self.arrived + list(mails)

    def on_send(self, octets):
        """QUIT counts from the moment it is on its way: nothing kinder can be relied on."""
        *lines, self.sent = (self.sent + bytes.fromhex(octets)).split(b"\r\n")
        for line in lines:
            verb, _, rest = line.partition(b" ")
            if verb == b"PASS":
                self.marked, self.session = [], list(self.left)
            elif verb == b"DELE":
                self.marked.append(self.session[int(rest) - 1])
            elif verb == b"QUIT":
                if self.marked and self.at_quit:
                    self.at_quit(self.marked)
                self.left = [m for m in self.left if m not in self.marked]
                self.marked = []


def read_of_wal(octets, whole):
    """What SQLite reads of a log of which some is missing: its frames up to the last commit
    before the first one that is not as it was written. No frame is written twice here
    without a new salt in the header, so that any other frame's sum is wrong."""
    if octets[:WAL_HEAD] != whole[:WAL_HEAD]:
        return octets
    end = at = WAL_HEAD
    while at + WAL_FRAME <= len(octets) and \
            octets[at:at + WAL_FRAME] == whole[at:at + WAL_FRAME]:
        commit = octets[at + 4:at + 8] != bytes(4)
        at += WAL_FRAME
        end = at if commit else end
    return octets[:end]


def key_of(tree, left, whole):
    """The same for states that differ only in what nobody reads: the octets of the spool's
    files, and of SQLite's log after its last good commit. whole: nothing is missing there."""
    h = hashlib.blake2b(digest_size=16)
    for path in sorted(tree):
        octets = tree[path]
        h.update(path.encode() + b"\0")
        if octets is None or path.startswith("state/spool/"):
            continue
        if path == "state/state.db-wal":
            octets = read_of_wal(octets, whole.get(path, b""))
        h.update(hashlib.blake2b(octets, digest_size=16).digest())
    h.update(b",".join(m.uid for m in left))
    return h.digest()
