"""Where collateral is served, and how each place wants to be asked: Intel, any PCCS, and the clouds' own caches.

Pure. A profile carries no trust; a wrong address can only withhold. Source: specification sections 11.1 to 11.4; what
nobody could check is said in the profile's `unverified`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from strongroom.collateral.api import Kind, Request
from strongroom.collateral.qcnl import Qcnl
from strongroom.errors import BadInput

INTEL_BASE: Final = "https://api.trustedservices.intel.com"
INTEL_ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
AZURE_METADATA: Final = "http://169.254.169.254/metadata/THIM"
MAX_ATTEMPTS: Final = 10
_SUFFIX: Final = re.compile(r"/(?:sgx|tdx)/certification/v([34])/?\Z")
_PLAIN: Final = re.compile(r"[!-~]+")  # names of other scripts are written as DNS has them
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
_PCK_KINDS: Final = frozenset({Kind.PCK_CERT, Kind.PCK_CERTS})
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class UnknownSource(BadInput):
    """A collateral source is neither a known profile nor the address of a PCCS."""

    code = "SR-COLLATERAL-SOURCE-NAME"
    fix = (
        "Name a PCCS by its address (https://host:8081), a folder of collateral files by its path, or one of:"
        " intel-pcs, intel-pcs-v3, azure, azure-cache, azure-region:REGION, alibaba:REGION, alibaba-vpc:REGION,"
        " tencent, bytedance."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One place that speaks the certification API, and its habits."""

    name: str
    base: str  # everything before /sgx/ or /tdx/
    version: int = 4
    root_crl_url: str | None = None  # where the root CRL is, if not at `rootcacrl`
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with each request
    parameters: Mapping[str, str] = field(default_factory=dict)  # added to each request
    pck_headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # added for PCK certificates only
    pck_parameters: Mapping[str, str] = field(default_factory=dict)
    serves: frozenset[Kind] | None = None  # None: all kinds
    verify_tls: bool = True  # False for loopback only
    attempts: int = 3
    first_delay_s: float = 1.0
    constant_delay: bool = False  # the delay between attempts doubles unless it is constant
    unverified: str = ""  # what nobody could check about this profile
    notes: tuple[str, ...] = ()

    def answers(self, kind: Kind) -> bool:
        """Whether this place is to be asked for such things."""
        return self.serves is None or kind in self.serves

    def url(self, request: Request) -> str:
        """Return where to GET a request from. Raises BadCollateralRequest if the place's version has no such thing."""
        if request.kind is Kind.ROOT_CRL and self.root_crl_url:
            return self.root_crl_url
        asked = replace(request, version=self.version)
        more = {**self.parameters, **(self.pck_parameters if request.kind in _PCK_KINDS else _NOTHING)}
        query = urlencode({**asked.parameters, **more}, quote_via=quote, safe="")
        return f"{self.base}{asked.path}{'?' + query if query else ''}"

    def headers_for(self, kind: Kind) -> dict[str, str]:
        """Return the headers of a request for such a thing."""
        return {**self.headers, **(self.pck_headers if kind in _PCK_KINDS else _NOTHING)}


def is_loopback(url: str) -> bool:
    """Whether an address names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_link_local(url: str) -> bool:
    """Whether an address is a cloud's metadata service, which no proxy must see."""
    try:
        return ip_address(urlsplit(url).hostname or "").is_link_local
    except ValueError:
        return False


def find(name: str) -> Profile:
    """Return the profile of a name (`azure-region:westeurope`) or the plain PCCS at a URL; raise UnknownSource."""
    if name.startswith(("http://", "https://")):
        return pccs(name)
    kind, colon, region = name.partition(":")
    if kind in _FIXED and not colon:
        return _FIXED[kind]
    if kind in _REGIONAL and _REGION.fullmatch(region):
        return replace(_REGIONAL[kind](region), name=name)
    if kind in _REGIONAL:
        raise UnknownSource(f"{name[:64]!r} needs a region", fix=f"Write it as {kind}:REGION.")
    raise UnknownSource(f"there is no collateral source {name[:64]!r}")


def pccs(url: str, *, name: str | None = None) -> Profile:
    """Return the profile of any PCCS by its address, with or without `/sgx/certification/v4/` at the end."""
    base, version = _split(url)
    intel = base == INTEL_BASE
    return Profile(name=name or base, base=base, version=version, root_crl_url=INTEL_ROOT_CRL if intel else None)


def from_qcnl(conf: Qcnl) -> tuple[Profile, ...]:
    """Return the sources that a qcnl.conf means, in the order in which to ask them.

    `use_secure_cert: false` is adopted for loopback alone; elsewhere a note says that it is not (threat DP-11).
    """
    found: list[Profile] = []
    if conf.local_pck_url:
        found.append(_tuned(conf, conf.local_pck_url, _PCK_KINDS))
    verification = frozenset(Kind) - _PCK_KINDS
    if conf.collateral_service:
        found.append(_tuned(conf, conf.collateral_service, verification))
    kinds = (frozenset() if conf.collateral_service else verification) | (
        frozenset() if conf.local_cache_only else _PCK_KINDS
    )
    if kinds:
        found.append(_tuned(conf, conf.pccs_url, kinds))
    return tuple(found)


def _tuned(conf: Qcnl, url: str, kinds: frozenset[Kind]) -> Profile:
    profile = replace(
        pccs(url),
        serves=kinds,
        pck_headers=dict(conf.get_cert_headers),
        pck_parameters=dict(conf.get_cert_parameters),
        attempts=min(conf.retry_times + 1, MAX_ATTEMPTS),
        first_delay_s=1.0 if conf.retry_delay_s is None else float(conf.retry_delay_s),
        constant_delay=conf.retry_delay_s is not None,
    )
    if conf.use_secure_cert or url.startswith("http://"):
        return profile
    if is_loopback(url):
        note = f"use_secure_cert is false: any TLS certificate is accepted from {profile.base}"
        return replace(profile, verify_tls=False, notes=(note,))
    note = f"use_secure_cert is false and NOT adopted for {profile.base}, which is another machine: pin its CA instead"
    return replace(profile, notes=(note,))


def _split(url: str) -> tuple[str, int]:
    if "@" in url:  # said without the address: whatever stands before the sign may be a password
        raise UnknownSource("the address of a PCCS must not carry a user or password")
    try:
        parts = urlsplit(url)
        sound = parts.port is None or parts.port > 0
    except ValueError:  # a bracket that is not closed, a port beyond all ports, letters that pretend to be others
        raise UnknownSource(f"{url[:128]!r} is not the address of a PCCS") from None
    plain = _PLAIN.fullmatch(url) and parts.scheme in {"http", "https"} and parts.hostname
    if not (sound and plain) or parts.query or parts.fragment:
        raise UnknownSource(f"{url[:128]!r} is not the address of a PCCS")
    suffix = _SUFFIX.search(parts.path)
    path = parts.path[: suffix.start()] if suffix else parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}", int(suffix[1]) if suffix else 4


def _azure_region(region: str) -> Profile:
    return Profile(
        name="azure-region",
        base=f"https://{region}.thim.azure.net",
        root_crl_url=INTEL_ROOT_CRL,
        parameters={"clientid": "production_client"},
        unverified="never asked from here; answers may be old, so name a second source",
    )


def _alibaba(host: str) -> Callable[[str], Profile]:
    return lambda region: Profile(
        name=host,
        base=f"https://{host}.{region}.aliyuncs.com",
        unverified="the exact address was never checked; old documents name version 3",
    )


_FIXED: Final[Mapping[str, Profile]] = {
    "intel-pcs": Profile(name="intel-pcs", base=INTEL_BASE, root_crl_url=INTEL_ROOT_CRL),
    "intel-pcs-v3": Profile(name="intel-pcs-v3", base=INTEL_BASE, version=3, root_crl_url=INTEL_ROOT_CRL),
    "azure": Profile(
        name="azure",
        base=AZURE_METADATA,
        root_crl_url=INTEL_ROOT_CRL,
        headers={"metadata": "true"},
        pck_parameters={"api-version": "2021-07-22-preview"},
        unverified="answers inside an Azure VM only; never asked from here",
    ),
    "azure-cache": Profile(
        name="azure-cache",
        base="https://global.acccache.azure.net",
        root_crl_url=INTEL_ROOT_CRL,
        unverified="never asked from here; answers may be old, so name a second source",
    ),
    "tencent": Profile(
        name="tencent", base="https://sgx-dcap-server-tc.sh.tencent.cn", unverified="never asked from here"
    ),
    "bytedance": Profile(
        name="bytedance", base="https://sgx-dcap-server.bytedance.com", unverified="never asked from here"
    ),
}
_REGIONAL: Final[Mapping[str, Callable[[str], Profile]]] = {
    "azure-region": _azure_region,
    "alibaba": _alibaba("sgx-dcap-server"),
    "alibaba-vpc": _alibaba("sgx-dcap-server-vpc"),
}
PROFILE_NAMES: Final = (*_FIXED, *(f"{name}:REGION" for name in _REGIONAL))
