"""Read Intel's `sgx_default_qcnl.conf`, which operators already have: JSON with comments, or the older KEY=VALUE form.

Pure. Unknown keys are noted, wrong values refused with their line; what would weaken TLS is noted and left to the
caller (threats SA-07, DP-11). Source: specification section 11.3.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import BadInput
from strongroom.wire import strict_json

DEFAULT_PATH: Final = "/etc/sgx_default_qcnl.conf"
DEFAULT_PCCS_URL: Final = "https://localhost:8081/sgx/certification/v4/"
MAX_QCNL_BYTES: Final = 64 * 1024
MAX_RETRIES: Final = 100
MAX_HOURS: Final = 24 * 365
_MAX_DELAY_S: Final = 3600
# A string or comment that never ends is taken whole: tried again at each character, it would cost quadratic time.
_STRING_OR_COMMENT: Final = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|//[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*(?:/|\Z)|/\*.*\Z', re.DOTALL
)
_OLD_LINE: Final = re.compile(r"[ \t]*([A-Za-z_]+)[ \t]*=[ \t]*(.*?)[ \t\r]*")
_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:\[\]-]+(/[!-~]*)?")


class QcnlMalformed(BadInput):
    """A qcnl.conf cannot be read, or holds a value that its key cannot have."""

    code = "SR-QCNL"
    fix = "Correct the line that is named; Intel's comments in a fresh sgx_default_qcnl.conf say what each key takes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Qcnl:
    """What a qcnl.conf says. `notes` are sentences about what was not understood or would be weaker."""

    pccs_url: str = DEFAULT_PCCS_URL
    use_secure_cert: bool = True
    collateral_service: str | None = None
    tcb_update_type: str = "standard"
    pccs_api_version: str = "3.1"
    retry_times: int = 6
    retry_delay_s: int | None = None  # None: 1 s, doubled each time
    local_pck_url: str | None = None
    pck_cache_expire_hours: float = 168
    verify_collateral_cache_expire_hours: float = 168
    local_cache_only: bool = False
    get_cert_headers: tuple[tuple[str, str], ...] = ()
    get_cert_parameters: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes, *, name: str = DEFAULT_PATH) -> Qcnl:
    """Return what the file says; raise QcnlMalformed with file and line."""
    if len(data) > MAX_QCNL_BYTES:
        raise QcnlMalformed(f"{name} is longer than {MAX_QCNL_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise QcnlMalformed(f"{name} is not UTF-8 at byte {problem.start}") from None
    bare = _STRING_OR_COMMENT.sub(_blank_comment, text)
    if not bare.lstrip().startswith("{"):
        return _old_form(text, name)
    values = strict_json.loads(bare, what=name, error=QcnlMalformed, max_bytes=MAX_QCNL_BYTES)
    if not isinstance(values, dict):  # pragma: no cover  # it starts with a brace
        raise QcnlMalformed(f"{name} is not a JSON object")
    return _Values(values, bare, name).read()


def _blank_comment(found: re.Match[str]) -> str:
    """Blank a comment out, so that lines and columns in errors stay those of the file."""
    token = found[0]
    return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)


class _Values:
    """The file's object; takes typed values out and says where a wrong one stands."""

    def __init__(self, values: dict[str, object], text: str, name: str) -> None:
        self._values = values
        self._text = text
        self._name = name
        self._notes: list[str] = []

    def read(self) -> Qcnl:
        default = Qcnl()
        headers, parameters = self._request_options()
        found = Qcnl(
            pccs_url=self._url("pccs_url") or default.pccs_url,
            use_secure_cert=self._flag("use_secure_cert", default=True),
            collateral_service=self._url("collateral_service"),
            tcb_update_type=self._word("tcb_update_type", ("standard", "early"), "standard"),
            pccs_api_version=self._word("pccs_api_version", ("3.0", "3.1"), "3.1"),
            retry_times=self._number("retry_times", default.retry_times, MAX_RETRIES),
            retry_delay_s=self._number("retry_delay", 0, _MAX_DELAY_S) if "retry_delay" in self._values else None,
            local_pck_url=self._url("local_pck_url"),
            pck_cache_expire_hours=self._hours("pck_cache_expire_hours"),
            verify_collateral_cache_expire_hours=self._hours("verify_collateral_cache_expire_hours"),
            local_cache_only=self._flag("local_cache_only", default=False),
            get_cert_headers=headers,
            get_cert_parameters=parameters,
        )
        self._notes += [f"{self._place(key)}: unknown key {key[:64]!r} is left aside" for key in self._values]
        return replace(found, notes=tuple(self._notes))

    def _place(self, key: str) -> str:
        position = self._text.find(json.dumps(key, ensure_ascii=False))
        return f"{self._name}, line {self._text.count(chr(10), 0, max(position, 0)) + 1}"

    def _fail(self, key: str, wanted: str) -> QcnlMalformed:
        return QcnlMalformed(f"{self._place(key)}: {key} is not {wanted}")

    def _url(self, key: str) -> str | None:
        value = self._values.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > 1024 or not _URL.fullmatch(value):
            raise self._fail(key, "an http or https URL")
        return value

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._values.pop(key, default)
        if not isinstance(value, bool):
            raise self._fail(key, "true or false")
        return value

    def _word(self, key: str, words: tuple[str, ...], default: str) -> str:
        value = self._values.pop(key, default)
        if not isinstance(value, str) or value.lower() not in words:
            raise self._fail(key, " or ".join(f'"{word}"' for word in words))
        return value.lower()

    def _number(self, key: str, default: int, most: int) -> int:
        value = self._values.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self._fail(key, f"a whole number from 0 to {most}")
        return value

    def _hours(self, key: str) -> float:
        """Return a number of hours, which may have a fraction; like Intel's library, no more than a maximum."""
        value = self._values.pop(key, 168)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise self._fail(key, "a number of hours")
        return min(value, MAX_HOURS)

    def _request_options(self) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        key = "custom_request_options"
        options = self._values.pop(key, {})
        if not isinstance(options, dict):
            raise self._fail(key, "an object")
        get_cert = options.get("get_cert", {})
        if not isinstance(get_cert, dict):
            raise self._fail(key, "an object with an object get_cert")
        others = (set(options) - {"get_cert"}) | (set(get_cert) - {"headers", "params"})
        self._notes += [f"{self._place(key)}: unknown option {other[:64]!r} is left aside" for other in sorted(others)]
        return self._pairs(get_cert.get("headers", {})), self._pairs(get_cert.get("params", {}))

    def _pairs(self, value: object) -> tuple[tuple[str, str], ...]:
        """Return names and values that can go into a request: printable, without line ends."""
        if not isinstance(value, dict) or len(value) > 16:
            raise self._fail("custom_request_options", "an object of at most 16 texts")
        for name, text in value.items():
            if not isinstance(text, str) or not _printable(text) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
                raise self._fail("custom_request_options", "made of plain names and printable texts")
        return tuple(value.items())


def _printable(text: str) -> bool:
    return len(text) <= 1024 and all(" " <= character <= "~" for character in text)


def _old_form(text: str, name: str) -> Qcnl:
    """Read the form before DCAP 1.10: PCCS_URL and USE_SECURE_CERT, one a line, `#` comments."""
    values: dict[str, object] = {}
    notes = [f"{name} is in the old KEY=VALUE form; newer quote providers read JSON only"]
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _OLD_LINE.fullmatch(line)
        if not found:
            raise QcnlMalformed(f"{name}, line {number}: neither JSON nor KEY=VALUE")
        key, value = found[1].lower(), found[2]
        if key == "use_secure_cert" and value.lower() in {"true", "false"}:
            values[key] = value.lower() == "true"
        elif key == "pccs_url":
            values[key] = value
        else:
            notes.append(f"{name}, line {number}: {found[0].strip()[:64]!r} is left aside")
    return replace(_Values(values, text, name).read(), notes=tuple(notes))
