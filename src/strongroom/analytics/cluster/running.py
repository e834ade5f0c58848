"""Bring a prepared cluster up on this host, and end it.

World: processes, and the logs of Spark's daemons.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from strongroom.analytics.cluster import programs
from strongroom.analytics.cluster.cluster import RECORD, Cluster
from strongroom.errors import Unreachable
from strongroom.pki import disk
from strongroom.serving.operations import detached
from strongroom.serving.operations.detached import Started

START_S: Final = 240.0  # JVMs on a busy machine take their time
_LOOK_S: Final = 0.2
_TAIL_BYTES: Final = 4000
_MAX_LOG_BYTES: Final = 1 << 20
_SAYS: Final = {
    programs.MASTER: b"I have been elected leader",
    programs.WORKER: b"Successfully registered with master",
}


class ClusterNotUp(Unreachable):
    """A Master or Worker ended, or did not become ready."""

    code = "SR-SPARK-CLUSTER"
    fix = "The sentence has its last words. Where the broker refused, the owner sees why: strongroom ledger show."


def up(cluster: Cluster, *, said: Callable[[str], object] = lambda _: None) -> Cluster:
    """Start what is prepared and wait until all Workers have registered; if it runs, do nothing.

    Raises ClusterNotUp.
    """
    if cluster.runs:
        return cluster
    detached.stop(cluster.alive)
    started: list[Started] = []
    workers = [f"{programs.WORKER}-{number}" for number in range(1, cluster.record.settings.workers + 1)]
    try:
        if not cluster.record.settings.join:
            _launch(cluster, programs.MASTER, programs.MASTER, started)
            _await(cluster, started[0], programs.MASTER, said)
        for name in workers:
            _launch(cluster, programs.WORKER, name, started)
        for process in started[-len(workers) :]:
            _await(cluster, process, programs.WORKER, said)
    except BaseException:
        detached.stop(started[::-1])
        raise
    return Cluster.of(cluster.folder)


def down(folder: Path) -> int:
    """End a cluster and remove its folder; return how many of its processes still ran. Raises NoSparkCluster."""
    cluster = Cluster.of(folder)
    workers = [each for each in cluster.record.processes if each.role != programs.MASTER]
    ran = detached.stop(workers + [each for each in cluster.record.processes if each.role == programs.MASTER])
    for name in (programs.CA, programs.JAR, programs.PAGES_JAR, programs.ROLL_CALL, programs.EVENTS):
        (cluster.folder / name).unlink(missing_ok=True)
    for name in ("programs", "launches", "java"):
        shutil.rmtree(cluster.folder / name, ignore_errors=True)
    (cluster.folder / RECORD).unlink()
    if not any(cluster.folder.iterdir()):
        cluster.folder.rmdir()
    return ran


def _launch_folder(cluster: Cluster, role: str, name: str) -> Path:
    folder = cluster.folder / "launches" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    shutil.copy(cluster.program(role), folder / programs.PROGRAM)
    return folder


def _launch(cluster: Cluster, role: str, name: str, started: list[Started]) -> None:
    settings, folder = cluster.record.settings, _launch_folder(cluster, role, name)
    told = {} if settings.world else programs.environment(settings, role, str(cluster.folder / "java"))
    variables = detached.kept_environment("XDG_DATA_HOME") | dict(told)
    command = programs.launch(settings, role, str(folder))
    started.append(detached.start(name, command, variables, folder / "log", folder=folder))
    disk.replace_private(cluster.folder / RECORD, replace(cluster.record, processes=tuple(started)).to_json())


def _await(cluster: Cluster, process: Started, role: str, said: Callable[[str], object]) -> None:
    log = cluster.folder / "launches" / process.role / "log"
    pause, waited = threading.Event(), 0.0
    while _SAYS[role] not in disk.read_bounded(log, limit=_MAX_LOG_BYTES):
        if not detached.alive(process):
            raise ClusterNotUp(f"{process.role} ended: {_tail(log)}")
        if waited >= START_S:
            raise ClusterNotUp(f"{process.role} was not ready after {START_S:.0f} s: {_tail(log)}")
        pause.wait(_LOOK_S)
        waited += _LOOK_S
    said(f"{process.role} is ready")


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
    return " ".join(text.strip().splitlines()[-4:])[-600:]
