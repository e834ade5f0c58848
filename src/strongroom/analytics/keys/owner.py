"""The owner's half: primary keys are made and rotated in the owner's keyring, or in a folder of test keys.

World: the keyring, files. A rotation keeps the versions before, so that what was written under them opens until it is
rewrapped and the overlap ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from strongroom.analytics.keys.broker import SECRET
from strongroom.analytics.keys.files import read_ring, write_ring
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.rows import SecretInfo
from strongroom.broker.names import SecretName
from strongroom.broker.store import Tx
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import check_key_name
from strongroom.errors import Refused
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret

AUTHOR = "owner"
Note = Callable[[Tx, str, SecretInfo], None]  # writes the ledger's line about an action


class Change(StrEnum):
    """What becomes of a primary key."""

    KEEP = "keep"  # what is there; the first version where there is none
    ROTATE = "rotate"  # a new version counts, and those before open still
    END_OVERLAP = "end-overlap"  # the current version alone


class KeyChangedMeanwhile(Refused):
    """Somebody else changed this primary key at the same moment."""

    code = "SR-DATA-KEY-RACE"
    fix = "Run the command again: it shows what is there now."


def secret_name(name: str) -> SecretName:
    """Return what a primary key is called at the broker. Raises BadKeyName."""
    return SecretName.parse(SECRET.format(name=check_key_name(name)))


def next_ring(held: KeyRing | None, name: str, change: Change) -> KeyRing:
    """Return a primary key after a change. Raises KeyNotGranted where there is none to change, BadKeyRing if full."""
    if held is None:
        if change is not Change.KEEP:
            raise KeyNotGranted(
                f"there is no primary key {name} to {change}", fix="Make it first: strongroom data key."
            )
        return KeyRing.fresh(name)
    if change is Change.ROTATE:
        return held.rotated()
    return held.current_alone() if change is Change.END_OVERLAP else held


def check_seen(held: KeyRing | None, seen: int | None) -> None:
    """Raise KeyChangedMeanwhile if a primary key has another current version than somebody saw, who saw one."""
    if held is not None and seen is not None and held.current != seen:
        raise KeyChangedMeanwhile(f"primary key {held.name} is at version {held.current} by now, it was at {seen}")


def change_file(folder: Path, name: str, change: Change, *, seen: int | None = None) -> KeyRing:
    """Change a primary key in a folder of test keys and return it. Raises as `OwnersKeys.change` and `read_ring`."""
    try:
        held: KeyRing | None = read_ring(folder, name)
    except KeyNotGranted:
        held = None
    check_seen(held, seen)
    wanted = next_ring(held, name, change)
    if wanted is not held:
        write_ring(folder, wanted)
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersKeys:
    """Primary keys in the owner's keyring; `note` writes the ledger's line about a change."""

    keyring: Keyring
    tenant: str
    note: Note

    def ring(self, name: str) -> KeyRing:
        """Return a primary key. Raises KeyNotGranted, BadKeyRing."""
        held, _ = self._held(name)
        if held is None:
            raise KeyNotGranted(
                f"this workspace has no primary key {name}", fix=f"Make it: strongroom data key {name}."
            )
        return held

    def change(self, name: str, change: Change, *, seen: int | None = None) -> KeyRing:
        """Change a primary key and return it. `seen`: the current version that the change was decided on.

        Raises as `next_ring`, KeyChangedMeanwhile, and as `Keyring.put`.
        """
        held, version = self._held(name)
        check_seen(held, seen)
        wanted = next_ring(held, name, change)
        if wanted is not held:
            self._put(wanted, version)
        return wanted

    def _held(self, name: str) -> tuple[KeyRing | None, int]:
        """Return the ring that counts, and the newest version of the secret that there ever was."""
        secret = str(secret_name(name))
        infos = self.keyring.infos(self.tenant)
        version = max((info.version for info in infos if info.name == secret), default=0)
        try:
            held = self.keyring.get(self.tenant, secret)
        except UnknownSecret:
            return None, version
        with held.reveal() as raw:
            ring = KeyRing.parse(name, raw)
        held.wipe()
        return ring, version

    def _put(self, ring: KeyRing, version: int) -> None:
        def also(tx: Tx, info: SecretInfo) -> None:
            if info.version != version + 1:
                raise KeyChangedMeanwhile(f"{info.name} is at version {info.version - 1} by now, it was at {version}")
            self.note(tx, "create_key" if version == 0 else "rotate_key", info)

        self.keyring.put(self.tenant, str(secret_name(ring.name)), Secret(ring.to_bytes()), AUTHOR, also=also)
