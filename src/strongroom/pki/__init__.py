"""Keys and certificates: the owner's CA, TLS sets in the seeds' layout, ssl.cfg, RA-TLS certificates.

Law of this room: every certificate it makes has a name, a role and a random serial, and dies before its issuer; no
private key is written that need not leave. Only `disk` and `ssl_configure` touch files; the rest takes bytes and the
time from the caller.
"""

from strongroom.pki.authority import Authority, AuthorityEndsFirst, BadRequest, Leaf, NotAnAuthority, Role
from strongroom.pki.findings import Finding
from strongroom.pki.keys import BadCertificate, BadPrivateKey, KeyMismatch, PublishedKey
from strongroom.pki.names import BadName
from strongroom.pki.ratls import Form, RaTlsEvidence, make_certificate, open_certificate
from strongroom.pki.ssl_cfg import SslCfgMalformed, SslConfig

__all__ = [
    "Authority",
    "AuthorityEndsFirst",
    "BadCertificate",
    "BadName",
    "BadPrivateKey",
    "BadRequest",
    "Finding",
    "Form",
    "KeyMismatch",
    "Leaf",
    "NotAnAuthority",
    "PublishedKey",
    "RaTlsEvidence",
    "Role",
    "SslCfgMalformed",
    "SslConfig",
    "make_certificate",
    "open_certificate",
]
