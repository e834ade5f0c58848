"""Read the part of Gramine's manifest vocabulary that decides what runs and how it is identified.

Pure: text in, a `Manifest` out. Exactly typed and deny by default: a key that is not understood here is refused, since
leaving it out in silence would start something other than what its author wrote. Keys with `insecure__` in their name
hand a decision to the host and are refused with the reason (threats ID-05 to ID-07). Source: Gramine 1.9,
`Documentation/manifest-syntax.rst`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, cast

from strongroom.errors import BadInput, Refused
from strongroom.gramine import toml_text

MAX_MANIFEST_BYTES: Final = 1024 * 1024
MAX_U16: Final = 0xFFFF
RESERVED_VARIABLE: Final = "STRONGROOM_QUOTE_FD"  # the launcher sets it; a manifest that could would redirect quotes

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HOST_CHOSEN_CODE: Final = re.compile(r"(LD_|PYTHON)|(JAVA_TOOL_OPTIONS|GCONV_PATH|PATH)\Z")  # spec 7.5, rule M15

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"libos", "loader", "sgx"}),
    "libos": frozenset({"entrypoint"}),
    "loader": frozenset({"argv", "env"}),
    "sgx": frozenset({"debug", "isvprodid", "isvsvn", "trusted_files", "allowed_files", "remote_attestation"}),
}
_INSECURE: Final[Mapping[str, str]] = {
    "insecure__use_cmdline_argv": "the host would choose the arguments, with an unchanged measurement",
    "insecure__use_host_env": "the host would choose the environment, with an unchanged measurement",
    "insecure__disable_aslr": "addresses would be predictable to an attacker",
    "insecure__keys": "a key in a manifest is known to everybody who can read it",
    "insecure__protected_files_key": "a key in a manifest is known to everybody who can read it",
    "insecure__rpc_thread_num": "system calls would leave the enclave through memory that the host watches",
    "insecure__allow_memfaults_without_exinfo": "the host could make up memory faults",
    "insecure__allow_eventfd": "the host could make up event counts",
}


class ManifestMalformed(BadInput):
    """A manifest is not TOML, or one of its values is not what its key takes."""

    code = "SR-MANIFEST"
    fix = "Correct the value; Gramine's manifest syntax describes each key."


class ManifestKeyUnknown(BadInput):
    """A manifest has a key that is not understood here, and guessing would start something else."""

    code = "SR-MANIFEST-KEY"
    fix = "Remove the key, or run this manifest under Gramine itself."


class ManifestInsecure(Refused):
    """A manifest hands the host a decision that belongs to the enclave's author."""

    code = "SR-MANIFEST-INSECURE"
    fix = "Remove the key and write the value itself into the manifest."


class TrustedFile(NamedTuple):
    """One `sgx.trusted_files` entry: a `file:` URI (a directory ends with `/`) and, where given, its SHA-256 in hex."""

    uri: str
    sha256: str | None = None

    @property
    def path(self) -> str:
        """The part of the URI after `file:`."""
        return self.uri.removeprefix("file:")

    @property
    def is_directory(self) -> bool:
        """Whether the entry stands for every file below a directory."""
        return self.uri.endswith("/")


@dataclass(frozen=True, slots=True)
class EnvValue:
    """Where a variable's value comes from: the manifest (`value`), or the host's environment (`passthrough`)."""

    value: str | None = None
    passthrough: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What to start and as whom; paths are as written, not yet resolved."""

    entrypoint: str
    argv: tuple[str, ...]
    env: Mapping[str, EnvValue]
    trusted_files: tuple[TrustedFile, ...]
    debug: bool
    isvprodid: int
    isvsvn: int
    remote_attestation: Literal["none", "dcap"]


def parse(text: str) -> Manifest:
    """Return the manifest that `text` (TOML) describes.

    Raises ManifestMalformed, ManifestKeyUnknown or ManifestInsecure, and nothing else.
    """
    document = _document(text)
    _refuse_insecure(document)
    for section in _KEYS:
        _refuse_unknown(document, section)
    libos, loader, sgx = (_table(document, name) for name in ("libos", "loader", "sgx"))
    entrypoint = _text(libos.get("entrypoint"), "libos.entrypoint")
    _refuse_allowed_files(sgx.get("allowed_files", []))
    return Manifest(
        entrypoint=entrypoint,
        argv=_argv(loader.get("argv", [entrypoint])),
        env=MappingProxyType(dict(_environment(loader.get("env", {})))),
        trusted_files=_trusted_files(sgx.get("trusted_files", [])),
        debug=_boolean(sgx.get("debug", False), "sgx.debug"),
        isvprodid=_number(sgx.get("isvprodid", 0), "sgx.isvprodid"),
        isvsvn=_number(sgx.get("isvsvn", 0), "sgx.isvsvn"),
        remote_attestation=_remote_attestation(sgx.get("remote_attestation", "none")),
    )


def _document(text: str) -> dict[str, Any]:
    return toml_text.loads(text, max_bytes=MAX_MANIFEST_BYTES, error=ManifestMalformed)


def _paths(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (full path, last word) of each key, outermost first; arrays are looked into one level deep.

    Walks with its own stack: dotted keys nest deeper than Python recurses.
    """
    waiting: list[tuple[str, Mapping[str, object]]] = [(prefix, table)]
    while waiting:
        above, current = waiting.pop()
        for name, value in current.items():
            yield f"{above}{name}", name
            inside = value if isinstance(value, list) else [value]
            waiting += [(f"{above}{name}.", each) for each in inside if isinstance(each, dict)]


def _refuse_insecure(document: Mapping[str, object]) -> None:
    for path, name in _paths(document):
        if path.startswith("loader.env."):
            continue  # there, names are variables and not Gramine's keys
        if name.startswith("insecure__"):
            why = _INSECURE.get(name, "its name says that it weakens the enclave")
            raise ManifestInsecure(f"the manifest sets {path[:100]}: {why}")


def _refuse_unknown(document: Mapping[str, Any], section: str) -> None:
    allowed = _KEYS[section]
    for name in _table(document, section) if section else document:
        if name not in allowed:
            path = f"{section}.{name}" if section else name
            known = ", ".join(sorted(f"{section}.{each}" if section else each for each in allowed))
            raise ManifestKeyUnknown(f"the manifest has the key {path[:100]}, which is not understood; known: {known}")


def _refuse_allowed_files(value: object) -> None:
    """`sgx.allowed_files` is a list that must be empty: such files are neither measured nor protected (ID-06)."""
    if not isinstance(value, list):
        raise ManifestMalformed(f"sgx.allowed_files must be a list, not {_kind(value)}")
    if value:
        raise ManifestInsecure(
            f"sgx.allowed_files lists {len(value)} files that the host could change unnoticed",
            fix="List files that the program reads in sgx.trusted_files, or seal them.",
        )


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise ManifestMalformed(f"{name} must be a table, not {_kind(value)}")
    return cast("dict[str, Any]", value)


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    words = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return words.get(type(value), "a date or time")


def _text(value: object, path: str, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str):
        raise ManifestMalformed(f"{path} must be text, not {_kind(value)}")
    if not value and not may_be_empty:
        raise ManifestMalformed(f"{path} is empty")
    if "\0" in value:
        raise ManifestMalformed(f"{path} holds a NUL character, which no argument, path or variable can carry")
    return value


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise ManifestMalformed(f"{path} must be true or false, not {_kind(value)}")
    return value


def _number(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ManifestMalformed(f"{path} must be a whole number, not {_kind(value)}")
    if not 0 <= value <= MAX_U16:
        raise ManifestMalformed(f"{path} must be between 0 and {MAX_U16}")
    return value


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ManifestMalformed("loader.argv must be a list of text with at least the program's own name")
    return tuple(_text(each, f"loader.argv[{index}]", may_be_empty=index > 0) for index, each in enumerate(value))


def _environment(value: object) -> Iterator[tuple[str, EnvValue]]:
    if not isinstance(value, dict):
        raise ManifestMalformed(f"loader.env must be a table, not {_kind(value)}")
    for name, entry in value.items():
        path = f"loader.env.{name[:64]}"
        if not _VARIABLE.match(name):
            raise ManifestMalformed(f"{path!r} is not the name of a variable (letters, digits, underscores)")
        if name == RESERVED_VARIABLE:
            raise ManifestInsecure(f"{path} is set by the launcher alone", fix="Remove the variable.")
        yield name, _env_value(name, entry, path)


def _env_value(name: str, entry: object, path: str) -> EnvValue:
    if not isinstance(entry, dict):
        return EnvValue(value=_text(entry, path, may_be_empty=True))
    if set(entry) == {"value"}:
        return EnvValue(value=_text(entry["value"], path, may_be_empty=True))
    if set(entry) != {"passthrough"}:
        raise ManifestMalformed(f"{path} takes text, {{ value = … }} or {{ passthrough = true }}")
    if not _boolean(entry["passthrough"], f"{path}.passthrough"):
        raise ManifestMalformed(f"{path}: passthrough = false is an error in Gramine too; remove the variable")
    if _HOST_CHOSEN_CODE.match(name):
        raise ManifestInsecure(f"{path} passes on from the host a variable that decides which code runs")
    return EnvValue(passthrough=True)


def _trusted_files(value: object) -> tuple[TrustedFile, ...]:
    if not isinstance(value, list):
        raise ManifestMalformed(f"sgx.trusted_files must be a list, not {_kind(value)}")
    files = tuple(_trusted_file(each, f"sgx.trusted_files[{index}]") for index, each in enumerate(value))
    uris = [each.uri for each in files]
    twice = [uri for uri in set(uris) if uris.count(uri) > 1] if len(set(uris)) < len(uris) else []
    if twice:
        raise ManifestMalformed(f"sgx.trusted_files lists {min(twice)!r} twice")
    return files


def _trusted_file(entry: object, path: str) -> TrustedFile:
    fields = entry if isinstance(entry, dict) else {"uri": entry}
    if not set(fields) <= {"uri", "sha256"}:
        raise ManifestMalformed(f"{path} takes text or {{ uri = …, sha256 = … }}")
    uri, digest = _text(fields.get("uri"), f"{path}.uri"), fields.get("sha256")
    if not uri.startswith("file:") or uri == "file:":
        raise ManifestMalformed(f"{path}: a trusted file is named file:PATH, not {uri[:100]!r}")
    if digest is None:
        return TrustedFile(uri)
    if not isinstance(digest, str) or not _SHA256.match(digest):
        raise ManifestMalformed(f"{path}.sha256 must be 64 hex digits")
    if uri.endswith("/"):
        raise ManifestMalformed(f"{path}: a directory has no SHA-256 of its own; list its files")
    return TrustedFile(uri, digest.lower())


def _remote_attestation(value: object) -> Literal["none", "dcap"]:
    if value == "dcap":
        return "dcap"
    if value == "none":
        return "none"
    raise ManifestMalformed('sgx.remote_attestation must be "dcap" or "none"')
