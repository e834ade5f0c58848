"""What the verbs act on: one workspace's description, its profile, and the cluster that kubectl reaches.

World: the workspace's public files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.deploy.clouds import Profile, profile
from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.naming import MODEL_SERVER, object_name
from strongroom.workspace import Workspace

CLOUDS_FOLDER = "clouds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment and the way to it."""

    description: Description
    profile: Profile
    kubectl: Kubectl
    workspace: Workspace

    @property
    def model_server(self) -> str:
        """The name of the replicas' Deployment."""
        return object_name(self.description, MODEL_SERVER)

    @property
    def trust(self) -> dict[str, str]:
        """The owner's public files, by the names that they have in the cluster."""
        return {
            "ca_cert.pem": self.workspace.ca_certificate_pem.decode("ascii"),
            "owner_public.pem": self.workspace.owner_public_pem.decode("ascii"),
        }


def open_deployment(
    workspace: Workspace, *, context: str | None = None, kubeconfig: Path | None = None,
    namespace: str | None = None, program: str = "kubectl",
) -> Deployment:  # fmt: skip
    """Read the [deploy] table of a workspace. Raises DeployMalformed, UnknownCloud or CloudMalformed."""
    found = Description.parse(workspace.settings.deploy or {})
    if namespace is not None:
        found = replace(found, namespace=namespace)
    folder = workspace.folder / CLOUDS_FOLDER
    kubectl = Kubectl(namespace=found.namespace, context=context, kubeconfig=kubeconfig, program=program)
    return Deployment(description=found, profile=profile(found.cloud, folder), kubectl=kubectl, workspace=workspace)
