"""Whatever a request holds: an error of ours or bounded arguments; and one winner where two change at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.broker.admin.arguments import checked, from_json, from_query, to_json
from strongroom.broker.admin.operations import OPERATIONS
from strongroom.broker.admin.problems import BadArgument, Outdated

NAMES = sorted({each.name for operation in OPERATIONS.values() for each in operation.parameters})
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    values=st.dictionaries(st.sampled_from(NAMES) | st.text(), ANY_JSON, max_size=6),
)
def test_a_body_is_refused_or_within_bounds(name, values):
    operation = OPERATIONS[name]
    try:
        found = from_json(operation, values)
    except BadArgument:
        return
    assert checked(operation, found) == found
    assert from_json(operation, to_json(found)) == found


@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    values=st.dictionaries(st.sampled_from(NAMES) | st.text(), st.text(), max_size=6),
)
def test_a_query_is_refused_or_within_bounds(name, values):
    operation = OPERATIONS[name]
    try:
        found = from_query(operation, values)
    except BadArgument:
        return
    assert checked(operation, found) == found


def test_of_two_rotations_of_one_version_one_is_made(office):
    office.create_key(tenant="acme", name="secret/db")

    def rotate(_):
        try:
            return office.rotate_key(tenant="acme", name="secret/db", expected=1)["version"]
        except Outdated as problem:
            assert problem.code == "SR-ADMIN-OUTDATED"
            return None

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(rotate, range(8)))
    assert sorted(each for each in found if each) == [2]
    assert [entry["action"] for entry in office.entries()].count("rotate_key") == 1


def test_a_change_that_is_refused_leaves_no_line_and_no_trace(office):
    office.create_key(tenant="acme", name="secret/db")
    before = office.ledger.head(), office.list_keys(tenant="acme")
    with pytest.raises(Outdated):
        office.rotate_key(tenant="acme", name="secret/db", expected=0)
    assert (office.ledger.head(), office.list_keys(tenant="acme")) == before


def test_a_change_whose_line_cannot_be_written_is_not_made(office, monkeypatch):
    def fails(tx, record):
        raise OSError("no space left on device")

    monkeypatch.setattr(office.ledger, "append", fails)
    with pytest.raises(OSError, match="no space"):
        office.raise_floor(tenant="acme", model="m", version=3)
    with pytest.raises(OSError, match="no space"):
        office.create_key(tenant="acme", name="secret/db")
    monkeypatch.undo()
    assert office.list_floors() == []
    assert office.list_keys(tenant="acme") == []
