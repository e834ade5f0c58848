"""Files asked like a server: the part that fits, the newest first, and what is missing or garbled said."""

import os

import pytest

from strongroom.attestation import Tee
from strongroom.collateral.answering import SourceFailed
from strongroom.collateral.api import Kind, Request
from strongroom.collateral.assemble import signed_json
from strongroom.collateral.file_source import MAX_FILES, FileSource


def test_a_file_answers_what_it_holds(publish, world):
    folder = publish()
    for source in (FileSource(folder), FileSource(folder / f"{world.fmspc}.json")):
        requests = list(source.requests())
        assert [each.kind for each in requests] == [Kind.ROOT_CRL, Kind.PCK_CRL, Kind.TCB, Kind.QE_IDENTITY]
        assert all(source.answer(each).status == 200 for each in requests)


@pytest.mark.parametrize(
    "request_",
    [
        Request(kind=Kind.TCB, parameters={"fmspc": "00906ED50000"}),
        Request(kind=Kind.QE_IDENTITY, tee=Tee.TDX),
        Request(kind=Kind.QVE_IDENTITY),
        Request(kind=Kind.TCB_EVAL_NUMBERS),
    ],
    ids=lambda each: each.kind.value,
)
def test_what_it_does_not_hold_is_not_found(publish, request_):
    with pytest.raises(SourceFailed) as failed:
        FileSource(publish()).answer(request_)
    assert failed.value.definitive


def test_the_newest_file_answers(publish, world):
    folder = publish(number=17)
    (folder / f"{world.fmspc}.json").rename(folder / "old.json")
    os.utime(folder / "old.json", ns=(1, 1))
    publish(number=18)
    request = Request(kind=Kind.QE_IDENTITY)
    assert '"tcbEvaluationDataNumber":18' in signed_json(request, FileSource(folder).answer(request)).text


def test_tcb_12_files_for_the_early_update_answer_for_it_alone(publish, world):
    folder = publish(number=17)
    standard = folder / f"{world.fmspc}.json"
    publish("other", number=19)
    (folder.parent / "other" / standard.name).replace(folder / f"{world.fmspc}-early.json")
    source = FileSource(folder)
    for kind, parameters in ((Kind.TCB, {"fmspc": world.fmspc}), (Kind.QE_IDENTITY, {})):
        for update, number in ({}, 17), ({"update": "standard"}, 17), ({"update": "early"}, 19):
            body = source.answer(Request(kind=kind, parameters={**parameters, **update})).body
            assert f'"tcbEvaluationDataNumber":{number}'.encode() in body
    standard.unlink()
    with pytest.raises(SourceFailed):
        source.answer(Request(kind=Kind.QE_IDENTITY))
    assert source.answer(Request(kind=Kind.ROOT_CRL)).status == 200


def test_a_folder_that_cannot_be_read_or_holds_garbage_fails(tmp_path):
    request = Request(kind=Kind.ROOT_CRL)
    with pytest.raises(SourceFailed, match="cannot be read"):
        FileSource(tmp_path / "absent").answer(request)
    (tmp_path / "a.json").write_text("garbage")
    with pytest.raises(SourceFailed, match=r"a\.json"):
        FileSource(tmp_path).answer(request)
    for number in range(MAX_FILES):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(SourceFailed, match="at most 256"):
        FileSource(tmp_path).answer(request)
