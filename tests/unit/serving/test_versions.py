"""Which folders are versions, which are wanted, and when a folder has changed."""

import pytest

from strongroom.serving.models.versions import fingerprint, latest, list_versions


def numbers(listing):
    return [candidate.version for candidate in listing.candidates]


def test_numbers_are_versions_and_the_highest_comes_first(tmp_path):
    for name in ("1", "3", "5", "abc", "2.5", "1e3", ".7", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    listing = list_versions(tmp_path, model="m")
    assert numbers(listing) == [5, 3, 1]
    assert not listing.warnings
    assert [candidate.version for candidate in latest(listing.candidates)] == [5]
    assert [candidate.version for candidate in latest(listing.candidates, 2)] == [5, 3]
    assert [candidate.version for candidate in latest(listing.candidates, 0)] == [5]


def test_leading_zeros_are_allowed(tmp_path):
    (tmp_path / "00000123").mkdir()
    listing = list_versions(tmp_path, model="m")
    assert numbers(listing) == [123]
    assert listing.candidates[0].folder.name == "00000123"


def test_two_names_for_one_number_are_one_version_and_a_warning(tmp_path):
    for name in ("0001", "001", "00001"):
        (tmp_path / name).mkdir()
    listing = list_versions(tmp_path, model="m")
    assert numbers(listing) == [1]
    assert listing.candidates[0].folder.name == "001"
    assert len(listing.warnings) == 2


@pytest.mark.parametrize("name", [str(2**63), str(-(2**63) - 1), "9" * 5000])
def test_numbers_beyond_int64_are_no_versions(tmp_path, name):
    (tmp_path / name[:200]).mkdir()
    assert numbers(list_versions(tmp_path, model="m")) == []


def test_no_version_at_all_has_the_hint_that_users_know(tmp_path):
    (tmp_path / "model").mkdir()
    (warning,) = list_versions(tmp_path, model="m").warnings
    assert warning.endswith("Did you forget to name your leaf directory as a number (eg. '/1/')?")


def test_a_base_path_that_is_not_there_is_a_warning(tmp_path):
    (warning,) = list_versions(tmp_path / "no", model="m").warnings
    assert warning.startswith(f"Could not find base path {tmp_path / 'no'} for servable m with error")


def test_a_fingerprint_changes_with_names_and_sizes(tmp_path):
    assert fingerprint(tmp_path) == ()
    (tmp_path / "a").write_bytes(b"1")
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == first
    (tmp_path / "a").write_bytes(b"12")
    second = fingerprint(tmp_path)
    assert second != first
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"")
    assert len(fingerprint(tmp_path)) == 2
    assert fingerprint(tmp_path / "none") == ()
