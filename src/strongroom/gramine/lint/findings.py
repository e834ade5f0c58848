"""What a linter reports: which rule, where, why, and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How grave a finding is."""

    ERROR = "error"  # not fit for production
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: its id, its level, and what it finds, as the documentation prints it."""

    id: str
    level: Level
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where a manifest breaks a rule."""

    rule: Rule
    place: str  # as sgx.allowed_files[2]
    line: int | None
    why: str
    fix: str

    @property
    def is_error(self) -> bool:
        """Whether it keeps the manifest from production."""
        return self.rule.level is Level.ERROR

    def as_error(self) -> Finding:
        """Return the same finding, graver."""
        return replace(self, rule=replace(self.rule, level=Level.ERROR))

    def to_json_object(self) -> dict[str, Any]:
        """Return the finding as a machine reads it."""
        words = {"rule": self.rule.id, "level": str(self.rule.level), "place": self.place, "line": self.line}
        return {**words, "why": self.why, "fix": self.fix}
