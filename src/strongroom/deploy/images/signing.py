"""Sign an enclave on the owner's side: from the image's layers and the owner's key to X.manifest.sgx and X.sig. Pure.

The key is used here and never goes where images are built (threats SA-01). What comes out is read back, checked and
compared with what was measured, as the processor and a verifier will.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from strongroom.deploy.description import Flavour
from strongroom.deploy.images.expansion import expand
from strongroom.deploy.images.tree_view import TreeView
from strongroom.errors import BadInput
from strongroom.gramine import measure, sigstruct, versions
from strongroom.gramine.sigstruct import EXPONENT, KEY_BITS, Identity, Sigstruct
from strongroom.secret import Secret

MAX_KEY_BYTES: Final = 64 * 1024


class SigningKeyUnusable(BadInput):
    """The key file does not hold a private key that can sign enclaves: RSA-3072 with exponent 3."""

    code = "SR-IMAGE-SIGNING-KEY"
    fix = "Make one and keep it where you keep the workspace: openssl genrsa -3 -out enclave-key.pem 3072."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedEnclave:
    """What goes into the image beside the program, and what a policy is told."""

    name: str
    manifest: bytes  # NAME.manifest.sgx
    signature: bytes  # NAME.sig
    identity: Sigstruct

    @property
    def files(self) -> dict[str, bytes]:
        """Return the two files by name."""
        return {f"{self.name}.manifest.sgx": self.manifest, f"{self.name}.sig": self.signature}


def load_key(pem: Secret) -> rsa.RSAPrivateKey:
    """Return the owner's signing key from PEM without a passphrase. Raises SigningKeyUnusable."""
    with pem.reveal() as raw:
        try:
            key = serialization.load_pem_private_key(bytes(raw), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise SigningKeyUnusable("the file does not hold a private key in PEM, or one under a passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SigningKeyUnusable("enclaves are signed with RSA; this is another kind of key")
    numbers = key.public_key().public_numbers()
    if numbers.e != EXPONENT or numbers.n.bit_length() != KEY_BITS:
        raise SigningKeyUnusable(f"this RSA key has {numbers.n.bit_length()} bits and the exponent {numbers.e}")
    return key


def sign(
    name: str, template: str, view: TreeView, libpal: bytes, key: rsa.RSAPrivateKey, *, on: date, flavour: Flavour,
    gramine: str,
) -> SignedEnclave:  # fmt: skip
    """Expand, measure and sign one manifest.

    Raises NotExpandable, GramineVersionUnknown, ManifestMalformed, ElfMalformed or EnclaveDoesNotFit.
    """
    manifest = expand(template, view, flavour)
    measured = measure.measure(manifest, libpal, version=versions.parse(gramine))
    signature = sigstruct.sign(identity_of(measured, on), key)
    found = sigstruct.parse(signature)
    found.check()
    measure.compare(measured, found)
    return SignedEnclave(name=name, manifest=manifest, signature=signature, identity=found)


def identity_of(measured: measure.Measurement, on: date) -> Identity:
    """Return what is stated about a measured enclave, as gramine-sgx-sign states it."""
    flags = sigstruct.ATTRIBUTE_MODE64 | (sigstruct.ATTRIBUTE_DEBUG if measured.debug else 0)
    xfrm, mask, misc = measured.features or (sigstruct.XFRM_LEGACY, sigstruct.GRAMINE_XFRM_MASK, 0)
    return Identity(
        mr_enclave=measured.mr_enclave, date=on, isv_prod_id=measured.isv_prod_id, isv_svn=measured.isv_svn,
        attributes=flags, xfrm=xfrm, xfrm_mask=mask, misc_select=misc,
    )  # fmt: skip
