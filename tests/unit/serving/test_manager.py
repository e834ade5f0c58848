"""Several models: policies, labels, reloads that hold whole or not at all, and no request that fails meanwhile."""

import asyncio
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf import text_format

from strongroom.bundles import NotABundle
from strongroom.serving.engines import EngineOptions
from strongroom.serving.flags import options_of
from strongroom.serving.models.completeness import PlainGate, SealedGate
from strongroom.serving.models.loading import PlainLoader, SealedLoader
from strongroom.serving.models.manager import LabelsUnknown, ModelManager, NothingToServe
from strongroom.serving.models.model import Source
from strongroom.serving.requests.dataplane import Dataplane, Query
from strongroom.serving.status import BadRequest, ModelsNotAvailable, code_of
from strongroom.tfserving import State, messages
from strongroom.tfserving.codes import Code
from strongroom.tfserving.config import BadConfigText, ConfigConflict, ConfigRefused

ENGINE = EngineOptions(intra_op_threads=1)


def plain(entry):
    """Open plain versions; folders that rest are believed at once, so that no test waits."""
    return Source(PlainLoader(ENGINE), PlainGate(wall=lambda: time.time() + 60))


def entry(name, base, platform="tensorflow", rest=""):
    return f'config {{ name: "{name}" base_path: "{base}" model_platform: "{platform}" {rest} }}'


def listed(*entries):
    return f"model_config_list {{ {' '.join(entries)} }}"


def message(*entries):
    return text_format.Parse(listed(*entries), messages.ModelServerConfig())


@pytest.fixture
def repository_of(tmp_path, models):
    """Write versions of half_plus_N: the base folder of a model."""

    def put(name, versions=(1,), plus=2, data=None):
        for version in versions:
            folder = tmp_path / name / str(version)
            folder.mkdir(parents=True)
            (folder / "model.onnx").write_bytes(data or models.half_plus(plus).SerializeToString())
        (tmp_path / name).mkdir(exist_ok=True)
        return tmp_path / name

    return put


@pytest.fixture
def story(tmp_path):
    """Run a coroutine function with a manager that was started on `entries`; polling is by hand unless asked for."""

    def run(tell, *entries, sources=plain, config_poll_s=0.0, **flags):
        async def whole():
            file = tmp_path / "models.config"
            file.write_text(listed(*entries))
            given = {"insecure": True, "file_system_poll_wait_seconds": 0, **flags}
            options = options_of({"model_config_file": str(file), **given})
            manager = ModelManager(replace(options.models, config_poll_s=config_poll_s), sources=sources)
            following = None
            try:
                await manager.start(await manager.first_config())
                following = asyncio.create_task(manager.follow())
                plane = Dataplane(manager, accepting=True)
                return await tell(SimpleNamespace(manager=manager, plane=plane, file=file))
            finally:
                if following is not None:
                    following.cancel()
                await manager.close()

        return asyncio.run(asyncio.wait_for(whole(), 60))

    return run


async def predict(plane, name, *, version=None, label=None):
    served = plane.choose(Query(name, version, label))
    made = await plane.run(served, "serving_default", {"x": np.array([2.0], np.float32)}, ["y"])
    return made.outputs["y"][1].tolist()[0], made.served.version


def states(manager, name="m"):
    return {status.version: status.state for status in manager.statuses(name)}


async def until(holds):
    while not holds():  # noqa: ASYNC110  # bounded by the story's timeout
        await asyncio.sleep(0.01)


POLICIES = [
    ("", {5}),
    ("model_version_policy { latest { num_versions: 2 } }", {5, 3}),
    ("model_version_policy { latest { num_versions: 9 } }", {5, 3, 1}),
    ("model_version_policy { all {} }", {5, 3, 1}),
    ("model_version_policy { specific { versions: [1, 3] } }", {3, 1}),
    ("model_version_policy { specific { versions: [3, 4] } }", {3}),
    ("model_version_policy { specific {} }", set()),
]


@pytest.mark.parametrize(("policy", "wanted"), POLICIES, ids=[policy for policy, _ in POLICIES])
def test_a_policy_chooses_versions(story, repository_of, policy, wanted, caplog):
    async def tell(at):
        assert {version for version, state in states(at.manager).items() if state is State.AVAILABLE} == wanted
        assert (at.manager.not_ready_reason is None) == bool(wanted)
        if wanted:
            assert await predict(at.plane, "m") == (3.0, max(wanted))

    story(tell, entry("m", repository_of("m", (1, 3, 5)), rest=policy))
    if "4" in policy:
        assert "version 4 is named by the version policy and is not there" in caplog.text


def test_two_models_answer_by_their_names(story, repository_of):
    async def tell(at):
        assert await predict(at.plane, "two") == (3.0, 1)
        assert await predict(at.plane, "three") == (4.0, 1)
        assert at.manager.names() == ("two", "three")
        assert at.manager.not_ready_reason is None
        with pytest.raises(BadRequest):
            at.plane.choose(Query("two", None, "nobody"))

    story(tell, entry("two", repository_of("two")), entry("three", repository_of("three", plus=3), "onnx"))


def test_labels_choose_versions_and_move_freely_between_those_that_answer(story, repository_of):
    base = repository_of("m", (123, 124))
    policy = "model_version_policy { all {} }"

    async def tell(at):
        for a, b in ((123, 124), (124, 123)):
            labels = f'version_labels {{ key: "A" value: {a} }} version_labels {{ key: "B" value: {b} }}'
            await at.manager.reload(message(entry("m", base, rest=policy + labels)))
            assert await predict(at.plane, "m") == (3.0, 124)
            assert await predict(at.plane, "m", label="A") == (3.0, a)
            assert await predict(at.plane, "m", label="B") == (3.0, b)
        await at.manager.reload(message(entry("m", base, rest=policy)))
        with pytest.raises(BadRequest, match="Unrecognized servable version label: A"):
            at.manager.labelled("m", "A")

    story(tell, entry("m", base, rest=policy))


def test_labels_of_the_first_configuration_need_a_flag(story, repository_of):
    labelled = entry("m", repository_of("m"), rest='version_labels { key: "s" value: 1 }')

    async def tell(at):
        assert await predict(at.plane, "m", label="s") == (3.0, 1)

    with pytest.raises(ConfigConflict, match="Request to assign label to version 1 of model m"):
        story(tell, labelled)
    story(tell, labelled, allow_version_labels_for_unavailable_models=True)
    story(tell, labelled, labels_when_available=True)


def test_an_existing_label_does_not_move_to_a_version_that_cannot_answer(story, repository_of):
    base = repository_of("m", (1, 2))
    to = 'version_labels {{ key: "s" value: {} }}'.format

    async def tell(at):
        with pytest.raises(ConfigConflict) as caught:
            await at.manager.reload(message(entry("m", base, rest=to(1))))
        assert code_of(caught.value) is Code.FAILED_PRECONDITION
        assert await predict(at.plane, "m", label="s") == (3.0, 2)
        await at.manager.reload(message(entry("m", base, rest=to(2) + 'version_labels { key: "new" value: 9 }')))
        with pytest.raises(Exception, match=r"Servable not found for request: Specific\(m, 9\)"):
            at.plane.choose(Query("m", None, "new"))

    story(tell, entry("m", base, rest=to(2)), allow_version_labels_for_unavailable_models=True)


def test_a_label_takes_effect_when_its_version_can_answer_where_that_is_asked_for(story, repository_of):
    base = repository_of("m", (1,))
    to = 'version_labels {{ key: "s" value: {} }}'.format

    async def tell(at):
        assert at.manager.labelled("m", "s") == 1
        at.file.write_text(listed(entry("m", base, rest=to(2))))
        at.manager.nudge()
        await until(lambda: at.manager.config["m"].labels == {"s": 2})
        assert at.manager.labelled("m", "s") == 1  # where it was, until then
        repository_of("m", (2,), plus=3)
        at.manager.nudge()
        await until(lambda: at.manager.labelled("m", "s") == 2)
        assert await predict(at.plane, "m", label="s") == (4.0, 2)

    story(tell, entry("m", base, rest=to(1)), labels_when_available=True)


def test_a_label_is_unavailable_before_there_is_a_configuration(tmp_path):
    async def tell():
        options = options_of({"model_base_path": str(tmp_path), "insecure": True})
        manager = ModelManager(options.models, sources=plain)
        assert manager.not_ready_reason == "the models are not configured yet"
        with pytest.raises(LabelsUnknown) as caught:
            manager.labelled("m", "stable")
        assert caught.value.sentence == "Model labels does not init yet.stable"
        assert caught.value.code == "SR-SERVE-LABELS"
        assert code_of(caught.value) is Code.UNAVAILABLE

    asyncio.run(tell())


def test_a_reload_replaces_the_models_and_lists_the_ended_ones(story, repository_of):
    old, new = repository_of("old"), repository_of("new", plus=3)

    async def tell(at):
        await at.manager.reload(message(entry("new", new)))
        assert await predict(at.plane, "new") == (4.0, 1)
        assert at.manager.names() == ("new",)
        with pytest.raises(Exception, match=r"Servable not found for request: Latest\(old\)"):
            at.plane.choose(Query("old"))
        await until(lambda: states(at.manager, "old") == {1: State.END})
        await at.manager.reload(message(entry("old", old), entry("new", new)))
        assert await predict(at.plane, "old") == (3.0, 1)
        await at.manager.reload(message())
        assert at.manager.names() == ()
        assert at.manager.not_ready_reason is None

    story(tell, entry("old", old))


def test_a_reload_is_applied_whole_or_not_at_all(story, repository_of):
    good, other = repository_of("good"), repository_of("other", plus=3)
    bad = repository_of("bad", data=b"junk")
    empty = repository_of("empty", ())
    refused = [
        (ConfigRefused, [entry("good", good), entry("good", good)]),
        (ConfigRefused, [entry("good", good), entry("other", "relative")]),
        (ConfigRefused, [entry("other", other), entry("good", good, "onnx")]),
        (ConfigConflict, [entry("other", other), entry("good", good, rest='version_labels { key: "s" value: 7 }')]),
        (ModelsNotAvailable, [entry("other", other), entry("bad", bad)]),
        (ModelsNotAvailable, [entry("other", other), entry("empty", empty)]),
        (ModelsNotAvailable, [entry("other", other), entry("gone", "/nowhere/at/all")]),
    ]

    async def tell(at):
        before = at.manager.config
        for kind, entries in refused:
            with pytest.raises(kind):
                await at.manager.reload(message(*entries))
            assert at.manager.config is before
            assert at.manager.names() == ("good",)
            assert at.manager.find("other", None) is None
            assert await predict(at.plane, "good") == (3.0, 1)

    story(tell, entry("good", good))


def test_models_that_do_not_come_up_are_named_with_the_reason(story, repository_of):
    good, bad = repository_of("good"), repository_of("bad", data=b"junk")

    async def tell(at):
        with pytest.raises(ModelsNotAvailable) as caught:
            await at.manager.reload(message(entry("bad", bad), entry("gone", "/nowhere")))
        assert caught.value.code == "SR-MODELS-NOT-AVAILABLE"
        assert code_of(caught.value) is Code.UNKNOWN
        sentence = caught.value.sentence
        assert sentence.startswith("2 model(s) did not become available: {{name: bad version: 1} due to error: ")
        assert "INVALID_ARGUMENT: SR-MODEL-NOT-LOADABLE" in sentence
        assert "Could not find base path /nowhere for servable gone" in sentence

    story(tell, entry("good", good))


def test_a_model_moves_to_another_folder_in_one_step(story, repository_of):
    old, new = repository_of("old"), repository_of("new", plus=3)

    async def tell(at):
        await at.manager.reload(message(entry("m", new)))
        assert await predict(at.plane, "m") == (4.0, 1)

    story(tell, entry("m", old))


def test_no_request_fails_while_models_and_versions_come_and_go(story, repository_of, models):
    two, three = repository_of("two"), repository_of("three", plus=3)
    failures, answered = [], []

    async def ask(at, stop):
        while not stop.is_set():
            try:
                answered.append((await predict(at.plane, "m"))[0])
            except Exception as problem:  # noqa: BLE001  # it is what the test looks for
                failures.append(problem)
                return
            await asyncio.sleep(0)

    async def tell(at):
        stop = asyncio.Event()
        askers = [asyncio.create_task(ask(at, stop)) for _ in range(8)]
        for round_ in range(4):
            await at.manager.reload(message(entry("m", three), entry("more", two)))
            await at.manager.reload(message(entry("m", two)))
            repository_of("two", (round_ + 2,))
            at.manager.nudge()
            await until(lambda: at.manager.find("m", round_ + 2) is not None)  # noqa: B023  # awaited in the loop
        stop.set()
        await asyncio.gather(*askers)

    story(tell, entry("m", two))
    assert failures == []
    assert len(answered) > 100
    assert set(answered) == {3.0, 4.0}


def test_a_request_that_found_a_version_may_use_it_after_its_end(story, repository_of):
    base = repository_of("m")

    async def tell(at):
        held = at.plane.choose(Query("m"))
        repository_of("m", (2,))
        at.manager.nudge()
        await until(lambda: states(at.manager) == {2: State.AVAILABLE, 1: State.UNLOADING})
        made = await at.plane.run(held, "serving_default", {"x": np.array([2.0], np.float32)}, ["y"])
        assert made.served.version == 1
        del held, made
        await until(lambda: states(at.manager) == {2: State.AVAILABLE, 1: State.END})

    story(tell, entry("m", base))


def test_the_start_fails_where_every_version_of_a_model_is_broken(story, repository_of):
    async def tell(at):
        raise AssertionError

    entries = [entry("good", repository_of("good")), entry("bad", repository_of("bad", data=b"junk"))]
    with pytest.raises(NothingToServe) as caught:
        story(tell, *entries)
    assert caught.value.code == "SR-SERVE-NO-VERSION"
    assert caught.value.sentence.startswith("1 servable(s) did not become available: {{name: bad version: 1} due to ")


def test_a_model_without_versions_is_waited_for_while_the_others_serve(story, repository_of):
    async def tell(at):
        assert await predict(at.plane, "good") == (3.0, 1)
        assert "late has no version that is AVAILABLE: Could not find base path" in at.manager.not_ready_reason
        repository_of("late", plus=3)
        at.manager.nudge()
        await until(lambda: at.manager.not_ready_reason is None)
        assert await predict(at.plane, "late") == (4.0, 1)

    base = repository_of("good")
    story(tell, entry("good", base), entry("late", base.parent / "late"))


def test_the_configuration_file_is_followed_and_a_bad_one_is_not(story, repository_of, caplog):
    two, three = repository_of("two"), repository_of("three", plus=3)

    async def tell(at):
        at.file.write_text(listed(entry("three", three)))
        await until(lambda: at.manager.names() == ("three",))
        at.file.write_text("improperly formatted file")
        await until(lambda: "Invalid protobuf file" in caplog.text)
        assert await predict(at.plane, "three") == (4.0, 1)
        at.file.unlink()
        await until(lambda: "No such file" in caplog.text)
        assert at.manager.names() == ("three",)
        at.file.write_text(listed(entry("two", two)))
        await until(lambda: at.manager.names() == ("two",))

    story(tell, entry("two", two), config_poll_s=0.02)
    assert "the present configuration stays" in caplog.text


def test_a_nudge_reads_the_file_where_nothing_is_polled(story, repository_of):
    two, three = repository_of("two"), repository_of("three", plus=3)

    async def tell(at):
        at.file.write_text(listed(entry("three", three)))
        await asyncio.sleep(0.1)
        assert at.manager.names() == ("two",)
        at.manager.nudge()
        await until(lambda: at.manager.names() == ("three",))

    story(tell, entry("two", two))


def test_a_bad_first_configuration_keeps_the_server_from_starting(story, tmp_path):
    async def tell(at):
        raise AssertionError

    with pytest.raises(BadConfigText):
        story(tell, "nonsense")


def test_with_a_negative_poll_nothing_is_looked_at_before_somebody_asks(story, repository_of):
    async def tell(at):
        assert at.manager.statuses("m") == ()
        at.manager.nudge()
        await until(lambda: states(at.manager) == {1: State.AVAILABLE})

    story(tell, entry("m", repository_of("m")), file_system_poll_wait_seconds=-1)


def test_a_version_in_flight_is_listed_with_the_reason_and_not_served(story, repository_of, models, tmp_path):
    base = repository_of("m")

    async def tell(at):
        (base / "2").mkdir()
        at.manager.nudge()
        await until(lambda: 2 in states(at.manager))
        status = at.manager.statuses("m")[0]
        assert (status.state, status.code) == (State.START, Code.UNAVAILABLE)
        assert status.message == "none of model.onnx, saved_model.pb, model.xml is there yet"
        assert await predict(at.plane, "m") == (3.0, 1)
        (base / "2" / "model.onnx").write_bytes(models.half_plus(3).SerializeToString())
        at.manager.nudge()
        await until(lambda: states(at.manager) == {2: State.AVAILABLE, 1: State.END})
        shutil.rmtree(base / "2")
        at.manager.nudge()
        await until(lambda: states(at.manager) == {2: State.END, 1: State.AVAILABLE})

    story(tell, entry("m", base))


def test_sealed_models_of_one_configuration_and_no_plain_one_among_them(story, sealed, repository_of, models):
    def sources(one):
        loader = SealedLoader(model=one.name, key=sealed.key, owner=sealed.owner, options=ENGINE)
        return Source(loader, SealedGate(sealed.owner), is_plain=False)

    bases = {
        name: sealed.publish(name=name, model=models.half_plus(plus)).parent for name, plus in (("a", 2), ("b", 3))
    }
    open_to_all = repository_of("plain")

    async def tell(at):
        assert await predict(at.plane, "a") == (3.0, 1)
        assert await predict(at.plane, "b") == (4.0, 1)
        with pytest.raises(ModelsNotAvailable) as caught:
            await at.manager.reload(message(entry("plain", open_to_all)))
        assert NotABundle.code in caught.value.sentence
        with pytest.raises(ModelsNotAvailable, match="the server's log says why"):
            await at.manager.reload(message(entry("c", bases["a"])))  # another model's bundle

    story(tell, *(entry(name, base) for name, base in bases.items()), sources=sources)
