"""What a demonstration found: steps, photographs and attacks, as values that people and machines read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the reference solution's figure: its number there, who does it to whom, and what."""

    number: int
    who: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step that happened: when, and how long it took, in seconds from the beginning; and what was seen."""

    step: Step
    at: float
    seconds: float
    seen: str

    def to_json_object(self) -> dict[str, object]:
        """Return the step as one flat object."""
        times = {"at": round(self.at, 3), "seconds": round(self.seconds, 3)}
        return {**asdict(self.step), **times, "seen": self.seen}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoResult:
    """A photograph, its best classes as (name, probability), and whether the first is the known one."""

    photo: str
    classes: tuple[tuple[str, float], ...]
    version: int
    latency_ms: float
    as_known: bool

    def to_json_object(self) -> dict[str, object]:
        """Return the photograph's classes as objects."""
        listed = [{"name": name, "probability": probability} for name, probability in self.classes]
        return {**asdict(self), "classes": listed}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """An attack that was carried out: who refused it, with which code and sentence, and whether that was the reason.

    `wanted` lists the codes that would be right; anything else, success of the attack included, is a failure.
    """

    attack: str
    refused_by: str
    code: str
    sentence: str
    wanted: tuple[str, ...]
    seconds: float

    @property
    def refused(self) -> bool:
        """Whether the attack was refused for the right reason."""
        return self.code in self.wanted

    def to_json_object(self) -> dict[str, object]:
        """Return the attack as one flat object."""
        return {**asdict(self), "wanted": list(self.wanted), "seconds": round(self.seconds, 3), "refused": self.refused}


@dataclass(slots=True)
class Report:
    """Everything so far; `ok` is what the exit status says."""

    steps_wanted: int
    attacks_wanted: int
    steps: list[StepResult] = field(default_factory=list)
    photos: list[PhotoResult] = field(default_factory=list)
    attacks: list[AttackResult] = field(default_factory=list)
    proof: dict[str, Any] = field(default_factory=dict)
    replicas_seen: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every step happened, every known photograph was recognised, and every attack was refused."""
        complete = len(self.steps) == self.steps_wanted and len(self.attacks) == self.attacks_wanted
        return complete and all(each.as_known for each in self.photos) and all(each.refused for each in self.attacks)

    def to_json_object(self) -> dict[str, object]:
        """Return the report as a machine reads it."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "steps": [each.to_json_object() for each in self.steps],
            "photographs": [each.to_json_object() for each in self.photos],
            "proof": self.proof,
            "replicas_seen": self.replicas_seen,
            "attacks": [each.to_json_object() for each in self.attacks],
        }
