"""Strict DER: the one encoding of each value is read, every other is refused."""

from datetime import UTC, datetime

import pytest

from strongroom.errors import BadInput
from strongroom.wire import Malformed, der
from strongroom.wire.der import DerReader, read_whole


def reader(text):
    return DerReader(bytes.fromhex(text))


class Own(BadInput):
    """An error of the caller's own kind."""


@pytest.mark.parametrize(
    ("text", "number"),
    [("020100", 0), ("02017f", 127), ("02020080", 128), ("0201ff", -1), ("020180", -128), ("0202ff7f", -129),
     ("02020100", 256), ("0211" + "7f" + "00" * 16, 0x7F << 128)],
)  # fmt: skip
def test_integers_are_read_in_their_shortest_form(text, number):
    assert reader(text).integer("n") == number


@pytest.mark.parametrize("text", ["0200", "02020000", "0202007f", "0202ffff", "0202ff80", "030100", "0201"])
def test_ev_09_other_integers_are_refused(text):
    with pytest.raises(Malformed):
        reader(text).integer("n")


@pytest.mark.parametrize("size", [1025, 2000, 60_000])
def test_ev_07_numbers_and_identifiers_too_long_to_print_are_refused(size):
    length = b"\x82" + size.to_bytes(2, "big")
    with pytest.raises(Malformed, match="integer"):
        DerReader(b"\x02" + length + b"\x7f" * size).integer("n")
    with pytest.raises(Malformed, match="identifier"):
        DerReader(b"\x06" + length + b"\xff" * (size - 1) + b"\x7f").oid("oid")


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("indefinite length", "30800000"),
        ("long form of a short length", "30810100"),
        ("leading zero in the length", "3082008000" + "00" * 128),
        ("length of the length is reserved", "30ff"),
        ("length of five octets", "30850000000001" + "00"),
        ("length octets cut off", "3082"),
        ("content cut off", "3003020101"[:-2]),
        ("length points far outside", "3084ffffffff"),
        ("multi-byte tag", "1f2400"),
        ("tag alone", "30"),
        ("nothing", ""),
    ],
)
def test_ev_09_other_lengths_and_tags_are_refused(why, text):
    with pytest.raises(Malformed):
        reader(text).any(why)


def test_long_lengths_are_read_in_their_shortest_form():
    for size in (0x80, 0xFF, 0x100, 0xFFFF, 0x10000):
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        encoded = bytes([4, 0x80 | len(octets)]) + octets + bytes(size)
        assert DerReader(encoded).octets("field") == bytes(size)
        with pytest.raises(Malformed):
            DerReader(encoded[:-1]).octets("field")


def test_booleans_are_00_or_ff():
    assert reader("010100").boolean("b") is False
    assert reader("0101ff").boolean("b") is True
    for text in ("010101", "0100", "01020000"):
        with pytest.raises(Malformed):
            reader(text).boolean("b")


def test_octets_may_have_to_be_of_one_size():
    assert reader("0403010203").octets("o", 3) == b"\1\2\3"
    with pytest.raises(Malformed, match="3 bytes, wanted 4"):
        reader("0403010203").octets("o", 4)


@pytest.mark.parametrize(("text", "octets"), [("030100", b""), ("030200ff", b"\xff"), ("03020780", b"\x80")])
def test_bit_strings_are_read(text, octets):
    assert reader(text).bits("bits") == octets


@pytest.mark.parametrize("text", ["0300", "030101", "03020881", "030207c0", "0302010f"])
def test_bit_strings_with_unused_bits_set_are_refused(text):
    with pytest.raises(Malformed):
        reader(text).bits("bits")


@pytest.mark.parametrize(
    ("text", "dotted"),
    [("06092a864886f84d010d01", "1.2.840.113741.1.13.1"), ("0603551d13", "2.5.29.19"), ("060100", "0.0"),
     ("060127", "0.39"), ("060128", "1.0"), ("060150", "2.0"), ("06028837", "2.999")],
)  # fmt: skip
def test_object_identifiers_are_read(text, dotted):
    assert reader(text).oid("oid") == dotted


@pytest.mark.parametrize("text", ["0600", "060180", "06032a8001", "06022a86", "0603558013"])
def test_ev_09_other_object_identifiers_are_refused(text):
    with pytest.raises(Malformed):
        reader(text).oid("oid")


@pytest.mark.parametrize(
    ("tag", "text", "moment"),
    [
        (0x17, "491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (0x17, "500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (0x18, "20610101000000Z", datetime(2061, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(tag, text, moment):
    assert DerReader(bytes([tag, len(text)]) + text.encode()).time("t") == moment


@pytest.mark.parametrize(
    ("tag", "text"),
    [(0x17, "4912312359Z"), (0x17, "491231235959+0000"), (0x17, "491331235959Z"), (0x17, "20610101000000Z"),
     (0x18, "491231235959Z"), (0x18, "20610101000000.5Z"), (0x18, "00000101000000Z"), (0x04, "491231235959Z"),
     (0x17, "49123123595\u0661Z"), (0x17, "")],
)  # fmt: skip
def test_other_times_are_refused(tag, text):
    raw = text.encode()
    with pytest.raises(Malformed):
        DerReader(bytes([tag, len(raw)]) + raw).time("t")


def test_a_structure_is_walked_side_by_side_and_downwards():
    walker = read_whole(bytes.fromhex("300b020105300302010604010a"[:26]), der.SEQUENCE)
    assert walker.integer("first") == 5
    assert [inner.integer("n") for inner in [walker.enter(der.SEQUENCE, "inner")]] == [6]
    assert walker.peek() == der.OCTET_STRING
    assert walker.optional(der.INTEGER, "absent") is None
    assert walker.optional(der.OCTET_STRING, "present").content == b"\x0a"
    assert walker.at_end
    assert walker.peek() is None
    walker.end()


def test_what_is_left_over_is_refused_with_the_callers_error():
    with pytest.raises(Own, match="left over"):
        read_whole(b"\x30\x00\x00", der.SEQUENCE, what="thing", error=Own)
    with pytest.raises(Own, match="thing: field wants tag 02 at offset 0, found tag 30"):
        DerReader(b"\x30\x00", what="thing", error=Own).read(der.INTEGER, "field")
    with pytest.raises(Own, match="found nothing"):
        DerReader(b"", what="thing", error=Own).read(der.INTEGER, "field")


def test_each_wants_one_tag_throughout():
    assert [inner.integer("n") for inner in reader("30030201013003020102").each(der.SEQUENCE, "entry")] == [1, 2]
    with pytest.raises(Malformed):
        list(reader("3003020101020101").each(der.SEQUENCE, "entry"))


def test_context_tags():
    assert der.context(0) == 0xA0
    assert der.context(3, constructed=False) == 0x83
