"""Which settings of a job its event log keeps: those that a trusted session or Spark itself sets, in their forms. Pure.

A program may set others, and their names and values can be anything. What protects a session is of interest to who
reads the log, and how much it was given; a path, an option of Java's or a variable of an executor's is not.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[A-Za-z0-9_./:*,\[\]-]{0,200}", re.ASCII)
_KEPT: Final = re.compile(
    r"spark\.(?:master|app\.(?:id|startTime|submitTime)|submit\.deployMode|scheduler\.mode|default\.parallelism"
    r"|sql\.shuffle\.partitions|sql\.adaptive\.enabled|task\.cpus|dynamicAllocation\.(?:enabled|minExecutors|maxExecutors)"
    r"|executor\.(?:id|cores|memory|memoryOverhead|instances)|cores\.max"
    r"|driver\.(?:cores|memory|memoryOverhead|host|port|bindAddress)"
    r"|authenticate|network\.crypto\.(?:enabled|cipher|authEngineVersion|saslFallback)"
    r"|io\.encryption\.(?:enabled|keySizeBits)|ssl\.(?:enabled|protocol)|ui\.enabled|eventLog\.(?:enabled|compress))"
)
_NAMED: Final = "spark.app.name"
_MAX_NAME: Final = 300


def settings(found: object) -> dict[str, str]:
    """Return the settings that are shown."""
    if not isinstance(found, dict):
        return {}
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    kept = {name: value for name, value in texts.items() if _KEPT.fullmatch(name) and _WORDS.fullmatch(value)}
    return kept | ({_NAMED: texts[_NAMED][:_MAX_NAME]} if _NAMED in texts else {})
