"""The threat model's lines: each has tests that carry its id, or stands in the open list with a reason and a date."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LIST = REPOSITORY / "tests" / "threats.toml"
LEAST_REASON = 20  # characters: "not applicable" is no reason
STALE = "run make docs"


@pytest.fixture(scope="module")
def threats():
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names(tool):
    return tool("write_threat_list")


@pytest.fixture(scope="module")
def model(shared_vectors):
    """The lines of the threat model: id → owner."""
    page = shared_vectors.parent / "spec" / "threats.md"
    if not page.is_file():
        pytest.skip(f"the threat model is not here ({page})")
    lines = dict(re.findall(r"\*\*([A-Z]+-[0-9]{2})\*\* `(\w+)`", page.read_text(encoding="utf-8")))
    assert len(lines) > 100
    return lines


def test_every_test_that_carries_a_line_is_listed_and_every_listed_test_exists(threats, names):
    found = names.carried(REPOSITORY / "tests")
    pairs = {(threat, node) for threat, nodes in found.items() for node in nodes}
    listed = {(threat, node) for threat, nodes in threats["covered"].items() for node in nodes}
    assert not sorted(listed - pairs), f"these tests are gone: {STALE}"
    assert not sorted(pairs - listed), f"these tests are not listed: {STALE}"


def test_every_line_of_what_is_built_has_a_test_or_a_reason_why_it_is_open(threats, model):
    silent = {threat: owner for threat, owner in model.items() if threat not in threats["covered"]}
    assert not {threat: owner for threat, owner in silent.items() if threat not in threats["open"]}


def test_nothing_is_listed_that_the_threat_model_does_not_know(threats, model):
    assert not sorted({*threats["covered"], *threats["open"]} - set(model))
    assert {threat: line["owner"] for threat, line in threats["open"].items()} == {
        threat: model[threat] for threat in threats["open"]
    }


def test_the_brokers_own_lines_are_tested(threats, model):
    """A broker's line may be open for what it cannot mean yet, and is tested for the rest."""
    owned = {threat for threat, owner in model.items() if owner in ("broker", "audit")}
    assert sorted(threat for threat in owned if not threats["covered"].get(threat)) == []


def test_what_is_open_has_a_reason_and_a_date(threats):
    for threat, line in threats["open"].items():
        assert set(line) == {"since", "owner", "reason"}, threat
        assert isinstance(line["since"], date), threat
        assert len(line["reason"]) >= LEAST_REASON, threat
        assert line["reason"].endswith("."), threat


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_kd_11_without_rules_nothing_is_released", ["KD-11"]),
        ("test_sc_03_sc_07_sc_11_chains", ["SC-03", "SC-07", "SC-11"]),
        ("test_dp_11_and_kd_23_a_certificate", ["DP-11", "KD-23"]),
        ("test_an_old_nonce_is_refused", []),
        ("test_the_kd_11_of_a_rule", []),
        ("test_kd_1_x", []),
        ("test_kd_111_x", []),
    ],
)
def test_ids_are_read_from_the_beginning_of_a_name(names, name, ids):
    assert names.ids_of(name) == ids
