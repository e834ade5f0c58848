"""What a predict request says before anybody works on it: its form, its deadline, its body, its instances.

Cheap checks first (threats SV-12, SV-13): headers before the body, sizes before bytes, bytes before values.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from starlette.requests import Request

from strongroom.broker.web.middleware import BodyTooLarge
from strongroom.clusterserving.faults import BadRecord, TooLarge
from strongroom.clusterserving.instances import memory_of, parse_instances
from strongroom.clusterserving.limits import Limits
from strongroom.clusterserving.values import Inputs
from strongroom.errors import BadInput, Unreachable

MAX_TIMEOUT_MS: Final = 3_600_000
MAX_KEY_BYTES: Final = 256
LARGE_BODY: Final = 64 * 1024  # from here on it is parsed beside the event loop
# curl -d says the second, and the original's examples are curl's.
_MEDIA: Final = frozenset({"", "application/json", "application/x-www-form-urlencoded", "text/plain"})
_TIMEOUT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_KEY: Final = re.compile(r"[!-~]{1,256}")


class WrongMediaType(BadInput):
    """A request's body is not plain JSON in UTF-8."""

    code = "SR-QUEUE-HTTP-MEDIA"
    fix = "Send Content-Type: application/json, without Content-Encoding."


class TooMuchAtOnce(Unreachable):
    """The bodies of all requests together are more than the front end holds."""

    code = "SR-QUEUE-HTTP-MEMORY"
    fix = "Send it again in a moment, or send images as JPEG instead of as numbers."


class Bodies:
    """Counts the bytes of all bodies that are held."""

    def __init__(self, most: int) -> None:
        self._left = self.most = most

    def take(self, size: int) -> None:
        """Raises TooMuchAtOnce."""
        if size > self._left:
            raise TooMuchAtOnce("the front end holds as many bytes of requests as it may")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Say that so many bytes are let go."""
        self._left += size


def check_head(request: Request) -> None:
    """Raises WrongMediaType."""
    said = request.headers.get("content-type", "")
    media, _, parameters = said.partition(";")
    charset = parameters.lower().replace(" ", "").replace('"', "").removeprefix("charset=")
    if media.strip().lower() not in _MEDIA or charset not in {"", "utf-8", "utf8", "us-ascii"}:
        raise WrongMediaType(f"the content type {said[:80]!r} is not JSON in UTF-8")
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise WrongMediaType(f"a body of the coding {coding[:40]!r} is not read")


def timeout_of(request: Request, default_s: float) -> float:
    """Return how long the caller waits, in seconds. Raises BadRecord."""
    said = request.headers.get("x-request-timeout-ms")
    if said is None:
        return default_s
    if not _TIMEOUT.fullmatch(said) or not 1 <= int(said) <= MAX_TIMEOUT_MS:
        raise BadRecord(f"X-Request-Timeout-Ms is a number from 1 to {MAX_TIMEOUT_MS}")
    return int(said) / 1000


def idempotency_key_of(request: Request) -> str | None:
    """Return the caller's key for harmless repetition. Raises BadRecord."""
    said = request.headers.get("idempotency-key")
    if said is not None and not _KEY.fullmatch(said):
        raise BadRecord(f"Idempotency-Key has 1 to {MAX_KEY_BYTES} printable ASCII characters without blanks")
    return said


async def read_instances(request: Request, bodies: Bodies, *, most: int) -> tuple[Inputs, ...]:
    """Return the body's instances. Raises ServingError, TooMuchAtOnce, or BodyTooSlow."""
    announced = request.headers.get("content-length", "0")
    held = int(announced) if announced.isdigit() and len(announced) < 16 else 0
    if held > most:
        raise TooLarge(f"the body is longer than {most} bytes")
    bodies.take(held)
    try:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > held:
                bodies.take(len(body) - held)
                held = len(body)
        needed = memory_of(body)
        if needed > bodies.most:
            raise TooLarge("the body's numbers and lists take more memory than the front end has for all requests")
        bodies.take(needed - held)
        held = needed
        limits = Limits(max_record_bytes=most)
        if len(body) < LARGE_BODY:
            return parse_instances(bytes(body), limits)
        return await asyncio.to_thread(parse_instances, bytes(body), limits)
    except BodyTooLarge:
        raise TooLarge(f"the body is longer than {most} bytes") from None
    finally:
        bodies.give_back(held)
