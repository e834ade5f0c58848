"""Open the administration of a workspace, for a command on the owner's own machine; no broker has to run.

World: the workspace, its store and root key, policy.toml. A broker that runs meanwhile sees a change within a second.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

from strongroom.broker import tenants
from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.base import Parts
from strongroom.broker.admin.desk import LocalDesk
from strongroom.broker.admin.identities import local_owner
from strongroom.broker.keyring.opening import store_location
from strongroom.broker.names import DEFAULT_TENANT
from strongroom.broker.opening import Opened, opened
from strongroom.broker.policy import approvals, history
from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.policies import FROM_FILE
from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
from strongroom.broker.store import Tx
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.workspace import Workspace

_log = logging.getLogger("strongroom.broker")


def open_desk(owner: Workspace, *, passphrase: Secret | None = None) -> LocalDesk:
    """Return a desk for the owner of the workspace, who needs no certificate here. Raises what `opened` raises."""
    with ExitStack() as stack:
        found = stack.enter_context(
            opened(
                folder=owner.folder,
                store=store_location(owner),
                settings=owner.settings.broker,
                policy=None,
                owner=owner,
                passphrase=passphrase,
            )
        )
        before = _begin(owner, found)
        parts = Parts(
            store=found.store, keyring=found.keyring, ledger=found.ledger, policies=found.policies,
            root=found.keyring.root.description,
        )  # fmt: skip
        stack.callback(_sign, found, found.ledger.head().seq)
        if not found.store.shared:  # a shared store's policy is not watched in a file
            stack.callback(_follow, owner, found, before)
        return LocalDesk(Administration(parts), local_owner(), close=stack.pop_all().close)


def _begin(owner: Workspace, found: Opened) -> bytes | None:
    """Bring policy.toml into a store that has no policy yet, as a broker's first start does; return what is in force.

    A broken file keeps nobody from looking at the rest.
    """
    try:
        text: bytes | None = read_policy_bytes(owner.policy_path)
        parse_policy(text or b"")
    except PolicyFileMalformed as problem:
        _log.warning("%s", problem.sentence)
        text = None

    def begin(tx: Tx) -> bytes | None:
        tenants.ensure_default(tx)
        if text is not None and history.in_force(tx, DEFAULT_TENANT) is None:
            approvals.submit(tx, DEFAULT_TENANT, text, FROM_FILE)
        return _in_force(tx)

    present = found.store.read(_in_force)
    return found.store.write(begin) if present is None else present


def _in_force(tx: Tx) -> bytes | None:
    version = history.in_force(tx, DEFAULT_TENANT)
    return None if version is None else version.text


def _sign(found: Opened, before: int) -> None:
    """Sign a root over what was changed: without a broker nobody else would, and an old copy would not be noticed."""
    if found.ledger.head().seq != before:
        found.ledger.sign_root()


def _follow(owner: Workspace, found: Opened, before: bytes | None) -> None:
    """Let policy.toml say what was put in force here: at its next start a broker takes the file for an edit.

    A file that says something else than what was in force holds somebody's edit, and stays.
    """
    after = found.store.read(_in_force)
    if after is None or after == before:
        return
    try:
        present = read_policy_bytes(owner.policy_path)
    except PolicyFileMalformed:
        present = None
    if present == before:
        disk.replace_public(owner.policy_path, after)
    elif present != after:
        _log.warning("%s holds an edit; it takes the new policy's place when a broker reads it", owner.policy_path)
