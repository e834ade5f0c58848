"""What a worker asks of its model: a front's view of the dataplane, never an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.signatures import Signature


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model answers: sealed records and results are bound to name and version. `digest`: SHA-256 hex."""

    name: str
    version: int
    digest: str


class Predictor(Protocol):
    """A loaded and warmed-up model. All methods belong to one event loop."""

    @property
    def identity(self) -> ModelIdentity:
        """The model's name, version and digest."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives, by name, in the model's order."""

    @property
    def batchable(self) -> bool:
        """Whether records may share a run: every input has a free first dimension."""

    @property
    def not_ready_reason(self) -> str | None:
        """Why it cannot answer now (no key yet, its lease is lost), None where it can."""

    async def predict(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run on arrays of the model's types and ranks, batch dimension included. Raises StrongroomError."""

    async def close(self) -> None:
        """Let go of the model and of the keys that opened it."""
