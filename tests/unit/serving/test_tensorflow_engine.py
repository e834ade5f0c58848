"""SavedModels with TensorFlow: TensorFlow Serving's results, states and texts; clean refusals; nothing said or left."""

import importlib.util
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from strongroom.serving.engines import (
    EngineMissing,
    EngineOptions,
    FolderFiles,
    MemoryFiles,
    ModelNotLoadable,
    load,
    tensorflow_runtime,
)
from strongroom.serving.engines import tensorflow_engine as subject
from strongroom.serving.status import BadRequest, ModelFailed, code_of
from strongroom.tfserving import Code
from strongroom.tfserving.messages import Example, SavedModel
from strongroom.tfserving.saved_model import BadSavedModel

OPTIONS = EngineOptions(intra_op_threads=1, inter_op_threads=1)
installed = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed")


@pytest.fixture(scope="module")
def version(shared_vectors_module):
    base = shared_vectors_module / "tfserving/testdata/servables/tensorflow/testdata"
    return lambda name: base / name / "00000123"


@pytest.fixture(scope="module")
def shared_vectors_module(request):
    folder = request.config.rootpath.parent / "shared" / "vectors"
    folder = type(folder)(os.environ.get("STRONGROOM_VECTORS", folder))
    if not folder.is_dir():
        pytest.skip("the shared vectors are not here; set STRONGROOM_VECTORS to their folder")
    return folder


@pytest.fixture(scope="module")
def half_plus_two(version):
    engine = load("auto", FolderFiles(version("saved_model_half_plus_two_cpu")), OPTIONS)
    yield engine
    engine.close()


def in_memory(folder):
    return MemoryFiles({
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    })  # fmt: skip


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def example(value=None, name="x"):
    made = Example()
    if value is not None:
        made.features.feature[name].float_list.value.append(value)
    return made.SerializeToString()


def refusal(engine, signature, *examples):
    with pytest.raises(BadRequest) as caught:
        engine.run(signature, {"inputs": strings(*examples)}, ["outputs"])
    return caught.value.sentence


@installed
@pytest.mark.parametrize(
    ("x", "y"), [([1.0, 2.0, 5.0], [2.5, 3.0, 4.5]), ([[1.0], [2.0]], [[2.5], [3.0]]), (4.0, 4.0), ([], [])]
)
def test_any_shape_is_answered_as_tensorflow_serving_answers_it(half_plus_two, x, y):
    result = half_plus_two.run("serving_default", {"x": np.array(x, np.float32)}, ["y"])["y"]
    assert result.tolist() == y
    assert result.shape == np.shape(x)


@installed
def test_examples_are_parsed_by_the_model(half_plus_two):
    result = half_plus_two.run("regress_x_to_y", {"inputs": strings(example(1.0), example(4.0))}, ["outputs"])
    assert result["outputs"].tolist() == [[2.5], [4.0]]


@installed
def test_errors_of_the_graph_are_in_tensorflows_words(half_plus_two):
    assert refusal(half_plus_two, "regress_x_to_y", example()) == (
        "Name: <unknown>, Feature: x (data type: float) is required but could not be found.\n"
        "\t [[{{node ParseExample/ParseExample}}]]"
    )
    wrong = Example()
    wrong.features.feature["x"].int64_list.value.append(1)
    assert "Data types don't match. Data type: int64 but expected type: float" in refusal(
        half_plus_two, "regress_x_to_y", wrong.SerializeToString()
    )


@installed
def test_bytes_that_are_no_text_come_back_in_the_error(half_plus_two):
    assert refusal(half_plus_two, "regress_x_to_y", b"\xff\xfe").startswith(
        "Could not parse example input, value: '\ufffd\ufffd'"
    )


@installed
def test_types_are_checked_before_a_run(half_plus_two):
    for array, sent in ((np.zeros(1, np.int32), "int32"), (np.zeros(1), "double"), (strings(b"a"), "string")):
        with pytest.raises(BadRequest) as caught:
            half_plus_two.run("serving_default", {"x": array}, ["y"])
        assert caught.value.sentence == f"Expects arg[0] to be float but {sent} is provided"


@installed
@pytest.mark.parametrize(
    "name",
    ["saved_model_half_plus_two_tf2_cpu", "saved_model_half_plus_two_mkl", "saved_model_half_plus_two_mlmd",
     "saved_model_half_plus_two_cpu_with_saved_model_config",
     "saved_model_half_plus_two_cpu_with_empty_saved_model_config"],
)  # fmt: skip
@pytest.mark.parametrize("files", [FolderFiles, in_memory])
def test_every_saved_model_for_a_cpu_is_loaded_from_a_folder_and_from_memory(version, name, files):
    engine = load("tensorflow", files(version(name)), OPTIONS)
    assert engine.run("serving_default", {"x": np.array([2], np.float32)}, ["y"])["y"].tolist() == [3.0]
    engine.close()


@installed
def test_models_that_the_second_loader_refuses_are_served(version):
    engine = load("tensorflow", FolderFiles(version("saved_model_half_plus_three")), OPTIONS)
    assert engine.run("serving_default", {"x": np.array([2], np.float32)}, ["y"])["y"].tolist() == [4.0]


@installed
def test_state_is_the_sessions(version):
    counters = [load("tensorflow", in_memory(version("saved_model_counter")), OPTIONS) for _ in range(2)]

    def call(counter, name, **inputs):
        return counter.run(name, inputs, ["output"])["output"].tolist()

    assert call(counters[0], "get_counter") == 0
    assert call(counters[0], "incr_counter") == 1
    assert call(counters[0], "incr_counter_by", delta=np.array(7, np.float32)) == 8
    assert call(counters[1], "get_counter") == 0
    assert call(counters[0], "reset_counter") == 0
    assert not counters[0].batchable("get_counter")


@installed
@pytest.mark.parametrize("name", ["saved_model_half_plus_two_gpu", "saved_model_half_plus_two_gpu_trt"])
def test_a_model_for_a_gpu_is_refused_when_it_is_loaded(version, name):
    with pytest.raises(ModelNotLoadable, match="Cannot assign a device for operation a") as caught:
        load("tensorflow", FolderFiles(version(name)), OPTIONS)
    assert caught.value.code == "SR-MODEL-NOT-LOADABLE"
    with pytest.raises(ModelNotLoadable) as sealed:
        load("tensorflow", in_memory(version(name)), OPTIONS)
    assert sealed.value.sentence == "TensorFlow does not load the model: InvalidArgumentError"


@installed
def test_a_graph_whose_variables_are_gone_or_damaged_is_refused(version, tmp_path):
    for number, (name, content) in enumerate((("index", None), ("data-00000-of-00001", b"x"), ("index", b"garbage"))):
        folder = tmp_path / str(number)
        shutil.copytree(version("saved_model_half_plus_two_cpu"), folder, copy_function=shutil.copyfile)
        for path in (folder, folder / "variables"):
            path.chmod(0o755)
        file = folder / "variables" / f"variables.{name}"
        file.write_bytes(content) if content else file.unlink()
        with pytest.raises(ModelNotLoadable):
            load("tensorflow", FolderFiles(folder), OPTIONS)


def test_other_tags_are_refused_before_tensorflow_is_imported(version, monkeypatch):
    monkeypatch.setattr(subject, "tensorflow", lambda: pytest.fail("TensorFlow was imported"))
    files = FolderFiles(version("saved_model_half_plus_two_cpu"))
    with pytest.raises(BadSavedModel, match=r"matching supplied tags: \{ gpu serve \}\."):
        load("tensorflow", files, EngineOptions(saved_model_tags=frozenset({"serve", "gpu"})))


@pytest.mark.parametrize("name", ["bad_half_plus_two", "saved_model_half_plus_two_tflite", "parse_example_tflite"])
def test_what_is_no_saved_model_is_refused(version, name):
    with pytest.raises(ModelNotLoadable, match="holds none of"):
        load("auto", FolderFiles(version(name)), OPTIONS)


def test_a_missing_tensorflow_is_one_sentence_that_names_the_command(version, monkeypatch):
    monkeypatch.setattr(tensorflow_runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing) as caught:
        load("auto", FolderFiles(version("saved_model_half_plus_two_cpu")), OPTIONS)
    assert caught.value.code == "SR-ENGINE-MISSING"
    assert "pip install 'strongroom[tensorflow]'" in caught.value.fix


@installed
def test_errors_keep_tensorflows_code(tmp_path):
    from strongroom.serving.engines.tensorflow_runtime import tensorflow

    v1 = tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder("float32", None, "x")
        kept, lost = (v1.get_variable(name, initializer=1.0, use_resource=False) for name in ("kept", "lost"))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "1"))
        definition = v1.saved_model.predict_signature_def(inputs={"x": x}, outputs={"y": x + kept, "z": x + lost})
        saver = v1.train.Saver([kept])
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": definition}, saver=saver)
        builder.save()
    engine = load("tensorflow", FolderFiles(tmp_path / "1"), OPTIONS)
    assert engine.run("serving_default", {"x": np.array(1, np.float32)}, ["y"])["y"].tolist() == 2.0
    with pytest.raises(ModelFailed, match="uninitialized value lost") as caught:
        engine.run("serving_default", {"x": np.array(1, np.float32)}, ["z"])
    assert caught.value.code == "SR-SERVE-MODEL"
    assert code_of(caught.value) is Code.FAILED_PRECONDITION
    engine.close()


@installed
def test_types_that_numpy_lacks_keep_their_bits(tmp_path):
    from strongroom.serving.engines.tensorflow_runtime import tensorflow

    v1 = tensorflow().compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        places = {kind: v1.placeholder(kind, None, kind) for kind in ("bfloat16", "qint8", "uint16", "complex64")}
        outputs = {f"{kind}_out": v1.identity(place) for kind, place in places.items()}
        definition = v1.saved_model.predict_signature_def(inputs=places, outputs=outputs)
        builder = v1.saved_model.Builder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": definition})
        builder.save()
    engine = load("tensorflow", FolderFiles(tmp_path / "1"), OPTIONS)
    sent = {"bfloat16": np.array([0x3F80, 1], np.uint16), "qint8": np.array([-3], np.int8),
            "uint16": np.array([9], np.uint16), "complex64": np.array(1j, np.complex64)}  # fmt: skip
    for name, result in engine.run("serving_default", sent, list(outputs)).items():
        wanted = sent[name.removesuffix("_out")]
        assert (result.dtype, result.tolist()) == (wanted.dtype, wanted.tolist())


@installed
def test_a_signature_that_names_nothing_of_the_graph_is_refused_when_it_is_called(version):
    files = in_memory(version("saved_model_half_plus_two_cpu"))
    model = SavedModel.FromString(files.read("saved_model.pb"))
    model.meta_graphs[0].signature_def["serving_default"].outputs["y"].name = "nowhere:0"
    changed = MemoryFiles(
        {path: files.read(path) for path in files.paths} | {"saved_model.pb": model.SerializeToString()}
    )
    engine = load("tensorflow", changed, OPTIONS)
    with pytest.raises(BadRequest, match="'y' is no tensor of the graph"):
        engine.run("serving_default", {"x": np.zeros(1, np.float32)}, ["y"])


@installed
def test_without_the_private_call_the_public_one_is_used(half_plus_two):
    session = half_plus_two._session
    run, name_of = subject._runner(SimpleNamespace(graph=session.graph, run=session.run))
    signature = half_plus_two.signatures["serving_default"]
    feeds = {name_of(signature.inputs["x"]): np.array([[2.0]], np.float32)}
    assert [each.tolist() for each in run(feeds, [name_of(signature.outputs["y"])])] == [[[3.0]]]


QUIET = """
import pathlib, sys
import numpy as np
written = []
def watch(event, given):
    if event == "open" and set(str(given[1] or "r")) & set("wax+") and not isinstance(given[0], int):
        written.append(given[0])
sys.addaudithook(watch)
from strongroom.serving.engines import EngineOptions, MemoryFiles, load
folder = pathlib.Path(sys.argv[1])
files = {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
engine = load("tensorflow", MemoryFiles(files), EngineOptions())
assert engine.run("serving_default", {"x": np.ones(1, np.float32)}, ["y"])["y"].tolist() == [2.5]
import tensorflow as tf
left = [name for name in files for place in tf.io.gfile.glob("ram://*/" + name)]
print(left, [name for name in written if not str(name).startswith("/dev/")], "keras" in sys.modules)
engine.close()
"""


@installed
def test_sv_02_a_model_in_memory_is_loaded_without_a_word_and_leaves_nothing_on_a_disk(version, tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
               "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(version("saved_model_half_plus_two_cpu"))], env=environ, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] [] False\n", "")
    assert list(tmp_path.rglob("*")) == []


def test_lines_that_are_not_noise_pass_while_tensorflow_is_imported(capfd):
    with tensorflow_runtime._without_notices():
        os.write(2, b"first\nI0000 port.cc:153] oneDNN custom operations are on. You may\nlast")
    assert capfd.readouterr().err == "first\nlast"
