"""Resident memory of a replica above what its engine needs: ours with ResNet50, minus a bare process with the same."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from serving.fronts import Front
from serving.load import ask
from serving.models import RESNET50
from serving.processes import running
from serving.tls_files import Transport
from strongroom.ports import free_ports

WARM_UP: Final = 5
BARE: Final = """
import socket, sys
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(int(sys.argv[4])):
    session.run(["y"], {"x": numpy.zeros((1, 224, 224, 3), numpy.float32)})
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    listener.accept()[0].close()
"""


@dataclass(frozen=True)
class Memory:
    """Rss, Pss and private memory in MB: the replica after a warm-up one at a time, after full load, and the bare."""

    replica: dict[str, float]
    after_load: dict[str, float]
    bare: dict[str, float]

    @property
    def above_mb(self) -> float:
        """Resident memory above the engine's own."""
        return self.replica["Rss"] - self.bare["Rss"]


def memory(front: Front, folder: Path) -> Memory:
    """Measure a replica that serves ResNet50 over mutual TLS. Raises PeerMissing."""
    with front.serving(RESNET50, Transport.MTLS, folder) as (server, target):
        ask(replace(target, connections=1, streams=1), WARM_UP)
        replica = server.memory()
        ask(target, 4 * target.connections * target.streams)
        after_load = server.memory()
    file = RESNET50.write(folder) / "1" / "model.onnx"
    ports = free_ports(1)
    words = [sys.executable, "-c", BARE, str(file), str(ports[0]), str(RESNET50.threads), str(WARM_UP)]
    with running(words, ports, folder=folder) as server:
        return Memory(replica, after_load, server.memory())
