"""Nothing that a peer or a folder can hold makes the local PCCS fail in another way than it says."""

import copy
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongroom.attestation import Anchor, Tee
from strongroom.cli.pccs_world import world_stock
from strongroom.collateral import pccs
from strongroom.collateral.api import Answer, Kind, Request, encode_chain
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.pccs.administration import check_all
from strongroom.collateral.pccs.files import shelve
from strongroom.collateral.pccs.pck_certificates import PckCertificateUnusable
from strongroom.collateral.pccs.recorded import _read_answers
from strongroom.collateral.pccs.recording import record
from strongroom.collateral.pccs.shelf import Document, DocumentUnusable
from strongroom.collateral.pccs.upload import UploadUnusable, read_machine, read_upload
from strongroom.errors import BadInput, StrongroomError
from strongroom.platforms.simulated import Rehearsal, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="module")
def shelf(world):
    return shelve(world_stock(world, NOW, standard=Rehearsal(), early=Rehearsal(evaluation_number=18)))


@pytest.fixture(scope="module")
def upload(world):
    made = world.collateral(NOW)
    chain = encode_chain(made.pck_crl_issuer_chain)
    info = f'{{"tcbInfo":{made.tcb_info},"signature":"{made.tcb_info_signature}"}}'
    machine = {"qe_id": world.hardware.qe_id.hex(), "pce_id": "0000", "enc_ppid": ""}
    return {
        "platforms": [machine],
        "collaterals": {
            "pck_certs": [
                {**machine, "certs": [{"tcbm": world.pck_tcbm, "cert": encode_chain(world.signers.pck.pem)}]}
            ],
            "tcbinfos": [{"fmspc": world.fmspc, "sgx_tcbinfo": json.loads(info)}],
            "pckcacrl": {"platformCrl": made.pck_crl},
            "qeidentity": f'{{"enclaveIdentity":{made.qe_identity},"signature":"{made.qe_identity_signature}"}}',
            "certificates": {
                "SGX-PCK-Certificate-Issuer-Chain": {"PLATFORM": chain},
                "TCB-Info-Issuer-Chain": encode_chain(made.tcb_info_issuer_chain),
                "SGX-Enclave-Identity-Issuer-Chain": encode_chain(made.qe_identity_issuer_chain),
            },
            "rootcacrl": made.root_ca_crl,
        },
    }


def places(value, path=()):
    """Yield the path of every value in a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(document, path, value):
    if not path:
        return value
    changed = copy.deepcopy(document)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return changed


@given(data=st.data())
def test_an_upload_with_anything_anywhere_is_refused_in_words_or_is_sound(upload, world, data):
    path = data.draw(st.sampled_from(sorted(places(upload), key=repr)))
    changed = put(upload, path, data.draw(JSON))
    anchors = (Anchor.from_certificate(world.root_der),)
    try:
        exchanges = read_upload(json.dumps(changed).encode(), 4)
        check_all(exchanges, anchors=anchors, at=NOW)
        names = [record(each).name for each in exchanges]
    except StrongroomError:
        return
    assert all(name.replace("_", "").removesuffix(".json").isalnum() for name in names)


@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_refused_as_an_upload_and_as_a_registration(body):
    for version in (3, 4):
        with pytest.raises(UploadUnusable):
            read_upload(body, version)
    with pytest.raises(UploadUnusable):
        read_machine(body)


MEMBERS = ("tcb_info_json", "enclave_identity_json", "crl_data", "crl_data_base64", "pck_certificate", "fmspcs_json",
           "issuer_chain", "qe_id")  # fmt: skip


@given(wrapped=st.dictionaries(st.sampled_from(MEMBERS), st.text(max_size=60) | JSON.map(json.dumps), max_size=4))
@example({"crl_data_base64": "\x80"})
@example({"fmspcs_json": '["\\ud800"]', "issuer_chain": "\ud800"})
@settings(max_examples=60)
def test_a_file_that_wraps_anything_is_refused_in_words(tmp_path_factory, wrapped):
    path = tmp_path_factory.mktemp("recorded") / "one.json"
    path.write_text(json.dumps(wrapped))
    try:
        made = _read_answers([path])
    except BadInput:
        return
    assert made.answer(Request(kind=Kind.FMSPCS, parameters={"platform": "E5"})) is not None


@given(body=JSON.map(lambda value: json.dumps({"tcbInfo": value}).encode()) | st.binary(max_size=100))
def test_any_document_is_refused_in_words(body):
    with pytest.raises(DocumentUnusable):
        Document.read(body, "")


@given(leaf=st.text(max_size=200), chain=st.text(max_size=200))
def test_any_text_is_refused_as_a_pck_certificate(leaf, chain):
    with pytest.raises(PckCertificateUnusable):
        pccs.PckCertificate.read(leaf, chain)


@given(
    components=st.lists(st.integers(0, 255), min_size=16, max_size=16),
    pce_svn=st.integers(0, 0xFFFF),
    raised=st.lists(st.integers(0, 3), min_size=16, max_size=16),
)
def test_a_platform_never_gets_a_certificate_for_more_than_it_has(shelf, world, components, pce_svn, raised):
    hardware = world.hardware
    near = [min(svn + more, 255) for svn, more in zip(hardware.components, raised, strict=True)]
    for cpu_svn in (bytes(components), bytes(near)):
        parameters = {"qeid": hardware.qe_id.hex(), "cpusvn": cpu_svn.hex(), "pceid": "0000",
                      "pcesvn": pce_svn.to_bytes(2, "little").hex()}  # fmt: skip
        answer = shelf.answer(Request(kind=Kind.PCK_CERT, parameters=parameters))
        enough = all(own <= here for own, here in zip(hardware.components, cpu_svn, strict=True))
        assert (answer is not None) == (enough and hardware.pce_svn <= pce_svn)


@given(
    days=st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=20)
def test_the_newest_document_is_served_whatever_the_order(world, days, order):
    made = {day: world.collateral(NOW - timedelta(days=day)) for day in days}
    collateral = list(made.values())
    order.shuffle(collateral)
    served = shelve(pccs.Stock(standard=tuple(collateral)))
    answer = served.answer(Request(kind=Kind.TCB, tee=Tee.SGX, parameters={"fmspc": world.fmspc}))
    assert made[min(days)].tcb_info.encode() in answer.body


@given(headers=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3), body=st.binary(max_size=50))
def test_any_answer_is_written_down_or_refused_in_words(headers, body):
    for kind, parameters in ((Kind.TCB, {"fmspc": "0" * 12}), (Kind.ROOT_CRL, {}), (Kind.PCK_CRL, {"ca": "platform"}),
                             (Kind.FMSPCS, {}), (Kind.QE_IDENTITY, {})):  # fmt: skip
        request = Request(kind=kind, parameters=parameters)
        try:
            record(Exchange(request, Answer(status=200, headers=headers, body=body)))
        except StrongroomError:
            continue
