"""Gramine manifests of our programs, for each release that runs them: 1.0 to 1.9, and Graphene before. Pure.

A `Program` says what an enclave holds; `render` spells it for one release of Gramine, `graphene` for its ancestor.
"""

from strongroom.gramine.manifests import argv_file, graphene
from strongroom.gramine.manifests.program import KEY_NAME, SEALING_KEY, Enclave, Encrypted, Program, Provisioning
from strongroom.gramine.manifests.rendering import render, trusted_files
from strongroom.gramine.manifests.toml_writing import array, text

__all__ = [
    "KEY_NAME",
    "SEALING_KEY",
    "Enclave",
    "Encrypted",
    "Program",
    "Provisioning",
    "argv_file",
    "array",
    "graphene",
    "render",
    "text",
    "trusted_files",
]
