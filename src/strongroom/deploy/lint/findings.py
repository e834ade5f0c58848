"""What the lint of Kubernetes objects reports: which rule, in which object, where, why, and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from strongroom.gramine.lint.findings import Level, Rule

__all__ = ["Finding", "Level", "Rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where an object breaks a rule."""

    rule: Rule
    object: str  # as Deployment/serving/model-server: kind, namespace if it has one, name
    place: str  # as spec.template.spec.containers[0].securityContext
    why: str
    fix: str

    @property
    def is_error(self) -> bool:
        """Whether it keeps the object from production."""
        return self.rule.level is Level.ERROR

    def as_error(self) -> Finding:
        """Return the same finding, graver."""
        return replace(self, rule=replace(self.rule, level=Level.ERROR))

    def to_json_object(self) -> dict[str, Any]:
        """Return the finding as a machine reads it."""
        words = {"rule": self.rule.id, "level": str(self.rule.level), "object": self.object, "place": self.place}
        return {**words, "why": self.why, "fix": self.fix}
