"""SV-07: outputs never cross requests, whatever is joined, fails, is cancelled or refused in between.

Every request carries its own number in its rows; the engine answers each row with it and records what it ran.
"""

import asyncio
import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.serving.batching import ModelRunner
from strongroom.serving.batching.jobs import Room
from strongroom.serving.status import BadRequest, Overloaded, QueueFull
from strongroom.tfserving import DataType, Signature, TensorSpec
from strongroom.tfserving.config_batching import BatchingSettings

POISON = -1.0  # a value that the engine refuses
BROKEN = -2.0  # a value that breaks the engine
SCALAR = TensorSpec(name="n", dtype=DataType.DT_FLOAT, shape=())


def spec(name):
    return TensorSpec(name=name, dtype=DataType.DT_FLOAT, shape=None)


class RowEngine:
    """y = 2 x, row by row; `mixes` makes it a model whose rows are not independent, `shrinks` one without rows."""

    runtime = "test"
    stateless = concurrent = True

    def __init__(self, *, mixes=False, shrinks=False):
        self.signatures = {
            name: Signature(inputs={"x": spec("x")}, outputs={"y": spec("y"), "z": spec("z")})
            for name in ("one", "two")
        }
        self._mixes, self._shrinks = mixes, shrinks
        self._lock = threading.Lock()
        self.sizes, self.closed = [], False

    def batchable(self, signature):
        return True

    def run(self, signature, inputs, outputs):
        x = inputs["x"]
        with self._lock:
            self.sizes.append(x.shape[0] if x.ndim else 0)
        if np.any(x == POISON):
            raise BadRequest("poisoned")
        if np.any(x == BROKEN):
            raise ZeroDivisionError
        factor = 2 if signature == "one" else 3
        y = x * factor + (x.mean() if self._mixes else 0)
        y = y.sum() if self._shrinks else y
        return {name: np.asarray(y if name == "y" else -y) for name in outputs}

    def close(self):
        self.closed = True


REQUEST = st.fixed_dictionaries({
    "signature": st.sampled_from(["one", "one", "one", "two"]),
    "outputs": st.sampled_from([["y"], ["y", "z"], ["z"]]),
    "shape": st.sampled_from([(), (1,), (3,), (1, 2), (2, 2), (5, 2), (1, 3), (2, 3), (0, 2)]),
    "fault": st.sampled_from([None, None, None, None, None, POISON, BROKEN]),
    "fate": st.sampled_from(["wait", "wait", "wait", "cancel now", "cancel later"]),
    "pause": st.sampled_from([0, 0, 0, 0, 1, 2]),
})  # fmt: skip

SETTINGS = st.one_of(
    st.none(), st.none(),
    st.builds(
        lambda large, execution, allowed, **other: BatchingSettings(
            max_batch_size=execution * large, max_execution_batch_size=execution,
            enable_large_batch_splitting=large > 1, allowed_batch_sizes=(1, 3, execution) if allowed else (), **other,
        ),
        st.sampled_from([1, 4]), st.sampled_from([4, 6]), st.booleans(),
        batch_timeout_s=st.sampled_from([0.0, 0.001]), max_enqueued_batches=st.sampled_from([2, 1000]),
        num_batch_threads=st.integers(1, 3), pad_variable_length_inputs=st.booleans(),
    ),
)  # fmt: skip


def run(requests, batching, engine, *, inline=False, room=None):
    """Return each request's inputs and the answers that came."""

    async def story():
        runner = ModelRunner(engine, name="m", settings=batching, room=room)
        runner._executor.quickness.inline = inline
        inputs, answers, later = [], [[] for _ in requests], []
        for number, request in enumerate(requests):
            x = np.full(request["shape"], number + 1, np.float32)
            if request["fault"] is not None and x.size:
                x.flat[0] = request["fault"]
            inputs.append(x)
            for _ in range(request["pause"]):
                await asyncio.sleep(0)
            try:
                ticket = runner.submit(request["signature"], {"x": x}, request["outputs"], answers[number].append)
            except (Overloaded, QueueFull, BadRequest) as problem:
                answers[number].append(problem)
                continue
            assert not answers[number], "never inside submit"
            if request["fate"] == "cancel now":
                ticket.cancel()
                answers[number].append("cancelled")
            elif request["fate"] == "cancel later":
                later.append((number, ticket))
        for number, ticket in later:
            await asyncio.sleep(0)
            if not answers[number]:
                ticket.cancel()
                answers[number].append("cancelled")
        await runner.close()
        assert engine.closed
        waiting = runner._waiting
        assert (waiting.requests, waiting.input_bytes) == (0, 0)
        return inputs, answers

    return asyncio.run(story())


def check(request, x, answers, batching):
    """A request has one answer, and it is its own."""
    (answer,) = answers
    if isinstance(answer, str | Overloaded | QueueFull):
        return
    if isinstance(answer, Exception):
        too_large = batching is not None and x.ndim and x.shape[0] > batching.max_batch_size
        assert too_large or np.any(x == POISON) or np.any(x == BROKEN), answer
        return
    assert not np.any(x == POISON), "a refused request has no outputs"
    factor = 2 if request["signature"] == "one" else 3
    assert set(answer) == set(request["outputs"])
    for name, array in answer.items():
        expected = x * factor if name == "y" else -x * factor
        padded = batching is not None and batching.pad_variable_length_inputs and x.ndim > 1
        if padded:  # the interface leaves the grown inner sizes
            assert array.shape[0] == x.shape[0]
            assert not np.any(array[:, x.shape[1] :])
            array = array[:, : x.shape[1]]  # noqa: PLW2901
        np.testing.assert_array_equal(array, expected)


@settings(deadline=None, max_examples=150)
@given(st.lists(REQUEST, max_size=25), SETTINGS, st.booleans())
def test_sv_07_outputs_never_cross_requests(requests, batching, inline):
    engine = RowEngine()
    inputs, answers = run(requests, batching, engine, inline=inline and batching is None)
    for request, x, came in zip(requests, inputs, answers, strict=True):
        check(request, x, came, batching)
    if batching is not None and batching.allowed_batch_sizes:
        assert {size for size in engine.sizes if size} <= set(batching.allowed_batch_sizes)


@settings(deadline=None, max_examples=60)
@given(st.lists(REQUEST, max_size=25), st.booleans(), st.sampled_from([{"mixes": True}, {"shrinks": True}]))
def test_sv_07_a_model_whose_rows_are_not_independent_answers_each_request_alone(requests, inline, kind):
    engine = RowEngine(**kind)
    inputs, answers = run(requests, None, engine, inline=inline)
    alone = RowEngine(**kind)
    for request, x, (answer,) in zip(requests, inputs, answers, strict=True):
        if isinstance(answer, dict):
            expected = alone.run(request["signature"], {"x": x}, request["outputs"])
            for name, array in expected.items():
                np.testing.assert_array_equal(answer[name], array)


@settings(deadline=None, max_examples=40)
@given(st.lists(REQUEST, max_size=40), st.integers(1, 4), st.booleans())
def test_sv_12_what_waits_is_bounded_and_room_comes_back(requests, room, inline):
    engine = RowEngine()
    inputs, answers = run(requests, None, engine, inline=inline, room=Room(requests=room, input_bytes=64))
    for request, x, came in zip(requests, inputs, answers, strict=True):
        check(request, x, came, None)
