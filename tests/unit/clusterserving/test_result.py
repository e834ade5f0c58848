"""Results as Redis holds them: what a worker writes, our client and the original's read."""

import base64

import numpy as np
import pytest

from strongroom.clusterserving import result, sealed
from strongroom.clusterserving.arrow_result import decode_result
from strongroom.clusterserving.faults import (
    BadImage,
    BadRecord,
    DtypeMismatch,
    Fault,
    Internal,
    ModelError,
    ServingError,
    UnsealFailed,
    error_of,
)
from strongroom.clusterserving.record import error_fields, read_result, result_fields
from strongroom.clusterserving.values import Record
from strongroom.secret import Secret

KEY = Secret(b"k" * 32)
PLAIN = Record(entry_id="7-1", uri="u:1", instances=())
RAW = Record(entry_id="7-1", uri="u:1", instances=(), accept_raw=True)
SEALED = Record(entry_id="7-1", uri="u:1", instances=(), response_key=KEY)
OUTPUT = np.array([[0.25, 0.5, 0.25]], np.float32)


def stored(fields):
    return {name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in fields.items()}


def through(record=PLAIN, **answer):
    return read_result("u:1", stored(result_fields(record, ts_ms=9, **answer)))


class Keys:
    """Both halves of sealed results for one job and model."""

    @staticmethod
    def binding(uri):
        return sealed.Binding("job", uri, "model", 1)

    def seal(self, kind, payload, *, uri, entry_id, response_key):
        return sealed.seal_result(
            payload, sealed.ResultKind(kind), response_key=response_key, binding=self.binding(uri), entry_id=entry_id
        )

    def open(self, value, *, uri, entry_id, response_key):
        return sealed.open_result(value, response_key=response_key, binding=self.binding(uri), entry_id=entry_id)


def read_sealed(fields, **change):
    options = {"response_key": KEY, "opener": Keys(), "entry_id": "7-1"} | change
    return read_result("u:1", stored(fields), **options)


def test_a_result_is_the_originals_with_more_beside_it(arrow_vectors):
    fields = result_fields(PLAIN, ts_ms=9, outputs={"y": OUTPUT})
    assert base64.b64decode(fields["value"]) == arrow_vectors["result"][0]
    del fields["value"]
    assert fields == {"id": "7-1", "ts": "9", "dtype": "float32", "shapes": "[[1,3]]", "names": '["y"]'}


def test_outputs_come_back_by_name_type_and_shape():
    outputs = {"b": OUTPUT, "a": np.array([[7]], np.int64), "c": np.zeros((0, 2), np.float64), "d": np.array([True])}
    found = through(outputs=outputs)
    assert (found.uri, found.entry_id, found.error, found.text) == ("u:1", "7-1", None, None)
    assert list(found.outputs) == ["b", "a", "c", "d"]
    for name, array in outputs.items():
        assert (found.outputs[name].dtype, found.outputs[name].shape) == (array.dtype, array.shape)
        assert found.outputs[name].tolist() == array.tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (), (3, 0), (0,), (1, 0, 1)])
def test_d17_shapes_are_whole(shape):
    assert through(outputs={"y": np.ones(shape, np.float32)}).outputs["y"].shape == shape


def test_a_result_of_the_original_is_read(arrow_vectors):
    value = base64.b64encode(arrow_vectors["two_results"][0])
    found = read_result("u", {b"value": value})
    assert list(found.outputs) == ["output_0", "output_1"]
    assert (found.outputs["output_0"].tolist(), found.outputs["output_1"].tolist()) == ([[0.25, 0.5, 0.25]], [1, 2])
    assert found.entry_id is None


def test_d08_the_word_nan_of_the_original_is_an_error():
    assert isinstance(read_result("u", {b"value": b"NaN"}).error, Internal)


@pytest.mark.parametrize("text", ["[[1,0.7][0,0.1]]", "[[1.0,2.5][3.0,4.0]]", "[[1,0.7],[0,0.1]]", "[]"])
def test_a_filters_text_is_a_text(text):
    found = through(text=text)
    assert (found.text, found.outputs, found.error) == (text, {}, None)


@pytest.mark.parametrize("fault", list(Fault))
def test_d08_every_error_comes_back_as_its_type(fault):
    fields = result_fields(PLAIN, ts_ms=9, error=error_of(str(fault), "the reason"))
    assert (fields["value"], fields["code"]) == (b"NaN", str(fault))
    error = read_result("u:1", stored(fields)).error
    assert (type(error), error.message, error.uri) == (type(error_of(str(fault), "")), "the reason", "u:1")


def test_a_message_is_cut_to_a_kilobyte():
    fields = error_fields("1-0", ModelError("ü" * 2000), ts_ms=9)
    assert len(fields["message"].encode()) <= 1024
    assert (fields["id"], fields["code"]) == ("1-0", "model_error")


def test_d09_only_the_record_that_failed_has_an_error():
    answers = [{"outputs": {"y": OUTPUT}}, {"error": BadImage("not a JPEG")}, {"outputs": {"y": OUTPUT}}]
    assert [through(**each).error is None for each in answers] == [True, False, True]


def test_raw_results_stand_in_their_own_types_and_small_ones_in_value_too():
    fields = result_fields(RAW, ts_ms=9, outputs={"y": np.array([[7]], np.int64)})
    assert fields["d:y"] == (7).to_bytes(8, "little")
    assert fields["m:y"] == b'{"dtype":"int64","shape":[1,1]}'
    assert decode_result(base64.b64decode(fields["value"]))[0].tolist() == [7]
    exact = np.array([[(1 << 53) + 1]], np.int64)
    assert through(RAW, outputs={"y": exact}).outputs["y"].tolist() == exact.tolist()


def test_large_raw_results_are_not_written_twice():
    fields = result_fields(RAW, ts_ms=9, outputs={"y": np.zeros(2000, np.float32)})
    assert fields["value"] == b"NaN"
    found = read_result("u:1", stored(fields))
    assert found.error is None
    assert found.outputs["y"].shape == (2000,)


def test_outputs_keep_the_models_order_whatever_redis_does():
    outputs = {name: np.zeros(2000) for name in "zay"}
    fields = stored(result_fields(RAW, ts_ms=9, outputs=outputs))
    assert list(read_result("u", dict(sorted(fields.items()))).outputs) == ["z", "a", "y"]


def test_texts_need_the_raw_form():
    outputs = {"y": np.array([["a", "b"]], object)}
    assert through(RAW, outputs=outputs).outputs["y"].tolist() == [["a", "b"]]
    error = through(outputs=outputs).error
    assert isinstance(error, DtypeMismatch)
    assert error.code == "SR-QUEUE-DTYPE"


@pytest.mark.parametrize(
    "answer", [{"outputs": {"y": np.array([[7]], np.int64)}}, {"text": "[[1,0.5]]"}, {"error": BadImage("no JPEG")}]
)
def test_an_01_a_sealed_result_shows_no_more_than_a_word(answer):
    fields = result_fields(SEALED, ts_ms=9, sealer=Keys(), **answer)
    assert set(fields) <= {"value", "id", "ts", "code"}
    found = read_sealed(fields)
    if "outputs" in answer:
        assert found.outputs["y"].tolist() == [[7]]
    assert found.text == answer.get("text")
    if "error" in answer:
        assert (type(found.error), found.error.message) == (BadImage, "no JPEG")
    else:
        assert found.error is None


@pytest.mark.parametrize("change", [{"entry_id": "7-2"}, {"response_key": Secret(b"x" * 32)}])
def test_d04_a_sealed_result_of_another_entry_or_key_does_not_open(change):
    fields = result_fields(SEALED, ts_ms=9, sealer=Keys(), outputs={"y": OUTPUT})
    with pytest.raises(UnsealFailed) as caught:
        read_sealed(fields, **change)
    assert (caught.value.code, caught.value.uri) == ("SR-QUEUE-UNSEAL", "u:1")


def test_an_01_a_clear_result_is_not_believed_where_a_sealed_one_was_asked_for():
    for fields in (result_fields(PLAIN, ts_ms=9, outputs={"y": OUTPUT}), result_fields(RAW, ts_ms=9, text="[[1,1]]")):
        with pytest.raises(UnsealFailed):
            read_sealed(fields)


def test_an_01_a_sealed_result_is_not_read_without_its_opener():
    with pytest.raises(UnsealFailed):
        read_sealed(result_fields(PLAIN, ts_ms=9, outputs={"y": OUTPUT}), opener=None)


def test_an_error_that_nobody_could_seal_is_its_word_alone():
    fields = error_fields("7-1", UnsealFailed("a reason that anybody could have written"), ts_ms=9)
    error = read_sealed(fields).error
    assert isinstance(error, UnsealFailed)
    assert "anybody" not in error.message


def test_without_its_sealer_no_output_of_a_sealed_record_is_written():
    with pytest.raises(UnsealFailed):
        result_fields(SEALED, ts_ms=9, outputs={"y": OUTPUT})
    fields = result_fields(SEALED, ts_ms=9, error=ModelError("secret things"))
    assert fields == {"value": b"NaN", "id": "7-1", "ts": "9", "code": "model_error"}


def test_a_sealed_result_of_an_output_without_a_form_is_an_error():
    fields = result_fields(SEALED, ts_ms=9, sealer=Keys(), outputs={"y": np.zeros(1, "c8")})
    assert read_sealed(fields).error is not None


def test_arrow_inside_a_sealed_result_is_read(arrow_vectors):
    value = Keys().seal(result.ARROW, arrow_vectors["result"][0], uri="u:1", entry_id="7-1", response_key=KEY)
    assert read_sealed({"value": value}).outputs["output_0"].shape == (1, 3)
    for kind, payload in ((result.ERROR, b"[]"), (result.ERROR, b"{"), (result.TEXT, b"\xff")):
        value = Keys().seal(kind, payload, uri="u:1", entry_id="7-1", response_key=KEY)
        with pytest.raises(UnsealFailed):
            read_sealed({"value": value})


GOOD = stored(result_fields(PLAIN, ts_ms=9, outputs={"y": OUTPUT}))
BAD = {
    "no value": {b"id": b"1-0"},
    "no base64": {b"value": b"@@"},
    "no Arrow": {b"value": b"AAAA"},
    "a text that is not UTF-8": {b"value": b"[\xff"},
    "shapes that are not JSON": GOOD | {b"shapes": b"["},
    "shapes that are deep": GOOD | {b"shapes": b"[" * 60_000},
    "shapes that do not fit": GOOD | {b"shapes": b"[[4]]"},
    "shapes of text": GOOD | {b"shapes": b'["a"]'},
    "shapes beyond the limit": GOOD | {b"shapes": b" " * 70_000},
    "names of other outputs": GOOD | {b"names": b'["a","b"]'},
    "names that are none": GOOD | {b"names": b"[1]"},
    "a type that is none": GOOD | {b"dtype": b"object"},
    "types of other outputs": GOOD | {b"dtype": b"int8,int8"},
    "an id that is none": GOOD | {b"id": b"\xff"},
    "a code that is none": GOOD | {b"code": b"x" * 65},
    "raw words that are none": GOOD | {b"m:y": b"{", b"d:y": b""},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD.keys())
def test_what_is_no_result_is_refused_with_its_name(fields):
    with pytest.raises(BadRecord) as caught:
        read_result("u", fields)
    assert (caught.value.code, caught.value.uri) == ("SR-QUEUE-BAD-RECORD", "u")
    assert isinstance(caught.value, ServingError)


def test_two_outputs_have_two_names():
    fields = stored(result_fields(PLAIN, ts_ms=9, outputs={"a": OUTPUT, "b": OUTPUT}))
    with pytest.raises(BadRecord):
        read_result("u", fields | {b"names": b'["a","a"]'})


def test_the_numbers_of_kinds_are_those_of_sealing():
    assert tuple(sealed.ResultKind) == (result.ARROW, result.TEXT, result.RAW, result.ERROR)
