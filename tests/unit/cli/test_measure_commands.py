"""`measure` and `manifest lint`: the seeds' lines, rules that a policy takes, refusals with their codes."""

import json
import tomllib
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom import sealing
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.measurement_file import read_measurement
from strongroom.cli import main
from strongroom.gramine import lint, sigstruct
from strongroom.secret import Secret

CLEAN = """\
libos.entrypoint = "/app"
sgx.isvprodid = 1
sgx.trusted_files = ["file:app"]
"""


@pytest.fixture
def folder(shared_vectors):
    return shared_vectors / "gramine" / "sig"


@pytest.fixture
def run(capsys):
    def call(*words, status=0):
        assert main([str(word) for word in words]) == status
        return capsys.readouterr()

    return call


@pytest.fixture
def manifest(tmp_path):
    def write(text, name="x.manifest"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


def test_a_sig_file_prints_the_four_lines_of_the_seeds(folder, run):
    case = json.loads((folder / "index.json").read_text())[0]
    assert run("measure", folder / case["sig"]).out == (
        f"mr_enclave: {case['mr_enclave']}\nmr_signer: {case['mr_signer']}\nisv_prod_id: 7\nisv_svn: 3\n"
    )


def test_a_sig_file_and_its_manifest_agree(folder, run):
    for case in json.loads((folder / "index.json").read_text()):
        both = run("measure", folder / case["manifest"], folder / case["sig"], "--json")
        found = json.loads(both.out)
        assert {name: found[name] for name in ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn", "debug")} == {
            name: case[name] for name in ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn", "debug")
        }
        assert (found["date"], found["layout"]) == ("2023-04-14", "1.9")


def test_the_json_is_a_measurement_file(folder, run):
    case = json.loads((folder / "index.json").read_text())[1]
    build = read_measurement(run("measure", folder / case["sig"], "--json").out.encode())
    assert build.mr_enclave.hex() == case["mr_enclave"]


def test_id_15_a_manifest_of_another_build_is_refused(folder, run):
    refused = run("measure", folder / "a.sig", folder / "b.manifest.sgx", status=3)
    assert "SR-MEASURE-DIFFERS" in refused.err
    assert refused.out == ""


def test_id_15_a_sig_file_whose_signature_fails_is_refused(folder, run, tmp_path):
    forged = bytearray((folder / "b.sig").read_bytes())
    forged[1026] ^= 1
    (tmp_path / "b.sig").write_bytes(forged)
    refused = run("measure", tmp_path / "b.sig", status=3)
    assert "SR-SIGSTRUCT-SIGNATURE" in refused.err
    assert refused.out == ""


def test_a_manifest_alone_has_no_signer_until_one_is_named(folder, run, tmp_path, key):
    alone = run("measure", folder / "b.manifest.sgx", "--libpal", folder / "libpal.so")
    assert "mr_signer" not in alone.out
    assert "does not say who signs" in alone.err
    pem = tmp_path / "signer.pem"
    pem.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    named = run("measure", folder / "b.manifest.sgx", "--signer", pem)
    assert f"mr_signer: {sigstruct.mr_signer_of(pem.read_bytes()).hex()}\n" in named.out
    assert "SR-SIGSTRUCT-SIGNATURE" in run("measure", folder / "b.sig", "--signer", pem, status=3).err


def test_a_rule_is_one_that_the_policy_file_takes(folder, run):
    case = json.loads((folder / "index.json").read_text())[1]
    for words, word, value in (
        ((), "mrenclave", case["mr_enclave"]),
        (("--by-signer",), "mrsigner", case["mr_signer"]),
    ):
        text = run("measure", folder / "b.sig", "--rule", "--release", "model/m/1", *words).out
        (rule,) = policy_file.parse(f"version = 1\n{text}").rules
        assert tomllib.loads(text)["rule"][0][word] == value
        assert (rule.release, rule.policy.allow_debug) == ("model/m/1", False)


def test_id_01_and_id_15_a_rule_for_a_debug_build_has_to_be_asked_for(folder, run):
    refused = run("measure", folder / "a.sig", "--rule", status=3)
    assert "SR-MEASURE-DEBUG" in refused.err
    text = run("measure", folder / "a.sig", "--rule", "--allow-debug").out
    assert tomllib.loads(text)["rule"][0]["allow_debug"] is True


def test_id_15_a_mask_that_leaves_debug_open_counts_as_debug(run, tmp_path, key):
    loose = sigstruct.Identity(mr_enclave=b"\1" * 32, date=date(2024, 1, 1), attributes_mask=~2 & sigstruct.ALL_FLAGS)
    path = tmp_path / "x.sig"
    path.write_bytes(sigstruct.sign(loose, key))
    assert "SR-MEASURE-DEBUG" in run("measure", path, "--rule", status=3).err
    assert json.loads(run("measure", path, "--json").out)["debug"] is True
    findings = json.loads(run("manifest", "lint", manifest_beside(path), "--sig", path, "--json", status=2).out)
    assert [each["rule"] for each in findings["findings"] if each["level"] == "error"] == ["M02"]


def manifest_beside(path):
    beside = path.with_name("x.manifest")
    beside.write_text(CLEAN, encoding="utf-8")
    return beside


def test_errors_of_measure_say_what_is_missing(folder, run, manifest):
    assert "SR-LIBPAL" in run("measure", manifest("[sgx]\n"), "--libpal", "/nowhere/libpal.so", status=2).err
    template = manifest("x = {{ y }}\n", "x.manifest.template")
    assert "SR-MANIFEST-TEMPLATE" in run("measure", template, status=2).err
    libpal = folder / "libpal.so"
    assert "SR-ELF" in run("measure", manifest("[sgx]\n"), "--libpal", template, status=2).err
    assert "SR-GRAMINE-VERSION" in run("measure", template, "--libpal", libpal, "--gramine", "2.0", status=2).err
    assert "SR-MISUSE" in run("measure", folder / "a.sig", folder / "b.sig", status=1).err
    assert "SR-MISUSE" in run("measure", folder / "b.manifest.sgx", "--rule", "--by-signer", status=1).err
    assert "SR-SIGSTRUCT" in run("measure", manifest("no", "x.sig"), status=2).err


def test_a_release_that_was_not_run_is_said_to_be_so(folder, run):
    told = run("measure", folder / "b.manifest.sgx", "--gramine", "1.7", "--libpal", folder / "libpal.so").err
    assert "was read, not run" in told


def test_a_clean_manifest_ends_with_status_0(run, manifest):
    found = run("manifest", "lint", manifest(CLEAN))
    assert found.out.endswith("x.manifest: 0 errors, 0 warnings\n")
    assert json.loads(run("manifest", "lint", manifest(CLEAN), "--json").out)["findings"] == []


def test_id_17_findings_are_printed_with_place_reason_and_fix(run, manifest):
    path = manifest(CLEAN + 'sgx.debug = true\nloader.log_level = "all"\n')
    found = run("manifest", "lint", path, status=2)
    assert f"{path}:4: error M02 sgx.debug: " in found.out
    assert f"{path}:5: warning M14 loader.log_level: " in found.out
    assert found.out.endswith(": 1 error, 1 warning\n")
    assert "SR-MANIFEST-LINT" in found.err
    told = json.loads(run("manifest", "lint", path, "--json", status=2).out)
    assert (told["errors"], told["warnings"], told["template"]) == (1, 1, False)
    assert set(told["findings"][0]) == {"rule", "level", "place", "line", "why", "fix"}


def test_warnings_fail_in_production_unless_they_are_accepted_by_name(run, manifest):
    path = manifest(CLEAN + 'loader.log_level = "all"\n')
    run("manifest", "lint", path)
    run("manifest", "lint", path, "--production", status=2)
    told = run("manifest", "lint", path, "--production", "--accept", "M14", "--json").out
    assert json.loads(told)["accepted"] == ["M14"]
    run("manifest", "lint", path, "--accept", "M99", status=1)


def test_a_template_is_linted_but_is_nothing_for_production(run, manifest):
    path = manifest(CLEAN + 'loader.log_level = "{{ log_level }}"\n')
    assert "template" in run("manifest", "lint", path).err
    assert "SR-MANIFEST-TEMPLATE" in run("manifest", "lint", path, "--production", status=2).err


def test_a_model_needs_thrice_its_size(run, manifest, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    with (model / "weights").open("wb") as file:
        file.truncate(1 << 30)
    told = json.loads(run("manifest", "lint", manifest(CLEAN), "--model", model, "--json").out)
    assert [each["rule"] for each in told["findings"]] == ["M13"]


def test_a_sealed_file_bound_to_another_path_than_its_mounts_is_found(run, manifest, tmp_path):
    path = manifest(
        CLEAN + 'loader.env.SECRET_PROVISION_SET_KEY = "m"\nloader.env.SECRET_PROVISION_SERVERS = "a.example"\n'
        'fs.mounts = [{ type = "encrypted", path = "/m", uri = "file:sealed", key_name = "m" }]\n'
    )
    wrap_key = Secret(bytes(range(1, 17)))
    with wrap_key.reveal() as raw:
        (tmp_path / "key").write_bytes(raw)
    (tmp_path / "sealed").mkdir()
    for name, stored in (("good", "sealed/good"), ("moved", "elsewhere/moved")):
        (tmp_path / "plain").write_bytes(b"weights")
        sealing.encrypt_file(tmp_path / "plain", tmp_path / "sealed" / name, wrap_key, stored_path=stored)
    options = ("--wrap-key", f"m={tmp_path / 'key'}", "--json")
    told = json.loads(run("manifest", "lint", path, *options, status=2).out)
    assert [each["why"] for each in told["findings"] if each["rule"] == "M16"] == [
        f"{tmp_path / 'sealed' / 'moved'} is bound to 'elsewhere/moved'; its mount makes it 'sealed/moved'"
    ]
    run("manifest", "lint", path, "--wrap-key", "nothing", status=1)


def test_every_rule_is_in_the_documentation(repository_docs):
    page = (repository_docs / "measurements.md").read_text(encoding="utf-8")
    for rule in lint.RULES:
        level = "E" if rule.level is lint.Level.ERROR else "W"
        assert f"| {rule.id} | {level} | " in page, rule.id


@pytest.fixture
def repository_docs(request):
    return request.config.rootpath / "docs"
