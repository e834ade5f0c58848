"""The one error tree: a stable code, a sentence with what was seen and wanted, and what to do.

The family says whose move it is: `BadInput` (the caller's), `Refused` (policy said no), `Unreachable` (try later),
`Tampered` (stop). Rooms define their own leaves beside the code that raises them; `docs/errors.md` is generated
from `catalogue()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, order=True)
class CatalogueEntry:
    """One line of the error catalogue: what a code means and what to do about it."""

    code: str
    family: str
    meaning: str
    fix: str


class StrongroomError(Exception):
    """Root of every error that leaves Strongroom on purpose.

    A leaf class sets `code` and `fix`; an instance carries the sentence and may carry a more exact fix.
    """

    code: ClassVar[str] = ""
    fix: str = ""
    exit_status: ClassVar[int] = 2
    family: ClassVar[str] = ""

    def __init__(self, sentence: str, *, fix: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        if fix is not None:
            self.fix = fix

    def to_json_object(self) -> dict[str, str]:
        """Return the error as a machine reads it: family, code, sentence, fix."""
        return {"family": self.family, "code": self.code, "sentence": self.sentence, "fix": self.fix}

    @classmethod
    def entries(cls) -> Iterator[CatalogueEntry]:
        """Yield the catalogue lines of this class alone; a class that carries many codes overrides it."""
        if cls.code:
            meaning = (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
            yield CatalogueEntry(cls.code, cls.family, meaning, cls.fix)


class BadInput(StrongroomError):
    """The caller's move: the input cannot be used as it is."""

    family = "bad input"
    exit_status = 2


class Refused(StrongroomError):
    """Policy said no, or what was given is outdated or of another kind; asking again alone will not help."""

    family = "refused"
    exit_status = 3


class Unreachable(StrongroomError):
    """Something needed is not there at the moment; try later."""

    family = "unreachable"
    exit_status = 4


class Tampered(StrongroomError):
    """Stop: bytes are not what their owner made, or evidence does not hold."""

    family = "tampered"
    exit_status = 3


def catalogue(root: type[StrongroomError] = StrongroomError) -> Iterator[CatalogueEntry]:
    """Yield the entries of every error class imported so far, depth first."""
    yield from root.entries()
    for leaf in root.__subclasses__():
        yield from catalogue(leaf)
