"""Show jobs that are over in Spark's own history server: over TLS, on this machine alone, until Ctrl-C.

DIR is what spark submit kept of a job; name as many as you like. What plans, settings and errors say of the data is
left out before Spark's server sees it.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import ssl
import sys
import threading
from pathlib import Path

from strongroom.cli.option_types import port

DEFAULT_PORT = 18480


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="a job's folder")
    parser.add_argument("--port", type=port, default=DEFAULT_PORT,
                        help=f"port on loopback; 0: any free one (default: {DEFAULT_PORT})")  # fmt: skip
    parser.add_argument("--ca-out", metavar="FILE", type=Path, help="write the certificate to trust here")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal, or until the server ends by itself."""
    from strongroom.analytics.report.history import HistoryNotStarted, serving
    from strongroom.pki import disk

    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    with serving(args.folders, port=args.port) as history:
        ca = history.ca.read_text(encoding="ascii")
        if args.ca_out is not None:
            disk.replace_public(args.ca_out, ca.encode())
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca)).hexdigest()
        sys.stdout.write(f"{history.address}/  {history.logs} logs; Ctrl-C ends it\n")
        sys.stdout.write(f"  its certificate comes from an authority of this run alone, SHA-256 {digest}\n")
        sys.stdout.flush()
        while not stop.wait(0.5):
            if history.process.poll() is not None:
                raise HistoryNotStarted(f"the history server ended with {history.process.returncode}")
    return 0
