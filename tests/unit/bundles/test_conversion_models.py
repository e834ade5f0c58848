"""Small models of every kind through every conversion, with TensorFlow: one file, since its import takes seconds."""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from strongroom.bundles import signatures_of
from strongroom.bundles.conversion import (
    ONNX,
    SAVED_MODEL,
    Checks,
    ConversionDiffers,
    ConversionUnproved,
    FrozenOptions,
    ModelRunsCode,
    ModelTooLarge,
    NotConvertible,
    Order,
    SignatureChoice,
    convert,
    loaded,
    onnx_writer,
    tools,
)
from strongroom.pki.disk import AlreadyThere

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow's and Keras' own
BOTH = (SAVED_MODEL, ONNX)


@pytest.fixture(scope="module")
def tf():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tools.keras()
        return tools.tensorflow()


def frozen(tf, path, build):
    """Write the graph that `build` makes to `path`."""
    with tf.Graph().as_default() as graph:
        build(tf.compat.v1)
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def options(inputs=None, outputs=None, **more):
    return FrozenOptions(inputs or {"input": "input"}, outputs or {"predict": "predict"}, **more)


def order(source, export, **more):
    return Order(source=source, export_dir=export, **more)


def session(folder):
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])


def signatures_in(folder):
    return json.loads(session(folder).get_modelmeta().custom_metadata_map["strongroom.signatures"])


def left_behind(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def doubled(v1):
    x = v1.placeholder("float32", [None, 3], name="input")
    v1.identity(x * 2.0 + 1.0, name="predict")


# A frozen GraphDef


def test_a_frozen_graph_becomes_both_with_the_reference_solution_s_names(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", doubled)
    report = convert(order(source, tmp_path / "out", version=7, formats=BOTH))
    assert left_behind(tmp_path / "out" / "saved_model" / "7") == ["saved_model.pb"]
    assert left_behind(tmp_path / "out" / "onnx" / "7") == ["model.onnx"]
    expected = {
        "method_name": "tensorflow/serving/predict",
        "inputs": {"input": "input"},
        "outputs": {"predict": "predict"},
    }
    assert signatures_in(tmp_path / "out" / "onnx" / "7") == {"serving_default": expected}
    with loaded.saved_model(tmp_path / "out" / "saved_model" / "7") as model:
        assert model.signatures["serving_default"].inputs["input"].shape == (-1, 3)
        assert model.run("serving_default", {"input": np.float32([[1, 2, 3]])})["predict"].tolist() == [[3, 5, 7]]
    assert [result.form for result in report.results] == ["saved_model", "onnx"]
    assert report.origins == ["random, batch 1", "random, batch 3"]
    assert report.results[1].differences["serving_default", "predict"].values == 12


def test_the_result_stays_open_to_any_batch(tf, tmp_path):
    convert(order(frozen(tf, tmp_path / "m.pb", doubled), tmp_path, formats=(ONNX,)))
    answer = session(tmp_path / "1").run(["predict"], {"input": np.ones((17, 3), np.float32)})
    assert answer[0].shape == (17, 3)


def test_other_tensors_get_the_names_asked_for(tf, tmp_path):
    def build(v1):
        a, b = v1.placeholder("float32", [None, 2], name="a"), v1.placeholder("int64", [None, 2], name="b")
        v1.identity(a + v1.cast(b, "float32"), name="sum")
        v1.argmax(a, 1, name="place")

    asked = options({"left": "a", "b": "b:0"}, {"sum": "sum", "place": "place"})
    convert(order(frozen(tf, tmp_path / "m.pb", build), tmp_path, formats=(ONNX,), frozen=asked))
    assert signatures_in(tmp_path / "1")["serving_default"]["inputs"] == {"b": "b", "left": "left"}
    assert {tensor.name: tensor.type for tensor in session(tmp_path / "1").get_outputs()} == {
        "sum": "tensor(float)", "place": "tensor(int64)",
    }  # fmt: skip


def test_a_tensor_that_is_not_there_is_refused_with_likely_ones(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", doubled)
    with pytest.raises(NotConvertible, match=r"no tensor 'images:0'; likely ones: input"):
        convert(order(source, tmp_path / "out", frozen=options({"input": "images"})))
    with pytest.raises(NotConvertible, match=r"no tensor 'softmax:0'; likely ones: .*predict"):
        convert(order(source, tmp_path / "out", frozen=options(outputs={"predict": "softmax"})))


def training(v1):
    x = v1.placeholder("float32", name="input")
    learning = v1.placeholder("bool", [], name="is_training")
    v1.identity(v1.where(learning, x * 0.0, x * 3.0), name="predict")


def test_a_placeholder_of_training_is_named_and_can_be_settled(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", training)
    with pytest.raises(NotConvertible, match="'is_training'") as caught:
        convert(order(source, tmp_path / "out"))
    assert "--set is_training=VALUE" in caught.value.fix
    with pytest.raises(NotConvertible, match="'perhaps' is no bool"):
        convert(order(source, tmp_path / "out", frozen=options(constants={"is_training": "perhaps"})))
    settled = options(constants={"is_training": "false"}, shapes={"input": (-1, 5)})
    convert(order(source, tmp_path / "out", frozen=settled, formats=BOTH))
    answer = session(tmp_path / "out" / "onnx" / "1").run(None, {"input": np.ones((2, 5), np.float32)})
    assert answer[0].tolist() == [[3.0] * 5] * 2


def test_a_batch_frozen_inside_is_noticed_and_can_be_declared(tf, tmp_path):
    def build(v1):
        x = v1.placeholder("float32", [None, 4], name="input")
        v1.reshape(x, [1, 4], name="predict")

    source = frozen(tf, tmp_path / "m.pb", build)
    with pytest.raises(ConversionUnproved, match="batch 3"):
        convert(order(source, tmp_path / "out", formats=(ONNX,)))
    assert left_behind(tmp_path / "out") == []
    report = convert(order(source, tmp_path / "out", formats=(ONNX,), frozen=options(shapes={"input": (1, 4)})))
    assert report.origins == ["random, batch 1"]


def test_a_graph_with_variables_is_not_frozen(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", lambda v1: v1.get_variable("weights", [3], use_resource=False))
    with pytest.raises(NotConvertible, match="'weights' is a variable"):
        convert(order(source, tmp_path / "out"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"no model at all"])
def test_bytes_that_are_no_graph_are_refused(tf, tmp_path, content):
    (tmp_path / "m.pb").write_bytes(content)
    with pytest.raises(NotConvertible, match="not a frozen GraphDef"):
        convert(order(tmp_path / "m.pb", tmp_path / "out"))


def test_kd_01_operations_that_run_code_or_reach_files_are_refused(tf, tmp_path):
    def reads(v1):
        v1.placeholder("float32", [None], name="input")
        v1.io.read_file("/etc/passwd", name="predict")

    def python(v1):
        x = v1.placeholder("float32", [None], name="input")
        v1.identity(v1.py_func(lambda value: value, [x], "float32"), name="predict")

    for build, said in ((reads, "reads files"), (python, "runs Python")):
        with pytest.raises(ModelRunsCode, match=said):
            convert(order(frozen(tf, tmp_path / "m.pb", build), tmp_path / "out"))


def test_a_custom_operation_is_refused_by_name(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", doubled)
    graph_def = tf.compat.v1.GraphDef.FromString(source.read_bytes())
    graph_def.node.add(name="mine", op="_MklMine")
    source.write_bytes(graph_def.SerializeToString())
    with pytest.raises(NotConvertible, match="'mine' is a _MklMine"):
        convert(order(source, tmp_path / "out"))


def test_nan_of_the_source_is_refused_and_inputs_of_the_real_kind_help(tf, tmp_path):
    def build(v1):
        x = v1.placeholder("float32", [None, 8], name="input")
        v1.math.log(x, name="predict")

    source = frozen(tf, tmp_path / "m.pb", build)
    with pytest.raises(ConversionUnproved, match="NaN in the source itself"):
        convert(order(source, tmp_path / "out", formats=(ONNX,)))
    np.savez(tmp_path / "in.npz", input=np.linspace(0.1, 9, 16).reshape(2, 8))
    checks = Checks(random=0, files=(tmp_path / "in.npz",))
    report = convert(order(source, tmp_path / "out", formats=(ONNX,), checks=checks))
    assert report.origins == [str(tmp_path / "in.npz")]


def test_what_onnx_cannot_say_is_refused_and_the_saved_model_is_made(tf, tmp_path):
    def build(v1):
        x = v1.placeholder("string", [None], name="input")
        v1.strings.length(v1.strings.regex_replace(x, "[a-z]+", "b"), name="predict")

    source = frozen(tf, tmp_path / "m.pb", build)
    with pytest.raises(NotConvertible, match=r"StaticRegexReplace|StringLength|RegexReplace"):
        convert(order(source, tmp_path / "out", formats=BOTH))
    assert not (tmp_path / "out" / "saved_model" / "1").exists()
    convert(order(source, tmp_path / "out"))
    assert left_behind(tmp_path / "out" / "1") == ["saved_model.pb"]


def test_a_version_is_never_overwritten(tf, tmp_path):
    source = frozen(tf, tmp_path / "m.pb", doubled)
    (tmp_path / "out" / "1").mkdir(parents=True)
    with pytest.raises(AlreadyThere):
        convert(order(source, tmp_path / "out"))


def test_a_result_that_differs_is_refused_and_nothing_is_left(tf, tmp_path, monkeypatch):
    """A converter that goes wrong: the written file is another model of the same signature."""
    source = frozen(tf, tmp_path / "m.pb", doubled)
    honest = onnx_writer.write_onnx

    def wrong(model, path, *, opset):
        honest(model, path, opset=opset)
        other = onnx.load(path)
        for tensor in other.graph.initializer:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1.001, tensor.name))
        onnx.save(other, path)

    monkeypatch.setattr(onnx_writer, "write_onnx", wrong)
    with pytest.raises(ConversionDiffers, match="tolerance") as caught:
        convert(order(source, tmp_path / "out", formats=BOTH))
    assert caught.value.exit_status == 2
    assert left_behind(tmp_path / "out") == []
    convert(order(source, tmp_path / "out", formats=(ONNX,), checks=Checks(tolerance=0.01)))


def test_weights_beyond_two_gigabytes_do_not_fit_into_onnx(tf, tmp_path):
    with tf.Graph().as_default() as graph:
        tf.compat.v1.get_variable("large", [30_000, 20_000], use_resource=True)
        model = loaded.Loaded(graph, None, {"serving_default": loaded.ModelSignature("m", {}, {})})
        with pytest.raises(ModelTooLarge, match=r"2\.4 GB"):
            onnx_writer.write_onnx(model, tmp_path / "model.onnx", opset=17)


# A SavedModel


def saved(tf, folder, module, signatures):
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def several(tf, folder):
    """A model with a variable, two signatures of the same input and one of another."""
    module = tf.Module()
    module.weights = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    rows = tf.TensorSpec([None, 2], tf.float32, name="rows")

    def score(rows):
        return {"scores": rows @ module.weights, "best": tf.argmax(rows @ module.weights, 1)}

    def total(rows):
        return {"scores": tf.reduce_sum(rows @ module.weights, axis=1)}

    def shout(text):
        return {"text": tf.strings.join([text, text])}

    module.score, module.total, module.shout = (
        tf.function(score, input_signature=[rows]), tf.function(total, input_signature=[rows]),
        tf.function(shout, input_signature=[tf.TensorSpec([None], tf.string, name="text")]),
    )  # fmt: skip
    named = {"serving_default": module.score, "total": module.total, "shout": module.shout}
    return saved(tf, folder, module, named)


def test_a_saved_model_is_copied_with_every_signature(tf, tmp_path):
    source = several(tf, tmp_path / "in")
    report = convert(order(source, tmp_path / "out"))
    assert set(report.signatures) == {"serving_default", "total", "shout"}
    for name in ("saved_model.pb", "variables/variables.index"):
        assert (tmp_path / "out" / "1" / name).read_bytes() == (source / name).read_bytes()


def test_signatures_that_share_their_inputs_share_one_onnx_file(tf, tmp_path):
    source = several(tf, tmp_path / "in")
    with pytest.raises(SignatureChoice, match="'shout' takes other inputs"):
        convert(order(source, tmp_path / "out", formats=(ONNX,)))
    convert(order(source, tmp_path / "out", formats=BOTH, signatures=("serving_default", "total")))
    found = signatures_in(tmp_path / "out" / "onnx" / "1")
    assert found["serving_default"]["outputs"] == {"best": "best", "scores": "scores"}
    assert found["total"]["outputs"] == {"scores": "total/scores"}
    published = signatures_of(tmp_path / "out" / "onnx" / "1", "onnx")
    assert {name: set(each.outputs) for name, each in published.items()} == {
        "serving_default": {"best", "scores"}, "total": {"scores"},
    }  # fmt: skip
    answer = session(tmp_path / "out" / "onnx" / "1").run(None, {"rows": np.float32([[1, 1]])})
    assert sorted(np.ravel(each).tolist() for each in answer) == [[1], [4, 6], [10]]
    with loaded.saved_model(tmp_path / "out" / "saved_model" / "1") as model:
        assert set(model.signatures) == {"serving_default", "total"}


def test_a_lookup_table_goes_into_the_onnx_file(tf, tmp_path):
    module = tf.Module()
    content = tf.lookup.KeyValueTensorInitializer(tf.constant(["strong", "room"]), tf.constant([4, 7], tf.int64))
    module.table = tf.lookup.StaticHashTable(content, -1)
    spec = tf.TensorSpec([None], tf.string, name="words")
    module.find = tf.function(lambda words: {"ids": module.table.lookup(words)}, input_signature=[spec])
    source = saved(tf, tmp_path / "in", module, {"serving_default": module.find})
    convert(order(source, tmp_path / "out", formats=BOTH))
    answer = session(tmp_path / "out" / "onnx" / "1").run(None, {"words": np.array(["room", "x"], object)})
    assert answer[0].tolist() == [7, -1]


def test_tensorflow_serving_s_own_model_keeps_its_methods(tf, tmp_path, shared_vectors):
    servables = shared_vectors / "tfserving" / "testdata" / "servables" / "tensorflow" / "testdata"
    source = servables / "saved_model_half_plus_two_cpu" / "00000123"
    report = convert(order(source, tmp_path / "all"))
    assert report.signatures["regress_x_to_y"].method_name == "tensorflow/serving/regress"
    assert report.signatures["classify_x_to_y"].method_name == "tensorflow/serving/classify"
    convert(order(source, tmp_path / "out", formats=(ONNX,), signatures=("serving_default",)))
    answer = session(tmp_path / "out" / "1").run(["y"], {"x": np.float32([[1], [2], [5]])})
    assert answer[0].tolist() == [[2.5], [3.0], [4.5]]


def test_state_that_a_signature_changes_cannot_become_constants(tf, tmp_path, shared_vectors):
    servables = shared_vectors / "tfserving" / "testdata" / "servables" / "tensorflow" / "testdata"
    source = servables / "saved_model_counter" / "00000123"
    with pytest.raises((NotConvertible, ConversionDiffers)):
        convert(order(source, tmp_path / "out", formats=(ONNX,), signatures=("incr_counter",)))
    assert left_behind(tmp_path / "out") == []


# A Keras file


def two_inputs(keras):
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(4, activation="relu")(joined))
    return keras.Model([left, right], [keras.layers.Dense(1)(hidden), keras.layers.Softmax()(hidden)])


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_keras_model_with_two_inputs_and_outputs_becomes_both(tf, tmp_path, name):
    two_inputs(tools.keras()).save(tmp_path / name)
    report = convert(order(tmp_path / name, tmp_path / "out", formats=BOTH))
    found = signatures_in(tmp_path / "out" / "onnx" / "1")["serving_default"]
    assert set(found["inputs"]) == {"left", "right"}
    assert set(found["outputs"]) == {"output_0", "output_1"}
    assert set(report.signatures) == {"serving_default"}


def test_a_keras_model_of_unknown_sizes_stays_so(tf, tmp_path):
    keras = tools.keras()
    text = keras.Input((None,), dtype="int32", name="tokens")
    keras.Model(
        text, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(text)))
    ).save(tmp_path / "m.keras")
    convert(order(tmp_path / "m.keras", tmp_path / "out", formats=(ONNX,)))
    answer = session(tmp_path / "out" / "1").run(None, {"tokens": np.ones((2, 9), np.int32)})
    assert answer[0].shape == (2, 2)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_kd_01_a_lambda_layer_never_runs(tf, tmp_path, name):
    keras, witness = tools.keras(), str(tmp_path / "ran")
    code = keras.layers.Lambda(lambda x: (open(witness, "w").close(), x)[1])  # noqa: PTH123  # in bytecode
    keras.Sequential([keras.Input((2,)), code]).save(tmp_path / name)
    Path(witness).unlink(missing_ok=True)
    with pytest.raises(ModelRunsCode, match="Lambda"):
        convert(order(tmp_path / name, tmp_path / "out"))
    assert not Path(witness).exists()


def test_kd_01_weights_that_lead_out_of_an_hdf5_file_are_refused(tf, tmp_path):
    keras = tools.keras()
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.h5")
    with tools.h5py().File(tmp_path / "m.h5", "a") as file:
        file["model_weights/away"] = tools.h5py().ExternalLink("/etc/other.h5", "/weights")
    with pytest.raises(ModelRunsCode, match="'away'"):
        convert(order(tmp_path / "m.h5", tmp_path / "out"))


def test_hdf5_and_archives_that_are_no_models_are_refused(tf, tmp_path):
    with tools.h5py().File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = [1.0]
    with pytest.raises(NotConvertible, match="weights without a model"):
        convert(order(tmp_path / "weights.h5", tmp_path / "out"))
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(NotConvertible):
        convert(order(tmp_path / "cut.h5", tmp_path / "out"))


def test_names_of_tensors_are_for_frozen_graphs_alone(tf, tmp_path):
    source = several(tf, tmp_path / "in")
    with pytest.raises(NotConvertible, match="says itself what it takes"):
        convert(order(source, tmp_path / "out", frozen=options()))
