"""Where an advisory can be read: Intel's page for each id."""

from __future__ import annotations

import re
from typing import Final

_ADVISORY: Final = re.compile(r"INTEL-SA-\d{5}", re.ASCII)
_PAGE: Final = "https://www.intel.com/content/www/us/en/security-center/advisory/{id}.html"
_END_OF_SERVICE: Final = {"INTEL-DOC-10000", "INTEL-DOC-10001"}


def link_of(advisory: str) -> str:
    """Return the address of an advisory's page; for a notice of another kind, what it is."""
    if _ADVISORY.fullmatch(advisory):
        return _PAGE.format(id=advisory.lower())
    return "Intel no longer services this platform" if advisory in _END_OF_SERVICE else "no page is known for this id"
