"""Run a local double of Azure Attestation and Intel Trust Authority, for rehearsals without a TEE.

It verifies quotes of the simulated platform with Strongroom's own verifier and signs tokens under a key made for this
run. Everything it says is marked simulated: its tokens are of the trust domain simulated, whatever key set they are
checked with. It serves /.well-known/openid-configuration, /certs, /attest/SgxEnclave, /attest/TdxVm and
/appraisal/v1/attest, on loopback only and without TLS. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.cli.option_types import port
from strongroom.cli.sim_world import world_argument

_BACKLOG = 64
_MAX_CONNECTIONS = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    world_argument(parser)
    parser.add_argument("--port", type=port, default=0, help="listen on this port of 127.0.0.1 (default: a free one)")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write its URL here once it listens")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from strongroom.attestation import Anchor, Verdict, parse_quote, verify
    from strongroom.cli.broker_serve import announce
    from strongroom.cli.sim_world import open_world
    from strongroom.collateral.attestation_double import Double, SigningKey, application
    from strongroom.platforms import simulated

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    world = open_world(args)
    anchor = Anchor.from_certificate(world.root_der)

    def judge(quote: bytes) -> Verdict:
        now = datetime.now(UTC)
        collateral = world.collateral(now, tee=parse_quote(quote).tee)
        return verify(quote, collateral, anchors=[anchor], at=now)

    with socket.create_server(("127.0.0.1", args.port), backlog=_BACKLOG) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        key = SigningKey.create(now=datetime.now(UTC))
        double = Double(url, key, judge=judge, clock=lambda: datetime.now(UTC))
        sys.stderr.write(f"{simulated.BANNER}\n")
        if args.ready_file:
            announce(args.ready_file, f"{url}\n")  # the socket listens already: whoever comes now waits a moment
        sys.stdout.write(f"attestation service double at {url}, key {key.key_id}\n")
        sys.stdout.flush()
        serve(application(double), listening)
    return 0


def serve(application: object, listening: socket.socket) -> None:
    """Serve an ASGI application on a socket that listens, until a signal ends it."""
    import uvicorn

    config = uvicorn.Config(
        application, log_level="warning", access_log=False, lifespan="off", server_header=False,  # type: ignore[arg-type]  # Starlette's
        limit_concurrency=_MAX_CONNECTIONS, timeout_keep_alive=5, timeout_graceful_shutdown=5, ws="none",
    )  # fmt: skip
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
