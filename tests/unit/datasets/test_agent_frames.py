"""What goes over an agent's socket."""

import json

import pytest

from strongroom.datasets.agent import MAX_FRAME_BYTES, Answer, BadAgentFrame, Frames, Op, Request, frame


def test_frames_are_cut_wherever_the_bytes_are():
    requests = [Request(Op.UNWRAP, "people.1", "d3JhcHBlZA=="), Request(Op.NAMES)]
    stream = b"".join(each.to_frame() for each in requests)
    for step in (1, 3, len(stream)):
        frames, bodies = Frames(), []
        for at in range(0, len(stream), step):
            bodies += frames.feed(stream[at : at + step])
        assert [Request.parse(each) for each in bodies] == requests


def test_an_answer_reads_back():
    answer = Answer(ok=False, code="SR-DATA-UNWRAP", sentence="a data key does not open under people.1")
    assert Answer.parse(answer.to_frame()[4:]) == answer


def test_keys_are_not_shown():
    assert "c2VjcmV0" not in repr(Request(Op.WRAP, "people.1", "c2VjcmV0")) + repr(Answer(ok=True, data="c2VjcmV0"))


def test_a_frame_that_is_too_long_is_refused_before_it_comes():
    with pytest.raises(BadAgentFrame) as caught:
        Frames().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert caught.value.code == "SR-AGENT-FRAME"
    with pytest.raises(BadAgentFrame):
        frame({"data": "x" * MAX_FRAME_BYTES})


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"{}", b'{"op":"names"}', b'{"op":"no","key_id":"","data":""}',
             b'{"op":"names","key_id":1,"data":""}', b'{"op":"names","key_id":"","data":"","x":""}'],
)  # fmt: skip
def test_what_is_no_request_is_refused(body):
    with pytest.raises(BadAgentFrame):
        Request.parse(body)


@pytest.mark.parametrize("change", [{"ok": "true"}, {"ok": 1}, {"data": None}, {"more": ""}])
def test_what_is_no_answer_is_refused(change):
    with pytest.raises(BadAgentFrame):
        Answer.parse(json.dumps({"ok": True, "data": "", "code": "", "sentence": "", **change}).encode())
