"""What answers requests of the certification API, and how it fails. Pure."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from strongroom.collateral.api import Answer, Request
from strongroom.errors import Unreachable

_NO_SUCH_THING: Final = frozenset({404, 410})


class SourceFailed(Unreachable):
    """A collateral source gave no answer that can be used."""

    code = "SR-COLLATERAL-SOURCE"
    fix = "Name another source as well; strongroom collateral doctor says of each what is wrong."

    def __init__(
        self,
        sentence: str,
        *,
        fix: str | None = None,
        status: int | None = None,
        again: bool = False,
        after_s: float | None = None,
    ) -> None:
        super().__init__(sentence, fix=fix)
        self.status = status
        self.again = again  # whether asking once more may help
        self.after_s = after_s

    @property
    def definitive(self) -> bool:
        """Whether the source said that there is no such thing."""
        return self.status in _NO_SUCH_THING


@runtime_checkable
class Closable(Protocol):
    """A source that may be waiting for somebody."""

    def close(self) -> None:
        """End what is under way, and ask no more."""


class AnswerSource(Protocol):
    """Something that answers requests of the certification API. It is not trusted."""

    @property
    def name(self) -> str:
        """What operators call it."""

    def answer(self, request: Request) -> Answer:
        """Return an answer of status 200; raise SourceFailed."""
