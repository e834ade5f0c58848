"""The metrics adapter: a small pod that tells the autoscaler how busy the replicas are. Pure.

The only pod with a token of the API server. What the token may: read by what the API server is known, and read and
change the one APIService below, into which the adapter writes the CA that it makes at start. So no object holds a key,
and the API server checks a real certificate (decision 22).
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description, Role
from strongroom.deploy.kubernetes.naming import (
    HEALTH_PORT,
    METRICS_ADAPTER,
    MODEL_SERVER,
    Object,
    head,
    object_name,
    selector,
    service_account,
)
from strongroom.deploy.kubernetes.network import ADAPTER_PORT
from strongroom.deploy.kubernetes.pods import (
    container,
    http_get,
    pod_template,
    port,
    probes,
    resources,
)
from strongroom.deploy.kubernetes.replica import STRONGROOM
from strongroom.deploy.kubernetes.scaling import REQUESTS_IN_FLIGHT

METRICS_GROUP: Final = "external.metrics.k8s.io"
API_SERVICE: Final = f"v1beta1.{METRICS_GROUP}"
_RBAC: Final = "rbac.authorization.k8s.io"
FRONT_PROXY: Final = "extension-apiserver-authentication"  # by what the API server is known; it is in kube-system


def metrics_adapter(description: Description) -> tuple[Object, ...]:
    """Return the adapter's objects, where the description asks for autoscaling."""
    if description.autoscaling is None:
        return ()
    return (
        *_roles(description),
        *_reading(description),
        _service(description),
        _deployment(description),
        _api_service(description),
    )


def wide_name(name: str, namespace: str) -> str:
    """Return what the role and its binding are called, which are the whole cluster's."""
    return f"{namespace}-{name}-{METRICS_ADAPTER}"


def _roles(description: Description) -> tuple[Object, Object]:
    name = wide_name(description.name, description.namespace)
    rules = [
        {
            "apiGroups": ["apiregistration.k8s.io"],
            "resources": ["apiservices"],
            "resourceNames": [API_SERVICE],
            "verbs": ["get", "patch"],
        },
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [FRONT_PROXY], "verbs": ["get"]},
    ]
    subject = {
        "kind": "ServiceAccount",
        "name": service_account(description, METRICS_ADAPTER),
        "namespace": description.namespace,
    }
    return (
        {**_head(description, f"{_RBAC}/v1", "ClusterRole", name, namespaced=False), "rules": rules},
        {
            **_head(description, f"{_RBAC}/v1", "ClusterRoleBinding", name, namespaced=False),
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
    )


def _reading(description: Description) -> tuple[Object, Object]:
    """Return what lets Kubernetes' autoscaler read the metric; its own role has no external metrics, seen with 1.20."""
    name = object_name(description, METRICS_ADAPTER)
    rule = {"apiGroups": [METRICS_GROUP], "resources": [REQUESTS_IN_FLIGHT], "verbs": ["get", "list"]}
    subject = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
    return (
        {**_head(description, f"{_RBAC}/v1", "Role", name), "rules": [rule]},
        {
            **_head(description, f"{_RBAC}/v1", "RoleBinding", name),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    )


def _service(description: Description) -> Object:
    ports = [{"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}]
    return {
        **_head(description, "v1", "Service", object_name(description, METRICS_ADAPTER)),
        "spec": {"type": "ClusterIP", "selector": selector(description, METRICS_ADAPTER), "ports": ports},
    }


def _deployment(description: Description) -> Object:
    return {
        **_head(description, "apps/v1", "Deployment", object_name(description, METRICS_ADAPTER)),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": selector(description, METRICS_ADAPTER)},
            "strategy": {"type": "Recreate"},  # the APIService holds the CA of one adapter
            "template": pod_template(
                description,
                METRICS_ADAPTER,
                {
                    "automountServiceAccountToken": True,
                    "terminationGracePeriodSeconds": 15,
                    "containers": [_container(description)],
                },
            ),
        },
    }


def _container(description: Description) -> Object:
    replicas = f"{object_name(description, MODEL_SERVER)}-headless.{description.namespace}.svc:{HEALTH_PORT}"
    command = (
        *STRONGROOM,
        "deploy",
        "metrics-adapter",
        f"--deployment={object_name(description, MODEL_SERVER)}",
        f"--service={object_name(description, METRICS_ADAPTER)}",
        f"--namespace={description.namespace}",
        f"--replicas={replicas}",
        f"--port={ADAPTER_PORT}",
    )
    return container(
        METRICS_ADAPTER,
        description.image(Role.MODEL_SERVER),
        command,
        ports=[port("https", ADAPTER_PORT)],
        **probes(
            http_get("/healthz", "https", scheme="HTTPS"), http_get("/readyz", "https", scheme="HTTPS"), start_s=60
        ),
        resources=resources(cpu="20m", cpu_limit="500m", memory="128Mi"),
    )


def _api_service(description: Description) -> Object:
    return {
        **_head(description, "apiregistration.k8s.io/v1", "APIService", API_SERVICE, namespaced=False),
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {
                "name": object_name(description, METRICS_ADAPTER),
                "namespace": description.namespace,
                "port": 443,
            },
        },
    }


def _head(description: Description, api_version: str, kind: str, name: str, *, namespaced: bool = True) -> Object:
    return head(description, api_version, kind, name, component=METRICS_ADAPTER, namespaced=namespaced)
