"""Keys by way of the agent that this process was started by: it holds primary keys, this wraps and unwraps through it.

World: one Unix socket. Safe for threads (one question at a time) and for processes that were forked: each has a
connection of its own. It travels between Python processes as the socket's path.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
import struct
import threading
from typing import Final

from strongroom.analytics.keys.rings import DATA_KEY_SIZE, fresh_data_key
from strongroom.analytics.keys.service import DataKey, KeyNotGranted
from strongroom.datasets.agent import Answer, BadAgentFrame, Frames, Op, Request
from strongroom.datasets.key_ring import UnknownKeyVersion
from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.datasets.wrapping import DATA_KEY_BYTES, BadDataKey, WrappedKeyRefused
from strongroom.errors import Refused, StrongroomError, Unreachable
from strongroom.secret import Secret

TIMEOUT_S: Final = 30.0  # the agent may have to ask the broker first
MAX_SOCKET_PATH_BYTES: Final = 107
PEER: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_READ_BYTES: Final = 64 * 1024
_KNOWN: Final[dict[str, type[StrongroomError]]] = {
    each.code: each for each in (KeyNotGranted, UnknownKeyVersion, WrappedKeyRefused, BadDataKey, BadKeyName)
}


class AgentNotReached(Unreachable):
    """The agent that keeps this job's keys does not answer: it has ended, or the path of its socket is wrong."""

    code = "SR-AGENT-UNREACHABLE"
    fix = "Start the job with strongroom spark submit, which starts the agent; its log says why it ended."


class AgentRefused(Refused):
    """The agent answered that it does not do what it was asked."""

    code = "SR-AGENT-REFUSED"
    fix = "See the agent's log; the owner sees the broker's reason with strongroom ledger show."


class AgentOfAnother(Refused):
    """What answers at the socket is another user's program: it would be told data keys, or give out its own."""

    code = "SR-AGENT-OF-ANOTHER"
    fix = "Start the job anew: its agent has ended, and somebody else took the place of its socket."


class AgentKeys:
    """A KeyService that asks the agent behind a socket.

    Raises AgentNotReached, AgentOfAnother, AgentRefused, BadAgentFrame besides.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self.path: Final = os.fspath(path)
        self._timeout_s: Final = timeout_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process = os.getpid()

    def __reduce__(self) -> tuple[type[AgentKeys], tuple[str]]:
        """Travel as the socket's path."""
        return AgentKeys, (self.path,)

    def names(self) -> tuple[str, ...]:
        """Return the names of the primary keys that may be used, sorted."""
        return tuple(sorted(self._ask(Request(Op.NAMES)).split()))

    def current(self, name: str) -> KeyId:
        """Return the version under which new data keys are wrapped. Raises KeyNotGranted."""
        return KeyId.parse(self._ask(Request(Op.CURRENT, name)))

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped under one version. Raises KeyNotGranted, UnknownKeyVersion, BadDataKey."""
        if len(key) not in DATA_KEY_BYTES:
            raise BadDataKey(f"a data key of {len(key)} bytes is none")
        with key.reveal() as raw:
            return self._ask(Request(Op.WRAP, str(key_id), base64.b64encode(raw).decode()))

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return the data key of a wrapped one. Raises KeyNotGranted, UnknownKeyVersion, WrappedKeyRefused."""
        try:
            return Secret(base64.b64decode(self._ask(Request(Op.UNWRAP, str(key_id), wrapped)), validate=True))
        except (binascii.Error, ValueError):
            raise BadAgentFrame("the agent answered with a key that is not base64") from None

    def new_data_key(self, name: str, size: int = DATA_KEY_SIZE) -> DataKey:
        """Return a fresh data key of `size` bytes under the current version. Raises KeyNotGranted, BadDataKey."""
        return fresh_data_key(self, name, size)

    def close(self) -> None:
        """Close the connection; another question opens one again."""
        with self._lock:
            self._hang_up()

    def _ask(self, request: Request) -> str:
        frame = request.to_frame()
        if os.getpid() != self._process:  # forked: the lock and the connection are the parent's
            self._lock, self._socket, self._process = threading.Lock(), None, os.getpid()
        with self._lock:
            answer = self._exchange(frame)
        if not answer.ok:
            raise _KNOWN.get(answer.code, AgentRefused)(answer.sentence or f"the agent refused to {request.op}")
        return answer.data

    def _exchange(self, frame: bytes) -> Answer:
        """Ask over the open connection, and once over a new one where that has ended: no question changes anything."""
        held = self._socket is not None
        try:
            return self._asked(frame)
        except OSError as problem:
            self._hang_up()
            if not held or isinstance(problem, TimeoutError):
                raise self._lost(problem) from None
        except BaseException:
            self._hang_up()  # what comes next on it would be the answer to another question
            raise
        try:
            return self._asked(frame)
        except OSError as problem:
            self._hang_up()
            raise self._lost(problem) from None

    def _asked(self, frame: bytes) -> Answer:
        connection = self._socket = self._socket or self._connected()
        connection.sendall(frame)
        frames = Frames()
        while True:
            data = connection.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("it hung up")
            bodies = frames.feed(data)
            if len(bodies) > 1:
                raise BadAgentFrame("the agent answered more than it was asked")
            if bodies:
                return Answer.parse(bodies[0])

    def _connected(self) -> socket.socket:
        if len(os.fsencode(self.path)) > MAX_SOCKET_PATH_BYTES:
            raise AgentNotReached(f"a socket's path has {MAX_SOCKET_PATH_BYTES} bytes at most: {self.path[:120]}")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Blocking, or many who connect at once would be told EAGAIN (unix(7)) where they only have to queue.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self._timeout_s))
            connection.connect(self.path)
            connection.settimeout(self._timeout_s)
            self._check_peer(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_peer(self, connection: socket.socket) -> None:
        """Refuse another user's program, before it hears a word: a path outlives the agent that listened there."""
        _, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
        if uid != os.getuid():
            raise AgentOfAnother(f"a program of user {uid} answers at {self.path}")

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lost(self, problem: OSError) -> AgentNotReached:
        why = (problem.strerror or str(problem) or type(problem).__name__).lower()
        return AgentNotReached(f"no agent answers at {self.path}: {why}")


def _timeval(seconds: float) -> bytes:
    """Return a time as setsockopt wants it: whole seconds and microseconds, both long; none at all means for ever."""
    whole, part = divmod(max(round(seconds * 1e6), 1), 1_000_000)
    return struct.pack("@ll", whole, part)
