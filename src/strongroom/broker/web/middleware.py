"""What every request goes through: an id, a bounded body with a deadline, one log line, and an answer for surprises.

World: the clock, entropy, the log. The id comes from the caller where it is a plain word (`X-Request-ID`), so that a
replica's log and the broker's share it; it is never trusted for anything.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongroom.broker.operations.logs import REQUEST_ID
from strongroom.broker.operations.metrics import Metrics
from strongroom.broker.web.problems import problem, problem_of
from strongroom.errors import BadInput, StrongroomError, Unreachable

_PLAIN_WORD: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_STATE: Final = "state"
_log: Final = logging.getLogger("strongroom.broker.http")


class BodyTooLarge(BadInput):
    """A request's body is longer than this port takes."""

    code = "SR-HTTP-BODY"
    fix = "Send less in one request."


class BodyTooSlow(Unreachable):
    """A request's body did not arrive in time."""

    code = "SR-HTTP-SLOW"
    fix = "Check the network between the caller and the broker, then try again."


def request_id_of(scope: Scope) -> str:
    """Return the id that the answer and every log line of this request carry."""
    return str(scope.get(_STATE, {}).get("request_id", ""))


def client_certificate_of(scope: Scope) -> bytes | None:
    """Return the certificate (DER) that the caller proved possession of in the handshake, if it presented one."""
    found = scope.get(_STATE, {}).get("client_certificate")
    return found if isinstance(found, bytes) else None


def wrapped(
    application: ASGIApp, *, max_body_bytes: int, body_s: float, port_name: str, metrics: Metrics | None = None
) -> ASGIApp:
    """Return the application behind everything that a request goes through; `port_name` is for log and metrics."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']}")
        exchange = _Exchange(scope, receive, send, max_body_bytes=max_body_bytes, body_s=body_s)
        scope.setdefault(_STATE, {})["request_id"] = exchange.id
        REQUEST_ID.set(exchange.id)  # of this task alone: uvicorn runs each request in one of its own
        try:
            await application(scope, exchange.receive, exchange.send)
            await exchange.let_go()
        except StrongroomError as error:
            await exchange.answer_instead(problem_of(error), scope)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  # the last door: the caller gets an id, the owner's log has the rest
            _log.exception("%s: a defect while answering %s %s", exchange.id, scope["method"], scope["path"])
            await exchange.answer_instead(
                problem(500, "SR-DEFECT", "the broker failed; its log has the reason under this id", id=exchange.id),
                scope,
            )
        finally:
            exchange.note(port_name)
            if metrics is not None:
                metrics.answered(port_name, exchange.status)

    return serve


class _Exchange:
    """One request and its answer: counts the body, adds the id, remembers the status."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, max_body_bytes: int, body_s: float) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._left = max_body_bytes
        self._deadline = time.monotonic() + body_s
        self._whole = False
        self._cut = False
        self._began = time.perf_counter()
        self._withheld: list[Message] = []
        self.status = 0
        self.id = _asked_id(scope) or secrets.token_hex(8)
        announced = _header(scope, b"content-length")
        self._announced_too_much = announced is not None and (not announced.isdigit() or int(announced) > self._left)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # only the peer's end comes now, and may take its time
        if self._announced_too_much:
            self._cut = True
            raise BodyTooLarge("the body is longer than this port takes")
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            self._cut = True
            raise BodyTooSlow("the request's body did not arrive in time") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self._cut = True
            raise BodyTooLarge("the body is longer than this port takes")
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; one of status 500 waits, for Starlette writes its own before it lets an error through."""
        if self._withheld or (message["type"] == "http.response.start" and message["status"] == 500):
            self._withheld.append(message)
            return
        await self._pass_on(message)

    async def let_go(self) -> None:
        """Pass on what was withheld: the application meant it."""
        for message in self._withheld:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            message["headers"] = [*message.get("headers", ()), *self._headers(message)]
        await self._send(message)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        """Return what every answer says; an answer that says it itself keeps its own word."""
        said = {name.lower() for name, _ in message.get("headers", ())}
        always = {
            b"x-request-id": self.id.encode(), b"x-content-type-options": b"nosniff", b"cache-control": b"no-store",
        }  # fmt: skip
        if self._cut:
            always[b"connection"] = b"close"  # what is left of the body is not read
        return [(name, value) for name, value in always.items() if name not in said]

    async def answer_instead(self, response: Any, scope: Scope) -> None:  # noqa: ANN401  # a Starlette response
        if not self.status:  # else the head is out: closing the connection is all that can be said
            await response(scope, self.receive, self._pass_on)

    def note(self, port_name: str) -> None:
        took_ms = (time.perf_counter() - self._began) * 1000
        _log.info(
            "%s: %s %s %s -> %d in %.1f ms", self.id, port_name, self._scope["method"], _shown(self._scope["path"]),
            self.status, took_ms,
        )  # fmt: skip


def _asked_id(scope: Scope) -> str | None:
    asked = _header(scope, b"x-request-id")
    return asked.decode("ascii") if asked is not None and _PLAIN_WORD.fullmatch(asked) else None


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((bytes(value) for key, value in scope["headers"] if key.lower() == name), None)


def _shown(path: str) -> str:
    """Return a path on one line, without its query, and never longer than a line of a log."""
    return "".join(each if each.isprintable() else "?" for each in path[:200])
