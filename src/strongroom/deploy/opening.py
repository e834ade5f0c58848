"""From a workspace to what is to be deployed: the description, the cloud's profile, and the owner's public files.

World: reads the workspace. A description that names no model, and no Spark job, means every model that was published
from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom.broker.keyring.opening import secret_names
from strongroom.deploy.clouds import Profile, profile
from strongroom.deploy.description import Description, Model
from strongroom.deploy.images import with_pins
from strongroom.deploy.kubernetes.replica import CA_NAME, OWNER_NAME
from strongroom.errors import BadInput
from strongroom.workspace import Workspace

CLOUDS: Final = "clouds"
_MODEL: Final = "model"


class NothingPublished(BadInput):
    """There is no model to deploy: the description names none, and none was published from this workspace."""

    code = "SR-DEPLOY-NO-MODEL"
    fix = "Publish one (strongroom model publish), or name it in [[deploy.model]]."


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is to be deployed. `public_files`: contents by name, for the ConfigMap NAME-trust."""

    description: Description
    profile: Profile
    public_files: dict[str, str]


def open_deployment(workspace: Workspace, *, kubernetes: tuple[int, int] | None = None) -> Deployment:
    """Return what [deploy] in strongroom.toml describes; `kubernetes` takes the place of the target's version there.

    Raises DeployMalformed, NothingPublished, UnknownCloud, CloudMalformed, LockMalformed.
    """
    description = with_pins(Description.parse(workspace.settings.deploy or {}), workspace.folder)
    if kubernetes is not None:
        description = replace(description, kubernetes=kubernetes)
    if not description.models and description.spark is None:
        description = replace(description, models=published(workspace))
    return Deployment(
        description=description,
        profile=profile(description.cloud, workspace.folder / CLOUDS),
        public_files={
            CA_NAME: workspace.ca_certificate_pem.decode("ascii"),
            OWNER_NAME: workspace.owner_public_pem.decode("ascii"),
        },
    )


def published(workspace: Workspace) -> tuple[Model, ...]:
    """Return every model that has a key in this workspace, by name. Raises NothingPublished."""
    parts = [name.split("/") for name in secret_names(workspace)]
    names = sorted({each[1] for each in parts if len(each) == 3 and each[0] == _MODEL})
    if not names:
        raise NothingPublished(f"no model was published from {workspace.folder}")
    return tuple(Model(name=name, path=folder_of(workspace, name)) for name in names)


def folder_of(workspace: Workspace, model: str) -> str:
    """Return where a model's sealed versions lie, relative to the workspace: in it, or beside it (`publish`)."""
    beside = Path("..") / "models" / model
    inside = Path("models") / model
    if not (workspace.folder / inside).is_dir() and (workspace.folder / beside).is_dir():
        return str(beside)
    return str(inside)
