"""Clouds: what differs between the places where machines are rented, as data. One TOML file for each profile.

A workspace's own files in `clouds/NAME.toml` stand beside those that come along, and before one of the same name. A
profile carries no trust: a wrong address or device can only keep replicas from proving themselves.
"""

from strongroom.deploy.clouds.profile import MAX_PROFILE_BYTES, USUAL_DEVICES, CloudMalformed, Profile
from strongroom.deploy.clouds.profiles import UnknownCloud, names, profile

GENERIC = profile("generic")

__all__ = [
    "GENERIC",
    "MAX_PROFILE_BYTES",
    "USUAL_DEVICES",
    "CloudMalformed",
    "Profile",
    "UnknownCloud",
    "names",
    "profile",
]
