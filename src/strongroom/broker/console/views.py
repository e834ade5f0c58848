"""View models of replicas, leases, models and people: facts in, what a page says out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.broker.admin.roles import ALL_TENANTS
from strongroom.broker.console.decision_views import DecisionView, status_badge
from strongroom.broker.console.facts import (
    AdminFact,
    FloorFact,
    LeaseFact,
    RevocationFact,
    SecretFact,
)
from strongroom.broker.console.overview_views import LAPSED, LIVE, is_lost
from strongroom.broker.console.wording import DAY_MS, Badge, Moment, Tone, moment, short

EXPIRING_SHARE: Final = 0.25  # a lease in the last quarter of its time should have been renewed
_ROLES: Final = {
    "owner": "everything: policy, keys, people, leases",
    "keeper": "keys and secrets of a tenant",
    "operator": "status, leases and revocations of a tenant",
    "auditor": "reads everything, changes nothing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """One lease."""

    id: str
    tenant: str
    secret: str
    rule: str
    peer: str
    protocol: str
    holder: str
    measurement: str
    platform: str
    status: Badge
    state: Badge
    live: bool
    over: bool  # it ended as leases do; one that was lost is not over for its owner
    granted: Moment
    renewed: Moment
    expires: Moment
    renewals: int
    share_left: int  # percent of its time that is left


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaView:
    """One attested program that holds secrets, by the key that they went to."""

    holder: str
    peer: str
    protocol: str
    model: str
    version: str
    measurement: str
    platform: str
    status: Badge
    state: Badge
    since: Moment
    expires: Moment
    leases: int
    over: bool
    reason: DecisionView | None  # its last denial, if that came after its last grant


def lease(fact: LeaseFact, now_ms: int) -> LeaseView:
    """Return one lease as a line."""
    length = max(1, fact.expires_ms - fact.renewed_ms)
    live = is_live(fact, now_ms)
    left = max(0, min(100, round(100 * (fact.expires_ms - now_ms) / length))) if live else 0
    return LeaseView(
        id=fact.id,
        tenant=fact.tenant,
        secret=fact.secret,
        rule=fact.rule,
        peer=fact.peer,
        protocol=fact.protocol,
        holder=fact.holder,
        measurement=fact.measurement,
        platform=fact.platform,
        status=status_badge(fact.tcb_status or "unknown"),
        state=lease_state(fact, now_ms),
        live=live,
        over=_is_over(fact, now_ms),
        granted=moment(fact.granted_ms, now_ms),
        renewed=moment(fact.renewed_ms, now_ms),
        expires=moment(fact.expires_ms, now_ms),
        renewals=fact.renewals,
        share_left=left,
    )


def is_live(fact: LeaseFact, now_ms: int) -> bool:
    """Return whether the lease counts now."""
    return fact.state == LIVE and fact.expires_ms > now_ms


def _is_over(fact: LeaseFact, now_ms: int) -> bool:
    return lease_state(fact, now_ms).tone is Tone.QUIET


def lease_state(fact: LeaseFact, now_ms: int) -> Badge:
    """Return how a lease stands: live, expiring, lost (its holder stopped renewing it), or how it ended."""
    left = fact.expires_ms - now_ms
    if is_lost(fact, now_ms):
        return Badge("Lost", Tone.BAD)
    if fact.state != LIVE or left <= 0:
        if fact.state in {LIVE, LAPSED}:
            return Badge("Over", Tone.QUIET)
        return Badge(fact.state.capitalize(), Tone.QUIET)
    if left < EXPIRING_SHARE * max(1, fact.expires_ms - fact.renewed_ms):
        return Badge("Expiring", Tone.WARN)
    return Badge("Live", Tone.GOOD)


def replicas(leases: Sequence[LeaseFact], denials: Sequence[DecisionView], now_ms: int) -> tuple[ReplicaView, ...]:
    """Return the replicas that hold or held leases, live ones first, then the newest."""
    by_holder: dict[str, list[LeaseFact]] = {}
    for fact in leases:
        by_holder.setdefault(fact.holder or fact.id, []).append(fact)
    views = [_replica(held, denials, now_ms) for held in by_holder.values()]
    order = {Tone.BAD: 1, Tone.WARN: 0, Tone.GOOD: 0}
    return tuple(sorted(views, key=lambda each: order.get(each.state.tone, 2)))


def _replica(held: list[LeaseFact], denials: Sequence[DecisionView], now_ms: int) -> ReplicaView:
    newest = max(held, key=lambda each: (is_live(each, now_ms), each.expires_ms))
    model = next((each.secret for each in held if each.secret.startswith("model/")), newest.secret)
    name, version = _model(model)
    renewed = moment(max(each.renewed_ms for each in held), now_ms)
    host = _host(newest.peer)
    last = next((each for each in denials if _host(each.peer) == host and each.when.iso > renewed.iso), None)
    return ReplicaView(
        holder=newest.holder,
        peer=newest.peer,
        protocol=newest.protocol,
        model=name,
        version=version,
        measurement=newest.measurement,
        platform=newest.platform,
        status=status_badge(newest.tcb_status or "unknown"),
        state=lease_state(newest, now_ms),
        since=moment(min(each.granted_ms for each in held), now_ms),
        expires=moment(newest.expires_ms, now_ms),
        leases=sum(is_live(each, now_ms) for each in held),
        over=_is_over(newest, now_ms),
        reason=last,
    )


def _host(peer: str) -> str:
    """Return a peer's address without its port, which is another one for each connection."""
    return peer.rpartition(":")[0] or peer


def _model(secret: str) -> tuple[str, str]:
    kind, _, rest = secret.partition("/")
    if kind != "model" or "/" not in rest:
        return secret, ""
    name, _, version = rest.rpartition("/")
    return name, version


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretView:
    """One version of a secret, without its value."""

    tenant: str
    name: str
    version: str
    state: Badge
    size: str
    created: Moment
    leases: int
    below_floor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """One model: its versions, newest first, and the least version that may be released."""

    tenant: str
    name: str
    floor: int | None
    floor_by: str
    versions: tuple[SecretView, ...]


_STATES: Final = {"active": Tone.GOOD, "retired": Tone.WARN, "destroyed": Tone.QUIET}


def models(
    secrets: Iterable[SecretFact], floors: Iterable[FloorFact], leases: Sequence[LeaseFact], now_ms: int
) -> tuple[ModelView, ...]:
    """Return the models among the secrets."""
    least = {(each.tenant, each.model): each for each in floors}
    found: dict[tuple[str, str], list[SecretView]] = {}
    for fact in secrets:
        if fact.kind == "model" or fact.name.startswith("model/"):
            name, version = _model(fact.name)
            floor = least.get((fact.tenant, name))
            below = floor is not None and version.isdecimal() and int(version) < floor.min_version
            view = _secret_view(fact, version, leases, now_ms, below=below)
            found.setdefault((fact.tenant, name), []).append(view)
    return tuple(_model_view(key, versions, least.get(key)) for key, versions in sorted(found.items()))


def _model_view(key: tuple[str, str], versions: list[SecretView], floor: FloorFact | None) -> ModelView:
    return ModelView(
        tenant=key[0],
        name=key[1],
        floor=None if floor is None else floor.min_version,
        floor_by="" if floor is None else floor.author,
        versions=tuple(sorted(versions, key=lambda each: -int(each.version) if each.version.isdecimal() else 0)),
    )


def _secret_view(
    fact: SecretFact, version: str, leases: Sequence[LeaseFact], now_ms: int, *, below: bool = False
) -> SecretView:
    held = sum(each.secret == fact.name and each.tenant == fact.tenant and is_live(each, now_ms) for each in leases)
    return SecretView(
        tenant=fact.tenant,
        name=fact.name,
        version=version,
        state=Badge("Below the floor", Tone.WARN) if below else _state(fact.state),
        size=f"{fact.bytes:,} bytes",
        created=moment(fact.created_ms, now_ms),
        leases=held,
        below_floor=below,
    )


def _state(state: str) -> Badge:
    return Badge(state.capitalize(), _STATES.get(state, Tone.WARN))


def other_secrets(secrets: Iterable[SecretFact], leases: Sequence[LeaseFact], now_ms: int) -> tuple[SecretView, ...]:
    """Return the secrets that are no model keys."""
    rest = (each for each in secrets if each.kind != "model" and not each.name.startswith("model/"))
    ordered = sorted(rest, key=lambda each: (each.tenant, each.name, -each.version))
    return tuple(_secret_view(each, str(each.version), leases, now_ms) for each in ordered)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationView:
    """Something that nothing is released to any more."""

    id: str
    kind: str
    value: str
    reason: str
    author: str
    tenant: str
    when: Moment


def revocations(facts: Iterable[RevocationFact], now_ms: int) -> tuple[RevocationView, ...]:
    """Return the revocations in force, the newest first."""
    return tuple(
        RevocationView(
            id=each.id, kind=each.kind, value=each.value, reason=each.reason, author=each.author,
            tenant="every tenant" if each.tenant == ALL_TENANTS else each.tenant,
            when=moment(each.created_ms, now_ms),
        )
        for each in sorted(facts, key=lambda each: -each.created_ms)
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminView:
    """One person with a certificate."""

    name: str
    role: str
    may: str
    tenant: str
    fingerprint: str
    state: Badge
    until: Moment


def admins(facts: Iterable[AdminFact], now_ms: int) -> tuple[AdminView, ...]:
    """Return who may administer, by name."""
    return tuple(
        AdminView(
            name=each.name,
            role=each.role,
            may=_ROLES.get(each.role, "nothing that this page knows"),
            tenant="every tenant" if each.tenant == ALL_TENANTS else each.tenant,
            fingerprint=short(each.fingerprint),
            state=_admin_state(each, now_ms),
            until=moment(each.not_after_ms, now_ms),
        )
        for each in sorted(facts, key=lambda each: each.name)
    )


def _admin_state(fact: AdminFact, now_ms: int) -> Badge:
    if fact.state != "active":
        return Badge(fact.state.capitalize(), Tone.QUIET)
    if fact.not_after_ms <= now_ms:
        return Badge("Certificate ended", Tone.BAD)
    return Badge("Ends soon", Tone.WARN) if fact.not_after_ms - now_ms < 14 * DAY_MS else Badge("Active", Tone.GOOD)
