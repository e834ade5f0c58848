"""nginx in front of the replicas: passthrough by server name, or re-encryption where nginx itself is attested. Pure."""

from __future__ import annotations

from strongroom.deploy.description import Description
from strongroom.deploy.fronts.behaviour import BEHAVIOURS
from strongroom.deploy.fronts.upstreams import (
    ATTESTED_ONLY,
    CONNECT_S,
    IDLE_S,
    SHUTDOWN_S,
    Listed,
    Listening,
    Resolved,
    Upstream,
)

MAX_BODY = "2g"  # what gRPC itself can carry; the servers have their own limit


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
{BEHAVIOURS["nginx-passthrough"].comment()}
{_main(at)}
stream {{
    log_format connection '$remote_addr [$time_iso8601] $protocol $status in $bytes_received out $bytes_sent '
                          '$session_time s to "$upstream_addr" name "$ssl_preread_server_name"';
    {_access_log(at)}
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


def nginx_grpc(description: Description, upstream: Listed, listening: Listening | None = None) -> str:
    """Return an nginx.conf that ends TLS and balances calls over gRPC: for an nginx that is attested itself."""
    at = listening or Listening()
    files = at.files
    return f"""\
{ATTESTED_ONLY}# Re-encryption for {description.host}. Strongroom renders this file: change strongroom.toml instead.
{BEHAVIOURS["nginx-grpc"].comment()}
{_main(at)}
http {{
    access_log {at.access_log};
{_temporary(at.folder)}
    upstream grpc {{
{_zone("grpc", upstream)}        keepalive 64;
    }}
    server {{
        listen {at.grpc} ssl http2 default_server;
        ssl_reject_handshake on;  # another server name, or none
        ssl_protocols TLSv1.2 TLSv1.3;
    }}
    server {{
        listen {at.grpc} ssl http2;
        server_name {" ".join((description.host, *at.names))};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate     {files.server_pem};
        ssl_certificate_key {files.server_pem};
        ssl_client_certificate {files.ca};
        ssl_verify_client on;
        keepalive_requests 1000000;
        keepalive_timeout  {IDLE_S}s;
        client_max_body_size {MAX_BODY};
        location / {{
            grpc_pass grpcs://grpc;
            grpc_ssl_certificate     {files.client_pem};
            grpc_ssl_certificate_key {files.client_pem};
            grpc_ssl_trusted_certificate {files.ca};
            grpc_ssl_verify on;
            grpc_ssl_server_name on;
            grpc_ssl_name {description.host};
            grpc_ssl_protocols TLSv1.2 TLSv1.3;
            grpc_connect_timeout {CONNECT_S}s;
            grpc_read_timeout {IDLE_S}s;
            grpc_send_timeout {IDLE_S}s;
            grpc_next_upstream error timeout;  # only what has not been sent: calls are POST
            grpc_next_upstream_tries 3;
        }}
    }}
}}
"""


def _temporary(folder: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


def _zone(kind: str, upstream: Listed) -> str:
    lines = "".join(
        f"        server {each.host}:{getattr(each, kind)} max_fails=1 fail_timeout=2s;\n" for each in upstream.replicas
    )
    return f"        zone replicas_{kind} 64k;\n        least_conn;\n{lines}"


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


def _access_log(at: Listening) -> str:
    return "access_log off;" if at.access_log == "off" else f"access_log {at.access_log} connection;"


def _resolver(upstream: Upstream) -> str:
    """Return who is asked for addresses; a question that is lost is asked again after 5 s."""
    if isinstance(upstream, Listed):
        return ""
    return f"    resolver {upstream.resolver} valid={upstream.valid_s}s ipv6=off;\n    resolver_timeout 12s;\n"


def _maps(names: tuple[str, ...], upstream: Upstream, *, rest: bool) -> str:
    """Return the groups of servers, and which server name leads to which."""
    text = ""
    for kind in ("grpc", "rest") if rest else ("grpc",):
        match upstream:
            case Listed():
                target = f"replicas_{kind}"
                text += f"    upstream {target} {{\n{_zone(kind, upstream)}    }}\n"
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
