"""The highest evaluation number seen counts: older collateral is refused, and what was seen survives on paper."""

import json
from datetime import UTC, datetime

import pytest

from strongroom.attestation import Claims, EvidenceSource, Tee, TrustDomain
from strongroom.attestation.rollback import CollateralRollback, RollbackStateBroken, SeenNumbers

ROOT, OTHER_ROOT = "a" * 96, "b" * 96
AT = datetime(2026, 6, 1, tzinfo=UTC)


def claims(number, *, tee=Tee.SGX, fmspc="00906ED50000", root=ROOT):
    return Claims(
        source=EvidenceSource.QUOTE, trust_domain=TrustDomain.INTEL, tee=tee, fmspc=fmspc, root_key_id=root,
        tcb_eval_ref_num=number,
    )  # fmt: skip


def test_tcb_08_collateral_of_evaluation_17_after_19_was_seen_is_a_rollback():
    seen = SeenNumbers().admit(claims(17)).admit(claims(19)).admit(claims(19))
    with pytest.raises(CollateralRollback) as refusal:
        seen.admit(claims(17))
    assert refusal.value.code == "SR-COLLATERAL-ROLLBACK"
    assert "evaluation 17, seen before: 19" in refusal.value.sentence
    assert seen.admit(claims(20)).admit(claims(20))


def test_each_family_kind_of_tee_and_root_has_a_number_of_its_own():
    seen = SeenNumbers().admit(claims(19))
    for other in (claims(3, tee=Tee.TDX), claims(3, fmspc="00606A000000"), claims(3, root=OTHER_ROOT)):
        seen = seen.admit(other)
    with pytest.raises(CollateralRollback):
        seen.admit(claims(18))
    with pytest.raises(CollateralRollback):
        seen.admit(claims(2, root=OTHER_ROOT))


def test_a_token_without_reference_data_changes_nothing():
    seen = SeenNumbers().admit(claims(19))
    assert seen.admit(claims(None)) is seen


def test_tcb_08_what_was_seen_is_read_back():
    seen = SeenNumbers().admit(claims(19)).admit(claims(3, tee=Tee.TDX, root=OTHER_ROOT))
    assert SeenNumbers.from_json(seen.to_json()) == seen
    assert SeenNumbers.from_json(SeenNumbers().to_json()) == SeenNumbers()


ENTRY = {"root_key_id": ROOT, "tee": "SGX", "fmspc": "00906ED50000", "tcb_eval_ref_num": 19}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        {"version": 2, "seen": []},
        {"version": 1, "seen": {}},
        {"version": 1, "seen": [], "more": 1},
        {"version": 1, "seen": [ENTRY, ENTRY]},
        {"version": 1, "seen": [ENTRY | {"tee": "SEV"}]},
        {"version": 1, "seen": [ENTRY | {"fmspc": "00906ed50000"}]},
        {"version": 1, "seen": [ENTRY | {"root_key_id": "x"}]},
        {"version": 1, "seen": [ENTRY | {"tcb_eval_ref_num": -1}]},
        {"version": 1, "seen": [ENTRY | {"tcb_eval_ref_num": True}]},
        {"version": 1, "seen": [ENTRY | {"tcb_eval_ref_num": "19"}]},
        {"version": 1, "seen": [ENTRY | {"more": 1}]},
        {"version": 1, "seen": [5]},
    ],
)
def test_a_broken_record_is_refused_and_never_taken_for_an_empty_one(content):
    data = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(RollbackStateBroken) as refusal:
        SeenNumbers.from_json(data.encode())
    assert refusal.value.code == "SR-ROLLBACK-STATE"
