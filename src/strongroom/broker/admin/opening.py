"""Open the administration of a workspace, for a command on the owner's own machine; no broker has to run.

World: the workspace, its store and root key. A broker that runs meanwhile sees what is changed within a second.
"""

from __future__ import annotations

import logging

from strongroom.broker import tenants
from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.base import Parts
from strongroom.broker.admin.desk import LocalDesk
from strongroom.broker.admin.identities import local_owner
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.rollback import head_file_beside
from strongroom.broker.ledger.transfer import take_in
from strongroom.broker.policy.approvals import Approvals
from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.secret import Secret
from strongroom.workspace import Workspace

_log = logging.getLogger("strongroom.broker")


def open_desk(owner: Workspace, *, passphrase: Secret | None = None) -> LocalDesk:
    """Return a desk for the owner of the workspace, who needs no certificate here. Raises what `open_keyring` does."""
    keyring = open_keyring(owner, passphrase=passphrase)
    try:
        return _desk(owner, keyring)
    except BaseException:
        _close(keyring)
        raise


def _desk(owner: Workspace, keyring: Keyring) -> LocalDesk:
    store = keyring.store
    settings = owner.settings.broker
    head_file = None if settings.shared else head_file_beside(owner.folder / settings.store)
    signer = keyring.signing_key()
    take_in(store, signer, owner.ledger_path)
    ledger = Ledger(store, signer, head_file=head_file)
    store.write(tenants.ensure_default)
    approvals = Approvals.of_files(settings.owners, settings.weakening_votes, base=owner.folder)
    policies = Policies(store, _watched(owner), approvals)
    parts = Parts(store=store, keyring=keyring, ledger=ledger, policies=policies, root=keyring.root.description)

    def close() -> None:
        policies.look_again()
        policies.current()  # policy.toml says what is in force, also where no broker runs
        _close(keyring)

    return LocalDesk(Administration(parts), local_owner(), close=close)


def _watched(owner: Workspace) -> WatchedPolicy | None:
    """Return the policy's file; a broken one keeps no tenant from being looked at."""
    try:
        return WatchedPolicy(owner.policy_path)
    except PolicyFileMalformed as problem:
        _log.warning("%s", problem.sentence)
        return None


def _close(keyring: Keyring) -> None:
    keyring.close()
    keyring.store.close()
