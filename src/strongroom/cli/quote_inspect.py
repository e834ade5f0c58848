"""Show any quote as a tree with meaning: flags named, dates, platform; with --collateral also levels and advisories.

Nothing printed here is verified: anyone can write any quote. Use `strongroom quote verify` to find out what it proves.
"""

from __future__ import annotations

import argparse
import struct
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.attestation import CertificationType, Collateral, EvidenceRefused, Quote, fmspc_of, parse_quote
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.attestation.quote import HEADER_BYTES, MAX_QUOTE_BYTES, QE_VENDOR_ID
from strongroom.attestation.validity import timestamp
from strongroom.attestation.verify import pck_chain_of
from strongroom.cli.collateral_tree import reference_node, reference_object
from strongroom.cli.quote_tree import Node, tree_of
from strongroom.cli.quote_verify import print_json, read_file


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", type=Path, help="the quote, raw bytes")
    parser.add_argument("--collateral", type=Path, metavar="FILE", help="also show the reference data in this file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Take the quote apart and print it; of a quote that cannot be read, what its header says."""
    data = read_file(args.file, MAX_QUOTE_BYTES)
    collateral = None
    if args.collateral is not None:
        collateral = Collateral.from_json(read_file(args.collateral, MAX_COLLATERAL_FILE_BYTES))
    try:
        quote = parse_quote(data)
    except EvidenceRefused:
        if not args.json and len(data) >= HEADER_BYTES:
            _write(_header_alone(data))
        raise
    now = datetime.now(UTC)
    if args.json:
        fields = {"verified": False, **quote.to_json_object(), "platform": _platform(quote)}
        if collateral is not None:
            fields["reference"] = reference_object(collateral, quote, now)
        print_json(fields)
        return 0
    _write(tree_of(quote, len(data)))
    if collateral is not None:
        _write(reference_node(collateral, quote, now))
    return 0


def _write(node: Node) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in node.lines()))


def _header_alone(data: bytes) -> Node:
    """Return what the 48 bytes of a header say, whatever they say."""
    version, key_type, tee, qe_svn, pce_svn = struct.unpack_from("<HHIHH", data)
    vendor = data[12:28]
    return Node("not a quote that can be read", f"{len(data)} bytes", "its first 48 bytes, read as a header", (
        Node("version", str(version)),
        Node("attestation key type", str(key_type), "2 is ECDSA on P-256"),
        Node("TEE type", f"{tee:#x}", "0 is SGX, 0x81 is TDX"),
        Node("quoting enclave SVN, PCE SVN", f"{qe_svn}, {pce_svn}"),
        Node("vendor", "Intel" if vendor == QE_VENDOR_ID else vendor.hex()),
    ))  # fmt: skip


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
            {
                "subject": certificate.common_name,
                "serial": f"{certificate.serial:x}",
                "not_before": timestamp(certificate.since),
                "not_after": timestamp(certificate.until),
                "simulated": certificate.simulated,
            }
            for certificate in pck_chain_of(quote)
        ]
        return {"fmspc": fmspc_of(quote), "certificates": chain}
    except EvidenceRefused as refused:
        return {"unreadable": refused.sentence}
