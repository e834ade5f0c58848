"""Ask a server for its RA-TLS certificate and say what its quote proves; nothing is sent to it but the handshake.

For servers that no authority vouches for, as Gramine's programs are. The certificate has to carry evidence that is
bound to the key of the live handshake; the quote is then verified against collateral. Exit status 0 for a verdict, 3
for evidence that does not hold. With --quote-out the quote is kept, for strongroom quote verify and quote inspect.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.cli.quote_verify import print_json, read_file, verdict_object
from strongroom.cli.verdict_text import card

MAX_TIMEOUT_S = 3600
_MAX_ROOT_BYTES = 64 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("server", type=_server, metavar="HOST:PORT")
    parser.add_argument(
        "--collateral", type=Path, metavar="FILE", required=True, help="collateral, nine strings in JSON"
    )
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root certificate to pin (default: Intel's key)")
    parser.add_argument("--quote-out", type=Path, metavar="FILE", help="write the quote here (a new file)")
    parser.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for the handshake (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Connect, verify, print."""
    from strongroom.attestation import INTEL, Anchor, Collateral, verify
    from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
    from strongroom.client.attested import AttestedConnection
    from strongroom.pki import disk, ratls

    anchor = INTEL if args.root is None else Anchor.from_certificate(read_file(args.root, _MAX_ROOT_BYTES))
    collateral = Collateral.from_json(read_file(args.collateral, MAX_COLLATERAL_FILE_BYTES))
    host, port = args.server
    with AttestedConnection(host, port, timeout_s=args.timeout, allow_rsa=True) as connection:
        evidence = connection.evidence
    if args.quote_out:
        disk.write_public(args.quote_out, evidence.quote)
    verdict = verify(evidence.quote, collateral, anchors=[anchor], at=datetime.now(UTC))
    if verdict.body.report_data != evidence.report_data:
        raise ratls.NotBound("the verified report data is not the hash of this server's key or claims")
    if args.json:
        print_json({**verdict_object(verdict), "ratls": {"form": evidence.form.value, "live_key_compared": True}})
    else:
        sys.stdout.write(card(verdict))
        sys.stdout.write(f"The quote is bound to the key of the live handshake (form: {evidence.form.value}).\n")
    return 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= MAX_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number of seconds from 0 to {MAX_TIMEOUT_S}")
    return value


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port[:6]) <= 65535:
        raise argparse.ArgumentTypeError(f"{text[:64]!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
