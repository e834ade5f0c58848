"""Who in a queue's deployment gets which certificate: one leaf for each part, usable for what that part does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from strongroom.pki.authority import Role

REDIS: Final = "redis"
SERVER: Final = "server"  # its files lie in keys/ itself, under the names that the original's have


class KeyKind(StrEnum):
    """What kind of private key leaves get."""

    EC = "ec"  # P-256
    RSA = "rsa"  # RSA-3072, for what cannot do elliptic curves


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: its certificate's role and names, whether its key is stored in clear (0600), and its key stores."""

    name: str
    role: Role
    names: tuple[str, ...]
    clear: bool = False  # its program reads the key anew at a renewal, when nobody can be asked
    stores: bool = False  # a JVM: keystore.jks and keystore.pkcs12
    apart: bool = False  # under an authority of its own, whose key is forgotten: who has its certificate is Flink


_LOCAL: Final = ("localhost", "127.0.0.1")
_PARTS: Final = (
    Part(name=SERVER, role=Role.PEER, names=("flink-jobmanager", *_LOCAL), stores=True),
    Part(name=REDIS, role=Role.SERVER, names=("redis-service", *_LOCAL), clear=True),
    Part(name="frontend", role=Role.SERVER, names=("frontend-service", *_LOCAL), clear=True),
    Part(name="jobmanager", role=Role.PEER, names=("flink-jobmanager", *_LOCAL), stores=True, apart=True),
    Part(name="taskmanager", role=Role.PEER,
         names=("flink-taskmanager", "*.flink-taskmanager-headless-svc", *_LOCAL), stores=True, apart=True),
    Part(name="flink-client", role=Role.CLIENT, names=("cs-flink-client",), clear=True, apart=True),
    Part(name="worker", role=Role.CLIENT, names=("cs-worker",), clear=True),
    Part(name="frontend-client", role=Role.CLIENT, names=("cs-frontend",), clear=True),
    Part(name="client", role=Role.CLIENT, names=("cs-client",), clear=True),
    Part(name="admin", role=Role.CLIENT, names=("cs-admin",), clear=True),
)  # fmt: skip


def usual_parts(more_names: Sequence[str] = (), *, domain: str = "") -> tuple[Part, ...]:
    """Return every part; servers and peers get `more_names` too, and their Services' full names in `domain`.

    `domain`: what follows a Service's name in a cluster, for instance `strongroom.svc.cluster.local`.
    """
    return tuple(_widened(each, more_names, domain) for each in _PARTS)


def _widened(part: Part, more: Sequence[str], domain: str) -> Part:
    if part.role is Role.CLIENT:
        return part
    services = [name for name in part.names if name not in _LOCAL]
    full = [f"{name}.{ending}" for name in services for ending in _endings(domain)]
    return replace(part, names=tuple(dict.fromkeys((*part.names, *full, *more))))


def _endings(domain: str) -> tuple[str, ...]:
    if not domain:
        return ()
    labels = domain.split(".")
    short = [".".join(labels[:1]), ".".join(labels[:2])] if len(labels) > 2 and labels[1] == "svc" else []
    return (*short, domain)


def to_json(parts: Sequence[Part]) -> list[dict[str, object]]:
    """Return parts as keys.json has them."""
    return [{"name": each.name, "role": each.role.value, "names": list(each.names), "clear": each.clear,
             "stores": each.stores, "apart": each.apart} for each in parts]  # fmt: skip


def from_json(rows: Sequence[Mapping[str, object]]) -> tuple[Part, ...]:
    """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
    return tuple(
        Part(
            name=_text(row["name"]), role=Role(row["role"]), names=tuple(map(_text, _list(row["names"]))),
            clear=row["clear"] is True, stores=row["stores"] is True, apart=row["apart"] is True,
        )
        for row in rows
    )  # fmt: skip


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value
