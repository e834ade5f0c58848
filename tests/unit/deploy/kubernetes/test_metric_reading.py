"""Kubernetes' autoscaler may read the one metric that it goes by, in the one namespace, and nothing else."""

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import Autoscaling, Description
from strongroom.deploy.kubernetes import objects


def test_the_autoscaler_may_read_the_metric_that_it_is_given():
    description = Description(autoscaling=Autoscaling(least=1, most=3, requests_in_flight=2))
    found = {each["kind"]: each for each in objects(description, GENERIC)}
    role, binding, autoscaler = found["Role"], found["RoleBinding"], found["HorizontalPodAutoscaler"]
    metric = autoscaler["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert role["rules"] == [
        {"apiGroups": ["external.metrics.k8s.io"], "resources": [metric], "verbs": ["get", "list"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
    ]
    assert {each["metadata"]["namespace"] for each in (role, binding)} == {description.namespace}
