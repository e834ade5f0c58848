"""What a deployment has outside of its namespace is found, and only its own; a stand-in for kubectl answers."""

import json
import sys

import pytest

from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.cluster.kubectl_errors import ClusterUnreachable
from strongroom.deploy.cluster.wide import known_kinds, wide

PROGRAM = """#!{python}
import json, pathlib, sys
answers = json.loads(pathlib.Path({answers!r}).read_text())
line = " ".join(sys.argv[1:]).replace("--namespace=ns", "").replace("--namespaced=true", "")
for part, (out, err) in answers.items():
    if part in line:
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(1 if err else 0)
"""


@pytest.fixture
def kubectl(tmp_path):
    def make(**answers):
        place = tmp_path / "answers.json"
        place.write_text(json.dumps({name.replace("_", "-"): value for name, value in answers.items()}))
        program = tmp_path / "kubectl"
        program.write_text(PROGRAM.format(python=sys.executable, answers=str(place)))
        program.chmod(0o700)
        return Kubectl(namespace="ns", program=str(program))

    return make


def said(value):
    return json.dumps(value), ""


def api_service(namespace):
    return {"kind": "APIService", "spec": {"service": {"name": "serving-metrics-adapter", "namespace": namespace}}}


def test_the_role_and_the_apiservice_are_found_the_apiservice_first(kubectl):
    found = wide(kubectl(apiservices=said(api_service("ns")), clusterrole=said({"kind": "Some role"})), "serving")
    assert [each["kind"] for each in found] == ["APIService", "Some role", "Some role"]


def test_the_apiservice_of_another_is_left_alone(kubectl):
    assert wide(kubectl(apiservices=said(api_service("other"))), "serving") == ()
    assert wide(kubectl(apiservices=said(api_service("ns"))), "other") == ()


def test_who_may_not_look_has_not_made_any(kubectl):
    refusal = ("", 'Error from server (Forbidden): clusterroles is forbidden: User "jane" cannot get resource\n')
    assert wide(kubectl(get=refusal), "serving") == ()


def test_kinds_are_known_from_the_servers_list(kubectl):
    made = kubectl(api_resources=("services\njobs.batch\n", ""))
    assert known_kinds(made, ["services", "tlsroutes.gateway.networking.k8s.io", "jobs.batch"]) == [
        "services", "jobs.batch"
    ]  # fmt: skip


def test_an_adapter_that_does_not_answer_yet_hides_no_kind(kubectl):
    broken = "external.metrics.k8s.io/v1beta1: the server is currently unable to handle the request"
    list_error = f"error: unable to retrieve the complete list of server APIs: {broken}\n"
    unknown = ("", 'error: the server doesn\'t have a resource type "tlsroutes"\n')
    made = kubectl(api_resources=("services\n", list_error), tlsroutes=unknown, get=("", ""))
    assert known_kinds(made, ["services", "tlsroutes"]) == ["services"]


def test_a_cluster_that_does_not_answer_is_no_empty_one(kubectl):
    with pytest.raises(ClusterUnreachable):
        known_kinds(kubectl(api_resources=("", "The connection to the server was refused\n")), ["services"])


def test_what_old_api_servers_cannot_apply_is_applied_by_kubectl_itself(kubectl):
    answer = {"kind": "List", "items": [{"kind": "Service"}, {"kind": "ConfigMap"}]}
    made = kubectl(server_side=said(answer), apply=said({"kind": "APIService"}))
    service, other = {"kind": "Service", "apiVersion": "v1"}, {"apiVersion": "apiregistration.k8s.io/v1"}
    assert [each["kind"] for each in json.loads(made.apply([service, other]))["items"]] == [
        "Service", "ConfigMap", "APIService"
    ]  # fmt: skip
    assert json.loads(made.apply([service])) == answer
    assert json.loads(made.apply([{"apiVersion": "autoscaling/v2beta2"}]))["items"] == [{"kind": "APIService"}]
