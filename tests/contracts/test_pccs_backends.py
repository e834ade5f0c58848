"""What every Backend of the local PCCS owes its callers, whichever way it comes by its answers."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest

from strongroom.attestation import Anchor, EvidenceRefused, Tee, parse_quote, verify
from strongroom.cli.pccs_world import world_stock
from strongroom.collateral import pccs
from strongroom.collateral.api import CRLS, SIGNED_JSON, Answer, Kind, Request, chain_headers, decode_chain
from strongroom.collateral.assemble import Exchange, crl_der
from strongroom.collateral.cache import Cache
from strongroom.collateral.checks import Circumstances, check
from strongroom.collateral.client import SourceFailed
from strongroom.collateral.gather import Choice, collateral_for
from strongroom.collateral.pccs.administration import write_recordings
from strongroom.collateral.pccs.recording import record
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, TdIdentity, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="module")
def stock(world):
    return partial(world_stock, world, standard=Rehearsal(), early=Rehearsal(evaluation_number=18))


class AsSource:
    """A backend as another server's client sees it."""

    name = "inner"

    def __init__(self, backend):
        self.backend = backend

    def answer(self, request):
        found = self.backend.answer(request)
        if found is None or found.status != 200:
            raise SourceFailed("no such thing", status=404 if found is None else found.status)
        return found


def made(_world, stock, _folder):
    return pccs.Made(stock, clock=lambda: NOW)


def shelf(_world, stock, _folder):
    from strongroom.collateral.pccs.files import shelve

    return shelve(stock(NOW))


def files(world, _stock, folder):
    for tee, suffix in ((Tee.SGX, ""), (Tee.TDX, "-tdx")):
        for edition, number in (("", 17), ("-early", 18)):
            collateral = world.collateral(NOW, Rehearsal(evaluation_number=number), tee=tee)
            (folder / f"{world.fmspc}{suffix}{edition}.json").write_text(collateral.to_json())
    return pccs.Files(folder)


def recorded(world, stock, folder):
    source = shelf(world, stock, folder)
    exchanges = [Exchange(request, source.answer(request)) for request in requests(world)]
    write_recordings(folder, [record(each) for each in exchanges])
    return pccs.Recorded(folder)


def mirror(world, stock, folder):
    anchor = Anchor.from_certificate(world.root_der)
    return pccs.Mirror([AsSource(shelf(world, stock, folder))], Cache(folder / "cache"), anchor=anchor,
                       clock=lambda: NOW)  # fmt: skip


def in_order(world, stock, folder):
    nothing = folder / "nothing"
    nothing.mkdir()
    return pccs.InOrder([pccs.Files(nothing), mirror(world, stock, folder)])


@pytest.fixture(params=[made, shelf, files, recorded, mirror, in_order], ids=lambda make: make.__name__)
def backend(request, world, stock, tmp_path):
    return request.param(world, stock, tmp_path)


def requests(world):
    """Every question that a verifier of this world's quotes asks."""
    both = [Request(kind=Kind.ROOT_CRL), Request(kind=Kind.PCK_CRL, parameters={"ca": "platform", "encoding": "der"})]
    for tee in Tee:
        for update in ("standard", "early"):
            both.append(Request(kind=Kind.TCB, tee=tee, parameters={"fmspc": world.fmspc, "update": update}))
            both.append(Request(kind=Kind.QE_IDENTITY, tee=tee, parameters={"update": update}))
    return both


def test_every_answer_verifies_by_itself_and_carries_its_chain(backend, world):
    under = Circumstances(anchors=(Anchor.from_certificate(world.root_der),), at=NOW)
    root = Exchange(Request(kind=Kind.ROOT_CRL), backend.answer(Request(kind=Kind.ROOT_CRL)))
    under = Circumstances(anchors=under.anchors, at=NOW, root_crl=check(root, under).crl)
    for request in requests(world):
        answer = backend.answer(request)
        check(Exchange(request, answer), under)
        if request.kind in SIGNED_JSON | {Kind.PCK_CRL}:
            header = answer.header(*chain_headers(request.kind, request.version))
            assert decode_chain(header).count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("update", ["standard", "early"])
def test_what_it_answers_makes_quotes_of_both_tees_checkable(backend, world, update):
    enclave = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    for identity in (enclave, TdIdentity(mr_td=bytes(48))):
        evidence = world.quote(identity, bytes(64))
        collateral = collateral_for(
            parse_quote(evidence), lambda request, _: backend.answer(request), Choice(update=update)
        )
        verdict = verify(evidence, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=NOW)
        assert verdict.tcb_eval_ref_num == 17


def test_early_and_standard_are_kept_apart_and_found_by_number(backend, world):
    def number(**parameters):
        request = Request(kind=Kind.TCB, parameters={"fmspc": world.fmspc, **parameters})
        return json.loads(backend.answer(request).body)["tcbInfo"]["tcbEvaluationDataNumber"]

    assert [number(), number(update="standard"), number(update="early")] == [17, 17, 18]
    assert number(tcbEvaluationDataNumber="18") == 18


def test_a_crl_is_the_same_in_every_encoding(backend):
    seen = set()
    for version in (3, 4):
        for encoding in ("pem", "der"):
            request = Request(kind=Kind.PCK_CRL, version=version, parameters={"ca": "platform", "encoding": encoding})
            seen.add(crl_der(request, backend.answer(request)))
    assert len(seen) == 1
    text = backend.answer(Request(kind=Kind.ROOT_CRL)).body.decode("ascii")
    assert bytes.fromhex(text) == crl_der(Request(kind=Kind.ROOT_CRL), Answer(status=200, body=text.encode()))


def test_what_it_does_not_have_it_says_it_does_not_have(backend, world):
    unknown = [
        Request(kind=Kind.TCB, parameters={"fmspc": "000000000000"}),
        Request(kind=Kind.TCB, version=3, parameters={"fmspc": world.fmspc}),
        Request(kind=Kind.QVE_IDENTITY),
        Request(kind=Kind.PCK_CRL, parameters={"ca": "processor"}),
        Request(
            kind=Kind.PCK_CERT, parameters={"qeid": "00" * 16, "cpusvn": "00" * 16, "pcesvn": "0000", "pceid": "0000"}
        ),
        Request(kind=Kind.CRL, parameters={"uri": "https://example.com/x.crl"}),
    ]
    assert [backend.answer(request) for request in unknown] == [None] * len(unknown)


def test_a_number_below_all_that_count_is_gone(backend, world):
    request = Request(kind=Kind.TCB, parameters={"fmspc": world.fmspc, "tcbEvaluationDataNumber": "3"})
    assert backend.answer(request).status == 410


def test_many_threads_may_ask(backend, world):
    questions = requests(world) * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(backend.answer, questions))
    assert {answer.status for answer in answers} == {200}
    assert not {request.kind for request in questions} - CRLS - SIGNED_JSON


def test_a_forged_answer_of_any_backend_is_caught_by_the_check(backend, world):
    under = Circumstances(anchors=(Anchor.from_certificate(world.root_der),), at=NOW)
    root = Exchange(Request(kind=Kind.ROOT_CRL), backend.answer(Request(kind=Kind.ROOT_CRL)))
    under = Circumstances(anchors=under.anchors, at=NOW, root_crl=check(root, under).crl)
    request = Request(kind=Kind.TCB, parameters={"fmspc": world.fmspc})
    answer = backend.answer(request)
    forged = Answer(status=200, headers=answer.headers, body=answer.body.replace(b"UpToDate", b"OutOfDate", 1))
    with pytest.raises(EvidenceRefused):
        check(Exchange(request, forged), under)
