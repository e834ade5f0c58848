"""The machines that have registered: one file each, readable by the server alone, since they name machines.

World: the file system. A machine is known by QE ID and PCE ID; registering it again replaces what it said before.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Final

from strongroom.collateral.pccs.upload import Machine, read_machine
from strongroom.errors import Refused
from strongroom.pki.disk import SECRET_FOLDER_MODE, SECRET_MODE, new_file, read_bounded, sync_folder

MAX_MACHINES: Final = 10_000
MAX_FILE_BYTES: Final = 256 * 1024
NEW: Final = "new"
UNAVAILABLE: Final = "not-available"  # asked for and not to be had


class RegistrationsFull(Refused):
    """The local PCCS holds as many registrations of machines as it will."""

    code = "SR-PCCS-FULL"
    fix = "Take the registrations over with GET platforms, which empties the list."


class Registrations:
    """Machines that wait for their certificates. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def add(self, machine: Machine, state: str = NEW) -> None:
        """Remember a machine; raise RegistrationsFull."""
        folder = self._folder / state
        with self._lock:
            folder.mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)
            path = folder / f"{machine.name}.json"
            if not path.exists() and sum(1 for _ in folder.glob("*.json")) >= MAX_MACHINES:
                raise RegistrationsFull(f"{MAX_MACHINES} machines wait already")
            with new_file(path, SECRET_MODE, json.dumps(asdict(machine)).encode("ascii")) as draft:
                draft.replace(path)
                sync_folder(folder)

    def take(self, state: str = NEW) -> list[Machine]:
        """Return the machines that wait, and forget them: whoever asked has them now."""
        with self._lock:
            paths = sorted((self._folder / state).glob("*.json"))
            machines = [read_machine(read_bounded(path, limit=MAX_FILE_BYTES)) for path in paths]
            for path in paths:
                path.unlink()
        return machines
