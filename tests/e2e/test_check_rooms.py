"""tests/tools/check-rooms finds what it is there to find."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKER = ROOT / "tests" / "tools" / "check-rooms"

GOOD = "#include <string.h>\n\nunsigned long\ngood(const char *s)\n{\n\treturn strlen(s);\n}\n"


def check(tree, files):
    """A small tree with these files below src/, compiled, and what the checker prints."""
    shutil.copytree(CHECKER.parent, tree / "tests" / "tools", ignore=shutil.ignore_patterns("[!c]*"))
    build = tree / "build" / "room.p"
    build.mkdir(parents=True)
    for name, text in files.items():
        path = tree / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name.endswith(".c"):
            subprocess.run(["cc", "-c", "-w", "-I", tree / "src", "-o",
                            build / (name.replace("/", "_") + ".o"), path], check=True)
    return subprocess.run([tree / "tests" / "tools" / "check-rooms", tree / "build"],
                          capture_output=True, text=True, timeout=60)


def test_a_good_tree_passes(tmp_path):
    out = check(tmp_path, {"base/good.c": GOOD})
    assert (out.returncode, out.stdout) == (0, "")


LONG = "void\nlong_one(void)\n{\n" + "\t;\n" * 71 + "}\n"
NOTE = "TO" + "DO"


@pytest.mark.parametrize("files, where, what", [
    ({"base/bad.c": "void *malloc(unsigned long);\nvoid *bad(void) { return malloc(1); }\n"},
     "src/base/bad.c:1", "calls malloc"),
    ({"wire/bad.c": "int bad(void) { static int n; return n++; }\n"}, "src/wire/bad.c:1", ".bss"),
    ({"wire/bad.c": "int n = 3;\n"}, "src/wire/bad.c:1", ".data"),
    ({"os/a.h": "\n", "wire/bad.c": '#include "os/a.h"\n'}, "src/wire/bad.c:1", "may not include os/a.h"),
    ({"wire/b.h": "\n", "monitor/bad.c": '\n#include "wire/b.h"\n'}, "src/monitor/bad.c:2",
     "may not include wire/b.h"),
    ({"os/bad.c": "int atoi(const char *);\n"}, "src/os/bad.c:1", "num_decimal"),
    ({"os/bad.c": "#include <ctype.h>\n"}, "src/os/bad.c:1", "<ctype.h> is banned"),
    ({"os/bad.c": "int a; // why\n"}, "src/os/bad.c:1", "use /* */"),
    ({"os/bad.c": LONG}, "src/os/bad.c:3", "function of 71 lines"),
    ({"os/bad.h": "\n" * 151}, "src/os/bad.h:151", "header of 151 lines"),
    ({"os/bad.c": f"/* {NOTE} */\n"}, "src/os/bad.c:1", "unfinished"),
    ({"os/same.c": "\n", "ipc/same.c": "\n"}, "src/os/same.c:1", "the name is taken"),
    ({"cellar/bad.c": "\n"}, "src/cellar/bad.c:1", "has no row"),
])
def test_each_fault_is_found(tmp_path, files, where, what):
    out = check(tmp_path, {"base/good.c": GOOD, **files})
    assert out.returncode == 1
    assert any(line.startswith(where + ": ") and what in line
               for line in out.stdout.splitlines()), out.stdout


def test_strings_and_comments_are_no_code(tmp_path):
    text = '/* atoi(x) // */\nconst char *a = "http://x atoi(";\nint ab(void) { return \'"\'; }\n'
    assert check(tmp_path, {"base/good.c": GOOD, "os/fine.c": text}).returncode == 0


def test_a_pure_file_without_object_is_a_fault(tmp_path):
    out = check(tmp_path, {"base/good.c": GOOD})
    assert out.returncode == 0
    (tmp_path / "src" / "base" / "unbuilt.c").write_text("\n")
    out = subprocess.run([tmp_path / "tests" / "tools" / "check-rooms", tmp_path / "build"],
                         capture_output=True, text=True, timeout=60)
    assert "src/base/unbuilt.c:1: has no object" in out.stdout


def test_usage():
    assert subprocess.run([CHECKER], capture_output=True).returncode == 1
    assert subprocess.run([CHECKER, os.devnull], capture_output=True).returncode == 1
