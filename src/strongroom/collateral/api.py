"""Intel's certification API as values, for both its ends: what may be asked, and how answers are labelled.

Pure. One description for the client (Intel PCS, any PCCS) and for the local PCCS. Source: specification section 11;
the prefix before `/sgx/` or `/tdx/` belongs to the server and is not part of a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode, urlsplit

from strongroom.attestation import Tee
from strongroom.errors import BadInput

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_QUERY_BYTES: Final = 4096  # encrypted_ppid alone has 768 digits
MAX_CHAIN_HEADER_BYTES: Final = 16 * 1024  # a genuine chain, URL-encoded, has about 2.5 kB

TCBM_HEADER: Final = "SGX-TCBm"
FMSPC_HEADER: Final = "SGX-FMSPC"
CA_TYPE_HEADER: Final = "SGX-PCK-Certificate-CA-Type"
SUBSCRIPTION_KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
REQUEST_ID_HEADER: Final = "Request-ID"
WARNING_HEADER: Final = "Warning"
ERROR_CODE_HEADER: Final = "Error-Code"
ERROR_MESSAGE_HEADER: Final = "Error-Message"


class Kind(StrEnum):
    """What is asked for; the value is the path below the version."""

    TCB = "tcb"
    QE_IDENTITY = "qe/identity"
    QVE_IDENTITY = "qve/identity"
    QAE_IDENTITY = "qae/identity"
    PCK_CRL = "pckcrl"
    ROOT_CRL = "rootcacrl"  # a PCCS's; Intel serves the root CRL at a URL of its own
    PCK_CERT = "pckcert"
    PCK_CERTS = "pckcerts"
    FMSPCS = "fmspcs"
    TCB_EVAL_NUMBERS = "tcbevaluationdatanumbers"
    CRL = "crl"


IDENTITIES: Final = frozenset({Kind.QE_IDENTITY, Kind.QVE_IDENTITY, Kind.QAE_IDENTITY})
SIGNED_JSON: Final = frozenset({Kind.TCB, Kind.TCB_EVAL_NUMBERS}) | IDENTITIES
CRLS: Final = frozenset({Kind.PCK_CRL, Kind.ROOT_CRL, Kind.CRL})
_FOR_TDX: Final = frozenset({Kind.TCB, Kind.QE_IDENTITY, Kind.TCB_EVAL_NUMBERS})
_SINCE_V4: Final = frozenset({Kind.QAE_IDENTITY, Kind.FMSPCS, Kind.TCB_EVAL_NUMBERS})

_UPDATE: Final = "update"
_NUMBER: Final = "tcbEvaluationDataNumber"
_HEX: Final = {"fmspc": 12, "encrypted_ppid": 768, "cpusvn": 32, "pcesvn": 4, "pceid": 4, "qeid": 32}
_WORDS: Final = {
    _UPDATE: ("standard", "early"),
    "ca": ("processor", "platform"),
    "encoding": ("pem", "der"),
    "platform": ("all", "client", "E3", "E5"),
}
# What each kind takes: all of the first, any of the second.
_PARAMETERS: Final[Mapping[Kind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Kind.TCB: (("fmspc",), (_UPDATE, _NUMBER)),
    Kind.QE_IDENTITY: ((), (_UPDATE, _NUMBER)),
    Kind.QVE_IDENTITY: ((), (_UPDATE, _NUMBER)),
    Kind.QAE_IDENTITY: ((), (_UPDATE, _NUMBER)),
    Kind.PCK_CRL: (("ca",), ("encoding",)),
    Kind.ROOT_CRL: ((), ()),
    Kind.PCK_CERT: (("cpusvn", "pcesvn", "pceid"), ("encrypted_ppid", "qeid")),
    Kind.PCK_CERTS: (("encrypted_ppid", "pceid"), ()),
    Kind.FMSPCS: ((), ("platform",)),
    Kind.TCB_EVAL_NUMBERS: ((), ()),
    Kind.CRL: (("uri",), ()),
}
_PATH: Final = re.compile(r"/(sgx|tdx)/certification/v([34])/([a-z/]+)")
_HEX_DIGITS: Final = re.compile(r"[0-9A-Fa-f]+")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_URI: Final = re.compile(r"https?://[!-~]{1,1000}")


class BadCollateralRequest(BadInput):
    """A request to the certification API names no known endpoint, or its parameters are wrong or contradict."""

    code = "SR-COLLATERAL-REQUEST"
    fix = "Compare path and parameters with Intel's documentation of the certification API, versions 3 and 4."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. Holding one means that its parameters fit its kind; hex digits are upper case, order is fixed."""

    kind: Kind
    tee: Tee = Tee.SGX
    version: int = 4
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.version not in {3, 4}:
            raise BadCollateralRequest(f"there is no version {self.version} of the certification API here, only 3 or 4")
        if self.version == 3 and (self.kind in _SINCE_V4 or self.tee is Tee.TDX):
            raise BadCollateralRequest(f"version 3 of the certification API has no {self.tee.value} {self.kind.value}")
        if self.tee is Tee.TDX and self.kind not in _FOR_TDX:
            raise BadCollateralRequest(f"{self.kind.value} is asked for below /sgx/ only")
        object.__setattr__(self, "parameters", MappingProxyType(_checked(self)))

    @property
    def path(self) -> str:
        """The path from `/sgx/` or `/tdx/` on."""
        return f"/{self.tee.value.lower()}/certification/v{self.version}/{self.kind.value}"

    @property
    def query(self) -> str:
        """The parameters, URL-encoded; may be empty."""
        return urlencode(self.parameters, quote_via=quote, safe="")

    def path_and_query(self) -> str:
        """Return the request target from `/sgx/` or `/tdx/` on: equal requests have equal targets."""
        return f"{self.path}?{self.query}" if self.parameters else self.path

    @classmethod
    def parse(cls, path: str, query: str, *, ignored: frozenset[str] = frozenset()) -> Request:
        """Return the request in a target's path and query; parameters named in `ignored` are dropped.

        Raises BadCollateralRequest.
        """
        found = _PATH.fullmatch(path)
        if not found or found[3] not in set(Kind):
            raise BadCollateralRequest(f"there is nothing at {path[:128]!r}")
        return cls(kind=Kind(found[3]), tee=Tee(found[1].upper()), version=int(found[2]),
                   parameters=_parsed_query(query, ignored))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reply, as received or to be sent; a status other than 200 may have any body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: bytes = b""

    def header(self, *names: str) -> str | None:
        """Return the value of the first of the names that is there; case does not matter."""
        lower = {name.lower(): value for name, value in self.headers.items()}
        return next((lower[name.lower()] for name in names if name.lower() in lower), None)


def chain_headers(kind: Kind, version: int) -> tuple[str, ...]:
    """Return the headers that may carry the issuer chain, the one to send first; empty where no chain belongs."""
    if kind is Kind.TCB:
        names = ("TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain")
        return names if version >= 4 else names[::-1]
    if kind in IDENTITIES:
        return ("SGX-Enclave-Identity-Issuer-Chain", "SGX-QE-Identity-Issuer-Chain")  # the second: old Azure
    return {
        Kind.PCK_CRL: ("SGX-PCK-CRL-Issuer-Chain",),
        Kind.PCK_CERT: ("SGX-PCK-Certificate-Issuer-Chain",),
        Kind.PCK_CERTS: ("SGX-PCK-Certificate-Issuer-Chain",),
        Kind.TCB_EVAL_NUMBERS: ("TCB-Evaluation-Data-Numbers-Issuer-Chain",),
    }.get(kind, ())


def content_type(kind: Kind) -> str:
    """Return the media type that Intel serves this kind with."""
    if kind in SIGNED_JSON or kind in {Kind.PCK_CERTS, Kind.FMSPCS}:
        return "application/json"
    return "application/x-pem-file" if kind in {Kind.PCK_CERT, Kind.PCK_CRL} else "application/pkix-crl"


def encode_chain(pem: str) -> str:
    """Return a PEM chain as a header value: URL-encoded, as Intel does."""
    return quote(pem, safe="")


def decode_chain(value: str) -> str:
    """Return the PEM chain in a header value, URL-encoded once or not at all; raise BadCollateralRequest."""
    if len(value) > MAX_CHAIN_HEADER_BYTES:
        raise BadCollateralRequest(f"a chain header has {len(value)} characters, at most {MAX_CHAIN_HEADER_BYTES}")
    try:
        return unquote_to_bytes(value).decode("ascii")  # "+" is a digit of Base64 here, never a blank
    except UnicodeError:
        raise BadCollateralRequest("a chain header is not ASCII") from None


def _parsed_query(query: str, ignored: frozenset[str]) -> dict[str, str]:
    if len(query) > MAX_QUERY_BYTES:
        raise BadCollateralRequest(f"the query has {len(query)} characters, at most {MAX_QUERY_BYTES} are read")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=16)
    except ValueError:  # UnicodeDecodeError is one
        raise BadCollateralRequest(f"the query {query[:128]!r} cannot be read") from None
    pairs = [pair for pair in pairs if pair[0] not in ignored]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise BadCollateralRequest("a parameter is given twice")
    return dict(pairs)


def _checked(request: Request) -> dict[str, str]:
    """Return the parameters in their fixed order, each in its one spelling."""
    given, (required, optional) = request.parameters, _PARAMETERS[request.kind]
    what = request.kind.value
    unknown = sorted(set(given) - {*required, *optional})
    if unknown:
        raise BadCollateralRequest(f"{what} has no parameter {unknown[0][:64]!r}")
    missing = [name for name in required if name not in given]
    if missing:
        raise BadCollateralRequest(f"{what} needs {' and '.join(missing)}")
    if _UPDATE in given and _NUMBER in given:
        raise BadCollateralRequest(f"{_UPDATE} and {_NUMBER} exclude each other")
    if _NUMBER in given and request.version == 3:
        raise BadCollateralRequest(f"version 3 of the certification API has no {_NUMBER}")
    if request.kind is Kind.PCK_CERT and not {"encrypted_ppid", "qeid"} & set(given):
        raise BadCollateralRequest("pckcert needs encrypted_ppid or qeid")
    return {name: _value(name, given[name]) for name in (*required, *optional) if name in given}


def _is_address(text: str) -> bool:
    try:
        return bool(_URI.fullmatch(text) and urlsplit(text).hostname)
    except ValueError:  # as from a bracket that is not closed
        return False


def _value(name: str, value: str) -> str:
    if name in _HEX:
        if len(value) != _HEX[name] or not _HEX_DIGITS.fullmatch(value):
            raise BadCollateralRequest(f"{name} is not {_HEX[name]} hex digits")
        return value.upper()
    if name in _WORDS:
        if value not in _WORDS[name]:
            raise BadCollateralRequest(f"{name} is {value[:32]!r}, wanted {' or '.join(_WORDS[name])}")
        return value
    if name == "uri":
        if not _is_address(value):
            raise BadCollateralRequest(f"uri is {value[:64]!r}, wanted an http or https URL")
        return value
    if not _DIGITS.fullmatch(value):
        raise BadCollateralRequest(f"{name} is {value[:32]!r}, wanted a number")
    return str(int(value))
