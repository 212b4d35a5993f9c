"""A system account and PAM services that live as long as a test; both under one lock.

    with account("secret") as name: ...
    with service("auth required pam_unix.so", "account required pam_unix.so") as name: ...
"""
import contextlib
import fcntl
import os
import pathlib
import secrets
import subprocess


@contextlib.contextmanager
def locked():
    """Programs that write /etc/passwd wait for one another only for a while."""
    fd = os.open("/tmp/restante-test-accounts.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def run(*command, **more):
    subprocess.run(command, check=True, capture_output=True, timeout=60, **more)


@contextlib.contextmanager
def account(password, home="/nonexistent"):
    """password: None for an account that needs none."""
    name = "restante-t" + secrets.token_hex(4)
    with locked():
        run("useradd", "-M", "-N", "-g", "nogroup", "-d", str(home), "-s", "/usr/sbin/nologin", name)
    try:
        with locked():
            if password is None:
                run("passwd", "-d", name)
            else:
                run("chpasswd", input=f"{name}:{password}\n".encode())
        yield name
    finally:
        with locked():
            run("userdel", "-f", name)


@contextlib.contextmanager
def service(*lines):
    path = pathlib.Path("/etc/pam.d/restante-test-" + secrets.token_hex(4))
    path.write_text("".join(line + "\n" for line in lines))
    try:
        yield path.name
    finally:
        path.unlink()
