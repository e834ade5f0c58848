"""What each REST path answers: TensorFlow Serving's, and Strongroom's own health and evidence.

Source: spec `model-server.md` section 4; texts and patterns are part of the interface.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import httptools

from strongroom.errors import StrongroomError
from strongroom.serving.dataplane import Dataplane, Query
from strongroom.serving.evidence import Evidence
from strongroom.serving.http1 import Refusal, Request, plain_body
from strongroom.serving.operations import Operations
from strongroom.serving.rest_front import Answer
from strongroom.serving.status import BadRequest, NotOffered, code_of, details, peers_view
from strongroom.tfserving.json_models import metadata_json, status_json
from strongroom.tfserving.json_request import arrays_of, is_row_form, signature_name
from strongroom.tfserving.json_response import columns_text, rows_text
from strongroom.tfserving.json_values import parse_body
from strongroom.tfserving.signatures import DEFAULT_SIGNATURE

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
            return await self._serving(request, path)
        if request.method in {"GET", "HEAD"} and path == "/strongroom/v1/evidence" and self.evidence is not None:
            return _json(await self.evidence.answer(query[6:] if query.startswith("nonce=") else ""))
        return Answer(404, b"Not Found\n", _TEXT)

    async def _serving(self, request: Request, path: str) -> Answer:
        if self.cors and request.method == "OPTIONS":
            origin = request.headers.get("origin", "")
            return Answer(200) if "http://" in origin or "https://" in origin else Answer(400)
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            if match["name"] is None:
                raise BadRequest("Missing model name in request.")
            return self._describe(_query(match), metadata=match["what"] == "metadata")
        if request.method == "POST" and (match := _POST.fullmatch(path)) and match["verb"].islower():
            if match["verb"] != "predict":
                raise NotOffered(f"{match['verb']} is not offered by this server")
            return await self._predict(_query(match), request)
        raise BadRequest(f"Malformed request: {request.method} {path}")

    def _describe(self, query: Query, *, metadata: bool) -> Answer:
        if not metadata:
            return _text(status_json(self.dataplane.statuses(query)))
        served = self.dataplane.choose(query)
        return _text(metadata_json(served.name, served.version, served.signatures))

    async def _predict(self, query: Query, request: Request) -> Answer:
        raw = plain_body(request, max_bytes=self.max_body_bytes)
        if isinstance(raw, Refusal):
            return _error(raw.status, raw.sentence)
        body = parse_body(raw)
        name = signature_name(body)
        served = self.dataplane.choose(query)
        signature = served.signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            raise BadRequest(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise BadRequest(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        by_row = is_row_form(body)
        inputs = arrays_of(body, signature.inputs)
        del body, raw
        prediction = await self.dataplane.run(
            served, name or DEFAULT_SIGNATURE, inputs, list(signature.outputs), timeout_s=self.timeout_s
        )
        return _text(rows_text(prediction.outputs) if by_row else columns_text(prediction.outputs))


def _split_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target, as text that error messages can repeat."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return "", ""
    return (url.path or b"").decode("latin-1"), (url.query or b"").decode("latin-1")


def _query(match: re.Match[str]) -> Query:
    version = match["version"]
    if version is not None and (len(version.lstrip("0")) > 19 or int(version[-19:]) >= _INT64_STOP):
        raise BadRequest(f"Failed to convert version: {version} to numeric.")
    label = match["label"]
    return Query(
        _decoded(match["name"], "model name"),
        version=None if version is None else int(version.lstrip("0") or "0"),
        label=None if label is None else _decoded(label, "model version label"),
    )


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
