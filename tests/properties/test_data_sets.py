"""Whatever the bytes: a manifest, a ring, a frame or a wrapped key is read or refused typed."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.datasets.agent import Answer, Frames, Request
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import parse_manifest
from strongroom.datasets.names import KeyId
from strongroom.datasets.wrapping import WrappedKeyRefused, unwrap, wrap
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: repr(value).replace("'", '"').encode()))
def test_any_bytes_are_read_or_refused_typed(data):
    for parse in (parse_manifest, lambda raw: KeyRing.parse("people", raw), Request.parse, Answer.parse, Frames().feed):
        try:
            parse(data)
        except StrongroomError as refused:
            assert refused.code.startswith("SR-")


@given(
    st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)), st.integers(1, 999_999)
)
def test_a_data_key_opens_under_its_own_id_alone(raw, version):
    primary, key_id = Secret(bytes(range(32))), KeyId("people", version)
    wrapped = wrap(primary, Secret(raw), key_id)
    assert unwrap(primary, wrapped, key_id) == Secret(raw)
    try:
        unwrap(primary, wrapped, KeyId("people", version % 999_999 + 1))
    except WrappedKeyRefused:
        return
    raise AssertionError("opened under another version")
