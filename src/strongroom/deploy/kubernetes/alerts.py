"""What wakes somebody: rules on the metrics that replicas and brokers really export, as Prometheus reads them. Pure.

Replicas answer /monitoring/prometheus/metrics on the REST port, brokers /metrics on the administration port, both
over TLS for clients with a certificate. A replica that waits for its key answers nothing yet: kube-state-metrics
(kube_…) counts those, and TensorFlow Serving's replicas, which export nothing as their REST port is off.
"""

from __future__ import annotations

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.model_server import has_rest
from strongroom.deploy.kubernetes.naming import MODEL_SERVER, Object, object_name

REQUESTS = ":tensorflow:serving:request_count"


def alert_rules(description: Description) -> Object:
    """Return a Prometheus rule file: one group, the gravest first."""
    rules = [*_replicas(description), *(_serving(description) if has_rest(description) else [])]
    if description.broker is None:
        rules += _broker(description)
    return {"groups": [{"name": object_name(description, "serving"), "rules": rules}]}


def _replicas(description: Description) -> list[Object]:
    deployment = f'{{namespace="{description.namespace}", deployment="{object_name(description, MODEL_SERVER)}"}}'
    return [
        _rule(
            "StrongroomNoReplicaReady",
            f"kube_deployment_status_replicas_available{deployment} < 1",
            "2m",
            "critical",
            "No replica answers.",
            "strongroom deploy status says why each one is not ready.",
        ),
        _rule(
            "StrongroomReplicaNotReady",
            f"kube_deployment_status_replicas_available{deployment} < kube_deployment_spec_replicas{deployment}",
            "10m",
            "warning",
            "A replica is not ready: it has no key yet, or lost it.",
            "strongroom deploy status shows the reason; strongroom ledger show has the broker's.",
        ),
    ]


def _serving(description: Description) -> list[Object]:
    here = f'{{namespace="{description.namespace}"}}'
    failed = f'{REQUESTS}{{namespace="{description.namespace}", status=~"INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS"}}'
    return [
        _rule(
            "StrongroomKeyLost",
            f"strongroom_ready{here} == 0",
            "1m",
            "warning",
            "Replica {{ $labels.pod }} runs and does not answer: its lease was not renewed.",
            "Look at the broker's ledger; a revoked measurement is refused at its next renewal.",
        ),
        _rule(
            "StrongroomRequestsFail",
            f"sum(rate({failed}[5m])) > 0.01 * sum(rate({REQUESTS}{here}[5m]))",
            "5m",
            "critical",
            "More than one request in a hundred fails for reasons of the servers.",
            "Read the replicas' logs; refusals by the broker are in its ledger.",
        ),
        _rule(
            "StrongroomSaturated",
            f"avg(strongroom_requests_in_flight{here}) > {_saturation(description)}",
            "10m",
            "warning",
            "Replicas have had more requests in flight than wanted for ten minutes.",
            "strongroom deploy scale N, or let [deploy.autoscaling] do it.",
        ),
    ]


def _broker(description: Description) -> list[Object]:
    here = f'{{namespace="{description.namespace}"}}'
    denied = f'strongroom_broker_admissions_total{{namespace="{description.namespace}", outcome="denied"}}'
    return [
        _rule(
            "StrongroomBrokerNotReady",
            f"strongroom_broker_ready{here} == 0",
            "1m",
            "critical",
            "The broker could not release a key now: no replica can start or keep its lease.",
            "strongroom broker status says which part does not work.",
        ),
        _rule(
            "StrongroomRefusals",
            f"sum(increase({denied}[10m])) > 0",
            "0m",
            "warning",
            "A program was refused a key: a wrong image, an old one, a debug enclave, or worse.",
            "strongroom ledger show has rule, observed value and fix.",
        ),
        _rule(
            "StrongroomCollateralEnds",
            f"strongroom_broker_collateral_days_left{here} < 3",
            "1h",
            "warning",
            "Collateral ends in {{ $value }} days; then every replica is refused.",
            "strongroom collateral doctor says what to fetch, and from where.",
        ),
        _rule(
            "StrongroomCertificateEnds",
            f"strongroom_broker_certificate_days_left{here} < 7",
            "1h",
            "warning",
            "The broker's certificate ends in {{ $value }} days.",
            "Start the broker anew: it renews its certificate in good time.",
        ),
    ]


def _saturation(description: Description) -> int:
    return 2 * (description.autoscaling.requests_in_flight if description.autoscaling else 8)


def _rule(  # noqa: PLR0917  # the six words of a rule, in Prometheus' own order
    alert: str, expression: str, lasts: str, severity: str, summary: str, what_to_do: str
) -> Object:
    return {
        "alert": alert,
        "expr": expression,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": what_to_do},
    }
