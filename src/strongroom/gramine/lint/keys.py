"""Which keys each release of Gramine has: unknown, removed, not yet there, deprecated (rules M10 and M11). Pure.

Source: spec gramine.md section 7.1, from `Documentation/manifest-syntax.rst` of the tags v1.0 to v1.9.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from strongroom.gramine.lint.findings import Finding, Level, Rule
from strongroom.gramine.lint.places import Path
from strongroom.gramine.lint.subject import Subject
from strongroom.gramine.lint.template import is_open
from strongroom.gramine.versions import LATEST, GramineVersion

M10: Final = Rule(id="M10", level=Level.ERROR, title="a key is unknown, removed, or not yet in the release")
M11: Final = Rule(id="M11", level=Level.WARNING, title="a key is deprecated in the release")


_NEVER: Final = len(GramineVersion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: the releases (as 1.N) that have it, from when it is deprecated, and what to write instead."""

    first: int
    last: int
    old: int
    instead: str


# NAMES | first minor | last minor | deprecated from | instead. `*` is any name, `[]` any index, `**` all below.
_TABLE: Final = """
libos.entrypoint libos.check_invalid_pointers fs.start_dir | 0 | 9
loader.preload | 0 | 1 | | loader.entrypoint
loader.exec | | | | libos.entrypoint
loader.entrypoint | 1 | 9
loader.entrypoint.uri loader.entrypoint.sha256 | 8 | 9 | | loader.entrypoint = "file:…"
loader.argv loader.argv[] | 3 | 9 | | loader.argv_src_file
loader.argv_src_file loader.env loader.env_src_file loader.uid loader.gid loader.log_level loader.log_file | 0 | 9
loader.argv0_override | 0 | 2 | | loader.argv, whose first entry is the program's name
loader.pal_internal_mem_size | 0 | 4 | | nothing: the memory grows by itself
loader.insecure__use_cmdline_argv loader.insecure__use_host_env loader.insecure__disable_aslr | 0 | 9
fs.mount fs.mount.* fs.mount.*.type fs.mount.*.path fs.mount.*.uri | 0 | 4 | 2 | fs.mounts = [{ type, path, uri }]
fs.root fs.root.type fs.root.uri fs.root.key_name | 1 | 9
fs.root.path | 1 | 9
fs.experimental__enable_sysfs_topology | 0 | 4 | | nothing: the topology is always there
fs.mounts fs.mounts[] fs.mounts[].type fs.mounts[].path fs.mounts[].uri fs.mounts[].key_name | 2 | 9 | | fs.mount.NAME
fs.mounts[].enable_recovery fs.root.enable_recovery | 9 | 9
sgx.protected_files sgx.protected_files.* sgx.protected_files[] | 0 | 4 | 2 | a mount of type "encrypted"
sgx.protected_mrenclave_files sgx.protected_mrenclave_files.* sgx.protected_mrenclave_files[] | 0 | 4 | 2 | \
a mount of type "encrypted" with key_name = "_sgx_mrenclave"
sgx.protected_mrsigner_files sgx.protected_mrsigner_files.* sgx.protected_mrsigner_files[] | 0 | 4 | 2 | \
a mount of type "encrypted" with key_name = "_sgx_mrsigner"
sgx.insecure__protected_files_key | 0 | 4 | 2 | secret provisioning
fs.insecure__protected_files_key | 2 | 4 | 2 | secret provisioning
fs.insecure__keys fs.insecure__keys.* | 2 | 9
sgx.thread_num | 0 | 4 | 4 | sgx.max_threads
sgx.max_threads | 4 | 9 | | sgx.thread_num
sgx.rpc_thread_num | 0 | 2 | | sgx.insecure__rpc_thread_num, or better nothing
sgx.insecure__rpc_thread_num | 3 | 9 | | sgx.rpc_thread_num
sgx.edmm_enable | 4 | 9
sgx.nonpie_binary | 0 | 4 | | nothing: every program may be loaded anywhere
sgx.require_avx | 0 | 7 | 6 | sgx.cpu_features.avx = "required"
sgx.require_avx512 | 0 | 7 | 6 | sgx.cpu_features.avx512 = "required"
sgx.require_mpx | 0 | 7 | 6 | sgx.cpu_features.mpx = "required"
sgx.require_pkru | 0 | 7 | 6 | sgx.cpu_features.pkru = "required"
sgx.require_amx | 1 | 7 | 6 | sgx.cpu_features.amx = "required"
sgx.cpu_features sgx.cpu_features.avx sgx.cpu_features.avx512 sgx.cpu_features.amx sgx.cpu_features.mpx \
sgx.cpu_features.pkru | 6 | 9 | | sgx.require_avx and its like
sgx.support_exinfo | 0 | 3 | | sgx.use_exinfo
sgx.require_exinfo | 4 | 7 | 6 | sgx.use_exinfo
sgx.use_exinfo | 6 | 9 | | sgx.require_exinfo
sgx.insecure__allow_memfaults_without_exinfo | 7 | 9
sgx.remote_attestation | 0 | 9
sgx.ra_client_spid sgx.ra_client_linkable | 0 | 8 | | nothing: EPID has ended; sgx.remote_attestation = "dcap"
sgx.enclave_size sgx.debug sgx.isvprodid sgx.isvsvn sgx.file_check_policy sgx.preheat_enclave sgx.enable_stats | 0 | 9
sgx.trusted_files sgx.trusted_files[] sgx.trusted_files[].uri sgx.trusted_files[].sha256 | 0 | 9
sgx.allowed_files sgx.allowed_files[] | 0 | 9
sgx.trusted_files.* sgx.allowed_files.* | 0 | 9 | 0 | a list
sgx.profile sgx.profile.enable sgx.profile.mode sgx.profile.with_stack sgx.profile.frequency | 0 | 9
sgx.vtune_profile | 2 | 9
sgx.seal_key sgx.seal_key.flags_mask sgx.seal_key.xfrm_mask sgx.seal_key.misc_mask | 1 | 9
sgx.allow_file_creation sgx.static_address | | | | nothing: only old Graphene had it
sys.stack sys.stack.size sys.brk sys.brk.max_size sys.enable_sigterm_injection sys.insecure__allow_eventfd | 0 | 9
sys.enable_extra_runtime_domain_names_conf | 3 | 9
sys.disallow_subprocesses sys.experimental__enable_flock | 5 | 9
sys.allowed_ioctls sys.allowed_ioctls[] sys.allowed_ioctls[].request_code sys.allowed_ioctls[].struct | 5 | 9
sys.ioctl_structs sys.ioctl_structs.** | 5 | 9
sys.fds sys.fds.limit sys.debug__mock_syscalls sys.debug__mock_syscalls.** | 8 | 9
libos loader fs sgx sys | 0 | 9
"""


def _read_table() -> Mapping[tuple[str, ...], Key]:
    """Return each key of the table by its parts."""
    keys: dict[tuple[str, ...], Key] = {}
    for line in _TABLE.strip().splitlines():
        names, *cells = (cell.strip() for cell in line.split("|"))
        first, last, old, instead = (*cells, "", "", "")[:4]
        key = Key(first=int(first or _NEVER), last=int(last or -1), old=int(old or _NEVER), instead=instead)
        keys |= {_parts(name): key for name in names.split()}
    return MappingProxyType(keys)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(name.replace("[]", ".[]").split("."))


KEYS: Final = _read_table()
_NAMED: Final = tuple(parts for parts in KEYS if "*" not in parts and "**" not in parts)
_WILD: Final = tuple(parts for parts in KEYS if parts not in _NAMED)


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what M10 and M11 find; below a key that is unknown or deprecated, nothing more is said."""
    reported: set[Path] = set()
    for place, value in subject.walk():
        if any(place[:size] in reported for size in range(1, len(place))):
            continue
        found = list(_check_key(subject, place))
        found += _check_form(subject, place, value)
        if found:
            reported.add(place)
        yield from found


def key_of(place: Path) -> Key | None:
    """Return what is known about the key at `place`."""
    parts = tuple("[]" if isinstance(part, int) else part for part in place)
    exact = KEYS.get(parts)
    return exact or next((KEYS[wild] for wild in _WILD if _matches(wild, parts)), None)


def _matches(wild: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if wild[-1] == "**":
        return len(parts) >= len(wild) and _matches(wild[:-1], parts[: len(wild) - 1])
    return len(wild) == len(parts) and all(
        ours == theirs or (ours == "*" and theirs != "[]") for ours, theirs in zip(wild, parts, strict=True)
    )


def _check_key(subject: Subject, place: Path) -> Iterator[Finding]:
    version, key = subject.version, key_of(place)
    if is_open(place[-1]):
        return
    if key is None or key.first == _NEVER:
        near = key.instead if key else _nearest(place)
        yield subject.finding(M10, place, f"Gramine {version} has no such key and ignores it",
                              f"Write {near}." if near else "Remove it.")  # fmt: skip
    elif version < key.first:
        yield subject.finding(M10, place, f"this key came with Gramine 1.{key.first}; {version} ignores it",
                              f"Write {key.instead}." if key.instead else f"Run Gramine 1.{key.first}.")  # fmt: skip
    elif version > key.last:
        yield subject.finding(M10, place, f"this key went with Gramine 1.{key.last}; {version} ignores it",
                              f"Write {key.instead}." if key.instead else "Remove it.")  # fmt: skip
    elif version >= key.old:
        yield subject.finding(M11, place, f"this key is deprecated in Gramine {version}", f"Write {key.instead}.")


def _nearest(place: Path) -> str:
    """Return the key that was probably meant."""
    wanted = ".".join(str(part) for part in place if not isinstance(part, int))
    names = {".".join(part for part in parts if part != "[]") for parts in _NAMED if KEYS[parts].last == LATEST}
    near = difflib.get_close_matches(wanted[:100], sorted(names), n=1, cutoff=0.8)
    return near[0] if near else ""


def _check_form(subject: Subject, place: Path, value: object) -> Iterator[Finding]:
    """Yield keys whose values took another form in the release."""
    version = subject.version
    entrypoint = place == ("loader", "entrypoint") and isinstance(value, str) and value.startswith("file:")
    if entrypoint and version >= GramineVersion.V1_8:
        yield subject.finding(M10, place, f"Gramine {version} wants a table here, not text",
                              "Write loader.entrypoint.uri, or leave it out.")  # fmt: skip
    if place != ("sgx", "remote_attestation") or is_open(value):
        return
    if version >= GramineVersion.V1_3 and not isinstance(value, str):
        yield subject.finding(M10, place, "since Gramine 1.3 this key takes text", 'Write "dcap".')
    elif version < GramineVersion.V1_3 and not isinstance(value, bool):
        yield subject.finding(M10, place, "before Gramine 1.3 this key takes true or false", "Write true.")
    elif value == "epid" and version >= GramineVersion.V1_9:
        yield subject.finding(M10, place, "Gramine 1.9 has no EPID any more", 'Write "dcap".')
