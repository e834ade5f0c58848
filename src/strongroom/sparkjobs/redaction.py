"""Names of settings that are not shown, not given on a command line, and not changed by a program. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from strongroom.errors import Refused

# Spark hides a setting in its pages and event logs where this fits its name (or its value).
REDACTION: Final = (
    "(?i)secret|password|passphrase|passwd|token|credential|access[._-]?key|api[._-]?key|private[._-]?key"
    "|primary[._-]?key|data[._-]?key"
)
_SECRET_NAME: Final = re.compile(
    r"secret|password|passphrase|passwd|token|credential|access[._-]?key|api[._-]?key|primarykey\..*(plaintext|material)",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(
    r"(file|path|name|class|provider|location|enabled|interval|renewal|ratio)s?$", re.IGNORECASE
)


class SecretInSettings(Refused):
    """A setting holds a secret, where processes lists, pages and logs would show it."""

    code = "SR-SPARK-SECRET-SETTING"
    fix = "Take the setting out: name a file that only its owner may read (--secret-file), or a key by --key."


class SettingLocked(Refused):
    """A setting would take away a part of a trusted session's protection."""

    code = "SR-SPARK-SETTING"
    fix = "Take the setting out; what a trusted session sets is listed in docs/analytics-jobs.md."


def is_secret_name(name: str) -> bool:
    """Return whether a setting of this name holds a secret itself, not the name of a file."""
    return bool(_SECRET_NAME.search(name)) and not _REFERENCE.search(name)


def check_settings(settings: Mapping[str, str], locked: Mapping[str, str]) -> None:
    """Hold what a user or program asks for against what a session keeps. Raises SecretInSettings, SettingLocked.

    No message repeats a value: it may be the secret.
    """
    for name, value in settings.items():
        if is_secret_name(name) and name not in locked:
            raise SecretInSettings(f"the setting {name[:100]} would show a secret to every user of this machine")
        if name in locked and not _same(value, locked[name]):
            raise SettingLocked(f"{name[:100]} is {locked[name]} in a trusted session and stays so")


def _same(value: str, kept: str) -> bool:
    return value.strip().lower() == kept.lower()
