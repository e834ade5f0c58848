"""Turn a server's refusal into a typed error that keeps the server's own words.

The texts are TensorFlow Serving's (spec `model-server.md`, section 3); what came over the wire is shortened and freed
of control characters before anybody prints it.
"""

from __future__ import annotations

import json
from typing import Final

from strongroom.errors import BadInput, Refused, StrongroomError, Tampered, Unreachable

MAX_TEXT: Final = 600


class ServerSaid:
    """What the server answered: `status` is gRPC's name of the code (or `HTTP 404`), `text` its words."""

    status: str
    text: str


class ModelNotServed(ServerSaid, BadInput):
    """The server has no such model, version or path."""

    code = "SR-MODEL-NOT-SERVED"
    fix = "Ask for a model and version that the server lists as AVAILABLE."


class RequestNotAccepted(ServerSaid, BadInput):
    """The server cannot use the request: wrong names, types or shapes."""

    code = "SR-REQUEST-NOT-ACCEPTED"
    fix = "Compare the inputs with the model's metadata."


class RequestDenied(ServerSaid, Refused):
    """The server does not let this client do that."""

    code = "SR-REQUEST-DENIED"
    fix = "Ask the operator for access, or use the client certificate that has it."


class ServerBusy(ServerSaid, Unreachable):
    """The server cannot answer at the moment."""

    code = "SR-SERVER-BUSY"
    fix = (
        "Check that this is the gRPC port (8500), then try again; allow more time with --timeout if the model is slow."
    )


class ServerFailed(ServerSaid, Unreachable):
    """The server failed while it worked on the request."""

    code = "SR-SERVER-FAILED"
    fix = "The server's log says more; try another replica."


class BadAnswer(Tampered):
    """The server's answer does not follow the protocol, or is larger than what the client reads."""

    code = "SR-BAD-ANSWER"
    fix = "Check that the address is a Strongroom or TensorFlow Serving port; do not use this answer."


_BY_STATUS: Final[dict[str, type[StrongroomError]]] = {
    "NOT_FOUND": ModelNotServed,
    "PERMISSION_DENIED": RequestDenied,
    "UNAUTHENTICATED": RequestDenied,
    **dict.fromkeys(
        ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "ALREADY_EXISTS", "UNIMPLEMENTED"),
        RequestNotAccepted,
    ),
    **dict.fromkeys(
        ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED"),
        ServerBusy,
    ),
}
_BY_HTTP: Final[dict[int, type[StrongroomError]]] = {
    401: RequestDenied, 403: RequestDenied, 404: ModelNotServed,
    408: ServerBusy, 409: ServerBusy, 429: ServerBusy, 499: ServerBusy, 503: ServerBusy, 504: ServerBusy,
}  # fmt: skip


def clean(text: str) -> str:
    """Return server text that is safe to print: one line, no control characters, bounded."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: MAX_TEXT + 1])
    return f"{shown[:MAX_TEXT]}…" if len(shown) > MAX_TEXT else shown


def error_of_status(status: str, text: str) -> StrongroomError:
    """Return the typed error for a gRPC status, named as in `grpc.StatusCode`."""
    return _made(_BY_STATUS.get(status, ServerFailed), status, text)


def error_of_http(code: int, body: bytes) -> StrongroomError:
    """Return the typed error for an HTTP status other than 200 and its body."""
    if 300 <= code < 400:
        return BadAnswer(f"the server answered with the redirection {code}, which the client does not follow")
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = body[:MAX_TEXT].decode("utf-8", "replace")
    kind = _BY_HTTP.get(code) or (RequestNotAccepted if 400 <= code < 500 or code == 501 else ServerFailed)
    return _made(kind, f"HTTP {code}", str(text))


def parse_json(data: bytes) -> object:
    """Return a JSON value. Raises BadAnswer."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadAnswer("the server's answer is not JSON") from None


def _made(kind: type[StrongroomError], status: str, text: str) -> StrongroomError:
    shown = clean(text)
    error = kind(f"the server answered {status}: {shown}" if shown else f"the server answered {status}")
    if isinstance(error, ServerSaid):
        error.status, error.text = status, text[:MAX_TEXT]
    return error
