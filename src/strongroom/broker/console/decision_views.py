"""Decisions as a person reads them: what was asked, what came of it, and why. Pure.

Everything here may have come from a peer: it is text, cut to a length, and the templates escape it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.broker.console.facts import Line
from strongroom.broker.console.wording import Badge, Moment, Tone, milliseconds, moment, plain

PAGE: Final = 50
NOT_NAMED: Final = "not named"  # Gramine's protocol names no secret; who is refused was given none
_STATUS_TONES: Final = {"UpToDate": Tone.GOOD, "Revoked": Tone.BAD}
_FIELDS: Final = {
    "trust_domain": "Trust domain", "tee": "Kind of TEE", "status": "Platform status", "advisories": "Advisories",
    "fmspc": "Platform family (FMSPC)", "tcb_eval": "TCB evaluation number", "platform": "Platform (keyed hash)",
    "mr_enclave": "Enclave measurement", "mr_signer": "Enclave signer", "isv_prod_id": "Product number",
    "isv_svn": "Security version", "mr_td": "TD measurement", "rtmr0": "RTMR 0", "rtmr1": "RTMR 1",
    "rtmr2": "RTMR 2", "rtmr3": "RTMR 3", "mr_config_id": "Configuration id", "td_attributes": "TD attributes",
    "debug": "Debug", "root_key_id": "Root key", "in_grace": "Used in grace", "source": "Judged by",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """What a page of decisions is narrowed to; an empty text narrows nothing."""

    outcome: str = ""
    secret: str = ""
    rule: str = ""
    peer: str = ""
    code: str = ""
    tenant: str = ""

    @property
    def any(self) -> bool:
        """Whether anything is narrowed."""
        return any((self.outcome, self.secret, self.rule, self.peer, self.code, self.tenant))

    def keeps(self, entry: Mapping[str, Any]) -> bool:
        """Return whether a line of the ledger is a decision that passes."""
        if entry.get("kind") != "decision":
            return False
        if self.outcome and entry.get("decision") != self.outcome:
            return False
        if self.tenant and entry.get("tenant", "default") != self.tenant:
            return False
        if self.peer and self.peer not in str(entry.get("peer")) and self.peer != str(entry.get("id")):
            return False
        reasons = _reasons(entry)
        secrets = (entry.get("secret"), entry.get("wanted"))
        rules = (entry.get("rule"), *(reason.get("rule") for reason in reasons))
        codes = [str(reason.get("code")) for reason in reasons]
        return _among(self.secret, secrets) and _among(self.rule, rules) and _among(self.code, codes)


def _among(wanted: str, texts: Sequence[object]) -> bool:
    return not wanted or any(wanted.lower() in str(text).lower() for text in texts if text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonView:
    """Why nothing was released, in the four parts that an owner needs."""

    code: str
    place: str  # the rule and its word; empty where no rule was reached
    observed: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """One decision in one line of a table."""

    seq: int
    id: str
    when: Moment
    outcome: Badge
    granted: bool
    peer: str
    protocol: str
    asked: str  # the secret that was released or asked for
    rule: str
    why: str  # one sentence
    code: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One named value."""

    name: str
    text: str
    badge: Badge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPage:
    """One decision with everything the ledger holds about it."""

    head: DecisionView
    title: str
    reasons: tuple[ReasonView, ...]
    evidence: tuple[Value, ...]
    exchange: tuple[Value, ...]
    line: str
    digest: str
    lease: str = ""
    others: tuple[Value, ...] = field(default=())


def decision(line: Line, now_ms: int) -> DecisionView:
    """Return a decision as one line."""
    entry = line.entry
    granted = entry.get("decision") == "granted"
    reasons = reason_views(entry)
    first = reasons[0] if reasons else None
    rule = plain(entry.get("rule")) if granted else (str(_reasons(entry)[0].get("rule") or "") if reasons else "")
    return DecisionView(
        seq=line.seq,
        id=plain(entry.get("id")),
        when=moment(milliseconds(entry.get("time")), now_ms),
        outcome=Badge("Granted", Tone.GOOD) if granted else Badge("Denied", Tone.BAD),
        granted=granted,
        peer=plain(entry.get("peer")),
        protocol=plain(entry.get("protocol")),
        asked=plain(entry.get("secret") or entry.get("wanted") or NOT_NAMED),
        rule=plain(rule),
        why=_why(granted, first, rule),
        code="" if first is None else first.code,
        tenant=plain(entry.get("tenant", "default")),
    )


def _why(granted: bool, reason: ReasonView | None, rule: str) -> str:
    if granted:
        return f"fulfils rule {plain(rule)}"
    if reason is None:
        return "the line gives no reason"
    if reason.place:
        return f"{reason.place}: saw {reason.observed}, wanted {reason.expected}"
    return reason.observed


def reason_views(entry: Mapping[str, Any]) -> tuple[ReasonView, ...]:
    """Return the reasons of a denial, the nearest rule first."""
    return tuple(
        ReasonView(
            code=plain(reason.get("code")),
            place=_place(reason),
            observed=plain(reason.get("observed")),
            expected=plain(reason.get("expected")),
            fix=plain(reason.get("fix")),
        )
        for reason in _reasons(entry)
    )


def _place(reason: Mapping[str, Any]) -> str:
    rule, word = str(reason.get("rule") or ""), str(reason.get("word") or "")
    return plain(f"{rule}, {word}" if rule and word else rule or word) if rule or word else ""


def _reasons(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = entry.get("reasons")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def decision_page(line: Line, now_ms: int) -> DecisionPage:
    """Return everything about one decision."""
    head = decision(line, now_ms)
    entry = line.entry
    evidence = entry.get("evidence")
    title = f"Released {head.asked}" if head.granted else _denied_title(entry)
    exchange = (
        Value(name="Peer", text=head.peer),
        Value(name="Protocol", text=head.protocol),
        Value(name="TLS", text=plain(entry.get("tls"))),
        Value(name="Fresh (answers a nonce)", text=plain(entry.get("fresh"))),
        Value(name="Tenant", text=head.tenant),
        Value(name="Case", text=head.id),
    )
    return DecisionPage(
        head=head,
        title=title,
        reasons=reason_views(entry),
        evidence=evidence_values(evidence) if isinstance(evidence, Mapping) else (),
        exchange=exchange,
        line=json.dumps(dict(entry), indent=2, ensure_ascii=False),
        digest=line.digest,
        lease=str(entry.get("lease") or ""),
    )


def _denied_title(entry: Mapping[str, Any]) -> str:
    wanted = entry.get("wanted") or entry.get("secret")
    return f"Denied {plain(wanted)}" if wanted else "Denied: nothing was released"


def evidence_values(evidence: Mapping[str, Any]) -> tuple[Value, ...]:
    """Return the claims that the decision rests on; names that this page does not know are shown as they are."""
    return tuple(
        Value(
            name=_FIELDS.get(name, name),
            text=plain(value),
            badge=_evidence_badge(name, value),
        )
        for name, value in evidence.items()
    )


def _evidence_badge(name: str, value: object) -> Badge | None:
    if name == "status" and value:
        return status_badge(str(value))
    if name == "debug" and value is True:
        return Badge("yes: the host can read its memory", Tone.BAD)
    if name == "trust_domain" and value == "simulated":
        return Badge("simulated: proves nothing about hardware", Tone.WARN)
    return None


def status_badge(status: str) -> Badge:
    """Return a platform's TCB status with its tone."""
    return Badge(plain(status), _STATUS_TONES.get(status, Tone.WARN))


def event(line: Line) -> str:
    """Return in a few words what a line that is no decision says."""
    entry = line.entry
    words = [plain(entry.get(name)) for name in ("action", "name", "secret", "rule", "problem") if entry.get(name)]
    return " · ".join(words)
