"""Which keys a process uses, by a reference that is no secret: an agent's socket, or a folder of test keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.files import FileKeyService
from strongroom.analytics.keys.service import KeyNotGranted, KeyService
from strongroom.errors import BadInput

AGENT_VARIABLE: Final = "STRONGROOM_AGENT"  # the path of a socket: names who has keys, and holds none

NO_AGENT_FIX: Final = (
    "Submit the job with --key NAME, and --broker URL --broker-ca FILE or, to try things out, --keys file:FOLDER; "
    "for other programs see strongroom spark agent --help."
)


class BadKeysReference(BadInput):
    """A reference to keys is neither agent:SOCKET nor file:FOLDER."""

    code = "SR-DATA-KEYS"
    fix = "Write agent:SOCKET, or file:FOLDER for a test; never a key itself."


def open_keys(reference: str) -> KeyService:
    """Return the keys of a reference. Raises BadKeysReference and what is wrong with a folder of key files."""
    kind, _, place = reference.partition(":")
    if place and kind == "agent":
        return AgentKeys(place)
    if place and kind == "file":
        return FileKeyService(place)
    raise BadKeysReference("keys are given as agent:SOCKET or file:FOLDER")  # not shown: it could be a key


def default_keys(environ: Mapping[str, str]) -> KeyService:
    """Return the keys of the agent that started this process. Raises KeyNotGranted where there is none."""
    path = environ.get(AGENT_VARIABLE, "")
    if not path:
        raise KeyNotGranted("this process has no keys: it runs under no agent", fix=NO_AGENT_FIX)
    return AgentKeys(path)
