"""The guides' deploy.yaml and ingress.yaml as words of the [deploy] table. Pure.

Only what has a meaning here is taken; what has none, or must not be taken, becomes a note with what stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

NOT_TAKEN: Final[Mapping[str, str]] = {  # variables of the guide's containers
    "session_parallelism": "The guide's start script ignored it; threads are flags of the model server.",
    "intra_op_parallelism": "The guide's start script ignored it; threads are flags of the model server.",
    "inter_op_parallelism": "The guide's start script ignored it; threads are flags of the model server.",
    "ssl_config_file": "The TLS identity travels sealed beside the model, or is born in the replica.",
    "start_aesm_service": "No aesmd runs in a pod; the node's is used where the cloud's profile says so.",
}
_PASSTHROUGH: Final = "nginx.ingress.kubernetes.io/ssl-passthrough"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was weak, or was not taken: where, what was seen, and what is done instead."""

    where: str
    seen: str
    instead: str


def settings_of(objects: Iterable[Mapping[str, Any]]) -> tuple[dict[str, object], tuple[Note, ...]]:
    """Return the words for the [deploy] table that the objects come to, and what was not taken."""
    settings: dict[str, object] = {}
    notes: list[Note] = []
    readers = {"Deployment": _deployment, "StatefulSet": _deployment, "Service": _service, "Ingress": _ingress}
    for each in objects:
        reader = readers.get(str(each.get("kind")))
        if reader is not None:
            namespace = _at(each, "metadata", "namespace")
            if isinstance(namespace, str):
                settings["namespace"] = namespace
            reader(each, settings, notes)
    return settings, tuple(notes)


def _deployment(each: Mapping[str, Any], settings: dict[str, object], notes: list[Note]) -> None:
    where = _name(each)
    settings["name"] = where.removesuffix("-deployment")[:40].rstrip("-")
    replicas = _at(each, "spec", "replicas")
    if isinstance(replicas, int) and not isinstance(replicas, bool):
        settings["replicas"] = replicas
    pod = _at(each, "spec", "template", "spec")
    containers = _list(_at(pod, "containers"))
    for container in containers[:1]:
        _container(container, where, settings, notes)
    if len(containers) > 1:
        notes.append(Note(where, f"{len(containers) - 1} more containers", "Only the first is read: the model server."))
    for volume in _list(_at(pod, "volumes")):
        path = _at(volume, "hostPath", "path")
        if isinstance(path, str):
            notes.append(Note(where, f"the node's {path} is mounted", _instead_of(path)))


def _container(container: Mapping[str, Any], where: str, settings: dict[str, object], notes: list[Note]) -> None:
    limits = _table(_at(container, "resources", "limits"))
    taken = {"cpu": "cpu", "memory": "memory", "sgx.intel.com/epc": "epc"}
    resources: dict[str, object] = {ours: str(limits[theirs]) for theirs, ours in taken.items() if theirs in limits}
    image = container.get("image")
    if isinstance(image, str):
        notes.append(
            Note(where, f"the image {image[:120]}", "strongroom deploy build makes the images and pins their digests.")
        )
    variables = {
        str(each.get("name")): str(each["value"])
        for each in _list(container.get("env"))
        if each.get("value") is not None
    }
    resources |= _from_variables(variables, where, settings, notes)
    if resources:
        settings["resources"] = resources


def _from_variables(
    variables: Mapping[str, str], where: str, settings: dict[str, object], notes: list[Note]
) -> dict[str, object]:
    if variables.get("SGX") == "1" or "SGX_MEM_SIZE" in variables:
        settings |= {"tee": "sgx", "engine": "tensorflow-serving"}
    if model := variables.get("model_name"):
        settings["model"] = [{"name": model}]
    if variables.get("RA_TYPE") == "maa":
        settings["cloud"] = "azure"
    for name, instead in NOT_TAKEN.items():
        if name in variables:
            notes.append(Note(where, f"the variable {name}={variables[name][:60]}", instead))
    size = variables.get("SGX_MEM_SIZE", "")
    return {"enclave_size": size} if re.fullmatch(r"[1-9][0-9]{0,5}[KMG]", size) else {}


def _service(each: Mapping[str, Any], _settings: dict[str, object], notes: list[Note]) -> None:
    kind = _at(each, "spec", "type")
    if kind in {"NodePort", "LoadBalancer"}:
        instead = "The front is the only way in; its Service may be given a type of its own."
        notes.append(Note(_name(each), f"a Service of the type {kind} opens the replicas past every front", instead))


def _ingress(each: Mapping[str, Any], settings: dict[str, object], notes: list[Note]) -> None:
    for rule in _list(_at(each, "spec", "rules")):
        if isinstance(rule.get("host"), str):
            settings["host"] = rule["host"]
    settings["front"] = "ingress"
    annotations = _table(_at(each, "metadata", "annotations"))
    if str(annotations.get(_PASSTHROUGH)).lower() != "true":
        seen = "TLS ends in the ingress controller, outside of the attested process"
        notes.append(Note(_name(each), seen, "The rendered Ingress passes TLS through."))
    unused = [name for name in annotations if name != _PASSTHROUGH and "ingress" in str(name)]
    if unused:
        seen = f"{len(unused)} annotations of ingress-nginx that mean nothing where TLS is passed through"
        notes.append(Note(_name(each), seen, "They are left out."))


def _instead_of(path: str) -> str:
    if "sgx" in path and path.startswith("/dev"):
        return "The SGX device plugin hands the devices out; no pod is privileged."
    if "aesm" in path:
        return "Mounted only where the cloud's profile says that quotes come from the node's aesmd."
    return "Sealed models travel in an image, public certificates in a ConfigMap."


def _name(each: Mapping[str, Any]) -> str:
    return str(_at(each, "metadata", "name") or each.get("kind"))


def _at(value: object, *path: str) -> Any:  # noqa: ANN401  # whatever somebody's YAML holds there
    for word in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(word)
    return value


def _table(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Mapping[str, Any]]:
    return list(_mappings(value)) if isinstance(value, list) else []


def _mappings(values: list[object]) -> Iterator[Mapping[str, Any]]:
    return (each for each in values if isinstance(each, Mapping))
