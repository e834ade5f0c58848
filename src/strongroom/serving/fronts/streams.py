"""Streaming calls as values that both gRPC fronts can drive: messages in, messages out, no connection in sight. Pure.

Only gRPC's own services stream here (health Watch, reflection); their messages are small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from strongroom.tfserving.codes import Code

MAX_STREAM_MESSAGE_BYTES: Final = 64 * 1024


class Outlet(Protocol):
    """Where an open call sends to. Everything belongs to the event loop."""

    def send(self, message: bytes) -> None:
        """Send a message."""

    def finish(self, code: Code, text: str) -> None:
        """End the call; nothing is sent after it."""


class Stream(Protocol):
    """An open call."""

    def message(self, data: bytes) -> None:
        """Take a message of the peer's. Raises StrongroomErrors, which end the call."""

    def ended(self) -> None:
        """The peer sends nothing more."""

    def closed(self) -> None:
        """The call is over, whoever ended it."""


Opener: TypeAlias = Callable[[Outlet], Stream]
