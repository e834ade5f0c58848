"""What the enclaves of a deployment have in common: the sizes asked for, the distribution's folders, Python. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import DeployMalformed, Description, Flavour
from strongroom.deploy.gramine.places import PythonPlaces
from strongroom.gramine.manifests import Enclave

_SERVER_THREADS: Final = 64


def arch_libraries(description: Description) -> str:
    """Return where a distribution keeps the libraries of the machine's architecture."""
    return "/lib64" if description.flavour is Flavour.ANOLISOS else "/lib/x86_64-linux-gnu"


def enclave(description: Description, *, least_threads: int = _SERVER_THREADS, files: int = 4096) -> Enclave:
    """Return the size that the description asks for, with as many threads as the program cannot do without.

    Raises DeployMalformed for a size that is no power of two, which SGX wants.
    """
    wanted = description.resources
    number = int(wanted.enclave_size[:-1])
    if number & (number - 1):
        raise DeployMalformed(f"[deploy.resources] enclave_size is {wanted.enclave_size}, which is no power of two")
    return Enclave(size=wanted.enclave_size, threads=max(wanted.max_threads, least_threads), files=files)


def python_files(python: PythonPlaces) -> tuple[str, ...]:
    """Return the interpreter and everything that it may import."""
    return (python.interpreter, *(f"{folder}/" for folder in python.folders))
