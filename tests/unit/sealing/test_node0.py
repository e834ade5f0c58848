"""Node 0: order of the checks, both versions, both magics, and the pin."""

import os

import pytest

from strongroom import sealing
from strongroom.errors import StrongroomError
from strongroom.sealing.node0 import GRAPHENE_MAGIC, Metadata, seal_metadata


def test_the_checks_come_in_the_order_of_the_specification(seal, other_key):
    good = seal(b"x" * 5000)
    wrong_all = b"?" + good[1:8] + b"\x09" + good[9:]
    cases = [
        (b"", sealing.Truncated, "SR-SEALED-TRUNCATED"),
        (wrong_all + b"?", sealing.NotASealedFile, "SR-SEALED-HEADER"),
        (wrong_all, sealing.NotASealedFile, "SR-SEALED-HEADER"),
        (good[:8] + b"\x09" + good[9:], sealing.UnknownVersion, "SR-SEALED-VERSION"),
        (good[:4096], sealing.WrongKeyOrTampered, "SR-SEALED-METADATA"),
    ]
    for data, error, code in cases:
        with pytest.raises(error) as caught:
            sealing.unseal_bytes(data, other_key, stored_path="elsewhere")
        assert caught.value.code == code


def test_the_path_is_checked_before_the_tree(seal, key):
    broken = bytearray(seal(b"x" * 5000))
    broken[4096] ^= 1
    with pytest.raises(sealing.WrongPath):
        sealing.unseal_bytes(bytes(broken), key, stored_path="elsewhere")
    with pytest.raises(sealing.RootTampered):
        sealing.unseal_bytes(bytes(broken), key, stored_path="a/b")


def test_a_wrong_key_and_tampering_are_both_named(seal, other_key):
    with pytest.raises(sealing.WrongKeyOrTampered) as caught:
        sealing.unseal_bytes(seal(b"secret"), other_key, stored_path="a/b")
    assert "not the file's wrap key" in caught.value.sentence
    assert "tampered" in caught.value.sentence


@pytest.mark.parametrize("version", [1, 2])
def test_versions_differ_in_byte_8_and_a_shift_by_one(key, version):
    metadata = Metadata(path=b"p", size=1, root=bytes(32), head=b"x")
    nonce = bytes(32)
    node0 = seal_metadata(metadata, key, nonce=nonce, version=version)
    assert node0[8] == version
    assert node0[57 + version : 57 + version + 3884] == seal_metadata(metadata, key, nonce=nonce, version=1)[58:3942]
    assert not any(node0[57 + version + 3884 :])


def test_no_other_version_can_be_written(key):
    with pytest.raises(sealing.UnknownVersion):
        sealing.seal_bytes(b"", key, stored_path="p", entropy=os.urandom, version=3)


@pytest.mark.parametrize("path", [b"p" * 772, b"p" * 5000])
def test_a_path_that_does_not_fit_is_not_cut_off(key, path):
    with pytest.raises(sealing.BadStoredPath):
        seal_metadata(Metadata(path=path, size=0, root=bytes(32), head=b""), key, nonce=bytes(32), version=1)


def test_graphenes_magic_is_read(seal, key):
    old = GRAPHENE_MAGIC + seal(b"from Graphene")[8:]
    assert sealing.unseal_bytes(old, key, stored_path="a/b") == b"from Graphene"
    assert sealing.parse_header(old[:4096], length=len(old)).magic == b"GRAPH_PF"


@pytest.mark.parametrize("version", [1, 2])
def test_a_pin_stands_for_one_version_of_one_file(seal, version):
    first, second = seal(b"same" * 2000, version=version), seal(b"same" * 2000, version=version)
    assert sealing.pin_of(first[:4096]) != sealing.pin_of(second[:4096])
    padded = first[:4095] + b"\x01" + first[4096:]
    assert sealing.pin_of(padded[:4096]) == sealing.pin_of(first[:4096])
    assert sealing.pin_of(first[:4096]) == sealing.pin_of(first)


def test_kd_09_an_older_version_put_back_is_refused_by_its_pin(seal, key):
    old, new = seal(b"old" * 2000), seal(b"new" * 2000)
    source = sealing.MemorySource(old)
    with pytest.raises(sealing.WrongPin) as caught:
        sealing.open_source(source, key, stored_path="a/b", pin=sealing.pin_of(new))
    assert caught.value.code == "SR-SEALED-PIN"
    with sealing.open_source(source, key, stored_path="a/b", pin=sealing.pin_of(old)) as reader:
        assert reader.read() == b"old" * 2000


def test_nothing_secret_is_in_a_repr(seal, key):
    data = seal(b"very secret")
    with sealing.open_source(sealing.MemorySource(data), key, stored_path=None) as reader:
        assert "secret" not in repr(reader.metadata)
        assert reader.metadata.root.hex() not in repr(reader.metadata)


@pytest.mark.parametrize("length", [1, 10, 57, 58, 100, 4095])
def test_a_node_0_that_is_cut_short_is_truncated(seal, length):
    node0 = seal(b"x")[:4096]
    with pytest.raises(StrongroomError):
        sealing.parse_header(node0[:length], length=length)
    with pytest.raises(sealing.Truncated):
        sealing.parse_header(node0[:length], length=4096)
