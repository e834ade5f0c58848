"""Occlum.json has the documented fields, and nothing in it lets the host in."""

from __future__ import annotations

import ast
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.description import SIZES, Description, Size, Tee
from strongroom.deploy.gramine import manifests
from strongroom.deploy.gramine.occlum import CHECKED, problems


def rendered(size=Size.SMALL):
    tree = manifests(Description(tee=Tee.SGX, resources=SIZES[size]), GENERIC)
    return {path.removeprefix("occlum/"): text for path, text in tree.items() if path.startswith("occlum/")}


@pytest.mark.parametrize("size", Size)
def test_the_rendered_configuration_is_sound(size):
    document = json.loads(rendered(size)["Occlum.json"])
    assert problems(document) == ()
    assert document["resource_limits"]["user_space_size"] == "3584MB"
    assert document["entry_points"] == ["/app/streaming-worker"]


def test_the_page_says_what_was_checked_and_that_nothing_was_run():
    assert CHECKED in rendered()["README.md"].decode()
    assert "Nothing was built or run" in CHECKED


def test_the_entry_point_takes_no_words_from_the_host():
    text = rendered()["streaming-worker"].decode()
    ast.parse(text)
    assert text.startswith("#!/opt/strongroom/bin/python3 -IBu\n")
    assert "if len(sys.argv) > 1:" in text


def put(*path_and_value):
    *path, value = path_and_value

    def change(document):
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


CHANGES = [
    ("debuggable", put("metadata", "debuggable", True)),
    ("untrusted", put("env", "untrusted", ["LD_PRELOAD"])),
    ("hostfs", put("mount", 1, {"target": "/host", "type": "hostfs", "source": "."})),
    ("entry_points", put("entry_points", ["/bin"])),
    ("entry_points", put("entry_points", ["/opt/python/bin/python3"])),
    ("not a documented field", put("resource_limits", "user_space_szie", "1MB")),
    ("no size", put("process", "default_heap_size", 256)),
    ("product_id", put("metadata", "product_id", 65536)),
    ("pkru", put("metadata", "pkru", True)),
    ("not a documented field", put("more", {})),
    ("no list of 1 to 8 mounts", put("mount", [])),
    ("no number of threads", put("resource_limits", "max_num_of_threads", 0)),
]


@pytest.mark.parametrize(("word", "change"), CHANGES, ids=[word for word, _ in CHANGES])
def test_each_weakening_is_found(word, change):
    document = copy.deepcopy(json.loads(rendered()["Occlum.json"]))
    change(document)
    assert any(word in each for each in problems(document))


@pytest.mark.parametrize("name", ["resource_limits", "process", "entry_points", "env", "metadata", "mount"])
def test_each_part_has_to_be_there(name):
    document = json.loads(rendered()["Occlum.json"])
    del document[name]
    assert f"{name} is missing" in problems(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["resource_limits", "process", "entry_points", "env", "metadata", "mount"]), JSON)
def test_any_json_is_judged_without_a_surprise(name, value):
    document = json.loads(rendered()["Occlum.json"])
    document[name] = value
    assert isinstance(problems(document), tuple)
