"""OpenVINO: from bytes in memory, in float32 unless asked otherwise, without telemetry; clear refusals."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from strongroom.serving.engines import EngineMissing, EngineOptions, MemoryFiles, ModelNotLoadable, load
from strongroom.serving.engines import openvino_runtime as runtime
from strongroom.serving.status import BadRequest
from strongroom.tfserving import DataType

OPTIONS = EngineOptions(intra_op_threads=1)
installed = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")


def engine_of(model, options=OPTIONS):
    return load("openvino", MemoryFiles({"model.onnx": model.SerializeToString()}), options)


@pytest.fixture(scope="module")
def own_form(tmp_path_factory):
    """Return half_plus_two in OpenVINO's own form: model.xml and model.bin."""
    ov = runtime.openvino()
    x = ov.opset13.parameter([-1, 3], np.float32, name="x")
    weights = ov.opset13.constant(np.full((1, 3), 0.5, np.float32))
    result = ov.opset13.add(ov.opset13.multiply(x, weights), np.float32(2), name="y")
    x.output(0).set_names({"x"})
    result.output(0).set_names({"y"})
    folder = tmp_path_factory.mktemp("ir")
    ov.save_model(ov.Model([result], [x], "m"), folder / "model.xml", compress_to_fp16=False)
    return {name: (folder / name).read_bytes() for name in ("model.xml", "model.bin")}


@installed
def test_its_own_form_is_read_from_memory(own_form):
    engine = load("auto", MemoryFiles(own_form), OPTIONS)
    signature = engine.signatures["serving_default"]
    assert {name: (spec.dtype, spec.shape) for name, spec in signature.inputs.items()} == {
        "x": (DataType.DT_FLOAT, (-1, 3))
    }
    assert engine.run("serving_default", {"x": np.array([[1, 2, 5]], np.float32)}, ["y"])["y"].tolist() == [
        [2.5, 3.0, 4.5]
    ]


@installed
def test_weights_that_are_not_there_or_cut_off_are_refused(own_form):
    for weights in ({}, {"model.bin": own_form["model.bin"][:2]}):
        with pytest.raises(ModelNotLoadable) as caught:
            load("openvino", MemoryFiles({"model.xml": own_form["model.xml"], **weights}), OPTIONS)
        assert caught.value.code == "SR-MODEL-NOT-LOADABLE"


@installed
@pytest.mark.parametrize("data", [b"", b"garbage", b"<?xml version='1.0'?><net/>", b"<" * 10_000])
def test_other_bytes_are_no_model(data):
    for name in ("model.xml", "model.onnx"):
        with pytest.raises(ModelNotLoadable):
            load("openvino", MemoryFiles({name: data}), OPTIONS)


@installed
def test_float32_is_computed_in_unless_bfloat16_is_asked_for(models):
    model = models.half_plus(2, [None])
    assert engine_of(model).description.endswith("threads: 1, computes in float32")
    asked = engine_of(model, EngineOptions(openvino_precision="bf16", intra_op_threads=1))
    assert asked.description.split()[-1] in {"bfloat16", "float32"}  # what the CPU has


@installed
def test_strings_and_unknown_ranks_are_refused_when_a_model_is_loaded(models):
    with pytest.raises(ModelNotLoadable, match="strings") as caught:
        engine_of(models.many())
    assert "--engine=onnx" in caught.value.fix
    with pytest.raises(ModelNotLoadable, match="unknown rank"):
        engine_of(models.half_plus(2))


@installed
def test_types_and_shapes_are_checked_before_a_run(models):
    engine = engine_of(models.half_plus(2, ["batch", 2]))
    for array, said in ((np.zeros((1, 2), np.int32), "float"), (np.zeros((1, 3), np.float32), r"\[1,3\].*\[\?,2\]")):
        with pytest.raises(BadRequest, match=said):
            engine.run("serving_default", {"x": array}, ["y"])


@installed
def test_a_failure_inside_the_model_does_not_name_its_parts(models):
    model = models.onnx_model(
        [helper.make_node("NoSuchOperator", ["x"], ["y"], name="confidential_layer")],
        [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    with pytest.raises(ModelNotLoadable) as caught:
        engine_of(model)
    assert "confidential" not in caught.value.sentence


def test_saved_models_are_for_another_engine():
    with pytest.raises(ModelNotLoadable, match=r"model\.xml or model\.onnx"):
        load("openvino", MemoryFiles({"saved_model.pb": b""}), OPTIONS)


def test_a_missing_openvino_is_one_sentence_that_names_the_command(models, monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing) as caught:
        engine_of(models.half_plus(2, [None]))
    assert caught.value.code == "SR-ENGINE-MISSING"
    assert "pip install 'strongroom[openvino]'" in caught.value.fix


SILENT = """
import socket, sys
reached = []
sys.addaudithook(lambda event, given: reached.append(event) if event.startswith("socket.") else None)
from strongroom.serving.engines.openvino_runtime import openvino
openvino().Core()
print(reached, sorted(name for name in sys.modules if name.startswith("openvino_telemetry.")))
"""


@installed
def test_sv_02_nothing_is_reported_when_openvino_is_imported(tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SILENT], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] []\n"
    assert list(tmp_path.rglob("*")) == []
