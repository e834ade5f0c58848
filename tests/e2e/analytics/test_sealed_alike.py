"""What Spark's own reader may read of sealed Parquet."""

import io
from decimal import Decimal

import pytest

pa = pytest.importorskip("pyarrow", reason="needs pip install 'strongroom[analytics]'")
pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

import pyarrow.parquet as pq  # noqa: E402

from strongroom.analytics.context.alike import plain_sizes  # noqa: E402
from strongroom.analytics.keys.rings import RingKeys  # noqa: E402
from strongroom.analytics.sealing.read import OpenDataset  # noqa: E402
from strongroom.analytics.sealing.write import DatasetWriter  # noqa: E402
from strongroom.datasets.key_ring import KeyRing  # noqa: E402
from strongroom.datasets.manifest import Kind  # noqa: E402
from strongroom.errors import Tampered  # noqa: E402
from strongroom.sealing.layout import NODE_BYTES  # noqa: E402

KEYS = RingKeys([KeyRing.fresh("people")])
ROWS = pa.table({"id": pa.array([1, 2], pa.int64()), "name": ["Ada", "Bob"]})
SCHEMA = "id bigint, name string"


def parquet(table):
    """Return a table as the bytes of a file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


pytestmark = pytest.mark.usefixtures("trusted_session")  # the JVM reads schemas


@pytest.fixture
def sizes(tmp_path):
    """Return what seals files (path -> table or bytes) and looks whether Spark reads them alike."""

    def sized(files, schema=SCHEMA, kind=Kind.PARQUET):
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        with DatasetWriter(place, KEYS, name="rows", key="people", kind=kind) as writer:
            for path, content in files.items():
                with writer.create(path) as sealed:
                    sealed.write(content if isinstance(content, bytes) else parquet(content))
                    writer.adopt(sealed.finish(), at=writer.staged(path))
            writer.commit(schema=schema)
        with OpenDataset(place, KEYS) as found:
            return plain_sizes(found)

    return sized


def test_plain_columns_that_file_and_schema_have_alike_are_sparks_to_read(sizes):
    plain = parquet(ROWS)
    more = ROWS.append_column("left out", [[1], [2]])
    assert sizes({"a.parquet": ROWS, "day/b.parquet": ROWS.select(["id"]), "c.parquet": more}) == {
        "a.parquet": len(plain), "day/b.parquet": len(parquet(ROWS.select(["id"]))), "c.parquet": len(parquet(more)),
    }  # fmt: skip


def renamed(name):
    """Return the rows with another name for `id`."""
    return ROWS.rename_columns([name, "name"])


def typed(kind, value):
    """Return rows whose `id` has another type."""
    return pa.table({"id": pa.array([value], kind), "name": ["Ada"]})


@pytest.mark.parametrize(
    ("files", "schema"),
    [
        ({}, SCHEMA),
        ({"a.parquet": ROWS}, ""),
        ({"day=1/a.parquet": ROWS}, SCHEMA),
        ({"a.parquet": ROWS}, "id int, name string"),
        ({"a.parquet": ROWS}, "id bigint, ID bigint"),
        ({"a.parquet": ROWS}, "id bigint, name struct<a: int>"),
        ({"a.parquet": ROWS, "b.parquet": typed(pa.int32(), 1)}, SCHEMA),
        ({"a.parquet": renamed("ID")}, SCHEMA),  # Spark would find it, and pyarrow would not
        ({"a.parquet": typed(pa.timestamp("ns"), 1)}, "id timestamp, name string"),
        ({"a.parquet": typed(pa.decimal128(9, 2), Decimal(1))}, "id decimal(9,3), name string"),
        ({"a.parquet": b"no Parquet"}, SCHEMA),
        ({"a.parquet": b""}, SCHEMA),
    ],
)
def test_all_else_is_left_to_format_sealed(sizes, files, schema):
    assert sizes(files, schema) is None


def test_another_kind_of_file_is_none_of_sparks(sizes):
    assert sizes({"a.csv": b"1,Ada\n"}, kind=Kind.CSV) is None


def test_a1_a_footer_that_was_changed_is_refused_by_the_files_name(tmp_path):
    with DatasetWriter(tmp_path, KEYS, name="rows", key="people", kind=Kind.PARQUET) as writer:
        with writer.create("a.parquet") as sealed:
            sealed.write(parquet(pa.table({"id": list(range(9000))})))
            writer.adopt(sealed.finish(), at=writer.staged("a.parquet"))
        writer.commit(schema="id bigint")
    for at in (NODE_BYTES - 1, NODE_BYTES, -1):
        path = tmp_path / "a.parquet"
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + (whole[at + 1 :] if at != -1 else b""))
        with OpenDataset(tmp_path, KEYS) as found, pytest.raises(Tampered, match=r"a\.parquet"):
            plain_sizes(found)
        path.write_bytes(whole)
