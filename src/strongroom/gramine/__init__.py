"""Gramine's own vocabulary: manifests, the key server's policy file, the secret-provisioning dialogue.

Law of this room: pure, and Gramine's bytes exactly. What Gramine reads generously is read strictly here; what it
writes is written byte for byte.
"""

from strongroom.gramine import manifest, provisioning, ra_config
from strongroom.gramine.manifest import Manifest
from strongroom.gramine.ra_config import RaConfig

__all__ = ["Manifest", "RaConfig", "manifest", "provisioning", "ra_config"]
