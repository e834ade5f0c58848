"""A name of the original's; other packages may share it."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
