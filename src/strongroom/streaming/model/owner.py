"""The owner's half: a queue's keys are made and rotated in the owner's keyring, and small files are sealed to workers.

World: the keyring, files. A rotation keeps the key before beside the new one, so that records under either are opened
until the overlap ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from strongroom import sealing
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.rows import SecretInfo
from strongroom.broker.names import SecretName
from strongroom.broker.store import Tx
from strongroom.clusterserving.sealed import KEY_BYTES, BadQueueKey, QueueKey, keys_of
from strongroom.errors import Refused
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.streaming.model.credentials import MAX_CREDENTIAL_BYTES, WRAP_KEY_BYTES, stored_path
from strongroom.workspace import UnknownSecret

AUTHOR: Final = "owner"
Note = Callable[[Tx, str, SecretInfo], None]  # writes the ledger's line about an action


class Change(StrEnum):
    """What becomes of a queue's keys."""

    KEEP = "keep"  # what is there; the first key where there is none
    ROTATE = "rotate"  # a new one counts, and the one before is opened still
    END_OVERLAP = "end-overlap"  # the newest one alone


class RotatedMeanwhile(Refused):
    """Somebody else changed this queue's keys at the same moment."""

    code = "SR-QUEUE-KEY-RACE"
    fix = "Run the command again: it shows what is there now."


def next_keys(held: Secret | None, change: Change, entropy: Callable[[int], bytes] = secrets.token_bytes) -> Secret:
    """Return the queue's secret after a change, newest key first. Raises BadQueueKey.

    Where nothing changes, the keys are equal to those that were held.
    """
    if held is None:
        if change is not Change.KEEP:
            raise BadQueueKey(f"there is no queue key to {change}", fix="Make one first: strongroom queue key.")
        return Secret(entropy(KEY_BYTES))
    keys_of(held)
    with held.reveal() as raw:
        newest = raw[:KEY_BYTES]
        if change is Change.ROTATE:
            return Secret(entropy(KEY_BYTES) + newest)
        return Secret(newest if change is Change.END_OVERLAP else raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersSecret:
    """One secret of a queue in the owner's keyring; `note` writes the ledger's line about a change."""

    keyring: Keyring
    tenant: str
    name: SecretName
    note: Note

    def change_keys(self, change: Change) -> tuple[QueueKey, ...]:
        """Change the queue's keys and return those that count now, newest first.

        Raises BadQueueKey, RotatedMeanwhile, and what `Keyring.put` raises.
        """
        held, version = self._held()
        wanted = next_keys(held, change)
        try:
            if held is None or wanted != held:
                self._put(wanted, version)
            return keys_of(wanted)
        finally:
            wanted.wipe()
            if held is not None:
                held.wipe()

    def seal_files(self, files: Sequence[Path], out: Path, *, job: str) -> tuple[Path, ...]:
        """Seal small files (0600) for the workers of a job under this key, which is made where there is none.

        Raises BadQueueKey for a key of another kind, AlreadyThere, LoosePermissions, FileTooLong or OSError.
        """
        key, version = self._held()
        if key is None:
            key = Secret(secrets.token_bytes(WRAP_KEY_BYTES))
            self._put(key, version)
        if len(key) != WRAP_KEY_BYTES:
            raise BadQueueKey(f"{self.name} has {len(key)} bytes, and a key for sealed files {WRAP_KEY_BYTES}")
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            path = stored_path(job, file.name)
            with disk.read_secret(file, limit=MAX_CREDENTIAL_BYTES).reveal() as raw:
                sealed = sealing.seal_bytes(raw, key, stored_path=path, entropy=secrets.token_bytes)
            disk.write_public(out / file.name, sealed)
        key.wipe()
        return tuple(out / file.name for file in files)

    def _held(self) -> tuple[Secret | None, int]:
        """Return the secret that counts, and the newest version that there ever was."""
        infos = self.keyring.infos(self.tenant)
        version = max((info.version for info in infos if info.name == str(self.name)), default=0)
        try:
            return self.keyring.get(self.tenant, str(self.name)), version
        except UnknownSecret:
            return None, version

    def _put(self, secret: Secret, version: int) -> None:
        def also(tx: Tx, info: SecretInfo) -> None:
            if info.version != version + 1:
                raise RotatedMeanwhile(f"{self.name} is at version {info.version - 1} by now, it was at {version}")
            self.note(tx, "create_key" if version == 0 else "rotate_key", info)

        self.keyring.put(self.tenant, str(self.name), secret, AUTHOR, also=also)
