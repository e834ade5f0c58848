"""What the queue reads from outside: records, results, and each form that they may have.

Each line of the table is a name, a function that makes the parser, and one that gives sound inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeAlias
from unittest.mock import patch

Parser: TypeAlias = Callable[[bytes], object]
Line: TypeAlias = tuple[str, Callable[[], Parser], Callable[[], Iterable[bytes]]]

_BODY: bytes = b'{"instances":[{"t":[[1.5,2],[3,4]],"s":{"shape":[3],"data":[1],"indices":[[2]]}},{"t":1,"s":"a"}]}'


def _arrow_request() -> Parser:
    """Read a request by the short way for usual records and by the long one: they say the same."""
    from strongroom.clusterserving import arrow_request, arrow_wire
    from strongroom.errors import StrongroomError

    def heard(data: bytes) -> str:
        try:
            return repr(arrow_request.decode_inputs(data))
        except StrongroomError as problem:
            return type(problem).__name__

    def parse(data: bytes) -> object:
        short = heard(data)
        with (
            patch.object(arrow_request, "usual_tensor", lambda *_: None),
            patch.object(arrow_wire, "usual_batch", lambda *_: (None, 0)),
        ):
            long = heard(data)
        if short != long:
            raise AssertionError(f"the short way reads {short}, the long one {long}")
        return short

    return parse


def _arrow_request_seeds() -> Iterable[bytes]:
    import numpy as np

    from strongroom.clusterserving.arrow_request import encode_inputs
    from strongroom.clusterserving.values import Image

    yield encode_inputs({"t": np.ones((2, 2))})
    yield encode_inputs(
        {"s": [np.array([[0, 1]]), np.array([5.0]), np.array([3, 2])], "w": ["a", "b"], "i": Image(b"x")}
    )


def _arrow_result() -> Parser:
    from strongroom.clusterserving.arrow_result import decode_result

    return decode_result


def _arrow_result_seeds() -> Iterable[bytes]:
    import numpy as np

    from strongroom.clusterserving.arrow_result import encode_result

    return [encode_result([np.ones((1, 3)), np.ones(2)]), encode_result([np.ones((1, 1))])]


def _raw_container() -> Parser:
    from strongroom.clusterserving import raw

    return raw.from_bytes


def _raw_container_seeds() -> Iterable[bytes]:
    import numpy as np

    from strongroom.clusterserving import raw
    from strongroom.clusterserving.values import Image, Sparse, Strings

    sparse = Sparse(np.array([[1]]), np.array([1.0]), (2,))
    return [raw.to_bytes({"a": np.ones(2), "b": Strings(("x",)), "c": Image(b"z"), "d": sparse})]


def _instances() -> Parser:
    from strongroom.clusterserving.instances import parse_instances

    return parse_instances


def _record() -> Parser:
    """Read fields, two lines each, as a worker's record and as a client's result."""
    from strongroom.clusterserving.record import read_record, read_result
    from strongroom.errors import StrongroomError

    def parse(data: bytes) -> object:
        lines = data.split(b"\n")
        fields = dict(zip(lines[::2], lines[1::2], strict=False))
        with suppress(StrongroomError):
            read_result("u", fields)
        return read_record("1-0", fields)

    return parse


def _record_seeds() -> Iterable[bytes]:
    yield b'uri\nu\nserde\nraw\nm:t\n{"dtype":"float32","shape":[1]}\nd:t\n0000\ndeadline\n12\naccept\nraw\nvalue\nNaN'
    yield b"uri\nu\nserde\nstream\ndata\n" + _BODY + b"\nvalue\n[[1,2]]\nid\n1-0"
    yield b'uri\nu\nvalue\nNaN\ncode\nbad_image\nmessage\nno JPEG\nshapes\n[[1]]\nnames\n["y"]\ndtype\nint64'


LINES: tuple[Line, ...] = (
    ("arrow-request", _arrow_request, _arrow_request_seeds),
    ("arrow-result", _arrow_result, _arrow_result_seeds),
    ("raw-container", _raw_container, _raw_container_seeds),
    ("instances", _instances, lambda: [_BODY]),
    ("queue-record", _record, _record_seeds),
)
