"""Write the jar by which any Spark reads and writes encrypted Parquet with keys of the agent beside it.

Give the jar to Spark (spark.jars, or the class paths of driver and executors), and set
parquet.encryption.kms.client.class to strongroom.parquet.StrongroomKmsClient. It is compiled here from Strongroom's own
source with the compiler inside PySpark's jars, to the same bytes wherever that is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from strongroom.pki import disk


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("out", metavar="OUT", type=Path, help="the new file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compile and write it."""
    from strongroom.analytics.parquet.build import kms_jar

    content = kms_jar().read_bytes()
    disk.write_public(args.out, content)
    digest = hashlib.sha256(content).hexdigest()
    result = {"file": str(args.out), "bytes": len(content), "sha256": digest}
    told = f"{args.out}: {len(content)} bytes, SHA-256 {digest}\n"
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    return 0
