"""Runs getmail with the arguments given, the order of its two processes being sure: the one
that delivers goes on only when the one that waits for it sleeps in its wait."""
import os
import pathlib
import runpy
import shutil
import sys
import time

PATIENCE_S = 60


def parent_sleeps(parent):
    stat = pathlib.Path(f"/proc/{parent}/stat").read_text()
    return stat.rsplit(")", 1)[1].split()[0] == "S"


def await_parent():
    parent, end = os.getppid(), time.monotonic() + PATIENCE_S
    while not parent_sleeps(parent):
        if time.monotonic() > end:
            os.write(2, b"getmail_run: the parent does not come to its wait\n")
            os._exit(75)
        os.sched_yield()


if __name__ == "__main__":
    os.register_at_fork(after_in_child=await_parent)
    sys.argv = [shutil.which("getmail"), *sys.argv[1:]]
    sys.path[0] = os.path.dirname(sys.argv[0])
    runpy.run_path(sys.argv[0], run_name="__main__")
