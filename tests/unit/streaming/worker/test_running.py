"""A worker's life: it drains when it is told to stop, waits for Redis, works in steps, and says how it fares."""

import asyncio
import json

import pytest

from strongroom.streaming.link.place import RedisRefused


def test_a_worker_that_is_told_to_stop_answers_what_it_has_and_takes_leave(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(gate=asyncio.Event())
        worker, stop = bench.worker(model=model), asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await bench.send("r", [1, 2, 3, 4])
        await model.entered.wait()
        stop.set()
        model.gate.set()
        await running
        assert (await bench.result("r")).error is None
        assert await bench.group.consumers() == {}
        assert await bench.queue.workers() == ()
        assert model.closed

    in_queue(main)


def test_a_worker_that_cannot_finish_in_time_leaves_its_records_and_its_name(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(gate=asyncio.Event())
        worker, stop = bench.worker(model=model, drain_s=0.05), asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await bench.send("r", [1, 2, 3, 4])
        await model.entered.wait()
        stop.set()
        await running
        assert await bench.group.consumers() == {"worker-1": 1}
        async with bench.running(bench.worker("worker-1")):
            assert (await bench.result("r")).error is None

    in_queue(main)


def test_no_record_is_lost_or_answered_twice_when_redis_restarts(own_redis, on_redis):
    redis = own_redis(durable=True)

    async def main(bench):
        await asyncio.gather(*(bench.send(f"r{at}", [at] * 4) for at in range(100)))
        workers = [bench.worker(f"worker-{at}", batch_size=4) for at in range(2)]
        async with bench.running(*workers):
            for at in range(3):
                await bench.result(f"r{at * 10}")
                await asyncio.to_thread(redis.server.kill)
                await asyncio.to_thread(redis.server.start)
            assert all(each.error is None for each in await bench.results([f"r{at}" for at in range(100)]))
            assert await bench.held() == (0, 0)
        assert sum(worker.counts.served + worker.counts.late_answers for worker in workers) >= 100

    on_redis(redis, main)


def test_a_worker_makes_its_group_again_where_redis_lost_everything(in_queue, redis_job):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("r", [1, 2, 3, 4])
            await bench.result("r")
            redis_job.admin("FLUSHALL")
            await bench.group.make_group()
            redis_job.admin("XGROUP", "DESTROY", redis_job.job.stream, "serving")
            await bench.send("s", [1, 2, 3, 4])
            assert (await bench.result("s")).error is None

    in_queue(main)


def test_d12_a_worker_that_has_not_reached_redis_is_not_ready(in_queue):
    async def main(bench):
        worker = bench.worker()
        assert not worker.report().ready
        async with bench.running(worker):
            await bench.until(lambda: worker.report().ready)

    in_queue(main)


def test_a_user_that_redis_refuses_ends_the_worker(in_queue, redis_job):
    async def main(bench):
        worker = bench.worker()
        redis_job.admin("ACL", "SETUSER", redis_job.user("worker"), "off")
        with pytest.raises(RedisRefused):
            await worker.run(asyncio.Event())

    in_queue(main)


def test_the_heartbeat_says_what_clients_need_and_nothing_else(in_queue):
    async def main(bench):
        async with bench.running(bench.worker(require_sealed=False)):
            await bench.send("r", [1, 2, 3, 4])
            await bench.result("r")

            async def served():
                seen = await bench.queue.workers()
                return seen[0].state if seen and seen[0].state and seen[0].state["served"] else None

            state = dict(await bench.until(served))
        assert (state["name"], state["model"], state["version"], state["batch"]) == ("worker-1", "tiny", 1, 32)
        assert state["limits"] == {"records": 7, "bytes": 268435456, "record_bytes": 33554432}
        assert state["mean_record_bytes"] > 0
        assert "r" not in json.dumps(state).split('"')

    in_queue(main, max_records=7)


def test_the_metrics_name_nobody(in_queue):
    from strongroom.streaming.worker.reports import metrics_text

    async def main(bench):
        worker = bench.worker()
        async with bench.running(worker):
            await bench.send("secret-client/record", [1, 2, 3, 4])
            await bench.send("secret-client/bad")
            await bench.result("secret-client/record")
            await bench.result("secret-client/bad")
            await bench.until(lambda: worker.counts.served and worker.counts.errors)  # counted once it is answered
            text = metrics_text(worker.report())
        assert "strongroom_queue_worker_records_served_total 1" in text
        assert 'strongroom_queue_worker_errors_total{code="bad_record"} 1' in text
        assert "strongroom_queue_worker_setting_batch_size 32" in text
        assert "secret" not in text
        assert bench.job.name not in text

    in_queue(main)


def test_a_worker_that_takes_over_many_records_ends_when_it_is_told_to(in_queue, tiny_model):
    async def main(bench):
        for at in range(5):
            await bench.send(f"r{at}", [at] * 4)
        await bench.group.read("dead", 5)
        model = tiny_model(gate=asyncio.Event())
        worker, stop = bench.worker(model=model, claim_idle_ms=1), asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        await model.entered.wait()
        stop.set()
        model.gate.set()
        await running
        assert model.sizes == [1]
        assert (await bench.group.pending()) == {"dead": 4}

    in_queue(main)


def test_a_batch_waits_for_more_of_its_kind(in_queue):
    async def main(bench):
        async with bench.running(bench.worker(batch_wait_us=300_000, batch_size=4)):
            await bench.until(bench.queue.workers)
            for at in range(4):
                await bench.send(f"r{at}", [at] * 4)
            for at in range(4):
                assert (await bench.result(f"r{at}")).error is None
        assert bench.model.sizes[0] > 1

    in_queue(main)


def test_no_heartbeat_follows_a_workers_farewell(in_queue):
    async def main(bench):
        for at in range(3):
            worker, stop = bench.worker(f"worker-{at}", heartbeat_s=0.0), asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            await bench.until(bench.queue.workers)
            stop.set()
            await running
            assert await bench.queue.workers() == ()

    in_queue(main)
