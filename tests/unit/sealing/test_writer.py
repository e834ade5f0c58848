"""Sealing: fresh keys for everything, flat memory, groups in any order."""

import os
import random

import pytest

from strongroom import sealing
from strongroom.sealing.layout import has_children, table_count
from strongroom.sealing.source import MemorySink, MemorySource
from strongroom.sealing.writer import GroupSealer, Spine, write_node0
from strongroom.secret import Secret

GROUP = 96 * 4096


def test_kd_04_no_key_and_no_nonce_is_used_twice(key):
    drawn = []

    def entropy(count):
        drawn.append(os.urandom(count))
        return drawn[-1]

    data = bytes(3072 + 34 * GROUP)
    sealed = sealing.seal_bytes(data, key, stored_path="a", entropy=entropy)
    assert len(drawn[-1]) == 32
    keys = [part[at : at + 16] for part in drawn[:-1] for at in range(0, len(part), 16)]
    assert len(keys) == len(set(keys)) == 34 * 97
    nodes = [sealed[at : at + 4096] for at in range(0, len(sealed), 4096)]
    assert len(set(nodes)) == len(nodes)  # equal plaintext everywhere, so an equal node would be an equal key


def test_sealing_twice_gives_nothing_in_common(seal):
    first, second = seal(bytes(10_000)), seal(bytes(10_000))
    nodes = [{data[at : at + 4096] for at in range(0, len(data), 4096)} for data in (first, second)]
    assert not nodes[0] & nodes[1]


def test_unused_places_are_zero(seal, key):
    with sealing.open_source(MemorySource(seal(b"x")), key, stored_path=None) as reader:
        assert reader.metadata.root == bytes(32)
        assert reader.metadata.head == b"x".ljust(3072, b"\0")
    with sealing.open_source(MemorySource(seal(b"x" * 3073)), key, stored_path=None) as reader:
        assert reader.tree.table(0)[32:] == bytes(4096 - 32)
        assert bytes(reader.tree.data(0, 1)) == b"x".ljust(4096, b"\0")


def test_groups_may_be_sealed_in_any_order(key, plain):
    data = plain("order", 3072 + 36 * GROUP + 1)
    source, sink, spine = MemorySource(data), MemorySink(), Spine(len(data))
    sealer = GroupSealer(source, sink, size=len(data), entropy=os.urandom)
    tables = list(range(table_count(len(data))))
    random.Random(7).shuffle(tables)
    for table in tables:
        spine.place(table, sealer.seal(table))
    root = spine.finish(sink, os.urandom)
    summary = write_node0(source, sink, key, path=b"a", root=root, entropy=os.urandom, version=2)
    assert summary.size == len(data)
    assert sealing.unseal_bytes(bytes(sink.data), key, stored_path="a") == data


def test_only_inner_tables_wait_for_the_end():
    tables = 3200
    spine = Spine(3072 + tables * GROUP)
    for table in range(tables):
        spine.place(table, bytes(3072 if has_children(table, tables) else 32))
    assert len(spine._inner) == 100


@pytest.mark.parametrize("raw", [bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"), bytes(16)])
def test_kd_02_nothing_is_sealed_or_opened_under_a_public_key(raw):
    with pytest.raises(sealing.WeakKey):
        sealing.seal_bytes(b"", Secret(raw), stored_path="a", entropy=os.urandom)
    with pytest.raises(sealing.WeakKey):
        sealing.unseal_bytes(b"", Secret(raw), stored_path="a")
