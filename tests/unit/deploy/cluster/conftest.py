"""API answers as a cluster gives them, in short: what a test changes is an argument."""

import pytest


def pod(name="strongroom-model-server-1", *, component="model-server", **more):
    status = {
        "phase": more.get("phase", "Running"),
        "podIP": more.get("address", "10.244.0.5"),
        "conditions": [
            {"type": "Ready", "status": "True" if more.get("ready") else "False"},
            *more.get("conditions", []),
        ],
        "containerStatuses": more.get("containers", [{"name": component, "image": "localhost:5000/x:v1", "ready": False,
                                                      "restartCount": 0, "state": {"running": {}}}]),
        "initContainerStatuses": more.get("init", []),
    }  # fmt: skip
    labels = {
        "app.kubernetes.io/instance": "strongroom",
        "app.kubernetes.io/component": component,
        "pod-template-hash": more.get("template", "abc"),
        **more.get("labels", {}),
    }
    return {
        "metadata": {"name": name, "uid": name, "labels": labels, "creationTimestamp": "2026-03-01T12:00:00Z",
                     **({"deletionTimestamp": "2026-03-01T12:05:00Z"} if more.get("leaving") else {})},
        "spec": {"nodeName": more.get("node", "node1"), "containers": [{"name": component, "image": "r:5000/x:v1"}]},
        "status": status,
    }  # fmt: skip


@pytest.fixture(scope="session")
def pod_answer():
    return pod


def node(name="node1", *, ready=True, taints=(), unschedulable=False, images=(), **allocatable):
    found = {"cpu": "4", "memory": "16Gi", "pods": "110"} | {
        each.replace("__", "/"): v for each, v in allocatable.items()
    }
    return {
        "metadata": {"name": name, "labels": {}},
        "spec": {"taints": [{"key": each, "effect": "NoSchedule"} for each in taints], "unschedulable": unschedulable},
        "status": {
            "allocatable": found,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "images": [{"names": list(images)}],
        },
    }


@pytest.fixture(scope="session")
def node_answer():
    return node
