"""What every deployment is made of, whatever it says: valid, restricted, named and labelled alike."""

import io
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from strongroom.deploy.description import Autoscaling, Engine, Front, Tee
from strongroom.deploy.lint import lint
from strongroom.deploy.yaml_text import to_yaml

OWN_SCHEMAS = ("Gateway", "TLSRoute")  # custom resources: Kubernetes itself has no schema of them
WORKLOADS = ("Deployment", "StatefulSet")
PODS_OF = "app.kubernetes.io/component"


def pods(found):
    return [each for each in found if each["kind"] in WORKLOADS]


def containers(pod):
    spec = pod["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", [(1, 25), (1, 30), (1, 37)])
def test_every_object_is_what_that_kubernetes_takes_and_holds_no_unknown_field(built, combinations, version):
    checked = set()
    for words in combinations[:: 1 if version == (1, 30) else 3]:
        for each in built(kubernetes=version, **words):
            if each["kind"] not in OWN_SCHEMAS and repr(each) not in checked:
                checked.add(repr(each))
                kubernetes_validate.validate(each, f"{version[0]}.{version[1]}", strict=True)
    assert len(checked) > 40


def test_the_lint_finds_nothing_but_tags(built, combinations):
    found = {(each.rule.id, each.why) for words in combinations for each in lint(built(**words))}
    assert {rule for rule, _ in found} <= {"K08"}  # images are pinned once they are built


def test_dp_01_no_container_has_rights_a_writable_image_or_a_token(built, combinations):
    for words in combinations:
        for pod in pods(built(**words)):
            spec = pod["spec"]["template"]["spec"]
            is_adapter = pod["metadata"]["labels"][PODS_OF] == "metrics-adapter"
            assert spec["automountServiceAccountToken"] is is_adapter
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
            for each in containers(pod):
                assert each["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert {"requests", "limits"} <= each["resources"].keys()
                assert "env" not in each


def test_dp_02_the_only_folder_of_a_node_is_aesmds_where_a_profile_needs_it(built, combinations, one):
    for words in combinations:
        found = built(**words)
        volumes = [each for pod in pods(found) for each in pod["spec"]["template"]["spec"].get("volumes", [])]
        mounted = [each["hostPath"]["path"] for each in volumes if "hostPath" in each]
        needed = words.get("tee") is Tee.SGX  # Gramine asks the node's aesmd for quotes
        assert mounted == (["/var/run/aesmd"] if needed else [])
        level = one(found, "Namespace", words.get("namespace", "strongroom"))["metadata"]["labels"]
        assert level["pod-security.kubernetes.io/enforce"] == ("privileged" if needed else "restricted")
        assert level["pod-security.kubernetes.io/warn"] == "restricted"


def test_dp_03_no_object_is_a_secret(built, combinations):
    assert not [each for words in combinations for each in built(**words) if each["kind"] == "Secret"]


def test_dp_08_a_selector_chooses_the_pods_of_one_component_and_every_workload_is_chosen(built, combinations):
    for words in combinations:
        found = built(**words)
        labels = {each["metadata"]["labels"][PODS_OF]: each["spec"]["template"]["metadata"]["labels"]
                  for each in pods(found)}  # fmt: skip
        for each in found:
            selector = each.get("spec", {}).get("selector")
            if each["kind"] in {*WORKLOADS, "PodDisruptionBudget"}:
                selector = selector["matchLabels"]
            if selector and each["kind"] in {"Service", *WORKLOADS, "PodDisruptionBudget"}:
                chosen = [name for name, its in labels.items() if selector.items() <= its.items()]
                assert chosen == [each["metadata"]["labels"][PODS_OF]]


def test_names_begin_with_the_deployments_and_objects_lie_in_its_namespace(built, combinations):
    for words in combinations:
        name, namespace = words.get("name", "strongroom"), words.get("namespace", "strongroom")
        for each in built(**words):
            meta = each["metadata"]
            assert meta["name"].startswith(f"{name}-") or each["kind"] in {"Namespace", "APIService"}
            assert meta.get("namespace") in {namespace, None, "kube-system"}
            assert meta["labels"]["app.kubernetes.io/instance"] == name


def test_objects_come_before_those_that_need_them(built):
    order = [each["kind"] for each in built(autoscaling=Autoscaling(least=1, most=4, requests_in_flight=8))]
    assert order[0] == "Namespace"
    assert order.index("ServiceAccount") < order.index("StatefulSet") < order.index("Deployment")
    assert order.index("NetworkPolicy") < order.index("StatefulSet")


@pytest.mark.parametrize(
    ("version", "versions"),
    [
        ((1, 20), {"policy/v1beta1", "autoscaling/v2beta2"}),
        ((1, 21), {"policy/v1", "autoscaling/v2beta2"}),
        ((1, 23), {"policy/v1", "autoscaling/v2"}),
        ((1, 37), {"policy/v1", "autoscaling/v2"}),
    ],
)
def test_api_versions_are_those_that_the_target_has(built, version, versions):
    scaled = Autoscaling(least=1, most=4, requests_in_flight=8)
    found = built(kubernetes=version, autoscaling=scaled)
    assert versions == {each["apiVersion"] for each in found if each["kind"].endswith(("Budget", "Autoscaler"))}


def test_a_broker_by_address_has_an_object_that_its_kubernetes_knows(built):
    old = built(kubernetes=(1, 20), broker="10.1.2.3:4433")
    assert "Endpoints" in {each["kind"] for each in old}
    assert "EndpointSlice" in {each["kind"] for each in built(kubernetes=(1, 21), broker="10.1.2.3:4433")}


def test_what_is_written_pleases_a_linter_of_yaml(built, combinations, tmp_path):
    for number, words in enumerate(combinations[::8]):
        (tmp_path / f"{number}.yaml").write_text(to_yaml(built(**words), comment="What these are."))
    yamllint = Path(sys.executable).with_name("yamllint")
    rules = "{extends: default, rules: {line-length: {max: 160}}}"
    done = subprocess.run([yamllint, "--strict", "-d", rules, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_yaml_holds_the_objects_that_were_built(built):
    found = built(front=Front.GATEWAY)
    assert list(yaml.safe_load_all(io.StringIO(to_yaml(found)))) == list(found)


def test_tensorflow_serving_is_not_asked_over_http_and_offers_no_rest(built, one):
    found = built(tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING)
    pod = one(found, "Deployment", "strongroom-model-server")["spec"]["template"]["spec"]["containers"][0]
    assert pod["command"] == ["gramine-sgx", "/app/tensorflow_model_server"]
    assert pod["readinessProbe"]["tcpSocket"] == {"port": "grpc"}
    assert [each["port"] for each in one(found, "Service", "strongroom-front")["spec"]["ports"]] == [8500]
