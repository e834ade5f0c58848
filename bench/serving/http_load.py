"""Ask over one stream for each connection: HTTP/1.1 for JSON, and bare bytes for the floor of TLS; uvloop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import uvloop

from serving.load import TIMEOUT_S, Run, WrongAnswer

HEAD_END: Final = b"\r\n\r\n"
JSON_CONNECTIONS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What to send on each connection, one after the other, and how to tell that its answer is whole.

    `whole` returns the size of the first answer in the bytes so far, or None; it raises WrongAnswer. `check` sees the
    first answer of each connection.
    """

    port: int
    context: ssl.SSLContext | None
    request: bytes
    whole: Callable[[bytes], int | None]
    check: Callable[[bytes], None]
    connections: int


class Asker(asyncio.Protocol):
    """One connection; `ended` is set when nothing is left to ask."""

    def __init__(self, exchange: Exchange, run: Run) -> None:
        self._exchange, self._run = exchange, run
        self._data, self._checked, self._since = b"", False, 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's transport is one
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(WrongAnswer(f"the server closed the connection ({exc})"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            size = self._exchange.whole(self._data)
            if size is None:
                return
            if not self._checked:
                self._exchange.check(self._data[:size])
        except (WrongAnswer, AssertionError) as problem:
            if not self.ended.done():
                self.ended.set_exception(problem)
            return
        self._checked, self._data = True, self._data[size:]
        self._run.latencies_s.append(time.perf_counter() - self._since)
        self._ask()

    def _ask(self) -> None:
        if self._run.left == 0:
            if not self.ended.done():
                self.ended.set_result(None)
            return
        self._run.left -= 1
        self._since = time.perf_counter()
        self._transport.write(self._exchange.request)

    def close(self) -> None:
        """Close the connection."""
        self.ended.cancel()
        self._transport.close()


def json_exchange(
    port: int, context: ssl.SSLContext | None, path: str, body: bytes, check: Callable[[bytes], None]
) -> Exchange:
    """Return a POST of a JSON body, on two connections."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return Exchange(
        port=port,
        context=context,
        request=head.encode() + body,
        whole=whole_http,
        check=lambda answer: check(answer.partition(HEAD_END)[2]),
        connections=JSON_CONNECTIONS,
    )


def whole_http(data: bytes) -> int | None:
    """Return the size of the first HTTP/1.1 answer once it is whole; it must be 200 and say its length."""
    head, end, _ = data.partition(HEAD_END)
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise WrongAnswer(f"{data[:200]!r}")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if not lengths:
        raise WrongAnswer("an answer without a length")
    size = len(head) + len(end) + int(lengths[0])
    return size if len(data) >= size else None


async def _run(exchange: Exchange, count: int) -> Run:
    loop, run = asyncio.get_running_loop(), Run(count)
    name, started = "localhost" if exchange.context else None, time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Asker(exchange, run), "127.0.0.1", exchange.port, ssl=exchange.context, server_hostname=name
        )
        for _ in range(min(exchange.connections, count))
    ]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(asker.ended for _, asker in made))
    finally:
        for _, asker in made:
            asker.close()
    run.wall_s = time.perf_counter() - started
    return run


def exchange(target: Exchange, count: int) -> Run:
    """Ask `count` times. Raises WrongAnswer."""
    try:
        return uvloop.run(_run(target, count))
    except (TimeoutError, OSError) as problem:
        raise WrongAnswer(f"no answer: {problem}") from None
