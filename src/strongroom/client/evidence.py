"""Judge what a server proves about itself: that this connection ends in a program the client's rules accept.

The evidence answers a nonce made for this connection and quotes the key of this connection, so neither an old answer
nor a quote for another key passes. Source: threats.md, FB-09 to FB-11.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.attestation import Binding, BindingKind, Verdict, parse_quote
from strongroom.broker.release import Denial, Grant, ReleaseRule, decide
from strongroom.client.answers import ModelSpec
from strongroom.client.connection import Connection
from strongroom.client.status import BadAnswer, error_of_http, parse_json
from strongroom.client.trust import Trust
from strongroom.errors import Refused, Tampered

NONCE_BYTES: Final = 32
MAX_EVIDENCE_BYTES: Final = 64 * 1024
PATH: Final = "/strongroom/v1/evidence"
FORM: Final = "serve-v1"
PURPOSE: Final = "serve"


class NoEvidence(Refused):
    """The client asked for evidence and the server has none."""

    code = "SR-NO-EVIDENCE"
    fix = "Ask for a replica that runs in a TEE; without --trust the client relies on the certificate alone."


class EvidenceNotBound(Tampered):
    """The quote does not speak of this connection's key and this nonce: it was made for another one."""

    code = "SR-EVIDENCE-NOT-BOUND"
    fix = "Do not use this server: somebody passes on a quote that belongs to another connection."


class ServerNotAccepted(Refused):
    """The evidence is sound, and the client's rules do not accept what it says."""

    code = "SR-SERVER-NOT-ACCEPTED"
    fix = "Compare the measurement with the one the owner published, and the rule with what you meant to accept."


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence that verified and is bound to one connection; whether anybody accepts it is another question.

    binding: how the quote is bound to this connection. quoted_by: SHA-256 of the attestation key that signed
    it, hex; two machines never share one.
    """

    verdict: Verdict
    binding: Binding
    quoted_by: str
    nonce: bytes
    verified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceProof:
    """Evidence and the name of the client's rule that accepted it for a model."""

    evidence: Evidence
    rule: str


def fetch(connection: Connection, nonce: bytes) -> bytes:
    """Ask the server at the other end for its evidence. Raises NoEvidence, or the server's refusal."""
    code, answer = connection.exchange("GET", f"{PATH}?nonce={nonce.hex()}", limit=MAX_EVIDENCE_BYTES)
    if code == 404:
        raise NoEvidence(f"{connection.address} has no evidence about itself")
    if code != 200:
        raise error_of_http(code, answer)
    return answer


def verify_answer(answer: bytes, *, spki: bytes, nonce: bytes, trust: Trust, at: datetime) -> Evidence:
    """Verify an evidence answer for a connection whose peer has the public key `spki` (DER).

    Raises BadAnswer, the errors of quotes and collateral, or EvidenceNotBound.
    """
    # 1. The answer carries a quote.
    quote = _quote_of(answer)
    parsed = parse_quote(quote)
    # 2. A genuine platform of an anchor we hold signed it, and we know its TCB.
    collateral = trust.collateral.collateral_for(parsed)
    verdict = trust.verifier.verify(quote, collateral, at=at)
    # 3. It was made for the key of this connection and for our nonce.
    binding = Binding(kind=BindingKind.TRANSCRIPT, public_key_spki=spki, purpose=PURPOSE, nonce=nonce)
    if not binding.holds_for(verdict.body.report_data):
        raise EvidenceNotBound("the quote binds another key or another nonce than those of this connection")
    quoted_by = hashlib.sha256(parsed.attestation_key).hexdigest()
    return Evidence(verdict=verdict, binding=binding, quoted_by=quoted_by, nonce=nonce, verified_at=at)


def accept(evidence: Evidence, *, trust: Trust, spec: ModelSpec, at: datetime) -> EvidenceProof:
    """Return the proof that a rule for this model accepts the evidence. Raises ServerNotAccepted."""
    rules = trust.rules_for(spec)
    if not rules:
        raise ServerNotAccepted(
            f"no rule of yours speaks for the model {spec}",
            fix=f'Add a rule with release = "model/{spec.name}/{spec.version or 1}" to the policy.toml you trust.',
        )
    for rule in rules:
        if isinstance(decide(evidence.verdict, [rule], fresh=True, at=at, binding=evidence.binding), Grant):
            return EvidenceProof(evidence=evidence, rule=rule.name)
    raise _not_accepted(evidence, rules, at)


def _not_accepted(evidence: Evidence, rules: Sequence[ReleaseRule], at: datetime) -> ServerNotAccepted:
    decision = decide(evidence.verdict, rules, fresh=True, at=at, binding=evidence.binding)
    reasons = decision.reasons if isinstance(decision, Denial) else ()
    seen = "; ".join(f"{each.word} is {each.observed}, expected {each.expected} ({each.code})" for each in reasons)
    return ServerNotAccepted(f"the program behind this connection is not one you accept: {seen}")


def _quote_of(answer: bytes) -> bytes:
    match parse_json(answer):
        case {"quote": str(quote), "form": str(form)} if form == FORM:
            try:
                return base64.b64decode(quote, validate=True)
            except ValueError:
                raise BadAnswer("the server's quote is not base64") from None
    raise BadAnswer(f"the server's evidence is not of the form {FORM}")
