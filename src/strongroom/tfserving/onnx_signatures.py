"""The signatures that an ONNX model carries beside its graph: names for TensorFlow Serving's interface.

An ONNX graph has one list of inputs and one of outputs. A converted model keeps its signatures in `metadata_props`,
under KEY, as JSON: `{"serving_default": {"method_name": "tensorflow/serving/predict", "inputs": {"x": "x:0"},
"outputs": {"y": "y:0"}}}`, each the name in requests to the name in the graph. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import BadInput
from strongroom.tfserving.signatures import PREDICT_METHOD
from strongroom.wire import strict_json

KEY: Final = "strongroom.signatures"
MAX_SIGNATURES: Final = 1000
MAX_NAME: Final = 1024  # characters


class BadOnnxSignatures(BadInput):
    """The signatures that an ONNX model carries are malformed, or name what its graph does not have."""

    code = "SR-ONNX-SIGNATURES"
    fix = "Convert the model again with strongroom model convert, or remove strongroom.signatures from its metadata."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureNames:
    """A signature by names alone: those of requests to those of the graph."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    method: str = PREDICT_METHOD


def parse_names(text: str | bytes) -> dict[str, SignatureNames]:
    """Return the signatures of a model's metadata, in their order. Raises BadOnnxSignatures."""
    value = strict_json.loads(text, what=KEY, error=BadOnnxSignatures, max_depth=3)
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_SIGNATURES:
        raise BadOnnxSignatures(f"{KEY} is not an object of 1 to {MAX_SIGNATURES} signatures")
    return {name: _names(name, each) for name, each in value.items()}


def render_names(signatures: Mapping[str, SignatureNames]) -> str:
    """Return the JSON that `parse_names` reads."""
    return json.dumps({
        name: {"method_name": each.method, "inputs": dict(each.inputs), "outputs": dict(each.outputs)}
        for name, each in signatures.items()
    })  # fmt: skip


def _names(name: str, value: object) -> SignatureNames:
    if not isinstance(value, dict) or not isinstance(method := value.get("method_name", PREDICT_METHOD), str):
        raise BadOnnxSignatures(f"{KEY}: {name[:80]!r} is not a signature")
    found = SignatureNames(inputs=_side(name, value, "inputs"), outputs=_side(name, value, "outputs"), method=method)
    if not found.outputs:
        raise BadOnnxSignatures(f"{KEY}: {name[:80]!r} has no outputs")
    return found


def _side(name: str, value: Mapping[str, object], side: str) -> dict[str, str]:
    names = value.get(side)
    if not isinstance(names, dict) or not all(_is_name(each) for pair in names.items() for each in pair):
        raise BadOnnxSignatures(f"{KEY}: the {side} of {name[:80]!r} are not names to names")
    return names


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME
