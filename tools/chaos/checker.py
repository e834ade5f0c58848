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
from strongroom.broker.ledger.merkle import Frontier, leaf_hash
from strongroom.errors import StrongroomError

SECRET: Final = "secret"  # noqa: S105  # what an attempt ended with
GOOD, WRONG, REPLAY = "good", "wrong", "replay"
CLOCK: Final = "clock"
ELSEWHERE: Final = frozenset({"kill", "clock", "cold", "pause", "partition"})  # of one broker, not of what all need
LOCKED_S: Final = 12.0  # how long a broker that is cut off may keep the others from writing: the database ends its turn
RULES: Final = (
    "nothing is released against policy",
    "nothing is released after a revocation",
    "no acknowledged ledger line is lost",
    "no nonce is accepted twice",
    "no more leases than the limit, over all brokers",
    "the chain and its signed roots hold",
    "times never go back",
    "a broker whose clock jumped releases nothing",
    "the others serve meanwhile",
    "service comes back by itself",
    "brokers outlive what is around them, and end when they are told",
    "the run proves something",
)


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
    revoked_s: float = float("inf")  # when the revocation had been acknowledged
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # rule: live leases, milliseconds of each


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that was recorded."""

    attempts: Sequence[Attempt]
    faults: Sequence[Fault]
    heads: Sequence[Head]  # ends of the ledger, as they were seen
    lines: Sequence[bytes]  # the ledger at the end
    roots: Sequence[tuple[int, str]] = ()  # sizes and signed roots (hex), as they were seen
    faulty: Sequence[str] = ()  # what the product's own check of the ledger found
    lingering: Sequence[str] = ()  # leases that were live at the end although what they rest on was revoked
    exits: Sequence[str] = ()  # brokers that ended although nobody told them, or did not although they were told
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
        *_after_revocation(history, entries, rules),
        *_lost(history.attempts, entries),
        *_replayed(history.attempts),
        *_over_limit(entries, rules),
        *_chain(history),
        *_jumped(history),
        *_served_meanwhile(history),
        *_recovered(history, rules),
        *(Violation("brokers outlive what is around them, and end when they are told", each) for each in history.exits),
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


def _after_revocation(history: History, entries: Sequence[Mapping[str, Any]], rules: Rules) -> Iterator[Violation]:
    rule = "nothing is released after a revocation"
    for entry in entries:
        measurement = str((entry.get("evidence") or {}).get("mr_enclave"))
        if entry.get("decision") == "granted" and entry["seq"] > rules.revoked.get(measurement, entry["seq"]):
            yield Violation(rule, f"ledger line {entry['seq']} grants to {measurement}")
    for each in history.attempts:
        if each.outcome == SECRET and each.measurement in rules.revoked and each.begun_s > rules.revoked_s:
            yield Violation(rule, f"a client that asked afterwards has the secret: {each}")
    yield from (Violation(rule, f"a lease lives on: {each}") for each in history.lingering)


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


def _over_limit(entries: Sequence[Mapping[str, Any]], rules: Rules) -> Iterator[Violation]:
    """Count the leases that were live at each grant, by the clock that they end by."""
    live: dict[str, dict[str, int]] = {}
    for entry in entries:
        if entry.get("decision") != "granted" or entry.get("rule") not in rules.limits:
            continue
        most, lasts_ms = rules.limits[entry["rule"]]
        lease, held = entry["lease"], live.setdefault(entry["rule"], {})
        held[lease["id"]] = lease["expires_ms"]
        now_ms = lease["expires_ms"] - lasts_ms
        count = sum(expires_ms > now_ms for expires_ms in held.values())
        if count > most:
            yield Violation(
                "no more leases than the limit, over all brokers",
                f"ledger line {entry['seq']} is the {count}th live one of {most}",
            )


def _chain(history: History) -> Iterator[Violation]:
    rule = "the chain and its signed roots hold"
    yield from (Violation(rule, each) for each in history.faulty)
    for head in (None, *history.heads):
        try:
            chain.check(history.lines, remembered=head)
        except StrongroomError as problem:
            yield Violation(rule, f"{problem.sentence} (seen on the way: {head})")
            if head is None:
                return
    yield from _roots(rule, history)
    last = ""
    for line in history.lines:
        time = json.loads(line)["time"]
        if time < last:
            yield Violation("times never go back", f"{time} stands behind {last}")
        last = max(last, time)


def _roots(rule: str, history: History) -> Iterator[Violation]:
    """Compare the roots that brokers signed on the way with those of the lines as they are now."""
    wanted: dict[int, set[str]] = {}
    for size, root in history.roots:
        wanted.setdefault(size, set()).add(root)
    tree = Frontier()
    for line in (*history.lines, b""):
        for root in wanted.pop(tree.size, ()):
            if root != tree.root().hex():
                yield Violation(rule, f"the root over {tree.size} lines was {root}")
        tree = tree.grown(leaf_hash(line))
    for size in sorted(wanted):
        yield Violation(rule, f"a root was signed over {size} lines, and there are {len(history.lines)}")


def _jumped(history: History) -> Iterator[Violation]:
    for fault in history.faults:
        if fault.kind != CLOCK:
            continue
        for each in history.attempts:
            inside = fault.begun_s < each.begun_s and each.ended_s < fault.ended_s
            if inside and each.broker == fault.broker and each.outcome == SECRET:
                yield Violation("a broker whose clock jumped releases nothing", f"{each}")


def _served_meanwhile(history: History) -> Iterator[Violation]:
    """While one broker alone is in trouble, somebody gets the secret from another one."""
    for fault in history.faults:
        alone = all(each is fault or each.ended_s < fault.begun_s or each.begun_s > fault.ended_s
                    for each in history.faults)  # fmt: skip
        patient = LOCKED_S if fault.kind in ("pause", "partition") else 2.0
        if fault.kind not in ELSEWHERE or not alone or fault.ended_s - fault.begun_s < patient:
            continue
        served = served_after(history.attempts, fault.begun_s, fault.ended_s) - {fault.broker}
        if not served:
            yield Violation("the others serve meanwhile", f"nobody got the secret during {fault}")


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
        "signed_roots_seen": len(set(history.roots)),
        "recovered_s_max": round(waits[-1], 2) if waits else None,
    }


def _pauses(history: History) -> Iterator[float]:
    """Yield how long it took, after each fault, until somebody got the secret."""
    good = [each for each in history.attempts if each.kind == GOOD and each.outcome == SECRET]
    for fault in history.faults:
        after = [each.ended_s - fault.ended_s for each in good if each.begun_s >= fault.ended_s]
        if after:
            yield min(after)
