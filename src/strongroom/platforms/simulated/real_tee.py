"""Refuse to simulate on a machine that could attest for real (spec 14.2, threats ID-13)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from strongroom.errors import Refused

REAL_TEE_DEVICES: Final = tuple(
    Path("/dev") / name for name in ("sgx_enclave", "sgx/enclave", "tdx_guest", "sev-guest")
)
BANNER: Final = (
    "SIMULATED PLATFORM - NOT A TEE: nothing here is protected from this machine's owner; "
    "its quotes carry the trust domain 'simulated'"
)


class RealTeePresent(Refused):
    """This machine has a real TEE, so simulated evidence here would most likely be a mistake."""

    code = "SR-REAL-TEE"
    fix = "Run the program under Gramine, or say --beside-real-tee if a simulation is really what you want."


def refuse_beside_real_tee(devices: Iterable[Path] = REAL_TEE_DEVICES, *, allowed: bool = False) -> None:
    """Raise RealTeePresent if one of `devices` exists and nobody said that this is wanted."""
    present = [str(device) for device in devices if device.exists()]
    if present and not allowed:
        raise RealTeePresent(f"a real TEE is here ({', '.join(present)}); the simulated platform does not start")
