"""The 22 steps: each refusal knows its own, and the list of checks says what passed, failed, or nobody looked at."""

import pytest

from strongroom.attestation import EvidenceCode, EvidenceRefused, Tee
from strongroom.attestation.steps import STEPS, Outcome, at_step, checks_of_refusal, checks_of_verdict


def test_there_are_22_steps_and_every_code_belongs_to_one():
    assert [step.number for step in STEPS] == list(range(1, 23))
    assert len({step.name for step in STEPS}) == 22
    assert {code for step in STEPS for code in step.codes} == set(EvidenceCode)


@pytest.mark.parametrize(("tee", "module"), [(Tee.SGX, "unknown"), (Tee.TDX, "pass")])
def test_a_verdict_passed_every_step_that_applies(judge, world, tee, module):
    if tee is Tee.TDX:
        world.become(4, 2)
    checks = judge(world).to_json_object()["checks"]
    outcomes = [check["outcome"] for check in checks]
    assert outcomes == [*["pass"] * 14, module, *["pass"] * 6, "unknown"]
    assert checks[21]["detail"].startswith("skipped")
    assert {tuple(check) for check in checks} == {("step", "name", "outcome", "detail")}


@pytest.mark.parametrize("step", STEPS[:21], ids=lambda step: step.name)
def test_a_refusal_passed_what_came_before_and_nothing_behind_it_was_looked_at(step):
    refused = EvidenceRefused("…", reason=step.codes[0], step=step.number)
    checks = checks_of_refusal(refused, Tee.TDX)
    before, (failed, *behind) = checks[: step.number - 1], checks[step.number - 1 :]
    assert {check.outcome for check in before} <= {Outcome.PASS}
    assert (failed.outcome, failed.detail) == (Outcome.FAIL, f"{step.codes[0].value}: …")
    assert {check.outcome for check in behind} == {Outcome.UNKNOWN}


def test_a_module_step_is_skipped_where_the_tee_is_not_known_to_be_tdx():
    refused = EvidenceRefused("…", reason=EvidenceCode.INVALID_QUOTE_SIGNATURE, step=20)
    assert checks_of_refusal(refused, Tee.TDX)[14].outcome is Outcome.PASS
    for tee in (Tee.SGX, None):
        assert checks_of_refusal(refused, tee)[14].outcome is Outcome.UNKNOWN


def test_a_refusal_outside_of_a_verification_counts_as_the_first_step():
    refused = EvidenceRefused("…", reason=EvidenceCode.QUOTE_TRUNCATED)
    assert [check.outcome for check in checks_of_refusal(refused, None)] == [Outcome.FAIL, *[Outcome.UNKNOWN] * 21]


def test_the_innermost_step_is_the_one_that_failed():
    def refuse():
        with at_step(7), at_step(5):
            raise EvidenceRefused("…", reason=EvidenceCode.TCB_SIGNING_EXPIRED)

    with pytest.raises(EvidenceRefused) as caught:
        refuse()
    assert caught.value.step == 5


def test_other_errors_pass_by_unchanged():
    with pytest.raises(ZeroDivisionError), at_step(3):
        raise ZeroDivisionError


def test_what_a_grace_excused_is_said_at_its_step():
    checks = checks_of_verdict(Tee.SGX, ("PCK CRL",))
    assert [check.step for check in checks if "has expired" in check.detail] == [11]


@pytest.mark.parametrize(
    ("broken", "code", "step"),
    [
        ("root", "CRL_EXPIRED", 3),
        ("pck", "CRL_EXPIRED", 11),
        ("tcb_info_issuer_chain", "TCB_SIGNING_CHAIN", 4),
        ("qe_identity_issuer_chain", "TCB_SIGNING_CHAIN", 7),
        ("root_ca_crl", "MALFORMED", 3),
        ("pck_crl", "MALFORMED", 11),
        ("pck_crl_issuer_chain", "MALFORMED", 11),
        ("tcb_info_signature", "TCB_INFO_INVALID_SIGNATURE", 6),
        ("qe_identity_signature", "QE_IDENTITY_INVALID_SIGNATURE", 7),
    ],
)
def test_one_code_in_two_places_is_told_apart_by_its_step(*, judge, world, lw, broken, code, step):
    if broken in world.crls:
        world.crls[broken].update(since=world.now - 9 * lw.DAY, until=world.now - lw.DAY)
    else:
        world.collateral_edits[broken] = "00"
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert (caught.value.reason, caught.value.step) == (EvidenceCode[code], step)


def test_malformed_parts_are_reported_in_the_order_of_the_steps(judge, world):
    """Everything is unreadable at once; the codes come in the order of the specification as the parts are repaired."""
    faults = [
        ("root_ca_crl", "MALFORMED", 3),
        ("tcb_info_issuer_chain", "TCB_SIGNING_CHAIN", 4),
        ("tcb_info_signature", "TCB_INFO_INVALID_SIGNATURE", 6),
        ("qe_identity_issuer_chain", "TCB_SIGNING_CHAIN", 7),
        ("qe_identity_signature", "QE_IDENTITY_INVALID_SIGNATURE", 7),
        (None, "PCK_CHAIN", 8),
        ("pck_crl", "MALFORMED", 11),
    ]
    world.cert_data = None
    for name, _, _ in faults:
        if name:
            world.collateral_edits[name] = "!"
    chain = world.quote()
    world.cert_data = b"-----BEGIN NONSENSE-----"
    assert world.quote() != chain
    for name, code, step in faults:
        with pytest.raises(EvidenceRefused) as caught:
            judge(world)
        assert (caught.value.reason, caught.value.step) == (EvidenceCode[code], step)
        if name:
            del world.collateral_edits[name]
        else:
            world.cert_data = None
    judge(world)


def test_the_root_is_found_in_the_quote_when_the_collaterals_chains_cannot_be_read(judge, world):
    for name in ("pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        world.collateral_edits[name] = "!"
    with pytest.raises(EvidenceRefused) as caught:
        judge(world)
    assert caught.value.reason == "TCB_SIGNING_CHAIN"
    world.cert_data = b"!"
    with pytest.raises(EvidenceRefused, match="no chain can be read") as caught:
        judge(world)
    assert (caught.value.reason, caught.value.step) == (EvidenceCode.ROOT_UNTRUSTED, 2)
