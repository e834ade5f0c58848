"""How Spark's types stand in JSON: as Arrow reads them first, before they are what Spark expects. Pure."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from strongroom.analytics.source.faults import BadSourceOption


def json_type(kind: pa.DataType, *, binary: pa.DataType | None = None) -> pa.DataType:
    """Return what a type is read as; `binary`: what base64 has become. Raises BadSourceOption."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, json_type(field.type, binary=binary)) for field in kind])
    if pa.types.is_map(kind):
        if not pa.types.is_string(kind.key_type):
            raise BadSourceOption("a map in JSON is from STRING")
        return pa.map_(pa.string(), json_type(kind.item_type, binary=binary))
    if pa.types.is_list(kind):
        return pa.list_(json_type(kind.value_type, binary=binary))
    if pa.types.is_binary(kind):
        return binary or pa.string()
    return pa.string() if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else kind


def holds(kind: pa.DataType, asked: Callable[[pa.DataType], bool]) -> bool:
    """Whether a type is, or holds at any depth, one of which `asked` is true."""
    if asked(kind):
        return True
    if pa.types.is_map(kind):
        return holds(kind.key_type, asked) or holds(kind.item_type, asked)
    if pa.types.is_list(kind):
        return holds(kind.value_type, asked)
    return pa.types.is_struct(kind) and any(holds(field.type, asked) for field in kind)
