"""TFRecord files and their checksum, against published values and TensorFlow's own error texts."""

import os
import random
import struct

import pytest

from strongroom.tfserving.crc32c import crc32c
from strongroom.tfserving.tfrecord import BadRecordFile, read_records, write_records


def bitwise(data):
    """CRC-32C as RFC 3720 defines it, a bit at a time."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_rfc_3720(data, wanted):
    assert crc32c(data) == crc32c(memoryview(data)) == wanted


def test_long_data_has_the_checksum_of_the_plain_rule():
    source = random.Random(1)
    for length in (8191, 8192, 8193, 16383, 16385, *(source.randrange(8192, 30_000) for _ in range(6))):
        data = source.randbytes(length)
        assert crc32c(data) == bitwise(data)
        assert crc32c(bytes(length)) == bitwise(bytes(length))


def test_records_come_back_as_they_were_written():
    records = [b"", b"a", os.urandom(10_000)]
    assert [bytes(record) for record in read_records(write_records(records))] == records
    assert list(read_records(b"")) == []


def test_the_framing_is_tensorflows():
    data = write_records([b"abc"])
    assert struct.unpack_from("<Q", data)[0] == 3
    masked = ((crc32c(b"abc") >> 15 | crc32c(b"abc") << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert data[12:] == b"abc" + masked.to_bytes(4, "little")


def test_every_cut_is_seen():
    whole = write_records([b"abc", b"de"])
    first = len(write_records([b"abc"]))
    for length in range(1, len(whole)):
        if length == first:
            continue
        with pytest.raises(BadRecordFile, match="truncated record at") as caught:
            list(read_records(whole[:length]))
        assert caught.value.code == "SR-TFRECORD"


def test_every_changed_bit_is_seen():
    whole = write_records([b"abc"])
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        with pytest.raises(BadRecordFile, match="corrupted record at 0"):
            list(read_records(bytes(changed)))


def test_a_length_is_not_believed_before_its_checksum():
    with pytest.raises(BadRecordFile, match=r"corrupted record at 0 \(Is this even"):
        list(read_records(b"\xff" * 12 + b"text"))


def test_records_before_the_damage_are_given():
    records = read_records(write_records([b"good", b"bad"])[:-1])
    assert bytes(next(records)) == b"good"
    with pytest.raises(BadRecordFile, match="truncated record at 20"):
        next(records)
