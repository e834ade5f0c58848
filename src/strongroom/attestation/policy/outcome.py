"""What the rules of a policy find, and the decision they make together.

Three outcomes, not two: pass, fail, and unknown where the evidence does not say. Unknown is never a pass: a rule that
is required refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, NoReturn, Self

from strongroom.attestation.binding import Binding
from strongroom.attestation.claims import Claims
from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.contradictions import MAY_STAY_UNKNOWN
from strongroom.attestation.policy.model import Policy
from strongroom.attestation.steps import Outcome
from strongroom.attestation.validity import timestamp

NOT_SAID = "unknown: the evidence does not say"
_PASS = Outcome.PASS
_OUTCOMES = {True: Outcome.PASS, False: Outcome.FAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One rule that a verdict does not meet: what was seen, what the policy wants, what the owner can do."""

    code: str  # a PolicyCode, or a caller's own
    rule: str
    observed: str
    expected: str
    fix: str


class Check(NamedTuple):  # an admission makes a score of them, which of frozen dataclasses takes three times as long
    """One rule and what it found; `required` says whether unknown refuses."""

    name: str  # the word of the policy, or what is always checked
    code: PolicyCode
    outcome: Outcome
    seen: object  # spelled out only when somebody reads it: most checks pass, and nobody does
    wanted: object
    fix: str
    required: bool = True

    @property
    def observed(self) -> str:
        """What was seen, as an owner reads it."""
        return shown(self.seen)

    @property
    def expected(self) -> str:
        """What the policy wants, as an owner reads it."""
        return shown(self.wanted)

    @property
    def refuses(self) -> bool:
        """Whether this rule alone keeps the evidence from being accepted."""
        return self.outcome is Outcome.FAIL or (self.outcome is Outcome.UNKNOWN and self.required)

    @property
    def detail(self) -> str:
        """What was seen and what was wanted, in a few words."""
        tolerated = "" if self.required or self.outcome is not Outcome.UNKNOWN else ", and the policy lets that pass"
        return f"{self.observed}; wanted {self.expected}{tolerated}"

    def to_reason(self) -> Reason:
        """Return the check as a reason of a refusal."""
        return Reason(
            code=self.code, rule=self.name, observed=self.observed, expected=self.expected, fix=self.fix
        )  # fmt: skip

    def to_json_object(self) -> dict[str, object]:
        """Return the check as a machine reads it."""
        return {"name": self.name, "outcome": self.outcome.value, "code": self.code.value, "observed": self.observed,
                "expected": self.expected, "required": self.required}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one policy on one verdict. Ask `accepted`: the object itself has no truth value."""

    accepted: bool
    reasons: tuple[Reason, ...]
    checks: tuple[Check, ...] = ()  # every rule that was asked, in order

    @classmethod
    def of_checks(cls, checks: Iterable[Check]) -> Self:
        """Return the decision that some checks make together."""
        asked = tuple(checks)
        reasons = tuple(check.to_reason() for check in asked if check.outcome is not _PASS and check.refuses)
        return cls(accepted=not reasons, reasons=reasons, checks=asked)

    def __bool__(self) -> NoReturn:
        raise TypeError("ask the decision's `accepted`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is judged by what, and when."""

    claims: Claims
    policy: Policy
    at: datetime
    binding: Binding | None

    def check(  # noqa: PLR0917  # a row of a table: code, word, outcome, seen, wanted, what to do
        self, code: PolicyCode, name: str, holds: bool | None, observed: object, expected: object, fix: str, *,
        required: bool | None = None,
    ) -> Check:  # fmt: skip
        """Return one check; `holds` None is unknown, required unless the policy lets this rule stay unknown."""
        required = name not in self.policy.accept_unknown if required is None else required
        if holds is None:
            return Check(name, code, Outcome.UNKNOWN, NOT_SAID, expected, _fix_of_unknown(name, fix), required)
        return Check(name, code, _OUTCOMES[holds], observed, expected, fix, required)


def _fix_of_unknown(name: str, fix: str) -> str:
    """Return what to do about a rule that evidence leaves open: to allow that by name, where a rule may be."""
    if name not in MAY_STAY_UNKNOWN:
        return fix
    return f"Use a quote, which says it; or name {name} in accept_unknown if you rely on the service's own rules."


def shown(value: object) -> str:
    """Return a value as an owner reads it: bytes in hex, times in UTC, sets as alternatives.

    A text that takes long to make is given as a function that makes it.
    """
    if callable(value):
        return str(value())
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, frozenset):
        return " or ".join(sorted(map(shown, value)))
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, timedelta):
        return str(value).removesuffix(", 0:00:00")
    return str(value)
