"""Whether a certificate may be a client's. Threat SV-15."""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.pki import keys
from strongroom.pki.keys import BadCertificate


def client_check() -> Callable[[bytes], bool]:
    """Return a function that says whether a certificate (PEM or DER) may be a client's; it remembers answers.

    Both TLS libraries refuse a certificate that is for servers only, but take one without any usage (X.509 v1 ones have
    none): here the usage clientAuth has to be there.
    """
    known: dict[bytes, bool] = {}

    def check(certificate: bytes) -> bool:
        answer = known.get(certificate)
        if answer is None:
            if len(known) >= 1024:
                known.clear()
            answer = known[certificate] = _is_client_certificate(certificate)
        return answer

    return check


def _is_client_certificate(data: bytes) -> bool:
    try:
        certificate = keys.load_certificates(data)[0] if data.startswith(b"-----") else keys.load_certificate_der(data)
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (BadCertificate, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages
