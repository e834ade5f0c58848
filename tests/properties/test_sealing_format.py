"""Sealed files, for all inputs: round trips, random access, no flip or cut unnoticed, no surprise for any bytes."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from strongroom import sealing
from strongroom.errors import StrongroomError
from strongroom.sealing.keys import metadata_key
from strongroom.sealing.layout import group_start, node_count
from strongroom.sealing.node0 import METADATA_BYTES
from strongroom.sealing.paths import check_path, stored_form, to_text
from strongroom.sealing.source import MemorySource
from strongroom.secret import Secret

KEY = Secret(bytes(range(1, 17)))
GROUP = 96 * 4096
SMALL_BOUNDARIES = [0, 1, 3071, 3072, 3073, 4096, 7167, 7168, 7169]
BOUNDARIES = [*SMALL_BOUNDARIES, 393215, 393216, 393217, 396287, 396288, 396289]
SECOND_LEVEL = group_start(33)  # from here on table 1 has a child
PATTERN = os.urandom(8192)

sizes = st.one_of(st.sampled_from(BOUNDARIES), st.integers(0, 3 * GROUP))
small_sizes = st.one_of(st.sampled_from(SMALL_BOUNDARIES), st.integers(0, 20_000))
versions = st.sampled_from([1, 2])


def content(size: int) -> bytes:
    """Bytes that differ from node to node."""
    return b"".join(index.to_bytes(8, "big") + PATTERN[8:4099] for index in range(-(-size // 4099)))[:size]


def seal(data: bytes, version: int = 1, path: str = "a/b") -> bytes:
    return sealing.seal_bytes(data, KEY, stored_path=path, entropy=os.urandom, version=version)


@given(size=sizes, version=versions)
@settings(max_examples=2 * settings.default.max_examples, deadline=None)
def test_what_is_sealed_opens_to_the_same(size, version):
    data = content(size)
    sealed = seal(data, version)
    assert len(sealed) == 4096 * node_count(size)
    assert sealing.unseal_bytes(sealed, KEY, stored_path="a/b") == data


@pytest.mark.parametrize("size", [SECOND_LEVEL - 1, SECOND_LEVEL, SECOND_LEVEL + 1])
def test_the_second_level_of_the_tree_opens_too(size):
    data = content(size)
    assert sealing.unseal_bytes(seal(data), KEY, stored_path="a/b") == data


LARGE = content(SECOND_LEVEL + 5000)
LARGE_SEALED = seal(LARGE)


@given(
    steps=st.lists(
        st.tuples(
            st.one_of(st.integers(0, len(LARGE) + 10), st.sampled_from([0, 3071, 3072, group_start(1), SECOND_LEVEL])),
            st.one_of(st.integers(0, 9000), st.sampled_from([GROUP - 1, GROUP, GROUP + 1, -1])),
            st.booleans(),
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_random_access_reads_equal_slices(steps):
    with sealing.open_source(MemorySource(LARGE_SEALED), KEY, stored_path="a/b") as reader:
        for offset, count, into in steps:
            reader.seek(offset)
            wanted = LARGE[offset:] if count < 0 else LARGE[offset : offset + count]
            if into and count >= 0:
                room = bytearray(count)
                assert room[: reader.readinto(room)] == wanted
            else:
                assert reader.read(count) == wanted
            assert reader.tell() == offset + len(wanted)


def unauthenticated(version: int) -> set[int]:
    """Offsets in node 0 that nothing vouches for: minor version, flags, padding."""
    end = 57 + version + METADATA_BYTES
    return {9, *range(end, 4096)} | ({58} if version == 2 else set())


@given(size=small_sizes, version=versions, node=st.integers(0, 6), where=st.integers(0, 4095), bit=st.integers(0, 7))
@example(size=20_000, version=2, node=0, where=58, bit=0)
@example(size=20_000, version=1, node=0, where=58, bit=0)
@example(size=20_000, version=2, node=0, where=9, bit=3)
@settings(max_examples=10 * settings.default.max_examples, deadline=None)
def test_a_flipped_bit_is_refused_or_harmless_never_believed(size, version, node, where, bit):
    data = content(size)
    flipped = bytearray(seal(data, version))
    at = (4096 * node + where) % len(flipped)
    flipped[at] ^= 1 << bit
    if at in unauthenticated(version):
        assert sealing.unseal_bytes(bytes(flipped), KEY, stored_path="a/b") == data
        return
    opened = bytearray()
    with pytest.raises(StrongroomError):
        open_piecewise(flipped, opened)
    assert data.startswith(bytes(opened))  # what was handed out before the bad node was verified


def open_piecewise(sealed: bytes, opened: bytearray) -> None:
    """Append to `opened` what a reader hands out of `sealed`, piece by piece."""
    with sealing.open_source(MemorySource(sealed), KEY, stored_path="a/b") as reader:
        for piece in reader.pieces(reader.size):
            opened += piece


@given(size=small_sizes, version=versions, data=st.data())
@settings(deadline=None)
def test_a_file_that_ends_early_is_refused(size, version, data):
    sealed = seal(content(size), version)
    for nodes in range(len(sealed) // 4096):
        with pytest.raises(sealing.Truncated):
            sealing.unseal_bytes(sealed[: 4096 * nodes], KEY, stored_path="a/b")
    cut = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(StrongroomError):
        sealing.unseal_bytes(sealed[:cut], KEY, stored_path="a/b")


@given(size=small_sizes, extra=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_whole_nodes_behind_the_end_are_tolerated(size, extra):
    data = content(size)
    assert sealing.unseal_bytes(seal(data) + PATTERN[:4096] * extra, KEY, stored_path="a/b") == data


@given(data=st.binary(max_size=9000))
@settings(max_examples=2 * settings.default.max_examples, deadline=None)
def test_arbitrary_bytes_are_refused_in_order(data):
    for attempt in (
        lambda: sealing.unseal_bytes(data, KEY, stored_path="a/b"),
        lambda: sealing.pin_of(data),
    ):
        with pytest.raises(StrongroomError):
            attempt()


@given(magic=st.sampled_from([b"GRAFS_PF", b"GRAPH_PF"]), version=versions, rest=st.binary(min_size=64, max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_behind_a_good_beginning_are_refused(magic, version, rest):
    data = (magic + bytes([version]) + rest).ljust(8192, b"\x55")
    with pytest.raises(sealing.WrongKeyOrTampered):
        sealing.unseal_bytes(data, KEY, stored_path="a/b")
    assert len(sealing.pin_of(data)) == 32


@given(
    path=st.binary(min_size=1, max_size=772),
    size=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 400_000)),
    root=st.binary(min_size=32, max_size=32),
    body=st.binary(max_size=300),
    nodes=st.integers(0, 5),
)
@settings(max_examples=2 * settings.default.max_examples, deadline=None)
def test_metadata_from_someone_who_has_the_key_but_not_the_manners(path, size, root, body, nodes):
    """Authentic node 0, absurd content: an endless path, a size beyond the file, a root that vouches for nothing."""
    nonce = bytes(32)
    plain = path.ljust(772, b"\0") + size.to_bytes(8, "little") + root + body.ljust(3072, b"\x01")
    sealed = AESGCM(metadata_key(KEY, nonce)).encrypt(bytes(12), plain, None)
    node0 = b"GRAFS_PF\x01\x00" + nonce + sealed[3884:] + sealed[:3884]
    data = node0.ljust(4096, b"\0") + bytes(4096 * nodes)
    stored = path.partition(b"\0")[0]
    if size <= 3072:
        assert sealing.unseal_bytes(data, KEY, stored_path=None) == body.ljust(3072, b"\x01")[:size]
        check_path(stored, to_text(stored))
    else:
        with pytest.raises(StrongroomError):
            sealing.unseal_bytes(data, KEY, stored_path=None)


@given(path=st.text(max_size=600))
@settings(max_examples=2 * settings.default.max_examples)
def test_a_path_is_stored_in_a_form_that_is_stable_or_refused(path):
    try:
        stored = stored_form(path)
    except sealing.BadStoredPath as error:
        assert error.code == "SR-STORED-PATH"
        return
    assert stored_form(to_text(stored)) == stored
    assert len(stored) <= 512
    check_path(stored, path)


@given(path=st.text(min_size=1, max_size=40), other=st.text(min_size=1, max_size=40))
def test_two_paths_match_only_if_they_name_one_file(path, other):
    try:
        stored = stored_form(path)
        same = stored_form(other) == stored
    except sealing.BadStoredPath:
        assume(False)
    if same:
        check_path(stored, other)
    else:
        with pytest.raises(sealing.WrongPath):
            check_path(stored, other)
