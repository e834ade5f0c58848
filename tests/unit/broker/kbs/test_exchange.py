"""The dialogue from end to end: with a client written from the text, with ours, and with two brokers on one store."""

import json

import pytest

from strongroom.broker.gramine_client import BrokerRefused
from strongroom.secret import Secret

MODEL = "model/efficientnet-lite0/1"
PATH = "default/model/efficientnet-lite0.1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def test_a_stock_client_gets_its_key_with_a_cold_get_a_handshake_and_a_second_get(kbs, client):
    assert client.get_resource(PATH) == KEY
    assert [(method, status) for method, _, status in client.seen] == [
        ("GET", 401), ("POST", 200), ("POST", 200), ("GET", 200)
    ]  # fmt: skip
    decision = kbs.decisions()[-1]
    assert (decision["protocol"], decision["decision"]) == ("kbs", "granted")


def test_our_client_gets_the_key_and_a_lease(kbs, replica):
    obtained = kbs.obtain(replica)
    assert obtained.secret == Secret(KEY)
    assert obtained.lease_seconds == 600
    assert obtained.lease_id
    assert kbs.decisions()[-1]["fresh"] is True


def test_a_lease_is_renewed_by_fresh_evidence(kbs, replica):
    first = kbs.obtain(replica)
    second = kbs.obtain(replica, lease_id=first.lease_id)
    assert second.lease_id == first.lease_id
    assert kbs.obtain(replica).lease_id != first.lease_id


def test_a_build_that_no_rule_names_is_refused_and_the_owner_reads_why(kbs, replica_as, caplog):
    with pytest.raises(BrokerRefused, match="403"):
        kbs.obtain(replica_as(mr_enclave=b"\xe2" * 32), request_id="replica-7")
    assert "MRENCLAVE" in " ".join(kbs.codes())
    assert kbs.decisions()[-1]["id"].startswith("replica-7-")
    assert "replica-7-" in caplog.text


def test_the_passport_a_token_alone_opens_what_the_cookie_would(kbs, client, client_of):
    assert client.handshake()[0] == 200
    passport = client_of(kbs, jar=False)
    passport.key = client.key
    status, _, body = passport.get(PATH, Authorization=f"Bearer {client.token}")
    assert (status, passport.unseal(json.loads(body))) == (200, KEY)
