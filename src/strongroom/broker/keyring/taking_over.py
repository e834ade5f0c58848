"""Take the key files that lie in a workspace's `keys/` into the store, one by one.

World: that folder and the store. A file goes only after its secret is durable in the store; what cannot be taken stays
where it is, with the reason. Done again after a crash it goes on where it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from strongroom.broker.keyring.keyring import Keyring
from strongroom.errors import BadInput, Refused, StrongroomError
from strongroom.workspace import SecretStore

log: Final = logging.getLogger("strongroom.broker")


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of the key files."""

    taken: tuple[str, ...]
    left: tuple[tuple[str, StrongroomError], ...]


def take_over(keyring: Keyring, files: SecretStore) -> TakenOver:
    """Take every key file. Raises StoreUnavailable, RootUnreachable, EnvelopeTampered; what was taken stays so."""
    taken, left = [], []
    for name in files.names():
        try:
            if keyring.take_over(name):
                taken.append(name)
        except (BadInput, Refused) as problem:  # of this file: loose permissions, a weak key, another key than before
            left.append((name, problem))
            log.warning("the key file keys/%s stays where it is: %s [%s]", name, problem.sentence, problem.code)
    if taken:
        log.info("took %d key files of the workspace into the store", len(taken))
    return TakenOver(tuple(taken), tuple(left))
