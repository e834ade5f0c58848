"""A manifest as the rules look at it: values by their place, mounts, files, variables; what is open stays open.

Pure. Values of the wrong type count as absent here: Gramine itself refuses them, and no rule may stumble over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from strongroom.gramine.lint.findings import Finding, Rule
from strongroom.gramine.lint.places import Path
from strongroom.gramine.lint.template import Plain, is_open
from strongroom.gramine.manifest import ManifestMalformed
from strongroom.gramine.versions import GramineVersion

MAX_MOUNTS: Final = 1000
MAX_PATH: Final = 4096  # Linux's own limit
PROVISIONING_LIBRARY: Final = "libsecret_prov_attest.so"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)


class Uri(NamedTuple):
    """A file that a manifest names, and where it does."""

    place: Path
    uri: str
    host: str  # the normalised path on the host; a directory keeps no slash at its end

    @property
    def is_directory(self) -> bool:
        """Whether it stands for everything below."""
        return self.uri.endswith("/")

    @property
    def basename(self) -> str:
        """The last part of its path."""
        return self.host.rpartition("/")[2]


class Files:
    """A list of files as a manifest has it, and quick answers to what it covers."""

    def __init__(self, entries: Sequence[Uri] = ()) -> None:
        self.entries = tuple(entries)
        self._exact = {entry.host: entry for entry in reversed(self.entries)}
        self._folders = {entry.host: entry for entry in reversed(self.entries) if entry.is_directory}
        self._names = {entry.basename: entry for entry in reversed(self.entries)}

    def covering(self, host: str) -> Uri | None:
        """Return the entry that is `host`, or a directory above it."""
        above = (self._folders.get(path) for path in with_parents(host))
        return self._exact.get(host) or next((entry for entry in above if entry is not None), None)

    def named(self, name: str) -> Uri | None:
        """Return an entry with this last part."""
        return self._names.get(name)


class Variable(NamedTuple):
    """One environment variable: its value, or None where it is the host's or not known."""

    place: Path
    value: str | None
    passthrough: bool


class Mount(NamedTuple):
    """One mount: what kind, where in the enclave, from where on the host."""

    place: Path
    kind: str
    path: str  # normalised; empty where it has none
    uri: str
    host: str  # normalised
    key_name: str
    is_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A parsed manifest, where its values stand, and the release that it is for."""

    document: Mapping[str, Any]
    plain: Plain
    lines: Mapping[Path, int]
    version: GramineVersion
    model_bytes: int | None = None
    trusted: Files = field(default_factory=Files)
    allowed: Files = field(default_factory=Files)
    mounts: tuple[Mount, ...] = ()  # the root first; the old sgx.protected_files are encrypted mounts too
    variables: Mapping[str, Variable] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        document: Mapping[str, Any],
        plain: Plain,
        lines: Mapping[Path, int],
        version: GramineVersion,
        model_bytes: int | None = None,
    ) -> Subject:
        """Return the document with its files, mounts and variables taken out. Raises ManifestMalformed."""
        bare = cls(document=document, plain=plain, lines=lines, version=version, model_bytes=model_bytes)
        mounts = tuple(bare._read_mounts())
        if len(mounts) > MAX_MOUNTS:
            raise ManifestMalformed(f"the manifest has {len(mounts)} mounts; {MAX_MOUNTS} are looked at")
        trusted, allowed = (Files(bare._read_files(name)) for name in ("trusted_files", "allowed_files"))
        return replace(bare, trusted=trusted, allowed=allowed, mounts=mounts, variables=bare._read_variables())

    def get(self, *path: str) -> Any:  # noqa: ANN401  # whatever TOML holds there
        """Return the value at `path`; None if there is none, or if an expression stands there."""
        value: Any = self.document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return None if is_open(value) else value

    def table(self, *path: str) -> Mapping[str, Any]:
        """Return the table at `path`, empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def finding(self, rule: Rule, place: Path, why: str, fix: str) -> Finding:
        """Return a finding at `place`, with the line of the nearest key around it."""
        around = (self.lines.get(place[:size]) for size in range(len(place), 0, -1))
        line = next((each for each in around if each is not None), None)
        return Finding(rule=rule, place=self.name(place), line=line, why=why, fix=fix)

    def name(self, place: Path) -> str:
        """Return a place as people write it."""
        name = ""
        for part in place:
            if isinstance(part, int):
                name += f"[{part}]"
            else:
                shown = self.plain.shown(part)
                name += ("." if name else "") + (shown if _BARE.match(shown) else f'"{shown}"')
        return name or "the manifest"

    def _read_variables(self) -> dict[str, Variable]:
        """Return the environment that the manifest sets or lets through."""
        found = {}
        for name, entry in self.table("loader", "env").items():
            value = entry.get("value") if isinstance(entry, dict) else entry
            passes = isinstance(entry, dict) and entry.get("passthrough") is True
            found[name] = Variable(("loader", "env", name), value if isinstance(value, str) else None, passes)
        return found

    def value_of(self, name: str) -> str | None:
        """Return the value that the manifest gives a variable."""
        found = self.variables.get(name)
        return found.value if found else None

    def _read_files(self, name: str) -> list[Uri]:
        """Return the entries of sgx.trusted_files or sgx.allowed_files, in both of their spellings."""
        value = self.get("sgx", name)
        entries: Sequence[tuple[str | int, Any]] = []
        if isinstance(value, list):
            entries = list(enumerate(value))
        elif isinstance(value, dict):  # sgx.trusted_files.NAME = "file:…", as old Graphene had it
            entries = list(value.items())
        found = []
        for key, entry in entries:
            uri = entry.get("uri") if isinstance(entry, dict) else entry
            if isinstance(uri, str):
                found.append(Uri(("sgx", name, key), uri, host_path(uri)))
        return found

    def _read_mounts(self) -> list[Mount]:
        """Return all mounts, the root first; the old sgx.protected_files are encrypted mounts too."""
        root = self.table("fs", "root")
        found = [_mount(("fs", "root"), {"uri": "file:.", **root, "path": "/"}, is_root=True)]
        listed = self.get("fs", "mounts")
        for index, entry in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(entry, dict):
                found.append(_mount(("fs", "mounts", index), entry))
        for name, entry in self.table("fs", "mount").items():
            if isinstance(entry, dict):
                found.append(_mount(("fs", "mount", name), entry))
        for word, key in (("protected_files", "default"), ("protected_mrenclave_files", "_sgx_mrenclave"),
                          ("protected_mrsigner_files", "_sgx_mrsigner")):  # fmt: skip
            found += [Mount(each.place, "encrypted", "", each.uri, each.host, key) for each in self._read_files(word)]
        return found

    def encrypted(self) -> list[Mount]:
        """Return the encrypted mounts."""
        return [mount for mount in self.mounts if mount.kind == "encrypted"]

    def trusts(self, path: str) -> bool:
        """Whether the file at `path` in the enclave cannot be changed by the host: trusted, or sealed."""
        absolute = self.absolute(path)
        by_path = {mount.path: mount for mount in self.mounts if mount.path}
        mount = next((by_path[above] for above in with_parents(absolute) if above in by_path), None)
        if mount is None or mount.kind != "chroot":
            return mount is not None and mount.kind == "encrypted"
        rest = absolute[len(mount.path) :].strip("/")
        return self.trusted.covering(normal(f"{mount.host or '.'}/{rest}") if rest else mount.host) is not None

    def absolute(self, path: str) -> str:
        """Return a path in the enclave from its root."""
        start = self.get("fs", "start_dir")
        return normal(path if path.startswith("/") else f"{start if isinstance(start, str) else '/'}/{path}")

    def provisions(self) -> bool:
        """Whether Gramine's secret provisioning is set up: by its library, or by its variables."""
        preload = self.value_of("LD_PRELOAD") or ""
        return PROVISIONING_LIBRARY in preload or any(name.startswith("SECRET_PROVISION_") for name in self.variables)

    def walk(self) -> Iterator[tuple[Path, Any]]:
        """Yield place and value of every key and array entry; variables are no keys."""
        waiting: list[tuple[Path, Any]] = [((), self.document)]
        while waiting:
            place, value = waiting.pop()
            if place:
                yield place, value
            if isinstance(value, dict) and place != ("loader", "env"):
                waiting += [((*place, name), inside) for name, inside in reversed(value.items())]
            elif isinstance(value, list):
                waiting += [((*place, index), inside) for index, inside in reversed(list(enumerate(value)))]


def _mount(place: Path, entry: Mapping[str, Any], *, is_root: bool = False) -> Mount:
    words = {word: entry.get(word) for word in ("type", "path", "uri", "key_name")}
    text = {word: value if isinstance(value, str) else "" for word, value in words.items()}
    kind, key, path = text["type"] or "chroot", text["key_name"] or "default", text["path"]
    return Mount(place, kind, normal(path) if path else "", text["uri"], host_path(text["uri"]), key, is_root)


def host_path(uri: str) -> str:
    """Return the normalised host path of a `file:` URI (or of a bare path)."""
    return normal(uri.partition(":")[2] if uri.startswith(("file:", "dev:")) else uri)


def normal(path: str) -> str:
    """Return `path` without `.`, `..` and doubled slashes; relative paths stay relative, "." is the empty one."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in {"", "."} and not (part == ".." and path.startswith("/")):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def is_below(path: str, above: str) -> bool:
    """Whether the normalised `path` is `above` or lies below it; the empty path is the working directory."""
    if not above:
        return not path.startswith(("/", ".."))
    return path == above or path.startswith(above.rstrip("/") + "/")


def with_parents(path: str) -> Iterator[str]:
    """Yield a normalised path and all directories above it, the nearest first."""
    yield path
    if len(path) > MAX_PATH:
        return
    for at in range(len(path) - 1, -1, -1):
        if path[at] == "/":
            yield path[:at] or "/"
    if not path.startswith(("/", "..")) and path:
        yield ""
