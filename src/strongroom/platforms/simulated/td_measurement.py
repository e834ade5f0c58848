"""Measure what a manifest would start as a trust domain: mr_td and the four runtime registers.

The same listing as an enclave's, so that whoever changes entrypoint, arguments, environment or a trusted file gets
another mr_td. Real trust domains measure a virtual firmware into mr_td and what it boots into the registers; here,
where nothing boots, the registers tell the same launch in parts:

    rtmr0  product and security version (for the virtual firmware's configuration)
    rtmr1  the entrypoint (for the kernel)
    rtmr2  arguments and environment (for the kernel's command line)
    rtmr3  the trusted files (for what the running system adds)

Owner, owner's configuration and configuration id stay zero, as with most real trust domains: policies expect that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.attestation import TdAttributes
from strongroom.gramine.manifest import Manifest
from strongroom.platforms.simulated.identities import TdIdentity
from strongroom.platforms.simulated.measurement import digest_items, list_launch

_DOMAIN: Final = b"strongroom simulated trust domain v1"
_REGISTER_BYTES: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class TdMeasurement:
    """What a trust domain would be known by, and the environment that was measured."""

    identity: TdIdentity
    environment: Mapping[str, str]

    def to_json_object(self) -> dict[str, object]:
        """Return the measurement under the names that quotes of TDX have for it."""
        registers = {f"rtmr{number}": register.hex() for number, register in enumerate(self.identity.rtmrs)}
        return {
            "mr_td": self.identity.mr_td.hex(),
            **registers,
            "td_attributes": self.identity.attributes.to_bytes(8, "little").hex(),
            "debug": TdAttributes.DEBUG in self.identity.attributes,
        }


def measure_td(manifest: Manifest, base: Path, environ: Mapping[str, str]) -> TdMeasurement:
    """Measure `manifest`, whose folder is `base`, with pass-through variables taken from `environ`.

    Raises LaunchFileUnusable or TrustedFileChanged.
    """
    listing = list_launch(manifest, base, environ)
    product = [manifest.isvprodid.to_bytes(2, "little"), manifest.isvsvn.to_bytes(2, "little")]
    debug = TdAttributes.DEBUG if manifest.debug else TdAttributes(0)
    identity = TdIdentity(
        mr_td=digest_items(hashlib.sha384(_DOMAIN), listing.items),
        rtmrs=(
            _register(product),
            _register(listing.entrypoint),
            _register(listing.argv + listing.env),
            _register(listing.trusted_files),
        ),
        attributes=TdAttributes.SEPT_VE_DISABLE | debug,
    )
    return TdMeasurement(identity=identity, environment=listing.environment)


def _register(items: Iterable[str | bytes]) -> bytes:
    """Return a runtime register that was zero and has been extended once: SHA-384(register ‖ digest)."""
    return hashlib.sha384(bytes(_REGISTER_BYTES) + digest_items(hashlib.sha384(_DOMAIN), items)).digest()
