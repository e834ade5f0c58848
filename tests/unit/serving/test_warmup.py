"""Warm-up files: replayed before a version is served, checked as a client's requests are, counted."""

from types import SimpleNamespace

import numpy as np
import pytest

from strongroom.serving.engines import EngineOptions, MemoryFiles
from strongroom.serving.models.loading import PlainLoader, SealedLoader
from strongroom.serving.models.versions import Candidate
from strongroom.serving.models.warmup import MAX_RECORDS, WARMUP_FILE, BadWarmup, Preparation
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.status import EngineFailed, code_of
from strongroom.tfserving import Code, DataType, Signature, TensorSpec
from strongroom.tfserving.messages import Input, PredictionLog
from strongroom.tfserving.tensors import array_to_tensor
from strongroom.tfserving.tfrecord import BadRecordFile, write_records

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def spec(dtype=DataType.DT_FLOAT, shape=(-1,)):
    return TensorSpec(name="t:0", dtype=dtype, shape=shape)


class RecordingEngine:
    """Answers nothing and remembers every run."""

    signatures = {  # noqa: RUF012
        "serving_default": Signature(inputs={"x": spec()}, outputs={"y": spec(), "z": spec()}),
        "classify": Signature(inputs={"inputs": spec(DataType.DT_STRING)}, outputs={"scores": spec()}, method=CLASSIFY),
        "regress": Signature(inputs={"inputs": spec(DataType.DT_STRING)}, outputs={"outputs": spec()}, method=REGRESS),
    }

    def __init__(self, problem=None):
        self.runs, self.problem = [], problem

    def run(self, signature, inputs, outputs):
        self.runs.append((signature, {name: array.tolist() for name, array in inputs.items()}, list(outputs)))
        if self.problem:
            raise self.problem
        return {}


def predict_log(x=(1.0,), *, name="x", signature="", model="another", outputs=()):
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.inputs[name].CopyFrom(array_to_tensor(np.array(x, np.float32)))
    request.output_filter.extend(outputs)
    return log


def examples(count=1):
    given = Input()
    for number in range(count):
        given.example_list.examples.add().features.feature["x"].float_list.value.append(number)
    return given


def warm_up(*logs, engine=None, data=None, iterations=1, more=()):
    engine, metrics = engine or RecordingEngine(), Metrics()
    metrics.set_models(["m"])
    data = write_records([log.SerializeToString() for log in logs]) if data is None else data
    files = MemoryFiles({WARMUP_FILE: data, **dict(more)})
    try:
        Preparation(metrics=metrics, iterations=iterations).prepare(engine, files, model="m", version=3, path="/m/3")
    except BadWarmup as problem:
        problem.metrics = metrics.text()
        raise
    return SimpleNamespace(runs=engine.runs, metrics=metrics.text())


def test_predictions_are_replayed_whatever_model_they_name():
    done = warm_up(predict_log([1, 2]), predict_log([3], outputs=["z"], signature="serving_default"))
    assert done.runs == [
        ("serving_default", {"x": [1.0, 2.0]}, ["y", "z"]),
        ("serving_default", {"x": [3.0]}, ["z"]),
    ]


def test_classification_regression_and_both_at_once_are_replayed():
    classify, regress, both = PredictionLog(), PredictionLog(), PredictionLog()
    classify.classify_log.request.model_spec.signature_name = "classify"
    classify.classify_log.request.input.CopyFrom(examples(2))
    regress.regress_log.request.model_spec.signature_name = "regress"
    regress.regress_log.request.input.CopyFrom(examples())
    both.multi_inference_log.request.input.CopyFrom(examples())
    for method, name in ((REGRESS, "regress"), (CLASSIFY, "classify")):
        task = both.multi_inference_log.request.tasks.add(method_name=method)
        task.model_spec.signature_name = name
    done = warm_up(classify, regress, both)
    assert [(signature, outputs) for signature, _, outputs in done.runs] == [
        ("classify", ["scores"]), ("regress", ["outputs"]), ("regress", ["outputs"]), ("classify", ["scores"])
    ]  # fmt: skip
    assert len(done.runs[0][1]["inputs"]) == 2
    assert all(isinstance(each, bytes) for each in done.runs[0][1]["inputs"])


def test_each_request_runs_as_often_as_was_asked_for():
    assert len(warm_up(predict_log(), iterations=3).runs) == 3
    assert warm_up(predict_log(), iterations=0).runs == []


def test_records_and_time_are_counted():
    text = warm_up(predict_log(), predict_log()).metrics
    assert ':tensorflow:serving:model_warmup_records_read{model_path="/m/3",status="OK"} 2' in text
    assert ':tensorflow:serving:model_warmup_latency_count{model_path="/m/3",status="OK"} 1' in text


def test_more_than_a_thousand_records_are_refused_before_the_first_runs():
    record = predict_log().SerializeToString()
    engine = RecordingEngine()
    warm_up(data=write_records([record] * MAX_RECORDS), engine=engine)
    assert len(engine.runs) == MAX_RECORDS
    engine.runs.clear()
    with pytest.raises(BadWarmup) as caught:
        warm_up(data=write_records([record] * (MAX_RECORDS + 1)), engine=engine)
    assert caught.value.sentence == f"Number of warmup records exceeds the maximum (1000) at /m/3/{WARMUP_FILE}"
    assert caught.value.code == "SR-WARMUP"
    assert engine.runs == []


def test_a_file_of_another_format_is_data_loss():
    for data in (b"no records at all, but text", write_records([b"x"])[:-1]):
        with pytest.raises(BadRecordFile) as caught:
            warm_up(data=data)
        assert caught.value.sentence.endswith(". Please verify your warmup data is in TFRecord format.")
        assert code_of(caught.value) is Code.DATA_LOSS


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (predict_log(name="q"), "warmup record 1 failed: "),
        (predict_log(signature="nowhere"), 'warmup record 1 failed: Serving signature key "nowhere" not found.'),
        (predict_log(outputs=["q"]), "warmup record 1 failed: output tensor alias not found in signature: q"),
        (PredictionLog(), "Unsupported log_type for warmup: none"),
        (PredictionLog(session_run_log={}), "Unsupported log_type for warmup: session_run_log"),
        (PredictionLog(predict_streamed_log={}), "Unsupported log_type for warmup: predict_streamed_log"),
        (PredictionLog(classify_log={}), "warmup record 1 failed: "),
    ],
)
def test_a_record_that_a_client_could_not_send_fails_the_version(log, said):
    with pytest.raises(BadWarmup) as caught:
        warm_up(log)
    assert caught.value.sentence.startswith(said)
    assert ':tensorflow:serving:model_warmup_records_read{model_path="/m/3",status="INVALID_ARGUMENT"} 0' in (
        caught.value.metrics
    )


def test_bytes_that_are_no_prediction_log_fail_the_version():
    with pytest.raises(BadWarmup, match="Failed to parse warmup record: number 2, of 3 bytes"):
        warm_up(data=write_records([predict_log().SerializeToString(), b"\xff\xff\xff"]))


def test_a_run_that_fails_fails_the_version():
    with pytest.raises(BadWarmup, match="warmup record 1 failed: it broke"):
        warm_up(predict_log(), engine=RecordingEngine(EngineFailed("it broke")))


def test_the_mlmd_identifier_is_shown_and_nothing_else_is():
    more = {"assets.extra/mlmd_uuid": b"test_mlmd_uuid\n"}
    assert 'version="3",uuid="test_mlmd_uuid"} 1' in warm_up(predict_log(), more=more).metrics.replace(", ", ",")
    for odd in (b"", b"a\x00b", b"two\nlines"):
        assert ":tensorflow:serving:mlmd_map{" not in warm_up(more={"assets.extra/mlmd_uuid": odd}).metrics


def preparation():
    metrics = Metrics()
    return Preparation(metrics=metrics), metrics


def test_a_plain_version_is_warmed_up_before_it_is_handed_out(base):
    folder = base.put(1)
    file = folder / WARMUP_FILE
    file.parent.mkdir()
    file.write_bytes(write_records([predict_log([2]).SerializeToString()]))
    ready, metrics = preparation()
    PlainLoader(EngineOptions(intra_op_threads=1), "m", ready).load(Candidate(1, folder)).close()
    assert 'status="OK"} 1' in metrics.text()
    file.write_bytes(write_records([predict_log(name="q").SerializeToString()]))
    with pytest.raises(BadWarmup):
        PlainLoader(EngineOptions(intra_op_threads=1), "m", ready).load(Candidate(1, folder))


def test_a_sealed_version_is_warmed_up_from_its_bundle(sealed):
    folder = sealed.publish(files={WARMUP_FILE: write_records([predict_log([2]).SerializeToString()])})
    ready, metrics = preparation()
    SealedLoader(
        model="m", key=sealed.key, owner=sealed.owner, options=EngineOptions(intra_op_threads=1), preparation=ready
    ).load(Candidate(1, folder)).close()
    assert 'status="OK"} 1' in metrics.text()
