"""Images: container files of every role, and what builds, scans, signs, lists, pushes and pins them.

`containerfiles` is pure and part of every rendering. The rest runs a builder on the owner's machine; no key enters.
"""

from strongroom.deploy.images.containerfile import containerfiles
from strongroom.deploy.images.pinning import pinned, with_pins

__all__ = ["containerfiles", "pinned", "with_pins"]
