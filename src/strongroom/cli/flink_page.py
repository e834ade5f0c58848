"""Show Flink's web page in a browser: over TLS, after a login, and for looking only.

Flink's page knows no login; this one holds the client's certificate for it. Open the printed link once, or log in with
the password in the page's folder. With --allow-changes the page may also cancel jobs and take JARs.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from strongroom.cli.flink_options import default_folder, place_arguments, place_of
from strongroom.cli.frame import Misuse
from strongroom.cli.option_types import port


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    parser.add_argument("--address", default="127.0.0.1", help="listen here (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, default=0, help="default: 0, a free one")
    parser.add_argument("--name", metavar="HOST", action="append",
                        help="a name that browsers use for it; repeatable (default: localhost, 127.0.0.1)")  # fmt: skip
    parser.add_argument("--cert", metavar="FILE", type=Path, help="the page's certificate (default: made anew)")
    parser.add_argument("--key", metavar="FILE", type=Path, help="its key (0600)")
    parser.add_argument("--page-dir", metavar="DIR", type=Path, help="holds password and ca.pem")
    parser.add_argument("--allow-changes", action="store_true", help="let the page cancel jobs and take JARs")
    parser.add_argument("--json", action="store_true", help="print what a machine reads")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from strongroom.streaming.flink.page.serving import Listening, Offered, serve

    if (args.cert is None) != (args.key is None):
        raise Misuse("--cert and --key belong together", fix="Give both, or neither.")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    listening = Listening(
        folder=args.page_dir or default_folder().with_name("flink-page"), address=args.address, port=args.port,
        names=tuple(args.name or ("localhost", "127.0.0.1")), changes=args.allow_changes, certificate=args.cert,
        key=args.key,
    )  # fmt: skip

    def ready(offered: Offered) -> None:
        if args.json:
            document = {"url": offered.url, "link": offered.link, "password_file": str(offered.password),
                        "sha256": offered.fingerprint}  # fmt: skip
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            sys.stdout.write(f"{offered.link}\n")
            sys.stderr.write(f"works once, within 15 minutes; later log in with the password in {offered.password}\n"
                             f"the certificate's SHA-256: {offered.fingerprint}\n")  # fmt: skip
        sys.stdout.flush()

    serve(place_of(args), listening, ready=ready)
    return 0
