"""Rules on how a program runs and how its end is noticed (threats DP-06, DP-07, SA-04). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Container, Objects, Workload, items, table

K08: Final = Rule(id="K08", level=Level.WARNING, title="an image is named by a tag, which can be moved")
K09: Final = Rule(id="K09", level=Level.WARNING, title="a container asks for nothing, or may take everything")
K10: Final = Rule(id="K10", level=Level.ERROR, title="nobody notices when a container cannot answer")
K11: Final = Rule(id="K11", level=Level.ERROR, title="a probe says ready whatever the truth is")
K12: Final = Rule(id="K12", level=Level.ERROR, title="a container lives on after its program has died")

TRUSTED: Final = frozenset({"model-server", "broker"})  # components that are ready only once they are trusted
_PINNED: Final = re.compile(r".+@sha256:[0-9a-f]{64}")
_LIVES_ON: Final = re.compile(
    r"\btail\s+(-\S+\s+)*-[a-zA-Z]*[fF]|\btail\s.*\s-[fF]\b|\bsleep\s+(infinity|inf|\d{5,})\b"
    r"|\bwhile\s+(true|:|\[\s*1\s*\])\s*;?\s*do\s+sleep|\|\|\s*(true|:)(\s|$)"
)
_ALWAYS: Final = frozenset({"true", "/bin/true", ":", "exit 0", "echo", "sleep 0"})


def images(objects: Objects) -> Iterator[Finding]:
    """K08: what runs tomorrow is what a registry then says, unless the digest is named."""
    for pod in objects.workloads:
        for container in pod.containers():
            image = str(container.value.get("image") or "")
            if _PINNED.fullmatch(image):
                continue
            tag = image.rpartition("/")[2].partition(":")[2]
            why = f"{image or 'no image'} has no digest" if tag not in {"", "latest"} else f"{image} floats"
            yield pod.finding(K08, f"{container.place}.image", why, "Name it as NAME@sha256:DIGEST.")


def resources(objects: Objects) -> Iterator[Finding]:
    """K09: a node that is full ends whom it likes; a replica without a limit fills it."""
    for pod in objects.workloads:
        for container in pod.containers():
            found = table(container.value.get("resources"))
            requests, limits = table(found.get("requests")), table(found.get("limits"))
            missing = [f"requests.{name}" for name in ("cpu", "memory") if name not in {**limits, **requests}]
            missing += [] if "memory" in limits else ["limits.memory"]
            if missing:
                yield pod.finding(K09, f"{container.place}.resources", f"nothing is said of {', '.join(missing)}",
                                  "Say what it needs and what it may take.")  # fmt: skip


def probes(objects: Objects) -> Iterator[Finding]:
    """K10, K11: traffic goes to whoever is ready, so ready has to mean trusted and able to answer."""
    for pod in objects.workloads:
        if pod.ends:
            continue
        for container in pod.containers():
            if container.initial or not container.value.get("ports"):
                continue
            for kind in ("readinessProbe", "livenessProbe"):
                if not table(container.value.get(kind)):
                    yield pod.finding(K10, f"{container.place}.{kind}", f"there is no {kind}",
                                      "Ask /readyz for readiness and /healthz for liveness.")  # fmt: skip
            yield from _truthful(pod, container)


def _truthful(pod: Workload, container: Container) -> Iterator[Finding]:
    probe = table(container.value.get("readinessProbe"))
    place = f"{container.place}.readinessProbe"
    words = [str(each) for each in items(table(probe.get("exec")).get("command"))]
    if words and (" ".join(words) in _ALWAYS or words[-1].strip() in _ALWAYS or words[0] == "echo"):
        yield pod.finding(K11, place, "its command succeeds whatever the server's state is", "Ask the server itself.")
    elif pod.component in TRUSTED and "tcpSocket" in probe and not _listens_when_loaded(container):
        yield pod.finding(K11, place, "a port that is open says nothing about the keys behind it",
                          "Ask /readyz, which is 503 until the keys are there.")  # fmt: skip
    elif pod.component in TRUSTED and table(probe.get("httpGet")).get("path") in {"/", "/healthz"}:
        yield pod.finding(K11, place, "it asks whether the process lives, not whether it has its keys",
                          "Ask /readyz, which is 503 until the keys are there.")  # fmt: skip


def _listens_when_loaded(container: Container) -> bool:
    """Return whether a port that is open does mean something: TensorFlow Serving opens it once its models are there."""
    return any(word.endswith("tensorflow_model_server") for word in container.words)


def commands(objects: Objects) -> Iterator[Finding]:
    """K12: a container is as alive as its first process; make that the server."""
    for pod in objects.workloads:
        for container in pod.containers():
            line = " ".join(container.words)
            if not container.initial and _LIVES_ON.search(line):
                yield pod.finding(K12, f"{container.place}.command", "it stays up when the server in it has died",
                                  "Make the server the container's only command (exec).")  # fmt: skip


RULES: Final = (K08, K09, K10, K11, K12)
CHECKS: Final = (images, resources, probes, commands)
