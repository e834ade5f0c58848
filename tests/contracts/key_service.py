"""A key service in a process of its own: HTTPS, the transit engine's two calls, AES-256-GCM with associated data.

python key_service.py FOLDER: takes cert.pem, key.pem and token from there, prints its port, and writes down the
request lines and headers of what it was asked into FOLDER/asked.
"""

import base64
import json
import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = Path(sys.argv[1])
KEYS = {"strongroom": os.urandom(32), "other": os.urandom(32)}
TRICKS = {"redirect", "garbage", "long", "empty"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        with (FOLDER / "asked").open("a") as asked:
            asked.write(f"{self.requestline}\n{sorted(self.headers.keys())}\n")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, action, name = self.path.split("/")
        if self.headers["X-Vault-Token"] != (FOLDER / "service-token").read_text():
            self.answer(403, {"errors": ["permission denied"]})
        elif name in TRICKS:
            self.trick(name)
        elif name not in KEYS:
            self.answer(404, {"errors": []})
        else:
            self.transit(action, KEYS[name], body)

    def transit(self, action, key, body):
        context = base64.b64decode(body["associated_data"])
        if action == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(key).encrypt(nonce, base64.b64decode(body["plaintext"]), context)
            self.answer(200, {"data": {"ciphertext": f"vault:v1:{base64.b64encode(sealed).decode()}"}})
            return
        try:
            sealed = base64.b64decode(body["ciphertext"].split(":")[2])
            opened = AESGCM(key).decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            self.answer(400, {"errors": ["cipher: message authentication failed"]})
        else:
            self.answer(200, {"data": {"plaintext": base64.b64encode(opened).decode()}})

    def trick(self, name):
        if name == "redirect":
            self.send_response(307)
            self.send_header("Location", "http://localhost:1/v1/transit/encrypt/strongroom")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "long":
            self.answer(200, {"data": {"ciphertext": "x" * 200_000}})
        elif name == "empty":
            self.answer(200, {"data": {}})
        else:
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"not JSON!")

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(FOLDER / "cert.pem", FOLDER / "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
