"""A model directory, an owner, and a published bundle to attack."""

import os
from datetime import UTC, datetime

import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper

from strongroom.bundles import Signature, TensorSpec, open_bundle, publish
from strongroom.secret import Secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = {"serving_default": Signature(inputs={"input": TensorSpec(dtype="float32", shape=(-1, 3))},
                                     outputs={"predict": TensorSpec(dtype="float32", shape=(-1, 3))})}  # fmt: skip


@pytest.fixture
def now():
    return NOW


@pytest.fixture(scope="session")
def signer():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def key():
    return Secret(os.urandom(16))


@pytest.fixture(scope="session")
def onnx_bytes():
    """A real, tiny model: predict = relu(input)."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["predict"])],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("predict", TensorProto.FLOAT, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def model_dir(tmp_path, onnx_bytes):
    folder = tmp_path / "source"
    (folder / "assets").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx_bytes)
    (folder / "weights.bin").write_bytes(b"w" + os.urandom(499_999))  # not what a pickle begins with, by chance
    (folder / "assets" / "labels.txt").write_text("a tabby cat\na golden retriever\n")
    return folder


@pytest.fixture
def publishing(model_dir, tmp_path, signer, key):
    """Publishes the model directory; keyword arguments replace any part."""

    def run(**changes):
        options = {"source": model_dir, "target": tmp_path / "models", "name": "resnet50", "version": 1}
        options |= {"key": key, "signer": signer, "engine": "onnx", "signatures": SPEC}
        options |= {"now": NOW, "entropy": os.urandom} | changes
        return publish(options.pop("source"), options.pop("target"), **options)

    return run


@pytest.fixture
def bundle_dir(publishing, tmp_path):
    publishing()
    return tmp_path / "models/resnet50/1"


@pytest.fixture
def opening(bundle_dir, signer, key):
    """Opens the published bundle; keyword arguments replace any part."""

    def run(**changes):
        options = {"key": key, "owner": signer.public_key(), "name": "resnet50", "version": 1} | changes
        return open_bundle(options.pop("folder", bundle_dir), **options)

    return run
