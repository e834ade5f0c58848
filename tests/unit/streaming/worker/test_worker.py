"""A worker on a real Redis: one answer for each record, whatever happens to its neighbours."""

import asyncio
import base64

import numpy as np
import pytest

from strongroom.clusterserving.faults import QueueFull
from strongroom.clusterserving.filters import Filter
from strongroom.streaming.images.preparation import Preparation


@pytest.mark.parametrize("serde", ["raw", None])
def test_a_record_is_answered_with_the_models_output_without_a_batch_dimension(in_queue, weights, serde):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("a", [1, 2, 3, 4], form=serde)
            result = await bench.result("a")
        assert np.array_equal(result.outputs["y"], np.array([1, 2, 3, 4], np.float32) @ weights)

    in_queue(main)


def test_what_is_queued_runs_together_and_in_batches_of_the_size_that_was_set(in_queue):
    async def main(bench):
        for at in range(20):
            await bench.send(f"r{at}", [at] * 4)
        async with bench.running(bench.worker(batch_size=8)):
            for at in range(20):
                await bench.result(f"r{at}")
        assert bench.model.sizes == [8, 8, 4]

    in_queue(main)


def test_records_of_one_batch_get_their_own_rows(in_queue, weights):
    async def main(bench):
        for at in range(32):
            await bench.send(f"r{at}", [at, 0, 0, 1])
        async with bench.running(bench.worker()):
            found = [(await bench.result(f"r{at}")).outputs["y"] for at in range(32)]
        for at, y in enumerate(found):
            assert np.array_equal(y, np.array([at, 0, 0, 1], np.float32) @ weights)

    in_queue(main)


def test_several_instances_of_json_become_rows_of_one_result(in_queue, weights):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("j", serde="stream", data='{"instances":[{"x":[1,0,0,0]},{"x":[0,1,0,0]}]}')
            result = await bench.result("j")
        assert np.array_equal(result.outputs["y"], weights[:2])

    in_queue(main)


def test_a_model_without_a_free_batch_runs_record_by_record(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(batchable=False)
        for at in range(3):
            await bench.send(f"r{at}", [at] * 4)
        async with bench.running(bench.worker(model=model)):
            for at in range(3):
                assert (await bench.result(f"r{at}")).outputs["y"].shape == (3,)
        assert model.sizes == [1, 1, 1]

    in_queue(main)


def test_a_filter_writes_text(in_queue):
    async def main(bench):
        async with bench.running(bench.worker(preparation=Preparation(filter=Filter.parse("topN.json(1)")))):
            await bench.send("t", [1, 1, 1, 1])
            assert (await bench.result("t")).text == "[[2,26.0]]"

    in_queue(main)


def test_a_client_that_left_a_reply_list_hears_of_its_result(in_queue):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("r", [1, 2, 3, 4], reply=bench.job.reply("me"))
            assert await bench.queue.replies("me", wait_ms=10_000) == ["r"]

    in_queue(main)


def test_d01_nothing_is_left_behind_after_many_records(in_queue):
    async def main(bench):
        workers = [bench.worker(f"worker-{at}") for at in range(2)]
        async with bench.running(*workers):
            await asyncio.gather(*(bench.send(f"r{at}", [at] * 4) for at in range(300)))
            await bench.results([f"r{at}" for at in range(300)])
            assert len(await bench.group.consumers()) <= 2
            assert await bench.held() == (0, 0)
        assert await bench.group.consumers() == {}
        assert sum(worker.counts.served for worker in workers) == 300

    in_queue(main)


def test_d02_at_the_bound_new_work_is_refused_and_no_accepted_record_is_lost(in_queue):
    async def main(bench):
        accepted, refused = [], 0
        for at in range(30):
            try:
                await bench.send(f"r{at}", [at] * 4)
                accepted.append(at)
            except QueueFull:
                refused += 1
        assert (len(accepted), refused) == (10, 20)
        async with bench.running(bench.worker()):
            for at in accepted:
                assert (await bench.result(f"r{at}")).error is None

    in_queue(main, max_records=10)


def test_an_03_a_flood_is_answered_or_refused_and_never_trimmed(in_queue):
    async def main(bench):
        async with bench.running(bench.worker()):
            sent = await asyncio.gather(*(bench.send(f"r{at}", [at] * 4) for at in range(300)), return_exceptions=True)
            accepted = [f"r{at}" for at, each in enumerate(sent) if not isinstance(each, QueueFull)]
            assert all(isinstance(each, (str, QueueFull)) for each in sent)
            assert 0 < len(accepted) < 300
            assert all(each.error is None for each in await bench.results(accepted))

    in_queue(main, max_bytes=600)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"data": "no base64"}, "bad_record"),
        ({"data": base64.b64encode(b"no Arrow").decode()}, "bad_record"),
        ({"data": "{", "serde": "stream"}, "bad_record"),
        ({"data": '{"instances":[{"x":[[1,2],[1]]}]}', "serde": "stream"}, "bad_record"),
        ({"data": '{"instances":[{"x":[1,2]}]}', "serde": "stream"}, "shape_mismatch"),
        ({"data": '{"instances":[{"x":["a","b","c","d"]}]}', "serde": "stream"}, "dtype_mismatch"),
        ({"data": '{"instances":[{"a":[1,2,3,4],"b":[1,2,3,4]}]}', "serde": "stream"}, "bad_input_names"),
        ({"serde": "raw", "d:x": b"no image", "m:x": '{"image":"jpeg"}'}, "bad_image"),
        ({"data": "", "serde": "java"}, "unsupported_serde"),
        ({"data": "", "serde": "sealed", "kid": "00"}, "unauthorized"),
        ({}, "bad_record"),
    ],
)
def test_d08_each_record_that_fails_has_its_own_error(in_queue, fields, word):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("bad", **fields)
            found = await bench.raw_result("bad")
        assert (found[b"value"], found[b"code"].decode()) == (b"NaN", word)
        assert await bench.held() == (0, 0)

    in_queue(main)


def test_d09_a_bad_record_does_not_spoil_its_batch(in_queue, tiny_model):
    async def main(bench):
        model = tiny_model(fails_on=-1.0)
        for at in range(8):
            await bench.send(f"r{at}", [-1 if at == 3 else at] * 4)
        await bench.send("image", **{"serde": "raw", "d:x": b"none", "m:x": '{"image":"jpeg"}'})
        async with bench.running(bench.worker(model=model)):
            for at in (0, 1, 2, 4, 5, 6, 7):
                assert (await bench.result(f"r{at}")).error is None
            assert await bench.fault("r3") == "model_error"
            assert await bench.fault("image") == "bad_image"

    in_queue(main)


def test_an_error_does_not_repeat_what_the_model_said(in_queue, tiny_model):
    async def main(bench):
        async with bench.running(bench.worker(model=tiny_model(fails_on=4711.0))):
            await bench.send("r", [4711] * 4)
            assert b"4711" not in (await bench.raw_result("r"))[b"message"].replace(b"-", b" ").split(b" of ")[0]

    in_queue(main)


def test_d11_every_result_expires(in_queue, redis_job):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("r", [1, 2, 3, 4])
            await bench.send("bad")
            await bench.result("r")
            await bench.result("bad")
        for uri in ("r", "bad"):
            assert 0 < redis_job.admin("PTTL", redis_job.job.result(uri)) <= 60_000

    in_queue(main, result_ttl_ms=60_000)


def test_d16_a_uri_with_colons_and_other_letters_is_a_uri(in_queue):
    async def main(bench):
        async with bench.running(bench.worker()):
            await bench.send("a:b%c é 漢", [1, 2, 3, 4])
            assert (await bench.result("a:b%c é 漢")).error is None

    in_queue(main)


def test_a_record_without_a_usable_name_goes_to_the_dead_letters(in_queue, redis_job):
    async def main(bench):
        redis_job.admin("XADD", redis_job.job.stream, "*", "data", "x")
        async with bench.running(worker := bench.worker()):
            await bench.until(lambda: worker.counts.dead_letters)
        (letter,) = await bench.group.dead_letters()
        assert (letter.code, letter.fields) == ("invalid_uri", {b"data": b"x"})
        assert await bench.held() == (0, 0)

    in_queue(main)


def test_an_04_a_worker_looks_for_no_keys(in_queue, redis_job):
    async def main(bench):
        redis_job.admin("CONFIG", "RESETSTAT")
        async with bench.running(bench.worker()):
            await bench.send("r", [1, 2, 3, 4])
            await bench.result("r")
        used = bytes(redis_job.admin("INFO", "commandstats"))
        assert b"cmdstat_xreadgroup" in used
        assert not any(word in used for word in (b"cmdstat_keys:", b"cmdstat_scan:", b"cmdstat_hgetall:calls=0"))

    in_queue(main)


def test_an_05_undecodable_wrong_or_failing_records_are_answered_and_failures_of_the_model_are_kept(
    in_queue, tiny_model
):
    async def main(bench):
        async with bench.running(bench.worker(model=tiny_model(fails_on=-1.0))):
            await bench.send("image", **{"serde": "raw", "d:x": b"none", "m:x": '{"image":"jpeg"}'})
            await bench.send("shape", [1, 2])
            await bench.send("model", [-1] * 4)
            found = [await bench.fault(uri) for uri in ("image", "shape", "model")]
        assert found == ["bad_image", "shape_mismatch", "model_error"]
        assert [letter.code for letter in await bench.group.dead_letters()] == ["model_error"]

    in_queue(main)


def test_a_batch_may_wait_for_more(in_queue):
    async def main(bench):
        async with bench.running(bench.worker(batch_size=2, batch_wait_us=20_000_000)):
            await bench.send("a", [1, 2, 3, 4])
            await asyncio.sleep(0)
            await bench.send("b", [1, 2, 3, 4])
            await bench.result("b")
        assert bench.model.sizes == [2]

    in_queue(main)


def test_a_failing_hook_is_an_error_of_its_record(in_queue):
    class Broken(Preparation):
        def answer(self, outputs):
            raise ZeroDivisionError

    async def main(bench):
        async with bench.running(bench.worker(preparation=Broken())):
            await bench.send("r", [1, 2, 3, 4])
            assert await bench.fault("r") == "model_error"

    in_queue(main)
