"""The client for coroutines: the twin of the one for threads, on the same Redis and worker."""

import asyncio

import numpy as np
import pytest

from strongroom.clusterserving.faults import ModelError, QueueFull, ShapeMismatch
from strongroom.streaming.client import AsyncClient, ResultTimeout, Submission
from strongroom.streaming.link.place import RedisAway


def run(bench, story, **options):
    async def whole():
        async with AsyncClient(**bench.options(**options)) as client:
            await story(client)

    asyncio.run(whole())


def test_coroutines_ask_at_the_same_time_and_each_gets_its_own(bench):
    bench.worker()

    async def story(client):
        asked = [client.predict({"t": np.full(4, at, np.float32)}, timeout_s=30) for at in range(100)]
        assert [each.outputs["y"][0] for each in await asyncio.gather(*asked)] == [2 * at for at in range(100)]

    run(bench, story)
    assert [key for key in bench.left() if key.startswith(("cluster-serving_", "cs-reply_"))] == []


def test_many_records_in_one_go(bench, four):
    bench.worker()

    async def story(client):
        bad, wrong = np.full(4, -1, np.float32), np.zeros(5, np.float32)
        tickets = await client.submit_many([{"t": four}, {"t": bad}, {"t": wrong}])
        results = await client.results(tickets, 20)
        assert results[0].error is None
        assert isinstance(results[1].error, ModelError)
        assert isinstance(results[2].error, ShapeMismatch)
        assert all(each.done for each in tickets)
        with pytest.raises(ModelError):
            await tickets[1].result()

    run(bench, story)


def test_several_coroutines_wait_for_one_ticket_and_one_of_them_gives_up(bench, four):
    worker = bench.worker(free=False)

    async def story(client):
        ticket = await client.submit({"t": four})
        patient = asyncio.create_task(ticket.result(30))
        with pytest.raises(ResultTimeout):
            await ticket.result(0.05)
        gone = asyncio.create_task(ticket.result(30))
        await asyncio.sleep(0)
        gone.cancel()
        worker.free()
        np.testing.assert_array_equal((await patient).outputs["y"], 2 * four)
        with pytest.raises(asyncio.CancelledError):
            await gone

    run(bench, story)


def test_an_03_a_full_queue_refuses_or_is_waited_for(bench, four):
    worker = bench.worker(free=False, bounds={"max_records": 1}, batch_size=1)

    async def story(client):
        first = await client.submit({"t": four})
        with pytest.raises(QueueFull, match=r"1 records .* wait of at most 1"):
            await client.submit({"t": four})
        worker.free()
        second = await client.submit({"t": four}, wait_s=20)
        assert all(each.error is None for each in await client.results([first, second], 20))

    run(bench, story)


def test_whoever_waits_hears_that_redis_is_away(bench, four, own_redis):
    broken = own_redis()
    bench.redis, bench.job = broken, broken.job
    with broken.queue("worker") as group:
        group.make_group()

    async def story():
        client = AsyncClient(**bench.options())
        client._queue.patience_s = 0.1
        ticket = await client.submit({"t": four})
        broken.server.stop()
        waiting = [asyncio.create_task(ticket.result(30)) for _ in range(3)]
        for each in waiting:
            with pytest.raises(RedisAway):
                await each
        with pytest.raises(RedisAway):
            await client.close()

    asyncio.run(story())


def test_d19_a_submission_that_is_given_up_leaves_nothing_to_wait_for_and_may_be_sent_again(bench, four):
    worker = bench.worker(free=False, bounds={"max_records": 1}, batch_size=1)
    both = [Submission(inputs={"t": four}, idempotency_key=f"k{each}") for each in range(2)]

    async def story(client):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.submit_many(both, wait_s=30)
        assert len(client.core.waits) == 0
        worker.free()
        assert all(each.error is None for each in await client.results(await client.submit_many(both, wait_s=20), 20))

    run(bench, story)
