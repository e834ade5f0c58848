"""The `sim` commands: what they print and write, and how they refuse."""

import functools
import json
import re
import stat
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, parse_quote, verify
from strongroom.cli import main
from strongroom.collateral import Folder
from strongroom.platforms import simulated
from strongroom.platforms.simulated import EnclaveIdentity, TdIdentity, World

BESIDE = "--beside-real-tee"  # the machine that runs the tests may have one


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "world"


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "app").write_text("#!/bin/sh\n")
    path = tmp_path / "app.manifest"
    path.write_text('libos.entrypoint = "app"\nsgx.isvprodid = 3\nsgx.isvsvn = 7\n')
    return path


def judge(trust, world, at=None):
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    quote = world.quote(identity, bytes(64))
    anchor = Anchor.from_certificate((trust / "anchors" / "simulated.der").read_bytes())
    collateral = Folder(trust / "collateral").collateral_for(parse_quote(quote))
    return verify(quote, collateral, anchors=[anchor], at=at or datetime.now(UTC))


def test_init_makes_a_world_and_says_how_to_name_it(folder, capsys):
    assert main(["sim", "init", str(folder), BESIDE, "--json"]) == 0
    out, err = capsys.readouterr()
    world = World.open(folder)
    assert json.loads(out) == {
        "folder": str(folder), "fmspc": world.fmspc, "root_key_id": world.root_key_id,
        "mr_signer": world.mr_signer.hex(),
    }  # fmt: skip
    assert "NOT A TEE" in err


def test_init_takes_the_folder_by_the_name_that_the_other_commands_use(folder, capsys):
    assert main(["sim", "init", "--world", str(folder), BESIDE]) == 0
    assert World.open(folder)


def test_init_keeps_an_existing_world(folder, capsys):
    assert main(["sim", "init", str(folder), BESIDE]) == 0
    before = World.open(folder).root_key_id
    assert main(["sim", "init", str(folder), BESIDE]) == 2
    assert "SR-WORLD-UNUSABLE" in capsys.readouterr().err
    assert World.open(folder).root_key_id == before


def test_the_default_world_lies_below_the_users_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["sim", "init", BESIDE]) == 0
    assert World.open(tmp_path / "strongroom" / "simulated-platform")
    assert f"folder: {tmp_path}/strongroom/simulated-platform\n" in capsys.readouterr().out


def test_measure_prints_the_four_lines_that_gramine_users_know(folder, manifest, capsys):
    assert main(["sim", "measure", str(manifest), "--world", str(folder), BESIDE]) == 0
    out = capsys.readouterr().out
    world = World.open(folder)
    assert re.fullmatch(
        rf"mr_enclave: [0-9a-f]{{64}}\nmr_signer: {world.mr_signer.hex()}\nisv_prod_id: 3\nisv_svn: 7\n", out
    )


def test_measure_prints_the_same_for_machines(folder, manifest, capsys):
    main(["sim", "measure", str(manifest), "--world", str(folder), BESIDE])
    lines = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    main(["sim", "measure", str(manifest), "--world", str(folder), BESIDE, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found.pop("debug") is False
    assert {name: str(value) for name, value in found.items()} == lines


def test_measure_says_that_debug_will_be_refused(folder, manifest, capsys):
    manifest.write_text('libos.entrypoint = "app"\nsgx.debug = true\n')
    assert main(["sim", "measure", str(manifest), "--world", str(folder), BESIDE]) == 0
    assert "refuse debug builds" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff", b"#" * (1024 * 1024 + 1)], ids=["not UTF-8", "huge"])
def test_a_manifest_that_is_no_text_is_refused(folder, manifest, capsys, content):
    manifest.write_bytes(content)
    assert main(["sim", "measure", str(manifest), "--world", str(folder), BESIDE]) == 2
    assert "SR-MANIFEST-FILE" in capsys.readouterr().err
    assert not folder.exists(), "a world was made for nothing"


def test_a_manifest_that_is_not_there_is_one_sentence(folder, tmp_path, capsys):
    assert main(["sim", "run", str(tmp_path / "none"), "--world", str(folder), BESIDE]) == 2
    assert "SR-FILE" in capsys.readouterr().err


def test_an_insecure_manifest_is_refused_as_policy_refuses(folder, manifest, capsys):
    manifest.write_text('libos.entrypoint = "app"\nloader.insecure__use_cmdline_argv = true\n')
    assert main(["sim", "run", str(manifest), "--world", str(folder), BESIDE]) == 3
    assert "SR-MANIFEST-INSECURE" in capsys.readouterr().err


def test_collateral_lands_where_a_workspace_looks_for_it(folder, tmp_path, capsys):
    trust = tmp_path / "workspace" / "trust"
    assert main(["sim", "collateral", "--world", str(folder), "--out", str(trust), BESIDE]) == 0
    world = World.open(folder)
    assert judge(trust, world).status == "UpToDate"
    assert capsys.readouterr().out.splitlines() == [
        str(trust / "anchors" / "simulated.der"),
        str(trust / "collateral" / f"{world.fmspc}.json"),
        str(trust / "collateral" / f"{world.fmspc}-tdx.json"),
    ]
    assert stat.S_IMODE((trust / "anchors").stat().st_mode) == 0o700
    written = [path for path in trust.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in written)


def test_collateral_is_renewed_in_place(folder, tmp_path, capsys):
    command = ["sim", "collateral", "--world", str(folder), "--out", str(tmp_path / "trust"), BESIDE]
    assert main([*command, "--age-days", "31"]) == 0
    with pytest.raises(EvidenceRefused) as refusal:
        judge(tmp_path / "trust", World.open(folder))
    assert refusal.value.reason == "TCB_INFO_EXPIRED"
    assert main(command) == 0
    assert judge(tmp_path / "trust", World.open(folder)).status == "UpToDate"


def test_collateral_rehearses_bad_news(folder, tmp_path, capsys):
    command = ["sim", "collateral", "--world", str(folder), "--out", str(tmp_path / "trust"), BESIDE]
    words = ["--status", "SWHardeningNeeded", "--advisory", "INTEL-SA-1", "--advisory", "INTEL-SA-2",
             "--evaluation-number", "21"]  # fmt: skip
    assert main([*command, *words]) == 0
    verdict = judge(tmp_path / "trust", World.open(folder))
    assert (verdict.status, verdict.advisories) == ("SWHardeningNeeded", ("INTEL-SA-1", "INTEL-SA-2"))
    assert (verdict.tcb_eval, verdict.qe_eval) == (21, 21)
    assert main([*command, "--qe-status", "OutOfDate"]) == 0
    assert judge(tmp_path / "trust", World.open(folder)).qe_status == "OutOfDate"
    assert main([*command, "--revoke", "pck", "--revoke", "pck-ca"]) == 0
    with pytest.raises(EvidenceRefused):
        judge(tmp_path / "trust", World.open(folder))


def test_collateral_counts_for_thirty_days(folder, tmp_path, capsys):
    main(["sim", "collateral", "--world", str(folder), "--out", str(tmp_path / "trust"), BESIDE])
    world, now = World.open(folder), datetime.now(UTC)
    assert judge(tmp_path / "trust", world, at=now + timedelta(days=28)).status == "UpToDate"
    with pytest.raises(EvidenceRefused):
        judge(tmp_path / "trust", world, at=now + timedelta(days=30))


@pytest.mark.parametrize("words", [["--status", "Fine"], ["--revoke", "root"], ["--age-days", "x"]])
def test_unknown_rehearsals_are_misuse(folder, tmp_path, capsys, words):
    assert main(["sim", "collateral", "--world", str(folder), "--out", str(tmp_path), BESIDE, *words]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["init", "measure", "run", "collateral"])
def test_id_13_no_command_starts_beside_a_real_tee_unless_told(manifest, folder, monkeypatch, capsys, verb):
    tmp_path = folder.parent
    (tmp_path / "sgx_enclave").touch()
    guard = functools.partial(simulated.refuse_beside_real_tee, [tmp_path / "sgx_enclave"])
    monkeypatch.setattr(simulated, "refuse_beside_real_tee", guard)
    words = {
        "init": [str(folder)],
        "measure": [str(manifest), "--world", str(folder)],
        "run": [str(manifest), "--world", str(folder)],
        "collateral": ["--world", str(folder), "--out", str(tmp_path / "trust")],
    }[verb]
    assert main(["sim", verb, *words]) == 3
    assert "SR-REAL-TEE" in capsys.readouterr().err
    assert not folder.exists()
    if verb != "run":
        assert main(["sim", verb, *words, BESIDE]) == 0


def test_the_collateral_file_is_what_other_verifiers_read(folder, tmp_path, capsys):
    import dcap_qvl

    main(["sim", "collateral", "--world", str(folder), "--out", str(tmp_path / "trust"), BESIDE])
    text = (tmp_path / "trust" / "collateral" / f"{World.open(folder).fmspc}.json").read_text()
    assert dcap_qvl.QuoteCollateralV3.from_json(text).tcb_info == Collateral.from_json(text).tcb_info


def test_measure_prints_what_a_quote_of_a_trust_domain_will_say(folder, manifest, capsys):
    assert main(["sim", "measure", str(manifest), "--tee", "tdx", "--world", str(folder), BESIDE]) == 0
    lines = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [
        "mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "td_attributes",
    ]  # fmt: skip
    assert {len(bytes.fromhex(value)) for name, value in lines.items() if name != "td_attributes"} == {48}
    main(["sim", "measure", str(manifest), "--tee", "tdx", "--world", str(folder), BESIDE, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found.pop("debug") is False
    assert found == lines


def judge_td(trust, world, mark=""):
    quote = world.quote(TdIdentity(mr_td=bytes(48)), bytes(64))
    anchor = Anchor.from_certificate((trust / "anchors" / "simulated.der").read_bytes())
    text = (trust / "collateral" / f"{world.fmspc}-tdx{mark}.json").read_text()
    return verify(quote, Collateral.from_json(text), anchors=[anchor], at=datetime.now(UTC))


def test_collateral_rehearses_bad_news_about_the_tdx_module(folder, tmp_path, capsys):
    trust = tmp_path / "trust"
    command = ["sim", "collateral", "--world", str(folder), "--out", str(trust), BESIDE]
    assert main([*command, "--module-status", "OutOfDate"]) == 0
    verdict = judge_td(trust, World.open(folder))
    assert (verdict.status, verdict.module_status) == ("OutOfDate", "OutOfDate")
    assert judge(trust, World.open(folder)).status == "UpToDate", "SGX has no such module"


def test_an_early_update_lies_beside_the_standard_one(folder, tmp_path, capsys):
    trust = tmp_path / "trust"
    command = ["sim", "collateral", "--world", str(folder), "--out", str(trust), BESIDE]
    assert main([*command, "--early", "--status", "OutOfDate", "--advisory", "INTEL-SA-1"]) == 0
    world = World.open(folder)
    standard, early = judge_td(trust, world), judge_td(trust, world, "-early")
    assert (standard.status, standard.tcb_eval) == ("UpToDate", 16)
    assert (early.status, early.tcb_eval, early.advisories) == ("OutOfDate", 17, ("INTEL-SA-1",))
    assert judge(trust, world).status == "UpToDate"
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize(
    "words", [["--tee", "tdx", "--quote-version", "3"], ["--relaunch-due"], ["--quote-version", "6"], ["--tee", "sev"]]
)
def test_launches_that_cannot_be_are_misuse(folder, manifest, capsys, words):
    assert main(["sim", "run", str(manifest), "--world", str(folder), BESIDE, *words]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err
    assert not folder.exists()
