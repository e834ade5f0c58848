"""A real HTTPS server whose answers a test chooses, and certificates for both sides."""

import http.server
import ssl
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from strongroom.pki.authority import Authority


def write(path, data):
    path.write_bytes(data)
    return path


def write_leaf(folder, name, leaf):
    with leaf.key_pem.reveal() as raw:
        return write(folder / f"{name}.pem", leaf.certificate_pem), write(folder / f"{name}.key", raw)


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """Files of a small owner: a CA, a server and a client certificate, and a stranger's CA with a client of its own."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority, stranger = Authority.create("Test CA", now=now), Authority.create("Stranger", now=now)
    server, server_key = write_leaf(folder, "server", authority.issue_server(["localhost", "127.0.0.1"], now=now))
    named, named_key = write_leaf(folder, "named", authority.issue_server(["replica.example"], now=now))
    client, client_key = write_leaf(folder, "client", authority.issue_client("client.example", now=now))
    other, other_key = write_leaf(folder, "other", stranger.issue_client("client.example", now=now))
    return SimpleNamespace(
        ca=write(folder / "ca.pem", authority.certificate_pem),
        stranger_ca=write(folder / "stranger.pem", stranger.certificate_pem),
        server=server, server_key=server_key, named=named, named_key=named_key,
        client=client, client_key=client_key, other_client=other, other_client_key=other_key,
    )  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, body))
        code, data = self.server.reply(self, body)
        if code is None:  # the test writes raw bytes, or nothing at all
            self.close_connection = True
            self.wfile.write(data)
            return
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer  # noqa: N815  # names of the base class

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing: tests provoke broken handshakes."""

    def get_request(self):
        raw, peer = self.socket.accept()
        raw.settimeout(10)
        return raw, peer

    def finish_request(self, request, client_address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()


@pytest.fixture
def serve(tls):
    """Return a function that starts a server: `reply(handler, body) -> (status, bytes)`; it stops with the test."""
    running = []

    def start(reply, *, mutual=False, plain=False, certificate=None):
        server = Server(("127.0.0.1", 0), Handler)
        server.reply, server.seen, server.context = reply, [], None
        if not plain:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(*(certificate or (tls.server, tls.server_key)))
            if mutual:
                server.context.verify_mode = ssl.CERT_REQUIRED
                server.context.load_verify_locations(tls.ca)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        port = server.server_address[1]
        return SimpleNamespace(url=f"http{'' if plain else 's'}://localhost:{port}", port=port, seen=server.seen)

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()
