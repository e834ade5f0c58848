"""The journey of a deployment, from an empty cluster to an empty cluster, with a client that calls all the while.

Each step does what an operator or an attacker would, waits for what should come of it, and notes what held.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kube.certificates import NODE_IP
from kube.cluster import Cluster, wait_until
from kube.load import ONCE, PATIENT
from kube.owner import HOST, MODEL, NAME, NAMESPACE, SECRET, Owner
from kube.results import Results, read_calls, tally
from kube.sandbox import TOGETHER

REPLICAS: Final = f"{NAME}-model-server"
BROKER: Final = f"{NAME}-broker"
FRONT: Final = f"{NAME}-front"
CALM_S: Final = 3.0  # calls before a step and after it, to compare with
KILLS: Final = 4
REST_PORT: Final = 8501
IN_NAMESPACE: Final = f"--namespace={NAMESPACE}"


class Journey:
    """One deployment on one cluster."""

    def __init__(self, cluster: Cluster, results: Results, say: Callable[[str], None]) -> None:
        self.cluster, self.results = cluster, results
        self.owner = Owner(cluster)
        self.calls_file = cluster.folder / "calls.jsonl"
        self.say = say
        self.measurements: dict[str, str] = {}

    # Looking at the cluster -------------------------------------------------------------------------------------

    def pods(self, component: str = "model-server") -> list[dict[str, Any]]:
        """Return the pods of a component that are not on their way out."""
        labels = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        found = self.cluster.get("pods", IN_NAMESPACE, f"--selector={labels}")["items"]
        return [each for each in found if not each["metadata"].get("deletionTimestamp")]

    def ready(self, component: str = "model-server") -> list[str]:
        """Return the names of the pods that are ready."""
        return [each["metadata"]["name"] for each in self.pods(component) if is_ready(each)]

    def wait_for_replicas(self, count: int, timeout_s: float = 180.0) -> float:
        """Wait until exactly so many replicas are there and ready; return the seconds it took."""
        return self.wait(
            f"{count} replicas are ready", lambda: len(self.pods()) == len(self.ready()) == count, timeout_s
        )

    def wait(self, what: str, happened: Callable[[], bool], timeout_s: float = 180.0) -> float:
        """Wait while looking after the cluster's servers."""
        return wait_until(what, happened, timeout_s=timeout_s, look_after=self.cluster.sandbox.look_after)

    def grants(self) -> list[dict[str, Any]]:
        """Return the ledger's releases of the model's key."""
        return [each for each in self.owner.ledger() if each["decision"] == "granted" and each["secret"] == SECRET]

    def front_url(self, scheme: str = "grpcs", port: str = "grpc") -> str:
        """Return the address at which clients reach nginx: a port of the node, or the Service's own address."""
        spec = self.cluster.get("service", FRONT, IN_NAMESPACE)["spec"]
        found = next(each for each in spec["ports"] if each["name"] == port)
        if "nodePort" in found:
            return f"{scheme}://{NODE_IP}:{found['nodePort']}"
        return f"{scheme}://{spec['clusterIP']}:{found['port']}"

    def kill(self, pod: dict[str, Any], container: str) -> None:
        """Kill a container's first process, as the kernel does when memory runs out."""
        status = next(each for each in pod["status"]["containerStatuses"] if each["name"] == container)
        name = status["containerID"].removeprefix("containerd://")
        words = ["ctr", f"--address={self.cluster.folder}/containerd.sock", "--namespace=k8s.io", "tasks", "kill"]
        self.cluster.sandbox.run([*words, "--signal=SIGKILL", name])

    # The load ---------------------------------------------------------------------------------------------------

    @contextmanager
    def load(self) -> Iterator[None]:
        """Call through nginx until the block ends."""
        words = [*self.load_words(), "--out", str(self.calls_file)]
        environ = self.owner.environment()
        with (self.cluster.folder / "log/load.log").open("ab") as log:
            process = subprocess.Popen(
                self.cluster.sandbox.on_network([*TOGETHER, *words]), stdout=log, stderr=log, env=environ
            )
        try:
            self.wait("the load is answered", lambda: bool(read_calls(self.calls_file)))
            yield
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def step(self, name: str, *, no_failures: bool = True) -> Iterator[dict[str, float]]:
        """Time a step under load, calm before and after it; with retries no call in it may fail."""
        self.say(name)
        with self.results.phase(name) as phase:
            time.sleep(CALM_S)
            began = time.monotonic()
            yield phase.times
            phase.times["until it had happened"] = time.monotonic() - began
            time.sleep(CALM_S)
        if no_failures:
            found = tally(read_calls(self.calls_file), PATIENT, phase.began, phase.ended)
            self.results.check("no call with retries failed", found.calls > 0 and not found.failed,
                               f"{found.failed} of {found.calls} {dict(found.errors) or ''}")  # fmt: skip

    # Steps ------------------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """Apply, and wait until the first replica has proved itself and answers through nginx."""
        with self.results.phase("deploy") as phase:
            self.say("strongroom deploy apply")
            began = time.monotonic()
            self.owner.strongroom("deploy", "apply")
            phase.times["deploy apply returned"] = time.monotonic() - began
            self.wait_for_replicas(1)
            self.wait("nginx is ready", lambda: bool(self.ready("front")))
            phase.times["first replica ready"] = time.monotonic() - began
            self.ask_once()
            phase.times["first answer through nginx"] = time.monotonic() - began
            found = self.grants()
            self.results.check("the ledger shows one release to one replica", len(found) == 1, f"{len(found)} releases")

    def ask_once(self) -> None:
        """Ask as a careful data owner does: first the server proves which program it is."""
        trust = self.owner.client / "trust"
        shutil.copytree(self.owner.workspace / "trust", trust)
        shutil.copy(self.owner.workspace / "policy.toml", trust)
        words = [*self.load_words(), "--trust", str(trust), "--evidence-url", self.front_url("https", "rest")]
        said = json.loads(self.owner.run(*words))
        self.results.check("an answer comes through nginx after evidence, and is right", said["y"] == [2.5, 3.0, 4.5],
                           f"rule {said['rule']!r}")  # fmt: skip

    def load_words(self) -> list[str]:
        """Return the words of the client that is called through nginx."""
        return [sys.executable, "-m", "kube.load", "--url", self.front_url(), "--host", HOST, "--model", MODEL,
                "--client", str(self.owner.client)]  # fmt: skip

    def scale(self, count: int) -> None:
        """Scale, and see each new replica prove itself."""
        before, had = len(self.grants()), len(self.ready())
        with self.step(f"scale {had} to {count}"):
            self.owner.strongroom("deploy", "scale", str(count))
            self.wait_for_replicas(count)
        more = len(self.grants()) - before
        if count > had:
            self.results.check(
                "each new replica proved itself", more == count - had, f"{more} releases for {count - had} new replicas"
            )

    def answers_spread(self) -> None:
        """Check that every replica has answered something."""
        addresses = [f"{each['status']['podIP']}:{REST_PORT}" for each in self.pods()]
        words = [sys.executable, "-m", "kube.scrape", "--client", str(self.owner.client), "--host", HOST, *addresses]
        counts = json.loads(self.owner.run(*words))
        self.results.check("every replica has answered calls", bool(counts) and all(counts.values()), counts)

    def kill_replicas(self) -> None:
        """Kill replicas one after the other: programs by SIGKILL, and whole pods without notice."""
        count = len(self.ready())
        with self.step("kill replicas"):
            for number in range(KILLS):
                pod = self.pods()[0]
                if number % 2:
                    self.cluster.kubectl("delete", "pod", pod["metadata"]["name"], IN_NAMESPACE, "--grace-period=0",
                                         "--force", "--wait=false")  # fmt: skip
                else:
                    self.kill(pod, "model-server")
                self.wait("it is noticed", lambda: self.is_gone(pod), 60)  # noqa: B023  # waited for at once
                self.wait_for_replicas(count)

    def is_gone(self, pod: dict[str, Any]) -> bool:
        """Say whether a pod is not there any more, not ready, or was started anew."""
        name = pod["metadata"]["name"]
        now = next((each for each in self.pods() if each["metadata"]["name"] == name), None)
        return now is None or not is_ready(now) or restarts_of(now) > restarts_of(pod)

    def kill_broker(self) -> None:
        """Kill the broker's program: the replicas go on, and a new one waits until the broker is back."""
        with self.step("kill the broker"):
            broker = self.pods("broker")[0]
            restarts = restarts_of(broker)
            self.kill(broker, "broker")
            self.wait("the broker has come back", lambda: self.broker_is_back(restarts))
            self.cluster.kubectl("delete", "pod", self.ready()[0], IN_NAMESPACE, "--wait=false")
            count = len(self.pods())
            self.wait_for_replicas(count)

    def broker_is_back(self, restarts: int) -> bool:
        """Say whether the broker was started anew and is ready."""
        found = self.pods("broker")
        return bool(found) and restarts_of(found[0]) > restarts and is_ready(found[0])

    def delete(self) -> None:
        """Delete the deployment and see that nothing of it is left."""
        with self.results.phase("delete"):
            self.say("strongroom deploy delete")
            self.owner.strongroom("deploy", "delete", "--yes")
            labels = f"app.kubernetes.io/instance={NAME}"
            kinds = "deployments,statefulsets,services,configmaps,secrets,horizontalpodautoscalers,poddisruptionbudgets"

            def left() -> list[Any]:
                found: list[Any] = self.cluster.get(kinds, IN_NAMESPACE, f"--selector={labels}")["items"]
                return found

            self.wait("every object is gone", lambda: not left())
            self.results.check("nothing of the deployment is left", not left())

    def summary(self) -> None:
        """Check what holds over the whole run."""
        calls = read_calls(self.calls_file)
        wrong = [each.error for each in calls if (each.error or "").startswith("WRONG")]
        self.results.check("no answer was wrong", bool(calls) and not wrong, f"{len(calls)} calls")
        kinds = {kind: sum(each.kind == kind for each in calls) for kind in (PATIENT, ONCE)}
        self.results.check("both kinds of callers called", all(kinds.values()), json.dumps(kinds))


def is_ready(pod: dict[str, Any]) -> bool:
    """Say whether a pod is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def restarts_of(pod: dict[str, Any]) -> int:
    """Return how often a pod's containers were started anew."""
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", []))


def write_json(path: Path, value: object) -> None:
    """Write results as benchmarks do."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
