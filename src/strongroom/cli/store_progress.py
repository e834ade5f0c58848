"""How long copies of a store say how far they are: a line on standard error, every two seconds."""

from __future__ import annotations

import sys
import time
from typing import Final

EVERY_S: Final = 2.0


class Steps:
    """Called with rows done and rows in all; silent where it is over before anybody wonders."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY_S

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is, if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            sys.stderr.write(f"{done} of {total} rows\n")
            sys.stderr.flush()
