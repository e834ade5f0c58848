"""Every way to be refused, over HTTP: the peer hears one of a few constants, the owner reads the reason."""

import asyncio
import base64
import hashlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from strongroom.broker import kbs_sessions
from strongroom.broker.kbs_service import Caller, KbsNotProven
from strongroom.pki.jose import TokenUnsound, read_signed, sign
from strongroom.secret import Secret

PREFIX = "/kbs/v0"
MODEL = "model/efficientnet-lite0/1"
PATH = "default/model/efficientnet-lite0.1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
OTHER = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
TYPE = "https://github.com/confidential-containers/kbs/errors/"
ATTEST = (401, "AttestationError", "Attestation error: RCAR handshake Attest failed")
NO_TOKEN = (401, "TokenNotFound", "Attestation Token not found")
DENIED = (403, "PolicyDeny", "Access denied by policy")
NO_PATH = (404, "InvalidRequestPath", "the path names no resource")


def said(answer):
    """Return status, name and detail of a refusal, once its form is what stock clients take."""
    status, headers, body = answer
    assert headers["Content-Type"] == "application/problem+json"
    error = json.loads(body)
    assert set(error) == {"type", "detail"}
    assert error["type"].startswith(TYPE)
    return status, error["type"].removeprefix(TYPE), error["detail"]


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# The challenge


@pytest.mark.parametrize("change", [{"version": "0.3.0"}, {"version": "0.4.1"}])
def test_another_version_hears_the_phrase(client, change):
    status, name, detail = said(client.auth(**change))
    assert (status, name) == (401, "AttestationError")
    assert "KBS Client Protocol Version Mismatch" in detail


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", json.dumps({"version": "0.4.0", "tee": "sample", "extra-params": ""})]
)
def test_a_first_request_that_is_refused_hears_no_more(client, body):
    body = body.encode() if isinstance(body, str) else body
    answer = said(client.send("POST", f"{PREFIX}/auth", body))
    assert answer == (401, "AttestationError", "Attestation error: RCAR handshake Auth failed")


def test_a_body_beyond_the_port_limit_is_refused_with_the_json_that_clients_want(kbs, client):
    for length, sent in ((3_000_000, b""), (17_000, b"x" * 17_000)):
        status, body = client.raw(kbs.port, f"{PREFIX}/auth", [("Content-Length", length)], method="POST", body=sent)
        assert status == 413
        assert {"type", "detail"} <= set(json.loads(body))


def test_sv_14_open_sessions_are_bounded_and_beyond_is_429(kbs, client, monkeypatch):
    monkeypatch.setattr(kbs_sessions.open_session, "__kwdefaults__", {"limit": 2})
    assert [client.auth()[0] for _ in range(2)] == [200, 200]
    answer = client.auth()
    assert said(answer)[0] == 429
    assert answer[1]["Retry-After"] == "5"
    kbs.clock.offset += timedelta(minutes=16)  # rows that are over make room, and are gone
    assert client.auth()[0] == 200
    assert kbs.store.read(lambda tx: tx.execute("SELECT count(*) FROM sessions"))[0][0] == 1


# The nonce


def attested_with(client, cookie, body):
    return client.send("POST", f"{PREFIX}/attest", body, Cookie=f"kbs-session-id={cookie}" if cookie else "")


@pytest.fixture
def bare(kbs, client_of):
    """A client without a cookie jar."""
    return client_of(kbs, jar=False)


def challenged(client):
    """Return cookie and nonce of a new session."""
    _, headers, body = client.auth()
    return headers["Set-Cookie"].partition("=")[2].partition(";")[0], json.loads(body)["nonce"]


def test_the_cookie_is_for_tls_and_this_path_alone(client):
    cookie = client.auth()[1]["Set-Cookie"]
    assert cookie.startswith("kbs-session-id=")
    assert all(word in cookie for word in ("; Expires=", "; Path=/kbs/v0", "; HttpOnly", "; Secure"))


def test_fb_01_a_nonce_counts_once_after_success(kbs, bare):
    cookie, nonce = challenged(bare)
    body = bare.attestation(nonce)
    assert attested_with(bare, cookie, body)[0] == 200
    assert said(attested_with(bare, cookie, body)) == ATTEST
    assert kbs.codes() == ["SR-KBS-NONCE-USED"]


def test_fb_01_a_nonce_counts_once_after_failure(kbs, bare, replica_as):
    cookie, nonce = challenged(bare)
    wrong = bare.attestation(nonce, bare.evidence(nonce, hashed=bare.hashed("other")))
    assert said(attested_with(bare, cookie, wrong)) == ATTEST
    assert said(attested_with(bare, cookie, bare.attestation(nonce))) == ATTEST
    assert kbs.codes()[-1] == "SR-KBS-NONCE-USED"


def test_fb_01_of_many_at_once_one_counts(kbs, bare):
    cookie, nonce = challenged(bare)
    body = bare.attestation(nonce)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: attested_with(bare, cookie, body)[0], range(8)))
    assert sorted(answers) == [200] + [401] * 7
    assert set(kbs.codes()) == {"SR-KBS-NONCE-USED"}


def test_fb_01_a_nonce_that_one_broker_took_is_refused_by_the_next(kbs, kbs_with, bare, client_of):
    with kbs_with(store_of=kbs) as second:
        other = client_of(second, jar=False)
        other.key = bare.key
        cookie, nonce = challenged(bare)
        body = bare.attestation(nonce)
        assert attested_with(other, cookie, body)[0] == 200
        assert said(attested_with(bare, cookie, body)) == ATTEST
    assert kbs.codes() == ["SR-KBS-NONCE-USED"]


def test_fb_01_an_old_nonce_is_refused(kbs, bare):
    cookie, nonce = challenged(bare)
    kbs.clock.offset += timedelta(seconds=121)
    assert said(attested_with(bare, cookie, bare.attestation(nonce))) == ATTEST
    assert kbs.codes() == ["SR-KBS-EXPIRED"]


def test_fb_01_a_nonce_of_another_session_is_refused(kbs, bare):
    (cookie, _), (_, nonce) = challenged(bare), challenged(bare)
    assert said(attested_with(bare, cookie, bare.attestation(nonce))) == ATTEST
    assert kbs.codes() == ["SR-KBS-NONCE-FOREIGN"]


@pytest.mark.parametrize("spell", [lambda text: text[:-1], lambda text: text.rstrip("="), lambda text: text + " "])
def test_fb_01_a_nonce_in_another_spelling_is_refused(kbs, bare, spell):
    cookie, nonce = challenged(bare)
    assert said(attested_with(bare, cookie, bare.attestation(spell(nonce)))) == ATTEST
    assert kbs.codes() == ["SR-KBS-NONCE"]


@pytest.mark.parametrize("cookie", ["", "0" * 32, "no cookie", "f" * 4000])
def test_fb_01_no_session_no_attestation(kbs, bare, cookie):
    _, nonce = challenged(bare)
    assert said(attested_with(bare, cookie, bare.attestation(nonce))) == ATTEST
    assert kbs.codes() == ["SR-KBS-SESSION"]


def test_sv_14_a_used_nonce_stays_refused_when_its_row_is_gone(kbs, bare):
    cookie, nonce = challenged(bare)
    body = bare.attestation(nonce)
    assert attested_with(bare, cookie, body)[0] == 200
    kbs.clock.offset += timedelta(minutes=16)
    challenged(bare)  # sweeps
    assert said(attested_with(bare, cookie, body)) == ATTEST
    assert kbs.codes() == ["SR-KBS-SESSION"]


# What is hashed


def without_additional(client, nonce):
    return client.evidence(nonce, hashed={"tee-pubkey": client.jwk, "nonce": nonce})


def as_a_device(client, nonce):
    return client.evidence(nonce, hashed={"tee-pubkey": client.jwk, "nonce": nonce})


def unsorted(client, nonce):
    return client.evidence(nonce, sort=False)


def shorter_hash(client, nonce):
    return client.evidence(nonce, digest=hashlib.sha256)


def other_padding(client, nonce):
    return client.evidence(nonce, padding=b"\1")


def unasked_member(client, nonce):
    return client.evidence(nonce, hashed=client.hashed(nonce, strongroom={"deployment": "d"}))


def key_with_more(client, nonce):
    return client.evidence(nonce, hashed=client.hashed(nonce) | {"tee-pubkey": client.jwk | {"use": "enc"}})


def swapped(client, nonce):
    jwk = client.jwk
    return client.evidence(nonce, hashed=client.hashed(nonce) | {"tee-pubkey": jwk | {"x": jwk["y"], "y": jwk["x"]}})


def other_nonce(client, nonce):
    return client.evidence(nonce, hashed=client.hashed("Rm81yEUCI4EnE/OFs8rwjW19lrAxE5bH1ekK4gkxiz8="))


def key_alone(client, nonce):
    return {"quote": b64(client.quote(hashlib.sha256(json.dumps(client.jwk).encode()).digest() + bytes(32)))}


@pytest.mark.parametrize(
    "evidence",
    [without_additional, as_a_device, unsorted, shorter_hash, other_padding, unasked_member, key_with_more, swapped,
     other_nonce, key_alone],
)  # fmt: skip
def test_fb_20_evidence_over_another_hash_is_refused(kbs, client, evidence):
    nonce = client.nonce()
    assert said(client.attest(client.attestation(nonce, evidence(client, nonce)))) == ATTEST
    assert kbs.decisions()[-1]["decision"] == "denied"
    assert said(client.get(PATH)) == NO_TOKEN


def test_fb_08_evidence_that_was_seen_before_is_worth_nothing_for_another_key_or_session(kbs, client_of):
    honest, thief = client_of(kbs), client_of(kbs)
    seen = honest.evidence(honest.nonce())
    assert said(thief.attest(thief.attestation(thief.nonce(), seen))) == ATTEST
    thief.key = honest.key
    assert said(thief.attest(thief.attestation(thief.nonce(), seen))) == ATTEST


@pytest.mark.parametrize(
    "primary",
    [{"svn": "1", "report_data": "AAAA"}, {"quote": ""}, {"quote": b64(b"\0" * 4000)}, None,
     {"quote": b64(b"\3\0" * 900)}],
)  # fmt: skip
def test_what_is_no_evidence_of_this_kind_is_refused(client, primary):
    nonce = client.nonce()
    body = client.attestation(nonce)
    body["tee-evidence"]["primary_evidence"] = primary
    assert said(client.attest(body)) == ATTEST


def test_a_quote_of_an_unknown_root_is_refused(kbs, client_of, second_world):
    client = client_of(kbs, quote=second_world.quote)
    assert said(client.handshake()) == ATTEST
    assert said(client.get(PATH)) == NO_TOKEN


def test_a_weak_key_is_refused_before_the_evidence_is_looked_at(kbs, client):
    nonce = client.nonce()
    body = client.attestation(nonce, {"quote": "AAAA"})
    body["runtime-data"]["tee-pubkey"] = client.jwk | {"d": client.jwk["x"]}
    assert said(client.attest(body)) == ATTEST
    assert kbs.codes() == ["SR-JWK"]


def test_init_data_that_the_register_does_not_hold_is_refused(kbs, client):
    nonce = client.nonce()
    text = 'version = "0.1.0"\nalgorithm = "sha384"\n[data]\n'
    body = client.attestation(nonce) | {"init-data": {"format": "toml", "body": text}}
    assert said(client.attest(body)) == ATTEST
    assert kbs.codes() == ["SR-KBS-INIT-DATA"]


def test_init_data_that_the_register_holds_is_in_the_token_and_its_tenant_binds(
    kbs_with, client_of, configured, policy_of
):
    ours = '{"tenant":"other"}'
    text = f'version = "0.1.0"\nalgorithm = "sha512"\n[data]\n"strongroom.json" = \'{ours}\'\n'
    register = hashlib.sha512(text.encode()).digest()
    with kbs_with(policy_of(extra=f'config_id = "{register.hex()}"')) as kbs:
        client = client_of(kbs, quote=configured(register).quote)
        body = client.attestation(client.nonce()) | {"init-data": {"format": "toml", "body": text}}
        assert client.attest(body)[0] == 200
        claims = json.loads(base64.urlsafe_b64decode(client.token.split(".")[1] + "=="))
        evidence = claims["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
        assert evidence["init_data_claims"] == {"strongroom.json": ours}
        assert said(client.get(PATH)) == DENIED
        assert kbs.codes() == ["SR-KBS-INIT-DATA"]


# The token


def test_pl_07_a_token_names_no_platform(kbs, client, replica):
    assert client.handshake()[0] == 200
    claims = json.loads(base64.urlsafe_b64decode(client.token.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 300
    evidence = claims["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
    assert evidence["runtime_data_claims"]["tee-pubkey"] == client.jwk
    assert evidence["sgx"]["mr_enclave"] == "e1" * 32
    assert not {"pck_ppid", "pck_serial", "attestation_key"} & set(evidence["sgx"])
    assert claims["submods"]["cpu0"]["ear.status"] == "contraindicated"  # simulated hardware is none


def with_token(client, token):
    return client.get(PATH, Authorization=f"Bearer {token}")


def test_fb_20_a_token_is_refused_after_its_time(kbs, client, bare):
    client.handshake()
    assert with_token(bare, client.token)[0] == 200
    kbs.clock.offset += timedelta(seconds=301)
    assert said(with_token(bare, client.token)) == NO_TOKEN
    assert said(client.get(PATH)) == NO_TOKEN  # the cookie's session is over as well


def test_fb_20_a_token_of_another_signer_is_refused(kbs, client, bare):
    client.handshake()
    claims = read_signed(client.token, kbs.keyring.token_key().public_key())
    ours = sign(claims, kbs.keyring.token_key())
    assert with_token(bare, ours)[0] == 200
    assert said(with_token(bare, sign(claims, ec.generate_private_key(ec.SECP256R1())))) == NO_TOKEN


@pytest.mark.parametrize(
    "change",
    [{"exp": None}, {"exp": 2**40}, {"exp": "soon"}, {"iat": True}, {"strongroom_session": "0" * 64},
     {"strongroom_session": 7}, {"strongroom_deployment": "d-other"}, {"strongroom_deployment": None}],
)  # fmt: skip
def test_fb_20_a_token_that_says_something_else_is_refused(kbs, client, bare, change):
    client.handshake()
    claims = read_signed(client.token, kbs.keyring.token_key().public_key()) | change
    claims = {name: value for name, value in claims.items() if value is not None}
    assert said(with_token(bare, sign(claims, kbs.keyring.token_key()))) == NO_TOKEN


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "Ü", "a b"])
def test_what_is_no_token_is_refused(bare, token):
    assert said(bare.get(PATH, Authorization=f"Bearer {token}".encode("latin-1"))) == NO_TOKEN
    assert said(bare.get(PATH, Authorization="Basic eDp5")) == NO_TOKEN


def test_fb_20_a_cookie_and_a_token_of_two_sessions_do_not_mix(kbs, client_of):
    first, second = client_of(kbs), client_of(kbs)
    first.handshake()
    second.handshake()
    assert said(with_token(first, second.token)) == NO_TOKEN
    assert with_token(first, first.token)[0] == 200


def test_a_token_helps_a_client_whose_cookie_nobody_knows(kbs, client, bare):
    client.handshake()
    answer = bare.get(PATH, Cookie="kbs-session-id=" + "0" * 32, Authorization=f"Bearer {client.token}")
    assert answer[0] == 200


def test_fb_20_what_is_released_opens_under_the_attested_key_alone(kbs, client, client_of):
    client.handshake()
    status, _, body = client.get(PATH)
    assert (status, client.unseal(json.loads(body))) == (200, KEY)
    assert KEY not in body
    assert b64url(KEY).encode() not in body
    thief = client_of(kbs)
    with pytest.raises(InvalidUnwrap):
        thief.unseal(json.loads(body))


# What is released


def test_kd_11_unknown_forbidden_and_beyond_a_limit_look_the_same(kbs_with, client_of, policy_of):
    secrets = {MODEL: KEY, "model/efficientnet-lite0/2": OTHER}
    policy = policy_of(extra="max_leases = 1")
    with kbs_with(policy, secrets=secrets) as kbs:
        assert client_of(kbs).get_resource(PATH) == KEY
        client = client_of(kbs)
        client.handshake()
        asked = [PATH, "default/model/efficientnet-lite0.2", "default/model/nobody.1", "nobody/model/a.1",
                 "default/secret/nobody", "default/tls/nobody"]  # fmt: skip
        answers = [client.get(path) for path in asked]
        assert {said(answer) for answer in answers} == {DENIED}
        assert len({answer[2] for answer in answers}) == 1
        assert kbs.codes()[0] == "LEASE_LIMIT"
        assert len(kbs.decisions()) == 7


def test_kd_12_a_grant_of_one_version_opens_no_other(kbs_with, client_of, policy_of):
    with kbs_with(policy_of(), secrets={MODEL: KEY, "model/efficientnet-lite0/2": OTHER}) as kbs:
        client = client_of(kbs)
        assert client.get_resource(PATH) == KEY
        with pytest.raises(PermissionError, match="PolicyDeny"):
            client.get_resource("default/model/efficientnet-lite0.2")


def test_each_version_has_its_own_key(kbs_with, replica, policy_of):
    policy = policy_of(release="model/efficientnet-lite0/1-")
    with kbs_with(policy, secrets={MODEL: KEY, "model/efficientnet-lite0/2": OTHER}) as kbs:
        assert kbs.obtain(replica).secret == Secret(KEY)
        assert kbs.obtain(replica, "model/efficientnet-lite0/2").secret == Secret(OTHER)


def test_a_policy_that_changes_after_the_token_counts_at_once(kbs, client, policy_of):
    client.handshake()
    kbs.policy.write_text(policy_of(enclave=b"\xe3" * 32))
    assert said(client.get(PATH)) == DENIED


def test_a_rule_that_wants_a_transcript_refuses_a_stock_client_and_serves_ours(kbs_with, client_of, replica, policy_of):
    with kbs_with(policy_of(extra='bindings = ["transcript"]')) as kbs:
        client = client_of(kbs)
        client.handshake()
        assert said(client.get(PATH)) == DENIED
        assert kbs.codes()[-1] == "POLICY_BINDING"
        assert kbs.obtain(replica).secret == Secret(KEY)


@pytest.mark.parametrize(
    "path",
    ["default/model/../model/efficientnet-lite0.1", "default/model/%65fficientnet-lite0.1",
     "default%2Fmodel%2Fefficientnet-lite0.1", "default/model", "default/model/efficientnet-lite0.1/x", "",
     "default//efficientnet-lite0.1", "default/model/.efficientnet-lite0.1", "default/model/efficientnet-lite0.01",
     "default/model/efficientnet-lite0", "DEFAULT/model/efficientnet-lite0.1", "default/Model/efficientnet-lite0.1",
     "default/key/demo", "default/model/" + "a" * 500 + ".1", "default/model/%00.1", "%2e%2e/x"],
)  # fmt: skip
def test_kd_18_a_path_in_another_spelling_names_nothing(kbs, client, path):
    client.handshake()
    cookie = next(iter(client.jar)).value
    status, body = client.raw(kbs.port, f"{PREFIX}/resource/{path}", [("Cookie", f"kbs-session-id={cookie}")])
    assert (status, json.loads(body)["type"].removeprefix(TYPE)) == (404, "InvalidRequestPath")


def test_one_empty_leading_part_and_a_query_change_nothing(kbs, client):
    client.handshake()
    cookie = [("Cookie", f"kbs-session-id={next(iter(client.jar)).value}")]
    assert client.raw(kbs.port, f"{PREFIX}/resource//{PATH}", cookie)[0] == 200
    assert client.raw(kbs.port, f"{PREFIX}/resource/{PATH}?resource-path=x", cookie)[0] == 200
    assert client.raw(kbs.port, f"{PREFIX}/resource///{PATH}", cookie)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_nothing_is_administered_here(client, method):
    client.handshake()
    status, _, body = client.send(method, f"{PREFIX}/resource/{PATH}", b"" if method in ("POST", "PUT") else None)
    assert status == 401
    assert method == "HEAD" or json.loads(body)["type"] == TYPE + "AdminAuthAccess"


@pytest.mark.parametrize("path", ["/", "/kbs/v0", "/kbs/v0/sample/a", "/kbs/v0/auth", "/metrics", "/kbs/v1/auth"])
def test_what_is_not_there_is_refused_in_the_same_form(client, path):
    assert said(client.send("GET", path))[:2] == (404, "PluginNotFound")


# What is told to whom


def test_sv_10_no_secret_and_no_reason_reaches_log_answers_or_ledger_but_the_reason_the_owner(kbs, client, caplog):
    caplog.set_level(logging.DEBUG)
    client.get_resource(PATH)
    client.attest(client.attestation(client.nonce(), {"quote": "AAAA"}))
    everything = caplog.text + "".join(json.dumps(entry) for entry in kbs.ledger.entries())
    for form in (KEY.hex(), b64(KEY), b64url(KEY)):
        assert form not in everything
    assert "SR-KBS-MESSAGE" in everything
    assert "token" not in caplog.text.replace("TokenNotFound", "")


def test_every_refusal_has_a_line_in_the_ledger_under_the_id_of_the_log(kbs, client):
    nonce = client.nonce()
    body = client.attestation(nonce, {"quote": "AAAA"})
    _, headers, _ = client.send("POST", f"{PREFIX}/attest", body, X_Request_ID="replica-9")
    assert headers["X-Request-ID"] == "replica-9"
    assert kbs.decisions()[-1]["id"].startswith("replica-9-")


def test_a_refusal_has_its_own_codes_for_the_owner(kbs):
    async def refused():
        await kbs.kbs.attest(b"{}", None, Caller("peer", "id"))

    with pytest.raises(KbsNotProven) as caught:
        asyncio.run(refused())
    assert caught.value.code == "SR-KBS-NOT-PROVEN"
    assert TokenUnsound.code == "SR-KBS-TOKEN"
    assert kbs_sessions.KbsSessionsFull.code == "SR-KBS-SESSIONS-FULL"


def test_a_store_that_cannot_be_written_is_no_release_and_no_secret(kbs, client):
    client.handshake()
    kbs.store.close()
    status, _, body = client.get(PATH)
    assert status == 503
    assert set(json.loads(body)) == {"type", "detail"}


def test_threads_share_a_broker(kbs, client_of):
    results, clients = [], [client_of(kbs) for _ in range(6)]

    def run(each):
        results.append(each.get_resource(PATH))

    threads = [threading.Thread(target=run, args=(each,)) for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [KEY] * 6
