"""Sealing what comes in pieces gives the same format as sealing a whole file."""

import os

import pytest

from strongroom import sealing
from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.sealing.stream import SealedWriter
from strongroom.datasets.paths import BadDataPath
from strongroom.sealing.layout import GROUP_PLAIN_BYTES, HEAD_BYTES, NODE_BYTES, sealed_size
from strongroom.secret import Secret

KEY = Secret(b"0123456789abcdef")
SIZES = (
    0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, HEAD_BYTES + NODE_BYTES, HEAD_BYTES + GROUP_PLAIN_BYTES - 1,
    HEAD_BYTES + GROUP_PLAIN_BYTES, HEAD_BYTES + GROUP_PLAIN_BYTES + 1, HEAD_BYTES + 34 * GROUP_PLAIN_BYTES + 7,
)  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [4096, 1_000_003])
def test_every_length_opens_again(tmp_path, size, piece):
    data = os.urandom(size)
    with SealedWriter(LocalFolder(tmp_path).create("part.csv"), KEY, stored_path="part.csv") as stream:
        for at in range(0, size, piece):
            assert stream.write(data[at : at + piece]) == len(data[at : at + piece])
        entry = stream.finish()
    assert entry.size == sealed_size(size) == (tmp_path / "part.csv").stat().st_size
    assert entry.pin == sealing.pin_file(tmp_path / "part.csv")
    sealing.verify_file(tmp_path / "part.csv", KEY, stored_path="part.csv", strict=True)
    with sealing.open(tmp_path / "part.csv", KEY, stored_path="part.csv") as opened:
        assert opened.read() == data


def test_byte_by_byte_is_the_same(tmp_path):
    data = os.urandom(HEAD_BYTES + 5)
    with SealedWriter(LocalFolder(tmp_path).create("x"), KEY, stored_path="x") as stream:
        for at in range(len(data)):
            stream.write(data[at : at + 1])
        stream.finish()
    with sealing.open(tmp_path / "x", KEY, stored_path="x") as opened:
        assert opened.read() == data


def test_what_is_not_finished_leaves_nothing(tmp_path):
    with SealedWriter(LocalFolder(tmp_path).create("x"), KEY, stored_path="x") as stream:
        stream.write(b"canary" * 100_000)
    assert list(tmp_path.iterdir()) == []
    for late in (lambda: stream.write(b"x"), stream.finish):
        with pytest.raises(ValueError, match="closed"):
            late()


def test_a_bad_path_is_refused_before_anything_is_written(tmp_path):
    draft = LocalFolder(tmp_path).create("x")
    with pytest.raises(BadDataPath):
        SealedWriter(draft, KEY, stored_path="../x")
    draft.discard()
    with pytest.raises(sealing.WrapKeyLength):
        SealedWriter(draft, Secret(b"short"), stored_path="x")
    assert list(tmp_path.iterdir()) == []


def test_it_is_an_ordinary_binary_stream(tmp_path):
    import io

    stream = SealedWriter(LocalFolder(tmp_path).create("x"), KEY, stored_path="x")
    with io.TextIOWrapper(io.BufferedWriter(stream), encoding="utf-8", newline="") as text:
        text.write("name,age\nÄ,1\n")
        text.flush()
        stream.finish()
    with sealing.open(tmp_path / "x", KEY, stored_path="x") as opened:
        assert opened.read() == "name,age\nÄ,1\n".encode()
