"""Trust anchors: root public keys, each with the domain it speaks for (specification sections 1 and 14.2).

The key is pinned, not a certificate: Intel issued its root twice with one key, and genuine quotes carry both. Nothing
inside evidence or collateral extends trust, and no simulated anchor is in any default.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.attestation.certificates import Certificate, parse_certificate, parse_pem_chain
from strongroom.attestation.signatures import is_point, signed_der
from strongroom.errors import BadInput

INTEL_ROOT_KEY: Final = bytes.fromhex(
    "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
# Both certificates that Intel issued for this key, by SHA-256 (specification section 3).
INTEL_ROOT_CERTIFICATES: Final = frozenset(
    {
        bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
        bytes.fromhex("fc64f8076d79a4fee9d1d473d74c89eb8d8fd55c5abafeabeba7366d20429404"),
    }
)
INTEL_PREFIX: Final = "Intel SGX"
SIMULATED_PREFIX: Final = "Simulated SGX"
_ROOT_NAME: Final = re.compile(rf"({INTEL_PREFIX}|{SIMULATED_PREFIX}) Root CA")


class AnchorUnusable(BadInput):
    """A trust anchor is not a root that evidence can end at."""

    code = "SR-ANCHOR"
    fix = "Pass the platform's root certificate (DER or PEM): self-signed, P-256, named '… SGX Root CA'."


class TrustDomain(StrEnum):
    """Whose word a verdict or a token rests on."""

    INTEL = "intel"
    SIMULATED = "simulated"
    AZURE_ATTESTATION = "azure-attestation"  # a token of Microsoft Azure Attestation: Microsoft checked the quote
    INTEL_TRUST_AUTHORITY = "intel-trust-authority"  # a token of Intel Trust Authority: Intel's service checked it


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One root key. The domain intel belongs to Intel's key alone, and that key to no other domain."""

    domain: TrustDomain
    public_key: bytes  # 65 bytes, uncompressed
    cn_prefix: str  # what the names of its certificates start with: "Intel SGX", "Simulated SGX"

    def __post_init__(self) -> None:
        if not is_point(self.public_key):
            raise AnchorUnusable("the anchor's key is not an uncompressed point on P-256")
        if self.domain not in {TrustDomain.INTEL, TrustDomain.SIMULATED}:
            raise AnchorUnusable(f"no root key speaks for {self.domain.value}: its evidence are tokens")
        if (self.domain is TrustDomain.INTEL) != (self.public_key == INTEL_ROOT_KEY):
            raise AnchorUnusable(f"the domain {self.domain.value} and this root key do not belong together")
        allowed = {INTEL_PREFIX} if self.domain is TrustDomain.INTEL else {INTEL_PREFIX, SIMULATED_PREFIX}
        if self.cn_prefix not in allowed:
            raise AnchorUnusable(f"certificates of domain {self.domain.value} are not named {self.cn_prefix[:64]!r}")

    @property
    def root_key_id(self) -> str:
        """SHA-384 of the 65 key bytes, in hex."""
        return hashlib.sha384(self.public_key).hexdigest()

    @classmethod
    def from_certificate(cls, data: bytes) -> Anchor:
        """Return the anchor of a root certificate (DER or PEM); its key decides the domain, its name the prefix."""
        root = _read_root(data)
        named = _ROOT_NAME.fullmatch(root.common_name)
        if named is None:
            raise AnchorUnusable(f"the certificate is named {root.common_name[:64]!r}, not '… SGX Root CA'")
        if root.issuer != root.subject or not signed_der(root.point, root.signature, root.signed):
            raise AnchorUnusable("the certificate is not signed with its own key")
        domain = TrustDomain.INTEL if root.point == INTEL_ROOT_KEY else TrustDomain.SIMULATED
        return cls(domain=domain, public_key=root.point, cn_prefix=named[1])


def _read_root(data: bytes) -> Certificate:
    if not data.lstrip().startswith(b"-----BEGIN"):
        return parse_certificate(data, what="anchor", error=AnchorUnusable)
    chain = parse_pem_chain(data.strip(), what="anchor", error=AnchorUnusable)
    if len(chain) != 1:
        raise AnchorUnusable(f"the anchor file holds {len(chain)} certificates, wanted 1")
    return chain[0]


INTEL: Final = Anchor(domain=TrustDomain.INTEL, public_key=INTEL_ROOT_KEY, cn_prefix=INTEL_PREFIX)
