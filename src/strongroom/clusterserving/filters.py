"""Post-processing filters: the best k of each row as text. Pure.

`topN(k)` and `pickTopN(k)` write what the original does, which is not JSON (no commas between pairs and rows);
`topN.json(k)` is ours. Source: spec `cluster-serving.md` section 3.3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from strongroom.clusterserving.faults import ModelError
from strongroom.clusterserving.values import Array
from strongroom.errors import BadInput

MAX_K: Final = 10_000
_FORM: Final = re.compile(r"(topN|pickTopN|topN\.json)\(([0-9]{1,5})\)")


class BadFilter(BadInput):
    """A post-processing filter is not one of those that there are."""

    code = "SR-QUEUE-FILTER"
    fix = "Use topN(k), topN.json(k) or pickTopN(k) with k from 1 to 10000, or leave postProcessing empty."


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was parsed: `kind` is `topN`, `topN.json` or `pickTopN`, or empty for the whole result."""

    kind: str = ""
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Return the filter that config's `postProcessing` names. Raises BadFilter."""
        if not text.strip():
            return cls()
        found = _FORM.fullmatch(text.strip())
        if found is None or not 1 <= int(found[2]) <= MAX_K:
            raise BadFilter(f"{text[:80]!r} is no filter")
        return cls(found[1], int(found[2]))

    def __bool__(self) -> bool:
        return bool(self.kind)

    def apply(self, outputs: Mapping[str, Array] | Sequence[Array]) -> str:
        """Return the text for one record's outputs, one after the other. Raises ModelError for what it cannot rank."""
        arrays = list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)
        if self.kind == "topN.json":
            texts = [_json(_best(each, self.k)) for each in arrays]
            return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
        write = _pairs if self.kind == "topN" else _rows
        return "".join(write(each, self.k) for each in arrays)


def _best(output: Array, k: int) -> list[tuple[int, float]]:
    """Return the k largest values with their places in the flat output, largest first, the first of equals first."""
    if output.dtype.kind not in "biuf":
        raise ModelError(f"a filter ranks numbers, and the model gives {output.dtype}")
    flat = output.astype(np.float32, copy=False).ravel()
    order = np.argsort(-flat, kind="stable")[:k]
    return [(int(place), float(flat[place])) for place in order]


def _number(value: float) -> str:
    """Return a float32 as short as it can be read back."""
    return np.format_float_positional(np.float32(value), unique=True, trim="0") if math.isfinite(value) else str(value)


def _pairs(output: Array, k: int) -> str:
    return "[" + "".join(f"[{place},{_number(value)}]" for place, value in _best(output, k)) + "]"


def _json(pairs: list[tuple[int, float]]) -> str:
    spelt = (f"[{place},{_number(value) if math.isfinite(value) else 'null'}]" for place, value in pairs)
    return f"[{','.join(spelt)}]"


def _rows(output: Array, k: int) -> str:
    squeezed = output[:, 0] if output.ndim == 3 and output.shape[1] == 1 else output
    if squeezed.ndim != 2 or squeezed.dtype.kind not in "biuf":
        raise ModelError(f"pickTopN takes a table of numbers, and the model gives shape {list(output.shape)}")
    rows = squeezed[:k].astype(np.float32, copy=False)
    return "[" + "".join("[" + ",".join(map(_number, row.tolist())) + "]" for row in rows) + "]"
