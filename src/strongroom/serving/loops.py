"""Run the server on the fastest event loop there is: uvloop, or asyncio's own where uvloop is absent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")


def run(main: Coroutine[Any, Any, Value]) -> Value:
    """Run a coroutine on a loop of its own to its end."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
