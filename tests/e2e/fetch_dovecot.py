"""Debian's Dovecot as a POP3 server with every login it knows, for tests of the fetcher.

Dovecot(base)  started on free ports of 127.0.0.1, with one user, anna, a certificate for
               localhost, and mail in base/home/anna/Maildir. stop() ends it.
Realm(base)    a Kerberos realm with its key server; Dovecot(base, realm=...) belongs to it.
"""
import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from ports import free_port
from postoffice import until

PASSWORD = "se cr\u00e9t, = 100%"
SASL = ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "external", "apop",
        "oauthbearer", "xoauth2"]
TOKEN_KEY = b"a key that only this test knows!"


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def make_certificates(base):
    """ca.pem, server.pem for localhost, client.pem for anna, each with its .key."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=base, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
    for name, subject, extra in (("server", "/CN=localhost", "subjectAltName=DNS:localhost"),
                                 ("client", "/CN=anna", "extendedKeyUsage=clientAuth")):
        (base / f"{name}.ext").write_text(f"basicConstraints=CA:FALSE\n{extra}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out",
                f"{name}.pem")
    # Dovecot asks for a list of what was revoked beside the certificate that signs.
    (base / "index.txt").write_text("")
    (base / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\n"
                                 "default_md=sha256\ndefault_crl_days=2\n")
    openssl("ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem",
            "-out", "crl.pem")
    (base / "ca-and-crl.pem").write_text(
        (base / "ca.pem").read_text() + (base / "crl.pem").read_text())


def token(user="anna", key=TOKEN_KEY, lasts_s=600, filler=0):
    """A JSON Web Token that Dovecot checks by itself."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    now = int(time.time())
    claims = {"sub": user, "iat": now - 5, "nbf": now - 5, "exp": now + lasts_s,
              "scope": "mail", "x": "x" * filler}
    body = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + \
        part(json.dumps(claims).encode())
    return (body + b"." + part(hmac.new(key, body, hashlib.sha256).digest())).decode()


class Program:
    """One that is started, waited for and ended by its process id."""

    def __init__(self, command, env, log):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True)

    def wait_for_port(self, port):
        until(lambda: listens(port) or self.process.poll() is not None, 60,
              lambda: f"nothing listens:\n{self.log.read_text()}")
        assert self.process.poll() is None, self.log.read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)


class Realm:
    """EXAMPLE.TEST: anna, and pop/localhost with its key in `keytab`."""

    def __init__(self, base):
        self.base = pathlib.Path(base) / "kdc"
        self.base.mkdir()
        self.port, self.keytab = free_port(), self.base / "keytab"
        (self.base / "krb5.conf").write_text(f"""[libdefaults]
 default_realm = EXAMPLE.TEST
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 EXAMPLE.TEST = {{
  kdc = 127.0.0.1:{self.port}
 }}
[domain_realm]
 localhost = EXAMPLE.TEST
""")
        (self.base / "kdc.conf").write_text(f"""[realms]
 EXAMPLE.TEST = {{
  database_name = {self.base}/principal
  key_stash_file = {self.base}/stash
  acl_file = {self.base}/acl
  kdc_listen = 127.0.0.1:{self.port}
  kdc_tcp_listen = 127.0.0.1:{self.port}
 }}
""")
        self.env = {"PATH": os.environ["PATH"] + ":/usr/sbin", "LC_ALL": "C",
                    "KRB5_CONFIG": str(self.base / "krb5.conf"),
                    "KRB5_KDC_PROFILE": str(self.base / "kdc.conf"),
                    "KRB5RCACHENAME": "none:"}
        self.run("kdb5_util", "create", "-s", "-r", "EXAMPLE.TEST", "-P", "master")
        for query in ("addprinc -pw secret anna", "addprinc -randkey pop/localhost",
                      f"ktadd -k {self.keytab} pop/localhost"):
            self.run("kadmin.local", "-q", query)
        self.keytab.chmod(0o644)  # Dovecot reads it as a user of its own
        self.program = Program(["krb5kdc", "-n"], self.env, self.base / "log")
        self.program.wait_for_port(self.port)

    def run(self, *command, **more):
        got = subprocess.run([str(c) for c in command], env=self.env, capture_output=True,
                             timeout=60, **more)
        assert got.returncode == 0, (command, got.stdout, got.stderr)

    def ticket(self, user="anna", password=b"secret\n"):
        """What a program's environment must have to be that user."""
        cache = self.base / f"ticket-{user}"
        self.run("kinit", "-c", cache, user, input=password)
        return {"KRB5_CONFIG": self.env["KRB5_CONFIG"], "KRB5CCNAME": f"FILE:{cache}"}

    def stop(self):
        self.program.stop()


class Dovecot:
    def __init__(self, base, realm=None):
        self.base = pathlib.Path(base) / "dovecot"
        self.base.mkdir()
        self.base.chmod(0o755)
        self.pop3, self.pop3s, self.realm = free_port(), free_port(), realm
        make_certificates(self.base)
        self.ca = self.base / "ca.pem"
        self.maildir = self.base / "home/anna/Maildir"
        for part in ("new", "cur", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        keys = self.base / "keys/default/HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(TOKEN_KEY))
        (self.base / "oauth2.conf").write_text(
            f"introspection_mode = local\nusername_attribute = sub\n"
            f"local_validation_key_dict = fs:posix:prefix={self.base}/keys/\n")
        (self.base / "users").write_text(f"anna:{{PLAIN}}{PASSWORD}::::::\n")
        shutil.chown(self.base / "home/anna", "nobody", "nogroup")
        for path in self.base.glob("home/anna/**/*"):
            shutil.chown(path, "nobody", "nogroup")
        (self.base / "dovecot.conf").write_text(self.configuration())
        self.program = Program(["dovecot", "-F", "-c", self.base / "dovecot.conf"],
                               {**os.environ, **(realm.env if realm else {})},
                               self.base / "start.log")
        self.program.wait_for_port(self.pop3s)

    def configuration(self):
        gssapi = f"""
auth_krb5_keytab = {self.realm.keytab}
auth_gssapi_hostname = localhost
import_environment = $import_environment KRB5_CONFIG KRB5RCACHENAME
""" if self.realm else ""
        mechanisms = " ".join(SASL + (["gssapi"] if self.realm else []))
        return f"""{gssapi}
base_dir = {self.base}/run
state_dir = {self.base}/state
log_path = {self.base}/log
protocols = pop3
listen = 127.0.0.1
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_ssl_username_from_cert = yes
disable_plaintext_auth = yes
ssl = yes
ssl_cert = <{self.base}/server.pem
ssl_key = <{self.base}/server.key
ssl_ca = <{self.base}/ca-and-crl.pem
ssl_verify_client_cert = yes
ssl_cert_username_field = commonName
first_valid_uid = 1
mail_location = maildir:~/Maildir
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {self.base}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = external
  args = nopassword=y
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {self.base}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.base}/home/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
    ssl = yes
  }}
}}
# No waiting after a wrong password.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""

    def put(self, name, message):
        path = self.maildir / "tmp" / name
        path.write_bytes(message)
        shutil.chown(path, "nobody", "nogroup")
        path.rename(self.maildir / "new" / name)

    def log(self):
        path = self.base / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logins(self):
        """The mechanism of each login that went well."""
        return re.findall(r"Login: user=<anna>, method=([A-Z0-9-]+)", self.log())

    def stop(self):
        self.program.stop()
