"""Ask the broker of a cluster: through a forwarded port, as the owner whose identity the workspace holds.

World: a child process (`kubectl port-forward`) that ends with the `with` block, and the network.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from strongroom.broker.admin.client import RemoteAdministration
from strongroom.broker.admin.desk import Desk
from strongroom.broker.admin.identities import OWNER_FOLDER
from strongroom.deploy.cluster import kubectl_errors as errors
from strongroom.deploy.cluster.api_proxy import START_S, first_line
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.kubernetes.naming import ADMIN_PORT, BROKER, object_name

PAGE: Final = 500
_FORWARDING: Final = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d{1,5}) -> ")


@contextmanager
def forwarded(kubectl: Kubectl, target: str, port: int) -> Iterator[int]:
    """Lend a local port that leads to a port of a pod or Service. Raises what `error_of` returns."""
    argv = kubectl.argv("port-forward", "--address=127.0.0.1", target, f":{port}")
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints) as child,
    ):
        try:
            found = _FORWARDING.search(first_line(child, START_S))
            if found is None:
                child.kill()
                child.wait()
                complaints.seek(0)
                said = complaints.read(65536).decode("utf-8", "replace")
                raise errors.error_of(said, doing=f"kubectl port-forward {target}")
            yield int(found[1])
        finally:
            child.kill()


@contextmanager
def cluster_desk(deployment: Deployment) -> Iterator[Desk]:
    """Lend the administration of the broker in the cluster."""
    target = f"service/{object_name(deployment.description, BROKER)}"
    with forwarded(deployment.kubectl, target, ADMIN_PORT) as port:
        identity = deployment.workspace.folder / OWNER_FOLDER
        with RemoteAdministration.open(f"https://localhost:{port}", identity) as desk:
            yield desk


def newest_decisions(desk: Desk, *, tenant: str | None = None, since_seq: int = -1) -> list[dict[str, Any]]:
    """Return the newest decisions, newest first: at most one page, none at or before a line."""
    lines = desk.list_decisions(tenant=tenant, limit=PAGE)["lines"]
    return [{**each["entry"], "seq": each["seq"]} for each in lines if each["seq"] > since_seq]
