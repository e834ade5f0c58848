"""What a server was asked to be, as values that have been checked. Pure.

Source: spec `model-server.md` section 5 (flags and start errors) and the architecture's rule "TLS or nothing".
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.errors import BadInput, Refused

MAX_MESSAGE_BYTES: Final = 2**31 - 1  # TensorFlow Serving's own limit
MAX_BODY_BYTES: Final = 128 * 1024 * 1024  # JSON grows about tenfold in memory


class BadOptions(BadInput):
    """The server's flags contradict each other or cannot be."""

    code = "SR-SERVER-OPTIONS"
    fix = "Run the command with --help."


class FlagNotOffered(BadInput):
    """A flag of TensorFlow Serving's that would change what this server does, and that it does not have."""

    code = "SR-FLAG-NOT-OFFERED"
    fix = "Leave the flag out, or set it to the value that means off."


class PlaintextServer(Refused):
    """The server would answer without TLS where others could listen."""

    code = "SR-SERVE-PLAINTEXT"
    fix = "Give --ssl_config_file (strongroom certs two-way makes one); --insecure is for 127.0.0.1 alone."


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, by name or address, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, flag: str) -> Self:
        """Read HOST:PORT; IPv6 addresses stand in brackets. Raises BadOptions."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            colon = ""
        if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
            raise BadOptions(f"{flag} is {text[:80]!r}, wanted HOST:PORT")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """Where the key comes from, whose certificate proves it, how long to keep asking, and who signs bundles."""

    address: HostPort
    ca: Path
    wait_s: float
    owner_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A server: what it serves, where it listens, and how."""

    model_name: str
    model_base_path: Path
    poll_wait_s: float
    bind: str
    grpc_port: int
    grpc_socket: str
    rest_port: int
    rest_timeout_s: float
    cors: bool
    ssl_config: Path | None
    insecure: bool
    intra_op_threads: int
    inter_op_threads: int
    outputs_as_content: bool
    channel_arguments: tuple[tuple[str, int | str], ...]
    max_message_bytes: int
    max_body_bytes: int
    drain_s: float
    broker: BrokerOptions | None

    def check(self) -> None:
        """Raise BadOptions for what cannot be, PlaintextServer for what must not be."""
        if not self.grpc_port and not self.grpc_socket:
            raise BadOptions(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.",
                fix="Give --port or --grpc_socket_path.",
            )
        if self.insecure and self.ssl_config is not None:
            raise BadOptions("--insecure and --ssl_config_file contradict each other", fix="Leave out --insecure.")
        if self.insecure and not is_loopback(self.bind):
            raise PlaintextServer(f"--insecure would answer in clear text on {self.bind}")
        if not self.insecure and self.ssl_config is None:
            raise PlaintextServer("there is no --ssl_config_file, and nothing is served without TLS")
        if self.broker is not None and self.insecure:
            raise PlaintextServer("a sealed model is served over TLS or not at all")


def is_loopback(host: str) -> bool:
    """Return whether an address to bind can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
