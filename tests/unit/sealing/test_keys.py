"""Wrap keys: which are refused, and the derived metadata key against a CMAC written out by hand."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from strongroom.sealing import WeakKey, WrapKeyLength, check_wrap_key
from strongroom.sealing.keys import metadata_key
from strongroom.secret import Secret

SAMPLE = bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")


@pytest.mark.parametrize("raw", [SAMPLE, bytes(16), b"\xff" * 16, b"k" * 16])
def test_kd_02_a_publicly_known_or_constant_key_is_refused(raw):
    with pytest.raises(WeakKey) as caught:
        check_wrap_key(Secret(raw))
    assert caught.value.code == "SR-WEAK-KEY"
    assert raw.hex() not in str(caught.value)


@pytest.mark.parametrize("count", [0, 1, 15, 17, 32])
def test_a_wrap_key_has_16_bytes(count):
    with pytest.raises(WrapKeyLength) as caught:
        check_wrap_key(Secret(bytes(range(count))))
    assert caught.value.code == "SR-WRAP-KEY"
    with pytest.raises(WrapKeyLength):
        check_wrap_key(Secret(bytes(range(count))), weak_key=True)


def test_an_ordinary_key_passes_and_a_weak_one_only_by_name():
    check_wrap_key(Secret(bytes(range(16))))
    check_wrap_key(Secret(SAMPLE), weak_key=True)


def cmac_by_hand(key, message):
    """AES-CMAC (RFC 4493) for a message that does not end on a block boundary."""

    def block(data):
        encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 - one block, as CMAC is defined
        return int.from_bytes(encryptor.update(data.to_bytes(16, "big")), "big")

    subkey = block(0)
    for _ in range(2):
        subkey = (subkey << 1) & (2**128 - 1) ^ (0x87 if subkey >> 127 else 0)
    state = 0
    whole, rest = message[: len(message) // 16 * 16], message[len(message) // 16 * 16 :]
    for at in range(0, len(whole), 16):
        state = block(state ^ int.from_bytes(whole[at : at + 16], "big"))
    last = int.from_bytes((rest + b"\x80").ljust(16, b"\0"), "big") ^ subkey
    return block(state ^ last).to_bytes(16, "big")


def test_the_metadata_key_is_the_cmac_of_104_bytes():
    nonce = bytes(range(100, 132))
    message = b"\1\0\0\0" + b"SGX-PROTECTED-FS-METADATA-KEY".ljust(64, b"\0") + nonce + b"\x80\0\0\0"
    assert len(message) == 104
    assert metadata_key(Secret(bytes(range(16))), nonce) == cmac_by_hand(bytes(range(16)), message)
