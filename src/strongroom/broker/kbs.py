"""The KBS protocol, version 0.4.0, as values: requests, challenge, attestation, what is hashed, paths. Pure.

Of Confidential Containers' protocol exactly what the specification's sections 3, 4 and 6 say, and one extension that is
offered and answered before it is used (section 11.2): deployment, purpose, paths and the broker's own key go under the
quote as well, so that evidence made for one world, broker or secret is worth nothing at another (FB-02, FB-06, FB-20).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from strongroom.broker.names import parse_kbs
from strongroom.errors import BadInput, Refused
from strongroom.pki.jose import RecipientKey, canonical
from strongroom.wire import strict_json

PREFIX: Final = "/kbs/v0"
VERSION: Final = "0.4.0"
COOKIE: Final = "kbs-session-id"
NONCE_BYTES: Final = 32
NONCE_CHARS: Final = 44  # base64 with padding
REPORT_DATA_BYTES: Final = 64
PURPOSE: Final = "key release"
EXTENSION: Final = "strongroom"
EXTENSION_VERSION: Final = 1
REQUIRED: Final = ("deployment", "purpose")
HASHES: Final = ("sha384",)  # what our client hashes with
SPOKEN_TEES: Final = ("sgx", "tdx")
KNOWN_TEES: Final = frozenset(
    {*SPOKEN_TEES, "snp", "sample", "sampledevice", "az-snp-vtpm", "azsnpvtpm", "az-tdx-vtpm", "aztdxvtpm", "nvidia",
     "cca", "csv", "se", "hygondcu", "tpm", "dpu", "nvidiadpu"}
)  # fmt: skip
MAX_AUTH_BYTES: Final = 16 * 1024
MAX_ATTEST_BYTES: Final = 512 * 1024  # a TDX event log is about 100 kB
MAX_DEPTH: Final = 12
MAX_PATHS: Final = 64
MAX_TEXT: Final = 256
_LEASE_ID: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_SPKI_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class KbsMessageMalformed(BadInput):
    """A message of the KBS protocol is not what its version describes."""

    code = "SR-KBS-MESSAGE"
    fix = "Send what KBS protocol 0.4.0 describes: one JSON object, its members once each and of the right type."


class KbsVersionRefused(Refused):
    """A client speaks another version of the KBS protocol than 0.4.0."""

    code = "SR-KBS-VERSION"
    fix = "Use a client of Trustee v0.14 or later; there is no negotiation in this protocol."


class KbsTeeRefused(Refused):
    """A client names a kind of TEE that this broker does not judge, or one that proves nothing."""

    code = "SR-KBS-TEE"
    fix = "Attest from SGX or TDX. The type sample proves nothing and is never accepted, whatever a policy says."


class KbsDevicesRefused(Refused):
    """An attestation brings evidence of further devices, which this broker does not judge."""

    code = "SR-KBS-DEVICES"
    fix = "Attest the CPU alone: send an empty additional_evidence."


class KbsBindingRefused(Refused):
    """Evidence is bound to another deployment, purpose, path or broker than where it was presented."""

    code = "SR-KBS-BINDING"
    fix = "Let the client name this deployment and what it will ask for; if it did, somebody relays its evidence."


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """Who wants to attest: the kind of TEE, and whether the client offers to bind more than the protocol does."""

    tee: str
    offers_binding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a client of ours puts under the quote besides nonce and key."""

    deployment: str
    purpose: str
    paths: tuple[str, ...]  # TENANT/TYPE/TAG each
    kbs: str  # SHA-256 of the broker's TLS key (SubjectPublicKeyInfo), hex
    lease_id: str | None = None  # the lease that is to be renewed

    def to_json_object(self) -> dict[str, object]:
        """Return the member as it is sent and hashed."""
        members: dict[str, object] = {
            "deployment": self.deployment, "purpose": self.purpose, "paths": list(self.paths), "kbs": self.kbs,
        }  # fmt: skip
        return members if self.lease_id is None else members | {"lease": self.lease_id}

    def check(self, *, deployment: str, kbs: str) -> None:
        """Raise KbsBindingRefused unless the evidence was made for this deployment, purpose and broker."""
        for name, seen, wanted in (
            ("deployment", self.deployment, deployment), ("purpose", self.purpose, PURPOSE), ("broker", self.kbs, kbs)
        ):  # fmt: skip
            if seen != wanted:
                raise KbsBindingRefused(f"the evidence is bound to the {name} {seen[:80]!r}, not {wanted[:80]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What a client presents; the key in it has been checked, the evidence has not."""

    nonce: str
    key: RecipientKey
    primary: object  # JSON, by the kind of TEE
    init_data: str | None  # TOML
    bound: Bound | None  # None: not sent, or not negotiated and so not looked at

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the quote has to be over."""
        return report_data_of(self.key, self.nonce, self.bound)


def report_data_of(key: RecipientKey, nonce: str, bound: Bound | None) -> bytes:
    """Return SHA-384 of the canonical runtime data, padded with zeros to 64 bytes (section 4)."""
    hashed: dict[str, object] = {"tee-pubkey": key.members, "nonce": nonce, "additional-evidence": ""}
    if bound is not None:
        hashed[EXTENSION] = bound.to_json_object()
    return hashlib.sha384(canonical(hashed)).digest().ljust(REPORT_DATA_BYTES, b"\0")


def parse_auth(body: bytes) -> AuthRequest:
    """Read the first request. Raises KbsMessageMalformed, KbsVersionRefused or KbsTeeRefused."""
    members = _object(body, "the request", MAX_AUTH_BYTES)
    version, tee = _text(members, "version"), _text(members, "tee")
    if version != VERSION:
        raise KbsVersionRefused(
            f"KBS Client Protocol Version Mismatch: expect ={VERSION} while the request is {version[:32]}"
        )
    if tee not in KNOWN_TEES:
        raise KbsMessageMalformed(f"{tee[:32]!r} is no kind of TEE")
    if tee not in SPOKEN_TEES:
        raise KbsTeeRefused(f"evidence of the kind {tee} is not judged here")
    if "extra-params" not in members:
        raise KbsMessageMalformed("the request has no extra-params")
    return AuthRequest(tee, _offers(members["extra-params"]))


def auth_request(tee: str) -> bytes:
    """Return the first request of a client of ours, which always offers to bind more."""
    extra = {"supported-hash-algorithms": list(HASHES), EXTENSION: {"v": EXTENSION_VERSION}}
    return json.dumps({"version": VERSION, "tee": tee, "extra-params": extra}).encode()


def _offers(extra: object) -> bool:
    offer = extra.get(EXTENSION) if isinstance(extra, dict) else None
    return isinstance(offer, dict) and offer.get("v") == EXTENSION_VERSION and type(offer["v"]) is int


def challenge(nonce: str, *, deployment: str | None) -> bytes:
    """Return the answer to the first request; `deployment`: ours, for a client that offered to bind it."""
    extra: object = ""
    if deployment is not None:
        extra = {EXTENSION: {"v": EXTENSION_VERSION, "require": list(REQUIRED), "deployment": deployment}}
    return json.dumps({"nonce": nonce, "extra-params": extra}).encode()


def nonce_text(nonce: bytes) -> str:
    """Return the one spelling of a nonce."""
    return base64.b64encode(nonce).decode("ascii")


def parse_attestation(body: bytes, *, negotiated: bool) -> Attestation:
    """Read the second request; `negotiated`: whether the session's client offered, and so has to bind more.

    Raises KbsMessageMalformed, KbsDevicesRefused, KbsBindingRefused or KeyRefused.
    """
    members = _object(body, "the attestation", MAX_ATTEST_BYTES)
    runtime = _member(members, "runtime-data")
    evidence = _member(members, "tee-evidence")
    if "primary_evidence" not in evidence:
        raise KbsMessageMalformed("the attestation has no primary_evidence")
    if _text(evidence, "additional_evidence", longest=MAX_ATTEST_BYTES):
        raise KbsDevicesRefused("the attestation brings evidence of further devices")
    return Attestation(
        nonce=_text(runtime, "nonce"),
        key=RecipientKey.parse(runtime.get("tee-pubkey")),
        primary=evidence["primary_evidence"],
        init_data=_init_data(members.get("init-data")),
        bound=_bound(runtime.get(EXTENSION)) if negotiated else None,
    )


def attestation(nonce: str, key: RecipientKey, bound: Bound | None, primary: object) -> bytes:
    """Return the second request of a client of ours."""
    runtime: dict[str, object] = {"nonce": nonce, "tee-pubkey": key.members}
    if bound is not None:
        runtime[EXTENSION] = bound.to_json_object()
    evidence = {"primary_evidence": primary, "additional_evidence": ""}
    return json.dumps({"init-data": None, "runtime-data": runtime, "tee-evidence": evidence}).encode()


def check_nonce(text: str) -> None:
    """Raise KbsMessageMalformed unless a text is 32 bytes in their one base64 spelling."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KbsMessageMalformed("the nonce is not base64") from None
    if len(decoded) != NONCE_BYTES or nonce_text(decoded) != text:
        raise KbsMessageMalformed(f"the nonce is not {NONCE_BYTES} bytes in {NONCE_CHARS} characters")


def _bound(value: object) -> Bound:
    if not isinstance(value, dict):
        raise KbsBindingRefused("the client offered to bind deployment and purpose, and then did not")
    if value.keys() - {"lease"} != {"deployment", "purpose", "paths", "kbs"}:
        raise KbsMessageMalformed(f"{EXTENSION} in the runtime data has other members than version 1")
    paths, lease, kbs = value["paths"], value.get("lease"), _text(value, "kbs")
    if not isinstance(paths, list) or not 1 <= len(paths) <= MAX_PATHS:
        raise KbsMessageMalformed(f"the runtime data names no paths, or more than {MAX_PATHS}")
    if not _SPKI_HASH.fullmatch(kbs):
        raise KbsMessageMalformed("the broker's key in the runtime data is not a SHA-256 in hex")
    if "lease" in value and not (isinstance(lease, str) and _LEASE_ID.fullmatch(lease)):
        raise KbsMessageMalformed("the lease in the runtime data is not the id of one")
    return Bound(
        deployment=_text(value, "deployment"), purpose=_text(value, "purpose"), kbs=kbs,
        paths=tuple(_path(path) for path in paths), lease_id=lease,
    )  # fmt: skip


def _path(value: object) -> str:
    if not isinstance(value, str):
        raise KbsMessageMalformed("a path in the runtime data is not a text")
    return spelled_path(value)


def spelled_path(path: str) -> str:
    """Return TENANT/TYPE/TAG in its one spelling. Raises BadSecretName."""
    tenant, name = parse_kbs(path)
    return name.to_kbs(tenant).removeprefix("kbs:///")


def _init_data(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("format") != "toml" or not isinstance(value.get("body"), str):
        raise KbsMessageMalformed("init-data is not TOML in a body of text")
    return str(value["body"])


def _object(body: bytes, what: str, longest: int) -> dict[str, Any]:
    value = strict_json.loads(body, what=what, error=KbsMessageMalformed, max_bytes=longest, max_depth=MAX_DEPTH)
    if not isinstance(value, dict):
        raise KbsMessageMalformed(f"{what} is not a JSON object")
    return value


def _member(members: dict[str, Any], name: str) -> dict[str, Any]:
    value = members.get(name)
    if not isinstance(value, dict):
        raise KbsMessageMalformed(f"the attestation has no {name} that is an object")
    return value


def _text(members: dict[str, Any], name: str, *, longest: int = MAX_TEXT) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise KbsMessageMalformed(f"there is no {name} that is a text of at most {longest} characters")
    return value
