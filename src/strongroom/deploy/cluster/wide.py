"""What a deployment has outside of its namespace: the metrics adapter's role, and its place in the API. World: kubectl.

An APIService that outlives its adapter does harm: while it leads nowhere, no namespace of the cluster can be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.cluster.kubectl_errors import ClusterForbidden, NoSuchKind
from strongroom.deploy.cluster.objects import dig
from strongroom.deploy.kubernetes.adapter import API_SERVICE, wide_name
from strongroom.deploy.kubernetes.naming import METRICS_ADAPTER
from strongroom.errors import StrongroomError

_RBAC: Final = "rbac.authorization.k8s.io"
_INCOMPLETE: Final = "complete list of server APIs"  # what kubectl says while an APIService leads nowhere


def wide(kubectl: Kubectl, name: str) -> tuple[Mapping[str, Any], ...]:
    """Return the live objects of a deployment that are the whole cluster's, in the order in which they may go.

    Who may not look at them has not made them either, so for such a user there are none.
    """
    role = wide_name(name, kubectl.namespace)
    service = _get(kubectl, "apiservices.apiregistration.k8s.io", API_SERVICE)
    owner = dig(service, "spec", "service", kind=dict) if service else None
    ours = owner is not None and (owner.get("namespace"), owner.get("name")) == (
        kubectl.namespace, f"{name}-{METRICS_ADAPTER}"
    )  # fmt: skip
    found = [service if ours else None]
    found += [_get(kubectl, f"{kind}.{_RBAC}", role) for kind in ("clusterrolebindings", "clusterroles")]
    return tuple(each for each in found if each is not None)


def known_kinds(kubectl: Kubectl, wanted: Iterable[str]) -> list[str]:
    """Return those of the namespaced kinds that this cluster knows."""
    words = ("api-resources", "--verbs=list,delete", "--namespaced=true", "-o", "name")
    try:
        known = set(kubectl.run(*words).decode("utf-8", "replace").split())
    except StrongroomError as problem:
        if _INCOMPLETE not in problem.sentence:
            raise
        return [
            each for each in wanted if _is_known(kubectl, each)
        ]  # a metrics adapter that starts is no reason to fail
    return [each for each in wanted if each in known]


def _is_known(kubectl: Kubectl, kind: str) -> bool:
    try:
        kubectl.run("get", kind, "-o", "name")
    except NoSuchKind:
        return False
    return True


def _get(kubectl: Kubectl, kind: str, name: str) -> dict[str, Any] | None:
    try:
        return kubectl.get(kind, name)
    except ClusterForbidden:
        return None
