"""What the ledger and the owner's log say about a decision. Pure.

Secrets appear by name only, platforms as keyed hashes; the rest is what an owner needs to understand it later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from strongroom.attestation import Claims, EvidenceSource, Tee, Verdict, claims_of
from strongroom.attestation.policy.tcb import OUTDATED
from strongroom.broker.leases import Lease
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.release import Denial, Grant, ReleaseRule

MAX_REASONS: Final = 24
MAX_TEXT: Final = 400
GRANTED: Final = "granted"
DENIED: Final = "denied"
_ENCLAVE: Final = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn")
_DOMAIN: Final = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "td_attributes")


def decision_record(
    outcome: Grant | Denial, evidence: Mapping[str, object] | None, *, correlation: str, peer: str, protocol: str,
    tls: str, tenant: str = DEFAULT_TENANT, fresh: bool = False, holder: str = "", lease: Lease | None = None,
    wanted: str = "",
) -> dict[str, object]:  # fmt: skip
    """Return one decision as the ledger holds it; `evidence` is what `evidence_object` made of the claims.

    `holder`: SHA-256 of the key that the secret goes to, hex. `wanted`: the secret that a denied peer would have got
    or had asked for; empty where none is known.
    """
    grant = outcome if isinstance(outcome, Grant) else None
    reasons = outcome.reasons[:MAX_REASONS] if isinstance(outcome, Denial) else ()
    return {
        "kind": "decision",
        "id": correlation,
        "tenant": tenant,
        "peer": peer,
        "protocol": protocol,
        "tls": tls,
        "fresh": fresh,
        "decision": GRANTED if grant else DENIED,
        "secret": grant.secret_name if grant else None,
        "rule": grant.rule.name if grant else None,
        "holder": holder or None,
        "lease": lease and _lease(lease),
        "evidence": evidence,
        "reasons": [_short(reason.to_json_object()) for reason in reasons],
        **({"wanted": wanted} if wanted and grant is None else {}),
    }


def evidence_object(subject: Verdict | Claims, *, platform: str | None) -> dict[str, object]:
    """Return the claims that decisions rest on; `platform` is the platform's hashed identity, None if it has none."""
    claims = claims_of(subject) if isinstance(subject, Verdict) else subject
    names = _ENCLAVE if claims.tee is Tee.SGX else _DOMAIN
    found = {
        "trust_domain": claims.trust_domain.value,
        "root_key_id": claims.root_key_id,
        "tee": claims.tee and claims.tee.value,
        "status": claims.tcb_status and claims.tcb_status.value,
        "advisories": list(claims.advisories or ()),
        "fmspc": claims.fmspc,
        "tcb_eval": claims.tcb_eval_ref_num,
        "platform": platform,
        **{name: _plain(getattr(claims, name)) for name in names},
        "debug": claims.debug,
    }
    extra = {"source": claims.source.value} if claims.source is not EvidenceSource.QUOTE else {}
    return found | extra | ({"in_grace": list(claims.in_grace)} if claims.in_grace else {})


def grace_record(
    case: str, outcome: Grant, *, collateral: Sequence[str], outdated_since: str | None
) -> dict[str, object]:
    """Return that a release used a grace that its rule gives: expired collateral, or an outdated platform's level."""
    return {
        "kind": "grace", "id": case, "rule": outcome.rule.name, "secret": outcome.secret_name,
        "expired_collateral": list(collateral), "outdated_since": outdated_since,
    }  # fmt: skip


def outdated_since(claims: Claims, rule: ReleaseRule) -> str | None:
    """Return the date of the level at which a platform is that the rule admits in its grace only; else None."""
    graced = rule.policy.platform_grace is not None and claims.tcb_status in OUTDATED
    return f"{claims.tcb_date:%Y-%m-%d}" if graced and claims.tcb_date is not None else None


def denials_record(counted: Mapping[str, int], *, peers: Sequence[str], first: str, last: str) -> dict[str, object]:
    """Return what a flood of denials came to: how many of each code, and the ids of the first and the last of them.

    `peers`: the addresses that asked most, most first.
    """
    return {
        "kind": "denials", "count": sum(counted.values()), "codes": dict(counted), "peers": list(peers),
        "first": first, "last": last,
    }  # fmt: skip


def _short(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…" for name, text in texts.items()}


def _lease(lease: Lease) -> dict[str, object]:
    return {"id": lease.id, "expires_ms": lease.expires_ms, "renewals": lease.renewals}


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
