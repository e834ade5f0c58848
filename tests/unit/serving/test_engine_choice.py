"""Which engine a version gets: by its files, by --engine, by model_platform."""

import pytest

from strongroom.serving.engines import EngineUnknown, FolderFiles, MemoryFiles, ModelNotLoadable, choose
from strongroom.serving.engines.choice import KINDS, PLATFORMS


@pytest.mark.parametrize(
    ("paths", "wanted", "engine"),
    [
        (["model.onnx"], "auto", "onnx"),
        (["saved_model.pb", "variables/variables.index"], "auto", "tensorflow"),
        (["model.bin", "model.xml"], "auto", "openvino"),
        (["model.onnx", "saved_model.pb"], "auto", "onnx"),
        (["model.onnx", "saved_model.pb"], "tensorflow", "tensorflow"),
        (["model.onnx"], "openvino", "openvino"),
    ],
)
def test_the_files_decide_unless_somebody_else_did(paths, wanted, engine):
    assert choose(paths, wanted) == engine


def test_what_an_engine_cannot_load_is_refused():
    for wanted in ("auto", "onnx", "tensorflow", "openvino"):
        with pytest.raises(ModelNotLoadable):
            choose(["model.pkl", "below/model.onnx"], wanted)
    with pytest.raises(ModelNotLoadable, match=r"the engine onnx needs model\.onnx"):
        choose(["saved_model.pb"], "onnx")


def test_an_unknown_engine_is_named_and_refused():
    with pytest.raises(EngineUnknown, match="'caffe'") as caught:
        choose(["model.onnx"], "caffe")
    assert caught.value.code == "SR-ENGINE-UNKNOWN"


def test_the_platform_of_tensorflow_servings_users_asks_for_nothing_in_particular():
    assert PLATFORMS["tensorflow"] == "auto"
    assert set(PLATFORMS.values()) <= set(KINDS)


@pytest.mark.parametrize("make", [FolderFiles, lambda folder: MemoryFiles({"a/b": b"content"})])
def test_files_are_named_by_their_paths_and_read_whole_or_in_pieces(tmp_path, make):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"content")
    files = make(tmp_path)
    assert list(files.paths) == ["a/b"]
    assert files.read("a/b") == b"".join(files.chunks("a/b")) == b"content"
    for action in (files.read, lambda path: list(files.chunks(path))):
        with pytest.raises(FileNotFoundError):
            action("a/c")
