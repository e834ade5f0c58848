"""A rendered manifest, expanded as Gramine's signer does it, always measures the same; another word is another program.

The signer is not here: its two steps, filling in its folders and hashing what is trusted, are done by this test over a
small root, with the libpal.so of the published vectors.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest

from strongroom.deploy.description import Description, Engine, Model, Tee
from strongroom.deploy.gramine import programs
from strongroom.gramine import measure
from strongroom.gramine.manifests import render
from strongroom.gramine.versions import GramineVersion

DESCRIPTION = Description(
    tee=Tee.SGX, models=(Model(name="resnet50", path="models/resnet50"),), engine=Engine.TENSORFLOW_SERVING
)
PROGRAM = programs(DESCRIPTION)[0]
FILES = {
    "/usr/bin/tensorflow_model_server": b"the server",
    "/app/ca_cert.pem": b"a certificate",
    "/usr/lib/gramine/runtimedir/libc.so.6": b"the C library",
    "/usr/lib/gramine/libdir/libsecret_prov_attest.so": b"provisioning",
    "/usr/lib/gramine/libos": b"the LibOS",
    "/lib/x86_64-linux-gnu/libm.so.6": b"mathematics",
    "/usr/lib/x86_64-linux-gnu/libz.so.1": b"compression",
    "/app/tensorflow_model_server.argv": b"words\0",
}


def expanded(template: str, files: dict[str, bytes]) -> bytes:
    """Return X.manifest.sgx: folders filled in, each trusted file with its SHA-256, folders file by file."""
    text = re.sub(r"\{\{ gramine\.(\w+)(\(\))? \}\}", r"/usr/lib/gramine/\1", template)
    listed = re.search(r"sgx\.trusted_files = \[\n(.*?)\]\n", text, re.DOTALL)
    lines = []
    for uri in re.findall(r'"file:([^"]+)"', listed[1]):
        found = sorted(path for path in files if path == uri or (uri.endswith("/") and path.startswith(uri)))
        assert found, uri
        for path in found:
            digest = hashlib.sha256(files[path]).hexdigest()
            lines.append(f'  {{ uri = "file:{path}", sha256 = "{digest}" }},\n')
    return (text[: listed.start(1)] + "".join(lines) + text[listed.end(1) :]).encode()


@pytest.fixture(scope="module")
def libpal(shared_vectors):
    return (shared_vectors / "gramine" / "sig" / "libpal.so").read_bytes()


def small(program):
    """Return the program in a small enclave: the heap's records need most of the time."""
    return replace(program, enclave=replace(program.enclave, size="256M"))


def mr_enclave(program, libpal, files=FILES, version=GramineVersion.V1_9):
    return measure.measure(expanded(render(small(program), version), files), libpal, version=version)


@pytest.mark.parametrize("version", [GramineVersion.V1_3, GramineVersion.V1_4, GramineVersion.V1_9])
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
