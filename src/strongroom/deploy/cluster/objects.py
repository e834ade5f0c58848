"""What the API server says about pods, workloads and events, read into frozen values. Pure.

Nothing is assumed to be there: another server's version leaves fields away, so a missing or odd value reads as empty.
Source: Kubernetes API reference, core/v1 and apps/v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from strongroom.deploy.kubernetes.naming import LABEL

T = TypeVar("T")
MAX_TEXT: Final = 1000
CANARY: Final = "strongroom/canary"  # the label of a pod that is started to see it refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a pod as its kubelet saw it last."""

    name: str
    image: str
    ready: bool
    running: bool
    restarts: int
    waiting: str = ""  # reason, such as ImagePullBackOff
    ended: str = ""  # reason, such as Error, OOMKilled
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod."""

    name: str
    uid: str
    component: str
    node: str
    address: str
    phase: str
    images: tuple[str, ...]
    created: datetime | None
    leaving: bool  # it was asked to end
    ready: bool
    unschedulable: str = ""  # the scheduler's words
    containers: tuple[Container, ...] = ()  # init containers first
    template: str = ""  # the hash of the template that it was made from
    canary: bool = False  # started to see it refused: no replica

    @property
    def restarts(self) -> int:
        """How often any of its containers was started again."""
        return sum(each.restarts for each in self.containers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or StatefulSet: what is wanted and what there is."""

    name: str
    wanted: int
    ready: int
    updated: int
    total: int
    settled: bool  # the controller has seen the newest specification
    stuck: str = ""  # why it makes no progress, in its controller's words


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNote:
    """A warning about an object."""

    about: str
    reason: str
    message: str


def pod_of(value: Mapping[str, Any]) -> Pod:
    """Return a pod."""
    conditions = conditions_of(value)
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    meta = dig(value, "metadata", kind=dict) or {}
    labels = dig(meta, "labels", kind=dict) or {}
    return Pod(
        name=text(meta, "name"),
        uid=text(meta, "uid"),
        component=text(labels, f"{LABEL}/component"),
        node=text(value, "spec", "nodeName"),
        address=text(value, "status", "podIP"),
        phase=text(value, "status", "phase"),
        images=tuple(text(each, "image") for each in items(value, "spec", "containers")),
        created=moment(text(meta, "creationTimestamp")),
        leaving=bool(text(meta, "deletionTimestamp")),
        ready=text(ready, "status") == "True",
        unschedulable=text(scheduled, "message") if text(scheduled, "status") == "False" else "",
        containers=tuple(_containers(value)),
        template=text(labels, "pod-template-hash") or text(labels, "controller-revision-hash"),
        canary=CANARY in labels,
    )


def _containers(value: Mapping[str, Any]) -> Iterator[Container]:
    for part in ("initContainerStatuses", "containerStatuses"):
        for each in items(value, "status", part):
            last = dig(each, "lastState", "terminated", kind=dict) or {}
            ended = dig(each, "state", "terminated", kind=dict) or last
            waiting = dig(each, "state", "waiting", kind=dict) or {}
            yield Container(
                name=text(each, "name"),
                image=text(each, "image"),
                ready=each.get("ready") is True,
                running=dig(each, "state", "running", kind=dict) is not None,
                restarts=number(each, "restartCount"),
                waiting=text(waiting, "reason"),
                ended=text(ended, "reason"),
                exit_code=dig(ended, "exitCode", kind=int),
                message=text(waiting, "message") or text(ended, "message"),
            )


def workload_of(value: Mapping[str, Any]) -> Workload:
    """Return a Deployment or a StatefulSet."""
    stuck = [
        text(each, "message")
        for name, each in conditions_of(value).items()
        if (name == "Progressing" and text(each, "status") == "False") or (name == "ReplicaFailure"
                                                                           and text(each, "status") == "True")
    ]  # fmt: skip
    return Workload(
        name=text(value, "metadata", "name"),
        wanted=number(value, "spec", "replicas", missing=1),
        ready=number(value, "status", "readyReplicas"),
        updated=number(value, "status", "updatedReplicas"),
        total=number(value, "status", "replicas"),
        settled=number(value, "status", "observedGeneration") >= number(value, "metadata", "generation"),
        stuck="; ".join(stuck),
    )


def event_of(value: Mapping[str, Any]) -> EventNote:
    """Return an event."""
    return EventNote(
        about=text(value, "involvedObject", "name"), reason=text(value, "reason"), message=text(value, "message")
    )


def conditions_of(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return an object's conditions by type."""
    return {text(each, "type"): each for each in items(value, "status", "conditions")}


def dig(value: object, *path: str, kind: type[T]) -> T | None:
    """Return what lies at a path if it is of this kind, None otherwise."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value if isinstance(value, kind) and isinstance(value, bool) is (kind is bool) else None


def text(value: object, *path: str) -> str:
    """Return the text at a path, bounded and on one line; empty where there is none."""
    found = dig(value, *path, kind=str) or ""
    found = found if len(found) <= MAX_TEXT else f"{found[: MAX_TEXT - 1]}…"
    return "".join(each if each.isprintable() else " " for each in found)


def number(value: object, *path: str, missing: int = 0) -> int:
    """Return the whole number at a path."""
    found = dig(value, *path, kind=int)
    return missing if found is None else found


def items(value: object, *path: str) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of the list at a path."""
    found = dig(value, *path, kind=list) or []
    return tuple(each for each in found if isinstance(each, Mapping))


def moment(value: str) -> datetime | None:
    """Return an RFC 3339 time, None for anything else."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None
