"""What may lie in an RA-TLS certificate: quotes of which versions and kinds of TEE, in which form."""

import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.errors import Tampered
from strongroom.pki import ratls, tagged_evidence
from strongroom.pki.ratls import DICE_OID, LEGACY_OID, Form, open_certificate, spki_of
from strongroom.pki.report_data import report_data_of
from strongroom.pki.tagged_evidence import TaggedEvidence

SGX, TDX = 0x00, 0x81
BODY_TYPES = {SGX: (1,), TDX: (2, 3)}


def quote(version, tee, report_data, *, body_type=None, length=4000):
    """The layout of a quote as far as report data; the rest is filled."""
    head = version.to_bytes(2, "little") + b"\x02\x00" + tee.to_bytes(4, "little") + bytes(40)
    if version == 5:
        size = {1: 384, 2: 584, 3: 648}.get(body_type, 584)
        head += body_type.to_bytes(2, "little") + size.to_bytes(4, "little")
    head += b"\x07" * (320 if tee == SGX else 520) + report_data
    return head.ljust(length, b"\x07")


LAYOUTS = [(3, SGX, None), (4, SGX, None), (4, TDX, None), (5, SGX, 1), (5, TDX, 2), (5, TDX, 3)]


@pytest.fixture
def certified(p384, forge):
    """A certificate in one form over a quote that `make` writes for its report data."""

    def build(form, make):
        spki = spki_of(p384)
        if form is Form.LEGACY:
            return forge.certificate(p384, [(LEGACY_OID, make(bound_to(spki)))])
        claims = tagged_evidence.claims_for(spki)
        evidence = TaggedEvidence(make(bound_to(claims)), claims)
        return forge.certificate(p384, [(DICE_OID, tagged_evidence.encode(evidence))])

    return build


def bound_to(data):
    return hashlib.sha256(data).digest() + bytes(32)


@pytest.mark.parametrize(("version", "tee", "body_type"), LAYOUTS)
def test_the_newer_form_carries_quotes_of_every_kind(certified, now, version, tee, body_type):
    certificate = certified(Form.DICE, lambda data: quote(version, tee, data, body_type=body_type))
    evidence = open_certificate(certificate, at=now)
    assert evidence.report_data == bound_to(evidence.claims)
    assert evidence.bound == evidence.claims


@pytest.mark.parametrize(("version", "tee", "body_type"), LAYOUTS)
def test_the_legacy_form_carries_quotes_of_enclaves_alone(certified, now, version, tee, body_type):
    certificate = certified(Form.LEGACY, lambda data: quote(version, tee, data, body_type=body_type))
    if tee == SGX:
        evidence = open_certificate(certificate, at=now)
        assert (evidence.bound, evidence.report_data) == (evidence.spki, bound_to(evidence.spki))
        return
    with pytest.raises(Tampered) as caught:
        open_certificate(certificate, at=now)
    assert caught.value.code == "SR-RATLS-QUOTE"


@pytest.mark.parametrize(
    ("version", "tee", "body_type"),
    [(3, TDX, None), (2, SGX, None), (6, SGX, None), (4, 0x01, None), (4, 0x8100, None), (5, SGX, 2), (5, TDX, 1)],
)
def test_other_versions_and_kinds_are_refused(certified, now, version, tee, body_type):
    certificate = certified(Form.DICE, lambda data: quote(version, tee, data, body_type=body_type))
    with pytest.raises(Tampered) as caught:
        open_certificate(certificate, at=now)
    assert caught.value.code == "SR-RATLS-QUOTE"


@pytest.mark.parametrize(("version", "tee", "body_type"), LAYOUTS)
def test_report_data_is_found_whole_or_not_at_all(version, tee, body_type):
    whole = quote(version, tee, bytes(range(64)), body_type=body_type, length=0)
    assert report_data_of(whole, error=ratls.QuoteUnreadable)[1] == bytes(range(64))
    for length in (0, 1, 7, 8, 48, 49, 53, len(whole) - 1):
        with pytest.raises(ratls.QuoteUnreadable):
            report_data_of(whole[:length], error=ratls.QuoteUnreadable)


def test_fb_04_the_live_key_is_compared(certified, now, p384):
    certificate = certified(Form.LEGACY, lambda data: quote(3, SGX, data))
    open_certificate(certificate, at=now, live_key=spki_of(p384))
    for other in (spki_of(ec.generate_private_key(ec.SECP384R1())), b"", spki_of(p384) + b"\x00"):
        with pytest.raises(Tampered) as caught:
            open_certificate(certificate, at=now, live_key=other)
        assert caught.value.code == "SR-RATLS-LIVE-KEY"


def test_an_rsa_key_gets_the_legacy_form_unless_told_otherwise(now):
    key = rsa.generate_private_key(65537, 3072)

    def made(**options):
        dates = {"not_before": now, "not_after": now + timedelta(hours=1)}
        return ratls.make_certificate(key, lambda data: quote(3, SGX, data), **dates, **options)

    assert open_certificate(made(), at=now).form is Form.LEGACY
    newer = made(forms=[Form.DICE])
    assert open_certificate(newer, at=now, allow_rsa=True).form is Form.DICE
    for options in ({}, {"allow_rsa": False}):
        with pytest.raises(Tampered) as caught:
            open_certificate(newer, at=now, **options)
        assert caught.value.code == "SR-RATLS-KEY-TYPE"
