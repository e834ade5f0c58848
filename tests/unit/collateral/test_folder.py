"""Collateral from a folder: found by FMSPC, read again after a change, and a next step where it is missing."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import CollateralUnreadable, Tee, parse_quote
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.collateral import CollateralUnavailable, Folder
from strongroom.collateral.folder import file_name
from strongroom.platforms.simulated import EnclaveIdentity, TdIdentity, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="module")
def quote(world):
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    return parse_quote(world.quote(identity, bytes(64)))


@pytest.fixture
def folder(tmp_path, world):
    (tmp_path / "trust" / "collateral").mkdir(parents=True)
    (tmp_path / "trust" / "collateral" / f"{world.fmspc}.json").write_text(world.collateral(NOW).to_json())
    return tmp_path / "trust" / "collateral"


def test_collateral_comes_back_as_it_was_written(folder, quote, world):
    found = Folder(folder).collateral_for(quote)
    assert found.to_json() == (folder / f"{world.fmspc}.json").read_text()


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(folder, quote, world):
    source = Folder(folder)
    first = source.collateral_for(quote)
    assert source.collateral_for(quote) is first
    renewed = world.collateral(NOW + timedelta(days=1))
    (folder / "draft").write_text(renewed.to_json())
    (folder / "draft").replace(folder / f"{world.fmspc}.json")
    assert source.collateral_for(quote) == renewed


def test_a_removed_file_is_missed_at_once(folder, quote, world):
    source = Folder(folder)
    source.collateral_for(quote)
    (folder / f"{world.fmspc}.json").unlink()
    with pytest.raises(CollateralUnavailable):
        source.collateral_for(quote)


def test_what_is_missing_is_said_with_fmspc_place_and_next_step(tmp_path, quote, world):
    with pytest.raises(CollateralUnavailable, match=world.fmspc) as refusal:
        Folder(tmp_path / "trust" / "collateral").collateral_for(quote)
    assert refusal.value.code == "SR-COLLATERAL-UNAVAILABLE"
    assert str(tmp_path / "trust" / "collateral" / f"{world.fmspc}.json") in refusal.value.sentence
    assert f"--out {tmp_path / 'trust'}" in refusal.value.fix


def test_a_path_that_cannot_be_read_is_said_with_its_reason(tmp_path, quote, world):
    (tmp_path / f"{world.fmspc}.json").mkdir()
    with pytest.raises(CollateralUnavailable, match="cannot be read"):
        Folder(tmp_path).collateral_for(quote)


def test_the_platform_family_of_a_real_quote_is_asked_for_by_its_file_name(tmp_path, shared_vectors):
    real = parse_quote((shared_vectors / "dcap" / "quotes" / real_quote(shared_vectors)).read_bytes())
    with pytest.raises(CollateralUnavailable, match="looked for") as refusal:
        Folder(tmp_path).collateral_for(real)
    assert "sim collateral" not in refusal.value.fix


def real_quote(shared_vectors):
    import json

    index = json.loads((shared_vectors / "dcap" / "index.json").read_text())
    entry = next(each for each in index["vectors"] if each["kind"] == "real" and each["tee"] == "SGX")
    return entry["quote"].removeprefix("quotes/")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff\xfe", b'{"tcb_info": 1}', b"{" * 5000, b" " * (MAX_COLLATERAL_FILE_BYTES + 1)],
    ids=["empty", "no keys", "list", "not UTF-8", "wrong type", "deep", "huge"],
)
def test_a_garbled_file_is_refused(folder, quote, world, content):
    (folder / f"{world.fmspc}.json").write_bytes(content)
    with pytest.raises(CollateralUnreadable, match=world.fmspc):
        Folder(folder).collateral_for(quote)


def test_a_garbled_file_does_not_replace_what_was_read_before_silently(folder, quote, world):
    source = Folder(folder)
    source.collateral_for(quote)
    path = folder / f"{world.fmspc}.json"
    path.write_bytes(b"garbled")
    os.utime(path, ns=(1, 1))
    with pytest.raises(CollateralUnreadable):
        source.collateral_for(quote)


def test_a_machine_has_one_file_for_each_tee(tmp_path, world, quote):
    domain = parse_quote(world.quote(TdIdentity(mr_td=bytes(48)), bytes(64)))
    with pytest.raises(CollateralUnavailable, match=r"-tdx\.json"):
        Folder(tmp_path).collateral_for(domain)
    for tee in Tee:
        (tmp_path / file_name(world.fmspc, tee)).write_text(world.collateral(NOW, tee=tee).to_json())
    source = Folder(tmp_path)
    assert '"id":"TDX"' in source.collateral_for(domain).tcb_info
    assert '"id":"SGX"' in source.collateral_for(quote).tcb_info
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [f"{world.fmspc}-tdx.json", f"{world.fmspc}.json"]
