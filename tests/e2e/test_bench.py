"""bench/run, bench/drive, bench/floor and bench/plot do what they say: rows come out, what a
server hands out wrong is found, and plots are drawn. What they measure is not asked here:
that depends on the machine."""
import contextlib
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from postoffice import BUILD, ROOT

sys.path.insert(0, str(ROOT / "bench"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cache(module_base):
    """Mail of this test alone."""
    os.environ["RESTANTE_BENCH"] = str(module_base / "cache")
    yield module_base / "cache"
    del os.environ["RESTANTE_BENCH"]


@pytest.fixture(scope="module")
def mail(cache):
    import common
    common.CACHE = cache
    return common.Set("test", common.drops(4, 6, 5000)).make()


@contextlib.contextmanager
def floor(mail, *args):
    p = subprocess.Popen([BUILD / "tests/floor", *args, mail.base], stdout=subprocess.PIPE,
                         text=True)
    try:
        yield re.match(r"ready plain=(\d+) ", p.stdout.readline()).group(1)
    finally:
        p.kill()
        p.communicate()


def drive(port, mail, script, *more):
    return subprocess.run(
        [BUILD / "tests/drive", "--port", port, "--manifest", mail.manifest, "--script", script,
         "--deadline", "20", *more], capture_output=True, text=True, timeout=60)


def test_what_is_right_passes(mail):
    for args in ([], ["--sendfile"]):
        with floor(mail, *args) as port:
            for script, window in (("C,U,P,S,I,Q", "50"), ("U,PL,Q", "50"), ("U,P,S,R,Q", "50"),
                                   ("U,P,S,R,Q", "1"), ("U,P,S,D,Q", "4"), ("H,U,P,H,Q", "1")):
                n = "4" if "H" in script else "9"
                got = drive(port, mail, script, "--sessions", n, "--at-once", "4", "--window",
                            window)
                assert got.returncode == 0, got.stderr
                said = json.loads(got.stdout)
                fetches = "R" in script or "D" in script
                assert said["sessions"] == int(n) and said["errors"] == 0
                assert said["messages"] == (int(n) * 6 if fetches else 0)
                assert said["greeting_us"]["n"] == int(n)


def test_a_wrong_octet_is_found(mail):
    with floor(mail, "--fault", "5") as port:
        got = drive(port, mail, "U,P,S,R,Q")
        assert got.returncode == 1
        assert re.search(r"message 5 is none of its maildrop", got.stderr), got.stderr
        assert drive(port, mail, "U,P,S,Q").returncode == 0
        counted = drive(port, mail, "U,P,S,R,Q", "--sessions", "4", "--tolerate")
        assert json.loads(counted.stdout)["errors"] == 4


@pytest.mark.parametrize("script,what", [("U,P,S,Q", "STAT tells"), ("U,P,L,Q", "lines of"),
                                         ("U,P,I,Q", "lines of"), ("U,P,R,Q", "-ERR")])
def test_a_wrong_count_is_found(mail, tmp_path, script, what):
    """A server that has one message less than was laid out."""
    import copy
    more = copy.copy(mail)
    more.manifest = tmp_path / "manifest"
    more.manifest.write_text("u00000 7 36000 0\n")
    with floor(mail) as port:
        got = drive(port, more, script)
        assert got.returncode == 1 and what in got.stderr, got.stderr


def test_a_server_that_goes_is_found(mail):
    with floor(mail) as port:
        pass
    got = drive(port, mail, "U,P,S,Q")
    assert got.returncode == 1 and "refused" in got.stderr


def run(cache, *args):
    got = subprocess.run([ROOT / "bench/run", "--build", BUILD, "--small", "--quick", "--rounds",
                          "1", "--round-ms", "5", *args], capture_output=True, text=True,
                         timeout=300)
    assert got.returncode == 0, got.stdout + got.stderr
    return got.stdout


def test_rows_come_out(cache, tmp_path):
    record = tmp_path / "run.json"
    keys = ["login", "login-tls", "poll", "retr", "retr-tls", "as-stored", "dele", "list-cold",
            "list-first", "list-warm", "idle-tls", "unpipelined", "storm"]
    table = run(cache, "--rows", f"^({'|'.join(keys)})$", "--peers", "dovecot", "--json", record)
    said = json.loads(record.read_text())
    assert [r["key"] for r in said["rows"]] == keys
    for r in said["rows"]:
        assert r["restante"] is not None and r["restante"] > 0, r
        assert r["best"] == "dovecot" and r["peers"]["dovecot"] > 0, r
        assert not r["unknown"], r
        assert r["floor"] is not None or r["key"] == "dele", r
        assert r["work"] in table
    assert record.stat().st_size < 30000


def test_what_is_not_met_is_said():
    import rows
    row = rows.Cost("x", "x", "tls", None, "", "ms", {"peer": 0.4, "floor": 1.4})
    good = rows.judge(row, {"floor": [1.0], "restante": [1.3, 1.2, 9.0], "dovecot": [4.0],
                            "courier": [9.0]})
    assert good["met"] and good["best"] == "dovecot" and good["to_floor"] == 1.3
    bad = rows.judge(row, {"floor": [1.0], "restante": [1.5], "dovecot": [3.0]})
    assert not bad["met"] and bad["missed"] == {"peer": 0.5, "floor": 1.5}
    alone = rows.judge(row, {"floor": [1.0], "restante": [1.3]})
    assert alone["unknown"] == ["peer"]


def test_plots_are_drawn(cache, tmp_path):
    run(cache, "--growth", "--rows", "^$", "--peers", "", "--json", tmp_path / "run.json")
    # Ten sessions may take no memory at all; a thousand would take this test too long.
    record = json.loads((tmp_path / "run.json").read_text())
    record["growth"]["session_kib"] = {n: [[100, 0.5], [1000, 7.25]] for n in ("floor", "restante")}
    (tmp_path / "run.json").write_text(json.dumps(record))
    plot = [ROOT / "bench/plot", "--runs", tmp_path, "--out", tmp_path / "plots"]
    subprocess.run(plot, check=True, capture_output=True)
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == [
        "list-cpu.svg", "list-first.svg", "retr-size.svg", "session-login.svg",
        "session-memory.svg"]
    for path in (tmp_path / "plots").iterdir():
        root = xml.etree.ElementTree.parse(path).getroot()
        words = {t.text for t in root.iter(f"{SVG}text")}
        assert any(w.startswith("restante") for w in words), path
        assert any(w.startswith("floor") for w in words), path
        for dot in root.iter(f"{SVG}circle"):
            assert 0 < float(dot.get("cx")) < 720 and 0 < float(dot.get("cy")) < 440, path
    (tmp_path / "other.json").write_text("{}")
    got = subprocess.run(plot, capture_output=True, text=True)
    assert got.returncode == 1 and "other.json" in got.stderr


def test_recorded_runs_can_be_drawn(tmp_path):
    """Those of the repository; its plots are of them."""
    subprocess.run([ROOT / "bench/plot", "--out", tmp_path], check=True, capture_output=True)
    drawn = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert drawn == {p.name: p.read_text() for p in (ROOT / "doc/plots").glob("*.svg")}
