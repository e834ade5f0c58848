"""What each front does with calls, as tests/e2e/test_fronts.py measures it with real programs. Pure data.

The same words stand as a comment in every rendered file and in docs/fronts.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

MEASURED_WITH: Final = "nginx 1.22.1, HAProxy 2.6.12, two model servers, grpcio 1.85.1 without retries of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One front: what it sees, what it balances, and what callers notice of failures."""

    title: str
    sees: str
    one_channel: str  # how 20 calls on one gRPC channel fall on two replicas
    channels: str  # how 20 calls on 20 channels do
    in_flight: str  # calls in flight on a replica that is killed
    afterwards: str  # the next 20 calls on the same channels
    none_left: str  # with no replica left

    def comment(self) -> str:
        """Return the lines that stand in a configuration file."""
        return f"""\
# {self.title}. Measured with {MEASURED_WITH}:
#   it sees                         {self.sees}
#   20 calls, one gRPC channel      {self.one_channel}
#   20 calls, 20 channels           {self.channels}
#   calls in flight, replica killed {self.in_flight}
#   the next 20 calls               {self.afterwards}
#   no replica left                 {self.none_left}
"""


def _behaviour(title: str, *facts: str) -> Behaviour:
    words = ("sees", "one_channel", "channels", "in_flight", "afterwards", "none_left")
    return Behaviour(title=title, **dict(zip(words, facts, strict=True)))


_CIPHERTEXT: Final = "the server name and ciphertext: TLS ends in the replica's TEE"
_PLAINTEXT: Final = "everything in clear: it must be attested itself"
_PINNED: Final = "20 on one replica, 0 on the other"
_EVEN: Final = "10 and 10"
_ALL_LOST: Final = "4 of 4 fail with UNAVAILABLE (the connection broke)"
_NEXT: Final = "20 of 20 answered by the other replica"
_NONE: Final = "UNAVAILABLE at once"

BEHAVIOURS: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "nginx-passthrough": _behaviour(
            "nginx, TLS passed through", _CIPHERTEXT, _PINNED, _EVEN, _ALL_LOST, _NEXT, _NONE
        ),
        "haproxy-passthrough": _behaviour(
            "HAProxy, TLS passed through", _CIPHERTEXT, _PINNED, _EVEN, _ALL_LOST, _NEXT, _NONE
        ),
        "nginx-grpc": _behaviour(
            "nginx, gRPC re-encrypted", _PLAINTEXT, _EVEN, _EVEN,
            "2 of 4 fail with UNAVAILABLE (those on that replica)", _NEXT, _NONE,
        ),
        "haproxy-h2": _behaviour(
            "HAProxy, HTTP/2 re-encrypted, with retries", _PLAINTEXT, _EVEN, _EVEN,
            "4 of 4 answered: 2 of them ran twice; requests over 1 MiB are not repeated", _NEXT, _NONE,
        ),
    }
)  # fmt: skip
