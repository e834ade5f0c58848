"""The certification API as values: what may be asked, in its one spelling, and what is refused."""

import pytest

from strongroom.attestation import Tee
from strongroom.collateral.api import (
    MAX_CHAIN_HEADER_BYTES,
    MAX_QUERY_BYTES,
    Answer,
    BadCollateralRequest,
    Kind,
    Request,
    chain_headers,
    content_type,
    decode_chain,
    encode_chain,
)

PCK = {"encrypted_ppid": "AB" * 384, "cpusvn": "01" * 16, "pcesvn": "0D00", "pceid": "0000"}
SOUND = [
    Request(kind=Kind.TCB, parameters={"fmspc": "00906ed50000"}),
    Request(kind=Kind.TCB, version=3, parameters={"fmspc": "00906ED50000", "update": "early"}),
    Request(kind=Kind.TCB, tee=Tee.TDX, parameters={"fmspc": "00806F050000", "tcbEvaluationDataNumber": "017"}),
    Request(kind=Kind.QE_IDENTITY, tee=Tee.TDX),
    Request(kind=Kind.QVE_IDENTITY),
    Request(kind=Kind.QAE_IDENTITY, parameters={"update": "standard"}),
    Request(kind=Kind.PCK_CRL, parameters={"ca": "platform", "encoding": "der"}),
    Request(kind=Kind.ROOT_CRL),
    Request(kind=Kind.PCK_CERT, parameters=PCK),
    Request(kind=Kind.PCK_CERT, parameters={**PCK, "qeid": "0F" * 16}),
    Request(kind=Kind.PCK_CERTS, parameters={"encrypted_ppid": "00" * 384, "pceid": "0000"}),
    Request(kind=Kind.FMSPCS, parameters={"platform": "E5"}),
    Request(kind=Kind.TCB_EVAL_NUMBERS, tee=Tee.TDX),
    Request(kind=Kind.CRL, parameters={"uri": "https://example.org/a b.crl".replace(" ", "%20")}),
]


@pytest.mark.parametrize("request_", SOUND, ids=lambda each: each.path_and_query()[:60])
def test_what_is_asked_is_read_back_as_the_same_request(request_):
    path, _, query = request_.path_and_query().partition("?")
    again = Request.parse(path, query)
    assert again == request_
    assert again.path_and_query() == request_.path_and_query()
    assert hash(again) == hash(request_)


def test_a_target_has_one_spelling():
    shouted = Request.parse("/sgx/certification/v4/tcb", "update=early&fmspc=00906ed50000")
    assert shouted.path_and_query() == "/sgx/certification/v4/tcb?fmspc=00906ED50000&update=early"


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/sgx/certification/v4/nothing", "", "nothing at"),
        ("/sgx/certification/v5/tcb", "fmspc=00906ED50000", "nothing at"),
        ("/sgx/certification/v4/tcb/", "fmspc=00906ED50000", "nothing at"),
        ("/sgx/certification/v4/tcb", "", "needs fmspc"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED5000", "12 hex digits"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED5000G", "12 hex digits"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED50000&fmspc=00906ED50000", "given twice"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED50000&color=red", "no parameter 'color'"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED50000&update=late", "wanted standard or early"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED50000&update=early&tcbEvaluationDataNumber=17", "exclude"),
        ("/sgx/certification/v4/tcb", "fmspc=00906ED50000&tcbEvaluationDataNumber=-1", "wanted a number"),
        ("/sgx/certification/v3/tcb", "fmspc=00906ED50000&tcbEvaluationDataNumber=17", "version 3"),
        ("/tdx/certification/v3/tcb", "fmspc=00806F050000", "version 3"),
        ("/sgx/certification/v3/fmspcs", "", "version 3"),
        ("/tdx/certification/v4/pckcrl", "ca=platform", "below /sgx/ only"),
        ("/tdx/certification/v4/qve/identity", "", "below /sgx/ only"),
        ("/sgx/certification/v4/pckcrl", "ca=root", "processor or platform"),
        ("/sgx/certification/v4/pckcert", "cpusvn=" + "0" * 32 + "&pcesvn=0000&pceid=0000", "encrypted_ppid or qeid"),
        ("/sgx/certification/v4/crl", "uri=file:///etc/passwd", "http or https"),
        ("/sgx/certification/v4/crl", "uri=http://[::1", "http or https"),
        ("/sgx/certification/v4/crl", "uri=http:///etc", "http or https"),
        ("/sgx/certification/v4/qe/identity", "x" * (MAX_QUERY_BYTES + 1), "at most"),
        ("/sgx/certification/v4/qe/identity", "update", "cannot be read"),
        ("/sgx/certification/v4/qe/identity", "update=%ff", "cannot be read"),
        ("/sgx/certification/v4/qe/identity", "&".join(f"a{n}=1" for n in range(20)), "cannot be read"),
    ],
)
def test_what_is_no_request_is_refused(path, query, words):
    with pytest.raises(BadCollateralRequest, match=words) as refused:
        Request.parse(path, query)
    assert refused.value.code == "SR-COLLATERAL-REQUEST"


def test_parameters_of_a_cloud_are_left_aside_where_the_server_says_so():
    read = Request.parse("/sgx/certification/v4/qe/identity", "clientid=x", ignored=frozenset({"clientid"}))
    assert read == Request(kind=Kind.QE_IDENTITY)


def test_headers_are_found_whatever_their_case():
    answer = Answer(status=200, headers={"tcb-info-ISSUER-chain": "x"})
    assert answer.header(*chain_headers(Kind.TCB, 4)) == "x"
    assert answer.header("Other") is None


def test_version_3_names_the_chain_of_tcb_info_after_sgx():
    assert chain_headers(Kind.TCB, 3)[0] == "SGX-TCB-Info-Issuer-Chain"
    assert chain_headers(Kind.TCB, 4)[0] == "TCB-Info-Issuer-Chain"
    assert chain_headers(Kind.ROOT_CRL, 4) == ()


def test_kinds_have_the_media_types_of_intel():
    assert content_type(Kind.TCB) == "application/json"
    assert content_type(Kind.PCK_CERT) == "application/x-pem-file"
    assert content_type(Kind.ROOT_CRL) == "application/pkix-crl"


def test_a_chain_survives_its_header():
    pem = "-----BEGIN CERTIFICATE-----\nMII+/=\n-----END CERTIFICATE-----\n"
    assert decode_chain(encode_chain(pem)) == pem
    assert decode_chain(pem) == pem, "some servers do not encode it"


@pytest.mark.parametrize("value", ["%ff", "x" * (MAX_CHAIN_HEADER_BYTES + 1)])
def test_a_header_that_is_no_chain_is_refused(value):
    with pytest.raises(BadCollateralRequest):
        decode_chain(value)
