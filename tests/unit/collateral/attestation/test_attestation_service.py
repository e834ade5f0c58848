"""The client of attestation services: which addresses it asks, and what it makes of services that misbehave."""

import json
import select
import socket
import threading
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from strongroom.attestation import Tee
from strongroom.attestation.tokens import ITA, MAA
from strongroom.collateral.attestation_service import (
    AttestationService,
    ServiceAddress,
    ServiceAddressUnusable,
    ServiceRefused,
    ServiceUnreachable,
)
from strongroom.secret import Secret


@pytest.mark.parametrize(
    "url",
    ["https://sharedcus.cus.attest.azure.net", "https://sharedcus.cus.attest.azure.net/", "http://127.0.0.1:1234",
     "http://localhost:1", "http://[::1]:8080", "https://proxy.example:8443/maa"],
)  # fmt: skip
def test_https_and_this_machine_may_be_asked(url):
    address = ServiceAddress.of(url)
    assert address.key_set_url == f"{url.rstrip('/')}/certs"


def test_keys_may_be_published_elsewhere():
    address = ServiceAddress.of("https://api.example", key_set_url="https://portal.example/certs/")
    assert address.key_set_url == "https://portal.example/certs"


@pytest.mark.parametrize(
    "url",
    ["", "sharedcus.cus.attest.azure.net", "http://sharedcus.cus.attest.azure.net", "http://127.0.0.1.evil.example",
     "ftp://127.0.0.1", "file:///etc/passwd", "https://", "https://user:pw@host", "https://host/?a=b", "https://host/#x",
     "https://host/?", "https://ho st", "https://host\n", "https://h\u00f6st", "https://host:99999", "https://[::1",
     "https://" + "a" * 600],
)  # fmt: skip
def test_other_addresses_are_refused(url):
    with pytest.raises(ServiceAddressUnusable) as caught:
        ServiceAddress.of(url)
    assert caught.value.code == "SR-ATTESTATION-SERVICE-ADDRESS"


@pytest.fixture
def asked(serving):
    """Ask a service that answers with `answer` for a token; return the token."""

    def ask(answer, *, profile=MAA, **options):
        async def handler(request):
            return await answer(request)

        paths = ("/attest/SgxEnclave", "/attest/TdxVm", "/appraisal/v1/attest")
        application = Starlette(routes=[Route(path, handler, methods=["POST"]) for path in paths])
        with serving(lambda _: application) as url:
            service = AttestationService(profile, ServiceAddress.of(url), **options)
            return service.attest(b"quote", tee=Tee.SGX, bound=b"key")

    return ask


def answering(*arguments, **options):
    async def answer(_):
        return Response(*arguments, **options)

    return answer


def test_requests_are_as_each_service_documents_them(asked):
    seen = []

    async def answer(request):
        seen.append((request.url.path, request.url.query, await request.json(), request.headers.get("x-api-key")))
        return PlainTextResponse('{"token": "a.b.c"}')

    assert asked(answer) == b"a.b.c"
    assert asked(answer, profile=ITA, api_key=Secret(b"k-1")) == b"a.b.c"
    runtime = {"data": "a2V5", "dataType": "Binary"}
    assert seen == [
        ("/attest/SgxEnclave", "api-version=2022-08-01", {"quote": "cXVvdGU", "runtimeData": runtime}, None),
        ("/appraisal/v1/attest", "", {"quote": "cXVvdGU", "runtime_data": "a2V5"}, "k-1"),
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_service_that_says_no_is_a_refusal_with_its_words(asked, status):
    with pytest.raises(ServiceRefused, match="policy says no"):
        asked(answering("policy says no", status_code=status))


@pytest.mark.parametrize("status", [204, 404, 429, 500, 503])
def test_other_statuses_are_unreachable(asked, status):
    with pytest.raises(ServiceUnreachable):
        asked(answering(status_code=status))


def test_a_redirect_is_not_followed(asked):
    async def answer(_):
        return RedirectResponse("http://127.0.0.1:9/elsewhere", status_code=307)

    with pytest.raises(ServiceUnreachable, match="not followed"):
        asked(answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"a.b.c", b'{"token": 1}', b'{"token": "\xc3\xa9"}', b'{"token": "a", "token": "b"}',
     b"x" * 200_000, b"[" * 1000, b"\xff"],
)  # fmt: skip
def test_an_answer_without_one_token_is_unreachable(asked, body):
    with pytest.raises(ServiceUnreachable):
        asked(answering(body))


def test_a_compressed_answer_is_not_unpacked(asked):
    import gzip

    with pytest.raises(ServiceUnreachable):
        asked(answering(gzip.compress(json.dumps({"token": "a"}).encode()), headers={"content-encoding": "gzip"}))


@pytest.mark.parametrize("where", ["head", "body"])
def test_an_answer_that_trickles_meets_the_deadline(where):
    """A byte now and then keeps every timeout from firing; the deadline of the whole exchange ends it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n" + (b"\r\n" if where == "body" else b"X: ")
    with socket.create_server(("127.0.0.1", 0)) as ear:

        def trickle():
            accepted, _ = ear.accept()
            with accepted, suppress(OSError):
                accepted.sendall(head)
                while True:
                    accepted.sendall(b"x")
                    if select.select([accepted], [], [], 0.02)[0] and not accepted.recv(65536):
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        service = AttestationService(MAA, ServiceAddress.of(f"http://127.0.0.1:{ear.getsockname()[1]}"), timeout_s=0.5)
        with pytest.raises(ServiceUnreachable, match="no whole answer within"):
            service.key_set("x")
        thread.join()


def test_an_endless_refusal_is_cut_off(asked):
    with pytest.raises(ServiceRefused) as caught:
        asked(answering(b"no " * 100_000, status_code=400))
    assert len(caught.value.sentence) < 400


def test_a_certificate_that_nobody_vouches_for_is_unreachable(tls_ear):
    with pytest.raises(ServiceUnreachable):
        AttestationService(MAA, ServiceAddress.of(tls_ear.url), timeout_s=5).key_set("x")


def test_a_ca_of_ones_own_may_vouch_for_the_service(tls_ear):
    service = AttestationService(MAA, ServiceAddress.of(tls_ear.url), ca_file=tls_ear.ca, timeout_s=5)
    raw, _ = service.key_set("https://x")
    assert raw


def test_kd_23_nobody_can_pose_as_the_service_and_no_credential_reaches_him(tls_ear):
    service = AttestationService(ITA, ServiceAddress.of(tls_ear.url), api_key=Secret(b"canary-key"), timeout_s=5)
    with pytest.raises(ServiceUnreachable) as caught:
        service.attest(b"quote", tee=Tee.SGX, bound=b"key")
    assert "canary" not in str(caught.value)


def test_kd_23_the_credential_is_in_no_address(asked):
    seen = []

    async def answer(request):
        seen.append(request)
        return Response(json.dumps({"token": "a.b.c"}), media_type="application/json")

    asked(answer, profile=ITA, api_key=Secret(b"canary-key"))
    [request] = seen
    assert request.headers["x-api-key"] == "canary-key"
    assert "canary" not in str(request.url)
    asked(answer, profile=MAA)
    assert "x-api-key" not in seen[-1].headers
