"""Conversion without TensorFlow: what a path is, what a Keras configuration may say, inputs, comparison, choices."""

import json
import zipfile

import numpy as np
import pytest

from strongroom.bundles.conversion import (
    BadCheckInputs,
    ConversionDiffers,
    ConversionUnproved,
    ModelRunsCode,
    ModelTooLarge,
    NotConvertible,
    SignatureChoice,
    aliases,
    comparison,
    random_inputs,
    source,
    supplied,
)
from strongroom.bundles.conversion.keras_config import check_configuration
from strongroom.bundles.conversion.onnx_writer import output_names
from strongroom.bundles.conversion.signatures import ModelSignature, Port, check_one_file, choose


def signature(inputs, outputs=None, method="tensorflow/serving/predict"):
    return ModelSignature(method, inputs, outputs or {"y": Port("y:0", "float32", (-1,))})


# What a path is


def test_kinds_are_seen_from_content_not_from_names(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 8)
    (tmp_path / "b.h5").write_bytes(b"\x0a\x00")
    with zipfile.ZipFile(tmp_path / "c.pb", "w") as archive:
        archive.writestr("config.json", "{}")
    folder = tmp_path / "model" / "1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    assert source.recognise(tmp_path / "a.keras").kind is source.Kind.KERAS_H5
    assert source.recognise(tmp_path / "b.h5").kind is source.Kind.FROZEN_GRAPH
    assert source.recognise(tmp_path / "c.pb").kind is source.Kind.KERAS
    assert source.recognise(folder) == source.recognise(folder / "saved_model.pb")


def test_a_folder_of_versions_is_no_model_and_the_fix_names_one(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(NotConvertible) as caught:
        source.recognise(tmp_path)
    assert caught.value.code == "SR-NOT-CONVERTIBLE"
    assert str(folder) in caught.value.fix


def test_a_saved_model_with_a_link_in_it_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "assets").symlink_to("/etc")
    with pytest.raises(NotConvertible, match="assets is a link"):
        source.recognise(tmp_path)


def test_a_graph_longer_than_a_message_can_be_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "large.pb").open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelTooLarge) as caught:
        source.recognise(tmp_path / "large.pb")
    assert caught.value.code == "SR-MODEL-TOO-LARGE"


# What a Keras configuration may say


def layer(name, module="keras.layers", registered=None, **config):
    return {"module": module, "class_name": name, "config": {"name": "x", **config}, "registered_name": registered}


def model_of(*layers):
    return layer("Functional", "keras.src.models.functional", layers=list(layers))


def test_a_model_of_keras_own_layers_passes():
    check_configuration(model_of(layer("Dense", units=3, kernel_initializer=layer("Zeros", "keras.initializers"))))
    check_configuration({"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {}}]}})


@pytest.mark.parametrize(
    "hostile",
    [
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}),
        layer("Lambda", function="numpy"),
        {"class_name": "Lambda", "config": {"name": "x", "function": ["4wEAAAA=", None, None]}},
        layer("TorchModuleWrapper", module="keras.layers"),
        layer("TFSMLayer", filepath="/models/other"),
        layer("get_file", module="keras.utils"),
        layer("load_model", module="keras.models"),
        layer("system", module="os"),
        layer("eval", module="builtins"),
        layer("Dense", activation={"class_name": "function", "module": "builtins", "config": "print"}),
        layer("Dense", module="keras.layers.core.dense;os"),
        layer("StringLookup", vocabulary="/etc/passwd"),
    ],
    ids=lambda hostile: f"{hostile.get('module', 'old')}.{hostile['class_name']}",
)
def test_kd_01_code_in_a_keras_configuration_is_refused(hostile):
    with pytest.raises(ModelRunsCode) as caught:
        check_configuration(model_of(layer("Dense"), hostile))
    assert caught.value.code == "SR-MODEL-RUNS-CODE"
    assert "'x'" in caught.value.sentence


def test_a_custom_class_is_refused_by_its_name():
    with pytest.raises(NotConvertible, match="Mine>Layer"):
        check_configuration(model_of(layer("Layer", module=None, registered="Mine>Layer")))


def test_a_configuration_nested_without_end_is_refused():
    nested = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(NotConvertible, match="nested deeper"):
        check_configuration(nested)


# Names of frozen graphs, and signatures


def test_one_input_and_output_get_the_reference_solution_s_names():
    assert aliases(["import/images:0"], "input") == {"input": "import/images:0"}
    assert aliases(["a", "b:0"], "input") == {"a": "a", "b": "b:0"}
    assert aliases(["x=a", "b"], "input") == {"x": "a", "b": "b"}


@pytest.mark.parametrize("names", [[""], ["a", "a"], ["x="]])
def test_names_that_name_nothing_or_twice_are_refused(names):
    with pytest.raises(NotConvertible):
        aliases(names, "input")


def test_signatures_of_other_inputs_do_not_fit_into_one_file():
    picture, words = {"x": Port("x:0", "float32", (-1, 4))}, {"x": Port("w:0", "string", (-1,))}
    both = {"serving_default": signature(picture), "again": signature(picture), "text": signature(words)}
    with pytest.raises(SignatureChoice, match="'text' takes other inputs") as caught:
        check_one_file(both)
    assert caught.value.code == "SR-SIGNATURE-CHOICE"
    assert "--signature again --signature serving_default" in caught.value.fix
    check_one_file(choose(both, ["again", "serving_default"]))


def test_a_signature_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SignatureChoice, match="it has: serving_default"):
        choose({"serving_default": signature({})}, ["serve"])


def test_outputs_keep_their_aliases_unless_two_tensors_claim_one():
    x = {"x": Port("x:0", "float32", (-1,))}
    one = signature(x, {"y": Port("a:0", "float32", None), "x": Port("b:0", "float32", None)})
    two = signature(x, {"y": Port("c:0", "float32", None), "z": Port("a:0", "float32", None)})
    named = output_names({"first": two, "serving_default": one})
    assert named == {
        ("serving_default", "y"): "y", ("serving_default", "x"): "serving_default/x",
        ("first", "y"): "first/y", ("first", "z"): "z",
    }  # fmt: skip


# Random inputs


def test_random_inputs_are_those_of_the_seed_and_have_every_type():
    kinds = [
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "int8",
        "uint8",
        "int32",
        "int64",
        "bool",
        "string",
        "complex64",
    ]
    asked = signature({kind: Port(f"{kind}:0", kind, (-1, 2)) for kind in kinds})
    pytest.importorskip("ml_dtypes")
    drawn = [random_inputs.draw(asked, np.random.default_rng(7), batch=3, size=4, strings={}) for _ in range(2)]
    assert {alias: values.shape for alias, values in drawn[0].items()} == dict.fromkeys(kinds, (3, 2))
    for kind in kinds:
        assert drawn[0][kind].tolist() == drawn[1][kind].tolist()
        assert drawn[0][kind].dtype.name == ("object" if kind == "string" else kind)


def test_a_type_that_no_client_can_send_is_refused():
    asked = signature({"x": Port("x:0", "resource", ())})
    with pytest.raises(NotConvertible, match="resource"):
        random_inputs.draw(asked, np.random.default_rng(0), batch=1, size=1, strings={})


# Supplied inputs


def test_arrays_are_given_to_the_signatures_that_they_fit(tmp_path):
    np.savez(tmp_path / "in.npz", a=np.ones((2, 3)), b=np.array(["x", "y"]))
    fits = signature({"a": Port("a:0", "float32", (-1, 3)), "b": Port("b:0", "string", (-1,))})
    found = supplied.read(tmp_path / "in.npz", {"one": fits, "other": signature({"c": Port("c:0", "float32", None)})})
    assert list(found) == ["one"]
    assert found["one"]["a"].dtype == np.float32
    assert found["one"]["b"].tolist() == [b"x", b"y"]


def test_one_array_alone_is_the_only_input(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((5, 2), np.float32))
    found = supplied.read(tmp_path / "in.npy", {"s": signature({"pixels": Port("p:0", "float32", (-1, 2))})})
    assert found["s"]["pixels"].shape == (5, 2)


def test_a_picture_is_resized_to_what_the_model_takes(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    found = supplied.read(tmp_path / "red.png", {"s": signature({"x": Port("x:0", "float32", (-1, 8, 6, 3))})})
    assert found["s"]["x"].shape == (1, 8, 6, 3)
    assert found["s"]["x"][0, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npz", b"PK\x03\x04 not a zip", "no .npz or .npy"),
        ("a.npy", b"", "no .npz or .npy"),
        ("a.png", b"no picture", "no picture"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadCheckInputs, match=said) as caught:
        supplied.read(tmp_path / name, {"s": signature({"x": Port("x:0", "float32", (-1, 4, 4, 3))})})
    assert caught.value.code == "SR-CHECK-INPUTS"


def test_kd_01_pickled_inputs_are_refused(tmp_path):
    np.save(tmp_path / "in.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadCheckInputs):
        supplied.read(tmp_path / "in.npy", {"s": signature({"x": Port("x:0", "float32", (-1,))})})


@pytest.mark.parametrize("values", [np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.array([["a", "b", "c"]])])
def test_arrays_of_another_shape_or_type_are_refused(tmp_path, values):
    np.savez(tmp_path / "in.npz", x=values)
    with pytest.raises(BadCheckInputs, match="wanted is"):
        supplied.read(tmp_path / "in.npz", {"s": signature({"x": Port("x:0", "float32", (-1, 3))})})


# Comparison


def compare(expected, found, tolerance=1e-4):
    return comparison.compare(np.asarray(expected), np.asarray(found), output="y", tolerance=tolerance)


def test_rounding_passes_and_is_measured_against_the_outputs_own_scale():
    difference = compare(np.float32([100, 1e-6]), np.float32([100.001, 2e-6]))
    assert difference.absolute == pytest.approx(1e-3, rel=1e-2)
    assert difference.relative == pytest.approx(1e-5, rel=1e-2)
    assert difference.values == 2


def test_a_softmax_that_is_somewhat_wrong_is_refused_though_all_its_values_are_small():
    right = np.full(1000, 1e-3, np.float32)
    with pytest.raises(ConversionDiffers) as caught:
        compare(right, right * np.float32(1.05))
    assert caught.value.code == "SR-CONVERSION-DIFFERS"
    assert "tolerance is 0.0001" in caught.value.sentence


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        (np.float32([1, 2]), np.float32([[1, 2]]), "shape"),
        (np.float32([1]), np.float64([1]), "float64"),
        (np.float32([1]), np.float32([np.nan]), "NaN"),
        (np.float32([np.inf]), np.float32([1]), "infinite"),
        (np.float32([np.inf]), np.float32([-np.inf]), "infinite"),
        (np.int64([1, 2]), np.int64([1, 3]), "1 of 2 values"),
        (np.array([b"a"], object), np.array([b"b"], object), "1 of 1 values"),
        (np.array([True]), np.array([False]), "1 of 1 values"),
    ],
)
def test_what_is_not_rounding_is_refused(expected, found, said):
    with pytest.raises(ConversionDiffers, match=said):
        compare(expected, found, tolerance=1e6)


def test_infinities_in_the_same_places_and_empty_outputs_are_no_difference():
    assert compare(np.float32([np.inf, 1]), np.float32([np.inf, 1])).absolute == 0
    assert compare(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)).values == 0


def test_nan_of_the_source_itself_proves_nothing():
    with pytest.raises(ConversionUnproved) as caught:
        compare(np.float32([np.nan]), np.float32([np.nan]))
    assert caught.value.code == "SR-CONVERSION-UNPROVED"


def test_configurations_are_data_so_their_json_order_does_not_matter():
    nested = json.loads(json.dumps(model_of(layer("Dense"), layer("Lambda"))))
    with pytest.raises(ModelRunsCode):
        check_configuration(dict(reversed(nested.items())))
