"""The table of `deploy status`: Kubernetes' pods joined with the broker's leases and ledger."""

from datetime import UTC, datetime, timedelta

from strongroom.deploy.cluster.metrics_reading import Load, read
from strongroom.deploy.cluster.objects import pod_of
from strongroom.deploy.cluster.reasons import Heard
from strongroom.deploy.cluster.replicas import address_of, proofs, replica_of, short_image, table

NOW = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
MEASUREMENT = "ab" * 32


def lease(peer="10.244.0.5:41000", *, ends=NOW + timedelta(minutes=5), state="live", name="model/m/1"):
    return {"peer": peer, "measurement": MEASUREMENT, "tcb_status": "UpToDate", "state": state, "secret": name,
            "expires_ms": int(ends.timestamp() * 1000)}  # fmt: skip


def decision(outcome="denied", *, peer="10.244.0.5:41002", code="POLICY_MRENCLAVE"):
    return {"decision": outcome, "peer": peer, "evidence": {"mr_enclave": MEASUREMENT, "status": "UpToDate"},
            "reasons": [{"code": code, "observed": "mrenclave abab"}] if outcome == "denied" else []}  # fmt: skip


def test_a_ready_replica_shows_what_it_measured_and_until_when_it_holds_its_key(pod_answer):
    found = replica_of(pod_of(pod_answer(ready=True)), now=NOW, proof=proofs([lease()], [], now=NOW)["10.244.0.5"],
                       load=(17, 2))  # fmt: skip
    heading, row = table([found])
    shown = dict(zip(heading, row, strict=True))
    assert shown["MEASUREMENT"] == MEASUREMENT[:12]
    assert (shown["LEASE UNTIL"], shown["REQUESTS"], shown["STATE"], shown["AGE"]) == (
        "12:15:00Z",
        "17",
        "ready",
        "10m",
    )
    assert found.to_json_object()["proof"]["lease_until"] == "2026-03-01T12:15:00+00:00"


def test_a_refused_replica_shows_what_only_the_owners_ledger_knows(pod_answer):
    known = proofs([], [decision(), decision("granted")], now=NOW)["10.244.0.5"]
    said = Heard(readyz="waiting for key: the broker closed the connection without a secret")
    found = replica_of(pod_of(pod_answer()), now=NOW, heard=said, proof=known)
    assert "the broker: POLICY_MRENCLAVE" in found.words
    assert "strongroom explain POLICY_MRENCLAVE" in found.fix


def test_a_lapsed_or_ended_lease_is_none():
    past = NOW - timedelta(seconds=1)
    assert proofs([lease(ends=past), lease(state="ended")], [], now=NOW) == {}


def test_of_several_leases_the_first_to_end_counts():
    early = NOW + timedelta(minutes=1)
    found = proofs([lease(), lease(ends=early, name="tls/x")], [], now=NOW)["10.244.0.5"]
    assert (found.lease_until, found.secret) == (early, "tls/x")


def test_a_holder_of_a_lease_is_not_shown_as_refused_for_an_older_refusal():
    assert proofs([lease()], [decision()], now=NOW)["10.244.0.5"].denied == ""


def test_addresses_lose_their_ports():
    assert [address_of(each) for each in ("1.2.3.4:5", "[::1]:5", "::1", "host", "")] == [
        "1.2.3.4",
        "::1",
        "::1",
        "host",
        "",
    ]


def test_two_versions_can_be_told_apart_by_their_images():
    assert short_image("r:5000/x@sha256:" + "ab" * 32) == "@abababababab"
    assert short_image("r:5000/x:v2") == "v2"
    assert short_image("r:5000/x") == "x"


def test_a_replicas_own_failures_are_counted_and_its_callers_mistakes_are_not():
    text = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 40
:tensorflow:serving:request_count{model_name="m",status="INTERNAL"} 2
:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 5
strongroom_requests_in_flight 3
strongroom_ready nan
broken{ 1
"""
    assert read(text) == Load(requests=47, errors=2, in_flight=3)
    assert read("") == Load(requests=0, errors=0, in_flight=0)
