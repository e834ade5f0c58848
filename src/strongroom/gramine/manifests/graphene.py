"""Write a program's manifest for Graphene, Gramine's ancestor: 1.2-rc1, in TOML, and 1.1, in lines of its own. Pure.

Files have names there, arguments a file of their own, and only DCAP attestation is used. Nothing of this was run:
neither release can be built today without the machines of its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from strongroom.errors import BadInput
from strongroom.gramine.manifests.program import KEY_NAME, Program
from strongroom.gramine.manifests.rendering import (
    HOSTS,
    LIBRARIES,
    LIBRARIES_INSIDE,
    RUNTIME,
    environment,
    mounted,
    trusted_files,
)
from strongroom.gramine.manifests.toml_writing import text
from strongroom.gramine.versions import GramineVersion

HOME: Final = "/graphene"  # where Graphene lies in an image
_LIBOS: Final = f"{HOME}/Runtime/libsysdb.so"
_RUNTIME: Final = f"{HOME}/Runtime"
_LIBRARIES: Final = f"{HOME}/Runtime/ra-tls"
_PLAIN: Final = re.compile(r"[^\n\r\0#\"\\]*")


class GrapheneUnable(BadInput):
    """A value cannot stand in a manifest of Graphene 1.1, which has no quotes."""

    code = "SR-GRAPHENE-VALUE"
    fix = "Use a value without quotes, backslashes, number signs and line breaks, or a later release."


def render_toml(program: Program) -> str:
    """Return `NAME.manifest.template` for Graphene 1.2-rc1."""
    return _document(program, "1.2-rc1", toml=True)


def render_text(program: Program) -> str:
    """Return `NAME.manifest.template` for Graphene 1.1. Raises GrapheneUnable."""
    return _document(program, "1.1", toml=False)


def _document(program: Program, release: str, *, toml: bool) -> str:
    lines = [
        f"# {program.title}, for Graphene {release}. Every byte of this is measured.",
        "# Rendered by strongroom deploy render: change strongroom.toml, not this file.",
        *(f"{name} = {_value(value, toml)}" for name, value in _settings(program, toml=toml)),
    ]
    return "\n".join([*lines, ""])


def _value(value: str | int, toml: bool) -> str:
    if isinstance(value, int) or value in {"true", "false"}:
        return str(value)
    if toml:
        return text(value)
    if not _PLAIN.fullmatch(value):
        raise GrapheneUnable(f"{value[:80]!r} cannot be written for Graphene 1.1")
    return value


def _settings(program: Program, *, toml: bool) -> Iterator[tuple[str, str | int]]:
    yield "loader.preload", f"file:{_LIBOS}"
    yield ("libos.entrypoint", program.entrypoint) if toml else ("loader.exec", f"file:{program.entrypoint}")
    yield "loader.log_level" if toml else "loader.debug_type", "error" if toml else "none"
    yield "loader.argv_src_file", f"file:{program.argv_file}"
    for name, value in environment(program, GramineVersion.V1_0).items():
        yield f"loader.env.{name}", _placed(value)
    yield from _mounts(program)
    for number, each in enumerate(program.encrypted):
        kind = "protected_files" if each.key_name == KEY_NAME else "protected_mrenclave_files"
        yield f"sgx.{kind}.p{number:02}", f"file:{each.host}{'/' if each.is_folder else ''}"
    for number, path in enumerate(_trusted(program)):
        yield f"sgx.trusted_files.t{number:02}", f"file:{path}"
    yield "sgx.enclave_size", program.enclave.size
    yield "sgx.thread_num", program.enclave.threads
    yield "sgx.isvprodid", program.enclave.isvprodid
    yield "sgx.isvsvn", program.enclave.isvsvn
    yield "sgx.remote_attestation", "true" if toml else 1
    yield "sgx.debug", "false" if toml else 0
    yield "sys.stack.size", program.enclave.stack
    yield "sys.brk.max_size", program.enclave.brk
    yield "sys.enable_sigterm_injection", "true" if toml else 1


def _trusted(program: Program) -> Iterator[str]:
    yield _LIBOS
    yield from (_placed(path) for path in trusted_files(program, GramineVersion.V1_0) if "gramine.libos" not in path)


def _mounts(program: Program) -> Iterator[tuple[str, str]]:
    pairs = [("/lib", _RUNTIME), (LIBRARIES_INSIDE, _LIBRARIES), *((path, path) for path in mounted(program))]
    pairs += [("/etc/hosts", HOSTS), *((each.path, each.host) for each in program.encrypted)]
    for number, (path, host) in enumerate(pairs):
        yield f"fs.mount.m{number:02}.type", "chroot"
        yield f"fs.mount.m{number:02}.path", path
        yield f"fs.mount.m{number:02}.uri", f"file:{host}"


def _placed(value: str) -> str:
    """Return a value with Graphene's folders where Gramine's tools would fill in their own."""
    return value.replace(RUNTIME, _RUNTIME).replace(LIBRARIES, _LIBRARIES)
