"""The original Cluster Serving server, as published, beside ours: an optional peer of bench/cluster_serving.py.

    python bench/peers/cluster_serving_original.py install --into DIR
    python bench/peers/cluster_serving_original.py run --from DIR [--records N]

`install` takes about 1 GB and needs javac; `run` needs redis-server and .venv-original (tools/setup.sh all) and prints
JSON. The server runs as it is configured by default, at its fastest for small records: no TLS, on loopback, one copy of
the model, in Flink 1.11 on Java 11.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster_serving_install import HERE, LOCAL, MAIN_CLASS, PeerMissing, classpath, install, installed, java, say

from strongroom.ports import free_ports

CLIENT: Final = HERE / "cluster_serving_client.py"
PYTHON: Final = HERE.parents[1] / ".venv-original" / "bin" / "python"
STUBS: Final = HERE.parents[1] / "tests" / "original" / "stubs"
JOB: Final = "serving_stream"
FIRST: Final = 100
START_S: Final = 300.0
STOP_S: Final = 20.0
MEASURE_S: Final = 900.0
# Flink's entry points; its scripts do no more than to compute what flink-conf.yaml says below.
JOB_MANAGER: Final = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER: Final = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
COMMAND_LINE: Final = "org.apache.flink.client.cli.CliFrontend"
# The day-long heartbeat lets it be stopped while others are measured.
FLINK: Final = """\
jobmanager.rpc.address: 127.0.0.1
jobmanager.bind-host: 127.0.0.1
jobmanager.rpc.port: {rpc}
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: 1
taskmanager.cpu.cores: 1
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.managed.size: 16m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
classloader.resolve-order: parent-first
heartbeat.timeout: 86400000
io.tmp.dirs: {folder}/tmp
"""
LOGGING: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c - %m%n
"""
SERVING: Final = """\
modelPath: {model}
jobName: {job}
modelParallelism: 1
threadPerModel: 1
redisUrl: 127.0.0.1:{redis}
flinkRestUrl: 127.0.0.1:{rest}
"""


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds that a running process has used."""
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Original:
    """Redis, Flink and the serving job; stopped but while it is measured. Everything ends with the `with` block."""

    source: Path
    folder: Path
    redis_port: int
    rest_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(cls, source: Path | None) -> Iterator[Self]:
        """Start it from an installed folder, None if there is none. Raises PeerMissing."""
        if source is None:
            raise PeerMissing("the original's server, as no folder with it is named")
        installed(source)
        if shutil.which("redis-server") is None or not PYTHON.exists():
            raise PeerMissing("redis-server or .venv-original is not here: tools/setup.sh all installs both")
        with tempfile.TemporaryDirectory(prefix="original-") as name:
            redis, rest, rpc = free_ports(3)
            original = cls(source.resolve(), Path(name), redis, rest)
            try:
                original.configure(rpc)
                original.start()
                yield original
            finally:
                original.stop()

    def configure(self, rpc_port: int) -> None:
        """Write its configuration."""
        (self.folder / "tmp").mkdir()
        values = {"folder": self.folder, "rpc": rpc_port, "rest": self.rest_port, "redis": self.redis_port}
        (self.folder / "flink-conf.yaml").write_text(FLINK.format(**values))
        (self.folder / "log4j.properties").write_text(LOGGING)
        (self.folder / "config.yaml").write_text(SERVING.format(**values, model=self.source / "model", job=JOB))

    def start(self) -> None:
        """Start Redis and Flink, submit the job, and let all rest when it has answered. Raises PeerMissing."""
        say("starting")
        redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.redis_port), "--save", "", "--dir"]
        self.spawn("redis", [*redis, str(self.folder)])
        options = ["--configDir", str(self.folder)]
        self.spawn("jobmanager", self.java("256m", JOB_MANAGER, *options, "--executionMode", "cluster"))
        self.spawn("taskmanager", self.java("768m", TASK_MANAGER, *options))
        self.wait("Flink's task manager", lambda: self.rest("/taskmanagers")["taskmanagers"])
        job = [str(self.source / "job.jar"), "--configPath", str(self.folder / "config.yaml")]
        main = MAIN_CLASS.replace("/", ".")
        submit = self.spawn("submit", self.java("256m", COMMAND_LINE, "run", "--detached", "--class", main, *job))
        self.wait("the job", self.tasks_run)
        submit.wait(START_S)
        self.processes.remove(submit)
        say("running; the first records load the model")
        self.measure(FIRST)

    def tasks_run(self) -> bool:
        """Tell whether the job's tasks run; Flink says that a job runs before it has placed them."""
        jobs = [self.rest(f"/jobs/{each['id']}") for each in self.rest("/jobs")["jobs"]]
        return any(all(task["status"] == "RUNNING" for task in job["vertices"]) for job in jobs)

    def java(self, heap: str, program: str, *arguments: str) -> list[str]:
        """Return how one of its programs is started."""
        logging = f"-Dlog4j.configurationFile=file:{self.folder / 'log4j.properties'}"
        words = [java(self.source), f"-Xmx{heap}", LOCAL, f"-Djava.io.tmpdir={self.folder / 'tmp'}", logging]
        return [*words, "-cp", classpath(self.source), program, *arguments]

    def spawn(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        """Start a process; what it says goes into NAME.log."""
        where = {**os.environ, "FLINK_CONF_DIR": str(self.folder)}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=where)
        self.processes.append(process)
        return process

    def rest(self, path: str) -> Any:  # noqa: ANN401  # a JSON tree
        """Ask Flink's REST interface."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def wait(self, what: str, ready: Callable[[], object]) -> None:
        """Wait until `ready` says so. Raises PeerMissing with the logs' ends."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and not any(each.poll() for each in self.processes):
            try:
                if ready():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        logs = "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))
        raise PeerMissing(f"{what} did not start:\n{logs}")

    def signal(self, number: signal.Signals) -> None:
        """Stop or continue its processes. Redis answers what is asked before those who ask look at their clocks."""
        order = self.processes if number == signal.SIGCONT else self.processes[::-1]
        for each in order:
            each.send_signal(number)
            time.sleep(0.1)

    def measure(self, records: int) -> dict[str, float]:
        """Send records with its own client. CPU is of Redis and Flink, a record of all. Raises PeerMissing."""
        words = [str(PYTHON), "-W", "ignore", str(CLIENT), str(self.redis_port), JOB, str(records)]
        self.signal(signal.SIGCONT)
        before = sum(map(cpu_seconds, self.processes))
        try:
            done = subprocess.run(
                words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MEASURE_S,
                env={**os.environ, "PYTHONPATH": str(STUBS)},
            )  # fmt: skip
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
            told = problem.stderr if isinstance(problem.stderr, str) else str(problem)
            raise PeerMissing(f"its client did not get through: {told.strip()[-500:]}") from None
        finally:
            self.signal(signal.SIGSTOP)
        found: dict[str, float] = json.loads(done.stdout)
        spent = sum(map(cpu_seconds, self.processes)) - before
        return found | {"server_cpu_us": 1e6 * spent / found["answered"]}

    def stop(self) -> None:
        """End every process that was started."""
        for each in self.processes[::-1]:
            each.terminate()
            each.send_signal(signal.SIGCONT)
        for each in self.processes[::-1]:
            try:
                each.wait(STOP_S)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


def main() -> int:
    """Install or run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("install", help="fetch and build (1 GB)").add_argument("--into", type=Path, required=True)
    running = verbs.add_parser("run", help="start it, measure, end it")
    running.add_argument("--from", dest="source", type=Path, required=True)
    running.add_argument("--records", type=int, default=4000)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends
    try:
        if arguments.verb == "install":
            install(arguments.into.resolve())
        else:
            with Original.started(arguments.source) as original:
                print(json.dumps(original.measure(arguments.records)))
    except PeerMissing as problem:
        sys.stderr.write(f"skipped: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
