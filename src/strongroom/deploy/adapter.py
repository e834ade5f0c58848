"""The external-metrics adapter: how busy the replicas are, as an autoscaler of Kubernetes asks for it.

It answers external.metrics.k8s.io/v1beta1 to the API server alone, which has to prove itself with its front-proxy
certificate; a kubelet may ask whether it is alive and ready. Its own certificate is made at every start, in memory, and
its CA is written into the APIService by the adapter itself, so no key is in any object (decision 22).
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from strongroom.broker.web.middleware import client_certificate_of
from strongroom.broker.web.server import WebLimits, WebServer, tls_context
from strongroom.deploy.adapter_cluster import Cluster, FrontProxy
from strongroom.deploy.adapter_sources import MetricUnknown, Source
from strongroom.errors import StrongroomError, Unreachable
from strongroom.pki import Authority
from strongroom.pki.authority import Leaf
from strongroom.pki.lending import as_path
from strongroom.secret import Secret

GROUP: Final = "external.metrics.k8s.io"
VERSION: Final = "v1beta1"
PREFIX: Final = f"/apis/{GROUP}/{VERSION}"
FRESH_S: Final = 3.0  # a value that young is given again
CHECK_S: Final = 60.0  # how often the API server is asked whether all is as it was
SOON_S: Final = 2.0  # and how often until it has answered once
RENEW_AFTER: Final = timedelta(days=45)  # half of a certificate's time
_CA_NAME: Final = "Strongroom metrics adapter"
_LABEL: Final = re.compile(r"\s*([A-Za-z0-9._/-]{1,317})\s*==?\s*([A-Za-z0-9._-]{0,63})\s*")
_log: Final = logging.getLogger("strongroom.deploy.adapter")


class FrontProxyChanged(Unreachable):
    """The API server got another front-proxy CA; the adapter ends, and starts again with that one."""

    code = "SR-ADAPTER-FRONT-PROXY"
    fix = "Nothing: Kubernetes starts the adapter again."


@dataclass(frozen=True, slots=True)
class _Reading:
    value: float
    at: float  # by the monotonic clock
    time: datetime


@dataclass(slots=True, kw_only=True)
class Adapter:
    """What is answered, and to whom."""

    deployment: str
    namespace: str
    sources: Mapping[str, Source]
    front_proxy: FrontProxy
    waiting_for: str | None = "the API server to know this adapter's certificate"
    _kept: dict[str, _Reading] = field(default_factory=dict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def application(self) -> Starlette:
        """Return the HTTP application."""
        return Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route(PREFIX, self._guarded(self._discovery)),
                Route(f"{PREFIX}/namespaces/{{namespace}}/{{metric}}", self._guarded(self._values)),
            ]
        )

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        if self.waiting_for is not None:
            return PlainTextResponse(f"waiting for {self.waiting_for}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return PlainTextResponse("ready\n")

    def _guarded(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Let only the API server through; it has asked its own rules who may read metrics."""

        async def check(request: Request) -> Response:
            if not self.front_proxy.admits(client_certificate_of(request.scope)):
                return failure(HTTPStatus.UNAUTHORIZED, "Unauthorized", "ask the API server")
            found: Response = await answer(request)
            return found

        return check

    async def _discovery(self, _: Request) -> Response:
        listed = [
            {"name": name, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            for name in self.sources
        ]
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}"}
        return JSONResponse({**head, "resources": listed})

    async def _values(self, request: Request) -> Response:
        metric = request.path_params["metric"]
        labels = {"deployment": self.deployment}
        wanted = labels_of(request.query_params.get("labelSelector", ""))
        if metric not in self.sources:
            return failure(HTTPStatus.NOT_FOUND, "NotFound", "there is no such metric")
        if wanted is None:
            return failure(HTTPStatus.BAD_REQUEST, "BadRequest", "a label selector of NAME=VALUE is understood")
        if request.path_params["namespace"] != self.namespace or any(labels.get(k) != v for k, v in wanted.items()):
            return JSONResponse(value_list(()))
        try:
            value, at = await self._value(self.sources[metric])
        except MetricUnknown as problem:
            return failure(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", problem.sentence)
        item = {"metricName": metric, "metricLabels": labels, "timestamp": at, "value": quantity(value)}
        return JSONResponse(value_list((item,)))

    async def _value(self, source: Source) -> tuple[float, str]:
        async with self._reading:
            kept = self._kept.get(source.metric)
            if kept is None or time.monotonic() - kept.at > FRESH_S:
                value = await asyncio.to_thread(source.read)
                kept = self._kept[source.metric] = _Reading(value, time.monotonic(), datetime.now(UTC))
        return kept.value, kept.time.strftime("%Y-%m-%dT%H:%M:%SZ")


def value_list(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an ExternalMetricValueList."""
    head = {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}}
    return {**head, "items": list(items)}


def failure(status: HTTPStatus, reason: str, message: str) -> JSONResponse:
    """Return a Status, as the API server passes it on."""
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return JSONResponse({**head, "message": message, "reason": reason, "code": int(status)}, status)


def quantity(value: float) -> str:
    """Return a number as Kubernetes writes quantities: whole, or in thousandths."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


def labels_of(selector: str) -> dict[str, str] | None:
    """Return the labels of NAME=VALUE,…; None for anything else."""
    found = {}
    for part in selector[:1024].split(",") if selector else ():
        match = _LABEL.fullmatch(part)
        if match is None:
            return None
        found[match[1]] = match[2]
    return found


class Certificates:
    """A CA made at start, which lives as long as the process, and a leaf that is renewed under it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._authority = names, Authority.create(_CA_NAME, now=datetime.now(UTC))
        self._leaf, self._made_at = self._issue()

    @property
    def ca_pem(self) -> bytes:
        """By what the API server is to know us."""
        return self._authority.certificate_pem

    def context(self, front_proxy: FrontProxy) -> ssl.SSLContext:
        """Return the context of our port, where the API server shows its certificate."""
        return tls_context(self._leaf.certificate_pem, self._leaf.key_pem, client_ca_pem=front_proxy.ca_pem)

    def renew(self, context: ssl.SSLContext, now: datetime) -> bool:
        """Put a fresh leaf into a context whose leaf has half of its time behind it; return whether."""
        if now - self._made_at < RENEW_AFTER:
            return False
        self._leaf, self._made_at = self._issue()
        with as_path(Secret(self._leaf.certificate_pem)) as chain, as_path(self._leaf.key_pem) as key:
            context.load_cert_chain(chain, key)
        return True

    def _issue(self) -> tuple[Leaf, datetime]:
        now = datetime.now(UTC)
        return self._authority.issue_server(self._names, now=now), now


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the adapter is called, and where it listens."""

    deployment: str  # whose replicas it counts: the label of its metrics
    service: str
    namespace: str
    address: str = "0.0.0.0"  # noqa: S104  # only the API server is answered
    port: int = 6443


def serve(place: Place, cluster: Cluster, sources: Sequence[Source], *, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the port once it listens.

    Raises NotInACluster, ApiServerUnusable, FrontProxyChanged, or OSError for the port.
    """
    asyncio.run(_serve(place, cluster, sources, ready))


async def _serve(place: Place, cluster: Cluster, sources: Sequence[Source], ready: Callable[[int], None]) -> None:
    front_proxy = await asyncio.to_thread(cluster.front_proxy)
    certificates = Certificates([f"{place.service}.{place.namespace}.svc", f"{place.service}.{place.namespace}"])
    adapter = Adapter(
        deployment=place.deployment, namespace=place.namespace, front_proxy=front_proxy,
        sources={each.metric: each for each in sources},
    )  # fmt: skip
    context = certificates.context(front_proxy)
    limits = WebLimits(connections=128, connections_per_address=128, body_bytes=1024)
    server = WebServer(adapter.application(), context, name="metrics adapter", limits=limits)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ready(await server.start(place.address, place.port))
    keeping = asyncio.create_task(_keep(adapter, place, cluster, certificates, context))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
    finally:
        keeping.cancel()
        stopping.cancel()
        await asyncio.gather(keeping, stopping, return_exceptions=True)
        await server.stop()


async def _keep(
    adapter: Adapter, place: Place, cluster: Cluster, certificates: Certificates, context: ssl.SSLContext
) -> None:
    """Keep the API server's knowledge of us, and ours of it, as they are."""
    while True:
        try:
            await asyncio.to_thread(_check, adapter, place, cluster, certificates)
        except FrontProxyChanged:
            raise
        except StrongroomError as problem:
            _log.warning("%s [%s]", problem.sentence, problem.code)
            if adapter.waiting_for is not None:
                adapter.waiting_for = problem.sentence
        else:
            adapter.waiting_for = None
        if certificates.renew(context, datetime.now(UTC)):
            _log.info("renewed this adapter's certificate")
        await asyncio.sleep(CHECK_S if adapter.waiting_for is None else SOON_S)


def _check(adapter: Adapter, place: Place, cluster: Cluster, certificates: Certificates) -> None:
    if cluster.front_proxy() != adapter.front_proxy:
        raise FrontProxyChanged("the API server's front-proxy CA has changed")
    if cluster.publish(certificates.ca_pem, service=place.service, namespace=place.namespace):
        _log.info("the API server knows this adapter's certificate now")
