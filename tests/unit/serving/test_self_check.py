"""What a replica says about its own machine: the verdict of any verifier, in a sentence."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attestation import TcbStatus
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World
from strongroom.serving.operations.self_check import self_check

ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=datetime.now(UTC))


class Replica:
    name = "simulated"

    def __init__(self, world, *, damaged=False):
        self.world, self.damaged = world, damaged

    def quote(self, report_data):
        quote = bytearray(self.world.quote(ENCLAVE, report_data))
        quote[100] ^= self.damaged
        return bytes(quote)


@pytest.fixture
def sentence(world, tmp_path):
    """What a replica says when its platform's collateral is as rehearsed."""

    def say(*, damaged=False, **rehearsal):
        folder = tmp_path / "collateral"
        folder.mkdir()
        (folder / "c.json").write_text(world.collateral(datetime.now(UTC), Rehearsal(**rehearsal)).to_json())
        root = tmp_path / "root.pem"
        root.write_bytes(x509.load_der_x509_certificate(world.root_der).public_bytes(Encoding.PEM))
        return self_check(Replica(world, damaged=damaged), str(folder), root).sentence()

    return say


def test_sv_19_an_outdated_machine_knows_its_status_and_advisories(sentence):
    assert sentence(status=TcbStatus.OUT_OF_DATE, advisories=("INTEL-SA-00615",)) == "TCB OutOfDate (INTEL-SA-00615)"


def test_a_machine_in_order_says_so(sentence):
    assert sentence() == "TCB UpToDate"


def test_evidence_that_does_not_verify_is_said_with_its_code(sentence):
    assert sentence(damaged=True).startswith("its own evidence does not verify: ")


def test_without_collateral_there_is_a_reason_and_no_verdict(world, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "its own evidence does not verify" in self_check(Replica(world), str(tmp_path / "empty"), None).sentence()
