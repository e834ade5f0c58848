"""Free ports for servers that are told one before they listen, as Redis, Flink and Spark are.

World: sockets, and which ports the system gives away by itself.
"""

from __future__ import annotations

import errno
import random
import re
import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Final

# Above what programs have for their own by custom, below Kubernetes' node ports (30000) and Linux' own (32768).
_CANDIDATES: Final = range(12_000, 30_000)
_GIVEN_AWAY: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES: Final = 200
# What this process was told last. A server that shares its port (SO_REUSEPORT) binds one that another has meanwhile
# without a word, so that nobody would notice that two were told the same.
_told: Final[deque[int]] = deque(maxlen=200)


def free_ports(count: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """Return `count` different ports of `host` that nobody has bound.

    None is one that the system gives to whoever asks for any (`ip_local_port_range`), nor one of the last 200 that this
    process was told, where there are others: between now and the moment a server binds it, nobody gets it but who names
    it, or is told it by another process by chance: one of many. Raises OSError where nothing can be bound.
    """
    with ExitStack() as held:
        found = tuple(_bound(host, held).getsockname()[1] for _ in range(count))
        _told.extend(found)
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """Return one of `free_ports`. Raises OSError."""
    return free_ports(1, host)[0]


def _bound(host: str, held: ExitStack) -> socket.socket:
    for port in [*_candidates(), 0]:
        taken = held.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
        try:
            taken.bind((host, port))
        except OSError as problem:
            if port == 0 or problem.errno != errno.EADDRINUSE:
                raise
        else:
            return taken
    raise AssertionError("the last candidate is 0")


def _candidates() -> list[int]:
    """Return some ports to try, in no order, so that two who ask at once are not told the same."""
    try:
        low, high = map(int, re.findall(r"\d+", _GIVEN_AWAY.read_text("ascii")))
    except (OSError, ValueError):
        low, high = 32_768, 65_535  # not Linux: most others begin at 49152
    told = set(_told)
    kept = [port for port in _CANDIDATES if not low <= port <= high and port not in told]
    return random.SystemRandom().sample(kept, min(_TRIES, len(kept)))
