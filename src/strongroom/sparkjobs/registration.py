"""What an admitted executor says of itself as it registers with its driver: one attribute of Spark's. Pure.

Spark sends variables SPARK_EXECUTOR_ATTRIBUTE_NAME of an executor's environment with its registration: a message under
the job's secret, which only admitted processes have. They are in the driver's event log, wherever the executor runs.
Source: org.apache.spark.executor.CoarseGrainedExecutorBackend of Spark 4.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

ATTRIBUTE: Final = "STRONGROOM"
VARIABLE: Final = f"SPARK_EXECUTOR_ATTRIBUTE_{ATTRIBUTE}"
MAX_CHARS: Final = 4096
MAX_KEYS: Final = 64
MAX_SECONDS: Final = 1e9
# None of these can hold a row: what is not of its form is not said at all.
_FORMS: Final = {
    "time": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}\+00:00", re.ASCII),
    "platform": re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,39}", re.ASCII),
    "measurement": re.compile(r"(MRENCLAVE [0-9a-f]{64}|MRTD [0-9a-f]{96})?", re.ASCII),
    "broker": re.compile(r"https://[A-Za-z0-9.:\[\]_/-]{1,250}", re.ASCII),
}
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """When and as what an executor was admitted, by which broker, with which primary keys, for how long."""

    time: str
    platform: str
    measurement: str
    broker: str
    keys: tuple[str, ...] = ()
    seconds: float = 0.0
    lease_s: float = 0.0

    def to_attribute(self) -> str:
        """Return the attribute's value; what would be too long leaves keys out."""
        kept = min(len(self.keys), MAX_KEYS)
        while len(text := self._text(kept)) > MAX_CHARS and kept:
            kept -= 1
        return text

    def _text(self, keys: int) -> str:
        return json.dumps({**asdict(self), "keys": self.keys[:keys]}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Read an attribute's value; None for what no executor of ours says."""
        if not isinstance(text, str) or len(text) > MAX_CHARS:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.keys() != set(cls.__dataclass_fields__) or not _is_formed(found):
            return None
        return cls(**{**found, "keys": tuple(found["keys"])})


def _is_formed(found: dict[str, Any]) -> bool:
    texts = all(isinstance(found[name], str) and form.fullmatch(found[name]) for name, form in _FORMS.items())
    keys = found["keys"]
    named = isinstance(keys, list) and len(keys) <= MAX_KEYS
    named = named and all(isinstance(each, str) and _KEY.fullmatch(each) for each in keys)
    return texts and named and all(_is_duration(found[name]) for name in ("seconds", "lease_s"))


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS
