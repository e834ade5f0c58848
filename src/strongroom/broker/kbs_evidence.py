"""Primary evidence as KBS clients send it, by the kind of TEE, to and from a quote. Pure.

Source: KBS specification section 5.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from strongroom.attestation import Claims, Tee
from strongroom.broker.kbs import KbsMessageMalformed, KbsTeeRefused
from strongroom.pki.report_data import report_data_of

MAX_QUOTE_BYTES: Final = 64 * 1024
_TEES: Final = {"sgx": Tee.SGX, "tdx": Tee.TDX}
_MEMBERS: Final = {"sgx": {"quote"}, "tdx": {"quote", "cc_eventlog"}}


def quote_in(tee: str, primary: object) -> bytes:
    """Return the quote in the evidence of a kind of TEE that is spoken here; nothing of it is verified.

    A TDX event log is not replayed: rules compare the RTMRs themselves. Raises KbsMessageMalformed, or KbsTeeRefused
    for a quote of another kind of TEE than the client named.
    """
    if not isinstance(primary, dict) or "quote" not in primary or primary.keys() - _MEMBERS[tee]:
        raise KbsMessageMalformed(f"the evidence of the kind {tee} has other members than {sorted(_MEMBERS[tee])}")
    log = primary.get("cc_eventlog")
    if log is not None and not isinstance(log, str):
        raise KbsMessageMalformed("cc_eventlog is neither text nor null")
    quote = _decoded(primary["quote"])
    found, _ = report_data_of(quote, error=KbsMessageMalformed)
    if found is not _TEES[tee]:
        raise KbsTeeRefused(f"the client named {tee} and brought a quote of {found}")
    return quote


def evidence_of(quote: bytes) -> tuple[str, dict[str, Any]]:
    """Return the kind of TEE of a quote of ours, and the evidence that carries it. Raises KbsMessageMalformed."""
    tee, _ = report_data_of(quote, error=KbsMessageMalformed)
    text = base64.b64encode(quote).decode("ascii")
    return ("sgx", {"quote": text}) if tee is Tee.SGX else ("tdx", {"quote": text, "cc_eventlog": None})


def config_register(claims: Claims) -> bytes:
    """Return the register that init-data is measured into: CONFIGID or MRCONFIGID; empty where nothing says it."""
    found = claims.config_id if claims.tee is Tee.SGX else claims.mr_config_id
    return found or b""


def _decoded(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > MAX_QUOTE_BYTES * 4 // 3 + 4:
        raise KbsMessageMalformed(f"the quote is not a text, or longer than {MAX_QUOTE_BYTES} bytes")
    try:
        quote = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise KbsMessageMalformed("the quote is not base64") from None
    if base64.b64encode(quote).decode("ascii") != text:
        raise KbsMessageMalformed("the quote is not base64 in its one spelling")
    return quote
