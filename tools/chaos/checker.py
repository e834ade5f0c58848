"""What has to be true of a broker's history, whatever happened to it. Pure: it reads what was recorded, afterwards.

Recorded are the clients' attempts, the faults, the ends of the ledger that were seen on the way, and the ledger as it
was found at the end. A violation says which rule was broken and by what, so that a person can look it up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.chain import Head
from strongroom.errors import StrongroomError

SECRET: Final = "secret"  # noqa: S105  # what an attempt ended with
GOOD, WRONG, REPLAY = "good", "wrong", "replay"
CLOCK: Final = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one client did, by the harness's one clock (seconds)."""

    kind: str  # GOOD may have the secret; WRONG may not; REPLAY shows one nonce several times
    protocol: str
    broker: int
    begun_s: float
    ended_s: float
    outcome: str  # SECRET, or why there was none
    digest: str = ""  # SHA-256 of the secret that came, hex
    holder: str = ""  # SHA-256 of the key that the secret went to, hex
    lease: str = ""
    nonce: str = ""  # of a challenge that was presented and accepted
    measurement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What was done to the system, and until when."""

    kind: str
    begun_s: float
    ended_s: float
    broker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the run allowed."""

    digest: str  # of the one secret, hex
    measurements: frozenset[str]  # that may have it
    recover_s: float  # after which service has to be back
    brokers: int
    revoked: Mapping[str, int] = field(default_factory=dict)  # measurement: ledger line behind which it gets nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that was recorded."""

    attempts: Sequence[Attempt]
    faults: Sequence[Fault]
    heads: Sequence[Head]  # ends of the ledger, as they were seen
    lines: Sequence[bytes]  # the ledger at the end
    exits: Sequence[str] = ()  # brokers that ended although nobody killed them
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, and what broke it."""

    rule: str
    what: str


def check(history: History, rules: Rules) -> list[Violation]:
    """Return every violation; none is what a run has to end with."""
    entries = [json.loads(line) for line in history.lines]
    found = [
        *_against_policy(history.attempts, entries, rules),
        *_lost(history.attempts, entries),
        *_replayed(history.attempts),
        *_chain(history),
        *_jumped(history),
        *_recovered(history, rules),
        *(Violation("brokers outlive what is around them", each) for each in history.exits),
    ]
    if not any(each.outcome == SECRET for each in history.attempts):
        found.append(Violation("the run proves something", "nobody ever got the secret"))
    return found


def _against_policy(
    attempts: Sequence[Attempt], entries: Sequence[Mapping[str, Any]], rules: Rules
) -> Iterator[Violation]:
    rule = "nothing is released against policy"
    for each in attempts:
        if each.outcome != SECRET:
            continue
        if each.kind == WRONG:
            yield Violation(rule, f"a replica that no rule admits got the secret: {each}")
        if each.digest and each.digest != rules.digest:
            yield Violation(rule, f"a client got something else than the secret: {each}")
    for entry in entries:
        if entry.get("decision") != "granted":
            continue
        measurement = (entry.get("evidence") or {}).get("mr_enclave")
        if measurement not in rules.measurements:
            yield Violation(rule, f"ledger line {entry['seq']} grants to the measurement {measurement}")
        if entry["seq"] > rules.revoked.get(str(measurement), entry["seq"]):
            yield Violation(rule, f"ledger line {entry['seq']} grants to {measurement} after it was revoked")


def _lost(attempts: Sequence[Attempt], entries: Sequence[Mapping[str, Any]]) -> Iterator[Violation]:
    rule = "no acknowledged ledger line is lost"
    grants = [entry for entry in entries if entry.get("decision") == "granted"]
    holders = {entry.get("holder") for entry in grants}
    leases = {(entry.get("lease") or {}).get("id") for entry in grants}
    for each in attempts:
        if each.outcome != SECRET:
            continue
        if each.holder and each.holder not in holders:
            yield Violation(rule, f"no line for the holder of {each}")
        if each.lease and each.lease not in leases:
            yield Violation(rule, f"no line for the lease of {each}")
        if not each.holder and not each.lease:
            yield Violation(rule, f"nothing ties this attempt to a line: {each}")


def _replayed(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    for nonce, count in Counter(each.nonce for each in attempts if each.nonce).items():
        if count > 1:
            yield Violation("no nonce is accepted twice", f"{nonce} was accepted {count} times")


def _chain(history: History) -> Iterator[Violation]:
    rule = "the chain holds"
    for head in (None, *history.heads):
        try:
            chain.check(history.lines, remembered=head)
        except StrongroomError as problem:
            yield Violation(rule, f"{problem.sentence} (seen on the way: {head})")
            if head is None:
                return
    last = ""
    for line in history.lines:
        time = json.loads(line)["time"]
        if time < last:
            yield Violation("times never go back", f"{time} stands behind {last}")
        last = max(last, time)


def _jumped(history: History) -> Iterator[Violation]:
    for fault in history.faults:
        if fault.kind != CLOCK:
            continue
        for each in history.attempts:
            inside = fault.begun_s < each.begun_s and each.ended_s < fault.ended_s
            if inside and each.broker == fault.broker and each.outcome == SECRET:
                yield Violation("a broker whose clock jumped releases nothing", f"{each}")


def _recovered(history: History, rules: Rules) -> Iterator[Violation]:
    """After a fault, and unless another one comes before, every broker serves again within the time."""
    for fault in history.faults:
        until = fault.ended_s + rules.recover_s
        if any(each is not fault and each.begun_s < until and each.ended_s > fault.ended_s for each in history.faults):
            continue
        served = served_after(history.attempts, fault.ended_s, until)
        if until > history.ended_s and len(served) < rules.brokers:
            continue  # the run ended before the time was over
        for broker in sorted(set(range(rules.brokers)) - served):
            yield Violation("service comes back by itself",
                            f"broker {broker} served nobody within {rules.recover_s:g} s after {fault}")  # fmt: skip


def served_after(attempts: Sequence[Attempt], begin_s: float, until_s: float) -> set[int]:
    """Return the brokers that gave the secret to somebody who asked within this time."""
    return {
        each.broker for each in attempts
        if each.kind == GOOD and each.outcome == SECRET and begin_s <= each.begun_s and each.ended_s <= until_s
    }  # fmt: skip


def summary(history: History) -> dict[str, Any]:
    """Return what happened, in numbers."""
    outcomes = Counter(f"{each.kind} {each.protocol} {each.outcome}" for each in history.attempts)
    waits = sorted(_pauses(history))
    return {
        "attempts": len(history.attempts),
        "outcomes": dict(sorted(outcomes.items())),
        "faults": dict(Counter(each.kind for each in history.faults)),
        "ledger_lines": len(history.lines),
        "recovered_s_max": round(waits[-1], 2) if waits else None,
    }


def _pauses(history: History) -> Iterator[float]:
    """Yield how long it took, after each fault, until somebody got the secret."""
    good = [each for each in history.attempts if each.kind == GOOD and each.outcome == SECRET]
    for fault in history.faults:
        after = [each.ended_s - fault.ended_s for each in good if each.begun_s >= fault.ended_s]
        if after:
            yield min(after)
