"""What an administrator of the local PCCS may do: register machines, list them, bring collateral, refresh.

World: the folders that registrations and uploads are kept in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from strongroom.attestation import Anchor
from strongroom.collateral.api import Kind
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.checks import Circumstances, check
from strongroom.collateral.pccs.recording import Recording, record
from strongroom.collateral.pccs.registrations import NEW, UNAVAILABLE, Registrations
from strongroom.collateral.pccs.tokens import Tokens
from strongroom.collateral.pccs.upload import Machine, UploadUnusable, read_machine, read_upload
from strongroom.errors import StrongroomError, Unreachable
from strongroom.pki.disk import SECRET_FOLDER_MODE, SECRET_MODE, new_file, sync_folder

_SOURCES: Final = {"reg": NEW, "reg_na": UNAVAILABLE}


class Mode(StrEnum):
    """When upstream is asked: at a miss, at a registration or refresh, never."""

    LAZY = "LAZY"
    REQ = "REQ"
    OFFLINE = "OFFLINE"


class RefreshImpossible(Unreachable):
    """The local PCCS was told to refresh, but it has nobody to ask."""

    code = "SR-PCCS-REFRESH"
    fix = "Start it with --upstream and a mode other than OFFLINE, or bring collateral with PUT platformcollateral."


class Provisioner(Protocol):
    """Whoever can fetch from upstream."""

    def provision(self, machine: Machine) -> bool:
        """Fetch and keep the machine's certificate and its collateral; return whether there is one."""

    def refresh(self) -> None:
        """Fetch everything that is held anew; raise Unreachable."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A JSON list and how many items it has."""

    body: bytes
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The administrator's side of a PCCS. `check` raises for what does not verify; `uploads` is a recorded folder."""

    tokens: Tokens
    registrations: Registrations
    uploads: Path
    check: Callable[[Sequence[Exchange]], None]
    provisioner: Provisioner | None = None

    def register(self, body: bytes) -> None:
        """Take a machine's registration: fetch its certificate where upstream may be asked, or let it wait."""
        machine = read_machine(body)
        if self.provisioner is None:
            self.registrations.add(machine, NEW)
        elif not self.provisioner.provision(machine):
            self.registrations.add(machine, UNAVAILABLE)

    def platforms(self, source: str) -> Listed:
        """Return the machines that wait (`reg`) or have no certificate (`reg_na`), and forget them."""
        if source not in _SOURCES:
            raise UploadUnusable(f"source is {source[:32]!r}, wanted {' or '.join(_SOURCES)}")
        machines = self.registrations.take(_SOURCES[source])
        return Listed(json.dumps([asdict(each) for each in machines]).encode("ascii"), len(machines))

    def put_collateral(self, body: bytes, version: int) -> None:
        """Keep what an upload brings, all of it or nothing; raise UploadUnusable."""
        try:
            brought = read_upload(body, version)
            self.check(brought)
            recordings = [recording for each in brought if (recording := record(each)) is not None]
        except Unreachable:
            raise
        except StrongroomError as problem:
            raise UploadUnusable(problem.sentence) from None
        write_recordings(self.uploads, recordings)

    def refresh(self) -> None:
        """Fetch anew; raise RefreshImpossible where there is no upstream."""
        if self.provisioner is None:
            raise RefreshImpossible("there is no upstream that may be asked")
        self.provisioner.refresh()


def write_recordings(folder: Path, recordings: Iterable[Recording]) -> None:
    """Put recordings into a folder, each in one step, over those of the same name."""
    folder.mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    for each in recordings:
        with new_file(folder / each.name, SECRET_MODE, each.content()) as draft:
            draft.replace(folder / each.name)
    sync_folder(folder)


def check_all(exchanges: Sequence[Exchange], *, anchors: tuple[Anchor, ...], at: datetime) -> None:
    """Check every answer of an upload against its own root CRL; raise for the first that does not hold or has ended."""
    roots = [each for each in exchanges if each.request.kind is Kind.ROOT_CRL]
    under = Circumstances(anchors=anchors, at=at)
    if roots:
        under = replace(under, root_crl=check(roots[0], under).crl)
    for each in exchanges:
        span = check(each, under).span
        if not span.issued <= at <= span.until:
            raise UploadUnusable(f"{each.request.kind.value} counts from {span.issued:%F} to {span.until:%F} only")
