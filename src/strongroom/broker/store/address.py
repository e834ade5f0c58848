"""What a database's address may say: no password, and encryption wherever it leaves this machine. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from strongroom.broker.store.errors import StorePassword, StoreUnencrypted

VERIFIED: Final = "verify-full"
SECRET_WORDS: Final = ("password", "sslpassword")


def checked(words: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the words of an address with `sslmode` spelled out. Raises StorePassword or StoreUnencrypted.

    A service file may name hosts that are not known here, so with one the server has to prove itself as well.
    """
    for word in SECRET_WORDS:
        if word in words:
            raise StorePassword(f"the address of the database holds a {word}")
    if "PGPASSWORD" in environ:
        raise StorePassword("the environment holds PGPASSWORD")
    hosts = words.get("hostaddr") or words.get("host") or environ.get("PGHOSTADDR") or environ.get("PGHOST") or ""
    unknown = not hosts and ("service" in words or "PGSERVICE" in environ)
    if not unknown and all(stays_here(host) for host in hosts.split(",")):
        return dict(words)
    if words.get("sslmode", VERIFIED) != VERIFIED:
        raise StoreUnencrypted(f"sslmode is {words['sslmode'][:16]!r}, and the database is on another machine")
    return {**words, "sslmode": VERIFIED}


def stays_here(host: str) -> bool:
    """Return whether `host` is a Unix socket (a folder, or nothing) or this machine's loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def description(words: Mapping[str, str]) -> str:
    """Return the database's name for people."""
    place = words.get("host") or words.get("hostaddr") or words.get("service") or "this machine"
    port = f":{words['port']}" if "port" in words else ""
    return f"PostgreSQL database {words.get('dbname', 'of the default name')} at {place}{port}"
