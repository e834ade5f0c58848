"""Every file that a deployment without Kubernetes needs, by its path in the rendered tree. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.deploy.clouds import USUAL_DEVICES
from strongroom.deploy.description import Description
from strongroom.deploy.fronts.compose import compose_files, has_rest
from strongroom.deploy.fronts.haproxy import haproxy_h2, haproxy_passthrough
from strongroom.deploy.fronts.nginx import nginx_grpc, nginx_passthrough
from strongroom.deploy.fronts.systemd import FRONT_FOLDER, FRONT_PORTS, systemd_units
from strongroom.deploy.fronts.upstreams import FrontFiles, Listed, Listening, Replica
from strongroom.deploy.tree import Tree, under

ON_THIS_MACHINE = Listed((Replica("127.0.0.1"),))  # one port for all replicas of a machine; a line more each machine
_SYSLOG = "syslog:server=unix:/dev/log,nohostname,tag=strongroom_front"


def fronts(description: Description, devices: Sequence[str] = USUAL_DEVICES) -> Tree:
    """Return the Compose files, the systemd units, and nginx's and HAProxy's configurations for them.

    `devices`: those of SGX, as the cloud's machines call them.
    """
    grpc, rest = FRONT_PORTS
    at = Listening(
        grpc=grpc,
        rest=rest if has_rest(description) else None,
        folder=FRONT_FOLDER,
        access_log=_SYSLOG,
        files=FrontFiles(f"{FRONT_FOLDER}/tls"),
    )
    configurations = {
        "nginx/nginx.conf": nginx_passthrough(description, ON_THIS_MACHINE, at),
        "nginx/nginx-attested.conf": nginx_grpc(description, ON_THIS_MACHINE, at),
        "haproxy/haproxy.cfg": haproxy_passthrough(description, ON_THIS_MACHINE, at),
        "haproxy/haproxy-attested.cfg": haproxy_h2(description, ON_THIS_MACHINE, at),
    }
    return {
        **under("compose", compose_files(description, devices)),
        **{path: text.encode() for path, text in configurations.items()},
        **under("systemd", systemd_units(description, devices)),
    }
