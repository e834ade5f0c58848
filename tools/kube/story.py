"""The order of the whole run: images, trust, deployment, the queue, scaling, kills, wrong replicas, a new version."""

from __future__ import annotations

import time
from collections.abc import Callable

from kube.cluster import Cluster
from kube.images import Images
from kube.intruders import Intrusion
from kube.journey import Journey
from kube.profiles import dry_run
from kube.queue import Queue
from kube.queue_on_flink import FlinkQueue
from kube.registry import Registry
from kube.results import Results
from kube.rollout import Rollout
from kube.sandbox import SandboxFailed
from kube.scaling import Autoscaling
from kube.spark import Spark


def tell(cluster: Cluster, results: Results, say: Callable[[str], None], *, only_queue: bool = False) -> Journey:
    """Run everything on a cluster that has started, or the queue alone; what did not hold is in the results.

    Raises SandboxFailed.
    """
    journey = Journey(cluster, results, say)
    if not only_queue:
        _dry_run(cluster, results, say)
    with results.phase("workspace, keys, sealed model"):
        say("strongroom init, certs two-way, model publish")
        journey.owner.prepare()
    with Registry(cluster) as registry:
        images = Images(journey, registry)
        images.build_first()
        queue = Queue(journey, images)
        queue.prepare()
        journey.deploy()
        _even_if(journey, queue.run)
        if only_queue:
            journey.delete()
            return journey
        _live(journey, images)
    journey.summary()
    return journey


def tell_of_flink(cluster: Cluster, results: Results, say: Callable[[str], None]) -> None:
    """Run the queue on Flink alone: no broker and no TEE, so keys in clear and a plain model. Raises SandboxFailed."""
    journey = Journey(cluster, results, say)
    with results.phase("workspace, keys"):
        journey.owner.prepare()
    with Registry(cluster) as registry:
        images = Images(journey, registry)
        images.describe("v1")
        queue = FlinkQueue(journey, images)
        queue.prepare()
        _even_if(journey, queue.run)


def tell_of_spark(cluster: Cluster, results: Results, say: Callable[[str], None]) -> None:
    """Run a Spark job by its chart, with the deployment's broker and nothing else. Raises SandboxFailed."""
    journey = Journey(cluster, results, say)
    with results.phase("workspace, keys, sealed model"):
        journey.owner.prepare()
    with Registry(cluster) as registry:
        images = Images(journey, registry)
        spark = Spark(journey, images)
        spark.prepare()
        images.build_first()
        journey.deploy()
        _even_if(journey, spark.run)
        journey.delete()


def _live(journey: Journey, images: Images) -> None:
    """Let all that happens happen under load."""
    intrusion, rollout = Intrusion(journey), Rollout(journey, images)
    with journey.load():
        journey.scale(4)
        journey.answers_spread()
        intrusion.try_all()
        journey.kill_replicas()
        journey.kill_broker()
        journey.scale(2)
        rollout.roll_out()
        rollout.try_old()
        _even_if(journey, Autoscaling(journey, images).watch)
    journey.delete()


def _even_if(journey: Journey, step: Callable[[], None]) -> None:
    """Take a step after which the others make sense all the same; that it broke off is a check that did not hold."""
    try:
        step()
    except SandboxFailed as problem:
        journey.say(str(problem))
        journey.results.check("the step came to its end", False, problem)


def _dry_run(cluster: Cluster, results: Results, say: Callable[[str], None]) -> None:
    with results.phase("server-side dry run of every profile"):
        say("server-side dry run of every profile")
        began = time.monotonic()
        count, objects, refused = dry_run(cluster)
        results.check(
            "the API server takes every rendering for 1.20",
            not refused and count > 0,
            refused[:3] or f"{count} renderings, {objects} different objects, {time.monotonic() - began:.1f} s",
        )
