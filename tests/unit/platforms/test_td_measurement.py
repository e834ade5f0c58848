"""A trust domain's measurements: mr_td covers the launch, each register its part, and nothing else moves."""

import hashlib

import pytest

from strongroom.attestation import TdAttributes
from strongroom.gramine import manifest
from strongroom.platforms.simulated import LaunchFileUnusable, measure, measure_td

SIGNER = bytes(range(32))
FULL = """
libos.entrypoint = "app"
loader.argv = ["app", "--port", "8500"]
loader.env.MODE = "strict"
sgx.trusted_files = ["file:model.bin"]
sgx.isvprodid = 2
sgx.isvsvn = 0x0103
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / "app").write_bytes(b"#!program")
    (tmp_path / "model.bin").write_bytes(b"weights")
    return tmp_path


def measured(base, text=FULL, signer=SIGNER):
    return measure_td(manifest.parse(text), base, {}, mr_signer=signer).identity


def test_mr_td_is_sha_384_of_the_listing_that_mr_enclave_covers(base):
    def sha(data):
        return hashlib.sha256(data).digest()

    items = [
        b"entrypoint", (1).to_bytes(8, "little"), b"app", sha(b"#!program"),
        b"argv", (3).to_bytes(8, "little"), b"app", b"--port", b"8500",
        b"environment", (1).to_bytes(8, "little"), b"MODE", b"strict",
        b"trusted files", (1).to_bytes(8, "little"), b"file:model.bin", sha(b"weights"),
    ]  # fmt: skip
    framed = b"".join(len(item).to_bytes(8, "little") + item for item in items)
    assert measured(base).mr_td == hashlib.sha384(b"strongroom simulated trust domain v1" + framed).digest()
    enclave = measure(manifest.parse(FULL), base, {}, mr_signer=SIGNER)
    assert enclave.mr_enclave == sha(b"strongroom simulated enclave v1" + framed)


def changed(first, second):
    names = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"]
    moved = [name for name, one, two in zip(names, first.rtmrs, second.rtmrs, strict=True) if one != two]
    return [
        name for name in ("mr_td", "mr_owner", "mr_owner_config") if getattr(first, name) != getattr(second, name)
    ] + moved


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        ('"8500"', '"8501"', ["mr_td", "rtmr2"]),
        ('MODE = "strict"', 'MODE = "loose"', ["mr_td", "rtmr2"]),
        ('["file:model.bin"]', "[]", ["mr_td", "rtmr3"]),
        ("sgx.isvsvn = 0x0103", "sgx.isvsvn = 4", ["mr_owner_config"]),
        ("sgx.isvprodid = 2", "sgx.isvprodid = 3", ["mr_owner_config"]),
    ],
)
def test_each_change_of_the_manifest_shows_in_its_place(base, old, new, moves):
    assert old in FULL
    assert changed(measured(base), measured(base, FULL.replace(old, new))) == moves


@pytest.mark.parametrize(("name", "register"), [("app", "rtmr1"), ("model.bin", "rtmr3")])
def test_id_08_a_changed_file_shows_in_mr_td_and_its_register(base, name, register):
    before = measured(base)
    (base / name).write_bytes(b"changed")
    assert changed(before, measured(base)) == ["mr_td", register]


def test_another_signer_is_another_owner_and_nothing_else(base):
    assert changed(measured(base), measured(base, signer=bytes(32))) == ["mr_owner"]


def test_product_and_security_version_are_the_owners_configuration(base):
    assert measured(base).mr_owner_config == bytes.fromhex("02000301") + bytes(44)


def test_debug_is_an_attribute_and_moves_no_measurement(base):
    plain, debug = measured(base), measured(base, FULL + "sgx.debug = true\n")
    assert changed(plain, debug) == []
    assert plain.attributes == TdAttributes.SEPT_VE_DISABLE
    assert debug.attributes == TdAttributes.SEPT_VE_DISABLE | TdAttributes.DEBUG


def test_a_missing_file_is_refused_as_for_an_enclave(base):
    (base / "model.bin").unlink()
    with pytest.raises(LaunchFileUnusable):
        measured(base)


def test_the_printed_names_are_those_of_quotes(base, world):
    found = measure_td(manifest.parse(FULL), base, {}, mr_signer=SIGNER)
    report = found.identity.report(world.hardware, bytes(64)).to_json_object()
    printed = found.to_json_object()
    assert printed.pop("debug") is False
    assert printed == {name: report[name] for name in printed}
    assert list(printed)[:5] == ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]
