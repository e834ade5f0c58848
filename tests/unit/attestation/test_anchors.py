"""Anchors: which keys may be pinned, for which domain, under which names."""

import pytest

from strongroom.attestation import INTEL, Anchor, AnchorUnusable, TrustDomain
from strongroom.attestation.anchors import INTEL_ROOT_KEY

OTHER_POINT = bytes.fromhex(  # the generator of P-256
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def test_intels_anchor_is_the_published_key():
    assert INTEL.domain is TrustDomain.INTEL
    assert INTEL.root_key_id == (
        "46e403bd34f05a3f2817ab9badcaacc7ffc98e0f261008cd30dae936cace18d5dcf58eef31463613de1570d516200993"
    )


@pytest.mark.parametrize("prefix", ["Intel SGX", "Simulated SGX"])
@pytest.mark.parametrize("form", ["der", "pem"])
def test_a_root_certificate_makes_a_simulated_anchor_with_its_prefix(lw, prefix, form):
    world = lw.LittleWorld(prefix=prefix)
    data = world.root_der() if form == "der" else lw.pem(world.certificate("root")).encode()
    anchor = Anchor.from_certificate(data)
    assert (anchor.domain, anchor.cn_prefix) == (TrustDomain.SIMULATED, prefix)
    assert anchor.public_key == b"\x04" + lw.raw_point(lw.KEYS["root"])


@pytest.mark.parametrize(
    ("domain", "key", "prefix"),
    [
        (TrustDomain.INTEL, OTHER_POINT, "Intel SGX"),
        (TrustDomain.SIMULATED, INTEL_ROOT_KEY, "Simulated SGX"),
        (TrustDomain.INTEL, INTEL_ROOT_KEY, "Simulated SGX"),
        (TrustDomain.SIMULATED, OTHER_POINT, "Some SGX"),
        (TrustDomain.SIMULATED, OTHER_POINT, ""),
        (TrustDomain.SIMULATED, OTHER_POINT[:-1] + b"\x00", "Simulated SGX"),
        (TrustDomain.SIMULATED, OTHER_POINT[:33], "Simulated SGX"),
        (TrustDomain.SIMULATED, b"", "Simulated SGX"),
        (TrustDomain.AZURE_ATTESTATION, OTHER_POINT, "Intel SGX"),
        (TrustDomain.INTEL_TRUST_AUTHORITY, OTHER_POINT, "Simulated SGX"),
    ],
)
def test_sc_02_domain_key_and_names_belong_together(domain, key, prefix):
    with pytest.raises(AnchorUnusable) as caught:
        Anchor(domain=domain, public_key=key, cn_prefix=prefix)
    assert caught.value.code == "SR-ANCHOR"


def test_a_certificate_that_is_no_root_is_no_anchor(lw, world):
    leaf = world.certificate("leaf").public_bytes(lw.serialization.Encoding.DER)
    chain = "".join(lw.pem(world.certificate(role)) for role in ("ca", "root")).encode()
    renamed = lw.LittleWorld(prefix="Some SGX").root_der()
    foreign = lw.LittleWorld()
    foreign.recipes["root"].signed_by = lw.KEYS["other"]
    for data in (leaf, chain, renamed, foreign.root_der(), b"", b"-----BEGIN", b"0", world.root_der() + b"\0"):
        with pytest.raises(AnchorUnusable):
            Anchor.from_certificate(data)
