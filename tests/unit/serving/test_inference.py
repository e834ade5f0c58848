"""Classify, Regress, MultiInference and reloads through the table of gRPC methods, over a twin of a model in numpy."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from strongroom.serving.models.registry import Served
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rpc import Rpc
from strongroom.serving.status import BadRequest, NotServed, status_of
from strongroom.tfserving import Code, DataType, Signature, TensorSpec, messages

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def spec(name, kind=DataType.DT_STRING, shape=(-1,)):
    return TensorSpec(name=name, dtype=kind, shape=shape)


def signature(method, *, inputs=None, outputs=(), defaults=None):
    return Signature(
        inputs=inputs or {"inputs": spec("example:0")},
        outputs={name: spec(f"{name}:0", kind) for name, kind in outputs},
        method=method,
        defaults=defaults or {},
    )


FLOAT = DataType.DT_FLOAT
SIGNATURES = {
    "serving_default": signature(CLASSIFY, outputs=[("classes", DataType.DT_STRING), ("scores", FLOAT)]),
    "lengths": signature(REGRESS, outputs=[("outputs", FLOAT)]),
    "elsewhere": signature(REGRESS, inputs={"inputs": spec("other:0")}, outputs=[("outputs", FLOAT)]),
    "unknown": signature("somebody/elses"),
    "sum": signature(
        "tensorflow/serving/predict",
        inputs={"a": spec("a:0", FLOAT), "b": spec("b:0", FLOAT)},
        outputs=[("y", FLOAT)],
        defaults={"b": np.array([10], np.float32)},
    ),
}


class Worker:
    """Labels are the examples' bytes, scores and values their lengths; told to, it never answers."""

    description = "a twin"

    def __init__(self):
        self.silent = False
        self.cancelled = 0
        self.asked = []  # for what, in the metrics' words

    def submit(self, name, inputs, outputs, done, *, api):
        self.asked.append(api)
        if self.silent:
            return self
        if name == "sum":
            made = {"y": inputs["a"] + inputs["b"]}
        else:
            given = inputs["inputs"]
            lengths = np.array([len(each) for each in given], np.float32)
            made = {"outputs": lengths, "scores": lengths[:, None], "classes": given[:, None]}
        asyncio.get_running_loop().call_soon(done, {name: made[name] for name in outputs})
        return self

    def cancel(self):
        self.cancelled += 1

    async def close(self):
        """Nothing is held."""


class Catalogue:
    not_ready_reason = None

    def __init__(self, served):
        self.served = served

    def find(self, name, version):
        return self.served if name == "m" and version in (None, 7) else None

    def labelled(self, name, label):
        if label != "stable":
            raise BadRequest(f"Unrecognized servable version label: {label}")
        return 7

    def statuses(self, name):
        return ()

    def names(self):
        return ("m",)


class Reloader:
    def __init__(self, metrics):
        self.metrics, self.seen, self.problem, self.gate = metrics, [], None, None

    async def reload(self, config):
        if self.gate is not None:
            await self.gate.wait()
        self.seen.append([each.name for each in config.model_config_list.config])
        self.metrics.count_request("m", Code.OK)
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def world():
    """Call methods of the table: return the answer's message, or code and details."""
    metrics = Metrics()
    metrics.set_models(["m"])
    worker = Worker()
    served = Served(name="m", version=7, signatures=SIGNATURES, worker=worker)
    dataplane = Dataplane(Catalogue(served), accepting=True)
    reloader = Reloader(metrics)
    rpc = Rpc(dataplane, metrics=metrics, reloader=reloader)

    async def run(path, request, deadline_s):
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        deadline = None if deadline_s is None else loop.time() + deadline_s
        rpc.methods[path](memoryview(raw), deadline, answer.set_result)
        return await answer

    def call(path, request, kind, *, deadline_s=None):
        made = asyncio.run(run(path, request, deadline_s))
        return kind.FromString(made) if isinstance(made, bytes) else (status_of(made)[0].name, status_of(made)[1])

    return SimpleNamespace(
        call=call, metrics=metrics, dataplane=dataplane, worker=worker, reloader=reloader, rpc=rpc, run=run
    )


def examples(*names):
    given = messages.Input()
    given.example_list.SetInParent()
    for name in names:
        given.example_list.examples.add().features.feature[name].SetInParent()
    return given


def classify(name="m", signature_name="", given=("a",), **more):
    spec = messages.ModelSpec(name=name, signature_name=signature_name, **more)
    return messages.ClassificationRequest(model_spec=spec, input=examples(*given))


def regress(**named):
    asked = classify(**named)
    return messages.RegressionRequest(model_spec=asked.model_spec, input=asked.input)


def test_classify_pairs_labels_and_scores_and_counts(world):
    answer = world.call(messages.CLASSIFY, classify(given=("a", "bc")), messages.ClassificationResponse)
    first, second = answer.result.classifications
    assert (first.classes[0].score, second.classes[0].score) == (len("a") + 8, len("bc") + 8)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("m", 7)
    assert answer.model_spec.signature_name == "serving_default"
    text = world.metrics.text()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in text
    assert ':tensorflow:serving:request_latency_count{model_name="m",API="Classify",entrypoint="GRPC"} 1' in text
    assert ':tensorflow:serving:request_example_count_total{model="m"} 2' in text


def test_regress_answers_a_value_an_example(world):
    answer = world.call(messages.REGRESS, regress(signature_name="lengths"), messages.RegressionResponse)
    assert [each.value for each in answer.result.regressions] == [9]
    assert answer.model_spec.signature_name == "lengths"


def multi(*tasks, given=("a",)):
    request = messages.MultiInferenceRequest(input=examples(*given))
    for name, signature_name, method in tasks:
        task = request.tasks.add(method_name=method)
        if name is not None:
            task.model_spec.name = name
            task.model_spec.signature_name = signature_name
    return request


def test_multi_inference_answers_in_the_order_of_its_tasks(world):
    request = multi(("m", "lengths", REGRESS), ("m", "", CLASSIFY))
    answer = world.call(messages.MULTI_INFERENCE, request, messages.MultiInferenceResponse)
    assert [each.WhichOneof("result") for each in answer.results] == ["regression_result", "classification_result"]
    assert [each.model_spec.version.value for each in answer.results] == [7, 7]
    assert world.worker.asked == ["Regress", "Classify"]
    assert ':tensorflow:serving:request_example_count_total{model="m"} 1' in world.metrics.text()


def test_multi_inference_feeds_the_examples_to_every_input_tensor(world):
    request = multi(("m", "lengths", REGRESS), ("m", "elsewhere", REGRESS), ("m", "", CLASSIFY))
    answer = world.call(messages.MULTI_INFERENCE, request, messages.MultiInferenceResponse)
    assert [each.regression_result.regressions[0].value for each in answer.results[:2]] == [9, 9]
    assert [each.model_spec.signature_name for each in answer.results] == ["lengths", "elsewhere", "serving_default"]


REFUSED = [
    (messages.CLASSIFY, messages.ClassificationRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    (messages.CLASSIFY, classify(name="", version_label=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (messages.CLASSIFY, classify(name="no"), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    (messages.CLASSIFY, classify(version_label="x"), "INVALID_ARGUMENT",
     "Unrecognized servable version label: x"),
    (messages.CLASSIFY, classify(signature_name="no", given=()), "INVALID_ARGUMENT",
     "No signature was found with the name: no"),
    (messages.CLASSIFY, classify(given=()), "INVALID_ARGUMENT", "Input is empty."),
    (messages.REGRESS, regress(), "INVALID_ARGUMENT", "Expected one output Tensor."),
    (messages.MULTI_INFERENCE, multi(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (messages.MULTI_INFERENCE, multi((None, "", REGRESS)), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (messages.MULTI_INFERENCE, multi(("no", "", REGRESS)), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    (messages.MULTI_INFERENCE, multi(("m", "lengths", REGRESS), (None, "", CLASSIFY)), "INVALID_ARGUMENT",
     "Found ModelSpec with an empty model name."),
    (messages.MULTI_INFERENCE, multi(("m", "lengths", REGRESS), ("n", "", CLASSIFY)), "INVALID_ARGUMENT",
     "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
    (messages.MULTI_INFERENCE, multi(("m", "", CLASSIFY), ("m", "serving_default", CLASSIFY)), "INVALID_ARGUMENT",
     "Duplicate evaluation of signature: serving_default"),
    (messages.MULTI_INFERENCE, multi(("m", "no", REGRESS)), "INVALID_ARGUMENT",
     "Requested signature not found in model graph: no"),
    (messages.MULTI_INFERENCE, multi(("m", "lengths", "predict")), "UNIMPLEMENTED",
     "Unsupported signature method_name: predict"),
    (messages.MULTI_INFERENCE, multi(("m", "lengths", REGRESS), given=()), "INVALID_ARGUMENT", "Input is empty."),
    (messages.CLASSIFY, b"\xff" * 9, "INVALID_ARGUMENT", "the request is not a ClassificationRequest"),
    (messages.HANDLE_RELOAD_CONFIG, b"\xff" * 9, "INVALID_ARGUMENT", "the request is not a ReloadConfigRequest"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "request_message", "code", "text"), REFUSED, ids=[each[3] for each in REFUSED])
def test_a_request_is_refused_in_order_and_word_for_word(world, path, request_message, code, text):
    assert world.call(path, request_message, None) == (code, text)


def test_refusals_are_counted_and_their_time_is_not(world):
    world.call(messages.REGRESS, regress(signature_name="no"), None)
    text = world.metrics.text()
    assert ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1' in text
    assert 'API="Regress"' not in text


def test_signatures_are_held_to_their_methods_where_one_wants_that(world):
    world.dataplane.check_method_names = True
    asked = classify(signature_name="lengths")
    assert world.call(messages.CLASSIFY, asked, None)[1].startswith("Expected classification signature method_name")
    predict = messages.PredictRequest(model_spec=messages.ModelSpec(name="m", signature_name="unknown"))
    assert world.call(messages.PREDICT, predict, None) == (
        "INTERNAL",
        (
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. Was: somebody/elses"
        ),
    )


def test_the_error_for_another_method_has_its_code():
    from strongroom.serving.requests.request_checks import check_method
    from strongroom.serving.status import UnexpectedMethod

    with pytest.raises(UnexpectedMethod) as caught:
        check_method(SIGNATURES["unknown"])
    assert caught.value.code == "SR-SERVE-METHOD"


def summed(**inputs):
    request = messages.PredictRequest(model_spec=messages.ModelSpec(name="m", signature_name="sum"))
    for name, value in inputs.items():
        request.inputs[name].dtype = 1
        request.inputs[name].tensor_shape.dim.add(size=1)
        request.inputs[name].float_val.append(value)
    return request


def test_defaults_fill_in_what_a_request_leaves_out(world):
    answer = world.call(messages.PREDICT, summed(a=1), messages.PredictResponse)
    assert list(answer.outputs["y"].float_val) == [11]
    answer = world.call(messages.PREDICT, summed(a=1, b=2), messages.PredictResponse)
    assert list(answer.outputs["y"].float_val) == [3]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [({"a": 1, "b": 1, "c": 1}, ("input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). Sent extra: "
                                "{c}. Missing but required: {}.")),
     ({"b": 1}, ("Signature input alias: a(feed name: a:0) not found in request and no default value provided. Inputs "
                "expected to be in the request {b}, or default input alias set: b")),
     ({"a": 1, "c": 1}, "Inputs contains invalid name. Used request inputs: a, request input: a,c")],
)  # fmt: skip
def test_names_that_do_not_fit_are_refused_also_beside_defaults(world, inputs, text):
    assert world.call(messages.PREDICT, summed(**inputs), None) == ("INVALID_ARGUMENT", text)


def test_a_deadline_ends_an_inference(world):
    world.worker.silent = True
    code, _ = world.call(messages.CLASSIFY, classify(), None, deadline_s=0.01)
    assert code == "DEADLINE_EXCEEDED"
    assert world.call(messages.CLASSIFY, classify(), None, deadline_s=-1)[0] == "DEADLINE_EXCEEDED"


def test_a_cancelled_inference_is_not_replied_to(world):
    world.worker.silent = True

    async def run():
        seen = []
        ticket = world.rpc.methods[messages.CLASSIFY](classify().SerializeToString(), None, seen.append)
        await asyncio.sleep(0)
        ticket.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seen

    assert asyncio.run(run()) == []
    assert world.worker.cancelled


def reload(*names, metrics=()):
    request = messages.ReloadConfigRequest(metric_names=metrics)
    request.config.model_config_list.SetInParent()
    for name in names:
        request.config.model_config_list.config.add(name=name)
    return request


def test_a_reload_answers_with_its_status_and_what_the_metrics_grew_by(world):
    count = "/tensorflow/serving/request_count"
    request = reload("a", "b", metrics=[count, "/none"])
    answer = world.call(messages.HANDLE_RELOAD_CONFIG, request, messages.ReloadConfigResponse)
    assert world.reloader.seen == [["a", "b"]]
    assert answer.HasField("status")
    assert [(each.name, each.int64_value_increase) for each in answer.metric] == [(count, 1), ("/none", 0)]


def test_a_refused_reload_is_its_refusal(world):
    world.reloader.problem = NotServed("some reason")
    assert world.call(messages.HANDLE_RELOAD_CONFIG, reload("a"), None) == ("NOT_FOUND", "some reason")


def test_only_a_list_of_models_is_a_config(world):
    text = (
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
    )
    custom = messages.ReloadConfigRequest()
    custom.config.custom_model_config.SetInParent()
    for request in (messages.ReloadConfigRequest(), custom):
        assert world.call(messages.HANDLE_RELOAD_CONFIG, request, None) == ("INVALID_ARGUMENT", text)


def test_a_server_without_a_list_of_models_says_so():
    seen = []

    async def run():
        Rpc(Dataplane()).methods[messages.HANDLE_RELOAD_CONFIG](reload("a").SerializeToString(), None, seen.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert status_of(seen[0])[0].name == "UNIMPLEMENTED"


def test_a_peer_that_leaves_does_not_stop_a_reload(world):
    async def run():
        seen = []
        world.reloader.gate = asyncio.Event()
        ticket = world.rpc.methods[messages.HANDLE_RELOAD_CONFIG](reload("a").SerializeToString(), None, seen.append)
        await asyncio.sleep(0)
        ticket.cancel()
        world.reloader.gate.set()
        for _ in range(3):
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(run()) == []
    assert world.reloader.seen == [["a"]]


def test_a_defect_of_ours_is_one_line_for_the_peer(world, caplog, monkeypatch):
    monkeypatch.setattr(Dataplane, "choose", lambda self, query: 1 / 0)
    assert world.call(messages.CLASSIFY, classify(), None) == ("INTERNAL", "internal error")
    assert world.call(messages.PREDICT, summed(a=1), None) == ("INTERNAL", "internal error")
    assert "ZeroDivisionError" in caplog.text
