"""Read a build's measurement as Gramine's and our own tools print it in JSON. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from strongroom.broker.release import SignatureCheck
from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_U16: Final = 0xFFFF
_HEX32: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_DEBUG_WORDS: Final = ("debug", "debug_enclave")  # ours, and gramine-sgx-sigstruct-view's


class MeasurementMalformed(BadInput):
    """A measurement file does not hold one build's measurement, or that of a debug build."""

    code = "SR-MEASUREMENT"
    fix = "Write it with strongroom sim measure --json or gramine-sgx-sigstruct-view --output-format json."


@dataclass(frozen=True, slots=True)
class MeasuredBuild:
    """One build: its measurement (32 bytes) and the values of its signature."""

    mr_enclave: bytes
    signature: SignatureCheck


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
    signature = SignatureCheck(
        mrsigner=_measured(found, "mr_signer"), isvprodid=_u16(found, "isv_prod_id"), min_isvsvn=_u16(found, "isv_svn")
    )
    return MeasuredBuild(_measured(found, "mr_enclave"), signature)


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
