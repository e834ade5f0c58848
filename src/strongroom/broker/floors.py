"""Model floors: the lowest version of each model that is still released, which only ever rises (threat KD-09).

Repository over one transaction. Nothing else stops somebody who puts yesterday's files back: they are genuine.
"""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.broker.names import SecretKind, SecretName, check_tenant
from strongroom.broker.store import Tx
from strongroom.errors import Refused


class FloorLowered(Refused):
    """A model's floor is to be lowered, which would bring old versions back."""

    code = "SR-FLOOR-LOWERED"
    fix = "Publish the old model again under a new version, if it has to come back."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFloor:
    """Versions of `model` below `min_version` are released to nobody."""

    tenant: str
    model: str
    min_version: int
    author: str
    set_ms: int


def raise_floor(tx: Tx, tenant: str, model: str, version: int, author: str) -> ModelFloor:
    """Let no version below `version` be released any more. Raises FloorLowered or BadSecretName."""
    check_tenant(tenant)
    SecretName(SecretKind.MODEL, model, version)
    present = floor(tx, tenant, model)
    if version < present:
        raise FloorLowered(f"the floor of {model} is {present}, not {version}: it only rises")
    if version > present:
        tx.execute("DELETE FROM model_floors WHERE tenant = ? AND model = ?", (tenant, model))
        tx.execute(
            "INSERT INTO model_floors (tenant, model, min_version, author, set_ms) VALUES (?, ?, ?, ?, ?)",
            (tenant, model, version, author, tx.now_ms),
        )
    [found] = [each for each in floors(tx, tenant) if each.model == model]
    return found


def floor(tx: Tx, tenant: str, model: str) -> int:
    """Return the lowest version of a model that is released; 0 where no floor was set."""
    rows = tx.execute("SELECT min_version FROM model_floors WHERE tenant = ? AND model = ?", (tenant, model))
    return int(rows[0][0]) if rows else 0


def floors(tx: Tx, tenant: str | None = None) -> tuple[ModelFloor, ...]:
    """Return the floors of one tenant or of all, by tenant and model."""
    whose, value = ("", ()) if tenant is None else (" WHERE tenant = ?", (tenant,))
    rows = tx.execute(
        f"SELECT tenant, model, min_version, author, set_ms FROM model_floors{whose} ORDER BY tenant, model",  # noqa: S608  # constants
        value,
    )
    return tuple(
        ModelFloor(tenant=owner, model=model, min_version=int(low), author=author, set_ms=int(at))
        for owner, model, low, author, at in rows
    )
