"""Opening a bundle that an operator kept: complete, unchanged, the right one, or refused by name."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom import sealing
from strongroom.bundles import open_ssl_config, seal_ssl_config
from strongroom.bundles.manifest import BundleManifest, sign
from strongroom.errors import StrongroomError
from strongroom.pki import ssl_cfg
from strongroom.pki.authority import Authority
from strongroom.secret import Secret


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


def test_an_open_bundle_reads_in_memory(opening, model_dir):
    bundle = opening()
    assert bundle.read("model.onnx") == (model_dir / "model.onnx").read_bytes()
    assert bundle.read("assets/labels.txt") == b"a tabby cat\na golden retriever\n"
    with bundle.open("weights.bin") as reader:
        reader.seek(400_000)
        assert reader.read(64) == (model_dir / "weights.bin").read_bytes()[400_000:400_064]


def test_only_the_manifests_files_can_be_read(opening):
    for path in ("nothing", "bundle.json", "../1/model.onnx", "/etc/passwd", ""):
        refused(lambda path=path: opening().read(path), "SR-BUNDLE-NO-FILE")


def test_another_owner_is_refused(opening):
    other = Ed25519PrivateKey.generate().public_key()
    refused(lambda: opening(owner=other), "SR-BUNDLE-SIGNATURE")


@pytest.mark.parametrize(
    "change", [lambda m: m.replace(b'"version":1', b'"version":2'), lambda m: m + b" ", lambda _: b""]
)
def test_a_changed_manifest_is_refused(change, bundle_dir, opening):
    path = bundle_dir / "bundle.json"
    path.write_bytes(change(path.read_bytes()))
    refused(opening, "SR-BUNDLE-SIGNATURE")


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64)])
def test_a_bad_signature_is_refused(signature, bundle_dir, opening):
    (bundle_dir / "bundle.sig").write_bytes(signature)
    refused(opening, "SR-BUNDLE-SIGNATURE")


@pytest.mark.parametrize("name", ["bundle.sig", "bundle.json"])
def test_files_longer_than_any_manifest_are_refused(name, bundle_dir, opening):
    (bundle_dir / name).write_bytes(bytes(8 * 1024 * 1024 + 1))
    refused(opening, "SR-BUNDLE-MALFORMED")


def test_the_signature_of_other_bytes_of_the_owner_is_refused(bundle_dir, opening, signer):
    path = bundle_dir / "bundle.sig"
    path.write_bytes(signer.sign((bundle_dir / "bundle.json").read_bytes()))  # without the domain
    refused(opening, "SR-BUNDLE-SIGNATURE")


@pytest.mark.parametrize(("name", "version"), [("resnet50", 2), ("resnet5", 1), ("", 1)])
def test_t11_a_bundle_of_another_name_or_version_is_refused(name, version, opening):
    refused(lambda: opening(name=name, version=version), "SR-BUNDLE-OTHER")


def test_a_model_moved_to_another_names_place_is_refused(publishing, opening, tmp_path):
    publishing(name="other")
    refused(lambda: opening(folder=tmp_path / "models/other/1"), "SR-BUNDLE-OTHER")


@pytest.mark.parametrize("name", ["model.onnx", "weights.bin", "assets/labels.txt"])
def test_kd_10_a_missing_file_is_refused(name, bundle_dir, opening):
    (bundle_dir / name).unlink()
    assert name in refused(opening, "SR-BUNDLE-INCOMPLETE").sentence


@pytest.mark.parametrize("name", ["bundle.json", "bundle.sig"])
def test_kd_10_a_folder_without_a_manifest_is_no_bundle(name, bundle_dir, opening):
    (bundle_dir / name).unlink()
    refused(opening, "SR-NOT-A-BUNDLE")


def test_kd_10_no_order_of_uploading_opens_before_the_last_file(bundle_dir, opening, tmp_path):
    names = sorted(path.relative_to(bundle_dir).as_posix() for path in bundle_dir.rglob("*") if path.is_file())
    for shift in range(len(names)):
        target = tmp_path / f"upload-{shift}"
        for count, name in enumerate(names[shift:] + names[:shift], 1):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bundle_dir / name, target / name)
            if count < len(names):
                with pytest.raises(StrongroomError):
                    opening(folder=target)
        assert opening(folder=target).read("model.onnx")


def test_kd_10_a_half_uploaded_file_is_refused(bundle_dir, opening):
    data = (bundle_dir / "weights.bin").read_bytes()
    for length in (0, 4096, len(data) - 4096, len(data) + 4096):
        (bundle_dir / "weights.bin").write_bytes(data[:length].ljust(length, b"\0"))
        refused(opening, "SR-BUNDLE-INCOMPLETE")


@pytest.mark.parametrize("kind", ["file", "hidden file", "empty folder", "link", "deep folder", "fifo"])
def test_an_extra_entry_is_refused(kind, bundle_dir, opening):
    place = bundle_dir / "assets" / "extra"
    if kind == "file":
        place.write_text("x")
    elif kind == "hidden file":
        (bundle_dir / ".extra").write_text("x")
    elif kind == "empty folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(bundle_dir / "model.onnx")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.joinpath(*["d"] * 40).mkdir(parents=True)
    refused(opening, "SR-BUNDLE-INCOMPLETE")


def test_a_link_in_place_of_a_file_is_refused(bundle_dir, opening, tmp_path):
    shutil.move(bundle_dir / "model.onnx", tmp_path / "elsewhere")
    (bundle_dir / "model.onnx").symlink_to(tmp_path / "elsewhere")
    refused(opening, "SR-BUNDLE-INCOMPLETE")


def test_kd_09_a_file_of_another_publication_under_the_same_key_is_refused(publishing, bundle_dir, opening, tmp_path):
    publishing(target=tmp_path / "yesterday")
    shutil.copy(tmp_path / "yesterday/resnet50/1/weights.bin", bundle_dir / "weights.bin")
    with pytest.raises(sealing.WrongPin):
        opening()


def test_t11_swapped_files_are_refused(bundle_dir, model_dir, publishing, opening, tmp_path):
    (model_dir / "weights2.bin").write_bytes(b"w" + os.urandom(499_999))
    publishing(version=2)
    folder = tmp_path / "models/resnet50/2"
    first, second = (folder / "weights.bin").read_bytes(), (folder / "weights2.bin").read_bytes()
    (folder / "weights.bin").write_bytes(second)
    (folder / "weights2.bin").write_bytes(first)
    with pytest.raises(sealing.WrongPin):
        opening(folder=folder, version=2)


def test_a_file_swapped_after_opening_is_refused(publishing, bundle_dir, opening, tmp_path):
    bundle = opening()
    publishing(target=tmp_path / "yesterday")
    shutil.copy(tmp_path / "yesterday/resnet50/1/weights.bin", bundle_dir / "weights.bin")
    with pytest.raises(sealing.WrongPin):
        bundle.read("weights.bin")


def test_kd_05_one_flipped_byte_gives_no_plaintext(bundle_dir, opening):
    data = bytearray((bundle_dir / "weights.bin").read_bytes())
    data[3 * 4096 + 5] ^= 1
    (bundle_dir / "weights.bin").write_bytes(data)
    bundle = opening()
    with pytest.raises(sealing.DataTampered):
        bundle.read("weights.bin")


def test_kd_12_and_fb_21_another_key_than_the_versions_own_opens_nothing(opening):
    error = refused(lambda: opening(key=Secret(os.urandom(16))), "SR-BUNDLE-KEY")
    assert error.exit_status == 3


def test_kd_02_the_published_key_is_refused(opening):
    refused(lambda: opening(key=Secret(bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"))), "SR-WEAK-KEY")


MALFORMED = {
    "another format": {"format": 2},
    "format as text": {"format": "1"},
    "no name": {"name": None},
    "a name with a path": {"name": "../x"},
    "version zero": {"version": 0},
    "version true": {"version": True},
    "a fraction": {"version": 1.5},
    "another engine": {"engine": "magic"},
    "no files": {"files": []},
    "files as object": {"files": {}},
    "a wrong count": {"complete": {"bytes": 1, "files": 3}},
    "an unknown word": {"extra": 1},
    "a time of another form": {"created": "yesterday"},
    "publication too short": {"publication": "ab"},
    "signatures as list": {"signatures": []},
    "a signature without outputs": {"signatures": {"s": {"inputs": {}}}},
    "a shape of text": {"signatures": {"s": {"inputs": {"x": {"dtype": "f", "shape": ["a"]}}, "outputs": {}}}},
    "too deep": {"signatures": [[[[[[[[[[]]]]]]]]]]},
}


def signed(bundle_dir, signer, data):
    (bundle_dir / "bundle.json").write_bytes(data)
    (bundle_dir / "bundle.sig").write_bytes(sign(data, signer))


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("case", MALFORMED)
def test_even_a_signed_manifest_must_follow_the_format(case, bundle_dir, opening, signer):
    value = json.loads((bundle_dir / "bundle.json").read_bytes()) | MALFORMED[case]
    signed(bundle_dir, signer, canonical({name: part for name, part in value.items() if part is not None}))
    refused(opening, "SR-BUNDLE-MALFORMED")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../b", "a//b", "./a", ".a", "", "a\\b", "bundle.sig", "a\0b", "\ud800", "a/" * 16 + "b"],
)
def test_kd_20_even_a_signed_manifest_cannot_name_a_path_outside(path, bundle_dir, opening, signer):
    value = json.loads((bundle_dir / "bundle.json").read_bytes())
    value["files"][0]["path"] = path
    value["files"].sort(key=lambda entry: entry["path"])
    signed(bundle_dir, signer, canonical(value))
    refused(opening, "SR-BUNDLE-MALFORMED")


@pytest.mark.parametrize(
    "change", [{"size": -1}, {"sealed_size": 0}, {"pin": "00"}, {"pin": "A" * 64}, {"pin": 7}, {"size": "1"}]
)
def test_even_a_signed_entry_must_follow_the_format(change, bundle_dir, opening, signer):
    value = json.loads((bundle_dir / "bundle.json").read_bytes())
    value["files"][0] |= change
    signed(bundle_dir, signer, canonical(value))
    refused(opening, "SR-BUNDLE-MALFORMED")


@pytest.mark.parametrize(
    "spell", [json.dumps, lambda v: json.dumps(v, indent=1), lambda v: canonical(v).decode().strip()]
)
def test_another_spelling_is_refused(spell, bundle_dir, opening, signer):
    signed(bundle_dir, signer, spell(json.loads((bundle_dir / "bundle.json").read_bytes())).encode())
    refused(opening, "SR-BUNDLE-MALFORMED")


def test_files_out_of_order_or_twice_are_refused(bundle_dir, opening, signer):
    manifest = BundleManifest.parse((bundle_dir / "bundle.json").read_bytes())
    for files in (manifest.files[::-1], manifest.files[:1] + manifest.files):
        signed(bundle_dir, signer, replace(manifest, files=files).render())
        refused(opening, "SR-BUNDLE-MALFORMED")


@pytest.fixture
def config(now):
    authority = Authority.create("CA", now=now)
    leaf = authority.issue_server(["localhost"], now=now)
    return ssl_cfg.make(server_key=leaf.key_pem, server_cert=leaf.certificate_pem, custom_ca=authority.certificate_pem,
                        client_verify=True)  # fmt: skip


def test_an_ssl_config_travels_sealed_for_one_version(config, key, tmp_path):
    path = tmp_path / "out/ssl.cfg"
    seal_ssl_config(config, path, name="m", version=1, key=key, entropy=os.urandom)
    assert open_ssl_config(path, name="m", version=1, key=key) == config
    assert b"PRIVATE KEY" not in path.read_bytes()
    assert sealing.unseal_bytes(path.read_bytes(), key, stored_path="ssl/m/1/ssl.cfg").startswith(b"server_key: '")
    for name, version in (("m", 2), ("n", 1)):
        with pytest.raises(sealing.WrongPath):
            open_ssl_config(path, name=name, version=version, key=key)
    with pytest.raises(sealing.WrongKeyOrTampered):
        open_ssl_config(path, name="m", version=1, key=Secret(os.urandom(16)))


def test_a_sealed_ssl_config_is_never_overwritten(config, key, tmp_path):
    seal_ssl_config(config, tmp_path / "ssl.cfg", name="m", version=1, key=key, entropy=os.urandom)
    action = lambda: seal_ssl_config(config, tmp_path / "ssl.cfg", name="m", version=2, key=key, entropy=os.urandom)  # noqa: E731
    refused(action, "SR-ALREADY-THERE")


def test_a_sealed_ssl_config_needs_a_models_name(config, key, tmp_path):
    action = lambda: seal_ssl_config(config, tmp_path / "s", name="../m", version=1, key=key, entropy=os.urandom)  # noqa: E731
    refused(action, "SR-MODEL-NAME")
