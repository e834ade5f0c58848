"""Tree arithmetic against the numbers of the specification, and against a tree that is built node by node."""

import pytest

from strongroom.sealing import layout

GROUP = 96 * 4096


@pytest.mark.parametrize(
    ("size", "data", "tables", "nodes"),
    [
        (0, 0, 0, 1),
        (1, 0, 0, 1),
        (3071, 0, 0, 1),
        (3072, 0, 0, 1),
        (3073, 1, 1, 3),
        (4096, 1, 1, 3),
        (7168, 1, 1, 3),
        (7169, 2, 1, 4),
        (393215, 96, 1, 98),
        (396287, 96, 1, 98),
        (396288, 96, 1, 98),
        (396289, 97, 2, 100),
        (12_979_200, 3168, 33, 3202),
        (12_979_201, 3169, 34, 3204),
        (12_999_691, 3174, 34, 3209),
    ],
)
def test_a_size_needs_so_many_nodes(size, data, tables, nodes):
    assert layout.data_count(size) == data
    assert layout.table_count(size) == tables
    assert layout.node_count(size) == nodes
    assert layout.sealed_size(size) == 4096 * nodes
    least, most = layout.plain_size_range(4096 * nodes)
    assert least <= size <= most


def test_every_node_of_a_file_has_one_place():
    size = 3072 + 40 * GROUP + 5
    places = [0]
    places += [layout.table_node(table) for table in range(layout.table_count(size))]
    places += [layout.data_node(data) for data in range(layout.data_count(size))]
    assert sorted(places) == list(range(layout.node_count(size)))


def test_every_table_but_the_root_has_its_own_entry_in_an_earlier_table():
    entries = [layout.parent_of(table) for table in range(1, 2000)]
    assert len(set(entries)) == len(entries)
    for table, (parent, at) in enumerate(entries, start=1):
        assert parent < table
        assert at in range(3072, 4096, 32)
        assert layout.has_children(parent, 2000)


def test_only_tables_with_room_below_have_children():
    assert not layout.has_children(0, 1)
    assert layout.has_children(0, 2)
    assert not layout.has_children(1, 33)
    assert layout.has_children(1, 34)


def test_groups_cover_the_plaintext_behind_the_head_without_gaps():
    size = 3072 + 2 * GROUP + 4097
    assert [layout.group_start(table) for table in range(3)] == [3072, 3072 + GROUP, 3072 + 2 * GROUP]
    assert [layout.group_data_count(table, size) for table in range(4)] == [96, 96, 2, 0]


def test_sizes_near_the_end_of_64_bits_are_only_numbers():
    assert layout.node_count(layout.MAX_SIZE) > 2**52
