"""Find out whose a CRL is and where certificates say it can be had. Pure; nothing is verified here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from strongroom.collateral.pccs.pck_certificates import CA_TYPES
from strongroom.collateral.pccs.shelf import ROOT, RevocationList
from strongroom.errors import BadInput

_PEM: Final = b"-----BEGIN X509 CRL-----"


class CrlUnusable(BadInput):
    """A CRL that the PCCS is to serve cannot be read, or is of none of the three authorities."""

    code = "SR-PCCS-CRL"
    fix = "Hand over the CRLs of the root, Platform or Processor CA, as DER, PEM or hex."


def read_crl(data: bytes, chain: str) -> RevocationList:
    """Return a CRL given as DER or PEM with its issuer chain (PEM, may be empty for the root's); raise CrlUnusable."""
    pem = data if data.lstrip().startswith(_PEM) else None
    try:
        crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
        names = crl.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        issued, der = crl.last_update_utc, crl.public_bytes(Encoding.DER)
    except (ValueError, TypeError) as problem:
        raise CrlUnusable(f"a CRL cannot be read: {str(problem)[:120]}") from None
    issuer = _issuer(str(names[0].value) if names else "")
    return RevocationList(issuer=issuer, issued=issued, der=der, chain=chain, pem=pem)


def root_crl_urls(chains: Iterable[str]) -> frozenset[str]:
    """Return where the certificates of issuer chains (PEM) say that the root's CRL is."""
    urls: set[str] = set()
    for chain in set(chains):
        try:
            certificates = x509.load_pem_x509_certificates(chain.encode())
        except ValueError:  # the chain itself is judged by whoever verifies; here it only lacks an address
            continue
        for certificate in certificates:
            urls.update(_distribution_points(certificate))
    return frozenset(urls)


def _distribution_points(certificate: x509.Certificate) -> Iterator[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                yield name.value


def _issuer(common_name: str) -> str:
    lower = common_name.lower()
    issuer = next((kind for kind in CA_TYPES if f"pck {kind} ca" in lower), ROOT if "root ca" in lower else None)
    if issuer is None:
        raise CrlUnusable(f"a CRL of {common_name[:64]!r} is none of Root, PCK Platform or PCK Processor CA")
    return issuer
