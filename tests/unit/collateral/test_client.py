"""One server over real HTTP on loopback: what it sends, and every way in which it can fail us."""

import base64
import gzip
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom.attestation import verify
from strongroom.attestation.anchors import INTEL
from strongroom.collateral.api import Kind, Request
from strongroom.collateral.client import HttpSource, Limits, SourceFailed, read_subscription_key
from strongroom.collateral.profiles import find, pccs
from strongroom.pki import disk
from strongroom.pki.authority import Authority
from strongroom.ports import free_port
from strongroom.secret import Secret

IDENTITY = Request(kind=Kind.QE_IDENTITY)
PCK = Request(
    kind=Kind.PCK_CERT,
    parameters={"encrypted_ppid": "00" * 384, "cpusvn": "00" * 16, "pcesvn": "0D00", "pceid": "0000"},
)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def source(server, pauses) -> HttpSource:
    return HttpSource(pccs(server.url), pause=pauses.append)


def failing(source: HttpSource, request: Request = IDENTITY) -> SourceFailed:
    with pytest.raises(SourceFailed) as failed:
        source.answer(request)
    assert failed.value.code == "SR-COLLATERAL-SOURCE"
    return failed.value


def test_collateral_of_recorded_replies_makes_real_quotes_verifiable(server, sgx_quote, tdx_quote, recorded_clock,
                                                                     shared_vectors):  # fmt: skip
    raw = (shared_vectors / "dcap" / "quotes" / "real-sgx-v3-0b5bc73c-2025-05-27.bin").read_bytes()
    source = HttpSource(pccs(server.url))
    verdict = verify(raw, source.collateral_for(sgx_quote), anchors=[INTEL], at=recorded_clock())
    assert (verdict.fmspc, verdict.status.value, verdict.tcb_eval) == ("00906ED50000", "OutOfDate", 17)
    raw = (shared_vectors / "dcap" / "quotes" / "real-tdx-v4-4b23198a-2025-07-07.bin").read_bytes()
    verdict = verify(raw, source.collateral_for(tdx_quote), anchors=[INTEL], at=recorded_clock())
    assert verdict.fmspc == "00806F050000"


def test_version_3_serves_sgx_quotes(server, sgx_quote, tdx_quote):
    source = HttpSource(pccs(f"{server.url}/sgx/certification/v3/"))
    assert '"version":2' in source.collateral_for(sgx_quote).tcb_info
    with pytest.raises(SourceFailed, match="version 3"):
        source.collateral_for(tdx_quote)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_tcb_12_a_refusal_is_not_asked_again_and_says_why(server, source, pauses, status):
    server.replies["/sgx/certification/v4/qe/identity"] = (status, {"Error-Message": "no\x7f luck"}, b"body")
    failed = failing(source)
    assert str(status) in failed.sentence
    assert failed.status == status
    assert failed.definitive == (status in {404, 410})
    assert (len(server.asked), pauses) == (1, [])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_tcb_12_a_passing_failure_is_asked_again_a_few_times(server, source, pauses, status):
    server.replies["/sgx/certification/v4/qe/identity"] = (status, {}, b"")
    assert str(status) in failing(source).sentence
    assert (len(server.asked), pauses) == (3, [1.0, 2.0])


def test_retry_after_is_honoured_up_to_a_cap(server, source, pauses, recorded, respond):
    told = iter(["7", "86400"])

    def busy(handler) -> bool:
        after = next(told, None)
        if after is not None:
            respond(handler, 429, {"Retry-After": after}, b"")
        return after is not None

    server.misbehave = busy
    assert source.answer(IDENTITY).body == recorded["/sgx/certification/v4/qe/identity"][2]
    assert pauses == [7.0, 30.0]


@pytest.mark.parametrize("after", ["soon", "-1", "1.5", "9" * 5000])
def test_a_strange_retry_after_is_left_aside(server, source, pauses, after):
    server.replies["/sgx/certification/v4/qe/identity"] = (429, {"Retry-After": after}, b"")
    failing(source)
    assert pauses == [1.0, 2.0]


def test_a_truncated_body_is_noticed_and_asked_again(server, source):
    server.replies["/sgx/certification/v4/qe/identity"] = (200, {"Content-Length": "2000"}, b"{}")
    server.misbehave = lambda handler: setattr(handler, "close_connection", True)
    failed = failing(source)
    assert failed.again
    assert len(server.asked) == 3


def test_ev_07_an_oversize_body_is_cut_off_while_it_streams(server, source):
    server.replies["/sgx/certification/v4/qe/identity"] = (200, {}, b"x" * (1024 * 1024 + 1))
    assert "sends more than 1048576 bytes" in failing(source).sentence


def test_ev_07_a_compressed_body_is_refused(server, source):
    body = gzip.compress(b"{}" * 1000)
    server.replies["/sgx/certification/v4/qe/identity"] = (200, {"Content-Encoding": "gzip"}, body)
    assert "compressed" in failing(source).sentence


def test_headers_without_end_are_refused(server, source):
    headers = {f"X-{number}": "y" * 8000 for number in range(20)}
    server.replies["/sgx/certification/v4/qe/identity"] = (200, headers, b"{}")
    assert "headers" in failing(source).sentence


@pytest.mark.parametrize("where", ["header", "body"])
def test_fb_16_a_server_that_drips_does_not_hold_us(server, where):
    finished = threading.Event()

    def drip(handler) -> bool:
        start = b"HTTP/1.1 200 OK\r\nX-Slow: " if where == "header" else b"HTTP/1.1 200 OK\r\n\r\n"
        try:
            handler.wfile.write(start)
            while not finished.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            return True
        return True

    server.misbehave = drip
    try:
        source = HttpSource(pccs(server.url), limits=Limits(step_s=5, answer_s=0.2))
        assert "no whole answer within 0.2 s" in failing(source).sentence
    finally:
        finished.set()


def test_fb_16_closing_lets_go_of_a_server_that_does_not_answer(server, source):
    asked, released = threading.Event(), threading.Event()

    def hang(_) -> bool:
        asked.set()
        return released.wait()

    server.misbehave = hang
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(failing, source)
        asked.wait()
        source.close()
        assert "given up" in waiting.result().sentence
    assert "given up" in failing(source).sentence, "and no more is asked"
    released.set()
    assert len(server.asked) == 1


def test_a_redirect_within_the_host_is_followed_and_to_another_is_refused(server, source, recorded, make_server):
    other = make_server(recorded)
    target = "/sgx/certification/v4/qe/identity"
    server.replies["/moved"] = recorded[target]
    server.replies[target] = (302, {"Location": "/moved"}, b"")
    assert source.answer(IDENTITY).body == recorded[target][2]
    server.replies[target] = (307, {"Location": f"{other.url}{target}"}, b"")
    assert "redirects to another host" in failing(source).sentence
    assert other.asked == []
    server.replies[target] = (301, {"Location": target}, b"")
    assert "more than 3 times" in failing(source).sentence


@pytest.mark.parametrize("location", ["http://[::1", "http://h\u00bd/", "//[", "http://u:p@elsewhere/\x1b[2J", ""])
def test_a_redirect_to_nonsense_is_refused_in_words(server, source, respond, location):
    def astray(handler) -> bool:
        respond(handler, 302, {"Location": location}, b"")
        return True

    server.misbehave = astray
    failed = failing(source)
    assert "redirects" in failed.sentence
    assert "\x1b" not in failed.sentence


def test_a_redirect_to_another_scheme_is_refused(server, source, respond):
    def weakened(handler) -> bool:
        respond(handler, 301, {"Location": f"https{server.url.removeprefix('http')}{handler.path}"}, b"")
        return True

    server.misbehave = weakened
    assert "another host" in failing(source).sentence
    assert len(server.asked) == 1


def test_nobody_there_is_said():
    failed = failing(HttpSource(pccs(f"http://127.0.0.1:{free_port()}"), pause=lambda _: None))
    assert "refused" in failed.sentence


def test_kd_23_the_subscription_key_goes_to_pck_requests_alone_and_into_no_address(server, tmp_path):
    path = tmp_path / "key"
    disk.write_secret(path, Secret(b"open-sesame\n"))
    source = HttpSource(pccs(server.url), subscription_key=read_subscription_key(path), pause=lambda _: None)
    source.answer(IDENTITY)
    failed = failing(source, PCK)
    sent = [headers.get("Ocp-Apim-Subscription-Key") for _, headers in server.asked]
    assert sent == [None, "open-sesame"]
    assert "open-sesame" not in failed.sentence + repr(source.__dict__) + "".join(server.targets())


def test_a_subscription_key_that_others_can_read_is_not_used(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"key")
    path.chmod(0o644)
    with pytest.raises(disk.LoosePermissions):
        read_subscription_key(path)
    path.chmod(0o600)
    path.write_bytes(b"two words")
    with pytest.raises(SourceFailed, match="does not hold a subscription key"):
        read_subscription_key(path)


def test_a_proxy_of_the_environment_is_used_for_others_and_never_for_this_machine(server, recorded, monkeypatch):
    target = "/sgx/certification/v4/qe/identity"
    server.replies[f"http://pccs.example{target}"] = recorded[target]
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    found = HttpSource(pccs("http://pccs.example")).answer(IDENTITY)
    assert found.body == recorded[target][2]
    assert server.targets() == [f"http://pccs.example{target}"] or server.targets() == [target]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert HttpSource(pccs(server.url)).answer(IDENTITY).body == recorded[target][2]


def test_kd_23_who_asks_through_a_proxy_with_a_password_sends_it_there_and_never_shows_it(server, monkeypatch):
    place = server.url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://me:s3%20cret@{place}")
    monkeypatch.delenv("no_proxy", raising=False)
    HttpSource(pccs("http://pccs.example")).answer(IDENTITY)
    (headers,) = (headers for _, headers in server.asked)
    assert headers["proxy-authorization"] == f"Basic {base64.b64encode(b'me:s3 cret').decode()}"
    for proxy in (
        "http://me:s3cret@127.0.0.1:1",
        "odd://me:s3cret@x",
        "http://me:s3cret@[::1",
        "me:s3cret@127.0.0.1:1",
    ):
        monkeypatch.setenv("http_proxy", proxy)
        failed = failing(HttpSource(pccs("http://pccs.example"), pause=lambda _: None))
        assert "s3cret" not in failed.sentence
        assert "proxies" in failed.fix or "no_proxy" in failed.fix


@pytest.fixture
def tls_server(server, tmp_path, clock):
    from datetime import UTC, datetime

    authority = Authority.create("PCCS CA", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    with leaf.key_pem.reveal() as key:
        (tmp_path / "server.pem").write_bytes(leaf.certificate_pem + bytes(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    server.url = server.url.replace("http://127.0.0.1", "https://localhost")
    server._server.handle_error = lambda *_: None  # a client that leaves in the handshake is part of the test
    return server


def test_dp_11_and_kd_23_a_certificate_of_its_own_needs_a_pinned_ca(tls_server, tmp_path, recorded):
    failed = failing(HttpSource(pccs(tls_server.url), pause=lambda _: None))
    assert "TLS certificate" in failed.sentence
    assert "ca_file" in failed.fix
    pinned = HttpSource(pccs(tls_server.url), ca_file=Path(tmp_path / "ca.pem"))
    assert pinned.answer(IDENTITY).body == recorded["/sgx/certification/v4/qe/identity"][2]


def test_a_server_without_tls_is_not_blamed_for_its_certificate(server):
    failed = failing(HttpSource(pccs(server.url.replace("http://", "https://")), pause=lambda _: None))
    assert failed.sentence.endswith("what answers there speaks no TLS")
    assert "http://HOST:PORT" in failed.fix


def test_dp_11_unverified_tls_is_for_loopback_only(tls_server):
    from dataclasses import replace

    lax = replace(pccs(tls_server.url), verify_tls=False)
    assert HttpSource(lax).answer(IDENTITY).status == 200
    elsewhere = HttpSource(replace(find("tencent"), verify_tls=False))
    assert elsewhere._tls.verify_mode is ssl.CERT_REQUIRED


def test_a_source_is_not_asked_for_what_it_does_not_serve(server):
    from dataclasses import replace

    source = HttpSource(replace(pccs(server.url), serves=frozenset({Kind.PCK_CERT})))
    failing(source)
    assert server.asked == []
