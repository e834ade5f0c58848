"""What a job's processes ask their agent, and what it answers: one JSON object a frame. Pure, without sockets.

The agent holds primary keys and never sends one; it wraps and unwraps data keys for those who may open its socket. A
frame is four bytes of length, most significant first, and that many bytes of UTF-8. Java speaks this too, so there
are no optional fields: a request is `{"op", "key_id", "data"}`, an answer `{"ok", "data", "code", "sentence"}`, all
of them texts but `ok`.

    names    key_id ""          data ""          -> names separated by blanks
    current  key_id NAME        data ""          -> NAME.VERSION
    wrap     key_id NAME.V      data base64 key  -> the wrapped key
    unwrap   key_id NAME.V      data wrapped     -> base64 of the data key
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_FRAME_BYTES: Final = 16 * 1024
LENGTH_BYTES: Final = 4
_REQUEST: Final = frozenset({"op", "key_id", "data"})
_ANSWER: Final = frozenset({"ok", "data", "code", "sentence"})


class BadAgentFrame(BadInput):
    """What came over an agent's socket is no request or no answer."""

    code = "SR-AGENT-FRAME"
    fix = "Use the same version of Strongroom for the agent and the job's programs."


class Op(StrEnum):
    """What can be asked."""

    NAMES = "names"
    CURRENT = "current"
    WRAP = "wrap"
    UNWRAP = "unwrap"


@dataclass(frozen=True, slots=True)
class Request:
    """One question. `data` may be a key: it is not shown."""

    op: Op
    key_id: str = ""
    data: str = field(default="", repr=False)

    def to_frame(self) -> bytes:
        """Return the frame."""
        return frame({"op": str(self.op), "key_id": self.key_id, "data": self.data})

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Read a frame's body. Raises BadAgentFrame."""
        found = _object(body, _REQUEST)
        try:
            return cls(Op(found["op"]), found["key_id"], found["data"])
        except ValueError:
            raise BadAgentFrame(f"an agent is not asked for {found['op'][:40]!r}") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: data, or an error's code and sentence. `data` may be a key: it is not shown."""

    ok: bool
    data: str = field(default="", repr=False)
    code: str = ""
    sentence: str = ""

    def to_frame(self) -> bytes:
        """Return the frame."""
        return frame({"ok": self.ok, "data": self.data, "code": self.code, "sentence": self.sentence})

    @classmethod
    def parse(cls, body: bytes) -> Answer:
        """Read a frame's body. Raises BadAgentFrame."""
        found = _object(body, _ANSWER)
        return cls(found["ok"], found["data"], found["code"], found["sentence"])


def frame(body: dict[str, Any]) -> bytes:
    """Return an object as a frame. Raises BadAgentFrame where it is too long."""
    data = json.dumps(body).encode()
    if len(data) > MAX_FRAME_BYTES:
        raise BadAgentFrame(f"a frame has {MAX_FRAME_BYTES} bytes at most")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class Frames:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that are whole by now. Raises BadAgentFrame for one that would be too long."""
        self._buffer += data
        found = []
        while len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise BadAgentFrame(f"a frame of {length} bytes is announced, {MAX_FRAME_BYTES} are allowed")
            if len(self._buffer) < LENGTH_BYTES + length:
                break
            found.append(bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + length]))
            del self._buffer[: LENGTH_BYTES + length]
        return found


def _object(body: bytes, fields: frozenset[str]) -> dict[str, Any]:
    found = strict_json.loads(body, what="a frame", error=BadAgentFrame, max_bytes=MAX_FRAME_BYTES, max_depth=1)
    if not isinstance(found, dict) or found.keys() != fields:
        raise BadAgentFrame(f"a frame has {', '.join(sorted(fields))}")
    if not all(isinstance(value, bool if name == "ok" else str) for name, value in found.items()):
        raise BadAgentFrame("a field of a frame has no such value")
    return found
