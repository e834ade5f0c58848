"""The agent's socket: answers questions for keys from a KeyService that stays in this process.

World: a Unix socket, threads. The socket is 0600 in a 0700 folder, and who connects has to be of the same user
(SO_PEERCRED): what protects it besides is the TEE that it is in. One thread a connection, and a limit on those.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from strongroom.analytics.keys.service import KeyService
from strongroom.datasets.agent import Answer, BadAgentFrame, Frames, Op, Request
from strongroom.datasets.names import KeyId
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

MAX_CONNECTIONS: Final = 1024  # every Python worker and every JVM below has one
MAX_USES: Final = 256  # different ones of one connection that events tell of
_BACKLOG: Final = 128
_READ_BYTES: Final = 64 * 1024
_PEER: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_log: Final = logging.getLogger("strongroom.agent")


class Use(NamedTuple):
    """What one process did with one key, as events tell it: no key, nothing of the data."""

    op: str
    key_id: str
    ok: bool
    pid: int
    program: str


Uses = Callable[[Use, int], None]  # and how often


def answer(keys: KeyService, request: Request) -> Answer:
    """Return the answer to one question; what is wrong with it is an answer as well."""
    try:
        return Answer(ok=True, data=_ANSWERS[request.op](keys, request))
    except StrongroomError as problem:
        return Answer(ok=False, code=problem.code, sentence=problem.sentence)


def _wrap(keys: KeyService, request: Request) -> str:
    try:
        raw = base64.b64decode(request.data, validate=True)
    except (binascii.Error, ValueError):
        raise BadAgentFrame("a key to wrap is not base64") from None
    return keys.wrap(KeyId.parse(request.key_id), Secret(raw))


def _unwrap(keys: KeyService, request: Request) -> str:
    key = keys.unwrap(KeyId.parse(request.key_id), request.data)
    with key.reveal() as raw:
        return base64.b64encode(raw).decode()


_ANSWERS: Final[dict[Op, Callable[[KeyService, Request], str]]] = {
    Op.NAMES: lambda keys, _: " ".join(keys.names()),
    Op.CURRENT: lambda keys, request: str(keys.current(request.key_id)),
    Op.WRAP: _wrap,
    Op.UNWRAP: _unwrap,
}


class AgentServer:
    """Answers on a listening socket until it is closed. `used` hears, at a connection's end, what was done on it."""

    def __init__(self, keys: KeyService, listener: socket.socket, used: Uses) -> None:
        self._keys, self._listener, self._used = keys, listener, used
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="key agent", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop, end every connection, and wait for what was being answered."""
        with self._lock:
            self._closed = True
            connections = list(self._open.items())
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which closing would not
        self._listener.close()
        for connection, _ in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join()
        if self._thread.ident is not None:
            self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                continue  # somebody hung up, or there are no more descriptors for now
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        with self._lock:
            if self._closed or len(self._open) >= MAX_CONNECTIONS:
                connection.close()
                return
            thread = threading.Thread(target=self._attend, args=(connection,), name="key agent", daemon=True)
            self._open[connection] = thread
            thread.start()

    def _attend(self, connection: socket.socket) -> None:
        uses: Counter[Use] = Counter()
        try:
            pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            if uid != os.getuid():
                _log.warning("process %d of user %d asked for keys and was turned away", pid, uid)
                return
            self._converse(connection, pid, _program(pid), uses)
        except BadAgentFrame as problem:
            _log.warning("process %d speaks otherwise: %s", pid, problem.sentence)
        except OSError:
            pass  # it hung up, which it may at any time
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()
            for use, times in uses.items():
                self._used(use, times)

    def _converse(self, connection: socket.socket, pid: int, program: str, uses: Counter[Use]) -> None:
        frames = Frames()
        while data := connection.recv(_READ_BYTES):
            for body in frames.feed(data):
                request = Request.parse(body)
                found = answer(self._keys, request)
                connection.sendall(found.to_frame())
                use = Use(str(request.op), _shown(request.key_id), found.ok, pid, program)
                if request.op in {Op.WRAP, Op.UNWRAP} and (use in uses or len(uses) < MAX_USES):
                    uses[use] += 1


@contextmanager
def listening(keys: KeyService, path: Path, used: Uses = lambda _use, _times: None) -> Iterator[AgentServer]:
    """Lend a server that listens at `path`, in a folder that is its own user's alone; it answers once started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)
        server = AgentServer(keys, listener, used)
        try:
            yield server
        finally:
            server.close()
            path.unlink(missing_ok=True)


def _program(pid: int) -> str:
    """Return what a process calls itself, for the report."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()[:32]
    except OSError:
        return ""


def _shown(key_id: str) -> str:
    """Return a key id as events may show it: what is none could be anything."""
    try:
        return str(KeyId.parse(key_id))
    except StrongroomError:
        return "?"
