"""A primary key's versions: made, rotated, read strictly."""

import base64
import json

import pytest

from strongroom.datasets.key_ring import MAX_VERSIONS, BadKeyRing, KeyRing, UnknownKeyVersion
from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.datasets.wrapping import BadPrimaryKey

KEY = base64.b64encode(bytes(range(32))).decode()


def test_a_ring_reads_back():
    ring = KeyRing.fresh("people").rotated()
    found = KeyRing.parse("people", ring.to_bytes())
    assert found == ring
    assert found.current_id == KeyId("people", 2)
    assert found.key(KeyId("people", 1)) != found.key(KeyId("people", 2))


def test_a16_a_thousand_primary_keys_are_a_thousand_random_ones():
    raws = set()
    for _ in range(1000):
        ring = KeyRing.fresh("people")
        with ring.key(ring.current_id).reveal() as raw:
            raws.add(raw)
    assert len(raws) == 1000
    assert all(len(raw) == 32 for raw in raws)
    ones = sum(int.from_bytes(raw, "big").bit_count() for raw in raws)
    assert abs(ones - 128_000) < 2_000  # eight standard deviations of a fair coin
    assert all(len({raw[at] for raw in raws}) > 200 for at in range(32))  # every byte of a key varies


def test_ending_the_overlap_leaves_the_current_version_alone():
    ring = KeyRing.fresh("people").rotated().current_alone()
    assert ring.current == 2
    with pytest.raises(UnknownKeyVersion) as caught:
        ring.key(KeyId("people", 1))
    assert caught.value.code == "SR-DATA-KEY-VERSION"


def test_another_keys_name_finds_nothing():
    with pytest.raises(UnknownKeyVersion):
        KeyRing.fresh("people").key(KeyId("orders", 1))


def test_a_full_ring_is_not_rotated():
    ring = KeyRing.fresh("people")
    for _ in range(MAX_VERSIONS - 1):
        ring = ring.rotated()
    with pytest.raises(BadKeyRing):
        ring.rotated()


@pytest.mark.parametrize(
    "body",
    [
        [], {}, {"current": 1}, {"current": "1", "keys": {"1": KEY}}, {"current": True, "keys": {"1": KEY}},
        {"current": 2, "keys": {"1": KEY}}, {"current": 1, "keys": []}, {"current": 1, "keys": {"01": KEY}},
        {"current": 1, "keys": {"x": KEY}}, {"current": 1, "keys": {"1": 5}}, {"current": 1, "keys": {}},
        {"current": 1, "keys": {"1": KEY}, "more": 1}, {"current": 1, "keys": {"1000000": KEY, "1": KEY}},
    ],
    ids=lambda body: json.dumps(body).replace(KEY, "KEY")[:60],
)  # fmt: skip
def test_what_is_no_ring_is_refused(body):
    with pytest.raises(BadKeyRing) as caught:
        KeyRing.parse("people", json.dumps(body).encode())
    assert caught.value.code == "SR-DATA-KEY-RING"


@pytest.mark.parametrize("key", ["", "QUJD", "!", base64.b64encode(bytes(32)).decode()])
def test_a16_a_version_that_is_no_key_is_refused(key):
    with pytest.raises(BadPrimaryKey):
        KeyRing.parse("people", json.dumps({"current": 1, "keys": {"1": key}}).encode())


def test_a_ring_has_the_name_of_a_key():
    with pytest.raises(BadKeyName):
        KeyRing.fresh("../people")
