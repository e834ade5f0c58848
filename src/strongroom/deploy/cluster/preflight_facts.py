"""Gather what the preflight judges. World: the API server, kubectl, the workspace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from strongroom.deploy.cluster.api_proxy import Api
from strongroom.deploy.cluster.deployment import Deployment, version_of
from strongroom.deploy.cluster.kubectl_errors import KubectlFailed
from strongroom.deploy.cluster.nodes import asked_by_node, node_of
from strongroom.deploy.cluster.objects import text
from strongroom.deploy.cluster.preflight import ClusterFacts, OwnerFacts
from strongroom.errors import StrongroomError

T = TypeVar("T")
RIGHTS: Final = (("create", "deployments.apps"), ("create", "networkpolicies.networking.k8s.io"),
                 ("create", "pods/exec"), ("get", "pods/proxy"), ("create", "pods/portforward"))  # fmt: skip


def gather(deployment: Deployment, api: Api) -> ClusterFacts:
    """Return what can be seen of the cluster. Raises ClusterUnreachable and the like where nothing can be."""
    version = api.ask("/version")
    kubectl = deployment.kubectl
    asked = _or_none(lambda: asked_by_node(api.items("/api/v1/pods"))) or {}
    return ClusterFacts(
        version=version_of(kubectl.run("get", "--raw=/version")),
        nodes=tuple(
            node_of(each, asked.get(text(each, "metadata", "name"), {}), tolerations=deployment.profile.tolerations)
            for each in api.items("/api/v1/nodes")
        ),
        kinds=_or_none(lambda: frozenset(kubectl.run("api-resources", "-o", "name").decode().split())),
        runtime_classes=_or_none(lambda: _names(api, "/apis/node.k8s.io/v1/runtimeclasses")),
        ingress_classes=_or_none(lambda: _names(api, "/apis/networking.k8s.io/v1/ingressclasses")),
        system_workloads=_or_none(lambda: _names(api, "/apis/apps/v1/namespaces/kube-system/daemonsets")),
        skew_s=skew(version.date, datetime.now(UTC)),
        rights={f"{verb} {what}": may(deployment, verb, what) for verb, what in RIGHTS},
    )


def may(deployment: Deployment, verb: str, what: str) -> bool:
    """Return whether the API server lets this user do that."""
    try:
        answer = deployment.kubectl.run("auth", "can-i", verb, what)
    except KubectlFailed:  # status 1 without a word: no
        return False
    return answer.strip() == b"yes"


def owner_facts(deployment: Deployment, collateral_failure: str | None) -> OwnerFacts:
    """Return what can be seen in the workspace."""
    folder = deployment.workspace.folder
    models = deployment.description.models
    return OwnerFacts(
        sealed={each.name: (folder / each.path).is_dir() for each in models}, collateral_failure=collateral_failure
    )


def skew(date: str | None, now: datetime) -> float | None:
    """Return how far a Date header is ahead of `now`, in seconds; it has no fractions, so less than one counts as 0."""
    if date is None:
        return None
    try:
        found = (parsedate_to_datetime(date) - now).total_seconds()
    except (TypeError, ValueError):
        return None
    return 0.0 if -1.0 <= found <= 0.0 else found


def _names(api: Api, path: str) -> frozenset[str]:
    return frozenset(text(each, "metadata", "name") for each in api.items(path))


def _or_none(ask: Callable[[], T]) -> T | None:
    """Return an answer, None where this cluster has none or does not give it to this user."""
    try:
        return ask()
    except StrongroomError:
        return None
