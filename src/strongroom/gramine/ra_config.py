"""Read the CCZoo key server's `ra_config.json` (and grpc-ra-tls `dynamic_config.json`) strictly.

Pure: bytes in, an `RaConfig` out. The original reads this file fail-open: `true` or `"ON"` switch a check off, quoted
numbers count as 0, short hex becomes zero bytes. Here every spelling either means what it says or is refused, with a
JSON pointer to the place (threat ID-04). Source: cczoo/tensorflow-serving-cluster `secret_prov_pf/ra_utils.h`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_RA_CONFIG_BYTES: Final = 1024 * 1024
MAX_RA_CONFIG_DEPTH: Final = 3
MAX_ENTRIES: Final = 100  # where the original stops reading, in silence
MAX_U16: Final = 0xFFFF
FIELDS: Final = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn")
LISTS: Final = ("mrs", "sgx_mrs")

_HEX32: Final = re.compile(r"[0-9a-fA-F]{64}\Z")
_DECIMAL: Final = re.compile(r"[0-9]{1,5}\Z")
_SHOWN: Final = 80  # characters of a value that is not enforced


class RaConfigMalformed(BadInput):
    """A ra_config.json says something that cannot be enforced exactly as written."""

    code = "SR-RA-CONFIG"
    fix = "Correct the file at the place named; every measurement has to be written out."


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A value whose check is off: kept to be shown, never compared."""

    field: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RaConfigEntry:
    """One enclave that is let in; None means that the file switches this check off."""

    mr_enclave: bytes | None
    mr_signer: bytes | None
    isv_prod_id: int | None
    isv_svn: int | None  # the original compares for equality
    unenforced: tuple[Unenforced, ...]


@dataclass(frozen=True, slots=True)
class RaConfig:
    """What a ra_config.json enforces: an enclave passes if one entry matches in every enforced field."""

    enforced: tuple[str, ...]
    entries: tuple[RaConfigEntry, ...]


def parse(data: bytes, *, max_entries: int = MAX_ENTRIES) -> RaConfig:
    """Return what `data` enforces. Raises RaConfigMalformed, with a JSON pointer, for anything else."""
    document = strict_json.loads(
        data, what="ra_config.json", error=RaConfigMalformed,
        max_bytes=MAX_RA_CONFIG_BYTES, max_depth=MAX_RA_CONFIG_DEPTH,
    )  # fmt: skip
    if not isinstance(document, dict):
        raise _wrong("", "the top level has to be an object")
    _refuse_unknown(document, {*(f"verify_{field}" for field in FIELDS), *LISTS}, "")
    enforced = tuple(field for field in FIELDS if _switch(document, f"verify_{field}"))
    _check_identity(enforced)
    name, rows = _rows(document, max_entries)
    entries = tuple(_entry(row, f"/{name}/{index}", enforced) for index, row in enumerate(rows))
    return RaConfig(enforced, entries)


def _switch(document: dict[str, Any], key: str) -> bool:
    if key not in document:
        raise _wrong(f"/{key}", 'is missing; say "on" or "off"')
    value = document[key]
    if value not in ("on", "off") or not isinstance(value, str):
        raise _wrong(f"/{key}", f'is {_show(value)}; only "on" and "off" are understood')
    return value == "on"


def _check_identity(enforced: tuple[str, ...]) -> None:
    """Refuse switches that would let in any enclave, or any enclave of one signer (threat ID-02)."""
    if not enforced:
        raise _wrong("", "all four checks are off, so every enclave would get the key")
    if "mr_enclave" in enforced:
        return
    if "mr_signer" not in enforced:
        raise _wrong("/verify_mr_enclave", "mr_enclave or mr_signer has to be on, else any signer's enclave passes")
    for field in ("isv_prod_id", "isv_svn"):
        if field not in enforced:
            raise _wrong(f"/verify_{field}", "has to be on where mr_signer stands for mr_enclave")


def _rows(document: dict[str, Any], max_entries: int) -> tuple[str, list[Any]]:
    present = [name for name in LISTS if name in document]
    if len(present) != 1:
        raise _wrong("/mrs", "is missing" if not present else "and /sgx_mrs are both there; keep one")
    rows = document[present[0]]
    if not isinstance(rows, list) or not rows:
        raise _wrong(f"/{present[0]}", "has to be an array with at least one entry")
    if len(rows) > max_entries:
        raise _wrong(f"/{present[0]}", f"has {len(rows)} entries, allowed are {max_entries}")
    return present[0], rows


def _entry(row: object, pointer: str, enforced: tuple[str, ...]) -> RaConfigEntry:
    if not isinstance(row, dict):
        raise _wrong(pointer, "has to be an object")
    _refuse_unknown(row, set(FIELDS), pointer)
    for field in enforced:
        if field not in row:
            raise _wrong(f"{pointer}/{field}", "is missing although its check is on")
    return RaConfigEntry(
        mr_enclave=_measurement(row["mr_enclave"], f"{pointer}/mr_enclave") if "mr_enclave" in enforced else None,
        mr_signer=_measurement(row["mr_signer"], f"{pointer}/mr_signer") if "mr_signer" in enforced else None,
        isv_prod_id=_u16(row["isv_prod_id"], f"{pointer}/isv_prod_id") if "isv_prod_id" in enforced else None,
        isv_svn=_u16(row["isv_svn"], f"{pointer}/isv_svn") if "isv_svn" in enforced else None,
        unenforced=tuple(Unenforced(field, _show(row[field])) for field in FIELDS if field in row.keys() - {*enforced}),
    )


def _measurement(value: object, pointer: str) -> bytes:
    if not isinstance(value, str) or not _HEX32.match(value):
        raise _wrong(pointer, f"is {_show(value)}; exactly 64 hex digits are needed")
    measurement = bytes.fromhex(value)
    if not any(measurement):
        raise _wrong(pointer, "is all zero, which is no enclave's measurement")
    return measurement


def _u16(value: object, pointer: str) -> int:
    if isinstance(value, str) and _DECIMAL.match(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_U16:
        raise _wrong(pointer, f"is {_show(value)}; a decimal number from 0 to {MAX_U16} is needed")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str], pointer: str) -> None:
    for key in table:
        if key not in known:
            raise _wrong(f"{pointer}/{_escape(key)}", "is not a key of this format (keys are lower case)")


def _escape(key: str) -> str:
    """Write a key as a JSON pointer token (RFC 6901 section 4)."""
    return ascii(key[:_SHOWN])[1:-1].replace("~", "~0").replace("/", "~1")


def _show(value: object) -> str:
    """Return a value as it may be shown: one line, no control characters, short."""
    return ascii(value)[:_SHOWN]


def _wrong(pointer: str, what: str) -> RaConfigMalformed:
    return RaConfigMalformed(f"ra_config.json: {pointer or 'the document'} {what}")
