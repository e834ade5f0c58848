"""One deployment that no rule objects to, and one as the reference guides have it."""

import copy

import pytest

INSTANCE, COMPONENT = "app.kubernetes.io/instance", "app.kubernetes.io/component"


def labels(component):
    return {INSTANCE: "serving", COMPONENT: component}


def server():
    """Return a Deployment of one model server."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serving-model-server", "namespace": "serving"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels("model-server")},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "strongroom", **labels("model-server")}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}
                    },
                    "containers": [
                        {
                            "name": "model-server",
                            "image": "registry.test/strongroom-model-server@sha256:" + "ab" * 32,
                            "command": ["gramine-sgx", "/app/replica"],
                            "ports": [
                                {"name": "grpc", "containerPort": 8500}, {"name": "health", "containerPort": 8502}
                            ],
                            "resources": {
                                "requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}
                            },
                            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}},
                            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "health"}},
                            "securityContext": {
                                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
        },
    }  # fmt: skip


def around():
    """Return what stands beside it: Service, policy, budget, autoscaler, namespace."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serving-model-server"}
    return [
        {"apiVersion": "v1", "kind": "Namespace",
         "metadata": {"name": "serving", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "serving-model-server", "namespace": "serving"},
         "spec": {"selector": labels("model-server"), "ports": [{"name": "grpc", "port": 8500, "targetPort": "grpc"}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
         "metadata": {"name": "serving-model-server", "namespace": "serving"},
         "spec": {"podSelector": {"matchLabels": labels("model-server")}, "policyTypes": ["Ingress", "Egress"],
                  "ingress": [{"from": [{"podSelector": {"matchLabels": labels("front")}}],
                               "ports": [{"protocol": "TCP", "port": 8500}]}],
                  "egress": [{"to": [{"podSelector": {"matchLabels": labels("broker")}}],
                              "ports": [{"protocol": "TCP", "port": 8080}]}]}},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
         "metadata": {"name": "serving-model-server", "namespace": "serving"},
         "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels("model-server")}}},
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
         "metadata": {"name": "serving-model-server", "namespace": "serving"},
         "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 8, "metrics": [
             {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]}},
    ]  # fmt: skip


@pytest.fixture
def sound():
    """Return the objects of a sound deployment, the Deployment first; yours to change."""
    return copy.deepcopy([server(), *around()])


@pytest.fixture
def pod(sound):
    """Return the pod's spec inside of `sound`."""
    return sound[0]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    """Return the only container inside of `sound`."""
    return pod["containers"][0]
