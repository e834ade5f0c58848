"""Where the demonstration plays: one temporary folder, its parts by owner, and ports that nobody else takes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.broker.ledger.reading import entries_in
from strongroom.demo.model import MODEL_NAME, MODEL_VERSION
from strongroom.demo.processes import Children
from strongroom.demo.replica import ReplicaManifest

HOST: Final = "localhost"
SECRET_NAME: Final = f"model/{MODEL_NAME}/{MODEL_VERSION}"
CLIENT_NAME: Final = "client.tf-serving.service.com"


@dataclass(frozen=True, slots=True)
class Ports:
    """The two ports that both replicas share: the kernel spreads connections over them."""

    grpc: int
    rest: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Folders and processes of one demonstration.

    workspace, ssl: the owner's.   world: the simulated platform's.   operator: what lies on the untrusted machine.
    client: what the data owner holds.   Commands run in `folder`, so paths in them are short.
    """

    folder: Path
    children: Children
    ports: Ports
    photos: tuple[Path, ...]

    workspace = Path("workspace")
    ssl = Path("ssl_configure")
    world = Path("platform")
    operator = Path("operator")
    client = Path("client")

    def path(self, *parts: str | Path) -> Path:
        """Return a place in the scene's folder."""
        return self.folder.joinpath(*parts)

    @property
    def rest_url(self) -> str:
        """The replicas' REST address."""
        return f"https://{HOST}:{self.ports.rest}"

    @property
    def grpc_url(self) -> str:
        """The replicas' gRPC address."""
        return f"grpcs://{HOST}:{self.ports.grpc}"

    def credentials(self) -> list[str]:
        """Return the words with which the client shows itself and says whom it believes."""
        folder = str(self.client)
        return ["--ca", f"{folder}/ca_cert.pem", "--crt", f"{folder}/cert.pem", "--key", f"{folder}/key.pem"]

    def predict_words(self, url: str, *photos: Path) -> list[str]:
        """Return the words of `strongroom predict` that a careful client uses."""
        words = ["predict", "--url", url, "--model", MODEL_NAME, "--labels", "imagenet", *self.credentials()]
        words += ["--trust", str(self.client / "trust")]
        if url.startswith("grpcs"):
            words += ["--evidence-url", self.rest_url]
        return [*words, "--image", *map(str, photos)]

    def manifest(self, kbs_port: int) -> ReplicaManifest:
        """Return who the replicas are. Paths are relative to the manifest's folder."""
        return ReplicaManifest(
            words=(
                "--bind=127.0.0.1",
                f"--port={self.ports.grpc}",
                f"--rest_api_port={self.ports.rest}",
                f"--model_name={MODEL_NAME}",
                f"--model_base_path=models/{MODEL_NAME}",
                "--ssl_config_file=models/ssl.cfg",
                f"--broker=https://{HOST}:{kbs_port}",
                "--broker_ca=ca_cert.pem",
                "--owner_key=owner_public.pem",
            ),
            environ={"LANG": "C.UTF-8", "GRPC_VERBOSITY": "NONE"},
            files=("ca_cert.pem", "owner_public.pem"),
        )

    def decisions(self) -> list[dict[str, Any]]:
        """Return the broker's decisions so far, as they stand in the ledger."""
        found = entries_in(self.path(self.workspace, "broker.db"))
        return [entry for entry in found if entry["kind"] == "decision"]


@contextmanager
def reserved_ports() -> Iterator[Ports]:
    """Hold two free ports by sockets that are bound and never listen, so that only sharers (SO_REUSEPORT) get them."""
    with socket.socket() as grpc, socket.socket() as rest:
        for each in (grpc, rest):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", 0))
        yield Ports(grpc.getsockname()[1], rest.getsockname()[1])
