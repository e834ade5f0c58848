"""A name server for Services: watches them through the API server and answers over UDP and TCP.

    python -m kube.dns_server --address 10.96.0.10 --api https://… --ca … --cert … --key … --domain cluster.local

World: one socket of each kind, two watches. It knows the cluster's names alone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socketserver
import ssl
import struct
import sys
import threading
import time
from typing import Final
from urllib.parse import urlsplit

from kube.dns_message import NotAQuestion, answer, parse
from kube.dns_names import Zone

WATCHED: Final = ("services", "endpoints")
AGAIN_S: Final = 0.5
WATCH_S: Final = 300


def respond(zone: Zone, data: bytes) -> bytes | None:
    """Return the answer to a datagram; none for what is no question."""
    try:
        question = parse(data)
    except NotAQuestion:
        return None
    code, records = zone.resolve(question)
    return answer(question, code, records)


class Api:
    """The API server, as a client with a certificate sees it."""

    def __init__(self, url: str, *, ca: str, certificate: str, key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._context = ssl.create_default_context(cafile=ca)
        self._context.load_cert_chain(certificate, key)

    def _request(self, path: str, timeout_s: float) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(self._host, self._port, context=self._context, timeout=timeout_s)
        connection.request("GET", path)
        reply = connection.getresponse()
        if reply.status != 200:
            raise OSError(f"{path}: status {reply.status}")
        return reply

    def follow(self, zone: Zone, kind: str) -> None:
        """List, then watch until the watch ends; both go into the zone."""
        with self._request(f"/api/v1/{kind}", 30) as reply:
            listed = json.load(reply)
        held = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in listed["items"]}
        setattr(zone, kind, held)
        version = listed["metadata"]["resourceVersion"]
        path = f"/api/v1/{kind}?watch=1&resourceVersion={version}&timeoutSeconds={WATCH_S}"
        with self._request(path, WATCH_S + 30) as reply:
            for line in reply:
                event = json.loads(line)
                if event.get("type") == "ERROR":
                    return
                zone.apply(kind, event)

    def follow_for_ever(self, zone: Zone, kind: str) -> None:
        """Follow one kind of object, and again whenever that breaks off."""
        while True:
            try:
                self.follow(zone, kind)
            except (OSError, ValueError, http.client.HTTPException) as problem:
                sys.stderr.write(f"dns: {kind}: {problem}\n")
            time.sleep(AGAIN_S)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, peer = self.request
        found = respond(self.server.zone, data)  # type: ignore[attr-defined]  # set by `listen`
        if found is not None:
            peer.sendto(found, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    timeout = 5

    def handle(self) -> None:
        size = self.rfile.read(2)
        if len(size) == 2:
            data = self.rfile.read(struct.unpack(">H", size)[0])
            found = respond(self.server.zone, data)  # type: ignore[attr-defined]  # set by `listen`
            if found is not None:
                self.wfile.write(struct.pack(">H", len(found)) + found)


def listen(zone: Zone, address: str, port: int = 53) -> list[socketserver.BaseServer]:
    """Open both sockets and answer in threads; the caller shuts them down."""
    socketserver.TCPServer.allow_reuse_address = True
    tcp = socketserver.ThreadingTCPServer((address, port), _Tcp)
    udp = socketserver.UDPServer((address, tcp.server_address[1]), _Udp)
    servers: list[socketserver.BaseServer] = [tcp, udp]
    for server in servers:
        server.zone = zone  # type: ignore[attr-defined]  # for the handlers
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return servers


def main() -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("address", "api", "ca", "cert", "key", "domain"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    zone = Zone(args.domain)
    api = Api(args.api, ca=args.ca, certificate=args.cert, key=args.key)
    listen(zone, args.address)
    threads = [threading.Thread(target=api.follow_for_ever, args=(zone, kind), daemon=True) for kind in WATCHED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
