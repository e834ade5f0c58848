"""Read replicas' metrics as a client does: mutual TLS, through a forwarded port of each pod.

World: `kubectl port-forward` for each replica, kept for the length of a `with` block, and the network. The API server's
own proxy cannot do it: it has no certificate that a replica accepts. The owner's CA gives one, for this process alone.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from strongroom.deploy.cluster import metrics_reading
from strongroom.deploy.cluster.broker_desk import forwarded
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.metrics_reading import Load
from strongroom.deploy.cluster.objects import Pod
from strongroom.deploy.gramine.server_words import METRICS_PATH
from strongroom.deploy.kubernetes.naming import MODEL_SERVER, REST_PORT
from strongroom.errors import StrongroomError
from strongroom.pki.lending import as_path
from strongroom.secret import Secret

MOST: Final = 24  # replicas that are read; more would be a process each on the owner's machine
ANSWER_S: Final = 5.0
MAX_BYTES: Final = 4 * 1024 * 1024
READER: Final = "metrics@deploy.strongroom.internal"
DAYS: Final = 1


class ReplicaMetrics:
    """Reads what ready replicas have answered; a replica that cannot be read is left out."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._stack = ExitStack()
        self._ports: dict[str, int] = {}
        self._context: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, pods: Iterable[Pod]) -> dict[str, Load]:
        """Return what each replica has answered, by pod."""
        found = {}
        for pod in [each for each in pods if each.component == MODEL_SERVER and each.ready and not each.leaving][:MOST]:
            try:
                found[pod.name] = metrics_reading.read(self._text(pod))
            except (StrongroomError, OSError, http.client.HTTPException):
                self._ports.pop(pod.name, None)  # no number is an answer too: the table shows a dash
        return found

    def _text(self, pod: Pod) -> str:
        if self._context is None:
            self._context = client_context(self._deployment)
        if pod.name not in self._ports:
            lent = forwarded(self._deployment.kubectl, f"pod/{pod.name}", REST_PORT)
            self._ports[pod.name] = self._stack.enter_context(lent)
        host = self._deployment.description.host
        connection = http.client.HTTPConnection(host, timeout=ANSWER_S)
        plain = socket.create_connection(("127.0.0.1", self._ports[pod.name]), ANSWER_S)
        try:
            connection.sock = self._context.wrap_socket(plain, server_hostname=host)
            connection.request("GET", METRICS_PATH)
            answer = connection.getresponse()
            body = answer.read(MAX_BYTES)
        finally:
            connection.close()
            plain.close()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        return body.decode("utf-8", "replace")


def client_context(deployment: Deployment) -> ssl.SSLContext:
    """Return TLS as a client of the owner's CA, with a certificate for a day that no file ever holds."""
    workspace = deployment.workspace
    leaf = workspace.authority().issue_client(READER, now=datetime.now(UTC), days=DAYS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=workspace.ca_certificate_pem.decode("ascii"))
    with as_path(Secret(leaf.certificate_pem)) as chain, as_path(leaf.key_pem) as key:
        context.load_cert_chain(chain, key)
    return context
