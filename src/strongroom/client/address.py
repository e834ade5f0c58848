"""Where a server is and which protocol it speaks; plaintext is refused unless the caller says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from strongroom.errors import BadInput, Refused

MAX_URL_LENGTH: Final = 2048


class BadUrl(BadInput):
    """A server's address is not of the form https://HOST:PORT or grpcs://HOST:PORT."""

    code = "SR-URL"
    fix = "Write https://HOST:8501 for REST or grpcs://HOST:8500 for gRPC."


class PlaintextRefused(Refused):
    """The address names a channel without TLS, which the client uses only when told to."""

    code = "SR-PLAINTEXT"
    fix = "Use https:// or grpcs://. On a machine and a network that are yours alone, --insecure allows plaintext."


class Protocol(StrEnum):
    """The two protocols of TensorFlow Serving."""

    REST = "rest"
    GRPC = "grpc"


_SCHEMES: Final = {
    "https": (Protocol.REST, True),
    "grpcs": (Protocol.GRPC, True),
    "http": (Protocol.REST, False),
    "grpc": (Protocol.GRPC, False),
}
_DEFAULT_PORTS: Final = {Protocol.REST: 8501, Protocol.GRPC: 8500}


@dataclass(frozen=True, slots=True)
class Address:
    """A server's protocol, host and port, and whether the channel is TLS."""

    protocol: Protocol
    secure: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as URLs write them: IPv6 addresses in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        scheme = next(word for word, kind in _SCHEMES.items() if kind == (self.protocol, self.secure))
        return f"{scheme}://{self.authority}"


def parse_address(url: str, *, insecure: bool = False) -> Address:
    """Return the address that `url` names. Raises BadUrl, or PlaintextRefused unless `insecure`."""
    shown = url[:128]
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise BadUrl(f"{shown!r} is not an address")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise BadUrl(f"{shown!r} is not an address: {problem}") from None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        raise BadUrl(f"{shown!r} does not name a server")
    if "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise BadUrl(f"{shown!r} says more than protocol, host and port")
    protocol, secure = _SCHEMES[parts.scheme]
    address = Address(protocol, secure, host, port or _DEFAULT_PORTS[protocol])
    if not secure and not insecure:
        raise PlaintextRefused(f"{address} is a channel without TLS: anyone on the way reads inputs and answers")
    return address
