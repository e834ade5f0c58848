"""Start a Flink cluster with TLS on this machine, and end it again.

World: processes, files, sockets. All ports are on the loopback address and free ones; the REST API wants a client's
certificate. Passwords are random, and stand in 0600 files of a 0700 folder alone (D13, D20; threat DP-05).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput, Unreachable
from strongroom.pki import disk
from strongroom.ports import free_ports
from strongroom.serving.operations import detached
from strongroom.serving.operations.detached import Started
from strongroom.streaming.flink import processes, settings
from strongroom.streaming.flink.folder import RECORD, ClusterFolder, NoCluster, Running
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.rest import FlinkAway, Place, Rest
from strongroom.streaming.flink.stores import make_identities

START_S: Final = 180.0
MAX_TASK_MANAGERS: Final = 64
_ASK_AGAIN_S: Final = 0.25  # each time costs Java a handshake
_TRIES: Final = 3  # a free port may be somebody else's by the time Java takes it
_NAMES: Final = [settings.REST_NAME, settings.LOOPBACK]


class ClusterRuns(BadInput):
    """A Flink cluster runs from this folder already."""

    code = "SR-FLINK-RUNS"
    fix = "Use it as it is, end it with strongroom flink down, or name another folder with --dir."


class ForeignFolder(BadInput):
    """The folder for a cluster holds something else."""

    code = "SR-FLINK-FOLDER"
    fix = "Name a folder that does not exist or is empty; strongroom flink down removes what it holds."


class ClusterDied(Unreachable):
    """A process of the Flink cluster ended before the cluster was ready."""

    code = "SR-FLINK-DIED"
    fix = "The last lines of its log are above; memory that is too small and ports in use are the usual reasons."


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a cluster is, and further options of Flink's."""

    task_managers: int = 1
    slots: int = 2
    rest_port: int = 0  # 0: a free one
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that answers."""

    folder: ClusterFolder
    running: Running

    @property
    def place(self) -> Place:
        """Its REST API."""
        return Place(settings.REST_NAME, self.running.rest_port, self.folder.tls)

    def rest(self) -> Rest:
        """Return its REST API to ask."""
        return Rest(self.place)

    @classmethod
    def of(cls, folder: Path) -> Cluster:
        """Return the cluster that was started in a folder. Raises NoCluster."""
        found = ClusterFolder(folder)
        running = found.read()
        if not any(detached.alive(each) for each in running.processes):
            raise NoCluster(f"the cluster of {folder} has ended; its logs are in {found.logs}")
        return cls(folder=found, running=running)


def up(path: Path, home: FlinkHome, size: Size, *, said: Callable[[str], object] = lambda _: None) -> Cluster:
    """Start a cluster and wait until its task managers have registered.

    Raises ClusterRuns, ForeignFolder, ClusterDied, FlinkAway.
    """
    folder = ClusterFolder(path.absolute())
    _make_room(folder)
    empty = Running(rest_port=0, environment=str(home.environment), processes=())
    disk.replace_private(folder.record, empty.to_json())  # from now on, what is here is ours to remove
    identities = make_identities(_NAMES, now=datetime.now(UTC))
    folder.fill(identities, home)
    for attempt in range(1, _TRIES + 1):
        rpc_port, other = free_ports(2, settings.LOOPBACK)
        rest_port = size.rest_port or other
        layout = settings.Layout(
            rpc_port=rpc_port, rest_port=rest_port, logs=str(folder.logs), scratch=str(folder.scratch),
            state=str(folder.path / "state"), python=str(home.python), slots=size.slots, options=size.options,
        )  # fmt: skip
        folder.configure(identities, layout)
        started: list[Started] = []
        try:
            _start(folder, home, size, rest_port, started)
            cluster = Cluster(folder=folder, running=folder.read())
            _await(cluster, size, said)
        except ClusterDied as problem:
            detached.stop(started[::-1], sessions=True)
            if attempt == _TRIES or size.rest_port or "BindException" not in problem.sentence:
                raise
        except BaseException:
            detached.stop(started[::-1], sessions=True)
            raise
        else:
            return cluster
    raise AssertionError("the last attempt returns or raises")


def down(path: Path, *, keep_logs: bool = False) -> int:
    """End a cluster and remove its folder; return how many of its processes still ran. Raises NoCluster."""
    folder = ClusterFolder(path.absolute())
    running = folder.read()
    managers = [each for each in running.processes if each.role != "jobmanager"]
    everybody = managers + [each for each in running.processes if each.role == "jobmanager"]
    ran = detached.stop(everybody, sessions=True)  # with the Python workers of task managers that were killed
    for entry in folder.path.iterdir():
        if keep_logs and entry == folder.logs:
            continue
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if not keep_logs:
        folder.path.rmdir()
    return ran


def _make_room(folder: ClusterFolder) -> None:
    """Make the folder; take over what an ended cluster left there, and nothing else."""
    path = folder.path
    if (path / RECORD).is_file():
        if any(detached.alive(each) for each in folder.read().processes):
            raise ClusterRuns(f"a cluster runs from {path}")
        down(path)
    if path.exists() and (not path.is_dir() or any(each.name != "log" for each in path.iterdir())):
        raise ForeignFolder(f"{path} is not empty, and holds no Flink cluster")
    shutil.rmtree(path / "log", ignore_errors=True)
    path.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    path.chmod(disk.SECRET_FOLDER_MODE)


def _start(folder: ClusterFolder, home: FlinkHome, size: Size, rest_port: int, started: list[Started]) -> None:
    """Start all processes at once, and record each at once: what is not recorded could not be ended."""
    for number in range(1 + size.task_managers):
        role, script = ("taskmanager", "taskmanager.sh") if number else ("jobmanager", "jobmanager.sh")
        variables = processes.environment(home, folder.configuration(role), folder.logs)
        output = folder.logs / f"start-{role}-{number}.out"
        started.append(detached.start(role, [home.program(script), "start-foreground"], variables, output))
        running = Running(rest_port=rest_port, environment=str(home.environment), processes=tuple(started))
        disk.replace_private(folder.record, running.to_json())


def _await(cluster: Cluster, size: Size, said: Callable[[str], object]) -> None:
    """Ask until every task manager has registered; a process that ended ends the wait at once."""
    deadline = time.monotonic() + START_S
    rest = cluster.rest()
    answered = False
    while True:
        dead = [each for each in cluster.running.processes if not detached.alive(each)]
        if dead:
            raise ClusterDied(f"the {dead[0].role} has ended: {last_words(cluster.folder)}")
        try:
            there = rest.get("/overview").get("taskmanagers")
            if not answered:
                said("the job manager answers")
            answered = True
            if there == size.task_managers:
                return
        except FlinkAway:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise FlinkAway(f"after {START_S:.0f} s not all of {size.task_managers} task managers have registered")
        time.sleep(_ASK_AGAIN_S)


def last_words(folder: ClusterFolder, *, lines: int = 12) -> str:
    """Return the last errors in the logs, for a person."""
    found: list[str] = []
    for log in sorted(folder.logs.iterdir()):
        text = log.read_text(encoding="utf-8", errors="replace")[-65536:]
        found += [line for line in text.splitlines() if "ERROR" in line or "Exception" in line][-lines:]
    return "\n".join(line[:300] for line in found[-lines:]) or f"its logs in {folder.logs} hold no error"
