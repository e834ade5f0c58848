"""Every absence that would leave a pod pending is named before, from the API server's own answers (threat DP-06)."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster.nodes import asked_by_node, node_of, requests_of
from strongroom.deploy.cluster.preflight import ClusterFacts, OwnerFacts, examine
from strongroom.deploy.cluster.preflight_facts import skew
from strongroom.deploy.cluster.quantities import amount, gramine_size, shown
from strongroom.deploy.description import Autoscaling, Description, Front, Model, Role, Tee
from strongroom.platforms.machine_findings import Standing

SGX = {"sgx.intel.com__epc": "512Mi", "sgx.intel.com__enclave": "110", "sgx.intel.com__provision": "110"}
PINNED = dict.fromkeys((Role.MODEL_SERVER, Role.MODELS), f"r:5000/x@sha256:{'ab' * 32}")
DESCRIPTION = Description(tee=Tee.SGX, replicas=2, models=(Model(name="m", path="models/m"),), images=PINNED)
OWNER = OwnerFacts(sealed={"m": True}, collateral_failure="")


@pytest.fixture
def facts(node_answer):
    def make(*nodes, asked=None, **more):
        return ClusterFacts(
            version=(1, 30),
            nodes=tuple(node_of(each, (asked or {}).get("node1", {})) for each in nodes or [node_answer(**SGX)]),
            kinds=frozenset(), runtime_classes=frozenset(), ingress_classes=frozenset(),
            system_workloads=frozenset({"calico-node"}), skew_s=0.0, rights={"create deployments.apps": True},
            **more,
        )  # fmt: skip

    return make


def lacking(cluster, owner=OWNER, description=DESCRIPTION, profile=GENERIC):
    return {each.topic: each for each in examine(cluster, owner, description, profile)
            if each.standing is Standing.MISSING}  # fmt: skip


def test_a_cluster_that_has_everything_lacks_nothing(facts):
    assert lacking(facts()) == {}


@pytest.mark.parametrize("resource", ["epc", "enclave", "provision"])
def test_dp_06_a_device_plugin_that_is_not_there_is_named(facts, node_answer, resource):
    present = {name: each for name, each in SGX.items() if not name.endswith(resource)}
    found = lacking(facts(node_answer(**present)))["SGX"]
    assert f"sgx.intel.com/{resource}" in found.sentence
    assert "device plugin" in found.fix


def test_dp_06_too_little_enclave_memory_is_named_with_how_many_replicas_fit(facts):
    found = lacking(facts(), description=replace(DESCRIPTION, replicas=9))["EPC"]
    assert "9 replicas want 64Mi" in found.sentence
    assert "room for 8" in found.sentence


def test_dp_06_enclave_memory_that_other_pods_use_does_not_count(facts, node_answer):
    asked = {"node1": {"sgx.intel.com/epc": amount("500Mi")}}
    assert "room for 0" in lacking(facts(node_answer(**SGX), asked=asked))["EPC"].sentence


def test_dp_06_aesmd_is_named_where_the_profile_needs_it(facts):
    profile = replace(GENERIC, aesmd_socket="/var/run/aesmd")
    found = [each for each in examine(facts(), OWNER, DESCRIPTION, profile) if each.topic == "aesmd"]
    assert "systemctl is-active aesmd" in found[0].sentence


def test_dp_06_collateral_that_cannot_be_reached_is_named(facts):
    owner = replace(OWNER, collateral_failure="connection refused")
    found = lacking(facts(), owner, profile=replace(GENERIC, pccs_url="https://pccs:8081/"))["Collateral"]
    assert "https://pccs:8081/ does not answer: connection refused" in found.sentence


@pytest.mark.parametrize(("topic", "resource"), [("Memory", "memory"), ("CPU", "cpu")])
def test_dp_06_too_little_memory_or_processor_is_named(facts, node_answer, topic, resource):
    found = lacking(facts(node_answer(**SGX, **{resource: "10m"})))[topic]
    assert f"[deploy.resources] {resource}" in found.fix


def test_dp_06_a_runtime_class_that_is_not_there_is_named(facts):
    profile = replace(GENERIC, tdx_runtime_class="kata-qemu-tdx")
    description = replace(DESCRIPTION, tee=Tee.TDX)
    assert "kata-qemu-tdx" in lacking(facts(), description=description, profile=profile)["TDX"].sentence


def test_dp_06_no_node_and_closed_nodes_are_named(facts, node_answer):
    assert "none of 1 nodes" in lacking(facts(node_answer(ready=False, **SGX)))["Nodes"].sentence
    assert "closed for pods" in lacking(facts(node_answer(unschedulable=True, **SGX)))["Nodes"].sentence
    assert "closed for pods" in lacking(facts(node_answer(taints=("sgx",), **SGX)))["Nodes"].sentence


def test_a_taint_that_the_profile_tolerates_closes_no_node(node_answer):
    tainted = node_answer(taints=("sgx",))
    assert node_of(tainted, {}, tolerations=({"key": "sgx", "effect": "NoSchedule"},)).open


@pytest.mark.parametrize("skew_s", [60.0, -60.0])
def test_dp_06_a_clock_that_differs_is_named(facts, skew_s):
    found = lacking(replace(facts(), skew_s=skew_s))["Clock"]
    assert "60 seconds" in found.sentence
    assert ("ahead of" in found.sentence) is (skew_s > 0)


def test_an_older_cluster_than_was_asked_for_is_named(facts):
    found = lacking(replace(facts(), version=(1, 25)))["Kubernetes"]
    assert 'kubernetes = "1.25"' in found.fix
    assert "oldest supported" in lacking(replace(facts(), version=(1, 19)))["Kubernetes"].sentence


def test_images_that_are_not_pinned_are_named_where_secrets_count(facts):
    loose = replace(DESCRIPTION, images={})
    assert "deploy build --push" in lacking(facts(), description=loose)["Images"].fix
    assert "Images" not in lacking(facts(), description=replace(loose, tee=Tee.SIMULATED))


def test_a_model_that_was_not_published_is_named(facts):
    assert "the model m" in lacking(facts(), replace(OWNER, sealed={"m": False}))["Models"].sentence


def test_rights_that_are_not_there_are_named(facts):
    found = lacking(replace(facts(), rights={"create pods/exec": False, "get pods/proxy": True}))["Rights"]
    assert "create pods/exec" in found.sentence
    assert "pods/proxy" not in found.sentence


@pytest.mark.parametrize("front", [Front.GATEWAY, Front.INGRESS])
def test_a_front_that_the_cluster_has_not_is_named(facts, front):
    assert lacking(facts(), description=replace(DESCRIPTION, front=front))["Front"].fix


def test_as_many_replicas_as_an_autoscaler_may_start_have_to_find_room(facts):
    grown = replace(DESCRIPTION, autoscaling=Autoscaling(least=1, most=50, requests_in_flight=8))
    assert "50 replicas" in lacking(facts(), description=grown)["EPC"].sentence


def test_what_cannot_be_seen_is_said_not_to_be_seen(facts):
    cluster = replace(facts(), skew_s=None, system_workloads=None, kinds=None, runtime_classes=None, rights=None)
    notes = {each.topic for each in examine(cluster, OWNER, DESCRIPTION, GENERIC) if each.standing is Standing.ABSENT}
    assert {"Clock", "NetworkPolicy"} <= notes
    assert lacking(cluster) == {}


def test_what_pods_ask_for_is_added_up_by_node():
    pod = {
        "spec": {
            "nodeName": "node1",
            "containers": [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {"requests": {"cpu": "1"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}],
        },
        "status": {"phase": "Running"},
    }
    assert requests_of(pod) == {"cpu": Decimal(2), "memory": Decimal(1024**3)}
    ended = {**pod, "status": {"phase": "Succeeded"}}
    assert asked_by_node([pod, pod, ended])["node1"]["cpu"] == 4


def test_a_date_header_has_no_fractions():
    now = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
    assert skew("Sun, 01 Mar 2026 12:00:00 GMT", now) == 0.0
    assert skew("Sun, 01 Mar 2026 12:01:00 GMT", now) == pytest.approx(59.1)
    assert skew("yesterday", now) is None
    assert skew(None, now) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", "0.1"), ("2", "2"), ("1Gi", str(1024**3)), ("1.5G", "1500000000"), ("1e3", "1000"), ("x", "0"), ("", "0"),
     ("12345678901234567890123", "0")],
)  # fmt: skip
def test_amounts_are_read_as_kubernetes_reads_them(text, value):
    assert amount(text) == Decimal(value)


def test_sizes_are_written_for_people():
    assert shown(gramine_size("4G")) == "4Gi"
    assert shown(amount("1536Mi")) == "1.5Gi"
    assert shown(Decimal(12)) == "12"


@given(st.text())
def test_any_text_is_some_amount(text):
    assert amount(text) >= 0
