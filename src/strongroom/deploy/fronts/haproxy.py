"""HAProxy in front of the replicas: passthrough by server name, or calls repeated where HAProxy itself is attested.

Pure.
"""

from __future__ import annotations

from typing import Final

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

MAX_REPLICAS: Final = 64  # places for what DNS names; a place without a replica costs nothing
BUFFER_BYTES: Final = 1 << 20  # a request is kept for as long as it may be sent again, if it fits in here


def haproxy_passthrough(description: Description, upstream: Upstream, listening: Listening | None = None) -> str:
    """Return a haproxy.cfg that passes TLS through by server name; other names are closed without a byte."""
    at = listening or Listening()
    names = " ".join((description.host, *at.names))
    passed = _passed("grpc", at.grpc, names, upstream)
    if at.rest is not None:
        passed += "\n" + _passed("rest", at.rest, names, upstream)
    return f"""\
# TLS passthrough by server name for {description.host}. Strongroom renders this file: change strongroom.toml instead.
{BEHAVIOURS["haproxy-passthrough"].comment()}
{_start(at, upstream)}
defaults
    mode tcp
    log global
    option tcplog
    option dontlognull
    option clitcpka
    option srvtcpka
{_patience()}
{passed}"""


def haproxy_h2(description: Description, upstream: Upstream, listening: Listening | None = None) -> str:
    """Return a haproxy.cfg that ends TLS, balances calls and repeats them: for a HAProxy that is attested itself."""
    at = listening or Listening()
    files = at.files
    return f"""\
{ATTESTED_ONLY}# Re-encryption for {description.host}. Strongroom renders this file: change strongroom.toml instead.
{BEHAVIOURS["haproxy-h2"].comment()}
{_start(at, upstream, connections=1000)}    tune.bufsize {BUFFER_BYTES}  # larger requests are not repeated
    tune.h2.initial-window-size {BUFFER_BYTES}
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-server-options ssl-min-ver TLSv1.2

defaults
    mode http
    log global
    option httplog
    option dontlognull
{_patience()}
frontend grpc
    bind {_address(at.grpc)} ssl crt {files.server_pem} alpn h2 ca-file {files.ca} verify required strict-sni
    http-request wait-for-body time 30s if {{ path_beg /tensorflow.serving. }}  # whole, or it cannot be sent again
    default_backend grpc

backend grpc
    balance leastconn
    option redispatch
    retries 3
    # A connection that broke before a byte of the answer: the call may have run. Predictions may run twice.
    retry-on conn-failure empty-response
    default-server {_checks(upstream)} ssl alpn h2 ca-file {files.ca} crt {files.client_pem} verify required \
sni str({description.host}) verifyhost {description.host}
{_servers("grpc", upstream)}"""


def _start(at: Listening, upstream: Upstream, *, connections: int = 4096) -> str:
    text = f"""\
global
    log stdout format raw local0 info
    maxconn {connections}
    nbthread {at.workers}
    hard-stop-after {SHUTDOWN_S}s
"""
    if isinstance(upstream, Resolved):
        text = f"""\
resolvers dns
    parse-resolv-conf
    hold valid {upstream.valid_s}s
    hold obsolete {upstream.valid_s}s
    accepted_payload_size 8192

{text}"""
    return text


def _patience() -> str:
    return f"""\
    timeout connect {CONNECT_S}s
    timeout queue 10s
    timeout client {IDLE_S}s   # longer than the servers' own limit for idle gRPC connections, 1800 s
    timeout server {IDLE_S}s
"""


def _passed(kind: str, listen: str, names: str, upstream: Upstream) -> str:
    return f"""\
frontend {kind}
    bind {_address(listen)}
    tcp-request inspect-delay 10s
    tcp-request content accept if {{ req.ssl_hello_type 1 }} {{ req.ssl_sni -i {names} }}
    tcp-request content reject if {{ req.ssl_hello_type 1 }}
    tcp-request content reject if WAIT_END
    default_backend {kind}

backend {kind}
    balance leastconn
    option redispatch 1
    retries 3
    default-server {_checks(upstream)}
{_servers(kind, upstream)}"""


def _checks(upstream: Upstream) -> str:
    """Return how a server is watched: a connection every 2 s; one that fails takes it out, one that works brings it."""
    resolved = " resolvers dns init-addr none resolve-prefer ipv4" if isinstance(upstream, Resolved) else ""
    return f"check inter 2s fall 1 rise 1{resolved}"


def _servers(kind: str, upstream: Upstream) -> str:
    match upstream:
        case Resolved():
            return f"    server-template replica {MAX_REPLICAS} {upstream.name}:{getattr(upstream, kind)}\n"
        case Listed(replicas):
            return "".join(
                f"    server replica{number} {each.host}:{getattr(each, kind)}\n"
                for number, each in enumerate(replicas, 1)
            )


def _address(listen: str) -> str:
    return listen if ":" in listen else f":{listen}"
