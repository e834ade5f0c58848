"""Real HTTPS and gRPC servers whose answers a test chooses, and certificates for both sides."""

import concurrent.futures
import http.server
import ssl
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import grpc
import pytest

from strongroom.pki.authority import Authority
from strongroom.tfserving import messages
from strongroom.tfserving.tensors import array_to_tensor, tensor_to_array

UNKNOWN = "Servable not found for request: Latest(other)"


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


class Model:
    """Doubles `x`; answers for the name m alone."""

    def predict(self, data, context):
        request = messages.PredictRequest.FromString(data)
        self.check(request.model_spec.name, context)
        response = messages.PredictResponse()
        response.model_spec.version.value = request.model_spec.version.value or 3
        doubled = 2 * tensor_to_array(request.inputs["x"])
        response.outputs["y"].CopyFrom(array_to_tensor(doubled))
        return response.SerializeToString()

    def metadata(self, data, context):
        request = messages.GetModelMetadataRequest.FromString(data)
        self.check(request.model_spec.name, context)
        listed = messages.SignatureDefMap()
        for side, alias in (("inputs", "x"), ("outputs", "y")):
            info = getattr(listed.signature_def["serving_default"], side)[alias]
            info.dtype = 1
            info.tensor_shape.dim.add().size = -1
        response = messages.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = "m", 3
        packed = response.metadata["signature_def"]
        packed.type_url, packed.value = messages.SIGNATURE_DEF_TYPE_URL, listed.SerializeToString()
        return response.SerializeToString()

    def status(self, data, context):
        self.check(messages.GetModelStatusRequest.FromString(data).model_spec.name, context)
        response = messages.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=30)
        return response.SerializeToString()

    def check(self, name, context):
        if name == "other":
            context.abort(grpc.StatusCode.NOT_FOUND, UNKNOWN)


@pytest.fixture
def grpc_server(tls):
    """Return a function that starts a gRPC server and gives its address."""
    running = []

    def start(*, mutual=False, plain=False, predict=None, options=()):
        model = Model()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=options)
        paths = {messages.PREDICT: predict or model.predict, messages.GET_MODEL_METADATA: model.metadata,
                 messages.GET_MODEL_STATUS: model.status}  # fmt: skip
        for path, handle in paths.items():
            _, service, method = path.split("/")
            methods = {method: grpc.unary_unary_rpc_method_handler(handle)}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        credentials = grpc.ssl_server_credentials(
            [(tls.server_key.read_bytes(), tls.server.read_bytes())],
            root_certificates=tls.ca.read_bytes() if mutual else None,
            require_client_auth=mutual,
        )
        port = server.add_insecure_port("127.0.0.1:0") if plain else server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        running.append(server)
        return SimpleNamespace(url=f"grpc{'' if plain else 's'}://localhost:{port}", port=port)

    yield start
    for server in running:
        server.stop(0).wait()
