"""The order of a rollout, and the way back: a machine of steps. Pure.

Kept at every moment, also after a crash between any two steps: the version that replicas run is admitted and not
revoked. So the new measurement is admitted before a replica runs it, the old one is revoked after the last replica
left it, and on the way back both happen in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """What is to be done next."""

    ADMIT = "admit"  # the new measurement beside the old one
    SHIFT = "shift"  # replicas, one by one, each after the one before has proved itself
    WATCH = "watch"  # errors, refusals, readiness, for a while
    REVOKE = "revoke"  # the old measurement
    PROVE = "prove"  # start an old replica once more and see it refused
    FINISHED = "finished"
    LIFT = "lift"  # the revocation of the old measurement
    RESTORE = "restore"  # the old replicas
    WITHDRAW = "withdraw"  # the new measurement
    ROLLED_BACK = "rolled back"


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    LATER = "later"  # it waits for somebody, or could not be carried out now: nothing is wrong with the new version
    FAILED = "failed"


ENDS: Final = frozenset({Step.FINISHED, Step.ROLLED_BACK})
_FORWARD: Final = {Step.ADMIT: Step.SHIFT, Step.SHIFT: Step.WATCH, Step.WATCH: Step.REVOKE, Step.REVOKE: Step.PROVE,
                   Step.PROVE: Step.FINISHED, Step.LIFT: Step.RESTORE, Step.RESTORE: Step.WITHDRAW,
                   Step.WITHDRAW: Step.ROLLED_BACK}  # fmt: skip
# Where the way back begins: a step that failed may have been carried out in part, so it is undone too.
_BACK: Final = {Step.ADMIT: Step.WITHDRAW, Step.SHIFT: Step.RESTORE, Step.WATCH: Step.RESTORE, Step.REVOKE: Step.LIFT,
                Step.PROVE: Step.LIFT}  # fmt: skip
SENTENCES: Final = {
    Step.ADMIT: "admit the new version beside the old one",
    Step.SHIFT: "shift replicas to the new version, one by one",
    Step.WATCH: "watch errors, refusals and readiness",
    Step.REVOKE: "revoke the old version at the broker",
    Step.PROVE: "start an old replica and see it refused",
    Step.FINISHED: "the new version serves; the old one gets no key any more",
    Step.LIFT: "lift the revocation of the old version",
    Step.RESTORE: "bring the old replicas back",
    Step.WITHDRAW: "withdraw the new version's rules",
    Step.ROLLED_BACK: "the old version serves as before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a rollout stands."""

    step: Step = Step.ADMIT
    why: str = ""  # the first failure, in one sentence

    @property
    def going_back(self) -> bool:
        """Whether the old version is being restored."""
        return self.step not in _BACK and self.step is not Step.FINISHED

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.step in ENDS


def after(position: Position, outcome: Outcome, why: str = "") -> Position:
    """Return where a rollout stands after its step; `why` says what failed."""
    if position.ended or outcome is Outcome.LATER:
        return position
    if outcome is Outcome.DONE:
        return replace(position, step=_FORWARD[position.step])
    back = _BACK.get(position.step)
    return position if back is None else replace(position, step=back, why=position.why or why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a new version may do while it is watched."""

    watch_s: float = 30.0
    errors: int = 0  # requests that new replicas failed
    refusals: int = 0  # refusals of the new measurement in the broker's ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen so far."""

    elapsed_s: float
    ready: int
    wanted: int
    errors: int
    refusals: int
    restarts: int


def judge(seen: Watched, limits: Limits) -> tuple[Outcome, str]:
    """Return whether the new version holds, still has to be watched (LATER), or failed and why."""
    if seen.errors > limits.errors:
        return Outcome.FAILED, f"the new replicas failed {seen.errors} requests; {limits.errors} are allowed"
    if seen.refusals > limits.refusals:
        return (
            Outcome.FAILED,
            f"the broker refused the new version {seen.refusals} times; {limits.refusals} are allowed",
        )
    if seen.restarts > 0:
        return Outcome.FAILED, f"new replicas were started again {seen.restarts} times"
    if seen.elapsed_s < limits.watch_s:
        return Outcome.LATER, ""
    if seen.ready < seen.wanted:
        return Outcome.FAILED, f"{seen.ready} of {seen.wanted} replicas are ready after {seen.elapsed_s:.0f} seconds"
    return Outcome.DONE, ""
