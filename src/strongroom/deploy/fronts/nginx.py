"""nginx in front of the replicas: passthrough by server name, or re-encryption where nginx itself is attested. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.fronts.upstreams import Listed, Listening, Resolved, Upstream

IDLE_S: Final = 2400  # a server ends a connection that has been idle for 1800 s; the front must not be first
CONNECT_S: Final = 2
SHUTDOWN_S: Final = 30


def nginx_passthrough(description: Description, upstream: Upstream, listening: Listening | None = None) -> str:
    """Return an nginx.conf that passes TLS through by server name: keys and plaintext stay in the TEEs.

    A connection whose ClientHello names another server, or none, is closed before a byte of it goes on.
    """
    at = listening or Listening()
    names = (description.host, *at.names)
    servers = _server(at.grpc, "grpc")
    if at.rest is not None:
        servers += "\n" + _server(at.rest, "rest")
    return f"""\
# TLS passthrough by server name for {description.host}. Strongroom renders this file: change strongroom.toml instead.
{_main(at)}
stream {{
    log_format connection '$remote_addr [$time_iso8601] $protocol $status in $bytes_received out $bytes_sent '
                          '$session_time s to "$upstream_addr" name "$ssl_preread_server_name"';
    access_log {at.access_log} connection;
{_resolver(upstream)}{_maps(names, upstream, rest=at.rest is not None)}
    preread_timeout       10s;   # a client that connects and says nothing
    proxy_connect_timeout {CONNECT_S}s;
    proxy_timeout         {IDLE_S}s; # longer than the servers' own limit for idle gRPC connections, 1800 s
    proxy_socket_keepalive on;
    proxy_next_upstream   on;    # only what could not connect goes elsewhere: nothing has been sent yet
    proxy_next_upstream_tries   3;
    proxy_next_upstream_timeout 6s;

{servers}}}
"""


def _main(at: Listening) -> str:
    return f"""\
include /etc/nginx/modules-enabled/*.conf;  # Debian's stream module; nginx's own image has it built in
daemon off;
worker_processes {at.workers};
worker_shutdown_timeout {SHUTDOWN_S}s;
pid {at.folder}/nginx.pid;
error_log stderr warn;
events {{
    worker_connections 4096;
}}"""


def _resolver(upstream: Upstream) -> str:
    if isinstance(upstream, Resolved):
        return f"    resolver {upstream.resolver} valid={upstream.valid_s}s ipv6=off;\n    resolver_timeout 2s;\n"
    return ""


def _maps(names: tuple[str, ...], upstream: Upstream, *, rest: bool) -> str:
    """Return the groups of servers, and which server name leads to which."""
    text = ""
    for kind in ("grpc", "rest") if rest else ("grpc",):
        match upstream:
            case Listed(replicas):
                target = f"replicas_{kind}"
                lines = "".join(
                    f"        server {each.host}:{getattr(each, kind)} max_fails=1 fail_timeout=2s;\n"
                    for each in replicas
                )
                text += f"    upstream {target} {{\n        zone {target} 64k;\n        least_conn;\n{lines}    }}\n"
            case Resolved():  # with a variable, nginx asks DNS again and takes one of the addresses by chance
                target = f"{upstream.name}:{getattr(upstream, kind)}"
        known = "".join(f"        {name} {target};\n" for name in names)
        text += f"    map $ssl_preread_server_name $to_{kind} {{\n{known}        default closed;\n    }}\n"
    return f"    upstream closed {{\n        server 127.0.0.1:1 down;\n    }}\n{text}"


def _server(listen: str, kind: str) -> str:
    return f"""\
    server {{
        listen {listen} so_keepalive=on;
        ssl_preread on;
        proxy_pass $to_{kind};
    }}
"""
