"""The worker's half of sealed records: which keys count now, and what is a replay."""

import secrets

import pytest

from strongroom.clusterserving.faults import UnsealFailed
from strongroom.clusterserving.sealed import QueueKey, SealTo, UnknownQueueKey, new_response_key
from strongroom.secret import Secret
from strongroom.streaming.model.opener import RecordOpener
from strongroom.streaming.model.predictor import ModelIdentity

IDENTITY = ModelIdentity("resnet50", 3, "0" * 64)


def new_key():
    return QueueKey.from_secret(Secret(secrets.token_bytes(32)))


def sealed_by_client(key, *, uri="u", version=3, payload=b"data"):
    to = SealTo(key.public, "job", "resnet50", version)
    return to.seal(2, payload, uri=uri, response_key=new_response_key())


def opener(*keys, **options):
    made = RecordOpener("job", IDENTITY, **options)
    made.hold(keys)
    return made


def test_a_record_under_any_key_that_is_held_opens():
    old, new = new_key(), new_key()
    both = opener(new, old)
    assert (both.kid, both.kids) == (new.public.kid, (new.public.kid, old.public.kid))
    for key in (old, new):
        kid, data = sealed_by_client(key)
        assert both.open(kid, data, "u", "1-1").payload == b"data"


def test_an_unknown_key_is_no_answer_and_has_the_broker_asked():
    asked = []
    held = opener(new_key(), unknown=lambda: asked.append(1))
    kid, data = sealed_by_client(new_key())
    with pytest.raises(UnknownQueueKey) as unknown:
        held.open(kid, data, "u", "1-1")
    assert unknown.value.code == "SR-QUEUE-KID"
    assert asked == [1]
    assert not isinstance(unknown.value, UnsealFailed)


def test_keys_that_are_let_go_open_nothing_any_more():
    key = new_key()
    held = opener(key)
    kid, data = sealed_by_client(key)
    held.hold(())
    assert (held.kid, held.kids) == ("", ())
    with pytest.raises(UnknownQueueKey):
        held.open(kid, data, "u", "1-1")


def test_sv_05_a_record_for_another_version_does_not_open():
    key = new_key()
    kid, data = sealed_by_client(key, version=2)
    with pytest.raises(UnsealFailed):
        opener(key).open(kid, data, "u", "1-1")


def test_sv_06_the_same_bytes_are_answered_for_one_entry_alone():
    key = new_key()
    held = opener(key)
    kid, data = sealed_by_client(key)
    first = held.open(kid, data, "u", "1-1")
    assert held.open(kid, data, "u", "1-1").payload == first.payload  # redelivered after a crash
    with pytest.raises(UnsealFailed, match="replay"):
        held.open(kid, data, "u", "2-1")


def test_sv_06_at_another_worker_the_replays_result_fits_no_client():
    key = new_key()
    to = SealTo(key.public, "job", "resnet50", 3)
    response_key = new_response_key()
    kid, data = to.seal(2, b"data", uri="u", response_key=response_key)
    opened = opener(key).open(kid, data, "u", "2-1")  # the operator added it once more, another worker took it
    value = opener(key).seal(2, b"answer", uri="u", entry_id="2-1", response_key=opened.response_key)
    with pytest.raises(UnsealFailed):
        to.open(value, uri="u", entry_id="1-1", response_key=response_key)


def test_the_memory_of_replays_is_bounded():
    key = new_key()
    held = opener(key, remembered=2)
    records = [sealed_by_client(key) for _ in range(3)]
    for number, (kid, data) in enumerate(records):
        held.open(kid, data, "u", f"{number}-1")
    held.open(*records[0], "u", "9-1")  # forgotten here; the client's check of the entry id is left
    with pytest.raises(UnsealFailed):
        held.open(*records[2], "u", "9-1")


def test_bytes_that_do_not_open_are_not_remembered():
    key = new_key()
    held = opener(key)
    kid, data = sealed_by_client(key)
    with pytest.raises(UnsealFailed):
        held.open(kid, data[:-1] + bytes((data[-1] ^ 1,)), "u", "1-1")
    assert held.open(kid, data, "u", "2-1").payload == b"data"


def test_a_result_is_sealed_for_record_entry_and_version():
    key, response_key = new_key(), new_response_key()
    value = opener(key).seal(1, b"[]", uri="u", entry_id="1-1", response_key=response_key)
    to = SealTo(key.public, "job", "resnet50", 3)
    assert to.open(value, uri="u", entry_id="1-1", response_key=response_key) == (1, b"[]")
