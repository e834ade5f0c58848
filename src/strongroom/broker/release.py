"""Decide which one secret a verdict earns under the owner's rules: a grant, or a denial that says why.

Pure and deny by default (threat KD-11): no rule, no secret; and where two rules would give different secrets, none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from strongroom.attestation import Binding, Claims, Policy, PolicyCode, Reason, Verdict, appraise, claims_of
from strongroom.attestation.policy.outcome import NOT_SAID
from strongroom.attestation.policy.tcb import OUTDATED
from strongroom.errors import CatalogueEntry, StrongroomError

NEAREST_RULES: Final = 3  # a denial explains at most so many rules
NO_RULES: Final = "NO_RULES"
RULES_AMBIGUOUS: Final = "RULES_AMBIGUOUS"
NOT_FRESH: Final = "EVIDENCE_NOT_FRESH"
_MEANINGS: Final = {
    NO_RULES: ("The policy file holds no rule, so nothing is released.", "Add one with strongroom policy trust."),
    RULES_AMBIGUOUS: (
        "The evidence fulfils rules that release different secrets, so none is released.",
        "Let one build fulfil the rules of one secret: Gramine's protocol cannot ask for a secret by name.",
    ),
    NOT_FRESH: (
        "The rule wants evidence that answers a nonce, and this answers none.",
        "Gramine's own protocol has no nonce; set require_fresh = false if possession of the key is enough.",
    ),
}  # what these codes mean, then what to do
_RESIGN: Final = "Sign the enclave with the key, product and version that the rule names, or change the rule."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCheck:
    """Values of the enclave's signature that must hold besides the policy's identity; None is not compared."""

    mrsigner: bytes | None = None  # 32 bytes
    isvprodid: int | None = None
    min_isvsvn: int | None = None
    max_isvsvn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRule:
    """Who gets what: a policy on the evidence, and the name of the one secret that it releases."""

    policy: Policy
    release: str
    require_fresh: bool
    signature: SignatureCheck = SignatureCheck()

    @property
    def name(self) -> str:
        """The rule's name in logs and in the ledger."""
        return self.policy.name


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialReason:
    """Why nothing is released: a rule of the policy file (empty: no rule was reached), its word, seen, wanted, fix."""

    code: str
    rule: str
    word: str
    observed: str
    expected: str
    fix: str

    @classmethod
    def of_error(cls, problem: StrongroomError) -> DenialReason:
        """Return the reason that an error is, where evidence or a request does not hold."""
        return cls(
            code=problem.code, rule="", word="", observed=problem.sentence, expected="nothing wrong", fix=problem.fix
        )

    def to_json_object(self) -> dict[str, str]:
        """Return the reason as the ledger holds it."""
        return asdict(self)

    def __str__(self) -> str:
        place = f"rule {self.rule!r}, {self.word}: " if self.rule else ""
        wanted = f"; expected {self.expected}" if self.word else ""
        return f"[{self.code}] {place}{self.observed}{wanted}. {self.fix}"


@dataclass(frozen=True, slots=True)
class Grant:
    """The evidence fulfils `rule`, which releases the secret of this name."""

    secret_name: str
    rule: ReleaseRule


@dataclass(frozen=True, slots=True)
class Denial:
    """Nothing is released; the reasons are those of the rules that came nearest."""

    reasons: tuple[DenialReason, ...]


def decide(
    subject: Verdict | Claims,
    rules: Sequence[ReleaseRule],
    *,
    fresh: bool,
    at: datetime,
    binding: Binding | None = None,
) -> Grant | Denial:
    """Return what `rules` give to what evidence says; `fresh`: whether it answers a nonce of this broker.

    `binding`: what the caller knows the evidence to be bound to, for rules that ask.
    """
    claims = claims_of(subject) if isinstance(subject, Verdict) else subject
    judged = [(rule, reasons_of(claims, rule, fresh=fresh, at=at, binding=binding)) for rule in rules]
    fulfilled = [rule for rule, reasons in judged if not reasons]
    if not judged:
        return Denial((_no_rules(),))
    if not fulfilled:
        return Denial(_nearest(judged))
    if len({rule.release for rule in fulfilled}) > 1:
        return Denial((_ambiguous(fulfilled),))
    return Grant(fulfilled[0].release, fulfilled[0])


def reasons_of(
    claims: Claims, rule: ReleaseRule, *, fresh: bool, at: datetime, binding: Binding | None = None
) -> tuple[DenialReason, ...]:
    """Return everything that keeps claims from fulfilling `rule`; nothing if they do."""
    decision = appraise(claims, rule.policy, at=at, binding=binding)
    reasons = [_of_reason(rule, reason) for reason in decision.reasons]
    reasons += _signature(claims, rule)
    if rule.require_fresh and not fresh:
        reasons.append(
            DenialReason(
                code=NOT_FRESH, rule=rule.name, word="require_fresh",
                observed="evidence that answers no nonce", expected="an answer to a nonce of this broker",
                fix="Gramine's own protocol has no nonce; set require_fresh = false if the key's possession is enough.",
            )
        )  # fmt: skip
    if not reasons and not decision.accepted:
        raise ValueError("a policy refuses without a reason")  # never grant on a contradiction
    return tuple(reasons)


def _of_reason(rule: ReleaseRule, reason: Reason) -> DenialReason:
    return DenialReason(
        code=reason.code, rule=rule.name, word=reason.rule,
        observed=reason.observed, expected=reason.expected, fix=reason.fix,
    )  # fmt: skip


def outdated_since(verdict: Verdict, rule: ReleaseRule) -> str | None:
    """Return the date of the level at which a platform is that the rule admits in its grace only; else None."""
    graced = rule.policy.platform_grace is not None and verdict.status in OUTDATED
    return f"{verdict.tcb_date:%Y-%m-%d}" if graced else None


def _signature(claims: Claims, rule: ReleaseRule) -> Iterator[DenialReason]:
    """Compare what the signature says; what the evidence does not say refuses as well."""
    check, svn = rule.signature, claims.isv_svn
    if check.mrsigner is not None and claims.mr_signer != check.mrsigner:
        seen = NOT_SAID if claims.mr_signer is None else claims.mr_signer.hex()
        yield _resign(rule, PolicyCode.MRSIGNER, "mrsigner", seen, check.mrsigner.hex())
    if check.isvprodid is not None and claims.isv_prod_id != check.isvprodid:
        seen = NOT_SAID if claims.isv_prod_id is None else str(claims.isv_prod_id)
        yield _resign(rule, PolicyCode.ISVPRODID, "isvprodid", seen, check.isvprodid)
    shown = NOT_SAID if svn is None else str(svn)
    if check.min_isvsvn is not None and (svn is None or svn < check.min_isvsvn):
        yield _resign(rule, PolicyCode.ISVSVN, "min_isvsvn", shown, f"at least {check.min_isvsvn}")
    if check.max_isvsvn is not None and (svn is None or svn > check.max_isvsvn):
        yield _resign(rule, PolicyCode.ISVSVN, "max_isvsvn", shown, f"at most {check.max_isvsvn}")


def _resign(rule: ReleaseRule, code: str, word: str, observed: object, expected: object) -> DenialReason:
    return DenialReason(
        code=code, rule=rule.name, word=word, observed=str(observed), expected=str(expected), fix=_RESIGN
    )  # fmt: skip


def _nearest(judged: Sequence[tuple[ReleaseRule, tuple[DenialReason, ...]]]) -> tuple[DenialReason, ...]:
    """Return the reasons of the rules that came nearest, in the order of the file: rules for this kind of TEE first."""
    fewest = min(_distance(reasons) for _, reasons in judged)
    nearest = [reasons for _, reasons in judged if _distance(reasons) == fewest][:NEAREST_RULES]
    return tuple(reason for reasons in nearest for reason in reasons)


def _distance(reasons: Sequence[DenialReason]) -> tuple[bool, int]:
    return any(reason.code == PolicyCode.TEE for reason in reasons), len(reasons)


def _no_rules() -> DenialReason:
    return DenialReason(
        code=NO_RULES, rule="", word="rule", observed="a policy file without rules", expected="a rule for this build",
        fix="Add one with strongroom policy trust.",
    )  # fmt: skip


def _ambiguous(fulfilled: Sequence[ReleaseRule]) -> DenialReason:
    names = ", ".join(f"{rule.name!r} ({rule.release})" for rule in fulfilled)
    return DenialReason(
        code=RULES_AMBIGUOUS, rule=fulfilled[0].name, word="release",
        observed=f"rules that release different secrets: {names}", expected="one secret for one build",
        fix="Gramine's protocol cannot ask for a secret by name: let one build fulfil the rules of one secret.",
    )  # fmt: skip


def entries() -> Iterator[CatalogueEntry]:
    """Yield what the codes mean that a release adds to those of its policy."""
    for code, (meaning, fix) in _MEANINGS.items():
        yield CatalogueEntry(code, "policy", meaning, fix)
