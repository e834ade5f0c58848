"""Classify and regress bodies of the REST interface to an Input: examples, and the context that they may share.

Source: spec `model-server.md` section 4.3; the order of checks and the texts are part of the interface.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.json_values import (
    BadJson,
    Json,
    decode_base64_object,
    is_base64_object,
    kind_of,
    shown,
    utf8,
)
from strongroom.tfserving.messages import Example, Input

_NAMES: Final = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)


def input_of(body: Mapping[str, Json]) -> ProtoMessage:
    """Return the Input that a body holds. Raises BadJson."""
    result = Input()
    listed = result.example_list
    if "context" in body:
        listed = result.example_list_with_context
        listed.context.CopyFrom(_example(body["context"]))
    if "examples" not in body:
        raise _body_error(body, "When method is classify, key 'examples' is expected and was not found")
    examples = body["examples"]
    if not isinstance(examples, list):
        raise _body_error(body, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _body_error(body, "'examples' value is an empty array")
    listed.examples.extend(map(_example, examples))
    return result


def _body_error(body: Mapping[str, Json], text: str) -> BadJson:
    return BadJson(f"JSON Value: {shown(dict(body))} {text}")


def _example(value: Json) -> ProtoMessage:
    if not isinstance(value, dict):
        raise BadJson(f"Example must be JSON object but got JSON {kind_of(value)}")
    example = Example()
    example.features.SetInParent()
    for name, content in value.items():
        key = utf8(name).decode()
        feature = example.features.feature[key]
        for element in content if isinstance(content, list) else [content]:
            _add(feature, key, element)
    return example


def _add(feature: ProtoMessage, name: str, value: Json) -> None:
    """Add an element of a feature; all of its elements are of one kind."""
    kind, stored = _stored(name, value)
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise BadJson(f"Unexpected element type in feature: {name} expecting type: {_NAMES[present]}")
    if kind == "int64_list" and stored not in _INT64:
        raise BadJson(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    getattr(feature, kind).value.append(stored)


def _stored(name: str, value: Json) -> tuple[str, bytes | float | int]:
    """Return the list that a JSON value belongs to, and the value in its type."""
    if isinstance(value, int) and (value in _INT64 or value in _UINT64):
        return "int64_list", int(value)
    if isinstance(value, int | float):
        return "float_list", _single(value)
    if isinstance(value, str):
        return "bytes_list", utf8(value)
    if is_base64_object(value):
        return "bytes_list", decode_base64_object(value)
    raise BadJson(f"Feature: {name} has element with unexpected JSON type: {kind_of(value)}")


def _single(number: float) -> float:
    """Return a number as float32 holds it; what is too large becomes Infinity."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
