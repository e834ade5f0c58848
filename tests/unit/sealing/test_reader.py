"""The random-access reader: an ordinary stream that opens only what it touches, and nothing it has not verified."""

import io
import os
import zipfile

import pytest

from strongroom import sealing
from strongroom.sealing.layout import data_node, table_node
from strongroom.sealing.reader import CACHED_TABLES
from strongroom.sealing.source import MemorySource, StreamSource, read_exactly

GROUP = 96 * 4096


def test_it_opens_only_the_nodes_it_touches(seal, key, plain, counting_source):
    data = plain("touch", 3072 + 40 * GROUP)
    source = counting_source(seal(data))
    with sealing.open_source(source, key, stored_path="a/b") as reader:
        assert source.nodes == {0, 1}
        source.nodes.clear()
        offset = 3072 + 35 * GROUP + 10 * 4096 + 7  # in table 35, which hangs below table 1
        reader.seek(offset)
        assert reader.read(9) == data[offset : offset + 9]
        assert source.nodes == {table_node(1), table_node(35), data_node(35 * 96 + 10)}
        source.nodes.clear()
        assert reader.read(4096) == data[offset + 9 : offset + 9 + 4096]  # two nodes; tables are still known
        assert source.nodes == {data_node(35 * 96 + 10), data_node(35 * 96 + 11)}
        source.nodes.clear()
        reader.seek(100)
        assert reader.read(50) == data[100:150]
        assert source.nodes == set()


def test_a_damaged_node_elsewhere_does_not_disturb_it(seal, key, plain):
    data = plain("elsewhere", 3072 + 10 * 4096)
    broken = bytearray(seal(data))
    broken[4096 * data_node(5)] ^= 1
    with sealing.open_source(MemorySource(broken), key, stored_path="a/b") as reader:
        assert reader.read(3072 + 5 * 4096) == data[: 3072 + 5 * 4096]
        with pytest.raises(sealing.DataTampered) as caught:
            reader.read(1)
        assert caught.value.code == "SR-SEALED-DATA"
        assert f"node {data_node(5)}" in caught.value.sentence
        reader.seek(3072 + 6 * 4096)
        assert reader.read() == data[3072 + 6 * 4096 :]


def test_no_byte_of_a_run_with_a_bad_node_is_handed_out(seal, key, plain):
    data = plain("run", 3072 + 10 * 4096)
    broken = bytearray(seal(data))
    broken[4096 * data_node(0)] ^= 1
    room = bytearray(len(data))
    with sealing.open_source(MemorySource(broken), key, stored_path="a/b") as reader:
        reader.seek(3072)
        with pytest.raises(sealing.DataTampered):
            reader.readinto(room)
        assert not any(room)
        assert not any(reader.tree._run.plain)  # GCM decrypts before it verifies: that must not stay


def test_a_bad_table_below_the_root_is_named(seal, key):
    broken = bytearray(seal(bytes(3072 + GROUP + 1)))
    broken[4096 * table_node(1) + 5] ^= 1
    with pytest.raises(sealing.TableTampered) as caught:
        sealing.unseal_bytes(bytes(broken), key, stored_path="a/b")
    assert caught.value.code == "SR-SEALED-TABLE"
    assert "table 1 (node 98)" in caught.value.sentence


def test_a_bad_root_table_is_found_when_the_file_is_opened(seal, key):
    broken = bytearray(seal(bytes(5000)))
    broken[4096] ^= 1
    with pytest.raises(sealing.RootTampered) as caught:
        sealing.open_source(MemorySource(broken), key, stored_path="a/b")
    assert caught.value.code == "SR-SEALED-ROOT"


def test_the_cache_of_tables_is_bounded_and_loses_nothing(seal, key, plain):
    groups = CACHED_TABLES + 20
    data = plain("cache", 1000) + bytes(groups * GROUP)
    with sealing.open_source(MemorySource(seal(data)), key, stored_path="a/b") as reader:
        for offset in [*range(3000, len(data), GROUP), *range(3000, len(data), 7 * GROUP)]:
            reader.seek(offset)
            assert reader.read(200) == data[offset : offset + 200]
        assert len(reader.tree._tables) == CACHED_TABLES


def test_it_is_an_ordinary_stream(seal, key, plain):
    data = plain("stream", 10_000)
    with sealing.open_source(MemorySource(seal(data)), key, stored_path="a/b") as reader:
        assert reader.readable()
        assert reader.seekable()
        assert not reader.writable()
        assert reader.size == 10_000
        assert reader.stored_path == "a/b"
        assert reader.seek(-5, os.SEEK_END) == 9995
        assert reader.read() == data[-5:]
        assert reader.read(10) == b""
        assert reader.seek(20_000) == 20_000
        assert reader.read() == b""
        assert reader.seek(5000) == 5000
        assert reader.seek(-1000, os.SEEK_CUR) == reader.tell() == 4000
        room = bytearray(3)
        assert reader.readinto(room) == 3
        assert bytes(room) == data[4000:4003]
        with pytest.raises(ValueError, match="cannot seek"):
            reader.seek(-1)
        with pytest.raises(ValueError, match="cannot seek"):
            reader.seek(0, 9)
    assert reader.closed
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)
    assert reader.tree._tables == {}


def test_what_wants_a_seekable_file_can_use_it(seal, key):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("weights", bytes(range(256)) * 100)
    with (
        sealing.open_source(MemorySource(seal(archive.getvalue())), key, stored_path="a/b") as reader,
        zipfile.ZipFile(io.BufferedReader(reader)) as zipped,
    ):
        assert zipped.read("weights") == bytes(range(256)) * 100


def test_a_source_may_be_any_seekable_stream(seal, key, plain):
    data = plain("any", 500_000)
    with sealing.open_source(StreamSource(io.BytesIO(seal(data))), key, stored_path="a/b") as reader:
        reader.seek(400_000)
        assert reader.read() == data[400_000:]
        reader.seek(0)
        assert reader.readall() == data


def test_a_source_that_shrinks_while_it_is_read_is_noticed(seal, key):
    stream = io.BytesIO(seal(bytes(100_000)))
    with sealing.open_source(StreamSource(stream), key, stored_path="a/b") as reader:
        stream.truncate(8192)
        with pytest.raises(sealing.ChangedMeanwhile) as caught:
            reader.read()
    assert caught.value.code == "SR-INPUT-CHANGED"


def test_read_exactly_fills_or_raises():
    room = memoryview(bytearray(4))
    read_exactly(MemorySource(b"abcdef"), room, 2)
    assert bytes(room) == b"cdef"
    with pytest.raises(sealing.ChangedMeanwhile, match="ended at byte 6"):
        read_exactly(MemorySource(b"abcdef"), room, 3)


def test_kd_08_stale_bytes_behind_the_end_are_ignored(seal, key, plain):
    """Gramine 1.7 and later leave a shrunk file's old tail behind (spec 1.6, rule 2)."""
    data = plain("stale", 20_000)
    longer = seal(data)
    with sealing.open_source(MemorySource(longer), key, stored_path=None) as reader:
        metadata = reader.metadata
    for size in (10, 3072, 3073, 9000):
        shrunk = sealing.node0.Metadata(path=metadata.path, size=size, root=metadata.root, head=metadata.head)
        node0 = sealing.node0.seal_metadata(shrunk, key, nonce=os.urandom(32), version=2)
        assert sealing.unseal_bytes(node0 + longer[4096:], key, stored_path="a/b") == data[:size]


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**40, 8192])
def test_a_size_that_the_file_cannot_hold_is_refused_before_anything_is_allocated(key, size):
    metadata = sealing.node0.Metadata(path=b"p", size=size, root=bytes(32), head=b"")
    node0 = sealing.node0.seal_metadata(metadata, key, nonce=bytes(32), version=1)
    with pytest.raises(sealing.Truncated, match="needs"):
        sealing.unseal_bytes(node0, key, stored_path="p")
