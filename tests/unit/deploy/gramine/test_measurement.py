"""A rendered manifest, expanded, always measures the same; another word is another program.

Expanded over a small root of made-up files, with the libpal.so of the published vectors: no Gramine is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from strongroom.deploy.description import GRAMINE_VERSIONS, Description, Engine, Flavour, Model, Tee
from strongroom.deploy.gramine import programs
from strongroom.deploy.images.expansion import expand
from strongroom.deploy.images.tree_view import TreeView
from strongroom.gramine import measure, versions
from strongroom.gramine.lint import lint
from strongroom.gramine.manifests import render
from strongroom.gramine.versions import GramineVersion

DESCRIPTION = Description(
    tee=Tee.SGX, models=(Model(name="resnet50", path="models/resnet50"),), engine=Engine.TENSORFLOW_SERVING
)
PROGRAM = programs(DESCRIPTION)[0]
FILES = {
    "/usr/bin/tensorflow_model_server": b"the server",
    "/app/ca_cert.pem": b"a certificate",
    "/usr/lib/x86_64-linux-gnu/gramine/runtime/glibc/libc.so.6": b"the C library",
    "/usr/lib/x86_64-linux-gnu/gramine/libsysdb.so": b"the LibOS",
    "/usr/lib/x86_64-linux-gnu/libsecret_prov_attest.so": b"provisioning",
    "/lib/x86_64-linux-gnu/libm.so.6": b"mathematics",
    "/usr/lib/x86_64-linux-gnu/libz.so.1": b"compression",
    "/app/tensorflow_model_server.argv": b"words\0",
    "/app/hosts": b"127.0.0.1 localhost",
}
RELEASES = [versions.parse(each) for each in GRAMINE_VERSIONS if each != "graphene"]


def expanded(template: str, files: dict[str, bytes]) -> bytes:
    """Return X.manifest.sgx over an image that holds these files."""
    view = TreeView()
    for path, content in files.items():
        view.add(path.lstrip("/"), hashlib.sha256(content).hexdigest())
    return expand(template, view, Flavour.DEFAULT)


@pytest.fixture(scope="module")
def libpal(shared_vectors):
    return (shared_vectors / "gramine" / "sig" / "libpal.so").read_bytes()


def small(program):
    """Return the program in a small enclave: the heap's records need most of the time."""
    return replace(program, enclave=replace(program.enclave, size="256M"))


def mr_enclave(program, libpal, files=FILES, version=GramineVersion.V1_9):
    return measure.measure(expanded(render(small(program), version), files), libpal, version=version)


@pytest.mark.parametrize("version", [GramineVersion.V1_0, GramineVersion.V1_4, GramineVersion.V1_9], ids=str)
def test_sa_05_the_same_inputs_measure_the_same(libpal, version):
    one, other = (mr_enclave(PROGRAM, libpal, dict(files), version) for files in (FILES, reversed(FILES.items())))
    assert one == other
    assert (one.isv_prod_id, one.isv_svn, one.debug) == (1, 1, False)


def test_sa_05_a_word_a_variable_or_a_file_that_changes_is_another_program(libpal):
    other_word = replace(PROGRAM, argv=(*PROGRAM.argv[:-1], "--file_system_poll_wait_seconds=6"))
    other_variable = replace(PROGRAM, env={**PROGRAM.env, "OMP_NUM_THREADS": "3"})
    found = {
        mr_enclave(PROGRAM, libpal).mr_enclave,
        mr_enclave(other_word, libpal).mr_enclave,
        mr_enclave(other_variable, libpal).mr_enclave,
        mr_enclave(PROGRAM, libpal, {**FILES, "/app/ca_cert.pem": b"another"}).mr_enclave,
        mr_enclave(PROGRAM, libpal, {**FILES, "/lib/x86_64-linux-gnu/more.so": b""}).mr_enclave,
    }
    assert len(found) == 5


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_an_expanded_manifest_has_no_error_either(version):
    strongroom = programs(replace(DESCRIPTION, engine=Engine.STRONGROOM))
    for program in {each.name: each for each in (*strongroom, PROGRAM)}.values():
        named = {path: b"" for path in program.trusted if not path.endswith("/")}
        folders = {f"{path}file": b"" for path in program.trusted if path.endswith("/")}
        text = expanded(render(program, version), {**FILES, **named, **folders, program.argv_file: b"x"})
        assert b"{{" not in text
        assert [found for found in lint(text.decode(), version=version) if found.is_error] == []
