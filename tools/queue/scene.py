"""A queue on this machine for measuring and breaking: a Redis of one's own, a model, workers as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError

from onnx import TensorProto, helper

from strongroom.clusterserving.access import Role, User, user_name
from strongroom.clusterserving.names import Job
from strongroom.ports import free_port
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.server import Home, RedisServer, new_password

START_S: Final = 120.0
STOP_S: Final = 40.0


def linear(inputs: int = 4, outputs: int = 3) -> bytes:
    """Return y = 2x's first numbers + 1 as ONNX, for a batch of vectors: a cheap model whose answer tells its input."""
    weights = [2.0 if row == column else 0.0 for row in range(inputs) for column in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["t", "w"], ["h"]), helper.make_node("Add", ["h", "one"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [inputs, outputs], weights),
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@dataclass(slots=True)
class Worker:
    """One `strongroom queue serve`, and where it tells its health."""

    process: subprocess.Popen[bytes]
    health_port: int

    def end(self) -> float:
        """Let it drain and end; return how many seconds that took. It is killed where it does not."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began


@dataclass(slots=True)
class Front:
    """One `strongroom queue frontend`, and what its callers need."""

    process: subprocess.Popen[bytes]
    port: int
    ca_file: str
    cert_file: str
    key_file: str


class Neighbour(Home):
    """Another job in the Redis of a home, with users of its own."""

    def place(self, role: Role | str, client: str | None = None) -> Place:
        """Return where it is, for who has a role there."""
        place = super().place(role, client)
        return replace(place, user=f"{place.user}-2", password_file=str(self.folder / "users" / f"{place.user}-2"))


@dataclass(slots=True)
class Scene:
    """A folder, a Redis in it, a model in it; workers come and go. Everything ends with the `with` block."""

    folder: Path
    home: Home
    redis: RedisServer
    model: Path
    keys: dict[str, object] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    fronts: list[Front] = field(default_factory=list)
    python: Sequence[str] = (sys.executable,)

    @classmethod
    def make(
        cls, folder: Path, *, model: bytes | Path | None = None, durable: bool = False, job: str = "bench",
        max_memory: int = 1 << 30, keys: Mapping[str, object] | None = None,
    ) -> Scene:  # fmt: skip
        """Make the folder's contents and start Redis. `keys` go into config.yaml as they are."""
        folder.mkdir(parents=True, exist_ok=True)
        where = folder / "model" if not isinstance(model, Path) else model
        if not isinstance(model, Path):
            where.mkdir()
            (where / "model.onnx").write_bytes(model or linear())
        home = Home.make(folder / "redis", Job(job), now=datetime.now(UTC), durable=durable, max_memory=max_memory)
        return cls(folder, home, RedisServer(home), where, dict(keys or {}))

    def neighbour(self, job: Job) -> Scene:
        """Return another job on the same Redis and model; it ends with this scene, after `stop_workers` of its own."""
        home, users = Neighbour(folder=self.home.folder, job=job, port=self.home.port), []
        for role in (Role.CLIENT, Role.WORKER):
            name = f"{user_name(role)}-2"
            users.append(User(role=role, password_sha256=new_password(home.folder / "users" / name), name=name))
        self.redis.add(job, users)
        folder = self.folder / job.name
        folder.mkdir()
        return Scene(folder, home, self.redis, self.model, dict(self.keys), python=self.python)

    @property
    def job(self) -> Job:
        """The queue."""
        return self.home.job

    def config(self, name: str = "config", *, role: Role = Role.WORKER, **more: object) -> Path:
        """Write the config.yaml of a worker or a front; return its path."""
        place = self.home.place(role)
        values = {
            "modelPath": self.model, "jobName": self.job.name, "redisUrl": place.spelled, "redisUser": place.user,
            "redisPasswordFile": place.password_file, "redisCaFile": place.ca_file, "redisCertFile": place.cert_file,
            "redisKeyFile": place.key_file, **self.keys, **more,
        }  # fmt: skip
        lines = [
            f"{key}: {str(value).lower() if isinstance(value, bool) else value}\n" for key, value in values.items()
        ]
        path = self.folder / f"{name}.yaml"
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def settings(self, **more: object) -> Settings:
        """Return how a client reaches this queue."""
        place = self.home.place("client")
        options = {
            "host": place.host, "port": place.port, "name": self.job.name, "username": place.user,
            "password_file": place.password_file, "ca": place.ca_file, "cert": place.cert_file, "key": place.key_file,
        }  # fmt: skip
        return Settings.of(options | more, form="raw")

    def start_worker(self, number: int, **more: Any) -> Worker:
        """Start a worker process; `await_ready` waits for it."""
        port = free_port("127.0.0.1")
        config = self.config(f"worker-{number}", healthPort=port, consumerName=f"worker-{number}", **more)
        words = [*self.python, "-m", "strongroom", "queue", "serve", "-c", str(config)]
        with (self.folder / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        worker = Worker(process, port)
        self.workers.append(worker)
        return worker

    def start_front(self) -> Front:
        """Start an HTTP front; its callers show the certificate of Redis' client."""
        port, place = free_port("127.0.0.1"), self.home.place(Role.CLIENT)
        front = Front(
            self._front(port), port, *(str(each) for each in (place.ca_file, place.cert_file, place.key_file))
        )
        self.fronts.append(front)
        return front

    def _front(self, port: int) -> subprocess.Popen[bytes]:
        tls, config = self.home.folder / "tls", self.config("front", role=Role.FRONTEND)
        words = [*self.python, "-m", "strongroom", "queue", "frontend", "-c", str(config), "--interface", "127.0.0.1",
                 "--securePort", str(port), "--httpsKeyStorePath", str(tls / "server.crt"),
                 "--httpsKeyPath", str(tls / "server.key"), "--httpsClientCaPath", str(self.home.ca_file)]  # fmt: skip
        with (self.folder / "front.log").open("ab") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_ready(self, worker: Worker) -> None:
        """Wait until a worker takes records. Raises RuntimeError with the log's end."""
        address = f"http://127.0.0.1:{worker.health_port}/readyz"
        end = time.monotonic() + START_S
        while time.monotonic() < end and worker.process.poll() is None:
            try:
                with urllib.request.urlopen(address, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            time.sleep(0.05)
        logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("worker-*.log"))
        raise RuntimeError(f"a worker did not become ready:\n{logs}")

    def stop_workers(self) -> None:
        """Let all workers drain and end."""
        for each in self.workers:
            if each.process.poll() is None:
                each.process.send_signal(signal.SIGTERM)
        for each in self.workers:
            each.end()
        self.workers.clear()

    def close(self) -> None:
        """End everything that was started."""
        for front in self.fronts:
            front.process.terminate()
            front.process.wait(STOP_S)
        self.stop_workers()
        self.redis.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def resident_kib(pid: int) -> int:
    """Return the memory that a running process holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def open_files(pid: int) -> int:
    """Return how many files a running process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a running process has used."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
