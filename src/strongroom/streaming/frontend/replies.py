"""Results and errors as HTTP says them, in three forms: ours, and two that clients of the original read.

Source: spec `cluster-serving.md` section 7.1. `legacy` is a JSON text within JSON, `legacy-map` what Java prints of a
map; both hold strings, so that an instance that failed is `NaN` there, and its reason stands in the body's `error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import orjson

from strongroom.clusterserving.faults import Fault, ServingError
from strongroom.clusterserving.values import Array, Result

CLIENT_GONE: Final = 499  # nobody reads it; it stands in the log
RETRY_AFTER_S: Final = 1
_WRITTEN: Final = frozenset({"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})  # by orjson itself
_STATUS: Final = {
    Fault.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Fault.SHAPE_MISMATCH: HTTPStatus.UNPROCESSABLE_ENTITY,
    Fault.DTYPE_MISMATCH: HTTPStatus.UNPROCESSABLE_ENTITY,
    Fault.MODEL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.POISONED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.UNSEAL_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    Fault.QUEUE_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.NOT_READY: HTTPStatus.SERVICE_UNAVAILABLE,
    Fault.CONFLICT: HTTPStatus.CONFLICT,
    Fault.UNAUTHORIZED: HTTPStatus.FORBIDDEN,
    Fault.CANCELLED: CLIENT_GONE,
}  # what is not listed is the caller's mistake: 400


class Form(StrEnum):
    """How a reply is written (`?format=`)."""

    DEFAULT = "default"
    LEGACY = "legacy"
    LEGACY_MAP = "legacy-map"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer: status, body, and how long to wait before another try, in seconds."""

    status: int
    body: bytes
    retry_after_s: int | None = None


def predictions(results: Sequence[Result], form: Form) -> Reply:
    """Return what a predict request answers: every instance in order.

    One good instance makes it a 200; where none is good, the status is the first one's, and its reason stands above.
    """
    listed = [_element(each, form) for each in results]
    errors = [each.error for each in results if each.error is not None]
    body: dict[str, Any] = {"predictions": listed}
    if not errors:
        return Reply(HTTPStatus.OK, _json(body))
    if form is not Form.DEFAULT:
        body["error"] = errors[0].message
    if len(errors) < len(results):
        return Reply(HTTPStatus.OK, _json(body))
    if form is Form.DEFAULT:
        body["error"] = _error(str(errors[0].fault), errors[0].message)
    status = status_of(errors[0])
    return Reply(status, _json(body), RETRY_AFTER_S if status == HTTPStatus.SERVICE_UNAVAILABLE else None)


def refusal(status: int, code: str, message: str, form: Form, *, retry_after_s: int | None = None) -> Reply:
    """Return the body of every error: `{"error": {"code", "message"}}`, or as text in the old forms."""
    error: Any = _error(code, message) if form is Form.DEFAULT else message
    return Reply(status, _json({"error": error}), retry_after_s)


def failed(error: ServingError, form: Form) -> Reply:
    """Return an error that is about the whole request."""
    status = status_of(error)
    retry = RETRY_AFTER_S if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return refusal(status, str(error.fault), error.message, form, retry_after_s=retry)


def status_of(error: ServingError) -> int:
    """Return the HTTP status of an error."""
    return int(_STATUS.get(error.fault, HTTPStatus.BAD_REQUEST))


def form_of(asked: str | None, accept: str) -> Form | None:
    """Return the form that `?format=` or else `Accept` (`application/json;format=legacy`) asks for; None: unknown."""
    if asked is None:
        parameters = [part.strip().removeprefix("format=") for part in accept.split(";") if "format=" in part]
        asked = parameters[0].split(",")[0].strip('" ') if parameters else None
    try:
        return Form(asked) if asked else Form.DEFAULT
    except ValueError:
        return None


def _element(result: Result, form: Form) -> Any:  # noqa: ANN401  # JSON
    if form is Form.DEFAULT:
        return _plain(result)
    text = "NaN" if result.error is not None else result.text
    if form is Form.LEGACY:
        return _json({"value": _legacy_tensors(result) if text is None else text}).decode()
    return "{value=" + (_legacy_tensors(result) if text is None else text) + "}"


def _plain(result: Result) -> dict[str, Any]:
    if result.error is not None:
        return {"error": _error(str(result.error.fault), result.error.message)}
    if result.text is not None:
        return {"value": result.text}
    tensors = {name: _tensor(each) for name, each in result.outputs.items()}
    return next(iter(tensors.values())) if len(tensors) == 1 else {"outputs": tensors}


def _legacy_tensors(result: Result) -> str:
    """Return outputs as the original ran them together: several are no JSON there, and old readers expect that."""
    return "".join(_json(_tensor(each)).decode() for each in result.outputs.values())


def _tensor(array: Array) -> dict[str, Any]:
    """Return an array as JSON holds it; what JSON has no word for (NaN, the infinite) becomes null."""
    flat = array.ravel()
    if flat.dtype.kind in "OSU":
        text = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in flat]
        return {"data": text, "shape": list(array.shape)}
    if flat.dtype.str[1:] not in _WRITTEN:
        flat = flat.astype(np.float32) if flat.dtype.kind == "f" else flat.astype(np.int64)
    return {"data": np.ascontiguousarray(flat), "shape": list(array.shape)}


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
