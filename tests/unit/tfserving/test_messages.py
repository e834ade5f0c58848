"""The private pool: wire form, the default pool left alone, signatures and status as values."""

import pytest
from google.protobuf import descriptor_pool, json_format

from strongroom.tfserving import messages
from strongroom.tfserving.codes import Code
from strongroom.tfserving.datatypes import DataType, UnsupportedType
from strongroom.tfserving.descriptors import descriptor_set, message_classes
from strongroom.tfserving.messages import BadMessage
from strongroom.tfserving.schema import TABLE
from strongroom.tfserving.signatures import Signature, TensorSpec, signatures_from_any, signatures_to_any
from strongroom.tfserving.status import State, VersionStatus, status_response, statuses_of


def test_a_predict_request_has_the_published_wire_form():
    request = messages.PredictRequest()
    request.model_spec.name = "a"
    request.model_spec.version.value = 3
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(2.0)
    request.output_filter.append("y")
    assert request.SerializeToString().hex() == (
        "0a070a016112020803"  # 1 model_spec {1 name, 2 version {1 value}}
        "120d0a0178120808012a0400000040"  # 2 inputs entry {1 key, 2 value {1 dtype, 5 float_val packed}}
        "1a0179"  # 3 output_filter
    )


def test_the_default_pool_does_not_learn_our_symbols():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("tensorflow.serving.PredictRequest")


def test_two_pools_with_the_same_symbols_coexist():
    """As with the real stubs in one process: their pool has tensorflow.serving.* too."""
    other = message_classes(TABLE)("tensorflow.serving.ModelSpec")
    theirs = other(name="m", version_label="stable")
    ours = messages.ModelSpec.FromString(theirs.SerializeToString())
    assert type(ours) is not other
    assert ours.version_label == "stable"


def test_fields_accept_both_packings():
    packed, unpacked = b"\x2a\x04\x00\x00\x80\x3f", b"\x2d\x00\x00\x80\x3f"
    assert list(messages.TensorProto.FromString(packed).float_val) == [1.0]
    assert list(messages.TensorProto.FromString(unpacked).float_val) == [1.0]


def test_json_names_are_protobufs():
    request = json_format.Parse('{"modelSpec": {"name": "m"}, "output_filter": ["y"]}', messages.PredictRequest())
    assert request.model_spec.name == "m"
    assert list(request.output_filter) == ["y"]


def test_unknown_fields_are_ignored():
    assert messages.parse(messages.ModelSpec, b"\x0a\x01m\x98\x06\x01").name == "m"


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05m", b"\x0a\x01\xff", b"\x0b", b"\x00\x00"])
def test_other_bytes_are_one_clean_error(data):
    with pytest.raises(BadMessage, match="not a ModelSpec") as caught:
        messages.parse(messages.ModelSpec, data)
    assert caught.value.code == "SR-MESSAGE"


@pytest.mark.parametrize("table", ["package p\nmessage M\n  1 a nosuch\n", "package p\nmessage M\n  a string\n"])
def test_a_wrong_table_does_not_build(table):
    with pytest.raises(ValueError, match=r"types of the table|not a field"):
        descriptor_set(table)


def test_data_types_have_tensorflows_numbers():
    enum = messages.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type
    assert {kind.name: kind.value for kind in DataType}.items() <= {v.name: v.number for v in enum.values}.items()


SIGNATURES = {
    "serving_default": Signature(
        inputs={"x": TensorSpec(name="x:0", dtype=DataType.DT_FLOAT, shape=(-1, 1))},
        outputs={"y": TensorSpec(name="y:0", dtype=DataType.DT_STRING, shape=None)},
    )
}


def test_signatures_travel_as_an_any():
    packed = signatures_to_any(SIGNATURES)
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert signatures_from_any(packed) == SIGNATURES


def test_a_scalar_input_has_a_shape_without_dimensions():
    spec = TensorSpec(name="x", dtype=DataType.DT_INT64, shape=())
    packed = signatures_to_any({"s": Signature(inputs={"x": spec}, outputs={})})
    assert signatures_from_any(packed)["s"].inputs["x"].shape == ()


def test_foreign_metadata_is_refused():
    with pytest.raises(BadMessage):
        signatures_from_any(messages.AnyMessage(type_url="type.googleapis.com/other", value=b""))
    with pytest.raises(BadMessage):
        signatures_from_any(messages.AnyMessage(type_url=messages.SIGNATURE_DEF_TYPE_URL, value=b"\xff"))
    resource = messages.SignatureDefMap()
    resource.signature_def["s"].inputs["x"].dtype = 20
    with pytest.raises(UnsupportedType):
        signatures_from_any(
            messages.AnyMessage(type_url=messages.SIGNATURE_DEF_TYPE_URL, value=resource.SerializeToString())
        )


def test_status_travels_as_a_message():
    rows = (VersionStatus(2, State.AVAILABLE), VersionStatus(1, State.END, Code.DATA_LOSS, "cut off"))
    message = status_response(rows)
    assert statuses_of(message) == rows
    message.model_version_status[0].state = 35
    with pytest.raises(BadMessage):
        statuses_of(message)


@pytest.mark.parametrize(
    ("code", "http"), [(0, 200), (3, 400), (5, 404), (8, 429), (9, 400), (12, 501), (14, 503), (4, 504)]
)
def test_codes_have_one_http_status(code, http):
    assert Code(code).http == http
