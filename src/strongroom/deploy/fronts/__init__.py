"""What stands before the replicas without Kubernetes, and the nginx that stands there with it.

Law of this room: text from the description, nothing else; TLS passes through unless a file says loudly that it does
not; what is said of a front's behaviour was measured by tests/e2e/test_fronts.py.
"""

from strongroom.deploy.fronts.nginx import nginx_passthrough
from strongroom.deploy.fronts.upstreams import Listed, Listening, Replica, Resolved, Upstream, cluster_upstream

__all__ = ["Listed", "Listening", "Replica", "Resolved", "Upstream", "cluster_upstream", "nginx_passthrough"]
