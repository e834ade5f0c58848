"""The agent's socket: answers questions for keys from a KeyService that stays in this process.

World: a Unix socket, threads. The socket is 0600 in a 0700 folder, and who connects has to be of the same user
(SO_PEERCRED): what protects it besides is the TEE that it is in. One thread a connection, and a limit on those: at it,
whoever asked nothing for longest makes room, and may come again, so that nobody keeps others out by holding on.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from strongroom.analytics.keys.agent import PEER
from strongroom.analytics.keys.service import KeyService
from strongroom.datasets.agent import Answer, BadAgentFrame, Frames, Op, Request
from strongroom.datasets.names import KeyId
from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.secret import Secret

MAX_CONNECTIONS: Final = 1024  # every Python worker and every JVM below has one
PAUSE_S: Final = 0.1  # before it is tried again to accept where the machine has no room
MAX_STRANGERS: Final = 64  # users that the log tells of, once each
MAX_USES: Final = 256  # different ones of one connection that events tell of
BACKLOG: Final = 128
_READ_BYTES: Final = 64 * 1024
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
        found = Answer(ok=True, data=_ANSWERS[request.op](keys, request))
        found.to_frame()  # more names than a frame holds are said, too
    except StrongroomError as problem:
        return Answer(ok=False, code=problem.code, sentence=problem.sentence)
    return found


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
        self._changed = threading.Condition()
        self._open: dict[socket.socket, threading.Thread] = {}  # who asked nothing for longest comes first
        self._strangers: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="key agent", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop, end every connection, and wait for what was being answered."""
        with self._changed:
            self._over.set()
            self._changed.notify_all()
            connections = list(self._open.items())
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which closing would not
        self._listener.close()
        for connection, _ in connections:
            _end(connection)
        for _, thread in connections:
            thread.join()
        if self._thread.ident is not None:
            self._thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue  # somebody hung up
            except OSError:
                self._over.wait(PAUSE_S)  # no descriptors or no memory for now: who waits, waits in the backlog
                continue
            try:
                peer = self._peer(connection)
                if peer is None or not self._begin(connection, peer):
                    connection.close()
            except OSError:
                connection.close()

    def _peer(self, connection: socket.socket) -> int | None:
        """Return the process that connected, None where it is another user's; it never counts as a connection."""
        pid, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if uid == os.getuid():
            return int(pid)
        if uid not in self._strangers and len(self._strangers) < MAX_STRANGERS:
            self._strangers.add(uid)
            _log.warning(
                "process %d of user %d asked for keys and was turned away, as all of this user's are", pid, uid
            )
        return None

    def _begin(self, connection: socket.socket, pid: int) -> bool:
        """Attend to a connection in a thread of its own; return False where that cannot be."""
        with self._changed:
            if len(self._open) >= (limit := _limit()):
                _end(next(iter(self._open)))
                self._changed.wait_for(lambda: len(self._open) < limit or self._over.is_set())
            if self._over.is_set():
                return False
            thread = threading.Thread(target=self._attend, args=(connection, pid), name="key agent", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the machine has no room for another thread
                return False
            self._open[connection] = thread
            return True

    def _attend(self, connection: socket.socket, pid: int) -> None:
        uses: Counter[Use] = Counter()
        try:
            self._converse(connection, pid, _program(pid), uses)
        except BadAgentFrame as problem:
            _log.warning("process %d speaks otherwise: %s", pid, problem.sentence)
        except OSError:
            pass  # it hung up, which it may at any time
        finally:
            with self._changed:
                self._open.pop(connection, None)
                self._changed.notify_all()
            connection.close()
            for use, times in uses.items():
                self._used(use, times)

    def _asks(self, connection: socket.socket) -> None:
        """Note that somebody asks: that makes it the last one to be ended for others' sake."""
        with self._changed:
            self._open[connection] = self._open.pop(connection)

    def _converse(self, connection: socket.socket, pid: int, program: str, uses: Counter[Use]) -> None:
        frames = Frames()
        while data := connection.recv(_READ_BYTES):
            for body in frames.feed(data):
                request = Request.parse(body)
                self._asks(connection)
                found = answer(self._keys, request)
                connection.sendall(found.to_frame())
                use = Use(str(request.op), _shown(request.key_id), found.ok, pid, program)
                if request.op in {Op.WRAP, Op.UNWRAP} and (use in uses or len(uses) < MAX_USES):
                    uses[use] += 1


@contextmanager
def listening(keys: KeyService, path: Path, used: Uses = lambda _use, _times: None) -> Iterator[AgentServer]:
    """Lend a server that listens at `path`, in a folder of its own user alone; it answers once started.

    Raises LoosePermissions, or OSError where something is at `path` already.
    """
    disk.check_private(path.parent)  # between bind and chmod, the folder alone keeps others away
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        server = AgentServer(keys, listener, used)
        try:
            yield server
        finally:
            server.close()
            path.unlink(missing_ok=True)


def _limit() -> int:
    """Return how many connections there may be: half of what this process may open is left for what else it does."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft // 2))


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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
