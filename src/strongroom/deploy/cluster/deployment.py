"""What the verbs act on: one workspace's description, its profile, and the cluster that kubectl reaches.

World: the workspace's public files, and the cluster's version where strongroom.toml names none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom.deploy import opening
from strongroom.deploy.clouds import Profile
from strongroom.deploy.cluster.kubectl import Kubectl, read_object
from strongroom.deploy.cluster.objects import text
from strongroom.deploy.description import OLDEST_KUBERNETES, Description
from strongroom.deploy.kubernetes.naming import MODEL_SERVER, object_name
from strongroom.errors import BadInput
from strongroom.workspace import Workspace

_DIGITS: Final = re.compile(r"[0-9]{1,3}")


class ClusterTooOld(BadInput):
    """The cluster is of an older Kubernetes version than the one that is rendered for."""

    code = "SR-CLUSTER-OLD"
    fix = "Say the cluster's version in strongroom.toml ([deploy] kubernetes), or leave it away: it is asked then."


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment and the way to it."""

    description: Description
    profile: Profile
    kubectl: Kubectl
    workspace: Workspace
    trust: dict[str, str]  # the owner's public files, by the names that they have in the cluster

    @property
    def model_server(self) -> str:
        """The name of the replicas' Deployment."""
        return object_name(self.description, MODEL_SERVER)


def open_deployment(
    workspace: Workspace, *, context: str | None = None, kubeconfig: Path | None = None,
    namespace: str | None = None, program: str = "kubectl",
) -> Deployment:  # fmt: skip
    """Read what a workspace describes; nothing is asked yet. Raises what `opening.open_deployment` raises."""
    found = opening.open_deployment(workspace)
    description = found.description if namespace is None else replace(found.description, namespace=namespace)
    kubectl = Kubectl(namespace=description.namespace, context=context, kubeconfig=kubeconfig, program=program)
    return Deployment(
        description=description, profile=found.profile, kubectl=kubectl, workspace=workspace, trust=found.public_files
    )  # fmt: skip


def for_cluster(deployment: Deployment) -> Deployment:
    """Return the deployment as it is rendered for this very cluster. Raises ClusterTooOld and what asking raises."""
    there = version_of(deployment.kubectl.run("get", "--raw=/version"))
    wanted = deployment.description.kubernetes
    if "kubernetes" not in (deployment.workspace.settings.deploy or {}):
        chosen = max(there, OLDEST_KUBERNETES)
        return replace(deployment, description=replace(deployment.description, kubernetes=chosen))
    if there < wanted:
        raise ClusterTooOld(f"the cluster is {_dotted(there)}, strongroom.toml says {_dotted(wanted)}")
    return deployment


def version_of(answer: bytes) -> tuple[int, int]:
    """Return the version in the answer to /version; clouds add signs to the minor number. Pure."""
    found = read_object(answer, what="/version")
    major, minor = (_DIGITS.match(text(found, word)) for word in ("major", "minor"))
    return (int(major[0]), int(minor[0])) if major and minor else OLDEST_KUBERNETES


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
