"""No bytes whatever make a parser of evidence raise anything but the project's own errors, or read past the end."""

import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attestation import (
    Anchor,
    CertificationType,
    Collateral,
    EvidenceRefused,
    SgxReport,
    TdReport,
    fmspc_of,
    parse_quote,
    pck_lookup_of,
    verify,
)
from strongroom.attestation.certificates import parse_certificate, parse_pem_chain
from strongroom.attestation.codes import EvidenceCode, refusal
from strongroom.attestation.crl import parse_crl
from strongroom.attestation.identity import parse_identity
from strongroom.attestation.tcb_info import parse_tcb_info
from strongroom.errors import BadInput, StrongroomError
from strongroom.wire import Malformed
from strongroom.wire.der import DerReader

LITTLE_WORLD = Path(__file__).resolve().parents[1] / "unit" / "attestation" / "little_world.py"


@cache
def little_world():
    """Load the attestation tests' helper: in importlib mode it cannot be imported by name."""
    name = "strongroom_tests_little_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, LITTLE_WORLD)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@cache
def sound(version=3, body_type=1):
    """Return one sound quote with its collateral, anchor and time."""
    world = little_world().LittleWorld()
    world.become(version, body_type)
    return world.quote(), world.collateral(), Anchor.from_certificate(world.root_der()), world.now


KINDS = st.sampled_from([(3, 1), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3)])  # version and body type


@cache
def encoded(what):
    """Return one certificate or revocation list; made once, since signatures differ in length."""
    world = little_world().LittleWorld()
    if what == "crl":
        world.crls["pck"]["revoked"] = [1, 2, 2**150]
        return world.crl("pck")
    return world.certificate(what).public_bytes(little_world().serialization.Encoding.DER)


@st.composite
def mutations(draw, data):
    """Draw `data` with a few bytes changed, taken out, put in or cut off."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(out) - 1)))
        kind = draw(st.sampled_from(["set", "delete", "insert", "cut", "word"]))
        if kind == "set" and out:
            out[at] = draw(st.integers(0, 255))
        elif kind == "delete":
            del out[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            out[at:at] = draw(st.binary(min_size=1, max_size=40))
        elif kind == "cut":
            del out[at:]
        else:
            out[at : at + 4] = draw(st.sampled_from([0, 1, 2**16 - 1, 2**32 - 1])).to_bytes(4, "little")
    return bytes(out)


def only_typed(action, *arguments):
    try:
        return action(*arguments)
    except StrongroomError:
        return None


@given(st.binary(max_size=3000))
def test_ev_10_arbitrary_bytes_are_refused_typed_everywhere(data):
    for parse in (parse_quote, SgxReport.parse, TdReport.parse, parse_certificate, parse_tcb_info, parse_identity,
                  Anchor.from_certificate, Collateral.from_json):  # fmt: skip
        only_typed(parse, data)
    only_typed(lambda: parse_crl(data, what="CRL", error=Malformed))
    only_typed(lambda: parse_pem_chain(data, what="chain", error=Malformed))


@given(st.integers(3, 5), st.sampled_from([0, 0x81, 7]), st.binary(max_size=2000))
def test_ev_10_arbitrary_bytes_behind_any_header_are_refused_typed(version, tee_type, data):
    only_typed(parse_quote, little_world().header(version, tee_type) + data)


@given(st.data(), KINDS)
@settings(max_examples=4 * settings.default.max_examples)
def test_ev_10_a_changed_quote_is_refused_typed_or_unchanged_in_meaning(data, kind):
    quote, collateral, anchor, now = sound(*kind)
    changed = data.draw(mutations(quote))
    parsed = only_typed(parse_quote, changed)
    if parsed is not None:
        only_typed(pck_lookup_of, parsed)
        parsed.to_json_object()
    try:
        verdict = verify(changed, Collateral(**collateral), anchors=[anchor], at=now)
    except EvidenceRefused as refused:
        assert 1 <= refused.step <= 21
        return
    untouched = parse_quote(quote)
    assert changed.startswith(untouched.signed)
    assert verdict.body == untouched.body


PARTS = sorted(set(Collateral.__dataclass_fields__) - {"pck_certificate_chain", "pck_tcbm"})


@given(st.data(), st.sampled_from(PARTS))
@settings(max_examples=3 * settings.default.max_examples)
def test_ev_10_changed_collateral_is_refused_typed_or_changes_nothing(data, part):
    quote, collateral, anchor, now = sound()
    changed = data.draw(mutations(collateral[part].encode())).decode("latin-1")
    untouched = verify(quote, Collateral(**collateral), anchors=[anchor], at=now)
    try:
        verdict = verify(quote, Collateral(**(collateral | {part: changed})), anchors=[anchor], at=now)
    except EvidenceRefused:
        return
    assert (verdict.status, verdict.advisories, verdict.body) == (
        untouched.status,
        untouched.advisories,
        untouched.body,
    )
    if part in {"tcb_info", "qe_identity"}:
        assert changed == collateral[part]


@given(st.integers(1, 4), st.binary(max_size=600), st.binary(max_size=200), st.text(max_size=40))
def test_ev_06_any_chain_beside_any_certification_data_is_refused_typed(number, content, chain, tcbm):
    world = little_world().LittleWorld()
    world.cert_type, world.cert_data = number, content
    _, collateral, anchor, now = sound()
    beside = {"pck_certificate_chain": chain.decode("latin-1"), "pck_tcbm": tcbm}
    with pytest.raises(EvidenceRefused):
        verify(world.quote(), Collateral(**collateral, **beside), anchors=[anchor], at=now)


@given(st.data(), st.sampled_from(["leaf", "ca", "root", "signer"]))
@settings(max_examples=3 * settings.default.max_examples)
def test_ev_10_changed_certificates_are_read_or_refused_typed(data, role):
    certificate = only_typed(parse_certificate, data.draw(mutations(encoded(role))))
    assert certificate is None or len(certificate.point) == 65


@given(st.data())
@settings(max_examples=2 * settings.default.max_examples)
def test_ev_10_changed_revocation_lists_are_read_or_refused_typed(data):
    changed = data.draw(mutations(encoded("crl")))
    only_typed(lambda: parse_crl(changed, what="CRL", error=Malformed))


@given(st.data())
@settings(max_examples=2 * settings.default.max_examples)
def test_ev_09_a_changed_sgx_extension_is_refused_typed(data):
    world = little_world().LittleWorld()
    world.sgx_raw = data.draw(mutations(world.sgx_value()))
    quote = parse_quote(world.quote())
    try:
        fmspc_of(quote)
    except EvidenceRefused as refused:
        assert refused.reason == EvidenceCode.INVALID_PCK_CERT


@given(st.binary(max_size=200), st.sampled_from(["any", "integer", "boolean", "octets", "bits", "oid", "time"]))
def test_ev_09_der_is_read_or_refused_and_never_beyond_its_end(data, kind):
    class Own(BadInput):
        """The caller's kind of error."""

    reader = DerReader(data, error=Own)
    try:
        while not reader.at_end:
            getattr(reader, kind)("field")
    except Own:
        pass


@given(st.integers(0, 65535), st.binary(max_size=600))
def test_ev_06_certification_data_are_read_or_refused(number, content):
    world = little_world().LittleWorld()
    world.cert_type, world.cert_data = number, content
    quote = only_typed(parse_quote, world.quote())
    assert (quote is not None) == (number in set(CertificationType))
    if quote is not None:
        only_typed(quote.platform_ids)
        only_typed(fmspc_of, quote)


@given(st.binary(min_size=384, max_size=384))
def test_a_report_is_the_same_after_reading_and_writing(data):
    assert SgxReport.parse(data).to_bytes() == data


@given(st.one_of(st.binary(min_size=584, max_size=584), st.binary(min_size=648, max_size=648)))
def test_a_td_report_is_the_same_after_reading_and_writing(data):
    report = TdReport.parse(data)
    assert report.to_bytes() == data
    assert b"".join(map(bytes.fromhex, report.to_json_object().values())) == data


@given(st.text(), st.text())
def test_collateral_of_any_text_is_refused_typed(one, other):
    parts = dict.fromkeys(Collateral.__dataclass_fields__, one) | {"pck_crl": other}
    _, _, anchor, now = sound()
    with pytest.raises(EvidenceRefused):
        verify(sound()[0], Collateral(**parts), anchors=[anchor], at=now)
    assert Collateral.from_json(Collateral(**parts).to_json()) == Collateral(**parts)


def test_a_refusal_is_made_for_parsers_that_do_not_know_its_reason():
    refused = refusal(EvidenceCode.TCB_TYPE)("sentence")
    assert isinstance(refused, EvidenceRefused)
    assert refused.reason is EvidenceCode.TCB_TYPE
