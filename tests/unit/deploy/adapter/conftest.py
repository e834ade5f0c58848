"""A cluster in small: an API server with its certificates, and replicas at addresses of their own."""

import asyncio
import contextlib
import json
import threading
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from strongroom.broker.web.server import WebServer, tls_context
from strongroom.deploy.adapter_cluster import API_SERVICE, Cluster
from strongroom.pki import Authority
from strongroom.serving.fronts.health_port import health_port
from strongroom.serving.operations.load import Load
from strongroom.serving.operations.readiness import Readiness

NOW = datetime.now(UTC)


class Loop:
    """An event loop in a thread, for servers that a test asks from its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.servers = []

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def serve(self, application, context, address="127.0.0.1", port=0):
        async def start():
            server = WebServer(application, context, name="test")
            self.servers.append(server)
            return await server.start(address, port)

        return self.run(start())

    def close(self):
        for server in self.servers:
            self.run(server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def loop():
    found = Loop()
    yield found
    found.close()


@pytest.fixture(scope="session")
def authority():
    """Return the CA of the API server's own port."""
    return Authority.create("test", now=NOW)


@pytest.fixture(scope="session")
def front_proxy():
    """Return the CA of the API server's front-proxy certificates."""
    return Authority.create("front proxy", now=NOW)


class ApiServer:
    """The two things the adapter asks for; what it changed is kept."""

    def __init__(self, front_proxy_ca):
        self.token, self.seen = "first", []
        self.service = {"name": "serving-metrics-adapter", "namespace": "serving", "port": 443}
        self.spec = {"service": self.service}
        self.data = {
            "requestheader-client-ca-file": front_proxy_ca.decode(),
            "requestheader-allowed-names": '["front-proxy-client"]',
        }
        self.status = 200
        self.changed = threading.Event()

    def application(self):
        async def authentication(request):
            return self.answer(request, {"data": self.data})

        async def api_service(request):
            if request.method == "PATCH":
                assert request.headers["content-type"] == "application/merge-patch+json"
                self.spec.update(json.loads(await request.body())["spec"])
                self.changed.set()
            return self.answer(request, {"spec": self.spec})

        return Starlette(
            routes=[
                Route("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", authentication),
                Route(f"/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}", api_service,
                      methods=["GET", "PATCH"]),
            ]
        )  # fmt: skip

    def answer(self, request, value):
        self.seen.append((request.method, request.headers.get("authorization")))
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({}, 401)
        return JSONResponse(value, self.status)


@pytest.fixture
def api_server(front_proxy):
    return ApiServer(front_proxy.certificate_pem)


@pytest.fixture
def account(tmp_path, authority):
    """Return the folder that Kubernetes mounts into a pod."""
    (tmp_path / "token").write_text("first")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    return tmp_path


@pytest.fixture
def cluster(loop, api_server, authority, account):
    leaf = authority.issue_server(["127.0.0.1"], now=NOW)
    port = loop.serve(api_server.application(), tls_context(leaf.certificate_pem, leaf.key_pem))
    return Cluster(url=f"https://127.0.0.1:{port}", ca_pem=authority.certificate_pem, token_file=account / "token")


@pytest.fixture
def replicas(loop):
    """Start replicas that answer with these at 127.0.0.1, 127.0.0.2 …; return their port and addresses.

    A number is what a real health port says, bytes are sent as they are, and None listens nowhere.
    """
    running = contextlib.AsyncExitStack()

    async def listen(said, address, port):
        if not isinstance(said, bytes):
            return await running.enter_async_context(health_port(address, port, Readiness(), Load(lambda: said)))

        async def answer(reader, writer):
            with contextlib.suppress(ConnectionError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(said)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, address, port)
        running.push_async_callback(server.wait_closed)
        running.callback(server.close)
        return server.sockets[0].getsockname()[1]

    def start(*all_said):
        addresses, port = tuple(f"127.0.0.{index + 1}" for index in range(len(all_said))), 0
        for said, address in zip(all_said, addresses, strict=True):
            if said is not None:
                port = loop.run(listen(said, address, port))
        return port, addresses

    yield start
    loop.run(running.aclose())


@pytest.fixture
def written():
    """Lend certificates and keys as files, as ssl wants them."""
    with contextlib.ExitStack() as stack:
        from strongroom.pki.lending import as_path

        yield lambda secret: stack.enter_context(as_path(secret))
