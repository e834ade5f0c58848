"""A record's result as the client reads it: ours, and those that the original wrote. Pure. `result` has the fields.

Nothing in a result is believed before it is checked, and of a sealed record's result only what opens.
Source: spec `cluster-serving.md` sections 3.3, 11.6 and 11.8.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np

from strongroom.clusterserving import raw
from strongroom.clusterserving.arrow_result import decode_result
from strongroom.clusterserving.faults import BadRecord, Internal, ServingError, UnsealFailed, error_of, short
from strongroom.clusterserving.limits import DEFAULT_LIMITS, Limits
from strongroom.clusterserving.result import ARROW, FAILED, RAW, TEXT
from strongroom.clusterserving.values import Array, Result
from strongroom.secret import Secret

MAX_WORDS_BYTES: Final = 64 * 1024  # of `shapes`, `names` and `dtype`


class ResultOpener(Protocol):
    """The client's half."""

    def open(self, value: bytes, *, uri: str, entry_id: str, response_key: Secret) -> tuple[int, bytes]:
        """Return kind and payload of a sealed `value`. Raises UnsealFailed."""


def read_result(
    uri: str,
    fields: Mapping[bytes, bytes],
    *,
    response_key: Secret | None = None,
    opener: ResultOpener | None = None,
    entry_id: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Result:
    """Read a result, also one that the original wrote. An error of the record is in `Result.error`, not raised.

    For a sealed record: its `response_key`, `opener`, and the `entry_id` that the queue answered when it took it; such
    a result is believed where it opens, and otherwise it is an error. Raises BadRecord for what is no result, and
    UnsealFailed.
    """
    try:
        entry = _ascii(fields, b"id", 64) or None
        if response_key is not None:
            if opener is None:
                raise UnsealFailed("a sealed result needs its opener")
            return _read_sealed(uri, fields, response_key, opener, entry_id=entry_id or entry or "", limits=limits)
        value = fields.get(b"value")
        if value is None:
            raise BadRecord("a result has a value")
        code = _ascii(fields, b"code", 64)
        if code:
            return Result(uri=uri, entry_id=entry, error=error_of(code, _message(fields), uri=uri))
        return _read(uri, entry, value, fields, limits)
    except ServingError as problem:
        problem.uri = uri
        raise


def _read(uri: str, entry: str | None, value: bytes, fields: Mapping[bytes, bytes], limits: Limits) -> Result:
    if any(field[:2] == raw.META for field in fields):
        return Result(uri=uri, entry_id=entry, outputs=_in_order(raw.arrays_from_fields(fields, limits), fields))
    if value == FAILED:
        return Result(uri=uri, entry_id=entry, error=Internal("the worker says no more than NaN", uri=uri))
    if value[:1] == b"[":  # no character of base64: a filter's text
        try:
            return Result(uri=uri, entry_id=entry, text=value.decode())
        except UnicodeDecodeError:
            raise BadRecord("the text of a result is not UTF-8") from None
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        raise BadRecord("a result's value is neither base64 nor a filter's text nor NaN") from None
    arrays = decode_result(data, shapes=_said_shapes(fields, limits), limits=limits)
    names = _said_names(fields, len(arrays))
    return Result(uri=uri, entry_id=entry, outputs=dict(zip(names, _typed(arrays, fields), strict=True)))


def _read_sealed(
    uri: str, fields: Mapping[bytes, bytes], key: Secret, opener: ResultOpener, *, entry_id: str, limits: Limits
) -> Result:
    value, code = fields.get(b"value", b""), _ascii(fields, b"code", 64)
    if code and value == FAILED:  # written by who could not open the record: the word alone, and nobody vouches for it
        return Result(uri=uri, entry_id=entry_id, error=error_of(code, "a worker refused the record unopened", uri=uri))
    kind, payload = opener.open(value, uri=uri, entry_id=entry_id, response_key=key)
    if kind == RAW:
        return Result(uri=uri, entry_id=entry_id, outputs=raw.arrays_from_bytes(payload, limits))
    if kind == ARROW:
        arrays = decode_result(payload, limits=limits)
        return Result(uri=uri, entry_id=entry_id, outputs={f"output_{at}": each for at, each in enumerate(arrays)})
    try:
        if kind == TEXT:
            return Result(uri=uri, entry_id=entry_id, text=payload.decode())
        found = json.loads(payload)
        error = error_of(str(found["code"]), short(str(found["message"])), uri=uri)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnsealFailed("the sealed result is not in a form that is known", uri=uri) from None
    return Result(uri=uri, entry_id=entry_id, error=error)


def _ascii(fields: Mapping[bytes, bytes], name: bytes, most: int) -> str:
    found = fields.get(name, b"")
    if len(found) > most or not found.isascii():
        raise BadRecord(f"the field {name.decode()} of a result is no word")
    return found.decode()


def _message(fields: Mapping[bytes, bytes]) -> str:
    return short(fields.get(b"message", b"").decode("utf-8", "replace")) or "the worker gave no reason"


def _json(fields: Mapping[bytes, bytes], name: bytes) -> object:
    found = fields.get(name)
    if found is None:
        return None
    if len(found) > MAX_WORDS_BYTES:
        raise BadRecord(f"the field {name.decode()} of a result is longer than it may be")
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        raise BadRecord(f"the field {name.decode()} of a result is not JSON") from None


def _said_shapes(fields: Mapping[bytes, bytes], limits: Limits) -> list[list[int]] | None:
    shapes = _json(fields, b"shapes")
    if shapes is None:
        return None
    if not isinstance(shapes, list) or not all(
        isinstance(shape, list) and len(shape) <= limits.max_rank and all(type(each) is int for each in shape)
        for shape in shapes
    ):
        raise BadRecord("the field shapes of a result is no list of shapes")
    return shapes


def _in_order(outputs: dict[str, Array], fields: Mapping[bytes, bytes]) -> dict[str, Array]:
    """Return outputs in the model's order: Redis keeps that of a hash's fields only while they are small."""
    names = _said_names(fields, len(outputs))
    return {name: outputs[name] for name in names} if set(names) == set(outputs) else outputs


def _said_names(fields: Mapping[bytes, bytes], count: int) -> list[str]:
    names = _json(fields, b"names")
    if names is None:
        return [f"output_{index}" for index in range(count)]
    if not isinstance(names, list) or len(names) != count or not all(isinstance(each, str) for each in names):
        raise BadRecord("the field names of a result does not name its outputs")
    if len(set(names)) != count:
        raise BadRecord("two outputs of a result have one name")
    return names


def _typed(arrays: list[Array], fields: Mapping[bytes, bytes]) -> list[Array]:
    """Return outputs in the types that the worker said, which the Arrow form carries as float32."""
    said = fields.get(b"dtype", b"")
    words = _ascii(fields, b"dtype", MAX_WORDS_BYTES).split(",") if said else []
    if not words:
        return arrays
    if len(words) != len(arrays) or not all(word in raw.DTYPES for word in words):
        raise BadRecord("the field dtype of a result is none of an output")
    with np.errstate(invalid="ignore", over="ignore"):
        return [each.astype(raw.DTYPES[word], copy=False) for each, word in zip(arrays, words, strict=True)]
