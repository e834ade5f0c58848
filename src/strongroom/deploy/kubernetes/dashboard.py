"""A Grafana dashboard over the same metrics as the alerts: load, trust, keys. Pure.

Source: Grafana's dashboard JSON model, schema version 36 (Grafana 9 and newer import it).
"""

from __future__ import annotations

from typing import TypeAlias

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.alerts import REQUESTS
from strongroom.deploy.kubernetes.model_server import has_rest
from strongroom.deploy.kubernetes.naming import MODEL_SERVER, Object, object_name

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT = 12, 8  # of a panel, two in a row of 24
_Panel: TypeAlias = tuple[str, str, list[tuple[str, str]]]  # title, unit, legend and expression of each line
_LATENCY = ":tensorflow:serving:request_latency_bucket"


def dashboard(description: Description) -> Object:
    """Return the dashboard as Grafana imports it."""
    panels = [
        _panel(number, title, unit, queries) for number, (title, unit, queries) in enumerate(_panels(description))
    ]
    return {
        "title": f"Strongroom: {description.name}",
        "uid": f"strongroom-{description.name}"[:40],
        "schemaVersion": 36,
        "tags": ["strongroom"],
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}]},
        "panels": panels,
    }


def _panels(description: Description) -> list[_Panel]:
    here = f'namespace="{description.namespace}"'
    found = _load(here) if has_rest(description) else _counted(description, here)
    return found if description.broker is not None else [*found, *_broker(here)]


def _counted(description: Description, here: str) -> list[_Panel]:
    """Return what kube-state-metrics knows: TensorFlow Serving's replicas export nothing, as their REST is off."""
    deployment = f'{here}, deployment="{object_name(description, MODEL_SERVER)}"'
    wanted = ("wanted", f"kube_deployment_spec_replicas{{{deployment}}}")
    return [("Replicas", "short", [("ready", f"kube_deployment_status_replicas_available{{{deployment}}}"), wanted])]


def _load(here: str) -> list[_Panel]:
    return [
        ("Requests by outcome", "reqps", [("{{status}}", f"sum by (status) (rate({REQUESTS}{{{here}}}[1m]))")]),
        (
            "Latency",
            "µs",
            [
                (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({_LATENCY}{{{here}}}[5m])))")
                for share in ("50", "90", "99")
            ],
        ),
        ("Requests in flight", "short", [("{{pod}}", f"strongroom_requests_in_flight{{{here}}}")]),
        ("Replicas with a key", "short", [("ready", f"sum(strongroom_ready{{{here}}})")]),
    ]


def _broker(here: str) -> list[_Panel]:
    return [
        (
            "Decisions of the broker",
            "short",
            [
                (
                    "{{outcome}}, {{protocol}}",
                    f"sum by (outcome, protocol) (increase(strongroom_broker_admissions_total{{{here}}}[5m]))",
                )
            ],
        ),
        (
            "Refusals by reason",
            "short",
            [("{{code}}", f"sum by (code) (increase(strongroom_broker_denials_total{{{here}}}[5m]))")],
        ),
        ("Leases", "short", [("live", f"sum(strongroom_broker_leases_live{{{here}}})")]),
        (
            "Days left",
            "d",
            [
                ("collateral", f"min(strongroom_broker_collateral_days_left{{{here}}})"),
                ("certificate", f"min(strongroom_broker_certificate_days_left{{{here}}})"),
            ],
        ),
    ]


def _panel(number: int, title: str, unit: str, queries: list[tuple[str, str]]) -> Object:
    row, column = divmod(number, 2)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": dict(_SOURCE),
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "legendFormat": legend, "expr": expression, "datasource": dict(_SOURCE)}
            for index, (legend, expression) in enumerate(queries)
        ],
    }
