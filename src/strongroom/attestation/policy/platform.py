"""Rules on the platform: which one it is, by what its PCK certificate says and nothing else, and how it is built.

The answer to attestation keys that were extracted from a processor (TEE.fail, WireTap): trust the machines you know.
"""

from __future__ import annotations

from collections.abc import Iterator

from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.outcome import Case, Check


def denied(case: Case) -> Iterator[Check]:
    """Deny-lists win over everything."""
    claims, policy = case.claims, case.policy
    ids = _ids(case)
    if policy.denied_roots:
        holds = None if claims.root_key_id is None else bytes.fromhex(claims.root_key_id) not in policy.denied_roots
        yield case.check(PolicyCode.ROOT_DENIED, "denied_roots", holds, claims.root_key_id, "a root not denied",
                         "Take the anchor away, too; nothing below that root proves anything.")  # fmt: skip
    if policy.denied_platforms:
        holds = None if ids is None else not any(each in policy.denied_platforms for each in ids)
        yield case.check(PolicyCode.PLATFORM_DENIED, "denied_platforms", holds, _named(ids), "a platform not denied",
                         "Release nothing to this platform until its keys have been replaced.")  # fmt: skip
    if policy.denied_fmspc:
        holds = None if claims.fmspc is None else claims.fmspc.upper() not in policy.denied_fmspc
        yield case.check(PolicyCode.FMSPC_DENIED, "denied_fmspc", holds, claims.fmspc, "a platform family not denied",
                         "Use a platform of another family.")  # fmt: skip
    yield from _denied_keys(case)


def _denied_keys(case: Case) -> Iterator[Check]:
    """Keys that are known to be in the wrong hands: of a PCK certificate, or of a quoting enclave."""
    claims, policy = case.claims, case.policy
    if policy.denied_pck_serials:
        serial = claims.pck_serial
        holds = None if serial is None else serial not in policy.denied_pck_serials
        yield case.check(PolicyCode.PCK_DENIED, "denied_pck_serials", holds, "this PCK certificate",
                         "a PCK certificate not denied",
                         "Release nothing to who holds that key; register the platform again.")  # fmt: skip
    if policy.denied_attestation_keys:
        key = claims.attestation_key
        holds = None if key is None else key not in policy.denied_attestation_keys
        yield case.check(PolicyCode.ATTESTATION_KEY_DENIED, "denied_attestation_keys", holds, "this attestation key",
                         "an attestation key not denied",
                         "Release nothing to who holds that key; set the quoting enclave up anew.")  # fmt: skip


def enrolled(case: Case) -> Iterator[Check]:
    """The allow-list: a PPID or platform instance id that counts still."""
    entries = case.policy.platforms
    if entries is None:
        return
    ids = _ids(case)
    found = [entry for entry in entries if ids is not None and entry.id in ids]
    if found:
        until = max(entry.until for entry in found)
        yield case.check(PolicyCode.PLATFORM_ENROLMENT_EXPIRED, "platforms", case.at < until, until,
                         "an enrolment that has not run out",
                         "Enrol the platform again, after checking that it is where it should be.")  # fmt: skip
        return
    yield case.check(PolicyCode.PLATFORM_NOT_ENROLLED, "platforms", None if ids is None else False, _named(ids),
                     f"one of {len(entries)} enrolled platforms",
                     "Enrol the platform by its PPID or platform instance id if it is one of yours.")  # fmt: skip


def kind(case: Case) -> Iterator[Check]:
    """SGX type, provider, and the three flags that may be undefined."""
    claims, policy = case.claims, case.policy
    if policy.accepted_sgx_types is not None:
        seen = claims.sgx_type
        yield case.check(PolicyCode.SGX_TYPE, "accepted_sgx_types",
                         None if seen is None else seen in policy.accepted_sgx_types, seen, policy.accepted_sgx_types,
                         "Use a platform with this kind of memory protection.")  # fmt: skip
    if policy.accepted_platform_provider_ids is not None:
        provider = claims.platform_provider_id
        holds = None if provider is None else provider in policy.accepted_platform_provider_ids
        yield case.check(PolicyCode.PLATFORM_PROVIDER, "accepted_platform_provider_ids", holds, provider,
                         policy.accepted_platform_provider_ids,
                         "Use a platform of one of these providers; a quote alone names none.")  # fmt: skip
    flags = (
        (PolicyCode.DYNAMIC_PLATFORM, "allow_dynamic_platform", claims.dynamic_platform, "packages can be added",
         "Most servers, and nearly all in clouds, are so"),
        (PolicyCode.CACHED_KEYS, "allow_cached_keys", claims.cached_keys, "Intel keeps its root keys",
         "Many servers in clouds are registered so"),
        (PolicyCode.SMT_ENABLED, "allow_smt_enabled", claims.smt_enabled, "hyper-threading is on",
         "Most servers, and nearly all in clouds, have it on, and only their operator can turn it off"),
    )  # fmt: skip
    for code, rule, flag, meaning, usual in flags:
        yield _flag(case, code, rule, flag, meaning, usual)


def _flag(  # noqa: PLR0917  # as `Case.check`
    case: Case, code: PolicyCode, rule: str, seen: bool | None, meaning: str, usual: str
) -> Check:
    """True needs the allowance; undefined is neither true nor false, and refused only where the rule is required."""
    allowed = getattr(case.policy, rule)
    holds = True if allowed else None if seen is None else not seen
    observed = "undefined" if seen is None else f"true: {meaning}" if seen else "false"
    return case.check(code, rule, holds, observed, "true, false or undefined" if allowed else "false",
                      f"{usual}: write {rule} = true in the rule if you accept that, or use another platform.",
                      required=rule in case.policy.required)  # fmt: skip


def _ids(case: Case) -> tuple[bytes, ...] | None:
    """Return the ids that the PCK certificate signs; None where the evidence has no such certificate."""
    found = tuple(each for each in (case.claims.pck_ppid, case.claims.platform_instance_id) if each is not None)
    return found or None


def _named(ids: tuple[bytes, ...] | None) -> str:
    """Name a platform without its id: reasons reach logs, which hold platform ids as keyed hashes only (PL-07)."""
    return "a platform without an id" if ids is None else "this platform"
