"""Report data: one framing, no two inputs that make the same 64 bytes."""

import hashlib

import pytest

from strongroom.attestation import NonceTooShort, report_data_for

NONCE = bytes(range(32))


def test_the_upper_half_is_zero_and_the_lower_a_digest_of_framed_fields():
    fields = (b"strongroom report data, version 1", b"serve", b"key", NONCE, b"blue")
    transcript = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    assert report_data_for("serve", b"key", NONCE, "blue") == hashlib.sha256(transcript).digest() + bytes(32)


def test_fb_02_moving_a_byte_between_fields_changes_the_digest():
    seen = {
        report_data_for("serve", b"key", NONCE, "blue"),
        report_data_for("serv", b"ekey", NONCE, "blue"),
        report_data_for("serve", b"key" + NONCE[:1], NONCE[1:] + b"b", "lue"),
        report_data_for("serve", b"key", NONCE + b"b", "lue"),
        report_data_for("provision", b"key", NONCE, "blue"),
        report_data_for("serve", b"key2", NONCE, "blue"),
        report_data_for("serve", b"key", NONCE[::-1], "blue"),
        report_data_for("serve", b"key", NONCE, ""),
    }
    assert len(seen) == 8


def test_any_text_can_name_a_deployment():
    assert report_data_for("serve", b"key", NONCE, "\udc80") != report_data_for("serve", b"key", NONCE, "?")


@pytest.mark.parametrize("size", [0, 16, 31])
def test_a_short_nonce_is_refused(size):
    with pytest.raises(NonceTooShort) as caught:
        report_data_for("serve", b"key", bytes(size), "")
    assert caught.value.code == "SR-NONCE"
