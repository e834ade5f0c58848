"""Open what a broker and its owner's commands work on: store, keyring, ledger, policies, in this order.

World: the workspace or the loose files, the store, the root key. What an earlier release kept in files beside them
(`keys/`, `ledger.jsonl`, what it had seen) is taken into the store on the way, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from strongroom.broker.keyring import file_root
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.opening import open_keyring
from strongroom.broker.keyring.root_folder import FILE, RootFolder
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.rollback import check_not_rolled_back, head_file_beside
from strongroom.broker.ledger.tables import Seal
from strongroom.broker.ledger.transfer import take_in
from strongroom.broker.ledger.vouched import VouchedStore
from strongroom.broker.policy.approvals import Approvals
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.setup import OLD_LEDGER
from strongroom.broker.store.opening import open_store
from strongroom.secret import Secret
from strongroom.workspace import Workspace
from strongroom.workspace.settings import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A store and what is kept in it."""

    store: VouchedStore
    keyring: Keyring
    ledger: Ledger
    policies: Policies


@contextmanager
def opened(
    *, folder: Path, store: str | Path, settings: BrokerSettings, policy: WatchedPolicy | None,
    owner: Workspace | None, passphrase: Secret | None = None,
) -> Iterator[Opened]:  # fmt: skip
    """Open the store at `store` and everything in it, for the length of a `with` block.

    `folder`: where the root key's folder and an old ledger lie. `owner`: None where there is no workspace. Raises what
    opening the store, the keyring and the ledger raise, and LedgerRolledBack for a store older than what is remembered.
    """
    with ExitStack() as stack:
        base = open_store(store)
        stack.callback(base.close)
        keyring = (
            Keyring(base, local_root(folder)) if owner is None
            else open_keyring(owner, passphrase=passphrase, store=base)
        )  # fmt: skip
        stack.callback(keyring.close)
        signer = keyring.signing_key()
        take_in(base, signer, folder / OLD_LEDGER)
        ledger = Ledger(base, signer, head_file=None if base.shared else head_file_beside(Path(store)))
        witnesses = [folder / settings.witness] if settings.witness else []
        check_not_rolled_back(ledger, base, witnesses=witnesses)
        approvals = Approvals.of_files(settings.owners, settings.weakening_votes, base=folder)
        vouched = VouchedStore(base, Seal(signer))
        yield Opened(store=vouched, keyring=keyring, ledger=ledger, policies=Policies(vouched, policy, approvals))


@contextmanager
def opened_workspace(owner: Workspace, *, passphrase: Secret | None = None) -> Iterator[Opened]:
    """Open what belongs to a workspace, to look at it; policy.toml is not put in force, which is a broker's to do."""
    setting = owner.settings.broker
    with opened(
        folder=owner.folder, store=setting.store if setting.shared else owner.folder / setting.store,
        settings=setting, policy=None, owner=owner, passphrase=passphrase,
    ) as found:  # fmt: skip
        yield found


def local_root(folder: Path) -> LocalRoot:
    """Return the root key of a broker without a workspace: a file of its own folder, made at its first start."""
    place = RootFolder.of(folder)
    with place.locked():
        path = place.path / FILE
        return file_root.open_file(path) if path.exists() else file_root.write_file(path, new_root_key())
