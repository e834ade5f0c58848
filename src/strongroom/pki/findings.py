"""What is wrong with a set of TLS files, each with what to do: the faults that the reference solution's scripts leave.

Pure: parsed certificates in, findings out. A finding is advice about something that works; what cannot work raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.pki import keys
from strongroom.pki.authority import is_authority
from strongroom.pki.ssl_cfg import SslConfig

REISSUE: Final = "Make a new set with strongroom certs two-way (or one-way)."


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One weakness: a stable name, the file it is in, what was seen, and what to do."""

    name: str
    where: str
    seen: str
    fix: str

    def to_json_object(self) -> dict[str, str]:
        """Return the finding as a machine reads it."""
        return {"name": self.name, "where": self.where, "seen": self.seen, "fix": self.fix}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its key, where the key is there; they belong together."""

    where: str
    certificate: x509.Certificate
    key: keys.PrivateKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSet:
    """What an ssl_configure folder holds."""

    ca: x509.Certificate | None
    ca_key_there: bool
    server: Pair | None
    client: Pair | None
    config: SslConfig | None
    config_sealed: bool
    loose_files: tuple[str, ...]

    def leaves(self) -> list[Pair]:
        """Return the leaf pairs that are there."""
        return [pair for pair in (self.server, self.client) if pair is not None]


def judge(found: TlsSet, *, now: datetime) -> list[Finding]:
    """Return every weakness of the set, the gravest kinds first."""
    return [
        *_secrets(found),
        *(finding for pair in found.leaves() for finding in _leaf(pair)),
        *_roles(found),
        *_together(found),
        *(finding for where, certificate in _certificates(found) for finding in _dates(where, certificate, now)),
        *_config(found),
    ]


def _certificates(found: TlsSet) -> list[tuple[str, x509.Certificate]]:
    leaves = [(pair.where, pair.certificate) for pair in found.leaves()]
    return leaves if found.ca is None else [("ca_cert.pem", found.ca), *leaves]


def _secrets(found: TlsSet) -> Iterator[Finding]:
    for where, certificate in _certificates(found):
        public = keys.public_key(certificate)
        published = keys.published_as(public)
        if published is not None:
            yield Finding("published-key", where, f"the private key is {published}, public for everybody", REISSUE)
        weakness = keys.is_weak(public)
        if weakness is not None:
            yield Finding("weak-key", where, f"the key is {weakness}", REISSUE)
        if isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
            name = certificate.signature_hash_algorithm.name
            yield Finding("weak-signature", where, f"the certificate is signed over {name}", REISSUE)
    if found.ca_key_there:
        fix = "Move ca_key.pem to the machine that signs and nowhere else; strongroom keeps it in the workspace."
        yield Finding("ca-key-here", "ca_key.pem", "the CA's private key lies beside what it protects", fix)
    for where in found.loose_files:
        yield Finding("readable-key", where, "other users of this machine can read this key", f"Run chmod 0600 {where}")


def _leaf(pair: Pair) -> Iterator[Finding]:
    certificate = pair.certificate
    if certificate.version is x509.Version.v1:
        yield Finding(
            "x509-v1", pair.where, "the certificate is X.509 version 1 and can carry no role or name", REISSUE
        )
    if not _has(certificate, x509.SubjectAlternativeName):
        common = certificate.subject.rfc4514_string()[:80]
        seen = f"no subject alternative name, only {common}: Go, Java and browsers refuse it"
        yield Finding("no-san", pair.where, seen, REISSUE)
    if is_authority(certificate):
        yield Finding("leaf-is-ca", pair.where, "the certificate is marked as a CA's and could issue others", REISSUE)
    if not _has(certificate, x509.ExtendedKeyUsage):
        yield Finding("no-eku", pair.where, "no extended key usage: the certificate is good for every role", REISSUE)


def _roles(found: TlsSet) -> Iterator[Finding]:
    if found.ca is not None and not is_authority(found.ca):
        yield Finding("ca-not-marked", "ca_cert.pem", "the CA's certificate is not marked as a CA's", REISSUE)
    pairs = ((found.server, ExtendedKeyUsageOID.CLIENT_AUTH, "client"),
             (found.client, ExtendedKeyUsageOID.SERVER_AUTH, "server"))  # fmt: skip
    for pair, foreign_usage, role in pairs:
        if pair is not None and found.ca is not None and may(pair.certificate, foreign_usage):
            seen = f"whoever holds this key can also pose as a {role}"
            yield Finding(f"usable-as-{role}", pair.where, seen, REISSUE)


def may(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    """Return whether a certificate's extended key usage admits `usage`; without one, every usage is admitted."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _together(found: TlsSet) -> Iterator[Finding]:
    if found.server and found.client:
        first, second = found.server.certificate, found.client.certificate
        if (first.issuer, first.serial_number) == (second.issuer, second.serial_number):
            seen = f"server and client have the same serial number {first.serial_number:02x}"
            yield Finding("serial-reused", found.client.where, seen, REISSUE)
        if keys.spki(keys.public_key(first)) == keys.spki(keys.public_key(second)):
            yield Finding("shared-key", found.client.where, "server and client use one private key", REISSUE)
    for pair in found.leaves() if found.ca is not None else []:
        if found.ca is not None and not _issued(pair.certificate, found.ca):
            fix = "Find the CA that issued it, or make a new set with strongroom certs."
            yield Finding("not-from-ca", pair.where, "the certificate was not issued by ca_cert.pem", fix)
        elif found.ca is not None and found.ca.not_valid_after_utc < pair.certificate.not_valid_after_utc:
            ends, leaf_ends = found.ca.not_valid_after_utc, pair.certificate.not_valid_after_utc
            seen = f"the CA ends {ends:%Y-%m-%d}, before this certificate ({leaf_ends:%Y-%m-%d})"
            yield Finding("ca-ends-first", pair.where, seen, REISSUE)


def _dates(where: str, certificate: x509.Certificate, now: datetime) -> Iterator[Finding]:
    if certificate.not_valid_after_utc < now:
        yield Finding("expired", where, f"ended {certificate.not_valid_after_utc:%Y-%m-%d}", REISSUE)
    if certificate.not_valid_before_utc > now:
        seen = f"begins {certificate.not_valid_before_utc:%Y-%m-%d}"
        yield Finding("not-yet-valid", where, seen, "Compare this machine's clock, or make a new set.")


def _config(found: TlsSet) -> Iterator[Finding]:
    if found.config_sealed:
        fix = "Decrypt it with strongroom file decrypt and check it before you use it."
        yield Finding("ssl-cfg-sealed", "ssl.cfg", "ssl.cfg is encrypted and was not checked", fix)
        return
    if found.config is None:
        fix = "Make a new set with strongroom certs; the model server reads ssl.cfg alone."
        yield Finding("no-ssl-cfg", "ssl.cfg", "there is no ssl.cfg", fix)
        return
    if not found.config.client_verify:
        fix = "Use strongroom certs two-way where only known clients may ask."
        yield Finding("clients-not-verified", "ssl.cfg", "the server asks clients for no certificate", fix)
    leaf = keys.load_certificates(found.config.server_cert)[0]
    if found.server is not None and leaf != found.server.certificate:
        fix = "Decide which of the two is current; strongroom certs writes both alike."
        yield Finding("ssl-cfg-differs", "ssl.cfg", "ssl.cfg holds another certificate than server/cert.pem", fix)
    roots = keys.load_certificates(found.config.custom_ca) if found.config.custom_ca else []
    if found.ca is not None and roots and found.ca not in roots:
        fix = "Decide which of the two is current; strongroom certs writes both alike."
        yield Finding("ssl-cfg-differs", "ssl.cfg", "ssl.cfg trusts another CA than ca_cert.pem", fix)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *keys.UNREADABLE):
        return False
    return True


def _has(certificate: x509.Certificate, extension: type[x509.ExtensionType]) -> bool:
    return any(isinstance(entry.value, extension) for entry in certificate.extensions)
