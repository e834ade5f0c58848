"""Case files: what a case means as flags, bodies and messages, and what is no case file."""

import gzip
import json

import pytest

from strongroom.tfserving import messages

MODELS = {"hp2": {"path": "a/hp2", "served_as": "default"}, "hp3": {"path": "a/hp3"}}


@pytest.fixture
def load(tool, tmp_path):
    def write(**content):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps({"models": MODELS, **content}))
        return tool.case_files.load(path)

    return write


def rest(number, **more):
    return {"id": number, "model": "hp2", "method": "GET", "path": "/", "status": 200, "expect": {}, **more}


def test_cases_of_one_model_and_flags_share_a_server(load):
    file = load(
        rest=[rest("R1"), rest("R2"), rest("R3", server_flags=["--a=1"]), rest("R4", needs="--b=true")],
        grpc=[{"id": "G1", "model": "hp2", "rpc": "a.B/C"},
              {"id": "G2", "model": "hp2", "rpc": "a.B/HandleReloadConfigRequest", "code": "OK", "check": {}},
              {"id": "G3", "model": "hp2", "rpc": "a.B/HandleReloadConfigRequest", "code": "NOT_FOUND", "check": {}}],
        lifecycle=[{"id": "L1", "title": "prose"}],
    )  # fmt: skip
    shared = [[case.id for case in cases] for cases in file.groups().values()]
    assert shared == [["R1", "R2", "G1", "G3"], ["R3"], ["R4"], ["G2"]]
    assert [str(group) for group in file.groups()] == ["hp2", "hp2 --a=1", "hp2 --b=true", "hp2 G2"]


def test_g31_serves_its_model_under_another_name(load):
    reload = {"id": "G31", "model": "hp2", "rpc": "a.B/HandleReloadConfigRequest", "code": "OK", "check": {}}
    (group,) = load(grpc=[reload]).groups()
    assert group.served_as == "half_plus_two"


def test_placeholders_repetitions_and_zeros_are_written_out(load, tool):
    file = load(rest=[])
    marks = file.placeholders("/tmp/socket")
    value = {"a": ["<HP2>", "<BASE hp3>/x", "unix:<SOCKET>"], "b": {"$repeat": ["ab", 2]}, "c": {"$zeros": 3}}
    filled = tool.case_files.filled(value, marks)
    assert filled == {
        "a": [str(file.testdata / "a/hp2"), str(file.testdata / "a/hp3/x"), "unix:/tmp/socket"], "b": "abab",
        "c": "AAAA",
    }  # fmt: skip


def test_bodies_are_sent_as_the_case_says(tool):
    body = tool.case_files.body_of
    assert body({"body": None}, {}) is None
    assert body({"body": ""}, {}) == b""
    assert body({"body": {"a": 1}}, {}) == b'{"a": 1}'
    assert body({"body": "x", "raw": True}, {}) == b"x"
    assert gzip.decompress(body({"body": {"a": 1}, "gzip": True}, {})) == b'{"a": 1}'
    assert body({"body": 'a<3 x "[" + 2 x "]">b', "generated": True}, {}) == b"a[[[]]b"


def test_requests_are_messages_in_either_style(tool):
    told = {"id": "G1", "rpc": "a.B/Predict", "request": {"modelSpec": {"name": "m", "version": "7"},
            "output_filter": ["y"], "inputs": {"x": {"tensorContent": {"$zeros": 4}}}}}  # fmt: skip
    request = messages.PredictRequest.FromString(tool.case_files.request_of(told, {}))
    assert (request.model_spec.name, request.model_spec.version.value) == ("m", 7)
    assert list(request.output_filter) == ["y"]
    assert request.inputs["x"].tensor_content == bytes(4)
    assert tool.case_files.request_of({"id": "G2", "rpc": "a.B/Nobody", "request": {}}, {}) == b""


def test_what_is_no_case_file_is_refused(tool, tmp_path, load):
    with pytest.raises(tool.case_files.BadCases, match=r"cases\.json"):
        tool.case_files.load(tmp_path / "cases.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(tool.case_files.BadCases, match="none of rest"):
        tool.case_files.load(tmp_path / "list.json")
    with pytest.raises(tool.case_files.BadCases, match="several cases R1"):
        load(rest=[rest("R1"), rest("R1")])
    with pytest.raises(tool.case_files.BadCases, match="where it is"):
        load(rest=[]).base_path("unknown")
    with pytest.raises(tool.case_files.BadCases, match="G1"):
        tool.case_files.request_of({"id": "G1", "rpc": "a.B/Predict", "request": {"nope": 1}}, {})


def test_a_lifecycle_case_names_our_test(tool):
    where = tool.conformance.where_tested
    assert "no test of ours" in where(tool.case_files.Case("lifecycle", {"id": "L999"}))


def test_a_failure_is_one_line_that_says_what_was_seen(tool):
    case = tool.case_files.Case("rest", {"id": "R1", "title": "status"})
    line = tool.replay.Outcome(case, "fast", ("status 200, wanted 404",)).line
    assert line == "FAILED R1 fast status - status 200, wanted 404"
    assert tool.replay.Outcome(case, "fast", notes=("look",)).line == "ok R1 fast status - not looked at: look"
