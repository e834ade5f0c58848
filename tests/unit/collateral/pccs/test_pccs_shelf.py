"""What is served for which request: editions, numbers, encodings, PCK certificates, and nothing that was not there."""

import base64
import json

import pytest

from strongroom.collateral import pccs
from strongroom.collateral.api import decode_chain
from strongroom.collateral.pccs.crls import CrlUnusable, read_crl
from strongroom.collateral.pccs.pck_certificates import PckCertificateUnusable, leaf_and_chain
from strongroom.collateral.pccs.shelf import Document, DocumentUnusable
from strongroom.collateral.pccs.watched import FolderUnusable

TCB = "/sgx/certification/v4/tcb?fmspc=00906ED50000"


def wrapped(shared_vectors, name):
    return json.loads((shared_vectors / "pcs" / f"{name}.json").read_bytes())


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("sgx_tcb_info_00906ED50000", TCB),
        ("sgx_tcb_info_00906ED50000", f"{TCB}&update=standard"),
        ("sgx_tcb_info_00906ED50000", f"{TCB}&tcbEvaluationDataNumber=17"),
        ("sgx_tcb_info_early", f"{TCB}&update=early"),
        ("sgx_tcb_info_early", f"{TCB}&tcbEvaluationDataNumber=19"),
        ("sgx_tcb_info_v3", "/sgx/certification/v3/tcb?fmspc=00906ed50000"),
        ("tdx_tcb_info", "/tdx/certification/v4/tcb?fmspc=00806F050000"),
        ("tdx_tcb_info_eval17", "/tdx/certification/v4/tcb?fmspc=00806F050000&tcbEvaluationDataNumber=17"),
        ("sgx_qe_identity", "/sgx/certification/v4/qe/identity?update=standard"),
        ("sgx_qe_identity_v3", "/sgx/certification/v3/qe/identity"),
        ("sgx_qve_identity", "/sgx/certification/v4/qve/identity"),
        ("sgx_qae_identity", "/sgx/certification/v4/qae/identity"),
        ("tdx_qe_identity", "/tdx/certification/v4/qe/identity"),
        ("pck_crl_platform", "/sgx/certification/v4/pckcrl?ca=platform"),
        ("pck_crl_platform", "/sgx/certification/v3/pckcrl?ca=platform&encoding=pem"),
        ("pck_crl_processor", "/sgx/certification/v4/pckcrl?ca=processor&encoding=pem"),
        ("fmspcs", "/sgx/certification/v4/fmspcs"),
        ("fmspcs_all_platforms", "/sgx/certification/v4/fmspcs?platform=all"),
        ("sgx_tcb_eval_nums", "/sgx/certification/v4/tcbevaluationdatanumbers"),
        ("tdx_tcb_eval_nums", "/tdx/certification/v4/tcbevaluationdatanumbers"),
    ],
)
def test_recorded_answers_are_replayed_byte_for_byte(recorded_folder, shared_vectors, get, name, target):
    source = wrapped(shared_vectors, name)
    answer = get(pccs.Recorded(recorded_folder), target)
    body = next(value for member, value in source.items() if member != "issuer_chain")
    assert answer.body == body.encode()
    chains = [decode_chain(value) for header, value in answer.headers.items() if header.endswith("Issuer-Chain")]
    assert chains == ([source["issuer_chain"]] if "issuer_chain" in source else [])


def test_the_chain_header_has_the_name_of_the_version(recorded_folder, get):
    backend = pccs.Recorded(recorded_folder)
    assert "TCB-Info-Issuer-Chain" in get(backend, TCB).headers
    assert "SGX-TCB-Info-Issuer-Chain" in get(backend, TCB.replace("v4", "v3")).headers


def test_a_crl_recorded_in_one_encoding_is_had_in_the_other(recorded_folder, get):
    from cryptography import x509

    backend = pccs.Recorded(recorded_folder)
    pem = get(backend, "/sgx/certification/v4/pckcrl?ca=platform").body
    der = get(backend, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der").body
    assert x509.load_pem_x509_crl(pem) == x509.load_der_x509_crl(der)


def test_a_crl_recorded_in_both_encodings_is_replayed_in_each(recorded_folder, shared_vectors, get):
    backend = pccs.Recorded(recorded_folder)
    der = base64.b64decode(wrapped(shared_vectors, "pck_crl_processor_der")["crl_data_base64"])
    assert get(backend, "/sgx/certification/v4/pckcrl?ca=processor&encoding=der").body == der


def test_the_root_crl_is_hex_text_as_pccs_sends_it_and_der_under_its_url(recorded_folder, get):
    backend = pccs.Recorded(recorded_folder)
    text = get(backend, "/sgx/certification/v4/rootcacrl")
    assert text.headers["Content-Type"].startswith("text/plain")
    uri = "https%3A%2F%2Fcertificates.trustedservices.intel.com%2FIntelSGXRootCA.der"
    assert get(backend, f"/sgx/certification/v4/crl?uri={uri}").body == bytes.fromhex(text.body.decode())


def test_a_pck_crl_is_found_under_the_url_that_certificates_name(recorded_folder, get):
    backend = pccs.Recorded(recorded_folder)
    place = "api.trustedservices.intel.com%2Fsgx%2Fcertification%2Fv4%2Fpckcrl%3Fca%3Dplatform%26encoding%3Dder"
    found = get(backend, f"/sgx/certification/v4/crl?uri=https%3A%2F%2F{place}")
    assert found.body == get(backend, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der").body


@pytest.mark.parametrize("uri", ["http%3A%2F%2F169.254.169.254%2Fsecret", "https%3A%2F%2Fx.example%2Ftcb%3Ffmspc%3D1"])
def test_no_other_url_is_looked_at(recorded_folder, get, uri):
    assert get(pccs.Recorded(recorded_folder), f"/sgx/certification/v4/crl?uri={uri}") is None


def test_the_list_of_platforms_is_filtered(recorded_folder, get):
    backend = pccs.Recorded(recorded_folder)
    counts = {
        kind: len(json.loads(get(backend, f"/sgx/certification/v4/fmspcs?platform={kind}").body))
        for kind in ("E5", "client", "E3")
    }
    assert counts == {"E5": 29, "client": 12, "E3": 3}


def test_tcb_12_a_retired_number_is_gone_and_an_unknown_one_is_not_found(recorded_folder, get):
    backend = pccs.Recorded(recorded_folder)
    assert get(backend, f"{TCB}&tcbEvaluationDataNumber=16").status == 410
    assert get(backend, f"{TCB}&tcbEvaluationDataNumber=18") is None  # counts, but was not recorded
    assert get(backend, f"{TCB}&tcbEvaluationDataNumber=99") is None


@pytest.mark.parametrize(
    "target",
    [
        "/sgx/certification/v4/tcb?fmspc=000000000000",
        "/tdx/certification/v4/tcb?fmspc=00906ED50000",
        "/tdx/certification/v4/tcb?fmspc=00806F050000&update=early",
        "/sgx/certification/v3/tcb?fmspc=00806F050000",
        "/sgx/certification/v4/pckcert?qeid=" + "0" * 32 + "&cpusvn=" + "0" * 32 + "&pcesvn=0000&pceid=0000",
        "/sgx/certification/v4/pckcerts?encrypted_ppid=" + "0" * 768 + "&pceid=0000",
    ],
)
def test_what_was_not_recorded_is_not_answered(recorded_folder, get, target):
    assert get(pccs.Recorded(recorded_folder), target) is None


def test_early_and_standard_updates_differ_and_both_numbers_are_listed(simulated, world, get):
    tcb = f"/sgx/certification/v4/tcb?fmspc={world.fmspc}"
    standard, early = get(simulated, tcb).body, get(simulated, f"{tcb}&update=early").body
    numbers = [json.loads(body)["tcbInfo"]["tcbEvaluationDataNumber"] for body in (standard, early)]
    assert numbers == [17, 18]
    assert get(simulated, f"{tcb}&tcbEvaluationDataNumber=18").body == early
    assert get(simulated, f"{tcb}&tcbEvaluationDataNumber=16").status == 410
    listed = json.loads(get(simulated, "/tdx/certification/v4/tcbevaluationdatanumbers").body)
    assert [each["tcbEvaluationDataNumber"] for each in listed["tcbEvaluationDataNumbers"]["tcbEvalNumbers"]] == [
        18,
        17,
    ]


def pck_target(world, *, qe_id=None, ppid=None, cpu_svn=None, pce_svn=None, kind="pckcert"):
    hardware = world.hardware
    parts = [f"pceid={hardware.pce_id.hex()}"]
    if kind == "pckcert":
        parts.append(f"cpusvn={(cpu_svn or hardware.cpu_svn).hex()}")
        parts.append(f"pcesvn={(hardware.pce_svn if pce_svn is None else pce_svn).to_bytes(2, 'little').hex()}")
    if qe_id:
        parts.append(f"qeid={qe_id.hex()}")
    if ppid:
        parts.append(f"encrypted_ppid={ppid.hex()}")
    return f"/sgx/certification/v4/{kind}?{'&'.join(parts)}"


def own_ppid(world):
    from strongroom.platforms.simulated.certification import encrypted_ppid

    return encrypted_ppid(world.hardware)


def test_a_pck_certificate_is_found_by_qe_id_or_by_encrypted_ppid_and_labelled(simulated, world, get):
    for target in (pck_target(world, qe_id=world.hardware.qe_id), pck_target(world, ppid=own_ppid(world))):
        found = get(simulated, target)
        assert found.body.decode() == world.signers.pck.pem
        assert found.headers["SGX-TCBm"].lower() == world.pck_tcbm
        assert found.headers["SGX-FMSPC"] == world.fmspc
        assert found.headers["SGX-PCK-Certificate-CA-Type"] == "platform"
        chain = decode_chain(found.headers["SGX-PCK-Certificate-Issuer-Chain"])
        assert chain == world.signers.pck_ca.pem + world.signers.root.pem


def test_another_machine_or_a_lower_tcb_gets_no_certificate_and_a_higher_one_does(simulated, world, get):
    hardware = world.hardware
    higher = bytes(min(svn + 1, 255) for svn in hardware.cpu_svn)
    lower = bytes([hardware.cpu_svn[0] - 1]) + hardware.cpu_svn[1:]
    assert get(simulated, pck_target(world, qe_id=bytes(16))) is None
    assert get(simulated, pck_target(world, ppid=bytes(384))) is None
    assert get(simulated, pck_target(world, qe_id=hardware.qe_id, cpu_svn=lower)) is None
    assert get(simulated, pck_target(world, qe_id=hardware.qe_id, pce_svn=hardware.pce_svn - 1)) is None
    found = get(simulated, pck_target(world, qe_id=hardware.qe_id, cpu_svn=higher))
    assert found.headers["SGX-TCBm"].lower() == world.pck_tcbm


def test_all_certificates_of_a_machine_come_as_a_list(simulated, world, get):
    found = json.loads(get(simulated, pck_target(world, ppid=own_ppid(world), kind="pckcerts")).body)
    assert [each["tcbm"].lower() for each in found] == [world.pck_tcbm]
    assert found[0]["tcb"]["sgxtcbcomp01svn"] == world.hardware.components[0]
    assert found[0]["tcb"]["pcesvn"] == world.hardware.pce_svn


def test_a_chain_in_a_collateral_file_serves_its_exact_tcb_alone(tmp_path, world, now, get):
    (tmp_path / f"{world.fmspc}.json").write_text(world.collateral_with_chain(now).to_json())
    files = pccs.Files(tmp_path)
    assert get(files, pck_target(world, qe_id=bytes(16))).body.decode() == world.signers.pck.pem
    higher = bytes(min(svn + 1, 255) for svn in world.hardware.cpu_svn)
    assert get(files, pck_target(world, qe_id=bytes(16), cpu_svn=higher)) is None


def test_collateral_files_are_served_as_they_are_and_a_change_is_seen(tmp_path, world, now, get):
    from datetime import timedelta

    path = tmp_path / f"{world.fmspc}.json"
    first, second = world.collateral(now - timedelta(days=1)), world.collateral(now)
    path.write_text(first.to_json())
    files = pccs.Files(tmp_path)
    target = f"/sgx/certification/v4/tcb?fmspc={world.fmspc}"
    assert first.tcb_info.encode() in get(files, target).body
    (tmp_path / "draft").write_text(second.to_json())
    (tmp_path / "draft").replace(path)
    assert second.tcb_info.encode() in get(files, target).body
    path.unlink()
    assert get(files, target) is None


def test_a_file_that_goes_bad_leaves_what_was_read_before_and_a_line_in_the_log(tmp_path, world, now, get, caplog):
    path = tmp_path / f"{world.fmspc}.json"
    path.write_text(world.collateral(now).to_json())
    files = pccs.Files(tmp_path)
    path.write_text("garbled")
    assert get(files, f"/sgx/certification/v4/tcb?fmspc={world.fmspc}").status == 200
    assert "went bad" in caplog.text
    with pytest.raises(FolderUnusable) as refusal:
        pccs.Files(tmp_path)
    assert refusal.value.code == "SR-PCCS-FOLDER"


def test_the_newest_of_several_revocation_lists_and_identities_is_served(tmp_path, world, now, get):
    from datetime import timedelta

    old, new = world.collateral(now - timedelta(days=5)), world.collateral(now)
    (tmp_path / "F00000000001.json").write_text(old.to_json())
    (tmp_path / "F00000000000.json").write_text(new.to_json())
    files = pccs.Files(tmp_path)
    assert get(files, "/sgx/certification/v4/rootcacrl").body.decode().lower() == new.root_ca_crl.lower()
    assert new.qe_identity.encode() in get(files, "/sgx/certification/v4/qe/identity").body


def test_collateral_is_made_again_when_it_has_had_its_hour(stock, world, now, get):
    from datetime import timedelta

    moments = [now, now, now + timedelta(minutes=59), now + timedelta(minutes=61), now]
    made = pccs.Made(stock, clock=lambda: moments.pop(0))
    target = f"/sgx/certification/v4/tcb?fmspc={world.fmspc}"
    first, same, later, back = (get(made, target).body for _ in range(4))
    assert first == same
    assert later != first
    assert back != later  # a clock that went back is no reason to serve what is not valid yet


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"tcb_info_json": 1}', b'{"tcb_info_json": "{}", "issuer_chain": ""}',
     b'{"crl_data": "nonsense"}', b'{"crl_data_base64": "%%"}', b'{"pck_certificate": "x", "issuer_chain": "y"}',
     b'{"tcb_info_json": "{\\"tcbInfo\\": {\\"version\\": true}}"}'],
)  # fmt: skip
def test_a_file_that_wraps_no_answer_is_named(tmp_path, content):
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(FolderUnusable, match=r"odd\.json"):
        pccs.Recorded(tmp_path)


def test_unusable_parts_have_codes_of_their_own(world):
    with pytest.raises(DocumentUnusable) as refusal:
        Document.read(b'{"tcbInfo": {}}', "")
    assert refusal.value.code == "SR-PCCS-DOCUMENT"
    with pytest.raises(CrlUnusable) as refusal:
        read_crl(b"0", "")
    assert refusal.value.code == "SR-PCCS-CRL"
    with pytest.raises(PckCertificateUnusable) as refusal:
        leaf_and_chain(world.signers.pck.pem)
    assert refusal.value.code == "SR-PCK-CERTIFICATE"
    with pytest.raises(PckCertificateUnusable):
        pccs.PckCertificate.read(world.signers.root.pem, world.signers.root.pem)
