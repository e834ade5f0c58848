"""What workers do with a queue: take over, take back, live, leave."""

import asyncio
import json

import pytest

from strongroom.streaming.link.queue import Admission, Completion


def run(coroutine):
    return asyncio.run(coroutine)


def waiters(redis_job):
    return sum(b"cmd=blpop" in line for line in redis_job.admin("CLIENT", "LIST").splitlines())


async def until(holds):
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0)  # let the loop turn
    raise AssertionError("it never came to hold")


async def admitted(client, count):
    await client.admit_many([Admission({"uri": f"u{each}", "data": "x"}) for each in range(count)])


def test_an_02_records_of_a_silent_worker_are_claimed_and_counted(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            await admitted(client, 3)
            held = await worker.read("gone", 3)
            claimed = await worker.claim("here", 0, 2)
            assert [each.entry_id for each in claimed.entries] == [each.entry_id for each in held[:2]]
            assert [each.deliveries for each in claimed.entries] == [2, 2]
            rest = await worker.claim("here", 0, 2, claimed.cursor)
            assert [each.deliveries for each in rest.entries] == [2]
            assert await worker.pending() == {"here": 3}

    run(story())


def test_what_is_worked_on_is_not_claimed(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            await admitted(client, 2)
            held = await worker.read("busy", 2)
            assert await worker.keep("busy", [each.entry_id for each in held]) == 2
            assert (await worker.claim("other", 3_600_000, 10)).entries == ()
            await worker.complete_many([Completion(entry=held[0], uri="u0", fields={"value": "v"})])
            assert await worker.keep("busy", [each.entry_id for each in held]) == 1

    run(story())


def test_a_worker_that_comes_back_finds_what_it_held(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            await admitted(client, 5)
            held = await worker.read("w", 5)
            redis_job.admin("XDEL", redis_job.job.stream, held[1].entry_id)
            back = await worker.own("w", count=2)
            assert [each.entry_id for each in back] == [held[at].entry_id for at in (0, 2, 3, 4)]

    run(story())


def test_a_consumer_leaves_only_with_empty_hands(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            await admitted(client, 1)
            (held,) = await worker.read("w", 5)
            assert not await worker.leave("w")
            await worker.complete(Completion(entry=held, uri="u", fields={"value": "v"}))
            assert await worker.leave("w")
            assert await worker.consumers() == {}

    run(story())


def test_clients_see_who_works_without_searching_keys(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            assert await client.workers() == ()
            await worker.heartbeat("w1", json.dumps({"model": "m", "limits": {"records": 5}}))
            await worker.heartbeat("w2", "no JSON")
            first, second = sorted(await client.workers(), key=lambda each: each.name)
            assert first.alive
            assert first.state["limits"] == {"records": 5}
            assert (second.state, second.alive) == ({}, True)
            redis_job.admin("DEL", redis_job.job.worker("w1"))
            assert [each.alive for each in sorted(await client.workers(), key=lambda each: each.name)] == [False, True]
            await worker.farewell(["w1", "w2"])
            assert await client.workers() == ()

    run(story())


def test_a_wait_for_records_ends_with_one_and_leaves_others_free(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            waiting = asyncio.create_task(worker.read("w", 5, 30_000))
            assert (await worker.consumers()).keys() <= {"w"}  # answered while the other waits
            await admitted(client, 1)
            assert len(await waiting) == 1

    run(story())


def test_a_wait_that_is_given_up_takes_nothing_that_comes_later(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            waiting = asyncio.create_task(client.replies("me", wait_ms=30_000))
            await until(lambda: waiters(redis_job) == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: waiters(redis_job) == 0)
            await admitted(client, 1)
            (held,) = await worker.read("w", 1)
            await worker.complete(
                Completion(entry=held, uri="u0", fields={"value": "v"}, reply=redis_job.job.reply("me"))
            )
            assert await client.replies("me", wait_ms=1000) == ["u0"]

    run(story())


def test_many_coroutines_share_a_connection_and_get_their_own_replies(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            ids = await asyncio.gather(*(client.admit({"uri": f"u{at}", "data": "x"}) for at in range(200)))
            assert len(set(ids)) == 200
            entries = {each.entry_id: each.fields[b"uri"].decode() for each in await worker.read("w", 500)}
            assert [entries[each] for each in ids] == [f"u{at}" for at in range(200)]
            mine = [line for line in redis_job.admin("CLIENT", "LIST").splitlines() if b"-client " in line]
            assert len(mine) == 1

    run(story())


def test_d01_consumers_go_only_with_empty_hands_and_after_a_silence(redis_job):
    async def story():
        async with redis_job.aio("worker") as worker, redis_job.aio() as client:
            await worker.make_group()
            await admitted(client, 2)
            await worker.read("busy", 1)
            (held,) = await worker.read("idle", 1)
            await worker.complete(Completion(entry=held, uri="u", fields={"value": "v"}))
            assert await worker.dismiss(["busy", "idle", "unknown"], 3_600_000) == {"busy", "idle"}
            assert await worker.dismiss(["busy", "idle", "unknown"], 0) == {"busy"}
            assert await worker.consumers() == {"busy": 1}

    run(story())
