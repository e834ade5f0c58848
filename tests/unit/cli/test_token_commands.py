"""`strongroom sim attestation-service` and `strongroom token verify`: rehearsed over real sockets, whole commands."""

import hashlib
import json
import ssl
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.attestation import Tee
from strongroom.attestation.tokens import PROFILES
from strongroom.cli.frame import main
from strongroom.collateral.attestation_service import AttestationService, ServiceAddress
from strongroom.pki import ratls
from strongroom.platforms.simulated import EnclaveIdentity, World

REPORT_DATA = hashlib.sha256(b"key").digest() + bytes(32)
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
ITA_ISSUER = "Simulated Trust Authority"
UNSAID = ["attributes", "allow_provision_key", "allow_einittoken_key", "reserved", "config_id", "config_svn",
          "isv_ext_prod_id", "isv_family_id", "accepted_advisory_ids", "max_collateral_age_days"]  # fmt: skip


@dataclass
class Rehearsal:
    """A running double and one quote's tokens."""

    url: str
    folder: Path

    def token(self, profile):
        world = World.open(self.folder / "world")
        service = AttestationService(PROFILES[profile], ServiceAddress.of(self.url))
        token = service.attest(world.quote(ENCLAVE, REPORT_DATA), tee=Tee.SGX, bound=b"key")
        path = self.folder / f"{profile}.jwt"
        path.write_bytes(token + b"\n")
        return path

    def verify(self, profile, *more, issuer=ITA_ISSUER, service=True):
        words = ["token", "verify", "--token", str(self.token(profile)), "--profile", profile]
        words += ["--service", self.url] if service else []
        words += ["--issuer", issuer] if profile == "ita" and issuer else []
        return main([*words, "--keys-cache", str(self.folder / "cache"), *more])


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("double")
    command = ["sim", "attestation-service", "--beside-real-tee", "--world", str(folder / "world")]
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom", *command, "--ready-file", str(folder / "ready")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline().startswith("attestation service double at http://127.0.0.1:")
        assert "SIMULATED" in process.stderr.readline() + process.stderr.readline()
        yield Rehearsal((folder / "ready").read_text(encoding="ascii").strip(), folder)
    finally:
        process.terminate()
        process.communicate()


def policy(tmp_path, *, unsaid, mrenclave="e1" * 32, domain="simulated"):
    path = tmp_path / "policy.toml"
    path.write_text(
        f'version = 1\n[[rule]]\nname = "by token"\nmrenclave = "{mrenclave}"\nrelease = "model/m/1"\n'
        f'trust_domains = ["{domain}"]\naccept_unknown = {json.dumps(unsaid)}\n',
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.parametrize("profile", ["maa", "ita"])
def test_a_token_that_holds_is_shown_with_what_it_does_not_say(rehearsal, profile, capsys):
    assert rehearsal.verify(profile, "--report-data", REPORT_DATA[:32].hex()) == 0
    shown = capsys.readouterr().out
    assert "SIMULATED" in shown
    assert "report data is as wanted" in shown
    assert "e1" * 32 in shown
    assert ("UpToDate" in shown) is (profile == "ita")
    assert ("unknown: the token does not say" in shown) is True


def test_the_object_for_machines(rehearsal, capsys):
    assert rehearsal.verify("ita", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["trust_domain"], shown["claims"]["tcb_status"]) == ("simulated", "UpToDate")
    assert shown["report_data_compared"] is False
    assert "decision" not in shown


def test_a_policy_has_the_last_word(rehearsal, capsys, tmp_path):
    unsaid = [*UNSAID, "accepted_tcb_status"]
    assert rehearsal.verify("maa", "--policy", policy(tmp_path, unsaid=unsaid)) == 0
    assert "accepted by the rule 'by token'" in capsys.readouterr().out
    assert rehearsal.verify("ita", "--policy", policy(tmp_path, unsaid=UNSAID)) == 0  # it says the status
    capsys.readouterr()
    assert rehearsal.verify("maa", "--policy", policy(tmp_path, unsaid=UNSAID)) == 3
    caught = capsys.readouterr()
    assert "SR-TOKEN-NOT-ACCEPTED" in caught.err
    assert "POLICY_TCB_STATUS" in caught.err


def test_a_refusal_for_machines_names_the_rules(rehearsal, capsys, tmp_path):
    assert rehearsal.verify("maa", "--json", "--policy", policy(tmp_path, unsaid=[])) == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown["decision"] == "refused"
    assert {"POLICY_TCB_STATUS", "POLICY_INIT"} <= {reason["code"] for reason in shown["reasons"]}


@pytest.mark.parametrize("domain", ["intel", "azure-attestation", "intel-trust-authority"])
def test_id_13_a_doubles_token_fulfils_no_rule_for_a_real_domain(rehearsal, domain, capsys, tmp_path):
    unsaid = [*UNSAID, "accepted_tcb_status"]
    assert rehearsal.verify("maa", "--policy", policy(tmp_path, unsaid=unsaid, domain=domain)) == 3
    assert "SIMULATED_EVIDENCE" in capsys.readouterr().err


def test_pinned_keys_are_taken_from_a_file(rehearsal, tmp_path, capsys):
    pinned = tmp_path / "keys.json"
    with urllib.request.urlopen(f"{rehearsal.url}/certs") as answer:  # noqa: S310  # loopback, by the fixture
        pinned.write_bytes(answer.read())
    assert rehearsal.verify("maa", "--keys", str(pinned), "--issuer", rehearsal.url, service=False) == 0
    assert rehearsal.verify("maa", "--keys", str(pinned)) == 0
    capsys.readouterr()
    assert rehearsal.verify("maa", "--keys", str(pinned), service=False) == 2
    assert "SR-TOKEN-KEYS-NOT-NAMED" in capsys.readouterr().err


def test_somebody_has_to_say_which_keys_count(rehearsal, capsys):
    assert rehearsal.verify("ita", service=False) == 2
    assert "SR-TOKEN-KEYS-NOT-NAMED" in capsys.readouterr().err


def test_id_13_a_double_does_not_answer_for_trust_authority(rehearsal, capsys):
    assert rehearsal.verify("ita", issuer=None) == 3
    assert "SR-TOKEN-ISSUER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--report-data", "00" * 64], "SR-TOKEN-NOT-BOUND"),
        (["--nonce", "n-1"], "SR-TOKEN-NOT-BOUND"),
        (["--audience", "us"], "SR-TOKEN-AUDIENCE"),
        (["--at", str(int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()))], "SR-TOKEN-KEY-EXPIRED"),
        (["--at", str(int(datetime.now(UTC).timestamp()) + 3600)], "SR-TOKEN-EXPIRED"),
    ],
)
def test_a_token_that_does_not_fit_is_refused(rehearsal, more, code, capsys):
    assert rehearsal.verify("maa", *more) == 3
    assert code in capsys.readouterr().err


@pytest.mark.parametrize("word", ["zz", "00", "00" * 33])
def test_report_data_of_another_length_is_a_misuse(rehearsal, word, capsys):
    assert rehearsal.verify("maa", "--report-data", word) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


def test_a_file_that_is_no_token_is_refused(rehearsal, tmp_path, capsys):
    (tmp_path / "t").write_bytes(b"x" * 100_000)
    words = ["token", "verify", "--token", str(tmp_path / "t"), "--profile", "maa", "--service", rehearsal.url]
    assert main([*words, "--keys-cache", str(tmp_path / "cache")]) == 3
    assert "SR-TOKEN-FORMAT" in capsys.readouterr().err


@pytest.fixture
def evidence(rehearsal, tmp_path):
    """A quote and what it is bound to, as files; and an RA-TLS certificate in both encodings."""
    world = World.open(rehearsal.folder / "world")
    (tmp_path / "quote").write_bytes(world.quote(ENCLAVE, REPORT_DATA))
    (tmp_path / "bound").write_bytes(b"key")
    der = ratls.make_certificate(
        ratls.generate_key(), lambda report_data: world.quote(ENCLAVE, report_data),
        not_before=datetime.now(UTC), not_after=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    (tmp_path / "certificate.der").write_bytes(der)
    (tmp_path / "certificate.pem").write_text(ssl.DER_cert_to_PEM_cert(der), encoding="ascii")
    return tmp_path


@pytest.fixture
def fetch(rehearsal, evidence):
    def run(*words, profile="maa"):
        words = [str(evidence / word) if (evidence / word).is_file() else word for word in words]
        words += ["--service", rehearsal.url, "--profile", profile, "--out", str(evidence / "token")]
        return main(["token", "fetch", *words])

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["--quote", "quote", "--bound", "bound"],
        ["--certificate", "certificate.der"],
        ["--certificate", "certificate.pem"],
    ],
)
@pytest.mark.parametrize("profile", ["maa", "ita"])
def test_a_token_is_fetched_for_a_quote_or_a_certificate(words, profile, fetch, evidence, rehearsal):
    assert fetch(*words, profile=profile) == 0
    issuer = ["--issuer", ITA_ISSUER] if profile == "ita" else []
    verify = ["token", "verify", "--token", str(evidence / "token"), "--profile", profile, "--service", rehearsal.url]
    assert main([*verify, *issuer, "--keys-cache", str(evidence / "cache")]) == 0


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--quote", "quote"], 1, "SR-MISUSE"),
        (["--certificate", "certificate.der", "--bound", "bound"], 1, "SR-MISUSE"),
        (["--quote", "bound", "--bound", "bound"], 3, "SR-QUOTE-TRUNCATED"),
        (["--quote", "quote", "--bound", "quote"], 3, "SR-ATTESTATION-SERVICE-REFUSED"),
        (["--certificate", "quote"], 3, "SR-RATLS-CERTIFICATE"),
        (["--certificate", "broken.pem"], 3, "SR-RATLS-CERTIFICATE"),
    ],
)
def test_without_evidence_there_is_no_token(words, status, code, fetch, evidence, capsys):  # noqa: PLR0917  # three are parameters
    (evidence / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n%%\n")
    assert fetch(*words) == status
    assert code in capsys.readouterr().err
    assert not (evidence / "token").exists()


def test_a_token_is_not_written_over_a_file(fetch, evidence, capsys):
    (evidence / "token").write_bytes(b"mine")
    assert fetch("--quote", "quote", "--bound", "bound") == 2
    assert "SR-ALREADY-THERE" in capsys.readouterr().err
    assert (evidence / "token").read_bytes() == b"mine"


def test_an_api_key_that_others_may_read_is_refused(fetch, evidence, capsys):
    (evidence / "api-key").write_bytes(b"k-1\n")
    (evidence / "api-key").chmod(0o644)
    assert fetch("--quote", "quote", "--bound", "bound", "--api-key", "api-key", profile="ita") == 3
    assert "SR-LOOSE-PERMISSIONS" in capsys.readouterr().err
    (evidence / "api-key").chmod(0o600)
    assert fetch("--quote", "quote", "--bound", "bound", "--api-key", "api-key", profile="ita") == 0
