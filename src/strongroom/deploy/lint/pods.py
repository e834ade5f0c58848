"""Rules on what a pod may do to its node (threats DP-01, DP-02, DP-09). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Container, Objects, Workload, items, number, table, tables

K01: Final = Rule(id="K01", level=Level.ERROR, title="a container is privileged, or may become so")
K02: Final = Rule(id="K02", level=Level.ERROR, title="a folder or device of the node is mounted")
K03: Final = Rule(id="K03", level=Level.ERROR, title="a pod shares the node's network or processes")
K04: Final = Rule(id="K04", level=Level.ERROR, title="a container may run as root")
K05: Final = Rule(id="K05", level=Level.ERROR, title="a container's root file system can be written")
K06: Final = Rule(id="K06", level=Level.ERROR, title="a container keeps capabilities")
K07: Final = Rule(id="K07", level=Level.ERROR, title="a container has no seccomp profile")
K13: Final = Rule(id="K13", level=Level.ERROR, title="a program is pinned to fixed cores of its node")

AESMD: Final = "/var/run/aesmd"  # the folder of aesm.socket, from which quotes come where a cloud's profile needs it
_PINNING: Final = re.compile(r"\b(taskset|numactl\s+(-C|--physcpubind))\b")


def node_mounts(objects: Objects) -> Iterator[Finding]:
    """K02: what comes from the node was written by whoever has the node, and ties the pod to it."""
    for pod in objects.workloads:
        for index, volume in tables(pod.spec.get("volumes")):
            if "hostPath" not in volume:
                continue
            path = str(table(volume["hostPath"]).get("path"))
            if path.rstrip("/") == AESMD:
                continue
            fix = "Take models from an image or a claim, secrets from the broker; an emptyDir holds what is written."
            if path.startswith("/dev"):
                fix = "Ask the device plugin: resources.limits of sgx.intel.com/enclave and sgx.intel.com/epc."
            elif path.rstrip("/").startswith(AESMD + "/"):
                fix = f"Mount the folder {AESMD}: a socket that is mounted itself is lost when aesmd restarts."
            yield pod.finding(K02, f"{pod.place}.volumes[{index}].hostPath", f"{path} of the node is mounted", fix)


def shared_namespaces(objects: Objects) -> Iterator[Finding]:
    """K03: such a pod sees, or answers for, its whole node."""
    for pod in objects.workloads:
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield pod.finding(K03, f"{pod.place}.{key}", f"{key} is on", f"Remove {key}.")
        for container in pod.containers():
            for index, port in tables(container.value.get("ports")):
                if port.get("hostPort"):
                    yield pod.finding(
                        K03, f"{container.place}.ports[{index}].hostPort", "the port is opened on the node itself",
                        "Remove hostPort; a Service reaches the pod.",
                    )  # fmt: skip


def containers(objects: Objects) -> Iterator[Finding]:
    """K01, K04 to K07, K13: what Pod Security calls restricted, and a root file system that stays as it was built."""
    for pod in objects.workloads:
        for container in pod.containers():
            yield from _privilege(pod, container)
            yield from _root(pod, container)
            yield from _confinement(pod, container)
            line = " ".join(container.words)
            if _PINNING.search(line):
                yield pod.finding(
                    K13, f"{container.place}.command", "replicas that are pinned to the same cores share them",
                    "Say how many cores in resources; the scheduler finds them.",
                )  # fmt: skip


def _privilege(pod: Workload, container: Container) -> Iterator[Finding]:
    place = f"{container.place}.securityContext"
    if container.security.get("privileged"):
        yield pod.finding(K01, f"{place}.privileged", "the container owns its node", "Remove privileged; devices come "
                          "from a device plugin.")  # fmt: skip
    if container.security.get("allowPrivilegeEscalation") is not False:
        yield pod.finding(K01, f"{place}.allowPrivilegeEscalation", "a setuid program could become root",
                          "Set allowPrivilegeEscalation: false.")  # fmt: skip


def _root(pod: Workload, container: Container) -> Iterator[Finding]:
    place = f"{container.place}.securityContext"
    user = number(container.security.get("runAsUser", pod.security.get("runAsUser")))
    not_root = container.security.get("runAsNonRoot", pod.security.get("runAsNonRoot"))
    if user == 0 or not_root is not True:
        yield pod.finding(K04, f"{place}.runAsNonRoot", "nothing keeps it from running as root",
                          "Set runAsNonRoot: true, and a runAsUser that is not 0.")  # fmt: skip
    if container.security.get("readOnlyRootFilesystem") is not True:
        yield pod.finding(K05, f"{place}.readOnlyRootFilesystem", "the program's own files can be changed",
                          "Set readOnlyRootFilesystem: true; mount an emptyDir where it writes.")  # fmt: skip


def _confinement(pod: Workload, container: Container) -> Iterator[Finding]:
    place = f"{container.place}.securityContext"
    capabilities = table(container.security.get("capabilities"))
    added = [str(each) for each in items(capabilities.get("add"))]
    if "ALL" not in items(capabilities.get("drop")):
        yield pod.finding(K06, f"{place}.capabilities.drop", "not all capabilities are dropped", "Set drop: [ALL].")
    if set(added) - {"NET_BIND_SERVICE"}:
        yield pod.finding(K06, f"{place}.capabilities.add", f"{', '.join(added)} is added", "Remove what is added.")
    profile = table(container.security.get("seccompProfile", pod.security.get("seccompProfile"))).get("type")
    if profile not in {"RuntimeDefault", "Localhost"}:
        yield pod.finding(K07, f"{place}.seccompProfile", "every system call is allowed",
                          "Set seccompProfile: {type: RuntimeDefault}, best for the whole pod.")  # fmt: skip


RULES: Final = (K01, K02, K03, K04, K05, K06, K07, K13)
CHECKS: Final = (node_mounts, shared_namespaces, containers)
