"""Open the ledger of a workspace: take an old `ledger.jsonl` in first, and remember roots beside a local store.

World: the workspace's files and its store.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.rollback import head_file_beside
from strongroom.broker.ledger.transfer import take_in
from strongroom.broker.store import Store
from strongroom.workspace import Workspace


def open_ledger(owner: Workspace, store: Store, signer: Ed25519PrivateKey) -> Ledger:
    """Return the ledger in `store`, which is the workspace's. Raises what `take_in` and Ledger raise.

    A broker calls `check_not_rolled_back` with it before it releases anything.
    """
    settings = owner.settings.broker
    head_file = None if settings.shared else head_file_beside(owner.folder / settings.store)
    taken = take_in(store, signer, owner.ledger_path)
    ledger = Ledger(store, signer, head_file=head_file)
    if taken:
        ledger.sign_root()  # which was signed while taking in, and is remembered beside the store now
    return ledger
