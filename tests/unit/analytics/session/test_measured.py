"""What a report says that a process is measured as."""

from datetime import UTC, datetime

import pytest

from strongroom.analytics.session.measured import measurement_of
from strongroom.attestation import Tee
from strongroom.platforms import QuoteUnavailable
from strongroom.platforms.simulated import EnclaveIdentity, QuoteFormat, TdIdentity, World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=datetime(2026, 11, 20, tzinfo=UTC))


class Signing:
    """A platform of one identity."""

    name = "test"

    def __init__(self, enclave, identity):
        self.quote = lambda report_data: enclave.quote(identity, report_data)


class Broken:
    name = "test"

    def quote(self, _report_data):
        raise QuoteUnavailable("no quote today")


def test_an_enclave_and_a_trust_domain_are_named_by_what_they_are(world):
    enclave = EnclaveIdentity(mr_enclave=bytes(range(32)), mr_signer=world.mr_signer, isv_prod_id=3, isv_svn=7)
    assert measurement_of(Signing(world.quoting_enclave(), enclave)) == f"MRENCLAVE {bytes(range(32)).hex()}"
    domain = TdIdentity(mr_td=bytes(range(48)), rtmrs=tuple(bytes([number]) * 48 for number in range(4)))
    quoting = world.quoting_enclave(QuoteFormat(tee=Tee.TDX, version=4))
    assert measurement_of(Signing(quoting, domain)) == f"MRTD {bytes(range(48)).hex()}"


def test_a_platform_without_a_quote_leaves_the_place_empty():
    assert measurement_of(Broken()) == ""
