"""A stand-in for the original's server, as Redis sees it: server_double.py PORT JOB.

Written from what the original was observed to do: a fresh consumer each turn, one record at a time, no XACK, results as
HMSET of `value` alone, `NaN` for what fails, nothing at all for an image that cannot be decoded. `y = 2 t`.
"""

import base64
import sys
import uuid

import numpy as np
import pyarrow as pa
import redis


def predicted(fields):
    with pa.ipc.open_stream(base64.b64decode(fields[b"data"])) as reader:
        column = reader.read_next_batch().column(0)
    numbers = np.array([each for row in column.field("data").to_pylist() if row for each in row], np.float32)
    shape = [each for row in column.field("shape").to_pylist() if row for each in row]
    if numbers.size != 4:
        return "NaN"
    found = (2 * numbers).reshape(shape)
    padded = [*found.shape, *[None] * (found.size - found.ndim)]
    batch = pa.record_batch([pa.array(found.ravel()), pa.array(padded, pa.int32())], names=["data", "shape"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def main(port, job):
    db = redis.Redis(port=int(port), protocol=2)
    db.xgroup_create(job, "serving", id="0-0", mkstream=True)
    print("ready", flush=True)
    while True:
        found = db.xreadgroup("serving", f"consumer-{uuid.uuid4()}", {job: ">"}, count=1, block=100)
        for _, entries in found or ():
            for _, fields in entries:
                if set(fields) != {b"uri", b"data"}:
                    raise SystemExit(f"fields that the original does not know: {sorted(fields)}")
                db.hset(f"cluster-serving_{job}:{fields[b'uri'].decode()}", "value", predicted(fields))


main(*sys.argv[1:])
