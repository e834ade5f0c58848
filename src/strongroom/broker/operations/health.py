"""Whether this broker could release a secret now, part by part, each with the reason why not.

World: a clock. The parts are callables that return, or raise what keeps them from working.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import StrongroomError

FRESH_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """One part, and what is wrong with it; nothing if it works."""

    name: str
    problem: str = ""
    code: str = ""
    fix: str = ""

    @property
    def works(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at all parts found."""

    parts: tuple[PartHealth, ...]

    @property
    def ready(self) -> bool:
        """Whether a correct replica would get its secret."""
        return all(part.works for part in self.parts)

    def to_json_object(self, *, reasons: bool) -> dict[str, object]:
        """Return it as /readyz does; without `reasons` only which part does not work, for whoever may ask."""
        return {
            "ready": self.ready,
            "parts": {
                part.name: "works" if part.works else part.problem if reasons else "does not work"
                for part in self.parts
            },
        }


class Recently:
    """The last look, while it is new: anybody may ask as often as they like, and the store is asked once a second."""

    def __init__(self, look: Callable[[], Health], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[float, Health] | None = None

    def __call__(self) -> Health:
        """Return what was found at most a second ago. Threads may share it; one looks, the others wait."""
        with self._lock:
            if self._found is None or self._clock() - self._found[0] >= FRESH_S:
                found = self._look()
                self._found = self._clock(), found
            return self._found[1]


def examine(parts: Mapping[str, Callable[[], object]]) -> Health:
    """Ask every part; a defect in one is that part's problem, for a look must never end a broker."""
    return Health(tuple(_examined(name, look) for name, look in parts.items()))


def _examined(name: str, look: Callable[[], object]) -> PartHealth:
    try:
        look()
    except StrongroomError as problem:
        return PartHealth(name=name, problem=problem.sentence, code=problem.code, fix=problem.fix)
    except Exception as defect:  # noqa: BLE001  # see `examine`
        return PartHealth(name=name, problem=f"failed with {type(defect).__name__}", code="SR-DEFECT")
    return PartHealth(name=name)
