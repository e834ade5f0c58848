"""Serve Intel's certification API on this machine, in place of a PCCS.

What it serves comes from one or more of these, asked in this order: recorded answers of Intel's service, folders of
collateral files, a simulated platform (fresh collateral for SGX and TDX), a mirror of other servers. The mirror keeps
what it has verified in --cache and serves it on, to the end of its validity, while nobody upstream answers.

Clients name it as they name any PCCS: http://127.0.0.1:8081/sgx/certification/v4/. It speaks plaintext on loopback
alone; with --cert and --key, or with --tls FOLDER (a certificate made at first use, to be pinned by FOLDER/ca.pem),
other machines may ask it too. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from errno import ENOTDIR
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.broker_serve import announce
from strongroom.cli.frame import Misuse
from strongroom.cli.option_types import port
from strongroom.cli.pccs_upstream import anchor_of, open_mirror, upstream_arguments
from strongroom.cli.sim_collateral import STATUS_HELP, STATUSES

if TYPE_CHECKING:
    from strongroom.attestation import Anchor
    from strongroom.collateral import pccs


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    sources = parser.add_argument_group("what to serve")
    sources.add_argument("--recorded", metavar="FOLDER", type=Path, action="append", default=[],
                         help="recorded answers of Intel's service, replayed byte for byte")  # fmt: skip
    sources.add_argument("--folder", metavar="FOLDER", type=Path, action="append", default=[],
                         help="collateral files: FMSPC.json, FMSPC-tdx.json")  # fmt: skip
    sources.add_argument("--world", metavar="DIR", type=Path,
                         help="folder of a simulated platform (made on first use)")  # fmt: skip
    upstream_arguments(parser)
    parser.add_argument("--mode", choices=("LAZY", "REQ", "OFFLINE"), default="LAZY",
                        help="when to ask upstream: at a miss, at registrations and refreshes, never")  # fmt: skip
    listen = parser.add_argument_group("where to listen")
    listen.add_argument("--address", default="127.0.0.1", help="listen here (default: 127.0.0.1)")
    listen.add_argument("--port", type=port, default=8081, help="listen on this port; 0: a free one (default: 8081)")
    listen.add_argument("--cert", metavar="FILE", type=Path, help="certificate (chain), PEM")
    listen.add_argument("--key", metavar="FILE", type=Path, help="its private key, PEM")
    listen.add_argument("--tls", metavar="FOLDER", type=Path, help="folder of a self-made certificate")
    listen.add_argument("--name", metavar="NAME", action="append", default=[],
                        help="a name of this server, for its self-made certificate (default: localhost)")  # fmt: skip
    listen.add_argument("--ready-file", type=Path, metavar="FILE", help="write ADDRESS:PORT here once it listens")
    administration = parser.add_argument_group("administration")
    administration.add_argument("--tokens", metavar="FILE", type=Path,
                                help="hashes of user and admin token (strongroom pccs token); "
                                "without it nobody may register machines or bring collateral")  # fmt: skip
    administration.add_argument("--state", metavar="DIR", type=Path,
                                help="where registrations and uploads are kept (needed with --tokens)")  # fmt: skip
    rehearsal = parser.add_argument_group("rehearse (with --world)")
    rehearsal.add_argument("--status", choices=STATUSES, default="UpToDate", metavar="STATUS", help=STATUS_HELP)
    rehearsal.add_argument("--advisory", metavar="ID", action="append", default=[], help="e.g. INTEL-SA-00615")
    rehearsal.add_argument("--evaluation-number", metavar="N", type=int, default=17)
    rehearsal.add_argument("--early", action="store_true",
                           help="publish this for update=early alone; the standard update is as before")  # fmt: skip
    rehearsal.add_argument("--beside-real-tee", action="store_true", help="although this machine has a real TEE")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from strongroom.collateral import pccs

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it would log that it starts and stops
    mirror = open_mirror(args, pccs.Mode(args.mode))
    backends = _backends(args, mirror)
    if not backends:
        raise Misuse("nothing to serve", fix="Name at least one of --world, --upstream, --cache, --recorded, --folder.")
    place = _place(args)
    application = pccs.make_app(pccs.InOrder(backends), _administration(args, mirror))

    def ready(port: int) -> None:
        if args.ready_file:
            announce(args.ready_file, f"{args.address}:{port}\n")
        sys.stdout.write(f"PCCS listens on {place.scheme}://{_host(args.address)}:{port}\n")
        sys.stdout.flush()

    with _kept_fresh(mirror, args.mode):
        pccs.serve(application, place, ready=ready)
    return 0


@contextmanager
def _kept_fresh(mirror: pccs.Mirror | None, mode: str) -> Iterator[None]:
    """Renew what the mirror holds in the background."""
    stop = threading.Event()
    if mirror is None or mode == "OFFLINE":
        yield
        return
    threading.Thread(target=mirror.keep_fresh, args=(stop,), name="refresh", daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        mirror.close()  # whoever waits for a server that does not answer must not hold up the end


def _backends(args: argparse.Namespace, mirror: pccs.Mirror | None) -> list[pccs.Backend]:
    from strongroom.collateral import pccs

    found: list[pccs.Backend] = []
    if args.state is not None:
        uploads = args.state / "uploads"
        uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        found.append(pccs.Recorded(uploads))
    found += [pccs.Recorded(_folder(folder)) for folder in args.recorded]
    found += [pccs.Files(_folder(folder)) for folder in args.folder]
    if args.world is not None:
        found.append(_world(args))
    if mirror is not None:
        found.append(mirror)
    return found


def _world(args: argparse.Namespace) -> pccs.Backend:
    from strongroom.attestation import TcbStatus
    from strongroom.cli.pccs_world import world_stock
    from strongroom.cli.sim_world import open_world
    from strongroom.collateral import pccs
    from strongroom.platforms import simulated

    world = open_world(args)
    sys.stderr.write(f"{simulated.BANNER}\n")
    rehearsal = simulated.Rehearsal(
        status=TcbStatus(args.status),
        advisories=tuple(args.advisory),
        evaluation_number=args.evaluation_number,
        qe_evaluation_number=args.evaluation_number,
    )
    standard = rehearsal.standard if args.early else rehearsal
    return pccs.Made(partial(world_stock, world, standard=standard, early=rehearsal))


def _administration(args: argparse.Namespace, mirror: pccs.Mirror | None) -> pccs.Administration | None:
    from strongroom.collateral import pccs
    from strongroom.collateral.pccs.administration import check_all

    if args.tokens is None:
        return None
    if args.state is None:
        raise Misuse("--tokens needs --state", fix="Name the folder for registrations and uploads with --state.")
    anchors = _anchors(args)
    return pccs.Administration(
        tokens=pccs.Tokens.load(args.tokens),
        registrations=pccs.Registrations(args.state / "registrations"),
        uploads=args.state / "uploads",
        check=lambda exchanges: check_all(exchanges, anchors=anchors, at=datetime.now(UTC)),
        provisioner=mirror if args.upstream and args.mode != pccs.Mode.OFFLINE else None,
    )


def _anchors(args: argparse.Namespace) -> tuple[Anchor, ...]:
    """Return whose collateral may be brought: that of the root, and of the world that is served."""
    from strongroom.attestation import Anchor
    from strongroom.platforms import simulated

    if args.world is None:
        return (anchor_of(args),)
    return (anchor_of(args), Anchor.from_certificate(simulated.World.open(args.world).root_der))


def _place(args: argparse.Namespace) -> pccs.Place:
    from strongroom.collateral import pccs
    from strongroom.collateral.pccs.self_made import self_made

    if (args.cert is None) != (args.key is None) or (args.tls is not None and args.cert is not None):
        raise Misuse("a certificate needs its key", fix="Give --cert and --key together, or --tls FOLDER alone.")
    certificate, key = args.cert, args.key
    if args.tls is not None:
        certificate, key = self_made(args.tls, args.name or ["localhost", "127.0.0.1"], now=datetime.now(UTC))
    return pccs.Place(address=args.address, port=args.port, certificate=certificate, key=key)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise NotADirectoryError(ENOTDIR, "not a folder", str(path))
    return path


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
