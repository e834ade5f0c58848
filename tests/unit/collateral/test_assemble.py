"""From answers to the nine strings: sliced byte for byte, whatever form headers and revocation lists come in."""

import json
from urllib.parse import quote

import pytest

from strongroom.attestation import Tee
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import BadAnswer, crl_der, issuer_chain, signed_json

TCB = Request(kind=Kind.TCB, parameters={"fmspc": "00906ED50000"})
CRL = Request(kind=Kind.PCK_CRL, parameters={"ca": "processor"})
SIGNATURE = "ab" * 64


def answer(body: bytes, **headers: str) -> Answer:
    return Answer(status=200, headers={"TCB-Info-Issuer-Chain": "chain"} | headers, body=body)


def recorded_answer(recorded, target: str) -> Answer:
    status, headers, body = recorded[target]
    return Answer(status=status, headers=headers, body=body)


def test_the_signed_text_is_sliced_as_served(recorded):
    target = "/sgx/certification/v4/tcb?fmspc=00906ED50000"
    found = signed_json(TCB, recorded_answer(recorded, target))
    body = recorded[target][2].decode()
    assert body == f'{{"tcbInfo":{found.text},"signature":"{found.signature}"}}'
    assert found.chain.startswith("-----BEGIN CERTIFICATE-----\n")


@pytest.mark.parametrize(
    "body",
    [
        f'{{"tcbInfo":{{"a": 1, "b":"}}"}},"signature":"{SIGNATURE}"}}',
        f'{{"signature":"{SIGNATURE}","tcbInfo":{{"a": 1, "b":"}}"}}}}',
        f' {{ "more" : [1,{{}}] , "tcbInfo"\n:\t{{"a": 1, "b":"}}"}} , "signature" : "{SIGNATURE}" }} \n',
    ],
)
def test_order_and_blanks_around_the_signed_value_do_not_matter(body):
    assert signed_json(TCB, answer(body.encode())).text == '{"a": 1, "b":"}"}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"nothing",
        b'{"tcbInfo":{}}',
        b'{"tcbInfo":{},"signature":1}',
        b'{"tcbInfo":{},"signature":"abc"}',
        b'{"tcbInfo":[],"signature":"%s"}' % SIGNATURE.encode(),
        b'{"tcbInfo":{},"tcbInfo":{},"signature":"%s"}' % SIGNATURE.encode(),
        b'{"tcbInfo":{},"signature":"%s"} x' % SIGNATURE.encode(),
        b'{"tcbInfo":{"a":NaN},"signature":"%s"}' % SIGNATURE.encode(),
        b'{"enclaveIdentity":{},"signature":"%s"}' % SIGNATURE.encode(),
        b"[" * 100000,
        b"\xff\xfe",
    ],
)
def test_a_body_of_another_shape_is_refused(body):
    with pytest.raises(BadAnswer) as refused:
        signed_json(TCB, answer(body))
    assert refused.value.code == "SR-COLLATERAL-ANSWER"


def test_an_answer_without_its_chain_is_refused():
    body = f'{{"tcbInfo":{{}},"signature":"{SIGNATURE}"}}'.encode()
    with pytest.raises(BadAnswer, match="no header TCB-Info-Issuer-Chain"):
        signed_json(TCB, Answer(status=200, body=body))
    with pytest.raises(BadAnswer, match="not ASCII"):
        signed_json(TCB, Answer(status=200, headers={"TCB-Info-Issuer-Chain": "%ff"}, body=body))


def test_old_names_other_cases_and_plain_pem_are_understood():
    identity = Request(kind=Kind.QE_IDENTITY)
    for name in ("SGX-Enclave-Identity-Issuer-Chain", "sgx-qe-identity-issuer-chain"):
        for value in (quote("PEM+\n", safe=""), "PEM+\n"):
            assert issuer_chain(identity, Answer(status=200, headers={name: value})) == "PEM+\n"
    old = Answer(status=200, headers={"SGX-TCB-Info-Issuer-Chain": "x"})
    assert issuer_chain(Request(kind=Kind.TCB, parameters=TCB.parameters, version=4), old) == "x"


def test_a_revocation_list_may_come_as_der_pem_or_hex(recorded):
    der = crl_der(CRL, recorded_answer(recorded, "/sgx/certification/v4/pckcrl?ca=processor&encoding=der"))
    pem = recorded_answer(recorded, "/sgx/certification/v4/pckcrl?ca=processor")
    assert der[0] == 0x30
    assert crl_der(CRL, Answer(status=200, body=der.hex().encode())) == der
    assert crl_der(CRL, Answer(status=200, body=b"\n" + der.hex().upper().encode() + b"\r\n")) == der
    assert crl_der(CRL, pem)[0] == 0x30
    assert crl_der(CRL, Answer(status=200, body=pem.body.replace(b"\n", b"\r\n"))) == crl_der(CRL, pem)


@pytest.mark.parametrize("body", [b"", b"abc", b"no list", b"-----BEGIN X509 CRL-----\nA\n-----END X509 CRL-----\n"])
def test_what_is_no_revocation_list_is_refused(body):
    with pytest.raises(BadAnswer):
        crl_der(CRL, Answer(status=200, body=body))


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        ("/tdx/certification/v4/tcb?fmspc=00806F050000", Request(
            kind=Kind.TCB, tee=Tee.TDX, parameters={"fmspc": "00806F050000"})),
        ("/sgx/certification/v3/tcb?fmspc=00906ED50000", TCB),
        ("/sgx/certification/v3/qe/identity", Request(kind=Kind.QE_IDENTITY)),
        ("/sgx/certification/v4/tcbevaluationdatanumbers", Request(kind=Kind.TCB_EVAL_NUMBERS)),
    ],
)  # fmt: skip
def test_every_recorded_signed_answer_is_read(recorded, target, request_):
    found = signed_json(request_, recorded_answer(recorded, target))
    assert json.loads(found.text)["issueDate"].startswith("2025-05-27")
