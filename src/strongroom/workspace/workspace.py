"""Where everything of an owner lies, and the one step in which a working default comes to be.

World: the workspace folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.errors import BadInput
from strongroom.pki import disk, keys, names, signing
from strongroom.pki.authority import Authority, Leaf
from strongroom.secret import Secret
from strongroom.workspace.secret_store import SecretStore
from strongroom.workspace.settings import MAX_SETTINGS_BYTES, Settings

DEFAULT_FOLDER: Final = Path("strongroom-workspace")
RENEW_BEFORE: Final = timedelta(days=30)
PRIVATE_FOLDERS: Final = ("ca", "signing", "keys", "broker")
EMPTY_POLICY: Final = """\
# Which measured code gets which secret. Without a rule nothing is released.
# "strongroom policy trust" writes rules, "strongroom policy lint" says in sentences what they admit.
version = 1

# [[rule]]
# name = "resnet50 version 1 on SGX"
# mrenclave = "<64 hex digits>"            # or: mrsigner = "<64 hex digits>", isvprodid = 1, min_isvsvn = 1
# accepted_tcb_status = ["UpToDate"]
# trust_domains = ["intel"]                # "simulated" is for laptops and tests, and keeps nothing secret
# allow_debug = false
# max_collateral_age_days = 7
# release = "model/resnet50/1"
"""


class NotAWorkspace(BadInput):
    """A folder is not a Strongroom workspace."""

    code = "SR-NOT-A-WORKSPACE"
    fix = "Make one with strongroom init, or name it with --workspace."


@dataclass(frozen=True, slots=True)
class Workspace:
    """An owner's folder whose private parts only the owner can read."""

    folder: Path
    settings: Settings

    @classmethod
    def create(cls, folder: Path, *, now: datetime, settings: Settings | None = None) -> Self:
        """Make a workspace that works as it is, in one step; raise `AlreadyThere` if the folder is in use."""
        settings = settings or Settings()
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "strongroom.toml").exists():
            raise disk.AlreadyThere(
                f"{folder} holds files but no workspace",
                fix="Move it away, run strongroom init, then put what it held (such as trust/) into the workspace.",
            )
        authority = Authority.create("Strongroom owner CA", now=now)
        broker = authority.issue_server(settings.broker_names, now=now)
        signer = Ed25519PrivateKey.generate()
        with disk.new_folder(folder) as new:
            for name in (*PRIVATE_FOLDERS, "trust", "trust/anchors", "trust/collateral"):
                (new / name).mkdir(mode=disk.SECRET_FOLDER_MODE)
            disk.write_public(new / "strongroom.toml", settings.render())
            disk.write_public(new / "policy.toml", EMPTY_POLICY.encode())
            disk.write_public(new / "ca/ca_cert.pem", authority.certificate_pem)
            disk.write_secret(new / "ca/ca_key.pem", authority.key_pem)
            disk.write_secret(new / "signing/owner_key.pem", signing.signer_pem(signer))
            disk.write_public(new / "signing/owner_public.pem", signing.public_pem(signer.public_key()))
            disk.write_public(new / "broker/cert.pem", broker.certificate_pem)
            disk.write_secret(new / "broker/key.pem", broker.key_pem)
        return cls(folder, settings)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an existing workspace; raise `NotAWorkspace`, `LoosePermissions` or `SettingsMalformed`."""
        try:
            settings = disk.read_bounded(folder / "strongroom.toml", limit=MAX_SETTINGS_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise NotAWorkspace(f"{folder} holds no strongroom.toml") from None
        for name in PRIVATE_FOLDERS:
            if not (folder / name).is_dir():
                raise NotAWorkspace(f"{folder} has no folder {name}")
            disk.check_private(folder / name)
        disk.check_private(folder)
        return cls(folder, Settings.parse(settings))

    def authority(self) -> Authority:
        """Return the owner's CA."""
        key = disk.read_secret(self.folder / "ca/ca_key.pem", limit=keys.MAX_PEM_BYTES)
        return Authority.load(self.ca_certificate_pem, key)

    @property
    def ca_certificate_pem(self) -> bytes:
        """The certificate of the owner's CA: public, for everybody who talks to the broker or a replica."""
        return disk.read_bounded(self.folder / "ca/ca_cert.pem", limit=keys.MAX_PEM_BYTES)

    def signer(self) -> Ed25519PrivateKey:
        """Return the key that signs bundle manifests."""
        return signing.load_signer(disk.read_secret(self.folder / "signing/owner_key.pem", limit=keys.MAX_PEM_BYTES))

    @property
    def owner_public_pem(self) -> bytes:
        """The public half of the signing key, which replicas check bundles with."""
        return disk.read_bounded(self.folder / "signing/owner_public.pem", limit=keys.MAX_PEM_BYTES)

    @property
    def secrets(self) -> SecretStore:
        """The secrets that the broker may release."""
        return SecretStore(self.folder / "keys")

    @property
    def policy_path(self) -> Path:
        """The release policy."""
        return self.folder / "policy.toml"

    @property
    def ledger_path(self) -> Path:
        """The broker's decisions; there once the broker made the first."""
        return self.folder / "ledger.jsonl"

    @property
    def anchors_folder(self) -> Path:
        """Root certificates of further trust domains."""
        return self.folder / "trust/anchors"

    @property
    def collateral_folder(self) -> Path:
        """Collateral by FMSPC."""
        return self.folder / "trust/collateral"

    def broker_identity(self, *, now: datetime | None = None) -> Leaf:
        """Return the broker's certificate and key; the certificate is renewed in good time and when names changed."""
        now = now or datetime.now(UTC)
        place = self.folder / "broker"
        key = disk.read_secret(place / "key.pem", limit=keys.MAX_PEM_BYTES)
        pem = disk.read_bounded(place / "cert.pem", limit=keys.MAX_PEM_BYTES)
        if self._is_current(pem, key, now=now):
            return Leaf(certificate_pem=pem, key_pem=key)
        fresh = self.authority().renew_server(key, self.settings.broker_names, now=now)
        disk.replace_public(place / "cert.pem", fresh.certificate_pem)
        return fresh

    def _is_current(self, pem: bytes, key: Secret, *, now: datetime) -> bool:
        certificate = keys.load_certificates(pem)[0]
        keys.check_match(certificate, keys.load_private_key(key), what="broker/key.pem")
        wanted = set(names.server_names(self.settings.broker_names))
        return (
            certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
            and set(names.names_of(certificate)) == wanted
        )
