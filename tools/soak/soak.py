"""Run the model server for a while under callers, reloads and kills; every answer is checked, every loss explained.

    python tools/soak/soak.py --seconds 600 [--processes 2] [--rpc fast|grpcio]

Versions come, go, arrive half copied and broken; models are added and removed by reload; the configuration file is
rewritten; peers reset connections in the middle; with more than one process, one is killed now and then, which excuses
failures of the next two seconds and nothing else. At the end memory and descriptors are compared with those after the
warm-up. Exit status 1: a wrong answer, a loss that nothing excuses, a leak, or a version served that never was whole.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import callers
import grpc

import models
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import (
    GET_MODEL_STATUS,
    HANDLE_RELOAD_CONFIG,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)

LIMIT_S: Final = 60.0
EXCUSED_S: Final = 6.0
GROWTH: Final = 1.25  # of resident memory after the warm-up, and 32 MiB
SLACK_KIB: Final = 32 * 1024
AVAILABLE: Final = 30


@dataclass(slots=True)
class Place:
    """A server (and its children), its ports and folders."""

    process: subprocess.Popen[bytes]
    ports: tuple[int, int]
    folder: Path
    log: Path

    def family(self) -> list[int]:
        """Return the server's process and its children's."""
        return [self.process.pid, *children(self.process.pid)]

    def resident_kib(self) -> int:
        """Return the memory of all of them, each page counted once."""
        return sum(_pss_kib(pid) for pid in self.family())

    def descriptors(self) -> int:
        """Return how many files and sockets all of them hold open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.family())


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


@dataclass(slots=True)
class Trouble:
    """What is done to a server while it serves. Each method is one thing; `version` counts up."""

    place: Place
    channel: grpc.Channel
    version: int = 1
    killed_at: float = 0.0
    never: set[int] = field(default_factory=set)  # versions that must not become AVAILABLE
    done: dict[str, int] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """Where the versions lie."""
        return self.place.folder / callers.MODEL

    def swap(self) -> None:
        """Put the next version into place, wait for it, take the one before away."""
        before, self.version = self.version, self.version + 1
        models.put_whole(self.base, self.version, models.half_plus(self.version))
        self._until_available(self.version)
        models.remove(self.base, before)

    def swap_slowly(self) -> None:
        """The same, copied so slowly that the server looks at it many times before it is whole."""
        before, self.version = self.version, self.version + 1
        models.put_slowly(self.base, self.version, models.half_plus(self.version), pause_s=0.25)
        self._until_available(self.version)
        models.remove(self.base, before)

    def break_one(self) -> None:
        """Put a version there that is none; the one before goes on serving."""
        broken = self.version + 1
        self.never.add(broken)
        models.put_whole(self.base, broken, b"\x08\x08 this is no model")
        time.sleep(1.5)
        models.remove(self.base, broken)
        self.version = broken  # its number is used up
        models.put_whole(self.base, self.version + 1, models.half_plus(self.version + 1))
        self.version += 1
        self._until_available(self.version)
        for path in self.base.iterdir():
            if path.name.isdecimal() and int(path.name) < self.version:
                models.remove(self.base, int(path.name))

    def reload(self) -> None:
        """Add a model by reload, then remove it."""
        for names in ((callers.MODEL, "other"), (callers.MODEL,)):
            request = ReloadConfigRequest()
            for name in names:
                request.config.model_config_list.config.add(
                    name=name, base_path=str(self.place.folder / name), model_platform="tensorflow"
                )
            answer = ReloadConfigResponse.FromString(self._call(HANDLE_RELOAD_CONFIG, request))
            if answer.status.error_code:
                raise RuntimeError(f"reload: {answer.status.error_message}")

    def rewrite(self) -> None:
        """Write the configuration file anew, once broken: the server keeps what it had."""
        path = self.place.folder / "models.config"
        good = path.read_text()
        path.write_text("model_config_list { config { nonsense")
        time.sleep(1.2)
        path.write_text(good)

    def kill(self) -> None:
        """Kill one of several processes without a word; its parent has to replace it."""
        found = children(self.place.process.pid)
        if len(found) < 2:
            return
        served = self._starts()
        self.killed_at = time.monotonic()
        victim = random.choice(found)  # noqa: S311  # any of them
        os.kill(victim, signal.SIGKILL)
        _until(lambda: self._starts() > served, "another process serves in place of the killed one")

    def _starts(self) -> int:
        """Return how many processes have begun to serve."""
        return self.place.log.read_text().count("Entering the event loop")

    def excused(self) -> bool:
        """Whether a request may have been lost to a kill."""
        return time.monotonic() - self.killed_at < EXCUSED_S

    def _call(self, path: str, request: ProtoMessage) -> bytes:
        call = self.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        return bytes(call(request.SerializeToString(), timeout=LIMIT_S, wait_for_ready=True))

    def _until_available(self, version: int) -> None:
        _until(lambda: version in self._available(), f"version {version} is AVAILABLE")

    def _available(self) -> set[int]:
        request = GetModelStatusRequest()
        request.model_spec.name = callers.MODEL
        answer = GetModelStatusResponse.FromString(self._call(GET_MODEL_STATUS, request))
        found = {row.version for row in answer.model_version_status if row.state == AVAILABLE}
        if found & self.never:
            raise RuntimeError(f"versions {sorted(found & self.never)} are served and never were whole")
        return found


def _until(wanted: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + LIMIT_S
    while not wanted():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {LIMIT_S:g} s: {what}")
        time.sleep(0.05)


def start(stack: ExitStack, *, processes: int, rpc: str) -> Place:
    """Start a server on two free ports with two models' folders."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-soak-")))
    for name in (callers.MODEL, "other"):
        (folder / name).mkdir()
        models.put_whole(folder / name, 1, models.half_plus(1))
    entry = f'config {{ name: "{callers.MODEL}" base_path: "{folder / callers.MODEL}" model_platform: "tensorflow" }}'
    (folder / "models.config").write_text(f"model_config_list {{ {entry} }}\n")
    ports = []
    for _ in range(2):
        holder = stack.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        ports.append(holder.getsockname()[1])
    words = [sys.executable, "-m", "strongroom", "serve", "--insecure",
             f"--port={ports[0]}", f"--rest_api_port={ports[1]}",
             f"--model_config_file={folder / 'models.config'}", "--model_config_file_poll_wait_seconds=1",
             f"--rpc={rpc}", *([f"--processes={processes}"] if processes > 1 else [])]  # fmt: skip
    log = folder / "server.log"
    process = stack.enter_context(subprocess.Popen(words, stderr=stack.enter_context(log.open("wb"))))
    stack.callback(process.terminate)
    _until(lambda: log.read_text().count("Entering the event loop") >= processes or process.poll() is not None, "start")
    if process.poll() is not None:
        raise RuntimeError(log.read_text())
    return Place(process, (ports[0], ports[1]), folder, log)


def soak(place: Place, *, seconds: float, processes: int) -> list[str]:
    """Do it; return what was wrong."""
    with grpc.insecure_channel(f"127.0.0.1:{place.ports[0]}") as channel:
        trouble = Trouble(place, channel)
        tally = callers.Tally(trouble.excused)
        stop = threading.Event()
        threads = [threading.Thread(target=work, args=(port, tally, stop)) for work, port in (
            (callers.by_grpc, place.ports[0]), (callers.by_grpc, place.ports[0]), (callers.by_rest, place.ports[1]),
            (callers.rude, place.ports[0]), (callers.rude, place.ports[1]))]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            problems = _trouble_for(trouble, tally, seconds=seconds, processes=processes)
        finally:
            stop.set()
            for thread in threads:
                thread.join(LIMIT_S)
    return [*problems, *tally.faults]


def _trouble_for(trouble: Trouble, tally: callers.Tally, *, seconds: float, processes: int) -> list[str]:
    place, problems = trouble.place, []
    acts = [trouble.swap, trouble.reload, trouble.break_one, trouble.rewrite, trouble.swap_slowly]
    if processes > 1:
        acts.append(trouble.kill)
    ends, warm, round_number = time.monotonic() + seconds, None, 0
    while time.monotonic() < ends:
        for act in acts:
            act()
            trouble.done[act.__name__] = trouble.done.get(act.__name__, 0) + 1
        if warm is None:
            warm = place.resident_kib(), place.descriptors()
        round_number += 1
        now = place.resident_kib(), place.descriptors()
        sys.stderr.write(f"soak: round {round_number}, {dict(tally.answers)}, memory {now[0] // 1024} MiB, "
                         f"descriptors {now[1]}, faults {len(tally.faults)}\n")  # fmt: skip
    time.sleep(1.0)
    now = place.resident_kib(), place.descriptors()
    if warm is not None and now[0] > warm[0] * GROWTH + SLACK_KIB:
        problems.append(f"memory grew from {warm[0] // 1024} to {now[0] // 1024} MiB")
    if warm is not None and now[1] > warm[1] + 40:
        problems.append(f"descriptors grew from {warm[1]} to {now[1]}")
    sys.stdout.write(f"answers {dict(tally.answers)}\nexcused {dict(tally.excuses)}\ntrouble {trouble.done}\n")
    if warm is not None:
        sys.stdout.write(f"memory {warm[0] // 1024} -> {now[0] // 1024} MiB, descriptors {warm[1]} -> {now[1]}\n")
    return problems


def main() -> int:
    """Soak; return 0 where nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rpc", default="auto")
    args = parser.parse_args()
    with ExitStack() as stack:
        place = start(stack, processes=args.processes, rpc=args.rpc)
        problems = soak(place, seconds=args.seconds, processes=args.processes)
        place.process.terminate()
        status = place.process.wait(LIMIT_S)
        if status:
            problems.append(f"the server ended with status {status}")
        if "Traceback" in place.log.read_text():
            problems.append("the log holds a traceback:\n" + place.log.read_text()[-4000:])
    for problem in problems[:20]:
        sys.stdout.write(f"FAULT {problem}\n")
    sys.stdout.write(f"soak: {len(problems)} faults\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
