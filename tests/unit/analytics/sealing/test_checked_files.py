"""Files that are pinned by their SHA-256 and that somebody changes after they were checked, while they are read."""

import gc
import io
import os
from pathlib import Path

import pytest

from strongroom.analytics.sealing.checked import PIECE_BYTES
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.datasets.manifest import DataFilesChanged

BIG = os.urandom(6 * PIECE_BYTES + 1000)


@pytest.fixture
def stream(pin, keys):
    """Return an open file, checked, and its path."""
    folder = pin({"a.parquet": BIG})
    with OpenDataset(folder, keys) as dataset, dataset.open("a.parquet") as opened:
        opened.path = folder / "a.parquet"
        yield opened


def change(path, at, data=b"changed"):
    """Write into a file that is open elsewhere."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, len(BIG)])
def test_a_checked_file_reads_as_any_other(pin, keys, size):
    folder, plain = pin({"a.parquet": BIG[:size]}), io.BytesIO(BIG[:size])
    with OpenDataset(folder, keys) as dataset, dataset.open("a.parquet") as opened:
        for offset, whence, count in [(0, 0, -1), (0, 0, 10), (5, 1, 300_000), (0, 2, 5), (size // 2, 0, 1), (9, 2, 9)]:
            assert opened.seek(offset, whence) == plain.seek(offset, whence)
            assert opened.read(count) == plain.read(count)
            assert opened.tell() == plain.tell()


def test_kd_25_a_piece_that_is_changed_after_the_check_is_not_handed_out(stream):
    assert stream.read(100) == BIG[:100]
    change(stream.path, PIECE_BYTES + 5)
    stream.seek(0)
    assert stream.read(PIECE_BYTES) == BIG[:PIECE_BYTES]
    with pytest.raises(DataFilesChanged, match=r"a\.parquet was changed while it was read"):
        stream.read(1)
    stream.seek(2 * PIECE_BYTES)
    assert stream.read(10) == BIG[2 * PIECE_BYTES :][:10]


def test_kd_25_a_file_that_is_cut_while_it_is_read_gives_no_byte_more(stream):
    os.truncate(stream.path, PIECE_BYTES)
    stream.seek(PIECE_BYTES)
    with pytest.raises(DataFilesChanged):
        stream.read(1)


def test_a_refused_file_is_closed_once_and_no_other_that_has_its_number_since(pin, keys, tmp_path):
    folder = pin({"a.parquet": BIG})
    change(folder / "a.parquet", 0)
    (tmp_path / "other").write_bytes(b"other")
    with OpenDataset(folder, keys) as dataset:
        before = set(Path("/proc/self/fd").iterdir())
        with pytest.raises(DataFilesChanged) as refused:
            dataset.open("a.parquet")
        assert set(Path("/proc/self/fd").iterdir()) <= before
        with (tmp_path / "other").open("rb") as other:  # takes the lowest number that is free
            del refused  # and with its trace the reader that was never handed out
            gc.collect()
            assert other.read() == b"other"


def test_what_was_refused_once_is_not_handed_out_the_second_time(stream):
    change(stream.path, 0)
    for _ in range(2):
        stream.seek(3)
        with pytest.raises(DataFilesChanged):
            stream.read(1)


def test_a_copy_stops_at_the_change(stream, keys):
    from strongroom.analytics.sealing.read import copy_entry

    found, folder = bytearray(), stream.path.parent

    def take(piece):
        found.extend(piece)
        change(stream.path, 5 * PIECE_BYTES)

    with OpenDataset(folder, keys) as dataset, pytest.raises(DataFilesChanged, match="while it was read"):
        copy_entry(dataset, "a.parquet", take)
    assert BIG.startswith(found)
