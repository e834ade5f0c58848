"""The same requests and replies without a queue: a model server answers over REST with TLS."""

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from strongroom.client.answers import Metadata, TensorInfo, VersionStatus
from strongroom.client.answers import Signature as Described
from strongroom.client.connection import ServerUnreachable
from strongroom.client.status import (
    BadAnswer,
    ModelNotServed,
    RequestDenied,
    RequestNotAccepted,
    ServerBusy,
    ServerFailed,
)
from strongroom.clusterserving.config import QueueConfig
from strongroom.streaming.frontend.backends import Model
from strongroom.streaming.frontend.model_server import ModelServerBackend
from strongroom.streaming.frontend.options import FrontOption, FrontOptions, ModelServer
from strongroom.streaming.frontend.servables import model_servable
from strongroom.streaming.images import Preparation


@dataclass
class Answers:
    """A model server's client in memory: `y` is the mean of each row."""

    problem: Exception | None = None
    gate: threading.Event | None = None
    states: tuple = ("AVAILABLE",)
    shape: tuple = (-1, 2)
    asked: list = field(default_factory=list)

    def metadata(self, model, *, version=None):
        return Metadata(model, 1, {"serving_default": Described(
            {"x": TensorInfo("DT_FLOAT", self.shape)}, {"y": TensorInfo("DT_FLOAT", (-1, 1))}, "predict")})  # fmt: skip

    def predict(self, model, inputs, *, version=None):
        self.asked.append((model, version))
        if self.gate is not None:
            self.gate.wait()
        if self.problem is not None:
            raise self.problem
        rows = inputs["x"].reshape(len(inputs["x"]), -1)
        return {"y": rows.mean(axis=1, keepdims=True)}

    def status(self, model, *, version=None):
        if self.problem is not None:
            raise self.problem
        return tuple(VersionStatus(1, each, "OK", "") for each in self.states)

    def close(self):
        pass


@pytest.fixture
def one_shot(front):
    def start(answers=None, **keys):
        config = QueueConfig.parse(json.dumps({"modelPath": "/none", **keys}).encode())[0]
        backend = ModelServerBackend(answers or Answers(), "m", 3, Preparation.from_config(config))
        return front(models=[Model(model_servable("m", 3), backend)])

    return start


def test_numbers_are_answered_as_by_the_queue(one_shot):
    answers = Answers()
    status, _, body = one_shot(answers).predict({"x": [1, 3]}, {"any": [5, 7]})
    assert status == 200
    assert body["predictions"] == [{"data": [2.0], "shape": [1]}, {"data": [6.0], "shape": [1]}]
    assert answers.asked == [("m", 3)] * 2


def test_images_and_top_n_follow_the_same_configuration(one_shot):
    pixels = np.full((9, 7, 3), 40, np.uint8)
    image = cv2.imencode(".png", pixels)[1].tobytes()
    import base64

    here = one_shot(Answers(shape=(-1, 3, 4, 6)), imageResize="4,6", postProcessing="topN.json(1)",
                    imagePreprocess={"scale": 0.5})  # fmt: skip
    status, _, body = here.predict({"t": {"b64": base64.b64encode(image).decode()}})
    assert (status, body["predictions"]) == (200, [{"value": "[[0,20.0]]"}])


def test_d09_a_bad_instance_has_its_own_error(one_shot):
    _, _, body = one_shot().predict({"x": [1, 3]}, {"x": [1, 2, 3]})
    assert body["predictions"][0]["data"] == [2.0]
    assert body["predictions"][1]["error"]["code"] == "shape_mismatch"


@pytest.mark.parametrize(
    ("problem", "status", "word"),
    [(ModelNotServed("x"), 503, "not_ready"), (RequestNotAccepted("x"), 400, "bad_record"),
     (RequestDenied("x"), 403, "unauthorized"), (ServerFailed("x"), 500, "model_error"),
     (ServerBusy("x"), 503, "not_ready"), (ServerUnreachable("x"), 503, "not_ready"),
     (BadAnswer("x"), 500, "internal")],
)  # fmt: skip
def test_sv_11_what_the_model_server_refuses_has_a_word(one_shot, problem, status, word):
    found, _, body = one_shot(Answers(problem=problem)).predict({"x": [1, 3]})
    assert (found, body["error"]["code"]) == (status, word)


def test_a_deadline_holds_here_too(one_shot):
    gate = threading.Event()
    here = one_shot(Answers(gate=gate))
    status, _, body = here.predict({"x": [1, 3]}, headers={"X-Request-Timeout-Ms": "200"})
    gate.set()
    assert (status, body["error"]["code"]) == (504, "deadline_exceeded")


def test_d12_ready_means_available(one_shot):
    assert one_shot().ask("GET", "/readyz")[0] == 200
    assert one_shot(Answers(states=("LOADING",))).ask("GET", "/readyz")[0] == 503
    assert one_shot(Answers(problem=ServerUnreachable("away"))).ask("GET", "/readyz")[0] == 503


def test_the_model_is_named(key_files):
    with pytest.raises(FrontOption, match="--modelName"):
        FrontOptions(keys=key_files(), model_server=ModelServer(address="localhost:8501")).models()


def test_the_model_server_s_certificate_is_verified(front, authority, key_files, tmp_path, echo):
    """A front is as good a TLS server as any here: one that is not of the CA gets no request."""
    from strongroom.pki import Authority

    server = front(echo())
    stranger = tmp_path / "other.pem"
    stranger.write_bytes(Authority.create("other", now=datetime.now(UTC)).certificate_pem)
    here = front(model_server=ModelServer(address=f"localhost:{server.port}", model="m", ca=stranger))
    status, _, body = here.predict({"x": [1, 3]})
    assert (status, body["error"]["code"]) == (403, "unauthorized")
