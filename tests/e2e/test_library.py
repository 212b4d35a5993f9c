"""libpop3 as it is installed: headers, shared and static library, pkg-config, manuals, units."""
import os
import pathlib
import shutil
import socket
import subprocess
import threading

import pytest

from postoffice import Office, make_maildir

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RESTANTE_BUILD", ROOT / "build"))

# A client's octets through the server side, and a message through the dot codec.
PROGRAM = r"""
#include <pop3/dot.h>
#include <pop3/output.h>
#include <pop3/server.h>
#include <stdio.h>

int main(void)
{
	static uint8_t storage[8192];
	struct buf out = buf_over(storage, sizeof(storage));
	const struct pop3_server_options o = {.hostname = VIEW("here"),
		.expire_days = POP3_EXPIRE_NEVER};
	const struct pop3_link link = {.plaintext = true, .user = true};
	struct view in = VIEW("USER anna\r\nPASS secret\r\nRETR 7\r\nRE");
	struct pop3_server s;
	struct pop3_request r;
	struct dot_state dot = {0};
	uint8_t message[DOT_ENCODE_MAX(4) + DOT_FINISH_MAX];

	pop3_server_init(&s, &o, &link);
	pop3_put_greeting(&s, VIEW(""), &out);
	while (pop3_server_next(&s, &in, &r) == POP3_COMMAND) {
		printf("%s\n", pop3_command_usage(r.command));
		if (r.command == POP3_PASS)
			pop3_server_logged_in(&s);
	}
	size_t n = dot_best()->encode(&dot, (const uint8_t *)"a\n.b", 4, message);
	n += dot_finish(&dot, true, message + n);
	fwrite(out.p, 1, out.n, stdout);
	fwrite(message, 1, n, stdout);
	return in.n == 2 && !out.full ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True,
                   env=os.environ | {"DESTDIR": str(root)}, capture_output=True)
    return root


def pkg_config(root, *words):
    where = next(root.rglob("libpop3.pc")).parent
    env = os.environ | {"PKG_CONFIG_LIBDIR": str(where), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    return subprocess.run(["pkg-config", *words, "libpop3"], env=env, check=True,
                          capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("static", [False, True])
def test_a_program_of_somebody_else(installed, tmp_path, static):
    if b"__asan_init" in next(installed.rglob("libpop3.so.*")).read_bytes():
        static = False
        flags = ["-fsanitize=address,undefined"]
    else:
        flags = []
    source, program = tmp_path / "x.c", tmp_path / "x"
    source.write_text(PROGRAM)
    library = next(installed.rglob("libpop3.a"))
    libs = [str(library)] if static else pkg_config(installed, "--libs")
    compiler = "clang" if flags else "cc"
    subprocess.run([compiler, "-std=gnu2x", "-Wall", "-Wextra", "-Werror", *flags, "-o", program,
                    source, *pkg_config(installed, "--cflags"), *libs], check=True)
    got = subprocess.run([program], capture_output=True, timeout=60,
                         env=os.environ | {"LD_LIBRARY_PATH": str(library.parent)})
    assert got.returncode == 0, got
    lines = got.stdout.decode().split("\n")
    assert [x.split()[0] for x in lines[:3]] == ["USER", "PASS", "RETR"]
    assert lines[3].startswith("+OK ") and "here" in lines[3]
    assert got.stdout.endswith(b"\r\na\r\n..b\r\n.\r\n")


EXAMPLES = ROOT / "doc" / "examples"
LANGUAGES = {"c": ["-std=gnu2x"], "c++": ["-std=c++17", "-x", "c++"]}
# What a library without system calls and allocations may still ask of libc and libgcc.
LIBC = {"memcpy", "memmove", "memset", "memcmp", "memchr", "memmem", "strlen", "explicit_bzero",
        "__memcpy_chk", "__memset_chk", "__explicit_bzero_chk", "__memmove_chk",
        "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_", "__cpu_model", "__cpu_indicator_init"}


def is_sanitized(root):
    return b"__asan_init" in next(root.rglob("libpop3.so.*")).read_bytes()


@pytest.fixture(scope="module", params=[(c, how) for c in LANGUAGES for how in ("so", "a")],
                ids=lambda p: "-".join(p))
def examples(installed, request, tmp_path_factory):
    """Both examples, built as README.md of the examples says, and their environment."""
    language, how = request.param
    library = next(installed.rglob("libpop3.a"))
    libs = [str(library)] if how == "a" else pkg_config(installed, "--libs")
    compiler = {"c": "cc", "c++": "c++"}[language]
    flags = []
    if is_sanitized(installed):
        compiler = {"c": "clang", "c++": "clang++"}[language]
        flags = ["-fsanitize=address,undefined"]
    into = tmp_path_factory.mktemp("examples")
    for name in ("client", "server"):
        subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", *flags, *LANGUAGES[language],
                        EXAMPLES / f"{name}.c", "-x", "none",
                        *pkg_config(installed, "--cflags"), "-o", into / name, *libs], check=True)
    return into, os.environ | {"LD_LIBRARY_PATH": str(library.parent)}


class ExampleServer:
    """The example server for so many connections."""

    def __init__(self, examples, connections):
        into, env = examples
        self.process = subprocess.Popen([into / "server", "secret", str(connections)], env=env,
                                        stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words[:1] == ["listening"], words
        self.port = int(words[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        timer = threading.Timer(60, self.process.kill)
        timer.start()
        status = self.process.wait()
        timer.cancel()
        self.process.stdout.close()
        assert status == 0, status


def example_client(examples, *words):
    into, env = examples
    return subprocess.run([into / "client", *map(str, words)], env=env, capture_output=True,
                          timeout=60)


def test_example_client_and_server(examples):
    with ExampleServer(examples, 4) as server:
        got = example_client(examples, "127.0.0.1", server.port, "anna", "secret", 1)
        assert got.returncode == 0, got
        head, _, mail = got.stdout.partition(b" octets\n")
        assert head == b"1: %d" % len(mail)
        assert mail.startswith(b"From: server@example.org\r\n")
        assert mail.endswith(b"\r\n\r\nA line, and one that begins with a dot:\r\n.hidden\r\n")
        got = example_client(examples, "127.0.0.1", server.port, "anna", "wrong")
        assert (got.returncode, got.stdout) == (1, b""), got
        assert got.stderr == b"client: PASS: name or password is wrong\n"
        got = example_client(examples, "127.0.0.1", server.port, "anna", "secret", 7)
        assert got.returncode == 1 and b"client: RETR: " in got.stderr, got
        with socket.create_connection(("127.0.0.1", server.port), 60) as s:
            s.sendall(b"CAPA\r\nAUTH PLAIN\r\nAGFubmEAc2VjcmV0\r\nSTAT\r\nTOP 1 0\r\nLIST\r\n"
                      b"DELE 1\r\nRETR 1\r\nUIDL\r\nRSET\r\nUIDL 1\r\nQUIT\r\n")
            told = b"".join(iter(lambda: s.recv(4096), b""))
        size = len(mail)
        assert b"\r\n+ \r\n+OK 1 %d\r\n+OK 1 %d\r\n+OK " % (size, size) in told
        assert b"Subject: hello\r\n\r\n.\r\n+OK\r\n1 %d\r\n.\r\n+OK\r\n-ERR " % size in told
        assert b"follow\r\n.\r\n+OK\r\n+OK 1 the-only-one\r\n+OK bye\r\n" in told


def test_example_client_and_the_sandbox(examples, base):
    mail = b"A: b\n\n.dot\n\xff\n"
    o = Office(users=[("anna", "secret", make_maildir(base / "anna", [mail]))])
    try:
        got = example_client(examples, o.host, o.pop3, "anna", "secret", 1)
        assert got.returncode == 0, got
        wire = mail.replace(b"\n", b"\r\n")
        assert got.stdout == b"1: %d octets\n" % len(wire) + wire
    finally:
        o.stop()


def test_the_makefile_of_the_examples(installed, tmp_path):
    if is_sanitized(installed):
        pytest.skip("the Makefile is for a library without sanitizers")
    for p in EXAMPLES.iterdir():
        shutil.copy(p, tmp_path)
    where = next(installed.rglob("libpop3.pc")).parent
    env = os.environ | {"PKG_CONFIG_LIBDIR": str(where), "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    subprocess.run(["make", "-s", "-C", tmp_path, "CXX_TOO=1"], env=env, check=True)
    assert {"client", "server", "client++", "server++"} <= {p.name for p in tmp_path.iterdir()}


def test_no_system_call_and_no_allocation(installed):
    library = next(installed.rglob("libpop3.a"))
    if is_sanitized(installed):
        pytest.skip("sanitizers call whatever they like")
    out = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines()]
    own = {words[2] for words in rows if len(words) == 3}
    wanted = {words[1] for words in rows if len(words) == 2 and words[0] in "Uvw"}
    assert "pop3_client_next" in own and "memchr" in wanted
    assert wanted - own - LIBC == set()


def test_nothing_else_is_exported(installed):
    out = subprocess.run(["nm", "-D", "--defined-only", next(installed.rglob("libpop3.so"))],
                         capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in out.splitlines()]
    assert {"pop3_server_next", "pop3_client_next", "pop3_client_send", "pop3_capabilities_take",
            "dot_kernels", "dot_decode"} <= set(names)
    assert [n for n in names if not n.startswith(("pop3_", "dot_"))] == []


def test_manuals_and_units_are_installed(installed):
    names = {p.name for p in installed.rglob("*") if p.is_file()}
    assert {"pop3.3", "restante.1", "restante-passwd.1", "restante-sandbox.1", "restante.conf.5",
            "restanted.8", "restante.service", "restante.socket", "restanted", "restante",
            "restante-front"} <= names
    unit = next(installed.rglob("restante.service")).read_text()
    daemon = next(installed.rglob("restanted"))
    assert f"ExecStart=/{daemon.relative_to(installed)} " in unit


def test_the_unit_allows_what_every_process_keeps(installed):
    """The capabilities of SECURITY.md's table, which tests/privs holds against processes."""
    unit = next(installed.rglob("restante.service")).read_text()
    allowed = set(next(line for line in unit.splitlines()
                       if line.startswith("CapabilityBoundingSet="))[22:].split())
    kept = set()
    for line in (ROOT / "SECURITY.md").read_text().splitlines():
        if line.startswith("| `") and line.count("|") == 8:
            kept |= {f"CAP_{c.upper()}" for c in line.split("|")[4].split() if c != "none"}
    assert {"CAP_SETUID", "CAP_AUDIT_WRITE"} <= kept
    # socket_group needs one more, before any is given up.
    assert allowed == kept | {"CAP_CHOWN"}


def test_the_manual_of_the_configuration_has_every_option(installed):
    page = next(installed.rglob("restante.conf.5"))
    text = page.read_text()
    for line in (ROOT / "src" / "conf" / "options.def").read_text().splitlines():
        if line.startswith("OPTION("):
            name = line.split(",")[2].strip()
            assert f"\n.It Cm {name}\n" in text, name
    lint = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True).stdout
    assert [x for x in lint.splitlines() if "referenced manual not found" not in x] == []
