"""A simulated machine and the authorities behind it, and what it can be asked for.

Whoever reads its folder can forge every quote of this world; that is why no policy admits the trust domain `simulated`
unless its owner wrote the word.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from strongroom.attestation import CertificationType, Collateral, Tee
from strongroom.platforms.simulated import certification, world_folder
from strongroom.platforms.simulated.collateral import Signers, make_collateral
from strongroom.platforms.simulated.hardware import Hardware, Rehearsal
from strongroom.platforms.simulated.identities import Identity, TdIdentity
from strongroom.platforms.simulated.quoting import DEFAULT_VERSIONS, Credentials, QuoteFormat, QuotingEnclave
from strongroom.platforms.simulated.world_folder import WorldUnusable


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One simulated machine and the authorities behind it. `qe_signer` and `mr_signer`: 32 bytes each."""

    hardware: Hardware
    signers: Signers
    mr_signer: bytes

    @classmethod
    def create(cls, folder: Path, *, now: datetime, hardware: Hardware | None = None) -> World:
        """Make a new world in `folder`, which must be absent or empty; raise WorldUnusable if it is not."""
        if not world_folder.create(folder, hardware or Hardware.draw(secrets.token_bytes), now=now):
            raise WorldUnusable(f"{folder} is not empty", fix="Choose a folder that does not exist yet.")
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> World:
        """Open the world in `folder`; raise WorldMissing or WorldUnusable."""
        hardware, signers, mr_signer = world_folder.read(folder)
        return cls(hardware=hardware, signers=signers, mr_signer=mr_signer)

    @classmethod
    def open_or_create(cls, folder: Path, *, now: datetime) -> World:
        """Open the world in `folder`, making it first where there is none; several processes may do so at once."""
        if not world_folder.exists(folder):
            world_folder.create(folder, Hardware.draw(secrets.token_bytes), now=now)  # a loser opens the winner's
        return cls.open(folder)

    @property
    def root_der(self) -> bytes:
        """The root certificate, DER: the anchor that a verifier must be given by name."""
        return self.signers.root.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def root_key_id(self) -> str:
        """SHA-384 of the root's public point (65 bytes), hex: how a verdict names this world."""
        point = self.signers.root.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return hashlib.sha384(point).hexdigest()

    @property
    def fmspc(self) -> str:
        """The FMSPC under which verifiers file this world's collateral: 12 hex digits, upper case."""
        return self.hardware.fmspc_hex

    @property
    def qe_signer(self) -> bytes:
        """The mr_signer of this world's quoting enclaves for SGX."""
        return hashlib.sha256(b"strongroom simulated quoting enclave signer" + self.mr_signer).digest()

    @property
    def td_qe_signer(self) -> bytes:
        """The mr_signer of this world's quoting enclaves for TDX."""
        return hashlib.sha256(b"strongroom simulated TD quoting enclave signer" + self.mr_signer).digest()

    @property
    def pck_chain(self) -> str:
        """PCK certificate, PCK CA and root as PEM: what a provisioning service answers to `pckcert`."""
        return self.signers.pck.pem + self.signers.pck_ca.pem + self.signers.root.pem

    @property
    def pck_tcbm(self) -> str:
        """What a provisioning service says in the header SGX-TCBm: 36 hex digits."""
        return certification.tcbm(self.hardware)

    def is_ours(self, encrypted_ppid: bytes) -> bool:
        """Say whether an encrypted PPID (256 or 384 bytes) names this world's machine."""
        return encrypted_ppid == certification.encrypted_ppid(self.hardware, len(encrypted_ppid))

    def quoting_enclave(self, form: QuoteFormat | None = None) -> QuotingEnclave:
        """Return a quoting enclave with an attestation key of its own, for one launched program; SGX's by default."""
        form = form or QuoteFormat()
        credentials = Credentials(
            pck=self.signers.pck,
            hardware=self.hardware,
            qe_signer=self._qe_signer(form.tee),
            certification_data=certification.certification_data(
                form.certification, self.hardware, self.pck_chain, self.signers.pck.pem
            ),
        )
        return QuotingEnclave(credentials, form, entropy=secrets.token_bytes)

    def quote(
        self,
        identity: Identity,
        report_data: bytes,
        *,
        version: int | None = None,
        certification_type: CertificationType = CertificationType.PCK_CHAIN,
    ) -> bytes:
        """Return one quote under a fresh attestation key; `report_data` has 64 bytes.

        The identity decides the TEE. `version`: 3 (SGX) or 4 (TDX) by default.
        """
        tee = Tee.TDX if isinstance(identity, TdIdentity) else Tee.SGX
        form = QuoteFormat(tee=tee, version=version or DEFAULT_VERSIONS[tee], certification=certification_type)
        return self.quoting_enclave(form).quote(identity, report_data)

    def collateral(self, now: datetime, rehearsal: Rehearsal | None = None, *, tee: Tee = Tee.SGX) -> Collateral:
        """Return the collateral that judges this world's quotes of `tee` at `now`."""
        signer = self._qe_signer(tee)
        return make_collateral(self.signers, self.hardware, signer, rehearsal or Rehearsal(), tee=tee, now=now)

    def collateral_with_chain(
        self, now: datetime, rehearsal: Rehearsal | None = None, *, tee: Tee = Tee.SGX
    ) -> Collateral:
        """Return collateral together with the PCK chain, for quotes that name the platform by identifiers."""
        found = self.collateral(now, rehearsal, tee=tee)
        return replace(found, pck_certificate_chain=self.pck_chain, pck_tcbm=self.pck_tcbm)

    def _qe_signer(self, tee: Tee) -> bytes:
        return self.td_qe_signer if tee is Tee.TDX else self.qe_signer


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return where a world lives when nobody says: below $XDG_DATA_HOME, or ~/.local/share."""
    data = environ.get("XDG_DATA_HOME", "")
    base = Path(data) if data.startswith("/") else Path("~/.local/share").expanduser()
    return base / "strongroom" / "simulated-platform"
