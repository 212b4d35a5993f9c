"""`restante torture`: nothing fails against ourselves, each planted fault is found by the case
that is for it, and an honest server is found honest."""
import collections
import json
import os
import re
import subprocess

import pytest

from faulty_pop import AT_POP3S, FAULTS, FaultyServer
from nasty import NASTY
from ports import free_port
from postoffice import BUILD, NOBODY, ROOT, make_maildir

pytestmark = pytest.mark.anyone
SMALL = [octets for octets in NASTY.values() if len(octets) < 100000]
# A server with a fault is given up on after this; an honest one answers at once.
PATIENCE_S, FAULTY_S = 20, 2

Run = collections.namedtuple("Run", "status rows sums errors")


def torture(at, *args, password="s3cret", user="anna", tmp=None, ca=None, tls="stls"):
    command = [BUILD / "restante", "torture", at, "--json", "--tls", tls, *args]
    if user:
        secret = tmp / "secret"
        secret.write_text(password + "\n")
        secret.chmod(0o600)
        command += ["--user", user, "--password-file", secret]
    if ca:
        command += ["--ca", ca]
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, check=False,
                       stdin=subprocess.DEVNULL)
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    return Run(p.returncode, {r["case"]: r for r in rows if "case" in r}, rows[-1] if rows else {}, p.stderr)


def bad(run):
    return {name: r.get("why") for name, r in run.rows.items() if r["result"] in ("failed", "warning")}


@pytest.fixture(scope="module", name="place")
def fixture_place(tmp_path_factory):
    return tmp_path_factory.mktemp("faulty")


# ---- ourselves -------------------------------------------------------------------------

@pytest.mark.parametrize("tls, sets", [
    ("none", {"login_failure_delay": "100ms", "growing_penalty": "no"}), ("stls", {}),
    ("pop3s", {"login_failure_delay": "100ms", "growing_penalty": "no"})])
def test_nothing_fails_here(office, base, tmp_path, tls, sets):
    path, other = make_maildir(base / "box", SMALL), make_maildir(base / "other", SMALL[:2])
    users = base / "users"
    users.write_text("".join(f"{name}:{{PLAIN}}s3cret:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{box} {more}\n"
                             for name, box, more in (("anna", path, ""), ("stamp", other, "apop=yes"))))
    o = office("--users", users, sets={**sets, "pop3:apop": "yes", "pop3s:apop": "yes"})
    at = o.pop3s_at if tls == "pop3s" else o.pop3_at
    run = torture(at, "--destructive", "--timeout", "60", tmp=tmp_path, ca=o.ca, tls=tls)
    assert (run.status, bad(run)) == (0, {}), run.errors
    assert run.sums["ok"] > 400 and run.sums["cases"] == len(run.rows)
    # It was all really tried: what is skipped needs the other port.
    reasons = {r["why"] for r in run.rows.values() if r["result"] == "skipped"}
    assert all(w.startswith(("needs --tls", "needs a port")) for w in reasons), reasons
    assert tls == "none" or run.rows["tls-resumption"]["result"] == "ok", run.rows["tls-resumption"]
    assert not any(p.is_file() for p in path.rglob("*")
                   if p.parent.name in ("new", "cur")), "--destructive empties the maildrop"


def test_without_destructive_all_stays(office, base, tmp_path):
    path = make_maildir(base / "box", SMALL[:6])
    o = office(users=[("anna", "s3cret", path)], sets={"login_failure_delay": "0", "growing_penalty": "no"})
    run = torture(o.pop3_at, "--only", "dele*", "--only", "nothing-lost", tmp=tmp_path, tls="none")
    assert run.status == 0 and run.rows["nothing-lost"]["result"] == "ok"
    assert {r["result"] for n, r in run.rows.items() if n.startswith("delete-")} == {"skipped"}
    assert sum(p.is_file() for d in ("new", "cur") for p in (path / d).iterdir()) == 6


def test_apop_is_tried_where_it_is_offered(office, base, tmp_path):
    path = make_maildir(base / "box", SMALL[:2])
    users = base / "users"
    users.write_text(f"stamp:{{PLAIN}}s3cret:{NOBODY}:{NOBODY}::::userdb_mail=maildir:{path} apop=yes\n")
    o = office("--users", users, sets={"pop3:apop": "yes", "login_failure_delay": "0", "growing_penalty": "no"})
    run = torture(o.pop3_at, "--only", "apop-*", "--only", "greeting*", "--timeout", "60", user=None, tls="none")
    assert (run.status, bad(run), run.sums["skipped"]) == (0, {}, 0), run


# ---- the tool --------------------------------------------------------------------------

@pytest.mark.parametrize("tls", ["none", "stls", "pop3s"])
def test_an_honest_server_is_found_honest(place, tmp_path, tls):
    with FaultyServer(place) as s:
        port = s.tls_port if tls == "pop3s" else s.port
        run = torture(f"127.0.0.1:{port}", "--destructive", "--timeout", "60", tmp=tmp_path, ca=s.ca, tls=tls)
    assert (run.status, bad(run)) == (0, {}), run.errors
    assert run.sums["ok"] > 400


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(place, tmp_path, fault):
    """With the fault its cases fail; the same cases pass on an honest server, see above."""
    cases = FAULTS[fault]
    tls = "stls" if any("tls" in c for c in cases) else "none"
    only = [a for c in cases for a in ("--only", c)]
    with FaultyServer(place, [fault]) as s:
        run = torture(f"127.0.0.1:{s.port}", *only, "--strict", "--timeout", FAULTY_S,
                      *(["--destructive"] if fault.startswith("deletes") else []), tmp=tmp_path, ca=s.ca, tls=tls)
    assert set(run.rows) == set(cases), f"no such case? {run.errors}"
    assert run.status == 1 and set(bad(run)) == set(cases), run


@pytest.mark.parametrize("only", [[], ["--only", "dele"], ["--only", "dele-l*"]], ids=len)
def test_a_rset_that_does_nothing_costs_no_mail(place, tmp_path, only):
    with FaultyServer(place, ["rset-nothing"]) as s:
        had = len(s.box)
        run = torture(f"127.0.0.1:{s.port}", *only, "--timeout", FAULTY_S, tmp=tmp_path, ca=s.ca, tls="none")
        assert len(s.box) == had
    assert run.status == 1


@pytest.mark.parametrize("fault", AT_POP3S)
def test_a_fault_at_pop3s_is_found(place, tmp_path, fault):
    cases = AT_POP3S[fault]
    with FaultyServer(place, [fault]) as s:
        run = torture(f"127.0.0.1:{s.tls_port}", *[a for c in cases for a in ("--only", c)], "--timeout", FAULTY_S,
                      tmp=tmp_path, ca=s.ca, tls="pop3s")
    assert run.status == 1 and set(bad(run)) == set(cases), run


def listed():
    p = subprocess.run([BUILD / "restante", "torture", "--list", "--json"], capture_output=True, text=True,
                       timeout=60, check=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def test_cases_are_many_and_each_has_a_name_and_a_clause():
    rows = listed()
    assert len(rows) >= 400 and len({r["case"] for r in rows}) == len(rows)
    for r in rows:
        assert r["clause"].startswith("RFC ") or r["clause"] == "robustness", r
        assert r["weight"] in ("must", "should", "robust") and r["expected"], r
    assert len(FAULTS) + len(AT_POP3S) >= 40
    found = {c for cases in [*FAULTS.values(), *AT_POP3S.values()] for c in cases}
    assert found <= {r["case"] for r in rows}


def test_warnings_fail_only_when_that_is_asked_for(place, tmp_path):
    with FaultyServer(place, ["surplus-ignored"]) as s:
        for strict, status in (([], 0), (["--strict"], 1)):
            run = torture(f"127.0.0.1:{s.port}", "--only", "surplus-stat", *strict, tmp=tmp_path, tls="none")
            assert run.status == status and run.rows["surplus-stat"]["result"] == "warning"


def test_a_server_that_cannot_be_tried_is_status_2(place, tmp_path):
    with FaultyServer(place) as s:
        at = f"127.0.0.1:{s.port}"
        wrong = torture(at, tmp=tmp_path, ca=s.ca, password="wrong")
        assert wrong.status == 2 and "the login is refused" in wrong.errors
        stranger = torture(at, tmp=tmp_path)
        assert stranger.status == 2 and "certificate" in stranger.errors
    gone = torture(f"127.0.0.1:{free_port()}", tmp=tmp_path, tls="none")
    assert gone.status == 2 and "cannot connect" in gone.errors


@pytest.mark.parametrize("args, words", [
    ([], "HOST"), (["a", "b"], "HOST"), (["h:1", "--tls", "maybe"], "none, stls or pop3s"),
    (["h:1", "--timeout", "0"], "--timeout"), (["h:1", "--timeout", "99999"], "--timeout"),
    (["h:1", "--delay", "-1"], "--delay"), (["h:0"], "HOST:PORT"), (["h:1", "--octets", "x"], "--octets"),
    (["h:1", "--user", ""], "--user"), (["h:1", "--user", "a\r\nb"], "--user"), (["h:1", "--what"], "command line"),
    (["h:1", "--destructive"], "--user"), (["h:1", "--user", "a", "--password-fd", "77"], "not open"),
    (["h:1", "--user", "a", "--password-file", "/nowhere"], "must exist"), (["h:1", "--ca", "/nowhere"], "/nowhere"),
    (["h:1", *["--only", "x"] * 33], "32 times")])
def test_a_wrong_command_line_is_told_and_status_2(args, words):
    p = subprocess.run([BUILD / "restante-torture", *args], capture_output=True, text=True, timeout=60, check=False,
                       stdin=subprocess.DEVNULL)
    assert p.returncode == 2 and words in p.stderr and p.stdout == "", p


def test_each_option_of_the_help_is_in_the_manual():
    p = subprocess.run([BUILD / "restante", "torture", "--help"], capture_output=True, text=True, timeout=60, check=True)
    manual = (ROOT / "man" / "restante-torture.1").read_text()
    options = re.findall(r"^  --([a-z-]+)", p.stdout, re.M)
    assert len(options) > 15
    for option in options:
        assert f".It Fl -{option}" in manual, option


def test_the_table_for_people_shows_no_octet_that_is_not_text(place):
    with FaultyServer(place, ["echo"]) as s:
        p = subprocess.run([BUILD / "restante", "torture", f"127.0.0.1:{s.port}", "--tls", "none", "--only", "control",
                            "--only", "quit"], capture_output=True, timeout=60, check=False)
    assert p.returncode == 1 and b"\x1b" not in p.stdout and b"FAIL  control" in p.stdout and b"ok    quit" in p.stdout
    assert p.stdout.splitlines()[-1].startswith(b"2 cases: 1 ok, 1 failed")


def test_the_password_comes_from_a_command_or_a_descriptor_and_shows_nowhere(place):
    with FaultyServer(place) as s:
        at = f"127.0.0.1:{s.port}"
        p = subprocess.run([BUILD / "restante", "torture", at, "--tls", "none", "--user", "anna", "--only", "login",
                            "--password-command", "printf 's3cret\\n'"], capture_output=True, text=True, timeout=60,
                           check=True)
        assert "s3cret" not in p.stdout + p.stderr
        r, w = os.pipe()
        os.write(w, b"s3cret\n")
        os.close(w)
        subprocess.run([BUILD / "restante", "torture", at, "--tls", "none", "--user", "anna", "--only", "login",
                        "--password-fd", str(r)], pass_fds=[r], capture_output=True, timeout=60, check=True)
        os.close(r)
