"""Names of consumers, answers to probes, what a configuration says of a worker, Redis' clock."""

import asyncio
from types import SimpleNamespace

import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.streaming.worker.assembly import ConsumerName, ConsumerTaken, options_of
from strongroom.streaming.worker.claims import Claims
from strongroom.streaming.worker.clock import RedisClock
from strongroom.streaming.worker.counts import Counts
from strongroom.streaming.worker.health import answer_to
from strongroom.streaming.worker.reports import Report


def config(text, job):
    return QueueConfig.parse(f"jobName: {job}\n{text}".encode())[0]


@pytest.fixture
def name(request, tmp_path):
    """Return what takes a consumer's name for a job of this test alone, and gives it back in the end."""
    held = []

    def take(text="", number=None):
        held.append(ConsumerName(config(text, f"job-{tmp_path.name}"), number))
        return held[-1]

    yield take
    for each in held:
        each.close()


def test_a_name_is_the_hosts_with_a_number_and_the_next_where_it_is_taken(name):
    first, second = name(), name()
    assert first.name.endswith("-1")
    assert second.name.endswith("-2")
    first.close()
    assert name().name == first.name


def test_a_worker_of_several_has_its_number(name):
    assert name(number=3).name.endswith("-3")


def test_a_name_of_ones_own_is_used_once(name):
    assert name("consumerName: ann").name == "ann"
    with pytest.raises(ConsumerTaken) as raised:
        name("consumerName: ann")
    assert raised.value.code == "SR-QUEUE-CONSUMER"
    assert name("consumerName: ann", 2).name == "ann-2"


def test_what_a_configuration_says_of_a_worker():
    predictor = SimpleNamespace(parallelism=2, threads=3)
    text = "batchSize: 5\nbatchTimeoutMicros: 7\nmaxDeliveries: 9\ndefaultDeadlineMs: 11\nclaimIdleMs: 5013"
    made = options_of(config(text, "j"), "c", predictor)
    assert (made.batch_size, made.batch_wait_us, made.max_deliveries) == (5, 7, 9)
    assert (made.default_deadline_ms, made.claim_idle_ms, made.parallelism, made.threads) == (11, 5013, 2, 3)


def test_a_record_counts_as_abandoned_after_three_of_the_slowest_batches_or_five_seconds():
    counts = Counts()
    queue = SimpleNamespace(job=None, bounds=None)
    claims = Claims(queue, SimpleNamespace(claim_idle_ms=None), counts)
    assert claims.idle_ms == 5000
    for _ in range(99):
        counts.batch(1, 0.1)
    counts.batch(1, 4.0)
    assert claims.idle_ms == 12_000
    assert Claims(queue, SimpleNamespace(claim_idle_ms=77), counts).idle_ms == 77


@pytest.mark.parametrize(
    ("method", "path", "ready", "status"),
    [
        ("GET", "/healthz", False, 200),
        ("GET", "/readyz", False, 503),
        ("GET", "/readyz", True, 200),
        ("HEAD", "/readyz", True, 200),
        ("GET", "/metrics", False, 200),
        ("POST", "/healthz", True, 404),
        ("GET", "/", True, 404),
        ("POST", "/model-secure", True, 404),
    ],
)
def test_d12_an_06_probes_are_answered_and_nothing_else(method, path, ready, status):
    assert answer_to(method, path, Report(ready=ready, reason="waiting for the key")).status == status


def test_redis_clock_is_asked_once_in_ten_seconds_and_goes_on_by_itself():
    asked = []

    async def main():
        async def ask():
            asked.append(1)
            return 5_000_000

        clock = RedisClock(ask)
        await clock.refresh()
        await clock.refresh()
        first = clock.now_ms()
        assert 0 <= first - 5_000_000 < 60_000
        while True:
            if clock.now_ms() > first:
                return
            await asyncio.sleep(0)

    asyncio.run(main())
    assert len(asked) == 1
