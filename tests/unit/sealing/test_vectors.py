"""Files that Gramine's own tools wrote, whole and tampered with: every one gives its expected result."""

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom import sealing
from strongroom.errors import StrongroomError
from strongroom.sealing.layout import data_count, group_data_count, has_children, parent_of, table_count
from strongroom.sealing.node0 import open_metadata, parse_header
from strongroom.sealing.reader import SealedTree
from strongroom.sealing.source import MemorySource

COUNT = 42
WRITTEN_BY_GRAMINE = 21  # the first ones; the others are tampered copies
ZERO_IV = bytes(12)


def rebuilt(vector):
    """The whole file of a vector; a .compact one gets its data nodes back as its README says, by other code."""
    if not vector.compact:
        return vector.on_disk
    disk, plaintext = vector.on_disk, vector.plaintext
    stored = {node: disk[4096 * at : 4096 * at + 4096] for at, node in enumerate(vector.compact_nodes)}
    metadata = open_metadata(parse_header(stored[0], length=4096 * vector.total_nodes), vector.key)
    tables = {0: AESGCM(metadata.root[:16]).decrypt(ZERO_IV, stored[1] + metadata.root[16:], None)}
    nodes = dict(stored)
    for table in range(1, table_count(vector.size)):
        at = 3072 + 32 * ((table - 1) % 32)
        entry = tables[(table - 1) // 32][at : at + 32]
        tables[table] = AESGCM(entry[:16]).decrypt(ZERO_IV, stored[1 + 97 * table] + entry[16:], None)
    for data in range(data_count(vector.size)):
        entry = tables[data // 96][32 * (data % 96) : 32 * (data % 96) + 32]
        block = plaintext[3072 + 4096 * data : 3072 + 4096 * (data + 1)].ljust(4096, b"\0")
        sealed = AESGCM(entry[:16]).encrypt(ZERO_IV, block, None)
        assert sealed[4096:] == entry[16:]
        nodes[2 + data + data // 96] = sealed[:4096]
    return b"".join(nodes[node] for node in range(vector.total_nodes))


def test_the_index_is_the_one_these_tests_know(gramine_vectors):
    assert len(gramine_vectors) == COUNT


@pytest.mark.parametrize("number", range(COUNT))
def test_a_vector_gives_its_expected_result(gramine_vectors, number):
    vector = gramine_vectors[number]
    assert hashlib.sha256(vector.plaintext).hexdigest() == vector.plaintext_sha256
    data = rebuilt(vector)
    assert hashlib.sha256(data).hexdigest() == vector.encrypted_sha256
    try:
        plaintext = sealing.unseal_bytes(data, vector.key, stored_path=vector.path)
    except StrongroomError as error:
        assert vector.expect.partition("(size")[0] == f"error:{error.kind}"
    else:
        assert vector.expect == "ok"
        assert plaintext == vector.plaintext


@pytest.mark.parametrize("number", range(COUNT))
def test_a_vector_on_disk_leaves_plaintext_only_if_it_is_sound(gramine_vectors, number, tmp_path):
    vector = gramine_vectors[number]
    source, target = tmp_path / "sealed", tmp_path / "plain"
    source.write_bytes(rebuilt(vector))
    try:
        sealing.decrypt_file(source, target, vector.key, stored_path=vector.path)
    except StrongroomError:
        assert vector.expect != "ok"
        assert [path.name for path in tmp_path.iterdir()] == ["sealed"]
    else:
        assert vector.expect == "ok"
        assert target.read_bytes() == vector.plaintext


def node_keys_in_order(data, vector):
    """The keys of a file in the order in which the writer asks for them, and its nonce."""
    header = parse_header(data[:4096], length=len(data))
    metadata = open_metadata(header, vector.key)
    tables = table_count(vector.size)
    tree = SealedTree(MemorySource(data), root=metadata.root, size=metadata.size)

    def table_key(table):
        if table == 0:
            return metadata.root[:16]
        parent, at = parent_of(table)
        return tree.table(parent)[at : at + 16]

    for table in range(tables):
        entries = tree.table(table)
        yield b"".join(entries[32 * at : 32 * at + 16] for at in range(group_data_count(table, vector.size)))
        if not has_children(table, tables):
            yield table_key(table)
    for table in reversed(range(tables)):
        if has_children(table, tables):
            yield table_key(table)
    yield header.nonce


@pytest.mark.parametrize("number", range(WRITTEN_BY_GRAMINE))
def test_our_writer_makes_the_very_bytes_that_gramine_made(gramine_vectors, number):
    vector = gramine_vectors[number]
    data = rebuilt(vector)
    keys = node_keys_in_order(data, vector)

    def entropy(count):
        drawn = next(keys)
        assert len(drawn) == count
        return drawn

    ours = sealing.seal_bytes(vector.plaintext, vector.key, stored_path=vector.path, entropy=entropy,
                              version=vector.format_major)  # fmt: skip
    assert ours == data
    assert next(keys, None) is None


def test_the_pin_ignores_what_is_not_authenticated(gramine_vectors):
    by_file = {vector.file: vector for vector in gramine_vectors}
    pins = {case: sealing.pin_of(by_file[f"d05_4096_v2{case}.pf"].on_disk[:4096])
            for case in ("", ".padding", ".pendingflag", ".extend", ".nonce", ".meta_ct")}  # fmt: skip
    assert pins[""] == pins[".padding"] == pins[".pendingflag"] == pins[".extend"]
    assert len(set(pins.values())) == 3


def test_strict_reading_refuses_the_vector_with_the_pending_flag(gramine_vectors):
    vector = next(vector for vector in gramine_vectors if vector.entry.get("case") == "pendingflag")
    source = MemorySource(vector.on_disk)
    with pytest.raises(sealing.UnfinishedWrite) as caught:
        sealing.open_source(source, vector.key, stored_path=vector.path, strict=True)
    assert caught.value.code == "SR-SEALED-PENDING"
    with sealing.open_source(source, vector.key, stored_path=vector.path) as reader:
        assert reader.summary.pending_write
        assert reader.read() == vector.plaintext
