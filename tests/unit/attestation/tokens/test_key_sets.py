"""Key sets: which keys are taken, which are left out, and which make the whole set unusable."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.attestation.tokens import KeySet, KeySetUnusable
from strongroom.errors import Tampered


def read(*entries, **members):
    return KeySet.parse(json.dumps({"keys": list(entries), **members}).encode(), issuer="https://x", url=None)


@pytest.fixture
def unusable():
    def check(*entries, **members):
        with pytest.raises(KeySetUnusable) as caught:
            read(*entries, **members)
        assert caught.value.code == "SR-TOKEN-KEYS"
        return caught.value.sentence

    return check


def test_a_key_may_come_as_numbers_as_a_certificate_or_as_both(rsa_key, other_key, tools, unusable):
    numbers, certificate = tools["jwk"](rsa_key, "one"), tools["certificate"](rsa_key)
    only = {"kty": "RSA", "kid": "one", "x5c": [certificate, "ignored"]}  # as Azure Attestation publishes them
    for entry in (numbers, only, {**numbers, "x5c": [certificate]}):
        assert read(entry).keys["one"].public_key.public_numbers() == rsa_key.public_key().public_numbers()
    assert "differ" in unusable({**numbers, "x5c": [tools["certificate"](other_key)]})
    assert read(only).keys["one"].thumbprint == read(numbers).keys["one"].thumbprint


def test_keys_of_other_kinds_and_uses_are_left_out(rsa_key, tools, unusable):
    ours = tools["jwk"](rsa_key, "one")
    others = [{"kty": "EC", "kid": "e"}, {"kty": "oct", "k": "AA"}, {**ours, "kid": "x", "use": "enc"}]
    others.append({name: value for name, value in ours.items() if name != "kid"})
    assert list(read(*others, ours).keys) == ["one"]
    unusable(*others)


def test_the_same_key_id_twice_is_unusable(rsa_key, other_key, tools, unusable):
    assert "twice" in unusable(tools["jwk"](rsa_key, "one"), tools["jwk"](other_key, "one"))


def test_weak_keys_are_unusable(tools, unusable):
    for key in (rsa.generate_private_key(65537, 1024), rsa.generate_private_key(3, 2048)):  # noqa: S505  # the point
        unusable(tools["jwk"](key, "one"))
        unusable({"kty": "RSA", "kid": "one", "x5c": [tools["certificate"](key)]})


@pytest.mark.parametrize(
    "members",
    [
        {"n": "AQAB"}, {"e": "AQAB"}, {"n": 5, "e": "AQAB"}, {"n": "!!", "e": "AQAB"}, {"n": "AA", "e": "AQAB"},
        {"n": "A" * 17_000, "e": "AQAB"}, {"x5c": []}, {"x5c": "text"}, {"x5c": [5]}, {"x5c": ["%%%"]},
        {"x5c": [base64.b64encode(b"0\x03\x02\x01\x01").decode()]}, {"x5c": ["\u00e9"]}, {},
    ],
)  # fmt: skip
def test_keys_that_cannot_be_read_are_unusable(members, unusable):
    unusable({"kty": "RSA", "kid": "one", **members})


def test_a_certificate_of_another_kind_of_key_is_unusable(tools, unusable):
    key = ec.generate_private_key(ec.SECP256R1())
    unusable({"kty": "RSA", "kid": "one", "x5c": [tools["certificate"](key)]})


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [1]}', b'{"keys": [], "keys": []}', b"\xff",
     b'{"keys": [' + b'{"kty": "EC"},' * 70 + b'{"kty": "EC"}]}', b" " * 300_000, b"[" * 1000],
)  # fmt: skip
def test_anything_but_a_sound_set_is_unusable(data):
    with pytest.raises(KeySetUnusable):
        KeySet.parse(data, issuer="https://x")


def test_a_key_counts_while_its_certificate_does(maa, tools):
    entry = {"kty": "RSA", "kid": "one", "x5c": [tools["certificate"](maa.key)]}
    keys = maa.keys(entry)
    maa.verify(maa.token(), keys=keys)
    maa.now += timedelta(days=2)
    with pytest.raises(Tampered) as caught:
        maa.verify(maa.token(), keys=keys)
    assert caught.value.code == "SR-TOKEN-KEY-EXPIRED"
