"""One-shot predictions through the HTTP front end, ours or an original one: /predict over verified TLS.

World: sockets, through urllib3. Source: spec `cluster-serving.md` sections 6 and 7.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import urllib3

from strongroom.clusterserving.values import Array, Image, Input, Result, Sparse, Strings
from strongroom.errors import Unreachable
from strongroom.streaming.client.inputs import inputs_of, request_inputs
from strongroom.streaming.client.replies import MAX_REPLY_BYTES, BadReply, read_failure, read_predictions
from strongroom.streaming.client.settings import BadQueueOption
from strongroom.streaming.client.tickets import ResultTimeout

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
GRACE_S: Final = 1.0  # the front end answers that time is over; this much later nobody waits


class FrontendAway(Unreachable):
    """The HTTP front end cannot be reached, or shows a certificate that is not trusted."""

    code = "SR-QUEUE-FRONTEND-AWAY"
    fix = "Check frontend_url and ca; strongroom queue status says whether the front end is ready."


class Frontend:
    """A connection to one front end."""

    def __init__(self, url: str, pool: urllib3.PoolManager) -> None:
        self._url = url.rstrip("/")
        self._pool = pool

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any]) -> Frontend:
        """Return a connection that the options of InputQueue describe. Raises BadQueueOption."""
        known = dict(options)
        plaintext = bool(known.pop("plaintext", False))
        ca, cert, key = (known.pop(word, None) for word in ("ca", "cert", "key"))
        for word in ("host", "port", "name", "client", "timeout"):
            known.pop(word, None)
        if known:
            raise BadQueueOption(f"{sorted(known)[0]!r} does not go with frontend_url")
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise BadQueueOption(f"{url!r} is no address of a front end: https://HOST:PORT is")
        if parts.scheme == "http" and not (plaintext and parts.hostname in LOOPBACK):
            raise BadQueueOption(
                f"{parts.hostname} would be asked without TLS",
                fix="Write https://; plaintext=True allows http:// on this machine alone.",
            )
        context = _context(ca, cert, key) if parts.scheme == "https" else None
        return cls(url, urllib3.PoolManager(ssl_context=context, retries=False, maxsize=4))

    def predict(self, request: object, *, timeout_s: float) -> Result:
        """Return the prediction for one record. Raises ResultTimeout, a ServingError, FrontendAway, BadReply."""
        body = request.encode() if isinstance(request, str) and request.lstrip().startswith("{") else spelled(request)
        headers = {
            "Content-Type": "application/json",
            "X-Request-Timeout-Ms": str(max(1, int(1000 * timeout_s))),
        }
        try:
            reply = self._pool.request(
                "POST", f"{self._url}/predict", body=body, headers=headers, timeout=timeout_s + GRACE_S, redirect=False,
                preload_content=False,
            )  # fmt: skip
            data = reply.read(MAX_REPLY_BYTES + 1)
            reply.release_conn()
        except urllib3.exceptions.ReadTimeoutError:
            raise ResultTimeout(f"{self._url} gave no answer within {timeout_s} s") from None
        except urllib3.exceptions.HTTPError as problem:
            raise FrontendAway(f"{self._url} is not reached: {_reason(problem)}") from None
        if reply.status != 200:
            raise read_failure(reply.status, data)
        results = read_predictions(data)
        if not results:
            raise BadReply("the front end predicted nothing")
        if (error := results[0].error) is not None:
            raise error
        return results[0]

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def spelled(request: object) -> bytes:
    """Return the body of a prediction for one record. Raises BadRecord, BadImage."""
    inputs = inputs_of(request_inputs(request))
    instance = {name: _json(each) for name, each in inputs.items()}
    return orjson.dumps({"instances": [instance]}, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(value: Input) -> object:
    match value:
        case Image(data):
            return base64.b64encode(data).decode("ascii")
        case Strings(texts):
            return list(texts)
        case Sparse():
            return {"shape": list(value.shape), "data": _plain(value.values), "indices": _plain(value.indices)}
    return _plain(value)


def _plain(array: Array) -> object:
    return array.tolist()


def _context(ca: object, cert: object, key: object) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        context.load_cert_chain(str(cert), None if key is None else str(key))
    return context


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "reason", None) or type(problem).__name__)[:200]
