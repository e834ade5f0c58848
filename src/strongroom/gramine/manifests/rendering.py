"""Write a program's manifest template as one release of Gramine wants it, the same bytes every time. Pure.

What differs between releases is in spec gramine.md section 7.1; what a server needs is in 7.3 and 7.4. Of Jinja there
is only what says where Gramine itself is installed: `gramine-manifest` fills that in, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from strongroom.gramine.manifests.program import KEY_NAME, SEALING_KEY, Encrypted, Program
from strongroom.gramine.manifests.toml_writing import array, key, text
from strongroom.gramine.versions import LATEST, GramineVersion

V = GramineVersion
RUNTIME = "{{ gramine.runtimedir() }}"
LIBRARIES = "{{ gramine.libdir }}"
LIBRARIES_INSIDE = "/gramine/lib"  # a place of its own: packages put Gramine's libraries among the system's
LIBOS = "{{ gramine.libos }}"
HOSTS = "/app/hosts"  # names and addresses, where the release cannot resolve them: the host's own file is not trusted
_PROVISIONING_LIBRARY = "libsecret_prov_attest.so"
# Spec 7.4: what the JVM asks for network interfaces with; field names as in Gramine 1.5 and later.
_IOCTLS = """\
sys.ioctl_structs.ifreq = [ { size = 40, direction = "inout" } ]
sys.ioctl_structs.ifconf = [
  { name = "ifc_len", size = 4, direction = "inout" },
  { size = 4 },
  { ptr = [ { size = "ifc_len", direction = "in" } ] },
]
sys.allowed_ioctls = [
  { request_code = 0x8912, struct = "ifconf" },
  { request_code = 0x8927, struct = "ifreq" },
]"""


def render(program: Program, version: GramineVersion = LATEST) -> str:
    """Return `NAME.manifest.template` for Gramine 1.0 to 1.9."""
    parts = [
        f"# {program.title}, for Gramine {version}. Every byte of this is measured.",
        "# Rendered by strongroom deploy render: change strongroom.toml, not this file.",
        "",
        *_start(program, version),
        "",
        *_environment(program, version),
        "",
        *_files(program, version),
        "",
        *_identity(program, version),
        "",
        f"sgx.trusted_files = {array([f'file:{each}' for each in trusted_files(program, version)])}",
        "sgx.allowed_files = []",
        "",
        *_system(program, version),
        "",
    ]
    return "\n".join(parts)


def environment(program: Program, version: GramineVersion) -> Mapping[str, str]:
    """Return all variables: the program's own, the loader's, and those of secret provisioning."""
    found = dict(program.env)
    places = ["/lib", LIBRARIES_INSIDE, program.arch_libraries, f"/usr{program.arch_libraries}"]
    own = [each for each in found.get("LD_LIBRARY_PATH", "").split(":") if each]
    found["LD_LIBRARY_PATH"] = ":".join([*own, *places])
    if program.provisioning is not None:
        found |= {
            "LD_PRELOAD": _PROVISIONING_LIBRARY,
            "SECRET_PROVISION_CONSTRUCTOR": "1",
            "SECRET_PROVISION_CA_CHAIN_PATH": program.provisioning.ca_path,
            "SECRET_PROVISION_SERVERS": program.provisioning.servers,
            # Before 1.3, the broker has to send the key in hex: secret_format = "hex32z" in the rule.
            **({"SECRET_PROVISION_SET_KEY": KEY_NAME} if version >= V.V1_3 else {"SECRET_PROVISION_SET_PF_KEY": "1"}),
        }
    return dict(sorted(found.items()))


def trusted_files(program: Program, version: GramineVersion = LATEST) -> tuple[str, ...]:
    """Return the paths of everything that is measured, Gramine's own files first."""
    system = [f"{RUNTIME}/", f"{LIBRARIES}/", f"{program.arch_libraries}/", f"/usr{program.arch_libraries}/"]
    if version < V.V1_8:
        system.insert(0, LIBOS)
    own = [*program.trusted, *([program.argv_file, HOSTS] if version < V.V1_3 else [])]
    return tuple(dict.fromkeys([*system, *own]))


def mounted(program: Program) -> tuple[str, ...]:
    """Return the folders and files that the program sees where they lie on the host."""
    system = [program.arch_libraries, f"/usr{program.arch_libraries}"]
    found: list[str] = []
    for path in sorted(dict.fromkeys([*system, *(each.rstrip("/") for each in program.trusted)])):
        if not any(path.startswith(f"{above}/") for above in found):
            found.append(path)
    return tuple(found)


def _start(program: Program, version: GramineVersion) -> Iterator[str]:
    if version == V.V1_0:
        yield f'loader.preload = "file:{LIBOS}"'
    elif version < V.V1_8:
        yield f'loader.entrypoint = "file:{LIBOS}"'
    yield f"libos.entrypoint = {text(program.entrypoint)}"
    yield 'loader.log_level = "error"'
    if version >= V.V1_3:
        yield f"loader.argv = {array(program.argv)}"
    else:
        yield f"loader.argv_src_file = {text(f'file:{program.argv_file}')}"


def _environment(program: Program, version: GramineVersion) -> Iterator[str]:
    for name, value in environment(program, version).items():
        yield f"loader.env.{key(name)} = {text(value)}"


def _files(program: Program, version: GramineVersion) -> Iterator[str]:
    if version >= V.V1_2:
        yield "fs.mounts = ["
        for words in _mounts(program, version):
            yield f"  {{ {', '.join(f'{word} = {text(value)}' for word, value in words.items())} }},"
        yield "]"
        return
    for number, words in enumerate(_old_mounts(program, version)):
        for word, value in words.items():
            yield f"fs.mount.m{number:02}.{word} = {text(value)}"
    for name, chosen in (("protected_files", KEY_NAME), ("protected_mrenclave_files", SEALING_KEY)):
        uris = [_old_uri(each) for each in old_protected(program, version) if each.key_name == chosen]
        if uris:
            yield f"sgx.{name} = {array(uris)}"


def _mounts(program: Program, version: GramineVersion) -> Iterator[Mapping[str, str]]:
    yield {"path": "/lib", "uri": f"file:{RUNTIME}"}
    yield {"path": LIBRARIES_INSIDE, "uri": f"file:{LIBRARIES}"}
    for path in mounted(program):
        yield {"path": path, "uri": f"file:{path}"}
    if version < V.V1_3:
        yield {"path": "/etc/hosts", "uri": f"file:{HOSTS}"}
    for each in program.encrypted:
        yield {"type": "encrypted", "path": each.path, "uri": f"file:{each.host}", "key_name": each.key_name}
    for path in program.temporary:
        yield {"type": "tmpfs", "path": path}


def old_protected(program: Program, version: GramineVersion) -> tuple[Encrypted, ...]:
    """Return what is encrypted where mounts cannot say so; before 1.1 that includes what later is memory."""
    memory = program.temporary if version == V.V1_0 else ()
    return (*program.encrypted, *(Encrypted(path=path, host=path, key_name=SEALING_KEY) for path in memory))


def _old_uri(each: Encrypted) -> str:
    return f"file:{each.host}{'/' if each.is_folder else ''}"


def _old_mounts(program: Program, version: GramineVersion) -> Iterator[Mapping[str, str]]:
    """Yield mounts as 1.0 and 1.1 have them: encrypted folders are ordinary mounts that are listed as protected."""
    for words in _mounts(program, version):
        kind = words.get("type", "chroot")
        if kind == "tmpfs" and version >= V.V1_1:
            yield {"type": "tmpfs", "path": words["path"], "uri": "file:unused"}  # 1.1 wants one and ignores it
        elif kind == "tmpfs":
            yield {"type": "chroot", "path": words["path"], "uri": f"file:{words['path']}"}
        else:
            yield {"type": "chroot", "path": words["path"], "uri": words["uri"]}


def _identity(program: Program, version: GramineVersion) -> Iterator[str]:
    enclave = program.enclave
    yield f"sgx.enclave_size = {text(enclave.size)}"
    yield f"sgx.{'max_threads' if version >= V.V1_4 else 'thread_num'} = {enclave.threads}"
    yield "sgx.debug = false"
    yield f"sgx.isvprodid = {enclave.isvprodid}"
    yield f"sgx.isvsvn = {enclave.isvsvn}"
    yield 'sgx.remote_attestation = "dcap"' if version >= V.V1_3 else "sgx.remote_attestation = true"
    yield 'sgx.file_check_policy = "strict"'


def _system(program: Program, version: GramineVersion) -> Iterator[str]:
    yield f"sys.stack.size = {text(program.enclave.stack)}"
    yield f"sys.brk.max_size = {text(program.enclave.brk)}"
    yield "sys.enable_sigterm_injection = true"
    if version >= V.V1_3:
        yield "sys.enable_extra_runtime_domain_names_conf = true"
    if version >= V.V1_5 and not program.children:
        yield "sys.disallow_subprocesses = true"
    if version >= V.V1_8:
        yield f"sys.fds.limit = {program.enclave.files}"
    if version >= V.V1_5 and program.lists_interfaces:
        yield _IOCTLS
