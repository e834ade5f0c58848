"""What clients take from workers' heartbeats; whatever is odd in one counts as not said."""

from strongroom.streaming.client.facts import Facts
from strongroom.streaming.link.queue import Bounds
from strongroom.streaming.link.records import Backlog, WorkerSeen


def seen(state):
    return WorkerSeen("w", 0, state)


def test_the_smallest_bound_of_living_workers_counts():
    workers = [
        seen({"limits": {"records": 500, "bytes": 1000, "record_bytes": 10}}),
        seen({"limits": {"records": 50}}),
        seen(None),
    ]
    facts = Facts.of(workers, Bounds())
    assert (facts.alive, facts.requires_sealed) == (2, False)
    assert (facts.bounds.max_records, facts.bounds.max_bytes, facts.bounds.max_record_bytes) == (50, 1000, 10)


def test_odd_heartbeats_say_nothing():
    odd = [
        {"limits": 5},
        {"limits": {"records": True, "bytes": -1, "record_bytes": "7"}},
        {"requires_sealed": "yes"},
        {},
    ]
    facts = Facts.of([seen(each) for each in odd], Bounds(max_records=7))
    assert (facts.alive, facts.requires_sealed, facts.bounds) == (4, False, Bounds(max_records=7))


def test_one_worker_that_wants_sealed_records_is_enough():
    assert Facts.of([seen({}), seen({"requires_sealed": True})], Bounds()).requires_sealed


def test_how_much_waits_is_spelled_out():
    text = Facts(alive=2).spelled(Backlog(3, 400))
    assert text == "3 records (400 bytes) wait of at most 10000 (268435456 bytes), for 2 workers"
