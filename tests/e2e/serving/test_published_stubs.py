"""Google's published Python stubs against both front ends, used as a TensorFlow Serving user uses them.

Each test runs four times: on either front, over mutual TLS and in clear text (where outputs come as tensor_content).
"""

import asyncio
import importlib.util
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from onnx import TensorProto, helper

VECTORS = Path(os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors"))
TESTDATA = VECTORS / "tfserving" / "testdata"
SERVABLES = TESTDATA / "servables" / "tensorflow" / "testdata"
MODEL_SERVER = ("-m", "strongroom.cli.model_server")
RESNET = "resnet50-v15-fp32"
LIMIT_S = 60
TYPES = {
    "f32": (TensorProto.FLOAT, np.float32), "f64": (TensorProto.DOUBLE, np.float64),
    "f16": (TensorProto.FLOAT16, np.float16), "i8": (TensorProto.INT8, np.int8), "i16": (TensorProto.INT16, np.int16),
    "i32": (TensorProto.INT32, np.int32), "i64": (TensorProto.INT64, np.int64), "u8": (TensorProto.UINT8, np.uint8),
    "u16": (TensorProto.UINT16, np.uint16), "u32": (TensorProto.UINT32, np.uint32),
    "u64": (TensorProto.UINT64, np.uint64), "bool": (TensorProto.BOOL, np.bool_),
    "text": (TensorProto.STRING, np.object_),
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow_serving") is None, reason="the stubs are not installed"),
    pytest.mark.skipif(not TESTDATA.is_dir(), reason=f"the shared vectors are not here ({TESTDATA})"),
]


def echo_of_every_type():
    """Return a model that gives each of its inputs, one for each type, back."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in TYPES],
        "g",
        [helper.make_tensor_value_info(name, kind, None) for name, (kind, _) in TYPES.items()],
        [helper.make_tensor_value_info(f"{name}_out", kind, None) for name, (kind, _) in TYPES.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def config_entry(name, base, rest=""):
    return f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {rest} }}'


@pytest.fixture(scope="module")
def bases(tmp_path_factory, models):
    """Return the base folder of each model: SavedModels of TensorFlow Serving's tests, and ONNX models."""
    folder = tmp_path_factory.mktemp("models")
    onnx = {RESNET: models.image_classifier(), "types": echo_of_every_type(), "slow": models.slow(1500)}
    for name, model in {**onnx, "echo": models.half_plus(2)}.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.onnx").write_bytes(model)
    return {
        "half_plus_two": SERVABLES / "saved_model_half_plus_two_2_versions",
        "half_plus_three": SERVABLES / "saved_model_half_plus_three",
        "counter": SERVABLES / "saved_model_counter",
        "matrix": TESTDATA / "batching" / "testdata" / "matrix_half_plus_two",
        **{name: folder / name for name in (*onnx, "echo")},
    }


@pytest.fixture(scope="module")
def entries(bases):
    """Return the entry of each model that is served from the start."""
    policy = 'model_version_policy { all {} } version_labels { key: "stable" value: 123 } '
    policy += 'version_labels { key: "canary" value: 124 }'
    served = [name for name in bases if name != "half_plus_three"]
    return {name: config_entry(name, bases[name], policy if name == "half_plus_two" else "") for name in served}


@pytest.fixture(scope="module", params=["fast-mtls", "fast-clear", "grpcio-mtls", "grpcio-clear"])
def server(request, launcher, nest, entries, tmp_path_factory):
    """A server of all models; `clear` tells whether its channels are in clear text."""
    front, transport = request.param.split("-")
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(f"model_config_list {{ {' '.join(entries.values())} }}")
    words = [f"--rpc={front}", f"--model_config_file={config}", "--enable_grpc_healthcheck_service"]
    words += ["--allow_version_labels_for_unavailable_models", "--tensorflow_intra_op_parallelism=1"]
    clear = transport == "clear"
    if clear:
        words += ["--insecure", "--enable_serialization_as_tensor_content=true"]
    started = launcher("", *words, command=MODEL_SERVER, with_tls=not clear, begin=nest.begin).wait_ready()
    started.clear = clear
    yield started
    status, _, log = started.end()
    assert status == 0
    assert "Traceback" not in log, log


def channel_to(server, *options, **words):
    """Open a channel as the guides do; the certificate's name is told, since the address is a number."""
    target = f"127.0.0.1:{server.ports[0]}"
    if server.clear:
        return grpc.insecure_channel(target, options=options, **words)
    override = ("grpc.ssl_target_name_override", "localhost")
    return grpc.secure_channel(target, server.tls.credentials, options=(override, *options), **words)


@pytest.fixture
def stubs(server, published):
    with channel_to(server) as channel:
        yield published.of(channel)


def refusal(call, *words, **more):
    with pytest.raises(grpc.RpcError) as caught:
        call(*words, timeout=LIMIT_S, **more)
    return caught.value.code().name, caught.value.details()


def ask(published, stub, name, inputs, *, signature="", outputs=(), **words):
    """Send one PredictRequest as the guides do; return arrays by name and the answer's ModelSpec."""
    request = published.predict.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(published.tf.make_tensor_proto(value))
    request.output_filter.extend(outputs)
    answer = stub.Predict(request, **{"timeout": LIMIT_S, **words})
    return {key: published.tf.make_ndarray(answer.outputs[key]) for key in answer.outputs}, answer.model_spec


def test_predict_as_in_the_guide(stubs, published):
    request = published.predict.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.model_spec.signature_name = "serving_default"
    request.inputs["x"].CopyFrom(published.tf.make_tensor_proto([1.0, 2.0, 5.0], shape=[3]))
    answer = stubs.prediction.Predict(request, timeout=LIMIT_S)
    assert published.tf.make_ndarray(answer.outputs["y"]).tolist() == [2.5, 3.0, 4.5]
    assert answer.outputs["y"].dtype == published.tf.float32.as_datatype_enum
    spec = answer.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("half_plus_two", "serving_default", 124)


def test_versions_and_labels_choose(stubs, published):
    request = published.predict.PredictRequest()
    request.inputs["x"].CopyFrom(published.tf.make_tensor_proto([2.0]))
    request.model_spec.name = "half_plus_two"
    for version, label in ((123, "stable"), (124, "canary")):
        request.model_spec.version.value = version
        assert stubs.prediction.Predict(request, timeout=LIMIT_S).model_spec.version.value == version
        request.model_spec.version_label = label
        answer = stubs.prediction.Predict(request, timeout=LIMIT_S)
        assert answer.model_spec.version.value == version
        assert answer.model_spec.WhichOneof("version_choice") == "version"
    request.model_spec.version_label = "nightly"
    wanted = ("INVALID_ARGUMENT", "Unrecognized servable version label: nightly")
    assert refusal(stubs.prediction.Predict, request) == wanted
    request.model_spec.version.value = 9
    wanted = ("NOT_FOUND", "Servable not found for request: Specific(half_plus_two, 9)")
    assert refusal(stubs.prediction.Predict, request) == wanted


def every_type(shape=(2, 3)):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    arrays = {name: numbers.astype(kind) for name, (_, kind) in TYPES.items() if name != "text"}
    return {
        **arrays,
        "text": np.array([[b"", b"plain", "grüß".encode()], ["日本".encode(), b"x" * 3000, b"-"]], np.object_),
    }


def test_every_type_comes_back_as_it_was(stubs, published):
    sent = every_type()
    back, _ = ask(published, stubs.prediction, "types", sent)
    assert back.keys() == {f"{name}_out" for name in TYPES}
    for name, array in sent.items():
        assert back[f"{name}_out"].dtype == array.dtype
        assert back[f"{name}_out"].tolist() == array.tolist()


def test_bytes_that_are_no_text_reach_a_saved_model(stubs, published):
    examples = [example(published, x=[value]).SerializeToString() for value in (2.0, -0.0)]
    back, _ = ask(published, stubs.prediction, "half_plus_two", {"inputs": examples}, signature="regress_x_to_y")
    assert back["outputs"].tolist() == [[3.0], [2.0]]


def test_scalars_and_empty_tensors_come_back(stubs, published):
    for shape in ((), (0,), (2, 0)):
        sent = {name: np.zeros(shape, kind) for name, (_, kind) in TYPES.items() if name != "text"}
        text = published.tf.make_tensor_proto(np.full(shape, b"t", np.object_), dtype=published.tf.string, shape=shape)
        request = published.predict.PredictRequest()
        request.model_spec.name = "types"
        for name, array in sent.items():
            request.inputs[name].CopyFrom(published.tf.make_tensor_proto(array))
        request.inputs["text"].CopyFrom(text)
        answer = stubs.prediction.Predict(request, timeout=LIMIT_S)
        for name, array in sent.items():
            back = published.tf.make_ndarray(answer.outputs[f"{name}_out"])
            assert (back.shape, back.dtype) == (array.shape, array.dtype)
        assert published.tf.make_ndarray(answer.outputs["text_out"]).shape == shape


def test_one_value_stands_for_all(stubs, published):
    request = published.predict.PredictRequest()
    request.model_spec.name = "half_plus_two"
    tensor = published.tf.make_tensor_proto(4.0, shape=[5])
    assert len(tensor.float_val) == 1
    request.inputs["x"].CopyFrom(tensor)
    answer = stubs.prediction.Predict(request, timeout=LIMIT_S)
    assert published.tf.make_ndarray(answer.outputs["y"]).tolist() == [4.0] * 5


def test_the_output_filter_chooses(stubs, published):
    back, _ = ask(published, stubs.prediction, "types", every_type(), outputs=["i64_out", "text_out"])
    assert back.keys() == {"i64_out", "text_out"}
    for names, text in ((["nothing"], "output tensor alias not found in signature: nothing Outputs expected"),
                        (["i8_out", "i8_out"], "duplicate output tensor alias: i8_out")):  # fmt: skip
        with pytest.raises(grpc.RpcError) as caught:
            ask(published, stubs.prediction, "types", every_type(), outputs=names)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details().startswith(text)


def test_a_batch_of_images_is_classified(stubs, published, models):
    images = np.random.default_rng(1).integers(0, 255, (8, 224, 224, 3), np.uint8).astype(np.float32)
    back, spec = ask(published, stubs.prediction, RESNET, {"input": images}, signature="serving_default")
    assert back["predict"].shape == (8, 1001)
    np.testing.assert_allclose(back["predict"], models.image_classes(images), rtol=1e-4)
    assert spec.name == RESNET


def test_a_model_keeps_its_state(stubs, published):
    def count(signature, **inputs):
        return ask(published, stubs.prediction, "counter", inputs, signature=signature)[0]["output"].tolist()

    count("reset_counter")
    assert [count("incr_counter"), count("incr_counter_by", delta=np.float32(7)), count("get_counter")] == [1, 8, 8]


def test_matrices_are_answered_side_by_side(stubs, published):
    request = published.predict.PredictRequest()
    request.model_spec.name = "matrix"
    calls = []
    for number in range(40):
        request.inputs["x"].CopyFrom(
            published.tf.make_tensor_proto(np.full((1 + number % 3, 2, 2), number, np.float32))
        )
        calls.append(stubs.prediction.Predict.future(request, timeout=LIMIT_S))
    for number, call in enumerate(calls):
        rows = published.tf.make_ndarray(call.result().outputs["y"])
        assert rows.tolist() == np.full((1 + number % 3, 2, 2), number / 2 + 2).tolist()


def example(published, **features):
    feature = {
        name: published.tf.train.Feature(float_list=published.tf.train.FloatList(value=values))
        for name, values in features.items()
    }
    return published.tf.train.Example(features=published.tf.train.Features(feature=feature))


def test_classify_and_regress_take_examples(stubs, published):
    examples = [example(published, x=[2.0]), example(published, x=[10.0])]
    request = published.classification.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", "classify_x_to_y"
    request.input.example_list.examples.extend(examples)
    answer = stubs.prediction.Classify(request, timeout=LIMIT_S)
    classes = [[(one.label, one.score) for one in row.classes] for row in answer.result.classifications]
    assert classes == [[("", 3.0)], [("", 7.0)]]
    assert answer.model_spec.version.value == 124
    request = published.regression.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", "regress_x_to_y"
    request.input.example_list.examples.extend(examples)
    answer = stubs.prediction.Regress(request, timeout=LIMIT_S)
    assert [row.value for row in answer.result.regressions] == [3.0, 7.0]


def test_examples_share_a_context(stubs, published):
    request = published.regression.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", "regress_x_to_y"
    examples = request.input.example_list_with_context
    examples.context.CopyFrom(example(published, x=[4.0]))
    examples.examples.extend([example(published, z=[0.0]), example(published, x=[2.0])])
    answer = stubs.prediction.Regress(request, timeout=LIMIT_S)
    assert [row.value for row in answer.result.regressions] == [4.0, 3.0]


def test_examples_that_do_not_fit_are_told_in_tensorflows_words(stubs, published):
    request = published.regression.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", "regress_x_to_y"
    assert refusal(stubs.prediction.Regress, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.input.example_list.examples.append(example(published, z=[1.0]))
    code, text = refusal(stubs.prediction.Regress, request)
    assert code == "INVALID_ARGUMENT"
    assert "Feature: x (data type: float) is required but could not be found." in text


def test_several_inferences_share_one_run(stubs, published):
    request = published.inference.MultiInferenceRequest()
    for signature, method in (("regress_x_to_y", "regress"), ("classify_x_to_y", "classify")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "half_plus_two", signature
    request.input.example_list.examples.append(example(published, x=[2.0]))
    first, second = stubs.prediction.MultiInference(request, timeout=LIMIT_S).results
    assert [row.value for row in first.regression_result.regressions] == [3.0]
    assert [one.score for one in second.classification_result.classifications[0].classes] == [3.0]
    assert first.model_spec.signature_name == "regress_x_to_y"
    request.tasks[1].CopyFrom(request.tasks[0])
    wanted = ("INVALID_ARGUMENT", "Duplicate evaluation of signature: regress_x_to_y")
    assert refusal(stubs.prediction.MultiInference, request) == wanted


@pytest.mark.parametrize(
    ("name", "field", "shape"), [("half_plus_two", "x", [-1, 1]), (RESNET, "input", [-1, 224, 224, 3])]
)
def test_metadata_is_unpacked_from_its_any(stubs, published, name, field, shape):
    request = published.metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = name
    answer = stubs.prediction.GetModelMetadata(request, timeout=LIMIT_S)
    signatures = published.metadata.SignatureDefMap()
    assert answer.metadata["signature_def"].Is(signatures.DESCRIPTOR)
    assert answer.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs[field].dtype == published.tf.float32.as_datatype_enum
    assert [dim.size for dim in signature.inputs[field].tensor_shape.dim] == shape
    assert answer.model_spec.version.value == {"half_plus_two": 124}.get(name, 1)


def test_status_lists_versions_highest_first(stubs, published):
    request = published.status.GetModelStatusRequest()
    request.model_spec.name = "half_plus_two"
    rows = stubs.model.GetModelStatus(request, timeout=LIMIT_S).model_version_status
    available = published.status.ModelVersionStatus.AVAILABLE
    assert [(row.version, row.state) for row in rows] == [(124, available), (123, available)]
    assert not any(row.status.error_code for row in rows)
    request.model_spec.version.value = 5
    wanted = ("NOT_FOUND", "Could not find version 5 of model half_plus_two")
    assert refusal(stubs.model.GetModelStatus, request) == wanted


def reload_request(published, *texts):
    request = published.management.ReloadConfigRequest()
    published.text_format.Parse(f"model_config_list {{ {' '.join(texts)} }}", request.config)
    return request


def test_a_reload_adds_a_model_and_takes_it_away(stubs, published, bases, entries):
    three = config_entry("half_plus_three", bases["half_plus_three"])
    added = reload_request(published, *entries.values(), three)
    added.metric_names.append("/tensorflow/serving/request_count")
    answer = stubs.model.HandleReloadConfigRequest(added, timeout=LIMIT_S)
    assert answer.status.error_code == 0
    assert [metric.name for metric in answer.metric] == ["/tensorflow/serving/request_count"]
    assert ask(published, stubs.prediction, "half_plus_three", {"x": [2.0]})[0]["y"].tolist() == [4.0]
    stubs.model.HandleReloadConfigRequest(reload_request(published, *entries.values()), timeout=LIMIT_S)
    with pytest.raises(grpc.RpcError) as caught:
        ask(published, stubs.prediction, "half_plus_three", {"x": [2.0]})
    assert caught.value.details() == "Servable not found for request: Latest(half_plus_three)"
    twice = reload_request(published, *entries.values(), entries["echo"])
    wanted = ("INVALID_ARGUMENT", "Illegal to list model echo multiple times in config list")
    assert refusal(stubs.model.HandleReloadConfigRequest, twice) == wanted
    assert ask(published, stubs.prediction, "echo", {"x": np.float32([2])})[0]["y"].tolist() == [3.0]


def test_refusals_have_tensorflow_servings_code_and_words(stubs, published):
    def predict(**words):
        with pytest.raises(grpc.RpcError) as caught:
            ask(published, stubs.prediction, **words)
        return caught.value.code().name, caught.value.details()

    good, sizes = {"x": np.float32([1])}, "input size does not match signature: "
    cases = [
        ({"name": "", "inputs": good}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": "nobody", "inputs": good}, "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        ({"name": "half_plus_two", "inputs": good, "signature": "none"}, "FAILED_PRECONDITION",
         'Serving signature key "none" not found.'),
        ({"name": "half_plus_two", "inputs": {}}, "INVALID_ARGUMENT",
         f"{sizes}0!=1 len({{}}) != len({{x}}). Sent extra: {{}}. Missing but required: {{x}}."),
        ({"name": "half_plus_two", "inputs": {**good, "z": [1.0]}}, "INVALID_ARGUMENT",
         f"{sizes}2!=1 len({{x,z}}) != len({{x}}). Sent extra: {{z}}. Missing but required: {{}}."),
        ({"name": "half_plus_two", "inputs": {"x": np.int32([1])}}, "INVALID_ARGUMENT",
         "Expects arg[0] to be float but int32 is provided"),
        ({"name": "echo", "inputs": {"x": np.int32([1])}}, "INVALID_ARGUMENT",
         "Expects arg[0] to be float but int32 is provided"),
    ]  # fmt: skip
    for words, code, text in cases:
        assert predict(**words) == (code, text)
    assert refusal(stubs.prediction.Predict, published.predict.PredictRequest()) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )
    request = published.metadata.GetModelMetadataRequest()
    request.model_spec.name = "half_plus_two"
    text = "GetModelMetadataRequest must specify at least one metadata_field"
    assert refusal(stubs.prediction.GetModelMetadata, request) == ("INVALID_ARGUMENT", text)


def test_a_method_that_tensorflow_serving_does_not_offer_is_unimplemented(server):
    with channel_to(server) as channel:
        for path in ("/tensorflow.serving.SessionService/SessionRun", "/tensorflow.serving.PredictionService/Guess"):
            assert refusal(channel.unary_unary(path), b"")[0] == "UNIMPLEMENTED"


def health_messages():
    """Return the request and the answer of grpc.health.v1, from their published field numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="health", syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=9, label=1)
    answer = file.message_type.add(name="HealthCheckResponse")
    answer.field.add(name="status", number=1, type=5, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("health.HealthCheckRequest", "health.HealthCheckResponse")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


def test_health_is_checked_and_watched(server):
    request, answer = health_messages()
    words = {"request_serializer": request.SerializeToString, "response_deserializer": answer.FromString}
    with channel_to(server) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", **words)
        for service in ("", "tensorflow.serving.PredictionService", "PredictionService", "ModelService"):
            assert check(request(service=service), timeout=LIMIT_S).status == 1
        assert refusal(check, request(service="nobody"))[0] == "NOT_FOUND"
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch", **words)(request(), timeout=LIMIT_S)
        assert next(watch).status == 1
        watch.cancel()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_answered(server, published, compression):
    many = np.arange(20_000, dtype=np.float32)
    with channel_to(server, compression=compression) as channel:
        back, _ = ask(published, published.of(channel).prediction, "echo", {"x": many})
        assert back["y"].tolist() == (many / 2 + 2).tolist()
        plain = {"compression": grpc.Compression.NoCompression}
        assert ask(published, published.of(channel).prediction, "echo", {"x": many[:3]}, **plain)[0]["y"].size == 3


def test_large_messages_pass_both_ways(server, published):
    many = np.zeros(3_000_000, np.float32)
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with channel_to(server, *unlimited) as channel:
        for _ in range(2):
            back, _ = ask(published, published.of(channel).prediction, "echo", {"x": many})
            assert back["y"].shape == many.shape
            assert set(back["y"].tolist()) == {2.0}
    with channel_to(server) as channel:  # grpc's own limit for what a client takes: 4 MiB
        prediction = published.of(channel).prediction
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                ask(published, prediction, "echo", {"x": many})
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert ask(published, prediction, "echo", {"x": many[:2]})[0]["y"].tolist() == [2.0, 2.0]


def test_many_streams_on_one_channel_get_their_own_answers(stubs, published):
    request, calls = published.predict.PredictRequest(), []
    for number in range(400):
        request.model_spec.name = ("half_plus_two", "echo")[number % 2]
        request.inputs["x"].CopyFrom(published.tf.make_tensor_proto(np.float32([number])))
        calls.append(stubs.prediction.Predict.future(request, timeout=LIMIT_S))
    answers = [published.tf.make_ndarray(call.result().outputs["y"]).tolist() for call in calls]
    assert answers == [[number / 2 + 2] for number in range(400)]


def test_threads_share_a_stub(stubs, published):
    failures = []

    def keep_asking(first):
        for number in range(first, first + 25):
            back, _ = ask(published, stubs.prediction, "half_plus_two", {"x": [float(number)]})
            if back["y"].tolist() != [number / 2 + 2]:
                failures.append(number)

    threads = [threading.Thread(target=keep_asking, args=(100 * index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_asyncio_stubs_are_answered(server, published):
    async def all_of_them():
        target, override = f"127.0.0.1:{server.ports[0]}", [("grpc.ssl_target_name_override", "localhost")]
        opened = (
            grpc.aio.insecure_channel(target)
            if server.clear
            else grpc.aio.secure_channel(target, server.tls.credentials, options=override)
        )
        async with opened as channel:
            prediction = published.of(channel).prediction
            requests = []
            for number in range(50):
                requests.append(published.predict.PredictRequest())
                requests[-1].model_spec.name = "half_plus_two"
                requests[-1].inputs["x"].CopyFrom(published.tf.make_tensor_proto([float(number)]))
            return await asyncio.gather(*[prediction.Predict(request, timeout=LIMIT_S) for request in requests])

    answers = [published.tf.make_ndarray(answer.outputs["y"]).tolist() for answer in asyncio.run(all_of_them())]
    assert answers == [[number / 2 + 2] for number in range(50)]


def test_a_call_shows_its_metadata(stubs, published):
    request = published.predict.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.inputs["x"].CopyFrom(published.tf.make_tensor_proto([2.0]))
    metadata = (("x-request-id", "42"), ("x-trace-bin", b"\0\xff" * 50), ("authorization", "Bearer " + "t" * 2000))
    answer, call = stubs.prediction.Predict.with_call(request, timeout=LIMIT_S, metadata=metadata)
    assert published.tf.make_ndarray(answer.outputs["y"]).tolist() == [3.0]
    assert (call.code(), call.details()) == (grpc.StatusCode.OK, "")
    assert call.initial_metadata() is not None
    assert call.trailing_metadata() is not None


def test_deadlines_and_cancellation_end_a_call_and_nothing_else(stubs, published):
    slow = {"x": np.zeros((300, 300), np.float32)}
    with pytest.raises(grpc.RpcError) as caught:
        ask(published, stubs.prediction, "slow", slow, timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    request = published.predict.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["x"].CopyFrom(published.tf.make_tensor_proto(slow["x"]))
    calls = [stubs.prediction.Predict.future(request, timeout=LIMIT_S) for _ in range(20)]
    for call in calls:
        assert call.cancel()
        assert call.code() is grpc.StatusCode.CANCELLED
    assert ask(published, stubs.prediction, "echo", {"x": np.float32([2])})[0]["y"].tolist() == [3.0]
    assert ask(published, stubs.prediction, "slow", slow)[0]["y"].shape == (300, 300)


def test_a_client_of_the_other_transport_gets_nothing(server, published):
    target = f"localhost:{server.ports[0]}"
    other = grpc.secure_channel(target, server.tls.credentials) if server.clear else grpc.insecure_channel(target)
    with other as channel, pytest.raises(grpc.RpcError) as caught:
        ask(published, published.of(channel).prediction, "echo", {"x": np.float32([2])}, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# Servers that come and go. These are small: one ONNX model.


@pytest.fixture
def started(launcher, nest, base, ports):
    """Start a server of half_plus_two on the same ports, as often as asked."""
    base.put(1)

    def start(front, *words):
        made = launcher(base.folder, f"--rpc={front}", *words, command=MODEL_SERVER, ports=ports, begin=nest.begin)
        made.clear = False
        return made

    return SimpleNamespace(start=start, ports=ports)


def predict_default(published, stub, **words):
    return ask(published, stub, "default", {"x": np.float32([2])}, **words)[0]["y"].tolist()


@pytest.mark.parametrize("front", ["fast", "grpcio"])
def test_a_channel_finds_a_server_that_starts_later_and_starts_anew(started, published, tls, front):
    impatient = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
    with channel_to(SimpleNamespace(clear=False, tls=tls, ports=started.ports), *impatient) as channel:
        stub = published.of(channel).prediction
        request = published.predict.PredictRequest()
        request.model_spec.name = "default"
        request.inputs["x"].CopyFrom(published.tf.make_tensor_proto(np.float32([2])))
        waiting = stub.Predict.future(request, timeout=LIMIT_S, wait_for_ready=True)  # nobody listens yet
        first = started.start(front).wait_ready()
        assert published.tf.make_ndarray(waiting.result().outputs["y"]).tolist() == [3.0]
        assert first.end()[0] == 0
        with pytest.raises(grpc.RpcError) as caught:
            predict_default(published, stub)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        second = started.start(front).wait_ready()
        assert predict_default(published, stub, wait_for_ready=True) == [3.0]
        second.end(9)
        started.start(front).wait_ready()
        assert predict_default(published, stub, wait_for_ready=True) == [3.0]


def test_servers_of_both_fronts_share_a_port_and_one_may_leave(started, published):
    servers = [started.start(front).wait_ready() for front in ("fast", "grpcio")]
    alone = ("grpc.use_local_subchannel_pool", 1)  # else channels to one address share a connection

    def ask_over_new_channels():
        for _ in range(12):
            with channel_to(servers[1], alone) as channel:
                assert predict_default(published, published.of(channel).prediction, wait_for_ready=True) == [3.0]

    ask_over_new_channels()
    assert servers[0].end()[0] == 0
    ask_over_new_channels()


@pytest.mark.parametrize("front", ["fast", "grpcio"])
def test_a_unix_socket_is_served_with_the_same_certificates(started, published, tls, tmp_path, front):
    started.start(front, f"--grpc_socket_path={tmp_path / 's'}").wait_ready()
    override = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"unix:{tmp_path / 's'}", tls.credentials, options=override) as channel:
        assert predict_default(published, published.of(channel).prediction) == [3.0]
    with grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel, pytest.raises(grpc.RpcError):
        predict_default(published, published.of(channel).prediction, timeout=10)
