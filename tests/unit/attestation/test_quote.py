"""The structure of a quote: every length, every constant, nothing clamped, nothing left over."""

import struct

import pytest

from strongroom.attestation import (
    CertificationType,
    EvidenceCode,
    EvidenceRefused,
    SgxReport,
    TcbStatus,
    fmspc_of,
    parse_quote,
)

SIG_LEN = 432
AUTH_LEN = 436 + 576
CERT_LEN = AUTH_LEN + 2 + 32 + 2
SMALLEST = 1020


def refused(data, code, parse=parse_quote):
    with pytest.raises(EvidenceRefused) as caught:
        parse(data)
    assert caught.value.reason == EvidenceCode[code], caught.value.sentence


def patched(data, at, value):
    return data[:at] + value + data[at + len(value) :]


@pytest.fixture
def quote(world):
    return world.quote()


def test_a_quote_comes_apart_as_it_was_put_together(world, quote):
    parsed = parse_quote(quote)
    assert parsed.signed == quote[:432]
    assert parsed.body.to_bytes() == world.body
    assert parsed.qe_auth_data == world.qe_auth
    assert (parsed.qe_svn, parsed.pce_svn, parsed.version, parsed.tee) == (8, 13, 3, "SGX")
    assert parsed.certification_type is CertificationType.PCK_CHAIN
    assert parsed.trailing_len == 0
    assert fmspc_of(parsed) == "F0A1B2C3D4E5"


FIELDS = {"signature data": (SIG_LEN, 4), "QE authentication data": (AUTH_LEN, 2), "certification data": (CERT_LEN, 4)}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", ["-1", "+1", "0", "2^16-1", "2^32-1"])
def test_ev_01_a_length_that_is_not_the_true_one_is_refused(quote, field, change):
    at, size = FIELDS[field]
    true = int.from_bytes(quote[at : at + size], "little")
    wrong = {"-1": true - 1, "+1": true + 1, "0": 0, "2^16-1": 2**16 - 1, "2^32-1": 2**32 - 1}[change]
    with pytest.raises(EvidenceRefused) as caught:
        parse_quote(patched(quote, at, (wrong & (1 << 8 * size) - 1).to_bytes(size, "little")))
    assert caught.value.reason in {"QUOTE_TRUNCATED", "AUTH_TRAILING", "TRAILING_DATA", "CERT_TYPE"}


def test_ev_01_every_prefix_of_a_quote_is_truncated(world):
    world.cert_data, world.cert_type, world.qe_auth = b"", 1, b""
    quote = world.quote()
    assert len(quote) == SMALLEST
    assert parse_quote(quote).certification_data == b""
    for size in range(len(quote)):
        refused(quote[:size], "QUOTE_TRUNCATED")


@pytest.mark.parametrize(
    ("code", "at", "value"),
    [
        ("UNSUPPORTED_QUOTE_VERSION", 0, struct.pack("<H", 0)),
        ("UNSUPPORTED_QUOTE_VERSION", 0, struct.pack("<H", 2)),
        ("UNSUPPORTED_QUOTE_VERSION", 0, struct.pack("<H", 99)),
        ("UNSUPPORTED_TEE", 0, struct.pack("<HHI", 4, 2, 1)),
        ("UNSUPPORTED_TEE", 0, struct.pack("<HHI", 5, 2, 7)),
        ("UNSUPPORTED_TEE", 0, struct.pack("<HHI", 5, 2, 0x8100)),
        ("UNSUPPORTED_AK_TYPE", 2, struct.pack("<H", 3)),
        ("UNSUPPORTED_AK_TYPE", 2, struct.pack("<H", 0)),
        ("V3_NOT_SGX", 4, struct.pack("<I", 0x81)),
        ("V3_NOT_SGX", 4, struct.pack("<I", 1 << 31)),
        ("UNKNOWN_QE_VENDOR", 12, b"\x00"),
        ("UNKNOWN_QE_VENDOR", 27, b"\x08"),
    ],
)
def test_ev_02_the_header_says_what_is_verified_here(quote, code, at, value):
    refused(patched(quote, at, value), code)


@pytest.mark.parametrize("number", [0, 6, 7, 8, 65535])
def test_ev_04_certification_types_without_a_place_are_refused(world, number):
    world.cert_type = number
    refused(world.quote(), "CERT_TYPE")


def test_ev_04_junk_inside_the_signature_data_is_refused(world):
    world.auth_trailing = b"\0"
    refused(world.quote(), "AUTH_TRAILING")


@pytest.mark.parametrize("size", [1, 70, 3065, 8192])
def test_ev_05_zero_padding_is_accepted_and_reported(judge, world, size):
    world.padding = bytes(size)
    assert judge(world).trailing_len == size


@pytest.mark.parametrize("padding", [b"\x01", bytes(63) + b"\x01", b"\xff" * 9, bytes(8193)])
def test_ev_05_other_bytes_behind_the_quote_are_refused(world, padding):
    world.padding = padding
    refused(world.quote(), "TRAILING_DATA")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_ev_06_only_a_chain_passes_as_a_chain(judge, world, number):
    world.cert_type = number
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == EvidenceCode.CERT_TYPE_UNSUPPORTED
    with pytest.raises(EvidenceRefused) as caught:
        fmspc_of(parse_quote(world.quote()))
    assert caught.value.reason == EvidenceCode.CERT_TYPE_UNSUPPORTED


@pytest.mark.parametrize(("number", "size"), [(1, 16), (2, 256), (3, 384)])
def test_ev_06_platform_ids_are_parsed_with_their_exact_sizes(world, number, size):
    data = bytes([0xAB]) * size + bytes(range(16)) + struct.pack("<H", 13) + b"\x01\x02"
    world.cert_type, world.cert_data = number, data
    ids = parse_quote(world.quote()).platform_ids()
    assert (len(ids.ppid), ids.encrypted, ids.pce_svn, ids.pce_id) == (size, number != 1, 13, b"\x01\x02")
    for code, wrong in (("QUOTE_TRUNCATED", data[:-1]), ("AUTH_TRAILING", data + b"\0")):
        world.cert_data = wrong
        refused(world.quote(), code, parse=lambda quote: parse_quote(quote).platform_ids())


def test_ev_06_a_chain_holds_no_platform_ids(quote):
    refused(quote, "CERT_TYPE_UNSUPPORTED", parse=lambda data: parse_quote(data).platform_ids())


def test_ev_07_too_many_bytes_are_refused_before_they_are_read():
    refused(b"\x03\x00" + bytes(64 * 1024), "TOO_LARGE")


def test_ev_07_a_chain_has_at_most_sixteen_certificates(judge, world, lw):
    world.cert_data = lw.pem(world.certificate("leaf")).encode() * 17
    with pytest.raises(EvidenceRefused, match="more than 16") as caught:
        judge(world)
    assert caught.value.reason == EvidenceCode.PCK_CHAIN


@pytest.mark.parametrize(
    "spoil",
    [
        lambda chain: chain.replace(b"-----BEGIN", b"junk\n-----BEGIN", 2),
        lambda chain: chain.replace(b"CERTIFICATE", b"X509 CRL"),
        lambda chain: chain.replace(b"-----END CERTIFICATE-----", b"-----END CERTIFICATE----", 1),
        lambda chain: chain + b"junk",
        lambda chain: b"\n\0" + chain,
        lambda chain: chain.replace(b"MII", b"M!!", 1),
        lambda chain: chain.replace(b"MII", b"MI", 1),
        lambda chain: chain.replace(b"\n", b"", 1),
    ],
)
def test_ev_09_anything_but_clean_pem_is_refused(judge, world, lw, spoil):
    chain = "".join(lw.pem(world.certificate(role)) for role in ("leaf", "ca", "root")).encode()
    world.cert_data = spoil(chain)
    assert world.cert_data != chain
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == EvidenceCode.PCK_CHAIN


@pytest.mark.parametrize("nuls", [b"", b"\0", b"\0\0\0"])
def test_ev_09_a_chain_may_end_in_nul(judge, world, lw, nuls):
    world.cert_data = "".join(lw.pem(world.certificate(role)) for role in ("leaf", "ca", "root")).encode() + nuls
    assert judge(world).status is TcbStatus.UP_TO_DATE


def test_ev_10_things_that_are_no_quote_are_refused_typed():
    for data in (b"", b"\0", b"{}", b"-----BEGIN CERTIFICATE-----", bytes(1020), b"\xff" * 5000):
        with pytest.raises(EvidenceRefused):
            parse_quote(data)


def test_a_view_of_bytes_reads_like_bytes(quote):
    assert parse_quote(memoryview(quote)) == parse_quote(quote)


def test_what_a_quote_says_of_itself_is_named_as_in_the_vectors(quote):
    fields = parse_quote(quote).to_json_object()
    assert fields["quote_version"] == 3
    assert fields["body"]["debug"] is False
    assert fields["body"]["isv_svn"] == 7


def test_a_report_is_384_bytes_exactly(lw):
    for size in (0, 383, 385):
        refused(bytes(size), "QUOTE_TRUNCATED", parse=SgxReport.parse)
