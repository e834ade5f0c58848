"""The same tensors as TensorFlow Serving's Predict, as the V2 protocol's ModelInfer, and as JSON; and their answers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from serving.h2frames import grpc_body
from serving.models import Floats, Model
from strongroom.tfserving import PREDICT, ModelSpec, PredictResponse, encode_predict_request, parse, tensor_to_array

PREDICT_PATH: Final = PREDICT
INFER_PATH: Final = "/inference.GRPCInferenceService/ModelInfer"
TOLERANCE: Final = 1e-4

__all__ = ["INFER_PATH", "PREDICT_PATH", "check_infer", "check_json", "check_predict", "grpc_body"]


def predict_message(model: Model) -> bytes:
    """Return a PredictRequest with the tensor in `tensor_content`."""
    return encode_predict_request({"x": model.x}, ModelSpec(name=model.name))


def infer_message(model: Model, *, batch: bool) -> bytes:
    """Return a ModelInferRequest with the tensor in `raw_input_contents`; `batch` puts a dimension of 1 first.

    Fields of `open_inference_grpc.proto`: 1 model_name, 5 inputs (1 name, 2 datatype, 3 shape), 7 raw_input_contents.
    """
    shape = ((1,) if batch and not model.batched else ()) + model.x.shape
    dimensions = b"".join(map(_varint, shape))
    tensor = _field(1, b"x") + _field(2, b"FP32") + _field(3, dimensions)
    return _field(1, model.name.encode()) + _field(5, tensor) + _field(7, model.x.tobytes())


def json_body(model: Model) -> bytes:
    """Return a predict request in JSON, row form; numbers as Python writes them."""
    return json.dumps({"instances": model.x.astype(float).tolist()}, separators=(",", ":")).encode()


def check_predict(model: Model) -> Callable[[bytes], None]:
    """Return a function that fails for a PredictResponse with another answer than the engine's."""
    expected = model.expected()
    return lambda data: _compare(tensor_to_array(parse(PredictResponse, data).outputs["y"]), expected)


def check_infer(model: Model) -> Callable[[bytes], None]:
    """Return a function that fails for a ModelInferResponse with another answer than the engine's.

    Outputs are in `raw_output_contents` (6), or in an output's (5) contents (5) as fp32_contents (6).
    """
    expected = model.expected()

    def check(data: bytes) -> None:
        fields = dict(_fields(data))
        raw = fields.get(6) or dict(_fields(dict(_fields(fields[5]))[5]))[6]
        _compare(np.frombuffer(raw, np.float32), expected)

    return check


def check_json(model: Model) -> Callable[[bytes], None]:
    """Return a function that fails for a JSON answer with other predictions than the engine's."""
    expected = model.expected()
    return lambda data: _compare(np.array(json.loads(data)["predictions"], np.float32), expected)


def _compare(found: Any, expected: Floats) -> None:  # noqa: ANN401  # an array of any type
    if found.size != expected.size or not np.allclose(found.reshape(-1), expected.reshape(-1), atol=TOLERANCE):
        raise AssertionError(f"the server answers {found.reshape(-1)[:4]}, the engine {expected.reshape(-1)[:4]}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message; others are skipped."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        match key & 7:
            case 0:
                varint()
            case 2:
                size = varint()
                yield key >> 3, data[at : at + size]
                at += size
            case kind:
                at += struct.calcsize({1: "q", 5: "i"}[kind])
