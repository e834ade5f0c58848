"""How a policy changes: what admits less acts at once, what admits more waits for owners' signatures (threat SA-08).

World: the store, through the transaction that the caller passes, and the owners' public keys. Enrolling a platform is
such a change, and taking it off the list is not (threat PL-03). Votes count for the change as it stands: once the
policy in force has changed, they are void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.policy import history
from strongroom.broker.policy.diff import PolicyDiff, diff
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.history import NO_RULES, PolicyChange, PolicyVersion, State, sentences
from strongroom.broker.policy.votes import Ballot, Vote, VoteRefused, key_id
from strongroom.broker.policy.watched import parse_policy
from strongroom.broker.store import Tx
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.pki.signing import load_owner_public

MAX_KEY_BYTES: Final = 16 * 1024
_SIGNATURE_BYTES: Final = 64


class OwnersUnusable(BadInput):
    """strongroom.toml wants more votes for a weakening than there are different owners' keys."""

    code = "SR-OWNERS"
    fix = "Name the public keys of as many different people in owners as weakening_votes says, or more."


@dataclass(frozen=True, slots=True)
class Approvals:
    """Whose votes count, by the id of their keys, and how many a policy needs that admits more; 0: none."""

    owners: Mapping[str, Ed25519PublicKey] = field(default_factory=lambda: MappingProxyType({}))
    votes: int = 0

    def __post_init__(self) -> None:
        """Refuse what nobody could fulfil. Raises OwnersUnusable."""
        if self.votes > len(self.owners):
            raise OwnersUnusable(f"{self.votes} votes are wanted of {len(self.owners)} different owners")

    @classmethod
    def of_files(cls, owners: Sequence[str], votes: int, *, base: Path) -> Self:
        """Return what [broker] owners and weakening_votes say; without owners a policy needs no votes.

        Raises OwnersUnusable, BadSigningKey, or OSError for a file that cannot be read.
        """
        keys = [load_owner_public(disk.read_bounded(base / name, limit=MAX_KEY_BYTES)) for name in owners]
        return cls(MappingProxyType({key_id(key): key for key in keys}), votes if keys else 0)

    def wanted_for(self, change: PolicyDiff) -> int:
        """Return how many votes a change needs before it acts."""
        return self.votes if change.wider else 0


NO_APPROVALS: Final = Approvals()


def submit(
    tx: Tx, tenant: str, text: bytes, author: str, approvals: Approvals = NO_APPROVALS
) -> PolicyChange:  # fmt: skip
    """Make `text` the tenant's policy, at once or, where it admits more and owners have to agree, as a proposal.

    The same text as in force changes nothing, the same text as a proposal is that proposal. Raises
    PolicyFileMalformed before anything is changed.
    """
    new = parse_policy(text)
    current = history.in_force(tx, tenant)
    change = diff(NO_RULES if current is None else current.policy(), new)
    if current is not None and current.text == text:
        return _change(current, new, change)
    wanted = approvals.wanted_for(change)
    if not wanted:
        return _change(history.put(tx, tenant, text, author), new, change)
    waiting = [each for each in history.proposed(tx, tenant) if each.text == text]
    version = waiting[0] if waiting else _propose(tx, tenant, text, author)
    if len(voters(tx, version, approvals)) >= wanted:  # votes that came before the workspace wanted fewer
        return _take(tx, version, approvals)
    return _waits(current, version, change, wanted)


def _propose(tx: Tx, tenant: str, text: bytes, author: str) -> PolicyVersion:
    """Add a proposal; it takes the place of its author's earlier one."""
    for earlier in history.proposed(tx, tenant):
        if earlier.author == author:
            history.set_state(tx, earlier, State.DROPPED)
    return history.put(tx, tenant, text, author, state=State.PROPOSED)


def approve(tx: Tx, tenant: str, number: int, vote: Vote, approvals: Approvals) -> PolicyChange:
    """Count an owner's vote for a proposed version; with enough of them it is in force.

    Raises UnknownPolicyVersion, VoteRefused, before anything is changed. A second vote of one owner replaces the first.
    """
    version = history.version(tx, tenant, number)
    if version.state is not State.PROPOSED:
        raise VoteRefused(f"version {number} does not wait for votes: it is {version.state}")
    current = history.in_force(tx, tenant)
    if vote.ballot != ballot_of(version, current):
        raise VoteRefused(f"the vote is not about version {number} of the policy of {tenant} and what it replaces")
    vote.check(approvals.owners, at=history.time_of(tx))
    change = history.difference(tx, tenant, number)
    tx.execute(
        "DELETE FROM policy_votes WHERE tenant = ? AND version = ? AND signer = ?", (tenant, number, vote.signer)
    )  # fmt: skip
    tx.execute(
        "INSERT INTO policy_votes (tenant, version, signer, signature, created_ms) VALUES (?, ?, ?, ?, ?)",
        (tenant, number, vote.signer, vote.signature + vote.expires.to_bytes(8, "big"), tx.now_ms),
    )
    wanted = approvals.wanted_for(change)
    if len(voters(tx, version, approvals)) >= wanted:
        return _take(tx, version, approvals)
    return _waits(current, version, change, wanted, signed=voters(tx, version, approvals))


def withdraw(tx: Tx, tenant: str, number: int) -> PolicyVersion:
    """Drop a proposal. Raises UnknownPolicyVersion, or VoteRefused if it does not wait any more."""
    version = history.version(tx, tenant, number)
    if version.state is not State.PROPOSED:
        raise VoteRefused(f"version {number} does not wait for votes: it is {version.state}")
    history.set_state(tx, version, State.DROPPED)
    return version


def ballot_of(version: PolicyVersion, current: PolicyVersion | None) -> Ballot:
    """Return what an owner signs to put a proposed version in the place of the one in force."""
    return Ballot(
        tenant=version.tenant, version=version.version, policy=version.digest,
        replaces=history.digest_in_force(current),
    )  # fmt: skip


def voters(tx: Tx, version: PolicyVersion, approvals: Approvals) -> tuple[str, ...]:
    """Return the owners whose votes for a proposal count now: each once, not over, about the change as it stands."""
    ballot = ballot_of(version, history.in_force(tx, version.tenant))
    rows = tx.execute(
        "SELECT signer, signature FROM policy_votes WHERE tenant = ? AND version = ? ORDER BY signer",
        (version.tenant, version.version),
    )
    return tuple(
        signer for signer, kept in rows if _counts(ballot, signer, bytes(kept), approvals, history.time_of(tx))
    )


def _counts(ballot: Ballot, signer: str, kept: bytes, approvals: Approvals, at: datetime) -> bool:
    signature, expires = kept[:_SIGNATURE_BYTES], int.from_bytes(kept[_SIGNATURE_BYTES:], "big")
    try:
        Vote(ballot=ballot, expires=expires, signer=signer, signature=signature).check(approvals.owners, at=at)
    except VoteRefused:
        return False
    return True


def _take(tx: Tx, version: PolicyVersion, approvals: Approvals) -> PolicyChange:
    signed, change = voters(tx, version, approvals), history.difference(tx, version.tenant, version.version)
    history.take(tx, version)
    return _change(version, version.policy(), change, signed)


def _change(
    version: PolicyVersion, policy: ReleasePolicy, change: PolicyDiff, signed: tuple[str, ...] = ()
) -> PolicyChange:
    return PolicyChange(
        rules=len(policy.rules), digest=version.digest, tenant=version.tenant, version=version.version,
        author=version.author, wider=sentences(change.wider), narrower=sentences(change.narrower), voters=signed,
    )  # fmt: skip


def _waits(
    current: PolicyVersion | None, version: PolicyVersion, change: PolicyDiff, wanted: int,
    signed: tuple[str, ...] = (),
) -> PolicyChange:  # fmt: skip
    rules = 0 if current is None else len(current.policy().rules)
    return PolicyChange(
        rules=rules, digest=history.digest_in_force(current), tenant=version.tenant,
        version=None if current is None else current.version, author=version.author,
        problem=problem_of(version, wanted=wanted, signed=len(signed)), wider=sentences(change.wider),
        narrower=sentences(change.narrower), proposed=version.version, voters=signed,
    )  # fmt: skip


def problem_of(version: PolicyVersion, *, wanted: int, signed: int) -> str:
    """Return why a proposal is not in force, and what its owners can do."""
    tenant = "" if version.tenant == DEFAULT_TENANT else f" --tenant {version.tenant}"
    return (
        f"version {version.version} admits more than the policy in force and has {signed} of {wanted} owners'"
        f" signatures; each runs: strongroom policy approve {version.version}{tenant} --key KEYFILE"
    )
