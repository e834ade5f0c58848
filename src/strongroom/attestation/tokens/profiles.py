"""What each attestation service's tokens look like: algorithms, issuers, and how their claims become ours.

Sources: specification gramine section 11 and attestation section 16; the published claim lists of both services. No
token of a real service has been seen: names and forms are as documented, and what is not there stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.claims import EvidenceSource
from strongroom.attestation.fields import Fields
from strongroom.attestation.quote import Tee
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.td_report import TdAttributes
from strongroom.errors import Tampered

_MAX_U16: Final = 0xFFFF
_REGISTERS: Final = ("mr_td", "mr_seam", "mr_signer_seam", "mr_config_id", "mr_owner", "mr_owner_config",
                     "rtmr0", "rtmr1", "rtmr2", "rtmr3")  # fmt: skip
_TDX: Final = {
    **{name: (f"tdx_{name.replace('_', '')}", 48) for name in _REGISTERS},
    "tee_tcb_svn": ("tdx_tee_tcb_svn", 16),
    "seam_attributes": ("tdx_seam_attributes", 8),
    "td_attributes": ("tdx_td_attributes", 8),
    "xfam": ("tdx_xfam", 8),
    "report_data": ("tdx_report_data", 64),
}  # our name: the token's, and the size in bytes
_TDX_REQUIRED: Final = frozenset({"mr_td", "report_data"})
_DEBUG_WORDS: Final = {  # `dbgstat`, RFC 9711 section 4.2.9
    "enabled": True,
    "disabled": False,
    "disabled-since-boot": False,
    "disabled-permanently": False,
    "disabled-fully-and-permanently": False,
}


class TokenTypeRefused(Tampered):
    """An attestation token is of a version, or about a kind of machine, that this release does not read."""

    code = "SR-TOKEN-TYPE"
    fix = "Ask the service to attest an SGX enclave or a TDX machine, and check --profile."


class TokenClaimRefused(Tampered):
    """A claim of an attestation token is missing, of another form than documented, or contradicts another one."""

    code = "SR-TOKEN-CLAIM"
    fix = "Keep the token and report it: a genuine one in a new form needs a new release of Strongroom."


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One service's form of token."""

    source: EvidenceSource
    domain: TrustDomain
    algorithms: frozenset[str]
    real_issuer: re.Pattern[str]
    default_issuer: str | None  # for a service whose tokens all name one issuer
    real_key_set_urls: tuple[str, ...]  # empty: below the issuer
    read: Callable[[Fields], Mapping[str, Any]]  # payload to fields of Claims
    nonce: Callable[[Fields], object]

    def domain_of(self, issuer: str, key_set_url: str | None) -> TrustDomain:
        """Return whose word a token of `issuer` is, under keys that belong to that address.

        Whoever is none of the real services, or publishes keys elsewhere than the real one does, is simulated.
        """
        real = self.real_issuer.fullmatch(issuer) is not None and key_set_url in self.key_set_urls(issuer)
        return self.domain if real else TrustDomain.SIMULATED

    def key_set_urls(self, issuer: str) -> tuple[str, ...]:
        """Return where the keys of `issuer` may be published, the usual place first."""
        if self.real_key_set_urls and self.real_issuer.fullmatch(issuer):
            return self.real_key_set_urls
        return (f"{issuer.rstrip('/')}/certs",) if issuer.startswith(("https://", "http://")) else ()


def _read_maa(payload: Fields) -> dict[str, Any]:
    if payload.value.get("x-ms-ver") != "1.0":
        raise TokenTypeRefused("x-ms-ver is not 1.0")
    kind = payload.value.get("x-ms-attestation-type")
    if kind == "tdxvm":
        return _tdx(payload) | _tcb(payload)
    if kind != "sgx":
        raise TokenTypeRefused(f"x-ms-attestation-type is {str(kind)[:32]!r}, neither sgx nor tdxvm")
    optional: dict[str, Any] = {  # there only for enclaves with key separation and sharing
        "config_id": _hex(payload, "x-ms-sgx-config-id", 64),
        "config_svn": _number(payload, "x-ms-sgx-config-svn"),
        "isv_ext_prod_id": _hex(payload, "x-ms-sgx-isv-extended-product-id", 16),
        "isv_family_id": _hex(payload, "x-ms-sgx-isv-family-id", 16),
    }
    names = {"mr_enclave": "mrenclave", "mr_signer": "mrsigner", "isv_prod_id": "product-id", "isv_svn": "svn",
             "report_data": "report-data", "debug": "is-debuggable"}  # fmt: skip
    return _sgx(payload, {ours: f"x-ms-sgx-{theirs}" for ours, theirs in names.items()}) | optional


def _read_ita(payload: Fields) -> dict[str, Any]:
    """Read version 1.0.0, whose claims lie side by side, and 2.0.0, which has one object for each attester."""
    version = payload.value.get("ver")
    if version == "1.0.0":
        kind, claims = payload.value.get("attester_type"), payload
    elif version == "2.0.0":
        kinds = [name for name in ("sgx", "tdx") if payload.has(name)]
        kind = kinds[0].upper() if len(kinds) == 1 else None
        claims = payload.nested(kinds[0]) if kind else payload
    else:
        raise TokenTypeRefused(f"ver is {str(version)[:32]!r}, neither 1.0.0 nor 2.0.0")
    if kind == "TDX":
        return _tdx(claims) | _tcb(claims)
    if kind != "SGX":
        raise TokenTypeRefused("the token is not about one SGX enclave or one TDX machine")
    names = {"mr_enclave": "mrenclave", "mr_signer": "mrsigner", "isv_prod_id": "isvprodid", "isv_svn": "isvsvn",
             "report_data": "report_data", "debug": "is_debuggable"}  # fmt: skip
    return _sgx(claims, {ours: f"sgx_{theirs}" for ours, theirs in names.items()}) | _tcb(claims)


def _sgx(claims: Fields, names: Mapping[str, str]) -> dict[str, Any]:
    """Read the claims that an SGX token always has."""
    return {
        "tee": Tee.SGX,
        "mr_enclave": claims.hex(names["mr_enclave"], 32),
        "mr_signer": claims.hex(names["mr_signer"], 32),
        "isv_prod_id": claims.number(names["isv_prod_id"], limit=_MAX_U16),
        "isv_svn": claims.number(names["isv_svn"], limit=_MAX_U16),
        "report_data": claims.hex(names["report_data"], 64),
        "debug": _agreed(claims, _flag(claims, names["debug"]), _debug_word(claims)),
    }


def _tdx(claims: Fields) -> dict[str, Any]:
    found = {name: _hex(claims, theirs, size) for name, (theirs, size) in _TDX.items()}
    for name in _TDX_REQUIRED:
        if found[name] is None:
            raise TokenClaimRefused(f"the token lacks {_TDX[name][0]}")
    flags = found["td_attributes"]
    said = (
        None if flags is None else TdAttributes.DEBUG in TdAttributes(int.from_bytes(flags, "little")),
        _flag(claims, "tdx_td_attributes_debug"),
        _flag(claims, "tdx_is_debuggable"),
        _debug_word(claims),
    )
    return {"tee": Tee.TDX, "debug": _agreed(claims, *said), **found}


def _tcb(claims: Fields) -> dict[str, Any]:
    """Read what the token says about the platform's currency; Intel's words, and no other."""
    status = None
    if claims.has("attester_tcb_status"):
        word = claims.text("attester_tcb_status")
        try:
            status = TcbStatus(word)
        except ValueError:
            raise TokenClaimRefused(f"attester_tcb_status is {word[:64]!r}, which is no TCB status") from None
    return {
        "tcb_status": status,
        "tcb_date": claims.date("attester_tcb_date") if claims.has("attester_tcb_date") else None,
        "advisories": claims.texts("attester_advisory_ids") if claims.has("attester_advisory_ids") else None,
    }


def _agreed(claims: Fields, *said: bool | None) -> bool | None:
    """Return what several claims say about debugging; two that differ are a refusal, none at all is unknown."""
    known = {each for each in said if each is not None}
    if len(known) > 1:
        raise TokenClaimRefused(f"{claims.what} says both that debugging is on and that it is off")
    return known.pop() if known else None


def _debug_word(claims: Fields) -> bool | None:
    if not claims.has("dbgstat"):
        return None
    word = claims.text("dbgstat")
    if word not in _DEBUG_WORDS:
        raise TokenClaimRefused(f"{claims.what}: dbgstat is {word[:32]!r}")
    return _DEBUG_WORDS[word]


def _flag(claims: Fields, name: str) -> bool | None:
    if not claims.has(name):
        return None
    value = claims.get(name)
    if not isinstance(value, bool):
        raise TokenClaimRefused(f"{claims.what}: {name} is not true or false")
    return value


def _hex(claims: Fields, name: str, size: int) -> bytes | None:
    return claims.hex(name, size) if claims.has(name) else None


def _number(claims: Fields, name: str) -> int | None:
    return claims.number(name, limit=_MAX_U16) if claims.has(name) else None


def _ita_nonce(payload: Fields) -> object:
    return payload.nested("verifier_nonce").value.get("val") if payload.has("verifier_nonce") else None


MAA: Final = Profile(
    source=EvidenceSource.MAA,
    domain=TrustDomain.AZURE_ATTESTATION,
    algorithms=frozenset({"RS256"}),
    real_issuer=re.compile(r"https://[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,3}\.attest\.azure\.(net|us|cn)"),
    default_issuer=None,
    real_key_set_urls=(),
    read=_read_maa,
    nonce=lambda payload: payload.value.get("nonce"),
)
ITA: Final = Profile(
    source=EvidenceSource.ITA,
    domain=TrustDomain.INTEL_TRUST_AUTHORITY,
    algorithms=frozenset({"RS256", "PS384"}),
    real_issuer=re.compile(r"Intel Trust Authority|https://portal(\.eu)?\.trustauthority\.intel\.com"),
    default_issuer="Intel Trust Authority",
    real_key_set_urls=(
        "https://portal.trustauthority.intel.com/certs",
        "https://portal.eu.trustauthority.intel.com/certs",
    ),
    read=_read_ita,
    nonce=_ita_nonce,
)
PROFILES: Final = {profile.source.value: profile for profile in (MAA, ITA)}
