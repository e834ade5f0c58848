"""One suite for every engine: ONNX Runtime, TensorFlow, OpenVINO, and a twin in memory that is as simple as can be."""

import importlib.util
from types import MappingProxyType

import numpy as np
import pytest
from onnx import TensorProto, helper

from strongroom.serving.engines import EngineOptions, FolderFiles, MemoryFiles, load
from strongroom.serving.status import BadRequest
from strongroom.tfserving import DataType, Signature, TensorSpec

OPTIONS = EngineOptions(intra_op_threads=1, inter_op_threads=1)
FLOATS = {"x": TensorSpec(name="x", dtype=DataType.DT_FLOAT, shape=(-1, 2))}
STRINGS = {"s": TensorSpec(name="s", dtype=DataType.DT_STRING, shape=None)}


class MemoryEngine:
    """x/2 + 2 and the same strings, in numpy."""

    runtime = "memory"
    description = "numpy"
    signatures = MappingProxyType({
        "serving_default": Signature(
            inputs=FLOATS, outputs={"y": TensorSpec(name="y", dtype=DataType.DT_FLOAT, shape=(-1, 2)),
                                    "n": TensorSpec(name="n", dtype=DataType.DT_INT64, shape=(2,))},
        ),
        "echo": Signature(
            inputs=STRINGS, outputs={"t": TensorSpec(name="t", dtype=DataType.DT_STRING, shape=None)},
        ),
        "scalar": Signature(
            inputs={"k": TensorSpec(name="k", dtype=DataType.DT_FLOAT, shape=())},
            outputs={"l": TensorSpec(name="l", dtype=DataType.DT_FLOAT, shape=())},
        ),
    })  # fmt: skip

    stateless = concurrent = True

    def batchable(self, signature):
        return signature != "scalar"

    def run(self, signature, inputs, outputs):
        if signature == "echo":
            return {"t": inputs["s"]}
        if signature == "scalar":
            return {"l": np.asarray(inputs["k"] + np.float32(1))}
        x = inputs["x"]
        if x.ndim != 2 or x.shape[1] != 2:
            raise BadRequest(f"x has the shape {x.shape}")
        results = {"y": x * np.float32(0.5) + np.float32(2), "n": np.array(x.shape, np.int64)}
        return {name: results[name] for name in outputs}

    def close(self):
        """Nothing is held."""


def onnx_model(*, strings):
    """Return the model as ONNX, with three signatures of different inputs; `strings`: whether one of them echoes."""
    info, props = helper.make_tensor_value_info, {}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value])
                 for name, value in (("half", 0.5), ("two", 2.0), ("one", 1.0))]  # fmt: skip
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"]),
             helper.make_node("Shape", ["x"], ["n"]), helper.make_node("Add", ["k", "one"], ["l"])]  # fmt: skip
    inputs = [info("x", TensorProto.FLOAT, ["batch", 2]), info("k", TensorProto.FLOAT, [])]
    outputs = [info("y", TensorProto.FLOAT, ["batch", 2]), info("n", TensorProto.INT64, [2]),
               info("l", TensorProto.FLOAT, [])]  # fmt: skip
    props = ['"serving_default": {"inputs": {"x": "x"}, "outputs": {"y": "y", "n": "n"}}',
             '"scalar": {"inputs": {"k": "k"}, "outputs": {"l": "l"}}']  # fmt: skip
    if strings:
        nodes.append(helper.make_node("Identity", ["s"], ["t"]))
        inputs.append(info("s", TensorProto.STRING, None))
        outputs.append(info("t", TensorProto.STRING, None))
        props.append('"echo": {"inputs": {"s": "s"}, "outputs": {"t": "t"}}')
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"strongroom.signatures": "{" + ", ".join(props) + "}"})
    return model.SerializeToString()


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def write_saved_model(folder):
    """Write the model as a SavedModel with TensorFlow 1's builder, whose signatures may have any shape."""
    from strongroom.serving.engines.tensorflow_runtime import tensorflow

    v1 = tensorflow().compat.v1
    graph = v1.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        x, k = v1.placeholder("float32", [None, 2], "x"), v1.placeholder("float32", [], "k")
        s = v1.placeholder("string", None, "s")
        weight = v1.get_variable("weight", initializer=[[0.5, 0], [0, 0.5]], use_resource=True)
        y = v1.matmul(x, weight) + 2.0
        ways = {
            "serving_default": ({"x": x}, {"y": y, "n": v1.shape(x, out_type="int64")}),
            "echo": ({"s": s}, {"t": v1.identity(s)}),
            "scalar": ({"k": k}, {"l": k + 1.0}),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        definitions = {
            name: v1.saved_model.predict_signature_def(inputs=inputs, outputs=outputs)
            for name, (inputs, outputs) in ways.items()
        }
        builder.add_meta_graph_and_variables(session, ["serve"], definitions)
        builder.save()


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    needs("tensorflow")
    folder = tmp_path_factory.mktemp("saved") / "1"
    write_saved_model(folder)
    return folder


def memory(_request):
    return MemoryEngine()


def onnx_engine(_request):
    return load("onnx", MemoryFiles({"model.onnx": onnx_model(strings=True)}), OPTIONS)


def openvino_engine(_request):
    needs("openvino")
    return load("openvino", MemoryFiles({"model.onnx": onnx_model(strings=False)}), OPTIONS)


def tensorflow_engine(request):
    return load("tensorflow", FolderFiles(request.getfixturevalue("saved_model")), OPTIONS)


def tensorflow_in_memory(request):
    folder = request.getfixturevalue("saved_model")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return load("auto", MemoryFiles(files), OPTIONS)


@pytest.fixture(scope="module", params=[memory, onnx_engine, openvino_engine, tensorflow_engine, tensorflow_in_memory])
def engine(request):
    made = request.param(request)
    yield made
    made.close()


@pytest.fixture
def echoing(engine):
    if "echo" not in engine.signatures:
        pytest.skip("the engine takes no strings")
    return engine


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def run(engine, x, *outputs):
    return engine.run("serving_default", {"x": x}, list(outputs))


def test_a_signature_names_types_and_shapes(engine):
    signature = engine.signatures["serving_default"]
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.inputs.items()} == {
        "x": (DataType.DT_FLOAT, (-1, 2))
    }
    assert {name: spec.dtype for name, spec in signature.outputs.items()} == {
        "y": DataType.DT_FLOAT, "n": DataType.DT_INT64
    }  # fmt: skip


def test_an_unknown_rank_is_not_a_scalar(echoing):
    assert echoing.signatures["echo"].inputs["s"].shape is None
    assert echoing.signatures["scalar"].inputs["k"].shape == ()


def test_what_has_a_first_dimension_may_be_batched(engine):
    assert engine.batchable("serving_default")
    assert not engine.batchable("scalar")


def test_strings_of_any_rank_may_be_batched(echoing):
    assert echoing.batchable("echo")


def test_it_says_what_it_is(engine):
    assert engine.runtime in {"memory", "TF1", "ONNX", "OpenVINO"}
    assert engine.runtime == "memory" or "threads: 1" in engine.description


def test_a_run_gives_the_outputs_that_were_asked_for(engine):
    x = np.array([[1, 2], [3, 4]], np.float32)
    results = run(engine, x, "y")
    assert set(results) == {"y"}
    assert results["y"].dtype == np.float32
    assert results["y"].tolist() == [[2.5, 3.0], [3.5, 4.0]]
    both = run(engine, x, "n", "y")
    assert (list(both), both["n"].tolist(), both["n"].dtype) == (["n", "y"], [2, 2], np.int64)


def test_scalars_are_arrays_of_rank_zero(engine):
    result = engine.run("scalar", {"k": np.array(2.5, np.float32)}, ["l"])["l"]
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype, result.tolist()) == ((), np.float32, 3.5)


def test_strings_are_bytes_both_ways(echoing):
    result = echoing.run("echo", {"s": strings("ä".encode(), b"", b"a\0")}, ["t"])["t"]
    assert result.tolist() == ["ä".encode(), b"", b"a\0"]
    assert result.dtype == object


def test_a_single_string_is_an_array_of_rank_zero(echoing):
    single = np.empty((), object)
    single[()] = b"alone"
    result = echoing.run("echo", {"s": single}, ["t"])["t"]
    assert (result.shape, result.dtype, result.tolist()) == ((), object, b"alone")


def test_inputs_may_be_read_only_and_empty(engine):
    x = np.frombuffer(bytes(16), np.float32).reshape(2, 2)
    assert run(engine, x, "y")["y"].tolist() == [[2, 2], [2, 2]]
    assert run(engine, np.zeros((0, 2), np.float32), "y")["y"].shape == (0, 2)


def test_inputs_may_lie_at_odd_addresses_and_with_gaps(engine):
    raw = b"\0" + np.array([[1, 2], [3, 4]], np.float32).tobytes()
    odd = np.frombuffer(raw, np.uint8)[1:].view(np.float32).reshape(2, 2)
    gaps = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    assert not (odd.flags.aligned and gaps.flags.contiguous)
    assert run(engine, odd, "y")["y"].tolist() == [[2.5, 3.0], [3.5, 4.0]]
    assert run(engine, gaps, "y")["y"].tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert run(engine, np.asfortranarray([[1, 2], [3, 4]], np.float32), "y")["y"].tolist() == [[2.5, 3.0], [3.5, 4.0]]


def test_inputs_stay_as_they_are_and_results_last(engine):
    x = np.array([[1, 2]], np.float32)
    first = run(engine, x, "y")["y"]
    run(engine, x + 10, "y")
    assert x.tolist() == [[1, 2]]
    assert first.tolist() == [[2.5, 3.0]]


def test_shapes_that_the_model_does_not_take_are_the_callers_fault(engine):
    for shape in ((3,), (2, 3), (1, 2, 2)):
        with pytest.raises(BadRequest) as caught:
            run(engine, np.zeros(shape, np.float32), "y")
        assert caught.value.code == "SR-SERVE-ARGUMENT"


def test_no_type_is_converted_in_silence(engine):
    if engine.runtime == "memory":
        pytest.skip("numpy converts")
    with pytest.raises(BadRequest):
        run(engine, np.zeros((1, 2), np.int32), "y")


def test_a_failed_run_spoils_nothing(engine):
    with pytest.raises(BadRequest):
        run(engine, np.zeros(3, np.float32), "y")
    assert run(engine, np.zeros((1, 2), np.float32), "y")["y"].shape == (1, 2)
