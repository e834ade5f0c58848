"""What a measurement covers: everything that decides what runs, and nothing that does not."""

import hashlib
import os
import shutil

import pytest

from strongroom.gramine import manifest
from strongroom.platforms.simulated import LaunchFileUnusable, TrustedFileChanged, measure

SIGNER = bytes(range(32))


@pytest.fixture
def base(tmp_path):
    (tmp_path / "app").write_bytes(b"#!program")
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    (tmp_path / "lib" / "a.py").write_text("a = 1")
    (tmp_path / "lib" / "deep" / "b.py").write_text("b = 1")
    return tmp_path


FULL = """
libos.entrypoint = "app"
loader.argv = ["app", "--port", "8500"]
loader.env.MODE = "strict"
loader.env.TZ = { passthrough = true }
sgx.trusted_files = ["file:model.bin", "file:lib/"]
"""


def mr_enclave(base, text=FULL, environ=None):
    return measure(manifest.parse(text), base, environ or {}, mr_signer=SIGNER).mr_enclave


def test_sa_05_the_same_launch_has_the_same_measurement_wherever_it_lies(base, tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(base, copy)
    for path in [copy, *copy.rglob("*")]:
        os.utime(path, (0, 0))
    assert mr_enclave(base) == mr_enclave(copy)
    assert len(mr_enclave(base)) == 32


def test_the_listing_is_the_documented_one(base):
    """An independent construction of the listing, so that a change of it cannot go unnoticed."""

    def sha(data):
        return hashlib.sha256(data).digest()

    def section(title, rows):
        return [title, len(rows).to_bytes(8, "little"), *(field for row in rows for field in row)]

    items = [
        *section(b"entrypoint", [(b"app", sha(b"#!program"))]),
        *section(b"argv", [(b"app",), (b"--port",), (b"8500",)]),
        *section(b"environment", [(b"MODE", b"strict"), (b"TZ", b"UTC")]),
        *section(b"trusted files", [
            (b"file:lib/a.py", sha(b"a = 1")), (b"file:lib/deep/b.py", sha(b"b = 1")),
            (b"file:model.bin", sha(b"weights")),
        ]),
    ]  # fmt: skip
    framed = b"".join(len(item).to_bytes(8, "little") + item for item in items)
    assert mr_enclave(base, environ={"TZ": "UTC"}) == sha(b"strongroom simulated enclave v1" + framed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"8500"', '"8501"'),
        (', "8500"', ""),
        ('"--port", "8500"', '"--port 8500"'),
        ('MODE = "strict"', 'MODE = "loose"'),
        ("loader.env.MODE", "loader.env.MODES"),
        ('loader.env.MODE = "strict"', ""),
        ('"file:model.bin", ', ""),
        ("file:model.bin", "file:./model.bin"),
        ('libos.entrypoint = "app"', 'libos.entrypoint = "./app"'),
    ],
)
def test_id_05_a_changed_line_changes_the_identity(base, old, new):
    assert old in FULL
    assert mr_enclave(base, FULL.replace(old, new)) != mr_enclave(base)


@pytest.mark.parametrize("name", ["app", "model.bin", "lib/a.py", "lib/deep/b.py"])
def test_id_08_one_changed_byte_of_a_file_changes_the_identity(base, name):
    before = mr_enclave(base)
    content = bytearray((base / name).read_bytes())
    content[0] ^= 1
    (base / name).write_bytes(content)
    assert mr_enclave(base) != before


def test_an_added_renamed_or_removed_file_changes_the_identity(base):
    seen = {mr_enclave(base)}
    (base / "lib" / "c.py").touch()
    seen.add(mr_enclave(base))
    (base / "lib" / "c.py").rename(base / "lib" / "d.py")
    seen.add(mr_enclave(base))
    (base / "lib" / "deep" / "b.py").unlink()
    seen.add(mr_enclave(base))
    assert len(seen) == 4


def test_id_07_a_passed_variable_counts_with_its_value_and_an_absent_one_does_not(base):
    without = FULL.replace("loader.env.TZ = { passthrough = true }", "")
    assert mr_enclave(base, environ={"TZ": "UTC"}) != mr_enclave(base, environ={"TZ": "CET"})
    assert mr_enclave(base, environ={"TZ": "UTC"}) != mr_enclave(base)
    assert mr_enclave(base) == mr_enclave(base, without)


def test_id_07_what_is_not_declared_is_neither_measured_nor_passed(base):
    found = measure(manifest.parse(FULL), base, {"LD_PRELOAD": "evil.so", "TZ": "UTC"}, mr_signer=SIGNER)
    assert dict(found.environment) == {"MODE": "strict", "TZ": "UTC"}
    assert found.mr_enclave == mr_enclave(base, environ={"TZ": "UTC"})


def test_debug_product_and_version_are_not_part_of_the_measurement(base):
    found = measure(
        manifest.parse(FULL + "sgx.debug = true\nsgx.isvprodid = 5\nsgx.isvsvn = 6"), base, {}, mr_signer=SIGNER
    )
    assert found.mr_enclave == mr_enclave(base)
    identity = found.identity
    assert (identity.debug, identity.isv_prod_id, identity.isv_svn, identity.mr_signer) == (True, 5, 6, SIGNER)


def test_order_of_trusted_files_and_a_file_listed_twice_make_no_difference(base):
    swapped = FULL.replace('"file:model.bin", "file:lib/"', '"file:lib/", "file:lib/a.py", "file:model.bin"')
    assert mr_enclave(base, swapped) == mr_enclave(base)


def test_caches_of_compiled_code_are_left_out(base):
    before = mr_enclave(base)
    (base / "lib" / "__pycache__").mkdir()
    (base / "lib" / "__pycache__" / "a.pyc").write_bytes(b"compiled")
    assert mr_enclave(base) == before


def test_a_given_hash_holds_or_the_launch_is_refused(base):
    digest = hashlib.sha256(b"weights").hexdigest()
    pinned = FULL.replace('"file:model.bin"', f'{{ uri = "file:model.bin", sha256 = "{digest.upper()}" }}')
    assert mr_enclave(base, pinned) == mr_enclave(base)
    (base / "model.bin").write_bytes(b"Weights")
    with pytest.raises(TrustedFileChanged, match=digest) as refusal:
        mr_enclave(base, pinned)
    assert refusal.value.code == "SR-TRUSTED-FILE-CHANGED"
    assert hashlib.sha256(b"Weights").hexdigest() in refusal.value.sentence


def test_a_link_to_a_file_counts_with_what_it_leads_to(base, tmp_path_factory):
    target = tmp_path_factory.mktemp("elsewhere") / "target"
    target.write_text("one")
    (base / "lib" / "link").symlink_to(target)
    before = mr_enclave(base)
    target.write_text("two")
    assert mr_enclave(base) != before


def test_a_link_to_a_measured_directory_counts_and_one_that_leads_out_is_refused(base, tmp_path_factory):
    before = mr_enclave(base)
    (base / "lib" / "alias").symlink_to("deep")
    assert mr_enclave(base) != before
    (base / "lib" / "alias").unlink()
    (base / "lib" / "alias").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(LaunchFileUnusable, match="leads out"):
        mr_enclave(base)


@pytest.mark.parametrize(
    "line",
    ['["file:missing"]', '["file:missing/"]', '["file:lib"]', '["file:app/"]', '["file:pipe"]', '["file:loop"]',
     '["file:holey/"]', '["file:' + "x" * 300 + '"]'],
)  # fmt: skip
def test_files_that_cannot_be_measured_are_refused(base, line):
    os.mkfifo(base / "pipe")
    (base / "loop").symlink_to("loop")
    (base / "holey").mkdir()
    (base / "holey" / "dangling").symlink_to("nowhere")
    text = f'libos.entrypoint = "app"\nsgx.trusted_files = {line}'
    with pytest.raises(LaunchFileUnusable) as refusal:
        mr_enclave(base, text)
    assert refusal.value.code == "SR-LAUNCH-FILE"


def test_a_missing_entrypoint_is_refused(base):
    with pytest.raises(LaunchFileUnusable, match="nowhere"):
        mr_enclave(base, 'libos.entrypoint = "nowhere"')
