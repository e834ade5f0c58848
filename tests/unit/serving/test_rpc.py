"""The table of gRPC methods: every answer is a reply, also the ones that are defects of ours."""

import pytest

from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rpc import Rpc
from strongroom.serving.status import status_of
from strongroom.tfserving import GET_MODEL_STATUS, GetModelStatusRequest, ModelSpec


@pytest.fixture
def rpc():
    return Rpc(Dataplane())


def test_a_refusal_is_a_reply_with_its_status(rpc):
    seen = []
    asked = GetModelStatusRequest(model_spec=ModelSpec(name="no")).SerializeToString()
    rpc.methods[GET_MODEL_STATUS](memoryview(asked), None, seen.append)
    (problem,) = seen
    code, text = status_of(problem)
    assert (code.name, text) == ("NOT_FOUND", "Could not find any versions of model no")


def test_a_defect_of_ours_is_one_line_for_the_peer(rpc, caplog, monkeypatch):
    monkeypatch.setattr(Dataplane, "statuses", lambda self, query: 1 / 0)
    seen = []
    asked = GetModelStatusRequest(model_spec=ModelSpec(name="no")).SerializeToString()
    rpc.methods[GET_MODEL_STATUS](asked, None, seen.append)
    assert seen[0].code == "SR-SERVE-DEFECT"
    assert status_of(seen[0]) == (13, "internal error")
    assert "ZeroDivisionError" in caplog.text
