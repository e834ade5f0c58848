"""What each replica is worth: Kubernetes' view of its pod joined with the broker's view of its proof. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.deploy.cluster.objects import Pod, number, text
from strongroom.deploy.cluster.reasons import NOTHING_HEARD, Heard, Reason, Standing, why

GRANTED: Final = "granted"
SHORT_HEX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the broker knows of one peer: what it measured, what it lent it until when, or why it refused."""

    measurement: str = ""  # MRENCLAVE or MRTD, hex
    tcb: str = ""
    lease_until: datetime | None = None
    secret: str = ""
    denied: str = ""  # code of the first reason of the newest decision, where that was a denial
    denied_words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One line of the table."""

    pod: str
    component: str
    node: str
    age_s: int | None
    ready: bool
    image: str
    standing: Standing
    words: str
    fix: str
    code: str
    restarts: int
    proof: Proof | None = None
    requests: int | None = None
    in_flight: int | None = None

    def to_json_object(self) -> dict[str, Any]:
        """Return the line as JSON can write it."""
        found = asdict(self)
        if self.proof is not None and self.proof.lease_until is not None:
            found["proof"]["lease_until"] = self.proof.lease_until.isoformat()
        return found


def replica_of(
    pod: Pod, *, now: datetime, heard: Heard = NOTHING_HEARD, proof: Proof | None = None,
    load: tuple[int | None, int | None] = (None, None),
) -> Replica:  # fmt: skip
    """Return a pod's line; `load`: requests answered so far, and in flight."""
    reason = _with_denial(why(pod, heard), proof)
    return Replica(
        pod=pod.name, component=pod.component, node=pod.node, ready=pod.ready, image="".join(pod.images[:1]),
        age_s=None if pod.created is None else max(0, int((now - pod.created).total_seconds())),
        standing=reason.standing, words=reason.words, fix=reason.fix, code=reason.code, restarts=pod.restarts,
        proof=proof, requests=load[0], in_flight=load[1],
    )  # fmt: skip


def _with_denial(reason: Reason, proof: Proof | None) -> Reason:
    """Add what the owner's ledger says; the replica itself was not told."""
    if reason.standing is not Standing.REFUSED or proof is None or not proof.denied:
        return reason
    words = f"{reason.words}; the broker: {proof.denied}" + (f" ({proof.denied_words})" if proof.denied_words else "")
    fix = f"strongroom explain {proof.denied}, then strongroom ledger show --denied"
    return Reason(standing=reason.standing, words=words, fix=fix, code=proof.denied)


def proofs(
    leases: Iterable[Mapping[str, Any]], decisions: Iterable[Mapping[str, Any]], *, now: datetime
) -> dict[str, Proof]:
    """Return what the broker knows by the peer's address; `decisions` newest first, as the ledger lists them.

    A peer is an address: replicas behind one address (a NAT in front of a broker outside) cannot be told apart, and
    then the newest counts.
    """
    found: dict[str, Proof] = {}
    for lease in leases:
        until = _until(lease)
        address = address_of(text(lease, "peer"))
        if lease.get("state") != "live" or until is None or until <= now:
            continue
        known = found.get(address)
        if known is None or known.lease_until is None or known.lease_until > until:  # the first to end matters
            found[address] = Proof(
                measurement=text(lease, "measurement"), tcb=text(lease, "tcb_status"), lease_until=until,
                secret=text(lease, "secret"),
            )  # fmt: skip
    judged: set[str] = set()
    for line in decisions:
        address = address_of(text(line, "peer"))
        if address in judged:
            continue
        judged.add(address)
        if address not in found:
            found[address] = _judged(line)
    return found


def _judged(line: Mapping[str, Any]) -> Proof:
    evidence = line.get("evidence") if isinstance(line.get("evidence"), Mapping) else {}
    reasons = line.get("reasons")
    first = reasons[0] if isinstance(reasons, list) and reasons and isinstance(reasons[0], Mapping) else {}
    denied = line.get("decision") != GRANTED
    return Proof(
        measurement=text(evidence, "mr_enclave") or text(evidence, "mr_td"), tcb=text(evidence, "status"),
        denied=(text(first, "code") or "refused") if denied else "", denied_words=text(first, "observed"),
    )  # fmt: skip


def _until(lease: Mapping[str, Any]) -> datetime | None:
    ends = number(lease, "expires_ms")
    try:
        return datetime.fromtimestamp(ends / 1000, UTC) if ends else None
    except (ValueError, OverflowError, OSError):
        return None


def address_of(peer: str) -> str:
    """Return a peer's address without its port."""
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    return peer.rpartition(":")[0] if peer.count(":") == 1 else peer


def table(replicas: Sequence[Replica]) -> list[list[str]]:
    """Return the table that a person reads, its heading first."""
    rows = [["REPLICA", "NODE", "AGE", "READY", "IMAGE", "MEASUREMENT", "LEASE UNTIL", "REQUESTS", "STATE"]]
    for each in replicas:
        proof = each.proof or Proof()
        rows.append(
            [
                each.pod,
                each.node or "-",
                age(each.age_s),
                "yes" if each.ready else "no",
                short_image(each.image),
                proof.measurement[:SHORT_HEX] or "-",
                f"{proof.lease_until:%H:%M:%SZ}" if proof.lease_until else "-",
                "-" if each.requests is None else str(each.requests),
                each.standing.value if each.ready else each.words,
            ]
        )
    return rows


def age(seconds: int | None) -> str:
    """Return an age as kubectl writes it."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def short_image(reference: str) -> str:
    """Return an image's tag, or the beginning of its digest: what tells two versions apart."""
    _, _, digest = reference.partition("@sha256:")
    if digest:
        return f"@{digest[:SHORT_HEX]}"
    last = reference.rpartition("/")[2]
    return last.partition(":")[2] or last or "-"
