"""Whose word counts in place of our own verification: which attestation service, and which pinned keys it signs with.

World: the key set's file, and a file with an API key where the service wants one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.attestation.tokens import Profile
from strongroom.collateral.attestation_service import AttestationService, ServiceAddress
from strongroom.collateral.remote_verifier import RemoteVerifier
from strongroom.collateral.token_keys import PinnedKeys
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.secret import Secret

MAX_API_KEY_BYTES: Final = 4096


class KeysNotNamed(BadInput):
    """Nobody said which keys an attestation token is to be checked with, or whose they are."""

    code = "SR-TOKEN-KEYS-NOT-NAMED"
    fix = (
        "Give --service URL, or --keys FILE with --issuer (for ita the issuer is known); never take them from a token."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """A service that checks quotes, with its keys in a file. `issuer`: None is the profile's own, or the service."""

    profile: Profile
    url: str
    keys: Path
    issuer: str | None = None
    ca_file: Path | None = None
    api_key_file: Path | None = None

    def open(self, *, at: datetime) -> RemoteVerifier:
        """Return the service, ready to be asked; the keys are read once to see that they can be used.

        Raises ServiceAddressUnusable, KeySetUnusable, LoosePermissions or OSError.
        """
        address = ServiceAddress.of(self.url)
        keys = pinned_keys(self.profile, self.keys, issuer=self.issuer, service=address.url)
        keys.current(at=at)
        api_key = read_api_key(self.api_key_file) if self.api_key_file else None
        service = AttestationService(self.profile, address, ca_file=self.ca_file, api_key=api_key)
        return RemoteVerifier(service, keys)


def read_api_key(file: Path) -> Secret:
    """Return the API key in a file that its owner alone may read, without the line's end."""
    with disk.read_secret(file, limit=MAX_API_KEY_BYTES).reveal() as raw:
        return Secret(bytes(raw).strip())


def pinned_keys(profile: Profile, file: Path, *, issuer: str | None, service: str | None) -> PinnedKeys:
    """Return the keys of a file, for the issuer named, the profile's own, or the service. Raises KeysNotNamed."""
    named = issuer_of(profile, issuer=issuer, service=service)
    return PinnedKeys(file, issuer=named, url=_key_set_url(service, profile.key_set_urls(named)))


def issuer_of(profile: Profile, *, issuer: str | None, service: str | None) -> str:
    """Return whose tokens count: as told, or the profile's only issuer, or the service. Raises KeysNotNamed."""
    named = issuer or profile.default_issuer or (service and service.rstrip("/"))
    if not named:
        raise KeysNotNamed("the pinned keys belong to no issuer")
    return named


def _key_set_url(service: str | None, known: Sequence[str]) -> str | None:
    """Return the address that tokens may name for a pinned set: the service's own, or where the issuer publishes."""
    own = [f"{service.rstrip('/')}/certs"] if service else []
    possible = [url for url in own if url in known or not known] or [*known]
    return possible[0] if possible else None
