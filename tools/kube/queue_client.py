"""Send records to the queue's front end and compare each answer: y = x / 2 + 2. Prints one JSON object."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
from typing import Final

NAME: Final = "frontend-service"
PORT: Final = 10023
AT_ONCE: Final = 20
TIMEOUT_S: Final = 60.0


def main() -> None:
    """Send and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="of the Service")
    parser.add_argument("--ca", required=True, help="the CA that signed its certificate")
    parser.add_argument("--records", type=int, required=True)
    args = parser.parse_args()
    context = ssl.create_default_context(cafile=args.ca)
    right, wrong = 0, []
    with socket.create_connection((args.address, PORT), TIMEOUT_S) as plain:
        front = http.client.HTTPConnection(NAME, timeout=TIMEOUT_S)
        front.sock = context.wrap_socket(plain, server_hostname=NAME)
        version = front.sock.version()
        for first in range(0, args.records, AT_ONCE):
            numbers = [float(each) for each in range(first, min(first + AT_ONCE, args.records))]
            body = json.dumps({"instances": [{"x": number} for number in numbers]})
            front.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = front.getresponse()
            text = answer.read()
            found = json.loads(text).get("predictions", []) if answer.status == 200 else []
            got = [each.get("data") for each in found]
            if got == [[number / 2 + 2] for number in numbers]:
                right += len(numbers)
            else:
                wrong.append(f"{answer.status} {text[:300].decode('utf-8', 'replace')}")
    print(json.dumps({"right": right, "wrong": wrong, "tls": version}))


if __name__ == "__main__":
    main()
