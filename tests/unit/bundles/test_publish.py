"""Publishing: everything sealed, signed and pinned; nothing readable, and nothing at all after a failure."""

import json
import os
import pickle
import socket
import stat
import subprocess
import sys

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from strongroom import sealing
from strongroom.bundles import Signature, TensorSpec, detect, intake, leak_scan, signatures_of
from strongroom.bundles.manifest import BundleManifest
from strongroom.errors import StrongroomError
from strongroom.secret import Secret
from strongroom.tfserving.messages import SavedModel


def refused(action, code):
    with pytest.raises(StrongroomError) as caught:
        action()
    assert caught.value.code == code
    return caught.value.sentence


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_bundle_is_sealed_files_a_manifest_and_a_signature(bundle_dir, key):
    assert files(bundle_dir) == ["assets/labels.txt", "bundle.json", "bundle.sig", "model.onnx", "weights.bin"]
    manifest = BundleManifest.parse((bundle_dir / "bundle.json").read_bytes())
    assert [entry.path for entry in manifest.files] == ["assets/labels.txt", "model.onnx", "weights.bin"]
    for entry in manifest.files:
        assert sealing.pin_file(bundle_dir / entry.path) == entry.pin
        assert (bundle_dir / entry.path).stat().st_size == entry.sealed_size


def test_every_file_is_bound_to_model_version_and_name(bundle_dir, model_dir, key):
    with sealing.open(bundle_dir / "weights.bin", key, stored_path="models/resnet50/1/weights.bin") as reader:
        assert reader.read() == (model_dir / "weights.bin").read_bytes()


def test_a_bundle_can_be_read_by_all_and_is_written_by_none(bundle_dir):
    assert stat.S_IMODE(bundle_dir.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in bundle_dir.rglob("*") if path.is_file()} == {0o644}


def test_kd_01_no_plaintext_and_no_key_is_in_the_output(bundle_dir, model_dir, key):
    written = b"".join(path.read_bytes() for path in bundle_dir.rglob("*") if path.is_file())
    weights = (model_dir / "weights.bin").read_bytes()
    assert not any(weights[start : start + 24] in written for start in range(0, len(weights) - 24, 10_007))
    assert b"golden retriever" not in written
    with key.reveal() as raw:
        assert raw not in written
        assert raw.hex().encode() not in written


def test_the_manifest_says_what_was_published(publishing, now):
    manifest = publishing()
    assert (manifest.name, manifest.version, manifest.engine, manifest.created) == ("resnet50", 1, "onnx", now)
    assert manifest.signatures["serving_default"].inputs["input"].shape == (-1, 3)
    assert len(manifest.publication) == 32


def test_progress_reaches_the_whole(publishing, model_dir):
    seen = []
    publishing(progress=lambda done, total: seen.append((done, total)))
    total = sum(path.stat().st_size for path in model_dir.rglob("*") if path.is_file())
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_t11_a_published_version_never_changes(publishing, bundle_dir):
    before = {name: (bundle_dir / name).read_bytes() for name in files(bundle_dir)}
    refused(publishing, "SR-ALREADY-THERE")
    assert {name: (bundle_dir / name).read_bytes() for name in files(bundle_dir)} == before


@pytest.mark.parametrize("key", [bytes(16), bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")])
def test_kd_02_a_published_or_constant_key_is_refused(key, publishing, tmp_path):
    refused(lambda: publishing(key=Secret(key)), "SR-WEAK-KEY")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "version"),
    [("", 1), ("../x", 1), (".x", 1), ("a/b", 1), ("a b", 1), ("x" * 129, 1), ("a", 0), ("a", -1), ("a", 2**63)],
)
def test_names_that_could_be_paths_are_refused(name, version, publishing):
    refused(lambda: publishing(name=name, version=version), "SR-MODEL-NAME")


def test_odd_metadata_stops_the_publication(publishing, tmp_path):
    odd = {"s": Signature(inputs={"x": TensorSpec(dtype="float32", shape=(-7,))}, outputs={})}
    refused(lambda: publishing(signatures=odd), "SR-BUNDLE-MALFORMED")
    refused(lambda: publishing(engine="magic"), "SR-BUNDLE-MALFORMED")
    assert list((tmp_path / "models/resnet50").iterdir()) == []


def test_publishing_into_the_model_directory_is_refused(publishing, model_dir):
    refused(lambda: publishing(target=model_dir / "out"), "SR-UNPUBLISHABLE")


def der_key(encryption):
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption)


def pem_key():
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


def object_array(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path.read_bytes()


DANGEROUS = {
    "a PEM key under a harmless name": ("notes.txt", lambda _: b"hello\n" + pem_key()),
    "a PEM key far behind": ("data.bin", lambda _: bytes(4 * 1024 * 1024 - 9) + pem_key()),
    "a plaintext ssl.cfg": ("config", lambda _: b"server_key: '" + pem_key().replace(b"\n", b"\\n") + b"'"),
    "an OpenSSH key": ("id", lambda _: b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    "an encrypted PEM key": ("id", lambda _: b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
    "a DER key": ("blob.bin", lambda _: der_key(NoEncryption())),
    "an encrypted DER key": ("blob.bin", lambda _: der_key(BestAvailableEncryption(b"x"))),
    "a wrap key": ("blob.bin", lambda _: os.urandom(15) + b"\xff"),
    "the published wrap key": ("blob.bin", lambda _: bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe")),
    "a wrap key in hex": ("blob.txt", lambda _: os.urandom(16).hex().encode() + b"\n"),
    "a file named wrap_key": ("wrap_key", lambda _: b"something else"),
    "a certificate": ("cert.pem", lambda _: b"-----BEGIN CERTIFICATE-----"),
    "a key store": ("store.p12", lambda _: b"x"),
    "a script": ("run", lambda _: b"#!/bin/sh\n"),
    "a python module": ("custom_layer.py", lambda _: b"import os"),
    "a shared library": ("op.bin", lambda _: b"\x7fELF" + bytes(100)),
    "a windows program": ("op.bin", lambda _: b"MZ".ljust(60, b"\0") + b"\x40\0\0\0" + b"PE\0\0"),
    "an archive": ("m.bin", lambda _: b"PK\x03\x04" + bytes(100)),
    "a pickle": ("weights.bin2", lambda _: pickle.dumps({"a": 1})),
    "a torch file": ("model.pt", lambda _: b"x"),
    "a numpy file of objects": ("a.npy", object_array),
    "an hdf5 model": ("model.h5", lambda _: b"\x89HDF\r\n\x1a\n"),
    "a sealed file": ("old.onnx", lambda _: b"GRAFS_PF" + bytes(4088)),
    "a hidden file": (".DS_Store", lambda _: b"x"),
    "our own manifest": ("bundle.json", lambda _: b"{}"),
    "a name with a backslash": ("a\\b", lambda _: b"x"),
    "a name with a newline": ("a\nb", lambda _: b"x"),
    "a name that is no text": (os.fsdecode(b"a\xff"), lambda _: b"x"),
}


@pytest.mark.parametrize("case", DANGEROUS)
def test_kd_01_what_must_not_leave_is_refused_by_its_content(case, model_dir, publishing, tmp_path):
    name, content = DANGEROUS[case]
    path = model_dir / "assets" / name if name != "bundle.json" else model_dir / name
    path.write_bytes(content(tmp_path / "scratch.npy"))
    refused(publishing, "SR-UNPUBLISHABLE")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("kind", ["link", "broken link", "folder link", "fifo", "socket", "hidden folder", "deep"])
def test_kd_20_what_is_no_file_is_refused(kind, model_dir, publishing, tmp_path, monkeypatch):
    place = model_dir / "assets" / "x"
    if kind == "link":
        place.symlink_to(model_dir / "model.onnx")
    elif kind == "broken link":
        place.symlink_to("/nowhere")
    elif kind == "folder link":
        place.symlink_to(tmp_path, target_is_directory=True)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        monkeypatch.chdir(place.parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("x")
    elif kind == "hidden folder":
        (model_dir / ".git").mkdir()
    else:
        model_dir.joinpath(*["d"] * 17).mkdir(parents=True)
    refused(publishing, "SR-UNPUBLISHABLE")
    assert not (tmp_path / "models").exists()


def test_an_empty_directory_is_no_model(publishing, tmp_path):
    (tmp_path / "nothing/variables").mkdir(parents=True)
    refused(lambda: publishing(source=tmp_path / "nothing"), "SR-UNPUBLISHABLE")


@pytest.mark.parametrize(
    "content", [b"cat\ndog\nfish\nfox", b"0" * 33, bytes(100), b"\x30\x03\x02\x01\x01", b"MZ", b""]
)
def test_harmless_files_are_taken(content, model_dir, publishing):
    (model_dir / "assets/vocabulary.txt").write_bytes(content)
    assert "assets/vocabulary.txt" in [entry.path for entry in publishing().files]


def test_empty_folders_are_left_out(model_dir, publishing):
    (model_dir / "variables").mkdir()
    assert len(publishing().files) == 3


def written(tmp_path, **content):
    """A folder as it could look just after writing, and its source."""
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    target.mkdir()
    (source / "w").write_bytes(bytes(range(256)) * 8)
    defaults = {"w": b"GRAFS_PF" + bytes(5000), "bundle.json": b"{}", "bundle.sig": bytes(64)}
    for name, data in (defaults | content).items():
        if data is not None:
            (target / name.replace("__", ".")).write_bytes(data)
    return target, [intake.SourceFile(source / "w", "w", 2048)]


KEY = Secret(b"0123456789abcdef")
PLAIN = b"GRAFS_PF" + bytes(3000) + bytes(range(256)) * 8


@pytest.mark.parametrize(
    "content",
    [
        {"w": bytes(range(256)) * 8},
        {"w": PLAIN},
        {"w": b"GRAFS_PF" + bytes(4 * 1024 * 1024 - 20) + bytes(range(256)) * 8},
        {"w": b"GRAFS_PF" + b"0123456789abcdef"},
        {"w": b"GRAFS_PF" + b"0123456789abcdef".hex().encode()},
        {"w": b"GRAFS_PF-----BEGIN RSA PRIVATE KEY-----"},
        {"bundle__json": b'{"key":"' + b"0123456789abcdef".hex().upper().encode() + b'"}'},
        {"bundle__json": b'{"key":"MDEyMzQ1Njc4OWFiY2RlZg=="}'},
        {"extra": b""},
        {"w": None},
    ],
)
def test_t1_the_scan_finds_what_should_not_have_been_written(content, tmp_path):
    folder, sources = written(tmp_path, **content)
    (folder / "bundle.sig").touch()
    refused(lambda: leak_scan.check(folder, sources, KEY), "SR-LEAK")


def test_the_scan_passes_what_is_sealed(tmp_path):
    folder, sources = written(tmp_path)
    leak_scan.check(folder, sources, KEY)


def test_canaries_are_telling_and_cover_the_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(1000) + bytes(range(100)) + bytes(1000))
    assert leak_scan.canaries_of(intake.SourceFile(path, "f", 2100)) == []  # zeros tell nothing
    path.write_bytes(os.urandom(2100))
    found = leak_scan.canaries_of(intake.SourceFile(path, "f", 2100))
    assert len(found) == 8
    assert found[-1] == path.read_bytes()[-32:]


def test_the_engine_is_seen_from_the_files(model_dir, tmp_path):
    assert detect(model_dir) == "onnx"
    (tmp_path / "tf").mkdir()
    refused(lambda: detect(tmp_path / "tf"), "SR-NOT-A-MODEL")
    (tmp_path / "tf/saved_model.pb").touch()
    assert detect(tmp_path / "tf") == "tensorflow"
    refused(lambda: signatures_of(tmp_path / "tf", "tensorflow"), "SR-SAVED-MODEL")
    (tmp_path / "tf/model.onnx").touch()
    refused(lambda: detect(tmp_path / "tf"), "SR-NOT-A-MODEL")
    (tmp_path / "ov").mkdir()
    (tmp_path / "ov/model.xml").touch()
    assert detect(tmp_path / "ov") == "openvino"
    assert signatures_of(tmp_path / "ov", "openvino") == {}


def test_a_saved_models_signatures_are_read_without_tensorflow(tmp_path):
    model = SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name in ("serving_default", "__saved_model_init_op"):
        info = graph.signature_def[name].inputs["x"]
        info.name, info.dtype = "x:0", 1
        info.tensor_shape.dim.add(size=-1)
        any_rank = graph.signature_def[name].outputs["y"]
        any_rank.name, any_rank.dtype, any_rank.tensor_shape.unknown_rank = "y:0", 7, True
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert signatures_of(tmp_path, "tensorflow") == {
        "serving_default": Signature(
            inputs={"x": TensorSpec(dtype="float32", shape=(-1,))},
            outputs={"y": TensorSpec(dtype="string", shape=None)},
        )
    }
    graph.meta_info_def.tags[:] = ["tpu"]
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert set(signatures_of(tmp_path, "tensorflow")) == {"serving_default"}


def test_an_onnx_model_may_carry_signatures(model_dir):
    model = onnx.load(model_dir / "model.onnx")
    carried = {"classify": {"method_name": "m", "inputs": {"in": "input"}, "outputs": {"out": "predict"}}}
    onnx.helper.set_model_props(model, {"strongroom.signatures": json.dumps(carried)})
    onnx.save(model, model_dir / "model.onnx")
    signature = signatures_of(model_dir, "onnx")["classify"]
    assert (set(signature.inputs), set(signature.outputs)) == ({"in"}, {"out"})
    onnx.helper.set_model_props(model, {"strongroom.signatures": json.dumps(carried).replace("predict", "other")})
    onnx.save(model, model_dir / "model.onnx")
    refused(lambda: signatures_of(model_dir, "onnx"), "SR-ONNX-SIGNATURES")


def test_an_onnx_models_signature_is_its_graphs(model_dir):
    signature = signatures_of(model_dir, "onnx")["serving_default"]
    assert signature.inputs == {"input": TensorSpec(dtype="float32", shape=(-1, 3))}
    assert signature.outputs == {"predict": TensorSpec(dtype="float32", shape=(-1, 3))}


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" + bytes(40)])
def test_what_onnx_runtime_cannot_load_is_no_model(content, model_dir):
    (model_dir / "model.onnx").write_bytes(content)
    refused(lambda: signatures_of(model_dir, "onnx"), "SR-NOT-A-MODEL")


def test_kd_26_a_killed_publication_leaves_no_bundle(model_dir, tmp_path, signer):
    """The process dies while it seals: no folder of the version's name is there, and no plaintext."""
    program = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom.bundles import publish
from strongroom.secret import Secret
def die(done, total):
    if done: os.kill(os.getpid(), signal.SIGKILL)
publish(Path(sys.argv[1]), Path(sys.argv[2]), name="m", version=1, key=Secret(os.urandom(16)),
        signer=Ed25519PrivateKey.generate(), engine="onnx", signatures={}, now=datetime.now(UTC), entropy=os.urandom,
        progress=die)
"""
    done = subprocess.run([sys.executable, "-c", program, str(model_dir), str(tmp_path / "out")], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "out/m/1").exists()
    left = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"golden retriever" not in left
