"""Policies: what is in force, what was, what a version changes, and the owners' votes for what admits more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from strongroom.broker.admin.base import Actions, action, existing_tenant
from strongroom.broker.admin.roles import Actor
from strongroom.broker.admin.views import (
    BallotView,
    FindingView,
    PolicyChangeView,
    PolicyDiffView,
    PolicyVersionView,
    PolicyView,
)
from strongroom.broker.policy import approvals, history
from strongroom.broker.policy.diff import Finding
from strongroom.broker.policy.history import PolicyChange, PolicyVersion, State, UnknownPolicyVersion
from strongroom.broker.policy.votes import Vote
from strongroom.broker.store import Tx


class PolicyActions(Actions):
    """Actions on a tenant's policy."""

    @action
    def show_policy(self, actor: Actor, *, tenant: str, version: int | None = None) -> PolicyView:  # noqa: ARG002
        """Return a version with its text; None: the one in force. Raises UnknownPolicyVersion or UnknownTenant."""

        def read(tx: Tx) -> PolicyView:
            existing_tenant(tx, tenant)
            found = history.in_force(tx, tenant) if version is None else history.version(tx, tenant, version)
            if found is None:
                raise UnknownPolicyVersion(
                    f"the tenant {tenant} has no policy", fix="Put one: strongroom tenant policy."
                )
            return PolicyView(**self._summary(tx, found), text=found.text.decode("utf-8", "replace"))

        return self._store.read(read)

    @action
    def policy_history(self, actor: Actor, *, tenant: str) -> list[PolicyVersionView]:  # noqa: ARG002
        """Return the versions of a tenant's policy, newest first. Raises UnknownTenant."""

        def read(tx: Tx) -> list[PolicyVersionView]:
            existing_tenant(tx, tenant)
            return [self._summary(tx, each) for each in history.versions(tx, tenant)]

        return self._store.read(read)

    @action
    def diff_policy(self, actor: Actor, *, tenant: str, version: int | None = None) -> PolicyDiffView:  # noqa: ARG002
        """Return what a version (None: the one in force) admits and refuses that the one before it did not.

        A proposed version is compared with the one in force. Raises UnknownPolicyVersion or UnknownTenant.
        """

        def read(tx: Tx) -> PolicyDiffView:
            existing_tenant(tx, tenant)
            found = history.difference(tx, tenant, version)
            number = history.number_in_force(tx, tenant) if version is None else version
            return PolicyDiffView(
                tenant=tenant, version=number or 0, admits=_findings(found.wider), refuses=_findings(found.narrower)
            )

        return self._store.read(read)

    @action
    def put_policy(self, actor: Actor, *, tenant: str, text: str) -> PolicyChangeView:
        """Make a text the tenant's policy: at once, or as a proposal where owners have to agree to what it admits.

        The same text again changes nothing. Raises PolicyFileMalformed or UnknownTenant.
        """

        def change(tx: Tx) -> PolicyChange:
            existing_tenant(tx, tenant)
            return approvals.submit(tx, tenant, text.encode(), actor.name, self._parts.policies.approvals)

        return self._policy_change(actor, "put_policy", tenant, change)

    @action
    def policy_ballot(self, actor: Actor, *, tenant: str, version: int) -> BallotView:  # noqa: ARG002
        """Return what an owner signs to put a proposed version in force. Raises UnknownPolicyVersion."""

        def read(tx: Tx) -> BallotView:
            existing_tenant(tx, tenant)
            found = approvals.ballot_of(history.version(tx, tenant, version), history.in_force(tx, tenant))
            return BallotView(
                tenant=found.tenant, version=found.version, policy=found.policy, replaces=found.replaces
            )  # fmt: skip

        return self._store.read(read)

    @action
    def approve_policy(self, actor: Actor, *, tenant: str, version: int, vote: str) -> PolicyChangeView:
        """Count an owner's vote (the file that `strongroom policy approve` writes) for a proposed version.

        Raises VoteMalformed, VoteRefused, UnknownPolicyVersion or UnknownTenant.
        """
        cast_vote = Vote.from_json(vote.encode())

        def change(tx: Tx) -> PolicyChange:
            existing_tenant(tx, tenant)
            return approvals.approve(tx, tenant, version, cast_vote, self._parts.policies.approvals)

        return self._policy_change(actor, "approve_policy", tenant, change, {"signer": cast_vote.signer})

    @action
    def withdraw_policy(self, actor: Actor, *, tenant: str, version: int) -> PolicyVersionView:
        """Drop a proposed version. Raises UnknownPolicyVersion, VoteRefused or UnknownTenant."""

        def change(tx: Tx) -> PolicyVersionView:
            existing_tenant(tx, tenant)
            approvals.withdraw(tx, tenant, version)
            return self._summary(tx, history.version(tx, tenant, version))

        return self._change(actor, "withdraw_policy", change, lambda _: {"tenant": tenant, "version": version})

    def _policy_change(
        self, actor: Actor, name: str, tenant: str, change: Callable[[Tx], PolicyChange],
        about: Mapping[str, object] = MappingProxyType({}),
    ) -> PolicyChangeView:  # fmt: skip
        def described(done: PolicyChange) -> dict[str, Any]:
            return {"tenant": tenant, "digest": done.digest, "version": done.version, "proposed": done.proposed,
                    **about}  # fmt: skip

        done = self._change(actor, name, change, described)
        self._parts.policies.look_again()
        return PolicyChangeView(
            tenant=tenant, version=done.version, digest=done.digest, rules=done.rules, proposed=done.proposed,
            problem=done.problem, wider=list(done.wider), narrower=list(done.narrower), voters=list(done.voters),
        )  # fmt: skip

    def _summary(self, tx: Tx, found: PolicyVersion) -> PolicyVersionView:
        waits = found.state is State.PROPOSED
        rules = self._parts.policies.approvals
        return PolicyVersionView(
            tenant=found.tenant, version=found.version, digest=found.digest, author=found.author,
            created_ms=found.created_ms, state=found.state.value,
            votes=list(approvals.voters(tx, found, rules)) if waits else [], votes_needed=rules.votes if waits else 0,
        )  # fmt: skip


def _findings(found: Sequence[Finding]) -> list[FindingView]:
    return [cast("FindingView", each.to_json_object()) for each in found]
