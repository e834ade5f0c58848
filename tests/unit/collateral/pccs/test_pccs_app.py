"""The application: statuses and headers as Intel's, constant refusals, limits, and a log without secrets."""

import logging
import threading

import pytest

from strongroom.collateral import pccs
from strongroom.collateral.api import Answer, BadCollateralRequest, Request, decode_chain
from strongroom.collateral.assemble import BadAnswer
from strongroom.collateral.client import SourceFailed

ROOT_CRL = "/sgx/certification/v4/rootcacrl"
PPID = "AB" * 384
SECRET_TEXT = "could not open /var/lib/secret-place"


class Scripted:
    """A backend that answers what it is told, or raises it."""

    def __init__(self, answer):
        self.told = answer

    def answer(self, _request: Request):
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


def test_an_answer_carries_chain_media_type_and_request_id(simulated, world, ask):
    app = pccs.make_app(simulated)
    reply = ask(app, "GET", f"/tdx/certification/v4/tcb?fmspc={world.fmspc}&update=standard")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    chain = decode_chain(reply.headers["tcb-info-issuer-chain"])
    assert chain == world.signers.tcb_signer.pem + world.signers.root.pem
    assert len(reply.headers["request-id"]) == 32
    assert ask(app, "GET", ROOT_CRL).headers["request-id"] != reply.headers["request-id"]


def test_the_header_of_version_3_has_its_old_name_whatever_the_backend_calls_it(ask):
    held = Answer(status=200, headers={"TCB-Info-Issuer-Chain": "-----BEGIN%20X"}, body=b"{}")
    reply = ask(pccs.make_app(Scripted(held)), "GET", "/sgx/certification/v3/tcb?fmspc=00906ED50000")
    assert reply.headers["sgx-tcb-info-issuer-chain"] == "-----BEGIN%20X"
    assert "tcb-info-issuer-chain" not in reply.headers


def test_nothing_else_of_a_backends_headers_gets_out(ask):
    headers = {"Warning": '299 - "old"', "Server": "inner", "Set-Cookie": "a=b", "X-Path": "/var",
               "Content-Type": "x/y", "Error-Message": SECRET_TEXT, "SGX-FMSPC": "x" * 300,
               "SGX-TCBm": "line\nbreak"}  # fmt: skip
    reply = ask(pccs.make_app(Scripted(Answer(status=200, headers=headers, body=b"00"))), "GET", ROOT_CRL)
    assert reply.headers["warning"] == '299 - "old"'
    assert set(reply.headers) == {"warning", "content-type", "content-length", "request-id"}
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("told", "status", "name"),
    [
        (None, 404, "NotFound"),
        (Answer(status=404), 404, "NotFound"),
        (Answer(status=410), 410, "Gone"),
        (Answer(status=429), 429, "TooManyRequests"),
        (Answer(status=500, body=SECRET_TEXT.encode()), 503, "ServiceUnavailable"),
        (SourceFailed(SECRET_TEXT), 503, "ServiceUnavailable"),
        (BadAnswer(SECRET_TEXT, fix=SECRET_TEXT), 500, "InternalError"),
        (RuntimeError(SECRET_TEXT), 500, "InternalError"),
        (OSError(13, "Permission denied", "/var/lib/secret-place"), 500, "InternalError"),
    ],
)
def test_failures_say_their_kind_and_nothing_of_the_inside(ask, told, status, name):
    reply = ask(pccs.make_app(Scripted(told)), "GET", ROOT_CRL)
    assert (reply.status, reply.headers["error-code"]) == (status, name)
    assert b"secret-place" not in reply.body
    assert "secret-place" not in str(reply.headers)
    assert ("retry-after" in reply.headers) == (status in {429, 503})


@pytest.mark.parametrize(
    "target",
    [
        "/sgx/certification/v4/tcb",
        "/sgx/certification/v4/tcb?fmspc=1",
        "/sgx/certification/v4/tcb?fmspc=00906ED50000&fmspc=00906ED50000",
        "/sgx/certification/v4/tcb?fmspc=00906ED50000&update=never",
        "/sgx/certification/v4/tcb?fmspc=00906ED50000&update=early&tcbEvaluationDataNumber=17",
        "/sgx/certification/v4/tcb?fmspc=00906ED50000&more=1",
        "/tdx/certification/v4/pckcrl?ca=platform",
        "/tdx/certification/v3/tcb?fmspc=00906ED50000",
        "/sgx/certification/v4/pckcrl?ca=root",
        "/sgx/certification/v4/pckcert?qeid=00",
        "/sgx/certification/v4/crl?uri=file%3A%2F%2F%2Fetc%2Fpasswd",
        "/sgx/certification/v4/tcb?" + "a" * 5000,
    ],
)
def test_requests_that_do_not_fit_are_refused_alike(simulated, ask, target):
    reply = ask(pccs.make_app(simulated), "GET", target)
    assert reply.status == 400
    assert reply.body == b"The request does not fit the certification API."
    with pytest.raises(BadCollateralRequest):
        Request.parse(*target.partition("?")[::2])


@pytest.mark.parametrize(
    "target",
    ["/", "/sgx/certification/v5/tcb", "/sgx/certification/v4/", "/sgx/certification/v4/../../etc", "/docs",
     "/sgx/certification/v4/platforms", "/sgx/certification/v4/appraisalpolicy", "/sgx/certification/v4/TCB"],
)  # fmt: skip
def test_other_paths_lead_nowhere(simulated, ask, target):
    assert ask(pccs.make_app(simulated), "GET", target).status in {400, 404}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_served(simulated, ask, method):
    assert ask(pccs.make_app(simulated), method, ROOT_CRL).status == 405


def test_pl_07_the_log_has_the_reason_and_no_machine_and_no_token(simulated, world, ask, caplog):
    caplog.set_level(logging.INFO)
    app = pccs.make_app(pccs.InOrder([simulated, Scripted(SourceFailed(SECRET_TEXT))]))
    target = f"/sgx/certification/v4/pckcert?encrypted_ppid={PPID}&cpusvn={'0' * 32}&pcesvn=0000&pceid=0000"
    reply = ask(app, "GET", target, {"admin-token": "hush-hush", "Ocp-Apim-Subscription-Key": "hush-hush"})
    ask(app, "GET", f"/sgx/certification/v4/tcb?fmspc={world.fmspc}&update=early")
    ask(app, "GET", "/x%0d%0aforged line\x1b[31m")
    assert reply.status == 503
    assert SECRET_TEXT in caplog.text
    assert f"{reply.headers['request-id']} 127.0.0.1 GET /sgx/certification/v4/pckcert -> 503" in caplog.text
    assert f"tcb?fmspc={world.fmspc}&update=early -> 200" in caplog.text
    assert PPID not in caplog.text
    assert "hush-hush" not in caplog.text
    assert all("\n" not in record.message and "\x1b" not in record.message for record in caplog.records)


def test_a_backend_that_never_answers_is_given_up(ask):
    asked = threading.Event()
    release = threading.Event()

    class Silent:
        def answer(self, _request):
            asked.set()
            release.wait(30)

    try:
        reply = ask(pccs.make_app(Silent(), limits=pccs.AppLimits(answer_s=0.05)), "GET", ROOT_CRL)
    finally:
        release.set()
    assert asked.is_set()
    assert (reply.status, reply.headers["error-code"]) == (503, "ServiceUnavailable")


def test_in_order_the_first_who_has_it_answers_and_trouble_counts_only_where_nobody_has_it(simulated, get):
    trouble, gone, nothing = Scripted(SourceFailed("down")), Scripted(Answer(status=410)), Scripted(None)
    assert get(pccs.InOrder([nothing, trouble, gone, simulated]), ROOT_CRL).status == 200
    assert get(pccs.InOrder([nothing, gone]), ROOT_CRL).status == 410
    assert get(pccs.InOrder([nothing]), ROOT_CRL) is None
    with pytest.raises(SourceFailed):
        get(pccs.InOrder([gone, trouble]), ROOT_CRL)


def test_head_is_answered_without_a_body_being_needed(simulated, ask):
    assert ask(pccs.make_app(simulated), "HEAD", ROOT_CRL).status == 200
