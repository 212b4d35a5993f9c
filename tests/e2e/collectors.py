"""fetchmail, mpop and getmail6, each set up to collect one account into files."""
import os
import pathlib
import subprocess

NOBODY = 65534
GETMAIL = ("/usr/bin/python3", "-B", str(pathlib.Path(__file__).with_name("getmail_run.py")))


class Collector:
    """base: a directory of its own. run() collects once; got() is what is there by then."""
    name = ""

    def __init__(self, base, office, user, password="secret", tls="pop3s", delete=False):
        self.base, self.o = pathlib.Path(base) / f"{self.name}-{user}", office
        self.user, self.password, self.tls, self.delete = user, password, tls, delete
        self.base.mkdir(mode=0o700)
        self.box = self.base / "box"
        for part in ("new", "cur", "tmp"):
            (self.box / part).mkdir(parents=True)
        self.port = office.pop3s if tls == "pop3s" else office.pop3
        if os.geteuid() == 0:  # getmail delivers as another user than root
            self.base.chmod(0o711)
            for p in (self.box, *self.box.iterdir()):
                os.chown(p, NOBODY, -1)

    def write(self, name, text):
        path = self.base / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def run(self):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.base), "LC_ALL": "C.UTF-8",
               "FETCHMAILHOME": str(self.base), "USER": "root", "LOGNAME": "root",
               "BOX": str(self.box)}
        got = subprocess.run([str(x) for x in self.command()], env=env, cwd=self.base,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=120)
        self.output = got.stdout.decode(errors="replace")
        return got.returncode

    def got(self):
        """What was delivered, oldest first."""
        files = [p for part in ("new", "cur") for p in (self.box / part).iterdir()]
        return [p.read_bytes() for p in sorted(files, key=lambda p: (p.stat().st_mtime_ns, p.name))]


class Fetchmail(Collector):
    name = "fetchmail"
    nothing_new = 1

    def command(self):
        # A file a message; the counter keeps their order.
        mda = self.write("mda", "#!/bin/sh\nn=$(ls \"$BOX/new\" | wc -l)\n"
                         "cat > \"$BOX/new/$(printf %06d \"$n\")\"\n")
        mda.chmod(0o700)
        ssl = "ssl sslproto 'TLS1.2+'" if self.tls == "pop3s" else "sslproto 'TLS1.2+'"
        rc = self.write("fetchmailrc", f"""set no bouncemail
set invisible
poll localhost service {self.port} protocol POP3 uidl no dns bad-header accept
    user "{self.user}" password "{self.password}" {"no keep" if self.delete else "keep"}
    {ssl} sslcertck sslcertfile "{self.o.ca}"
    no rewrite pass8bits no dropstatus fetchall no stripcr
    mda "{mda}"
""".replace("fetchall", "fetchall" if self.delete else ""))
        return ["fetchmail", "-N", "-v", "-f", rc, "--pidfile", self.base / "pid", "-i",
                self.base / "ids"]


class Mpop(Collector):
    name = "mpop"
    nothing_new = 0

    def command(self):
        rc = self.write("mpoprc", f"""account a
host {self.o.host}
port {self.port}
user {self.user}
password {self.password}
auth user
tls on
tls_starttls {"off" if self.tls == "pop3s" else "on"}
tls_trust_file {self.o.ca}
keep {"off" if self.delete else "on"}
uidls_file {self.base}/uidls
received_header off
delivery maildir {self.box}
account default : a
""")
        return ["mpop", "-C", rc]


class Getmail(Collector):
    name = "getmail"
    nothing_new = 0

    def command(self):
        (self.base / "state").mkdir(exist_ok=True)
        kind = "SimplePOP3SSLRetriever" if self.tls == "pop3s" else "SimplePOP3Retriever"
        rc = self.write("getmailrc", f"""[retriever]
type = {kind}
server = {self.o.host}
port = {self.port}
username = {self.user}
password = {self.password}
{f"ca_certs = {self.o.ca}" if self.tls == "pop3s" else ""}
timeout = 60

[destination]
type = Maildir
path = {self.box}/
{"user = nobody" if os.geteuid() == 0 else ""}

[options]
read_all = false
delete = {"true" if self.delete else "false"}
delivered_to = false
received = false
verbose = 1
""")
        return [*GETMAIL, "-g", self.base / "state", "-r", rc]


ALL = (Fetchmail, Mpop, Getmail)
