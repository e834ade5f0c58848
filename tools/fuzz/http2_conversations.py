"""HTTP/2 conversations made of any bytes, held with every implementation of the session: all must say the same.

The input chooses, byte for byte: what the client says (sound and unsound frames), how its bytes are cut, what the
application answers, and when time passes. An exception, or any difference in events, bytes or counters, is a finding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import hpack

from strongroom.serving.http2 import (
    PREFACE,
    Event,
    Opened,
    Request,
    Session,
    SessionSettings,
    implementations,
    open_session,
)

SETTINGS = SessionSettings(
    max_concurrent_streams=20,
    max_header_list_bytes=2000,
    max_header_count=20,
    max_body_bytes=5000,
    max_connection_body_bytes=70_000,
    initial_window=70_000,
    connection_window=66_000,
    reset_burst=5,
    resets_per_s=1.0,
    control_burst=30,
    controls_per_s=5.0,
    streaming_paths=frozenset({"/w/w"}),
)
BASE = [(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "host")]
KIND = ("content-type", "application/grpc")
HEADERS = (
    [*BASE, KIND],
    [*BASE, KIND],
    BASE,
    [BASE[0], BASE[1], (":path", "/w/w"), BASE[3], KIND],
    [(":method", "HEAD"), *BASE[1:]],
    [(":method", "CONNECT"), BASE[3]],
    [*BASE, KIND, ("grpc-timeout", "1S"), ("host", "other")],
    [*BASE, ("content-length", "8")],
    [*BASE, ("content-length", "99999999")],
    [*BASE, ("x", "y" * 3000)],
    [*BASE, ("X", "y")],
    [*BASE, ("te", "gzip")],
    [*BASE, ("", "")],
    [*BASE, ("e", "\r\n")],
    BASE[1:],
    [*BASE, (":path", "/again")],
)


def framed(data: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Return a gRPC message; `length` may lie."""
    return bytes([flag]) + struct.pack(">I", len(data) if length is None else length) + data


BODIES = (
    framed(b"abc"),
    framed(b""),
    b"",
    framed(bytes(4999)),
    framed(bytes(5001)),
    framed(b"x", length=0),
    framed(b"x", length=6000),
    framed(b"x", length=2**32 - 1),
    framed(b"y", flag=1),
    framed(b"y", flag=2),
    framed(b"a") + framed(b"b"),
    b"\0\0",
)
SIZES = (0, 1, 8, 100, 16_384, 70_000, 2**31 - 1, 2**32 - 1)


class Choices:
    """Bytes as decisions; zeros after their end."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def below(self, bound: int) -> int:
        """Return a number from 0 to bound - 1, at most 255."""
        return next(self._bytes, 0) % bound

    def of(self, options: Any) -> Any:  # of any sequence
        """Return one of the options."""
        return options[self.below(len(options))]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Client:
    """Says what the choices say; the same for every session."""

    def __init__(self, choices: Choices) -> None:
        self._choices, self._encoder, self._next = choices, hpack.Encoder(), 1

    def open(self) -> bytes:
        """Begin a request, and mostly end it."""
        choose, stream = self._choices, self._next
        self._next += 2
        block = self._encoder.encode(choose.of(HEADERS))
        shape, body = choose.below(8), choose.of(BODIES)
        if shape == 0:
            return frame(1, 5, stream, block)
        cut = choose.below(len(body) + 1) if shape < 4 else 0
        said = frame(1, 4, stream, block)
        if shape == 1:
            said = frame(1, 0, stream, block[:7]) + frame(9, 4, stream, block[7:])
        if cut:
            said += frame(0, 0, stream, body[:cut])
        if shape == 2:
            return said
        return said + (
            frame(0, 9, stream, b"\3" + body[cut:] + bytes(3)) if shape == 3 else frame(0, 1, stream, body[cut:])
        )

    def disturb(self) -> bytes:
        """Say a frame that is not a request's."""
        choose = self._choices
        stream = max(0, self._next - 2 * choose.below(5))
        size = struct.pack(">I", choose.of(SIZES))
        frames: tuple[Callable[[], bytes], ...] = (
            lambda: frame(3, 0, stream or 1, size),
            lambda: frame(8, 0, stream, size),
            lambda: frame(6, choose.below(2), 0, bytes(8)),
            lambda: frame(4, 0, 0, struct.pack(">H", choose.below(10)) + size),
            lambda: frame(4, choose.below(2), 0),
            lambda: frame(0, choose.of((0, 1, 8)), stream, bytes(choose.below(256))),
            lambda: frame(2, 0, stream, bytes(5)),
            lambda: frame(1, 5, stream, self._encoder.encode([("x", "y")])),
            lambda: frame(7, 0, 0, bytes(8) + b"bye"),
            lambda: frame(choose.below(256), choose.below(256), stream, bytes(choose.below(30))),
        )
        return frames[choose.below(len(frames))]()


def acts(data: bytes) -> Iterator[bytes | tuple[str, int]]:
    """Yield what happens: bytes that come, or calls of the application with a choice."""
    choices = Choices(data)
    client = Client(choices)
    yield PREFACE + frame(4, 0, 0)
    for _ in range(min(len(data), 60)):
        move = choices.below(16)
        if move < 6:
            said = client.open()
        elif move < 10:
            said = client.disturb()
        else:
            yield ("answer", "send", "expire", "tick", "close", "answer")[move - 10], choices.below(256)
            continue
        cut = choices.below(4) and choices.below(len(said))
        yield said[:cut]
        yield said[cut:]


def answer(session: Session, event: Request | Opened, choice: int) -> None:
    """Answer a request in one of many ways."""
    number, size = event.stream, (0, 4, 300, 70_000)[choice & 3]
    calls: tuple[Callable[[], None], ...] = (
        lambda: session.grpc_reply(number, bytes(size)),
        lambda: session.grpc_fail(number, 5, "not % found\n"),
        lambda: session.respond(number, 200, ((b"a", b"b"),), bytes(size)),
        lambda: session.reset(number, 8),
        lambda: session.begin_stream(number),
    )
    calls[(choice >> 2) % 5]()
    if (choice >> 2) % 5 == 4:
        session.write(number, bytes(size))
        if choice & 64:
            session.finish(number, choice & 7, "é")


def held(name: str, data: bytes) -> list[object]:
    """Hold the conversation with one implementation; return all that it showed."""
    session, now = open_session(SETTINGS, implementation=name), 0.0
    log: list[object] = []
    known: list[Request | Opened] = []
    for act in acts(data):
        now += 0.01
        events: list[Event] = []
        if isinstance(act, bytes):
            events = session.receive(act, now)
        else:
            word, choice = act
            if word == "answer" and known:
                answer(session, known.pop(choice % len(known)), choice)
            elif word == "send":
                log.append(session.send((1, 500, 20_000, 1 << 20)[choice & 3]))
            elif word == "expire":
                events = session.expire(now - 0.05) if choice & 1 else session.shed()
            elif word == "tick":
                now += 3
            elif word == "close":
                (session.ping, lambda: session.goaway(False), lambda: session.goaway(True), lambda: None)[choice & 3]()
        known += [event for event in events if isinstance(event, Request | Opened)]
        log += [events, (session.ended, session.wants_write, session.open_streams, session.arriving)]
        log.append((session.pending_body_bytes, session.unsent_bytes, session.greeted))
    return [*log, session.send(1 << 20)]


def converse(data: bytes) -> object:
    """Hold a conversation with every implementation there is. Raises AssertionError where they differ."""
    results = {name: held(name, data) for name in implementations()}
    first = next(iter(results.values()), None)
    for name, result in results.items():
        if result != first:
            raise AssertionError(f"{name} differs")
    return first
