"""What a rollout remembers between its steps, so that it goes on after a crash.

World: one file of the workspace, replaced in one step, readable by its owner alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from strongroom.deploy.cluster.rollout_plan import Position, Step
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.wire import strict_json

FILE: Final = "deploy-rollout.json"
FORMAT: Final = 1
MAX_BYTES: Final = 8 * 1024 * 1024
_HEX: Final = re.compile(r"([0-9a-f]{2}){0,64}")
BEGINNING: Final = Position()


class RolloutStateMalformed(BadInput):
    """The file that a rollout remembers itself by is not as it was written."""

    code = "SR-ROLLOUT-STATE"
    fix = "Look at strongroom deploy status, then remove deploy-rollout.json from the workspace and start anew."


class RolloutUnderWay(BadInput):
    """Another rollout has begun and not ended."""

    code = "SR-ROLLOUT-UNDER-WAY"
    fix = "Run strongroom deploy rollout without NEW to go on with it, or with --abort to go back."


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """One rollout: from what to what, and where it stands."""

    label: str  # NEW, as it was said
    position: Position = BEGINNING
    old: Mapping[str, Any] = field(default_factory=dict)  # the Deployment before, as the server had it
    new: Mapping[str, Any] = field(default_factory=dict)  # the Deployment after, as it was rendered
    images: Mapping[str, str] = field(default_factory=dict)  # by role, to be pinned at the end
    old_measurements: tuple[str, ...] = ()
    new_measurement: str = ""  # empty: the same program serves another model version
    build: Mapping[str, str] = field(default_factory=dict)  # a domain's words, hex
    model: str = ""
    model_version: int = 0
    tenant: str = "default"
    rules: tuple[str, ...] = ()  # added to the policy
    proposed: int = 0  # the version of the policy that waits for its owners; 0: none
    ledger_seq: int = -1  # the ledger's last line before the first step
    revocations: tuple[str, ...] = ()
    proof: str = ""  # the code by which the old replica was refused

    def at(self, position: Position) -> RolloutState:
        """Return the same rollout at another step."""
        return replace(self, position=position)

    def to_json(self) -> bytes:
        """Return the file's content."""
        return json.dumps({"format": FORMAT, **asdict(self)}).encode()

    @classmethod
    def parse(cls, content: bytes) -> RolloutState:
        """Read the file's content. Raises RolloutStateMalformed."""
        found = strict_json.loads(
            content, what=FILE, error=RolloutStateMalformed, max_bytes=MAX_BYTES, max_depth=64
        )  # fmt: skip
        if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
            raise RolloutStateMalformed(f"{FILE} is not of format {FORMAT}")
        kinds = {name: type(value) for name, value in asdict(cls(label="")).items()}
        if found.keys() != kinds.keys():
            raise RolloutStateMalformed(f"{FILE} does not hold what a rollout remembers")
        for name, kind in kinds.items():
            wanted = list if kind is tuple else kind
            if not isinstance(found[name], wanted) or isinstance(found[name], bool):
                raise RolloutStateMalformed(f"{FILE}: {name} is not of the type {wanted.__name__}")
            if kind is tuple:
                found[name] = _texts(name, found[name])
        for name in ("images", "build"):
            _texts(name, list(found[name].values()))
        for each in (*found["old_measurements"], found["new_measurement"], *found["build"].values()):
            if not _HEX.fullmatch(each):
                raise RolloutStateMalformed(f"{FILE} holds a measurement that is none")
        return cls(**{**found, "position": _position(found["position"])})


def _texts(name: str, values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(each, str) for each in values):
        raise RolloutStateMalformed(f"{FILE}: {name} holds something that is not text")
    return tuple(values)


def _position(value: dict[str, Any]) -> Position:
    try:
        return Position(step=Step(value["step"]), why=str(value["why"])[:2000])
    except (KeyError, ValueError):
        raise RolloutStateMalformed(f"{FILE} does not say where the rollout stands") from None


def load(workspace: Path) -> RolloutState | None:
    """Return the rollout that has not ended, None where there is none. Raises RolloutStateMalformed."""
    try:
        content = disk.read_bounded(workspace / FILE, limit=MAX_BYTES)
    except FileNotFoundError:
        return None
    return RolloutState.parse(content)


def save(workspace: Path, state: RolloutState) -> None:
    """Remember a rollout; one that has ended is forgotten."""
    if state.position.ended:
        (workspace / FILE).unlink(missing_ok=True)
    else:
        disk.replace_private(workspace / FILE, state.to_json())
