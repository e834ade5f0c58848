"""Where data sets can lie: any path or address, none with a password. Their one behaviour is in tests/contracts."""

import pyarrow as pa
import pytest

from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.source.faults import BadDataPlace
from strongroom.analytics.source.places import ArrowFolder, folder_of

TABLE = pa.table({"a": pa.array(range(100), pa.int64())})


@pytest.fixture(params=["local", "arrow"])
def folder(request, tmp_path):
    """Return a folder of this machine, as our own and as Arrow's."""
    return LocalFolder(tmp_path / "d") if request.param == "local" else ArrowFolder(f"file://{tmp_path / 'd'}")


def test_what_is_there_is_not_taken_over_and_what_is_gone_may_be_removed(folder):
    folder.replace("_t/a.csv", b"1")
    folder.take("_t", ["a.csv"])
    folder.replace("_t/a.csv", b"22")
    with pytest.raises(FileExistsError):
        folder.take("_t", ["a.csv"])
    folder.remove("_t", "nowhere/nothing")
    assert folder.sizes() == {"a.csv": 1}


def test_paths_are_taken_as_hadoop_writes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (f"{tmp_path}/d", f"file:{tmp_path}/d", f"file://{tmp_path}/d", "d"):
        assert str(folder_of(path)) == f"{tmp_path}/d"
    assert str(folder_of("s3a://bucket/d?region=eu-1&endpoint_override=localhost:9")) == "s3://bucket/d"


@pytest.mark.parametrize(
    "path",
    ["s3://user:SECRET@bucket/x", "s3://user@bucket/x", "file://elsewhere/x", "nosuch://x/y", "s3://[x/y"],
    ids=["password", "user", "host", "scheme", "broken"],
)
def test_addresses_with_passwords_and_unknown_ones_are_refused(path):
    with pytest.raises(BadDataPlace) as refused:
        folder_of(path)
    assert refused.value.code == "SR-DATA-PLACE"
    assert "SECRET" not in str(refused.value)


def test_a11_data_sets_lie_on_any_file_system(spark_like, monkeypatch):
    monkeypatch.setattr("strongroom.analytics.source.places.LocalFolder", lambda path: ArrowFolder(f"file://{path}"))
    for _ in range(2):
        spark_like.write(TABLE, kind="parquet")
    assert len(spark_like.rows(TABLE.schema)) == 200
    spark_like.write(TABLE, kind="csv", overwrite=True)
    assert spark_like.rows(TABLE.schema) == TABLE.to_pylist()
