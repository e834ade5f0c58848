"""Answer clients who ask what this process is: a quote over their nonce and the key of this server's TLS.

Source: contract `serve-v1`: report data = binding of purpose "serve", SPKI, nonce. A quote costs the platform time,
so only a few are made at once.
"""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass, field
from typing import Final

from strongroom.attestation.binding import report_data_for
from strongroom.platforms import Platform
from strongroom.serving.status import BadRequest, Overloaded
from strongroom.serving.threads import in_thread

FORM: Final = "serve-v1"
PURPOSE: Final = "serve"
MAX_AT_ONCE: Final = 8
MAX_WAITING: Final = 64
_NONCE: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(slots=True)
class Evidence:
    """Quotes for one TLS key."""

    platform: Platform
    spki: bytes
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))
    _waiting: int = 0

    async def answer(self, nonce_hex: str) -> dict[str, str]:
        """Return `{"quote": base64, "form": …}`. Raises BadRequest, Overloaded or what the platform raises."""
        if not _NONCE.fullmatch(nonce_hex):
            raise BadRequest("evidence needs a nonce of 64 hex digits: /strongroom/v1/evidence?nonce=…")
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many requests for evidence wait already")
        report_data = report_data_for(PURPOSE, self.spki, bytes.fromhex(nonce_hex), "")
        self._waiting += 1
        try:
            async with self._gate:
                quote = await in_thread(lambda: self.platform.quote(report_data), name="quote")
        finally:
            self._waiting -= 1
        return {"quote": base64.b64encode(quote).decode(), "form": FORM}
