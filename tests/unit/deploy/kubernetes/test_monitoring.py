"""Alerts and dashboard: every metric in them is one that a replica, a broker or kube-state-metrics exports."""

import json
import re

import pytest

from strongroom.broker.operations.metrics import Metrics as BrokerMetrics
from strongroom.deploy.description import Autoscaling, Description, Engine, Tee
from strongroom.deploy.kubernetes.alerts import alert_rules
from strongroom.deploy.kubernetes.dashboard import dashboard
from strongroom.serving.operations.metrics import Metrics
from strongroom.tfserving.codes import Code

NAMES = re.compile(r"(?:strongroom_|kube_|:tensorflow:)[a-z_:]+")
KUBE_STATE_METRICS = {"kube_deployment_status_replicas_available", "kube_deployment_spec_replicas"}
WATCHED = ("leases_live", "ledger_lines", "collateral_days_left", "certificate_days_left", "ready")


@pytest.fixture(scope="module")
def exported():
    replica = Metrics()
    replica.set_models(["m"])
    replica.answered("m", "predict", "REST", 10.0)
    replica.count_request("m", Code.INTERNAL)
    replica.gauge("strongroom_ready", lambda: [((), 1.0)])
    replica.gauge("strongroom_requests_in_flight", lambda: [((), 1.0)])
    broker = BrokerMetrics()
    broker.admission(protocol="kbs", granted=False, codes=["SR-X"], seconds=0.1)
    for name in WATCHED:
        broker.watch(name, "seen", lambda: 1.0)
    lines = [*replica.text().splitlines(), *broker.text().decode().splitlines()]
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")} | KUBE_STATE_METRICS


def expressions(description):
    yield from (rule["expr"] for rule in alert_rules(description)["groups"][0]["rules"])
    yield from (each["expr"] for panel in dashboard(description)["panels"] for each in panel["targets"])


@pytest.mark.parametrize("broker", [None, "broker.example.com:4433"])
def test_every_metric_is_exported(exported, broker):
    named = {name for each in expressions(Description(broker=broker)) for name in NAMES.findall(each)}
    assert named
    assert named <= exported


def test_labels_in_the_expressions_are_those_of_the_metrics(exported):
    text = " ".join(expressions(Description()))
    assert exported
    assert set(re.findall(r'status=~"([^"]+)"', text)) == {"INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS"}
    assert {"INTERNAL", "UNAVAILABLE", "UNKNOWN", "DATA_LOSS"} <= {each.name for each in Code}
    assert 'outcome="denied"' in text


def test_expressions_mean_this_deployment_alone():
    for each in expressions(Description(namespace="mine")):
        assert each.count("{") == each.count('namespace="mine"')


def test_a_broker_outside_is_watched_where_it_runs():
    alerts = {rule["alert"] for rule in alert_rules(Description(broker="b.example.com:4433"))["groups"][0]["rules"]}
    assert alerts == {"StrongroomNoReplicaReady", "StrongroomReplicaNotReady", "StrongroomKeyLost",
                      "StrongroomRequestsFail", "StrongroomSaturated"}  # fmt: skip


def test_nothing_is_asked_of_a_server_that_exports_nothing():
    described = Description(engine=Engine.TENSORFLOW_SERVING, tee=Tee.SGX, broker="b.example.com:4433")
    named = {name for each in expressions(described) for name in NAMES.findall(each)}
    assert named == KUBE_STATE_METRICS
    json.dumps(dashboard(described))


def test_replicas_are_called_saturated_at_twice_what_another_one_is_started_for():
    described = Description(autoscaling=Autoscaling(least=1, most=4, requests_in_flight=50))
    assert any(each.endswith("> 100") for each in expressions(described))


def test_the_dashboard_is_json_whose_panels_do_not_overlap():
    found = json.loads(json.dumps(dashboard(Description())))
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in found["panels"]]
    assert len(set(places)) == len(places) == 8
    assert len({each["id"] for each in found["panels"]}) == 8
