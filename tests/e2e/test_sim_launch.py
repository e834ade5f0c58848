"""A program on the simulated platform, from manifest to verdict, and each change of it seen in the quote."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.attestation import INTEL, Anchor, EvidenceRefused, Verdict, parse_quote, verify
from strongroom.collateral import Folder

PROGRAM = """
import json, os, sys
from strongroom.platforms import detect
print(json.dumps({"quote": detect(os.environ).quote(bytes.fromhex(sys.argv[1])).hex(), "mode": os.environ["MODE"]}))
"""
REPORT_DATA = bytes(range(64))


class Operator:
    """Somebody with a machine: runs the commands, keeps nothing in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "app.manifest"
        self.lines = {
            "libos.entrypoint": json.dumps(sys.executable),
            "loader.argv": json.dumps([sys.executable, "-I", "-B", "program.py", REPORT_DATA.hex()]),
            "loader.env.MODE": '"strict"',
            "sgx.trusted_files": '["file:program.py", "file:model/"]',
            "sgx.remote_attestation": '"dcap"',
            "sgx.isvprodid": "2",
            "sgx.isvsvn": "5",
        }
        (folder / "program.py").write_text(PROGRAM)
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_bytes(bytes(1000))
        self.call("collateral", "--out", str(folder / "trust"))

    def call(self, verb: str, *words: str) -> str:
        command = [sys.executable, "-m", "strongroom", "sim", verb, *words]
        options = ["--world", str(self.folder / "world"), "--beside-real-tee"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, **changes: str) -> None:
        lines = self.lines | {name.replace("__", "."): value for name, value in changes.items()}
        self.manifest.write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))

    def measure(self, *words: str) -> dict[str, object]:
        return json.loads(self.call("measure", str(self.manifest), "--json", *words))

    def quote(self, *words: str) -> bytes:
        return bytes.fromhex(json.loads(self.call("run", str(self.manifest), *words))["quote"])

    def verdict(self, *words: str) -> Verdict:
        quote = self.quote(*words)
        anchor = Anchor.from_certificate((self.folder / "trust" / "anchors" / "simulated.der").read_bytes())
        collateral = Folder(self.folder / "trust" / "collateral").collateral_for(parse_quote(quote))
        return verify(quote, collateral, anchors=[INTEL, anchor], at=datetime.now(UTC))


@pytest.fixture(scope="module")
def operator(tmp_path_factory) -> Operator:
    return Operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def original(operator) -> Verdict:
    operator.write()
    return operator.verdict()


def test_the_quote_verifies_and_says_what_measure_said(operator, original):
    operator.write()
    measured = operator.measure()
    body = original.body
    assert (original.status, original.trust_domain) == ("UpToDate", "simulated")
    assert body.report_data == REPORT_DATA
    assert measured == {
        "mr_enclave": body.mr_enclave.hex(), "mr_signer": body.mr_signer.hex(), "isv_prod_id": 2, "isv_svn": 5,
        "debug": False,
    }  # fmt: skip
    assert (body.isv_prod_id, body.isv_svn) == (2, 5)


def test_the_same_launch_has_the_same_identity_again(operator, original):
    operator.write()
    assert operator.verdict().body == original.body


@pytest.mark.parametrize(
    "change",
    [
        {"loader__argv": json.dumps([sys.executable, "-I", "-B", "program.py", REPORT_DATA.hex(), "--insecure"])},
        {"loader__env__MODE": '"loose"'},
        {"loader__env__EXTRA": '""'},
        {"sgx__trusted_files": '["file:program.py"]'},
    ],
    ids=["argument", "environment value", "environment name", "trusted files"],
)
def test_id_05_a_changed_manifest_is_another_identity(operator, original, change):
    operator.write(**change)
    changed = operator.verdict()
    assert changed.status == "UpToDate"
    assert changed.body.mr_enclave != original.body.mr_enclave
    assert changed.body.mr_signer == original.body.mr_signer


@pytest.mark.parametrize(("name", "content"), [("program.py", PROGRAM + "#"), ("model/weights", "\1" + "\0" * 999)])
def test_id_08_a_changed_file_is_another_identity(operator, original, name, content):
    operator.write()
    before = (operator.folder / name).read_bytes()
    try:
        (operator.folder / name).write_text(content)
        assert operator.verdict().body.mr_enclave != original.body.mr_enclave
    finally:
        (operator.folder / name).write_bytes(before)


def test_a_debug_launch_carries_the_bit_and_the_same_measurement(operator, original):
    operator.write(sgx__debug="true")
    debug = operator.verdict()
    assert debug.debug
    assert not original.debug
    assert debug.body.mr_enclave == original.body.mr_enclave


def test_id_13_nobody_who_trusts_intel_alone_accepts_it(operator):
    operator.write()
    quote = operator.quote()
    collateral = Folder(operator.folder / "trust" / "collateral").collateral_for(parse_quote(quote))
    with pytest.raises(EvidenceRefused) as refusal:
        verify(quote, collateral, anchors=[INTEL], at=datetime.now(UTC))
    assert refusal.value.reason in {"SIMULATED_EVIDENCE", "ROOT_UNTRUSTED"}


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_trust_domain_verifies_and_says_what_measure_said(operator, version):
    operator.write()
    verdict = operator.verdict("--tee", "tdx", "--quote-version", version)
    measured = operator.measure("--tee", "tdx")
    body = verdict.body.to_json_object()
    assert (verdict.status, verdict.tee, verdict.quote_version) == ("UpToDate", "TDX", int(version))
    assert verdict.body.report_data == REPORT_DATA
    assert measured.pop("debug") is False
    assert measured == {name: body[name] for name in measured}
    assert ("mr_service_td" in body) == (version == "5")


def test_id_05_a_changed_manifest_is_another_trust_domain(operator):
    operator.write()
    original = operator.verdict("--tee", "tdx")
    operator.write(loader__env__MODE='"loose"')
    changed = operator.verdict("--tee", "tdx")
    assert changed.status == "UpToDate"
    assert changed.body.mr_td != original.body.mr_td
    assert changed.body.rtmr0 == original.body.rtmr0


def test_a_relaunch_that_is_due_is_advised(operator):
    operator.write()
    verdict = operator.verdict("--tee", "tdx", "--quote-version", "5", "--relaunch-due")
    assert (verdict.status, verdict.module_status) == ("TDRelaunchAdvised", "OutOfDate")


def test_later_versions_of_enclave_quotes_verify_too(operator, original):
    operator.write()
    verdict = operator.verdict("--quote-version", "5")
    assert (verdict.status, verdict.quote_version) == ("UpToDate", 5)
    assert verdict.body == original.body
