"""Release rules as people meet them: as policy.toml, as sentences, and from a seed user's ra_config.json.

Pure. Whatever is written here is read back by `policy_file.parse` before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from strongroom.attestation import Policy, TcbStatus, TrustDomain
from strongroom.broker.policy_file import DEFAULT_AGE_DAYS
from strongroom.broker.release import ReleaseRule, SignatureCheck
from strongroom.gramine.ra_config import RaConfig, RaConfigEntry

UP_TO_DATE_ONLY: Final = frozenset({TcbStatus.UP_TO_DATE})
NOT_COMPARED: Final = SignatureCheck()
_STRICTER: Final = (
    "debug enclaves and platforms that are not up to date are refused, though the original's image admitted both;"
    " add allow_debug or accepted_tcb_status to a rule to admit them"
)


def strict_rule(
    name: str,
    *,
    release: str,
    mrenclave: bytes | None,
    signature: SignatureCheck = NOT_COMPARED,
    trust_domains: Iterable[TrustDomain] = (TrustDomain.INTEL,),
    max_collateral_age_days: int = DEFAULT_AGE_DAYS,
) -> ReleaseRule:
    """Return a rule with nothing weakened: up-to-date platforms, no debug, no advisories, collateral of a week.

    Without `mrenclave`, `signature` names signer, product and least SVN. Raises PolicyUnusable.
    """
    by_signer = mrenclave is None
    policy = Policy(
        name=name,
        mrenclave=mrenclave,
        mrsigner=signature.mrsigner if by_signer else None,
        isvprodid=signature.isvprodid if by_signer else None,
        min_isvsvn=signature.min_isvsvn if by_signer else None,
        accepted_tcb_status=UP_TO_DATE_ONLY,
        accepted_advisory_ids=frozenset(),
        rejected_advisory_ids=frozenset(),
        allow_debug=False,
        trust_domains=frozenset(trust_domains),
        max_collateral_age=timedelta(days=max_collateral_age_days),
    )
    rest = SignatureCheck(max_isvsvn=signature.max_isvsvn) if by_signer else signature
    return ReleaseRule(policy=policy, release=release, require_fresh=False, signature=rest)


def render(rule: ReleaseRule, *, comments: Sequence[str] = ()) -> str:
    """Return a rule as the TOML table that `policy_file.parse` reads back as the same rule."""
    policy = rule.policy
    lines = ["[[rule]]", *(f"# {comment}" for comment in comments), f'name = "{rule.name}"']
    lines += [f"{word} = {_value(value)}" for word, value in _identity(rule)]
    lines.append(f"accepted_tcb_status = {_value(sorted(policy.accepted_tcb_status))}")
    if policy.accepted_advisory_ids:
        lines.append(f"accepted_advisory_ids = {_value(sorted(policy.accepted_advisory_ids))}")
    if policy.rejected_advisory_ids:
        lines.append(f"rejected_advisory_ids = {_value(sorted(policy.rejected_advisory_ids))}")
    lines.append(f"trust_domains = {_value(sorted(policy.trust_domains))}")
    lines.append(f"allow_debug = {_value(policy.allow_debug)}")
    lines.append(f"max_collateral_age_days = {policy.max_collateral_age.days}")
    if rule.require_fresh:
        lines.append("require_fresh = true")
    lines.append(f'release = "{rule.release}"')
    return "\n".join(lines) + "\n"


def _identity(rule: ReleaseRule) -> Iterator[tuple[str, object]]:
    policy, signature = rule.policy, rule.signature
    values = (
        ("mrenclave", policy.mrenclave),
        ("mrsigner", policy.mrsigner or signature.mrsigner),
        ("isvprodid", signature.isvprodid if policy.isvprodid is None else policy.isvprodid),
        ("min_isvsvn", signature.min_isvsvn if policy.min_isvsvn is None else policy.min_isvsvn),
        ("max_isvsvn", signature.max_isvsvn),
    )
    return ((word, value.hex() if isinstance(value, bytes) else value) for word, value in values if value is not None)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def identity_of(rule: ReleaseRule) -> str:
    """Return who fulfils the rule, in a few words."""
    return ", ".join(f"{word} {value}" for word, value in _identity(rule))


def describe(rule: ReleaseRule) -> list[str]:
    """Return in sentences what the rule admits; what weakens it is marked with `careful:`."""
    policy = rule.policy
    domains = " or ".join(sorted(policy.trust_domains))
    lines = [f"releases {rule.release} to code with {identity_of(rule)}, on the trust domain {domains}"]
    if TrustDomain.SIMULATED in policy.trust_domains:
        lines.append("careful: the simulated platform proves nothing about hardware and keeps nothing secret")
    if policy.allow_debug:
        lines.append("careful: debug enclaves are admitted, whose memory the host can read")
    lesser = sorted(policy.accepted_tcb_status - UP_TO_DATE_ONLY)
    if lesser:
        lines.append(f"careful: platforms that are {' or '.join(lesser)} are admitted")
    if policy.accepted_advisory_ids:
        lines.append(f"careful: accepts the advisories {', '.join(sorted(policy.accepted_advisory_ids))}")
    if policy.max_collateral_age.days > DEFAULT_AGE_DAYS:
        lines.append(f"careful: collateral may be {policy.max_collateral_age.days} days old")
    if rule.require_fresh:
        lines.append("needs evidence that answers a nonce, which Gramine's own protocol cannot give")
    return lines


def rules_of(
    config: RaConfig,
    *,
    release: str,
    svn_exact: bool = False,
    trust_domains: Iterable[TrustDomain] = (TrustDomain.INTEL,),
) -> list[ReleaseRule]:
    """Return one rule per entry, named import-1 to import-n, with nothing weakened. Raises PolicyUnusable."""
    domains = tuple(trust_domains)
    return [
        strict_rule(
            f"import-{number}", release=release, mrenclave=entry.mr_enclave,
            signature=_signature_of(entry, svn_exact=svn_exact), trust_domains=domains,
        )
        for number, entry in enumerate(config.entries, 1)
    ]  # fmt: skip


def _signature_of(entry: RaConfigEntry, *, svn_exact: bool) -> SignatureCheck:
    return SignatureCheck(
        mrsigner=entry.mr_signer,
        isvprodid=entry.isv_prod_id,
        min_isvsvn=entry.isv_svn,
        max_isvsvn=entry.isv_svn if svn_exact else None,
    )


def notices_of(config: RaConfig, *, svn_exact: bool = False) -> list[str]:
    """Return what the owner has to know about an import: where it differs from what the file used to do."""
    notices = [_STRICTER]
    if "isv_svn" in config.enforced and not svn_exact:
        notices.append("isv_svn is a minimum here (the original wants equality; --svn-exact keeps that)")
    for number, entry in enumerate(config.entries, 1):
        notices += [
            f"import-{number}: {each.field} = {each.text} is present but not enforced (its check is off)"
            for each in entry.unenforced
        ]
    return notices
