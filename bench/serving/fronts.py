"""The servers of the bench: ours with each of its fronts, the grpcio reference, and the peers; how each is started."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serving.environments import PINS, PeerMissing, environment
from serving.load import Target, WrongAnswer, ask
from serving.models import Model
from serving.processes import Server, running
from serving.requests import (
    INFER_PATH,
    PREDICT_PATH,
    check_infer,
    check_predict,
    infer_message,
    predict_message,
)
from serving.tls_files import Transport, client_context
from strongroom.ports import free_ports
from strongroom.serving.http2 import implementations

READY_TIMEOUT_S: Final = 90.0
HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Start:
    """What starts a server: its command line, and what it finds in its environment."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


Starter = Callable[[Model, Transport, Path, tuple[int, ...]], Start]


@dataclass(frozen=True)
class Front:
    """A server of the bench. `v2`: it speaks the V2 protocol; `batched`: its models have a batch dimension."""

    name: str
    title: str
    start: Starter
    transports: tuple[Transport, ...] = tuple(Transport)
    v2: bool = False
    batched: bool = False

    def target(self, model: Model, transport: Transport, folder: Path, port: int) -> Target:
        """Return what to ask this server, and how it has to answer."""
        return Target(
            port=port,
            context=client_context(folder, transport, "h2"),
            path=INFER_PATH if self.v2 else PREDICT_PATH,
            message=infer_message(model, batch=self.batched) if self.v2 else predict_message(model),
            check=check_infer(model) if self.v2 else check_predict(model),
            connections=model.connections,
            streams=model.streams,
        )

    @contextmanager
    def serving(self, model: Model, transport: Transport, folder: Path) -> Iterator[tuple[Server, Target]]:
        """Run the server with one model until the block ends, from its first right answer on. Raises PeerMissing."""
        ports = free_ports(3)
        start = self.start(model, transport, folder, ports)
        with running(start.words, ports, environment=start.environment, folder=folder) as server:
            target = self.target(model, transport, folder, ports[0])
            wait_until(lambda: ask(target, 1))
            yield server, target


def wait_until(attempt: Callable[[], object]) -> None:
    """Try until the answer is right: a port may be open before its model is there. Raises PeerMissing."""
    until = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            attempt()
        except WrongAnswer as problem:
            if time.monotonic() > until:
                raise PeerMissing(f"no right answer: {problem}") from None
            time.sleep(0.2)
        else:
            return


def ours(*flags: str, codec: str = "", program: Sequence[str] = ("-m", "strongroom")) -> Starter:
    """Return a starter of `strongroom serve` with flags of its own, and the HTTP/2 codec that it will find."""

    def start(model: Model, transport: Transport, folder: Path, ports: tuple[int, ...]) -> Start:
        if codec and codec not in implementations():
            raise PeerMissing(f"HTTP/2 by {codec} is not there: it was not built, or libnghttp2 is missing")
        tls = "--insecure" if transport is Transport.PLAIN else f"--ssl_config_file={folder / transport.lower()}.cfg"
        words = ["--model_name", model.name, "--model_base_path", str(model.write(folder)), tls, *flags]
        threads = f"--tensorflow_intra_op_parallelism={model.threads}"
        listen = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--file_system_poll_wait_seconds=0"]
        return Start([sys.executable, *program, "serve", *words, threads, *listen])

    return start


def grpcio_sync(model: Model, transport: Transport, folder: Path, ports: tuple[int, ...]) -> Start:
    """Start the reference: grpcio as one usually writes it."""
    file = model.write(folder) / "1" / "model.onnx"
    words = [str(HERE / "reference_grpcio.py"), str(file), str(ports[0]), transport.value, str(folder)]
    return Start([sys.executable, *words, str(model.threads)])


def triton(model: Model, transport: Transport, folder: Path, ports: tuple[int, ...]) -> Start:
    """Start nvidia-pytriton's Triton. Raises PeerMissing."""
    file = model.write(folder) / "1" / "model.onnx"
    shape = ",".join(map(str, model.example_shape))
    numbers = [*map(str, ports), transport.value, str(folder), str(model.threads), shape]
    return Start([str(environment("triton")), str(PINS / "triton_server.py"), str(file), *numbers])


def mlserver(model: Model, _transport: Transport, folder: Path, ports: tuple[int, ...]) -> Start:
    """Start MLServer with its models in its own process, which is its best case. Raises PeerMissing."""
    python, home = environment("mlserver"), folder / f"mlserver-{ports[0]}"
    (home / "model").mkdir(parents=True)
    grpc, http, metrics = ports
    settings: dict[str, object] = {"parallel_workers": 0, "grpc_port": grpc, "http_port": http, "metrics_port": metrics}
    settings |= {"host": "127.0.0.1", "debug": False, "metrics_endpoint": None}
    extra = {"path": str(model.write(folder) / "1" / "model.onnx"), "threads": model.threads}
    about = {"name": model.name, "implementation": "mlserver_runtime.OnnxModel", "parameters": {"extra": extra}}
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model" / "model-settings.json").write_text(json.dumps(about))
    shutil.copy(PINS / "mlserver_runtime.py", home / "model")
    return Start([str(python.with_name("mlserver")), "start", str(home)])


OURS: Final = (
    Front("ours-c", "strongroom, C codec", ours("--rpc=fast", codec="compiled")),
    Front(
        "ours-cffi",
        "strongroom, cffi codec",
        ours("--rpc=fast", codec="cffi", program=(str(HERE / "without_compiled.py"),)),
    ),
    Front("ours-grpcio", "strongroom --rpc=grpcio", ours("--rpc=grpcio")),
)
BEST: Final = OURS[0] if "compiled" in implementations() else OURS[1]
REFERENCE: Final = Front("grpcio-sync", "grpcio sync, raw bytes", grpcio_sync)
TRITON: Final = Front(
    "triton", "Triton (Python backend)", triton, (Transport.PLAIN, Transport.MTLS), v2=True, batched=True
)
MLSERVER: Final = Front("mlserver", "MLServer", mlserver, (Transport.PLAIN,), v2=True)
FRONTS: Final = (*OURS, REFERENCE, TRITON, MLSERVER)
