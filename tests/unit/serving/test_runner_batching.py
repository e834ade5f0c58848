"""What is joined: by default, under TensorFlow Serving's parameters, on the event loop; and what is never."""

import asyncio
import threading

import numpy as np
import pytest

from strongroom.serving.batching import ModelRunner, make_runner
from strongroom.serving.batching.audit import TRIALS
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.tickets import awaited
from strongroom.serving.status import BadRequest, NotSplittable, QueueFull
from strongroom.tfserving import DataType, Signature, TensorSpec
from strongroom.tfserving.config_batching import BatchingSettings


def spec(shape):
    return TensorSpec(name="t", dtype=DataType.DT_FLOAT, shape=shape)


class Doubler:
    """y = 2 x; can be held up, and made to answer other than row by row."""

    runtime = "test"
    stateless = concurrent = True

    def __init__(self, answer=lambda x: 2 * x, shape=(-1,)):
        self.signatures = {"s": Signature(inputs={"x": spec(shape)}, outputs={"y": spec(None)})}
        self._answer = answer
        self.entered, self.free = threading.Semaphore(0), threading.Event()
        self.free.set()
        self.rows, self.threads = [], set()

    def batchable(self, signature):
        return True

    def run(self, signature, inputs, outputs):
        self.threads.add(threading.current_thread())
        self.entered.release()
        assert self.free.wait(30)
        self.rows.append(inputs["x"].tolist())
        return {"y": np.asarray(self._answer(inputs["x"]))}

    def close(self):
        self.free.set()


def ask(runner, *numbers):
    x = np.array(numbers, np.float32)
    return asyncio.ensure_future(awaited(lambda done: runner.submit("s", {"x": x}, ["y"], done)))


async def held(engine, runner):
    """Occupy the engine: what comes now queues."""
    engine.free.clear()
    first = ask(runner, 0)
    assert await asyncio.to_thread(engine.entered.acquire, timeout=30)
    return first


def run(story, engine, **how):
    async def whole():
        runner = ModelRunner(engine, name="m", **how)
        try:
            return await story(runner)
        finally:
            engine.free.set()
            await runner.close()

    return asyncio.run(whole())


def trusted(runner):
    """Skip the trials, and the look at what pays."""
    runner._executor._audit._runs["s"] = TRIALS
    for power in range(7):
        runner._executor.limit.ran(2**power, 1e-5)
    return runner


def test_what_queued_while_the_engine_was_busy_is_one_run():
    engine = Doubler()

    async def story(runner):
        first = await held(engine, trusted(runner))
        queued = [ask(runner, 1), ask(runner, 2, 3), ask(runner, 4)]
        await asyncio.sleep(0)
        engine.free.set()
        assert [each["y"].tolist() for each in await asyncio.gather(first, *queued)] == [[0], [2], [4, 6], [8]]
        assert engine.rows == [[0], [1, 2, 3, 4]]

    run(story, engine)


def test_joined_runs_are_held_against_single_ones_at_first():
    engine = Doubler()

    async def story(runner):
        runner._executor.quickness.inline = True
        for _ in range(TRIALS + 1):
            engine.rows.clear()
            await asyncio.gather(ask(runner, 1), ask(runner, 2))
            seen.append(list(engine.rows))

    seen = []
    run(story, engine)
    assert seen[0] == [[1, 2], [1], [2]]
    assert seen[-1] == [[1, 2]]


def test_sv_07_rows_that_are_not_independent_end_joining_for_good(caplog):
    engine = Doubler(answer=lambda x: x / x.sum())

    async def story(runner):
        runner._executor.quickness.inline = True
        for _ in range(2):
            answers = await asyncio.gather(ask(runner, 1, 3), ask(runner, 4))
            assert [answer["y"].tolist() for answer in answers] == [[0.25, 0.75], [1]]
        assert engine.rows == [[1, 3, 4], [1, 3], [4], [1, 3], [4]]
        assert "one by one" in runner.description

    run(story, engine)
    assert "not independent" in caplog.text


def test_outputs_without_rows_end_joining_and_every_request_has_its_answer(caplog):
    engine = Doubler(answer=lambda x: x.sum())

    async def story(runner):
        runner._executor.quickness.inline = True
        answers = await asyncio.gather(ask(runner, 1, 3), ask(runner, 4))
        assert [float(answer["y"]) for answer in answers] == [4, 4]

    run(story, engine)
    assert "0 dimensions" in caplog.text


def test_requests_that_fail_alone_but_not_together_end_joining():
    def answer(x):
        if len(x) == 1:
            raise BadRequest("one row is too few")
        return x

    engine = Doubler(answer=answer)

    async def story(runner):
        runner._executor.quickness.inline = True
        for _ in range(2):
            outcomes = await asyncio.gather(ask(runner, 1), ask(runner, 2), return_exceptions=True)
            assert [type(each) for each in outcomes] == [BadRequest, BadRequest]
        assert not runner._executor.may_share("s")

    run(story, engine)


def test_no_defect_of_joining_kills_the_thread(monkeypatch, caplog):
    def broken(*_):
        raise MemoryError

    engine = Doubler()

    async def story(runner):
        first = await held(engine, trusted(runner))
        monkeypatch.setattr("strongroom.serving.batching.executor.join", broken)
        queued = [ask(runner, 1), ask(runner, 2)]
        await asyncio.sleep(0)
        engine.free.set()
        outcomes = await asyncio.gather(first, *queued, return_exceptions=True)
        assert [type(each).__name__ for each in outcomes] == ["dict", "EngineFailed", "EngineFailed"]
        assert (await ask(runner, 3))["y"].tolist() == [6]

    run(story, engine)
    assert "MemoryError" in caplog.text


@pytest.mark.parametrize("change", ["drain", "state", "shape"])
def test_nothing_is_joined_where_it_is_off_or_could_be_wrong(change):
    engine = Doubler(shape=(1,) if change == "shape" else (-1,))
    engine.stateless = change != "state"

    async def story(runner):
        runner._executor.quickness.inline = True
        await asyncio.gather(ask(runner, 1), ask(runner, 2))
        assert engine.rows == [[1], [2]]
        assert ("--drain_batching=false" in runner.description) is (change == "drain")

    run(story, engine, drain=change != "drain")


def test_a_quick_model_moves_to_the_loop_and_a_large_request_leaves_it():
    engine = Doubler()

    async def story(runner):
        runner._executor.quickness.inline = True
        await ask(runner, 1)
        assert engine.threads == {threading.current_thread()}
        assert "on the event loop" in runner.description
        await ask(runner, *range(10_000))
        assert len(engine.threads) == 2

    run(story, engine)


def test_a_large_request_runs_where_it_arrives_once_its_size_is_proved():
    engine = Doubler()
    x = np.zeros(10_000, np.float32)

    async def story(runner):
        runner._executor.quickness.inline = True
        runner._executor.quickness.proved_bytes = x.nbytes
        answers = []
        runner.submit("s", {"x": x}, ["y"], answers.append)
        assert [len(each["y"]) for each in answers] == [10_000]
        assert engine.threads == {threading.current_thread()}
        await ask(runner, *range(10_001))
        assert len(engine.threads) == 2

    run(story, engine)


def test_the_loop_does_not_wait_for_an_engine_that_its_thread_has():
    engine = Doubler()

    async def story(runner):
        first = await held(engine, runner)
        runner._executor.quickness.inline = True
        second = ask(runner, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not second.done()
        engine.free.set()
        await asyncio.gather(first, second)
        assert threading.current_thread() not in engine.threads

    run(story, engine)


def test_parameters_join_pad_and_never_return_what_was_padded():
    engine = Doubler()
    settings = BatchingSettings(max_batch_size=4, max_execution_batch_size=4, allowed_batch_sizes=(2, 4))

    async def story(runner):
        first = await held(engine, runner)
        queued = [ask(runner, 1), ask(runner, 2, 3)]
        await asyncio.sleep(0)
        engine.free.set()
        assert [each["y"].tolist() for each in await asyncio.gather(first, *queued)] == [[0], [2], [4, 6]]
        assert engine.rows == [[0, 0], [1, 2, 3, 1]]

    run(story, engine, settings=settings)


def test_a_batch_waits_for_others_no_longer_than_its_timeout():
    engine = Doubler()

    async def story(runner):
        answers = await asyncio.gather(ask(runner, 1), ask(runner, 2))
        assert [each["y"].tolist() for each in answers] == [[2], [4]]
        assert engine.rows == [[1, 2]]

    run(story, engine, settings=BatchingSettings(batch_timeout_s=0.05))


def test_a_full_batch_does_not_wait():
    engine = Doubler()
    settings = BatchingSettings(batch_timeout_s=3600, max_batch_size=2, max_execution_batch_size=2)

    async def story(runner):
        await asyncio.gather(ask(runner, 1), ask(runner, 2))
        assert engine.rows == [[1, 2]]

    run(story, engine, settings=settings)


def test_a_full_queue_is_unavailable():
    engine = Doubler()
    settings = BatchingSettings(max_batch_size=1, max_execution_batch_size=1, max_enqueued_batches=1)

    async def story(runner):
        first = await held(engine, runner)
        second, third = ask(runner, 1), ask(runner, 2)
        with pytest.raises(QueueFull):
            await third
        engine.free.set()
        await asyncio.gather(first, second)
        await ask(runner, 3)

    run(story, engine, settings=settings)


def test_a_large_request_is_split_or_refused():
    engine = Doubler()
    settings = BatchingSettings(max_batch_size=5, max_execution_batch_size=2, enable_large_batch_splitting=True)

    async def story(runner):
        assert (await ask(runner, 1, 2, 3, 4, 5))["y"].tolist() == [2, 4, 6, 8, 10]
        assert sorted(map(len, engine.rows)) == [1, 2, 2]
        with pytest.raises(BadRequest, match=r"^Task size 6 is larger than maximum input batch size 5$"):
            await ask(runner, *range(6))

    run(story, engine, settings=settings)


def test_outputs_without_rows_are_an_error_under_parameters():
    async def story(runner):
        with pytest.raises(NotSplittable, match=r"^Batched output tensor has 0 dimensions$"):
            await ask(runner, 1)

    run(story, Doubler(answer=lambda x: x.sum()), settings=BatchingSettings())


def test_several_threads_run_at_once_where_the_engine_allows_it():
    engine = Doubler()
    settings = BatchingSettings(max_batch_size=1, max_execution_batch_size=1, num_batch_threads=2)

    async def story(runner):
        engine.free.clear()
        both = [ask(runner, 1), ask(runner, 2)]
        for _ in both:
            assert await asyncio.to_thread(engine.entered.acquire, timeout=30)
        engine.free.set()
        await asyncio.gather(*both)
        assert len(engine.threads) == 2
        assert "2 engine thread" in runner.description

    run(story, engine, settings=settings)


def test_runs_and_batches_are_counted():
    engine, metrics = Doubler(), Metrics()
    metrics.set_models(["m"])

    async def story():
        runner = make_runner(engine, name="m 1", model="m", metrics=metrics)
        await awaited(lambda done: runner.submit("s", {"x": np.zeros(1, np.float32)}, ["y"], done))
        await runner.close()

    asyncio.run(story())
    text = metrics.text()
    assert ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="test"} 1' in text
    assert "strongroom_batch_size" in text
