"""The model server: requests per CPU-second of the server process, gRPC and REST, over mutual TLS.

Beside it, in the same run and over the same TLS, a bare grpcio server whose handler returns the request's own tensor
without a model: what grpcio costs alone. CPU is the server process's own, from /proc; the client shares the machine,
so requests per second and latencies are those of a loaded machine. Best of three runs.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from onnx import TensorProto, helper

from harness import Report, percentile
from strongroom.pki import Authority, SslConfig
from strongroom.tfserving import PREDICT, ModelSpec, encode_predict_request

CHANNELS = 8
STREAMS = 8
ROUNDS = 3
TINY, LARGE = 4000, 400
IMAGE = (1, 224, 224, 3)  # 602,112 bytes of float32
TICKS = os.sysconf("SC_CLK_TCK")
ECHO = """
import sys, threading
from concurrent import futures
from pathlib import Path
import grpc

folder, port = Path(sys.argv[1]), sys.argv[2]
pems = [(folder / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem")]
credentials = grpc.ssl_server_credentials([(pems[0], pems[1])], pems[2], True)
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
handlers = {"Predict": grpc.unary_unary_rpc_method_handler(lambda request, context: request[:64])}
service = "tensorflow.serving.PredictionService"
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
server.add_secure_port(f"127.0.0.1:{port}", credentials)
server.start()
print("Entering the event loop", file=sys.stderr, flush=True)
threading.Event().wait()
"""


@dataclass(frozen=True)
class Measured:
    """One kind of request: the best of the runs."""

    per_cpu_s: float
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Place:
    """A server process and its ports, and the client's side of TLS."""

    process: subprocess.Popen[bytes]
    ports: tuple[int, int]
    folder: Path

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def channel(self) -> Any:  # noqa: ANN401  # grpc has no types
        pems = [(self.folder / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")]
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        return grpc.secure_channel(f"localhost:{self.ports[0]}", grpc.ssl_channel_credentials(*pems), options=options)

    def connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        return http.client.HTTPSConnection("localhost", self.ports[1], context=context, timeout=60)


def write_tls(folder: Path) -> None:
    """Write an owner's mutual TLS set."""
    now = datetime.now(UTC)
    authority = Authority.create("bench", now=now)
    server, client = authority.issue_server(["localhost"], now=now), authority.issue_client("bench.example", now=now)
    config = SslConfig(
        server_key=server.key_pem,
        server_cert=server.certificate_pem,
        custom_ca=authority.certificate_pem,
        client_verify=True,
    )
    for name, secret in (("server.key", server.key_pem), ("client.key", client.key_pem), ("ssl.cfg", config.render())):
        with secret.reveal() as raw:
            (folder / name).write_bytes(raw)
    for name, pem in (
        ("ca.pem", authority.certificate_pem),
        ("server.pem", server.certificate_pem),
        ("client.pem", client.certificate_pem),
    ):
        (folder / name).write_bytes(pem)


def write_models(folder: Path) -> None:
    """Write half_plus_two, and a mean over an image."""
    free = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    plus = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"])]
    mean = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    for name, nodes, constants in (("tiny", plus, [half, two]), ("image", mean, [])):
        graph = helper.make_graph(nodes, name, [free], [answer], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        version = folder / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(model.SerializeToString())


@contextmanager
def running(words: list[str], ports: tuple[int, int], folder: Path) -> Iterator[Place]:
    """Run a server process until the block ends."""
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"Entering the event loop" in line:
                break
        else:
            raise RuntimeError("the server did not start")
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        try:
            yield Place(process, ports, folder)
        finally:
            process.terminate()
            reader.join()


@contextmanager
def two_ports() -> Iterator[tuple[int, int]]:
    """Hold two ports that the server may share."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(("127.0.0.1", 0))
            found.append(holder.getsockname()[1])
        yield found[0], found[1]


def load(place: Place, count: int, workers: int, ask: Callable[[], Callable[[], object]]) -> Measured:
    """Let `workers` ask until `count` requests are answered; return the best of the runs, by CPU."""
    best = Measured(0.0, 0.0, 0.0, 0.0)
    asks = [ask() for _ in range(workers)]
    for each in asks:
        each()

    def work(one: Callable[[], object]) -> list[float]:
        times = []
        for _ in range(count // workers):
            start = time.perf_counter()
            one()
            times.append(time.perf_counter() - start)
        return times

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for _ in range(ROUNDS):
            cpu, wall = place.cpu_s(), time.perf_counter()
            times = [value for part in pool.map(work, asks) for value in part]
            cpu, wall = place.cpu_s() - cpu, time.perf_counter() - wall
            found = Measured(len(times) / cpu, len(times) / wall, *(1000 * percentile(times, s) for s in (0.5, 0.99)))
            best = max(best, found, key=lambda measured: measured.per_cpu_s)
    return best


def over_grpc(place: Place, count: int, request: bytes, channels: list[Any]) -> Measured:
    """Measure Predict with `STREAMS` calls at once on each channel."""
    turn = iter(range(10**6))

    def ask() -> Callable[[], object]:
        method = channels[next(turn) % len(channels)].unary_unary(PREDICT)
        return lambda: method(request, timeout=60)

    return load(place, count, len(channels) * STREAMS, ask)


def over_rest(place: Place, count: int, body: bytes, path: str) -> Measured:
    """Measure REST predict on kept connections."""

    def ask() -> Callable[[], object]:
        client = place.connection()

        def one() -> object:
            client.request("POST", path, body)
            answer = client.getresponse()
            data = answer.read()
            assert answer.status == 200, data
            return data

        return one

    return load(place, count, CHANNELS, ask)


def requests_of(name: str) -> tuple[bytes, bytes]:
    """Return the gRPC and the REST request for a model."""
    array = np.array([1, 2, 5], np.float32) if name == "tiny" else np.ones(IMAGE, np.float32)
    body = json.dumps({"inputs": array.tolist()}).encode()
    return encode_predict_request({"x": array}, ModelSpec(name=name)), body


def add(report: Report, what: str, measured: Measured) -> None:
    """Add one kind of request to the report."""
    report.add(f"{what}: requests per CPU-second", measured.per_cpu_s, "1/s")
    report.add(f"{what}: CPU per request", 1e6 / measured.per_cpu_s, "us")
    report.add(f"{what}: requests per second", measured.per_s, "1/s")
    report.add(f"{what}: latency p50", measured.p50_ms, "ms")
    report.add(f"{what}: latency p99", measured.p99_ms, "ms")


def main() -> int:
    """Measure both models over both interfaces, and the bare handler."""
    report = Report("serving", command="python bench/serving.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tls(folder)
        write_models(folder)
        for model, count, channels in (("tiny", TINY, CHANNELS), ("image", LARGE, 2)):
            rpc, body = requests_of(model)
            words = ["-m", "strongroom", "serve", f"--model_name={model}", f"--model_base_path={folder / model}",
                     f"--ssl_config_file={folder / 'ssl.cfg'}", "--tensorflow_intra_op_parallelism=1"]  # fmt: skip
            with two_ports() as ports:
                flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
                with running([*words, *flags], ports, folder) as place:
                    served = over_grpc(place, count, rpc, [place.channel() for _ in range(channels)])
                    rest = over_rest(place, count if model == "tiny" else 40, body, f"/v1/models/{model}:predict")
            with two_ports() as ports, running(["-c", ECHO, str(folder), str(ports[0])], ports, folder) as place:
                bare = over_grpc(place, count, rpc, [place.channel() for _ in range(channels)])
            add(report, f"{model} gRPC Predict", served)
            add(report, f"{model} bare grpcio handler", bare)
            add(report, f"{model} REST predict", rest)
            report.add(f"{model} gRPC Predict / bare grpcio handler, by CPU", served.per_cpu_s / bare.per_cpu_s, "x")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
