"""Print the fields of an SGX quote without judging it.

Nothing printed here is verified: anyone can write any quote. Use `strongroom quote verify` to find out what it proves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from strongroom.attestation import CertificationType, EvidenceRefused, Quote, fmspc_of, parse_quote
from strongroom.attestation.quote import MAX_QUOTE_BYTES
from strongroom.attestation.validity import timestamp
from strongroom.attestation.verify import pck_chain_of
from strongroom.cli.quote_verify import print_json, read_file


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", type=Path, help="the quote, raw bytes")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Take the quote apart and print it."""
    quote = parse_quote(read_file(args.file, MAX_QUOTE_BYTES))
    fields = {"verified": False, **quote.to_json_object(), "platform": _platform(quote)}
    if args.json:
        print_json(fields)
    else:
        sys.stdout.write("unverified: anyone can write any quote\n" + "".join(_lines(fields, indent="")))
    return 0


def _platform(quote: Quote) -> dict[str, object]:
    """Return what the certification data say of the platform, or why they cannot be read."""
    try:
        if quote.certification_type is not CertificationType.PCK_CHAIN:
            ids = quote.platform_ids()
            return {
                "ppid": ids.ppid.hex(),
                "ppid_encrypted": ids.encrypted,
                "cpu_svn": ids.cpu_svn.hex(),
                "pce_svn": ids.pce_svn,
                "pce_id": ids.pce_id.hex(),
            }
        chain = [
            f"{certificate.common_name!r}, {timestamp(certificate.since)} to {timestamp(certificate.until)}"
            for certificate in pck_chain_of(quote)
        ]
        return {"fmspc": fmspc_of(quote), "certificates": chain}
    except EvidenceRefused as refused:
        return {"unreadable": refused.sentence}


def _lines(fields: dict[str, object], *, indent: str) -> list[str]:
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}\n", *_lines(value, indent=indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{name}\n", *(f"{indent}  {item}\n" for item in value)]
        else:
            lines.append(f"{indent}{name}: {value}\n")
    return lines
