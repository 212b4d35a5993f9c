"""Mail programs in use, each made to log in by one mechanism and to fetch message 1.

A runner is a function of (base, Account) that gives (exit status, output); the octets of
the message must stand in the output or in base/box. MECHANISMS says what each can do.
"""
import base64
import dataclasses
import hashlib
import hmac
import os
import pathlib
import poplib
import secrets
import ssl
import subprocess

from collectors import GETMAIL
from postoffice import BUILD, NOBODY

SECONDS = 60


@dataclasses.dataclass
class Account:
    office: object
    user: str
    password: str
    mechanism: str  # as on the wire; USER and APOP are mechanisms here
    tls: str        # pop3s, stls
    certificate: str = ""  # of the client: a PEM file with certificate and key
    ticket: dict = dataclasses.field(default_factory=dict)  # the environment of who has one

    @property
    def port(self):
        return self.office.pop3s if self.tls == "pop3s" else self.office.pop3


def call(base, command, **environment):
    env = {"PATH": os.environ["PATH"], "HOME": str(base), "LC_ALL": "C.UTF-8",
           "FETCHMAILHOME": str(base), "USER": "root", "LOGNAME": "root",
           "BOX": str(base / "box"), **environment}
    got = subprocess.run([str(x) for x in command], env=env, cwd=base, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    return got.returncode, got.stdout.decode(errors="replace")


def write(base, name, text, mode=0o600):
    path = pathlib.Path(base) / name
    path.write_text(text)
    path.chmod(mode)
    return path


def make_box(base):
    box = base / "box"
    for part in ("new", "cur", "tmp"):
        (box / part).mkdir(parents=True)
    if os.geteuid() == 0:  # getmail delivers as another user than root
        for p in (box, *box.iterdir()):
            os.chown(p, NOBODY, -1)
    return box


def curl(base, a):
    # USER and PASS cannot be asked for: it takes them where nothing else is offered that it knows.
    way = {"USER": [], "APOP": ["--login-options", "AUTH=+APOP"]}.get(
        a.mechanism, ["--login-options", f"AUTH={a.mechanism}"])
    scheme = "pop3s" if a.tls == "pop3s" else "pop3"
    command = ["curl", "-sS", "-v", "--ssl-reqd", "--cacert", a.office.ca, *way, "-o", base / "out", f"{scheme}://localhost:{a.port}/1"]
    if a.mechanism in ("XOAUTH2", "OAUTHBEARER"):
        command += ["--oauth2-bearer", a.password, "--user", a.user]
    elif a.certificate:
        command += ["--user", f"{a.user}:", "--cert", a.certificate]
    elif a.ticket:
        # GSSAPI is for names with a realm there.
        command += ["--user", f"{a.user}@EXAMPLE.TEST:", "--sasl-authzid", a.user]
    else:
        command += ["--user", f"{a.user}:{a.password}"]
    status, output = call(base, command, **a.ticket)
    out = base / "out"
    return status, output + (out.read_text() if out.exists() else "")


def mpop(base, a):
    make_box(base)
    key = f"tls_cert_file {a.certificate}\ntls_key_file {a.certificate}\n" if a.certificate else ""
    rc = write(base, "mpoprc", f"""account a
host localhost
port {a.port}
user {a.user}
password {a.password}
auth {a.mechanism.lower()}
tls on
tls_starttls {"off" if a.tls == "pop3s" else "on"}
tls_trust_file {a.office.ca}
{key}keep on
uidls_file {base}/uidls
delivery maildir {base}/box
account default : a
""")
    return call(base, ["mpop", "-d", "-C", rc], **a.ticket)


def fetchmail(base, a):
    make_box(base)
    mda = write(base, "mda", "#!/bin/sh\ncat > \"$BOX/new/1\"\n", 0o700)
    protocol = "APOP" if a.mechanism == "APOP" else "POP3"
    how = {"USER": "auth password", "APOP": ""}.get(a.mechanism, f"auth {a.mechanism.lower()}")
    ssl_word = "ssl" if a.tls == "pop3s" else ""
    rc = write(base, "fetchmailrc", f"""set no bouncemail
set invisible
poll localhost service {a.port} protocol {protocol} {how} uidl no dns bad-header accept
    user "{a.user}" password "{a.password}" keep
    {ssl_word} sslproto 'TLS1.2+' sslcertck sslcertfile "{a.office.ca}"
    no rewrite mda "{mda}"
""")
    return call(base, ["fetchmail", "-N", "-v", "-v", "-f", rc, "--pidfile", base / "pid", "-i", base / "ids"],
                **a.ticket)


def getmail(base, a):
    make_box(base)
    (base / "state").mkdir()
    secure = a.tls == "pop3s"
    rc = write(base, "getmailrc", f"""[retriever]
type = Simple{"POP3SSL" if secure else "POP3"}Retriever
server = localhost
port = {a.port}
username = {a.user}
password = {a.password}
use_apop = {"true" if a.mechanism == "APOP" else "false"}
{f"ca_certs = {a.office.ca}" if secure else ""}
timeout = {SECONDS}

[destination]
type = Maildir
path = {base}/box/
{"user = nobody" if os.geteuid() == 0 else ""}

[options]
delete = false
delivered_to = false
received = false
verbose = 2
""")
    return call(base, [*GETMAIL, "-g", base / "state", "-r", rc])


def scram(user, password, say, mechanism="SCRAM-SHA-256", flag="n"):
    """RFC 5802 and 7677 by hand, as a second witness beside the libraries. say: a line out, octets in.
    flag y: channel binding is known here, but the server was not seen to offer it."""
    hash = mechanism.removeprefix("SCRAM-").replace("-", "").lower()  # sha256, sha1
    header = f"{flag},,".encode()
    nonce = secrets.token_urlsafe(18)
    first = f"n={user},r={nonce}"
    got = say(f"AUTH {mechanism} ".encode() + base64.b64encode(header + first.encode()))
    server = base64.b64decode(got[2:])
    fields = dict(x.split(b"=", 1) for x in server.split(b","))
    assert fields[b"r"].startswith(nonce.encode()) and len(fields[b"r"]) > len(nonce)
    salted = hashlib.pbkdf2_hmac(hash, password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    client_key = hmac.digest(salted, b"Client Key", hash)
    bare = b"c=" + base64.b64encode(header) + b",r=" + fields[b"r"]
    message = first.encode() + b"," + server + b"," + bare
    signature = hmac.digest(hashlib.new(hash, client_key).digest(), message, hash)
    proof = bytes(x ^ y for x, y in zip(client_key, signature))
    got = say(base64.b64encode(bare + b",p=" + base64.b64encode(proof)))
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", hash), message, hash)
    assert base64.b64decode(got[2:]) == b"v=" + base64.b64encode(verifier)
    say(b"")


def python_log_in(p, a):
    def say(line):
        p._putline(line)
        got = p._getline()[0]
        if got.startswith(b"-ERR"):
            raise poplib.error_proto(got)
        return got

    user, password = a.user.encode(), a.password.encode()
    if a.mechanism == "USER":
        p.user(a.user)
        p.pass_(a.password)
    elif a.mechanism == "APOP":
        p.apop(a.user, a.password)
    elif a.mechanism == "PLAIN":
        say(b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password))
    elif a.mechanism == "LOGIN":
        assert base64.b64decode(say(b"AUTH LOGIN")[2:]) == b"Username:"
        say(base64.b64encode(user))
        say(base64.b64encode(password))
    elif a.mechanism == "CRAM-MD5":
        challenge = base64.b64decode(say(b"AUTH CRAM-MD5")[2:])
        say(base64.b64encode(user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()))
    elif a.mechanism.startswith("SCRAM-"):
        scram(a.user, a.password, say, a.mechanism)
    elif a.mechanism == "EXTERNAL":
        say(b"AUTH EXTERNAL " + base64.b64encode(user))
    elif a.mechanism == "XOAUTH2":
        say(b"AUTH XOAUTH2")  # the two-line form
        got = say(base64.b64encode(b"user=" + user + b"\x01auth=Bearer " + password + b"\x01\x01"))
        if got.startswith(b"+ "):
            say(b"")
    else:
        assert a.mechanism == "OAUTHBEARER"
        got = say(b"AUTH OAUTHBEARER " + base64.b64encode(
            b"n,a=" + user + b",\x01auth=Bearer " + password + b"\x01\x01"))
        if got.startswith(b"+ "):
            say(base64.b64encode(b"\x01"))


def python(base, a):
    context = ssl.create_default_context(cafile=a.office.ca)
    if a.certificate:
        context.load_cert_chain(a.certificate)
    poplib._MAXLINE = 65536
    if a.tls == "pop3s":
        p = poplib.POP3_SSL("localhost", a.port, timeout=SECONDS, context=context)
    else:
        p = poplib.POP3("localhost", a.port, timeout=SECONDS)
        p.stls(context)
    try:
        python_log_in(p, a)
        out = b"\n".join(p.retr(1)[1]).decode(errors="replace")
        p.quit()
        return 0, out
    except poplib.error_proto as e:
        return 1, str(e)
    finally:
        p.close()


PERL = r"""
use strict; use Net::POP3; use Authen::SASL;
my ($host, $port, $user, $password, $mechanism, $tls, $ca, $pem) = @ARGV;
my %ssl = ($pem ? (SSL_use_cert => 1, SSL_cert_file => $pem, SSL_key_file => $pem) : (),
	SSL_ca_file => $ca, SSL_verifycn_name => 'localhost', SSL_verify_mode => 1);
my $p = Net::POP3->new($host, Port => $port, Timeout => 60, SSL => $tls eq 'pop3s', %ssl) or die "connect: $@\n";
if ($tls eq 'stls') { $p->starttls(%ssl) or die "stls: ", $p->message, "\n"; }
my $ok = $mechanism eq 'USER' ? $p->login($user, $password)
	: $mechanism eq 'APOP' ? $p->apop($user, $password)
	: $p->auth(Authen::SASL->new(mechanism => $mechanism,
		callback => {user => $user, pass => $password, authname => ''}), $user);
$ok or die "refused: ", $p->message, "\n";
print @{$p->get(1)};
$p->quit;
"""


def perl(base, a):
    script = write(base, "client.pl", PERL)
    return call(base, ["perl", script, "localhost", a.port, a.user, a.password, a.mechanism, a.tls, a.office.ca,
                       a.certificate])


def fetch(base, a):
    """Our own retriever."""
    write(base, "secret", a.password + "\n")
    token = a.mechanism in TOKENS["fetch"]
    secret = "" if a.certificate or a.ticket else \
        f"token_command = cat {base}/secret\n" if token else f"password_file = {base}/secret\n"
    key = f"certificate = {a.certificate}\nkey = {a.certificate}\n" if a.certificate else ""
    # libgssglue asks a mechanism for its names, and forgets them.
    leaks = write(base, "leaks", "leak:libgssapi_krb5\nleak:libgssglue\n")
    rc = write(base, "fetch.conf", f"""[account a]
server = localhost:{a.port}
user = {a.user}
tls = {"tls" if a.tls == "pop3s" else "stls"}
ca = {a.office.ca}
auth = {a.mechanism.lower()}
{secret}{key}deliver = maildir:{base}/box
keep = yes
""")
    return call(base, [BUILD / "restante", "fetch", "--config", rc, "--state", base / "state", "--verbose"],
                LSAN_OPTIONS=f"suppressions={leaks}:print_suppressions=0", **a.ticket)


CLIENTS = {f.__name__: f for f in (curl, mpop, fetchmail, getmail, python, perl, fetch)}

MECHANISMS = {
    "curl": ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"],
    "mpop": ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL"],
    "fetchmail": ["USER", "APOP", "CRAM-MD5"],
    "getmail": ["USER", "APOP"],
    "python": ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL"],
    "perl": ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"],
    "fetch": ["USER", "APOP", "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
              "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "EXTERNAL"],
}
# What they do not do over STLS: getmail has none, fetchmail asks for none before APOP, and our
# retriever takes no stamp that came before TLS.
NO_STLS = {("getmail", "USER"), ("getmail", "APOP"), ("fetchmail", "APOP"), ("fetch", "APOP")}
TOKENS = {"curl": ["XOAUTH2", "OAUTHBEARER"], "mpop": ["XOAUTH2", "OAUTHBEARER"],
          "python": ["XOAUTH2", "OAUTHBEARER"], "fetch": ["XOAUTH2", "OAUTHBEARER"]}
TICKETS = {"curl": ["GSSAPI"], "mpop": ["GSSAPI"], "fetchmail": ["GSSAPI"], "fetch": ["GSSAPI"]}
