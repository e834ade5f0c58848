"""Files that describe models, of any content: what was written comes back, anything else ends in one error."""

import json

from hypothesis import given
from hypothesis import strategies as st

from strongroom.tfserving.crc32c import crc32c
from strongroom.tfserving.messages import SavedModel
from strongroom.tfserving.onnx_signatures import BadOnnxSignatures, SignatureNames, parse_names, render_names
from strongroom.tfserving.saved_model import BadSavedModel, meta_graph
from strongroom.tfserving.signatures import signatures_to_any
from strongroom.tfserving.tfrecord import BadRecordFile, read_records, write_records

names = st.text(min_size=1, max_size=8)
sides = st.dictionaries(names, names, max_size=3)
signatures = st.dictionaries(
    st.text(max_size=8),
    st.builds(SignatureNames, inputs=sides, outputs=sides.filter(bool), method=st.text(max_size=8)),
    min_size=1,
    max_size=3,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_records_come_back(records):
    assert [bytes(record) for record in read_records(write_records(records))] == records


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=3), st.data())
def test_a_changed_byte_never_gives_another_record(records, data):
    whole = bytearray(write_records(records))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found = []
    try:
        for record in read_records(bytes(whole)):
            found += [bytes(record)]  # what came before the error counts
    except BadRecordFile:
        pass
    assert found == records[: len(found)]
    assert len(found) < len(records)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_records_or_one_error(data):
    try:
        list(read_records(data))
    except BadRecordFile:
        return


@given(st.binary(min_size=1, max_size=50), st.integers(8192, 20_000), st.integers(1, 8191))
def test_the_checksum_of_long_data_is_linear(pattern, length, cut):
    data = (pattern * length)[:length]
    other = bytes(cut) + data[cut:]
    rest = data[:cut] + bytes(len(data) - cut)
    assert crc32c(data) == crc32c(other) ^ crc32c(rest) ^ crc32c(bytes(len(data)))


@given(signatures)
def test_carried_signatures_come_back(given_signatures):
    assert parse_names(render_names(given_signatures)) == given_signatures


@given(st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_metadata_ends_in_signatures_or_one_error(data):
    try:
        found = parse_names(data)
    except BadOnnxSignatures:
        return
    assert parse_names(render_names(found)) == found


@st.composite
def saved_models(draw):
    model = SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name in draw(st.lists(names, max_size=3)):
        definition = graph.signature_def[name]
        definition.method_name = draw(st.text(max_size=5))
        for side in (definition.inputs, definition.outputs):
            for alias in draw(st.lists(names, max_size=3)):
                side[alias].name = draw(names)
                side[alias].dtype = draw(st.integers(0, 140))
                side[alias].tensor_shape.unknown_rank = draw(st.booleans())
                for size in draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)):
                    side[alias].tensor_shape.dim.add(size=size)
    return model


@given(saved_models())
def test_every_signature_of_a_saved_model_is_seen_and_its_metadata_is_its_own(model):
    found = meta_graph(model.SerializeToString(), {"serve"}).signatures
    assert set(found) == set(model.meta_graphs[0].signature_def)
    for name, signature in found.items():
        assert signature.definition == model.meta_graphs[0].signature_def[name]
        assert all(size >= -1 for spec in signature.inputs.values() for size in spec.shape or ())
    assert signatures_to_any(found).type_url


@given(saved_models(), st.data())
def test_a_damaged_saved_model_ends_in_signatures_or_one_error(model, data):
    whole = bytearray(model.SerializeToString())
    if whole:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(whole), bytes(whole[: len(whole) // 2])):
        try:
            meta_graph(damaged, {"serve"})
        except BadSavedModel:
            continue


@given(st.binary(max_size=200))
def test_any_bytes_are_a_saved_model_or_one_error(data):
    try:
        meta_graph(data, {"serve"})
    except BadSavedModel:
        return
