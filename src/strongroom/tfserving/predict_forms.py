"""The fast way for requests that differ from an earlier one in their numbers only, and for answers of a known shape.

A client asks the same model again and again: names, types, shapes and so every byte but the values are the same. Such
a request is recognised by its length and its other bytes, and its values are read where they lie; nothing is guessed,
because equal bytes mean the same to any parser. What is remembered is bounded. Source: spec `serving-performance.md`
section 4 (a tiny request costs protobuf 3 us, this 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from strongroom.tfserving.datatypes import STORAGE, Array, DataType
from strongroom.tfserving.messages import ModelSpec
from strongroom.tfserving.predict_wire import Memo, PredictCall, Span, parse_and_locate
from strongroom.tfserving.tensors import encode_shape, encode_tensor, length_delimited, value_field, varint

MAX_FORMS: Final = 256
MAX_HEADS: Final = 1024
LARGE_BYTES: Final = 64 * 1024  # of a request, for which a copy of its values counts
_MAX_OF_ONE_LENGTH: Final = 4
_MAX_FIXED_BYTES: Final = 1024
_JOIN_WITHOUT_COPY_FROM: Final = 16 * 1024  # bytes; a view costs more than a copy of a few


@dataclass(frozen=True, slots=True)
class _Form:
    """A request without its values: the bytes between them, and what the whole means."""

    fixed: Sequence[tuple[int, int, bytes]]
    spans: Sequence[tuple[str, np.dtype[np.generic], tuple[int, ...] | None, int, int]]
    call: PredictCall
    memo: Memo
    place: int

    def fits(self, data: bytes | memoryview) -> bool:
        for start, stop, expected in self.fixed:  # noqa: SIM110  # `all` over a generator costs twice as much
            if data[start:stop] != expected:
                return False
        return True

    def read(self, data: bytes | memoryview) -> PredictCall:
        arrays: dict[str, Array] = {}
        for name, dtype, shape, start, count in self.spans:
            array: Array = np.frombuffer(data, dtype, count, start)
            if shape is not None:
                array = array.reshape(shape)
            arrays[name] = array if array.flags.aligned else array.copy()
        return PredictCall(
            model_spec=self.call.model_spec, output_filter=self.call.output_filter, arrays=arrays, memo=self.memo
        )


class PredictForms:
    """Parses PredictRequests, remembering their forms; encodes PredictResponses, remembering their heads.

    `place` is where the values of the largest input began in the last large request, so that a front can put the next
    one into memory where these values need no copy.
    """

    def __init__(self, *, outputs_as_content: bool = False) -> None:
        self._as_content = outputs_as_content
        self.place = 0
        self._by_length: dict[int, list[_Form]] = {}
        self._count = 0
        self._heads: dict[tuple[str, DataType, tuple[int, ...]], bytes | None] = {}
        self._specs: dict[tuple[str, int, str], bytes] = {}

    def parse(self, data: bytes | memoryview) -> PredictCall:
        """Return a PredictRequest, its values views of `data` where they can be. Raises BadMessage."""
        for form in self._by_length.get(len(data), ()):
            if form.fits(data):
                if len(data) >= LARGE_BYTES:
                    self.place = form.place
                return form.read(data)
        call, spans = parse_and_locate(data)
        if len(data) >= LARGE_BYTES:
            self.place = _place(spans)
        if spans:
            self._remember(data, call, spans)
        return call

    def encode(
        self, outputs: Mapping[str, tuple[DataType, Array]], *, name: str, version: int, signature_name: str
    ) -> bytes:
        """Return a PredictResponse. Raises UnsupportedType or BadTensor."""
        parts: list[bytes | Array] = []
        for alias, (kind, array) in outputs.items():
            key = (alias, kind, array.shape)
            try:
                head = self._heads[key]
            except KeyError:
                head = self._head(alias, kind, array.shape)
            if head is None or array.dtype != STORAGE[kind].dtype:
                tensor = encode_tensor(array, kind, as_content=self._as_content)
                parts.append(_entry_head(alias, len(tensor)) + tensor)
                continue
            parts.append(head)
            big = array.nbytes >= _JOIN_WITHOUT_COPY_FROM and array.flags.c_contiguous
            parts.append(array if big else array.tobytes())
        try:
            parts.append(self._specs[name, version, signature_name])
        except KeyError:
            parts.append(self._spec(name, version, signature_name))
        return b"".join(parts)  # type: ignore[arg-type]  # arrays are buffers

    def _remember(self, data: bytes | memoryview, call: PredictCall, spans: Sequence[Span]) -> None:
        ends = [0, *(end for span in spans for end in (span.start, span.stop)), len(data)]
        fixed = [(a, b, bytes(data[a:b])) for a, b in zip(ends[::2], ends[1::2], strict=True) if a != b]
        if sum(b - a for a, b, _ in fixed) > _MAX_FIXED_BYTES:
            return
        if self._count >= MAX_FORMS:
            self._by_length.clear()
            self._count = 0
        forms = self._by_length.setdefault(len(data), [])
        if len(forms) >= _MAX_OF_ONE_LENGTH:
            forms.pop(0)
            self._count -= 1
        own = PredictCall(model_spec=call.model_spec, output_filter=call.output_filter, inputs={}, memo=None)
        memo = Memo({span.name: span.kind for span in spans})
        reading = [_reading(span) for span in spans]
        forms.append(_Form(fixed=fixed, spans=reading, call=own, memo=memo, place=_place(spans)))
        self._count += 1

    def _head(self, alias: str, kind: DataType, shape: tuple[int, ...]) -> bytes | None:
        """Return everything of an output before its values; None where the values are not the array's own bytes."""
        storage = STORAGE[kind]
        head = None
        if storage.dtype.kind != "O" and (self._as_content or storage.exact):
            size = int(np.prod(shape, dtype=object)) * storage.dtype.itemsize
            start = b"\x08" + varint(kind) + length_delimited(2, encode_shape(shape))
            start += varint(value_field(kind, as_content=self._as_content) << 3 | 2) + varint(size)
            head = _entry_head(alias, len(start) + size) + start
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[alias, kind, shape] = head
        return head

    def _spec(self, name: str, version: int, signature_name: str) -> bytes:
        spec = ModelSpec(name=name, signature_name=signature_name)
        spec.version.value = version
        if len(self._specs) >= MAX_HEADS:
            self._specs.clear()
        made = self._specs[name, version, signature_name] = length_delimited(2, spec.SerializeToString())
        return made


def _place(spans: Sequence[Span]) -> int:
    """Return where the values of the largest input begin."""
    return max(spans, key=lambda span: span.stop - span.start).start if spans else 0


def _entry_head(alias: str, tensor_bytes: int) -> bytes:
    """Return a map entry up to its tensor's first byte."""
    inner = length_delimited(1, alias.encode()) + b"\x12" + varint(tensor_bytes)
    return b"\x0a" + varint(len(inner) + tensor_bytes) + inner


def _reading(span: Span) -> tuple[str, np.dtype[np.generic], tuple[int, ...] | None, int, int]:
    dtype = STORAGE[span.kind].dtype
    count = (span.stop - span.start) // dtype.itemsize
    return span.name, dtype, None if span.shape == (count,) else span.shape, span.start, count
