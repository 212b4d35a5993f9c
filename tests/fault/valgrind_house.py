"""A house whose programs run under valgrind, all of them, and what valgrind said of each."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import threading
import time

from house import BUILD, PROGRAMS, House, until

PLACE = BUILD / "tests" / "fault" / "valgrind_place"
SHIM = BUILD / "tests" / "fault" / "libvalgrind_shim.so"
SUPPRESSIONS = pathlib.Path(__file__).with_name("valgrind.supp")
PATIENCE_S = 120  # with the machine: under valgrind all takes thirty times as long
SERVERS = [p for p in PROGRAMS if p.startswith("restante-") and p != "restante-ctl"]
MONITOR = "restanted"
LEAKED = re.compile(r"(definitely|indirectly|possibly) lost: ([\d,]+) bytes in")
ERRORS = re.compile(r"ERROR SUMMARY: (\d+) errors")
DESCRIPTOR = re.compile(r"^==\d+== Open (.*)\n(?!==\d+==    <inherited)", re.M)
DIED = re.compile(r"Process terminating with|Unrecognised instruction|valgrind: .*failed")


def arguments(port, leaks):
    """leaks: looked for at the end, by valgrind itself."""
    return ["/usr/bin/valgrind", "--tool=memcheck", "--vgdb=no", "--num-callers=24",
            "--child-silent-after-fork=yes", "--trace-children=no", "--track-origins=no",
            f"--suppressions={SUPPRESSIONS}", f"--log-socket=127.0.0.1:{port}",
            f"--leak-check={'full' if leaks else 'no'}", "--error-exitcode=99",
            *(["--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite,possible"]
              if leaks else [])]


class Reports:
    """What valgrind tells of each process, over sockets: no cage can take those away."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.texts, self.open, self.threads = [], 0, []
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
            threading.Thread(target=self._read, args=(s,), daemon=True).start()

    def _read(self, s):
        parts = []
        with s, contextlib.suppress(OSError):
            while part := s.recv(65536):
                parts.append(part)
        with self.lock:
            self.texts.append(b"".join(parts).decode("utf-8", "replace"))
            self.open -= 1

    def finish(self):
        """All texts, when all who told something have ended."""
        until(lambda: self.open == 0, PATIENCE_S, "an end of every report")
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(PATIENCE_S)
        return self.texts


def program_of(text):
    m = re.search(r"^==\d+== Command: (\S+)", text, re.M)
    return pathlib.Path(m[1]).name.removesuffix(".real") if m else "?"


def faults_of(text, descriptors=False):
    """What is wrong by one process's report, in a few words; [] where all is well."""
    out = [f"{m[2]} bytes {m[1]} lost" for m in LEAKED.finditer(text) if m[2] != "0"]
    errors, died = ERRORS.findall(text), DIED.search(text)
    if not errors:
        out.append("its report has no end")
    out += [f"{n} errors" for n in errors if n != "0"]
    if died:
        out.append(died[0])
    if "LEAK SUMMARY" not in text and "no leaks are possible" not in text:
        out.append("nobody looked for leaks")
    if descriptors:
        assert "FILE DESCRIPTORS" in text, text
        out += [f"left open: {what}" for what in DESCRIPTOR.findall(text)]
    return out


def judge(texts, **more):
    """All that is wrong, with the reports in full."""
    return [f"{program_of(t)}: {'; '.join(wrong)}\n{t}" for t in texts
            if (wrong := faults_of(t, **more))]


class ValgrindHouse(House):
    def __init__(self, base, *args, **more):
        self.reports = Reports()
        super().__init__(base, *args, **more)
        shutil.copy2(SHIM, self.bin)
        for p in [MONITOR, *SERVERS]:
            os.rename(self.bin / p, self.bin / f"{p}.real")
            shutil.copy2(PLACE, self.bin / p)
            # The monitor frees all that it had; the others are looked at when they are told to
            # end (valgrind_shim.c).
            (self.bin / f"{p}.args").write_text(
                "\n".join(arguments(self.reports.port, leaks=p == MONITOR)) + "\n")

    def __enter__(self):
        self.start()
        self.wait_for_line("event=serving", PATIENCE_S)
        return self

    def __exit__(self, *exc):
        """Ends it as SIGTERM does, however long it takes."""
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(PATIENCE_S)
            finally:
                self.p.kill()
                self.p.wait()
        self.reader.join(PATIENCE_S)
        self.p.stderr.close()

    def processes(self):
        """pid: program."""
        out = {self.p.pid: MONITOR}
        for pid in self.children():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                real = [w for w in words if w.endswith(b".real")]
                if real:
                    out[pid] = os.path.basename(real[0].decode()).removesuffix(".real")
        return out

    def descriptors(self):
        """{(pid, program): how many}."""
        out = {}
        for pid, name in self.processes().items():
            with contextlib.suppress(OSError):
                out[pid, name] = len(os.listdir(f"/proc/{pid}/fd"))
        return out


def comes_back(house, before):
    """Waits until no process has more descriptors open than before; what is left over."""
    end = time.monotonic() + PATIENCE_S
    while True:
        now = house.descriptors()
        more = {f"{name} {pid}": f"{before[pid, name]} -> {n}" for (pid, name), n in now.items()
                if (pid, name) in before and n > before[pid, name]}
        if not more or time.monotonic() > end:
            return more
        threading.Event().wait(0.05)
