"""Gramine's own vocabulary: manifests, measurements and signed identities, the key server's policy file, provisioning.

Law of this room: pure, and Gramine's bytes exactly. What Gramine reads generously is read strictly here; what it
writes is written byte for byte.
"""

from strongroom.gramine import manifest, measure, provisioning, ra_config, sigstruct, versions
from strongroom.gramine.manifest import Manifest
from strongroom.gramine.ra_config import RaConfig
from strongroom.gramine.sigstruct import Sigstruct

__all__ = [
    "Manifest",
    "RaConfig",
    "Sigstruct",
    "manifest",
    "measure",
    "provisioning",
    "ra_config",
    "sigstruct",
    "versions",
]
