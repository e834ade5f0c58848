"""Take a deployment out of its cluster. World: kubectl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.deploy.cluster import applying, changes
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.objects import text
from strongroom.deploy.cluster.wide import wide
from strongroom.deploy.kubernetes.naming import LABEL

CLAIMS: Final = "persistentvolumeclaims"
HELM: Final = "Helm"  # who manages what a chart has made


def doomed(deployment: Deployment, *, everything: bool = False) -> tuple[Mapping[str, Any], ...]:
    """Return what goes: workloads first, so that nothing is started again; volumes and namespace only if asked."""
    name, kubectl = deployment.description.name, deployment.kubectl
    if kubectl.get("namespace", kubectl.namespace) is None:
        return wide(kubectl, name)
    charted = tuple(each for each in applying.ours(kubectl, name, manager=HELM) if each not in wide(kubectl, name))
    found = changes.gone((*applying.ours(kubectl, name), *charted), ())
    found = (*found, *kubectl.list(("secrets",), {"owner": "helm", "name": name}))  # helm's own records of the release
    if not everything:
        return found
    claims = kubectl.list((CLAIMS,), {f"{LABEL}/instance": name})
    namespace = kubectl.get("namespace", kubectl.namespace)
    mine = namespace is not None and text(namespace, "metadata", "labels", f"{LABEL}/instance") == name
    return (*found, *claims, *((namespace,) if mine and namespace else ()))


def delete(deployment: Deployment, objects: Sequence[Mapping[str, Any]]) -> None:
    """Delete the objects, kind by kind; what is gone already counts as deleted."""
    by_kind: dict[str, list[str]] = {}
    for each in objects:
        by_kind.setdefault(applying.kind_of(each), []).append(text(each, "metadata", "name"))
    for kind, names in by_kind.items():
        deployment.kubectl.delete(kind, names)
