"""How the objects of a deployment are called and labelled. Pure.

Selectors use instance and component alone, so that each matches exactly the pods of its component (threats DP-08);
the other labels may change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from strongroom.deploy.description import Description

Object: TypeAlias = dict[str, Any]  # a Kubernetes object, or a part of one, as JSON has it

MODEL_SERVER: Final = "model-server"
BROKER: Final = "broker"
FRONT: Final = "front"
SIMULATED_PLATFORM: Final = "simulated-platform"
METRICS_ADAPTER: Final = "metrics-adapter"

LABEL: Final = "app.kubernetes.io"
USER_ID: Final = 10001  # of every container: no user of a node, no root

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
HEALTH_PORT: Final = 8502
GRAMINE_PORT: Final = 4433
KBS_PORT: Final = 8080
ADMIN_PORT: Final = 8443


def object_name(description: Description, part: str) -> str:
    """Return NAME-PART, the name of an object of a deployment."""
    return f"{description.name}-{part}"


def service_account(description: Description, component: str) -> str:
    """Return the name of a component's service account."""
    return object_name(description, component)


def labels(description: Description, component: str | None = None) -> dict[str, str]:
    """Return the labels of an object; of a component's, or of the deployment as a whole."""
    found = {f"{LABEL}/name": "strongroom", f"{LABEL}/instance": description.name}
    if component is not None:
        found[f"{LABEL}/component"] = component
    return {**found, f"{LABEL}/part-of": "strongroom", f"{LABEL}/managed-by": "strongroom"}


def selector(description: Description, component: str) -> dict[str, str]:
    """Return the labels that choose exactly the pods of a component."""
    return {f"{LABEL}/instance": description.name, f"{LABEL}/component": component}


def head(
    description: Description,
    api_version: str,
    kind: str,
    name: str,
    *,
    component: str | None = None,
    annotations: Mapping[str, str] | None = None,
    namespaced: bool = True,
) -> Object:
    """Return apiVersion, kind and metadata: the beginning of every object."""
    metadata: Object = {"name": name}
    if namespaced:
        metadata["namespace"] = description.namespace
    metadata["labels"] = labels(description, component)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def broker_service_names(name: str, namespace: str) -> tuple[str, str]:
    """Return the DNS names under which pods reach a broker in the cluster; its certificate has to hold them."""
    return f"{name}-broker", f"{name}-broker.{namespace}.svc"
