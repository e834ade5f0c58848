"""Autoscaling: more callers, more replicas, by the numbers of the metrics adapter; fewer callers, fewer replicas."""

from __future__ import annotations

import subprocess
from typing import Final

from kube.images import Images
from kube.journey import IN_NAMESPACE, REPLICAS, Journey
from kube.sandbox import TOGETHER

MOST: Final = 3
IN_FLIGHT: Final = 2
CALLERS: Final = 24
REASON: Final = "ValidMetricFound"
METRICS: Final = "/apis/external.metrics.k8s.io/v1beta1"


class Autoscaling:
    """Watches the HorizontalPodAutoscaler act."""

    def __init__(self, journey: Journey, images: Images) -> None:
        self.journey, self.images = journey, images

    def watch(self) -> None:
        """Describe autoscaling, apply, call much, and see replicas come; call little, and see them go."""
        journey = self.journey
        self.images.describe("v2", autoscaling={"min": 1, "max": MOST, "requests_in_flight": IN_FLIGHT})
        with journey.step("switch autoscaling on"):
            journey.owner.strongroom("deploy", "apply")
            journey.wait("the adapter answers for the API server", self._metric_is_served)
            journey.wait("one calm replica is enough", lambda: self._wanted() == 1)
            journey.wait_for_replicas(1)
        with journey.step("many callers: the autoscaler adds replicas"):
            crowd = self._crowd()
            try:
                journey.wait("the autoscaler wants more replicas", lambda: self._wanted() > 1)
                journey.results.check(
                    "the autoscaler went by requests in flight", self._reason() == REASON, self._message()
                )
                journey.wait("a further replica has proved itself", lambda: len(journey.ready()) > 1)
            finally:
                crowd.terminate()
                crowd.wait(60)
        with journey.step("few callers: it takes them away"):
            journey.wait("the autoscaler wants one replica", lambda: self._wanted() == 1)
            journey.wait_for_replicas(1)

    def _crowd(self) -> subprocess.Popen[bytes]:
        words = [*self.journey.load_words(), "--out", "/dev/null", "--patient", str(CALLERS), "--once", "0"]
        words = self.journey.cluster.sandbox.on_network([*TOGETHER, *words])
        return subprocess.Popen(words, env=self.journey.owner.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL)  # fmt: skip

    def _metric_is_served(self) -> bool:
        return self.journey.cluster.kubectl_ok("get", f"--raw={METRICS}")

    def _wanted(self) -> int:
        found = self.journey.cluster.get("horizontalpodautoscalers.v2beta2.autoscaling", REPLICAS, IN_NAMESPACE)
        return int(found["status"].get("desiredReplicas", 0))

    def _active(self) -> dict[str, str]:
        found = self.journey.cluster.get("horizontalpodautoscalers.v2beta2.autoscaling", REPLICAS, IN_NAMESPACE)
        conditions: list[dict[str, str]] = found["status"].get("conditions", [])
        return next((each for each in conditions if each["type"] == "ScalingActive"), {})

    def _reason(self) -> str:
        return self._active().get("reason", "")

    def _message(self) -> str:
        return self._active().get("message", "")
