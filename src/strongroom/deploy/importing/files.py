"""What a file of the reference guides is, and what becomes of it here. Pure: name and bytes in.

Data only (threat SA-07): nothing that was insecure is adopted, everything that was is named. Keys are recognised by
their length and never shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Final

from strongroom.broker.policy.text import notices_of
from strongroom.collateral import qcnl
from strongroom.deploy.importing.kubernetes_objects import Note, settings_of
from strongroom.deploy.lint import lint
from strongroom.deploy.yaml_reading import objects_of
from strongroom.errors import BadInput
from strongroom.gramine import ra_config
from strongroom.sealing import WeakKey, check_wrap_key
from strongroom.sealing.keys import WRAP_KEY_BYTES
from strongroom.secret import Secret

TOLD: Final = (".hostPath", "spec.type")  # places of which a note says what stands for them here
BROKER: Final = 'Say broker = "HOST:PORT" in [deploy]: strongroom broker serve runs on a machine of the owner.'


class NothingToImport(BadInput):
    """A file or folder is none that the reference guides know."""

    code = "SR-IMPORT-UNKNOWN"
    fix = "Give deploy.yaml, ingress.yaml, ra_config.json, sgx_default_qcnl.conf, wrap_key or an ssl_configure folder."


class Kind(StrEnum):
    """What was recognised."""

    KUBERNETES = "Kubernetes objects"
    RA_CONFIG = "measurements of the key server"
    QCNL = "configuration of the quote library"
    WRAP_KEY = "wrap key"
    SSL_CONFIGURE = "TLS files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one file brings: words for the [deploy] table, the command that takes the rest over, and what was weak."""

    path: str
    kind: Kind
    settings: Mapping[str, object] = field(default_factory=dict)
    command: str | None = None
    notes: tuple[Note, ...] = ()

    def to_json_object(self) -> dict[str, object]:
        """Return it as a machine reads it."""
        return {
            "path": self.path, "kind": str(self.kind), "settings": dict(self.settings), "command": self.command,
            "notes": [{"where": note.where, "seen": note.seen, "instead": note.instead} for note in self.notes],
        }  # fmt: skip


def read(path: str, data: bytes) -> Imported:
    """Return what a file brings. Raises NothingToImport, or what its own reader raises."""
    name = PurePath(path).name.lower()
    if name.endswith((".yaml", ".yml")):
        return _kubernetes(path, data)
    if name.endswith(".json"):
        return _ra_config(path, data)
    if name.endswith(".conf"):
        return _qcnl(path, data)
    if len(data) == WRAP_KEY_BYTES:
        return _wrap_key(path, data)
    raise NothingToImport(f"{path} is no file of the reference guides")


def _kubernetes(path: str, data: bytes) -> Imported:
    objects = objects_of(data, where=path)
    settings, notes = settings_of(objects)
    if not settings and not notes:
        raise NothingToImport(f"{path} holds no Deployment, Service or Ingress")
    if settings.get("tee") == "sgx":
        notes = (*notes, Note("the key server", "its address is no part of these files", BROKER))
    weak = tuple(
        Note(f"{finding.object} {finding.place}", finding.why, finding.fix)
        for finding in lint(objects)
        if not finding.place.endswith(TOLD)
    )
    return Imported(path=path, kind=Kind.KUBERNETES, settings=settings, notes=(*notes, *weak))


def _ra_config(path: str, data: bytes) -> Imported:
    found = ra_config.parse(data)
    instead = "The rules say what is enforced; --dry-run shows them."
    notes = tuple(Note(path, notice, instead) for notice in notices_of(found))
    return Imported(
        path=path, kind=Kind.RA_CONFIG, command=f"strongroom policy import {shlex.quote(path)} --dry-run", notes=notes
    )


def _qcnl(path: str, data: bytes) -> Imported:
    found = qcnl.parse(data, name=path)
    notes = [Note(path, note, "It is not adopted.") for note in found.notes]
    if not found.use_secure_cert:
        notes.append(
            Note(
                path, "use_secure_cert is false: anybody on the way could answer", "TLS is verified; pin the PCCS's CA."
            )
        )
    command = f"strongroom collateral doctor --qcnl {shlex.quote(path)}"
    return Imported(path=path, kind=Kind.QCNL, command=command, notes=tuple(notes))


def _wrap_key(path: str, data: bytes) -> Imported:
    try:
        check_wrap_key(Secret(data))
    except WeakKey as problem:
        instead = "Publish the model again: strongroom model publish makes a key for each version."
        return Imported(path=path, kind=Kind.WRAP_KEY, notes=(Note(path, problem.sentence, instead),))
    return Imported(
        path=path, kind=Kind.WRAP_KEY, command=f"strongroom key put secret/wrap_key --from {shlex.quote(path)}"
    )
