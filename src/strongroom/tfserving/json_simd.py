"""Regular JSON lists of numbers by simdjson: what `json_fast.py` uses where nothing was compiled.

simdjson reads the numbers; that the list has a shape is proved here. A few lists are counted one by one; where there
are many, what is left of the text without its numbers has to be the brackets and commas of that shape.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import simdjson

from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.json_fast import BUFFERS, Kind, RegularBody
from strongroom.tfserving.tensors import MAX_RANK

MAX_KEPT_BYTES: Final = 16 * 1024 * 1024  # a parser that has read more gives its memory back
_MAX_SHAPES: Final = 8
_FEW_LISTS: Final = 64  # that are looked at one by one
_KINDS: Final[dict[Kind, tuple[str, Kind]]] = {"f": ("d", "d"), "d": ("d", "d"), "q": ("i", "q"), "Q": ("u", "Q")}
_MAX_SHAPE_BYTES: Final = 1024 * 1024  # a frame that is kept
_NUMBERS_AND_BLANKS: Final = b"0123456789+-.eE \t\r\n"


class SimdReader:
    """A parser and the shapes it has seen: bounded memory."""

    def __init__(self) -> None:
        self._parser: Any = simdjson.Parser()
        self._frames: dict[tuple[int, ...], bytes] = {}

    def read(self, raw: bytes | memoryview, body: RegularBody, kind: Kind) -> tuple[tuple[int, ...], Array] | None:
        """Return the shape and the numbers, floats as doubles."""
        of_type, kept = _KINDS[kind]
        raw = bytes(raw)
        try:
            document = self._parser.parse(raw)
            listed = document["instances" if body.by_row else "inputs"]
            if body.alias is not None:
                listed = listed[body.alias]
            shape = _shape(listed)
            values = np.frombuffer(listed.as_buffer(of_type=of_type), BUFFERS[kept])
            if not shape or math.prod(shape) != len(values):
                return None
            few = _lists(shape) <= _FEW_LISTS
            regular = _is_regular(listed, shape) if few else self._is_framed(raw, body, shape)
            if few and regular:  # no list may stand where a number should
                text = np.frombuffer(raw, np.uint8, body.stop - body.start, body.start)
                regular = np.count_nonzero(text == ord("[")) == _lists(shape)
        except (ValueError, TypeError, RuntimeError, KeyError, IndexError):  # what the exact parser may still take
            self._parser = simdjson.Parser()
            return None
        finally:
            document = listed = None  # the parser is used again only when nothing refers to what it read
            if len(raw) > MAX_KEPT_BYTES:
                self._parser = simdjson.Parser()
        return (shape, values) if regular else None

    def _is_framed(self, raw: bytes, body: RegularBody, shape: tuple[int, ...]) -> bool:
        """Return whether nothing but the brackets and commas of this shape stands between the numbers."""
        before, after = (part.translate(None, _NUMBERS_AND_BLANKS) for part in (raw[: body.start], raw[body.stop :]))
        bare = raw.translate(None, _NUMBERS_AND_BLANKS)  # of the whole: a part would be copied first
        frame = self._frame(shape)
        return len(bare) == len(before) + len(frame) + len(after) and bare.startswith(frame, len(before))

    def _frame(self, shape: tuple[int, ...]) -> bytes:
        """Return the brackets and commas of a nested list of this shape."""
        frame = self._frames.get(shape)
        if frame is None:
            frame = b"[" + b"," * (shape[-1] - 1) + b"]"
            for size in reversed(shape[:-1]):
                frame = b"[" + b",".join([frame] * size) + b"]"
            if len(self._frames) >= _MAX_SHAPES:
                self._frames.pop(next(iter(self._frames)))
            if len(frame) <= _MAX_SHAPE_BYTES:
                self._frames[shape] = frame
        return frame


def _shape(listed: Any) -> tuple[int, ...]:  # noqa: ANN401  # simdjson has no types
    """Return the lengths of the first list of each level, () for a list that has none or that is nested too deep."""
    shape: list[int] = []
    while isinstance(listed, simdjson.Array):
        if not len(listed) or len(shape) == MAX_RANK:
            return ()
        shape.append(len(listed))
        listed = listed[0]
    return tuple(shape)


def _lists(shape: tuple[int, ...]) -> int:
    """Return how many lists a nested list of this shape consists of."""
    return sum(math.prod(shape[:level]) for level in range(len(shape)))


def _is_regular(listed: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401  # simdjson has no types
    """Return whether every list has the length of its level."""
    if len(listed) != shape[0]:
        return False
    if len(shape) == 1:
        return True
    return all(isinstance(each, simdjson.Array) and _is_regular(each, shape[1:]) for each in listed)
