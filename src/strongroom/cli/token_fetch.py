"""Ask an attestation service for a token about a quote, and write it to a file.

The quote comes from an RA-TLS certificate (--certificate), or from a file (--quote) together with the bytes that its
report data is the SHA-256 of (--bound). The token is written as it came and not verified: strongroom token verify does
that. With an API key, give a file of mode 0600.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.cli.token_verify import PROFILES

MAX_BOUND_BYTES: Final = 64 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    evidence = parser.add_mutually_exclusive_group(required=True)
    evidence.add_argument("--certificate", type=Path, metavar="FILE", help="an RA-TLS certificate, DER or PEM")
    evidence.add_argument("--quote", type=Path, metavar="FILE", help="a quote, raw bytes; needs --bound")
    parser.add_argument("--bound", type=Path, metavar="FILE", help="what the quote's report data is the SHA-256 of")
    parser.add_argument("--profile", required=True, choices=PROFILES, help="maa or ita")
    parser.add_argument("--service", required=True, metavar="URL", help="the instance to ask")
    parser.add_argument("--service-ca", type=Path, metavar="FILE", help="CA (PEM) of the service, if not the system's")
    parser.add_argument("--api-key", type=Path, metavar="FILE", help="the API key, a file of mode 0600")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="write the token here (a new file)")


def run(args: argparse.Namespace) -> int:
    """Ask and write; raise what does not hold."""
    from strongroom.attestation import parse_quote
    from strongroom.attestation.tokens import PROFILES as FORMS
    from strongroom.collateral.attestation_service import AttestationService, ServiceAddress
    from strongroom.collateral.service_settings import read_api_key
    from strongroom.pki import disk

    quote, bound = evidence_of(args)
    service = AttestationService(
        FORMS[args.profile], ServiceAddress.of(args.service), ca_file=args.service_ca,
        api_key=read_api_key(args.api_key) if args.api_key else None,
    )  # fmt: skip
    token = service.attest(quote, tee=parse_quote(quote).tee, bound=bound)
    disk.write_public(args.out, token + b"\n")
    sys.stdout.write(f"{args.out}\n")
    return 0


def evidence_of(args: argparse.Namespace) -> tuple[bytes, bytes]:
    """Return the quote, and what it is bound to. Raises Misuse or what the certificate breaks."""
    from strongroom.attestation.quote import MAX_QUOTE_BYTES
    from strongroom.cli.frame import Misuse
    from strongroom.pki import disk, ratls

    if args.certificate is not None:
        if args.bound is not None:
            raise Misuse("--bound goes with --quote; a certificate says itself what its quote is bound to")
        data = disk.read_bounded(args.certificate, limit=2 * ratls.MAX_CERTIFICATE_BYTES)
        evidence = ratls.open_certificate(_der(data), at=datetime.now(UTC), allow_rsa=True)
        return evidence.quote, evidence.bound
    if args.bound is None:
        raise Misuse("--quote needs --bound: a service compares report data with what it is the hash of")
    return (
        disk.read_bounded(args.quote, limit=MAX_QUOTE_BYTES),
        disk.read_bounded(args.bound, limit=MAX_BOUND_BYTES),
    )


def _der(data: bytes) -> bytes:
    """Return the DER of a certificate in either form; what cannot be read as PEM is left to the DER parser."""
    import ssl

    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    try:
        return ssl.PEM_cert_to_DER_cert(data.decode("ascii").strip())
    except ValueError:  # not ASCII, no end line, or not base64
        return b""
