"""TensorFlow Serving's REST interface from the caller's side: paths, JSON bodies, and tensors out of JSON."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from strongroom.client.answers import (
    Array,
    Metadata,
    ModelSpec,
    Prediction,
    Signature,
    TensorInfo,
    UnclearRequest,
    VersionStatus,
)
from strongroom.client.channel import Channel
from strongroom.client.connection import MAX_ANSWER_BYTES, Connection, ServerUnreachable
from strongroom.client.pool import Pool
from strongroom.client.proof import Proof
from strongroom.client.retries import Fate, NotAnswered, Retrier
from strongroom.client.status import BadAnswer, error_of_http, parse_json
from strongroom.errors import StrongroomError, Unreachable

MAX_DESCRIPTION_BYTES: Final = 16 * 1024 * 1024
UNAVAILABLE: Final = 503
_NUMPY_TYPES: Final[dict[str, type[np.generic]]] = {
    "DT_FLOAT": np.float32, "DT_DOUBLE": np.float64, "DT_HALF": np.float16, "DT_BOOL": np.bool_,
    "DT_INT8": np.int8, "DT_INT16": np.int16, "DT_INT32": np.int32, "DT_INT64": np.int64,
    "DT_UINT8": np.uint8, "DT_UINT16": np.uint16, "DT_UINT32": np.uint32, "DT_UINT64": np.uint64,
}  # fmt: skip


class RestTransport:
    """Speaks REST over the channels of a pool, which decide what the peer must have proved for a model."""

    def __init__(self, channels: Pool[Channel], retrier: Retrier, *, timeout_s: float) -> None:
        self._channels, self._retrier, self._timeout_s = channels, retrier, timeout_s
        self._metadata: dict[ModelSpec, Metadata] = {}

    def predict(self, spec: ModelSpec, inputs: Mapping[str, Array], signature_name: str) -> Prediction:
        """Send a columnar request; outputs get the types that the model's metadata names."""
        metadata = self._metadata.get(spec) or self.metadata(spec)
        body = predict_body(inputs, signature_name)
        answer = self._json(spec, "POST", f"{_path(spec)}:predict", body, limit=MAX_ANSWER_BYTES)
        signature = metadata.signatures.get(signature_name or "serving_default")
        return Prediction(outputs_of(answer, signature), version=spec.version)

    def status(self, spec: ModelSpec) -> tuple[VersionStatus, ...]:
        """Return the versions of a model, in the server's order."""
        return status_of(self._json(spec, "GET", _path(spec)))

    def metadata(self, spec: ModelSpec) -> Metadata:
        """Return the signatures of a model version."""
        found = self._metadata[spec] = metadata_of(self._json(spec, "GET", f"{_path(spec)}/metadata"))
        return found

    def proof(self, spec: ModelSpec, *, fresh: bool = False) -> Proof:
        """Return what is proved about a connection that the next request may take; `fresh` asks it for evidence."""
        return self._retrier.run(lambda left_s: self._prove(spec, left_s, fresh=fresh), self._timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._channels.close()

    def _prove(self, spec: ModelSpec, left_s: float, *, fresh: bool) -> Proof:
        with self._channels.lend(left_s) as channel:
            channel.timeout_s = left_s
            try:
                if fresh:
                    channel.refresh()
                channel.lend(spec)
            except Unreachable as problem:
                raise _not_answered(Fate.NOT_BEGUN, problem) from None
            return Proof(channel=channel.channel_proof(), evidence=channel.evidence_proof(spec))

    def _json(
        self,
        spec: ModelSpec,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        limit: int = MAX_DESCRIPTION_BYTES,
    ) -> object:
        ask = partial(Connection.exchange, method=method, target=target, body=body, limit=limit)
        return self._retrier.run(lambda left_s: self._once(spec, ask, left_s), self._timeout_s)

    def _once(self, spec: ModelSpec, ask: Callable[[Connection], tuple[int, bytes]], left_s: float) -> object:
        """Try a request on one connection. Raises NotAnswered."""
        ends = time.monotonic() + left_s
        with self._channels.lend(left_s) as channel:
            channel.timeout_s = max(0.001, ends - time.monotonic())
            try:
                connection = channel.lend(spec)
            except Unreachable as problem:
                raise _not_answered(Fate.NOT_BEGUN, problem) from None
            connection.timeout_s = max(0.001, ends - time.monotonic())
            try:
                code, answer = ask(connection)
            except ServerUnreachable as problem:
                raise _not_answered(Fate.UNKNOWN, problem) from None
            if code == UNAVAILABLE:
                channel.close()  # a new connection may reach another replica
        if code == 200:
            return parse_json(answer)
        fate = Fate.UNKNOWN if code == UNAVAILABLE else Fate.FINAL
        raise _not_answered(fate, error_of_http(code, answer))


def _not_answered(fate: Fate, error: StrongroomError) -> NotAnswered:
    return NotAnswered(fate, lambda: error)


def _path(spec: ModelSpec) -> str:
    base = f"/v1/models/{quote(spec.name, safe='')}"
    if spec.version is not None:
        return f"{base}/versions/{spec.version}"
    return f"{base}/labels/{quote(spec.label, safe='')}" if spec.label else base


def predict_path(model: str) -> str:
    """Return where a model's predictions are asked."""
    return f"{_path(ModelSpec(model))}:predict"


def predict_body(inputs: Mapping[str, Array], signature_name: str) -> bytes:
    """Return the columnar request body. Raises UnclearRequest for no inputs or types that JSON cannot carry."""
    if not inputs:
        raise UnclearRequest("a prediction needs at least one input")
    body: dict[str, object] = {"inputs": {name: _to_json(name, np.asarray(value)) for name, value in inputs.items()}}
    if signature_name:
        body["signature_name"] = signature_name
    return json.dumps(body, separators=(",", ":")).encode()


def _to_json(name: str, value: Array) -> object:
    if value.dtype.kind in "fiub":
        return value.tolist()
    if value.dtype.kind == "S" or (value.dtype.kind == "O" and all(isinstance(each, bytes) for each in value.flat)):
        encoded = np.empty(value.shape, dtype=object)
        for index, each in np.ndenumerate(value):
            encoded[index] = {"b64": base64.b64encode(each).decode()}
        return encoded.tolist()
    if value.dtype.kind == "U":
        return value.tolist()
    raise UnclearRequest(f"input {name!r} has type {value.dtype}, which JSON cannot carry")


def outputs_of(answer: object, signature: Signature | None) -> dict[str, Array]:
    """Return the tensors of a columnar answer. Raises BadAnswer where it does not fit the signature."""
    match answer:
        case {"outputs": value}:
            known = signature.outputs if signature else {}
        case _:
            raise BadAnswer("the server's answer has no outputs")
    if len(known) == 1:
        name, info = next(iter(known.items()))
        return {name: _from_json(name, value, info)}
    if not isinstance(value, dict) or (known and value.keys() != known.keys()):
        raise BadAnswer("the server's outputs are not those of the signature")
    return {name: _from_json(name, each, known.get(name)) for name, each in value.items()}


def _from_json(name: str, value: object, info: TensorInfo | None) -> Array:
    kind = _NUMPY_TYPES.get(info.dtype) if info else None
    try:
        if info and info.dtype == "DT_STRING":
            return np.array(_bytes_in(value), dtype=object)
        with np.errstate(over="raise"):  # a number beyond its type is no answer, not infinity
            return np.array(value, dtype=kind)
    except (ValueError, TypeError, OverflowError, FloatingPointError):
        raise BadAnswer(f"output {name[:64]!r} is not a tensor") from None


def _bytes_in(value: object) -> object:
    """Return nested lists with strings and b64 objects turned to bytes."""
    match value:
        case list(items):
            return [_bytes_in(item) for item in items]
        case str(text):
            return text.encode()
        case {"b64": str(text)}:
            return base64.b64decode(text, validate=True)
    raise ValueError("not a string")


def status_of(answer: object) -> tuple[VersionStatus, ...]:
    """Return the versions of a status answer. Raises BadAnswer."""
    try:
        rows: Any = answer["model_version_status"]  # type: ignore[index]  # any JSON; what is not this shape raises
        return tuple(
            VersionStatus(
                int(row["version"]), str(row["state"]), str(status["error_code"]), str(status["error_message"])
            )
            for row in rows
            for status in [row["status"]]
        )
    except (KeyError, TypeError, ValueError):
        raise BadAnswer("the server's answer is no model status") from None


def metadata_of(answer: object) -> Metadata:
    """Return the signatures of a metadata answer. Raises BadAnswer."""
    try:
        spec: Any = answer["model_spec"]  # type: ignore[index]  # any JSON; what is not this shape raises
        listed: Any = answer["metadata"]["signature_def"]["signature_def"]  # type: ignore[index]
        signatures = {str(name): _signature_of(each) for name, each in listed.items()}
        return Metadata(str(spec["name"]), int(spec["version"]), signatures)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadAnswer("the server's answer is no model metadata") from None


def _signature_of(listed: Any) -> Signature:  # noqa: ANN401  # any JSON; what is not this shape raises
    inputs, outputs = (
        {str(name): _tensor_of(each) for name, each in listed[side].items()} for side in ("inputs", "outputs")
    )
    return Signature(inputs, outputs, str(listed["method_name"]))


def _tensor_of(listed: Any) -> TensorInfo:  # noqa: ANN401  # any JSON; what is not this shape raises
    shape = listed["tensor_shape"]
    sizes = None if shape["unknown_rank"] else tuple(int(dim["size"]) for dim in shape["dim"])
    return TensorInfo(str(listed["dtype"]), sizes)
