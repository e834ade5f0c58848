"""The manifest parser: what it takes, exactly, and what it refuses with which reason."""

import pytest

from strongroom.gramine import manifest
from strongroom.gramine.manifest import EnvValue, ManifestInsecure, ManifestKeyUnknown, ManifestMalformed, TrustedFile

FULL = """
libos.entrypoint = "/usr/bin/python3"
loader.argv = ["python3", "-I", "serve.py", ""]
loader.env.OMP_NUM_THREADS = "2"
loader.env.EMPTY = { value = "" }
loader.env.TZ = { passthrough = true }
sgx.debug = true
sgx.isvprodid = 7
sgx.isvsvn = 65535
sgx.remote_attestation = "dcap"
sgx.allowed_files = []
sgx.trusted_files = [
  "file:serve.py",
  { uri = "file:/opt/model.bin", sha256 = "ABCDEF0000000000000000000000000000000000000000000000000000000000" },
  "file:lib/",
]
"""
SMALL = 'libos.entrypoint = "a"\n'


def test_a_full_manifest_is_read_as_written():
    found = manifest.parse(FULL)
    assert found.entrypoint == "/usr/bin/python3"
    assert found.argv == ("python3", "-I", "serve.py", "")
    assert dict(found.env) == {
        "OMP_NUM_THREADS": EnvValue(value="2"),
        "EMPTY": EnvValue(value=""),
        "TZ": EnvValue(passthrough=True),
    }
    assert found.trusted_files == (
        TrustedFile("file:serve.py", None),
        TrustedFile("file:/opt/model.bin", "abcdef" + "0" * 58),
        TrustedFile("file:lib/", None),
    )
    assert [each.is_directory for each in found.trusted_files] == [False, False, True]
    assert found.trusted_files[1].path == "/opt/model.bin"
    assert (found.debug, found.isvprodid, found.isvsvn) == (True, 7, 65535)
    assert found.remote_attestation == "dcap"


def test_the_defaults_are_gramines():
    found = manifest.parse(SMALL)
    assert found.argv == ("a",)
    assert (found.debug, found.isvprodid, found.isvsvn, found.remote_attestation) == (False, 0, 0, "none")
    assert not found.env
    assert found.trusted_files == ()


def test_tables_and_dotted_keys_are_the_same():
    tables = '[libos]\nentrypoint = "a"\n[sgx]\ndebug = true\n[loader.env]\nX = "1"\n'
    dotted = 'libos.entrypoint = "a"\nsgx.debug = true\nloader.env.X = "1"\n'
    assert manifest.parse(tables) == manifest.parse(dotted)


def test_the_environment_cannot_be_changed_afterwards():
    with pytest.raises(TypeError):
        manifest.parse(FULL).env["X"] = EnvValue(value="1")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("loader.insecure__use_cmdline_argv = true", "arguments"),
        ("loader.insecure__use_cmdline_argv = false", "arguments"),
        ("loader.insecure__use_host_env = true", "environment"),
        ("loader.insecure__disable_aslr = true", "addresses"),
        ('fs.insecure__keys.default = "00112233445566778899aabbccddeeff"', "known to everybody"),
        ('sgx.insecure__protected_files_key = "00"', "known to everybody"),
        ("sgx.insecure__rpc_thread_num = 4", "host watches"),
        ("sgx.insecure__allow_memfaults_without_exinfo = true", "memory faults"),
        ("sys.insecure__allow_eventfd = true", "event counts"),
        ("sgx.insecure__brand_new = 1", "weakens"),
        ('fs.mounts = [ { path = "/a", insecure__x = 1 } ]', "weakens"),
    ],
)
def test_id_05_keys_that_hand_the_host_a_decision_are_refused_with_the_reason(line, word):
    with pytest.raises(ManifestInsecure, match=word) as refusal:
        manifest.parse(SMALL + line)
    assert refusal.value.code == "SR-MANIFEST-INSECURE"


def test_id_06_allowed_files_are_refused():
    with pytest.raises(ManifestInsecure, match="allowed_files lists 1") as refusal:
        manifest.parse(SMALL + 'sgx.allowed_files = ["file:ssl.cfg"]')
    assert "trusted_files" in refusal.value.fix


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PATH", "GCONV_PATH", "JAVA_TOOL_OPTIONS"]
)
def test_id_07_variables_that_choose_code_do_not_come_from_the_host(name):
    with pytest.raises(ManifestInsecure, match=name):
        manifest.parse(SMALL + f"loader.env.{name} = {{ passthrough = true }}")
    assert manifest.parse(SMALL + f'loader.env.{name} = "/fixed"').env[name].value == "/fixed"


def test_id_07_the_quote_channel_cannot_be_redirected_by_a_manifest():
    with pytest.raises(ManifestInsecure, match="STRONGROOM_QUOTE_FD"):
        manifest.parse(SMALL + 'loader.env.STRONGROOM_QUOTE_FD = "0"')


def test_a_variable_may_carry_any_proper_name():
    assert "insecure__name" in manifest.parse(SMALL + 'loader.env.insecure__name = "1"').env


@pytest.mark.parametrize(
    "line",
    [
        "sgx.enclave_size = '4G'",
        "fs.mounts = []",
        "loader.log_level = 'error'",
        "libos.check_invalid_pointers = false",
        "[surprise]",
        '"libos.entrypoint" = "b"',
    ],
)
def test_unknown_keys_are_refused_and_the_known_ones_listed(line):
    with pytest.raises(ManifestKeyUnknown, match="known: ") as refusal:
        manifest.parse(SMALL + line)
    assert refusal.value.code == "SR-MANIFEST-KEY"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not toml",
        'libos = "a"',
        "libos.entrypoint = 3",
        'libos.entrypoint = ""',
        'libos.entrypoint = "a\\u0000b"',
        SMALL + "loader.argv = []",
        SMALL + 'loader.argv = "a b"',
        SMALL + "loader.argv = ['a', 1]",
        SMALL + "loader.argv = ['']",
        SMALL + "loader.env = 1",
        SMALL + 'loader.env."A=B" = "1"',
        SMALL + 'loader.env."" = "1"',
        SMALL + "loader.env.A = 1",
        SMALL + "loader.env.A = { passthrough = false }",
        SMALL + "loader.env.A = { passthrough = 1 }",
        SMALL + "loader.env.A = { passthrough = true, value = '1' }",
        SMALL + "loader.env.A = {}",
        SMALL + "sgx.debug = 1",
        SMALL + "sgx.debug = 'true'",
        SMALL + "sgx.isvprodid = true",
        SMALL + "sgx.isvprodid = 65536",
        SMALL + "sgx.isvsvn = -1",
        SMALL + "sgx.isvsvn = 1.0",
        SMALL + "sgx.isvsvn = 2024-01-01",
        SMALL + "sgx.remote_attestation = true",
        SMALL + "sgx.remote_attestation = 'epid'",
        SMALL + "sgx.allowed_files = 'file:a'",
        SMALL + "sgx.trusted_files = 'file:a'",
        SMALL + "sgx.trusted_files.a = 'file:a'",
        SMALL + "sgx.trusted_files = [ 'a' ]",
        SMALL + "sgx.trusted_files = [ 'file:' ]",
        SMALL + "sgx.trusted_files = [ 'dev:tty' ]",
        SMALL + "sgx.trusted_files = [ 'file:a', { uri = 'file:a' } ]",
        SMALL + "sgx.trusted_files = [ { uri = 'file:a', sha256 = 'ab' } ]",
        SMALL + "sgx.trusted_files = [ { uri = 'file:a', sha256 = 1 } ]",
        SMALL + f"sgx.trusted_files = [ {{ uri = 'file:a/', sha256 = '{'0' * 64}' }} ]",
        SMALL + "sgx.trusted_files = [ { sha256 = '00' } ]",
        SMALL + "sgx.trusted_files = [ { uri = 'file:a', mode = 1 } ]",
        SMALL + "sgx.isvsvn = " + "9" * 5000,
        SMALL + "x = " + "[" * 5000,
        SMALL + "#" + "x" * manifest.MAX_MANIFEST_BYTES,
        SMALL + "#\udc80",
    ],
    ids=lambda text: ascii(text[len(SMALL) : len(SMALL) + 40]),
)
def test_a_value_of_the_wrong_kind_is_refused(text):
    with pytest.raises(ManifestMalformed) as refusal:
        manifest.parse(text)
    assert refusal.value.code == "SR-MANIFEST"


def test_deeply_dotted_keys_end_in_a_refusal_and_not_in_a_traceback():
    with pytest.raises(ManifestMalformed):
        manifest.parse(SMALL + "x" + ".x" * 4000 + " = 1")
