"""Look at a deployment in its cluster: pods, workloads, warnings, and what replicas say of themselves.

World: the API server, through `api_proxy`. Everything is bounded; what cannot be asked reads as not heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from strongroom.deploy.cluster.api_proxy import Api, selector
from strongroom.deploy.cluster.metrics_reading import Load
from strongroom.deploy.cluster.objects import EventNote, Pod, Workload, event_of, pod_of, workload_of
from strongroom.deploy.cluster.reasons import Heard
from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.naming import HEALTH_PORT, LABEL, MODEL_SERVER
from strongroom.errors import StrongroomError

MOST_ASKED: Final = 200  # pods that are asked one by one in one look
READYZ_BYTES: Final = 4096
OK: Final = 200
ReadLoads = Callable[[Iterable[Pod]], dict[str, Load]]  # see `replica_metrics`


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look."""

    at: datetime
    pods: tuple[Pod, ...]
    workloads: tuple[Workload, ...]
    heard: dict[str, Heard] = field(default_factory=dict)  # by pod
    loads: dict[str, Load] = field(default_factory=dict)  # by pod, where its metrics could be read

    def of(self, component: str) -> tuple[Pod, ...]:
        """Return the pods of a component, without canaries."""
        return tuple(each for each in self.pods if each.component == component and not each.canary)

    def workload(self, name: str) -> Workload | None:
        """Return a workload by its name."""
        return next((each for each in self.workloads if each.name == name), None)


def look(api: Api, description: Description, *, read: ReadLoads | None = None) -> Seen:
    """Return what there is now; with `read` also what replicas have answered. Raises what reading the API raises."""
    place = quote(description.namespace)
    ours = selector({f"{LABEL}/instance": description.name, f"{LABEL}/part-of": "strongroom"})
    pods = tuple(pod_of(each) for each in api.items(f"/api/v1/namespaces/{place}/pods?{_instance(description)}"))
    workloads = tuple(
        workload_of(each)
        for kind in ("deployments", "statefulsets")
        for each in api.items(f"/apis/apps/v1/namespaces/{place}/{kind}?{ours}")
    )
    warnings = _warnings(api, place) if any(not each.ready for each in pods) else {}
    asked = [each for each in pods if not each.ready and not each.leaving][:MOST_ASKED]
    return Seen(
        at=datetime.now(UTC),
        pods=tuple(sorted(pods, key=lambda each: (each.component != MODEL_SERVER, each.component, each.name))),
        workloads=workloads,
        heard={each.name: hear(api, description, each, warnings.get(each.name, ())) for each in asked},
        loads=read(pods) if read is not None else {},
    )


def hear(api: Api, description: Description, pod: Pod, warnings: Iterable[EventNote]) -> Heard:
    """Return what a pod that is not ready says of itself: its /readyz, or the end of its log where it ended."""
    crashed = next((each for each in pod.containers if not each.running and each.exit_code not in (None, 0)), None)
    readyz = ""
    if pod.component == MODEL_SERVER and any(each.running for each in pod.containers):
        readyz = _quietly(api, description.namespace, pod.name, HEALTH_PORT, "/readyz")
    log = ""
    if crashed is not None:
        previous = "true" if crashed.waiting else "false"
        log = log_end(api, description.namespace, pod.name, crashed.name, previous=previous)
    return Heard(readyz=readyz, last_log=log, warnings=tuple(warnings))


def log_end(api: Api, namespace: str, pod: str, container: str, *, previous: str = "false", lines: int = 20) -> str:
    """Return the end of a container's log, empty where there is none to be had."""
    words = f"container={quote(container)}&tailLines={lines}&limitBytes=65536&previous={previous}"
    answer = api.ask(f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log?{words}")
    return answer.body.decode("utf-8", "replace") if answer.status == OK else ""


def _quietly(api: Api, namespace: str, pod: str, port: int, path: str) -> str:
    """Return what a pod answers on a path, empty where the API server cannot reach it."""
    try:
        answer = api.ask_pod(namespace, pod, port, path)
    except StrongroomError:
        return ""
    said = answer.body[:READYZ_BYTES].decode("utf-8", "replace").strip()
    return "" if said.startswith("{") else said  # a Status object of the API server, not the pod's words


def _warnings(api: Api, place: str) -> dict[str, tuple[EventNote, ...]]:
    found: dict[str, tuple[EventNote, ...]] = {}
    for value in api.items(f"/api/v1/namespaces/{place}/events?fieldSelector=type%3DWarning&limit=1000"):
        note = event_of(value)
        found[note.about] = (*found.get(note.about, ()), note)
    return found


def _instance(description: Description) -> str:
    return selector({f"{LABEL}/instance": description.name})
