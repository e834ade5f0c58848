"""One stream of a connection: what has arrived of a request, and what is left to send of its answer. Pure.

A body costs memory only as it comes: a length that a peer declares is compared with the limit, never allocated.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from strongroom.serving.http2.base import ALIGNED_FROM_BYTES, ALIGNMENT, Framing, Headers
from strongroom.serving.http2.grpc_frames import PREFIX_BYTES

_BEFORE_BYTES: Final = bytes.__basicsize__ - 1  # of an object's memory, which begins at a multiple of ALIGNMENT


class Stream:
    """The state of one stream; the session drives it."""

    __slots__ = (
        "_answer",
        "_lead",
        "_pieces",
        "_prefix",
        "answered",
        "began",
        "begun",
        "body_bytes",
        "declared",
        "end_of_answer",
        "framing",
        "handed",
        "headers",
        "ignored",
        "in_headers",
        "is_head",
        "method",
        "number",
        "path",
        "remote_ended",
        "streaming",
        "too_large",
        "trailers",
        "unsent",
    )

    def __init__(self, number: int, began: float) -> None:
        self.number, self.began = number, began
        self.method = self.path = ""
        self.headers: Headers = ()
        self.in_headers = True
        self.is_head = self.streaming = self.too_large = False
        self.framing = Framing.HTTP
        self.handed = False  # the application knows it
        self.ignored = False  # whatever comes is dropped
        self.remote_ended = False
        self.answered = False  # the last call of the answer was made
        self.begun = False  # an answer of several messages was started
        self.body_bytes = 0  # held, and counted by the session
        self.declared = 0  # bytes of the gRPC message, once its prefix is here
        self._prefix = b""
        self._pieces: list[bytes] = []
        self._lead = 0  # bytes left free before the body, so that its tensor lies well
        self._answer: deque[memoryview] = deque()
        self.unsent = 0
        self.end_of_answer = False
        self.trailers: Headers | None = None

    @property
    def is_grpc(self) -> bool:
        """Whether its content type was gRPC's."""
        return self.streaming or self.framing is not Framing.HTTP

    def take(self, chunk: bytes, *, limit: int, align: int) -> bool:
        """Keep a piece of the body; return False where it is, or says it will be, longer than `limit`.

        See `Session.align`.
        """
        if self.framing is Framing.BROKEN:
            return True
        if self.framing is Framing.HTTP:
            if self.body_bytes + len(chunk) > limit:
                return False
            self._keep(chunk, align)
            return True
        if len(self._prefix) < PREFIX_BYTES:
            missing = PREFIX_BYTES - len(self._prefix)
            self._prefix, chunk = self._prefix + chunk[:missing], chunk[missing:]
            if len(self._prefix) < PREFIX_BYTES:
                return True
            self.declared = int.from_bytes(self._prefix[1:], "big")
            if self._prefix[0] > 1:
                self.framing = Framing.BROKEN
                return True
            if self.declared > limit:
                return False
        if self.body_bytes + len(chunk) > self.declared:
            self.framing = Framing.BROKEN
        elif chunk:
            self._keep(chunk, align)
        return True

    def _keep(self, chunk: bytes, align: int) -> None:
        if not self._pieces and self.declared >= ALIGNED_FROM_BYTES and not self._prefix[0]:
            self._lead = -(_BEFORE_BYTES + align) % ALIGNMENT
        self._pieces.append(chunk)
        self.body_bytes += len(chunk)

    def body(self) -> tuple[bytes | memoryview, Framing]:
        """Return the whole body, or the message in it, and what it is."""
        pieces, self._pieces = self._pieces, []
        whole: bytes | memoryview
        if self._lead:
            whole = memoryview(b"".join([bytes(self._lead), *pieces]))[self._lead :]
        else:
            whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.framing is Framing.HTTP:
            return whole, Framing.HTTP
        complete = len(self._prefix) == PREFIX_BYTES and self.body_bytes == self.declared
        if self.framing is Framing.BROKEN or not complete:
            return b"", Framing.BROKEN
        return whole, Framing.COMPRESSED if self._prefix[0] else Framing.MESSAGE

    def drop_body(self) -> None:
        """Forget what has arrived."""
        self._pieces = []

    def push(self, *pieces: memoryview) -> None:
        """Queue bytes of the answer."""
        for piece in pieces:
            if len(piece):
                self._answer.append(piece)
                self.unsent += len(piece)

    def pull(self, length: int) -> list[memoryview]:
        """Take `length` bytes of the answer, not more than `unsent`."""
        pieces = []
        self.unsent -= length
        while length:
            first = self._answer.popleft()
            if len(first) > length:
                self._answer.appendleft(first[length:])
                first = first[:length]
            pieces.append(first)
            length -= len(first)
        return pieces

    def drop_answer(self) -> None:
        """Forget what is not sent."""
        self._answer.clear()
        self.unsent = 0
