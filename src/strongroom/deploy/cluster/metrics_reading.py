"""Read the few numbers of a replica that a rollout watches from its metrics. Pure.

Source: Prometheus' exposition format 0.0.4; docs/model-server.md lists the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_LINES: Final = 20_000
REQUESTS: Final = ":tensorflow:serving:request_count"
IN_FLIGHT: Final = "strongroom_requests_in_flight"
_LINE: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]{0,199})(?:\{([^}]{0,2000})\})? ([0-9.eE+-]{1,40})(?: .{0,40})?")
_STATUS: Final = re.compile(r'status="([^"]{0,64})"')
_OK: Final = "OK"
# What a client itself got wrong says nothing about a new version.
_CALLERS: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED", "CANCELLED",
                             "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "FAILED_PRECONDITION", "OUT_OF_RANGE"})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one replica has answered since it started."""

    requests: int
    errors: int  # those that it failed itself
    in_flight: int


def read(text: str) -> Load:
    """Return the numbers; what is not there counts as 0."""
    requests = errors = in_flight = 0
    for name, labels, value in _samples(text):
        if name == REQUESTS:
            status = _STATUS.search(labels)
            requests += value
            if status and status[1].upper() not in _CALLERS and status[1].upper() != _OK:
                errors += value
        elif name == IN_FLIGHT:
            in_flight += value
    return Load(requests=requests, errors=errors, in_flight=in_flight)


def _samples(text: str) -> Iterator[tuple[str, str, int]]:
    for line in text.splitlines()[:MAX_LINES]:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if 0 <= value < 2**53:
            yield found[1], found[2] or "", int(value)
