"""Recorded evidence is read back as it was written, or refused; it is judged again like any other."""

import base64
import json
from datetime import UTC, datetime

import pytest

from strongroom.attestation import Anchor, Collateral, CollateralUnreadable, verify
from strongroom.attestation.recorded import RecordedEvidence, RecordUnreadable


@pytest.fixture
def record(world):
    return RecordedEvidence(quote=world.quote(), collateral=Collateral(**world.collateral()), at=world.now)


def test_it_is_read_back_and_gives_the_same_verdict(record, world):
    again = RecordedEvidence.from_json(record.to_json())
    assert again == record
    anchors = [Anchor.from_certificate(world.root_der())]
    assert verify(again.quote, again.collateral, anchors=anchors, at=again.at).tcb_eval == 19


def test_its_members_are_those_that_were_agreed(record):
    found = json.loads(record.to_json())
    assert set(found) == {"quote", "collateral", "at"}
    assert base64.b64decode(found["quote"]) == record.quote
    assert found["at"] == int(record.at.timestamp())
    assert found["collateral"]["pck_crl"] == record.collateral.pck_crl


@pytest.mark.parametrize(
    "change",
    [{"quote": 5}, {"quote": "*"}, {"quote": "a"}, {"at": "now"}, {"at": 1.5}, {"at": True}, {"at": 10**30},
     {"more": 1}, {"quote": "é"}],
)  # fmt: skip
def test_anything_else_is_refused(record, change):
    content = json.loads(record.to_json()) | change
    with pytest.raises(RecordUnreadable) as refusal:
        RecordedEvidence.from_json(json.dumps(content).encode())
    assert refusal.value.code == "SR-RECORDED-EVIDENCE"


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{", '{"quote": "", "quote": ""}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(RecordUnreadable):
        RecordedEvidence.from_json(text.encode())


def test_its_collateral_has_nine_strings(record):
    for collateral in (5, [], {}):
        content = json.loads(record.to_json()) | {"collateral": collateral}
        with pytest.raises(CollateralUnreadable):
            RecordedEvidence.from_json(json.dumps(content).encode())
    assert RecordedEvidence.from_json(record.to_json()).at == datetime.fromtimestamp(int(record.at.timestamp()), UTC)
