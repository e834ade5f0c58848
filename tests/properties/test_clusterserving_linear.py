"""No record makes its reader do more than linear work, or hold more than linear memory: counted, not timed."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest

from strongroom.clusterserving import raw
from strongroom.clusterserving.arrow_request import decode_inputs, encode_inputs
from strongroom.clusterserving.arrow_result import decode_result, encode_result
from strongroom.clusterserving.instances import parse_instances
from strongroom.clusterserving.values import Strings

SMALL = 2000
TENSOR = pa.struct([("data", pa.list_(pa.float32())), ("shape", pa.list_(pa.int32()))])
TEXTS = pa.struct([("data", pa.list_(pa.string())), ("shape", pa.list_(pa.int32()))])


def stream(column):
    batch = pa.RecordBatch.from_arrays([column], names=["t"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def rows_with_nulls(count):
    return stream(pa.array([{"data": [1.0] if row % 2 else None, "shape": None} for row in range(count)], TENSOR))


def texts_with_nulls(count):
    return stream(pa.array([{"data": ["a", None] * count, "shape": [2 * count]}], TEXTS))


def body(value):
    return json.dumps({"instances": [{"x": value}]})


FAMILIES = {
    "a tensor": (decode_inputs, lambda n: encode_inputs({"t": np.ones(n)})),
    "a tensor in rows, every second null": (decode_inputs, rows_with_nulls),
    "texts, every second null": (decode_inputs, texts_with_nulls),
    "a text of bars": (decode_inputs, lambda n: encode_inputs({"t": [""] * n})),
    "a sparse tensor": (decode_inputs, lambda n: encode_inputs(
        {"t": [np.arange(n)[:, None], np.ones(n), np.array([n])]})),
    "a schema without an end": (decode_inputs, lambda n: b"\xff" * 4 + n.to_bytes(4, "little") + b"\4\0\0\0" * n),
    "a result": (decode_result, lambda n: encode_result([np.ones(n)])),
    "a container of texts": (raw.from_bytes, lambda n: raw.to_bytes({"t": Strings(("a",) * n)})),
    "a container of parts": (raw.from_bytes, lambda n: b"\xff\xff" + bytes(12) * n),
    "a list": (parse_instances, lambda n: body([1] * n)),
    "a list of lists": (parse_instances, lambda n: body([[1]] * n)),
    "a list of nothing": (parse_instances, lambda n: body([[]] * n)),
    "a ragged end": (parse_instances, lambda n: body([[1]] * n + [[1, 2]])),
    "brackets": (parse_instances, lambda n: b'{"instances": ' + b"[" * n),
    "digits": (parse_instances, lambda n: b'{"instances": ' + b"9" * n),
    "names": (parse_instances, lambda n: json.dumps({"instances": [{str(name): 1 for name in range(n)}]})),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_four_times_the_record_is_at_most_about_four_times_the_work(family, work):
    parser, make = FAMILIES[family]
    work(parser, make(SMALL))
    calls, peak = work(parser, make(SMALL))
    more_calls, more_peak = work(parser, make(4 * SMALL))
    assert more_calls <= 4.5 * calls + 500
    assert more_peak <= 4.5 * peak + 500_000
