"""Which engine a version gets: by its files, by --engine, by model_platform."""

import pytest

from strongroom.serving.assembly import engine_options
from strongroom.serving.engines import EngineOptions, EngineUnknown, FolderFiles, MemoryFiles, ModelNotLoadable, choose
from strongroom.serving.engines.choice import KINDS, PLATFORMS
from strongroom.serving.flags import options_of
from strongroom.serving.options import BadOptions


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


def test_flags_and_the_sessions_file_become_engine_options(tmp_path):
    file = tmp_path / "session.pbtxt"
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 2")
    given = {"model_base_path": "/m", "insecure": True, "tensorflow_session_config_file": str(file),
             "tensorflow_inter_op_parallelism": 1, "saved_model_tags": "serve,cpu", "engine": "tensorflow",
             "openvino_precision": "bf16"}  # fmt: skip
    assert engine_options(options_of(given).runtime) == EngineOptions(
        engine="tensorflow", openvino_precision="bf16", intra_op_threads=3, inter_op_threads=1,
        saved_model_tags=frozenset({"serve", "cpu"}),
    )  # fmt: skip


@pytest.mark.parametrize(("flag", "word"), [("engine", "torch"), ("openvino_precision", "f16")])
def test_words_that_nobody_knows_are_refused(flag, word):
    with pytest.raises(BadOptions, match=f"--{flag} is '{word}', wanted one of"):
        options_of({"model_base_path": "/m", "insecure": True, flag: word})


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
