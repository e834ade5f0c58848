"""Lives of versions: loading first, unloading after, failures that change nothing, and what is listed."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from strongroom.bundles import BundleIncomplete
from strongroom.serving.engines import EngineOptions, ModelNotLoadable
from strongroom.serving.models.loading import PlainLoader
from strongroom.serving.models.registry import MAX_ENDED, ModelVersions, Pools, Retry
from strongroom.serving.models.versions import Candidate, latest, list_versions
from strongroom.serving.requests.tickets import awaited
from strongroom.tfserving import State
from strongroom.tfserving.codes import Code


@pytest.fixture
def model(base):
    versions = ModelVersions("m", PlainLoader(EngineOptions(intra_op_threads=1)))

    def look(count=1):
        return versions.settle(latest(list_versions(base.folder, model="m").candidates, count))

    return SimpleNamespace(versions=versions, look=look)


def states(model):
    return {status.version: status.state for status in model.versions.statuses()}


async def predict(served):
    x = {"x": np.array([2.0], np.float32)}
    outputs = await awaited(lambda done: served.worker.submit("serving_default", x, ["y"], done))
    return outputs["y"].tolist()


def test_the_latest_version_is_loaded_and_listed(base, model):
    async def story():
        base.put(1)
        base.put(3)
        await model.look()
        assert states(model) == {3: State.AVAILABLE}
        assert model.versions.find(None).version == 3
        assert model.versions.find(3) is model.versions.find(None)
        assert model.versions.find(1) is None
        assert await predict(model.versions.find(3)) == [3.0]
        await model.versions.close()

    asyncio.run(story())


def test_a_new_version_takes_over_when_it_is_available_and_not_before(base, models):
    entered, free = threading.Event(), threading.Event()

    class SlowLoader(PlainLoader):
        def load(self, candidate):
            if candidate.version == 2:
                entered.set()
                assert free.wait(30)
            return super().load(candidate)

    async def story():
        versions = ModelVersions("m", SlowLoader(EngineOptions(intra_op_threads=1)))
        base.put(1)
        await versions.settle(latest(list_versions(base.folder, model="m").candidates))
        base.put(2, models.half_plus(3))
        settling = asyncio.create_task(versions.settle(latest(list_versions(base.folder, model="m").candidates)))
        assert await asyncio.to_thread(entered.wait, 30)
        assert {s.version: s.state for s in versions.statuses()} == {2: State.LOADING, 1: State.AVAILABLE}
        assert await predict(versions.find(None)) == [3.0]
        free.set()
        await settling
        assert {s.version: s.state for s in versions.statuses()} == {2: State.AVAILABLE, 1: State.END}
        assert await predict(versions.find(None)) == [4.0]
        await versions.close()

    asyncio.run(story())


def test_a_corrupt_version_ends_and_the_old_one_keeps_serving(base, model, caplog):
    async def story():
        base.put(1)
        await model.look()
        base.put(2, b"half a mod")
        await model.look()
        assert states(model) == {2: State.END, 1: State.AVAILABLE}
        status = model.versions.statuses()[0]
        assert status.code is Code.INVALID_ARGUMENT
        assert status.message.startswith("SR-MODEL-NOT-LOADABLE: ")
        assert model.versions.find(None).version == 1
        await model.versions.close()

    asyncio.run(story())
    assert "version 2 is not served" in caplog.text


def test_kd_10_a_half_copied_version_is_tried_again_when_it_changes_and_only_then(base, models):
    tried = []

    class CountingLoader(PlainLoader):
        def load(self, candidate):
            tried.append(candidate.version)
            return super().load(candidate)

    async def story():
        versions = ModelVersions("m", CountingLoader(EngineOptions(intra_op_threads=1)))
        whole = models.half_plus(2).SerializeToString()
        folder = base.put(1, whole[:40])
        wanted = latest(list_versions(base.folder, model="m").candidates)
        await versions.settle(wanted)
        await versions.settle(wanted)
        assert tried == [1]
        (folder / "model.onnx").write_bytes(whole)
        await versions.settle(wanted)
        assert tried == [1, 1]
        assert versions.find(1) is not None
        await versions.settle(wanted)
        assert tried == [1, 1]
        await versions.close()

    asyncio.run(story())


def test_a_loader_that_fails_in_an_unforeseen_way_ends_the_version_alone(base):
    class BrokenLoader:
        def load(self, candidate):
            raise ZeroDivisionError

    async def story():
        versions = ModelVersions("m", BrokenLoader())
        await versions.settle([Candidate(1, base.put(1))])
        (status,) = versions.statuses()
        assert (status.state, status.code) == (State.END, Code.UNKNOWN)

    asyncio.run(story())


def test_sv_10_clients_see_the_kind_of_failure_and_the_log_the_rest(base, caplog):
    class TamperedLoader:
        def load(self, candidate):
            raise BundleIncomplete("/the/operators/path is short")

    async def story():
        versions = ModelVersions("m", TamperedLoader())
        await versions.settle([Candidate(1, base.put(1))])
        (status,) = versions.statuses()
        assert status.code is Code.DATA_LOSS
        assert "path" not in status.message
        assert "SR-BUNDLE-INCOMPLETE" in status.message
        assert [refusal.code for refusal in versions.refusals()] == ["SR-BUNDLE-INCOMPLETE"]

    asyncio.run(story())
    assert "/the/operators/path is short" in caplog.text


def test_a_removed_version_is_unloaded_even_the_last(base, model):
    async def story():
        folder = base.put(1)
        await model.look()
        (folder / "model.onnx").unlink()
        folder.rmdir()
        await model.look()
        assert states(model) == {1: State.END}
        assert model.versions.find(None) is None
        base.put(1)
        await model.look()
        assert states(model) == {1: State.AVAILABLE}
        await model.versions.close()

    asyncio.run(story())


def test_what_runs_finishes_before_its_version_goes(base, model):
    async def story():
        folder = base.put(1)
        await model.look()
        served = model.versions.find(1)
        answers = [asyncio.create_task(predict(served)) for _ in range(50)]
        del served
        await asyncio.sleep(0)
        (folder / "model.onnx").unlink()
        folder.rmdir()
        await model.look()
        assert await asyncio.gather(*answers) == [[3.0]] * 50

    asyncio.run(story())


def test_ended_versions_stay_listed_but_not_without_end(base, model):
    async def story():
        for version in range(1, MAX_ENDED + 5):
            base.put(version)
            await model.look()
        listed = states(model)
        assert len(listed) == MAX_ENDED + 1
        assert list(listed.values()).count(State.AVAILABLE) == 1
        assert list(listed) == sorted(listed, reverse=True)
        await model.versions.close()

    asyncio.run(story())


class Moody(PlainLoader):
    """Fails `times` for the moment's sake, then loads."""

    def __init__(self, times):
        super().__init__(EngineOptions(intra_op_threads=1))
        object.__setattr__(self, "left", times)

    def load(self, candidate):
        if self.left:
            object.__setattr__(self, "left", self.left - 1)
            raise OSError(5, "Input/output error")
        return super().load(candidate)


async def until(holds):
    while not holds():  # noqa: ASYNC110  # bounded by the caller's timeout
        await asyncio.sleep(0.01)


def wanted_of(base):
    return latest(list_versions(base.folder, model="m").candidates)


def within_a_minute(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.mark.parametrize(("failures", "state"), [(3, State.AVAILABLE), (4, State.END)])
def test_a_bad_moment_is_tried_again_as_often_as_allowed(base, failures, state):
    async def story():
        versions = ModelVersions("m", Moody(failures), retry=Retry(times=3, pause_s=0.001))
        base.put(1)
        await versions.settle(wanted_of(base))
        assert [status.state for status in versions.statuses()] == [state]
        await versions.close()

    within_a_minute(story())


def test_what_the_files_are_is_not_tried_again(base, caplog):
    async def story():
        versions = ModelVersions("m", PlainLoader(EngineOptions()), retry=Retry(times=3, pause_s=60))
        base.put(1, b"junk")
        await versions.settle(wanted_of(base))
        assert [status.state for status in versions.statuses()] == [State.END]
        await versions.close()

    within_a_minute(story())
    assert "tried again" not in caplog.text


def test_a_pause_ends_when_the_folder_changes_or_the_version_goes(base, models):
    async def story():
        versions = ModelVersions("m", Moody(1), retry=Retry(times=3, pause_s=3600))
        folder = base.put(1)
        await versions.begin(wanted_of(base))
        await versions.settled(through_pauses=False)
        assert [status.state for status in versions.statuses()] == [State.END]  # with the reason, until the next try
        (folder / "more").write_bytes(b"")
        await versions.begin(wanted_of(base))
        await versions.settled()
        assert [status.state for status in versions.statuses()] == [State.AVAILABLE]
        await versions.close()

        versions = ModelVersions("m", Moody(1), retry=Retry(times=3, pause_s=3600))
        await versions.begin(wanted_of(base))
        await versions.settled(through_pauses=False)
        await versions.settle([])
        assert [status.state for status in versions.statuses()] == [State.END]

    within_a_minute(story())


def test_kd_10_a_version_that_changes_while_it_is_loaded_is_not_served(base, models):
    class Meddled(PlainLoader):
        def load(self, candidate):
            engine = super().load(candidate)
            if not (candidate.folder / "late").exists():
                (candidate.folder / "late").write_bytes(b"")
            return engine

    async def story():
        versions = ModelVersions("m", Meddled(EngineOptions(intra_op_threads=1)))
        base.put(1)
        await versions.settle(wanted_of(base))
        (status,) = versions.statuses()
        assert (status.state, status.message) == (State.START, "it changed while it was loaded")
        await versions.settle(wanted_of(base))
        assert versions.find(1) is not None
        await versions.close()

    within_a_minute(story())


@pytest.mark.parametrize(("threads", "at_once"), [(0, 1), (1, 1), (3, 3)])
def test_so_many_versions_are_loaded_at_a_time(base, threads, at_once):
    gate, loading, most = threading.Barrier(at_once), [], []

    class Counting(PlainLoader):
        def load(self, candidate):
            loading.append(candidate.version)
            gate.wait(30)
            most.append(len(loading))
            loading.remove(candidate.version)
            return super().load(candidate)

    async def story():
        pools = Pools(load_threads=threads)
        versions = ModelVersions("m", Counting(EngineOptions(intra_op_threads=1)), pools=pools)
        for version in (1, 2, 3):
            base.put(version)
        await versions.settle(list_versions(base.folder, model="m").candidates)
        assert len(versions.available) == 3
        await versions.close()

    within_a_minute(story())
    assert max(most) <= at_once


def test_batching_parameters_that_cannot_be_end_the_version(base):
    def refuse(engine, model, candidate):
        raise ModelNotLoadable("its batching_params.pbtxt is nonsense")

    async def story():
        versions = ModelVersions("m", PlainLoader(EngineOptions(intra_op_threads=1)), runners=refuse, candid=True)
        base.put(1)
        await versions.settle(wanted_of(base))
        (status,) = versions.statuses()
        assert (status.state, status.message) == (
            State.END, "SR-MODEL-NOT-LOADABLE: its batching_params.pbtxt is nonsense"
        )  # fmt: skip

    within_a_minute(story())
