"""RA-TLS certificates: make one that carries quotes, and take the evidence out of one that a peer presented.

Pure: the caller passes the time and the quoting function. Both forms of Gramine are spoken: the raw quote under a
legacy object identifier (all releases) and TCG DICE tagged evidence (1.8 and later). `open_certificate` walks the
rules that can be decided on the certificate alone, in order; the first failure decides. It proves neither that the
peer possesses the key (a TLS handshake does) nor that the quote is genuine (`attestation.verify` does).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import NameOID, ObjectIdentifier

from strongroom.attestation import Tee
from strongroom.errors import Tampered
from strongroom.pki import self_signed, tagged_evidence
from strongroom.pki.keys import UNREADABLE
from strongroom.pki.report_data import report_data_of
from strongroom.pki.self_signed import PublicKey, SelfSigned
from strongroom.pki.tagged_evidence import MIN_QUOTE_BYTES, TaggedEvidence
from strongroom.wire.der import oid_of

LEGACY_OID: Final = ObjectIdentifier("0.6.9.42.840.113741.1337.6")  # malformed upstream, kept byte for byte
DICE_OID: Final = ObjectIdentifier("2.23.133.5.4.9")
_EVIDENCE: Final = {oid: oid_of(oid.dotted_string) for oid in (LEGACY_OID, DICE_OID)}
MIN_EVIDENCE_BYTES: Final = 128
MAX_EVIDENCE_BYTES: Final = 8192
MAX_CERTIFICATE_BYTES: Final = 32 * 1024  # two extensions of at most 8 KiB, a key and a signature
DEFAULT_LIFETIME: Final = timedelta(hours=24)
GRAMINE_NOT_BEFORE: Final = datetime(2001, 1, 1, tzinfo=UTC)
GRAMINE_NOT_AFTER: Final = datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
SKEW: Final = timedelta(minutes=5)
# SubjectPublicKeyInfo up to the coordinates of an uncompressed point, by its size: P-384 and P-256 (RFC 5480).
_USUAL_POINTS: Final = {
    120: bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"),
    91: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
}
_SUBJECT: Final = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "GramineDevelopers"),
        x509.NameAttribute(NameOID.COMMON_NAME, "RATLS"),
    ]
)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Form(StrEnum):
    """How a certificate carries its quote."""

    LEGACY = "legacy"  # the quote binds SHA-256 of the key
    DICE = "dice"  # the quote binds SHA-256 of claims, and the claims name the key


class RaTlsCertificateMalformed(Tampered):
    """The peer's certificate is not one strict DER certificate."""

    code = "SR-RATLS-CERTIFICATE"
    fix = "Have the peer present the certificate of an RA-TLS library, alone."


class SelfSignatureInvalid(Tampered):
    """The RA-TLS certificate is not signed with its own key."""

    code = "SR-RATLS-SELF-SIGNATURE"
    fix = "Refuse this peer: its certificate was put together from parts or changed."


class OutsideValidity(Tampered):
    """The RA-TLS certificate is not valid at this time."""

    code = "SR-RATLS-EXPIRED"
    fix = "Have the peer make a new certificate, and compare both clocks."


class KeyTypeRefused(Tampered):
    """The RA-TLS certificate's key is of a type that is not accepted."""

    code = "SR-RATLS-KEY-TYPE"
    fix = "Use P-384 or P-256; RSA-3072 with exponent 65537 is for Gramine 1.3.1 and older, where policy allows it."


class EvidenceAmbiguous(Tampered):
    """The certificate carries the same extension twice, or extensions that cannot be read."""

    code = "SR-RATLS-EXTENSIONS"
    fix = "Refuse this peer: a certificate carries each kind of evidence once."


class EvidenceSizeRefused(Tampered):
    """The evidence in the certificate is shorter or longer than any quote."""

    code = "SR-RATLS-EVIDENCE-SIZE"
    fix = "Have the peer make a new certificate with an unmodified RA-TLS library."


class NoEvidence(Tampered):
    """The certificate carries no attestation evidence."""

    code = "SR-RATLS-NO-EVIDENCE"
    fix = "Run the peer inside a TEE with RA-TLS; an ordinary certificate opens nothing here."


class QuoteUnreadable(Tampered):
    """The evidence in the certificate is not a quote of the kind that its form carries."""

    code = "SR-RATLS-QUOTE"
    fix = "Have the peer make a new certificate; the legacy form carries quotes of SGX enclaves alone."


class LiveKeyMismatch(Tampered):
    """The key of the live handshake is not the key in the RA-TLS certificate."""

    code = "SR-RATLS-LIVE-KEY"
    fix = "Refuse this peer: it does not hold the key that its evidence vouches for."


class NotBound(Tampered):
    """The quote was made for another key than the one in the certificate."""

    code = "SR-RATLS-NOT-BOUND"
    fix = "Refuse this peer: it presents somebody else's quote."


class ReportDataTail(Tampered):
    """The quote's report data holds something behind the hash that binds the key."""

    code = "SR-RATLS-REPORT-DATA-TAIL"
    fix = "Have the peer pad report data with 32 zero bytes, as Gramine does."


@dataclass(frozen=True, slots=True, kw_only=True)
class RaTlsEvidence:
    """Evidence bound to the key of the certificate it came in; neither possession nor the quote is proved by it."""

    quote: bytes
    form: Form
    spki: bytes  # SubjectPublicKeyInfo, DER: compare with the key of the live handshake
    claims: bytes | None  # as received; None in the legacy form
    unknown_claims: tuple[str, ...]
    not_before: datetime  # what the peer wrote: never a proof of freshness
    not_after: datetime

    @property
    def bound(self) -> bytes:
        """What the quote vouches for: the claims, or in the legacy form the key."""
        return self.spki if self.claims is None else self.claims

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the quote holds, and that whoever verifies it must find there."""
        return _report_data(self.bound)


def generate_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-384 key, the type that Gramine 1.4 and later uses."""
    return ec.generate_private_key(ec.SECP384R1())


def spki_of(key: PrivateKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a key."""
    public = key if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) else key.public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def make_certificate(
    private_key: PrivateKey,
    quote: Callable[[bytes], bytes],
    *,
    forms: Sequence[Form] | None = None,
    not_before: datetime,
    not_after: datetime,
    nonce: bytes | None = None,
) -> bytes:
    """Return a self-signed certificate (DER) that carries one quote per form; `quote` gets 64 bytes of report data.

    The layout is Gramine's: subject, serial 1, SHA-256. `forms`: None is both, for an RSA key the legacy one. A nonce
    goes into the claims of the DICE form.
    """
    if forms is None:
        forms = (Form.LEGACY,) if isinstance(private_key, rsa.RSAPrivateKey) else (Form.LEGACY, Form.DICE)
    public = private_key.public_key()
    spki = spki_of(private_key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if Form.LEGACY in forms:
        builder = _with_evidence(builder, LEGACY_OID, quote(_report_data(spki)))
    if Form.DICE in forms:
        claims = tagged_evidence.claims_for(spki, nonce=nonce)
        evidence = TaggedEvidence(quote(_report_data(claims)), claims)
        builder = _with_evidence(builder, DICE_OID, tagged_evidence.encode(evidence))
    return builder.sign(private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def _with_evidence(builder: x509.CertificateBuilder, oid: ObjectIdentifier, value: bytes) -> x509.CertificateBuilder:
    return builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)


def _report_data(bound: bytes) -> bytes:
    return hashlib.sha256(bound).digest() + bytes(32)


def open_certificate(
    der: bytes, *, at: datetime, live_key: bytes | None = None, allow_rsa: bool | None = None,
    nonce: bytes | None = None, skew: timedelta = SKEW,
) -> RaTlsEvidence:  # fmt: skip
    """Take the evidence out of one RA-TLS certificate, rule by rule; stricter than Gramine's verifier where it is lax.

    `live_key`: the SubjectPublicKeyInfo (DER) that the handshake proved possession of, as the TLS library holds it;
    without one, possession is not proven. `allow_rsa`: None admits RSA-3072 in the legacy form, as Gramine before 1.4
    makes it; True in both, False in none. With a `nonce` the claims must answer it. Raises a `Tampered` named after
    the rule that failed.
    """
    # 1. One strict DER certificate, signed with its own key, valid now.
    certificate = _load(der)
    public = _public_key(certificate)
    _check_self_signature(certificate, public)
    _check_validity(certificate, at, skew)
    # 2. The key is of an accepted type, and the live handshake's.
    spki, is_rsa = certificate.spki, False
    if not _is_usual_point(spki):
        is_rsa = _check_accepted(public, allow_rsa=allow_rsa is not False)
    if live_key is not None and not hmac.compare_digest(spki, live_key):
        raise LiveKeyMismatch("the handshake was made with another key than the certificate's")
    # 3. Evidence is found by parsing, once per kind, and has the size of a quote.
    evidence = _evidence_extensions(certificate)
    dates = {"not_before": certificate.not_before, "not_after": certificate.not_after}
    # 4. If the DICE form is there it must verify; otherwise the legacy form.
    if DICE_OID in evidence:
        if is_rsa and not allow_rsa:
            raise KeyTypeRefused("RSA comes with the legacy form of evidence only")
        return _open_dice(evidence[DICE_OID], spki, nonce, **dates)
    if LEGACY_OID not in evidence:
        raise NoEvidence("the certificate has neither of the two RA-TLS extensions")
    if nonce is not None:
        raise tagged_evidence.NonceMismatch("the legacy form of evidence cannot answer a nonce")
    quote = evidence[LEGACY_OID]
    _check_bound(quote, spki, Form.LEGACY)
    return RaTlsEvidence(quote=quote, form=Form.LEGACY, spki=spki, claims=None, unknown_claims=(), **dates)


def _open_dice(
    value: bytes, spki: bytes, nonce: bytes | None, *, not_before: datetime, not_after: datetime
) -> RaTlsEvidence:
    # 5. Tag 60000, two byte strings, a map of named claims.
    evidence = tagged_evidence.decode(value)
    unknown: tuple[str, ...] = ()
    # 6. The claims name the certificate's key (required: without it any quote would do), and the nonce if one was sent.
    if nonce is not None or not tagged_evidence.are_usual(evidence.claims, spki):
        claims = tagged_evidence.read_claims(evidence.claims)
        tagged_evidence.check_key_hash(claims, spki)
        if nonce is not None:
            tagged_evidence.check_nonce(claims, nonce)
        unknown = tuple(sorted(claims.keys() - {tagged_evidence.KEY_HASH, tagged_evidence.NONCE}))
    # 7. The quote binds the claims exactly as received.
    _check_bound(evidence.quote, evidence.claims, Form.DICE)
    return RaTlsEvidence(
        quote=evidence.quote, form=Form.DICE, spki=spki, claims=evidence.claims, unknown_claims=unknown,
        not_before=not_before, not_after=not_after,
    )  # fmt: skip


def _load(der: bytes) -> SelfSigned:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise RaTlsCertificateMalformed(f"the certificate is longer than {MAX_CERTIFICATE_BYTES} bytes")
    return self_signed.parse(der, error=RaTlsCertificateMalformed)


def _public_key(certificate: SelfSigned) -> PublicKey:
    try:
        key = load_der_public_key(certificate.spki)
    except UNREADABLE:
        raise KeyTypeRefused("the certificate's key is of an unknown type") from None
    if _is_usual_point(certificate.spki):
        return cast("ec.EllipticCurvePublicKey", key)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise KeyTypeRefused(f"the key is of the type {type(key).__name__.removesuffix('PublicKey')}")
    if spki_of(key) != certificate.spki:
        raise KeyTypeRefused("the key is not written in its usual form")
    return key


def _is_usual_point(spki: bytes) -> bool:
    """Return whether a key is one on P-384 or P-256, written as ours would be: to look takes less than to ask it."""
    head = _USUAL_POINTS.get(len(spki))
    return head is not None and spki.startswith(head)


def _check_self_signature(certificate: SelfSigned, key: PublicKey) -> None:
    if certificate.has_outdated_hash:
        raise SelfSignatureInvalid("the certificate is signed over an outdated hash, or by an unknown algorithm")
    if certificate.issuer != certificate.subject or not certificate.is_signed_with(key):
        raise SelfSignatureInvalid("the certificate's signature does not verify under its own key")


def _check_validity(certificate: SelfSigned, at: datetime, skew: timedelta) -> None:
    if certificate.not_after < certificate.not_before:
        raise OutsideValidity("the certificate ends before it begins")
    if certificate.not_before - at > skew:
        raise OutsideValidity(
            f"the certificate is valid from {certificate.not_before.isoformat()}, now is {at.isoformat()}"
        )
    if at - certificate.not_after > skew:
        raise OutsideValidity(f"the certificate ended at {certificate.not_after.isoformat()}, now is {at.isoformat()}")


def _check_accepted(key: PublicKey, *, allow_rsa: bool) -> bool:
    """Raise KeyTypeRefused unless the key is of an accepted type; return whether that is RSA."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            raise KeyTypeRefused(f"the key is on the curve {key.curve.name}")
        return False
    exponent = key.public_numbers().e
    if key.key_size != 3072 or exponent != 65537 or not allow_rsa:
        raise KeyTypeRefused(f"the key is RSA-{key.key_size} with exponent {exponent}")
    return True


def _evidence_extensions(certificate: SelfSigned) -> dict[ObjectIdentifier, bytes]:
    extensions = self_signed.extensions_of(certificate.extensions, error=EvidenceAmbiguous)
    found = {oid: extensions[name] for oid, name in _EVIDENCE.items() if name in extensions}
    for value in found.values():
        if not MIN_EVIDENCE_BYTES <= len(value) <= MAX_EVIDENCE_BYTES:
            limits = f"{MIN_EVIDENCE_BYTES} to {MAX_EVIDENCE_BYTES}"
            raise EvidenceSizeRefused(f"the evidence has {len(value)} bytes, allowed are {limits}")
    return found


def _check_bound(quote: bytes, bound: bytes, form: Form) -> None:
    # 7. report_data[0:32] is the SHA-256 of what is bound, compared in constant time; [32:64] is zero.
    if len(quote) < MIN_QUOTE_BYTES:
        raise EvidenceSizeRefused(f"the quote has {len(quote)} bytes, at least {MIN_QUOTE_BYTES} are needed")
    tee, report_data = report_data_of(quote, error=QuoteUnreadable)
    if form is Form.LEGACY and tee is not Tee.SGX:
        raise QuoteUnreadable("the legacy form carries SGX quotes, this is a quote of a trust domain (TDX)")
    if not hmac.compare_digest(report_data[:32], hashlib.sha256(bound).digest()):
        raise NotBound("report data does not hold the hash of this certificate's key or claims")
    if not hmac.compare_digest(report_data[32:], bytes(32)):
        raise ReportDataTail("report data bytes 32 to 63 are not zero")
