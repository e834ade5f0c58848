"""A queue's model: opened from a plain folder, warm, run in the right number of copies, refused where it is not what
the configuration says. Sealed models have their story in tests/e2e/streaming."""

import asyncio

import numpy as np
import pytest

from strongroom.platforms import PlatformAbsent
from strongroom.serving.engines import ModelNotLoadable
from strongroom.serving.operations.lease import LeaseLost
from strongroom.serving.status import BadRequest
from strongroom.streaming.model import trust
from strongroom.streaming.model.folder import Form
from strongroom.streaming.model.opening import PlainModel, open_predictor, threads_of
from strongroom.tfserving.datatypes import DataType

BROKER = {"broker": "https://localhost:1", "broker_ca_file": __file__, "owner_key_file": __file__}
X = np.array([1, 2], np.float32)


def opened(config, use):
    """Open the model, let `use` look at it, close it."""

    async def whole():
        model = await open_predictor(config, environ={})
        try:
            return await use(model)
        finally:
            await model.close()

    return asyncio.run(whole())


def test_a_plain_model_answers_with_its_names_and_its_identity(folder, models, config):
    async def use(model):
        assert (model.identity.name, model.identity.version, len(model.identity.digest)) == ("half", 1, 64)
        assert model.signature.inputs["x"].dtype is DataType.DT_FLOAT
        assert (model.batchable, model.not_ready_reason, model.opener, model.sealed) == (True, None, None, False)
        return await model.predict({"x": X})

    found = opened(config(model_path=str(folder({"net.onnx": models.half_plus(2)}))), use)
    np.testing.assert_array_equal(found["y"], [2.5, 3.0])


def test_d12_it_is_ready_only_once_a_prediction_has_passed_and_not_while_it_closes(folder, models, config):
    async def whole():
        model = await open_predictor(config(model_path=str(folder({"net.onnx": models.half_plus(2)}))), environ={})
        assert model.not_ready_reason is None
        await model.close()
        assert model.not_ready_reason == "the model is being closed"
        await model.close()  # harmless

    asyncio.run(whole())


def test_d12_a_model_that_fails_on_what_it_says_it_takes_is_not_opened(folder, models, config, monkeypatch):
    runs = []

    async def fails(self, *args, **kwargs):
        runs.append(args)
        raise BadRequest("no")

    monkeypatch.setattr("strongroom.serving.requests.dataplane.Dataplane.run", fails)
    with pytest.raises(BadRequest):
        asyncio.run(open_predictor(config(model_path=str(folder({"net.onnx": models.half_plus(2)}))), environ={}))
    assert len(runs) == 1


def test_a_warm_up_whose_sizes_were_guessed_may_fail(folder, models, config):
    async def use(model):
        assert model.not_ready_reason is None
        return await model.predict({"x": np.zeros((2, 3), np.float32)})

    assert opened(config(model_path=str(folder({"net.onnx": models.picky()}))), use)["y"].shape == (2, 3)


def test_only_a_free_first_dimension_may_be_shared(folder, models, config):
    async def use(model):
        return model.batchable

    assert opened(config(model_path=str(folder({"a.onnx": models.half_plus(2, [1])}, "a"))), use) is False
    assert opened(config(model_path=str(folder({"a.onnx": models.half_plus(2, ["n", 3])}, "b"))), use) is True


def test_copies_of_the_model_share_the_runs(folder, models, config):
    async def use(model):
        assert model.parallelism == 3
        return await asyncio.gather(*(model.predict({"x": X * number}) for number in range(20)))

    path = str(folder({"net.onnx": models.half_plus(2)}))
    for number, found in enumerate(opened(config(model_path=path, model_parallelism=3), use)):
        np.testing.assert_array_equal(found["y"], X * number / 2 + 2)


def test_inputs_of_other_names_and_types_are_refused(folder, models, config):
    async def use(model):
        for wrong in ({"z": X}, {}, {"x": X, "z": X}, {"x": X.astype(np.int32)}, {"x": X.reshape(1, 2, 1)}):
            with pytest.raises(BadRequest):
                await model.predict(wrong)

    opened(config(model_path=str(folder({"net.onnx": models.half_plus(2)}))), use)


def test_a_lost_lease_answers_nothing_and_says_so(folder, models, config):
    async def use(model):
        lost = LeaseLost("key lease of secret/queue-serving_stream lost: the broker refused to renew it")
        model.suspend_records(lost)
        assert model.not_ready_reason == lost.sentence
        with pytest.raises(LeaseLost):
            await model.predict({"x": X})
        model.suspend_records(None)
        assert model.not_ready_reason is None
        assert await model.predict({"x": X})

    opened(config(model_path=str(folder({"net.onnx": models.half_plus(2)}))), use)


def test_core_number_means_threads_for_openvino_and_copies_for_the_others(config):
    both = config(core_number=4)
    assert (threads_of(both, Form.OPENVINO), threads_of(both, Form.ONNX)) == ((4, 1), (1, 4))
    assert threads_of(config(thread_per_model=2, model_parallelism=3), Form.ONNX) == (2, 3)


def test_a_plain_model_is_refused_where_it_was_said_to_be_sealed(folder, models, config):
    path = str(folder({"net.onnx": models.half_plus(2)}))
    with pytest.raises(PlainModel) as plain:
        asyncio.run(open_predictor(config(model_path=path, model_encrypted=True), environ={}))
    assert plain.value.code == "SR-QUEUE-MODEL-PLAIN"


def test_a_sealed_model_and_sealed_records_need_a_broker_and_a_platform(folder, models, config):
    bundle = str(folder({"half/1/bundle.json": b"{}", "half/1/bundle.sig": b""}) / "half" / "1")
    plain = str(folder({"net.onnx": models.half_plus(2)}, "plain"))
    with pytest.raises(trust.NoBroker):
        asyncio.run(open_predictor(config(model_path=bundle), environ={}))
    with pytest.raises(trust.NoBroker):
        asyncio.run(open_predictor(config(model_path=plain, require_sealed=True), environ={}))
    with pytest.raises(PlatformAbsent):
        asyncio.run(open_predictor(config(model_path=plain, record_encrypted=True, **BROKER), environ={}))
    with pytest.raises(PlatformAbsent):
        asyncio.run(open_predictor(config(model_path=bundle, **BROKER), environ={}))


def test_what_is_no_model_says_so(folder, config):
    with pytest.raises(ModelNotLoadable):
        asyncio.run(open_predictor(config(model_path=str(folder({"net.onnx": b"no model"}))), environ={}))


def test_openvinos_own_form_runs_from_a_flat_folder(folder, models, config, tmp_path):
    openvino = pytest.importorskip("openvino")
    source = folder({"model.onnx": models.half_plus(2, [2])}, "source") / "model.onnx"
    target = tmp_path / "ir"
    target.mkdir()
    openvino.save_model(openvino.convert_model(source), target / "net.xml", compress_to_fp16=False)

    async def use(model):
        return await model.predict({"x": X})

    np.testing.assert_allclose(opened(config(model_path=str(target)), use)["y"], [2.5, 3.0])
