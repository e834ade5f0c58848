"""The typed client for threads, against a real Redis with TLS, users and a real worker."""

import threading
import uuid

import numpy as np
import pytest

from strongroom.clusterserving.faults import (
    BadRecord,
    Conflict,
    DeadlineExceeded,
    InvalidUri,
    ModelError,
    QueueFull,
    ServingError,
    ShapeMismatch,
    TooLarge,
)
from strongroom.errors import StrongroomError
from strongroom.streaming.client import Client, ResultTimeout, Submission
from strongroom.streaming.client.tickets import UriBusy


def test_a_record_comes_back_as_a_result_with_the_outputs_names(bench, four):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    ticket = client.submit({"t": four})
    result = ticket.result(timeout_s=20)
    np.testing.assert_array_equal(result.outputs["y"], 2 * four)
    assert result.entry_id == ticket.entry_id
    assert result.uri == ticket.uri
    assert ticket.done


def test_many_records_go_out_together_and_each_gets_its_own_result(bench):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    tickets = client.submit_many([{"t": np.full(4, at, np.float32)} for at in range(600)])
    results = client.results(tickets, timeout_s=30)
    assert [each.outputs["y"][0] for each in results] == [2 * at for at in range(600)]
    assert len({each.uri for each in tickets}) == 600


def test_results_can_be_taken_as_they_come(bench, four):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    tickets = client.submit_many([{"t": four}] * 20)
    assert set(client.as_completed(tickets, timeout_s=20)) == set(tickets)


def test_nothing_of_a_client_is_left_behind(bench, four):
    bench.worker()
    with Client(**bench.options()) as client:
        client.results(client.submit_many([{"t": four}] * 30), timeout_s=20)
        client.submit({"t": four}, uri="chosen").result(timeout_s=20)
    left = [key for key in bench.left() if key.startswith(("cluster-serving_", "cs-reply_", "cs-idem_"))]
    assert left == []


def test_d08_each_failed_record_raises_the_error_that_the_worker_named(bench, four):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    tickets = client.submit_many([{"t": four}, {"t": np.full(4, -1, np.float32)}, {"t": np.zeros(5, np.float32)}])
    np.testing.assert_array_equal(tickets[0].result(20).outputs["y"], 2 * four)
    with pytest.raises(ModelError) as broken:
        tickets[1].result(20)
    assert broken.value.uri == tickets[1].uri
    with pytest.raises(ShapeMismatch):
        tickets[2].result(20)
    assert isinstance(client.results(tickets)[2].error, ShapeMismatch)


def test_a_result_that_takes_too_long_can_be_asked_for_again(bench, four):
    worker = bench.worker(free=False)
    client = bench.open(Client(**bench.options()))
    ticket = client.submit({"t": four})
    with pytest.raises(ResultTimeout) as late:
        ticket.result(timeout_s=0.05)
    assert late.value.code == "SR-QUEUE-RESULT-TIMEOUT"
    worker.free()
    np.testing.assert_array_equal(ticket.result(20).outputs["y"], 2 * four)


def test_an_05_a_record_whose_deadline_passed_gets_a_typed_error_and_no_model_run(bench, four):
    client = bench.open(Client(**bench.options()))
    with bench.redis.queue("worker") as group:
        group.make_group()
    ticket = client.submit({"t": four}, deadline_ms=1)
    while (
        client.submit({"t": four}, deadline_ms=600_000).entry_id.partition("-")[0] <= ticket.entry_id.partition("-")[0]
    ):
        pass  # until Redis' clock has moved on
    bench.worker()
    with pytest.raises(DeadlineExceeded):
        ticket.result(20)


def test_an_03_a_full_queue_refuses_with_how_much_waits_and_loses_nothing(bench, four):
    worker = bench.worker(free=False, bounds={"max_records": 3}, batch_size=1)
    client = bench.open(Client(**bench.options()))
    tickets = [client.submit({"t": four}) for _ in range(3)]
    with pytest.raises(QueueFull, match=r"3 records .* wait of at most 3 .* for 1 workers"):
        client.submit({"t": four})
    refused = client.submit_many([{"t": four}])[0]
    with pytest.raises(QueueFull):
        refused.result(1)
    worker.free()
    tickets.append(client.submit({"t": four}, wait_s=20))
    assert all((each.outputs["y"] == 2 * four).all() for each in client.results(tickets, 20))


def test_a_queue_that_nobody_has_started_says_so(bench, four):
    client = bench.open(Client(**bench.options()))
    with pytest.raises(ServingError) as problem:
        client.submit({"t": four})
    assert problem.value.code == "SR-QUEUE-NOT-READY"


def test_an_idempotency_key_counts_a_record_once_whoever_sends_it(bench, four):
    worker = bench.worker(free=False)
    key = uuid.uuid4().hex
    first = bench.open(Client(**bench.options()))
    second = bench.open(Client(**bench.options()))
    one = first.submit({"t": four}, idempotency_key=key)
    two = second.submit({"t": four}, idempotency_key=key)
    assert one.entry_id == two.entry_id
    assert one.uri == two.uri
    assert bench.redis.admin("XLEN", bench.job.stream) == 1
    with pytest.raises(Conflict) as clash:
        second.submit({"t": -four}, idempotency_key=key, uri="other")
    assert clash.value.code == "SR-QUEUE-CONFLICT"
    worker.free()
    np.testing.assert_array_equal(two.result(20).outputs["y"], 2 * four)
    np.testing.assert_array_equal(one.result(20).outputs["y"], 2 * four)
    assert not any(key in name for name in bench.left())  # Redis sees a hash of it alone


def test_a_uri_that_is_waited_for_is_not_used_twice(bench, four):
    worker = bench.worker(free=False)
    client = bench.open(Client(**bench.options()))
    ticket = client.submit({"t": four}, uri="a")
    with pytest.raises(UriBusy) as busy:
        client.submit({"t": four}, uri="a")
    assert busy.value.code == "SR-QUEUE-URI-BUSY"
    worker.free()
    ticket.result(20)
    client.submit({"t": four}, uri="a").result(20)


@pytest.mark.parametrize("uri", ["a:b", "a%b", "a b", "grün/Ä", "x" * 512, "{tag}", "*"])
def test_d16_a_uri_comes_back_as_it_was(bench, four, uri):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    assert client.submit({"t": four}, uri=uri).result(20).uri == uri


def test_what_cannot_be_sent_is_refused_before_anything_is(bench, four):
    bench.worker(bounds={"max_record_bytes": 1000})
    client = bench.open(Client(**bench.options()))
    for inputs, kind in (({}, BadRecord), ({"t": object()}, BadRecord), ({"t": np.zeros(9000, np.float32)}, TooLarge)):
        with pytest.raises(kind):
            client.submit(inputs)
    for uri in ("a\n", "a\0", "x" * 513):
        with pytest.raises(InvalidUri):
            client.submit({"t": four}, uri=uri)
    assert bench.redis.admin("XLEN", bench.job.stream) == 0


def test_threads_share_a_client(bench):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    seen, problems = {}, []

    def ask(at):
        try:
            for step in range(5):
                value = np.full(4, 100 * at + step, np.float32)
                seen[at, step] = client.predict({"t": value}, timeout_s=30).outputs["y"][0]
        except StrongroomError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    assert seen == {(at, step): 2 * (100 * at + step) for at in range(8) for step in range(5)}


def test_a_lost_notice_does_not_lose_the_result(bench, four):
    worker = bench.worker(free=False)
    client = bench.open(Client(**bench.options()))
    ticket = client.submit({"t": four})
    worker.free()
    while not bench.redis.admin("EXISTS", client.core.reply):
        pass
    bench.redis.admin("DEL", client.core.reply)
    np.testing.assert_array_equal(ticket.result(20).outputs["y"], 2 * four)


def test_submissions_carry_their_own_uri_deadline_and_key(bench, four):
    bench.worker()
    client = bench.open(Client(**bench.options()))
    tickets = client.submit_many(
        [
            Submission(inputs={"t": four}, uri="u", deadline_ms=60_000),
            Submission(inputs={"t": four}, idempotency_key="k"),
        ]
    )
    assert tickets[0].uri == "u"
    assert repr(tickets[0]).startswith("Ticket('u'")
    assert all(each.error is None for each in client.results(tickets, 20))


def test_records_that_wait_for_a_first_worker_are_looked_for_rarely(bench, four):
    def scripts_run():
        used = bench.redis.admin("INFO", "commandstats").decode()
        return int(used.partition("cmdstat_evalsha:calls=")[2].partition(",")[0] or 0)

    with bench.redis.queue("worker") as group:
        group.make_group()
    client = bench.open(Client(**bench.options()))
    ticket = client.submit({"t": four})
    before = scripts_run()
    with pytest.raises(ResultTimeout):
        ticket.result(0.4)
    assert scripts_run() - before <= 2
