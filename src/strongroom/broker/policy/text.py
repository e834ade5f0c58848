"""Release rules as people meet them: as policy.toml, as sentences, and from a seed user's ra_config.json.

Pure. Whatever is written here is read back by `policy_file.parse` before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from strongroom.attestation import KssFields, Policy, TcbStatus, TrustDomain
from strongroom.broker.names import Pattern
from strongroom.broker.policy.overlap import for_gramine, fulfilled_by_gramine, may_overlap, signer_value
from strongroom.broker.policy.words import DEFAULT_AGE_DAYS, IDENTITY_KINDS, LIMIT_WORDS, RELEASES, WORDS, value_of
from strongroom.broker.release import NO_LIMITS, Limits, ReleaseRule, SignatureCheck
from strongroom.gramine.ra_config import RaConfig, RaConfigEntry

UP_TO_DATE_ONLY: Final = frozenset({TcbStatus.UP_TO_DATE})
NOT_COMPARED: Final = SignatureCheck()
_STRICTER: Final = (
    "debug enclaves and platforms that are not up to date are refused, though the original's image admitted both;"
    " add allow_debug or accepted_tcb_status to a rule to admit them"
)
_USUAL_SERVERS: Final = (
    "platforms with hyper-threading, to which packages can be added, or whose keys Intel keeps are refused, and most"
    " servers in clouds are so; set allow_smt_enabled, allow_dynamic_platform or allow_cached_keys to admit them"
)
_REFUSED_PLATFORMS: Final = {
    "allow_dynamic_platform": "to which processor packages can be added",
    "allow_cached_keys": "whose root keys Intel keeps",
    "allow_smt_enabled": "with hyper-threading",
}
_ROOTS: Final = frozenset({TrustDomain.INTEL, TrustDomain.SIMULATED})  # the others rest on tokens
_DENIED: Final = {
    "denied_platforms": "platforms", "denied_fmspc": "platform families", "denied_pck_serials": "PCK certificates",
    "denied_attestation_keys": "attestation keys", "denied_roots": "roots",
}  # fmt: skip
_ADMITTED: Final = {
    "allow_provision_key": "enclaves with access to the provisioning key are admitted",
    "allow_einittoken_key": "enclaves with access to the launch token key are admitted",
    "allow_service_td": "trust domains that a service TD can act on are admitted",
    "allow_migratable": "trust domains that can move to another platform are admitted",
    "allow_pks": "trust domains with supervisor protection keys are admitted",
    "allow_kl": "trust domains with Key Locker are admitted",
    "allow_perfmon": "trust domains with performance monitoring are admitted",
}


def strict_rule(
    name: str,
    *,
    release: str | Sequence[str],
    mrenclave: bytes | None,
    signature: SignatureCheck = NOT_COMPARED,
    trust_domains: Iterable[TrustDomain] = (TrustDomain.INTEL,),
    max_collateral_age_days: int = DEFAULT_AGE_DAYS,
    domain: Mapping[str, bytes] | None = None,
    kss: KssFields | None = None,
    allow: Iterable[str] = (),
    limits: Limits = NO_LIMITS,
) -> ReleaseRule:
    """Return a rule with nothing weakened: up-to-date platforms, no debug, no advisories, collateral of a week.

    Without `mrenclave`, `signature` names signer, product and least SVN, or `domain` the measurements of a trust
    domain by their words (mrtd, rtmr0, …). `allow`: words of platforms that are admitted by name, such as
    allow_smt_enabled. Raises PolicyUnusable or BadSecretName.
    """
    by_signer = mrenclave is None and domain is None
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
        kss=kss,
        **dict.fromkeys(allow, True),  # type: ignore[arg-type]  # switches alone
        **(domain or {}),  # type: ignore[arg-type]  # words of a trust domain, all of them bytes
    )
    rest = SignatureCheck(max_isvsvn=signature.max_isvsvn) if by_signer else signature
    patterns = tuple(map(Pattern.parse, [release] if isinstance(release, str) else release))
    return ReleaseRule(policy=policy, patterns=patterns, require_fresh=False, signature=rest, limits=limits)


def render(rule: ReleaseRule, *, comments: Sequence[str] = ()) -> str:
    """Return a rule as the TOML table that `policy_file.parse` reads back as the same rule."""
    lines = ["[[rule]]", *(f"# {comment}" for comment in comments), f'name = "{rule.name}"']
    lines += [f"{word} = {IDENTITY_KINDS[word].write(value)}" for word, value in _identity(rule)]
    for word in WORDS:
        value = value_of(word, rule.policy)
        if word.always or (value is not None and value != word.default):
            lines.append(f"{word.name} = {word.kind.write(value)}")
    if rule.require_fresh:
        lines.append("require_fresh = true")
    lines.append(f"release = {RELEASES.write(rule.patterns)}")
    limits = ((word, value_of(word, rule.limits)) for word in LIMIT_WORDS)
    lines += [f"{word.name} = {word.kind.write(value)}" for word, value in limits if value != word.default]
    return "\n".join(lines) + "\n"


def _identity(rule: ReleaseRule) -> Iterator[tuple[str, object]]:
    policy = rule.policy
    values = (
        ("mrtd", policy.mrtd),
        ("mrenclave", policy.mrenclave),
        *((word, signer_value(rule, word)) for word in ("mrsigner", "isvprodid", "min_isvsvn")),
        ("max_isvsvn", rule.signature.max_isvsvn),
    )
    return ((word, value) for word, value in values if value is not None)


def identity_of(rule: ReleaseRule) -> str:
    """Return who fulfils the rule, in a few words."""
    registers = ("rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id")
    named = [(word, getattr(rule.policy, word)) for word in registers if getattr(rule.policy, word) is not None]
    values = [*_identity(rule), *named]
    return ", ".join(f"{word} {value.hex() if isinstance(value, bytes) else value}" for word, value in values)


def describe(rule: ReleaseRule) -> list[str]:
    """Return in sentences what the rule admits; what weakens it is marked with `careful:`."""
    policy = rule.policy
    domains = " or ".join(sorted(policy.trust_domains))
    lines = [f"releases {rule.release} to code with {identity_of(rule)}, on the trust domain {domains}"]
    if TrustDomain.SIMULATED in policy.trust_domains:
        lines.append("careful: the simulated platform proves nothing about hardware and keeps nothing secret")
    if policy.allow_debug:
        what = "enclaves" if policy.mrtd is None else "trust domains"
        lines.append(f"careful: debug {what} are admitted, whose memory the host can read")
    lines += [f"careful: {sentence}" for word, sentence in _ADMITTED.items() if getattr(policy, word)]
    if not policy.require_sept_ve_disable:
        lines.append("careful: trust domains are admitted into which the host can inject exceptions")
    lines += _not_covered(policy)
    if policy.mrsigner is not None and policy.isvprodid == 0:
        lines.append("careful: product 0 is what enclaves have that were signed without a number: any of this signer's")
    lines += _currency(policy)
    lines += _times(policy)
    if not policy.trust_domains <= _ROOTS and not policy.accept_unknown:
        lines.append(
            "note: a token leaves much unknown, and is refused until accept_unknown names what (docs/tokens.md)"
        )
    if policy.accept_unknown:
        lines.append(f"careful: {', '.join(sorted(policy.accept_unknown))} may stay unknown, as tokens leave them")
    lines += _platform(policy)
    lines += _limits(rule.limits)
    if rule.require_fresh:
        lines.append("needs evidence that answers a nonce, which Gramine's own protocol cannot give")
    if policy.bindings is not None:
        lines.append(f"needs evidence bound by {' or '.join(sorted(policy.bindings))}")
    return lines


def _limits(limits: Limits) -> Iterator[str]:
    if limits.max_leases is not None:
        yield f"lends each secret to {limits.max_leases} at a time"
    if limits.lease_seconds != NO_LIMITS.lease_seconds:
        yield f"lends for {limits.lease_seconds} seconds, then the holder has to prove itself again"
    if limits.until is not None:
        yield f"counts before {limits.until:%Y-%m-%d %H:%M} UTC"
    if limits.secret_format != NO_LIMITS.secret_format:
        yield "hands the key over as 32 hex digits, which only Gramine before 1.3 and Graphene read"
    if limits.min_model_version is not None:
        yield f"releases no version of a model below {limits.min_model_version}"


def askers(rule: ReleaseRule, rules: Sequence[ReleaseRule]) -> Iterator[str]:
    """Yield why clients of Gramine's protocol cannot use a rule, among those of its file; nothing if they can."""
    if rule.single is None:
        yield "only clients that ask by name (KBS) can use it: it releases several secrets"
    elif not for_gramine(rule):
        yield "only clients that answer a nonce (KBS) can use it"
    else:
        others = [each.name for each in rules if for_several(each) and may_overlap(rule, each)]
        if others:
            yield f"careful: a program that fulfils {others[0]!r} too gets nothing over Gramine's protocol"


def for_several(rule: ReleaseRule) -> bool:
    """Return whether Gramine's clients may fulfil a rule that releases more than they can name."""
    return rule.single is None and fulfilled_by_gramine(rule)


def clients(rules: Sequence[ReleaseRule]) -> list[str]:
    """Return which rules which clients can use, in a sentence or two."""
    named = {kind: [repr(rule.name) for rule in rules if for_gramine(rule) is kind] for kind in (True, False)}
    if not rules:
        return []
    if not named[False]:
        return ["clients of Gramine's protocol and of KBS can use every rule"]
    usable = ", ".join(named[True]) or "none of the rules"
    return [
        f"clients of Gramine's protocol can use {usable}",
        f"only KBS clients can use {', '.join(named[False])}",
    ]


def _not_covered(policy: Policy) -> Iterator[str]:
    """What may run in a trust domain besides what the rule names."""
    if policy.mrtd is None:
        return
    if policy.rtmr1 is None:
        yield "careful: rtmr1 is not compared: any kernel is admitted, unless the firmware itself checks mr_config_id"
    elif policy.rtmr2 is None:
        yield "careful: rtmr2 is not compared: any command line and initial file system that this kernel takes"


def _currency(policy: Policy) -> Iterator[str]:
    lesser = sorted(policy.accepted_tcb_status - UP_TO_DATE_ONLY)
    if lesser:
        yield f"careful: platforms that are {' or '.join(lesser)} are admitted"
    if policy.platform_grace is not None:
        yield f"outdated platforms are admitted for {policy.platform_grace.days} days after their level's date only"
    if policy.accepted_advisory_ids:
        yield f"careful: accepts the advisories {', '.join(sorted(policy.accepted_advisory_ids))}"
    if policy.min_eval_num is not None:
        yield f"needs reference data of TCB evaluation {policy.min_eval_num} or later"
    if policy.min_tcb_level_date is not None:
        yield f"needs a platform at a level of {policy.min_tcb_level_date:%Y-%m-%d} or later"


def _times(policy: Policy) -> Iterator[str]:
    if policy.max_collateral_age.days > DEFAULT_AGE_DAYS:
        yield f"careful: collateral may be {policy.max_collateral_age.days} days old"
    if policy.collateral_grace:
        yield f"careful: expired collateral counts for {policy.collateral_grace} more; each use is recorded"
        if policy.max_collateral_age <= timedelta(days=30):
            days = policy.max_collateral_age.days
            yield f"note: the grace helps little while collateral may be {days} days old at most"


def _platform(policy: Policy) -> Iterator[str]:
    refused = [word for word in _REFUSED_PLATFORMS if not getattr(policy, word)]
    if refused and TrustDomain.INTEL in policy.trust_domains:
        yield f"refuses platforms {', or '.join(_REFUSED_PLATFORMS[word] for word in refused)}"
        words = " and ".join(f"{word} = true" for word in refused)
        yield f"note: most servers in clouds are so; {words} would admit them"
    if policy.required:
        yield f"refuses platforms that leave {' or '.join(sorted(policy.required))} undefined"
    if policy.platforms is not None:
        first = min(entry.until for entry in policy.platforms)
        yield f"admits {len(policy.platforms)} platforms by their ids; the first of them runs out on {first:%Y-%m-%d}"
    denied = {name: len(getattr(policy, word)) for word, name in _DENIED.items() if getattr(policy, word)}
    if denied:
        yield f"refuses {', '.join(f'{count} {name}' for name, count in denied.items())}, whatever else holds"


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
    notices = [_STRICTER, _USUAL_SERVERS]
    if "isv_svn" in config.enforced and not svn_exact:
        notices.append("isv_svn is a minimum here (the original wants equality; --svn-exact keeps that)")
    for number, entry in enumerate(config.entries, 1):
        notices += [
            f"import-{number}: {each.field} = {each.text} is present but not enforced (its check is off)"
            for each in entry.unenforced
        ]
    return notices
