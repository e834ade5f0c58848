"""What the ledger and the owner's log say about a decision. Pure.

Secrets appear by name only, platforms as keyed hashes; the rest is what an owner needs to understand it later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.attestation import Verdict
from strongroom.broker.release import Denial, Grant

MAX_REASONS: Final = 24
MAX_TEXT: Final = 400
GRANTED: Final = "granted"
DENIED: Final = "denied"


def decision_record(
    outcome: Grant | Denial, evidence: Mapping[str, object] | None, *, correlation: str, peer: str, protocol: str,
    tls: str,
) -> dict[str, object]:  # fmt: skip
    """Return one decision as the ledger holds it; `evidence` is what `evidence_object` made of the verdict."""
    grant = outcome if isinstance(outcome, Grant) else None
    reasons = outcome.reasons[:MAX_REASONS] if isinstance(outcome, Denial) else ()
    return {
        "kind": "decision",
        "id": correlation,
        "peer": peer,
        "protocol": protocol,
        "tls": tls,
        "fresh": False,  # the one protocol so far has no nonce
        "decision": GRANTED if grant else DENIED,
        "secret": grant.secret_name if grant else None,
        "rule": grant.rule.name if grant else None,
        "evidence": evidence,
        "reasons": [_short(reason.to_json_object()) for reason in reasons],
    }


def evidence_object(verdict: Verdict, *, platform: str) -> dict[str, object]:
    """Return the claims of a verdict that decisions rest on; `platform` is the platform's hashed identity."""
    body = verdict.body
    return {
        "trust_domain": verdict.trust_domain.value,
        "tee": verdict.tee.value,
        "status": verdict.status.value,
        "advisories": list(verdict.advisories),
        "fmspc": verdict.fmspc,
        "tcb_eval": verdict.tcb_eval_ref_num,
        "platform": platform,
        "mr_enclave": body.mr_enclave.hex(),
        "mr_signer": body.mr_signer.hex(),
        "isv_prod_id": body.isv_prod_id,
        "isv_svn": body.isv_svn,
        "debug": body.debug,
    }


def policy_record(*, rules: int, digest: str, problem: str | None) -> dict[str, object]:
    """Return which policy is in force (SHA-256 of its file, hex), and why an edit was not taken."""
    return {"kind": "policy", "rules": rules, "digest": digest, "problem": problem and problem[:MAX_TEXT]}


def _short(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…" for name, text in texts.items()}
