"""What a worker does with a record, by configuration: the whole way from inputs to arrays, and back to an answer."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.faults import (
    BadImage,
    BadInputNames,
    BadRecord,
    DtypeMismatch,
    ModelError,
    ShapeMismatch,
)
from strongroom.clusterserving.filters import Filter
from strongroom.clusterserving.values import Image, Sparse, Strings
from strongroom.streaming.images import Preparation
from strongroom.streaming.images.hook import HookUnusable
from strongroom.streaming.images.matching import MAX_DENSE_ELEMENTS
from strongroom.streaming.images.postprocess import LabelsUnusable, labelled, read_labels
from strongroom.streaming.images.preprocess import Preprocess
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.signatures import Signature, TensorSpec


def signature(*shape: int | None, dtype: DataType = DataType.DT_FLOAT, names=("x",), defaults=None) -> Signature:
    inputs = {name: TensorSpec(name=name, dtype=dtype, shape=shape) for name in names}
    return Signature(inputs=inputs, outputs={}, defaults=defaults or {})


PIXELS = np.random.default_rng(1).integers(0, 255, (6, 4, 3), dtype=np.uint8)
PNG = Image(cv2.imencode(".png", PIXELS)[1].tobytes())


def config(**keys) -> QueueConfig:
    return QueueConfig.parse(json.dumps({"modelPath": "m", **keys}).encode())[0]


def test_the_original_s_defaults_blue_first_channels_first_unscaled():
    found = Preparation().prepare([{"t": PNG}], signature(-1, 3, -1, -1))["x"]
    assert found.dtype == np.float32
    assert np.array_equal(found, PIXELS.transpose(2, 0, 1)[None].astype(np.float32))


def test_a_model_with_channels_last_gets_them_last():
    found = Preparation().prepare([{"t": PNG}], signature(-1, 6, 4, 3))["x"]
    assert np.array_equal(found[0], PIXELS)


def test_a_model_that_decodes_itself_gets_the_bytes():
    found = Preparation().prepare([{"t": PNG}], signature(-1, dtype=DataType.DT_STRING))["x"]
    assert found.tolist() == [PNG.data]


def test_a_configuration_says_size_order_and_scale():
    made = Preparation.from_config(
        config(imageResize="3,5", imagePreprocess={"order": "rgb", "layout": "hwc", "mean": 1, "std": [2, 2, 2]})
    )
    found = made.prepare([{"t": PNG}], signature(-1, 3, 5, 3))["x"]
    wanted = (cv2.resize(PIXELS, (5, 3))[..., ::-1].astype(np.float32) - 1) / 2
    assert np.allclose(found[0], wanted)


def test_d21_a_size_that_is_not_square_is_height_then_width():
    made = Preparation.from_config(config(imageResize="10,20"))
    assert made.prepare([{"t": PNG}], signature(-1, 3, 10, 20))["x"].shape == (1, 3, 10, 20)


def test_a_model_of_bytes_gets_bytes():
    found = Preparation().prepare([{"t": PNG}], signature(-1, 6, 4, 3, dtype=DataType.DT_UINT8))["x"]
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], PIXELS)


def test_an_image_for_a_model_of_another_size_is_a_shape_error():
    with pytest.raises(ShapeMismatch, match=r"\[3,6,4\]"):
        Preparation().prepare([{"t": PNG}], signature(-1, 3, 224, 224))


def test_a_bad_image_is_a_bad_image():
    with pytest.raises(BadImage):
        Preparation().prepare([{"t": Image(b"none")}], signature(-1, 3, 6, 4))


def test_names_count_where_they_match_whatever_the_order():
    given = {"b": np.float32([2]), "a": np.float32([1])}
    found = Preparation().prepare([given], signature(-1, 1, names=("a", "b")))
    assert list(found) == ["a", "b"]
    assert found["a"].item() == 1


def test_the_order_counts_where_names_do_not_match():
    given = {"first": np.float32([1]), "second": np.float32([2])}
    found = Preparation().prepare([given], signature(-1, 1, names=("a", "b")))
    assert (found["a"].item(), found["b"].item()) == (1, 2)


def test_strict_names_never_count_by_order():
    with pytest.raises(BadInputNames, match="'t'") as caught:
        Preparation(strict_names=True).prepare([{"t": np.float32([1])}], signature(-1, 1))
    assert caught.value.code == "SR-QUEUE-INPUT-NAMES"


def test_too_many_or_too_few_inputs_are_refused():
    with pytest.raises(BadInputNames):
        Preparation().prepare([{"x": np.float32([1]), "y": np.float32([1])}], signature(-1, 1))
    with pytest.raises(BadInputNames):
        Preparation().prepare([{"a": np.float32([1])}], signature(-1, 1, names=("a", "b")))


def test_an_input_with_a_default_may_be_left_out():
    found = Preparation().prepare(
        [{"a": np.float32([1])}], signature(-1, 1, names=("a", "b"), defaults={"b": np.zeros((1, 1))})
    )
    assert list(found) == ["a"]


def test_a_batch_dimension_is_added_unless_the_record_has_one():
    assert Preparation().prepare([{"x": np.zeros((2, 3), np.float32)}], signature(-1, 2, 3))["x"].shape == (1, 2, 3)
    batched = Preparation.from_config(config(inputAlreadyBatched=True))
    assert batched.prepare([{"x": np.zeros((2, 3), np.float32)}], signature(-1, 3))["x"].shape == (2, 3)
    with pytest.raises(ShapeMismatch) as caught:
        Preparation().prepare([{"x": np.zeros((2, 3), np.float32)}], signature(-1, 3))
    assert caught.value.code == "SR-QUEUE-SHAPE"


def test_one_number_is_a_row_of_a_model_of_single_numbers():
    assert Preparation().prepare([{"x": np.float32([7])}], signature(-1))["x"].shape == (1,)


def test_a_model_without_a_free_batch_takes_its_shape_as_it_is():
    assert Preparation().prepare([{"x": np.zeros((5, 2), np.float32)}], signature(5, 2))["x"].shape == (5, 2)


def test_a_model_of_unknown_rank_gets_a_batch_of_one():
    spec = Signature(inputs={"x": TensorSpec(name="x", dtype=DataType.DT_FLOAT, shape=None)}, outputs={})
    assert Preparation().prepare([{"x": np.zeros((5,), np.float32)}], spec)["x"].shape == (1, 5)


def test_whole_numbers_arrive_as_such_and_others_are_an_error():
    whole = signature(-1, 2, dtype=DataType.DT_INT64)
    assert Preparation().prepare([{"x": np.float32([3, -4])}], whole)["x"].dtype == np.int64
    for value in ([0.5, 1], [np.nan, 1], [np.inf, 1], [1e30, 1]):
        with pytest.raises(DtypeMismatch) as caught:
            Preparation().prepare([{"x": np.float32(value)}], whole)
        assert caught.value.code == "SR-QUEUE-DTYPE"


def test_text_is_for_models_of_text():
    words = signature(-1, 2, dtype=DataType.DT_STRING)
    assert Preparation().prepare([{"x": Strings(("a", "é"))}], words)["x"].tolist() == [[b"a", "é".encode()]]
    with pytest.raises(DtypeMismatch, match="text"):
        Preparation().prepare([{"x": Strings(("a", "b"))}], signature(-1, 2))
    with pytest.raises(DtypeMismatch, match="numbers"):
        Preparation().prepare([{"x": np.float32([1, 2])}], words)


def test_a_sparse_tensor_is_unfolded_within_a_limit():
    given = Sparse(np.array([[0, 1], [2, 0]], np.int32), np.array([5, 6], np.float32), (3, 2))
    assert Preparation().prepare([{"x": given}], signature(-1, 3, 2))["x"].tolist() == [[[0, 5], [0, 0], [6, 0]]]
    huge = Sparse(np.zeros((0, 2), np.int32), np.zeros(0, np.float32), (MAX_DENSE_ELEMENTS, 2))
    with pytest.raises(ShapeMismatch, match="unfold"):
        Preparation().prepare([{"x": huge}], signature(-1, -1, -1))


def test_several_instances_are_rows_of_one_batch():
    rows = [{"x": np.float32([each])} for each in range(3)]
    assert Preparation().prepare(rows, signature(-1, 1))["x"].tolist() == [[0], [1], [2]]
    with pytest.raises(ShapeMismatch):
        Preparation().prepare([{"x": np.zeros(2, np.float32)}, {"x": np.zeros(3, np.float32)}], signature(-1, -1))
    with pytest.raises(BadRecord):
        Preparation().prepare([], signature(-1, 1))


OUTPUTS = {"y": np.float32([[0.1, 0.7, 0.2]])}


def test_outputs_stay_tensors_unless_a_filter_is_asked_for():
    assert Preparation().answer(OUTPUTS) is OUTPUTS


def test_d18_the_best_classes_as_the_original_writes_them_and_as_json():
    assert Preparation.from_config(config(postProcessing="topN(2)")).answer(OUTPUTS).startswith("[[1,0.7")
    found = Preparation.from_config(config(postProcessing="topN.json(2)")).answer(OUTPUTS)
    assert [each[0] for each in json.loads(found)] == [1, 2]


def test_labels_stand_beside_the_classes(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("cat\nDachs ü\n")
    made = Preparation.from_config(config(postProcessing="topN.json(2)", labelsFile=str(path)))
    assert [(each[0], each[2]) for each in json.loads(made.answer(OUTPUTS))] == [(1, "Dachs ü"), (2, None)]
    with pytest.raises(LabelsUnusable) as caught:
        Preparation.from_config(config(postProcessing="topN(2)", labelsFile=str(path)))
    assert caught.value.code == "SR-QUEUE-LABELS"


def test_labels_that_cannot_be_read_stop_the_start(tmp_path):
    with pytest.raises(LabelsUnusable, match="cannot be read"):
        read_labels(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelsUnusable, match="UTF-8"):
        read_labels(tmp_path / "bytes")


def test_labels_go_into_every_row():
    assert json.loads(labelled("[[[0,0.5]],[[1,0.25]]]", ("a", "b"))) == [[[0, 0.5, "a"]], [[1, 0.25, "b"]]]


def test_outputs_that_a_filter_cannot_take_are_the_model_s_error():
    with pytest.raises(ModelError):
        Preparation(filter=Filter.parse("topN(1)")).answer({"y": np.array([["a"]], object)})


@pytest.fixture
def hook_keys(tmp_path):
    path = tmp_path / "hook.py"
    path.write_text(
        "def prepare(inputs):\n"
        "    assert inputs['t'].dtype == 'uint8'\n"
        "    return {'x': inputs['t'].mean(axis=(0, 1)).astype('float32')}\n"
        "def answer(outputs):\n"
        "    return {'best': outputs['y'][:, ::-1]}\n"
    )
    return {"hookFile": str(path), "hookSha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_measured_hook_gets_pixels_and_gives_the_model_s_inputs(hook_keys):
    made = Preparation.from_config(config(postProcessing="topN.json(1)", **hook_keys))
    found = made.prepare([{"t": PNG}], signature(-1, 3))["x"]
    assert np.allclose(found[0], PIXELS.mean(axis=(0, 1)))
    assert json.loads(made.answer(OUTPUTS))[0][0] == 1


def test_a_hook_and_preprocessing_do_not_both_change_pixels(hook_keys):
    with pytest.raises(HookUnusable, match="imagePreprocess"):
        Preparation.from_config(config(imagePreprocess={"scale": 2}, **hook_keys))


def test_preprocessing_that_does_not_exist_stops_the_start():
    with pytest.raises(Exception, match="layout"):
        Preparation(preprocess=Preprocess.parse({"layout": "nhwc"}))
