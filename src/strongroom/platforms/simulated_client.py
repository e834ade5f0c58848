"""Quotes from the simulated platform, asked for over the socket that the launcher handed down."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Final

from strongroom.platforms.evidence import (
    MAX_QUOTE_BYTES,
    QuoteUnavailable,
    check_report_data,
    report_data_of,
)
from strongroom.platforms.quote_channel import ChannelBroken, Frames, frame

TIMEOUT_S: Final = 30.0  # the launcher answers in a millisecond; a loaded machine may take its time
_SMALLEST_QUOTE: Final = 1020
_CHUNK: Final = 16 * 1024


class SimulatedPlatform:
    """The program's end of the quote channel. One per process; threads may share it, forked processes may not.

    `descriptor` stays the property of the process: it is neither closed nor passed on to programs started from here.
    """

    def __init__(self, descriptor: int, *, timeout_s: float = TIMEOUT_S) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._timeout_s = timeout_s
        self._frames = Frames(smallest=_SMALLEST_QUOTE, largest=MAX_QUOTE_BYTES)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """How logs call the platform."""
        return "simulated"

    def quote(self, report_data: bytes) -> bytes:
        """Return a fresh quote over 64 bytes of report data."""
        check_report_data(report_data)
        deadline = time.monotonic() + self._timeout_s
        with self._lock:
            try:
                self._send(frame(report_data), deadline)
                return self._answer(report_data, deadline)
            except ChannelBroken as problem:
                raise QuoteUnavailable(f"the launcher of the simulated platform: {problem.sentence}") from None
            except OSError as problem:
                raise QuoteUnavailable(f"the launcher of the simulated platform is gone: {problem.strerror}") from None

    def _send(self, message: bytes, deadline: float) -> None:
        while message:
            self._wait(select.POLLOUT, deadline)
            message = message[os.write(self._descriptor, message) :]

    def _answer(self, report_data: bytes, deadline: float) -> bytes:
        """Read until the quote over `report_data` is there: what comes before answers a question given up earlier."""
        while True:
            self._wait(select.POLLIN, deadline)
            data = os.read(self._descriptor, _CHUNK)
            if not data:
                raise QuoteUnavailable("the launcher of the simulated platform has closed the quote channel")
            for quote in self._frames.receive(data):
                if report_data_of(quote) == report_data:
                    return quote

    def _wait(self, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._descriptor, event)
        left_ms = max(0, int((deadline - time.monotonic()) * 1000))
        if not poll.poll(left_ms):
            raise QuoteUnavailable(f"the simulated platform did not answer within {self._timeout_s:g} s")
