"""Data keys under primary keys: in the form of Parquet's key tools, opening under their own id alone."""

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.datasets.names import BadCryptoMode, BadKeyName, CryptoMode, KeyId
from strongroom.datasets.wrapping import (
    BadDataKey,
    BadPrimaryKey,
    WrappedKeyRefused,
    application_secret,
    unwrap,
    wrap,
)
from strongroom.secret import Secret

PRIMARY = Secret(bytes(range(32)))
OTHER = Secret(bytes(range(1, 33)))
PEOPLE = KeyId("people", 3)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_data_key_comes_out_as_it_went_in(size):
    key = Secret(bytes(range(100, 100 + size)))
    assert unwrap(PRIMARY, wrap(PRIMARY, key, PEOPLE), PEOPLE) == key


def test_the_form_is_that_of_parquets_key_tools():
    raw = base64.b64decode(wrap(PRIMARY, Secret(b"k" * 16), PEOPLE))
    assert len(raw) == 44
    with PRIMARY.reveal() as key:
        assert AESGCM(key).decrypt(raw[:12], raw[12:], b"people.3") == b"k" * 16


def test_no_two_wrapped_keys_are_alike():
    key = Secret(b"k" * 16)
    assert len({wrap(PRIMARY, key, PEOPLE) for _ in range(100)}) == 100


def test_a2_an_10_another_key_id_or_version_does_not_open_it():
    wrapped = wrap(PRIMARY, Secret(b"k" * 16), PEOPLE)
    for primary, key_id in [(PRIMARY, KeyId("people", 4)), (PRIMARY, KeyId("orders", 3)), (OTHER, PEOPLE)]:
        with pytest.raises(WrappedKeyRefused) as caught:
            unwrap(primary, wrapped, key_id)
        assert caught.value.code == "SR-DATA-UNWRAP"


def test_a1_an_10_every_flipped_bit_and_every_cut_is_refused():
    raw = base64.b64decode(wrap(PRIMARY, Secret(b"k" * 16), PEOPLE))
    changed = [raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :] for at in range(len(raw))]
    for each in changed + [raw[:size] for size in range(len(raw))] + [raw + b"\0"]:
        with pytest.raises(WrappedKeyRefused):
            unwrap(PRIMARY, base64.b64encode(each).decode(), PEOPLE)


@pytest.mark.parametrize("text", ["", "=", "not base64!", "A" * 81, "QUJD\n", "é"])
def test_what_is_no_wrapped_key_is_refused(text):
    with pytest.raises(WrappedKeyRefused):
        unwrap(PRIMARY, text, PEOPLE)


@pytest.mark.parametrize("size", [0, 8, 15, 17, 33, 64])
def test_a16_a_data_key_of_another_length_is_refused(size):
    with pytest.raises(BadDataKey) as caught:
        wrap(PRIMARY, Secret(bytes(size)), PEOPLE)
    assert caught.value.code == "SR-DATA-KEY"


@pytest.mark.parametrize("raw", [b"", b"k" * 16, b"0123456789abcdef" * 4, bytes(32), b"12345678" * 4])
def test_a3_a16_a_primary_key_is_32_random_bytes_and_no_text(raw):
    with pytest.raises(BadPrimaryKey) as caught:
        wrap(Secret(raw), Secret(b"k" * 16), PEOPLE)
    assert caught.value.code == "SR-DATA-PRIMARY-KEY"


def test_each_application_has_a_secret_of_its_own():
    one, two = application_secret(PRIMARY, "app-1"), application_secret(PRIMARY, "app-2")
    assert one != two
    assert one == application_secret(PRIMARY, "app-1") != application_secret(OTHER, "app-1")
    assert len(bytes.fromhex(one)) == 32


@pytest.mark.parametrize("text", ["people.1", "A_b-9.999999"])
def test_a_key_id_reads_back(text):
    assert str(KeyId.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "people", "people.0", "people.01", ".1", "a b.1", "x" * 51 + ".1", "p.1.2", "p.1000000"]
)
def test_what_is_no_key_id_is_refused(text):
    with pytest.raises(BadKeyName) as caught:
        KeyId.parse(text)
    assert caught.value.code == "SR-DATA-KEY-NAME"


def test_modes_are_read_in_any_case():
    assert CryptoMode.parse("aes_gcm_v1") is CryptoMode.AES_GCM_V1
    with pytest.raises(BadCryptoMode) as caught:
        CryptoMode.parse("rot13")
    assert caught.value.code == "SR-DATA-MODE"
