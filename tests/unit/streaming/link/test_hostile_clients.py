"""What a user of Redis can do to others' records with the few commands it has, and what it cannot."""

import contextlib

import pytest

from strongroom.streaming.link.connection import SyncLink
from strongroom.streaming.link.queue import Completion


@pytest.fixture
def raw(redis_job):
    """Return a function that sends plain commands as a role, and gives replies, or the word of an error."""
    redis_job.make_group()

    def send(role, *commands):
        with contextlib.closing(SyncLink(redis_job.place(role))) as link:
            return [getattr(each, "word", each) for each in link.exchange(list(commands))]

    return send


def finish(redis_job, bury=None):
    """Answer everything that waits, and return what each record was answered."""
    with redis_job.queue("worker") as worker:
        ended = [
            Completion(entry=each, uri=each.fields[b"uri"].decode(), fields={"value": "v"}, bury=bury)
            for each in worker.read("w", 100)
        ]
        return {each.uri: worker.complete_many([each]) for each in ended}


@pytest.mark.parametrize("count", ["abc", "", "nan", "1.5", "-1", "-9223372036854775808", "9" * 30])
def test_an_02_a_spoilt_counter_of_bytes_costs_no_record_its_result(redis_job, raw, count):
    with redis_job.queue() as client:
        client.admit({"uri": "a", "data": "x"})
        assert raw("client", ("SET", redis_job.job.bytes, count)) == [b"OK"]
        assert finish(redis_job) == {"a": [True]}
        assert client.result("a") == {b"value": b"v"}
        client.admit({"uri": "b", "data": "x"})  # an empty queue counts anew
    assert finish(redis_job) == {"b": [True]}


@pytest.mark.parametrize("count", ["abc", "", "nan", "-9223372036854775808"])
def test_an_03_a_counter_that_is_no_number_keeps_nobody_out(redis_job, raw, count):
    with redis_job.queue() as client:
        client.admit({"uri": "a", "data": "x"})
        raw("client", ("SET", redis_job.job.bytes, count))
        assert client.admit({"uri": "b", "data": "x"})


@pytest.mark.parametrize("fields", [3000, 4100, 50_000])
def test_an_02_an_05_a_record_of_ever_so_many_fields_is_answered_and_buried(redis_job, raw, fields):
    words = [word for at in range(fields) for word in (f"f{at}", "v")]
    raw("client", ("XADD", redis_job.job.stream, "*", "uri", "a", "data", "x", *words))
    assert finish(redis_job, bury="bad_record") == {"a": [True]}
    with redis_job.queue() as client, redis_job.queue("worker") as worker:
        assert client.result("a") == {b"value": b"v"}
        (letter,) = worker.dead_letters(count=5)
    assert letter.code == "bad_record"
    assert letter.fields[b"uri"] == b"a"
    assert redis_job.admin("XLEN", redis_job.job.stream) == 0


def test_an_04_a_result_that_answers_another_entry_is_not_taken_for_ours(redis_job, raw):
    """A record may name any uri: what docs/queue.md says of it."""
    with redis_job.queue() as ann:
        mine = ann.admit({"uri": "a", "data": "x"})
        raw("client", ("XADD", redis_job.job.stream, "*", "uri", "a", "data", "forged"))
        with redis_job.queue("worker") as worker:
            for each in worker.read("w", 2):
                fields = {"value": each.fields[b"data"], "id": each.entry_id}
                worker.complete_many([Completion(entry=each, uri="a", fields=fields)])
        assert ann.results(["a"], entry_ids=[mine]) == [None]
        assert ann.result("a")[b"value"] == b"forged"


def test_dp_04_whoever_may_add_to_a_stream_may_trim_it(redis_job, raw):
    """What the rules cannot hold, and docs/queue.md says so: should Redis ever hold it, the page can be shorter."""
    with redis_job.queue() as client:
        client.admit({"uri": "a", "data": "x"})
        raw("client", ("XADD", redis_job.job.stream, "MAXLEN", 1, "*", "uri", "b", "data", "x"))
        assert client.backlog().records == 1


def test_an_01_an_04_a_probe_and_a_client_cannot_look_into_waiting_records(redis_job, raw):
    stream = redis_job.job.stream
    looks = [
        ("XINFO", "STREAM", stream), ("XINFO", "STREAM", stream, "FULL"), ("XRANGE", stream, "-", "+"),
        ("XREAD", "STREAMS", stream, "0"), ("DUMP", stream), ("XCLAIM", stream, "serving", "c", 0, "1-1"),
    ]  # fmt: skip
    for role in ("probe", "client", "frontend", "compat"):
        assert set(raw(role, *looks)) == {"NOPERM"}
    assert (
        raw("client", *[("EVAL", "return redis.call(unpack(ARGV))", 1, stream, *look) for look in looks]) == ["ERR"] * 6
    )
