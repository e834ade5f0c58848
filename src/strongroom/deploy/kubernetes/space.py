"""The namespace with its Pod Security labels, the service accounts, and the owner's public files. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Front
from strongroom.deploy.kubernetes.model_server import aesmd_folder
from strongroom.deploy.kubernetes.naming import (
    BROKER,
    FRONT,
    METRICS_ADAPTER,
    MODEL_SERVER,
    Object,
    head,
    object_name,
    service_account,
)

LEVELS = ("enforce", "audit", "warn")


def namespace(description: Description, profile: Profile) -> Object:
    """Return the namespace. All pods keep to "restricted"; a socket of the node (hostPath) alone needs "privileged"."""
    found = head(description, "v1", "Namespace", description.namespace, namespaced=False)
    for level in LEVELS:
        needs_more = level == "enforce" and aesmd_folder(description, profile) is not None
        found["metadata"]["labels"][f"pod-security.kubernetes.io/{level}"] = (
            "privileged" if needs_more else "restricted"
        )
    return found


def components(description: Description) -> tuple[str, ...]:
    """Return the components that have pods of our own."""
    found = [MODEL_SERVER]
    if description.broker is None:
        found.append(BROKER)
    if description.front is Front.NGINX:
        found.append(FRONT)
    if description.autoscaling:
        found.append(METRICS_ADAPTER)
    return tuple(sorted(found))


def service_accounts(description: Description) -> tuple[Object, ...]:
    """Return one account for each component; a pod has a token only if it says so itself, as the metrics adapter."""
    return tuple(
        {
            **head(description, "v1", "ServiceAccount", service_account(description, each), component=each),
            "automountServiceAccountToken": False,
        }
        for each in components(description)
    )


def trust(description: Description, files: Mapping[str, str]) -> tuple[Object, ...]:
    """Return the ConfigMap by which clients in the cluster know replicas and bundles; the images hold it as well."""
    if not files:
        return ()
    name = object_name(description, "trust")
    return ({**head(description, "v1", "ConfigMap", name), "data": dict(sorted(files.items()))},)
