"""Build the images of a deployment: client, broker, model-server, streaming-worker, spark, models, front.

Without a base image to pull, a minimal Debian is made with mmdebstrap, once. Every layer is searched for keys and
readable models before anything is handed on. Enclaves are signed here, on the owner's machine: the key never enters an
image. WORKSPACE/images/ROLE (or OUT/ROLE) gets each image's bill of materials (CycloneDX) and the measurement that
strongroom policy trust takes; OUT/ROLE also the image itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.workspace_option import open_workspace, workspace_argument
from strongroom.deploy.description import Flavour, Role
from strongroom.deploy.images.builder import BuilderName

if TYPE_CHECKING:
    from strongroom.deploy.images.build import Made, Source, Workshop
    from strongroom.workspace import Workspace

USUAL = (Role.BROKER, Role.MODEL_SERVER, Role.MODELS, Role.FRONT, Role.CLIENT)
ARCHIVE = "image.tar"
BILL = "sbom.cdx.json"
MEASUREMENT = "measurement.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("roles", metavar="ROLE", nargs="*", type=Role, default=list(USUAL),
                        help=f"{', '.join(Role)} (default: {', '.join(USUAL)})")  # fmt: skip
    parser.add_argument("--flavour", type=Flavour, choices=list(Flavour), help="(default: the one of strongroom.toml)")
    parser.add_argument("--builder", type=BuilderName, choices=list(BuilderName),
                        help="(default: the first that is installed)")  # fmt: skip
    parser.add_argument("--base", metavar="IMAGE@sha256:…", default="debootstrap",
                        help="stand on this image (default: debootstrap, a Debian made here)")  # fmt: skip
    parser.add_argument("--proxy", metavar="URL", help="a proxy for downloads; no image gets to know it")
    parser.add_argument("--repository-keys", metavar="DIR", type=Path,
                        help="public keys of Gramine's and Intel's packages, for SGX")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="write image archives for containerd, podman, docker")
    parser.add_argument("--push", action="store_true", help="push to the registry of strongroom.toml and pin digests")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Build, look through, list, and print what there is."""
    from strongroom.deploy.images import build
    from strongroom.deploy.images.builder import choose

    workspace = open_workspace(args)
    source = build.with_flavour(source_of(workspace, args.repository_keys), args.flavour)
    environ = build.environment(args.proxy)
    base = build.checked_base(args.base)
    with build.working_folder() as folder:
        workshop = build.Workshop(
            builder=choose(args.builder, environ), environ=environ, folder=folder, base=base, tell=tell
        )
        made = [one(workshop, role, source, args.out, workspace) for role in build.in_order(args.roles)]
    sys.stdout.write(as_json(made) if args.json else as_text(made, workspace, args.out))
    return 0


def source_of(workspace: Workspace, repository_keys: Path | None) -> Source:
    """Return what the images of a workspace's deployment are made of."""
    from strongroom.deploy.images.build import Source
    from strongroom.deploy.opening import open_deployment

    deployment = open_deployment(workspace)
    return Source(
        description=deployment.description,
        profile=deployment.profile,
        public_files=deployment.public_files,
        owner=workspace.signer().public_key(),
        workspace=workspace.folder,
        repository_keys=repository_keys,
    )


def one(workshop: Workshop, role: Role, source: Source, out: Path | None, workspace: Workspace) -> Made:
    """Make one image and write what belongs to it."""
    from strongroom.pki import disk

    folder = (out or workspace.folder / "images") / role.value
    folder.mkdir(parents=True, exist_ok=True)
    made = workshop.make(role, source, (folder if out else workshop.folder) / ARCHIVE)
    disk.replace_public(folder / BILL, made.bill)
    if made.measurement is not None:
        disk.replace_public(folder / MEASUREMENT, made.measurement)
    return made


def tell(sentence: str) -> None:
    """Say on stderr what is being done: a build takes minutes."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def as_json(made: list[Made]) -> str:
    """Return what was built, for a machine."""
    images = [
        {"role": each.role.value, "image": each.reference, "archive": str(each.archive), "bytes": each.size,
         "files": each.looked_at, "models": list(each.models),
         "measurement": json.loads(each.measurement) if each.measurement else None}
        for each in made
    ]  # fmt: skip
    return json.dumps({"images": images}) + "\n"


def as_text(made: list[Made], workspace: Workspace, out: Path | None) -> str:
    """Return what was built, and what to do next."""
    lines = []
    for each in made:
        lines.append(f"{each.reference}  {each.size / 1e6:.0f} MB, {each.looked_at} files looked through")
        if each.measurement is not None:
            place = (out or workspace.folder / "images") / each.role.value / MEASUREMENT
            lines.append(f"  mr_enclave {json.loads(each.measurement)['mr_enclave']}")
            lines.append(f"  to release a model to it: strongroom policy trust {place} --trust-domain simulated"
                         f" --release model/NAME/VERSION --workspace {workspace.folder}")  # fmt: skip
    return "\n".join(lines) + "\n"
