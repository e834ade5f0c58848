"""Records that were delivered and not answered: taken back, taken over, answered once, given up in the end."""

import asyncio
import time
from itertools import pairwise

import pytest

from strongroom.clusterserving.sealed import Binding, InnerSerde, QueueKey, new_response_key, seal_record
from strongroom.secret import Secret
from strongroom.streaming.images.preparation import Preparation
from strongroom.streaming.link.records import Completion
from strongroom.streaming.model.opener import RecordOpener


async def abandon(bench, consumer, count=100):
    """Read records as a worker that dies then."""
    return await bench.group.read(consumer, count)


def test_an_02_a_workers_own_records_are_taken_back_after_its_restart(in_queue):
    async def main(bench):
        for at in range(5):
            await bench.send(f"r{at}", [at] * 4)
        assert len(await abandon(bench, "worker-1")) == 5
        worker = bench.worker("worker-1")
        async with bench.running(worker):
            for at in range(5):
                assert (await bench.result(f"r{at}")).error is None
        assert await bench.held() == (0, 0)
        assert worker.counts.redelivered == 5
        assert bench.model.sizes == [1] * 5  # alone: one that ends its worker takes no neighbour along

    in_queue(main)


def test_an_02_a_dead_workers_records_are_taken_over(in_queue):
    async def main(bench):
        for at in range(5):
            await bench.send(f"r{at}", [at] * 4)
        await abandon(bench, "dead")
        async with bench.running(bench.worker("alive", claim_idle_ms=1)):
            for at in range(5):
                assert (await bench.result(f"r{at}")).error is None
            assert await bench.held() == (0, 0)

    in_queue(main)


def test_d03_of_two_workers_that_have_one_record_the_first_answers(in_queue, tiny_model):
    async def main(bench):
        slow = tiny_model(gate=asyncio.Event())
        first = bench.worker("slow", model=slow, claim_idle_ms=60_000)
        async with bench.running(first):
            await bench.send("r", [1, 2, 3, 4])
            await slow.entered.wait()
            async with bench.running(bench.worker("quick", claim_idle_ms=1)):
                answered = await bench.raw_result("r")
            slow.gate.set()
            await bench.until(lambda: first.counts.late_answers)
            assert await bench.raw_result("r") == answered
        assert first.counts.served == 0

    in_queue(main)


def test_a_record_that_is_still_worked_on_is_not_taken_over(in_queue, tiny_model, redis_job):
    def claims():
        used = dict(
            line.split(b":", 1)
            for line in bytes(redis_job.admin("INFO", "commandstats")).split(b"\r\n")
            if b":" in line
        )
        return int(used.get(b"cmdstat_xpending", b"calls=0").split(b",")[0].split(b"=")[1])

    async def scene(bench, uri):
        """Return for how long the host stood still at most, in seconds."""
        slow, bench.model.sizes[:] = tiny_model(gate=asyncio.Event()), []
        seen = [time.monotonic()]

        def claimed(wanted):
            seen.append(time.monotonic())
            return claims() >= wanted

        async with bench.running(bench.worker(f"slow-{uri}", model=slow, claim_idle_ms=1500)):
            await bench.send(uri, [1, 2, 3, 4])
            await slow.entered.wait()
            async with bench.running(bench.worker(f"other-{uri}", claim_idle_ms=1500)):
                before = claims()
                await bench.until(lambda: claimed(before + 6))  # more than three times claim_idle_ms
                taken = list(bench.model.sizes)
            slow.gate.set()
            assert (await bench.result(uri)).error is None
        longest = max(after - before for before, after in pairwise(seen))
        assert longest > 0.7 or taken == []
        return longest

    async def main(bench):
        for at in range(20):
            if await scene(bench, f"r{at}") <= 0.7:  # else it was rightly taken over: nobody had renewed the hold
                return
        pytest.fail("this host stands still all the time")

    in_queue(main)


def test_an_05_a_record_that_nobody_finishes_is_poisoned_and_kept_as_it_came(in_queue):
    async def main(bench):
        await bench.send("r", [1, 2, 3, 4])
        (entry,) = await abandon(bench, "dead-0")
        for at in range(2):
            assert await bench.group.claim(f"dead-{at}", 0, 1)
        async with bench.running(bench.worker(claim_idle_ms=1, max_deliveries=3)):
            assert await bench.fault("r") == "poisoned"
        (letter,) = await bench.group.dead_letters()
        assert (letter.code, letter.entry_id, letter.fields) == ("poisoned", entry.entry_id, entry.fields)
        assert bench.model.sizes == []
        assert await bench.held() == (0, 0)

    in_queue(main)


def test_neighbours_of_a_poisonous_record_are_tried_again(in_queue):
    async def main(bench):
        for at in range(10):
            await bench.send(f"r{at}", [at] * 4)
        await abandon(bench, "worker-1")  # all ten were delivered once when it died
        async with bench.running(bench.worker("worker-1", max_deliveries=2)):
            for at in range(10):
                assert (await bench.result(f"r{at}")).error is None

    in_queue(main)


def sealed_fields(bench, key, uri):
    response_key = new_response_key()
    binding = Binding(bench.job.name, uri, "tiny", 1)
    payload = b'{"instances":[{"x":[1,2,3,4]}]}'
    data = seal_record(payload, InnerSerde.JSON, to=key.public, binding=binding, response_key=response_key)
    return {"serde": "sealed", "kid": key.public.kid, "data": data}


def opener_of(bench, *keys):
    opener = RecordOpener(bench.job.name, bench.model.identity)
    opener.hold(keys)
    return opener


def test_a_record_sealed_to_a_key_of_another_worker_is_left_to_it(in_queue):
    ours, theirs = (QueueKey.from_secret(Secret(bytes([at]) * 32)) for at in (1, 2))

    async def main(bench):
        without = bench.worker("without", keys=opener_of(bench, ours), claim_idle_ms=60_000)
        async with bench.running(without):
            await bench.send("r", **sealed_fields(bench, theirs, "r"))
            await bench.until(lambda: without.counts.left)
            assert await bench.held() == (1, 1)
            async with bench.running(bench.worker("with", keys=opener_of(bench, theirs), claim_idle_ms=1)):
                found = await bench.raw_result("r")
        assert b"code" not in found

    in_queue(main)


def test_a_record_that_no_worker_can_open_is_unseal_failed_in_the_end_and_stays_sealed(in_queue):
    ours, theirs = (QueueKey.from_secret(Secret(bytes([at]) * 32)) for at in (1, 2))

    async def main(bench):
        fields = sealed_fields(bench, theirs, "r")
        async with bench.running(bench.worker(keys=opener_of(bench, ours), claim_idle_ms=1, max_deliveries=2)):
            await bench.send("r", **fields)
            found = await bench.raw_result("r")
        assert found[b"code"] == b"unseal_failed"
        (letter,) = await bench.group.dead_letters()
        assert letter.fields[b"data"] == fields["data"]

    in_queue(main)


def test_an_01_a_sealed_record_and_its_result_show_nothing_of_what_is_in_them(in_queue, redis_job):
    key = QueueKey.from_secret(Secret(b"\1" * 32))

    async def main(bench):
        async with bench.running(bench.worker(keys=opener_of(bench, key), require_sealed=True)):
            fields = sealed_fields(bench, key, "r")
            assert b"instances" not in fields["data"]
            await bench.send("r", **fields)
            found = await bench.raw_result("r")
            assert {b"dtype", b"shapes", b"names", b"code"} & found.keys() == set()
            await bench.send("clear", [1, 2, 3, 4])
            assert await bench.fault("clear") == "unauthorized"

    in_queue(main)


def test_an_01_what_goes_wrong_with_a_sealed_record_is_logged_without_what_it_holds(in_queue, caplog, monkeypatch):
    """Code of others raises what it likes, and likes to quote: neither log nor result may repeat it."""
    key = QueueKey.from_secret(Secret(b"\1" * 32))
    caplog.set_level("DEBUG")

    def fail(preparation, instances, signature):
        raise ValueError(f"could not convert canary-in-the-record, {instances}")

    async def fail_later(inputs):
        raise RuntimeError(f"canary-in-the-record {inputs}")

    async def main(bench):
        async with bench.running(bench.worker(keys=opener_of(bench, key), require_sealed=True)):
            monkeypatch.setattr(bench.model, "predict", fail_later)
            await bench.send("late", **sealed_fields(bench, key, "late"))
            seen = [await bench.raw_result("late")]
            monkeypatch.setattr(Preparation, "prepare", fail)
            await bench.send("early", **sealed_fields(bench, key, "early"))
            seen.append(await bench.raw_result("early"))
        assert [each[b"code"] for each in seen] == [b"model_error", b"internal"]
        assert b"canary" not in b"".join(value for each in seen for value in each.values())

    in_queue(main)
    assert "ValueError at" in caplog.text
    assert "canary" not in caplog.text


def test_a_model_that_lost_its_lease_leaves_records_to_others_and_reads_no_more(in_queue, tiny_model):
    async def main(bench):
        lost = tiny_model(gate=asyncio.Event(), fails_on=1.0)
        worker = bench.worker("lost", model=lost, claim_idle_ms=60_000)
        async with bench.running(worker):
            await bench.send("r", [1] * 4)
            await lost.entered.wait()
            lost.not_ready_reason = "the lease is lost"
            lost.gate.set()
            await bench.until(lambda: worker.counts.left)
            assert not worker.report().ready
            await bench.send("s", [2] * 4)
            async with bench.running(bench.worker("other", claim_idle_ms=1)):
                assert (await bench.result("r")).error is None
                assert (await bench.result("s")).error is None
        assert lost.sizes == [1]

    in_queue(main)


def test_d01_consumers_of_killed_workers_are_gone_after_a_while_and_living_ones_stay(in_queue):
    async def main(bench):
        async def has_consumers(names):
            return set(await bench.group.consumers()) == names

        await bench.group.heartbeat("quiet", "{}")
        for name in ("quiet", "killed-1", "killed-2"):
            await bench.send(name, [1, 2, 3, 4])
            (entry,) = await bench.group.read(name, 1)
            await bench.group.complete(Completion(entry=entry, uri=name, fields={"value": "v"}))
        await bench.send("r", [1, 2, 3, 4])
        await abandon(bench, "killed-3")
        assert await has_consumers({"quiet", "killed-1", "killed-2", "killed-3"})
        async with bench.running(bench.worker("alive", forget_ms=50, claim_idle_ms=1)):
            assert (await bench.result("r")).error is None
            await bench.until(lambda: has_consumers({"alive", "quiet"}))

    in_queue(main)
