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
ROOTS: Final = ("file", "passphrase", "pkcs11")
MAX_RATE: Final = 10_000_000  # a minute


class SettingsMalformed(BadInput):
    """strongroom.toml holds something that is not a setting, or a value that a setting cannot have."""

    code = "SR-SETTINGS"
    fix = "Correct strongroom.toml; the comments in a fresh one (strongroom init elsewhere) say what it may hold."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Where a PKCS#11 token holds the root key."""

    module: str  # the token's library
    token: str  # its label
    key_label: str = "strongroom-root"
    pin_file: str = "root/pin"  # 0600, in the workspace unless it is an absolute path


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The [broker] table: where its state lies, what protects its secrets, where it listens, who may weaken it."""

    names: tuple[str, ...] = BROKER_NAMES  # DNS names in the broker's certificate
    store: str = "broker.db"  # a file in the workspace, or a postgresql:// address without a password
    root: str = "file"  # what holds the root key: see ROOTS; or kms:NAME
    token: TokenSettings | None = None  # for root = "pkcs11"
    kbs_port: int | None = None  # None: not served unless the command line says so
    admin_port: int | None = None
    deployment: str | None = None  # bound into the evidence of our own replicas; None: the store's own id
    owners: tuple[str, ...] = ()  # public keys (PEM files) of those whose signature counts for a weakening
    weakening_votes: int = 1  # how many of them have to sign before a policy that admits more takes effect
    witness: str | None = None  # a checkpoint of the ledger that is kept elsewhere
    kbs_rate: int = 6000  # requests of each kind that one address may send in a minute, to all brokers of the store
    kbs_tenant_rate: int = 30_000  # requests for one tenant's secrets in a minute

    @property
    def shared(self) -> bool:
        """Whether several brokers may use the store."""
        return self.store.startswith(("postgresql://", "postgres://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What strongroom.toml says."""

    certificate_days: int = LEAF_DAYS  # validity of the certificates that `strongroom certs` writes
    broker: BrokerSettings = BrokerSettings()
    collateral: Mapping[str, object] | None = None  # the [collateral] table, as it is; its room reads it
    deploy: Mapping[str, object] | None = None  # the [deploy] table, as it is; its room reads it

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the file; unknown words are refused."""
        table = _Table(_toml(data), "strongroom.toml")
        if table.take("version", int, None) != 1:
            raise SettingsMalformed("strongroom.toml: version is not 1")
        certificates = _Table(table.take("certificates", dict, {}), "[certificates]")
        broker = _broker(_Table(table.take("broker", dict, {}), "[broker]"))
        days = certificates.take("days", int, LEAF_DAYS)
        collateral, deploy = table.take("collateral", dict, {}), table.take("deploy", dict, {})
        for part in (table, certificates):
            part.expect_end()
        if not 1 <= days < CA_DAYS:
            raise SettingsMalformed(f"[certificates] days is {days}, allowed are 1 to {CA_DAYS - 1}")
        return cls(certificate_days=days, broker=broker, collateral=collateral or None, deploy=deploy or None)

    @property
    def broker_names(self) -> tuple[str, ...]:
        """DNS names in the broker's certificate."""
        return self.broker.names

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
# store = "broker.db"              # or postgresql://HOST/DATABASE where several brokers share it (docs/broker.md)
# root = "file"                    # what protects the secrets: file, passphrase, pkcs11 (docs/keys.md)
# kbs_port = 8080                  # the KBS protocol (docs/kbs.md)
# kbs_rate = 6000                  # requests of each kind in a minute that one address may send there
# admin_port = 8443                # administration and the console, for client certificates (docs/admin.md)
# owners = ["owner-a.pem", "owner-b.pem"]
# weakening_votes = 2              # a policy that admits more waits for so many owners' signatures (docs/policy.md)

# Where the broker finds the collateral of replicas. Without this table: the files in trust/collateral.
# [collateral]
# sources = ["intel-pcs"]          # asked in this order: intel-pcs, azure, a PCCS's URL, a folder such as "./mirror"
# max_age = "7d"                   # nothing older is used; "grace" lets it serve longer, with an audit record each time

# What "strongroom deploy" makes of this workspace: a cluster, images, fronts (docs/deploying.md). Without this table:
# one simulated replica of every published model.
# [deploy]
# tee = "simulated"                # sgx, tdx, simulated
# cloud = "generic"                # aks, azure, alibaba, tencent, bytedance, or a profile of your own
# replicas = 1
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


def _broker(table: _Table) -> BrokerSettings:
    names_in_certificate = table.texts("names", BROKER_NAMES)
    names.server_names(names_in_certificate)
    found = BrokerSettings(
        names=names_in_certificate,
        store=table.take("store", str, "broker.db"),
        root=table.take("root", str, "file"),
        token=_token(table),
        kbs_port=table.port("kbs_port"),
        admin_port=table.port("admin_port"),
        deployment=table.optional_text("deployment"),
        owners=table.texts("owners", ()),
        weakening_votes=table.take("weakening_votes", int, 1),
        witness=table.optional_text("witness"),
        kbs_rate=table.rate("kbs_rate", 6000),
        kbs_tenant_rate=table.rate("kbs_tenant_rate", 30_000),
    )
    table.expect_end()
    if found.root not in ROOTS and not found.root.startswith("kms:"):
        raise SettingsMalformed(f"[broker] root is {found.root[:64]!r}; it takes {', '.join(ROOTS)} or kms:NAME")
    if (found.root == "pkcs11") != (found.token is not None):
        raise SettingsMalformed('[broker] root = "pkcs11" and the table [broker.pkcs11] go together')
    if not 1 <= found.weakening_votes <= max(1, len(set(found.owners))):
        raise SettingsMalformed(
            f"[broker] weakening_votes is {found.weakening_votes}, but {len(set(found.owners))} owners are named"
        )
    return found


def _token(table: _Table) -> TokenSettings | None:
    values = table.take("pkcs11", dict, {})
    if not values:
        return None
    inner = _Table(values, "[broker.pkcs11]")
    found = TokenSettings(
        module=inner.take("module", str, None), token=inner.take("token", str, None),
        key_label=inner.take("key_label", str, "strongroom-root"), pin_file=inner.take("pin_file", str, "root/pin"),
    )  # fmt: skip
    inner.expect_end()
    return found


class _Table:
    def __init__(self, values: dict[str, object], where: str) -> None:
        self._values = dict(values)
        self._where = where

    def take(self, name: str, kind: type[T], default: T | None) -> T:
        value = self._values.pop(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SettingsMalformed(f"{self._where}: {name} is missing or not of the type {kind.__name__}")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.take(name, str, None) if name in self._values else None

    def port(self, name: str) -> int | None:
        if name not in self._values:
            return None
        found = self.take(name, int, None)
        if not 0 < found < 65536:
            raise SettingsMalformed(f"{self._where}: {name} is {found}, which is no port")
        return found

    def rate(self, name: str, default: int) -> int:
        found = self.take(name, int, default)
        if not 0 < found <= MAX_RATE:
            raise SettingsMalformed(f"{self._where}: {name} is {found}, allowed are 1 to {MAX_RATE} a minute")
        return found

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        found = self.take(name, list, list(default))
        if not all(isinstance(each, str) for each in found):
            raise SettingsMalformed(f"{self._where} {name} holds something that is not text")
        return tuple(found)

    def expect_end(self) -> None:
        if self._values:
            raise SettingsMalformed(f"{self._where}: unknown word {next(iter(self._values))[:64]!r}")
