"""A runner that cannot say no proves nothing: each check meets an answer that it accepts and one that it refuses."""

import json

import pytest

from strongroom.tfserving import messages


def rest_case(status=200, **expect):
    return {"id": "X1", "status": status, "expect": expect}


@pytest.fixture
def rest(tool, tmp_path):
    """Return the differences between an answer and what is expected."""
    (tmp_path / "wanted.json").write_text('{"b": [1, 2], "a": "x"}')

    def differences(expect, body, *, status=200, wanted=200, headers=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = tool.matchers.RestAnswer(status, headers or {}, raw)
        return tool.matchers.rest_differences(rest_case(wanted, **expect), answer, tmp_path)

    return differences


@pytest.mark.parametrize(
    ("expect", "right", "wrong"),
    [({"json": {"a": [3.0, None]}}, {"a": [3, None]}, {"a": [3.1, None]}),
     ({"json": {"a": 717887168.0}}, {"a": 717887190.0}, {"a": 717888000.0}),
     ({"json": {"a": True}}, {"a": True}, {"a": 1}),
     ({"json": {"a": 1}}, {"a": 1.0}, {"a": True}),
     ({"json": {"a": 1}}, {"a": 1}, {"a": 1, "b": 2}),
     ({"json": {"a": []}}, {"a": []}, {"a": [1]}),
     ({"json": {"a": "1"}}, {"a": "1"}, {"a": 1}),
     ({"json": {"a": {}}}, {"a": {}}, {"a": []}),
     ({"json": {"a": 1}}, {"a": 1}, b"not JSON"),
     ({"json_file_unordered": "wanted.json"}, {"a": "x", "b": [1, 2]}, {"a": "x", "b": [2, 1]}),
     ({"error_equals": "no"}, {"error": "no"}, {"error": "no."}),
     ({"error_contains": "no"}, {"error": "oh no!"}, {"error": "oh!"}),
     ({"error_contains": "no"}, {"error": "no"}, b"no"),
     ({"error_equals": "no"}, {"error": "no"}, ["no"]),
     ({"raw_regex": r"\[\s*NaN\]"}, b'{"a": [ NaN]}', b'{"a": [1]}')],
)  # fmt: skip
def test_a_rest_check_accepts_what_is_right_and_refuses_what_is_wrong(rest, expect, right, wrong):
    assert rest(expect, right) == []
    assert len(rest(expect, wrong)) == 1


def test_a_status_that_is_not_the_wanted_one_is_a_difference(rest):
    assert rest({"any_body": True}, {}, status=404, wanted=404) == []
    assert "status 200, wanted 404" in rest({"any_body": True}, {}, wanted=404)[0]


def test_a_header_is_held_to_its_value(rest):
    wanted = {"header": {"Content-Type": "application/json"}}
    assert rest(wanted, {}, headers={"content-type": "application/json"}) == []
    assert rest(wanted, {}, headers={"content-type": "text/plain"})
    assert rest(wanted, {})


def test_a_check_that_is_not_known_or_missing_is_a_difference(rest, tool):
    assert "'jsn' is not known" in rest({"jsn": 1}, {})[0]
    assert rest({}, {})
    answer = tool.matchers.GrpcAnswer("OK", "")
    assert "'detail' is not known" in tool.matchers.grpc_differences({"code": "OK", "check": {"detail": 1}}, answer)[0]
    assert tool.matchers.grpc_differences({"code": "OK"}, answer)


def predicted(*values, content=b""):
    response = messages.PredictResponse()
    response.model_spec.name = "default"
    response.model_spec.version.value = 123
    tensor = response.outputs["y"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=len(values))
    tensor.float_val.extend(values)
    tensor.tensor_content = content
    return response


@pytest.fixture
def grpc(tool):
    def differences(check, message=None, *, code="OK", details="", wanted="OK"):
        answer = tool.matchers.GrpcAnswer(code, details, message)
        return tool.matchers.grpc_differences({"id": "X1", "code": wanted, "check": check}, answer)

    return differences


@pytest.mark.parametrize(
    ("response", "is_right"),
    [({"outputs": {"y": {"floatVal": [3.0]}}}, True), ({"outputs": {"y": {"float_val": [3.0]}}}, True),
     ({"outputs": {"y": {"floatVal": [3.5]}}}, False), ({"outputs": {"y": {"floatVal": [3.0, 3.0]}}}, False),
     ({"outputs": {"y": {"floatVal": []}}}, False), ({"outputs": {"z": {"floatVal": [3.0]}}}, False),
     ({"outputs": {"y": {"dtype": "DT_FLOAT"}}}, True), ({"outputs": {"y": {"dtype": "DT_INT32"}}}, False),
     ({"outputs": {"y": {"tensorShape": {"dim": [{"size": "1"}]}}}}, True),
     ({"outputs": {"y": {"tensorShape": {"dim": [{"size": "2"}]}}}}, False),
     ({"modelSpec": {"name": "default", "version": "123"}}, True), ({"modelSpec": {"version": "124"}}, False),
     ({"model_spec": {"signatureName": ""}}, True), ({"modelSpec": {"signatureName": "x"}}, False),
     ({"modelSpec": {"versionLabel": ""}}, True), ({"outputs": {"y": {"doubleVal": []}}}, True), ({}, True)],
)  # fmt: skip
def test_an_answer_is_held_to_the_part_that_is_wanted(grpc, response, is_right):
    assert (grpc({"response": response}, predicted(3.0)) == []) is is_right


def test_values_have_to_be_in_their_field(grpc):
    assert grpc({"typed_field": "floatVal"}, predicted(3.0)) == []
    assert grpc({"typed_field": "floatVal"}, predicted(content=b"1234"))
    assert grpc({"typed_field": "intVal"}, predicted(3.0))
    assert grpc({"typed_field": "floatVal"}, messages.PredictResponse())


@pytest.mark.parametrize(
    ("check", "wrong"),
    [({"details_equals": "abc"}, "abcd"), ({"details_contains": "b"}, "ac"), ({"details_regex": "^a.c$"}, "abcd"),
     ({"details_length": 3}, "abcd")],
)  # fmt: skip
def test_details_are_held_to_their_text(grpc, check, wrong):
    assert grpc(check, code="NOT_FOUND", wanted="NOT_FOUND", details="abc") == []
    assert len(grpc(check, code="NOT_FOUND", wanted="NOT_FOUND", details=wrong)) == 1


def test_a_code_that_is_not_the_wanted_one_is_a_difference(grpc):
    assert grpc({"code_only": True}, code="OK") == []
    assert "code INTERNAL (broken), wanted OK" in grpc({"code_only": True}, code="INTERNAL", details="broken")[0]
    assert grpc({"response": {}}, None, code="INTERNAL", wanted="INTERNAL") == ["there is no message to look at"]


def test_an_any_is_held_to_its_type(grpc):
    response = messages.GetModelMetadataResponse()
    response.metadata["signature_def"].type_url = "type.googleapis.com/a.B"
    url = {"metadata.signature_def": "type.googleapis.com/a.B"}
    assert grpc({"any_type_url": url}, response) == []
    assert grpc({"any_type_url": {"metadata.signature_def": "type.googleapis.com/a.C"}}, response)
    assert grpc({"any_type_url": {"metadata.other": "type.googleapis.com/a.B"}}, response)


def test_a_metric_has_to_be_there_with_its_field(grpc):
    response = messages.ReloadConfigResponse()
    wanted = {"metric": {"name": "/a", "has": "int64ValueIncrease"}}
    assert grpc(wanted, response)
    response.metric.add(name="/a")
    assert grpc(wanted, response)
    response.metric[0].int64_value_increase = 0
    assert grpc(wanted, response) == []
    assert grpc({"metric": {"name": "/b", "has": "int64_value_increase"}}, response)


def test_twins_differ_in_code_details_or_message(tool):
    answer = tool.matchers.GrpcAnswer("OK", "", predicted(3.0))
    assert answer.same_as(tool.matchers.GrpcAnswer("OK", "", predicted(3.0)))
    assert not answer.same_as(tool.matchers.GrpcAnswer("OK", "", predicted(3.5)))
    assert not answer.same_as(tool.matchers.GrpcAnswer("OK", ""))
    assert not tool.matchers.GrpcAnswer("A", "x").same_as(tool.matchers.GrpcAnswer("A", "y"))
    assert not tool.matchers.GrpcAnswer("A", "x").same_as(tool.matchers.GrpcAnswer("B", "x"))
    assert not tool.matchers.RestAnswer(200, {}, b"a").same_as(tool.matchers.RestAnswer(200, {}, b"b"))
