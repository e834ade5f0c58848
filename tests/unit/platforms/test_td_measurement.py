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


def measured(base, text=FULL):
    return measure_td(manifest.parse(text), base, {}).identity


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
    names = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]
    pairs = zip(names, (first.mr_td, *first.rtmrs), (second.mr_td, *second.rtmrs), strict=True)
    return [name for name, one, two in pairs if one != two]


@pytest.mark.parametrize(
    ("old", "new", "moves"),
    [
        ('"8500"', '"8501"', ["mr_td", "rtmr2"]),
        ('MODE = "strict"', 'MODE = "loose"', ["mr_td", "rtmr2"]),
        ('["file:model.bin"]', "[]", ["mr_td", "rtmr3"]),
        ("sgx.isvsvn = 0x0103", "sgx.isvsvn = 4", ["rtmr0"]),
        ("sgx.isvprodid = 2", "sgx.isvprodid = 3", ["rtmr0"]),
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


def test_a_register_has_been_extended_once(base):
    framed = b"".join(len(item).to_bytes(8, "little") + item for item in (b"\x02\0", b"\x03\x01"))
    digest = hashlib.sha384(b"strongroom simulated trust domain v1" + framed).digest()
    assert measured(base).rtmrs[0] == hashlib.sha384(bytes(48) + digest).digest()


def test_what_most_real_domains_leave_zero_is_zero(base):
    identity = measured(base)
    assert identity.mr_owner == identity.mr_owner_config == identity.mr_config_id == bytes(48)


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
    found = measure_td(manifest.parse(FULL), base, {})
    report = found.identity.report(world.hardware, bytes(64)).to_json_object()
    printed = found.to_json_object()
    assert printed.pop("debug") is False
    assert printed == {name: report[name] for name in printed}
    assert list(printed)[:5] == ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]
