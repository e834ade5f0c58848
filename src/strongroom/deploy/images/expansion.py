"""Turn a Gramine manifest template into the expanded manifest that is measured: trusted files with their SHA-256. Pure.

What gramine-manifest and gramine-sgx-sign do, but outside of the image and without its programs: the values of a
distribution's Gramine packages are put in, and every trusted file or folder is listed from the image's own layers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from strongroom.deploy.description import Flavour
from strongroom.deploy.images.tree_view import TreeView
from strongroom.errors import BadInput
from strongroom.gramine import measure, toml_text

LIBRARIES: Final[Mapping[Flavour, str]] = {  # where the distribution's Gramine package lies
    Flavour.DEFAULT: "/usr/lib/x86_64-linux-gnu",
    Flavour.AZURE: "/usr/lib/x86_64-linux-gnu",
    Flavour.ANOLISOS: "/usr/lib64",
}
MAX_TRUSTED: Final = 200_000
_EXPRESSION: Final = re.compile(r"\{\{ ?([a-z_.]{1,40}(?:\(\))?) ?\}\}")
_TRUSTED: Final = re.compile(r"^sgx\.trusted_files = \[\n(?:  \"[^\"\n]{1,4096}\",\n){0,100000}\]$", re.MULTILINE)


class NotExpandable(BadInput):
    """A manifest template cannot be expanded: an expression is not known, or a trusted file is not in the image."""

    code = "SR-IMAGE-EXPAND"
    fix = "Render the manifest with strongroom deploy render, and build the image with the files that it trusts."


def libpal(flavour: Flavour) -> str:
    """Return where an image has the libpal.so that its enclaves are measured with."""
    return f"{LIBRARIES[flavour]}/gramine/sgx/libpal.so"


def expand(template: str, view: TreeView, flavour: Flavour) -> bytes:
    """Return the expanded manifest. Raises NotExpandable or ManifestMalformed."""
    text = _EXPRESSION.sub(lambda found: _value(found[1], flavour), template)
    before = toml_text.loads(text, max_bytes=measure.MAX_EXPANDED_BYTES, error=NotExpandable)
    if not _TRUSTED.search(text):
        raise NotExpandable("the manifest has no sgx.trusted_files, one to a line")
    listed = "".join(f'  {{ uri = {json.dumps(uri)}, sha256 = "{digest}" }},\n' for uri, digest in _all(before, view))
    expanded = _TRUSTED.sub(lambda _: f"sgx.trusted_files = [\n{listed}]", text).encode()
    after = measure.read_expanded(expanded)
    if {**after["sgx"], "trusted_files": None} != {**before["sgx"], "trusted_files": None}:
        raise NotExpandable("the manifest changed otherwise than in its trusted files")
    return expanded


def _value(expression: str, flavour: Flavour) -> str:
    library = LIBRARIES[flavour]
    known = {
        "gramine.libdir": library,
        "gramine.libos": f"{library}/gramine/libsysdb.so",
        "gramine.runtimedir()": f"{library}/gramine/runtime/glibc",
    }
    if expression not in known:
        raise NotExpandable(f"the expression {expression!r} is not known")
    return known[expression]


def _all(document: Mapping[str, Any], view: TreeView) -> Iterator[tuple[str, str]]:
    """Yield (URI, SHA-256) of every trusted file, folders opened, each once and sorted."""
    found: dict[str, str] = {}
    for uri in document["sgx"]["trusted_files"]:
        path = str(uri).removeprefix("file:")
        if not str(uri).startswith("file:/"):
            raise NotExpandable(f"{str(uri)[:160]!r} is no absolute file: URI")
        if path.endswith("/"):
            found.update({f"{uri}{name}": digest for name, digest in view.below(path)})
        else:
            found[uri] = view.digest(path) or ""
        if not found.get(uri, "-"):
            raise NotExpandable(f"{path[:160]} is trusted by the manifest and not in the image")
        if len(found) > MAX_TRUSTED:
            raise NotExpandable(f"the manifest trusts more than {MAX_TRUSTED} files")
    yield from sorted(found.items())
