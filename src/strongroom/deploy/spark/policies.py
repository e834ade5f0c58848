"""Who may connect to whom in a job (threat DP-10): driver and executors to each other and to the broker. Pure.

The driver alone reaches the API server, which no policy can name.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.naming import BROKER, LABEL, Object, head, object_name, selector
from strongroom.deploy.kubernetes.rules import (
    API,
    BROKER_PORTS,
    dns,
    labelled,
    pods_of,
    policy,
    rule,
    to_api_server,
    to_broker,
)
from strongroom.deploy.spark.words import DRIVER, EXECUTOR
from strongroom.sparkjobs.properties import BLOCK_PORT, DRIVER_PORT


def policies(description: Description, job: Description, parts: Sequence[str]) -> tuple[Object, ...]:
    """Return what may pass. `description`: with the broker's name; `job`: with the job's."""
    everything = {f"{LABEL}/instance": job.name}
    asked = [dns(), to_broker(description)]
    found = [policy(job, "default-deny", everything)]
    if EXECUTOR in parts:
        driver, executors = pods_of(job, DRIVER), pods_of(job, EXECUTOR)
        found += [
            policy(job, DRIVER, selector(job, DRIVER), DRIVER,
                   ingress=[rule("from", [executors], (DRIVER_PORT, BLOCK_PORT))],
                   egress=[*asked, to_api_server(), rule("to", [executors], (BLOCK_PORT,))]),
            policy(job, EXECUTOR, selector(job, EXECUTOR), EXECUTOR,
                   ingress=[rule("from", [driver, executors], (BLOCK_PORT,))],
                   egress=[*asked, rule("to", [driver], (DRIVER_PORT, BLOCK_PORT)),
                           rule("to", [executors], (BLOCK_PORT,))]),
        ]  # fmt: skip
    else:
        found.append(policy(job, DRIVER, selector(job, DRIVER), DRIVER, egress=asked))
    if description.broker is None:
        found.append(_broker_admits(description, job))
    return tuple(found)


def _broker_admits(description: Description, job: Description) -> Object:
    """Return the policy by which the broker of this namespace hears the job's pods as well."""
    return {
        **head(job, API, "NetworkPolicy", object_name(job, "to-broker")),
        "spec": {
            "podSelector": {"matchLabels": selector(description, BROKER)},
            "policyTypes": ["Ingress"],
            "ingress": [rule("from", [labelled({f"{LABEL}/instance": job.name})], BROKER_PORTS)],
        },
    }
