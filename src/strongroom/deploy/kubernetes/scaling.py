"""How many replicas there are, and how few there may be for a moment. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Autoscaling, Description, Front
from strongroom.deploy.kubernetes.front import front_replicas
from strongroom.deploy.kubernetes.naming import FRONT, MODEL_SERVER, Object, head, object_name, selector

BUDGET_V1_SINCE: Final = (1, 21)
AUTOSCALER_V2_SINCE: Final = (1, 23)
REQUESTS_IN_FLIGHT: Final = "strongroom_requests_in_flight"  # what replicas export and the metrics adapter adds up


def disruption_budgets(description: Description) -> tuple[Object, ...]:
    """Return what keeps maintenance of nodes from taking more than one replica, or one front, at a time."""
    found = [_budget(description, MODEL_SERVER)]
    if description.front is Front.NGINX and front_replicas(description) > 1:
        found.append(_budget(description, FRONT))
    return tuple(found)


def autoscaler(description: Description) -> tuple[Object, ...]:
    """Return the HorizontalPodAutoscaler, where the description asks for one."""
    if description.autoscaling is None:
        return ()
    version = "v2" if description.kubernetes >= AUTOSCALER_V2_SINCE else "v2beta2"
    name = object_name(description, MODEL_SERVER)
    return (
        {
            **head(description, f"autoscaling/{version}", "HorizontalPodAutoscaler", name, component=MODEL_SERVER),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": description.autoscaling.least,
                "maxReplicas": description.autoscaling.most,
                "metrics": [_in_flight(description, description.autoscaling)],
            },
        },
    )


def _in_flight(description: Description, wanted: Autoscaling) -> Object:
    metric = {
        "name": REQUESTS_IN_FLIGHT,
        "selector": {"matchLabels": {"deployment": object_name(description, MODEL_SERVER)}},
    }
    target = {"type": "AverageValue", "averageValue": str(wanted.requests_in_flight)}
    return {"type": "External", "external": {"metric": metric, "target": target}}


def _budget(description: Description, component: str) -> Object:
    version = "v1" if description.kubernetes >= BUDGET_V1_SINCE else "v1beta1"
    name = object_name(description, component)
    return {
        **head(description, f"policy/{version}", "PodDisruptionBudget", name, component=component),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(description, component)}},
    }
