"""Read a number from replicas' own metrics, over TLS as a client: how many requests each has answered.

python -m kube.scrape --client FOLDER --host NAME ADDRESS:PORT...
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

PATH: Final = "/monitoring/prometheus/metrics"
COUNT: Final = ":tensorflow:serving:request_count"
TIMEOUT_S: Final = 10.0


def total(text: str, name: str) -> float:
    """Return the sum of all samples of a metric in Prometheus' text form. Pure."""
    starts = (f"{name} ", f"{name}{{")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(starts))


def read(address: str, host: str, context: ssl.SSLContext) -> str:
    """Return the metrics of the replica at ADDRESS:PORT, whose certificate is for `host`."""
    place, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host)
    plain = socket.create_connection((place, int(port)), TIMEOUT_S)
    connection.sock = context.wrap_socket(plain, server_hostname=host)
    try:
        connection.request("GET", PATH)
        return connection.getresponse().read(4 << 20).decode("utf-8", "replace")
    finally:
        connection.close()


def main() -> int:
    """Print one JSON object: address to number of requests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("addresses", nargs="+")
    args = parser.parse_args()
    context = ssl.create_default_context(cafile=args.client / "ca_cert.pem")
    context.load_cert_chain(args.client / "cert.pem", args.client / "key.pem")
    found = {each: total(read(each, args.host, context), COUNT) for each in args.addresses}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
