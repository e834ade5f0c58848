"""Redis restarts under load: nothing that was taken in is lost, and nobody has to do anything."""

import asyncio
from dataclasses import replace

import pytest

from strongroom.clusterserving.faults import QueueFull
from strongroom.streaming.link.queue import AsyncQueue, Bounds, Completion, Queue, RedisAway


async def serve(job, expected, stop_after):
    """Work until as many records have a result; return how often each entry was completed."""
    done = {}
    async with AsyncQueue(job.place("worker"), job.job, patience_s=60) as worker:
        while len(done) < expected():
            try:
                entries = list(await worker.read("w", 16, 50))
                entries += (await worker.claim("w", 200, 64)).entries
            except RedisAway:
                continue
            ends = [
                Completion(entry=each, uri=each.fields[b"uri"].decode(), fields={"value": each.fields[b"data"]})
                for each in entries
            ]
            for each, first in zip(entries, await worker.complete_many(ends), strict=True):
                uri = each.fields[b"uri"].decode()
                done[uri] = done.get(uri, 0) + first
            stop_after(len(done))
    return done


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_02_every_record_that_was_taken_has_one_result_across_restarts(own_redis, how):
    job = own_redis(durable=True)
    count, killed = 400, []

    def disturb(done):
        """Restart when a third and two thirds are done: the worker and the clients are in the middle of their work."""
        for share in (count // 3, 2 * count // 3):
            if done >= share and share not in killed:
                killed.append(share)
                getattr(job.server, how)()
                job.server.start()

    async def send():
        async with AsyncQueue(job.place(), job.job, patience_s=60) as client:

            async def one(at):
                return await client.admit({"uri": f"u{at}", "data": str(at)}, idempotency_key=f"k{at}")

            taken = []
            for start in range(0, count, 20):
                taken += await asyncio.gather(*(one(at) for at in range(start, start + 20)))
            return taken

    async def story():
        async with AsyncQueue(job.place("worker"), job.job) as worker:
            await worker.make_group()
        sending = asyncio.create_task(send())
        done = await serve(job, lambda: count, disturb)
        taken = await sending
        async with AsyncQueue(job.place(), job.job) as client, AsyncQueue(job.place("worker"), job.job) as worker:
            assert len(set(taken)) == count
            found = await client.results([f"u{at}" for at in range(count)])
            assert [each[b"value"] for each in found] == [str(at).encode() for at in range(count)]
            assert await worker.pending() == {}
            assert (await client.backlog()).records == 0
        # A completion whose reply was lost is repeated and finds itself done: no record is completed twice.
        assert all(each <= 1 for each in done.values())

    asyncio.run(story())
    assert len(killed) == 2


def test_patience_ends_in_one_sentence(own_redis):
    job = own_redis()
    with Queue(job.place(), job.job, patience_s=0.05) as client:
        client.now_ms()
        job.server.stop()
        with pytest.raises(RedisAway) as caught:
            client.now_ms()
    assert caught.value.code == "SR-REDIS-AWAY"


def test_coroutines_that_wait_are_told_when_redis_ends(own_redis):
    job = own_redis()

    async def story():
        async with AsyncQueue(job.place("worker"), job.job, patience_s=0.01) as worker:
            await worker.make_group()
            waiting = asyncio.create_task(worker.read("w", 1, 60_000))
            while b"xreadgroup" not in job.admin("CLIENT", "LIST"):  # noqa: ASYNC110  # there is nothing to be told by
                await asyncio.sleep(0)  # there is nothing to be told by
            job.server.kill()
            with pytest.raises(RedisAway):
                await waiting

    asyncio.run(story())


def test_a_redis_that_still_loads_is_waited_for(own_redis):
    """Redis takes its time over each key that it loads, and answers LOADING to everything meanwhile."""
    job = own_redis(durable=True)
    with Queue(job.place("worker"), job.job, patience_s=60) as worker:
        worker.make_group()
        job.admin("EVAL", "for i = 1, 3000 do redis.call('SET', 'filler' .. i, 'x') end", 0)
        job.server.stop()
        conf = job.server.home.folder / "redis.conf"
        conf.write_text(conf.read_text() + "key-load-delay 200\n")
        job.server.start(wait=False)
        assert worker.now_ms() > 0
        assert worker.pending() == {}


async def beat(job):
    async with job.aio("worker") as worker:
        await worker.heartbeat("w", "{}")


def test_d02_an_03_a_full_memory_refuses_new_records_and_lets_work_go_on(own_redis):
    job = own_redis(max_memory=8 * 1024 * 1024)
    bounds = Bounds(max_records=10**6, max_bytes=10**9)
    with job.queue("worker") as worker, Queue(job.place(), job.job, bounds) as client:
        worker.make_group()
        taken = []

        def fill():
            while True:
                taken.append(client.admit({"uri": f"u{len(taken)}", "data": b"x" * 100_000}))

        with pytest.raises(QueueFull, match="memory"):
            fill()
        assert not worker.make_group()  # a worker that starts now finds its way
        asyncio.run(beat(job))
        assert [each.name for each in client.workers() if each.alive] == ["w"]
        served = 0
        while entries := worker.read("w", 16):
            ends = [Completion(entry=each, uri=each.fields[b"uri"].decode(), fields={"value": "v"}) for each in entries]
            served += sum(worker.complete_many(ends))
        assert served == len(taken)
        assert all(client.results([f"u{at}" for at in range(len(taken))]))


def test_a_client_finds_redis_again_under_another_process(own_redis):
    job = own_redis(durable=True)
    with job.queue("worker") as worker, Queue(replace(job.place(), timeout_ms=2000), job.job) as client:
        worker.make_group()
        first = client.admit({"uri": "u", "data": "x"})
        job.server.kill()
        job.server.start()
        assert client.admit({"uri": "v", "data": "x"}) > first
        assert client.backlog().records == 2
