"""Somebody who may write to the store writes that a session of his has proved what he likes."""

import json

import pytest

from strongroom.broker import kbs_sessions
from strongroom.broker.kbs_sessions import KbsSessionForged

PATH = "default/model/efficientnet-lite0.1"


def row(kbs):
    return kbs.store.read(lambda tx: tx.execute("SELECT id, body, created_ms, expires_ms FROM sessions"))[-1]


def rewrite(kbs, **columns):
    words = ", ".join(f"{name} = ?" for name in columns)
    kbs.store.write(lambda tx: tx.execute(f"UPDATE sessions SET {words}", list(columns.values())))  # noqa: S608  # ours


def proved(kbs):
    return json.loads(json.loads(row(kbs)[1])["proved"])


def forged(kbs, change):
    """Return a body whose claims were changed, with the seal of the one before."""
    found = json.loads(row(kbs)[1])
    claims = json.loads(found["proved"])
    change(claims)
    return json.dumps(found | {"proved": json.dumps(claims, separators=(",", ":"))}).encode()


@pytest.fixture
def attested(client):
    assert client.handshake()[0] == 200
    return client


@pytest.mark.parametrize("form", ["edited claims", "no seal", "as it was kept before", "no JSON", "a list", "deep"])
def test_kd_11_claims_that_no_broker_wrote_release_nothing(kbs, attested, form):
    plain = proved(kbs)
    body = {
        "edited claims": lambda: forged(kbs, lambda found: found["claims"].update(mr_enclave="ee" * 32)),
        "no seal": lambda: json.dumps({"proved": json.dumps(plain)}).encode(),
        "as it was kept before": lambda: json.dumps(plain).encode(),
        "no JSON": lambda: b"\xff",
        "a list": lambda: b"[]",
        "deep": lambda: b"[" * 100_000,
    }[form]()
    rewrite(kbs, body=body)
    status, _, answer = attested.get(PATH)
    assert status == 503
    assert json.loads(answer)["detail"] == "the broker cannot answer now"
    assert not [entry for entry in kbs.decisions() if entry["outcome"] == "granted"]


def test_kd_11_a_session_is_not_made_longer(kbs, attested):
    _, _, created_ms, expires_ms = row(kbs)
    rewrite(kbs, created_ms=created_ms + 3_600_000, expires_ms=expires_ms + 3_600_000)
    assert attested.get(PATH)[0] == 503


def test_kd_11_what_one_session_proved_is_not_anothers(kbs, attested, client_of):
    body, expires_ms = row(kbs)[1], row(kbs)[3]
    thief = client_of(kbs)
    thief.auth()
    rewrite(kbs, body=body, state="attested", expires_ms=expires_ms)
    assert thief.get(PATH)[0] == 503


def test_the_owner_reads_who_forged_what(kbs, attested, caplog):
    rewrite(kbs, body=b"{}")
    attested.get(PATH)
    assert "SR-KBS-SESSION-FORGED" in caplog.text
    with pytest.raises(KbsSessionForged) as refusal:
        kbs.store.read(lambda tx: kbs_sessions.attested(tx, row(kbs)[0], by_cookie=True, key=bytes(32)))
    assert refusal.value.code == "SR-KBS-SESSION-FORGED"


def test_an_honest_session_is_still_served(attested):
    assert attested.get(PATH)[0] == 200
