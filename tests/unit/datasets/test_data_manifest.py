"""The manifest of a data set: what it pins, and everything that somebody may do to a folder."""

import json

import pytest

from strongroom.datasets.manifest import (
    BadDataManifest,
    DataFilesChanged,
    DataManifestForged,
    DataSetOld,
    FileEntry,
    parse_manifest,
    total_bytes,
)
from strongroom.datasets.names import KeyId
from strongroom.datasets.paths import BadDataPath, check_data_path, is_note
from strongroom.secret import Secret

SIZES = {"part-0.csv": 100, "part-1.csv": 101, "part-2.csv": 102}


def body(manifest):
    return json.loads(manifest.to_bytes())


def test_a_manifest_reads_back(manifest, data_key):
    written = manifest()
    found = parse_manifest(written.to_bytes())
    assert found == written
    found.check(data_key)
    assert total_bytes(found.files) == 303


def spelled(fields):
    """Return a manifest's bytes as an attacker would write them who knows the format."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_a_manifest_has_one_spelling(manifest):
    data = manifest().to_bytes()
    assert spelled(body(manifest())) == data
    for other in (
        data[:-1],
        data + b"\n",
        data.replace(b",", b", ", 1),
        b" " + data,
        data.replace(b"people", b"peopl\\u0065"),
    ):
        with pytest.raises(BadDataManifest):
            parse_manifest(other)


def test_kd_25_every_changed_field_is_found(manifest, data_key):
    changes = {
        "name": "staff", "kind": "json", "generation": 3, "previous": "", "schema": "QUJD",
        "created": "2026-01-02T03:04:06Z", "pins": "sha256", "files": [], "mac": "00" * 32,
    }  # fmt: skip
    for field, value in changes.items():
        found = parse_manifest(spelled({**body(manifest()), field: value}))
        with pytest.raises(DataManifestForged) as caught:
            found.check(data_key)
        assert caught.value.code == "SR-DATA-MANIFEST-MAC"


def test_kd_25_a_file_of_a_manifest_cannot_be_changed_left_out_or_exchanged(manifest, data_key):
    files = body(manifest())["files"]
    one, two, three = files
    for other in ([one, two], [{**one, "pin": two["pin"]}, two, three], [{**one, "size": 99}, two, three]):
        with pytest.raises(DataManifestForged):
            parse_manifest(spelled({**body(manifest()), "files": other})).check(data_key)


def test_kd_25_another_data_key_made_another_manifest(manifest):
    with pytest.raises(DataManifestForged):
        manifest().check(Secret(b"another key here"))


def test_rewrapping_the_data_key_leaves_it_authentic(manifest, data_key):
    body_ = {**body(manifest()), "key_id": "staff.2", "data_key": "YW5vdGhlcg=="}
    found = parse_manifest(spelled(body_))
    found.check(data_key)
    assert found.key_id == KeyId("staff", 2)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({**SIZES, "part-3.csv": 1}, "part-3.csv was added"),
        ({name: size for name, size in SIZES.items() if name != "part-1.csv"}, "part-1.csv is missing"),
        ({**SIZES, "part-2.csv": 50}, "part-2.csv has 50 bytes instead of 102"),
    ],
)
def test_kd_25_added_missing_and_cut_files_are_named(manifest, sizes, words):
    with pytest.raises(DataFilesChanged, match=words) as caught:
        manifest().check_listing(sizes)
    assert caught.value.code == "SR-DATA-FILES"


def test_a_whole_folder_is_taken(manifest):
    manifest().check_listing(SIZES)


def test_kd_25_swapped_and_older_files_are_told_by_their_pins(manifest):
    found = manifest()
    found.check_pin("part-1.csv", b"\1" * 32)
    for path, pin in [("part-1.csv", b"\2" * 32), ("part-9.csv", b"\1" * 32), ("part-1.csv", b""), ("", b"")]:
        with pytest.raises(DataFilesChanged):
            found.check_pin(path, pin)


def test_kd_25_an_older_generation_is_refused_where_one_is_remembered(manifest):
    manifest().check_generation(2)
    with pytest.raises(DataSetOld) as caught:
        manifest().check_generation(3)
    assert caught.value.code == "SR-DATA-GENERATION"


def test_the_schema_is_for_holders_of_the_data_key(manifest, data_key):
    found = manifest().with_schema("name STRING, age INT", data_key).authenticated(data_key)
    assert b"STRING" not in found.to_bytes()
    assert parse_manifest(found.to_bytes()).schema(data_key) == "name STRING, age INT"
    assert manifest().schema(data_key) == ""
    with pytest.raises(DataManifestForged):
        found.schema(Secret(b"another key here"))


def test_nobody_writes_a_manifest_without_its_mac(manifest):
    made = manifest()
    object.__setattr__(made, "mac", b"")
    with pytest.raises(ValueError, match="MAC"):
        made.to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "strongroom data set v2"}, {"name": "../up"}, {"kind": "exe"}, {"generation": 0},
        {"generation": True}, {"generation": "2"}, {"key_id": "staff"}, {"data_key": "x" * 81}, {"schema": "!"},
        {"created": "yesterday"}, {"files": {}}, {"files": [{"path": "a"}]}, {"files": [1]}, {"mac": "FF" * 32},
        {"mac": "zz" * 32}, {"previous": "00"}, {"more": 1},
        {"files": [{"path": "../a", "size": 1, "pin": "00" * 32}]},
        {"files": [{"path": "a", "size": -1, "pin": "00" * 32}]},
        {"files": [{"path": "b", "size": 1, "pin": "00" * 32}, {"path": "a", "size": 1, "pin": "00" * 32}]},
        {"files": [{"path": "a", "size": 1, "pin": "00" * 32}, {"path": "a", "size": 1, "pin": "00" * 32}]},
    ],
    ids=lambda change: str(change)[:60],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(manifest, change):
    with pytest.raises(BadDataManifest) as caught:
        parse_manifest(json.dumps({**body(manifest()), **change}).encode())
    assert caught.value.code == "SR-DATA-MANIFEST"


@pytest.mark.parametrize("path", ["a", "day=1/part-0.snappy.parquet", "ä/b.csv"])
def test_paths_below_the_folder_are_taken(path):
    assert check_data_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "_SUCCESS", "a/_temporary/b", "a\\b", "a\nb", "x" * 513,
     "/".join("a" * 17)],
)  # fmt: skip
def test_other_paths_are_refused(path):
    with pytest.raises(BadDataPath) as caught:
        check_data_path(path)
    assert caught.value.code == "SR-DATA-PATH"


def test_a_file_has_a_pin_and_a_size():
    with pytest.raises(BadDataManifest):
        FileEntry("a", 1, b"short")


def test_notes_are_told_from_data():
    assert [name for name in ("_SUCCESS", ".a.crc", "x/.b", "a.csv", "x/y") if is_note(name)] == [
        "_SUCCESS",
        ".a.crc",
        "x/.b",
    ]
