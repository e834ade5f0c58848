"""What a server was asked to be, as values that have been checked. Pure.

Source: spec `model-server.md` section 5 (flags and start errors) and the architecture's rule "TLS or nothing".
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.broker.names import DEFAULT_TENANT
from strongroom.errors import BadInput, Refused
from strongroom.tfserving.json_response import NonFinite

MAX_MESSAGE_BYTES: Final = 2**31 - 1  # TensorFlow Serving's own limit
MAX_BODY_BYTES: Final = 128 * 1024 * 1024  # JSON grows about tenfold in memory
MAX_HELD_BYTES: Final = 1024**3
MAX_PROCESSES: Final = 256
RPC_FRONTS: Final = ("auto", "fast", "grpcio")


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
    """Where the key comes from, whose certificate proves it, how long to keep asking, and who signs bundles.

    `url`: a KBS, which is asked for each version's key by name, for `tenant` and, where one is named, in this
    `deployment` alone; empty: Gramine's protocol at `address`, which hands out one key. `patient`: wait for
    the key as long as it takes, refusals included. `lease_s`: prove anew within so many seconds; 0 = the key is kept,
    with a KBS as long as its lease. `self_check`: where collateral about this machine itself comes from, and its root
    certificate.
    """

    address: HostPort
    ca: Path
    wait_s: float
    owner_key: Path
    patient: bool = False
    lease_s: float = 0.0
    self_check: str = ""
    self_check_root: Path | None = None
    url: str = ""
    tenant: str = DEFAULT_TENANT
    deployment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which models there are, and how versions come and go. `config_file` goes before name and base path."""

    name: str
    base_path: Path
    config_file: Path | None
    config_poll_s: float  # 0 = read once
    poll_wait_s: float  # 0 = look once, negative = never
    load_threads: int  # 0 = one after the other
    unload_threads: int
    max_load_retries: int
    load_retry_s: float  # negative = at once
    labels_for_unavailable: bool
    labels_when_available: bool
    reload_by_request: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What runs the models: threads (0 = the engine's choice), and what is loaded of a model, and how.

    `session_config`: a text ConfigProto whose threads count where the flags name none.
    """

    engine: str
    openvino_precision: str
    intra_op_threads: int
    inter_op_threads: int
    session_config: Path | None
    saved_model_tags: tuple[str, ...]
    check_method_names: bool
    warmup: bool
    warmup_iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingOptions:
    """Whether requests are joined, and by which parameters."""

    enabled: bool
    parameters_file: Path | None
    per_model: bool
    drain: bool = True  # join what queued while the engine was busy, where that is safe


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningOptions:
    """Where the server listens, under which TLS identity, and how connections behave. Port 0 = none."""

    bind: str
    grpc_port: int
    grpc_socket: str
    rest_port: int
    ssl_config: Path | None
    insecure: bool
    channel_arguments: tuple[tuple[str, int | str], ...]
    drain_s: float
    rpc: str  # one of RPC_FRONTS
    one_port: bool
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """How requests are answered: REST's deadline, CORS and word for NaN, gRPC's form of tensors."""

    timeout_s: float
    cors: bool
    outputs_as_content: bool
    nan: NonFinite


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """The largest things that are taken, in bytes, also after decompression."""

    max_message_bytes: int
    max_body_bytes: int
    max_held_bytes: int
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringOptions:
    """What the server says about itself, and where probes are answered in clear text (port 0 = nowhere)."""

    config_file: Path | None
    grpc_health: bool
    reflection: bool
    health_bind: str
    health_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A server: what it serves, where it listens, and how; one group for each subject."""

    models: ModelOptions
    runtime: RuntimeOptions
    batching: BatchingOptions
    listening: ListeningOptions
    rest: RestOptions
    limits: LimitOptions
    monitoring: MonitoringOptions
    broker: BrokerOptions | None

    def check(self) -> None:
        """Raise BadOptions for what cannot be, PlaintextServer for what must not be."""
        listening = self.listening
        if not listening.grpc_port and not listening.grpc_socket:
            raise BadOptions(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.",
                fix="Give --port or --grpc_socket_path.",
            )
        if listening.rpc not in RPC_FRONTS:
            raise BadOptions(f"--rpc is {listening.rpc[:40]!r}, wanted {', '.join(RPC_FRONTS)}")
        if not 1 <= listening.processes <= MAX_PROCESSES:
            raise BadOptions(f"--processes is {listening.processes}, wanted 1 to {MAX_PROCESSES}")
        if listening.one_port and (listening.rpc == "grpcio" or not listening.grpc_port):
            raise BadOptions("--one_port needs the fast front end and a --port")
        if listening.insecure and listening.ssl_config is not None:
            raise BadOptions("--insecure and --ssl_config_file contradict each other", fix="Leave out --insecure.")
        if listening.insecure and not is_loopback(listening.bind):
            raise PlaintextServer(f"--insecure would answer in clear text on {listening.bind}")
        if not listening.insecure and listening.ssl_config is None:
            raise PlaintextServer("there is no --ssl_config_file, and nothing is served without TLS")
        if self.broker is not None and listening.processes > 1:
            raise BadOptions(
                "--processes is for plain models: who gets the key of a sealed one proves itself, and children do not",
                fix="Start several replicas with the same manifest; they share their ports.",
            )
        if self.broker is not None and listening.insecure:
            raise PlaintextServer("a sealed model is served over TLS or not at all")


def is_loopback(host: str) -> bool:
    """Return whether an address to bind can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
