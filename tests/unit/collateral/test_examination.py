"""What an operator is told about a source: parts, problems with fixes, clocks that disagree."""

from datetime import timedelta

import pytest

from strongroom.attestation import INTEL
from strongroom.collateral.api import Kind, Request
from strongroom.collateral.client import HttpSource
from strongroom.collateral.examination import examine_source
from strongroom.collateral.freshness import Freshness, Standing
from strongroom.collateral.profiles import pccs

REQUESTS = (
    Request(kind=Kind.ROOT_CRL),
    Request(kind=Kind.PCK_CRL, parameters={"ca": "processor", "encoding": "der"}),
    Request(kind=Kind.QE_IDENTITY),
    Request(kind=Kind.TCB_EVAL_NUMBERS),
)
MONTH = Freshness(max_age=timedelta(days=30))


def examined(server, clock, requests=REQUESTS, rules=MONTH):
    source = HttpSource(pccs(server.url), pause=lambda _: None)
    return examine_source(source, requests, anchors=[INTEL], rules=rules, clock=clock, notes=["a note"])


def test_a_source_that_serves_current_parts_works(server, recorded_clock):
    found = examined(server, recorded_clock)
    assert found.works
    assert [part.number for part in found.parts] == [1, 1, 17, 19]
    assert found.notes == ("a note",)


def test_clocks_that_disagree_are_noticed_by_the_date_of_the_answer(server, recorded_clock):
    found = examined(server, recorded_clock)  # the loopback server's Date is of today, our clock is of 2025
    assert found.skewed
    assert found.skew > timedelta(days=30)


@pytest.mark.parametrize(
    "date",
    [
        "soon",
        "",
        f"Mon, 01 Jan {'9' * 14} 00:00:00 GMT",
        f"Mon, 01 Jan 2026 {'9' * 20}:00:00 GMT",
        f"Mon, 01 Jan 2026 00:00:00 +{'9' * 15}",
        "Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_that_is_none_stops_no_examination(server, recorded_clock, date):
    def misdated(handler) -> bool:
        handler.date_time_string = lambda *_: date
        return False

    server.misbehave = misdated
    found = examined(server, recorded_clock)
    assert found.works
    assert found.skew is None or found.skewed


def test_old_parts_are_said_to_have_run_out(server, recorded_clock):
    found = examined(server, recorded_clock, rules=Freshness())
    assert not found.works
    assert found.parts[2].standing is Standing.ENDED
    assert found.parts[2].days_left(recorded_clock()) < 0


def test_a_missing_and_a_wrong_part_are_said_with_code_and_fix(server, recorded, recorded_clock):
    del server.replies["/sgx/certification/v4/rootcacrl"]
    server.replies["/sgx/certification/v4/qe/identity"] = (200, {}, b"{}")
    root, crl, identity, _ = examined(server, recorded_clock).parts
    assert (root.code, crl.code, identity.code) == (
        "SR-COLLATERAL-SOURCE", "SR-CRL-MISSING", "SR-COLLATERAL-ANSWER",
    )  # fmt: skip
    assert all(part.fix and part.problem for part in (root, crl, identity))
    assert root.to_json_object(recorded_clock())["days_left"] is None


def test_dp_06_a_source_that_is_away_is_asked_once_and_said_once(server, recorded_clock):
    def hang_up(handler) -> bool:
        handler.connection.close()
        return True

    server.misbehave = hang_up
    found = examined(server, recorded_clock)
    assert not found.works
    (part,) = found.parts
    assert part.problem
    assert "Check host and port" in part.fix
    assert set(server.targets()) == {"/sgx/certification/v4/rootcacrl"}


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405, 410, 429, 500, 503])
def test_dp_06_no_fix_sends_the_operator_in_a_circle(server, recorded_clock, status):
    for target in server.replies:
        server.replies[target] = (status, {}, b"")
    assert all(part.fix and "doctor" not in part.fix for part in examined(server, recorded_clock).parts)


def test_a_source_that_is_asked_for_nothing_does_not_work(server, recorded_clock):
    assert not examined(server, recorded_clock, requests=()).works
