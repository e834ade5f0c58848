"""A grace for expired collateral: what it excuses, what it never excuses, and that it says so."""

from datetime import timedelta

import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, verify

DAY = timedelta(days=1)


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def crl(which):
    def ends(world, since, until):
        world.crls[which].update(since=since, until=until)

    return ends


def document(name):
    def ends(world, since, until):
        getattr(world, name).update(issueDate=stamp(since), nextUpdate=stamp(until))

    return ends


def certificate(role):
    def ends(world, since, until):
        world.recipes[role].since, world.recipes[role].until = since, until

    return ends


EXCUSABLE = {"root CRL": crl("root"), "TCB info": document("tcb_info"), "QE identity": document("qe_identity"),
             "PCK CRL": crl("pck")}  # fmt: skip
CODES = {"root CRL": "CRL_EXPIRED", "TCB info": "TCB_INFO_EXPIRED", "QE identity": "QE_IDENTITY_EXPIRED",
         "PCK CRL": "CRL_EXPIRED"}  # fmt: skip
STEPS = {"root CRL": 3, "TCB info": 6, "QE identity": 7, "PCK CRL": 11}


@pytest.fixture
def judged(world):
    def judged(grace=timedelta(0)):
        anchor = Anchor.from_certificate(world.root_der())
        return verify(
            world.quote(), Collateral(**world.collateral()), anchors=[anchor], at=world.now, collateral_grace=grace
        )

    return judged


@pytest.mark.parametrize("name", EXCUSABLE)
def test_tcb_11_a_grace_excuses_expiry_up_to_its_last_second_and_names_it(world, judged, name):
    EXCUSABLE[name](world, world.now - 30 * DAY, world.now - DAY)
    for grace in (timedelta(0), DAY - timedelta(seconds=1)):
        with pytest.raises(EvidenceRefused) as caught:
            judged(grace)
        assert (caught.value.reason, caught.value.step) == (CODES[name], STEPS[name])
    verdict = judged(DAY)
    assert verdict.in_grace == (name,)
    assert verdict.to_json_object()["in_grace"] == [name]
    assert verdict.earliest_expiration == world.now - DAY


def test_tcb_11_nothing_is_in_grace_that_has_not_expired(judged):
    assert judged(365 * DAY).in_grace == ()


@pytest.mark.parametrize("name", EXCUSABLE)
def test_tcb_11_a_grace_never_excuses_what_is_not_yet_valid(world, judged, name):
    EXCUSABLE[name](world, world.now + DAY, world.now + 30 * DAY)
    with pytest.raises(EvidenceRefused) as caught:
        judged(1000 * DAY)
    assert caught.value.reason == CODES[name]


@pytest.mark.parametrize(
    ("role", "code"),
    [("root", "ROOT_EXPIRED"), ("signer", "TCB_SIGNING_EXPIRED"), ("ca", "PCK_CHAIN_EXPIRED"),
     ("leaf", "PCK_CHAIN_EXPIRED")],
)  # fmt: skip
def test_tcb_11_a_grace_never_excuses_a_certificate(world, judged, role, code):
    certificate(role)(world, world.now - 100 * DAY, world.now - DAY)
    with pytest.raises(EvidenceRefused) as caught:
        judged(1000 * DAY)
    assert caught.value.reason == code


def test_tcb_11_a_grace_excuses_no_revocation(world, judged):
    crl("pck")(world, world.now - 30 * DAY, world.now - DAY)
    world.crls["pck"]["revoked"] = [1003]
    with pytest.raises(EvidenceRefused) as caught:
        judged(2 * DAY)
    assert caught.value.reason == "PCK_REVOKED"


def test_all_that_was_excused_is_named_in_the_order_of_the_steps(world, judged):
    for ends in EXCUSABLE.values():
        ends(world, world.now - 30 * DAY, world.now - DAY)
    verdict = judged(DAY)
    assert verdict.in_grace == tuple(EXCUSABLE)
    checks = {check["step"]: check for check in verdict.to_json_object()["checks"]}
    for name, step in STEPS.items():
        assert checks[step]["outcome"] == "pass"
        assert f"the {name} has expired" in checks[step]["detail"]
