"""The queue on Flink: its own images, keys in clear, a job handed over, checkpoints, more task managers, a lost job."""

from __future__ import annotations

import re
import sys
import time
from typing import Final

from kube.journey import IN_NAMESPACE
from kube.owner import MODEL, NAMESPACE, half_plus_two
from kube.queue import RELEASE, Queue

PARTS: Final = ("redis", "frontend", "jobmanager", "taskmanager", "master")
SECRETS: Final = ("redis", "frontend", "frontend-client", "worker", "jobmanager", "taskmanager", "flink-client")
HEALTH_PORT: Final = 8502
READY_S: Final = 420.0
_RUNS: Final = re.compile(r"runs on (\d+) workers; (\d+) checkpoints were completed, (\d+) failed")
_ASK: Final = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
except urllib.error.HTTPError as answer:
    print(answer.read().decode())
except OSError as problem:
    print(problem)
"""


class FlinkQueue(Queue):
    """One release of the queue's chart with `runner: flink` and `sgx.mode: nonsgx`."""

    def prepare(self) -> None:
        """Build the images, make keys, a password in clear, a plain model and the chart."""
        journey, owner = self.journey, self.journey.owner
        owner.strongroom("keys", "generate", "--out", self.folder / "keys", "--domain",
                         f"{NAMESPACE}.svc.cluster.local")  # fmt: skip
        owner.strongroom("key", "export", "password/ssl-keys", "--out", self.folder / "store.password")
        with journey.results.phase("images of the queue") as phase:
            began = time.monotonic()
            sizes = [*self._build("redis"), *self._build("queue-frontend"), *self._build("flink")]
            self._model()
            phase.times["built, looked through, pushed"] = time.monotonic() - began
        journey.results.check("the queue's images were built and pushed", len(sizes) == 3, ", ".join(sizes))
        owner.strongroom("queue", "chart", "--out", self.folder / "chart", "--runner", "flink", "--mode", "nonsgx")

    def _model(self) -> None:
        """Make the image of the models: without a TEE it is a plain one, and there is no command for that."""
        context = self.folder / "plain"
        (context / "models" / MODEL).mkdir(parents=True)
        (context / "models" / MODEL / "model.onnx").write_bytes(half_plus_two())
        registry = self.images.registry.name
        self.plain = f"{registry}/strongroom-plain-models:v1"
        base = f"{registry}/strongroom-redis:default-v1"
        (context / "Containerfile").write_text(f"FROM {base}\nCOPY --chmod=0755 models /models\nENTRYPOINT []\n")
        self.journey.owner.tool("buildah", "build", "--tag", self.plain, str(context))
        self.journey.owner.tool("buildah", "push", "--tls-verify=false", self.plain)

    def run(self) -> None:
        """Install, use, scale, take the job manager away, test, delete."""
        self._install()
        self._send()
        self._checkpoints()
        self._scale()
        self._send()
        self._lose()
        self._send()
        self._test()
        self._delete()

    def _install(self) -> None:
        journey = self.journey
        with journey.results.phase("install the queue on Flink") as phase:
            began = time.monotonic()
            journey.cluster.kubectl("create", "namespace", NAMESPACE)
            for part in SECRETS:
                folder = (self.folder / "keys" / part).resolve()
                journey.cluster.kubectl("create", "secret", "generic", f"ssl-keys-{part}", IN_NAMESPACE,
                                        f"--from-file={folder}")  # fmt: skip
            journey.cluster.kubectl("create", "secret", "generic", "ssl-password", IN_NAMESPACE,
                                    f"--from-file=password={self.folder / 'store.password'}")  # fmt: skip
            journey.say("helm install queue, runner flink")
            self._helm("install", RELEASE, str(self.folder / "chart/chart"), *self._values())
            for part in PARTS:
                journey.wait(f"{part} is ready", lambda: self._is_ready(part), READY_S)  # noqa: B023  # waited for at once
                phase.times[f"{part} ready"] = time.monotonic() - began
        journey.results.check("the master handed the job over and is ready", "runs on 1 workers" in self._master(),
                              self._master())  # fmt: skip

    def _send(self) -> None:
        self.journey.wait("frontend is ready", lambda: self._is_ready("frontend"), READY_S)  # it is while workers are
        super()._send()

    def _values(self, replicas: int = 1) -> list[str]:
        return [f"--values={self.folder / 'chart/chart/values-small.yaml'}",
                f"--values={self.folder / 'chart/values.yaml'}", f"--set=images.models={self.plain}",
                f"--set=taskmanager.replicas={replicas}"]  # fmt: skip

    def _master(self) -> str:
        """Return what the master's probe says."""
        addresses = [each["status"].get("podIP") for each in self._pods("master")]
        if not addresses or addresses[0] is None:
            return "no master"
        url = f"http://{addresses[0]}:{HEALTH_PORT}/readyz"
        return self.journey.owner.run(sys.executable, "-c", _ASK, url).strip()

    def _runs_with(self, workers: int) -> bool:
        found = _RUNS.search(self._master())
        return found is not None and int(found[1]) == workers and self._is_ready("master")

    def _checkpoints(self) -> None:
        def passed() -> bool:
            found = _RUNS.search(self._master())
            return found is not None and int(found[2]) >= 2

        with self.journey.results.phase("checkpoints") as phase:
            phase.times["until two had passed"] = self.journey.wait("checkpoints pass", passed)
        said = self._master()
        found = _RUNS.search(said)
        self.journey.results.check("checkpoints pass", found is not None and found[3] == "0", said)

    def _scale(self) -> None:
        journey = self.journey
        with journey.results.phase("scale task managers 1 to 2") as phase:
            journey.say("helm upgrade --set taskmanager.replicas=2")
            began = time.monotonic()
            self._helm("upgrade", RELEASE, str(self.folder / "chart/chart"), *self._values(2))
            journey.wait("two task managers are ready", self._are_two, READY_S)
            phase.times["task managers ready"] = time.monotonic() - began
            journey.wait("the job runs on two workers", lambda: self._runs_with(2), READY_S)
            phase.times["job on two workers"] = time.monotonic() - began
        journey.results.check("workers follow the task managers", "runs on 2 workers" in self._master(), self._master())

    def _are_two(self) -> bool:
        return len(self._pods("taskmanager")) == 2 and self._is_ready("taskmanager")

    def _lose(self) -> None:
        """Take the job manager away: another one knows nothing of the job, which the master says, and mends."""
        journey = self.journey
        with journey.results.phase("a lost job manager") as phase:
            (pod,) = self._pods("jobmanager")
            began = time.monotonic()
            journey.cluster.kubectl("delete", "pod", pod["metadata"]["name"], IN_NAMESPACE, "--wait=false")
            journey.wait("the master is not ready", lambda: not self._is_ready("master"))
            phase.times["seen in the master's readiness"] = time.monotonic() - began
            said = self._master()
            journey.wait("the job runs again", lambda: self._runs_with(2), READY_S)
            phase.times["job runs again"] = time.monotonic() - began
        journey.results.check("a job that is gone shows in the master's readiness, and comes back", True, said)

    def _delete_keys(self) -> None:
        names = [f"ssl-keys-{part}" for part in SECRETS]
        self.journey.cluster.kubectl("delete", "secret", "ssl-password", *names, IN_NAMESPACE)
