"""What the pods of a deployment have in common: no rights, no token, nothing writable but memory. Pure.

Kept: the Pod Security level "restricted" (threats DP-01), for every container, init containers included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.naming import USER_ID, Object, labels, service_account

_MILLICORES: Final = re.compile(r"([0-9]+)(m?)")


def pod_template(
    description: Description, component: str, spec: Mapping[str, Any], *, annotations: Mapping[str, str] | None = None
) -> Object:
    """Return a pod template; `spec` holds containers and volumes."""
    metadata: Object = {"labels": labels(description, component)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "metadata": metadata,
        "spec": {
            "serviceAccountName": service_account(description, component),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **spec,
        },
    }


def container(name: str, image: str, command: Iterable[str], **more: object) -> Object:
    """Return a container that cannot gain rights or write to its image; `more` are fields of its own."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        **more,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def resources(*, cpu: str, cpu_limit: str, memory: str, more: Mapping[str, str] | None = None) -> Object:
    """Return requests and limits; `more` are resources of device plugins, of which both are always equal."""
    extra = dict(more or {})
    return {
        "requests": {"cpu": cpu, "memory": memory, **extra},
        "limits": {"cpu": cpu_limit, "memory": memory, **extra},
    }


def small_resources() -> Object:
    """Return what a container gets that copies a few files, or passes bytes on."""
    return resources(cpu="20m", cpu_limit="500m", memory="64Mi")


def larger(cpu: str, than: str) -> str:
    """Return the larger of two amounts of CPU, as it was spelled."""
    return cpu if _millicores(cpu) > _millicores(than) else than


def memory_volume(name: str, size: str) -> Object:
    """Return a volume in the pod's memory: gone with the pod, and counted to its memory limit."""
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def mount(name: str, path: str, *, read_only: bool = False) -> Object:
    """Return where a container sees a volume."""
    return {"name": name, "mountPath": path, "readOnly": True} if read_only else {"name": name, "mountPath": path}


def port(name: str, number: int) -> Object:
    """Return a port of a container."""
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def service_port(name: str, number: int, target: str | None = None) -> Object:
    """Return a port of a Service, which leads to the container's port of the same name."""
    return {"name": name, "port": number, "targetPort": target or name, "protocol": "TCP"}


def http_get(path: str, port_name: str, *, scheme: str | None = None) -> Object:
    """Return a probe by HTTP; over HTTPS the kubelet checks no certificate."""
    asked: Object = {"path": path, "port": port_name}
    return {"httpGet": {**asked, "scheme": scheme} if scheme else asked}


def tcp(port_name: str) -> Object:
    """Return a probe that only connects."""
    return {"tcpSocket": {"port": port_name}}


def probes(alive: Object, ready: Object, *, start_s: int) -> Object:
    """Return the three probes; whatever takes longer than `start_s` to come alive is started anew."""
    every_s = 2
    return {
        "startupProbe": {**alive, "periodSeconds": every_s, "failureThreshold": start_s // every_s},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
    }


def leave_first(seconds: int) -> Object:
    """Return a hook that waits before SIGTERM, so that nobody sends new connections to a server that drains."""
    return {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}


def spread(matching: Mapping[str, str]) -> list[Object]:
    """Return the wish that pods stand on different nodes, as far as there are some."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(matching)},
        }
    ]


def _millicores(text: str) -> int:
    found = _MILLICORES.fullmatch(text)
    if found is None:  # a description's quantities may end in Mi or Gi, which no amount of CPU does
        return 0
    return int(found[1]) * (1 if found[2] else 1000)
