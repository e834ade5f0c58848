"""`strongroom model convert`: its flags, what it refuses before TensorFlow is imported, and what it prints."""

import json

import pytest

from strongroom.cli import main
from strongroom.cli.frame import Misuse, Parser
from strongroom.cli.model_convert import arguments, order_of


def parsed(*words):
    parser = Parser(allow_abbrev=False)
    arguments(parser)
    return parser.parse_args(["--import_path", "m.pb", "--export_dir", "out", *words])


def test_the_reference_solution_s_command_line_is_taken_as_it_is():
    order = order_of(parsed("--model_version", "2", "--inputs", "input", "--outputs", "predict", "--dtypes", "float32"))
    assert order.target("saved_model").as_posix() == "out/2"
    assert order.formats == ("saved_model",)
    assert (order.frozen.inputs, order.frozen.outputs) == ({"input": "input"}, {"predict": "predict"})


def test_hyphens_do_too_and_both_formats_get_a_folder_each():
    order = order_of(parsed("--model-version", "3", "--format", "both", "--check-inputs", "a.npz", "--opset", "15"))
    assert [order.target(form).as_posix() for form in order.formats] == ["out/saved_model/3", "out/onnx/3"]
    assert order.frozen is None
    assert order.opset == 15


def test_shapes_and_constants_are_read():
    options = order_of(parsed("--shape", "input=-1,224,224,3", "--shape", "k=", "--set", "is_training=false")).frozen
    assert options.shapes == {"input": (-1, 224, 224, 3), "k": ()}
    assert options.constants == {"is_training": "false"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model_version", "0"], "versions begin with 1"),
        (["--random-checks", "-1"], "negative"),
        (["--random-checks", "0"], "nothing to compare"),
        (["--tolerance", "nan"], "negative"),
        (["--shape", "input=a,b"], "not a shape"),
        (["--shape", "input"], "not NAME=VALUE"),
        (["--set", "=1"], "not NAME=VALUE"),
        (["--import_path", ""], "is empty"),
        (["--opset", "9"], "--opset"),
    ],
)
def test_misuse_is_said_before_anything_runs(words, said):
    with pytest.raises(Misuse, match=said):
        order_of(parsed(*words))


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    (tmp_path / "m.pb").write_bytes(b"")
    words = ["model", "convert", "--import_path", str(tmp_path / "m.pb"), "--export_dir", str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "SR-MISSING-EXTRA" in said
    assert "pip install 'strongroom[tensorflow]'" in said


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_the_report_for_machines_names_everything(tmp_path, capsys):
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        tf.identity(tf.compat.v1.placeholder("float32", [None, 2], name="input") * 2.0, name="predict")
        (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    words = ["model", "convert", "--import_path", str(tmp_path / "m.pb"), "--export_dir", str(tmp_path / "out")]
    assert main([*words, "--format", "both", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["source"]["kind"] == "frozen GraphDef"
    assert len(report["source"]["sha256"]["m.pb"]) == 64
    assert report["signatures"]["serving_default"]["inputs"] == {"input": {"dtype": "float32", "shape": [None, 2]}}
    assert report["checks"] == {"seed": 20240229, "tolerance": 1e-4, "inputs": ["random, batch 1", "random, batch 3"]}
    assert [result["format"] for result in report["results"]] == ["saved_model", "onnx"]
    (difference,) = report["results"][1]["differences"]
    assert difference == {
        "signature": "serving_default",
        "output": "predict",
        "absolute": 0.0,
        "relative": 0.0,
        "values": 8,
    }
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "serving_default predict: largest difference 0, relative 0, of 8 values" in said
    assert "seed 20240229, tolerance 0.0001" in said
