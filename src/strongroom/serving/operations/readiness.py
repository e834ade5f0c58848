"""Why this server is not ready, in words for its operator. Pure.

Every part that is not done says why; the server is ready when no part has anything to say. Reasons are the operator's
own facts (its platform, its folders, its broker's address), never what policy said (threats SV-10, SV-19).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Readiness:
    """The parts that are waited for, in the order in which they began to wait."""

    _waiting: dict[str, str] = field(default_factory=dict)
    _checks: list[Callable[[], str | None]] = field(default_factory=list)
    _listeners: list[Callable[[bool], None]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether nothing is waited for."""
        return not self._waiting and all(check() is None for check in self._checks)

    @property
    def reason(self) -> str:
        """What is waited for, or `ready`."""
        asked = (check() for check in self._checks)
        return "; ".join([*self._waiting.values(), *(reason for reason in asked if reason)]) or "ready"

    def check(self, reason: Callable[[], str | None]) -> None:
        """Ask `reason`, too, whenever somebody wants to know; None is ready. Listeners do not hear of its changes."""
        self._checks.append(reason)

    def wait(self, part: str, reason: str) -> None:
        """Note that `part` is not done and why; a new reason takes an old one's place."""
        was = self.ready
        self._waiting[part] = reason
        self._tell(was)

    def done(self, part: str) -> None:
        """Note that `part` is done, or is not waited for any more."""
        was = self.ready
        self._waiting.pop(part, None)
        self._tell(was)

    def listen(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call `listener` whenever ready becomes not ready or the reverse; return the function that stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def _tell(self, was: bool) -> None:
        if self.ready is not was:
            for listener in tuple(self._listeners):
                listener(self.ready)
