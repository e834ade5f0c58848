"""Find out what can vouch for this process."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom.platforms.evidence import Platform, PlatformAbsent
from strongroom.platforms.gramine_device import DEVICE, GramineDevice
from strongroom.platforms.simulated_client import SimulatedPlatform

QUOTE_FD_VARIABLE: Final = "STRONGROOM_QUOTE_FD"


def detect(environ: Mapping[str, str], *, device: Path = DEVICE) -> Platform:
    """Return the platform of this process: Gramine's device, or the socket inherited from `strongroom sim run`.

    A real TEE goes first: a host that sets a variable must not turn it into a simulated one. Raises PlatformAbsent.
    """
    if (device / "attestation_type").exists():
        return GramineDevice(device)
    number = environ.get(QUOTE_FD_VARIABLE)
    if number is None:
        raise PlatformAbsent(f"neither {device} nor the variable {QUOTE_FD_VARIABLE} is there")
    return SimulatedPlatform(_inherited_socket(number))


def _inherited_socket(number: str) -> int:
    if not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise PlatformAbsent(f"{QUOTE_FD_VARIABLE} is {number[:32]!r}, not the number of an open socket")
    descriptor = int(number)
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as problem:
        raise PlatformAbsent(f"{QUOTE_FD_VARIABLE} is {number}: {problem.strerror}") from None
    if not is_socket:
        raise PlatformAbsent(f"{QUOTE_FD_VARIABLE} is {number}, which is open but no socket")
    return descriptor
