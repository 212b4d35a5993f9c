"""The client's side of Kerberos, for tests: run with a ticket in its environment.

    kerberos_client.py kpop SERVICE HOST [plain]      AP-REQ out; AP-REP in; "ok" or "bad"
    kerberos_client.py gssapi SERVICE HOST [AUTHZID]  GNU SASL's client, a line a step

Octets travel as lines in base64; the Ticket class talks with such a process.
"""
import base64
import ctypes
import subprocess
import sys

MUTUAL = 0x20000000
OK, NEEDS_MORE = 0, 1
AUTHZID, SERVICE, HOSTNAME = 2, 5, 6


class Data(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_int), ("length", ctypes.c_uint), ("data", ctypes.c_void_p)]


def say(text):
    print(text, flush=True)


def kpop(service, host, plain=""):
    k = ctypes.CDLL("libkrb5.so.3")
    context, auth, cache = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    assert k.krb5_init_context(ctypes.byref(context)) == 0
    assert k.krb5_cc_default(context, ctypes.byref(cache)) == 0
    out = Data()
    e = k.krb5_mk_req(context, ctypes.byref(auth), 0 if plain else MUTUAL, service.encode(),
                      host.encode(), None, cache, ctypes.byref(out))
    assert e == 0, e
    say(base64.b64encode(ctypes.string_at(out.data, out.length)).decode())
    got = base64.b64decode(sys.stdin.readline())
    room = ctypes.create_string_buffer(got, len(got))
    reply, into = Data(0, len(got), ctypes.cast(room, ctypes.c_void_p)), ctypes.c_void_p()
    say("ok" if k.krb5_rd_rep(context, auth, ctypes.byref(reply), ctypes.byref(into)) == 0 else "bad")


def gssapi(service, host, authzid=""):
    g = ctypes.CDLL("libgsasl.so.18")
    library, session, out = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_char_p()
    assert g.gsasl_init(ctypes.byref(library)) == OK
    assert g.gsasl_client_start(library, b"GSSAPI", ctypes.byref(session)) == OK
    for property, value in ((SERVICE, service), (HOSTNAME, host), (AUTHZID, authzid)):
        if value:
            assert g.gsasl_property_set(session, property, value.encode()) == OK
    given = b""
    while True:
        e = g.gsasl_step64(session, given, ctypes.byref(out))
        if e not in (OK, NEEDS_MORE):
            say("error %d" % e)
            return
        say(out.value.decode())
        line = sys.stdin.readline()
        if not line:
            return
        given = line.strip().encode()


class Ticket:
    """A client process; env as Realm.ticket gives it."""

    def __init__(self, env, kind, *arguments):
        self.process = subprocess.Popen(["/usr/bin/python3", __file__, kind, *arguments], env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().strip()

    def octets(self):
        text = self.line()
        assert " " not in text, text
        return base64.b64decode(text)

    def give(self, octets):
        self.process.stdin.write(base64.b64encode(octets).decode() + "\n")
        self.process.stdin.flush()

    def done(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


if __name__ == "__main__":
    {"kpop": kpop, "gssapi": gssapi}[sys.argv[1]](*sys.argv[2:])
