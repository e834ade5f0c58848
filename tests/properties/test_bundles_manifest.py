"""Manifests of any shape: what is rendered comes back, anything else ends in one error."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from strongroom.bundles.manifest import (
    BundleMalformed,
    BundleManifest,
    FileEntry,
    Signature,
    TensorSpec,
    is_plain_path,
)

words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
paths = st.lists(words, min_size=1, max_size=4).map("/".join).filter(is_plain_path)
tensors = st.dictionaries(
    st.text(max_size=8),
    st.builds(TensorSpec, dtype=words, shape=st.none() | st.lists(st.integers(-1, 9), max_size=4).map(tuple)),
    max_size=3,
)
entries = st.builds(
    FileEntry,
    path=paths,
    size=st.integers(0, 10**9),
    sealed_size=st.integers(10**9 + 1, 10**10),
    pin=st.binary(min_size=32, max_size=32),
)
manifests = st.builds(
    BundleManifest,
    name=words,
    version=st.integers(1, 2**63 - 1),
    publication=st.binary(min_size=16, max_size=16).map(bytes.hex),
    created=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda time: time.replace(microsecond=0)
    ),
    engine=st.sampled_from(["onnx", "tensorflow", "openvino"]),
    files=st.lists(entries, min_size=1, max_size=5, unique_by=lambda entry: entry.path).map(
        lambda found: tuple(sorted(found, key=lambda entry: entry.path))
    ),
    signatures=st.dictionaries(st.text(max_size=8), st.builds(Signature, inputs=tensors, outputs=tensors), max_size=2),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(manifests)
def test_a_manifest_comes_back_as_it_was_rendered(manifest):
    assert BundleManifest.parse(manifest.render()) == manifest


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_end_in_one_error(data):
    try:
        BundleManifest.parse(data)
    except BundleMalformed as error:
        assert error.code == "SR-BUNDLE-MALFORMED"
    else:
        raise AssertionError


@given(
    manifests, st.sampled_from(["name", "version", "files", "signatures", "engine", "created", "format"]), json_values
)
def test_a_member_of_any_shape_ends_in_one_error_or_the_same_bytes(manifest, member, value):
    changed = json.loads(manifest.render()) | {member: value}
    data = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    try:
        parsed = BundleManifest.parse(data)
    except BundleMalformed:
        return
    assert parsed.render() == data
