"""RA-TLS certificates: what Gramine writes is accepted, and every rule that is broken is named."""

import hashlib
import warnings
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from strongroom.pki import ratls, tagged_evidence
from strongroom.pki.ratls import DICE_OID, LEGACY_OID, Form, open_certificate, spki_of
from strongroom.pki.tagged_evidence import TaggedEvidence
from strongroom.wire import cbor


@pytest.fixture(scope="session")
def rsa3072():
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


@pytest.fixture
def refuse(now):
    def refused(der, code, **options):
        with pytest.raises(ratls.Tampered) as caught:
            open_certificate(der, at=options.pop("at", now), **options)
        assert caught.value.code == code
        return caught.value.sentence

    return refused


@pytest.fixture
def legacy(quoting):
    quote_over, bound_to = quoting
    return lambda key: (LEGACY_OID, quote_over(bound_to(spki_of(key))))


@pytest.fixture
def dice(quoting):
    quote_over, bound_to = quoting

    def extension(claims, *, bound=None, tail=b""):
        quote = quote_over(bound_to(claims if bound is None else bound))
        return DICE_OID, tagged_evidence.encode(TaggedEvidence(quote, claims)) + tail

    return extension


def made(key, quoting, now, **options):
    quote_over, _ = quoting
    seen = []
    der = ratls.make_certificate(
        key,
        lambda report_data: seen.append(report_data) or quote_over(report_data),
        not_before=now - timedelta(minutes=1),
        not_after=now + ratls.DEFAULT_LIFETIME,
        **options,
    )
    return der, seen


def test_a_made_certificate_has_gramines_bytes(p384, quoting, now):
    der, report_data = made(p384, quoting, now)
    spki = spki_of(p384)
    claims = bytes.fromhex("a16b7075626b65792d68617368582482015820") + hashlib.sha256(spki).digest()
    assert bytes.fromhex("060b06092a864886f84d8a3906") in der
    assert bytes.fromhex("0606678105050409") in der
    quote = quoting[0](hashlib.sha256(claims).digest() + bytes(32))
    assert (
        bytes.fromhex("d9ea608259") + len(quote).to_bytes(2, "big") + quote + b"\x58" + bytes([len(claims)]) + claims
        in der
    )
    assert report_data == [hashlib.sha256(bound).digest() + bytes(32) for bound in (spki, claims)]


def test_a_made_certificate_looks_like_gramines(p384, quoting, now):
    certificate = x509.load_der_x509_certificate(made(p384, quoting, now)[0])
    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == "CN=RATLS,O=GramineDevelopers,C=US"
    assert certificate.serial_number == 1
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert not any(extension.critical for extension in certificate.extensions)
    dotted = [extension.oid.dotted_string for extension in certificate.extensions]
    assert dotted[-2:] == ["0.6.9.42.840.113741.1337.6", "2.23.133.5.4.9"]


def test_the_dice_form_is_preferred_and_carries_its_own_quote(p384, quoting, now):
    evidence = open_certificate(made(p384, quoting, now)[0], at=now)
    assert evidence.form is Form.DICE
    assert evidence.spki == spki_of(p384)
    assert evidence.claims == tagged_evidence.claims_for(evidence.spki)
    assert evidence.quote[368:400] == hashlib.sha256(evidence.claims).digest()


def test_the_legacy_form_alone_is_enough(p384, quoting, now):
    evidence = open_certificate(made(p384, quoting, now, forms=[Form.LEGACY])[0], at=now)
    assert (evidence.form, evidence.claims) == (Form.LEGACY, None)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_both_curves_are_accepted(curve, quoting, now):
    key = ec.generate_private_key(curve)
    assert open_certificate(made(key, quoting, now)[0], at=now).spki == spki_of(key)


def test_rsa_3072_is_for_the_legacy_form_where_allowed(rsa3072, forge, legacy, dice, refuse):
    certificate = forge.certificate(rsa3072, [legacy(rsa3072)])
    assert open_certificate(certificate, at=forge.now).form is Form.LEGACY
    refuse(certificate, "SR-RATLS-KEY-TYPE", allow_rsa=False)
    claims = tagged_evidence.claims_for(spki_of(rsa3072))
    refuse(forge.certificate(rsa3072, [dice(claims)]), "SR-RATLS-KEY-TYPE")


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-exponent-3", "p-521", "ed25519"])
def test_fb_19_other_key_types_are_refused(kind, forge, legacy, quoting, refuse):
    quote_over, bound_to = quoting
    if kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
        spki = key.public_key().public_bytes(ratls.Encoding.DER, ratls.PublicFormat.SubjectPublicKeyInfo)
        refuse(forge.unsigned_hash(key, [(LEGACY_OID, quote_over(bound_to(spki)))]), "SR-RATLS-KEY-TYPE")
        return
    key = {
        "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
        "rsa-exponent-3": lambda: rsa.generate_private_key(3, 3072),
        "p-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    }[kind]()
    refuse(forge.certificate(key, [legacy(key)]), "SR-RATLS-KEY-TYPE")


def test_a_certificate_signed_by_another_key_is_refused(p384, forge, legacy, refuse):
    other = ec.generate_private_key(ec.SECP384R1())
    refuse(forge.certificate(p384, [legacy(p384)], signer=other), "SR-RATLS-SELF-SIGNATURE")


def test_a_certificate_signed_over_an_old_hash_is_refused(p384, forge, legacy, refuse):
    certificate = forge.certificate(p384, [legacy(p384)], algorithm=hashes.SHA224())
    assert "outdated hash" in refuse(certificate, "SR-RATLS-SELF-SIGNATURE")


def test_a_flipped_bit_anywhere_in_the_certificate_is_refused(p384, quoting, now):
    der, _ = made(p384, quoting, now)
    for position in range(0, len(der), 97):
        broken = bytearray(der)
        broken[position] ^= 0x01
        with pytest.raises(ratls.Tampered):
            open_certificate(bytes(broken), at=now)


def test_validity_is_respected_with_a_little_skew(p384, forge, legacy, refuse, now):
    certificate = forge.certificate(p384, [legacy(p384)])
    open_certificate(certificate, at=now + timedelta(hours=1, minutes=4))
    refuse(certificate, "SR-RATLS-EXPIRED", at=now + timedelta(hours=1, minutes=6))
    refuse(certificate, "SR-RATLS-EXPIRED", at=now - timedelta(hours=1, minutes=6))
    refuse(certificate, "SR-RATLS-EXPIRED", at=now + timedelta(hours=1, seconds=1), skew=timedelta(0))


def test_a_certificate_that_ends_before_it_begins_is_refused(p384, forge, legacy, refuse, now):
    """Within the skew of both ends, so that only the order of the dates is wrong."""
    dates = {"not_before": now - timedelta(minutes=2), "not_after": now + timedelta(minutes=2)}
    sound = x509.load_der_x509_certificate(forge.certificate(p384, [legacy(p384)], **dates))
    early, late = (f"{moment:%y%m%d%H%M%SZ}".encode() for moment in dates.values())
    body = sound.tbs_certificate_bytes
    assert early + b"\x17\x0d" + late in body
    swapped = body.replace(early + b"\x17\x0d" + late, late + b"\x17\x0d" + early)
    signature = b"\x00" + p384.sign(swapped, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    content = swapped + algorithm + b"\x03" + bytes([len(signature)]) + signature
    refuse(b"\x30\x82" + len(content).to_bytes(2, "big") + content, "SR-RATLS-EXPIRED")


def test_fb_13_gramines_far_dates_say_nothing_about_freshness(p384, forge, legacy, now):
    dates = {"not_before": ratls.GRAMINE_NOT_BEFORE, "not_after": ratls.GRAMINE_NOT_AFTER}
    evidence = open_certificate(forge.certificate(p384, [legacy(p384)], **dates), at=now)
    assert (evidence.not_before, evidence.not_after) == (ratls.GRAMINE_NOT_BEFORE, ratls.GRAMINE_NOT_AFTER)
    assert not any("fresh" in name or "signed" in name for name in evidence.__slots__)


def test_bytes_that_are_no_certificate_are_refused(p384, quoting, now, refuse):
    der, _ = made(p384, quoting, now)
    for broken in (b"", b"\x30\x03\x02\x01\x01", der[:-1], der + b"\x00", der + der, bytes(40_000)):
        refuse(broken, "SR-RATLS-CERTIFICATE")


def test_an_ordinary_certificate_is_refused(p384, forge, refuse):
    refuse(forge.certificate(p384, []), "SR-RATLS-NO-EVIDENCE")


def test_the_same_extension_twice_is_refused(p384, forge, legacy, refuse):
    stand_in = x509.ObjectIdentifier("0.6.9.42.840.113741.1337.7")
    der = forge.certificate(p384, [legacy(p384), (stand_in, legacy(p384)[1])])
    twice = forge.resigned(
        der, p384, lambda part: part.replace(bytes.fromhex("2a864886f84d8a3907"), bytes.fromhex("2a864886f84d8a3906"))
    )
    refuse(twice, "SR-RATLS-EXTENSIONS")


@pytest.mark.parametrize("oid", [LEGACY_OID, DICE_OID])
@pytest.mark.parametrize("length", [0, 127, 8193])
def test_evidence_of_an_impossible_size_is_refused(oid, length, p384, forge, refuse):
    refuse(forge.certificate(p384, [(oid, bytes(length))]), "SR-RATLS-EVIDENCE-SIZE")


def test_a_legacy_quote_without_report_data_is_refused(p384, forge, refuse):
    refuse(forge.certificate(p384, [(LEGACY_OID, bytes(435))]), "SR-RATLS-EVIDENCE-SIZE")


def test_evidence_is_found_by_parsing_not_by_searching(p384, forge, legacy, refuse):
    _, quote = legacy(p384)
    hidden = bytes.fromhex("060b06092a864886f84d8a39060482") + len(quote).to_bytes(2, "big") + quote
    refuse(forge.certificate(p384, [(x509.ObjectIdentifier("1.2.3.4"), hidden)]), "SR-RATLS-NO-EVIDENCE")


def test_fb_04_a_quote_made_for_another_key_is_refused(p384, forge, legacy, dice, refuse):
    victim = ec.generate_private_key(ec.SECP384R1())
    refuse(forge.certificate(p384, [legacy(victim)]), "SR-RATLS-NOT-BOUND")
    stolen = tagged_evidence.claims_for(spki_of(victim))
    refuse(forge.certificate(p384, [dice(stolen)]), "SR-RATLS-KEY-HASH")
    own = tagged_evidence.claims_for(spki_of(p384))
    refuse(forge.certificate(p384, [dice(own, bound=stolen)]), "SR-RATLS-NOT-BOUND")


@pytest.mark.parametrize("position", [32, 63])
def test_fb_05_the_upper_half_of_report_data_must_be_zero(position, p384, forge, quoting, refuse):
    quote_over, bound_to = quoting
    report_data = bytearray(bound_to(spki_of(p384)))
    report_data[position] = 1
    refuse(forge.certificate(p384, [(LEGACY_OID, quote_over(bytes(report_data)))]), "SR-RATLS-REPORT-DATA-TAIL")


def test_fb_05_a_bad_dice_extension_does_not_fall_back_to_a_good_legacy_one(p384, forge, legacy, dice, refuse):
    only_nonce = cbor.encode(cbor.Map((("nonce", b"n" * 32),)))
    refuse(forge.certificate(p384, [legacy(p384), dice(only_nonce)]), "SR-RATLS-NO-KEY-HASH")
    refuse(forge.certificate(p384, [legacy(p384), (DICE_OID, bytes(200))]), "SR-RATLS-TAGGED-EVIDENCE")


def test_fb_05_claims_without_the_key_are_refused(p384, forge, dice, refuse):
    refuse(forge.certificate(p384, [dice(cbor.encode(cbor.Map((("nonce", b""),))))]), "SR-RATLS-NO-KEY-HASH")


@pytest.mark.parametrize(("number", "name"), [(7, "sha384"), (8, "sha512")])
def test_fb_05_longer_hashes_of_the_key_are_accepted(number, name, p384, forge, dice):
    digest = hashlib.new(name, spki_of(p384)).digest()
    claims = cbor.encode(cbor.Map((("pubkey-hash", cbor.encode((number, digest))), ("vendor", 1))))
    evidence = open_certificate(forge.certificate(p384, [dice(claims)]), at=forge.now)
    assert evidence.unknown_claims == ("vendor",)


def test_fb_05_bytes_are_ignored_after_the_evidence_but_not_inside_the_claims(p384, forge, dice, refuse, now):
    claims = tagged_evidence.claims_for(spki_of(p384))
    open_certificate(forge.certificate(p384, [dice(claims, tail=b"\x00\xffjunk")]), at=now)
    refuse(forge.certificate(p384, [dice(claims + b"\x00")]), "SR-RATLS-CLAIMS")


QUOTE = bytes(500)


@pytest.mark.parametrize(
    "value",
    [
        cbor.encode((QUOTE, b"c")),
        cbor.encode(cbor.Tag(60001, (QUOTE, b"c"))),
        cbor.encode(cbor.Tag(60000, (QUOTE,))),
        cbor.encode(cbor.Tag(60000, (QUOTE, b"c", b"d"))),
        cbor.encode(cbor.Tag(60000, (QUOTE, "claims"))),
        cbor.encode(cbor.Tag(60000, (QUOTE[:435], b"c"))),
        cbor.encode(cbor.Tag(60000, (QUOTE, b""))),
        bytes.fromhex("d9ea609f") + cbor.encode(QUOTE) + bytes.fromhex("4163ff"),
        bytes.fromhex("d9ea6082") + b"\x5f" + cbor.encode(QUOTE) + b"\xff" + b"\x41c",
    ],
)
def test_tagged_evidence_of_another_shape_is_refused(value):
    with pytest.raises(tagged_evidence.TaggedEvidenceMalformed) as caught:
        tagged_evidence.decode(value)
    assert caught.value.code == "SR-RATLS-TAGGED-EVIDENCE"


@pytest.mark.parametrize(
    "claims",
    [
        cbor.encode(cbor.Map(())),
        cbor.encode((1, 2)),
        cbor.encode(cbor.Map(((1, 2),))),
        cbor.encode(cbor.Map((("", 2),))),
        cbor.encode(cbor.Map((("a", 1), ("a", 1)))),
        cbor.encode(cbor.Map(((b"pubkey-hash", b"x"),))),
        b"\xbf\x61a\x01\xff",
        b"\xa1\x7f\x61a\xff\x01",
        b"",
    ],
)
def test_claims_of_another_shape_are_refused(claims):
    with pytest.raises(tagged_evidence.ClaimsMalformed) as caught:
        tagged_evidence.read_claims(claims)
    assert caught.value.code == "SR-RATLS-CLAIMS"


@pytest.mark.parametrize(
    "value",
    [
        "text",
        cbor.encode((2, bytes(32))),
        cbor.encode((True, bytes(32))),
        cbor.encode((1,)),
        cbor.encode((1, bytes(32), 0)),
        cbor.encode((1, "x" * 32)),
        cbor.encode((-2, bytes(32))),
        cbor.encode((1, bytes(32))) + b"\x00",
    ],
)
def test_a_key_hash_of_another_shape_is_refused(value, p384):
    with pytest.raises(tagged_evidence.ClaimsMalformed):
        tagged_evidence.check_key_hash({"pubkey-hash": value}, spki_of(p384))


@pytest.mark.parametrize("digest", [bytes(32), bytes(31), bytes(48), b""])
def test_a_key_hash_of_another_key_or_length_is_refused(digest, p384):
    with pytest.raises(tagged_evidence.KeyHashMismatch):
        tagged_evidence.check_key_hash({"pubkey-hash": cbor.encode((1, digest))}, spki_of(p384))


def test_a_nonce_that_was_sent_must_be_answered(p384, quoting, forge, legacy, refuse):
    nonce = b"n" * 32
    der, _ = made(p384, quoting, forge.now, nonce=nonce)
    assert open_certificate(der, at=forge.now, nonce=nonce).unknown_claims == ()
    assert "another nonce" in refuse(der, "SR-RATLS-NONCE", nonce=b"m" * 32)
    assert "hold none" in refuse(made(p384, quoting, forge.now)[0], "SR-RATLS-NONCE", nonce=nonce)
    assert "cannot answer" in refuse(forge.certificate(p384, [legacy(p384)]), "SR-RATLS-NONCE", nonce=nonce)


def test_the_first_broken_rule_decides(p384, forge, legacy, refuse, now):
    other = ec.generate_private_key(ec.SECP384R1())
    past = {"not_before": now - timedelta(days=2), "not_after": now - timedelta(days=1)}
    refuse(forge.certificate(p384, [legacy(other)], signer=other, **past), "SR-RATLS-SELF-SIGNATURE")
    refuse(forge.certificate(p384, [legacy(other)], **past), "SR-RATLS-EXPIRED")
    p521 = ec.generate_private_key(ec.SECP521R1())
    refuse(forge.certificate(p521, []), "SR-RATLS-KEY-TYPE")


ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
WITH_NULL = bytes.fromhex("300c06082a8648ce3d0403020500")  # as Mbed TLS before 3.5 writes it: Gramine 1.4 and 1.5


def test_the_null_that_older_mbed_tls_writes_behind_ecdsa_is_accepted(p384, forge, legacy, refuse):
    der = forge.certificate(p384, [legacy(p384)])
    older = forge.resigned(der, p384, lambda part: part.replace(ECDSA_WITH_SHA256, WITH_NULL, 1), algorithm=WITH_NULL)
    assert WITH_NULL in older
    assert open_certificate(older, at=forge.now).form is Form.LEGACY
    refuse(forge.resigned(der, p384, lambda part: part, algorithm=WITH_NULL), "SR-RATLS-CERTIFICATE")
    odd = bytes.fromhex("300d06082a8648ce3d040302") + bytes.fromhex("020105")
    refuse(
        forge.resigned(der, p384, lambda part: part.replace(ECDSA_WITH_SHA256, odd, 1), algorithm=odd),
        "SR-RATLS-SELF-SIGNATURE",
    )


@pytest.mark.parametrize("serial", ["020100", "0201ff"])
def test_a_serial_that_is_not_positive_is_refused_however_warnings_are_filtered(serial, p384, forge, legacy, refuse):
    der = forge.certificate(p384, [legacy(p384)])
    changed = forge.resigned(
        der, p384, lambda part: part.replace(bytes.fromhex("a003020102020101"), bytes.fromhex("a003020102" + serial), 1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refuse(changed, "SR-RATLS-CERTIFICATE")


def test_judging_a_certificate_leaves_the_processs_warning_filters_alone(p384, quoting, now, monkeypatch):
    der, _ = made(p384, quoting, now)
    monkeypatch.setattr(warnings, "catch_warnings", None)  # it is not for threads, and the broker judges in several
    assert open_certificate(der, at=now)


def test_a_key_that_is_not_in_its_usual_form_is_refused(p384, forge, legacy, refuse):
    der = forge.certificate(p384, [legacy(p384)])
    point = p384.public_key().public_bytes(ratls.Encoding.X962, ratls.PublicFormat.CompressedPoint)
    spki = bytes.fromhex("304630100607 2a8648ce3d0201 0605 2b81040022 033200") + point
    refuse(forge.resigned(der, p384, lambda part: part.replace(spki_of(p384), spki, 1)), "SR-RATLS-KEY-TYPE")
