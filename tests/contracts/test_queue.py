"""One queue, twice: over coroutines and over threads, on a real Redis with TLS, client certificates and users."""

import asyncio
import inspect

import pytest

from strongroom.clusterserving.faults import Conflict, InvalidUri, NotReady, QueueFull, TooLarge
from strongroom.streaming.link.queue import Admission, AsyncQueue, Bounds, Completion, Queue


class Same:
    """A queue whose operations are called in one way, whether they are coroutines or not."""

    def __init__(self, queue, loop):
        self._queue = queue
        self._loop = loop

    def __getattr__(self, name):
        member = getattr(self._queue, name)

        def call(*args, **options):
            outcome = member(*args, **options)
            return self._loop.run_until_complete(outcome) if inspect.isawaitable(outcome) else outcome

        return call


@pytest.fixture(params=[Queue, AsyncQueue], ids=["threads", "coroutines"])
def open_queue(request, redis_job):
    loop = asyncio.new_event_loop()
    opened = []

    def start(role="client", bounds=None, client=None, job=redis_job):
        queue = Same(request.param(job.place(role, client), job.job, bounds), loop)
        opened.append(queue)
        return queue

    yield start
    for queue in opened:
        queue.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def record(uri="u", data=b"0123456789", **more):
    return {"uri": uri, "data": data, **more}


def result(value="v", **more):
    return {"value": value, **more}


def test_a_record_goes_in_and_its_result_comes_out(open_queue, redis_job):
    client, worker = open_queue(), open_queue("worker")
    assert worker.make_group()
    assert not worker.make_group()
    reply = redis_job.job.reply("me")
    entry_id = client.admit(record("a:b %é", reply=reply))
    (entry,) = worker.read("w", 10)
    assert (entry.entry_id, entry.deliveries) == (entry_id, 1)
    assert entry.fields[b"uri"].decode() == "a:b %é"
    assert worker.complete_many([Completion(entry=entry, uri="a:b %é", fields=result(id=entry_id), reply=reply)]) == [
        True
    ]
    assert client.replies("me", wait_ms=1000) == ["a:b %é"]
    assert client.result("a:b %é") == {b"value": b"v", b"id": entry_id.encode()}
    assert client.result("a:b %é", forget=True) is not None
    assert client.result("a:b %é") is None


def test_d01_nothing_is_left_behind_by_a_record_that_was_served(open_queue):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit_many([Admission(record(f"u{each}")) for each in range(100)])
    while entries := worker.read("w", 32):
        worker.complete_many([Completion(entry=each, uri="u", fields=result()) for each in entries])
    assert worker.pending() == {}
    assert worker.consumers() == {"w": 0}
    backlog = client.backlog()
    assert (backlog.records, backlog.bytes) == (0, 0)


def test_an_02_who_completes_first_writes_the_only_result(open_queue):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit(record())
    (entry,) = worker.read("w", 1)
    first = Completion(entry=entry, uri="u", fields=result("first"))
    late = Completion(entry=entry, uri="u", fields=result("late"))
    assert worker.complete_many([first, late]) == [True, False]
    assert client.result("u") == {b"value": b"first"}


def test_a_queue_that_nobody_made_takes_nothing(open_queue):
    with pytest.raises(NotReady):
        open_queue().admit(record())


def test_d02_an_03_a_full_queue_refuses_new_work_and_keeps_the_old(open_queue, redis_job):
    client, worker = open_queue(bounds=Bounds(max_records=3)), open_queue("worker")
    worker.make_group()
    taken = client.admit_many([Admission(record(f"u{each}")) for each in range(5)])
    assert [isinstance(each, QueueFull) for each in taken] == [False, False, False, True, True]
    with pytest.raises(QueueFull):
        client.admit(record("more"))
    assert [each.entry_id for each in worker.read("w", 10)] == taken[:3]


def test_d02_two_jobs_in_one_redis_are_independent(open_queue, redis_job):
    other = redis_job.beside("other")
    here, there = open_queue(bounds=Bounds(max_records=1)), open_queue(bounds=Bounds(max_records=1), job=other)
    open_queue("worker").make_group()
    open_queue("worker", job=other).make_group()
    here.admit(record())
    there.admit(record())
    with pytest.raises(QueueFull):
        here.admit(record("v"))
    assert here.backlog().records == there.backlog().records == 1


def test_bytes_are_bounded_and_counted_down_again(open_queue):
    client, worker = open_queue(bounds=Bounds(max_bytes=25)), open_queue("worker")
    worker.make_group()
    assert isinstance(client.admit(record()), str)
    with pytest.raises(QueueFull):
        client.admit(record("v"))
    assert client.backlog().bytes == len("uriudata0123456789")
    (entry,) = worker.read("w", 1)
    worker.complete_many([Completion(entry=entry, uri="u", fields=result())])
    client.admit(record("v"))


def test_one_record_that_is_larger_than_the_bound_still_goes_into_an_empty_queue(open_queue):
    client = open_queue(bounds=Bounds(max_bytes=5))
    open_queue("worker").make_group()
    assert isinstance(client.admit(record()), str)


def test_the_count_of_bytes_heals_once_the_queue_is_empty(open_queue, redis_job):
    client = open_queue(bounds=Bounds(max_bytes=100))
    open_queue("worker").make_group()
    redis_job.admin("SET", redis_job.job.bytes, 10**12)
    assert isinstance(client.admit(record()), str)
    assert client.backlog().bytes == 18


def test_a_record_too_large_is_refused_before_it_travels(open_queue):
    client = open_queue(bounds=Bounds(max_record_bytes=17))
    open_queue("worker").make_group()
    with pytest.raises(TooLarge):
        client.admit(record())


def test_an_idempotency_key_counts_once_and_binds_the_data(open_queue):
    client = open_queue()
    open_queue("worker").make_group()
    first = client.admit(record(), idempotency_key="k")
    assert client.admit(record(), idempotency_key="k") == first
    with pytest.raises(Conflict):
        client.admit(record(data=b"other"), idempotency_key="k")
    assert client.backlog().records == 1


def test_a_deadline_is_written_by_redis_clock(open_queue):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    before = client.now_ms()
    client.admit(record(), expires_in_ms=60_000)
    (entry,) = worker.read("w", 1)
    assert before + 60_000 <= int(entry.fields[b"deadline"]) <= client.now_ms() + 60_000


def test_d11_every_result_and_reply_list_expires(open_queue, redis_job):
    client, worker = open_queue(), open_queue("worker", bounds=Bounds(result_ttl_ms=50_000, reply_ttl_ms=40_000))
    worker.make_group()
    reply = redis_job.job.reply("me")
    client.admit(record(reply=reply))
    (entry,) = worker.read("w", 1)
    worker.complete_many([Completion(entry=entry, uri="u", fields=result(), reply=reply)])
    assert 0 < redis_job.admin("PTTL", redis_job.job.result("u")) <= 50_000
    assert 0 < redis_job.admin("PTTL", reply) <= 40_000
    client.result("u", linger_ms=500)
    assert 0 < redis_job.admin("PTTL", redis_job.job.result("u")) <= 500


def test_a_result_of_another_entry_is_not_given(open_queue):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit(record())
    (entry,) = worker.read("w", 1)
    worker.complete_many([Completion(entry=entry, uri="u", fields=result(id=entry.entry_id))])
    assert client.result("u", entry_id="1-1", forget=True) is None
    assert client.result("u", entry_id=entry.entry_id) is not None


def test_a_record_that_is_buried_keeps_its_fields_and_has_its_error(open_queue):
    client, worker = open_queue(), open_queue("worker", bounds=Bounds(max_dead=3))
    worker.make_group()
    client.admit_many([Admission(record(f"u{each}", serde="sealed", kid="k")) for each in range(5)])
    entries = worker.read("w", 10)
    ends = [Completion(entry=each, uri=f"u{at}", fields=result("NaN", code="poisoned"), bury="poisoned")
            for at, each in enumerate(entries)]  # fmt: skip
    assert worker.complete_many(ends) == [True] * 5
    letters = worker.dead_letters()
    assert [each.entry_id for each in letters] == [each.entry_id for each in entries[2:]]
    assert all(each.code == "poisoned" and each.buried_ms for each in letters)
    assert letters[-1].fields == entries[-1].fields
    assert client.result("u0") == {b"value": b"NaN", b"code": b"poisoned"}
    assert worker.dead_letters(after=letters[0].letter_id) == letters[1:]
    assert worker.forget_dead([letters[0].letter_id]) == 1
    assert worker.dead_count() == 2


def test_a_record_without_a_name_can_only_be_buried(open_queue):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit({"data": b"x"})
    (entry,) = worker.read("w", 1)
    assert worker.complete_many([Completion(entry=entry, uri=None, fields={}, bury="invalid_uri")]) == [True]
    assert worker.dead_letters()[0].code == "invalid_uri"


@pytest.mark.parametrize("reply", ["{job}", "cluster-serving_{job}:u", "cs-reply_other:me", "anything"])
def test_a_reply_that_is_no_reply_list_of_this_job_is_not_written(open_queue, redis_job, reply):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit(record())
    (entry,) = worker.read("w", 1)
    named = reply.format(job=redis_job.job.name)
    assert worker.complete_many([Completion(entry=entry, uri="u", fields=result(), reply=named)]) == [True]
    assert client.result("u") == {b"value": b"v"}


def test_a_reply_list_of_another_kind_costs_nobody_the_result(open_queue, redis_job):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    redis_job.admin("SET", redis_job.job.reply("me"), "not a list")
    client.admit(record())
    (entry,) = worker.read("w", 1)
    end = Completion(entry=entry, uri="u", fields=result(), reply=redis_job.job.reply("me"))
    assert worker.complete_many([end]) == [True]
    assert client.result("u") == {b"value": b"v"}


def test_a_flood_of_replies_is_bounded_by_time_and_number(open_queue, redis_job, monkeypatch):
    monkeypatch.setattr("strongroom.streaming.link.worker_calls.MAX_REPLIES", 2)
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    client.admit_many([Admission(record(f"u{each}")) for each in range(4)])
    reply = redis_job.job.reply("me")
    worker.complete_many([Completion(entry=each, uri=each.fields[b"uri"].decode(), fields=result(), reply=reply)
                          for each in worker.read("w", 9)])  # fmt: skip
    assert client.replies("me") == ["u2", "u3"]


def test_scripts_that_redis_has_lost_are_sent_again(open_queue, redis_job):
    client, worker = open_queue(), open_queue("worker")
    worker.make_group()
    redis_job.admin("SCRIPT", "FLUSH")
    assert all(
        isinstance(each, str) for each in client.admit_many([Admission(record(f"u{each}")) for each in range(3)])
    )
    redis_job.admin("SCRIPT", "FLUSH")
    entries = worker.read("w", 3)
    assert worker.complete_many([Completion(entry=each, uri="u", fields=result()) for each in entries]) == [True] * 3
    redis_job.admin("SCRIPT", "FLUSH")
    assert client.result("u") == {b"value": b"v"}


def test_a_name_that_no_key_can_have_is_refused(open_queue):
    with pytest.raises(InvalidUri):
        open_queue().result("")
