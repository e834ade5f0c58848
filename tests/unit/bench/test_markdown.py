"""The tables of the page on performance: from the results file, and never older than it."""

import json

import pytest

from serving.environments import BENCH
from serving.markdown import BEGIN, END, PAGE, renewed, tables

WRITTEN = {
    "commit": "abc",
    "machine": {"processor": "P", "cores": 2, "at": "2026-01-02T", "load_average": [1], "load_average_at_the_end": [2]},
    "measurements": [
        {"model": "tiny", "transport": "", "server": "engine in process", "cpu_us": 3.81},
        {"model": "tiny", "transport": "TLS", "server": "ours", "cpu_us": 19.99},
        {"model": "json", "transport": "TLS", "server": "ours", "cpu_us": 3210.0},
    ],
    "targets": [
        {"measure": "a / b", "unit": "x", "target": ">= 5", "value": 4.5, "holds": False},
        {"measure": "memory", "unit": "MB", "target": "<= 100", "value": None, "holds": None},
    ],
    "missing": {"MLServer": "not installed"},
}


def test_costs_targets_and_what_is_missing_are_said():
    text = tables(WRITTEN)
    assert "| half_plus_two, 3 floats: CPU µs a request | in process | TLS |" in text
    assert "| ours |  | 20 |" in text
    assert "| 150k floats as JSON, one list: CPU ms a request | TLS |\n|---|---|\n| ours | 3.21 |" in text
    assert "| a / b | ≥ 5 | 4.5 x | **no** |" in text
    assert "| memory | ≤ 100 | not measured |  |" in text
    assert "Missing in this run: MLServer." in text


def test_only_what_stands_between_the_marks_is_renewed():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    found = renewed(page, WRITTEN)
    assert found.startswith(f"before\n{BEGIN}\nP, 2 cores")
    assert found.endswith(f"{END}\nafter\n")
    assert "old" not in found
    assert renewed(found, WRITTEN) == found
    with pytest.raises(ValueError, match="has no"):
        renewed("nothing", WRITTEN)


def test_the_page_shows_the_results_that_are_committed():
    page = PAGE.read_text(encoding="utf-8")
    written = json.loads((BENCH / "results" / "serving.json").read_text(encoding="utf-8"))
    assert renewed(page, written) == page
