"""The report of a load run: well-formed, self-contained, escaped, and its charts show the numbers."""

import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.bench_html import report
from strongroom.client.bench_report import Shape, Tally, to_json_object
from strongroom.client.bench_svg import line_chart, nice_top

HOSTILE = "</title><script>alert('x')</script>&\"<img src=x onerror=y>"


def run_of(cnum, batch, *latencies, **errors):
    shape = Shape(secure=True, cnum=cnum, batch=batch, loop=len(latencies))
    return to_json_object(shape, Tally(list(latencies), Counter(errors), 1.0))


def parsed(page):
    assert page.startswith("<!DOCTYPE html>\n")
    return ET.fromstring(page.partition("\n")[2])  # noqa: S314  # our own markup


@pytest.fixture
def matrix():
    return [run_of(cnum, batch, 0.01 * cnum, 0.02 * batch) for batch in (1, 4) for cnum in (1, 2, 8)]


def test_the_page_is_well_formed_and_has_a_chart_for_each_axis_and_measure(matrix):
    page = parsed(report({"model": "resnet"}, matrix))
    assert len(page.findall(".//svg")) == 6
    first = page.find(".//svg")
    assert [label.text for label in first.findall(".//g/text")] == ["batch 1", "batch 4"]
    assert len(first.findall(".//g/circle")) == 6


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(matrix):
    page = report({"model": "resnet", "server": "grpcs://localhost:8500"}, matrix)
    elements = {element.tag for element in parsed(page).iter()}
    assert elements.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    assert not re.search(r"\b(?:src|href|on\w+)=|url\(|@import", page)


def test_what_comes_from_outside_stays_text(matrix):
    failed = run_of(4, 1, 0.1, **{HOSTILE: 3})
    page = parsed(report({"model": HOSTILE, HOSTILE: HOSTILE}, [*matrix, failed]))
    assert page.find(".//title").text == f"Load report: {HOSTILE}"
    assert HOSTILE in [cell.text for cell in page.findall(".//td")]
    assert page.find(".//script") is None
    assert page.find(".//img") is None


def test_errors_are_listed_by_code():
    page = parsed(report({"model": "m"}, [run_of(4, 1, 0.1, RESOURCE_EXHAUSTED=3)]))
    rows = [[cell.text for cell in row] for row in page.findall(".//tr")]
    assert ["4", "1", "RESOURCE_EXHAUSTED", "3"] in rows


def test_one_load_has_a_table_and_neither_chart_nor_matrix():
    page = parsed(report({"model": "m"}, [run_of(4, 2, 0.1, 0.3)]))
    assert page.findall(".//svg") == []
    assert [caption.text for caption in page.findall(".//caption")] == ["Every load"]
    assert page.find(".//p").text == "No request failed."


def test_a_load_without_an_answer_is_a_dash(matrix):
    page = parsed(report({"model": "m"}, [*matrix, run_of(64, 1, UNAVAILABLE=9)]))
    assert "–" in [cell.text for cell in page.findall(".//td")]


def test_dark_and_light_have_colours_of_their_own(matrix):
    page = report({"model": "m"}, matrix)
    assert "prefers-color-scheme: dark" in page
    assert "color-scheme: light dark" in page


def test_a_chart_of_nothing_is_nothing():
    assert line_chart("t", "x", "y", {"a": []}) == ""


@given(st.floats(1e-6, 1e9))
def test_an_axis_ends_not_far_above_the_largest_value(value):
    assert value * (1 - 1e-9) <= nice_top(value) <= 2.01 * value


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(0, 1e6)), min_size=1, max_size=8))
def test_every_point_lies_within_the_chart(points):
    chart = ET.fromstring(line_chart("t", "x", "y", {"line": points}))  # noqa: S314  # our own markup
    for circle in chart.iter("circle"):
        assert 0 <= float(circle.get("cx")) <= 640
        assert 0 <= float(circle.get("cy")) <= 300
