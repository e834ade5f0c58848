"""Release secrets to attested code, speaking Gramine's secret-provisioning protocol and the KBS protocol.

Over Gramine's protocol a client gets the one secret that the policy grants to its quote, over KBS those that it names
and may have; everybody else is refused without a reason. The log says why: rule, observed, expected, fix; the ledger
keeps it (strongroom ledger show). Editing the policy takes effect on the next connection; a broken edit keeps the last
good policy. SIGTERM ends it.

Works from a workspace, or without one from the files of Gramine's key server:
  strongroom broker serve --policy policy.toml --key-file wrap_key --cert server.crt --key server.key
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.option_types import port
from strongroom.cli.passphrase import passphrase_argument, with_passphrase
from strongroom.cli.workspace_option import workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.run import Listening
    from strongroom.collateral.remote_verifier import RemoteVerifier


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("--address", default="127.0.0.1", help="listen here (default: 127.0.0.1; 0.0.0.0 for all)")
    parser.add_argument("--port", type=port, default=4433, help="listen on this port; 0: a free one (default: 4433)")
    parser.add_argument("--kbs-port", type=port, metavar="PORT",
                        help="also speak the KBS protocol here, usually 8080 (default: strongroom.toml's)")  # fmt: skip
    parser.add_argument("--admin-port", type=port, metavar="PORT",
                        help="administration and console, usually 8443 (default: strongroom.toml's)")  # fmt: skip
    parser.add_argument(
        "--admin-address", metavar="ADDRESS", default="127.0.0.1", help="listen here for them (default: 127.0.0.1)"
    )
    passphrase_argument(parser)
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="(default: text)")
    parser.add_argument("--tls13", action="store_true",
                        help="also speak TLS 1.3: for clients of Gramine 1.9 and later only")  # fmt: skip
    parser.add_argument("--deadline", type=_seconds, default=10.0, metavar="SECONDS",
                        help="that a peer may take to connect and ask (default: 10)")  # fmt: skip
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write ADDRESS:PORT here once it listens")
    parser.add_argument("--record-evidence", type=Path, metavar="DIR",
                        help="keep one file for each kind of evidence here, for strongroom policy diff")  # fmt: skip
    files = parser.add_argument_group("files that take the place of the workspace's")
    for option, what in (
        ("--policy", "release policy; with it no workspace is needed"),
        ("--key-file", "the one secret to release: 16 raw bytes"),
        ("--cert", "the broker's certificate (chain), PEM"),
        ("--key", "the broker's private key, PEM"),
        ("--anchors", "folder of root certificates, or one of them; Intel's root is always there"),
        ("--collateral", "folder with FMSPC.json files, or one such file"),
        ("--store", "the store, a file (default: broker.db beside the policy)"),
    ):
        files.add_argument(option, type=Path, metavar="PATH", help=what)
    service = parser.add_argument_group("a service that checks quotes in this broker's place (docs/tokens.md)")
    service.add_argument("--attestation-service", metavar="URL", help="send quotes there, and judge its tokens")
    service.add_argument("--attestation-keys", type=Path, metavar="FILE", help="its pinned key set (JWKS)")
    service.add_argument("--attestation-profile", choices=("maa", "ita"), default="maa", help="its kind (default: maa)")
    service.add_argument("--attestation-issuer", metavar="TEXT", help="what its tokens name as iss (maa: the URL)")
    service.add_argument("--attestation-api-key", type=Path, metavar="FILE", help="its API key, a file of mode 0600")
    service.add_argument("--attestation-ca", type=Path, metavar="FILE", help="its CA (PEM), if not the system's")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from strongroom.broker import ServerLimits
    from strongroom.broker.operations import logs
    from strongroom.broker.run import Listening, RunOptions
    from strongroom.broker.run import run as serve
    from strongroom.broker.setup import BrokerFiles, assemble

    logs.configure(sys.stderr, as_json=args.log_format == "json")
    files = BrokerFiles(
        policy=args.policy, key_file=args.key_file, certificate=args.cert, private_key=args.key,
        anchors=args.anchors, collateral=args.collateral, store=args.store,
    )  # fmt: skip
    setup = assemble(files, workspace=args.workspace, now=datetime.now(UTC))
    settings = setup.settings
    options = RunOptions(
        address=args.address,
        ports=Listening(
            gramine=args.port,
            kbs=settings.kbs_port if args.kbs_port is None else args.kbs_port,
            admin=settings.admin_port if args.admin_port is None else args.admin_port,
        ),
        admin_address=args.admin_address,
        tls13=args.tls13,
        limits=ServerLimits(deadline_s=args.deadline),
        record_evidence=args.record_evidence,
        judge=judge_of(args),
    )
    with_passphrase(
        args, lambda given: serve(setup, replace(options, passphrase=given), ready=lambda ports: tell(args, ports))
    )
    return 0


def tell(args: argparse.Namespace, ports: Listening) -> None:
    """Say where the broker listens, to people and to the file that others wait for."""
    places = [("", args.address, ports.gramine), ("kbs ", args.address, ports.kbs),
              ("admin ", args.admin_address, ports.admin)]  # fmt: skip
    open_ = [(what, address, number) for what, address, number in places if number is not None]
    if args.ready_file:
        announce(args.ready_file, "".join(f"{what}{address}:{number}\n" for what, address, number in open_))
    for what, address, number in open_:
        scheme = "https://" if what else ""
        sys.stdout.write(f"broker listens on {scheme}{address}:{number}{f' ({what.strip()})' if what else ''}\n")
    sys.stdout.flush()


def judge_of(args: argparse.Namespace) -> RemoteVerifier | None:
    """Return the attestation service that the options name, if any. Raises what makes it unusable, or Misuse."""
    from strongroom.attestation.tokens import PROFILES
    from strongroom.cli.frame import Misuse
    from strongroom.collateral.service_settings import ServiceSettings

    if args.attestation_service is None and args.attestation_keys is None:
        return None
    if args.attestation_service is None or args.attestation_keys is None:
        raise Misuse("--attestation-service and --attestation-keys go together", fix="Give both, or neither.")
    if args.record_evidence:
        raise Misuse("--record-evidence keeps quotes with collateral, which an attestation service does not give")
    settings = ServiceSettings(
        profile=PROFILES[args.attestation_profile], url=args.attestation_service, keys=args.attestation_keys,
        issuer=args.attestation_issuer, ca_file=args.attestation_ca, api_key_file=args.attestation_api_key,
    )  # fmt: skip
    judge = settings.open(at=datetime.now(UTC))
    sys.stderr.write(f"strongroom: notice: quotes are checked by {args.attestation_service}, not by this broker\n")
    return judge


def announce(path: Path, text: str) -> None:
    """Write a small file in one step: whoever waits for it never reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="ascii")
    draft.replace(path)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number of seconds up to 3600")
    return seconds
