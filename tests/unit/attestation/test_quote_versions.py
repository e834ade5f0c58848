"""Quotes of versions 4 and 5, SGX and TDX: what is nested, what is declared, what has to agree."""

import struct

import pytest

from strongroom.attestation import BodyType, EvidenceCode, EvidenceRefused, TcbStatus, Tee, parse_quote

# version, body type, where the length of the signature data stands
KINDS = {
    "SGX v3": (3, 1, 432),
    "SGX v4": (4, 1, 432),
    "TDX v4": (4, 2, 632),
    "SGX v5": (5, 1, 438),
    "TD 1.0 in v5": (5, 2, 638),
    "TD 1.5 in v5": (5, 3, 702),
}
NESTED = [kind for kind in KINDS if kind != "SGX v3"]


def refused(data, *codes):
    with pytest.raises(EvidenceRefused) as caught:
        parse_quote(data)
    assert caught.value.reason in {EvidenceCode[code] for code in codes}, caught.value.sentence


def patched(data, at, value):
    return data[:at] + value + data[at + len(value) :]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def made(world, kind):
    version, body_type, _ = KINDS[kind]
    return world.become(version, body_type)


def test_a_quote_of_each_kind_comes_apart_and_holds(judge, made, kind):
    version, body_type, auth = KINDS[kind]
    quote = made.quote()
    parsed = parse_quote(quote)
    assert (parsed.version, parsed.body_type) == (version, BodyType(body_type))
    assert parsed.tee is (Tee.SGX if body_type == 1 else Tee.TDX)
    assert parsed.signed == quote[:auth]
    assert parsed.body.to_bytes() == made.body
    verdict = judge(made)
    assert (verdict.status, verdict.body_type, verdict.quote_version) == (TcbStatus.UP_TO_DATE, body_type, version)
    assert verdict.to_json_object()["body_type"] == body_type


def test_ev_01_every_prefix_of_a_quote_is_truncated(made, kind):
    made.cert_data, made.cert_type, made.qe_auth = b"", 1, b""
    quote = made.quote()
    parse_quote(quote)
    for size in range(len(quote)):
        refused(quote[:size], "QUOTE_TRUNCATED")


@pytest.mark.parametrize("change", ["-1", "+1", "0", "2^16-1", "2^32-1"])
def test_ev_01_a_length_that_is_not_the_true_one_is_refused(made, kind, change):
    auth = KINDS[kind][2]
    inner = auth + 4 + 128 + (0 if kind == "SGX v3" else 6)
    fields = [(auth, 4), (inner + 448, 2), (inner + 450 + 32 + 2, 4)]
    fields += [] if kind == "SGX v3" else [(inner - 4, 4)]
    quote = made.quote()
    for at, size in fields:
        true = int.from_bytes(quote[at : at + size], "little")
        wrong = {"-1": true - 1, "+1": true + 1, "0": 0, "2^16-1": 2**16 - 1, "2^32-1": 2**32 - 1}[change]
        changed = patched(quote, at, (wrong & (1 << 8 * size) - 1).to_bytes(size, "little"))
        refused(changed, "QUOTE_TRUNCATED", "AUTH_TRAILING", "TRAILING_DATA", "CERT_TYPE")


@pytest.mark.parametrize("trailing", [b"\0", b"\1" * 9])
def test_ev_04_junk_inside_the_signature_data_is_refused(made, kind, trailing):
    made.auth_trailing = trailing
    refused(made.quote(), "AUTH_TRAILING")
    if kind != "SGX v3":
        made.auth_trailing, made.outer_trailing = b"", trailing
        refused(made.quote(), "AUTH_TRAILING")


@pytest.mark.parametrize("number", [0, 6, 7, 8, 65535])
def test_ev_04_certification_types_without_a_place_are_refused(made, kind, number):
    made.cert_type = number
    refused(made.quote(), "CERT_TYPE")


@pytest.mark.parametrize("size", [1, 70, 3065, 8192])
def test_ev_05_zero_padding_is_accepted_and_reported(judge, made, kind, size):
    made.padding = bytes(size)
    assert judge(made).trailing_len == size
    made.padding = bytes(size - 1) + b"\x01"
    refused(made.quote(), "TRAILING_DATA")
    made.padding = bytes(8193)
    refused(made.quote(), "TRAILING_DATA")


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 7, 65535])
@pytest.mark.parametrize("kind", NESTED, indirect=True)
def test_ev_04_the_outer_certification_data_are_of_type_6(made, kind, number):
    made.outer_type = number
    refused(made.quote(), "V4_CERT_TYPE")


@pytest.mark.parametrize("kind", ["SGX v5", "TD 1.0 in v5", "TD 1.5 in v5"], indirect=True)
@pytest.mark.parametrize("number", [0, 4, 5, 0x81, 65535])
def test_ev_03_body_types_that_are_not_verified_are_refused(made, kind, number):
    made.body_head = struct.pack("<HI", number, 885 if number == 4 else len(made.body))
    refused(made.quote(), "UNSUPPORTED_BODY_TYPE")


@pytest.mark.parametrize(("tee", "number"), [(0, 2), (0, 3), (0x81, 1)])
def test_ev_03_body_and_header_speak_of_one_tee(world, lw, tee, number):
    world.become(5, number)
    world.header = lw.header(5, tee)
    refused(world.quote(), "BODY_TEE_MISMATCH")


@pytest.mark.parametrize("kind", ["SGX v5", "TD 1.0 in v5", "TD 1.5 in v5"], indirect=True)
@pytest.mark.parametrize("wrong", [-1, 1, 64, 2**32 - 1])
def test_ev_03_the_size_of_the_body_is_that_of_its_type(made, kind, wrong):
    number = KINDS[kind][1]
    made.body_head = struct.pack("<HI", number, wrong if wrong > 2**16 else len(made.body) + wrong)
    refused(made.quote(), "BODY_SIZE")


@pytest.mark.parametrize("kind", ["SGX v5", "TD 1.0 in v5", "TD 1.5 in v5"], indirect=True)
def test_sc_06_the_type_and_size_of_the_body_are_signed(judge, made, kind):
    """In version 5 the signature covers the six bytes between header and body."""
    sound = made.quote()
    made.body_head, head = b"", made.body_head
    unsigned = made.quote()
    signature = unsigned[KINDS[kind][2] - 6 + 4 :][:64]
    made.body_head = head
    made.quote = lambda: patched(sound, KINDS[kind][2] + 4, signature)
    with pytest.raises(EvidenceRefused) as caught:
        judge(made)
    assert caught.value.reason == "INVALID_QUOTE_SIGNATURE"


def test_a_file_that_is_no_quote_is_named_so_and_not_called_tampered(made):
    for other in (made.quote().hex().encode(), b'{"quote": "AwACAAAAAAAJAA4Ak5pyM"}' * 20):
        with pytest.raises(EvidenceRefused) as caught:
            parse_quote(other)
        assert caught.value.reason == EvidenceCode.UNSUPPORTED_QUOTE_VERSION
        assert caught.value.family == "refused"
        assert "not JSON, hex, base64" in caught.value.fix
