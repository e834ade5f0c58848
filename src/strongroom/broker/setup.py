"""Read what a broker is put together from: a workspace, or the loose files that users of Gramine's key server have.

World: the files named. Each takes the place of the workspace's; with a policy among them no workspace is needed. The
store is not opened here: `opening` does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.attestation import INTEL, Anchor, Collateral, Quote, fmspc_of
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.broker.keyring.opening import store_location
from strongroom.broker.operations.collateral import CollateralPlace
from strongroom.broker.policy.watched import WatchedPolicy, parse_policy
from strongroom.broker.store import Tx
from strongroom.collateral import CollateralSource, CollateralUnavailable, Folder, open_sources
from strongroom.collateral.settings import parse as parse_collateral_settings
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.sealing import check_wrap_key, read_wrap_key
from strongroom.secret import Secret
from strongroom.workspace import UnknownSecret, Workspace
from strongroom.workspace.settings import BrokerSettings

MAX_PEM_BYTES: Final = 256 * 1024
MAX_ANCHOR_BYTES: Final = 64 * 1024
ANCHOR_SUFFIXES: Final = (".der", ".pem", ".crt", ".cer")
OLD_LEDGER: Final = "ledger.jsonl"  # of earlier releases: taken into the store
STORE_NAME: Final = "broker.db"


class BrokerSetupIncomplete(BadInput):
    """A broker without a workspace lacks one of the files that it needs."""

    code = "SR-BROKER-SETUP"
    fix = "Without a workspace give --policy, --key-file, --cert and --key; or make one with strongroom init."


class KeyFileAmbiguous(BadInput):
    """One key file cannot be several secrets."""

    code = "SR-KEY-FILE"
    fix = "Let every rule release the same name, or keep the secrets in a workspace."


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFiles:
    """Files that take the place of the workspace's; None where the workspace's is meant."""

    policy: Path | None = None
    key_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    anchors: Path | None = None
    collateral: Path | None = None
    store: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSetup:
    """Everything that a broker is made of, read and checked; the store is not opened yet."""

    owner: Workspace | None  # None: made from loose files
    settings: BrokerSettings
    state_folder: Path  # where a local store, the root key's folder and an old ledger lie
    store: str | Path
    policy: WatchedPolicy
    source: CollateralSource
    collateral: CollateralPlace  # where what `source` gives can be looked at
    anchors: tuple[Anchor, ...]
    key_file: KeyFile | None  # the one secret of a broker without a keyring
    certificate_pem: bytes
    key_pem: Secret

    @property
    def old_ledger(self) -> Path:
        """Where an earlier release kept the ledger, and beside it what it had seen."""
        return self.state_folder / OLD_LEDGER


class KeyFile:
    """The one secret of a seed user: a wrap-key file of 16 raw bytes, read again for each release."""

    def __init__(self, path: Path, name: str | None) -> None:
        self._path = path
        self._name = name

    def get(self, tenant: str, name: str) -> Secret:  # noqa: ARG002  # one file has one tenant
        """Return the key if `name` is what the policy released when the broker started."""
        if name != self._name:
            raise UnknownSecret(f"{self._path} is {self._name}, not {name}", fix="Start the broker again.")
        key = read_wrap_key(self._path)
        check_wrap_key(key)
        return key

    def find(self, tx: Tx, tenant: str, name: str) -> Secret:  # noqa: ARG002  # it is not in the store
        """Return the same: what is in a file needs no transaction."""
        return self.get(tenant, name)

    def take_over(self, name: str) -> bool:  # noqa: ARG002  # as above
        """Return that nothing was taken: the file stays where its owner put it."""
        return False


class CollateralFile:
    """The collateral of one platform family in a file of any name, read again for each quote."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return the file's collateral; whether it fits `quote` is checked by the verification."""
        try:
            return Collateral.from_json(disk.read_bounded(self._path, limit=MAX_COLLATERAL_FILE_BYTES))
        except OSError as problem:
            raise CollateralUnavailable(
                f"the collateral for FMSPC {fmspc_of(quote)} cannot be read: {self._path}: {problem.strerror}"
            ) from None


def assemble(files: BrokerFiles, *, workspace: Path, now: datetime) -> BrokerSetup:
    """Read what a broker needs: from `files` alone if they name a policy, else from the workspace and `files`.

    Raises BrokerSetupIncomplete, KeyFileAmbiguous, NotAWorkspace, or the error of the file that cannot be used.
    """
    return _from_files(files) if files.policy else _from_workspace(files, Workspace.open(workspace), now)


def _from_workspace(files: BrokerFiles, owner: Workspace, now: datetime) -> BrokerSetup:
    watched = WatchedPolicy(owner.policy_path)
    certificate_pem, key_pem = _identity(files) or _issued(owner, now)
    anchors = (INTEL, *read_anchors(files.anchors or owner.anchors_folder))
    return BrokerSetup(
        owner=owner,
        settings=owner.settings.broker,
        state_folder=owner.folder,
        store=files.store or store_location(owner),
        policy=watched,
        source=_source(files.collateral) if files.collateral else _workspace_source(owner, anchors),
        collateral=_place(owner, files.collateral),
        anchors=anchors,
        key_file=_key_file(files.key_file, watched) if files.key_file else None,
        certificate_pem=certificate_pem,
        key_pem=key_pem,
    )


def _from_files(files: BrokerFiles) -> BrokerSetup:
    identity = _identity(files)
    if files.policy is None or files.key_file is None or identity is None:
        raise BrokerSetupIncomplete("--policy alone does not make a broker")
    watched = WatchedPolicy(files.policy)
    folder = (files.store or files.policy).parent
    collateral = files.collateral or files.policy.parent / "collateral"
    return BrokerSetup(
        owner=None,
        settings=BrokerSettings(),
        state_folder=folder,
        store=files.store or folder / STORE_NAME,
        policy=watched,
        source=_source(collateral),
        collateral=CollateralPlace(files=collateral, cache=None),
        anchors=(INTEL, *(read_anchors(files.anchors) if files.anchors else ())),
        key_file=_key_file(files.key_file, watched),
        certificate_pem=identity[0],
        key_pem=identity[1],
    )


def _identity(files: BrokerFiles) -> tuple[bytes, Secret] | None:
    """Return the certificate and key that were named; None if neither was."""
    if files.certificate is None and files.private_key is None:
        return None
    if files.certificate is None or files.private_key is None:
        raise BrokerSetupIncomplete("--cert and --key go together", fix="Give both, or neither.")
    key = Secret(disk.read_bounded(files.private_key, limit=MAX_PEM_BYTES))
    return disk.read_bounded(files.certificate, limit=MAX_PEM_BYTES), key


def _issued(owner: Workspace, now: datetime) -> tuple[bytes, Secret]:
    leaf = owner.broker_identity(now=now)
    return leaf.certificate_pem, leaf.key_pem


def _workspace_source(owner: Workspace, anchors: Sequence[Anchor]) -> CollateralSource:
    """Return what [collateral] in strongroom.toml describes; without it, the folder trust/collateral."""
    table = owner.settings.collateral
    if table is None:
        return _source(owner.collateral_folder)
    return open_sources(parse_collateral_settings(table), anchors=anchors, base=owner.folder)


def _place(owner: Workspace, named: Path | None) -> CollateralPlace:
    if named is not None:
        return CollateralPlace(files=named, cache=None)
    table = owner.settings.collateral
    settings = None if table is None else parse_collateral_settings(table)
    return CollateralPlace.of(owner.folder, settings, owner.collateral_folder)


def _source(place: Path) -> CollateralSource:
    return CollateralFile(place) if place.is_file() else Folder(place)


def _key_file(path: Path, watched: WatchedPolicy) -> KeyFile:
    names = sorted({str(rule.single) for rule in parse_policy(watched.first).rules})
    if len(names) > 1 or "None" in names:
        raise KeyFileAmbiguous(f"the policy releases {', '.join(names)}, but {path} is one key")
    return KeyFile(path, names[0] if names else None)


def read_anchors(place: Path) -> Iterator[Anchor]:
    """Yield the anchors of a folder's certificates, or of one certificate file. Raises AnchorUnusable."""
    found = [place] if place.is_file() else sorted(place.iterdir())
    for path in found:
        if path == place or path.suffix in ANCHOR_SUFFIXES:
            yield Anchor.from_certificate(disk.read_bounded(path, limit=MAX_ANCHOR_BYTES))
