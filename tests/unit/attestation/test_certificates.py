"""The certificate reader, held against `cryptography`, and against certificates outside the profile."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attestation import parse_quote
from strongroom.attestation.anchors import INTEL_ROOT_CERTIFICATES, INTEL_ROOT_KEY
from strongroom.attestation.certificates import SGX_EXTENSION, KeyUsage, parse_certificate, parse_pem_chain
from strongroom.attestation.crl import parse_crl
from strongroom.attestation.signatures import is_point, signed_der
from strongroom.attestation.verify import pck_chain_of
from strongroom.wire import Malformed


def chains(folder):
    """Return every distinct PEM text in the shared vectors."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))["vectors"]
    texts = set()
    for path in {entry["collateral"] for entry in index if entry["collateral"]}:
        collateral = json.loads((folder / path).read_text(encoding="utf-8"))
        texts |= {value for name, value in collateral.items() if name.endswith("chain")}
    for path in {entry["quote"] for entry in index if entry["tee"] == "SGX"}:
        quote = (folder / path).read_bytes()
        start = quote.find(b"-----BEGIN CERTIFICATE-----")
        end = quote.rfind(b"-----END CERTIFICATE-----")
        if 0 < start < end:
            texts.add(quote[start:end].decode("ascii") + "-----END CERTIFICATE-----\n")
    return sorted(texts)


def point_of(certificate):
    """Return the key as another library reads it; None if it is no point on the curve (one quote has such a root)."""
    try:
        key = certificate.public_key()
    except ValueError:
        return None
    return key.public_bytes(Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def same(ours, theirs):
    """Compare our reading of a certificate with another library's."""
    assert ours.signed == theirs.tbs_certificate_bytes
    assert ours.signature == theirs.signature
    assert ours.serial == theirs.serial_number
    assert ours.issuer == theirs.issuer.public_bytes()
    assert ours.subject == theirs.subject.public_bytes()
    assert ours.common_name == theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    assert (ours.since, ours.until) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
    assert ours.point == point_of(theirs) if is_point(ours.point) else point_of(theirs) is None
    constraints = theirs.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (ours.is_ca, ours.path_length) == (constraints.ca, constraints.path_length)
    usage = theirs.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (KeyUsage.DIGITAL_SIGNATURE in ours.key_usage) == usage.digital_signature
    assert (KeyUsage.KEY_CERT_SIGN in ours.key_usage) == usage.key_cert_sign
    assert (KeyUsage.CRL_SIGN in ours.key_usage) == usage.crl_sign
    sgx = [extension.value.value for extension in theirs.extensions if extension.oid.dotted_string == SGX_EXTENSION]
    assert list(ours.sgx_extensions) == sgx


def test_every_certificate_of_the_vectors_reads_as_another_library_reads_it(shared_vectors):
    count = 0
    for text in chains(shared_vectors / "dcap"):
        ours = parse_pem_chain(text.encode(), what="chain", error=Malformed)
        theirs = x509.load_pem_x509_certificates(text.encode())
        assert len(ours) == len(theirs)
        for left, right in zip(ours, theirs, strict=True):
            same(left, right)
            count += 1
    assert count > 300


def test_every_revocation_list_of_the_vectors_reads_as_another_library_reads_it(shared_vectors):
    folder = shared_vectors / "dcap"
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))["vectors"]
    lists = set()
    for path in {entry["collateral"] for entry in index if entry["collateral"]}:
        collateral = json.loads((folder / path).read_text(encoding="utf-8"))
        lists |= {collateral["root_ca_crl"], collateral["pck_crl"]}
    for text in lists:
        ours = parse_crl(bytes.fromhex(text), what="CRL", error=Malformed)
        theirs = x509.load_der_x509_crl(bytes.fromhex(text))
        assert ours.signed == theirs.tbs_certlist_bytes
        assert ours.signature == theirs.signature
        assert ours.issuer == theirs.issuer.public_bytes()
        assert (ours.this_update, ours.next_update) == (theirs.last_update_utc, theirs.next_update_utc)
        assert ours.number == theirs.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert ours.revoked == {entry.serial_number for entry in theirs}
    assert len(lists) > 50


def test_the_little_worlds_certificates_read_as_another_library_reads_them(world):
    for role in world.recipes:
        certificate = world.certificate(role)
        same(parse_certificate(certificate.public_bytes(Encoding.DER)), certificate)


@pytest.fixture
def leaf(world):
    return world.certificate("leaf").public_bytes(Encoding.DER)


def replaced(data, old, new):
    """Return `data` with one part replaced by another of the same length."""
    assert len(old) == len(new)
    assert data.count(old) >= 1
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("why", "old", "new"),
    [
        ("version 2", "a003020102", "a003020101"),
        ("serial zero", "020203eb", "02020000"),
        ("serial negative", "020203eb", "0202fbeb"),
        ("another signature algorithm", "2a8648ce3d040302", "2a8648ce3d040303"),
        ("another curve", "2a8648ce3d030107", "2a8648ce3d030106"),
        ("compressed point", "03420004", "03420002"),
        ("unused bits in the key", "03420004", "03420104"),
        ("no critical boolean", "0603551d130101ff", "0603551d13010101"),
        ("basic constraints no sequence", "04023000", "04020500"),
        ("key usage no bit string", "040403020", "040404020"),
        ("time without Z", "5a170d", "5b170d"),
    ],
)
def test_sc_03_a_certificate_outside_the_profile_is_refused(leaf, why, old, new):
    text = leaf.hex()
    assert old in text, why
    with pytest.raises(Malformed):
        parse_certificate(bytes.fromhex(text.replace(old, new)))


def test_ev_09_bytes_after_a_certificate_are_refused(leaf):
    for spoiled in (leaf + b"\0", leaf[:-1], b"", leaf[:4]):
        with pytest.raises(Malformed):
            parse_certificate(spoiled)


def test_an_extension_given_twice_is_refused(world, lw):
    """The second basic constraints are written over the key identifier, which has the same length."""
    world.recipes["leaf"].extensions = [("2.5.29.99", b"\x30\x00", False)]
    leaf = world.certificate("leaf").public_bytes(Encoding.DER)
    with pytest.raises(Malformed, match="occurs twice"):
        parse_certificate(replaced(leaf, b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x13"))


def test_a_subject_with_two_names_carries_none(lw, world):
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "Intel SGX PCK Certificate") for _ in range(2)]
    world.name = lambda role: x509.Name(attributes)
    assert parse_certificate(world.certificate("leaf").public_bytes(Encoding.DER)).common_name == ""


def test_dates_beyond_2049_are_read(world):
    world.recipes["leaf"].until = datetime(2061, 1, 1, tzinfo=UTC)
    certificate = parse_certificate(world.certificate("leaf").public_bytes(Encoding.DER))
    assert certificate.until == datetime(2061, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("why", "spoil"),
    [
        ("version 1", lambda crl: replaced(crl, bytes.fromhex("020101300a"), bytes.fromhex("020100300a"))),
        ("another algorithm", lambda crl: replaced(crl, bytes.fromhex("3d040302"), bytes.fromhex("3d040303"))),
        (
            "one algorithm outside only",
            lambda crl: crl[:-90] + replaced(crl[-90:], b"\x3d\x04\x03\x02", b"\x3d\x04\x03\x03"),
        ),
        ("other extension instead of the number", lambda crl: replaced(crl, b"\x55\x1d\x14", b"\x55\x1d\x15")),
        ("number twice", lambda crl: replaced(crl, b"\x55\x1d\x23", b"\x55\x1d\x14")),
        ("bytes after", lambda crl: crl + b"\0"),
        ("cut", lambda crl: crl[:-1]),
        ("empty", lambda _: b""),
    ],
)
def test_sc_11_a_revocation_list_outside_the_profile_is_refused(world, why, spoil):
    world.crls["pck"]["revoked"] = [5, 6]
    sound = world.crl("pck")
    assert parse_crl(sound, what="CRL", error=Malformed).revoked == {5, 6}
    with pytest.raises(Malformed):
        parse_crl(spoil(sound), what=why, error=Malformed)


def test_sc_11_a_critical_extension_would_limit_the_list_and_is_refused(world, lw):
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(world.name("ca"))
        .last_update(world.now)
        .next_update(world.now)
        .add_extension(x509.CRLNumber(1), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier(b"1", None, None), critical=False)
    )
    crl = builder.sign(lw.KEYS["ca"], lw.hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(Malformed, match="critical"):
        parse_crl(crl, what="CRL", error=Malformed)


def test_sc_11_a_negative_crl_number_is_refused(world):
    world.crls["pck"]["number"] = 7
    sound = world.crl("pck")
    negative = sound.replace(bytes.fromhex("0603551d140403020107"), bytes.fromhex("0603551d140403020187"))
    assert negative != sound
    with pytest.raises(Malformed, match="CRLNumber"):
        parse_crl(negative, what="CRL", error=Malformed)


def test_intels_root_certificates_are_known_by_their_bytes_and_are_signed_with_the_pinned_key(shared_vectors):
    found = set()
    index = json.loads((shared_vectors / "dcap" / "index.json").read_text(encoding="utf-8"))["vectors"]
    for entry in index:
        if entry["id"] in {"real-sgx-v3-c81a90ee-2025-08-15", "nocollateral-2a49ce72"}:
            root = pck_chain_of(parse_quote((shared_vectors / "dcap" / entry["quote"]).read_bytes()))[-1]
            assert root.point == INTEL_ROOT_KEY
            assert signed_der(root.point, root.signature, root.signed)
            found.add(hashlib.sha256(root.encoded).digest())
    assert found == INTEL_ROOT_CERTIFICATES


REASON = x509.CRLReason(x509.ReasonFlags.unspecified)
SERIALS = [1, 2**150, 2**152 + 1, 2**158, 2**159 - 1]


@pytest.mark.parametrize("day", [28, 29, 31])
@pytest.mark.parametrize(
    "reasons", [(True,) * 5, (False,) * 5, (True, False) * 2 + (True,), (False, True) * 2 + (False,)]
)
def test_sc_11_entries_of_every_form_are_read_in_any_mixture(lw, day, reasons):
    since = datetime(2026, 5, day, 23, 59, 59, tzinfo=UTC)
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(lw.KEYS["ca"].public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(lw.LittleWorld().name("ca"))
        .last_update(since)
        .next_update(since + timedelta(days=30))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(aki, critical=False)
    )
    for serial, reason in zip(SERIALS, reasons, strict=True):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate((entry.add_extension(REASON, False) if reason else entry).build())
    encoded = builder.sign(lw.KEYS["ca"], hashes.SHA256()).public_bytes(Encoding.DER)
    assert parse_crl(encoded, what="CRL", error=Malformed).revoked == frozenset(SERIALS)
