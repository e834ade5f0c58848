"""What each REST path answers: TensorFlow Serving's, and Strongroom's own health and evidence.

Source: spec `model-server.md` section 4; texts and patterns are part of the interface.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final
from urllib.parse import unquote_to_bytes

import httptools

from strongroom.errors import StrongroomError
from strongroom.serving.fronts.rest_front import Answer
from strongroom.serving.http1 import Refusal, Request, plain_body
from strongroom.serving.operations.evidence import Evidence
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.operator_routes import Operations
from strongroom.serving.requests.dataplane import Dataplane, Query
from strongroom.serving.requests.rest_inference import RestInference
from strongroom.serving.status import BadRequest, code_of, details, peers_view
from strongroom.tfserving.codes import Code
from strongroom.tfserving.json_fast import FastJson
from strongroom.tfserving.json_models import metadata_json, status_json
from strongroom.tfserving.json_response import NonFinite

_WHICH: Final = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST: Final = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<verb>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_GET: Final = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<what>metadata))?", re.IGNORECASE | re.ASCII)
_OURS: Final = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TEXT: Final = "text/plain"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_INT64_STOP: Final = 2**63
ENTRYPOINT: Final = "REST"
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRoutes:
    """Answers requests; `timeout_s` is the run deadline, `max_body_bytes` also limits what gzip expands to."""

    dataplane: Dataplane
    operations: Operations
    timeout_s: float
    max_body_bytes: int
    cors: bool = False
    evidence: Evidence | None = None
    metrics: Metrics = field(default_factory=Metrics)
    nan: NonFinite = NonFinite.TOKEN
    fast: FastJson = field(default_factory=FastJson)

    async def answer(self, request: Request) -> Answer:
        """Return the answer to any request; never raises, but for cancellation."""
        try:
            made = await self._route(request)
        except StrongroomError as problem:
            made = _error(code_of(problem).http, peers_view(problem))
        except Exception:  # noqa: BLE001  # a defect of ours: the peer learns that much, the log the rest
            _log.exception("a REST request failed in an unforeseen way")
            made = _error(500, "internal error")
        if self.cors:
            return Answer(made.status, made.body, made.content_type, {**made.headers, **_CORS})
        return made

    async def _route(self, request: Request) -> Answer:
        path, query = _split_target(request.target)
        if answer := self.operations.answer(request.method, path):
            return answer
        if _OURS.fullmatch(path):
            if self.cors and request.method == "OPTIONS":
                origin = request.headers.get("origin", "")
                return Answer(200) if "http://" in origin or "https://" in origin else Answer(400)
            return await self._serving(request, path)
        if request.method in {"GET", "HEAD"} and path == "/strongroom/v1/evidence" and self.evidence is not None:
            return _json(await self.evidence.answer(query[6:] if query.startswith("nonce=") else ""))
        return Answer(404, b"Not Found\n", _TEXT)

    async def _serving(self, request: Request, path: str) -> Answer:
        """Answer a path of TensorFlow Serving's, and count how it ended."""
        seen = _Seen()
        try:
            answer = await self._dispatch(request, path, seen)
        except StrongroomError as problem:
            seen.code = code_of(problem)
            answer = _error(seen.code.http, peers_view(problem))
        except Exception:
            self.metrics.count_request(seen.model, Code.INTERNAL)
            raise
        self.metrics.count_request(seen.model, seen.code)
        if seen.code is Code.OK:
            self.metrics.observe_request(seen.model, seen.verb, ENTRYPOINT, (perf_counter() - seen.began) * 1e6)
        return answer

    async def _dispatch(self, request: Request, path: str, seen: _Seen) -> Answer:
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            query = seen.query_of(match)
            if not query.name:
                raise BadRequest("Missing model name in request.")
            return self._describe(query, metadata=match["what"] == "metadata")
        if request.method == "POST" and (match := _POST.fullmatch(path)):
            query = seen.query_of(match)
            if match["verb"].islower():
                seen.verb = match["verb"]
                raw = plain_body(request, max_bytes=self.max_body_bytes)
                if isinstance(raw, Refusal):
                    seen.code = Code.INVALID_ARGUMENT
                    return _error(raw.status, raw.sentence)
                return _text(await self._inference.answer(seen.verb, query, raw))
        raise BadRequest(f"Malformed request: {request.method} {path}")

    @property
    def _inference(self) -> RestInference:
        return RestInference(
            dataplane=self.dataplane, metrics=self.metrics, timeout_s=self.timeout_s, nan=self.nan, fast=self.fast
        )

    def _describe(self, query: Query, *, metadata: bool) -> Answer:
        if not metadata:
            return _text(status_json(self.dataplane.statuses(query)))
        served = self.dataplane.choose(query)
        return _text(metadata_json(served.name, served.version, served.signatures))


@dataclass(slots=True)
class _Seen:
    """What is known of a request so far, for the metrics."""

    model: str = ""
    verb: str = ""
    code: Code = Code.OK
    began: float = field(default_factory=perf_counter)

    def query_of(self, match: re.Match[str]) -> Query:
        """Return which model a path means; the order of the refusals is the interface's."""
        name = match["name"]
        self.model = "" if name is None else _decoded(name, "model name")
        version, label = match["version"], match["label"]
        if version is not None and (len(version.lstrip("0")) > 19 or int(version[-19:]) >= _INT64_STOP):
            raise BadRequest(f"Failed to convert version: {version} to numeric.")
        return Query(
            self.model,
            version=None if version is None else int(version.lstrip("0") or "0"),
            label=None if label is None else _decoded(label, "model version label"),
        )


def _split_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target, as text that error messages can repeat."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return "", ""
    return (url.path or b"").decode("latin-1"), (url.query or b"").decode("latin-1")


def _decoded(text: str, what: str) -> str:
    """Return a percent-decoded part of a path."""
    try:
        decoded = unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        decoded = ""
    if not decoded or _BAD_PERCENT.search(text):
        raise BadRequest(f"Failed to decode {what}:{text}")
    return decoded


def _text(body: str) -> Answer:
    return Answer(200, body.encode())


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())


def _error(status: int, text: str) -> Answer:
    return Answer(status, json.dumps({"error": details(text)}, indent=1, ensure_ascii=False).encode())
