"""Stored paths: the normal form, the limits, and the comparison that binds a file to its place."""

import pytest

from strongroom.sealing import BadStoredPath, WrongPath, normalise
from strongroom.sealing.paths import check_path, printable, stored_form


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("a/b", "a/b"),
        ("./a//b/", "a/b"),
        ("a/./b/../c", "a/c"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("//a", "/a"),
        ("///a", "/a"),
        ("models/ünï code", "models/ünï code"),
    ],
)
def test_paths_are_normalised_as_gramine_does(given, normal):
    assert normalise(given) == normal


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "names no file"),
        (".", "names no file"),
        ("/", "names no file"),
        ("a/..", "names no file"),
        ("../..", "names no file"),
        ("a\0b", "NUL"),
        ("a/" + "n" * 261, "261 bytes"),
        ("/".join(["d" * 100] * 6), "605 bytes"),
        ("model.gramine.recovery", "reserves"),
        ("a\ud800", "not text that can be encoded"),
    ],
)
def test_what_no_mount_could_open_is_not_stored(given, said):
    with pytest.raises(BadStoredPath, match=said) as caught:
        stored_form(given)
    assert caught.value.code == "SR-STORED-PATH"


def test_the_longest_path_and_name_fit():
    path = "/".join(["d" * 125] * 2) + "/" + "n" * 260
    assert len(path) == 512
    assert stored_form(path) == path.encode()


def test_bytes_that_are_no_text_survive():
    assert stored_form("a/\udcff") == b"a/\xff"
    check_path(b"a/\xff", "a/\udcff")


@pytest.mark.parametrize(("stored", "given"), [(b"a/b", "a/b"), (b"a/b", "./a//b"), (b"./e", "./e")])
def test_a_path_matches_as_given_or_normalised(stored, given):
    check_path(stored, given)


@pytest.mark.parametrize(("stored", "given"), [(b"a/b", "a/c"), (b"a/b", "/a/b"), (b"./e", "e"), (b"a/b", "a/b\0")])
def test_another_path_is_refused_with_both_paths_in_the_sentence(stored, given):
    with pytest.raises(WrongPath) as caught:
        check_path(stored, given)
    assert caught.value.code == "SR-SEALED-PATH"
    assert printable(stored) in caught.value.sentence
    assert printable(normalise(given).encode()) in caught.value.sentence


def test_a_hostile_path_cannot_reach_the_terminal():
    assert "\x1b" not in printable(b"a\x1b[2J")
    assert "\n" not in printable(b"a\nb")
