"""The reference client's lines, character by character, and our numbers."""

import math
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.bench_report import (
    Shape,
    Tally,
    error_line,
    percentile,
    percentile_line,
    query_line,
    summary_line,
    to_json_object,
)

SECURE = Shape(secure=True, cnum=1, batch=1, loop=50)


def test_a_query_line_is_the_reference_client_s():
    line = query_line(SECURE, 0, 3, 0.0412)
    assert line == "query: secure channel, task 0, batch 1, loop_idx 3, latency(ms) 41.2, tps: 24.3"


def test_without_tls_and_without_end_the_line_says_so():
    line = query_line(Shape(secure=False, cnum=1, batch=2, loop=0), 4, 9, 0.1)
    assert line == "query: insecure channel, task 4, batch 2, latency(ms) 100.0, tps: 20.0"


def test_a_failed_request_has_a_line_of_the_same_shape():
    line = error_line(SECURE, 0, 3, "UNAVAILABLE", "gone")
    assert line == "query: secure channel, task 0, batch 1, loop_idx 3, error UNAVAILABLE: gone"


def test_the_summary_line_is_the_reference_client_s():
    line = summary_line(SECURE, Tally(latencies_s=[0.04, 0.042], elapsed_s=2.1))
    assert line == "summary: cnum 1, batch 1, e2e time(s) 2.1, average latency(ms) 41.0, tps: 0.952"
    assert re.fullmatch(
        r"summary: cnum \d+, batch \d+, e2e time\(s\) [\d.]+, average latency\(ms\) [\d.]+, tps: [\d.]+", line
    )


def test_percentiles_and_errors_follow():
    tally = Tally([index / 1000 for index in range(1, 101)], Counter(UNAVAILABLE=2), 1.0)
    assert percentile_line(SECURE, tally) == (
        "percentiles: p50(ms) 50.0, p90(ms) 90.0, p95(ms) 95.0, p99(ms) 99.0, requests 102, errors 2, UNAVAILABLE 2"
    )
    assert to_json_object(SECURE, tally)["errors"] == {"UNAVAILABLE": 2}


def test_a_run_without_answers_has_no_latency():
    numbers = to_json_object(SECURE, Tally(errors=Counter(UNAVAILABLE=5)))
    assert (numbers["average_latency_ms"], numbers["p50_ms"], numbers["tps"], numbers["requests"]) == (
        None,
        None,
        0.0,
        5,
    )


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.integers(1, 100))
def test_a_percentile_is_an_observed_value_with_enough_below_it(values, share):
    values.sort()
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share / 100 * len(values)


def test_the_percentile_of_nothing_is_not_a_number():
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize("share", [50, 99])
def test_one_value_is_every_percentile(share):
    assert percentile([3.0], share) == 3.0
