"""Quotes that do not carry their PCK chain: what may stand in for it, and what it must have in common with them."""

import json
import struct

import pytest

from strongroom.attestation import (
    Anchor,
    Collateral,
    EvidenceCode,
    EvidenceRefused,
    TcbStatus,
    fmspc_of,
    parse_quote,
    pck_lookup_of,
    verify,
)

PPID_BYTES = {1: 16, 2: 256, 3: 384}
CPU_SVN = bytes([10] * 16)
PCE_SVN, PCE_ID = 13, bytes(2)
TCBM = CPU_SVN.hex() + "0d00"


def named(number, *, ppid=None, cpu_svn=CPU_SVN, pce_svn=PCE_SVN, pce_id=PCE_ID):
    """Return certification data of types 1 to 3 for the little world's platform."""
    plain = b"SIM" + bytes(13)
    ppid = ppid or (plain if number == 1 else b"\xee" * PPID_BYTES[number])
    return ppid + cpu_svn + struct.pack("<H", pce_svn) + pce_id


@pytest.fixture
def chain(world, lw):
    return "".join(lw.pem(world.certificate(role)) for role in ("leaf", "ca", "root"))


@pytest.fixture
def judged(world, chain):
    """Return a function that verifies a quote whose chain, and TCBm, are handed over with the collateral."""

    def judged(*, chain=chain, tcbm=TCBM):
        collateral = Collateral(**world.collateral(), pck_certificate_chain=chain, pck_tcbm=tcbm)
        again = Collateral.from_json(collateral.to_json())
        assert again == collateral
        return verify(world.quote(), again, anchors=[Anchor.from_certificate(world.root_der())], at=world.now)

    return judged


def refused(judge, code, step):
    with pytest.raises(EvidenceRefused) as caught:
        judge()
    assert (caught.value.reason, caught.value.step) == (EvidenceCode[code], step), caught.value.sentence


@pytest.fixture(params=[(3, 1), (4, 2)], ids=["SGX v3", "TDX v4"])
def version(request, world):
    return world.become(*request.param)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_ev_06_a_chain_for_the_named_tcb_stands_in(world, version, judged, number):
    world.cert_type, world.cert_data = number, named(number)
    verdict = judged()
    assert verdict.status is TcbStatus.UP_TO_DATE
    assert len(verdict.collateral_ids) == 11
    assert judged(tcbm=TCBM.upper()).status is TcbStatus.UP_TO_DATE


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("missing", ["chain", "tcbm"])
def test_ev_06_without_chain_or_tcbm_nothing_stands_in(world, judged, number, missing):
    world.cert_type, world.cert_data = number, named(number)
    for value in (None, "", "00"):
        if missing == "tcbm" or value != "00":
            refused(lambda value=value: judged(**{missing: value}), "CERT_TYPE_UNSUPPORTED", 1)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("change", [{"cpu_svn": bytes(16)}, {"pce_svn": 12}])
def test_ev_06_a_chain_found_for_another_tcb_is_refused(world, judged, number, change):
    """Once by what the service said (SGX-TCBm), once by what the certificate itself says."""
    world.cert_type, world.cert_data = number, named(number, **change)
    refused(judged, "CERT_TYPE_UNSUPPORTED", 1)
    tcbm = named(1, **change)[16:34].hex()
    refused(lambda: judged(tcbm=tcbm), "CERT_TYPE_UNSUPPORTED", 13)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_ev_06_a_chain_for_another_pceid_is_refused(world, judged, number):
    world.cert_type, world.cert_data = number, named(number, pce_id=b"\x01\x00")
    refused(judged, "CERT_TYPE_UNSUPPORTED", 13)


def test_ev_06_a_plain_ppid_is_the_certificates(world, judged):
    world.cert_type, world.cert_data = 1, named(1, ppid=b"\x01" * 16)
    refused(judged, "CERT_TYPE_UNSUPPORTED", 13)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("spoil", "code"), [(lambda data: data[:-1], "QUOTE_TRUNCATED"),
                                             (lambda data: data + b"\0", "AUTH_TRAILING")])  # fmt: skip
def test_ev_06_platform_ids_have_their_exact_size(world, judged, number, spoil, code):
    world.cert_type, world.cert_data = number, spoil(named(number))
    refused(judged, code, 1)


@pytest.mark.parametrize("form", ["PEM", "PEM with NUL", "DER"])
def test_ev_06_a_leaf_alone_needs_the_rest_of_its_chain(world, judged, lw, chain, form):
    leaf = world.certificate("leaf")
    pem = chain[: chain.index("-----BEGIN", 10)].encode()
    der = lw.x509.load_pem_x509_certificate(pem).public_bytes(lw.serialization.Encoding.DER)
    world.cert_type, world.cert_data = 4, {"PEM": pem, "PEM with NUL": pem + b"\0", "DER": der}[form]
    assert judged(tcbm=None).status is TcbStatus.UP_TO_DATE
    refused(lambda: judged(chain=None), "CERT_TYPE_UNSUPPORTED", 1)
    other = lw.pem(leaf).encode()  # the same certificate with another signature
    assert other != pem
    world.cert_data = other
    refused(judged, "PCK_CHAIN", 8)


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"-----BEGIN NONSENSE-----", b"\xff" * 600])
def test_ev_06_a_leaf_that_cannot_be_read_is_refused(world, judged, data):
    world.cert_type, world.cert_data = 4, data
    refused(judged, "PCK_CHAIN", 8)


def test_ev_06_two_certificates_are_not_a_leaf(world, judged, chain):
    world.cert_type, world.cert_data = 4, chain.encode()
    refused(judged, "PCK_CHAIN", 8)


def test_a_quote_with_its_own_chain_does_not_look_at_another(world, judged):
    assert judged(chain="!", tcbm="!").status is TcbStatus.UP_TO_DATE


def test_ev_07_a_chain_beside_the_quote_is_bounded(world, judged):
    refused(lambda: judged(chain=" " * (64 * 1024 + 1)), "TOO_LARGE", 1)


@pytest.mark.parametrize("number", [2, 3])
def test_what_a_service_has_to_know_is_taken_from_the_quote(world, number):
    world.cert_type, world.cert_data = number, named(number)
    world.header = world.header[:28] + bytes(range(20))
    quote = parse_quote(world.quote())
    lookup = pck_lookup_of(quote)
    assert lookup.encrypted_ppid == b"\xee" * PPID_BYTES[number]
    assert (lookup.cpu_svn, lookup.pce_svn, lookup.pce_id) == (CPU_SVN, PCE_SVN, PCE_ID)
    assert lookup.qe_id == bytes(range(16))
    assert quote.platform_ids().tcbm == TCBM


@pytest.mark.parametrize("number", [1, 4, 5])
def test_nothing_can_be_looked_up_by_the_other_types(world, number):
    world.cert_type = number
    world.cert_data = named(1) if number == 1 else None
    assert pck_lookup_of(parse_quote(world.quote())) is None


def test_the_platform_family_is_read_from_the_chain_beside_the_quote(world, chain):
    world.cert_type, world.cert_data = 3, named(3)
    assert fmspc_of(parse_quote(world.quote()), chain) == "F0A1B2C3D4E5"


def test_the_real_quote_of_type_3_names_its_platform(shared_vectors):
    index = json.loads((shared_vectors / "dcap" / "index.json").read_text(encoding="utf-8"))["vectors"]
    entry = next(entry for entry in index if entry["id"] == "parse-72a05bf6")
    quote = parse_quote((shared_vectors / "dcap" / entry["quote"]).read_bytes())
    lookup = pck_lookup_of(quote)
    assert (len(lookup.encrypted_ppid), lookup.pce_svn, lookup.pce_id) == (384, 12, bytes(2))
    assert lookup.qe_id == quote.user_data[:16]
