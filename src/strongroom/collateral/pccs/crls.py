"""Find out whose a CRL is and where certificates say it can be had. Pure; nothing is verified here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509

from strongroom.attestation.crl import parse_crl
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import BadAnswer, crl_der
from strongroom.collateral.pccs.shelf import ROOT, RevocationList
from strongroom.errors import BadInput
from strongroom.pki import keys

_PEM: Final = b"-----BEGIN X509 CRL-----"
_ANY_CRL: Final = Request(kind=Kind.ROOT_CRL)
_ISSUERS: Final = {"platform": b"PCK Platform CA", "processor": b"PCK Processor CA", ROOT: b"Root CA"}


class CrlUnusable(BadInput):
    """A CRL that the PCCS is to serve cannot be read, or is of none of the three authorities."""

    code = "SR-PCCS-CRL"
    fix = "Hand over the CRLs of the root, Platform or Processor CA, as DER, PEM or hex."


def read_crl(data: bytes, chain: str) -> RevocationList:
    """Return a CRL given as DER, PEM or hex with its issuer chain (PEM, empty for the root's); raise CrlUnusable."""
    try:
        der = crl_der(_ANY_CRL, Answer(status=200, body=data))
    except BadAnswer:
        raise CrlUnusable("a CRL is neither DER nor PEM nor hex") from None
    crl = parse_crl(der, what="CRL", error=CrlUnusable)
    issuer = next((kind for kind, name in _ISSUERS.items() if name in crl.issuer), None)
    if issuer is None:
        raise CrlUnusable("a CRL is of none of Root, PCK Platform and PCK Processor CA")
    pem = data if data.lstrip().startswith(_PEM) else None
    return RevocationList(issuer=issuer, issued=crl.this_update, der=der, chain=chain, pem=pem)


def root_crl_urls(chains: Iterable[str]) -> frozenset[str]:
    """Return where the certificates of issuer chains (PEM) say that the root's CRL is."""
    urls: set[str] = set()
    for chain in set(chains):
        try:
            certificates = keys.load_certificates(chain.encode())
        except keys.BadCertificate:  # the chain itself is judged by whoever verifies; here it only lacks an address
            continue
        for certificate in certificates:
            urls.update(_distribution_points(certificate))
    return frozenset(urls)


def _distribution_points(certificate: x509.Certificate) -> Iterator[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *keys.UNREADABLE):
        return
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                yield name.value
