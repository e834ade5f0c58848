"""A record's result as Redis holds it: what the worker writes. Pure. (`result_reading` is the client's half.)

Fields: `value` (the original's, always: Arrow in base64, a filter's text, or `NaN`), `id` (the entry that it answers),
`ts` (ms since 1970), `code` and `message` on errors, `dtype`, `shapes` and `names` of the outputs, and `d:NAME`,
`m:NAME` where the record asked for raw ones. A sealed result has `value`, `id`, `ts` and perhaps `code` alone.
Source: spec `cluster-serving.md` sections 3.3, 11.2, 11.6 and 11.8.
"""

from __future__ import annotations

import binascii
import json
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np

from strongroom.clusterserving import raw
from strongroom.clusterserving.arrow_result import encode_result
from strongroom.clusterserving.faults import DtypeMismatch, ServingError, UnsealFailed, short
from strongroom.clusterserving.values import Array, Outputs, Record
from strongroom.secret import Secret

ARROW, TEXT, RAW, ERROR = 0, 1, 2, 3  # what lies inside a sealed result: `sealed.ResultKind`
FAILED: Final = b"NaN"
BESIDE_RAW_BYTES: Final = 4096  # up to here outputs that were asked for raw stand in `value` as well


class ResultSealer(Protocol):
    """The worker's half of sealed results: job, model and version are known to it."""

    def seal(self, kind: int, payload: bytes, *, uri: str, entry_id: str, response_key: Secret) -> str | bytes:
        """Return the result's `value`."""


def result_fields(
    record: Record,
    *,
    ts_ms: int,
    outputs: Outputs | None = None,
    text: str | None = None,
    error: ServingError | None = None,
    sealer: ResultSealer | None = None,
) -> dict[str, str | bytes]:
    """Return the fields of a record's result: of exactly one of outputs, a filter's text, or an error.

    A record that came sealed needs `sealer`; without it, nothing but an error's word is written. Outputs that have no
    form (text, where raw was not asked for) make the result an error.
    """
    fields = _stamped(record.entry_id, ts_ms)
    if record.response_key is not None:
        return _sealed_fields(
            fields, record, record.response_key, outputs=outputs, text=text, error=error, sealer=sealer
        )
    if error is not None:
        return error_fields(record.entry_id, error, ts_ms=ts_ms)
    if text is not None:
        fields["value"] = text
        return fields
    try:
        fields.update(_outputs(outputs or {}, accept_raw=record.accept_raw))
    except ServingError as problem:
        return error_fields(record.entry_id, problem, ts_ms=ts_ms)
    return fields


def error_fields(entry_id: str, error: ServingError, *, ts_ms: int) -> dict[str, str | bytes]:
    """Return the result of an entry that could not be read as a record."""
    fields = _stamped(entry_id, ts_ms)
    fields["code"], fields["message"] = str(error.fault), short(error.message)
    return fields


def _stamped(entry_id: str, ts_ms: int) -> dict[str, str | bytes]:
    return {"value": FAILED, "id": entry_id, "ts": str(ts_ms)}


def _outputs(outputs: Outputs, *, accept_raw: bool) -> dict[str, str | bytes]:
    arrays = list(outputs.values())
    textual = any(each.dtype.kind not in "biuf" for each in arrays)
    if textual and not accept_raw:
        raise DtypeMismatch(
            "the model's output is text, which the Arrow form of results cannot hold",
            fix="Ask for raw results (accept: raw); the client of Strongroom does.",
        )
    fields: dict[str, str | bytes] = {
        "dtype": ",".join([_dtype(each.dtype) for each in arrays]),
        "shapes": _shapes(arrays),
        "names": _names(tuple(outputs)),
    }
    if accept_raw:
        fields.update(raw.to_fields(outputs))
    if not accept_raw or (not textual and sum(each.nbytes for each in arrays) <= BESIDE_RAW_BYTES):
        fields["value"] = binascii.b2a_base64(encode_result(arrays), newline=False)
    return fields


@lru_cache(maxsize=64)
def _dtype(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.kind in "biuf" else "string"


@lru_cache(maxsize=64)  # a model has the same outputs each time
def _names(names: tuple[str, ...]) -> str:
    return json.dumps(names, ensure_ascii=False)


def _shapes(arrays: list[Array]) -> str:
    return "[" + ",".join(["[" + ",".join(map(str, each.shape)) + "]" for each in arrays]) + "]"


def _sealed_fields(
    fields: dict[str, str | bytes],
    record: Record,
    key: Secret,
    *,
    outputs: Outputs | None,
    text: str | None,
    error: ServingError | None,
    sealer: ResultSealer | None,
) -> dict[str, str | bytes]:
    """Return the fields of a sealed record's result: of an error its word stays readable, for whoever watches."""
    if error is None and text is None:
        try:
            payload = raw.to_bytes(outputs or {})
        except ServingError as problem:
            error = problem
    if error is not None:
        fields["code"] = str(error.fault)
        kind, payload = ERROR, json.dumps({"code": str(error.fault), "message": short(error.message)}).encode()
    else:
        kind, payload = (RAW, payload) if text is None else (TEXT, text.encode("utf-8", "replace"))
    if sealer is not None:
        fields["value"] = sealer.seal(kind, payload, uri=record.uri, entry_id=record.entry_id, response_key=key)
    elif error is None:
        raise UnsealFailed("a sealed record's result cannot be written without its sealer", uri=record.uri)
    return fields
