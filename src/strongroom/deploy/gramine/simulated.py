"""The manifest that `strongroom sim run` takes in a container of the model server, from the same description. Pure.

It starts what the Gramine manifest of the same server starts, on the simulated platform; every word, variable and file
in it is measured. Relative paths start at its folder, `/app`.
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.gramine import places
from strongroom.deploy.gramine.places import PYTHON, PythonPlaces
from strongroom.deploy.gramine.server_words import server_environment, server_words
from strongroom.gramine.manifests.toml_writing import array, text

INTERPRETER_WORDS: Final = ("-I", "-B", "-u", "-X", "pycache_prefix=/nonexistent", "-m", "strongroom", "serve")


def replica_manifest(
    description: Description, *, python: PythonPlaces = PYTHON, isvprodid: int = 1, isvsvn: int = 1
) -> str:
    """Return `/app/replica.manifest`: TOML that `strongroom sim run` and `sim measure` read."""
    argv = [python.interpreter, *INTERPRETER_WORDS, *server_words(description)]
    files = [places.CA, places.OWNER, python.interpreter, *(f"{folder}/" for folder in python.folders)]
    if len(description.models) != 1:
        files.append(places.MODEL_LIST)
    environment = server_environment(description)
    lines = [
        "# Who a replica on the simulated platform is: every word, variable and file below is measured.",
        f"libos.entrypoint = {text(python.interpreter)}",
        f"loader.argv = {array(argv)}",
        *(f"loader.env.{name} = {text(value)}" for name, value in sorted(environment.items())),
        f"sgx.isvprodid = {isvprodid}",
        f"sgx.isvsvn = {isvsvn}",
        "sgx.debug = false",
        'sgx.remote_attestation = "dcap"',
        f"sgx.trusted_files = {array([f'file:{each}' for each in files])}",
    ]
    return "\n".join([*lines, ""])
