"""Each place is asked in its own way: addresses, headers, parameters, versions."""

import pytest

from strongroom.attestation import Tee
from strongroom.collateral.api import BadCollateralRequest, Kind, Request
from strongroom.collateral.profiles import PROFILE_NAMES, UnknownSource, find, is_link_local, is_loopback

TCB = Request(kind=Kind.TCB, tee=Tee.TDX, parameters={"fmspc": "00806F050000"})
IDENTITY = Request(kind=Kind.QE_IDENTITY)
PCK = Request(
    kind=Kind.PCK_CERT,
    parameters={"encrypted_ppid": "00" * 384, "cpusvn": "00" * 16, "pcesvn": "0D00", "pceid": "0000"},
)
ROOT = Request(kind=Kind.ROOT_CRL)


@pytest.mark.parametrize(
    ("name", "request_", "url"),
    [
        ("intel-pcs", TCB, "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00806F050000"),
        ("intel-pcs", ROOT, "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"),
        ("intel-pcs-v3", IDENTITY, "https://api.trustedservices.intel.com/sgx/certification/v3/qe/identity"),
        ("azure", IDENTITY, "http://169.254.169.254/metadata/THIM/sgx/certification/v4/qe/identity"),
        ("azure-cache", IDENTITY, "https://global.acccache.azure.net/sgx/certification/v4/qe/identity"),
        (
            "azure-region:westeurope",
            TCB,
            "https://westeurope.thim.azure.net/tdx/certification/v4/tcb?fmspc=00806F050000&clientid=production_client",
        ),
        (
            "alibaba:cn-hongkong",
            IDENTITY,
            "https://sgx-dcap-server.cn-hongkong.aliyuncs.com/sgx/certification/v4/qe/identity",
        ),
        (
            "alibaba-vpc:cn-beijing",
            IDENTITY,
            "https://sgx-dcap-server-vpc.cn-beijing.aliyuncs.com/sgx/certification/v4/qe/identity",
        ),
        ("tencent", ROOT, "https://sgx-dcap-server-tc.sh.tencent.cn/sgx/certification/v4/rootcacrl"),
        ("bytedance", TCB, "https://sgx-dcap-server.bytedance.com/tdx/certification/v4/tcb?fmspc=00806F050000"),
        ("https://pccs:8081", IDENTITY, "https://pccs:8081/sgx/certification/v4/qe/identity"),
        ("https://pccs:8081/sgx/certification/v3/", IDENTITY, "https://pccs:8081/sgx/certification/v3/qe/identity"),
        ("https://pccs/a/b/tdx/certification/v4", IDENTITY, "https://pccs/a/b/sgx/certification/v4/qe/identity"),
    ],
)
def test_a_place_is_asked_at_its_address(name, request_, url):
    assert find(name).url(request_) == url


def test_azure_wants_its_header_always_and_its_version_for_pck_certificates():
    azure = find("azure")
    assert azure.headers_for(Kind.TCB) == {"metadata": "true"}
    assert "api-version=2021-07-22-preview" in azure.url(PCK)
    assert "api-version" not in azure.url(IDENTITY)


def test_what_nobody_could_check_is_said():
    for name in PROFILE_NAMES:
        profile = find(name.replace("REGION", "westeurope"))
        assert bool(profile.unverified) == (not name.startswith("intel"))


def test_version_3_has_nothing_for_tdx():
    with pytest.raises(BadCollateralRequest):
        find("intel-pcs-v3").url(TCB)


@pytest.mark.parametrize(
    "name",
    [
        "intel",
        "azure-region",
        "azure-region:",
        "alibaba:evil.example/",
        "intel-pcs:x",
        "https://",
        "https://user:secret@pccs",
        "https://user:secret@pccs?x=1",
        "https://user:sec/secret@pccs",
        "https://[user:secret@pccs",
        "https://[::1",
        "https://a b",
        "https://pccs\u2100",
        "https://pccs\n.example",
        "https://pccs?x=1",
        "https://pccs:99999",
        "",
    ],
)
def test_a_name_that_is_no_source_is_refused(name):
    with pytest.raises(UnknownSource) as refused:
        find(name)
    assert refused.value.code == "SR-COLLATERAL-SOURCE-NAME"
    assert "secret" not in refused.value.sentence


def test_this_machine_and_the_metadata_service_are_known():
    assert is_loopback("https://localhost:8081/")
    assert is_loopback("http://[::1]/")
    assert not is_loopback("https://localhost.evil.example/")
    assert is_link_local("http://169.254.169.254/metadata")
    assert not is_link_local("https://pccs")
