"""Wait until replicas have proved themselves, and say meanwhile how far they have come.

World: the API server, the clock, kubectl where the broker's pod waits for its workspace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from strongroom.deploy.cluster import handover
from strongroom.deploy.cluster.api_proxy import Api
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.looking import Seen, look
from strongroom.deploy.cluster.objects import Pod
from strongroom.deploy.cluster.progress import Patience, Progress, progress
from strongroom.deploy.cluster.replicas import Proof, Replica, replica_of
from strongroom.deploy.kubernetes.broker import RECEIVE, WAITER
from strongroom.deploy.kubernetes.naming import BROKER, MODEL_SERVER

LOOK_EVERY_S: Final = 1.0
Say = Callable[[str], None]


def replicas_of(
    seen: Seen, component: str | None = MODEL_SERVER, *, proofs: Mapping[str, Proof] | None = None
) -> tuple[Replica, ...]:
    """Return the lines of a component's pods, of all pods where none is named."""
    found = []
    for pod in seen.pods if component is None else seen.of(component):
        load = seen.loads.get(pod.name)
        line = replica_of(
            pod, now=seen.at, proof=(proofs or {}).get(pod.address) if pod.address else None,
            load=(load.requests, load.in_flight) if load else (None, None),
            **({"heard": seen.heard[pod.name]} if pod.name in seen.heard else {}),
        )  # fmt: skip
        found.append(line)
    return tuple(found)


@dataclass
class Waiting:
    """One wait; it hands a broker's workspace over on the way, where the broker waits for it."""

    deployment: Deployment
    api: Api
    say: Say
    timeout_s: float
    clock: Callable[[], float] = time.monotonic
    _handed: set[str] = field(default_factory=set)
    _said: str = ""

    def until_ready(self, wanted: int | None = None) -> Progress:
        """Return once all replicas are ready; `wanted`: as many as there have to be, if not as the workload says.

        Raises ReplicasRefused, ReplicasFail or ReplicasNotReady, with the replica that stands in the way.
        """
        began, patience = self.clock(), Patience()
        while True:
            seen = look(self.api, self.deployment.description)
            self.hand_over(seen)
            found = progress(seen.workload(self.deployment.model_server), replicas_of(seen), wanted=wanted)
            self._tell(str(found))
            if found.done:
                return found
            now = self.clock() - began
            patience = patience.after(found, now)
            problem = patience.exhausted(found, now, deadline_s=self.timeout_s)
            if problem is not None:
                raise problem
            time.sleep(LOOK_EVERY_S)

    def hand_over(self, seen: Seen) -> None:
        """Give each broker that waits its workspace, once. Raises HandoverRefused."""
        for pod in seen.of(BROKER):
            if waits_for_workspace(pod) and pod.uid not in self._handed:
                self._handed.add(pod.uid)
                hand_workspace(self.deployment, pod)
                self.say(f"{pod.name} has the workspace in its memory; nothing of it is in an object")

    def _tell(self, words: str) -> None:
        if words != self._said:
            self._said = words
            self.say(words)


def waits_for_workspace(pod: Pod) -> bool:
    """Whether a broker's pod has come to where it waits for its workspace."""
    return not pod.leaving and any(each.name == WAITER and each.running for each in pod.containers)


def hand_workspace(deployment: Deployment, pod: Pod) -> None:
    """Send the broker's part of the workspace into a pod's memory."""
    content = handover.workspace_archive(deployment.description, deployment.workspace, now=datetime.now(UTC))
    deployment.kubectl.send(pod.name, WAITER, RECEIVE, content)
