"""What a queue's configuration says of brokers and keys, as the values that ask for them. Pure but for file names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.broker.kbs_client import Address
from strongroom.broker.names import DEFAULT_TENANT, SecretName, check_tenant
from strongroom.errors import BadInput
from strongroom.serving.options import BrokerOptions, HostPort

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

QUEUE_SECRET = "secret/queue-{job}"  # noqa: S105  # its name
CREDENTIALS_SECRET = "secret/queue-credentials-{job}"  # noqa: S105  # its name


class NoBroker(BadInput):
    """A sealed model, sealed records or sealed credentials need a broker, and the configuration does not name one."""

    code = "SR-QUEUE-BROKER"
    fix = "Set broker (https://HOST:PORT), brokerCaFile and ownerKeyFile; docs/queue-sealed.md shows how."


class OneWorkerEach(BadInput):
    """Several workers were asked of one supervisor, and each would need keys: children do not prove themselves."""

    code = "SR-QUEUE-WORKERS"
    fix = "Start several workers with the same manifest, without --workers; each proves itself."


def check_workers(config: QueueConfig, count: int | None) -> None:
    """Raise OneWorkerEach where a supervisor would start workers that ask a broker for keys."""
    if config.broker and count is not None:
        raise OneWorkerEach(f"--workers {count} is for plain models, and the configuration names a broker")


def broker_of(config: QueueConfig) -> BrokerOptions | None:
    """Return where keys come from, None where the configuration names no broker.

    Raises NoBroker for half of one, KbsAddress, BadOptions for an address that is none, BadSecretName for a tenant.
    """
    if not config.broker:
        return None
    if not config.broker_ca_file or not config.owner_key_file:
        raise NoBroker("a broker is named without brokerCaFile or ownerKeyFile")
    address, url = _address(config.broker)
    return BrokerOptions(
        address=address,
        url=url,
        ca=Path(config.broker_ca_file),
        owner_key=Path(config.owner_key_file),
        wait_s=config.broker_wait_s,
        patient=config.wait_for_key,
        lease_s=config.key_lease_s,
        tenant=check_tenant(config.tenant or DEFAULT_TENANT),
        deployment=config.deployment or "",
    )


def _address(broker: str) -> tuple[HostPort, str]:
    if "://" not in broker:  # Gramine's protocol, which hands out one key
        return HostPort.parse(broker, flag="broker"), ""
    place = Address.parse(broker)
    return HostPort(place.host, place.port), str(place)


def by_name(options: BrokerOptions | None, what: str) -> BrokerOptions:
    """Return the broker if it can be asked for secrets by name. Raises NoBroker."""
    if options is None:
        raise NoBroker(f"{what} need a broker, and the configuration names none")
    if not options.url:
        raise NoBroker(
            f"{what} need a broker that is asked by name: Gramine's protocol (HOST:PORT) releases one key only",
            fix="Set broker to https://HOST:PORT, where it speaks KBS.",
        )
    return options


def wants_queue_key(config: QueueConfig) -> bool:
    """Return whether sealed records are taken on this queue."""
    return config.record_encrypted or config.require_sealed or bool(config.queue_key)


def queue_secret(config: QueueConfig) -> SecretName:
    """Return the name of the queue's keys at the broker. Raises BadSecretName."""
    return SecretName.parse(config.queue_key or QUEUE_SECRET.format(job=config.job_name))


def credentials_secret(config: QueueConfig) -> SecretName:
    """Return the name of the key that opens the worker's sealed credentials. Raises BadSecretName."""
    return SecretName.parse(config.credentials_key or CREDENTIALS_SECRET.format(job=config.job_name))
