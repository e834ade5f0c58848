"""strongroom.toml: the owner's few settings, read strictly. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from strongroom.errors import BadInput
from strongroom.pki import names
from strongroom.pki.authority import CA_DAYS, LEAF_DAYS

MAX_SETTINGS_BYTES: Final = 64 * 1024
T = TypeVar("T")
BROKER_NAMES: Final = ("attestation.service.com", "localhost")


class SettingsMalformed(BadInput):
    """strongroom.toml holds something that is not a setting, or a value that a setting cannot have."""

    code = "SR-SETTINGS"
    fix = "Correct strongroom.toml; the comments in a fresh one (strongroom init elsewhere) say what it may hold."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What strongroom.toml says."""

    certificate_days: int = LEAF_DAYS  # validity of the certificates that `strongroom certs` writes
    broker_names: tuple[str, ...] = BROKER_NAMES  # DNS names in the broker's certificate
    collateral: Mapping[str, object] | None = None  # the [collateral] table, as it is; its room reads it

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the file; unknown words are refused."""
        table = _Table(_toml(data), "strongroom.toml")
        if table.take("version", int, None) != 1:
            raise SettingsMalformed("strongroom.toml: version is not 1")
        certificates = _Table(table.take("certificates", dict, {}), "[certificates]")
        broker = _Table(table.take("broker", dict, {}), "[broker]")
        days = certificates.take("days", int, LEAF_DAYS)
        broker_names = broker.take("names", list, list(BROKER_NAMES))
        collateral = table.take("collateral", dict, {})
        for part in (table, certificates, broker):
            part.expect_end()
        if not 1 <= days < CA_DAYS:
            raise SettingsMalformed(f"[certificates] days is {days}, allowed are 1 to {CA_DAYS - 1}")
        if not all(isinstance(name, str) for name in broker_names):
            raise SettingsMalformed("[broker] names holds something that is not text")
        names.server_names(broker_names)
        return cls(certificate_days=days, broker_names=tuple(broker_names), collateral=collateral or None)

    def render(self) -> bytes:
        """Return the file with comments."""
        quoted = ", ".join(f'"{name}"' for name in self.broker_names)
        return f"""\
# Settings of this Strongroom workspace. Unknown words are refused.
version = 1

[certificates]
# Days that certificates from "strongroom certs" are valid.
days = {self.certificate_days}

[broker]
# DNS names in the broker's certificate: replicas must reach it under one of them. Names, not addresses: enclaves
# of older Gramine releases cannot match an address. After a change the broker renews its certificate by itself.
names = [{quoted}]

# Where the broker finds the collateral of replicas. Without this table: the files in trust/collateral.
# [collateral]
# sources = ["intel-pcs"]          # asked in this order: intel-pcs, azure, a PCCS's URL, a folder such as "./mirror"
# max_age = "7d"                   # nothing older is used; "grace" lets it serve longer, with an audit record each time
""".encode()


def _toml(data: bytes) -> dict[str, object]:
    if len(data) > MAX_SETTINGS_BYTES:
        raise SettingsMalformed(f"strongroom.toml is longer than {MAX_SETTINGS_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise SettingsMalformed(f"strongroom.toml is not UTF-8 at byte {problem.start}") from None
    except (ValueError, RecursionError) as problem:
        raise SettingsMalformed(f"strongroom.toml is not TOML: {str(problem)[:160]}") from None


class _Table:
    def __init__(self, values: dict[str, object], where: str) -> None:
        self._values = dict(values)
        self._where = where

    def take(self, name: str, kind: type[T], default: T | None) -> T:
        value = self._values.pop(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SettingsMalformed(f"{self._where}: {name} is missing or not of the type {kind.__name__}")
        return value

    def expect_end(self) -> None:
        if self._values:
            raise SettingsMalformed(f"{self._where}: unknown word {next(iter(self._values))[:64]!r}")
