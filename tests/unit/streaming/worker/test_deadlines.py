"""Deadlines by Redis' clock: a record that is late is told so, its model does not run, and nothing waits for it."""

import asyncio
import time

DAY_MS = 24 * 3600 * 1000


async def now_ms(bench):
    return await bench.group.now_ms()


def test_a_record_whose_deadline_has_passed_is_not_run(in_queue):
    async def main(bench):
        await bench.send("late", [1, 2, 3, 4], deadline=str(await now_ms(bench) - 1))
        await bench.send("early", [1, 2, 3, 4], deadline=str(await now_ms(bench) + DAY_MS))
        async with bench.running(bench.worker()):
            assert await bench.fault("late") == "deadline_exceeded"
            assert (await bench.result("early")).error is None
        assert bench.model.sizes == [1]

    in_queue(main)


def test_a_default_deadline_counts_from_the_records_arrival(in_queue):
    async def main(bench):
        await bench.send("r", [1, 2, 3, 4])
        arrived = await now_ms(bench)
        await bench.passed(arrived + 2)
        async with bench.running(bench.worker(default_deadline_ms=1)):
            assert await bench.fault("r") == "deadline_exceeded"
        assert bench.model.sizes == []

    in_queue(main)


def test_d19_a_record_that_became_late_in_the_engine_is_answered_so_and_frees_its_place(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(gate=asyncio.Event())
        worker = bench.worker(model=model)
        async with bench.running(worker):
            deadline = await now_ms(bench) + 1500  # a busy machine reads it in time, too
            await bench.send("r", [1, 2, 3, 4], deadline=str(deadline))
            await model.entered.wait()
            await bench.passed(deadline + 50)
            model.gate.set()
            assert await bench.fault("r") == "deadline_exceeded"
            await bench.send("next", [1, 2, 3, 4])
            assert (await bench.result("next")).error is None
            await bench.until(lambda: not worker._in_hand)  # it answers first, and lets go then

    in_queue(main)


def test_a_record_that_became_late_while_it_waited_for_the_engine_does_not_run(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(gate=asyncio.Event())
        worker = bench.worker(model=model)
        async with bench.running(worker):
            await bench.send("first", [1, 2, 3, 4])
            await model.entered.wait()
            deadline = await now_ms(bench) + 100
            await bench.send("second", [1, 2, 3, 4], deadline=str(deadline))
            await bench.until(lambda: worker._decoded)
            await bench.passed(deadline + 50)
            model.gate.set()
            assert (await bench.result("first")).error is None
            assert await bench.fault("second") == "deadline_exceeded"
        assert model.sizes == [1]

    in_queue(main)


def test_the_machines_own_clock_does_not_count(in_queue, monkeypatch):
    async def main(bench):
        monkeypatch.setattr(time, "time", lambda: 0.0)
        await bench.send("r", [1, 2, 3, 4], deadline=str(await now_ms(bench) - 1))
        async with bench.running(bench.worker()):
            assert await bench.fault("r") == "deadline_exceeded"

    in_queue(main)
