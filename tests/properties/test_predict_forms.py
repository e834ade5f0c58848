"""The fast way reads and writes what the exact way does, whatever it has seen before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import BadInput
from strongroom.tfserving import messages
from strongroom.tfserving.datatypes import STORAGE, DataType
from strongroom.tfserving.messages import PredictRequest
from strongroom.tfserving.predict_forms import MAX_FORMS, PredictForms
from strongroom.tfserving.predict_wire import encode_predict_request, encode_predict_response, parse_predict
from strongroom.tfserving.tensors import DEFAULT_LIMITS, encode_tensor

FIXED = sorted(kind for kind, storage in STORAGE.items() if storage.dtype.kind != "O")
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


def seen(call):
    """Everything that a request says, decoded."""
    tensors = {}
    for name, tensor in call.inputs.items():
        try:
            array = tensor.array(DEFAULT_LIMITS)
        except BadInput as problem:
            tensors[name] = (tensor.dtype, problem.sentence)
        else:
            tensors[name] = (tensor.dtype, array.dtype, array.shape, array.tobytes(), array.flags.aligned)
    spec = call.model_spec.SerializeToString() if call.model_spec is not None else None
    return spec, list(call.output_filter), tensors


def outcome(parse, data):
    try:
        return seen(parse(data))
    except BadInput as problem:
        return type(problem)


@st.composite
def tensors(draw):
    kind, shape = draw(st.sampled_from(FIXED)), draw(SHAPES)
    raw = bytes(draw(st.integers(0, 255)) for _ in range(4))
    storage = STORAGE[kind].dtype
    count = int(np.prod(shape)) * storage.itemsize
    values = np.frombuffer((raw * (count // 4 + 1))[:count], "u1" if storage.kind == "b" else storage).reshape(shape)
    array = values != 0 if storage.kind == "b" else values
    return messages.TensorProto.FromString(encode_tensor(array, kind, as_content=draw(st.booleans())))


ANSWERS = st.dictionaries(st.text(max_size=3), st.tuples(st.sampled_from(FIXED), SHAPES), max_size=3)
REQUESTS = st.builds(
    lambda inputs, output_filter, label: PredictRequest(
        model_spec=messages.ModelSpec(name="m", version_label=label), inputs=inputs, output_filter=output_filter
    ),
    st.dictionaries(st.text(max_size=3), tensors(), max_size=3),
    st.lists(st.text(max_size=3), max_size=2),
    st.text(max_size=2),
).map(lambda message: message.SerializeToString())


@settings(deadline=None)
@given(st.lists(REQUESTS, max_size=3), st.data())
def test_a_remembered_form_reads_any_bytes_as_the_exact_parser_does(requests, data):
    forms = PredictForms()
    for raw in requests:
        assert outcome(forms.parse, raw) == outcome(parse_predict, raw)
        for _ in range(4):  # other values, or damage to what is not a value: most keep the length
            changed = bytearray(raw)
            for _ in range(data.draw(st.integers(0, 3))):
                changed[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
            kind = data.draw(st.sampled_from([bytes, lambda each: memoryview(bytes(each)), memoryview]))
            assert outcome(forms.parse, kind(changed)) == outcome(parse_predict, bytes(changed))


@settings(deadline=None)
@given(st.lists(ANSWERS, max_size=3), st.booleans(), st.integers(0, 2**63 - 1))
def test_answers_are_the_same_bytes_as_those_of_the_exact_encoder(answers, as_content, version):
    forms = PredictForms(outputs_as_content=as_content)
    for answer in [*answers, *answers]:
        outputs = {name: (kind, np.ones(shape, STORAGE[kind].dtype)) for name, (kind, shape) in answer.items()}
        ours = forms.encode(outputs, name="m", version=version, signature_name="s")
        encoded = {name: encode_tensor(array, kind, as_content=as_content) for name, (kind, array) in outputs.items()}
        assert ours == encode_predict_response(encoded, name="m", version=version, signature_name="s")


def test_answers_may_be_views_large_or_strings():
    forms = PredictForms()
    arrays = {
        "view": np.arange(40_000, dtype=np.float32).reshape(200, 200)[:, ::2],
        "large": np.arange(40_000, dtype=np.float32),
        "other": np.arange(3, dtype=np.float64),
        "text": np.array([b"a", b"bc"], object),
    }
    outputs = {
        name: (DataType.DT_STRING if name == "text" else DataType.DT_FLOAT, each) for name, each in arrays.items()
    }
    encoded = {name: encode_tensor(array, kind) for name, (kind, array) in outputs.items()}
    expected = encode_predict_response(encoded, name="m", version=1, signature_name="s")
    assert forms.encode(outputs, name="m", version=1, signature_name="s") == expected


def test_sv_12_what_is_remembered_is_bounded():
    forms = PredictForms()
    for size in range(1, 3 * MAX_FORMS):
        forms.parse(encode_predict_request({"x": np.zeros(size, np.float32)}, messages.ModelSpec(name="m")))
        forms.encode(
            {"y": (DataType.DT_FLOAT, np.zeros((size, 0), np.float32))}, name="m", version=size, signature_name=""
        )
    assert sum(map(len, forms._by_length.values())) <= MAX_FORMS
    for number in range(100):  # of one length
        forms.parse(encode_predict_request({f"{number:03}": np.zeros(1, np.float32)}, messages.ModelSpec(name="m")))
    assert max(map(len, forms._by_length.values())) <= 4
    many = {f"input {number}" * 50: np.zeros(1, np.float32) for number in range(10)}
    before = sum(map(len, forms._by_length.values()))
    forms.parse(encode_predict_request(many, messages.ModelSpec(name="m")))
    assert sum(map(len, forms._by_length.values())) == before
