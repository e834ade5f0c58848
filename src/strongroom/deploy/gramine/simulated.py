"""The manifest that `strongroom sim run` takes in a container of the model server, from the same description. Pure.

It starts what the Gramine manifest of the same server starts, on the simulated platform; every word, variable and file
in it is measured.
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.gramine.places import PYTHON, PythonPlaces
from strongroom.deploy.gramine.programs import PYTHON_WORDS, replica
from strongroom.gramine.manifests import Program, array, text

# The simulated platform does not measure compiled files, so Python must not read any.
INTERPRETER_WORDS: Final = ("-I", "-B", "-u", "-X", "pycache_prefix=/nonexistent", "-m", "strongroom")


def replica_manifest(
    description: Description, *, python: PythonPlaces = PYTHON, isvprodid: int = 1, isvsvn: int = 1
) -> str:
    """Return `/app/replica.manifest`: TOML that `strongroom sim run` and `sim measure` read."""
    program = replica(description, python)
    return manifest_of(program, isvprodid=isvprodid, isvsvn=isvsvn)


def manifest_of(program: Program, *, isvprodid: int = 1, isvsvn: int = 1) -> str:
    """Return the manifest of any Python program of ours; sealed models are no part of what is measured."""
    argv = (program.entrypoint, *INTERPRETER_WORDS[:-1], *program.argv[len(PYTHON_WORDS) :])  # from the module on
    lines = [
        "# Who a replica on the simulated platform is: every word, variable and file below is measured.",
        f"libos.entrypoint = {text(program.entrypoint)}",
        f"loader.argv = {array(argv)}",
        *(f"loader.env.{name} = {text(value)}" for name, value in sorted(program.env.items())),
        f"sgx.isvprodid = {isvprodid}",
        f"sgx.isvsvn = {isvsvn}",
        "sgx.debug = false",
        'sgx.remote_attestation = "dcap"',
        f"sgx.trusted_files = {array([f'file:{each}' for each in program.trusted if not each.startswith('/models')])}",
    ]
    return "\n".join([*lines, ""])
