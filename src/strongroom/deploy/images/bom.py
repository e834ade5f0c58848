"""Write an image's bill of materials: CycloneDX 1.6 in JSON. Deterministic; reads the image's archive alone.

Listed are the distribution's packages (dpkg's status), Python distributions with the SHA-256 of their RECORD, which
lists the SHA-256 of every file, and sealed models with the SHA-256 of their signed manifest. Source:
https://cyclonedx.org/docs/1.6/json/ (bomFormat, specVersion, metadata, components).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from strongroom.deploy.description import Role
from strongroom.deploy.images.archive import remaining
from strongroom.deploy.images.pins import canonical

SPEC_VERSION: Final = "1.6"
DPKG: Final = "var/lib/dpkg/status"
_DISTRIBUTION: Final = re.compile(r"opt/strongroom/lib/python3\.\d+/site-packages/[^/]+\.dist-info/(METADATA|RECORD)")
_MODEL: Final = re.compile(r"models/([^/]+)/([0-9]+)/bundle\.json")

Component = dict[str, Any]


def of_archive(archive: Path, *, role: Role, reference: str, measurement: bytes | None) -> bytes:
    """Return the bill of materials of an image. Raises ArchiveMalformed."""
    found = remaining(archive, _is_wanted)
    return render(found, role=role, reference=reference, measurement=measurement)


def render(files: Mapping[str, bytes], *, role: Role, reference: str, measurement: bytes | None = None) -> bytes:
    """Return the bill of materials of an image that holds `files`, of which those that list packages are enough."""
    components = sorted(
        [*_debian(files.get(DPKG, b"")), *_python(files), *_models(files)], key=lambda each: str(each["bom-ref"])
    )
    image: Component = {"type": "container", "bom-ref": "image", "name": f"strongroom-{role}", "version": reference}
    if measurement is not None:
        measured = json.loads(measurement)
        image["properties"] = [{"name": "strongroom:mr_enclave", "value": str(measured["mr_enclave"])}]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {"component": image},
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": [each["bom-ref"] for each in components]}],
    }
    return (json.dumps(bill, indent=1, ensure_ascii=False) + "\n").encode()


def _is_wanted(path: str) -> bool:
    return path == DPKG or bool(_DISTRIBUTION.fullmatch(path)) or bool(_MODEL.fullmatch(path))


def _debian(status: bytes) -> Iterator[Component]:
    """Yield the installed packages that dpkg lists."""
    for paragraph in status.decode("utf-8", "replace").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith(" ") and ": " in line
        )
        name, version = fields.get("Package"), fields.get("Version")
        if name and version and fields.get("Status", "").endswith(" installed"):
            purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={fields.get('Architecture', 'all')}"
            yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _python(files: Mapping[str, bytes]) -> Iterator[Component]:
    """Yield the Python distributions, each with the digest of the list of its files."""
    for path in sorted(files):
        if not path.endswith(".dist-info/METADATA"):
            continue
        headers = HeaderParser().parsestr(files[path].decode("utf-8", "replace"))
        name, version = headers.get("Name", ""), headers.get("Version", "")
        purl = f"pkg:pypi/{quote(canonical(name))}@{quote(version, safe='')}"
        component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        record = files.get(path.removesuffix("METADATA") + "RECORD")
        if record is not None:
            component["properties"] = [
                {"name": "strongroom:record-sha256", "value": hashlib.sha256(record).hexdigest()}
            ]
        yield component


def _models(files: Mapping[str, bytes]) -> Iterator[Component]:
    """Yield the sealed versions: their manifest pins every file."""
    for path in sorted(files):
        matched = _MODEL.fullmatch(path)
        if matched:
            digest = hashlib.sha256(files[path]).hexdigest()
            yield {
                "type": "machine-learning-model", "bom-ref": f"model/{matched[1]}/{matched[2]}", "name": matched[1],
                "version": matched[2], "hashes": [{"alg": "SHA-256", "content": digest}],
                "description": "sealed; the digest is that of the owner's signed manifest",
            }  # fmt: skip
