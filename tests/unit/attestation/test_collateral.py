"""The nine strings as a file: there and back, and what is not collateral."""

import json

import pytest

from strongroom.attestation import Anchor, Collateral, CollateralUnreadable, EvidenceRefused, TcbStatus, verify


def test_collateral_goes_to_json_and_back(world):
    collateral = Collateral(**world.collateral())
    assert Collateral.from_json(collateral.to_json()) == collateral
    assert Collateral.from_json(collateral.to_json().encode()) == collateral


def test_other_members_are_ignored(world):
    parts = world.collateral()
    more = parts | {"pck_certificate_chain": None, "note": "extra"}
    assert Collateral.from_json(json.dumps(more)) == Collateral(**parts)


@pytest.mark.parametrize("name", ["root_ca_crl", "pck_crl"])
@pytest.mark.parametrize("absent", [True, False])
def test_sc_11_an_absent_revocation_list_is_missing_and_not_skipped(judge, world, lw, name, absent):
    parts = world.collateral()
    parts[name] = None
    if absent:
        del parts[name]
    collateral = Collateral.from_json(json.dumps(parts))
    with pytest.raises(EvidenceRefused) as caught:
        verify(world.quote(), collateral, anchors=[Anchor.from_certificate(world.root_der())], at=world.now)
    assert caught.value.reason == "CRL_MISSING"
    assert judge(world).status is TcbStatus.UP_TO_DATE


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"tcb_info":1}', '{"tcb_info":"a","tcb_info":"b"}', "[" * 40, "\xff", b"\xff",
        '{"tcb_info":NaN}', '{"a":1} x', " " * (8 * 1024 * 1024 + 1),
    ],
)  # fmt: skip
def test_what_is_not_nine_strings_is_not_collateral(text):
    with pytest.raises(CollateralUnreadable) as caught:
        Collateral.from_json(text)
    assert caught.value.code == "SR-COLLATERAL"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("value", [1, True, [], {}, None])
def test_a_part_that_is_no_string_is_refused(world, value):
    with pytest.raises(CollateralUnreadable, match="tcb_info is not a string"):
        Collateral.from_json(json.dumps(world.collateral() | {"tcb_info": value}))
