"""Names that certificates carry: DNS names and addresses for servers, a DNS name or mail address for clients."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509

from strongroom.errors import BadInput

MAX_NAMES: Final = 64
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", re.ASCII)


class BadName(BadInput):
    """A name does not fit into a certificate."""

    code = "SR-NAME"
    fix = "Give DNS names such as grpc.tf-serving.service.com or IP addresses; for a client also a mail address."


def server_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return DNS names and IP addresses as subject alternative names; at least one, none twice."""
    if not 0 < len(names) <= MAX_NAMES:
        raise BadName(f"a server certificate needs between 1 and {MAX_NAMES} names, {len(names)} were given")
    found: list[x509.GeneralName] = []
    for name in names:
        address = _address(name)
        entry = x509.DNSName(dns_name(name, wildcard=True)) if address is None else x509.IPAddress(address)
        if entry not in found:
            found.append(entry)
    return found


def client_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return a client's one name as a subject alternative name: a DNS name or a mail address."""
    if len(names) != 1:
        raise BadName(f"a client certificate has one name, {len(names)} were given")
    mailbox, at, host = names[0].rpartition("@")
    if not at:
        return [x509.DNSName(dns_name(host, wildcard=False))]
    if not _MAILBOX.fullmatch(mailbox):
        raise BadName(f"{names[0][:80]!r} is not a mail address")
    return [x509.RFC822Name(f"{mailbox}@{dns_name(host, wildcard=False)}")]


def dns_name(name: str, *, wildcard: bool) -> str:
    """Return `name` in lower case if it is a DNS name (RFC 1035 and underscores); `*.` may lead where allowed."""
    lowered = name.lower().removesuffix(".")
    host = lowered.removeprefix("*.") if wildcard else lowered
    labels = host.split(".")
    if not host or len(lowered) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadName(f"{name[:80]!r} is not a DNS name")
    if labels[-1].isdecimal():
        raise BadName(f"{name[:80]!r} looks like an address, but is none")
    return lowered


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """Return the subject alternative names of a certificate."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
