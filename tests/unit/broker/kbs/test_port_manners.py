"""What stands around the exchange: attempts that cannot be read, what is administered elsewhere, probes, the log."""

import json

import pytest

from strongroom.broker.gramine_client import BrokerRefused

PATH = "default/model/efficientnet-lite0.1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def detail(answer):
    status, _, body = answer
    return status, json.loads(body)["type"].rpartition("/")[2]


@pytest.mark.parametrize("change", [{"init-data": {"format": "json", "body": ""}}, {"tee-evidence": None}, None])
def test_fb_01_an_attempt_that_cannot_be_read_uses_the_nonce_up(kbs, client, change):
    sound = client.attestation(client.nonce())
    broken = b"{" if change is None else sound | change
    assert detail(client.attest(broken)) == (401, "AttestationError")
    assert detail(client.attest(sound)) == (401, "AttestationError")
    assert kbs.codes()[-1] == "SR-KBS-NONCE-USED"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "resource-policy"), ("GET", "resource-policy"), ("POST", "attestation-policy"),
     ("POST", "reference-value"), ("GET", "reference-value/a/b")],
)  # fmt: skip
def test_policies_are_administered_elsewhere(client, method, path):
    body = b"{}" if method == "POST" else None
    assert detail(client.send(method, f"/kbs/v0/{path}", body)) == (401, "AdminAuthAccess")


def test_a_balancer_hears_that_the_port_answers(client):
    status, _, body = client.send("GET", "/healthz")
    assert (status, body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"version": "0.1.1"}, "SR-KBS-VERSION"), ({"tee": "sample"}, "SR-KBS-TEE"), ({"tee": 5}, "SR-KBS-MESSAGE")],
)
def test_the_owner_reads_why_there_was_no_challenge(client, caplog, changes, code):
    assert client.auth(**changes)[0] == 401
    assert "no challenge for 127.0.0.1:" in caplog.text
    assert f"[{code}]" in caplog.text


def test_every_line_about_a_case_names_its_request(kbs, replica, replica_as, caplog):
    kbs.obtain(replica, request_id="replica-7")
    with pytest.raises(BrokerRefused):
        kbs.obtain(replica_as(mr_enclave=b"\xe2" * 32), request_id="replica-8")
    named = {line.request_id: line.getMessage() for line in caplog.records if hasattr(line, "request_id")}
    assert "released model/efficientnet-lite0/1" in named["replica-7"]
    assert "MRENCLAVE" in named["replica-8"]


def test_a_client_that_asks_again_takes_no_second_lease(kbs_with, client_of, policy_of):
    with kbs_with(policy_of(extra="max_leases = 1")) as kbs:
        client = client_of(kbs)
        assert client.get_resource(PATH) == client.get_resource(PATH) == KEY
        assert client.handshake()[0] == 200  # one TEE key for the client's life
        assert client.get_resource(PATH) == KEY
        with pytest.raises(PermissionError, match="PolicyDeny"):
            client_of(kbs).get_resource(PATH)
        assert kbs.decisions()[-1]["wanted"] == "model/efficientnet-lite0/1"
