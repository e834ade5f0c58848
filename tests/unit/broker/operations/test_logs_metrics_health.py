"""Logs, metrics and health: bounded, on one line, and without what nobody should read there."""

import io
import json
import logging
import math

import pytest

from strongroom.broker.gramine_connection import PROTOCOL_NAME
from strongroom.broker.kbs_service import PROTOCOL
from strongroom.broker.operations import logs
from strongroom.broker.operations.health import Recently, examine
from strongroom.broker.operations.metrics import Metrics
from strongroom.errors import Unreachable


class Away(Unreachable):
    """Something is away."""

    code = "SR-TEST-AWAY"
    fix = "Fetch it."


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_carries_the_request_id_of_its_context(root_logger):
    stream = io.StringIO()
    logs.configure(stream, as_json=True)
    token = logs.REQUEST_ID.set("replica-7.a")
    try:
        logging.getLogger("strongroom.broker").info("released %s", "model/m/1")
    finally:
        logs.REQUEST_ID.reset(token)
    logging.getLogger("strongroom.broker").warning("later")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["message"], first["request_id"], first["level"]) == ("released model/m/1", "replica-7.a", "info")
    assert "request_id" not in second
    assert first["time"].endswith("+00:00")


@pytest.mark.parametrize("as_json", [True, False])
def test_ev_10_what_a_peer_says_stays_on_one_line(root_logger, as_json):
    stream = io.StringIO()
    logs.configure(stream, as_json=as_json)
    logging.getLogger("strongroom.broker").warning("refused %s", "x\n2026 INFO released\r\x1b[2J\u2028")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_an_errors_traceback_is_in_the_json_line(root_logger):
    stream = io.StringIO()
    logs.configure(stream, as_json=True)
    try:
        int("x")
    except ValueError:
        logging.getLogger("strongroom.broker").exception("a defect")
    assert "ValueError" in json.loads(stream.getvalue())["error"]


def test_decisions_are_counted_by_protocol_outcome_and_first_code():
    metrics = Metrics()
    metrics.admission(protocol="kbs", granted=True, seconds=0.003)
    metrics.admission(protocol="kbs", granted=False, codes=("TCB_STATUS", "MRENCLAVE"), seconds=0.002)
    metrics.turned_away("kbs")
    metrics.answered("admin", 403)
    values = metrics.values()
    assert values["strongroom_broker_admissions_total{outcome=granted,protocol=kbs}"] == 1
    assert values["strongroom_broker_denials_total{code=TCB_STATUS}"] == 1
    assert "strongroom_broker_denials_total{code=MRENCLAVE}" not in values
    assert values["strongroom_broker_turned_away_total{port=kbs}"] == 1
    assert values["strongroom_broker_http_requests_total{port=admin,status=403}"] == 1
    assert values["strongroom_broker_admission_seconds_count{protocol=kbs}"] == 2


def test_the_first_refusal_is_an_increase_that_an_alert_sees():
    values = Metrics().values()
    for protocol in (PROTOCOL_NAME, PROTOCOL):
        assert values[f"strongroom_broker_admissions_total{{outcome=denied,protocol={protocol}}}"] == 0


def test_kd_21_no_label_takes_what_a_peer_chose_and_their_number_is_bounded():
    metrics = Metrics()
    metrics.admission(protocol="kbs", granted=False, codes=("canary secret\n",), seconds=None)
    for number in range(300):
        metrics.admission(protocol="kbs", granted=False, codes=(f"CODE_{number}",), seconds=None)
    text = metrics.text().decode()
    assert "canary" not in text
    assert text.count('strongroom_broker_denials_total{code="') <= 202
    assert metrics.values()["strongroom_broker_denials_total{code=other}"] > 100


def test_a_watched_value_that_fails_is_no_number_and_the_others_stay():
    metrics = Metrics()

    def fail():
        raise Away("away")

    metrics.watch("leases_live", "Leases", lambda: 7)
    metrics.watch("collateral_days_left", "Days", fail)
    values = metrics.values()
    assert values["strongroom_broker_leases_live"] == 7
    assert math.isnan(values["strongroom_broker_collateral_days_left"])


def test_sv_19_health_names_the_part_and_gives_the_reason_to_the_operator_only():
    def away():
        raise Away("the database is away")

    def defect():
        raise ZeroDivisionError

    health = examine({"store": away, "clock": lambda: None, "ledger": defect})
    assert not health.ready
    assert health.to_json_object(reasons=True)["parts"] == {
        "store": "the database is away", "clock": "works", "ledger": "failed with ZeroDivisionError",
    }  # fmt: skip
    assert health.to_json_object(reasons=False)["parts"]["store"] == "does not work"
    assert examine({"clock": lambda: None}).ready
    assert health.parts[0].fix == "Fetch it."


def test_sv_13_strangers_who_ask_for_health_all_the_time_cost_one_look_a_second():
    looks, now = [], [0.0]

    def look():
        looks.append(now[0])
        return examine({"store": lambda: None})

    recently = Recently(look, clock=lambda: now[0])
    for _ in range(50):
        assert recently().ready
    now[0] += 1.0
    assert recently().ready
    assert looks == [0.0, 1.0]
