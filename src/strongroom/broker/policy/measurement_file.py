"""Read a build's measurement: from a .sig file, or as Gramine's and our own tools print it in JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.attestation import KssFields
from strongroom.attestation.policy.contradictions import TD_OWNER_FIELDS
from strongroom.broker.release import SignatureCheck
from strongroom.errors import BadInput
from strongroom.gramine import sigstruct
from strongroom.wire import strict_json

MAX_U16: Final = 0xFFFF
_HEX32: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_HEX48: Final = re.compile(r"[0-9a-fA-F]{96}", re.ASCII)
_REGISTERS: Final = ("rtmr0", "rtmr1", "rtmr2", "rtmr3")
_DEBUG_WORDS: Final = ("debug", "debug_enclave")  # ours, and gramine-sgx-sigstruct-view's


class MeasurementMalformed(BadInput):
    """A measurement file does not hold one build's measurement, or that of a debug build."""

    code = "SR-MEASUREMENT"
    fix = "Write it with strongroom measure --json, sim measure --json or gramine-sgx-sigstruct-view."


NOT_SIGNED: Final = SignatureCheck()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBuild:
    """One build: an enclave's measurement (32 bytes) with the values of its signature, or a trust domain's by word."""

    mr_enclave: bytes | None = None
    signature: SignatureCheck = NOT_SIGNED
    domain: Mapping[str, bytes] | None = None  # mrtd, rtmr0, …: 48 bytes each
    kss: KssFields | None = None


def read_measurement(data: bytes) -> MeasuredBuild:
    """Return the build that a measurement file names. Raises MeasurementMalformed."""
    found = strict_json.loads(data, what="measurement", error=MeasurementMalformed, max_bytes=64 * 1024, max_depth=4)
    if not isinstance(found, dict):
        raise MeasurementMalformed("the measurement is not a JSON object")
    if any(found.get(word, False) is not False for word in _DEBUG_WORDS):
        raise MeasurementMalformed(
            "this is a debug build, whose memory the host can read",
            fix="Build with sgx.debug = false; for development, write a rule with allow_debug = true by hand.",
        )
    if "mr_td" in found and "mr_enclave" in found:
        raise MeasurementMalformed("this names both an enclave and a trust domain")
    if "mr_td" in found:
        return MeasuredBuild(domain=_domain(found))
    signature = SignatureCheck(
        mrsigner=_measured(found, "mr_signer"), isvprodid=_u16(found, "isv_prod_id"), min_isvsvn=_u16(found, "isv_svn")
    )
    return MeasuredBuild(mr_enclave=_measured(found, "mr_enclave"), signature=signature)


def read_sigstruct(data: bytes) -> MeasuredBuild:
    """Return the build that a .sig file names, once its signature holds.

    Raises SigstructMalformed, SigstructForged or SigstructHelperWrong, and MeasurementMalformed for a debug build.
    """
    signed = sigstruct.parse(data)
    signed.check()
    if signed.permits_debug:  # a mask without the bit leaves it to the host (threat ID-15)
        raise MeasurementMalformed(
            "this enclave is signed so that the host may start it for debugging and read its memory",
            fix="Sign it with sgx.debug = false.",
        )
    if not any(signed.mr_enclave):
        raise MeasurementMalformed("the measurement in this file is all zero")
    signature = SignatureCheck(mrsigner=signed.mr_signer, isvprodid=signed.isv_prod_id, min_isvsvn=signed.isv_svn)
    return MeasuredBuild(mr_enclave=signed.mr_enclave, signature=signature, kss=kss_of(signed))


def kss_of(signed: sigstruct.Sigstruct) -> KssFields | None:
    """Return the key-separation ids that a .sig file sets; None if it sets none."""
    if not any(signed.isv_family_id) and not any(signed.isv_ext_prod_id):
        return None
    return KssFields(
        config_id=bytes(64), config_svn=0, isv_ext_prod_id=signed.isv_ext_prod_id, isv_family_id=signed.isv_family_id
    )


def read_build(data: bytes) -> MeasuredBuild:
    """Return the build of a .sig file or of a measurement in JSON, whichever the bytes are."""
    return read_sigstruct(data) if data.startswith(sigstruct.HEADER) else read_measurement(data)


def _domain(found: dict[str, Any]) -> dict[str, bytes]:
    """Return the registers that a measurement names; owner and configuration only where they are not zero."""
    values = {"mrtd": _register(found, "mr_td")}
    values |= {word: _register(found, word) for word in _REGISTERS if word in found}
    owners = {word: _register(found, word) for word in TD_OWNER_FIELDS if word in found}
    return values | {word: value for word, value in owners.items() if any(value)}


def _register(found: dict[str, Any], word: str) -> bytes:
    text = found.get(word)
    if not isinstance(text, str) or not _HEX48.fullmatch(text):
        raise MeasurementMalformed(f"{word} is not a measurement of 96 hex digits")
    return bytes.fromhex(text)


def _measured(found: dict[str, Any], word: str) -> bytes:
    text = found.get(word)
    if not isinstance(text, str) or not _HEX32.fullmatch(text) or not any(bytes.fromhex(text)):
        raise MeasurementMalformed(f"{word} is not a measurement of 64 hex digits")
    return bytes.fromhex(text)


def _u16(found: dict[str, Any], word: str) -> int:
    value = found.get(word)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_U16:
        raise MeasurementMalformed(f"{word} is not a number from 0 to {MAX_U16}")
    return value
