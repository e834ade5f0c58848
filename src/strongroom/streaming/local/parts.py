"""Run a queue's parts as children: Redis first, then workers and front; end all of them, by their ids, in any case.

World: processes. A child that ends by itself ends everything, with its own words: a queue of half its parts helps
nobody. Children end with this process, whatever happens to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final

from strongroom.clusterserving.access import Role, user_name
from strongroom.errors import BadInput, Unreachable
from strongroom.pki import disk
from strongroom.streaming.leash import leashed
from strongroom.streaming.link.queue import Queue
from strongroom.streaming.link.server import LOOPBACK, RedisServer
from strongroom.streaming.local.layout import MAX_NOTE_BYTES, Layout

READY_S: Final = 300.0  # loading and warming up a large model takes its time
LOOK_S: Final = 0.1
DRAIN_S: Final = 40.0  # workers take 30 s at most to finish what they have in hand
TAIL_BYTES: Final = 4000
# What a verb prints when it fails: its sentence, what to do, its code.
_FAILURE: Final = re.compile(r"^strongroom: [a-z ]+: ([^\n]+)\n  what to do: ([^\n]+)\n  \[(SR-[A-Z0-9-]+)\]$", re.M)


class PartEnded(Unreachable):
    """A part of the queue (workers, front, Redis) ended, or did not become ready."""

    code = "SR-QUEUE-PART"
    fix = "The sentence has its last words; its log lies in the folder's logs."


class AlreadyRuns(BadInput):
    """The queue of a folder runs already."""

    code = "SR-QUEUE-RUNS"
    fix = "End it with strongroom queue down, or name another --folder."


@dataclass(slots=True)
class Parts:
    """The children that run."""

    layout: Layout
    redis: RedisServer
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    begins: dict[str, int] = field(default_factory=dict)  # where each one's words begin in its log

    def start(self, name: str, words: Sequence[str]) -> None:
        """Start a verb of this program; what it says goes to its log."""
        with self.layout.log(name).open("ab") as log:
            self.begins[name] = log.tell()
            self.children[name] = subprocess.Popen(
                leashed([sys.executable, "-m", "strongroom", *words]), cwd=self.layout.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, umask=0o077,
            )  # fmt: skip

    def check(self) -> None:
        """Raise PartEnded where a part has ended."""
        if not self.redis.running():
            raise PartEnded(f"Redis ended: {tail(self.layout.home.log)}")
        for name, child in self.children.items():
            if child.poll() is not None:
                raise ended(f"{name} ended with {child.returncode}", self.layout.log(name), self.begins[name])

    def stop(self) -> None:
        """End the children, the last one first, and wait for each."""
        for name in reversed(list(self.children)):
            child = self.children[name]
            if child.poll() is None:
                child.terminate()
        for child in self.children.values():
            try:
                child.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(DRAIN_S)


def ended(what: str, log: Path, begin: int = 0) -> PartEnded:
    """Return the error of a part that ended: with its own sentence and what to do, or else with its last words."""
    found = _FAILURE.findall(_last(log, begin))
    if not found:
        return PartEnded(f"{what}: {tail(log, begin)}")
    sentence, fix, code = found[-1]
    if code == PartEnded.code:  # it tells of a part of its own
        return PartEnded(sentence, fix=fix)
    return PartEnded(f"{what}: {sentence} [{code}]", fix=fix)


def tail(log: Path, begin: int = 0) -> str:
    """Return the last words of a log."""
    return " ".join(_last(log, begin).strip().splitlines()[-4:])[-600:]


def _last(log: Path, begin: int) -> str:
    return log.read_bytes()[begin:][-TAIL_BYTES:].decode("utf-8", "replace") if log.exists() else ""


@contextlib.contextmanager
def running(
    layout: Layout, stop: threading.Event, *, workers: int = 1, compat: int | None = None, front: bool = True
) -> Iterator[Parts]:
    """Run the queue; it answers when this begins, and nothing of it is left when this ends.

    Raises AlreadyRuns, PartEnded, RedisNotStarted, NoRedisServer. `stop` ends the wait for readiness.
    """
    check_free(layout.note)
    with RedisServer(layout.home) as redis:
        parts = Parts(layout, redis)
        try:
            words = ["queue", "serve", "-c", str(layout.config("worker")), "--workers", str(workers)]
            if workers:
                parts.start("workers", words if compat is None else [*words, "--compat", str(compat)])
            if front:
                parts.start("front", front_words(layout))
            _note(layout, ready=False)
            if workers:  # those of elsewhere may come at any time
                _wait(parts, stop, front=front)
            else:
                parts.check()
            _note(layout, ready=True)
            yield parts
        finally:
            parts.stop()
            layout.note.unlink(missing_ok=True)


def front_words(layout: Layout) -> list[str]:
    """Return the front's command line: loopback, TLS, callers with a certificate of the queue's CA."""
    return [
        "queue", "frontend", "-c", str(layout.config("frontend")), "--interface", LOOPBACK[1],
        "--securePort", str(layout.front_port), "--httpsKeyStorePath", str(layout.front_certificate),
        "--httpsKeyPath", str(layout.front_key), "--httpsClientCaPath", str(layout.home.ca_file),
    ]  # fmt: skip


def _wait(parts: Parts, stop: threading.Event, *, front: bool) -> None:
    layout = parts.layout
    with Queue(layout.home.place(Role.PROBE), layout.home.job) as queue:
        waited = 0.0
        while not stop.is_set():
            parts.check()
            if any(each.alive for each in queue.workers()) and (not front or _front_is_ready(layout)):
                return
            if waited >= READY_S:
                raise PartEnded(f"nothing was ready after {READY_S:.0f} s: {tail(layout.log('workers'))}")
            stop.wait(LOOK_S)
            waited += LOOK_S


def _front_is_ready(layout: Layout) -> bool:
    """Return whether the front says that it is ready: Redis, group and a live worker are there."""
    own = layout.home.folder / "users" / user_name(Role.CLIENT)
    context = ssl.create_default_context(cafile=str(layout.home.ca_file))
    context.load_cert_chain(f"{own}.crt", f"{own}.key")
    connection = HTTPSConnection(LOOPBACK[1], layout.front_port, timeout=5, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _note(layout: Layout, *, ready: bool) -> None:
    known = {"pid": os.getpid(), "started": started(os.getpid()), "ready": ready}
    disk.replace_private(layout.note, json.dumps(known).encode())


def started(pid: int) -> str:
    """Return when a process began, as the kernel counts: pids come again, pid and start together do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_ready(note: Path, pid: int) -> bool:
    """Return whether the queue that a process runs has said that it is ready."""
    try:
        known = json.loads(note.read_bytes()[:MAX_NOTE_BYTES])
        return bool(known["pid"] == pid and known["ready"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_free(note: Path) -> None:
    """Raise AlreadyRuns where the process of a note lives."""
    pid, began = _noted(note)
    if began and started(pid) == began:
        raise AlreadyRuns(f"process {pid} runs the queue of {note.parent}")


def _noted(note: Path) -> tuple[int, str]:
    """Return the process of a note and when it began; no start for no note."""
    try:
        known = json.loads(note.read_bytes()[:MAX_NOTE_BYTES])
        return int(known["pid"]), str(known["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


def end(note: Path) -> bool:
    """End the queue that a note names; return whether it ran. Returns once its process is gone."""
    pid, began = _noted(note)
    if not began or started(pid) != began:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    pause = threading.Event()
    for _ in range(int(2 * DRAIN_S / LOOK_S)):
        if started(pid) != began:
            return True
        pause.wait(LOOK_S)
    raise PartEnded(f"process {pid} does not end")
