"""An identity provider on loopback, for tests: keys, tokens, their set, introspection.

    with Provider(base) as p:        https://localhost:PORT, its CA in p.ca
        token = p.token(email="anna@example.test")
"""
import base64
import http.server
import json
import ssl
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fetch_dovecot import free_port, make_certificates

ISSUER, AUDIENCE = "https://login.example.test/", "pop3.example.test"


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def number(n, size=None):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big")).decode()


class Key:
    """algorithm: RS256, PS256, ES256 or EdDSA."""

    def __init__(self, algorithm, kid, bits=2048):
        self.algorithm, self.kid = algorithm, kid
        self.key = {"RS256": lambda: rsa.generate_private_key(65537, bits),
                    "PS256": lambda: rsa.generate_private_key(65537, bits),
                    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
                    "EdDSA": ed25519.Ed25519PrivateKey.generate}[algorithm]()

    def jwk(self, **more):
        public = self.key.public_key()
        if self.algorithm in ("RS256", "PS256"):
            n = public.public_numbers()
            form = {"kty": "RSA", "n": number(n.n), "e": number(n.e)}
        elif self.algorithm == "ES256":
            n = public.public_numbers()
            form = {"kty": "EC", "crv": "P-256", "x": number(n.x, 32), "y": number(n.y, 32)}
        else:
            raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            form = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw).decode()}
        return {**form, "kid": self.kid, "use": "sig", **more}

    def sign(self, text):
        if self.algorithm == "RS256":
            return self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        if self.algorithm == "PS256":
            return self.key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                                 hashes.SHA256())
        if self.algorithm == "ES256":
            r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.key.sign(text)

    def token(self, claims, header=None):
        """claims: a dict, or the octets that stand for one."""
        head = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **(header or {})}
        head = {k: v for k, v in head.items() if v is not None}
        body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        text = b64(json.dumps(head).encode()) + b"." + b64(body)
        return text + b"." + b64(self.sign(text))


def claims(**more):
    """Good ones; a value of None takes a claim away."""
    now = int(time.time())
    all = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 600,
           "sub": "4711", "email": "anna@example.test", "scope": "openid pop3", **more}
    return {k: v for k, v in all.items() if v is not None}


class Provider:
    """keys: those of its set. introspected: token -> claims. Either may be changed."""

    def __init__(self, base, tls=True):
        self.base, self.tls, self.port = base, tls, free_port()
        if tls and not (base / "ca.pem").exists():
            make_certificates(base)
        self.ca = base / "ca.pem"
        self.keys = [Key("ES256", "first")]
        self.introspected, self.seen = {}, []
        self.answer = None  # (status, body) for everything, in place of what is right
        self.delay = None   # an Event that answers wait for
        self.server = None

    def url(self, path):
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}{path}"

    def token(self, **more):
        return self.keys[0].token(claims(**more))

    def jwks(self):
        return json.dumps({"keys": [k.jwk() for k in self.keys]})

    def asked(self, path):
        return sum(1 for p, *_ in self.seen if p == path)

    def start(self):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self, status, body, **fields):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                provider.seen.append((self.path, self.headers.get("Authorization"), ""))
                if provider.delay:
                    provider.delay.wait(60)
                if self.path == "/moved":
                    self.reply(302, b"", Location=provider.url("/keys"))
                elif provider.answer:
                    self.reply(*provider.answer)
                else:
                    self.reply(200, provider.jwks().encode())

            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.seen.append((self.path, self.headers.get("Authorization"), form))
                if provider.answer:
                    self.reply(*provider.answer)
                    return
                token = urllib.parse.parse_qs(form)["token"][0]
                found = provider.introspected.get(token, {"active": False})
                self.reply(200, json.dumps(found).encode())

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.base / "server.pem", self.base / "server.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.server = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
