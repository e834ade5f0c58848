"""Arrays to the REST interface's predict answers: `predictions` by row, or `outputs` by column.

Source: spec `model-server.md` section 4.2, "Answer" and "Number text".
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np

from strongroom.errors import Unreachable
from strongroom.tfserving.datatypes import Array, DataType
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.json_floats import FROM_COUNT, nested_floats
from strongroom.tfserving.tensors import BadTensor

_BARE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_TOKENS: Final = frozenset(_BARE.values())
_INTEGERS: Final = frozenset({
    DataType.DT_INT8, DataType.DT_UINT8, DataType.DT_INT16, DataType.DT_INT32, DataType.DT_INT64, DataType.DT_UINT32,
    DataType.DT_UINT64,
})  # fmt: skip


class NonFinite(StrEnum):
    """What is written for NaN and the infinities, which JSON has no word for."""

    TOKEN = "token"  # noqa: S105  # bare NaN, Infinity, -Infinity: TensorFlow Serving's way
    NULL = "null"
    ERROR = "error"


class NotWritable(Unreachable):
    """An answer holds NaN or an infinity, and the server was told not to write these."""

    code = "SR-REST-NAN"
    fix = "Look at the inputs; or start the server with --rest_nan=token or --rest_nan=null."


def rows_text(outputs: Mapping[str, tuple[DataType, Array]], nan: NonFinite = NonFinite.TOKEN) -> str:
    """Return `{"predictions": [...]}`: a value a row for one output, an object a row for several.

    Raises BadTensor where an output has no rows, they differ in number or JSON has not its type, NotWritable as `nan`
    says.
    """
    rows = -1
    for name, (_, array) in outputs.items():
        if array.ndim == 0:
            raise BadTensor(f"Tensor name: {name} has no shape information ")
        if rows not in (-1, array.shape[0]):
            raise BadTensor(f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {rows}")
        rows = array.shape[0]
    if (many := _many_floats(outputs, nan)) is not None:
        return f'{{"predictions": {many}}}'
    columns = [_cells(name, *value, nan, depth=1) for name, value in outputs.items()]
    if len(columns) == 1:
        lines = columns[0]
    else:
        keys = [json.dumps(name) for name in outputs]
        lines = [_object(zip(keys, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return f'{{"predictions": [{", ".join(lines)}]}}'


def columns_text(outputs: Mapping[str, tuple[DataType, Array]], nan: NonFinite = NonFinite.TOKEN) -> str:
    """Return `{"outputs": ...}`: the bare value for one output, an object for several. Raises as `rows_text`."""
    if (many := _many_floats(outputs, nan)) is not None:
        return f'{{"outputs": {many}}}'
    cells = {json.dumps(name): _cells(name, *value, nan, depth=0)[0] for name, value in outputs.items()}
    return f'{{"outputs": {next(iter(cells.values())) if len(cells) == 1 else _object(cells.items())}}}'


def _many_floats(outputs: Mapping[str, tuple[DataType, Array]], nan: NonFinite) -> str | None:
    """Return the text of a lone, large float output; None for all others."""
    if len(outputs) != 1:
        return None
    ((dtype, array),) = outputs.values()
    if dtype is not DataType.DT_FLOAT or array.size < FROM_COUNT or array.ndim == 0:
        return None
    return nested_floats(array, lambda values: _finite(float_texts(values), nan))


def _object(pairs: object) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"  # type: ignore[attr-defined]


def classifications_text(result: ProtoMessage, nan: NonFinite = NonFinite.TOKEN) -> str:
    """Return a ClassificationResult as `{"results": [[["label", score], …], …]}`. Raises NotWritable."""
    rows = []
    for row in result.classifications:
        scores = _finite(float_texts(np.array([each.score for each in row.classes], np.float32)), nan)
        labels = [json.dumps(each.label) for each in row.classes]
        rows.append(f"[{', '.join(f'[{label}, {score}]' for label, score in zip(labels, scores, strict=True))}]")
    return f'{{"results": [{", ".join(rows)}]}}'


def regressions_text(result: ProtoMessage, nan: NonFinite = NonFinite.TOKEN) -> str:
    """Return a RegressionResult as `{"results": [value, …]}`. Raises NotWritable."""
    values = float_texts(np.array([each.value for each in result.regressions], np.float32))
    return f'{{"results": [{", ".join(_finite(values, nan))}]}}'


def _finite(texts: list[str], nan: NonFinite) -> list[str]:
    """Return number texts with NaN and the infinities as `nan` says. Raises NotWritable."""
    if nan is NonFinite.TOKEN or _TOKENS.isdisjoint(texts):
        return texts
    if nan is NonFinite.ERROR:
        raise NotWritable("the answer holds NaN or Infinity")
    return ["null" if text in _TOKENS else text for text in texts]


def _cells(name: str, dtype: DataType, array: Array, nan: NonFinite, *, depth: int) -> list[str]:
    """Return the texts of an array's parts below its first `depth` dimensions (0: one text, 1: one a row)."""
    texts = _leaves(name, dtype, array)
    if dtype in (DataType.DT_FLOAT, DataType.DT_DOUBLE):
        texts = _finite(texts, nan)
    for size in reversed(array.shape[depth:]):
        count = len(texts) // size if size else math.prod(array.shape[: array.shape.index(0)])
        texts = [f"[{', '.join(texts[at * size : (at + 1) * size])}]" for at in range(count)]
    return texts


def _leaves(name: str, dtype: DataType, array: Array) -> list[str]:
    if dtype is DataType.DT_FLOAT:
        return float_texts(array.ravel())
    if dtype is DataType.DT_DOUBLE:
        return [_number_text(each, 17) for each in array.ravel().tolist()]
    if dtype in _INTEGERS:
        return list(map(str, array.ravel().tolist()))
    if dtype is DataType.DT_BOOL:
        return ["true" if each else "false" for each in array.ravel().tolist()]
    if dtype is DataType.DT_STRING:
        return [_string_text(name, each) for each in array.ravel().tolist()]
    raise BadTensor(f"Failed to write JSON value for tensor type: {dtype.word}")


def float_texts(values: Array) -> list[str]:
    """Return float32 numbers as TensorFlow Serving writes them: 6 digits if these read back equal, else 9."""
    numbers = values.tolist()
    short = [f"{number:.6g}" for number in numbers]
    with np.errstate(over="ignore"):
        same = np.array(short, np.float64).astype(np.float32) == values
    return [
        _decorated(text if equal else f"{number:.9g}")
        for text, equal, number in zip(short, same.tolist(), numbers, strict=True)
    ]


def _number_text(number: float, digits: int) -> str:
    short = f"{number:.6g}"
    return _decorated(short if float(short) == number else f"{number:.{digits}g}")


def _decorated(text: str) -> str:
    if text in _BARE:
        return _BARE[text]
    return text if "." in text or "e" in text else f"{text}.0"


def _string_text(name: str, value: object) -> str:
    raw = value.encode() if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        raise BadTensor(f"output {name} holds a {type(value).__name__} among its strings")
    if name.endswith("_bytes"):
        return f'{{"b64": "{base64.b64encode(raw).decode()}"}}'
    try:
        return json.dumps(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadTensor(f"output {name} holds bytes that are not text; its name would have to end in _bytes") from None
