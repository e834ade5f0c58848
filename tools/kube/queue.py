"""The queue's chart on the cluster: keys, images, install, records through it, a renewal, `helm test`, away again."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from kube.images import Images
from kube.journey import IN_NAMESPACE, Journey, is_ready
from kube.owner import NAMESPACE, SECRET

RELEASE: Final = "queue"
SEALING: Final = "secret/ssl-keys"
PARTS: Final = ("redis", "master", "frontend")
RECORDS: Final = 200
KUBELET_S: Final = 240.0  # a kubelet looks at mounted Secrets about once a minute


class Queue:
    """One release of the queue's chart beside a deployment."""

    def __init__(self, journey: Journey, images: Images) -> None:
        self.journey, self.images = journey, images
        self.folder = journey.owner.folder

    def prepare(self) -> None:
        """Build the images, make the keys and the chart: before the broker gets the workspace."""
        journey, owner = self.journey, self.journey.owner
        owner.strongroom("keys", "generate", "--out", self.folder / "keys", "--domain",
                         f"{NAMESPACE}.svc.cluster.local")  # fmt: skip
        owner.strongroom("keys", "password", "--out", self.folder / "password")
        with journey.results.phase("images of the queue") as phase:
            began = time.monotonic()
            sizes = [*self._build("streaming-worker", SEALING, SECRET), *self._build("queue-frontend", SEALING),
                     *self._build("redis", SEALING)]  # fmt: skip
            phase.times["built, looked through, pushed"] = time.monotonic() - began
        journey.results.check("the queue's images were built and pushed", len(sizes) == len(PARTS), ", ".join(sizes))
        owner.strongroom("queue", "chart", "--out", self.folder / "chart")

    def _build(self, role: str, *released: str) -> list[str]:
        self.journey.say(f"strongroom deploy build {role}")
        words = [word for name in released for word in ("--trust", name)]
        said = self.journey.owner.build("deploy", "build", role, *words, "--push", "--json")
        return [f"{each['role']} {each['bytes'] / 1e6:.0f} MB" for each in json.loads(said)["images"]]

    def run(self) -> None:
        """Install, use, renew, test, delete."""
        self._install()
        self._send()
        self._renew()
        self._test()
        self._delete()

    def _install(self) -> None:
        journey = self.journey
        with journey.results.phase("install the queue") as phase:
            journey.say("helm install queue")
            began = time.monotonic()
            for name in ("keys/keys.yaml", "password/password.yaml"):
                journey.cluster.kubectl("apply", IN_NAMESPACE, f"--filename={self.folder / name}")
            self._helm("install", RELEASE, str(self.folder / "chart/chart"),
                       f"--values={self.folder / 'chart/chart/values-small.yaml'}",
                       f"--values={self.folder / 'chart/values.yaml'}")  # fmt: skip
            for part in PARTS:
                journey.wait(f"{part} is ready", lambda: self._is_ready(part), 300)  # noqa: B023  # waited for at once
                phase.times[f"{part} ready"] = time.monotonic() - began
        released = [each for each in journey.owner.ledger()
                    if each["decision"] == "granted" and each["secret"] == SEALING]  # fmt: skip
        journey.results.check("each part proved itself before it got its keys", len(released) >= len(PARTS),
                              f"{len(released)} releases of {SEALING}")  # fmt: skip

    def _pods(self, part: str) -> list[dict[str, Any]]:
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={part}"
        found = self.journey.cluster.get("pods", IN_NAMESPACE, f"--selector={labels}")["items"]
        return [each for each in found if not each["metadata"].get("deletionTimestamp")]

    def _is_ready(self, part: str) -> bool:
        found = self._pods(part)
        return bool(found) and all(map(is_ready, found))

    def _send(self) -> None:
        journey = self.journey
        address = journey.cluster.get("service", "frontend-service", IN_NAMESPACE)["spec"]["clusterIP"]
        with journey.results.phase("records through the queue") as phase:
            began = time.monotonic()
            words = [sys.executable, "-m", "kube.queue_client", "--address", address, "--ca",
                     str(self.folder / "keys/ca.crt"), "--records", str(RECORDS)]  # fmt: skip
            said = json.loads(journey.owner.run(*words))
            phase.times["answered"] = time.monotonic() - began
        right, wrong = said["right"], said["wrong"]
        journey.results.check("every record through the queue came back right", right == RECORDS and not wrong,
                              f"{right} of {RECORDS}, {said['tls']} {wrong[:1] or ''}")  # fmt: skip

    def _renew(self) -> None:
        """Renew every certificate; Redis takes its own while it runs."""
        journey = self.journey
        with journey.results.phase("renew certificates") as phase:
            began = time.monotonic()
            before = [each["metadata"]["uid"] for each in self._pods("redis")]
            journey.owner.strongroom("keys", "generate", "--renew", "--out", self.folder / "keys")
            journey.cluster.kubectl("apply", IN_NAMESPACE, f"--filename={self.folder / 'keys/keys.yaml'}")
            journey.wait("Redis has taken its renewed certificate", self._redis_renewed, KUBELET_S)
            phase.times["until Redis had them"] = time.monotonic() - began
        same = before == [each["metadata"]["uid"] for each in self._pods("redis")]
        restarts = [
            status["restartCount"] for each in self._pods("redis") for status in each["status"]["containerStatuses"]
        ]
        journey.results.check("certificates were renewed without a restart", same and not any(restarts), restarts)
        self._send()

    def _redis_renewed(self) -> bool:
        return "took renewed certificates" in self.journey.cluster.kubectl("logs", "redis-0", IN_NAMESPACE)

    def _test(self) -> None:
        with self.journey.results.phase("helm test"):
            said = self._helm("test", RELEASE, "--timeout=120s")
        self.journey.results.check("helm test passes", "Succeeded" in said)

    def _delete(self) -> None:
        journey = self.journey
        kinds = "pods,deployments,statefulsets,services,configmaps,serviceaccounts,networkpolicies"

        def left() -> list[Any]:
            selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
            found: list[Any] = journey.cluster.get(kinds, IN_NAMESPACE, selector)["items"]
            return found

        with journey.results.phase("delete the queue"):
            self._helm("uninstall", RELEASE)
            journey.wait("every object is gone", lambda: not left())
            self._delete_keys()
        journey.results.check("nothing of the queue is left", not left())

    def _delete_keys(self) -> None:
        self.journey.cluster.kubectl("delete", IN_NAMESPACE, f"--filename={self.folder / 'keys/keys.yaml'}",
                                     f"--filename={self.folder / 'password/password.yaml'}")  # fmt: skip

    def _helm(self, *words: str) -> str:
        return self.journey.owner.run("helm", *words, IN_NAMESPACE)
