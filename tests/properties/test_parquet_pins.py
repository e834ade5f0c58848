"""Any change of any byte of an encrypted Parquet data set is refused, whoever reads it."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.parquet.arrow import read_dataset, read_file, write_dataset
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FILE_NAME
from strongroom.errors import StrongroomError

TABLE = pa.table({"name": ["Ada", "Bob"], "salary": [1, 2]})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A data set of one file, its keys, and the bytes of both of its files."""
    keys = RingKeys([KeyRing.fresh("people")])
    folder = tmp_path_factory.mktemp("pins") / "people"
    write_dataset(TABLE, folder, keys, "people")
    return folder, keys, {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.data(), st.integers(1, 255))
def test_no_byte_of_any_file_can_be_changed(dataset, data, change):
    folder, keys, files = dataset
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= change
    (folder / name).write_bytes(content)
    try:
        with pytest.raises(StrongroomError):
            read_dataset(folder, keys)
        if name != FILE_NAME:
            _single_file(folder / name, keys)
    finally:
        (folder / name).write_bytes(files[name])


def _single_file(path, keys):
    """One file alone, without its manifest: refused, or it says what was written (a few bytes say nothing)."""
    try:
        table = read_file(path, keys)
    except StrongroomError:
        return
    assert table.equals(TABLE)


@given(st.data())
def test_no_file_can_be_cut(dataset, data):
    folder, keys, files = dataset
    name = data.draw(st.sampled_from(sorted(files)))
    (folder / name).write_bytes(files[name][: data.draw(st.integers(0, len(files[name]) - 1))])
    try:
        with pytest.raises(StrongroomError):
            read_dataset(folder, keys)
        if name != FILE_NAME:
            with pytest.raises(StrongroomError):
                read_file(folder / name, keys)
    finally:
        (folder / name).write_bytes(files[name])
