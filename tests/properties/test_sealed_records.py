"""Sealed records and key files: what goes in comes out, and no bytes raise anything but errors of ours."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clusterserving.faults import UnsealFailed
from strongroom.clusterserving.public_key_file import PublicKeyFile
from strongroom.clusterserving.sealed import (
    BadBinding,
    Binding,
    InnerSerde,
    QueueKey,
    QueuePublicKey,
    ResultKind,
    new_response_key,
    open_record,
    open_result,
    seal_record,
    seal_result,
)
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

KEY = QueueKey.from_secret(Secret(bytes(range(1, 33))))
RESPONSE_KEY = new_response_key()
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
BINDINGS = st.builds(Binding, NAMES, NAMES, NAMES, st.integers(1, 2**63 - 1))
ENTRIES = st.from_regex(r"[0-9]{1,13}-[0-9]{1,6}", fullmatch=True)
OWNER = Ed25519PrivateKey.generate()
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@given(BINDINGS, st.binary(max_size=2000), st.sampled_from(InnerSerde))
def test_a_record_comes_out_as_it_went_in(binding, payload, serde):
    data = seal_record(payload, serde, to=KEY.public, binding=binding, response_key=RESPONSE_KEY)
    opened = open_record(data, key=KEY, binding=binding)
    assert (opened.payload, opened.serde, opened.response_key) == (payload, serde, RESPONSE_KEY)


@given(BINDINGS, BINDINGS, ENTRIES, ENTRIES)
def test_two_different_bindings_are_two_different_texts(one, two, first, second):
    assert (one.request_info() == two.request_info()) == (one == two)
    assert (one.result_aad(first) == two.result_aad(second)) == ((one, first) == (two, second))


@given(BINDINGS, st.binary(max_size=2000), st.sampled_from(ResultKind), ENTRIES)
def test_a_result_comes_out_as_it_went_in(binding, payload, kind, entry):
    value = seal_result(payload, kind, response_key=RESPONSE_KEY, binding=binding, entry_id=entry)
    assert open_result(value, response_key=RESPONSE_KEY, binding=binding, entry_id=entry) == (kind, payload)


@given(st.binary(max_size=300), BINDINGS)
def test_no_bytes_open_or_raise_anything_else(data, binding):
    for opening in (
        lambda: open_record(data, key=KEY, binding=binding),
        lambda: open_result(data, response_key=RESPONSE_KEY, binding=binding, entry_id="1-1"),
    ):
        try:
            opening()
        except UnsealFailed as problem:
            assert problem.uri == binding.uri
        else:
            raise AssertionError("it opened")


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.integers())
def test_what_cannot_be_bound_says_so(job, uri, model, version):
    try:
        Binding(job, uri, model, version).request_info()
    except BadBinding:
        return
    assert version >= 1


@given(
    st.from_regex(r"[A-Za-z0-9_{}.-]{1,40}", fullmatch=True), NAMES, st.none() | st.integers(1, 2**63 - 1),
    st.binary(min_size=32, max_size=32), st.integers(1, 10**8),
)  # fmt: skip
def test_a_key_file_says_what_was_signed(job, model, version, key, seconds):
    file = PublicKeyFile(job=job, model=model, version=version, key=QueuePublicKey(key),
                         not_after=NOW + timedelta(seconds=seconds))  # fmt: skip
    assert PublicKeyFile.read(file.signed(OWNER), owner=OWNER.public_key(), now=NOW) == file


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.integers() | st.text(max_size=8), lambda inner: st.dictionaries(st.text(max_size=8), inner)
).map(lambda value: repr(value).replace("'", '"').encode("utf-8", "replace")))  # fmt: skip
def test_no_bytes_are_a_key_file_or_raise_anything_else(data):
    try:
        PublicKeyFile.read(data, owner=OWNER.public_key(), now=NOW)
    except StrongroomError:
        return
    raise AssertionError("nobody signed this")
