"""Primary keys in the owner's keyring: made once, rotated by name, every change in the ledger's hands."""

from contextlib import closing
from functools import partial

import pytest

from strongroom.analytics.keys.owner import Change, KeyChangedMeanwhile, OwnersKeys, change_file, secret_name
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.store.opening import open_store
from strongroom.datasets.key_ring import MAX_VERSIONS, BadKeyRing
from strongroom.datasets.names import BadKeyName
from strongroom.secret import Secret


@pytest.fixture
def keyring(tmp_path):
    with (
        closing(open_store(tmp_path / "broker.db")) as store,
        closing(Keyring(store, LocalRoot(new_root_key(), "test"))) as opened,
    ):
        opened.begin()
        yield opened


@pytest.fixture
def notes():
    return []


@pytest.fixture
def owner(keyring, notes):
    return OwnersKeys(
        keyring=keyring,
        tenant="default",
        note=lambda _tx, action, info: notes.append((action, info.name, info.version)),
    )


def test_a_key_is_made_once(owner, notes):
    made = owner.change("people", Change.KEEP)
    assert owner.change("people", Change.KEEP) == made == owner.ring("people")
    assert notes == [("create_key", "secret/data-people", 1)]


def test_a10_rotation_keeps_the_versions_before_until_the_overlap_ends(owner, notes):
    first = owner.change("people", Change.KEEP)
    second = owner.change("people", Change.ROTATE)
    assert (second.current, second.keys[1]) == (2, first.keys[1])
    third = owner.change("people", Change.END_OVERLAP)
    assert third.keys.keys() == {2}
    assert owner.ring("people") == third
    assert [action for action, _, _ in notes] == ["create_key", "rotate_key", "rotate_key"]


def test_a_key_that_was_rotated_since_somebody_looked_stays_as_it_is(owner, tmp_path):
    for change in (owner.change, partial(change_file, tmp_path / "keys")):
        change("people", Change.KEEP)
        rotated = change("people", Change.ROTATE)
        with pytest.raises(KeyChangedMeanwhile, match="at version 2 by now, it was at 1"):
            change("people", Change.END_OVERLAP, seen=1)
        assert change("people", Change.KEEP) == rotated
        assert change("people", Change.END_OVERLAP, seen=2).keys.keys() == {2}


def test_a_ring_has_an_end(owner):
    owner.change("people", Change.KEEP)
    for _ in range(MAX_VERSIONS - 1):
        owner.change("people", Change.ROTATE)
    with pytest.raises(BadKeyRing):
        owner.change("people", Change.ROTATE)
    assert owner.ring("people").current == MAX_VERSIONS


@pytest.mark.parametrize("change", [Change.ROTATE, Change.END_OVERLAP])
def test_only_what_is_there_changes(owner, change):
    with pytest.raises(KeyNotGranted, match="no primary key people"):
        owner.change("people", change)
    with pytest.raises(KeyNotGranted, match="no primary key people"):
        owner.ring("people")


def test_names_that_are_none_are_refused(owner):
    for name in ("", "a b", "a.b", "../x", "x" * 51):
        with pytest.raises(BadKeyName):
            owner.change(name, Change.KEEP)
    assert str(secret_name("people")) == "secret/data-people"


def test_of_two_owners_at_once_one_is_told(keyring, owner):
    owner.change("people", Change.KEEP)
    hurried = []

    def note(*_):
        hurried.append(1)

    class Between:
        """The keyring, with somebody else who is quicker between a look and a change."""

        def __getattr__(self, name):
            return getattr(keyring, name)

        def put(self, *words, **named):
            owner.change("people", Change.ROTATE)
            keyring.put(*words, **named)

    slow = OwnersKeys(keyring=Between(), tenant="default", note=note)
    with pytest.raises(KeyChangedMeanwhile) as refused:
        slow.change("people", Change.ROTATE)
    assert refused.value.code == "SR-DATA-KEY-RACE"
    assert owner.ring("people").current == 2
    assert hurried == []


def test_a_secret_that_somebody_else_put_there_is_no_key(keyring, owner):
    keyring.put("default", "secret/data-people", Secret(b"a password"), "owner")
    with pytest.raises(BadKeyRing):
        owner.change("people", Change.KEEP)
