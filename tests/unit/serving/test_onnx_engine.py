"""What an ONNX model may be: one file, no outside references, tensors that can be sent; and what it may not say."""

import json
import tracemalloc

import numpy as np
import pytest
from onnx import AttributeProto, SparseTensorProto, TensorProto, helper

from strongroom.serving.engines import EngineOptions, EngineUnknown, MemoryFiles, ModelNotLoadable, load
from strongroom.serving.engines.onnx_engine import OnnxEngine
from strongroom.serving.engines.onnx_model import inspect
from strongroom.serving.status import BadRequest, EngineFailed
from strongroom.tfserving import DataType
from strongroom.tfserving.onnx_signatures import BadOnnxSignatures

OPTIONS = EngineOptions(intra_op_threads=1, inter_op_threads=1)


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def outside(name="w"):
    """A tensor whose values lie in another file."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def in_initializer(model):
    model.graph.initializer.append(outside())


def in_sparse_initializer(model):
    model.graph.sparse_initializer.append(SparseTensorProto(values=outside(), dims=[1]))


def in_attribute(model):
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside()))


def in_attribute_list(model):
    node = model.graph.node.add(op_type="X")
    node.attribute.append(AttributeProto(name="t", type=AttributeProto.TENSORS, tensors=[outside()]))


def in_subgraph(model):
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=outside())], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))


def in_function(model):
    function = helper.make_function(
        "local",
        "F",
        [],
        ["c"],
        [helper.make_node("Constant", [], ["c"], value=outside())],
        [helper.make_opsetid("", 17)],
    )
    model.functions.append(function)


def in_training(model):
    model.training_info.add().algorithm.initializer.append(outside())


def without_location_flag(model):
    tensor = outside()
    tensor.ClearField("data_location")
    model.graph.initializer.append(tensor)


@pytest.mark.parametrize(
    "hide",
    [in_initializer, in_sparse_initializer, in_attribute, in_attribute_list, in_subgraph, in_function, in_training,
     without_location_flag],
)  # fmt: skip
def test_kd_20_external_data_is_refused_wherever_it_hides(models, hide):
    model = models.half_plus(2)
    hide(model)
    with pytest.raises(ModelNotLoadable, match="external data") as caught:
        OnnxEngine(model.SerializeToString(), OPTIONS)
    assert caught.value.code == "SR-MODEL-NOT-LOADABLE"


@pytest.mark.parametrize("data", [b"", b"garbage", bytes(1000), b"\x80\x04\x95pickle", b"ORTM" * 100])
def test_kd_19_other_bytes_are_no_model(data):
    with pytest.raises(ModelNotLoadable):
        OnnxEngine(data, OPTIONS)


def test_kd_10_every_part_of_a_model_is_refused(models):
    whole = models.half_plus(2).SerializeToString()
    for length in range(len(whole) - 1):
        with pytest.raises(ModelNotLoadable):
            OnnxEngine(whole[:length], OPTIONS)


def test_a_model_that_the_runtime_refuses_is_one_error(models):
    model = models.onnx_model(
        [helper.make_node("NoSuchOperator", ["x"], ["y"], name="confidential_layer")],
        [("x", TensorProto.FLOAT, None)], [("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    with pytest.raises(ModelNotLoadable) as caught:
        OnnxEngine(model.SerializeToString(), OPTIONS)
    assert "confidential_layer" not in caught.value.sentence


def test_unknown_rank_scalar_and_free_dimensions_are_told_apart(models):
    for shape, wanted in ((models.any_rank, None), ([], ()), (["batch", 2], (-1, 2)), ([None, 224], (-1, 224))):
        signature = inspect(models.half_plus(2, shape).SerializeToString())["serving_default"]
        assert signature.inputs["x"].shape == wanted
        assert signature.outputs["y"].shape == wanted


def test_constants_among_the_inputs_are_not_inputs(models):
    model = models.half_plus(2)
    model.graph.input.append(helper.make_tensor_value_info("half", TensorProto.FLOAT, []))
    assert set(inspect(model.SerializeToString())["serving_default"].inputs) == {"x"}


def test_outputs_that_are_no_tensors_are_refused(models):
    model = models.half_plus(2)
    model.graph.output.append(helper.make_tensor_sequence_value_info("seq", TensorProto.FLOAT, None))
    with pytest.raises(ModelNotLoadable, match="'seq'"):
        inspect(model.SerializeToString())


def test_types_are_tensorflows(models):
    signature = inspect(models.many().SerializeToString())["serving_default"]
    assert {name: spec.dtype for name, spec in (signature.inputs | signature.outputs).items()} == {
        "a": DataType.DT_FLOAT, "s": DataType.DT_STRING, "double": DataType.DT_DOUBLE, "same": DataType.DT_STRING,
        "n": DataType.DT_INT64,
    }  # fmt: skip


def test_strings_that_are_no_text_are_refused(models):
    engine = OnnxEngine(models.many().SerializeToString(), OPTIONS)
    with pytest.raises(BadRequest, match="UTF-8"):
        engine.run("serving_default", {"a": np.zeros(1, np.float32), "s": strings(b"\xff")}, ["same"])


def test_a_failure_inside_the_model_does_not_name_its_parts(models, capfd):
    engine = OnnxEngine(models.failing().SerializeToString(), OPTIONS)
    with pytest.raises(EngineFailed) as caught:
        engine.run("serving_default", {"x": np.zeros(5, np.float32)}, ["y"])
    assert caught.value.code == "SR-SERVE-ENGINE"
    shown = caught.value.sentence + "".join(capfd.readouterr())
    assert "confidential" not in shown
    assert "/onnxruntime" not in shown
    assert engine.run("serving_default", {"x": np.zeros(6, np.float32)}, ["y"])["y"].shape == (2, 3)


def test_an_input_of_another_size_is_told_what_fits(models):
    engine = OnnxEngine(models.half_plus(2, ["batch", 2]).SerializeToString(), OPTIONS)
    with pytest.raises(BadRequest, match="index: 1 Got: 3 Expected: 2"):
        engine.run("serving_default", {"x": np.zeros((1, 3), np.float32)}, ["y"])


def test_other_engines_are_named_and_refused():
    with pytest.raises(EngineUnknown) as caught:
        load("caffe", MemoryFiles({"model.onnx": b""}), OPTIONS)
    assert caught.value.code == "SR-ENGINE-UNKNOWN"


def carrying(model, signatures):
    helper.set_model_props(model, {"strongroom.signatures": json.dumps(signatures)})
    return model.SerializeToString()


def two_heads(models):
    """Return a model of two branches: y = x/2 + 2 inside an If that sees x from around it, w = z + z."""
    branch = helper.make_graph([helper.make_node("Identity", ["h"], ["b"])], "branch", [],
                               [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)])  # fmt: skip
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("If", ["yes"], ["y"], then_branch=branch,
                                                                        else_branch=branch),
        helper.make_node("Add", ["z", "z"], ["w"]),
    ]  # fmt: skip
    constants = [helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
                 helper.make_tensor("yes", TensorProto.BOOL, [], [True])]  # fmt: skip
    any_rank = models.any_rank
    return models.onnx_model(
        nodes, [("x", TensorProto.FLOAT, any_rank), ("z", TensorProto.FLOAT, any_rank)],
        [("y", TensorProto.FLOAT, any_rank), ("w", TensorProto.FLOAT, any_rank)], constants,
    )  # fmt: skip


def test_a_model_may_carry_signatures_with_names_and_inputs_of_their_own(models):
    data = carrying(two_heads(models), {
        "first": {"method_name": "tensorflow/serving/regress", "inputs": {"in": "x"}, "outputs": {"out": "y"}},
        "second": {"inputs": {"in": "z"}, "outputs": {"out": "w"}},
        "both": {"inputs": {"x": "x", "z": "z"}, "outputs": {"y": "y", "w": "w"}},
    })  # fmt: skip
    engine = OnnxEngine(data, OPTIONS)
    assert engine.signatures["first"].method == "tensorflow/serving/regress"
    two, four = np.array([2], np.float32), np.array([4], np.float32)
    assert engine.run("first", {"in": two}, ["out"])["out"].tolist() == [1.0]
    assert engine.run("second", {"in": two}, ["out"])["out"].tolist() == [4.0]
    assert {name: each.tolist() for name, each in engine.run("both", {"z": four, "x": two}, ["w", "y"]).items()} == {
        "w": [8.0], "y": [1.0]
    }  # fmt: skip
    assert list(engine.run("both", {"x": two, "z": four}, ["w"])) == ["w"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"in": "q"}, {"out": "y"}, "'q', which the graph does not have"),
        ({"in": "x"}, {"out": "h"}, "'h', which the graph does not have"),
        ({"a": "x", "b": "x"}, {"out": "y"}, "names a tensor of the graph twice"),
    ],
)
def test_signatures_that_do_not_fit_the_graph_are_refused(models, inputs, outputs, said):
    with pytest.raises(BadOnnxSignatures, match=said):
        OnnxEngine(carrying(two_heads(models), {"s": {"inputs": inputs, "outputs": outputs}}), OPTIONS)


def test_a_signature_without_an_input_that_its_outputs_need_is_refused(models):
    with pytest.raises(ModelNotLoadable, match="lacks the input 'x'"):
        OnnxEngine(carrying(two_heads(models), {"s": {"inputs": {"in": "z"}, "outputs": {"out": "y"}}}), OPTIONS)


def test_large_inputs_are_lent_and_not_copied(models):
    """The model gives its input back: nothing of the size of an input is allocated but the output."""
    engine = OnnxEngine(models.half_plus(2).SerializeToString(), OPTIONS)
    x = np.zeros(4_000_000, np.float32)
    engine.run("serving_default", {"x": x}, ["y"])
    tracemalloc.start()
    try:
        engine.run("serving_default", {"x": x}, ["y"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes // 2
