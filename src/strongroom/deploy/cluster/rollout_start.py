"""Begin a rollout: what runs now, what is to run, and by which measurements the broker will know them.

World: the cluster, the broker, the workspace's files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from strongroom.broker.admin.desk import Desk
from strongroom.broker.policy.measurement_file import MeasuredBuild, read_build
from strongroom.deploy.cluster import changes
from strongroom.deploy.cluster.applying import refuse_findings
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.kubectl_errors import NoSuchObject
from strongroom.deploy.cluster.looking import Seen
from strongroom.deploy.cluster.objects import dig, items, text
from strongroom.deploy.cluster.replicas import address_of
from strongroom.deploy.cluster.rollout_policy import measurement_of_build
from strongroom.deploy.cluster.rollout_state import RolloutState
from strongroom.deploy.description import Description, Role, Tee
from strongroom.deploy.images.pinning import pinned
from strongroom.deploy.kubernetes.naming import MODEL_SERVER
from strongroom.deploy.kubernetes.objects import objects
from strongroom.errors import BadInput
from strongroom.pki import disk

MAX_BUILD_BYTES: Final = 64 * 1024
BUILT: Final = Path("images/model-server/measurement.json")  # where deploy build writes it
_SHIFTED: Final = (Role.MODEL_SERVER, Role.MODELS)  # what a replica is made of
_MODEL: Final = re.compile(r"model/([A-Za-z0-9][A-Za-z0-9._-]{0,62})/([1-9][0-9]{0,17})")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_REFERENCE: Final = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}(@sha256:[0-9a-f]{64})?")


class RolloutMisnamed(BadInput):
    """NEW names no version: a tag, ROLE=IMAGE, or model/NAME/VERSION."""

    code = "SR-ROLLOUT-NEW"
    fix = "Give a tag (v2), an image by its role (model-server=registry/…@sha256:…), or a model version (model/NAME/2)."


class NothingToRollOut(BadInput):
    """What is to be rolled out runs already."""

    code = "SR-ROLLOUT-NOTHING"
    fix = "Build and push the new version first: strongroom deploy build --push."


class MeasurementUnknown(BadInput):
    """It is not known what the broker will see of a version: its measurement."""

    code = "SR-ROLLOUT-MEASUREMENT"
    fix = "Name the file that strongroom deploy build or measure --json wrote: --measurement FILE."


class OldVersionUnknown(BadInput):
    """It is not known which measurement the running replicas have: none of them holds a lease."""

    code = "SR-ROLLOUT-OLD"
    fix = "See that the replicas run (strongroom deploy status), or give --old-measurement."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says of the new version."""

    words: tuple[str, ...] = ()
    measurement: Path | None = None
    old_measurements: tuple[str, ...] = ()
    tenant: str = "default"

    @property
    def label(self) -> str:
        """The new version in words."""
        return " ".join(self.words) or "what strongroom.toml describes"


def begin(deployment: Deployment, seen: Seen, desk: Desk, wanted: Wanted) -> RolloutState:
    """Return the rollout's first state. Raises what stands above, NoSuchObject, and what rendering and asking raise."""
    description, model, version = understood(deployment.description, wanted.words, deployment.workspace.folder)
    live = deployment.kubectl.get("deployment", deployment.model_server)
    if live is None:
        raise NoSuchObject(f"there is no Deployment {deployment.model_server} in {deployment.kubectl.namespace}")
    new = rendered_deployment(deployment, description, live)
    code_changes = image_of(live) != image_of(new) or not model
    if image_of(live) == image_of(new) and models_of(live) == models_of(new):
        raise NothingToRollOut(f"the replicas run {image_of(live)} already")
    build = built(deployment, wanted) if code_changes else MeasuredBuild()
    old = wanted.old_measurements or measured(seen, desk)
    if not old:
        raise OldVersionUnknown(f"no replica of {deployment.model_server} holds a lease")
    measurement = measurement_of_build(build)
    if measurement and measurement in old:
        if not model and models_of(live) == models_of(new):
            raise NothingToRollOut(f"the replicas have the measurement {measurement[:16]}… already")
        measurement = ""
    return RolloutState(
        label=wanted.label, old=kept(live), new=new, tenant=wanted.tenant,
        images={role.value: description.image(role) for role in _SHIFTED},
        old_measurements=tuple(old), new_measurement=measurement,
        build={word: value.hex() for word, value in (build.domain or {}).items()},
        model=model, model_version=version, ledger_seq=int(desk.ledger_head()["seq"]),
    )  # fmt: skip


def understood(description: Description, words: Sequence[str], workspace: Path) -> tuple[Description, str, int]:
    """Return the description of the new version, and the model and its version where one is named."""
    model, version, images = "", 0, dict(description.images)
    for word in words:
        role, equals, reference = word.partition("=")
        named = _MODEL.fullmatch(word)
        if named:
            model, version = named[1], int(named[2])
        elif equals and role in {each.value for each in _SHIFTED} and _REFERENCE.fullmatch(reference):
            images[Role(role)] = reference
        elif not equals and _TAG.fullmatch(word):
            fixed = [each.value for each in _SHIFTED if each in images or each in pinned(workspace)]
            if fixed:
                raise RolloutMisnamed(
                    f"{word} is a tag, but {', '.join(fixed)} is pinned to a digest",
                    fix="Run strongroom deploy build --push, then strongroom deploy rollout without NEW.",
                )
            description = replace(description, version=word)
        else:
            raise RolloutMisnamed(f"{word[:120]!r} names no version")
    return replace(description, images=images), model, version


def rendered_deployment(deployment: Deployment, description: Description, live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the replicas' Deployment of a description, with as many replicas as there are. Raises LintRefuses."""
    found = objects(description, deployment.profile, deployment.trust)
    refuse_findings(found, production=description.tee is not Tee.SIMULATED)
    wanted = ("apps", "Deployment", deployment.model_server)
    new = next(dict(each) for each in found if changes.key(each) == wanted)
    count = dig(live, "spec", "replicas", kind=int)
    return new if count is None or description.autoscaling else {**new, "spec": {**new["spec"], "replicas": count}}


def kept(live: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed to bring a Deployment back: what somebody wrote of it, without the server's own."""
    meta = dig(live, "metadata", kind=dict) or {}
    words = {name: meta[name] for name in ("name", "namespace", "labels") if name in meta}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": words, "spec": live.get("spec", {})}


def image_of(value: Mapping[str, Any]) -> str:
    """Return the image of a Deployment's model server."""
    return _image(value, "containers", MODEL_SERVER)


def models_of(value: Mapping[str, Any]) -> str:
    """Return the image that a Deployment's models come from."""
    return _image(value, "initContainers", "models")


def _image(value: Mapping[str, Any], part: str, name: str) -> str:
    found = items(value, "spec", "template", "spec", part)
    return next((text(each, "image") for each in found if text(each, "name") == name), "")


def built(deployment: Deployment, wanted: Wanted) -> MeasuredBuild:
    """Return the new build's measurement. Raises MeasurementUnknown or MeasurementMalformed."""
    place = wanted.measurement or deployment.workspace.folder / BUILT
    try:
        found = read_build(disk.read_bounded(place, limit=MAX_BUILD_BYTES))
    except FileNotFoundError:
        raise MeasurementUnknown(f"there is no {place}") from None
    if not measurement_of_build(found):
        raise MeasurementUnknown(f"{place} names no measurement")
    return found


def measured(seen: Seen, desk: Desk) -> tuple[str, ...]:
    """Return the measurements of the replicas that hold a lease; of all holders where no address is a replica's."""
    leases = [each for each in desk.list_leases() if each["state"] == "live" and each["measurement"]]
    addresses = {pod.address for pod in seen.of(MODEL_SERVER)}
    ours = [each for each in leases if address_of(each["peer"]) in addresses]
    return tuple(sorted({str(each["measurement"]) for each in ours or leases}))
