"""The few CBOR forms that RA-TLS needs, and the many it must refuse."""

import pytest

from strongroom.wire import cbor
from strongroom.wire.cbor import Map, Tag
from strongroom.wire.reader import Malformed


@pytest.mark.parametrize(
    ("encoded", "item"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("190100", 256),
        ("1a00010000", 65536),
        ("1bffffffffffffffff", 2**64 - 1),
        ("20", -1),
        ("3863", -100),
        ("40", b""),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("6161", "a"),
        ("62c3bc", "ü"),
        ("80", ()),
        ("83010203", (1, 2, 3)),
        ("a0", Map(())),
        ("a16161820102", Map((("a", (1, 2)),))),
        ("c11a514b67b0", Tag(1, 1363896240)),
        ("f4", False),
        ("f5", True),
        ("f6", None),
    ],
)
def test_items_of_the_rfc_are_read_and_written(encoded, item):
    assert cbor.decode(bytes.fromhex(encoded)) == item
    assert cbor.encode(item) == bytes.fromhex(encoded)


@pytest.mark.parametrize(
    ("encoded", "item"), [("1801", 1), ("190001", 1), ("5800", b""), ("f93c00", 1.0), ("fb3ff199999999999a", 1.1)]
)
def test_wide_numbers_and_floats_are_read(encoded, item):
    assert cbor.decode(bytes.fromhex(encoded)) == item


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        ("", "head needs 1 bytes"),
        ("18", "number needs 1 bytes"),
        ("1c", "a reserved head"),
        ("5f", "an indefinite length"),
        ("5f4100ff", "an indefinite length"),
        ("9f01ff", "an indefinite length"),
        ("bf6161", "an indefinite length"),
        ("ff", "simple value 31"),
        ("e0", "simple value 0"),
        ("f8ff", "simple value 24"),
        ("4401", "byte string needs 4 bytes"),
        ("5bffffffffffffffff", "byte string needs"),
        ("9bffffffffffffffff", "announces"),
        ("8201", "announces 2 entries with 1 bytes left"),
        ("a161", "announces 1 entries with 1 bytes left"),
        ("62ff00", "not UTF-8"),
        ("0000", "left over"),
        ("81" * 9, "nested deeper"),
        ("c0" * 9, "nested deeper"),
    ],
)
def test_what_is_not_well_formed_is_refused(encoded, says):
    with pytest.raises(Malformed, match=says):
        cbor.decode(bytes.fromhex(encoded))


def test_bytes_after_the_first_item_are_counted_not_read():
    assert cbor.decode_first(b"\x41xjunk") == (b"x", 2)


def test_duplicate_keys_stay_visible():
    assert cbor.decode(bytes.fromhex("a2616101616102")) == Map((("a", 1), ("a", 2)))


def test_what_cannot_be_written_says_so():
    with pytest.raises(TypeError):
        cbor.encode(1.5)
    with pytest.raises(ValueError, match="64 bits"):
        cbor.encode(2**64)
