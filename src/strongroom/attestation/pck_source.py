"""Where the PCK chain of a quote comes from, and what a chain from elsewhere must prove (specification section 2.3).

A chain that stands in the quote needs no more than its signatures. One that is handed over beside the quote must be
the platform's: the service that found it, and the certificate itself, must name the same TCB as the quote. The PPID
in a quote is signed by nobody and is only ever compared, never reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.attestation.certificates import Certificate, parse_certificate, parse_pem_chain
from strongroom.attestation.certification import CertificationType, PlatformIds
from strongroom.attestation.chain import Chain
from strongroom.attestation.codes import EvidenceCode, refusal, require
from strongroom.attestation.pck import PckClaims
from strongroom.attestation.quote import Quote

_PEM: Final = b"-----BEGIN"
_unsupported: Final = EvidenceCode.CERT_TYPE_UNSUPPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class PckSource:
    """A PCK chain that is still to be read, and what a quote without a chain says of its platform."""

    text: bytes  # PEM, leaf first
    leaf: bytes | None = None  # type 4: the quote's own leaf, PEM or DER
    ids: PlatformIds | None = None  # types 1 to 3

    def chain(self, known: dict[bytes, Certificate] | None = None) -> Chain:
        """Return the certificates, leaf first, unverified; refuse (PCK_CHAIN) another leaf than the quote's.

        `known` are certificates that were read already, as `parse_pem_chain` keeps them.
        """
        error = refusal(EvidenceCode.PCK_CHAIN)
        chain = parse_pem_chain(self.text, what="PCK chain", error=error, known=known)
        if self.leaf is not None:
            require(_certificate(self.leaf).encoded == chain[0].encoded, EvidenceCode.PCK_CHAIN,
                    "the PCK chain beside the quote starts with another certificate than the quote's")  # fmt: skip
        return chain

    def check(self, platform: PckClaims) -> None:
        """Refuse (CERT_TYPE_UNSUPPORTED) a certificate for another platform or TCB than the quote names."""
        ids = self.ids
        if ids is None:
            return
        pairs: tuple[tuple[str, object, object], ...] = (
            ("CPUSVN", platform.cpu_svn, ids.cpu_svn),
            ("PCESVN", platform.pce_svn, ids.pce_svn),
            ("PCEID", platform.pce_id, ids.pce_id),
        )
        if not ids.encrypted:
            pairs = (("PPID", platform.ppid, ids.ppid), *pairs)
        for name, seen, wanted in pairs:
            require(seen == wanted, _unsupported, f"the PCK certificate is for another {name} than the quote names")


def pck_source(quote: Quote, *, chain: bytes, tcbm: bytes) -> PckSource:
    """Return where a quote's chain comes from; `chain` and `tcbm` were handed over with the collateral, or are empty.

    Raises EvidenceRefused (CERT_TYPE_UNSUPPORTED) where a quote of types 1 to 4 comes without what it needs.
    """
    source = unchecked_source(quote, chain)
    if source.ids is not None:
        wanted = source.ids.tcbm
        seen = tcbm[: len(wanted)].decode("ascii", "replace") or "unknown"
        require(seen.lower() == wanted and len(tcbm) == len(wanted), _unsupported,
                f"the PCK chain beside the quote is for SGX-TCBm {seen}, the quote names {wanted}")  # fmt: skip
    return source


def unchecked_source(quote: Quote, chain: bytes) -> PckSource:
    """Return where a quote's chain comes from, before anyone asks which platform the chain beside it was found for."""
    kind = quote.certification_type
    if kind is CertificationType.PCK_CHAIN:
        return PckSource(text=quote.certification_data.rstrip(b"\0"))  # genuine chains often end in one NUL
    require(bool(chain), _unsupported,
            f"the certification data are of type {kind.value}, wanted {CertificationType.PCK_CHAIN.value}"
            " (the PCK chain itself), or the chain beside the quote")  # fmt: skip
    if kind is CertificationType.PCK_LEAF:
        return PckSource(text=chain, leaf=quote.certification_data)
    return PckSource(text=chain, ids=quote.platform_ids())


def _certificate(data: bytes) -> Certificate:
    """Return the one certificate that certification data of type 4 consist of."""
    error = refusal(EvidenceCode.PCK_CHAIN)
    if not data.startswith(_PEM):
        return parse_certificate(data, what="PCK leaf", error=error)
    chain = parse_pem_chain(data.rstrip(b"\0"), what="PCK leaf", error=error)
    require(
        len(chain) == 1, EvidenceCode.PCK_CHAIN, f"the quote holds {len(chain)} certificates, wanted the leaf alone"
    )
    return chain[0]
