"""Where a front finds the replicas, and where it listens. Pure.

Every replica speaks gRPC and REST on two ports; a front passes both on, each by its own listener.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from strongroom.deploy.description import Description

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
IDLE_S: Final = 2400  # a server ends a connection that has been idle for 1800 s; the front must not be first
CONNECT_S: Final = 2
SHUTDOWN_S: Final = 30  # how long connections may go on when the front stops
ATTESTED_ONLY: Final = """\
# WARNING: this front ends TLS. It reads every input and every answer, and holds a private key.
# WARNING: run it only where it is itself attested (in a TEE, its key sealed to its measurement), never on an
# WARNING: ordinary machine. Everywhere else, use the passthrough form, which needs no trust.
"""
CLUSTER_DOMAIN: Final = "cluster.local"
CLUSTER_DNS: Final = f"kube-dns.kube-system.svc.{CLUSTER_DOMAIN}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica: its host and its two ports."""

    host: str
    grpc: int = GRPC_PORT
    rest: int = REST_PORT


@dataclass(frozen=True, slots=True)
class Listed:
    """Replicas by address, fixed when the front starts."""

    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Replicas behind one DNS name that answers with an address for each; asked again every `valid_s` seconds.

    resolver: the name server, by address or by a name that the machine itself can resolve at start.
    """

    name: str
    resolver: str
    valid_s: int = 2
    grpc: int = GRPC_PORT
    rest: int = REST_PORT


Upstream = Listed | Resolved


@dataclass(frozen=True, slots=True)
class FrontFiles:
    """Keys and certificates of a front that ends TLS, in one folder; HAProxy wants certificate and key in one file."""

    folder: str = "/run/strongroom-front"

    @property
    def ca(self) -> str:
        """The owner's CA, which issued the certificates of clients and replicas."""
        return f"{self.folder}/ca_cert.pem"

    @property
    def server_pem(self) -> str:
        """What the front shows to clients: certificate and key."""
        return f"{self.folder}/server.pem"

    @property
    def client_pem(self) -> str:
        """What the front shows to replicas: certificate and key."""
        return f"{self.folder}/client.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a front listens, what it may write, and where its log goes. `rest` is None where REST is not offered."""

    grpc: str = str(GRPC_PORT)
    rest: str | None = str(REST_PORT)
    folder: str = "/tmp"  # noqa: S108  # inside a container: an emptyDir or tmpfs of its own
    access_log: str = "/dev/stdout"
    workers: int = 2
    names: tuple[str, ...] = ()  # server names besides the description's host
    files: FrontFiles = field(default_factory=FrontFiles)


def cluster_upstream(
    description: Description, *, resolver: str = CLUSTER_DNS, domain: str = CLUSTER_DOMAIN
) -> Resolved:
    """Return the replicas of a Kubernetes deployment: the headless Service, which names ready pods alone."""
    name = f"{description.name}-model-server-headless.{description.namespace}.svc.{domain}"
    return Resolved(name=name, resolver=resolver)
