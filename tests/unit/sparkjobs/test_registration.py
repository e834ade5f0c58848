"""What an executor says of itself is read as it was said, or is nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.sparkjobs.registration import MAX_CHARS, Registration

KEY = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", fullmatch=True)
AMOUNT = st.floats(min_value=0, max_value=1e6)
REGISTRATION = st.builds(
    Registration,
    time=st.just("2026-11-22T06:00:00.123+00:00"),
    platform=st.sampled_from(["gramine", "tdx", "simulated"]),
    measurement=st.sampled_from(["", f"MRENCLAVE {'0a' * 32}", f"MRTD {'0a' * 48}"]),
    broker=st.just("https://broker.example:9443"),
    keys=st.lists(KEY, max_size=20).map(tuple),
    seconds=AMOUNT,
    lease_s=AMOUNT,
)
GOOD = {"time": "2026-11-22T06:00:00.123+00:00", "platform": "simulated", "measurement": "",
        "broker": "https://b:1", "keys": ["people"], "seconds": 0.2, "lease_s": 0.0}  # fmt: skip


@given(REGISTRATION)
def test_what_is_said_is_what_is_read(told: Registration) -> None:
    assert Registration.parse(told.to_attribute()) == told


@given(st.text(max_size=300))
def test_anything_else_is_nothing(text: str) -> None:
    found = Registration.parse(text)
    assert found is None or found.to_attribute() == text


@pytest.mark.parametrize(
    "change",
    [{"time": "yesterday"}, {"platform": "a\nb"}, {"measurement": "Alice"}, {"broker": "http://b"}, {"keys": "people"},
     {"keys": ["a row of data"]}, {"keys": ["k"] * 65}, {"seconds": True}, {"seconds": -1}, {"lease_s": "1"},
     {"more": 1}],
    ids=str,
)  # fmt: skip
def test_a_field_of_another_form_is_nothing(change: dict[str, object]) -> None:
    assert Registration.parse(json.dumps(GOOD)) is not None
    assert Registration.parse(json.dumps({**GOOD, **change})) is None


def test_more_keys_than_an_attribute_holds_are_left_out() -> None:
    names = tuple(f"{'k' * 45}{number}" for number in range(200))
    told = Registration(**{**GOOD, "keys": names})  # type: ignore[arg-type]  # as they are read
    text = told.to_attribute()
    assert len(text) <= MAX_CHARS
    found = Registration.parse(text)
    assert found is not None
    assert found.keys == names[: len(found.keys)] != ()
