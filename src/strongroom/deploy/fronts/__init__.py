"""What stands before the replicas without Kubernetes, and the nginx that stands there with it.

Law of this room: text from the description, nothing else; TLS passes through unless a file says loudly that it does
not; what is said of a front's behaviour was measured by tests/e2e/test_fronts.py. All files of a deployment without
Kubernetes come from `fronts.files`, which stands above `deploy.kubernetes`; the rest stands below it.
"""

from strongroom.deploy.fronts.haproxy import haproxy_h2, haproxy_passthrough
from strongroom.deploy.fronts.nginx import nginx_grpc, nginx_passthrough
from strongroom.deploy.fronts.upstreams import (
    FrontFiles,
    Listed,
    Listening,
    Replica,
    Resolved,
    Upstream,
    cluster_upstream,
)

__all__ = [
    "FrontFiles",
    "Listed",
    "Listening",
    "Replica",
    "Resolved",
    "Upstream",
    "cluster_upstream",
    "haproxy_h2",
    "haproxy_passthrough",
    "nginx_grpc",
    "nginx_passthrough",
]
