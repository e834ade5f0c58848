"""Records as Redis holds them: what a client writes, a worker reads; every form, and every reason to refuse one."""

import base64

import numpy as np
import pytest

from strongroom.clusterserving import raw, record, sealed
from strongroom.clusterserving.faults import (
    BadRecord,
    InvalidUri,
    ServingError,
    TooLarge,
    Unauthorized,
    UnsealFailed,
    UnsupportedSerde,
)
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.record import Opened, read_record, request_fields
from strongroom.clusterserving.values import Image, Strings
from strongroom.secret import Secret

DENSE = np.array([1, 2, 3, 4], np.float32)
KEY = Secret(b"k" * 32)


def stored(fields):
    """Fields as Redis gives them back."""
    return {name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in fields.items()}


class Boxes:
    """A stand-in for sealing that shows what it was given: the room itself makes no keys."""

    def seal(self, inner, payload, *, uri, response_key):
        with response_key.reveal() as key:
            return "kid1", bytes([inner]) + key + uri.encode() + b"\0" + payload

    def open(self, kid, data, uri, entry_id):
        assert (kid, entry_id) == ("kid1", "5-0")
        name, _, payload = data[33:].partition(b"\0")
        if name != uri.encode():
            raise UnsealFailed("another uri")
        return Opened(data[0], Secret(data[1:33]), payload)


def test_the_plain_form_is_the_originals(arrow_vectors):
    fields = request_fields("my-1", {"t": DENSE})
    assert list(fields) == ["uri", "data"]
    found = read_record("1-0", {b"uri": b"my-1", b"data": base64.b64encode(arrow_vectors["dense"][0])})
    assert (found.entry_id, found.uri, found.instances[0]["t"].tolist()) == ("1-0", "my-1", [1, 2, 3, 4])
    assert read_record("1-0", stored(fields)).instances[0]["t"].tolist() == [1, 2, 3, 4]


def test_an_empty_serde_is_none_at_all():
    assert read_record("1-0", stored(request_fields("u", {"t": DENSE})) | {b"serde": b""}).instances[0]["t"].size == 4


def test_the_json_form_may_hold_several_instances():
    fields = request_fields("u", b'{"instances": [{"t": 1}, {"t": 2}]}')
    assert fields["serde"] == "stream"
    assert [each["t"].tolist() for each in read_record("1-0", stored(fields)).instances] == [[1], [2]]


def test_the_raw_form_has_no_data():
    inputs = {"t": DENSE.astype("f8"), "i": Image(b"x"), "s": ["alone"]}
    fields = request_fields("u", inputs, serde="raw")
    assert "data" not in fields
    (found,) = read_record("1-0", stored(fields)).instances
    assert list(found) == ["t", "i", "s"]
    assert (found["t"].dtype, found["i"], found["s"]) == (np.float64, Image(b"x"), Strings(("alone",)))


def test_what_the_client_asks_for_comes_along():
    fields = request_fields("u", {"t": DENSE}, reply="cs-reply_job:c", deadline_ms=1_700_000_000_000, accept_raw=True)
    found = read_record("1-0", stored(fields))
    assert (found.reply, found.deadline_ms, found.accept_raw) == ("cs-reply_job:c", 1_700_000_000_000, True)
    plain = read_record("1-0", stored(request_fields("u", {"t": DENSE})))
    assert (plain.reply, plain.deadline_ms, plain.accept_raw, plain.response_key) == (None, None, False, None)


@pytest.mark.parametrize("uri", ["a:b", "50%", "a b", "größe/日本", "cluster-serving_x:y:z"])
def test_d16_any_text_is_a_name(uri):
    assert read_record("1-0", stored(request_fields(uri, {"t": DENSE}))).uri == uri


@pytest.mark.parametrize("uri", [b"", b"a\nb", b"a\0", b"x" * 513, b"\xff", "ü".encode() * 257])
def test_other_names_are_refused_without_one(uri):
    with pytest.raises(InvalidUri) as caught:
        read_record("1-0", {b"uri": uri, b"data": b""})
    assert caught.value.code == "SR-QUEUE-URI"
    assert caught.value.uri is None


def test_a_client_cannot_send_a_bad_name():
    with pytest.raises(InvalidUri):
        request_fields("a\nb", {"t": DENSE})


GOOD = stored(request_fields("u", {"t": DENSE}))
BAD = {
    "no data": ({b"uri": b"u"}, BadRecord),
    "no base64": (GOOD | {b"data": b"@@@@"}, BadRecord),
    "base64 without padding": (GOOD | {b"data": GOOD[b"data"].rstrip(b"=") + b"A"}, BadRecord),
    "base64 of several lines": (GOOD | {b"data": GOOD[b"data"][:8] + b"\n" + GOOD[b"data"][8:]}, BadRecord),
    "an unknown serde": (GOOD | {b"serde": b"pickle"}, UnsupportedSerde),
    "a serde of Java's": (GOOD | {b"serde": b"java"}, UnsupportedSerde),
    "a serde that is no word": (GOOD | {b"serde": b"\xff"}, BadRecord),
    "Java's serialization as stream": (GOOD | {b"serde": b"stream", b"data": b"rO0ABXNyABFqYXZh"}, BadRecord),
    "sealed without a kid": ({b"uri": b"u", b"serde": b"sealed", b"data": b"x"}, Unauthorized),
    "a deadline that is no number": (GOOD | {b"deadline": b"soon"}, BadRecord),
    "a negative deadline": (GOOD | {b"deadline": b"-1"}, BadRecord),
    "a deadline beyond all time": (GOOD | {b"deadline": b"9" * 16}, BadRecord),
    "a reply that is not UTF-8": (GOOD | {b"reply": b"\xff"}, BadRecord),
    "a reply beyond the limit": (GOOD | {b"reply": b"x" * 513}, InvalidUri),
    "raw without inputs": ({b"uri": b"u", b"serde": b"raw"}, BadRecord),
}


@pytest.mark.parametrize(("fields", "error"), BAD.values(), ids=BAD.keys())
def test_d08_a_record_that_cannot_be_read_is_a_typed_error_with_its_name(fields, error):
    with pytest.raises(error) as caught:
        read_record("1-0", fields)
    assert caught.value.uri == "u"
    assert caught.value.fault


def test_a_record_beyond_the_limit_is_refused_before_it_is_decoded():
    with pytest.raises(TooLarge) as caught:
        read_record("1-0", GOOD | {b"data": b"@" * 2000}, limits=Limits(max_record_bytes=2000))
    assert caught.value.code == "SR-QUEUE-TOO-LARGE"


@pytest.mark.parametrize("serde", ["sealed", "pickle"])
def test_a_client_cannot_send_what_it_cannot_make(serde):
    with pytest.raises(ServingError) as caught:
        request_fields("u", {"t": DENSE}, serde=serde)
    assert caught.value.code in {"SR-QUEUE-BAD-RECORD", "SR-QUEUE-SERDE"}


@pytest.mark.parametrize("inputs", [{"t": DENSE}, b'{"instances": [{"t": [1, 2, 3, 4]}]}'])
def test_d04_a_sealed_record_goes_through_the_keys_it_was_made_for(inputs):
    fields = stored(request_fields("u", inputs, seal_to=Boxes(), response_key=KEY))
    assert set(fields) == {b"uri", b"serde", b"kid", b"data"}
    found = read_record("5-0", fields, opener=Boxes(), require_sealed=True)
    assert found.instances[0]["t"].tolist() == [1, 2, 3, 4]
    assert found.response_key == KEY
    assert "k" * 32 not in repr(found)


def test_d04_a_sealed_record_under_another_name_does_not_open():
    fields = stored(request_fields("u", {"t": DENSE}, seal_to=Boxes(), response_key=KEY))
    with pytest.raises(UnsealFailed) as caught:
        read_record("5-0", fields | {b"uri": b"v"}, opener=Boxes())
    assert (caught.value.code, caught.value.uri) == ("SR-QUEUE-UNSEAL", "v")


def test_arrow_inside_a_sealed_record_is_read_and_other_forms_are_not(arrow_vectors):
    for inner, data in ((record.ARROW, arrow_vectors["dense"][0]), (record.RAW, raw.to_bytes({"t": DENSE}))):
        kid, box = Boxes().seal(inner, data, uri="u", response_key=KEY)
        fields = {b"uri": b"u", b"serde": b"sealed", b"kid": kid.encode(), b"data": box}
        assert read_record("5-0", fields, opener=Boxes()).instances[0]["t"].tolist() == [1, 2, 3, 4]
    with pytest.raises(UnsupportedSerde) as caught:
        read_record("5-0", fields | {b"data": b"\x07" + box[1:]}, opener=Boxes())
    assert caught.value.code == "SR-QUEUE-SERDE"


def test_an_01_a_queue_for_sealed_records_takes_no_others():
    for fields in (GOOD, stored(request_fields("u", {"t": DENSE}, serde="raw"))):
        with pytest.raises(Unauthorized) as caught:
            read_record("1-0", fields, opener=Boxes(), require_sealed=True)
        assert caught.value.code == "SR-QUEUE-UNAUTHORIZED"


@pytest.mark.parametrize("inner", [record.ARROW, record.JSON, record.RAW, 7])
def test_an_01_an_error_inside_a_sealed_record_repeats_nothing_of_it(inner):
    """The worker writes why a record cannot be read where anybody can see it."""
    payload = b'{"instances": [{"canary": [1, "canary"]}]}'
    kid, box = Boxes().seal(inner, payload, uri="u", response_key=KEY)
    with pytest.raises(ServingError) as caught:
        read_record("5-0", {b"uri": b"u", b"serde": b"sealed", b"kid": kid.encode(), b"data": box}, opener=Boxes())
    assert caught.value.uri == "u"
    assert "canary" not in caught.value.message
    assert caught.value.__cause__ is None


def test_an_01_nothing_of_a_sealed_record_stands_beside_it():
    fields = request_fields("u", {"canary": np.array(["canary"], object)}, seal_to=Boxes(), response_key=KEY)
    del fields["data"]
    assert b"canary" not in b"".join(stored(fields).values())


def test_the_numbers_of_forms_are_those_of_sealing():
    assert tuple(sealed.InnerSerde) == (record.ARROW, record.JSON, record.RAW)
