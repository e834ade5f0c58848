"""The manifest linter: what each rule finds, and what it leaves alone (threats ID-05 to ID-08, ID-17)."""

import re
import tomllib

import pytest

from strongroom.gramine import lint
from strongroom.gramine.lint.places import lines_of
from strongroom.gramine.lint.template import MAX_BRANCH_DEPTH, plain
from strongroom.gramine.manifest import ManifestMalformed
from strongroom.gramine.versions import GramineVersion

ENV = """
env.LD_LIBRARY_PATH = "/lib:/usr/lib"
env.LD_PRELOAD = "libsecret_prov_attest.so"
env.SECRET_PROVISION_CONSTRUCTOR = "1"
env.SECRET_PROVISION_CA_CHAIN_PATH = "/ssl/ca.crt"
env.SECRET_PROVISION_SERVERS = "attestation.service.com:4433"
"""
CLEAN = f"""\
# Linux 6.0 or later
libos.entrypoint = "/usr/bin/python3"
[loader]
log_level = "error"
argv = ["python3", "-m", "server", "--port", "8500"]
env.SECRET_PROVISION_SET_KEY = "model"
{ENV}
[fs]
start_dir = "/"
[[fs.mounts]]
path = "/lib"
uri = "file:/opt/gramine/lib"
[[fs.mounts]]
path = "/usr"
uri = "file:/usr"
[[fs.mounts]]
path = "/ssl"
uri = "file:ssl"
[[fs.mounts]]
path = "/models"
uri = "file:sealed/models"
type = "encrypted"
key_name = "model"
[[fs.mounts]]
path = "/tmp"
type = "tmpfs"
[sgx]
enclave_size = "4G"
max_threads = 64
isvprodid = 7
isvsvn = 1
remote_attestation = "dcap"
allowed_files = []
trusted_files = ["file:/opt/gramine/lib/", "file:/usr/bin/python3", "file:/usr/lib/", "file:ssl/ca.crt"]
[sys]
stack.size = "4M"
"""
OLD = f"""\
libos.entrypoint = "/usr/bin/python3"
[loader]
argv_src_file = "file:argv"
env.SECRET_PROVISION_SET_PF_KEY = "1"
{ENV}
[fs]
mount.lib.type = "chroot"
mount.lib.path = "/lib"
mount.lib.uri = "file:/opt/gramine/lib"
mount.usr.path = "/usr"
mount.usr.uri = "file:/usr"
mount.ssl.path = "/ssl"
mount.ssl.uri = "file:ssl"
[sgx]
enclave_size = "4G"
thread_num = 64
isvprodid = 7
remote_attestation = true
protected_files = ["file:sealed/models"]
trusted_files = ["file:/opt/gramine/lib/", "file:/usr/bin/python3", "file:/usr/lib/", "file:ssl/ca.crt", "file:argv"]
[sys]
stack.size = "4M"
"""


def rules(text: str, **options: object) -> list[str]:
    return sorted({finding.rule.id for finding in lint.lint(text, **options)})


def without(*lines: str) -> str:
    for line in lines:
        assert f"{line}\n" in CLEAN, line
    return "".join(line for line in CLEAN.splitlines(keepends=True) if line.strip() not in lines)


def with_line(table: str, line: str, base: str = CLEAN) -> str:
    return base.replace(f"[{table}]\n", f"[{table}]\n{line}\n", 1)


def put(table: str, line: str) -> str:
    """Return the clean manifest with `line` instead of the one of the same key."""
    key = line.partition(" =")[0]
    return with_line(table, line, re.sub(rf"^{re.escape(key)} = .*\n", "", CLEAN, flags=re.MULTILINE))


def mounted(*lines: str) -> str:
    return CLEAN.replace("[sgx]\n", "[[fs.mounts]]\n" + "\n".join(lines) + "\n[sgx]\n")


FOUND = [
    ("M01", with_line("loader", "insecure__disable_aslr = true")),
    ("M01", with_line("sgx", "insecure__rpc_thread_num = 2")),
    ("M01", with_line("sys", "insecure__allow_eventfd = true")),
    ("M01", with_line("sgx", "insecure__of_tomorrow = true")),
    ("M02", with_line("sgx", "debug = true")),
    ("M02", with_line("sgx", "enable_stats = true")),
    ("M02", with_line("sgx", 'profile.enable = "main"')),
    ("M03", put("sgx", 'allowed_files = ["file:data"]')),
    ("M04", with_line("sgx", 'file_check_policy = "allow_all_but_log"')),
    ("M05", with_line("fs", 'insecure__keys.default = "ffeeddccbbaa99887766554433221100"')),
    ("M06", put("loader", 'env.SECRET_PROVISION_SET_KEY = "other"')),
    ("M06", without('env.SECRET_PROVISION_SET_KEY = "model"')),
    ("M06", put("loader", "env.SECRET_PROVISION_SET_KEY = { passthrough = true }")),
    ("M07", without('remote_attestation = "dcap"')),
    ("M07", put("sgx", 'remote_attestation = "none"')),
    ("M08", put("loader", 'env.SECRET_PROVISION_CA_CHAIN_PATH = "/ssl/other.crt"')),
    ("M08", put("loader", 'env.SECRET_PROVISION_CA_CHAIN_PATH = "/ca.crt"')),
    ("M08", without('env.SECRET_PROVISION_CA_CHAIN_PATH = "/ssl/ca.crt"')),
    ("M09", mounted('path = "/more"', 'uri = "file:sealed/models/1"', 'type = "encrypted"', 'key_name = "model"')),
    ("M09", mounted('path = "/more"', 'uri = "file:sealed"')),
    ("M09", CLEAN.replace("trusted_files = [", 'trusted_files = ["file:sealed/models/a", ')),
    ("M09", put("sgx", 'allowed_files = ["file:sealed/"]')),
    ("M10", with_line("sgx", "thread_num = 64")),
    ("M10", with_line("sgx", "max_thread = 64")),
    ("M10", with_line("loader", 'exec = "file:x"')),
    ("M10", with_line("loader", 'entrypoint = "file:x"')),
    ("M10", with_line("loader", 'entrypoint = "file:{{ gramine.libos }}"')),
    ("M10", put("sgx", 'remote_attestation = "epid"')),
    ("M10", put("sgx", "remote_attestation = true")),
    ("M10", "unheard.of = 1\n" + CLEAN),
    ("M11", CLEAN.replace("trusted_files = [", 'trusted_files.a = "file:x"\n#')),
    ("M12", put("sgx", 'enclave_size = "3G"')),
    ("M12", put("sgx", "enclave_size = 4096")),
    ("M12", with_line("sgx", "preheat_enclave = true\nedmm_enable = true")),
    ("M12", with_line("loader", 'argv_src_file = "file:ssl/ca.crt"')),
    ("M12", with_line("loader", "env.X = { passthrough = false }")),
    ("M13", put("sgx", "max_threads = 63")),
    ("M13", put("sys", 'stack.size = "1M"')),
    ("M13", without('stack.size = "4M"')),
    ("M14", without("isvprodid = 7", "isvsvn = 1")),
    ("M14", put("loader", 'log_level = "debug"')),
    ("M14", with_line("sgx", "edmm_enable = true", CLEAN.replace("# Linux 6.0 or later", "#"))),
    ("M15", CLEAN.replace('"file:/usr/bin/python3", ', "")),
    ("M15", put("loader", 'env.LD_PRELOAD = "libsecret_prov_attest.so /home/x.so"')),
    ("M15", put("loader", 'env.LD_PRELOAD = { passthrough = true }')),
    ("M15", with_line("loader", "env.PYTHONPATH = { passthrough = true }")),
    ("M15", with_line("loader", "env.PATH = { passthrough = true }")),
    ("M15", with_line("loader", "env.JAVA_TOOL_OPTIONS = { passthrough = true }")),
    ("M15", with_line("loader", "env.https_proxy = { passthrough = true }")),
    ("M15", with_line("loader", "env.SSL_CERT_FILE = { passthrough = true }")),
    ("M15", with_line("loader", "env.TF_NUM_INTEROP_THREADS = { passthrough = true }")),
    ("M15", with_line("loader", 'env_src_file = "file:env"')),
    ("M16", CLEAN.replace("file:sealed/models", "file:./sealed/models")),
    ("M16", CLEAN.replace("file:sealed/models", "file:sealed//models")),
    ("M16", CLEAN.replace("file:sealed/models", "file:x/../sealed/models")),
    ("M17", put("sgx", 'allowed_files = ["file:ssl/"]')),
    ("M17", CLEAN.replace('key_name = "model"', 'key_name = "_sgx_mrsigner"')),
    ("M18", put("loader", 'env.SECRET_PROVISION_SERVERS = "10.0.0.1:4433"')),
    ("M18", put("loader", 'env.SECRET_PROVISION_SERVERS = "a.example:4433;[::1]:4433"')),
    ("M18", without('env.SECRET_PROVISION_SERVERS = "attestation.service.com:4433"')),
    ("M19", with_line("sys", "experimental__enable_flock = true")),
    ("M19", with_line("sys", 'debug__mock_syscalls = [{ name = "fork" }]')),
    ("M19", mounted('path = "/shm"', 'uri = "dev:/dev/shm"', 'type = "untrusted_shm"')),
    ("M20", with_line("loader", "env.COLUMNS = { passthrough = true }")),
    ("M21", put("loader", 'env.SECRET_PROVISION_SET_KEY = "_sgx_mrenclave"')),
    ("M21", CLEAN.replace('key_name = "model"', 'key_name = "_mine"')),
    ("M21", with_line("loader", 'env.K = "/dev/attestation/keys/_sgx_mrenclave"',
                      CLEAN.replace('key_name = "model"', 'key_name = "_sgx_mrenclave"'))),
]  # fmt: skip

LEFT_ALONE = [
    ("M01", with_line("loader", "insecure__disable_aslr = false")),
    ("M01", with_line("loader", 'env.insecure__not_a_key = "1"')),
    ("M02", with_line("sgx", 'debug = false\nprofile.enable = "none"')),
    ("M04", with_line("sgx", 'file_check_policy = "strict"')),
    ("M06", CLEAN.replace('key_name = "model"', 'key_name = "_sgx_mrenclave"')),
    ("M06", put("loader", 'env.SECRET_PROVISION_SET_KEY = { value = "model" }')),
    ("M07", put("sgx", 'remote_attestation = "none"').replace("SECRET_", "OTHER_").replace("libsecret_prov", "lib")),
    ("M09", mounted('path = "/more"', 'uri = "file:sealed/modelsandmore"')),
    ("M10", with_line("loader", 'entrypoint.uri = "file:x"')),
    ("M10", with_line("sys", 'ioctl_structs.ifreq = [{ size = 40, direction = "inout" }]')),
    ("M12", put("sgx", 'enclave_size = "0x100000000"')),
    ("M13", put("sgx", "max_threads = 4").replace('"server", "--port", "8500"', '"batch"')),
    ("M14", with_line("sgx", "edmm_enable = true")),
    ("M15", put("loader", 'env.LD_PRELOAD = "/lib/libsecret_prov_attest.so"')),
    ("M15", put("loader", 'env.LD_PRELOAD = ""')),
    ("M16", CLEAN.replace("file:sealed/models", "file:/sealed/models/")),
    ("M17", put("sgx", 'allowed_files = ["file:ssl2/"]')),
    ("M18", put("loader", 'env.SECRET_PROVISION_SERVERS = "a.example:4433"')),
    ("M19", with_line("sys", "experimental__enable_flock = false")),
    ("M20", with_line("loader", 'env.COLUMNS = "80"')),
    ("M21", put("loader", 'env.SECRET_PROVISION_SET_KEY = "default"')),
]  # fmt: skip


def test_the_clean_manifest_is_clean():
    assert lint.lint(CLEAN) == ()


@pytest.mark.parametrize(("rule", "text"), FOUND, ids=lambda value: value if len(value) == 3 else "")
def test_id_17_each_rule_finds_what_it_is_for(rule, text):
    found = [finding for finding in lint.lint(text) if finding.rule.id == rule]
    assert found, rules(text)
    assert all(finding.why and finding.fix.endswith(".") and finding.place for finding in found)


@pytest.mark.parametrize(("rule", "text"), LEFT_ALONE, ids=lambda value: value if len(value) == 3 else "")
def test_each_rule_leaves_alone_what_is_well(rule, text):
    assert rule not in rules(text)


def test_old_protected_files_lie_on_an_ordinary_mount_and_on_no_trusted_one():
    mount = 'mount.models.path = "/models"\nmount.models.uri = "file:sealed/models"'
    on_a_mount = with_line("fs", mount, OLD)
    assert "M09" not in rules(on_a_mount, version=GramineVersion.V1_0)
    trusted = on_a_mount.replace("trusted_files = [", 'trusted_files = ["file:sealed/models/1/a", ')
    assert "M09" in rules(trusted, version=GramineVersion.V1_0)


def test_every_rule_has_a_manifest_of_each_kind():
    assert {rule for rule, _ in FOUND} == {rule.id for rule in lint.RULES}
    assert {rule for rule, _ in LEFT_ALONE} | {"M03", "M05", "M08", "M11"} == {rule.id for rule in lint.RULES}


def test_id_05_arguments_and_environment_from_the_host_are_errors():
    for key in ("insecure__use_cmdline_argv", "insecure__use_host_env"):
        found = [each for each in lint.lint(with_line("loader", f"{key} = true")) if each.rule.id == "M01"]
        assert [(each.place, each.line, each.is_error) for each in found] == [(f"loader.{key}", 4, True)]


@pytest.mark.parametrize(
    ("entry", "what"), [("file:ssl.cfg", "TLS"), ("file:/ssl/server.key", "key"), ("file:/", "system tree"),
                        ("file:/etc/", "system tree"), ("file:/etc/hosts", "configuration"),
                        ("file:app/main.py", "code"), ("file:/usr/bin/java", "code"), ("file:.", "system tree"),
                        ("file:data/x.bin2", "unprotected")],
)  # fmt: skip
def test_id_06_an_allowed_file_is_called_what_it_is(entry, what):
    found = [each for each in lint.lint(put("sgx", f'allowed_files = ["{entry}"]')) if each.rule.id == "M03"]
    assert [each.place for each in found] == ["sgx.allowed_files[0]"]
    assert what in found[0].why


def test_id_07_and_id_08_every_variable_of_the_host_is_found():
    text = CLEAN
    names = ["LD_AUDIT", "PYTHONSTARTUP", "GCONV_PATH", "OMP_NUM_THREADS", "HTTP_PROXY", "RA_TLS_MRSIGNER", "TERM"]
    for name in names:
        text = with_line("loader", f"env.{name} = {{ passthrough = true }}", text)
    found = {each.place.removeprefix("loader.env."): each.rule.id for each in lint.lint(text)}
    assert found == {name: "M20" if name == "TERM" else "M15" for name in names}


def test_id_17_every_release_has_a_clean_manifest():
    for version in GramineVersion:
        text = CLEAN if version >= GramineVersion.V1_4 else OLD
        if version < GramineVersion.V1_3:
            pass
        elif version < GramineVersion.V1_4:
            text = text.replace("remote_attestation = true", 'remote_attestation = "dcap"')
        errors = [each for each in lint.lint(text, version=version) if each.is_error]
        assert errors == [], f"{version}: {errors}"


@pytest.mark.parametrize(
    ("key", "value", "version", "rule", "instead"),
    [
        ("sgx.thread_num", "4", 9, "M10", "sgx.max_threads"), ("sgx.thread_num", "4", 4, "M11", "sgx.max_threads"),
        ("sgx.max_threads", "4", 3, "M10", "sgx.thread_num"), ("sgx.require_avx", "true", 6, "M11", "cpu_features.avx"),
        ("sgx.require_avx", "true", 8, "M10", "cpu_features.avx"),
        ("sgx.cpu_features.avx", '"required"', 5, "M10", "require_avx"),
        ("sgx.ra_client_spid", '"x"', 9, "M10", "dcap"), ("sgx.ra_client_spid", '"x"', 8, None, ""),
        ("fs.mount.lib.path", '"/lib"', 9, "M10", "fs.mounts"), ("fs.mount.lib.path", '"/lib"', 3, "M11", "fs.mounts"),
        ("sgx.protected_files", '["file:x"]', 9, "M10", "encrypted"),
        ("loader.argv", '["x"]', 2, "M10", "argv_src_file"),
        ("loader.preload", '"file:x"', 9, "M10", "loader.entrypoint"), ("sys.fds.limit", "900", 7, "M10", "1.8"),
        ("sgx.remote_attestation", '"dcap"', 2, "M10", "true"), ("sgx.remote_attestation", '"epid"', 8, None, ""),
        ("sgx.static_address", "true", 9, "M10", "old Graphene"),
        ("sgx.enclave_sise", '"4G"', 9, "M10", "sgx.enclave_size"),
        ("libos.entry_point", '"x"', 9, "M10", "libos.entrypoint"), ("sgx.nonpie_binary", "true", 5, "M10", "nothing"),
    ],
)  # fmt: skip
def test_id_17_keys_are_those_of_the_release(key, value, version, rule, instead):
    found = lint.lint(f"{key} = {value}\n", version=GramineVersion(version))
    keyed = [each for each in found if each.rule.id in {"M10", "M11"}]
    assert {each.rule.id for each in keyed} == ({rule} if rule else set())
    assert all(instead in each.why + each.fix for each in keyed)


def test_an_unknown_table_is_named_once_and_not_key_by_key():
    found = lint.lint(CLEAN + "[sgxx]\na = 1\nb.c = 2\n")
    assert [(each.rule.id, each.place) for each in found] == [("M10", "sgxx")]


def test_a_deprecated_table_is_named_once_with_the_line_of_its_first_key():
    found = lint.lint(OLD, version=GramineVersion.V1_2)
    line = OLD[: OLD.index("mount.lib.type")].count("\n") + 1
    assert [(each.place, each.line) for each in found if each.place.startswith("fs")] == [("fs.mount", line)]


def test_servers_of_the_host_are_found_once():
    text = put("loader", "env.SECRET_PROVISION_SERVERS = { passthrough = true }")
    assert rules(text) == ["M15"]


def test_a_large_model_needs_memory():
    assert rules(CLEAN, model_bytes=2 << 30) == ["M13"]
    assert rules(CLEAN, model_bytes=1 << 30) == []


TEMPLATE = CLEAN.replace("/opt/gramine/lib", '{{ gramine.runtimedir("glibc") }}').replace(
    "max_threads = 64", "max_threads = {{ threads }}\n{# a note #}"
)


def test_a_template_is_judged_by_what_its_text_says():
    assert lint.is_template(TEMPLATE)
    assert not lint.is_template(CLEAN)
    assert lint.lint(TEMPLATE) == ()
    assert rules(TEMPLATE.replace("[sgx]\n", "[sgx]\ndebug = true\n")) == ["M02"]
    assert rules(TEMPLATE.replace('remote_attestation = "dcap"', 'remote_attestation = "{{ ra }}"')) == []
    other = TEMPLATE.replace('["file:{{ gramine.runtimedir("glibc") }}/"', '["file:{{ x }}/"')
    other = other.replace('"file:/usr/lib/", ', "")
    assert rules(other) == ["M15"]  # the library's folder is not the trusted one


def test_both_ends_of_a_condition_are_judged():
    text = CLEAN.replace("[sgx]\n", "[sgx]\n{% if a %}\ndebug = true\n{% else %}\nenable_stats = true\n{% endif %}\n")
    found = [(each.place, each.line) for each in lint.lint(text)]
    line = text[: text.index("debug")].count("\n") + 1
    assert found == [("sgx.debug", line), ("sgx.enable_stats", line + 2)]


def test_conditions_nested_too_deeply_are_refused():
    with pytest.raises(ManifestMalformed):
        plain("{% if x %}" * (MAX_BRANCH_DEPTH + 1))


@pytest.mark.parametrize("text", ["a = ", "[sgx", "a.b = 1\na = 2", "x = {{ a }}0", "\ud800", "a." * 40 + "b = 1"])
def test_what_is_not_toml_is_refused(text):
    with pytest.raises(ManifestMalformed) as caught:
        lint.lint(text)
    assert caught.value.code == "SR-MANIFEST"


def test_values_of_a_wrong_type_make_no_rule_stumble():
    for value in ("1", '"x"', "[1]", "[[1]]", "{ a = 1 }", "[{ uri = 1, path = 2 }]", "2020-01-01", "true"):
        for key in ("sgx", "fs", "loader", "sys", "libos", "fs.mounts", "fs.mount", "fs.root", "loader.env",
                    "loader.argv",
                    "sgx.trusted_files", "sgx.allowed_files", "sgx.enclave_size", "sgx.profile", "fs.insecure__keys",
                    "sys.stack", "loader.env.LD_PRELOAD", "loader.env.SECRET_PROVISION_SERVERS", "sgx.max_threads",
                    "fs.start_dir", "libos.entrypoint", "sgx.protected_files"):  # fmt: skip
            lint.lint(f"{key} = {value}\n")


def test_too_many_mounts_are_not_looked_at():
    with pytest.raises(ManifestMalformed, match="mounts"):
        lint.lint('[[fs.mounts]]\npath = "/a"\n' * 1001)


def test_lines_are_those_of_keys_and_entries():
    text = (
        "a.b = 1\n[[c]]\nd = [\n 1,\n { e = 2 },\n]\n[[c]]\n\"x y\" = '''\n\n'''\nz = 1 # [q]\n[c.t]\nu = {v.w = 3}\n"
    )
    tomllib.loads(text)
    found = lines_of(text)
    assert found[("a", "b")] == 1
    assert found[("c", 0, "d", 0)] == 4
    assert found[("c", 0, "d", 1, "e")] == 5
    assert found[("c", 1, "x y")] == 8
    assert found[("c", 1, "z")] == 11
    assert found[("c", 1, "t", "u", "v", "w")] == 13
