"""An image registry with two doors and one folder: the owner's machine pushes, the cluster pulls. World: processes.

Both doors are `localhost` with the same port, each on its own network: this machine's, where images are built and
packages can be downloaded, and the cluster's, which reaches nothing else.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kube.cluster import Cluster, wait_until
from strongroom.ports import free_port

STOP_S: Final = 20.0


class Registry:
    """Runs both doors; a context manager for this machine's. The cluster's ends with the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.name = f"localhost:{self._port}"

    def __enter__(self) -> Self:
        config = self._cluster.folder / "registry.yml"
        config.write_text(configuration(self._cluster.folder / "registry", self._port), encoding="ascii")
        words = ["docker-registry", "serve", str(config)]
        self._cluster.sandbox.start("registry", words)
        with (self._cluster.folder / "log/registry-outside.log").open("ab") as log:
            self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        try:
            wait_until("the registry listens", self._listens, timeout_s=30)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End this machine's door."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def configuration(folder: Path, port: int) -> str:
    """Return docker-registry's configuration: JSON, which is YAML. Pure."""
    storage = {"filesystem": {"rootdirectory": str(folder)}}
    found = {"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}
    return json.dumps(found)
