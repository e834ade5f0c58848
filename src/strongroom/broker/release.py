"""Decide which one secret a verdict earns under the owner's rules: a grant, or a denial that says why.

Pure and deny by default (threat KD-11): no rule, no secret. Who asks by name gets what one rule gives alone; where
nobody can ask by name (Gramine's protocol), and rules would give different secrets, none is released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import inf
from typing import Final

from strongroom.attestation import Binding, Claims, Policy, PolicyCode, Reason, Verdict, appraise, claims_of
from strongroom.attestation.policy.outcome import NOT_SAID
from strongroom.attestation.policy.tcb import OUTDATED
from strongroom.broker.names import Pattern, SecretName
from strongroom.errors import CatalogueEntry, StrongroomError
from strongroom.gramine.provisioning import SecretFormat

NEAREST_RULES: Final = 3  # a denial explains at most so many rules
NO_RULES: Final = "NO_RULES"
RULES_AMBIGUOUS: Final = "RULES_AMBIGUOUS"
NOT_FRESH: Final = "EVIDENCE_NOT_FRESH"
NOT_NAMED: Final = "SECRET_NOT_NAMED"
RULE_EXPIRED: Final = "RULE_EXPIRED"
MODEL_TOO_OLD: Final = "MODEL_TOO_OLD"
NO_TENANT: Final = "TENANT_NOT_SERVED"
NOT_RELEASED: Final = "NOT_RELEASED"
DEFAULT_LEASE_SECONDS: Final = 600
_MEANINGS: Final = {
    NO_RULES: ("The policy file holds no rule, so nothing is released.", "Add one with strongroom policy trust."),
    RULES_AMBIGUOUS: (
        "The evidence fulfils rules that release different secrets, so none is released.",
        "Let one build fulfil the rules of one secret: Gramine's protocol cannot ask by name, KBS clients can.",
    ),
    NOT_NAMED: (
        "No rule of the policy releases the secret that was asked for.",
        "Add it to the release of a rule, or correct the name that the client asks for.",
    ),
    NO_TENANT: (
        "The request is for a tenant that is unknown or suspended.",
        "Create or resume it with strongroom tenant, or correct the name that the client asks for.",
    ),
    RULE_EXPIRED: ("The rule's until is over.", "Set a later until if the build may still have the secret."),
    MODEL_TOO_OLD: (
        "The model version that was asked for is below the rule's min_model_version.",
        "Ask for a later version; lower min_model_version only to bring the old model back.",
    ),
    NOT_RELEASED: (
        "Nothing is released: the one answer that a refused client gets, whether there is such a secret or not.",
        "Read why in the broker's log and ledger, under the request's id.",
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
class Limits:
    """How much of a rule may be used, for how long; None is no limit. Who counts leases is not this module."""

    max_leases: int | None = None  # live leases of one secret by this rule at a time
    lease_seconds: int = DEFAULT_LEASE_SECONDS  # a lease ends after so long, and with `until` at the latest
    until: datetime | None = None  # the rule counts before this moment
    min_model_version: int | None = None  # of models, no version below this one
    secret_format: SecretFormat = SecretFormat.RAW16  # over Gramine's protocol, whose clients cannot say what they read


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRule:
    """Who gets what: a policy on the evidence, what it releases (at least one pattern), and how much of it."""

    policy: Policy
    patterns: tuple[Pattern, ...]
    require_fresh: bool
    signature: SignatureCheck = SignatureCheck()
    limits: Limits = NO_LIMITS

    @property
    def name(self) -> str:
        """The rule's name in logs and in the ledger."""
        return self.policy.name

    @property
    def release(self) -> str:
        """What it releases, for people: a name or a pattern, or several joined by commas."""
        return ", ".join(map(str, self.patterns))

    @property
    def single(self) -> SecretName | None:
        """The one secret that it releases; None where there are several, and a client has to ask by name."""
        return self.patterns[0].single if len(self.patterns) == 1 else None

    def names(self, secret: SecretName) -> bool:
        """Return whether the rule is about this secret at all."""
        return any(pattern.matches(secret) for pattern in self.patterns)


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
    """Nothing is released; the reasons are those of the rules that came nearest, for the owner alone."""

    reasons: tuple[DenialReason, ...]

    @property
    def shown(self) -> str:
        """The code that a peer may see: the same whether a secret is unknown or forbidden (threat KD-11)."""
        return NOT_RELEASED


def decide(
    subject: Verdict | Claims,
    rules: Sequence[ReleaseRule],
    *,
    fresh: bool,
    at: datetime,
    binding: Binding | None = None,
    wanted: SecretName | None = None,
) -> Grant | Denial:
    """Return what `rules` give to what evidence says; `fresh`: whether it answers a nonce of this broker.

    `binding`: what the caller knows the evidence to be bound to, for rules that ask. `wanted`: the secret that the
    client names; None where its protocol cannot, and then the rules that hold have to come to one.
    """
    claims = claims_of(subject) if isinstance(subject, Verdict) else subject
    if not rules:
        return Denial((_no_rules(),))
    asked = rules if wanted is None else [rule for rule in rules if rule.names(wanted)]
    judged = [
        (rule, reasons_of(claims, rule, fresh=fresh, at=at, binding=binding, wanted=wanted)) for rule in asked
    ]  # fmt: skip
    fulfilled = [rule for rule, reasons in judged if not reasons]
    if wanted is not None and not judged:
        return Denial((_not_named(wanted),))
    if not fulfilled:
        return Denial(_nearest(judged))
    found = {rule.single if wanted is None else wanted for rule in fulfilled}
    [secret] = found if len(found) == 1 else [None]
    return Denial((_ambiguous(fulfilled),)) if secret is None else Grant(str(secret), most_generous(fulfilled))


def most_generous(rules: Sequence[ReleaseRule]) -> ReleaseRule:
    """Return the rule with the most leases, of these with the longest: a further rule takes nothing away."""
    return max(rules, key=lambda rule: (rule.limits.max_leases or inf, rule.limits.lease_seconds))


def reasons_of(
    claims: Claims, rule: ReleaseRule, *, fresh: bool, at: datetime, binding: Binding | None = None,
    wanted: SecretName | None = None,
) -> tuple[DenialReason, ...]:  # fmt: skip
    """Return everything that keeps claims from fulfilling `rule`, for `wanted` or its one secret."""
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
    reasons += _limited(rule, at, wanted or rule.single)
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


def _limited(rule: ReleaseRule, at: datetime, secret: SecretName | None) -> Iterator[DenialReason]:
    """Compare what a rule limits by date and version; leases are counted where they are kept."""
    until, least = rule.limits.until, rule.limits.min_model_version
    if until is not None and at >= until:
        yield DenialReason(
            code=RULE_EXPIRED, rule=rule.name, word="until", observed=f"{at:%Y-%m-%dT%H:%M:%SZ}",
            expected=f"before {until:%Y-%m-%dT%H:%M:%SZ}", fix=_MEANINGS[RULE_EXPIRED][1],
        )  # fmt: skip
    if least is not None and secret is not None and secret.version is not None and secret.version < least:
        yield DenialReason(
            code=MODEL_TOO_OLD, rule=rule.name, word="min_model_version", observed=str(secret),
            expected=f"version {least} or later", fix=_MEANINGS[MODEL_TOO_OLD][1],
        )  # fmt: skip


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


def _not_named(wanted: SecretName) -> DenialReason:
    return DenialReason(
        code=NOT_NAMED, rule="", word="release", observed=f"a request for {wanted}",
        expected="a secret that a rule names", fix=_MEANINGS[NOT_NAMED][1],
    )  # fmt: skip


def _ambiguous(fulfilled: Sequence[ReleaseRule]) -> DenialReason:
    names = ", ".join(f"{rule.name!r} ({rule.release})" for rule in fulfilled[:NEAREST_RULES])
    return DenialReason(
        code=RULES_AMBIGUOUS, rule=fulfilled[0].name, word="release",
        observed=f"rules that release different secrets: {names}", expected="one secret for one build",
        fix=_MEANINGS[RULES_AMBIGUOUS][1],
    )  # fmt: skip


def entries() -> Iterator[CatalogueEntry]:
    """Yield what the codes mean that a release adds to those of its policy."""
    for code, (meaning, fix) in _MEANINGS.items():
        yield CatalogueEntry(code, "policy", meaning, fix)
