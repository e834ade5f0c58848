"""Moments, ports and numbers on a command line: what is read, and what is refused with a sentence."""

import argparse
from datetime import UTC, datetime

import pytest

from strongroom.cli.option_types import moment, port, whole_number

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["1769860800", "2026-01-31T12:00:00Z", "2026-01-31T12:00Z", "2026-01-31 12:00", "2026-01-31T13:00:00+01:00"],
)
def test_a_moment_is_unix_seconds_or_iso_8601_in_utc_unless_it_says_another_zone(text):
    assert moment(text) == NOON
    assert moment(text).tzinfo is UTC


def test_a_day_is_its_first_moment():
    assert moment("2026-01-31") == NOON.replace(hour=0)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "-1", "9" * 40, "9" * 5000, "\u00b2", "2026-01-31T12:00:00+99:00"]
)
def test_another_moment_is_refused_with_a_sentence(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither Unix seconds nor a time as 2026-01-31"):
        moment(text)


@pytest.mark.parametrize("text", ["", "-1", "65536", "0000065535", "9" * 5000, "80a", "\u0664"])
def test_another_port_is_refused_with_a_sentence(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a port, 0 to 65535"):
        port(text)


def test_ports_are_numbers_from_0_to_65535():
    assert [port(text) for text in ("0", "65535", "08081")] == [0, 65535, 8081]


@pytest.mark.parametrize("text", ["", "1", "13", "012", "9" * 5000, "2.0", "\u0664"])
def test_another_number_is_refused_with_the_bounds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number from 2 to 12"):
        whole_number(2, 12)(text)


def test_whole_numbers_lie_between_their_bounds():
    assert [whole_number(2, 12)(text) for text in ("2", "12", "07")] == [2, 12, 7]
