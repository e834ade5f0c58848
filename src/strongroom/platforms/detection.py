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
from strongroom.platforms.tdx import TDX_DEVICE, TDX_PROVIDER, TdxGuest, provider_of
from strongroom.platforms.tsm_reports import TSM_REPORTS, ConfigfsReports

QUOTE_FD_VARIABLE: Final = "STRONGROOM_QUOTE_FD"


def detect(
    environ: Mapping[str, str], *, device: Path = DEVICE, tsm: Path = TSM_REPORTS, tdx_device: Path = TDX_DEVICE
) -> Platform:
    """Return the platform of this process: Gramine's device, a TDX guest, or the socket that `sim run` left it.

    A real TEE goes first: a host that sets a variable must not turn it into a simulated one. Raises PlatformAbsent.
    """
    if (device / "attestation_type").exists():
        return GramineDevice(device)
    if tdx_device.exists() or _makes_tdx_reports(tsm):
        return TdxGuest(ConfigfsReports(tsm), device=tdx_device)
    number = environ.get(QUOTE_FD_VARIABLE)
    if number is None:
        raise PlatformAbsent(f"neither {device} nor {tdx_device} nor the variable {QUOTE_FD_VARIABLE} is there")
    return SimulatedPlatform(_inherited_socket(number))


def _makes_tdx_reports(tsm: Path) -> bool:
    """Say whether configfs-tsm makes TDX reports here: a container may have it without the device file."""
    try:
        return tsm.is_dir() and provider_of(ConfigfsReports(tsm)) == TDX_PROVIDER
    except OSError:  # whoever may not look there is in no TDX guest as far as anybody can tell
        return False


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
