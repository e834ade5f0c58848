"""Quotes that do not carry their chain: the PCK certificate is looked up, and must be the platform's."""

from dataclasses import replace
from functools import partial

import pytest

from strongroom.attestation import INTEL, CertificationType, EvidenceRefused, parse_quote, verify
from strongroom.cli.pccs_world import world_stock
from strongroom.collateral import CollateralUnavailable, LiveSource, pccs
from strongroom.collateral.answering import SourceFailed
from strongroom.collateral.api import TCBM_HEADER, Answer, Kind
from strongroom.collateral.cache import Cache
from strongroom.collateral.seen import Seen
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World

LOOKED_UP = (CertificationType.RSA_2048_PPID, CertificationType.RSA_3072_PPID)


class Provisioning:
    """The world's own certification service, in process; may change what it says about PCK certificates."""

    name = "provisioning"

    def __init__(self, stock, clock) -> None:
        self._backend = pccs.Made(stock, clock=clock)
        self.change = lambda answer: answer
        self.asked: list[Kind] = []

    def answer(self, request) -> Answer:
        self.asked.append(request.kind)
        found = self._backend.answer(request)
        if found is None:
            raise SourceFailed("it knows no such thing", status=404)
        return self.change(found) if request.kind is Kind.PCK_CERT else found


@pytest.fixture
def provisioning(world, clock) -> Provisioning:
    return Provisioning(partial(world_stock, world, standard=Rehearsal(), early=Rehearsal()), clock)


@pytest.fixture
def quote_of(world):
    def make(kind: CertificationType) -> bytes:
        identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
        return world.quote(identity, bytes(64), certification_type=kind)

    return make


@pytest.fixture
def live(provisioning, world_anchor, clock) -> LiveSource:
    return LiveSource([provisioning], anchors=[world_anchor], clock=clock)


@pytest.mark.parametrize("kind", [*LOOKED_UP, CertificationType.PCK_LEAF, CertificationType.PCK_CHAIN])
def test_every_way_of_naming_a_platform_leads_to_a_verdict(kind, live, quote_of, world, world_anchor):
    raw = quote_of(kind)
    collateral = live.collateral_for(parse_quote(raw))
    verdict = verify(raw, collateral, anchors=[world_anchor], at=live._clock())
    assert verdict.fmspc == world.fmspc
    assert (collateral.pck_tcbm is not None) == (kind in LOOKED_UP)
    assert (collateral.pck_certificate_chain is not None) == (kind is not CertificationType.PCK_CHAIN)


@pytest.mark.parametrize("kind", [LOOKED_UP[0], CertificationType.PCK_LEAF])
def test_among_several_roots_the_platforms_is_found(kind, provisioning, quote_of, world_anchor, clock):
    raw = quote_of(kind)
    live = LiveSource([provisioning], anchors=[INTEL, world_anchor], clock=clock)
    verdict = verify(raw, live.collateral_for(parse_quote(raw)), anchors=[INTEL, world_anchor], at=clock())
    assert verdict.trust_domain == "simulated"


def test_the_certificate_is_looked_up_once(live, quote_of, provisioning):
    for _ in range(3):
        live.collateral_for(parse_quote(quote_of(LOOKED_UP[1])))
    assert provisioning.asked.count(Kind.PCK_CERT) == 1


def test_ev_06_a_plain_ppid_cannot_be_looked_up(live, quote_of):
    with pytest.raises(EvidenceRefused) as refused:
        live.collateral_for(parse_quote(quote_of(CertificationType.PLAIN_PPID)))
    assert refused.value.reason == "CERT_TYPE_UNSUPPORTED"


def test_ev_06_a_certificate_said_to_be_for_another_tcb_is_neither_kept_nor_remembered(
    provisioning, quote_of, world_anchor, clock, tmp_path
):
    store = Cache(tmp_path / "cache")
    live = LiveSource([provisioning], anchors=[world_anchor], store=store, seen=Seen(store.folder), clock=clock)
    provisioning.change = lambda answer: replace(answer, headers={**answer.headers, TCBM_HEADER: "00" * 18})
    raw = quote_of(LOOKED_UP[1])
    with pytest.raises(CollateralUnavailable, match="was made for"):
        live.collateral_for(parse_quote(raw))
    assert Kind.PCK_CERT not in {entry.request.kind for _, entry in store.entries()}
    provisioning.change = lambda answer: answer
    clock.turn(seconds=16)  # a failure is believed that long
    verify(raw, live.collateral_for(parse_quote(raw)), anchors=[world_anchor], at=clock())
    assert "PCK certificate" not in (store.folder / "seen.json").read_text(), "machines must not make it grow"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda answer: replace(answer, headers={}), "no header"),
        (lambda answer: replace(answer, body=b"\xff"), "not PEM"),
        (lambda answer: replace(answer, body=b""), "other than PEM|wanted 3"),
        (lambda answer: replace(answer, headers={**answer.headers, TCBM_HEADER: "x"}), "36 hex digits"),
    ],
)
def test_a_service_that_answers_nonsense_is_passed_over(live, quote_of, provisioning, change, words):
    provisioning.change = change
    with pytest.raises(CollateralUnavailable, match=words):
        live.collateral_for(parse_quote(quote_of(LOOKED_UP[1])))


def test_a_service_below_no_anchor_is_passed_over(live, quote_of, provisioning, tmp_path, clock):
    foreign = World.create(tmp_path / "foreign", now=clock())
    provisioning.change = lambda _: Answer(
        status=200, headers=foreign_headers(foreign), body=foreign.signers.pck.pem.encode()
    )
    with pytest.raises(CollateralUnavailable, match="no anchor"):
        live.collateral_for(parse_quote(quote_of(LOOKED_UP[1])))


def foreign_headers(foreign) -> dict[str, str]:
    from strongroom.collateral.api import chain_headers, encode_chain

    chain = foreign.signers.pck_ca.pem + foreign.signers.root.pem
    return {chain_headers(Kind.PCK_CERT, 4)[0]: encode_chain(chain), TCBM_HEADER: foreign.pck_tcbm}


def test_a_lone_leaf_that_its_ca_did_not_issue_is_refused_before_anybody_is_asked_about_it(
    live, provisioning, tmp_path, clock
):
    foreign = World.create(tmp_path / "foreign", now=clock())
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=foreign.mr_signer, isv_prod_id=0, isv_svn=0)
    raw = foreign.quote(identity, bytes(64), certification_type=CertificationType.PCK_LEAF)
    with pytest.raises(EvidenceRefused) as refused:
        live.collateral_for(parse_quote(raw))
    assert refused.value.reason == "PCK_INVALID_ISSUER"
    assert Kind.TCB not in provisioning.asked
