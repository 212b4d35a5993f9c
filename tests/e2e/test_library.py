"""libpop3 as it is installed: headers, shared and static library, pkg-config, manuals, units."""
import os
import pathlib
import subprocess

import pytest

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
	const struct pop3_link link = {.plaintext = true};
	struct view in = VIEW("USER anna\r\nPASS secret\r\nRETR 7\r\nRE");
	struct pop3_server s;
	struct pop3_request r;
	struct dot_state dot = {0};
	uint8_t message[DOT_ENCODE_MAX(4) + DOT_FINISH_MAX];

	pop3_server_init(&s, &o, &link);
	pop3_put_greeting(&o, &out);
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
    got = subprocess.run([program], capture_output=True, timeout=20,
                         env=os.environ | {"LD_LIBRARY_PATH": str(library.parent)})
    assert got.returncode == 0, got
    lines = got.stdout.decode().split("\n")
    assert [x.split()[0] for x in lines[:3]] == ["USER", "PASS", "RETR"]
    assert lines[3].startswith("+OK ") and "here" in lines[3]
    assert got.stdout.endswith(b"\r\na\r\n..b\r\n.\r\n")


def test_nothing_else_is_exported(installed):
    out = subprocess.run(["nm", "-D", "--defined-only", next(installed.rglob("libpop3.so"))],
                         capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in out.splitlines()]
    assert "pop3_server_next" in names and "dot_kernels" in names
    assert [n for n in names if not n.startswith(("pop3_", "dot_"))] == []


def test_manuals_and_units_are_installed(installed):
    names = {p.name for p in installed.rglob("*") if p.is_file()}
    assert {"restante.1", "restante-passwd.1", "restante-sandbox.1", "restante.conf.5",
            "restanted.8", "restante.service", "restante.socket", "restanted", "restante",
            "restante-front"} <= names
    unit = next(installed.rglob("restante.service")).read_text()
    daemon = next(installed.rglob("restanted"))
    assert f"ExecStart=/{daemon.relative_to(installed)} " in unit


def test_the_manual_of_the_configuration_has_every_option(installed):
    page = next(installed.rglob("restante.conf.5"))
    text = page.read_text()
    for line in (ROOT / "src" / "conf" / "options.def").read_text().splitlines():
        if line.startswith("OPTION("):
            name = line.split(",")[2].strip()
            assert f"\n.It Cm {name}\n" in text, name
    lint = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True).stdout
    assert [x for x in lint.splitlines() if "referenced manual not found" not in x] == []
