"""The policies in force of all tenants, cheap to ask for: what a broker looks at for every decision.

World: policy.toml of the first tenant, where there is one, and the store. The file is looked at every time; the store
once a second, or when told, since another broker or an owner's command may have changed it. What cannot be enforced,
and what admits more before its owners agreed, never takes the place of the last good policy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from strongroom.broker import tenants
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.policy import history
from strongroom.broker.policy.approvals import NO_APPROVALS, Approvals, submit
from strongroom.broker.policy.diff import diff
from strongroom.broker.policy.file import PolicyFileMalformed, ReleasePolicy
from strongroom.broker.policy.history import NO_RULES, PolicyChange, PolicyVersion, sentences
from strongroom.broker.policy.votes import NOTHING, digest_of
from strongroom.broker.policy.watched import WatchedPolicy, parse_policy
from strongroom.broker.store import Store, Tx
from strongroom.errors import StrongroomError

LOOK_EVERY_S: Final = 1.0
FROM_FILE: Final = "policy.toml"  # the author of what the file's edits become


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What is in force for one tenant."""

    policy: ReleasePolicy
    change: PolicyChange
    text: bytes | None = None


class Policies:
    """Every tenant's last good policy. Threads may share it."""

    def __init__(
        self, store: Store | None, watched: WatchedPolicy | None = None, approvals: Approvals = NO_APPROVALS, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Take the first tenant's policy from its file and the store. Raises StoreUnavailable.

        With a shared store the file is put into it once, where it has no policy yet, and not looked at again. Without
        a store there are no versions, no other tenants and no votes: what would need votes is not taken.
        """
        self._store = store
        self._approvals = approvals
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._news: dict[str, PolicyChange] = {}
        self._unread: dict[str, tuple[int | None, str]] = {}  # versions in force that this Strongroom cannot read
        self._tenants = frozenset({DEFAULT_TENANT})
        self._unsettled: bytes | None = None  # what the file says, while the store could not be told
        self._watched = watched
        self._looked = clock()
        if watched is not None:
            self._begin(watched)
        if store is not None:
            self._read_all(store)

    @property
    def approvals(self) -> Approvals:
        """Whose votes a policy needs that admits more."""
        return self._approvals

    def current(self, tenant: str = DEFAULT_TENANT) -> tuple[ReleasePolicy, PolicyChange | None]:
        """Return a tenant's policy in force, and once per change what became of it, for log and ledger.

        A tenant that is unknown or suspended has a policy without rules.
        """
        with self._lock:
            self._look()
            if tenant not in self._tenants:
                return NO_RULES, None
            held = self._held.get(tenant)
            return NO_RULES if held is None else held.policy, self._news.pop(tenant, None)

    def in_force(self, tenant: str = DEFAULT_TENANT) -> PolicyChange:
        """Return which policy was in force when it was looked at last."""
        with self._lock:
            held = self._held.get(tenant)
            return PolicyChange(0, NOTHING, tenant=tenant) if held is None else held.change

    def tenants(self) -> frozenset[str]:
        """Return the tenants that are served: those known and not suspended."""
        with self._lock:
            self._look_at_store()
            return self._tenants

    def look_again(self) -> None:
        """Look at the store before the next answer: something was changed there."""
        with self._lock:
            self._looked = self._clock() - LOOK_EVERY_S

    # What follows runs under the lock.

    def _begin(self, watched: WatchedPolicy) -> None:
        """Take the file of a broker that starts: it may have been edited while nobody looked."""
        text, policy = watched.first, parse_policy(watched.first)
        if self._store is None:
            self._hold(DEFAULT_TENANT, policy, PolicyChange(len(policy.rules), digest_of(text)), text)
            return
        shared = self._store.shared

        def begin(tx: Tx) -> PolicyChange | None:
            tenants.ensure_default(tx)
            if history.in_force(tx, DEFAULT_TENANT) is None:
                return submit(tx, DEFAULT_TENANT, text, FROM_FILE)  # the first policy: there is none to weaken
            return None if shared else submit(tx, DEFAULT_TENANT, text, FROM_FILE, self._approvals)

        change = self._store.write(begin)
        self._watched = None if shared else watched
        if change is not None and change.proposed:
            self._news[DEFAULT_TENANT] = change
        elif change is not None:  # so that the first line of the ledger tells an edit made meanwhile
            self._hold(DEFAULT_TENANT, policy, change, text)

    def _look(self) -> None:
        """See what changed: in the file each time, in the store when it is due."""
        edited = None if self._watched is None else self._watched.edited()
        if isinstance(edited, PolicyFileMalformed):
            self._unsettled = None
            self._keep(edited.sentence)
        elif edited is not None:
            self._take_edit(edited)
        self._look_at_store()

    def _look_at_store(self) -> None:
        if self._store is None or self._clock() - self._looked < LOOK_EVERY_S:
            return
        self._looked = self._clock()
        try:
            if self._unsettled is not None:
                self._settle(self._store, self._unsettled)
            self._read_all(self._store)
        except StrongroomError:
            return  # what was in force stays so; whoever wants to release needs the store, and is told

    def _take_edit(self, text: bytes) -> None:
        """Put an edit of the file in force if it may be, and say what became of it."""
        try:
            policy = parse_policy(text)
        except PolicyFileMalformed as refusal:
            self._unsettled = None
            self._keep(refusal.sentence)
            return
        held = self._held.get(DEFAULT_TENANT)
        found = diff(NO_RULES if held is None else held.policy, policy)
        waits = self._approvals.wanted_for(found) > 0
        if not waits:  # at once, also while the store cannot be told: an edit that admits less must not wait
            known = PolicyChange(len(policy.rules), digest_of(text), author=FROM_FILE,
                                 wider=sentences(found.wider), narrower=sentences(found.narrower))  # fmt: skip
            self._hold(DEFAULT_TENANT, policy, known, text, news=True)
        if self._store is None:
            if waits:
                self._keep("it admits more than the policy in force, and without a store owners cannot agree to it")
            return
        try:
            self._settle(self._store, text)
        except StrongroomError as problem:
            self._unsettled = text
            if waits:
                self._keep(f"it admits more than the policy in force, and: {problem.sentence}")

    def _settle(self, store: Store, text: bytes) -> None:
        """Let the store say whether the file's text is in force, and as which version."""
        change = store.write(lambda tx: submit(tx, DEFAULT_TENANT, text, FROM_FILE, self._approvals))
        self._unsettled = None
        self._news[DEFAULT_TENANT] = change
        if not change.proposed:
            self._hold(DEFAULT_TENANT, parse_policy(text), change, text)

    def _read_all(self, store: Store) -> None:
        """Read the tenants and those of their policies that changed."""
        held = {name: (each.change.version, each.change.digest) for name, each in self._held.items()}
        held |= self._unread
        own = {DEFAULT_TENANT} if self._unsettled is not None else set()  # the file is ahead of the store

        def read(tx: Tx) -> tuple[frozenset[str], set[str], list[PolicyVersion]]:
            served = frozenset(each.name for each in tenants.all_tenants(tx) if each.serves)
            rows = tx.execute(
                "SELECT tenant, version, digest FROM policies WHERE state = ?", (history.State.IN_FORCE.value,)
            )
            gone = held.keys() - {name for name, _, _ in rows} - own
            changed = [name for name, *known in rows if held.get(name) != tuple(known) and name not in own]
            return served, set(gone), [found for name in changed if (found := history.in_force(tx, name)) is not None]

        self._tenants, gone, changed = store.read(read)
        for name in gone:
            self._held.pop(name, None)
            self._unread.pop(name, None)
        for version in changed:
            self._adopt(version)

    def _adopt(self, version: PolicyVersion) -> None:
        """Take what another hand put in force, and let the file say the same."""
        before = self._held.get(version.tenant)
        try:
            policy = version.policy()
        except PolicyFileMalformed as refusal:  # a newer Strongroom's words
            self._unread[version.tenant] = (version.version, version.digest)
            known = PolicyChange(0, NOTHING, tenant=version.tenant) if before is None else before.change
            self._news[version.tenant] = replace(known, problem=f"version {version.version}: {refusal.sentence}")
            return
        self._unread.pop(version.tenant, None)
        found = diff(policy if before is None else before.policy, policy)
        change = PolicyChange(
            len(policy.rules), version.digest, tenant=version.tenant, version=version.version, author=version.author,
            wider=sentences(found.wider), narrower=sentences(found.narrower),
        )  # fmt: skip
        self._hold(version.tenant, policy, change, version.text, news=before is not None)
        if version.tenant == DEFAULT_TENANT and self._watched is not None and before is not None:
            self._write_file(self._watched, version, before)

    def _write_file(self, watched: WatchedPolicy, version: PolicyVersion, before: _Held) -> None:
        """Let the file say what is in force, unless somebody is in the middle of changing it."""
        if watched.seen == version.text:
            return
        problem = "it holds an edit that is not in force"
        if watched.seen == before.text:
            try:
                watched.replace(version.text)
            except OSError as refusal:
                problem = f"it cannot be written: {(refusal.strerror or 'error').lower()}"
            else:
                return
        self._keep(f"version {version.version} is in force, and {watched.path} says something else: {problem}")

    def _hold(
        self, tenant: str, policy: ReleasePolicy, change: PolicyChange, text: bytes, *, news: bool = False
    ) -> None:
        self._held[tenant] = _Held(policy=policy, change=change, text=text)
        if news:
            self._news[tenant] = change

    def _keep(self, problem: str) -> None:
        """Say once why an edit was not taken."""
        held = self._held.get(DEFAULT_TENANT)
        known = PolicyChange(0, NOTHING) if held is None else held.change
        self._news[DEFAULT_TENANT] = replace(known, problem=problem, wider=(), narrower=(), author=FROM_FILE)
