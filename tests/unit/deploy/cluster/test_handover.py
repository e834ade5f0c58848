"""What leaves the owner's machine for a simulated cluster: an allow-list, never an object, never for a real TEE."""

import base64
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strongroom.broker.opening import opened_workspace
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster import handover
from strongroom.deploy.cluster.applying import rendered
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.handover import HandoverRefused, HandoverTooLong
from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.description import Description, Model, Tee
from strongroom.deploy.kubernetes.broker import RECEIVE
from strongroom.deploy.kubernetes.replica import WORK
from strongroom.pki import keys, names
from strongroom.workspace import BrokerSettings, Settings, Workspace

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    found = Workspace.create(tmp_path_factory.mktemp("owner") / "workspace", now=NOW)
    handover.world_of(found, now=NOW)
    return found


@pytest.fixture(scope="module")
def unpacked(workspace, tmp_path_factory):
    content = handover.workspace_archive(Description(), workspace, now=NOW)
    work = tmp_path_factory.mktemp("pod")
    receive = [word.replace(f"{WORK}/", f"{work}/") for word in RECEIVE]  # what kubectl exec runs in the pod
    subprocess.run(receive, input=content, check=True)
    return work / "workspace"


def test_a_broker_opens_what_was_handed_over(unpacked):
    there = Workspace.open(unpacked)
    assert "localhost" in there.settings.broker.names  # where a forwarded port ends
    with opened_workspace(there) as found:
        assert found.ledger.head().seq >= 0


def test_the_brokers_certificate_holds_the_names_of_its_service(unpacked):
    there = Workspace.open(unpacked)
    leaf = there.broker_identity(now=NOW)  # would renew it, and has no CA key to do so
    certificate = keys.load_certificates(leaf.certificate_pem)[0]
    found = {name.value for name in names.names_of(certificate)}
    assert {"strongroom-broker", "strongroom-broker.strongroom.svc"} <= found


@pytest.mark.parametrize("secret", ["ca/ca_key.pem", "signing/owner_key.pem", "admin/owner/key.pem"])
def test_keys_that_the_broker_does_not_need_stay_with_their_owner(workspace, unpacked, secret):
    assert (workspace.folder / secret).exists()
    assert not (unpacked / secret).exists()


def test_the_owner_can_administer_what_was_handed_over(workspace, unpacked):
    mine = (workspace.folder / "admin/owner/cert.pem").read_bytes()
    assert (unpacked / "admin/owner/cert.pem").read_bytes() == mine


def test_the_collateral_of_the_simulated_world_goes_along(unpacked):
    assert (unpacked / "trust/anchors/world.der").exists()
    assert list((unpacked / "trust/collateral").glob("*.json"))


def test_nobody_else_may_read_what_was_unpacked(unpacked):
    modes = {path.stat().st_mode & 0o077 for path in unpacked.rglob("*")}
    assert modes == {0}


@pytest.mark.parametrize("tee", [Tee.SGX, Tee.TDX])
def test_for_a_real_tee_it_is_refused_with_the_reason(workspace, tee):
    with pytest.raises(HandoverRefused, match="which the operator of the cluster can read") as caught:
        handover.workspace_archive(Description(tee=tee), workspace, now=NOW)
    assert caught.value.code == "SR-HANDOVER-REFUSED"
    assert 'broker = "HOST:PORT"' in caught.value.fix


RULE = """
[[rule]]
name = "resnet50"
mrenclave = "{}"
accepted_tcb_status = ["UpToDate"]
trust_domains = [{}]
allow_debug = false
max_collateral_age_days = 7
release = "model/resnet50/1"
"""


def test_keys_that_a_rule_keeps_to_real_tees_never_go_where_an_operator_reads_memory(tmp_path):
    mixed = Workspace.create(tmp_path / "workspace", now=NOW)
    with mixed.policy_path.open("a") as file:
        file.write(RULE.format("ab" * 32, '"simulated", "intel"'))
    handover.workspace_archive(Description(), mixed, now=NOW)
    with mixed.policy_path.open("a") as file:
        file.write(RULE.format("cd" * 32, '"intel"').replace("resnet50", "payroll"))
    with pytest.raises(HandoverRefused, match="'payroll' releases model/payroll/1 on real TEEs alone") as caught:
        handover.workspace_archive(Description(), mixed, now=NOW)
    assert "a workspace for the rehearsal" in caught.value.fix


def test_a_root_key_that_is_not_a_file_cannot_be_handed_over(workspace):
    locked = replace(workspace, settings=Settings(broker=BrokerSettings(root="passphrase")))
    with pytest.raises(HandoverRefused, match="root key is not a file"):
        handover.check(Description(), locked)


def test_a_workspace_that_does_not_fit_into_the_pods_memory_is_refused(workspace, monkeypatch):
    monkeypatch.setattr(handover, "MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(HandoverTooLong) as caught:
        handover.workspace_archive(Description(), workspace, now=NOW)
    assert caught.value.code == "SR-HANDOVER-SIZE"


def test_the_only_secret_object_is_the_simulated_world_and_says_what_it_is_worth(workspace):
    found = handover.world_secret(Description(), workspace)
    assert "keeps nothing secret" in found["metadata"]["annotations"]["strongroom/simulated"]
    root = base64.b64decode(found["data"]["root.pem"])
    assert root == (workspace.folder / "world/root.pem").read_bytes()


def test_a_world_is_made_once(workspace):
    before = (workspace.folder / "world/root.pem").read_bytes()
    handover.world_of(workspace, now=NOW)
    assert (workspace.folder / "world/root.pem").read_bytes() == before


def test_the_settings_there_say_nothing_of_this_machine():
    text = b"""version = 1
[broker]
names = ["a.example"]
root = "file"
store = "other.db"
kbs_rate = 7
owners = ["/home/me/a.pem", "b.pem"]
weakening_votes = 2
[deploy]
replicas = 3
[collateral]
sources = ["intel-pcs"]
"""
    found = Settings.parse(handover.settings_there(text, ("x-broker",)))
    assert (found.broker.names, found.broker.kbs_rate, found.broker.store) == (("x-broker",), 7, "broker.db")
    assert found.broker.owners == ("owner-0.pem", "owner-1.pem")
    assert (found.deploy, dict(found.collateral)) == (None, {"sources": ["intel-pcs"]})


@pytest.mark.parametrize("tee", [Tee.SGX, Tee.TDX])
def test_a_broker_of_real_tees_in_the_cluster_is_refused_before_anything_is_applied(workspace, tee):
    description = Description(tee=tee, models=(Model(name="m", path="models/m"),))
    deployment = Deployment(
        description=description, profile=GENERIC, kubectl=Kubectl(namespace="x", program="nobody"), workspace=workspace,
        trust={},
    )  # fmt: skip
    with pytest.raises(HandoverRefused, match="the operator of the cluster can read"):
        rendered(deployment, now=NOW)
