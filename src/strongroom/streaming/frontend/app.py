"""The front end as an application: the original's routes, and answers that say what happened.

Everything that is refused is refused before the body is read: no certificate 401, no token 429, no place 503. What is
cancelled by its caller gives its place back at once. Source: spec `cluster-serving.md` sections 7 and 9 (D6, D12, D19).
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from strongroom.broker.web.middleware import BodyTooSlow, client_certificate_of
from strongroom.clusterserving.faults import Cancelled, Fault, ServingError, trail
from strongroom.clusterserving.values import Result
from strongroom.streaming.frontend.backends import Model, Settings
from strongroom.streaming.frontend.bucket import TokenBucket
from strongroom.streaming.frontend.metrics import CONTENT_TYPE
from strongroom.streaming.frontend.replies import (
    CLIENT_GONE,
    RETRY_AFTER_S,
    Form,
    Reply,
    failed,
    form_of,
    predictions,
    refusal,
)
from strongroom.streaming.frontend.requests import (
    Bodies,
    TooMuchAtOnce,
    WrongMediaType,
    check_head,
    idempotency_key_of,
    read_instances,
    timeout_of,
)

WELCOME: Final = b"welcome to Strongroom Cluster Serving frontend"
JSON: Final = "application/json"
_READY_FOR_S: Final = 1.0  # how long an answer of /readyz holds: whoever asks more often costs nothing
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_log: Final = logging.getLogger("strongroom.queue.frontend")

Handler = Callable[[Request], Awaitable[Response]]


class Front:
    """Routes and the little that they share: places, tokens, bytes held."""

    def __init__(self, models: Sequence[Model], settings: Settings) -> None:
        """`models`: the first is that of /predict."""
        self._models = tuple(models)
        self._settings = settings
        self._metrics = settings.metrics
        self._bucket = TokenBucket(settings.tokens_per_second) if settings.tokens_per_second else None
        self._bodies = Bodies(settings.bodies_bytes)
        self._running = 0
        self._ready: tuple[float, str | None] = (-math.inf, None)

    def application(self) -> ASGIApp:
        """Return what a web server runs."""
        predict, answers = "predict", self._counted
        return Starlette(
            routes=[
                Route("/", answers("root", self._welcome), methods=["GET"]),
                Route("/healthz", answers("healthz", self._healthz), methods=["GET"]),
                Route("/readyz", answers("readyz", self._readyz), methods=["GET"]),
                Route("/metrics", answers("metrics", self._show_metrics), methods=["GET"]),
                Route("/predict", answers(predict, self._predict), methods=["POST"]),
                Route("/model-secure", answers("model-secure", self._gone), methods=["GET", "POST", "PUT", "DELETE"]),
                Route("/models", answers("models", self._list), methods=["GET"]),
                Route("/models/{model}", answers("models", self._list), methods=["GET"]),
                Route("/models/{model}/versions/{version}", answers("models", self._list), methods=["GET"]),
                Route("/models/{model}/versions/{version}/predict", answers(predict, self._predict), methods=["POST"]),
            ],
            exception_handlers={HTTPException: self._no_route},  # type: ignore[dict-item]  # Starlette's own types
        )

    def _counted(self, route: str, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            if self._lacks_certificate(request):
                reply = _said(401, str(Fault.UNAUTHORIZED), "a client certificate is needed", request)
                self._metrics.answered(route, reply.status)
                return _response(reply, request)
            try:
                response = await handler(request)
            except Exception as problem:  # noqa: BLE001  # the last door: the caller gets an id, the log has the rest
                code = secrets.token_hex(8)
                _log.error("%s: a defect while answering %s: %s", code, route, trail(problem))
                response = _response(
                    _said(500, str(Fault.INTERNAL), f"the front end failed; its log: {code}", request), request
                )
            self._metrics.answered(route, response.status_code)
            return response

        return answer

    def _lacks_certificate(self, request: Request) -> bool:
        wanted = self._settings.client_certificates and request.url.path not in _OPEN
        return wanted and client_certificate_of(request.scope) is None

    async def _welcome(self, _: Request) -> Response:
        return Response(WELCOME, media_type="text/plain")

    async def _healthz(self, _: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type=JSON)

    async def _readyz(self, _: Request) -> Response:
        reason = await self._not_ready_reason()
        if reason is None:
            return Response(b'{"status":"ready"}', media_type=JSON)
        error = {"status": "not ready", "error": {"code": str(Fault.NOT_READY), "message": reason}}
        return Response(orjson.dumps(error), 503, {"retry-after": str(RETRY_AFTER_S)}, media_type=JSON)

    async def _not_ready_reason(self) -> str | None:
        asked_s, reason = self._ready
        if time.monotonic() - asked_s > _READY_FOR_S:
            found = await asyncio.gather(*(each.backend.not_ready_reason() for each in self._models))
            reason = next((each for each in found if each is not None), None)
            self._ready = time.monotonic(), reason
        return reason

    async def _show_metrics(self, request: Request) -> Response:
        with self._metrics.timed("request.metrics"):
            if request.query_params.get("format") == "json":
                return Response(self._metrics.timers(), media_type=JSON)
            return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _gone(self, request: Request) -> Response:
        message = "keys never travel through here: workers get them from the key broker, after attestation"
        return _response(_said(410, "gone", message, request), request)

    async def _list(self, request: Request) -> Response:
        name, version = request.path_params.get("model"), request.path_params.get("version")
        timer = "retrive.servables" if name is None else "retrive.servable"
        with self._metrics.timed(timer):
            found = [each.metadata for each in self._models if _is(each, name, version)]
        if not found and name is not None:
            return _response(_said(404, "not_found", "Model Not Found", request), request)
        return Response(orjson.dumps(found[0] if version is not None else found), media_type=JSON)

    async def _predict(self, request: Request) -> Response:
        began = time.perf_counter()
        reply = await self._answer(request)
        self._metrics.took("request.overall", time.perf_counter() - began)
        return _response(reply, request)

    async def _answer(self, request: Request) -> Reply:
        form = form_of(request.query_params.get("format"), request.headers.get("accept", ""))
        if form is None:
            return refusal(400, str(Fault.BAD_RECORD), "format is default, legacy or legacy-map", Form.DEFAULT)
        model = self._model(request)
        if model is None:
            return refusal(404, "not_found", "Model Not Found", form)
        if self._running >= self._settings.parallelism:
            self._metrics.limited("busy")
            text = f"{self._running} requests are being answered, which is the most"
            return refusal(503, str(Fault.QUEUE_FULL), text, form, retry_after_s=RETRY_AFTER_S)
        self._running += 1
        self._metrics.running(self._running)
        try:
            return await self._limited(model, form) or await self._worked(request, model, form)
        finally:
            self._running -= 1
            self._metrics.running(self._running)

    async def _limited(self, model: Model, form: Form) -> Reply | None:
        """Return why a request is turned away unread, or wait for its token and return None."""
        for bucket in (self._bucket, model.bucket):
            wait_s = bucket.take(time.monotonic(), patience_s=self._settings.patience_s) if bucket else 0.0
            if wait_s > self._settings.patience_s:
                self._metrics.limited("rate")
                text = "more requests in this second than are let through"
                return refusal(429, str(Fault.QUEUE_FULL), text, form, retry_after_s=math.ceil(wait_s))
            if wait_s:
                await asyncio.sleep(wait_s)
        return None

    async def _worked(self, request: Request, model: Model, form: Form) -> Reply:
        try:
            results = await self._results(request, model)
        except ServingError as problem:
            self._metrics.instance(str(problem.fault))
            return failed(problem, form)
        except WrongMediaType as problem:
            return refusal(415, str(Fault.UNSUPPORTED_SERDE), problem.sentence, form)
        except BodyTooSlow as problem:
            return refusal(408, str(Fault.BAD_RECORD), problem.sentence, form)
        except TooMuchAtOnce as problem:
            self._metrics.limited("memory")
            return refusal(503, str(Fault.QUEUE_FULL), problem.sentence, form, retry_after_s=RETRY_AFTER_S)
        except ClientDisconnect:
            return refusal(CLIENT_GONE, str(Fault.CANCELLED), "the caller has left", form)
        with self._metrics.timed("response.handling"):
            for each in results:
                self._metrics.instance("ok" if each.error is None else str(each.error.fault))
            return predictions(results, form)

    async def _results(self, request: Request, model: Model) -> list[Result]:
        check_head(request)
        timeout_s = timeout_of(request, self._settings.timeout_s)
        key = idempotency_key_of(request)
        ends = time.monotonic() + timeout_s
        with self._metrics.timed("activity.make"):
            instances = await read_instances(request, self._bodies, most=self._settings.body_bytes)
        with self._metrics.timed("request.predict"), self._metrics.timed("backend.inference"):
            left_s = max(0.001, ends - time.monotonic())
            work = model.backend.predict(instances, timeout_s=left_s, idempotency_key=key)
            return await _unless_gone(work, request)

    def _model(self, request: Request) -> Model | None:
        name, version = request.path_params.get("model"), request.path_params.get("version")
        with self._metrics.timed("retrive.servable"):
            return next((each for each in self._models if _is(each, name, version)), None)

    async def _no_route(self, request: Request, problem: HTTPException) -> Response:
        word = {404: "not_found", 405: "method_not_allowed"}.get(problem.status_code, str(Fault.BAD_RECORD))
        self._metrics.answered("none", problem.status_code)
        said = HTTPStatus(problem.status_code).phrase
        response = _response(_said(problem.status_code, word, said, request), request)
        response.headers.update(problem.headers or {})
        return response


async def _unless_gone(work: Awaitable[list[Result]], request: Request) -> list[Result]:
    """Return what `work` gives; cancel it as soon as the caller has left. Raises Cancelled then."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        _log.info("a caller left before the result; its request is cancelled")
        raise Cancelled("the caller has left")
    finally:
        for each in (working, leaving):
            each.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is(model: Model, name: str | None, version: str | None) -> bool:
    found = model.servable
    return name in {None, found.name} and version in {None, found.version}


def _said(status: int, word: str, message: str, request: Request) -> Reply:
    form = form_of(request.query_params.get("format"), request.headers.get("accept", "")) or Form.DEFAULT
    return refusal(status, word, message, form)


def _response(reply: Reply, request: Request) -> Response:
    headers = {} if reply.retry_after_s is None else {"retry-after": str(reply.retry_after_s)}
    if reply.status >= HTTPStatus.BAD_REQUEST and _long_body(request):
        headers["connection"] = "close"  # what was not read of it is not waited for
    return Response(reply.body, reply.status, headers, media_type=JSON)


def _long_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or not length.isdigit() or len(length) > 5
