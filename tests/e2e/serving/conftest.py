"""Model servers as processes of their own, over real TLS; half_plus_two and its kind as ONNX; plain HTTP clients."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from datetime import UTC, datetime
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from strongroom.pki import Authority, SslConfig

READY = "Entering the event loop"
LIMIT_S = 60


def half_plus(number, shape=None):
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    more = helper.make_tensor("more", TensorProto.FLOAT, [], [float(number)])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "more"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [half, more],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def slow(rounds=400):
    """Return a model that takes a while on one core: `rounds` products of a 300 x 300 matrix with itself."""
    nodes = [helper.make_node("MatMul", [f"v{n}", "x"], [f"v{n + 1}"]) for n in range(rounds)]
    nodes = [helper.make_node("Identity", ["x"], ["v0"]), *nodes, helper.make_node("Identity", [f"v{rounds}"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [300, 300])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [300, 300])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


CLASSES = np.random.default_rng(0).standard_normal((3, 1001)).astype(np.float32) / 255


def image_classifier():
    """Return a model with ResNet-50's inputs and outputs: it classifies an image by its mean colour."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "classes"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["predict"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 224, 224, 3])],
        [helper.make_tensor_value_info("predict", TensorProto.FLOAT, ["batch", 1001])],
        [numpy_helper.from_array(CLASSES, "classes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def image_classes(images):
    """Return what that model answers, computed without it."""
    powers = np.exp(images.mean((1, 2), np.float64) @ CLASSES)
    return powers / powers.sum(1, keepdims=True)


@pytest.fixture(scope="session")
def models():
    return SimpleNamespace(
        half_plus=half_plus, slow=slow, image_classifier=image_classifier, image_classes=image_classes
    )


@pytest.fixture(scope="session")
def published():
    """TensorFlow and Google's published modules of TensorFlow Serving's API; `of` gives a channel's stubs."""
    pytest.importorskip("tensorflow_serving")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
        from google.protobuf import text_format
        from tensorflow_serving.apis import (
            classification_pb2,
            get_model_metadata_pb2,
            get_model_status_pb2,
            inference_pb2,
            model_management_pb2,
            model_service_pb2_grpc,
            predict_pb2,
            prediction_service_pb2_grpc,
            regression_pb2,
        )

    def of(channel):
        return SimpleNamespace(
            prediction=prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model=model_service_pb2_grpc.ModelServiceStub(channel),
        )

    return SimpleNamespace(
        tf=tf, text_format=text_format, of=of, predict=predict_pb2, classification=classification_pb2,
        regression=regression_pb2, inference=inference_pb2, metadata=get_model_metadata_pb2,
        status=get_model_status_pb2, management=model_management_pb2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """An owner's TLS files: ssl.cfg for mutual TLS, and a client's certificate."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority = Authority.create("Owner", now=now)
    server, client = authority.issue_server(["localhost"], now=now), authority.issue_client("client.example", now=now)
    config = SslConfig(server_key=server.key_pem, server_cert=server.certificate_pem,
                       custom_ca=authority.certificate_pem, client_verify=True)  # fmt: skip
    files = {"ca.pem": authority.certificate_pem, "client.pem": client.certificate_pem}
    for name, secret in (("client.key", client.key_pem), ("server.key", server.key_pem), ("ssl.cfg", config.render())):
        with secret.reveal() as raw:
            files[name] = raw
    for name, data in files.items():
        (folder / name).write_bytes(data)
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return SimpleNamespace(
        folder=folder, ca=folder / "ca.pem", config=folder / "ssl.cfg", client=folder / "client.pem",
        client_key=folder / "client.key", server_key=files["server.key"], context=context,
        credentials=grpc.ssl_channel_credentials(files["ca.pem"], files["client.key"], files["client.pem"]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def nest(tool):
    """What begins servers without importing TensorFlow anew for each; `begin` stands for `begin_process`."""
    with tool("conformance/forked").Nest() as opened:
        yield opened


def begin_process(words, *, cwd, env):
    return subprocess.Popen(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


class ServerProcess:
    """A running `strongroom serve`, its log, and clients for it."""

    def __init__(self, words, *, cwd, tls, ports, environment, begin=begin_process):
        self.tls, self.ports, self.lines = tls, ports, []
        self._ready = threading.Event()
        self.process = begin(words, cwd=cwd, env=environment)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if READY in line:
                self._ready.set()
        self._ready.set()

    @property
    def log(self):
        return "".join(self.lines)

    def wait_ready(self):
        assert self._ready.wait(LIMIT_S), self.log
        assert READY in self.log, self.log
        return self

    def wait_for(self, pattern):
        """Wait for a line of the log."""
        deadline = threading.Event()
        for _ in range(LIMIT_S * 50):
            if re.search(pattern, self.log):
                return
            deadline.wait(0.02)
        raise AssertionError(f"{pattern!r} is not in the log:\n{self.log}")

    def end(self, number=signal.SIGTERM):
        """Stop it; return exit status, standard output and log."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        out = self.process.stdout.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return status, out, self.log

    def connection(self):
        return http.client.HTTPSConnection("localhost", self.ports[1], timeout=LIMIT_S, context=self.tls.context)

    def rest(self, method, path, body=None, headers=None):
        """Send one REST request; return status, headers and body."""
        client = self.connection()
        try:
            client.request(method, path, body=body, headers=headers or {})
            answer = client.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            client.close()

    def predict(self, *values):
        status, _, body = self.rest("POST", "/v1/models/default:predict", json.dumps({"instances": values}))
        assert status == 200, body
        return json.loads(body)["predictions"]

    def status(self):
        """Return the states of the model's versions, by number."""
        rows = json.loads(self.rest("GET", "/v1/models/default")[2])["model_version_status"]
        return {int(row["version"]): row["state"] for row in rows}

    def channel(self, **options):
        target = f"localhost:{self.ports[0]}"
        listed = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1), *options.items()]
        return grpc.secure_channel(target, self.tls.credentials, options=listed)


@contextlib.contextmanager
def two_ports():
    """Hold two ports that servers may share (SO_REUSEPORT) and nobody else takes."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        yield tuple(ports)


@pytest.fixture
def ports():
    with two_ports() as held:
        yield held


@pytest.fixture
def two_more_ports():
    with two_ports() as held:
        yield held


@pytest.fixture(scope="module")
def launcher(tls):
    """Start servers; whatever still runs at the end of the module is stopped."""
    with contextlib.ExitStack() as stack:

        def start(base, *words, command=("-m", "strongroom", "serve"), with_tls=True, ports=None, cwd=None, **more):
            ports = ports or stack.enter_context(two_ports())
            secure = [f"--ssl_config_file={tls.config}"] if with_tls else []
            flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_base_path={base}", *secure, *words]
            return run([sys.executable, *command, *flags], ports=ports, cwd=cwd, files=tls, **more)

        def run(words, *, ports, cwd, files, begin=begin_process):
            environment = {key: value for key, value in os.environ.items() if key != "STRONGROOM_QUOTE_FD"}
            server = ServerProcess(words, cwd=cwd, tls=files, ports=ports, environment=environment, begin=begin)
            stack.callback(put_away, server)
            return server

        start.run = run
        yield start


def put_away(server):
    if server.process.poll() is None:
        server.process.kill()
    if not server.process.stdout.closed:
        server.end()


@pytest.fixture
def base(tmp_path):
    """A base folder, and a function that writes a version into it whole."""
    folder = tmp_path / "m"
    folder.mkdir()

    def put(version, model=None):
        temporary = tmp_path / f"new-{version}"
        temporary.mkdir()
        (temporary / "model.onnx").write_bytes(half_plus(2) if model is None else model)
        return temporary.rename(folder / str(version))

    return SimpleNamespace(folder=folder, put=put)
