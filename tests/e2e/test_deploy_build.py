"""A real image, from a Debian made here to a registry and back: built, looked through, pushed, pinned, pulled.

Needs root, buildah, mmdebstrap and docker-registry; the base is made once and kept in the user's cache (about half a
minute, from Debian's mirrors), so only the smallest image is built here. `make kube` builds and runs the others.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from strongroom.deploy.description import Description, Role
from strongroom.deploy.images import base, pinned, programs
from strongroom.deploy.images.archive import configuration, members
from strongroom.deploy.images.recipe import recipe
from strongroom.ports import free_port

TOOLS = ("buildah", "mmdebstrap", "docker-registry")
DEADLINE_S = 30


@pytest.fixture(scope="module")
def tools():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"building images needs {', '.join(missing)} (apt-get install)")
    if os.geteuid() != 0:
        pytest.skip("buildah and mmdebstrap are run as root here")
    try:
        base.make(recipe(Role.FRONT, Description()), base.cache_folder(os.environ), os.environ)
    except programs.ProgramFailed as problem:
        pytest.skip(f"no Debian can be made here: {problem.sentence[:300]}")


def strongroom(*words):
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def workspace(tmp_path, models):
    """An owner's workspace with one sealed model, whose images are called as nobody else's."""
    place = tmp_path / "workspace"
    strongroom("init", place)
    with (place / "strongroom.toml").open("a") as settings:
        settings.write(f'\n[deploy]\nregistry = "localhost/test-{uuid4().hex[:12]}"\n')
    source = tmp_path / "plain" / "1"
    source.mkdir(parents=True)
    (source / "model.onnx").write_bytes(models)
    strongroom("model", "publish", source, "--name", "tiny", "--version", "1", "--workspace", place,
               "--out", place / "models")  # fmt: skip
    return place


@pytest.fixture(scope="module")
def models():
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "tiny",
        [helper.make_tensor_value_info("x", kind, [None])], [helper.make_tensor_value_info("y", kind, [None])],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture
def registry(tmp_path):
    """A registry of this test's own, on a free port of this machine."""
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield f"localhost:{port}"
    finally:
        process.kill()
        process.wait()


def remove_images(*references):
    subprocess.run(["buildah", "rmi", "--force", *references], capture_output=True, check=False)


@pytest.mark.usefixtures("tools")
def test_an_image_is_built_looked_through_pushed_pinned_and_pulled_by_its_digest(tmp_path, workspace, registry):
    words = ("deploy", "build", "front", "--workspace", workspace, "--json")
    [made] = json.loads(strongroom(*words, "--out", tmp_path / "out", "--push", registry))["images"]
    archive = tmp_path / "out" / "front" / "image.tar"
    again = tmp_path / "pulled.tar"
    reference = pinned(workspace)[Role.FRONT]
    try:
        assert reference == made["pinned"]
        remove_images(made["image"])
        subprocess.run(["buildah", "pull", "--quiet", "--tls-verify=false", reference], check=True, capture_output=True)
        subprocess.run(["buildah", "push", "--quiet", reference, f"docker-archive:{again}:x:1"], check=True,
                       capture_output=True)  # fmt: skip
    finally:
        remove_images(made["image"], reference)
    assert digests(again) == digests(archive)
    config = configuration(again)["config"]
    assert (config["User"], config["Entrypoint"]) == ("10001:10001", ["nginx"])
    assert not [word for word in config["Env"] if not word.startswith("PATH=")]
    names = {member.path for member in members(archive)}
    assert "usr/sbin/nginx" in names
    bill = json.loads((tmp_path / "out" / "front" / "sbom.cdx.json").read_text())
    assert {"nginx", "libnginx-mod-stream"} <= {each["name"] for each in bill["components"]}


@pytest.mark.usefixtures("tools")
def test_sa_05_the_same_image_twice_is_the_same_byte_for_byte(tmp_path, workspace):
    words = ("deploy", "build", "front", "--workspace", workspace)
    archives = [tmp_path / name / "front" / "image.tar" for name in ("one", "two")]
    [made] = json.loads(strongroom(*words, "--out", tmp_path / "one", "--json"))["images"]
    remove_images(made["image"])  # and with it the layers that a second build could take
    compared = strongroom(*words, "--out", tmp_path / "two", "--compare", archives[0])
    remove_images(made["image"])
    assert "the same, file by file" in compared
    one, two = (hashlib.sha256(archive.read_bytes()).hexdigest() for archive in archives)
    assert one == two


def digests(archive: Path) -> dict[str, str]:
    found = {}
    for member in members(archive):
        if member.is_file:
            with member.open() as stream:
                found[member.path] = hashlib.sha256(stream.read()).hexdigest()
    return found
