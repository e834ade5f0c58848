"""The versions of every tenant's policy, as the store keeps them: what is in force, what was, what waits for votes.

World: the tables `policies` and `policy_votes`, through the transaction that the caller passes. A version is never
changed; at most one of a tenant is in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.diff import Finding, PolicyDiff, diff
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.votes import NOTHING, digest_of
from strongroom.broker.store import Row, Tx, as_bytes
from strongroom.errors import BadInput

MAX_SHOWN: Final = 1000  # versions that are listed at most
MAX_SENTENCES: Final = 20  # of a difference, in one record
_COLUMNS: Final = "tenant, version, digest, text, author, created_ms, state"
NO_RULES: Final = ReleasePolicy(())


class State(StrEnum):
    """What became of a version."""

    IN_FORCE = "in force"
    REPLACED = "replaced"
    PROPOSED = "proposed"  # admits more than the policy in force, and waits for votes
    DROPPED = "dropped"  # proposed, and overtaken by another change or withdrawn


class UnknownPolicyVersion(BadInput):
    """There is no such version of this tenant's policy."""

    code = "SR-POLICY-VERSION"
    fix = "Run strongroom policy history for the versions there are."


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a tenant's policy; `text` is the file as it was written."""

    tenant: str
    version: int
    digest: str  # SHA-256 of the text, hex
    text: bytes
    author: str
    created_ms: int
    state: State

    def policy(self) -> ReleasePolicy:
        """Return what it says. Raises PolicyFileMalformed if this Strongroom does not understand it."""
        return policy_file.parse(self.text.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """Which policy is in force after a change, or because of `problem` still is; and what the change does."""

    rules: int
    digest: str  # SHA-256 of the policy that is in force, hex
    problem: str | None = None
    tenant: str = DEFAULT_TENANT
    version: int | None = None  # of the policy in force; None where no store keeps versions
    author: str = ""
    wider: tuple[str, ...] = ()  # what the change admits, in sentences
    narrower: tuple[str, ...] = ()
    proposed: int | None = None  # the version that waits for votes instead of being in force
    voters: tuple[str, ...] = ()  # the keys of the owners who signed it

    def notices(self) -> list[str]:
        """Return what the owner's log says of the change, line by line."""
        if self.problem is not None:
            first = f"POLICY NOT TAKEN, the last good one stays in force: {self.problem}"
            return [first, *(f"it would admit: {each}" for each in self.wider[:MAX_SENTENCES])]
        which = f" (tenant {self.tenant})" if self.tenant != DEFAULT_TENANT else ""
        first = f"policy changed: {self.rules} rules are in force{which}"
        return [first, *(f"it admits: {each}" for each in self.wider[:MAX_SENTENCES])]

    def record(self) -> dict[str, object]:
        """Return the change as the ledger holds it."""
        found: dict[str, object] = {
            "kind": "policy", "tenant": self.tenant, "rules": self.rules, "digest": self.digest,
            "problem": self.problem and self.problem[:400], "version": self.version,
        }  # fmt: skip
        more = {"author": self.author, "proposed": self.proposed, "wider": list(self.wider[:MAX_SENTENCES]),
                "narrower": list(self.narrower[:MAX_SENTENCES]), "voters": list(self.voters)}  # fmt: skip
        return found | {word: value for word, value in more.items() if value}


def put(tx: Tx, tenant: str, text: bytes, author: str, *, state: State = State.IN_FORCE) -> PolicyVersion:
    """Add a version; one in force replaces the one that was, and what was proposed against that is dropped.

    `text` has been read by the caller: what cannot be enforced never gets here.
    """
    [[last]] = tx.execute("SELECT MAX(version) FROM policies WHERE tenant = ?", (tenant,))
    found = PolicyVersion(
        tenant=tenant, version=(last or 0) + 1, digest=digest_of(text), text=text, author=author,
        created_ms=tx.now_ms, state=state,
    )  # fmt: skip
    if state is State.IN_FORCE:
        _step_down(tx, tenant)
    tx.execute(
        f"INSERT INTO policies ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # a constant
        (tenant, found.version, found.digest, text, author, tx.now_ms, state.value),
    )
    return found


def take(tx: Tx, version: PolicyVersion) -> None:
    """Put a proposed version in force."""
    _step_down(tx, version.tenant)
    set_state(tx, version, State.IN_FORCE)


def set_state(tx: Tx, version: PolicyVersion, state: State) -> None:
    """Say what became of a version."""
    tx.execute(
        "UPDATE policies SET state = ? WHERE tenant = ? AND version = ?", (state.value, version.tenant, version.version)
    )


def _step_down(tx: Tx, tenant: str) -> None:
    for before, after in ((State.IN_FORCE, State.REPLACED), (State.PROPOSED, State.DROPPED)):
        tx.execute(
            "UPDATE policies SET state = ? WHERE tenant = ? AND state = ?", (after.value, tenant, before.value)
        )  # fmt: skip


def in_force(tx: Tx, tenant: str) -> PolicyVersion | None:
    """Return the version in force; None where a tenant has no policy, so that nothing is released."""
    found = _select(tx, "tenant = ? AND state = ?", (tenant, State.IN_FORCE.value))
    return found[0] if found else None


def number_in_force(tx: Tx, tenant: str) -> int | None:
    """Return the number of the version in force, without reading its text."""
    found = tx.execute("SELECT version FROM policies WHERE tenant = ? AND state = ?", (tenant, State.IN_FORCE.value))
    return found[0][0] if found else None


def version(tx: Tx, tenant: str, number: int) -> PolicyVersion:
    """Return one version. Raises UnknownPolicyVersion."""
    found = _select(tx, "tenant = ? AND version = ?", (tenant, number))
    if not found:
        raise UnknownPolicyVersion(f"the tenant {tenant} has no version {number} of its policy")
    return found[0]


def versions(tx: Tx, tenant: str) -> tuple[PolicyVersion, ...]:
    """Return every version of a tenant, the newest first."""
    return _select(tx, "tenant = ?", (tenant,))


def proposed(tx: Tx, tenant: str) -> tuple[PolicyVersion, ...]:
    """Return the versions that wait for votes, the newest first."""
    return _select(tx, "tenant = ? AND state = ?", (tenant, State.PROPOSED.value))


def difference(tx: Tx, tenant: str, number: int | None = None) -> PolicyDiff:
    """Return what a version admits and refuses that the one before it did not; None: the one in force.

    A proposed version is compared with the one in force. Raises UnknownPolicyVersion.
    """
    new = version(tx, tenant, number) if number is not None else in_force(tx, tenant)
    if new is None:
        return diff(NO_RULES, NO_RULES)
    if new.state is State.PROPOSED:
        old = in_force(tx, tenant)
    else:  # the last one before it that was in force
        was = (State.REPLACED.value, State.IN_FORCE.value)
        earlier = _select(tx, "tenant = ? AND version < ? AND state IN (?, ?)", (tenant, new.version, *was))
        old = earlier[0] if earlier else None
    return diff(NO_RULES if old is None else old.policy(), new.policy())


def digest_in_force(found: PolicyVersion | None) -> str:
    """Return what a vote names as the policy that is replaced."""
    return NOTHING if found is None else found.digest


def time_of(tx: Tx) -> datetime:
    """Return the time of a transaction, by the store's clock."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=tx.now_ms)


def sentences(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return findings as log and ledger show them: one line each, with the words that changed."""
    return tuple(
        each.sentence + "".join(f"; {word}" for word in each.words if word.change is not None) for each in findings
    )  # fmt: skip


def _select(tx: Tx, where: str, values: tuple[str | int, ...]) -> tuple[PolicyVersion, ...]:
    statement = f"SELECT {_COLUMNS} FROM policies WHERE {where} ORDER BY version DESC LIMIT {MAX_SHOWN}"  # noqa: S608  # constants
    return tuple(map(_of_row, tx.execute(statement, values)))


def _of_row(row: Row) -> PolicyVersion:
    tenant, number, digest, text, author, created_ms, state = row
    return PolicyVersion(
        tenant=tenant, version=number, digest=digest, text=as_bytes(text), author=author, created_ms=created_ms,
        state=State(state),
    )  # fmt: skip
