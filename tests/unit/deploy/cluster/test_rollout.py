"""The steps of a rollout that are the broker's, against a real store and policy; the cluster's are in tests/e2e."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.admin.opening import open_desk
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster.applying import LintRefuses, refuse_findings
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.cluster.rollout import AwaitsOwners, RolledBack, Rollout, RolloutWaits
from strongroom.deploy.cluster.rollout_mirror import mirror
from strongroom.deploy.cluster.rollout_plan import Outcome, Position, Step
from strongroom.deploy.cluster.rollout_policy import admits
from strongroom.deploy.cluster.rollout_start import RolloutMisnamed, understood
from strongroom.deploy.cluster.rollout_state import RolloutState, load
from strongroom.deploy.description import Description, Role
from strongroom.deploy.images.pinning import pin
from strongroom.pki import signing
from strongroom.workspace import BrokerSettings, Settings, Workspace

OLD, NEW = "ab" * 32, "cd" * 32
RULE = f"""
[[rule]]
name = "tiny"
mrenclave = "{OLD}"
accepted_tcb_status = ["UpToDate"]
trust_domains = ["simulated"]
allow_debug = false
max_collateral_age_days = 7
release = "model/tiny/1"
"""


def made(folder, **broker):
    workspace = Workspace.create(folder, now=datetime.now(UTC))
    with workspace.policy_path.open("a") as file:
        file.write(RULE)
    with open_desk(workspace) as desk:  # as a broker's first start does: the policy is in force before owners count
        desk.status()
    if broker:
        settings = Settings(broker=BrokerSettings(**broker))
        workspace = Workspace(folder, settings)
    return workspace


@pytest.fixture
def workspace(tmp_path):
    return made(tmp_path / "workspace")


def rollout(workspace, step, **state):
    @contextmanager
    def ask():
        with open_desk(workspace) as desk:
            yield desk

    words = {"old_measurements": (OLD,), "new_measurement": NEW, **state}
    kubectl = Kubectl(namespace="x", program="nobody")
    deployment = Deployment(description=Description(), profile=GENERIC, kubectl=kubectl, workspace=workspace, trust={})
    return Rollout(deployment=deployment, api=None, ask=ask, say=lambda _: None,
                   state=RolloutState(label="v2", position=Position(step=step, why="it broke"), **words))  # fmt: skip


def policy(workspace):
    with open_desk(workspace) as desk:
        return desk.show_policy(tenant="default")["text"]


def test_the_new_version_is_admitted_beside_the_old_one_and_withdrawn_without_a_trace(workspace):
    before = policy(workspace)
    going = rollout(workspace, Step.ADMIT)
    going._admit()
    assert admits(policy(workspace), NEW)
    assert admits(policy(workspace), OLD)
    assert load(workspace.folder).rules == going.state.rules != ()
    going._admit()  # again, as after a crash
    going._withdraw()
    assert policy(workspace).rstrip() == before.rstrip()


def test_a_rollout_that_failed_ends_with_the_old_version_and_the_first_failure(workspace):
    rollout(workspace, Step.ADMIT)._admit()
    going = rollout(workspace, Step.WITHDRAW, rules=("tiny -> cdcdcdcd",))
    with pytest.raises(RolledBack, match="v2 was rolled back: it broke") as caught:
        going.run()
    assert caught.value.code == "SR-ROLLOUT-ROLLED-BACK"
    assert [each.outcome for each in going.report] == [Outcome.DONE]
    assert not admits(policy(workspace), NEW)
    assert load(workspace.folder) is None


def test_pl_05_the_old_measurement_is_revoked_at_the_broker_and_the_revocation_can_be_lifted(workspace):
    going = rollout(workspace, Step.REVOKE)
    going._revoke()
    with open_desk(workspace) as desk:
        [found] = desk.list_revocations()
    assert (found["kind"], found["value"], found["lifted_ms"]) == ("measurement", OLD, None)
    going._revoke()  # again, as after a crash
    going.state = rollout(workspace, Step.LIFT).state  # the crash came before its id was remembered
    going._lift()
    with open_desk(workspace) as desk:
        assert [each for each in desk.list_revocations() if each["lifted_ms"] is None] == []


def test_a_policy_that_needs_a_second_owner_stops_the_rollout_and_says_so(tmp_path):
    owners = []
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(signing.public_pem(Ed25519PrivateKey.generate().public_key()))
        owners.append(str(tmp_path / name))
    workspace = made(tmp_path / "workspace", owners=tuple(owners), weakening_votes=2)
    going = rollout(workspace, Step.ADMIT)
    with pytest.raises(AwaitsOwners, match="waits") as caught:
        going.run()
    assert caught.value.code == "SR-ROLLOUT-AWAITS-OWNERS"
    assert load(workspace.folder).proposed
    assert not admits(policy(workspace), NEW)
    assert load(workspace.folder).position.step is Step.ADMIT


def test_a_models_floor_that_cannot_be_raised_waits_instead_of_going_back(workspace):
    going = rollout(workspace, Step.REVOKE, new_measurement="", model="tiny", model_version=2, tenant="nobody")
    with pytest.raises(RolloutWaits) as caught:
        going.run()
    assert caught.value.code == "SR-ROLLOUT-WAITS"
    assert load(workspace.folder).position.step is Step.REVOKE


def test_a_new_model_version_raises_the_floor_of_the_model(workspace):
    rollout(workspace, Step.REVOKE, new_measurement="", model="tiny", model_version=2)._revoke()
    with open_desk(workspace) as desk:
        [floor] = desk.list_floors()
    assert (floor["model"], floor["min_version"]) == ("tiny", 2)


def test_the_owners_workspace_follows_a_broker_that_has_a_copy_of_it(workspace, tmp_path):
    mine = made(tmp_path / "mine")
    for step in (Step.ADMIT, Step.REVOKE):
        going = rollout(workspace, step)
        going._admit() if step is Step.ADMIT else going._revoke()
    with open_desk(workspace) as there, open_desk(mine) as here:
        there.raise_floor(tenant="default", model="tiny", version=3)
        for _ in range(2):
            mirror(there, here)
    assert policy(mine) == policy(workspace)
    assert admits(mine.policy_path.read_text(), NEW)
    with open_desk(mine) as here:
        assert [each["value"] for each in here.list_revocations()] == [OLD]
        assert [each["min_version"] for each in here.list_floors()] == [3]
    rollout(workspace, Step.LIFT)._lift()
    with open_desk(workspace) as there, open_desk(mine) as here:
        mirror(there, here)
        assert [each for each in here.list_revocations() if each["lifted_ms"] is None] == []


DIGEST = f"r:5000/x@sha256:{'ab' * 32}"


def test_a_new_version_is_a_tag_an_image_or_a_models_version(tmp_path):
    found, model, version = understood(Description(), ["v2", "model/tiny/2"], tmp_path)
    assert (found.version, model, version) == ("v2", "tiny", 2)
    found, model, _ = understood(Description(), [f"model-server={DIGEST}"], tmp_path)
    assert (found.image(Role.MODEL_SERVER), model) == (DIGEST, "")


@pytest.mark.parametrize("word", ["", "a b", "model-server=", "broker=r/x:1", "model/tiny/0", "model/../1", "x" * 80])
def test_anything_else_is_no_version(tmp_path, word):
    with pytest.raises(RolloutMisnamed) as caught:
        understood(Description(), [word], tmp_path)
    assert caught.value.code == "SR-ROLLOUT-NEW"


def test_a_tag_does_not_silently_lose_against_a_pinned_digest(tmp_path):
    pin(tmp_path, {Role.MODEL_SERVER: DIGEST})
    with pytest.raises(RolloutMisnamed, match="model-server is pinned"):
        understood(Description(), ["v2"], tmp_path)


def test_what_the_lint_calls_an_error_is_not_applied():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [
        {"name": "x", "image": "x", "securityContext": {"privileged": True}}]}}  # fmt: skip
    with pytest.raises(LintRefuses) as caught:
        refuse_findings([pod], production=True)
    assert caught.value.code == "SR-APPLY-LINT"
