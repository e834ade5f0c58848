"""What this process is measured as, for an event of a report: as its own evidence says, verified by nobody here.

World: the platform, which is asked for one quote that no peer ever sees; what a broker decided on is in its ledger.
"""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.attestation.quote import parse_quote
from strongroom.attestation.report import SgxReport
from strongroom.errors import StrongroomError
from strongroom.platforms import Platform

# Over no key and no nonce: a quote over this proves nothing to anybody.
_REPORT_DATA: Final = hashlib.sha512(b"strongroom: for the report of a job").digest()


def measurement_of(platform: Platform) -> str:
    """Return MRENCLAVE or MRTD in hexadecimal after its name, or nothing where there is no quote to be had."""
    try:
        body = parse_quote(platform.quote(_REPORT_DATA)).body
    except StrongroomError:
        return ""
    return f"MRENCLAVE {body.mr_enclave.hex()}" if isinstance(body, SgxReport) else f"MRTD {body.mr_td.hex()}"
