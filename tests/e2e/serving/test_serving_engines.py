"""Model servers on other engines than ONNX Runtime: a SavedModel plain and warmed up, one sealed, OpenVINO."""

import contextlib
import importlib.util
import json
import os
import shutil

import pytest

from strongroom.tfserving.messages import PredictionLog
from strongroom.tfserving.tfrecord import write_records

HALF_PLUS_TWO = "tfserving/testdata/servables/tensorflow/testdata/saved_model_half_plus_two_mlmd/00000123"
WARMUP = "assets.extra/tf_serving_warmup_requests"
with_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)


@pytest.fixture
def half_plus_two(shared_vectors, tmp_path):
    """Copy the SavedModel so that it can be changed; return its base folder."""
    version = tmp_path / "half_plus_two" / "00000123"
    shutil.copytree(shared_vectors / HALF_PLUS_TWO, version, copy_function=shutil.copyfile)
    for folder in (version, *filter(os.path.isdir, version.iterdir())):
        folder.chmod(0o755)
    return version.parent


def warmup_file(*logs):
    return write_records([log.SerializeToString() for log in logs])


def regression(value):
    log = PredictionLog()
    log.regress_log.request.model_spec.signature_name = "regress_x_to_y"
    features = log.regress_log.request.input.example_list.examples.add().features
    features.feature["x"].float_list.value.append(value)
    return log


@with_tensorflow
def test_a_saved_model_is_warmed_up_and_served(half_plus_two, launcher):
    (half_plus_two / "00000123" / WARMUP).write_bytes(warmup_file(regression(1.0), regression(2.0)))
    server = launcher(half_plus_two, "--num_request_iterations_for_warmup=2").wait_ready()
    assert server.predict(1.0, 2.0, 5.0) == [2.5, 3.0, 4.5]
    body = json.dumps({"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]})
    status, _, answer = server.rest("POST", "/v1/models/default:regress", body)
    assert (status, json.loads(answer)) == (200, {"results": [2.5, 3.0]})
    status, _, answer = server.rest("POST", "/v1/models/default:regress", body.replace('"x"', '"z"'))
    assert status == 400
    assert "Feature: x (data type: float) is required but could not be found." in json.loads(answer)["error"]
    server.end()
    assert "TensorFlow" in server.log
    assert "oneDNN" not in server.log


@with_tensorflow
def test_a_version_whose_warm_up_fails_is_not_served(half_plus_two, launcher, nest):
    (half_plus_two / "00000123" / WARMUP).write_bytes(warmup_file(*[PredictionLog()] * 1001))
    server = launcher(half_plus_two, begin=nest.begin)
    status, _, log = server.end(0)
    assert status == 4
    assert "Number of warmup records exceeds the maximum (1000)" in log


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_an_onnx_model_is_served_with_openvino(base, models, launcher):
    base.put(1, models.half_plus(2, [None]))
    server = launcher(base.folder, "--engine=openvino", "--tensorflow_intra_op_parallelism=1").wait_ready()
    assert server.predict(1.0, 2.0) == [2.5, 3.0]
    assert "computes in float32" in server.log


def test_an_engine_that_nobody_knows_is_refused_at_once(base, launcher):
    with contextlib.suppress(ProcessLookupError):
        status, _, log = launcher(base.folder, "--engine=caffe").end(0)
    assert status != 0
    assert "--engine is 'caffe', wanted one of auto, onnx, tensorflow, openvino" in log
