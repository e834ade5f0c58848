"""What an HTTP front end answers to /predict, in each of its four forms. Pure.

The documented form (`{value=[[903,0.13]]}`), the one of its "instance mode" (JSON in a string in JSON, several outputs
run together), the one of its "direct mode" (the value of Redis in quotes), and ours. Which one came is seen from the
element itself. Source: spec `cluster-serving.md` section 7.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from strongroom.clusterserving.faults import ServingError, error_of, short
from strongroom.clusterserving.result_reading import read_result
from strongroom.clusterserving.values import Array, Result
from strongroom.errors import Unreachable
from strongroom.wire import strict_json

MAX_REPLY_BYTES: Final = 256 << 20
MAX_DEPTH: Final = 40
_MAP: Final = "{value="
_FALLBACK: Final = {400: "bad_record", 404: "not_ready", 409: "conflict", 413: "too_large", 422: "shape_mismatch",
                    401: "unauthorized", 403: "unauthorized", 415: "unsupported_serde", 429: "queue_full",
                    503: "not_ready", 504: "deadline_exceeded"}  # fmt: skip


class BadReply(Unreachable):
    """What answered is no front end of Cluster Serving, or its answer was cut or changed on its way."""

    code = "SR-QUEUE-FRONTEND-REPLY"
    fix = "Check frontend_url; a proxy on the way may have answered instead."


def read_predictions(body: bytes) -> list[Result]:
    """Return one result for each instance that was sent. Raises BadReply."""
    found = _json(body, MAX_REPLY_BYTES)
    elements = found.get("predictions") if isinstance(found, dict) else None
    if not isinstance(elements, list):
        raise BadReply("the answer holds no list of predictions")
    return [_element(each) for each in elements]


def read_failure(status: int, body: bytes) -> ServingError:
    """Return the error that an answer other than 200 stands for: ours, the original's, or a status alone."""
    word, message = _FALLBACK.get(status, "internal"), f"the front end answered with status {status}"
    try:
        told = _json(body, 1 << 16)
    except BadReply:
        return error_of(word, message)
    told = told.get("error") if isinstance(told, dict) else None
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        return error_of(str(told.get("code", word)), short(told["message"]))
    if isinstance(told, str):
        return error_of("queue_full" if told == "limited" else word, short(told))
    return error_of(word, message)


def _element(element: object) -> Result:
    if isinstance(element, str):
        return _string(element)
    if not isinstance(element, dict):
        raise BadReply("a prediction is neither text nor an object")
    if isinstance(element.get("error"), dict):
        told = element["error"]
        return Result("", error=error_of(str(told.get("code")), short(str(told.get("message")))))
    if isinstance(element.get("value"), str):
        return _value(element["value"])
    if "data" in element:
        return _named({"output_0": _array(element)})
    outputs = element.get("outputs", element)
    if isinstance(outputs, list):
        outputs = {f"output_{place}": each for place, each in enumerate(outputs)}
    if not isinstance(outputs, dict) or not outputs:
        raise BadReply("a prediction holds no outputs")
    return _named({str(name): _array(each) for name, each in outputs.items()})


def _string(text: str) -> Result:
    """Tell the three forms apart that are strings."""
    if text.startswith(_MAP) and text.endswith("}"):
        return _value(text[len(_MAP) : -1])
    if text.startswith("{"):
        inner = _json(text, MAX_REPLY_BYTES)
        if isinstance(inner, dict) and isinstance(inner.get("value"), str):
            return _value(inner["value"])
        if isinstance(inner, dict) and "data" in inner:
            return _named({"output_0": _array(inner)})
        raise BadReply("a prediction is an object without a value")
    if text.startswith('"'):
        inner = _json(text, MAX_REPLY_BYTES)
        if isinstance(inner, str):
            return _value(inner)
    return _value(text)


def _value(value: str) -> Result:
    """Read what stands in a result's field `value`, or its JSON twin."""
    if value.startswith("{"):
        return _named({f"output_{place}": _array(each) for place, each in enumerate(_run_together(value))})
    return read_value(value)


def read_value(value: str) -> Result:
    """Read a result's field `value` where nothing else is known of it: Arrow in base64, `NaN`, or a filter's text."""
    return read_result("", {b"value": value.encode("utf-8", "replace")})


def _run_together(text: str) -> Iterator[Any]:
    """Yield the JSON objects of a text in which they follow each other without a comma."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise BadReply("a prediction is not JSON") from None
        yield found


def _array(found: object) -> Array:
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise BadReply("an output has no data")
    shape = found.get("shape")
    try:
        data = np.asarray(found["data"])
        with np.errstate(over="ignore"):  # a number that float32 cannot hold is infinite, as in the Arrow form
            if data.dtype.kind == "O":
                data = np.asarray(found["data"], dtype=np.float32)
            elif data.dtype.kind in "fiu":
                data = data.astype(np.float32)
        return data if shape is None else data.reshape(_shape(shape))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise BadReply("an output's data do not have its shape") from None


def _shape(found: object) -> tuple[int, ...]:
    if not isinstance(found, list) or len(found) > MAX_DEPTH:
        raise BadReply("an output's shape is no list")
    if any(type(each) is not int or each < 0 for each in found):
        raise BadReply("an output's shape holds something else than sizes")
    return tuple(found)


def _named(outputs: dict[str, Array]) -> Result:
    return Result("", outputs=outputs)


def _json(text: str | bytes, most: int) -> Any:  # noqa: ANN401  # the caller checks every type it uses
    return strict_json.loads(text, what="the answer", error=BadReply, max_bytes=most, max_depth=MAX_DEPTH)
