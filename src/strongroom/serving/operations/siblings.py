"""The processes that share a port, as one server: metrics and load summed, a reload taken by all, latecomers told.

They talk over unix sockets in a folder that only this user can enter (0700); each process answers at its own number.
A message is a length and JSON. One reload at a time: whoever gives one, and whoever starts, holds a file lock, which
the kernel takes from a process that dies. World: those sockets and that lock. Source: decision 8, spec
`model-server.md` sections 1 and 9.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, Protocol, Self

from strongroom.errors import StrongroomError, Unreachable
from strongroom.serving.fronts.rest_front import Answer
from strongroom.serving.http1 import Request
from strongroom.serving.operations.load import IN_FLIGHT
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.metrics_text import Family, exposition, summed
from strongroom.serving.requests.model_service import Reloader
from strongroom.serving.status import BadRequest
from strongroom.tfserving import messages
from strongroom.tfserving.descriptors import ProtoMessage

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
ASK_S: Final = 2.0  # for metrics and load: a sibling that hangs is left out
RELOAD_S: Final = 600.0
LOOK_S: Final = 0.02  # between two looks whether the lock is free
MAX_CONFIG_BYTES: Final = MAX_MESSAGE_BYTES // 2  # base64 adds a third
FOLDER: Final = "STRONGROOM_SIBLINGS"
NUMBER: Final = "STRONGROOM_PROCESS"
_log: Final = logging.getLogger(__name__)


class SiblingFailed(Unreachable):
    """A process that shares this server's port did not take a new configuration."""

    code = "SR-SERVE-SIBLING"
    fix = "Send the configuration again; the server's log says what is wrong in that process."


class Routes(Protocol):
    """What answers REST requests."""

    async def answer(self, request: Request) -> Answer:
        """Return the answer; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the sharing processes this is, and where they meet."""

    folder: Path
    number: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """Read the place that a parent gave, None for a server of one process."""
        folder, number = environ.get(FOLDER, ""), environ.get(NUMBER, "")
        return cls(Path(folder), int(number)) if folder and number.isascii() and number.isdecimal() else None

    @property
    def socket(self) -> Path:
        """Where this process answers; it exists while the process serves."""
        return self.folder / f"{self.number}.sock"

    @property
    def lock(self) -> Path:
        """What one process at a time may hold."""
        return self.folder / "reload.lock"

    def others(self) -> list[Path]:
        """Return where the others answer."""
        return [path for path in sorted(self.folder.glob("*.sock")) if path != self.socket]


class Siblings:
    """This process among those that share its port; it is the reloader of all."""

    def __init__(self, place: Place, *, metrics: Metrics, reloader: Reloader) -> None:
        self._place, self._metrics, self._reloader = place, metrics, reloader
        self._config = b""  # the ModelServerConfig of the last reload
        self._heard: list[list[Family]] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take over the configuration that the others have been given since; then answer them."""
        with suppress(FileNotFoundError):
            self._place.socket.unlink()  # of a predecessor that crashed
        async with _held(self._place.lock):  # a reload comes before this or after it
            for path in self._place.others():
                found = await _ask(path, {"ask": "config"}, ASK_S)
                if isinstance(found, dict) and (config := base64.b64decode(found.get("config", ""))):
                    await self._take(config)
                    break
            self._server = await asyncio.start_unix_server(self._answer, self._place.socket)

    async def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        with suppress(FileNotFoundError):
            self._place.socket.unlink()

    def metrics_text(self) -> str:
        """Return what all processes have counted, the others by the last `listen_in`."""
        return exposition(summed([self._metrics.families(), *self._heard]))

    async def listen_in(self) -> None:
        """Ask the others what they have counted."""
        asked = [_ask(path, {"ask": "metrics"}, ASK_S) for path in self._place.others()]
        answers = [answer for answer in await asyncio.gather(*asked) if isinstance(answer, dict)]
        self._heard = [[Family.from_json(each) for each in answer["families"]] for answer in answers]

    async def in_flight(self) -> float:
        """Return how many requests the others hold; one that does not answer is left out."""
        asked = [_ask(path, {"ask": "load"}, ASK_S) for path in self._place.others()]
        return sum(float(answer["load"]) for answer in await asyncio.gather(*asked) if isinstance(answer, dict))

    async def reload(self, config: ProtoMessage) -> None:
        """Exchange the models here, which checks the configuration, then in every other process.

        A process that died takes the configuration over when it is back. Raises what the reloader raises, BadRequest,
        or SiblingFailed.
        """
        raw = config.SerializeToString()
        if len(raw) > MAX_CONFIG_BYTES:
            raise BadRequest(f"the configuration has {len(raw)} bytes, more than {MAX_CONFIG_BYTES}")
        await asyncio.shield(asyncio.ensure_future(self._reload_all(raw)))  # as a whole, also if the caller goes away

    async def _reload_all(self, raw: bytes) -> None:
        async with _held(self._place.lock):
            await self._take(raw)
            message = {"ask": "reload", "config": base64.b64encode(raw).decode()}
            others = self._place.others()
            answers = await asyncio.gather(*(_ask(path, message, RELOAD_S) for path in others))
        for path, answer in zip(others, answers, strict=True):
            if answer is Silent.GONE:
                continue
            if isinstance(answer, Silent):
                raise SiblingFailed(f"process {path.stem} does not answer")
            if problem := answer.get("problem"):
                raise SiblingFailed(f"process {path.stem}: {problem}")

    async def _take(self, raw: bytes) -> None:
        await self._reloader.reload(messages.parse(messages.ModelServerConfig, raw))
        self._config = raw

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read(reader)
            writer.write(_framed(await self._reply(asked)))
            await writer.drain()
        except (OSError, ValueError, EOFError, LookupError, TypeError):
            _log.debug("a sibling went away, or what spoke was none")
        finally:
            writer.close()

    async def _reply(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked["ask"] == "metrics":
            return {"families": [family.to_json() for family in self._metrics.families()]}
        if asked["ask"] == "load":
            return {"load": self._metrics.shown(IN_FLIGHT)}
        if asked["ask"] == "config":
            return {"config": base64.b64encode(self._config).decode()}
        try:
            await self._take(base64.b64decode(asked["config"]))
        except StrongroomError as problem:
            return {"problem": problem.sentence}
        return {}


@dataclass(frozen=True, slots=True)
class SummingRoutes:
    """REST answers; before metrics are shown, the other processes are asked for theirs."""

    routes: Routes
    siblings: Siblings
    metrics_path: str

    async def answer(self, request: Request) -> Answer:
        """Return the answer; never raises."""
        if request.target.partition(b"?")[0] == self.metrics_path.encode():
            await self.siblings.listen_in()
        return await self.routes.answer(request)


@asynccontextmanager
async def among(siblings: Siblings | None) -> AsyncIterator[None]:
    """Answer the other processes, if there are any, while the block runs."""
    if siblings is None:
        yield
        return
    await siblings.start()
    try:
        yield
    finally:
        await siblings.stop()


class Silent(Enum):
    """Why a sibling gave no answer."""

    GONE = auto()  # nobody listens there: it died, and its parent replaces it
    MUTE = auto()


async def _ask(path: Path, message: Mapping[str, Any], patience_s: float) -> dict[str, Any] | Silent:
    """Return a sibling's answer, or why it gives none."""
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(_framed(message))
                return await _read(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, EOFError) as problem:
        silent = Silent.GONE if await _is_gone(path) else Silent.MUTE
        _log.warning("process %s does not answer (%s): %s", path.stem, silent.name.lower(), type(problem).__name__)
        return silent


async def _is_gone(path: Path) -> bool:
    """Whether nobody listens at a sibling's socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    writer.close()
    return False


@asynccontextmanager
async def _held(lock: Path) -> AsyncIterator[None]:
    """Hold a lock among the processes while the block runs; whoever waits looks every so often."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOOK_S)
        yield
    finally:
        os.close(descriptor)


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MAX_MESSAGE_BYTES:
        raise ValueError("too long")
    found: dict[str, Any] = json.loads(await reader.readexactly(size))
    return found


def _framed(message: Mapping[str, Any]) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data
