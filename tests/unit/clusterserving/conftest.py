"""The worked examples of the spec (section 4, A to E), and Arrow streams made and read by pyarrow."""

import base64
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "cluster_serving_arrow.json"


@pytest.fixture(scope="session")
def arrow_vectors():
    """Name -> (bytes, SHA-256 hex): dense, sparse, strings, result, two_results."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))
    return {name: (base64.b64decode(case["base64"]), case["sha256"]) for name, case in cases.items()}


@pytest.fixture(scope="session")
def arrow_stream():
    """A function: record batches of one schema as an IPC stream."""

    def write(*batches, **options):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return sink.getvalue()

    return write


@pytest.fixture(scope="session")
def tensor_column():
    """A function: rows (dictionaries of children) as a column of tensors, children and item names as wanted."""

    def make(rows, *, order=("indiceData", "indiceShape", "data", "shape"), item="item", data=None):
        def listed(name):
            return pa.list_(pa.field(item, (data or pa.float32()) if name == "data" else pa.int32()))

        return pa.array(rows, pa.struct([(name, listed(name)) for name in order]))

    return make
