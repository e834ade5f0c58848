"""What a simulated quoting enclave writes is what a reader finds, whoever is quoted in whatever version."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation import CertificationType, TdAttributes, parse_quote
from strongroom.platforms.simulated import EnclaveIdentity, TdIdentity, TdxModule, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BYTE, WORD = st.integers(0, 255), st.integers(0, 0xFFFF)
ENCLAVES = st.builds(
    EnclaveIdentity, mr_enclave=st.binary(min_size=32, max_size=32), mr_signer=st.binary(min_size=32, max_size=32),
    isv_prod_id=WORD, isv_svn=WORD, debug=st.booleans(),
)  # fmt: skip
LONG = st.binary(min_size=48, max_size=48)
MODULES = st.builds(TdxModule, svn=BYTE, version=BYTE, microcode=BYTE)
DOMAINS = st.builds(
    TdIdentity, mr_td=LONG, rtmrs=st.tuples(LONG, LONG, LONG, LONG), mr_config_id=LONG, mr_owner=LONG,
    mr_owner_config=LONG, mr_service_td=LONG, attributes=st.builds(TdAttributes, st.integers(0, (1 << 64) - 1)),
    module=MODULES, loaded=st.none() | MODULES,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@given(ENCLAVES, st.sampled_from([3, 4, 5]), st.sampled_from(CertificationType), st.binary(min_size=64, max_size=64))
def test_an_enclave_reads_back_as_it_was_quoted(world, identity, version, kind, report_data):
    quote = parse_quote(world.quote(identity, report_data, version=version, certification_type=kind))
    assert (quote.version, quote.certification_type, quote.trailing_len) == (version, kind, 0)
    assert quote.body == identity.report(world.hardware, report_data)


@given(DOMAINS, st.sampled_from([4, 5]), st.sampled_from(CertificationType), st.binary(min_size=64, max_size=64))
def test_a_trust_domain_reads_back_as_it_was_quoted(world, identity, version, kind, report_data):
    if version == 4 and identity.loaded is not None:
        with pytest.raises(ValueError, match=r"version 1\.0"):
            world.quote(identity, report_data, version=version)
        return
    quote = parse_quote(world.quote(identity, report_data, version=version, certification_type=kind))
    assert (quote.version, quote.certification_type, quote.trailing_len) == (version, kind, 0)
    assert quote.body == identity.report(world.hardware, report_data)
