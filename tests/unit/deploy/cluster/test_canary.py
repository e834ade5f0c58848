"""The old version started once more: a pod that can never serve, and what the ledger says of it."""

from strongroom.deploy.cluster.canary import GATE, Verdict, canary_of, refusals, verdict
from strongroom.deploy.description import Description

OLD = "ab" * 32
DEPLOYMENT = {
    "spec": {
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/instance": "strongroom"}},
            "spec": {"containers": [{"name": "model-server", "image": "x:v1"}], "restartPolicy": "Always"},
        }
    }
}


def line(outcome, *, measured=OLD, peer="10.1.1.1:5", code="POLICY_REVOKED"):
    evidence = {"mr_enclave": measured} if measured else None
    return {"decision": outcome, "peer": peer, "evidence": evidence, "reasons": [{"code": code}]}


def test_it_can_never_become_ready_and_no_replica_set_takes_it():
    found = canary_of(Description(), DEPLOYMENT)
    assert found["spec"]["readinessGates"] == [{"conditionType": GATE}]
    assert found["spec"]["restartPolicy"] == "Never"
    assert found["spec"]["containers"] == DEPLOYMENT["spec"]["template"]["spec"]["containers"]
    assert "pod-template-hash" not in found["metadata"]["labels"]


def test_a_refusal_proves_that_the_old_version_is_out():
    assert verdict([line("denied")], [OLD], address="10.1.1.1") == (Verdict.REFUSED, "POLICY_REVOKED")


def test_a_single_release_disproves_it():
    assert verdict([line("denied"), line("granted")], [OLD], address="")[0] is Verdict.ADMITTED


def test_decisions_about_others_prove_nothing():
    assert verdict([line("denied", measured="cd" * 32)], [OLD], address="10.1.1.1")[0] is Verdict.NOT_ASKED
    assert verdict([], [OLD], address="10.1.1.1")[0] is Verdict.NOT_ASKED


def test_a_refusal_before_evidence_was_read_counts_for_the_canarys_own_address():
    assert verdict([line("denied", measured="")], [OLD], address="10.1.1.1")[0] is Verdict.REFUSED
    assert verdict([line("denied", measured="")], [OLD], address="10.1.1.2")[0] is Verdict.NOT_ASKED


def test_refusals_of_the_new_version_are_counted():
    assert refusals([line("denied"), line("granted"), line("denied", measured="cd" * 32)], OLD) == 1
    assert refusals([line("denied", measured="")], "") == 0
